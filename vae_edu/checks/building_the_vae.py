"""Lesson 07: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import (
    LOOSE,
    VALUE,
    Broken,
    Laws,
    Truth,
    compare,
    expect_like,
)
from vae_edu.checks.modules import (
    Method,
    ModuleCases,
    Sizes,
    add_module_laws,
    expect_shapes,
    ignored_input,
    renew,
    shape_of,
    weights_of,
)
from vae_edu.checks.signs import Sign, of_range, sign
from vae_edu.checks.standard import Case, Cases, add_standard, instead, tried
from vae_edu.checks.vae_signs import clamped_spread, examine
from vae_edu.subject import Module, Subject

LAWS = Laws("building_the_vae")


@dataclass(frozen=True)
class Images(Method):
    """A method whose first argument is images: values in [0, 1], twice them too."""

    def inputs(self, draw: Draw, sizes: Sizes) -> tuple[Tensor, ...]:
        """Images below one half, and ordinary other inputs."""
        first, *others = (shape_of(words, sizes) for words in self.takes.values())
        images = draw.uniform(*first, low=0.02, high=0.48)
        return (images, *(draw.normal(*shape) for shape in others))


_X = {"x": "batch input_dim"}
_HEADS = ("batch latent_dim", "batch latent_dim")
_EPS = "batch latent_dim"
_SAMPLES = "num_samples batch"

ENCODER = ModuleCases(
    "Encoder",
    ("input_dim", "hidden_dim", "latent_dim"),
    (Images("", _X, _HEADS, ("mu", "log_var")),),
    curved=("",),
)
DECODER = ModuleCases(
    "Decoder",
    ("latent_dim", "hidden_dim", "input_dim"),
    (
        Method("", {"z": "batch latent_dim"}, "batch input_dim"),
        Method("", {"z": f"{_SAMPLES} latent_dim"}, f"{_SAMPLES} input_dim"),
    ),
    curved=("",),
)
VAE = ModuleCases(
    "VAE",
    ("input_dim", "hidden_dim", "latent_dim"),
    (
        Images(
            "",
            {**_X, "eps": _EPS},
            ("batch input_dim", *_HEADS, _EPS),
            ("logits", "mu", "log_var", "z"),
        ),
        Images(
            "",
            {**_X, "eps": f"{_SAMPLES} latent_dim"},
            (f"{_SAMPLES} input_dim", *_HEADS, f"{_SAMPLES} latent_dim"),
        ),
        Method("sample", {"z": "batch latent_dim"}, "batch input_dim"),
    ),
    curved=("", "sample"),
    wide=("sample",),  # the encoder has a law of its own
    differentiable=("x", "z"),  # nobody asks for a gradient in eps
)
for _modules in (ENCODER, DECODER, VAE):
    add_module_laws(LAWS, _modules)


def forward(
    cases: ModuleCases, module: Module, sizes: Sizes, draw: Draw, place: int = 0
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The arguments and the parts of one call of a module, their shapes as promised."""
    method = cases.methods[place]
    args = method.inputs(draw, sizes)
    value = module.call(*args, method=method.name)
    expect_shapes(cases, method, value, sizes)
    return args, value if isinstance(value, tuple) else (value,)


# --- the two heads --------------------------------------------------------------------


@LAWS.law("Encoder", "from the start", "mu and log_var depend on x when just built")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_dependence(ENCODER, subject, draw, {"mu": 0, "log_var": 1})


@LAWS.law("VAE", "from the start", "mu and log_var depend on x when just built")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_dependence(VAE, subject, draw, {"mu": 1, "log_var": 2})


def _expect_dependence(
    cases: ModuleCases, subject: Subject, draw: Draw, names: dict[str, int]
) -> None:
    sizes = {**cases.sizes[0], "batch": 32}
    module = cases.build(subject, sizes).to(dtype="float64").train(False)
    _, parts = forward(cases, module, sizes, draw)
    for name, place in names.items():
        spread = parts[place].amax(0) - parts[place].amin(0)
        if not bool((spread > 0).all()):
            raise Broken(
                f"{cases.tried(sizes)}, just built: a column of {name} is the same "
                f"number for {sizes['batch']} different images. A head whose weights "
                "start at zero, a parameter without x, or something behind the head "
                "that cuts every value off (a relu) tells nothing about x.",
                "value",
                sign=_sign_of_constant(cases, module, sizes, draw, name, place),
            )


