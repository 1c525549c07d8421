"""A model as plain data: learners' ways of writing it are read, tricks are refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from vae_edu import models
from vae_edu.program import FactoredProgram, Program, ProgramError

PIXELS, LATENT = 12, 3


class Base(nn.Module):
    """The contract; the ways to write encoder and decoder are below."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.make()

    def make(self) -> None:
        self.body = nn.Linear(PIXELS, 8)
        self.mu, self.log_var = nn.Linear(8, LATENT), nn.Linear(8, LATENT)
        self.hidden, self.out = nn.Linear(LATENT, 8), nn.Linear(8, PIXELS)

    def encode(self, x):
        h = torch.tanh(self.body(x))
        return self.mu(h), self.log_var(h)

    def decode(self, z):
        return self.out(functional.relu(self.hidden(z)))

    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        z = mu + torch.exp(0.5 * log_var) * eps
        return self.decode(z), mu, log_var, z


class OneHead(Base):
    def make(self) -> None:
        self.encoder = nn.Sequential(
            nn.Linear(PIXELS, 8), nn.ReLU(inplace=True), nn.Linear(8, 2 * LATENT)
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, 8), nn.ELU(), nn.Dropout(0.2), nn.Linear(8, PIXELS)
        )

    def encode(self, x):
        return self.encoder(x).chunk(2, dim=-1)

    def decode(self, z):
        return self.decoder(z)


class Sliced(OneHead):
    def encode(self, x):
        both = self.encoder(x)
        return both[:, :LATENT], both[..., LATENT:].clamp(-8, 8)


class SplitLeaky(OneHead):
    def encode(self, x):
        h = self.encoder(x.view(x.size(0), -1))
        mu, log_var = torch.split(h, LATENT, dim=1)
        return mu, functional.leaky_relu(log_var, 0.2)

    def decode(self, z):
        flat = z.reshape(-1, z.shape[-1])
        return self.decoder(flat).reshape(*z.shape[:-1], PIXELS)


class ByHand(Base):
    """Parameters of one's own, operators, `.T`, a residual, and a reflected minus."""

    def make(self) -> None:
        self.w = nn.Parameter(torch.randn(8, PIXELS))
        self.b = nn.Parameter(torch.randn(8))
        self.v = nn.Parameter(torch.randn(LATENT, 8))
        self.u = nn.Parameter(torch.randn(PIXELS, LATENT))
        self.register_buffer("centre", torch.full((PIXELS,), 0.5))

    def encode(self, x):
        h = functional.softplus((x - self.centre) @ self.w.T + self.b)
        return (1 - h) @ self.v.t(), -(h / 2).matmul(self.v.mT) * 0.1

    def decode(self, z):
        return (z + z.sin() ** 2) @ self.u.T


class Normed(Base):
    def make(self) -> None:
        super().make()
        self.norm = nn.LayerNorm(8)

    def encode(self, x):
        h = functional.silu(self.norm(self.body(x)))
        return self.mu(h), self.log_var(h)


class Sampler(Base):
    """The noise put in through `torch.mul` and a standard deviation of its own."""

    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        std = log_var.mul(0.5).exp()
        z = torch.add(mu, torch.mul(eps, std))
        return self.decode(z), mu, log_var, z


WAYS = [Base, OneHead, Sliced, SplitLeaky, ByHand, Normed, Sampler]


def read_back(model: nn.Module) -> Program:
    program = Program.trace(model, PIXELS, LATENT)
    text = json.dumps(program.to_json())
    return Program.from_json(json.loads(text), program.weights)


@pytest.mark.parametrize("way", WAYS)
def test_a_learners_way_of_writing_is_read(way):
    model = way()
    program = read_back(model)
    model.eval()
    x, eps = torch.rand(6, PIXELS), torch.randn(4, 6, LATENT)
    for own, other in zip(program(x, eps), model(x, eps), strict=True):
        torch.testing.assert_close(own, other)
    torch.testing.assert_close(program(x, eps[0])[0], model(x, eps[0])[0])
    torch.testing.assert_close(program.encode(x)[0], model.encode(x)[0])


@pytest.mark.parametrize("way", [Base, OneHead, Normed, ByHand, SplitLeaky])
def test_a_last_linear_layer_is_found(way):
    model = way().eval()
    program = read_back(model)
    assert isinstance(program, FactoredProgram)
    x, eps = torch.rand(6, PIXELS), torch.randn(4, 6, LATENT)
    h, log_ratio = program.features(program.encode(x), eps)
    weight, bias = program.output_layer
    logits, mu, log_var, z = model(x, eps)
    torch.testing.assert_close(h @ weight.T + bias, logits)
    torch.testing.assert_close(log_ratio, models.log_ratio(z, mu, log_var))


def test_tracing_leaves_the_model_as_it_was():
    model = OneHead().train()
    before = copy.deepcopy(model.state_dict())
    Program.trace(model, PIXELS, LATENT)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


# --- what is not a VAE ------------------------------------------------------------


class SeesTheImage(Base):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits + 100 * (x - 0.5), mu, log_var, z


class SeesTheNoise(Base):
    def forward(self, x, eps):
        _, mu, log_var, z = super().forward(x, eps)
        return self.decode(z - eps), mu, log_var, z


class KnowsItsNoise(Base):
    """A code that is its mean exactly would have a density without bound."""

    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        z = mu + 0 * eps
        return self.decode(z), mu, log_var, z


class AveragesSamples(Base):
    """The mean of many codes is mu: the decoder would know the image's own code."""

    def decode(self, z):
        centre = torch.matmul(torch.full_like(z[..., :1, :1], 1.0), z[..., :1, :])
        return super().decode(centre)


