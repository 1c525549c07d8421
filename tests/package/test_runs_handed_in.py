"""What passes lessons 07 and 08 can be trained, evaluated, handed in and graded.

What belongs here: every architecture of `tests.architectures`, from the first epoch to
the points; and the table of operations, each one used. What does not: each of these
stages by itself.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from tests.architectures import REFUSED, RIGHT, Plain
from vae_edu import data, evaluate, handin, operations, runs, train
from vae_edu.evaluate import Factored, _Readable
from vae_edu.grading.verdict import run_folder
from vae_edu.lesson import find
from vae_edu.program import Program, ProgramError
from vae_edu.train import TrainConfig, TrainError

CONFIG = TrainConfig(epochs=1, batch_size=256, device="cpu", matmul="float32")
N, K = 12, 16
SIZES = (64, 16, 4)
QUIET = {"say": lambda line: None}


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.run_card, "draw", lambda model, images: {})


def made(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(*SIZES)


def handed_in(
    folder: Path, kind: type[nn.Module], images: data.Dataset, loss: Any = None
) -> tuple[nn.Module, Path]:
    """Train, evaluate and write, as lesson 10 does."""
    model = made(kind)
    loss = loss or train.negative_elbo
    rows = train.train(model, images.train, CONFIG, loss=loss, **QUIET)
    x = evaluate.binarized_test_set(images.test[:N])
    found = evaluate.evaluate(model, x, num_samples=K)
    return model, runs.write(folder, model, images, CONFIG, rows, found)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_architecture_goes_all_the_way(name, digits, tmp_path, no_pictures):
    model, folder = handed_in(tmp_path / "run", RIGHT[name], digits)
    config = json.loads((folder / "config.json").read_text())
    assert config["model"]["form"] == "program"
    marked = handin.mark(folder, images=digits)
    assert not marked.problem
    assert marked.points == handin.WHOLE
    assert_readable(model, folder, digits)


def assert_readable(model: nn.Module, folder: Path, images: data.Dataset) -> None:
    """The claims are what the learner's own class gives, of the same noise."""
    x = evaluate.binarized_test_set(images.test[:N])
    readable = _Readable(model.eval(), SIZES[2])
    with torch.no_grad():
        weights = evaluate.log_weights(
            readable, x.float(), K, torch.Generator().manual_seed(0)
        )
    torch.testing.assert_close(
        -evaluate._bound(weights, K), runs.read(folder).per_image, rtol=1e-3, atol=1e-3
    )


FAST = [
    *("the last layer without a bias", "h @ W + b", "h @ W.T alone", "tied weights"),
    *("the data's mean added to the logits", "an orthogonal hidden layer"),
    *("weight norm, the old hooks", "distributions inside"),
]
GENERAL = [
    *("logits clamped", "a skip from the code to the logits"),
    *("a learned scale of the logits", "a gate between two outputs"),
    "convolutions on unflattened images, transposed ones back",
]


@pytest.mark.parametrize("name", FAST + GENERAL)
def test_the_fast_form_is_taken_for_a_last_layer_alone_and_gives_the_same(name):
    program = Program.trace(made(RIGHT[name]), 64, 4)
    assert isinstance(program, Factored) == (name in FAST)
    general = Program(64, 4, program.steps, program.outputs, program.weights)
    assert not isinstance(general, Factored)
    x = (torch.rand(5, 64, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    both = [
        evaluate.log_weights(p, x, 300, torch.Generator().manual_seed(1))
        for p in (program, general)
    ]
    torch.testing.assert_close(both[0], both[1], rtol=1e-4, atol=1e-3)


LOSSES = {
    v.name: v.answer
    for v in find("building_the_vae").variants
    if v.exercise == "negative_elbo"
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_right_loss_trains(name, digits):
    rows = train.train(made(Plain), digits.train, CONFIG, loss=LOSSES[name], **QUIET)
    expected = train.train(made(Plain), digits.train, CONFIG, **QUIET)
    assert rows[0].loss == pytest.approx(expected[0].loss, rel=1e-3)


# --- the grader -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["tied weights", "convolutions on unflattened images, transposed ones back"]
)
def test_the_grader_gives_its_points(name, digits, tmp_path):
    """With pictures, in a process of its own, from data alone."""
    _, folder = handed_in(tmp_path / "run", RIGHT[name], digits)
    item = run_folder.grade_run(folder, "seed")
    assert item.problem == ""
    assert item.score == handin.WHOLE


# --- what is refused before the first epoch -------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_handed_in_is_refused_before_the_first_epoch(name, digits):
    kind, words = REFUSED[name]
    model, said = made(kind), []
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(TrainError) as refusal:
        train.train(model, digits.train, CONFIG, say=said.append)
    text = str(refusal.value)
    assert words in text
    assert "Remedy: " in text
    assert len(text.splitlines()) == 1
    assert said == []
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training


def test_what_cannot_be_handed_in_trains_where_one_asks_for_it(digits):
    kind, _ = REFUSED["a spectrum"]
    rows = train.train(made(kind), digits.train, CONFIG, as_data=False, **QUIET)
    assert len(rows) == 1


def double(model: nn.Module) -> None:
    model.double()


def half(model: nn.Module) -> None:
    model.bfloat16()


def other_shape(model: nn.Module) -> None:
    model.out = nn.Linear(16, 63)


def of_nothing(model: nn.Module) -> None:
    with torch.no_grad():
        model.out.bias.fill_(torch.nan)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (double, "weights of float64, and images and noise come as float32"),
        (half, "weights of bfloat16, and images and noise come as float32"),
        (other_shape, "a first step of training fails"),
        (of_nothing, "is nan before the first step"),
    ],
)
def test_a_model_that_cannot_take_a_step_is_one_line(digits, spoil, words):
    model = made(Plain)
    spoil(model)
    with pytest.raises(TrainError, match=words) as refusal:
        train.train(model, digits.train, CONFIG, **QUIET)
    assert len(str(refusal.value).splitlines()) == 1