def _sign_of_constant(
    cases: ModuleCases,
    module: Module,
    sizes: Sizes,
    draw: Draw,
    name: str,
    place: int,
) -> Sign:
    """Whether a head depends on x with other weights than it starts with."""
    renew(module, draw)
    _, parts = forward(cases, module, sizes, draw)
    spread = parts[place].amax(0) - parts[place].amin(0)
    return sign("head-starts-at-zero" if spread.any() else "log-var-without-x", name)


@LAWS.law("Encoder", "own columns", "each latent has a mu and a log_var of its own")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_own_columns(ENCODER, subject, draw, 0)


@LAWS.law("VAE", "own columns", "each latent has a mu and a log_var of its own")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_own_columns(VAE, subject, draw, 1)


def _expect_own_columns(
    cases: ModuleCases, subject: Subject, draw: Draw, first: int
) -> None:
    """No column of mu and log_var is a multiple of another, up to a constant."""
    sizes = {**cases.sizes[0], "batch": 32}
    for _ in range(3):
        module = cases.ready(subject, sizes, draw)
        _, parts = forward(cases, module, sizes, draw)
        columns = torch.cat(parts[first : first + 2], -1).to(torch.float64)
        columns = columns - columns.mean(0)
        columns = columns / columns.norm(dim=0).clamp(min=1e-30)
        alike = (columns.T @ columns).fill_diagonal_(0).abs()
        if float(alike.max()) < 1 - 1e-9:
            return
    one = bool((alike[-2:, -2:].fill_diagonal_(1) > 1 - 1e-9).all())
    raise Broken(
        f"{cases.tried(sizes)}: for {sizes['batch']} images, two of the "
        f"{2 * sizes['latent_dim']} columns of mu and log_var move in step, as if one "
        "head served for both. Mean and spread are different questions about x.",
        "value",
        sign=sign("one-log-var" if one else "one-head"),
    )


# --- the whole real line --------------------------------------------------------------


@LAWS.law("Encoder", "unbounded", "mu and log_var may be any real number")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_unbounded(ENCODER, subject, draw, {"mu": 0, "log_var": 1})


@LAWS.law("Decoder", "unbounded", "logits may be any real number")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_unbounded(DECODER, subject, draw, {"the logits": 0})


def _expect_unbounded(
    cases: ModuleCases, subject: Subject, draw: Draw, names: dict[str, int]
) -> None:
    """With weights of 1e4 every output goes beyond 1e3 on both sides."""
    sizes = {**cases.sizes[0], "batch": 16}
    module = cases.ready(subject, sizes, draw)
    weights = weights_of(module, draw)
    seen: list[list[Tensor]] = [[] for _ in names]
    for _ in range(4):
        drawn = weights.drawn(draw)
        module.load(weights.having({n: 1e4 * v for n, v in drawn.items()}))
        _, parts = forward(cases, module, sizes, draw)
        for kept, place in zip(seen, names.values(), strict=True):
            kept.append(parts[place].flatten())
    for name, kept in zip(names, seen, strict=True):
        values = torch.cat(kept)
        low, high = _range(values)
        if not (low < -1e3 and high > 1e3):
            usual = _usual(cases, subject, draw, names[name])
            words = f"{cases.tried(sizes)}: with weights of about 1e4, values of {name}"
            large = values.reshape(-1, usual.shape[-1])
            raise _bounded(words, low, high, of_range(usual, large, name))