class MixesCodes(Base):
    def decode(self, z):
        return super().decode(torch.cat([z[:1], z[:-1]]) if z.ndim == 3 else z)


class OwnNoise(Base):
    def forward(self, x, eps):
        return super().forward(x, torch.randn_like(eps))


class MuFromNoise(Base):
    def forward(self, x, eps):
        logits, _, log_var, z = super().forward(x, eps)
        return logits, z, log_var, z


class DependsOnTheBatch(Base):
    def decode(self, z):
        return super().decode(z * z.shape[-2] ** 0.5)


class Gone(Base):
    def forward(self, x, eps):
        return super().forward(x, eps)[:3]


class Fails(Base):
    def forward(self, x, eps):
        raise ValueError("a learner's own error")


TRICKS = [
    *(SeesTheImage, SeesTheNoise, KnowsItsNoise, AveragesSamples, MixesCodes),
    *(OwnNoise, MuFromNoise, DependsOnTheBatch, Gone, Fails),
]


@pytest.mark.parametrize("trick", TRICKS)
def test_what_is_no_vae_has_no_program(trick):
    with pytest.raises(ProgramError):
        Program.trace(trick(), PIXELS, LATENT)


# --- foreign descriptions ---------------------------------------------------------


OLD = Path(__file__).parent / "programs_of_the_first_form.json"


def old_program(way: type[Base]) -> tuple[dict, dict]:
    """A description as the first run folders have it, and its weights."""
    weights = {k: v.detach() for k, v in way().state_dict().items()}
    return json.loads(OLD.read_text())[way.__name__], weights


def described() -> tuple[dict, dict]:
    return old_program(Base)


@pytest.mark.parametrize("way", WAYS)
def test_a_program_of_the_first_form_is_still_read(way):
    model = way().eval()
    program = Program.from_json(*old_program(way))
    x, eps = torch.rand(6, PIXELS), torch.randn(4, 6, LATENT)
    for own, other in zip(program(x, eps), model(x, eps), strict=True):
        torch.testing.assert_close(own, other)
    assert isinstance(program, FactoredProgram) or way in (ByHand, SplitLeaky)


def decoder_sums_all_codes(d):
    """A program by hand: the code's own shapes, but for a sum over samples."""
    d["steps"].append(["matmul", [{"value": d["outputs"][0]}, 2.0], {}, [99]])
    d["outputs"][0] = 99


def sees_the_image(d):
    d["steps"].append(["add", [{"value": d["outputs"][0]}, {"value": 0}], {}, [99]])
    d["outputs"][0] = 99


def bomb(d):
    d["steps"].insert(0, ["expand", [{"value": 0}, 10**6, 3, PIXELS], {}, [99]])
    d["steps"].insert(1, ["exp", [{"value": 99}], {}, [98]])
    d["steps"].append(["add", [{"value": d["outputs"][1]}, {"value": 98}], {}, [97]])
    d["outputs"][1] = 97


FOREIGN = {
    "an unknown operation": lambda d: d["steps"][0].__setitem__(0, "save"),
    "a dunder": lambda d: d["steps"][0].__setitem__(0, "__import__"),
    "a value that comes later": lambda d: d["steps"].reverse(),
    "an unknown value": lambda d: d["outputs"].__setitem__(0, 77),
    "three outputs": lambda d: d["outputs"].pop(),
    "an unknown weight": lambda d: d["steps"][0][1].__setitem__(1, {"weight": "w"}),
    "a step without results": lambda d: d["steps"][0].pop(),
    "a value given twice": lambda d: d["steps"][1].__setitem__(3, d["steps"][0][3]),
    "no steps": lambda d: d.pop("steps"),
    "steps that are text": lambda d: d.__setitem__("steps", "linear"),
    "another latent size": lambda d: d.__setitem__("latent_dim", 5),
    "a negative size": lambda d: d.__setitem__("latent_dim", -1),
    "another image size": lambda d: d.__setitem__("input_dim", 10),
    "a million copies": bomb,
    "too many steps": lambda d: d.__setitem__("steps", d["steps"] * 1000),
    "a decoder that sees the image": sees_the_image,
    "a product with a number": decoder_sums_all_codes,
    "an unknown kind of argument": lambda d: d["steps"][0][1].append({"open": "x"}),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_description_is_refused(change):
    description, weights = described()
    change(description)
    with pytest.raises(ProgramError):
        Program.from_json(description, weights)


@pytest.mark.parametrize("description", [None, [], "x", 1, {}])
def test_what_is_no_description_is_refused(description):
    with pytest.raises(ProgramError):
        Program.from_json(description, {})


def test_a_decoder_that_mixes_codes_by_hand_cannot():
    """Even from a description of somebody's own, each code is decoded by itself."""
    description, weights = described()
    mixing = ["matmul", [{"weight": "ones"}, {"value": description["outputs"][3]}]]
    z, z_mixed = description["outputs"][3], 99
    for step in description["steps"]:
        if step[0] == "linear" and step[1][0] == {"value": z}:
            step[1][0] = {"value": z_mixed}
            first = description["steps"].index(step)
    description["steps"].insert(first, [*mixing, {}, [z_mixed]])
    weights["ones"] = torch.full((1, 1), 1.0)
    program = Program.from_json(description, weights)
    codes = torch.randn(4, 6, LATENT)
    together = program.decode(codes)
    alone = torch.stack([program.decode(code) for code in codes.flatten(0, 1)])
    torch.testing.assert_close(together.flatten(0, 1), alone)