def unreduced(x, logits, mu, log_var, beta):
    loss = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return loss, loss, loss


LOSSES_REFUSED = {
    "not reduced": (unreduced, "three means over the batch"),
    "one tensor": (lambda x, logits, *rest: logits.mean(), "does not give three"),
    "numbers": (lambda *args: (1.0, 1.0, 0.0), "does not give three"),
    "detached": (
        lambda x, logits, *rest: (logits.detach().mean(),) * 3,
        "depends on no parameter",
    ),
    "four arguments": (lambda x, logits, mu, log_var: None, "a first step .* fails"),
}


@pytest.mark.parametrize("name", LOSSES_REFUSED)
def test_a_loss_that_is_none_is_one_line(digits, name):
    loss, words = LOSSES_REFUSED[name]
    with pytest.raises(TrainError, match=words) as refusal:
        train.train(made(Plain), digits.train, CONFIG, loss=loss, **QUIET)
    assert len(str(refusal.value).splitlines()) == 1


def test_the_rehearsal_changes_nothing(digits):
    """Neither buffers nor random numbers: a run has the bits it would have without."""

    class Counts(Plain):
        def make(self, i, h, k):
            super().make(i, h, k)
            self.norm, self.drop = nn.BatchNorm1d(h), nn.Dropout(0.3)

        def encode(self, x):
            h = self.drop(torch.relu(self.norm(self.first(x))))
            return self.mu(h), self.log_var(h)

    model, trainer = made(Counts), None
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    trainer = train.Trainer(model, digits.train, CONFIG, train.negative_elbo)
    trainer.rehearse()
    train.expect_data(model, 64, 4)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


# --- the table ------------------------------------------------------------------------