def _range(values: Tensor) -> tuple[float, float]:
    """The smallest and the largest number; zeros where there is none."""
    known = values[~torch.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def _bounded(what: str, low: float, high: float, found: Sign | None) -> Broken:
    return Broken(
        f"{what} stay between {low:.4g} and {high:.4g}. Any real value should be "
        "possible: nothing after the last layer (no relu, sigmoid, tanh, softplus, "
        "clamp).",
        "value",
        sign=found,
    )


def _usual(cases: ModuleCases, subject: Subject, draw: Draw, place: int) -> Tensor:
    """Values of one result, (n, features), under weights of the usual size."""
    sizes, seen = {**cases.sizes[0], "batch": 16}, []
    for _ in range(4):
        module = cases.ready(subject, sizes, draw)
        seen.append(forward(cases, module, sizes, draw)[1][place])
    return torch.cat(seen).to(torch.float64)


# a constant or a cut output breaks laws of gradients and digits too: these say why
LAWS.early("Encoder", ("from the start", "unbounded"), before="parameter gradients")
LAWS.early("Decoder", ("unbounded",), before="parameter gradients")


# --- VAE ------------------------------------------------------------------------------


@LAWS.law("VAE", "encoder width", "hidden_dim sets the width of the encoder too")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    counts = []
    for hidden in (8, 16):
        sizes = {**VAE.sizes[0], "hidden_dim": hidden}
        module = VAE.ready(subject, sizes, draw)
        args, (_, mu, log_var, _) = forward(VAE, module, sizes, draw)
        nothing = torch.empty(0)  # fits no part: only mu and log_var are pulled at
        pull = [nothing, draw.sign(*mu.shape), draw.sign(*log_var.shape), nothing]
        grads = module.vjp(args, (), pull).state_grads
        counts.append(sum(g.numel() for g in grads.values() if g is not None))
    if counts[0] and not counts[1] > counts[0]:  # the laws of gradients see a 0
        raise Broken(
            f"{VAE.exercise}: behind mu and log_var there are {counts[1]} trainable "
            f"parameters, with hidden_dim = 8 there are {counts[0]}: the number should "
            "grow with hidden_dim.",
            "value",
            sign=sign("width-written", "mu and log_var"),
        )


@LAWS.law(
    "VAE",
    "spread",
    "z is mu where eps is 0, and eps counts standard deviations",
    role=VALUE,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for sizes in VAE.sizes[:3]:
        module = VAE.ready(subject, sizes, draw)
        (x, eps), _ = forward(VAE, module, sizes, draw)
        what = f"in {VAE.tried(sizes, VAE.method(''))}, z"
        _, mu, log_var, z = module.call(x, torch.zeros_like(eps))
        compare(z, mu, what=f"{what} for eps = 0", rtol=1e-12)
        for size in (1.0, 3.0):
            eps = size * draw.sign(*eps.shape)  # none near 0
            z = module.call(x, eps)[3]
            # the variance that was used, from z: only 1 and 3 times sigma away
            used = _positive((z - mu) / eps, what).log() * 2
            words = f"{what}: twice the log of (z - mu) / eps, beside log_var,"
            compare(used, log_var, what=words, rtol=1e-9)


def _positive(sigma: Tensor, what: str) -> Tensor:
    """The standard deviations that z shows; `Broken` where they are none."""
    if bool((sigma <= 0).any()):
        raise Broken(
            f"{what}: (z - mu) / eps is a standard deviation, and should be positive; "
            f"the smallest is {float(sigma.min()):.6g}.",
            "value",
        )
    return sigma


@LAWS.law("VAE", "samples", "eps[s] gives the s-th sample, for one x and one q(z|x)")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for samples, batch, latent in ((4, 5, 3), (3, 3, 3), (1, 4, 2), (2, 1, 5)):
        sizes = {**VAE.sizes[0], "batch": batch, "latent_dim": latent}
        sizes["num_samples"] = samples
        module = VAE.ready(subject, sizes, draw)
        (x, eps), parts = forward(VAE, module, sizes, draw, 1)
        logits, mu, log_var, z = parts
        for s in range(samples):
            got = (logits[s], mu, log_var, z[s])
            what = f"sample {s} of {VAE.tried(sizes, VAE.methods[1])}"
            _agree(got, module.call(x, eps[s]), what)


@LAWS.law(
    "VAE",
    "sample",
    "sample(z) is the probability that the logits at z stand for",
    role=VALUE,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for sizes in VAE.sizes[:3]:
        module = VAE.ready(subject, sizes, draw)
        _, parts = forward(VAE, module, sizes, draw)
        forward(VAE, module, sizes, draw)  # other images in between
        logits, z = parts[0], parts[3]
        what = VAE.tried(sizes, VAE.method("sample"))
        chance = module.call(z, method="sample")
        expect_like(chance, logits, what)
        if not bool(((chance >= 0) & (chance <= 1)).all()):
            raise Broken(f"{what} is not a probability: some are not in [0, 1].")
        words = f"the log-odds of {what}, beside the logits of forward for the same z,"
        near = logits.abs() < 12  # further out the odds are rounded away
        compare(torch.logit(chance[near]), logits[near], what=words, rtol=LOOSE)


@LAWS.law("VAE", "unbounded", "logits, mu and log_var may be any real number")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    x, eps = VAE.methods[0].inputs(draw, VAE.sizes[0])
    goals = ("mu", 1, 50.0), ("log_var", 2, 50.0), ("logits", 0, 3e2)
    for name, place, goal in goals:

        def size(module: Module, place: int = place) -> float:
            return float(module.call(x, 0 * eps)[place].abs().max())

        low, high = 0.0, 0.0
        for _ in range(8):
            module = _grown(subject, draw, size, 1.5 * goal, decoder_only=place == 0)
            part = module.call(x, 0 * eps)[place]
            low, high = min(low, float(part.min())), max(high, float(part.max()))
            if low < -goal and high > goal:
                break
        else:
            words = f"{VAE.exercise}: with small weights and large ones, {name}"
            found = of_range(_usual(VAE, subject, draw, place), part, name)
            raise _bounded(words, low, high, found)


def _grown(
    subject: Subject,
    draw: Draw,
    size: Callable[[Module], float],
    goal: float,
    *,
    decoder_only: bool = False,
) -> Module:
    """A VAE whose weights were scaled until `size` of it is near a goal, not beyond."""
    sizes = VAE.sizes[0]
    module = VAE.ready(subject, sizes, draw)
    weights = weights_of(module, draw)
    drawn = weights.drawn(draw)
    scaled = {*drawn}
    if decoder_only:
        args, pull = VAE.methods[2].inputs(draw, sizes), draw.sign(5, 6)
        grads = module.vjp(args, (), [pull], method="sample").state_grads
        scaled = {name for name, grad in grads.items() if grad is not None} or scaled

    def below(factor: float) -> bool:
        made = {n: factor * v if n in scaled else v for n, v in drawn.items()}
        module.load(weights.having(made))
        return size(module) < goal

    # in small steps from below: far beyond the goal exp(log_var) overflows
    low, high = 0.5, 0.5
    while high < 1e3 and below(high):
        low, high = high, 1.5 * high
    for _ in range(4):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if below(middle) else (low, middle)
    below(low)
    return module


@LAWS.law("VAE", "sure decoder", "sample is a probability where the logits are ±1000")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    x, eps = VAE.methods[0].inputs(draw, VAE.sizes[0])

    def largest(module: Module) -> float:
        return float(module.call(x, 0 * eps)[0].max())

    for _ in range(4):
        module = _grown(subject, draw, largest, 1e3, decoder_only=True)
        logits, _, _, z = module.call(x, 0 * eps)
        chance = module.call(z, method="sample")
        expect_like(chance, logits, "sample(z)")
        sure = (logits.abs() > 30) & (logits.abs() <= 1e3)
        what = "sample(z), where forward's logits at z are beyond ±30,"
        with instead(sign("sigmoid-overflows")):
            compare(chance[sure], 1.0 * (logits[sure] > 0), what=what, rtol=1e-9)


@LAWS.law("VAE", "wide and narrow", "z follows log_var where it is as large as ±40")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    x, eps = VAE.methods[0].inputs(draw, VAE.sizes[0])
    eps = draw.sign(*eps.shape)

    def widest(module: Module) -> float:
        return float(module.call(x, eps)[2].abs().max())

    for _ in range(3):
        module = _grown(subject, draw, widest, 40.0)
        _, mu, log_var, z = module.call(x, eps)
        used = ((z - mu) / eps).log() * 2
        what = "with large weights, twice the log of (z - mu) / eps, beside log_var,"
        with instead(clamped_spread(used, log_var)):
            compare(used, log_var, what=what, rtol=1e-3)


def _agree(got: Sequence[Tensor] | Tensor, expected: object, what: str) -> None:
    parts = expected if isinstance(expected, tuple) else (expected,)
    largest = max(float(p.abs().max()) for p in parts)
    compare(got, expected, what=what, scale=max(1.0, largest), rtol=LOOSE)


@LAWS.examination("VAE")
def _examine(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    return examine(VAE, subject, draw)


@LAWS.examination("Decoder")
def _ignores(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    return ignored_input(DECODER, subject, draw)


# --- negative_elbo --------------------------------------------------------------------


def _grey(draw: Draw, *shape: int) -> Tensor:
    return draw.uniform(*shape, low=0.05, high=0.95)


def _four(draw: Draw, batch: int, pixels: int, latent: int) -> tuple[Tensor, ...]:
    return (
        _grey(draw, batch, pixels),
        draw.normal(batch, pixels, scale=2.0),
        draw.normal(batch, latent),
        draw.log_var(batch, latent),
    )


def _loss_plain(draw: Draw) -> Iterator[Case]:
    yield Case((*_four(draw, 4, 6, 3), 0.3), scale=20, note="grey x")
    _, *rest = _four(draw, 5, 4, 2)
    yield Case((draw.bits(5, 4), *rest), scale=20, note="binary x, beta left out")
    yield Case((*_four(draw, 3, 5, 7), 4.0), scale=60, note="more latents than pixels")


def _loss_sizes(draw: Draw) -> Iterator[Case]:
    for batch, pixels, latent, beta, note in (
        (1, 6, 3, 0.7, "a batch of one"),
        (4, 1, 3, 0.7, "a single pixel"),
        (4, 6, 1, 0.7, "a single latent"),
        (1, 1, 1, 0.7, "one of everything"),
        (4, 4, 4, 0.7, "all sizes equal"),
        (4, 6, 3, 2, "beta is an int"),
        (4, 6, 3, 0.0, "beta is 0"),
        (4, 6, 3, 25.0, "a large beta"),
        (2, 784, 20, 1.0, "as many pixels as MNIST has"),
        (draw.integer(101, 140), 2, 1, 0.7, "a batch of more than a hundred"),
    ):
        scale = 2e3 if pixels > 100 else 20 * max(1, beta)
        yield Case((*_four(draw, batch, pixels, latent), beta), scale=scale, note=note)
    x, logits, mu, log_var = _four(draw, 3, 8, 4)
    prior = (x, logits, 0 * mu, 0 * log_var)
    yield Case(prior, scale=20, note="q is the prior, beta left out")
    coin = (x, 0 * logits, 0 * mu, 0 * log_var)
    yield Case(coin, scale=20, note="a network of zeros, beta left out")


def _rows(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _far(draw: Draw, size: float = 1e3) -> tuple[Tensor, Tensor]:
    """(4, 4): x = 0, 1 and grey meet logits of -size, of size and between."""
    x = _rows((0, 0, 1, 1), (1, 0, 0, 1), (0, 1, 0, 1), (0, 0, 1, 1))
    x[3] = _grey(draw, 4)
    side = _rows((-1, 1, -1, 0), (1, -1, 0, -1), (1, 1, -1, 1), (-1, 1, 0, -1))
    return x, size * side + draw.normal(4, 4) * (side == 0)


def _loss_extremes(draw: Draw) -> Iterator[Case]:
    for size in (1e3, 100.0, 40.0, 20.0):
        case = (*_far(draw, size), draw.normal(4, 3), draw.log_var(4, 3), 0.5)
        yield Case(case, scale=4 * size, note=f"logits of ±{size:g}")
    for grey, side, note in ((0.0, -1, "all paper"), (1.0, 1, "all ink")):
        at = torch.full((4, 4), grey, dtype=torch.float64)
        sure = side * 1e3 * torch.ones_like(at)
        yield Case(
            (at, sure, draw.normal(4, 3), draw.log_var(4, 3)),
            scale=10,
            note=f"{note}, and the decoder is sure of it",
        )
    for shift, scale, note in (
        (-55, 200.0, "tiny variances"),
        (12, 1e6, "large variances"),
        (55, 1e26, "enormous variances"),
    ):
        x, logits, mu, log_var = _four(draw, 4, 6, 3)
        yield Case((x, logits, mu, log_var + shift, 0.5), scale=scale, note=note)


def _loss_steep(draw: Draw) -> Iterator[Case]:
    for size in (1e3, 40.0):
        case = (*_far(draw, size), draw.normal(4, 3), draw.log_var(4, 3), 0.5)
        yield Case(case, scale=1, note=f"logits of ±{size:g}")
    x, logits, mu, log_var = _four(draw, 4, 6, 3)
    yield Case((x, logits, mu, log_var - 30, 0.5), scale=1, note="tiny variances")
    yield Case((x, logits, mu, log_var + 20, 0.5), scale=1e9, note="large variances")


# --- head_gradients -------------------------------------------------------------------


def _pull(draw: Draw, *shape: int) -> tuple[Tensor, ...]:
    return (
        draw.normal(*shape, scale=2.0),
        draw.normal(*shape),
        draw.log_var(*shape),
        draw.normal(*shape),
    )


def _heads_plain(draw: Draw) -> Iterator[Case]:
    yield Case((*_pull(draw, 4, 3), 0.3), scale=10)
    yield Case(_pull(draw, 2, 5), scale=10, note="beta left out")
    yield Case((*_pull(draw, 3, 3), 4.0), scale=20, note="a large beta")


def _heads_sizes(draw: Draw) -> Iterator[Case]:
    yield Case((*_pull(draw, 1, 3), 0.7), scale=10, note="a batch of one")
    yield Case((*_pull(draw, 4, 1), 0.7), scale=10, note="one latent")
    yield Case((*_pull(draw, 4, 3), 2), scale=20, note="beta is an int")
    yield Case((*_pull(draw, 4, 3), 0.0), scale=10, note="beta is 0")
    many = draw.integer(101, 140)
    yield Case((*_pull(draw, many, 2), 0.7), scale=10, note=f"{many} examples")
    grad_z, mu, log_var, eps = _pull(draw, 4, 3)
    yield Case((0 * grad_z, mu, log_var, eps), scale=10, note="a deaf decoder")
    yield Case((grad_z, mu, log_var, 0 * eps), scale=10, note="no noise")


def _heads_extremes(draw: Draw) -> Iterator[Case]:
    for shift, scale, note in (
        (-55, 10.0, "tiny variances"),
        (12, 1e6, "large variances"),
        (55, 1e26, "enormous variances"),
    ):
        grad_z, mu, log_var, eps = _pull(draw, 4, 3)
        args = (grad_z, mu, log_var + shift, eps, 0.5)
        yield Case(args, scale=scale, note=note)


CASES = {
    c.exercise: c
    for c in (
        Cases(
            "negative_elbo",
            ("x", "logits", "mu", "log_var", "beta"),
            _loss_plain,
            _loss_sizes,
            _loss_extremes,
            gradients=("logits", "mu", "log_var"),
            steep=_loss_steep,
        ),
        Cases(
            "head_gradients",
            ("grad_z", "mu", "log_var", "eps", "beta"),
            _heads_plain,
            _heads_sizes,
            _heads_extremes,
        ),
    )
}
for _cases in CASES.values():
    add_standard(LAWS, _cases)


@LAWS.law(
    "head_gradients",
    "callers' tensors",
    "inputs that require a gradient are left as they are",
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    cases = CASES["head_gradients"]
    for wrt, upstream, note in (
        ((), False, "nothing requires a gradient"),
        ((1, 2), False, "mu and log_var require a gradient"),
        ((1, 2), True, "mu and log_var come from an encoder"),
    ):
        case = Case(_pull(draw, 4, 3), note=note)
        answer = subject.ask_requiring(
            cases.exercise, case.args, wrt, upstream=upstream
        )
        if answer.left_grad or answer.switched:
            what = "a .grad" if answer.left_grad else "another requires_grad"
            raise Broken(
                f"{tried(cases, case)} left {what} on its inputs, which belong to the "
                "caller. The formulas by hand need no autograd at all.",
                "left grad",
                sign=sign("grad-left"),
            )
        expected = truth(cases.exercise, *case.args)
        compare(answer.value, expected, what=tried(cases, case), rtol=LOOSE, scale=10)