# In `h` of (..., 6), and `p`, the same made positive and below 1: each is used in a
# decoder, recorded, written as JSON, read, and run code by code.
USES = """
abs(h) acos(p) acosh(1+p) asin(p) asinh(h) atan(h) atanh(p) atan2(h,p) ceil(h) cos(h)
cosh(h) deg2rad(h) digamma(p) rad2deg(h) erf(h) erfc(h) erfinv(p) exp(h) exp2(h)
expm1(h) floor(h) frac(h) lgamma(p) log(p) log10(p) log1p(p) log2(p) logit(p) neg(h)
reciprocal(p) round(h) rsqrt(p) sgn(h) sigmoid(h) sign(h) sin(h) sinc(h) sinh(h) sqrt(p)
square(h) tan(p) tanh(h) trunc(h) special.entr(p) special.erfcx(h) special.i0e(h)
special.ndtri(p) isnan(h)+h isinf(h)+h isfinite(h)+h nan_to_num(h)

F.celu(h) F.elu(h) F.gelu(h) F.glu(h) F.hardshrink(h) F.hardsigmoid(h) F.hardswish(h)
F.hardtanh(h) F.leaky_relu(h) F.logsigmoid(h) F.mish(h) F.relu(h) F.relu6(h) F.selu(h)
F.silu(h) F.softplus(h) F.softshrink(h) F.threshold(h,0.1,0.2) F.softsign(h)
F.tanhshrink(h) F.softmin(h,-1) F.rrelu(h)

h+p h+2 h-p h-2 2-h h*p h*2 h/p h/2 2/p div(h,p,rounding_mode="floor")
div(h,2,rounding_mode="trunc") h**2 p**h 2**h fmod(h,2) fmod(h,p) remainder(h,2)
remainder(h,p) h//p h//2 addcmul(h,p,h) addcdiv(h,h,p) lerp(h,p,0.3) lerp(h,p,p)
hypot(h,p) copysign(h,p) copysign(h,-1.0) maximum(h,p) minimum(h,p) fmax(h,p) fmin(h,p)
logaddexp(h,p) logaddexp2(h,p) xlogy(h,p) xlogy(2.0,p) xlogy(h,2.0) heaviside(h,p)
clamp(h,-1,1) clamp(h,-p,p) clamp(h,min=0.1) clamp(h,min=p) clamp(h,max=0.1)
clamp(h,max=p)

(h==0)+h (h==p)+h (h!=0)+h (h!=p)+h (h<0)*h (h<p)*h (h<=0)*h (h<=p)*h (h>0)*h (h>p)*h
(h>=0)*h (h>=p)*h logical_and(h>0,p>0)*h logical_or(h>0,p>0.5)*h logical_not(h>0)*h
logical_xor(h>0,p>0.5)*h ((h>0)&(p>0.5))*h ((h>0)|(p>0.5))*h (~(h>0))*h
((h>0)^(p>0.5))*h where(h>0,h,p) where(h>0,1.0,h) where(h>0,h,1.0) where(h>0,1.0,2.0)*h
h.masked_fill(h>0,0.5) h.masked_fill(h>0,p.sum())

h.mm(h.mT) h.unsqueeze(1).bmm(p.unsqueeze(2))
baddbmm(p[:,None,:1],h[:,None],p[...,None]) mv(h,p[0]) dot(h[0],p[0])
addmv(h[:,0],h,p[0]) cdist(h[:,None],p[:,None]) linalg.vector_norm(h,dim=-1)
addbmm(h[:,:1],h[:,None],p[...,None]) outer(h[0],p[0]) einsum("bi,bj->bij",h,p)
tensordot(h,p,dims=[[1],[1]]) kron(h,p) cross(h[:,:3],p[:,:3])

h.sum() h.sum(-1) h.mean() h.mean(-1) p.prod() p.prod(-1) h.amax(-1) h.amin(-1) h.max()
h.max(-1)[0] h.min() h.min(-1)[0] logsumexp(h,-1) cumsum(h,-1) cumprod(p,-1)
logcumsumexp(h,-1) h.var(-1) h.std(-1) var_mean(h,-1)[0] std_mean(h,-1)[1]
norm(h,dim=-1) norm(h) (h>0).any()+h (h>0).any(-1)+0.0 (h>-9).all()+h (h>0).all(-1)+0.0
argmax(h,-1)+0.0 argmin(h,-1)+0.0 sort(h,-1)[0] h.sort(stable=True,dim=-1)[0]
topk(h,2)[0] cummax(h,-1)[0] cummin(h,-1)[0] softmax(h,-1) log_softmax(h,-1)
F.layer_norm(h,(6,)) F.group_norm(h,2) F.rms_norm(h,(6,)) F.instance_norm(h[:,None])
F.cosine_similarity(h,p) F.normalize(h) aminmax(h)[0] quantile(h,0.5,-1)

F.avg_pool2d(i,2) F.max_pool2d(i,2,1) F.adaptive_avg_pool2d(i,1)
F.avg_pool1d(h[:,None],2) F.max_pool1d(h[:,None],2) F.adaptive_avg_pool1d(h[:,None],2)
F.interpolate(h[:,None],12) F.interpolate(i,scale_factor=2)
F.interpolate(h[:,None],12,mode="linear")
F.interpolate(i,scale_factor=2,mode="bilinear")
F.interpolate(i,scale_factor=2,mode="bicubic")

F.pixel_shuffle(s,2) F.pixel_unshuffle(i[...,:2],2) F.channel_shuffle(s,2)
F.unfold(i,(2,2)) F.pad(h,(1,1)) F.fold(F.unfold(i,(2,2)),(2,3),(2,2))
F.pad(h[:,None],(1,1),"reflect") F.pad(i,(1,1,1,1),"reflect")
F.pad(h[:,None],(1,1),"replicate") F.pad(i,(1,1,1,1),"circular")
F.pad(i,(1,1,1,1),"replicate") F.conv1d(h[:,None],p[:,None]) F.conv2d(i,i)
F.conv_transpose2d(i,i) F.avg_pool3d(i[:,None],(1,2,2)) F.max_pool3d(i[:,None],(1,2,2))
F.adaptive_avg_pool3d(i[:,None],1) F.lp_pool1d(p[:,None],2,2)

h.view(2,3) h.flatten() h.expand(2,6) h.expand_as(h) h.permute(1,0) h.transpose(0,1)
h.t() h.unsqueeze(0) h.squeeze() h.squeeze(0) h.squeeze((0,)) h[:,1:4] h[0]
h.unbind(1)[0] h.split(2,1)[0] h.split([2,4],1)[1] cat([h,p]) stack([h,p]) h.repeat(1,2)
h.flip(-1) h.roll(1,-1) h.rot90(1,[0,1]) h.T@h.tril() h.triu(1) h.diagonal()
diag_embed(h) h.movedim(0,1) h.unfold(1,2,2) h.clone() (h>0).float() h.tile(2)
h.repeat_interleave(2,1) h[...,None] h[:,[0,2]] h.index_select(1,k) h.gather(1,k[None])
h.scatter(1,k[None],p) h.long()+0.0 h.scatter(1,k[None],0.5) h.scatter_add(1,k[None],p)
h.index_add(1,k,p[:,:2]) h.index_fill(1,k,0.5) h.masked_select(h>-9)
meshgrid(h[0],p[0],indexing="ij")[0] h.slice_scatter(p[:,:2],1,0,2)
h.select_scatter(p[:,0],1,0) h.diagonal_scatter(p[:,0]) h.narrow(1,0,2) h.chunk(2,1)[0]
h.swapaxes(0,1) h.unflatten(1,(2,3)) tensor_split(h,2,1)[0] h.type(int64)+0.0
h.clone().fill_(0.5)*h h.clone().copy_(p)
"""
SPLIT = [use for use in USES.split() if use]
NOT_DATA = {
    "h.masked_select(h>-9)": "its size depends on values",
    'F.pad(i,(1,1,1,1),"circular")': "it is put together from pieces of itself",
    "F.rrelu(h)": "PyTorch counts it among what draws, in eval mode too",
    "F.instance_norm(h[:,None])": "PyTorch takes it for a batch norm in training",
}
ELSEWHERE = {"aten._fused_rms_norm.default"}  # recorded on a GPU alone


class Uses(Plain):
    """A decoder with one expression in it."""

    expression = ""

    def make(self, i, h, k):
        super().make(i, h, k)
        self.up, self.out = nn.Linear(k, 6), nn.Linear(1, i)
        self.register_buffer("k", torch.tensor([3, 1]))

    def decode(self, z):
        rows = [self.one(row) for row in self.up(z).reshape(-1, 6)]
        return self.out(torch.stack(rows)).view(*z.shape[:-1], -1)

    def one(self, row):
        h = row[None]
        p, i = 0.05 + 0.9 * torch.sigmoid(h), h.view(1, 1, 2, 3)
        s = torch.cat([h, 2 * h], 1)[:, :8].view(1, 4, 2, 1)
        names = {"h": h, "p": p, "i": i, "s": s, "k": self.k, "F": F}
        value = eval(self.expression, vars(torch) | names)
        return value.float().mean().tanh()[None]


def used(expression: str) -> set[str]:
    """Which operations it takes; recorded, read back, and equal to the model."""
    kind = type("Uses", (Uses,), {"expression": expression})
    program = Program.trace(made(kind), 64, 4)
    text = json.dumps(program.to_json())
    again = Program.from_json(json.loads(text), program.weights)
    z = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a loop over the codes, for want of a rule
        torch.testing.assert_close(again.decode(z), program.decode(z))
    return {step.op for step in program.steps}


def test_every_operation_of_the_table_can_be_recorded_written_read_and_run():
    found, failed = set(), {}
    for expression in SPLIT:
        try:
            found |= used(expression)
        except ProgramError as error:
            failed[expression] = str(error)
    assert sorted(failed) == sorted(NOT_DATA), failed
    for kind in RIGHT.values():
        found |= {step.op for step in Program.trace(made(kind), 64, 4).steps}
    assert operations.ATEN_TABLE - found == ELSEWHERE


@pytest.mark.parametrize("name", sorted(operations.ATEN_TABLE))
def test_no_operation_of_the_table_draws_or_writes(name):
    func = operations.operation(name)
    assert not func._schema.is_mutable
    assert torch.Tag.nondeterministic_seeded not in func.tags
    assert torch.Tag.data_dependent_output not in func.tags
