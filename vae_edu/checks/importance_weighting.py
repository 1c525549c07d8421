"""Lesson 09: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae_edu.checks.alternatives import add_signs
from vae_edu.checks.draw import Draw
from vae_edu.checks.law import FORM, LOOSE, Laws, Truth, compare
from vae_edu.checks.signs import Sign
from vae_edu.checks.standard import Case, Cases, add_standard, tried
from vae_edu.subject import Subject

LAWS = Laws("importance_weighting")
INF = float("inf")


# --- log_importance_weights -----------------------------------------------------------


def weighing(
    draw: Draw, num_samples: int, batch: int, inputs: int, latent: int
) -> tuple[Tensor, ...]:
    """x, logits, z, mu and log_var; z lies about as far from mu as a draw of q."""
    mu, log_var = draw.normal(batch, latent), draw.log_var(batch, latent)
    eps = draw.normal(num_samples, batch, latent)
    return (
        draw.bits(batch, inputs),
        draw.normal(num_samples, batch, inputs, scale=2.0),
        torch.addcmul(mu, (log_var / 2).exp(), eps),
        mu,
        log_var,
    )


def _weighing_plain(draw: Draw) -> Iterator[Case]:
    yield Case(weighing(draw, 6, 4, 5, 3), scale=30)
    yield Case(weighing(draw, 2, 3, 4, 5), scale=30, note="more latents than pixels")


def _weighing_shapes(draw: Draw) -> Iterator[Case]:
    for sizes, note in (
        ((6, 1, 5, 3), "a batch of one"),
        ((1, 4, 5, 3), "a single sample"),
        ((6, 4, 1, 3), "a single pixel"),
        ((6, 4, 5, 1), "one latent dimension"),
        ((1, 1, 1, 1), "one of everything"),
        ((3, 3, 3, 3), "all sizes equal"),
        ((4, 4, 5, 3), "as many samples as examples"),
        ((5, 3, 3, 3), "as many examples as pixels and latents"),
        ((draw.integer(101, 120), 2, 3, 2), "more than a hundred samples"),
        ((2, draw.integer(101, 120), 3, 2), "more than a hundred examples"),
    ):
        yield Case(weighing(draw, *sizes), scale=30, note=note)


def _weighing_extremes(draw: Draw) -> Iterator[Case]:
    x, logits, z, mu, log_var = weighing(draw, 6, 4, 5, 3)
    big = 1e3 * draw.sign(6, 4, 5).sign()
    yield Case((x, big, z, mu, log_var), scale=5e3, note="logits of ±1000")
    for size in (40.0, 120.0, 800.0):
        case = (x, big * (size / 1e3), z, mu, log_var)
        yield Case(case, scale=5 * size, note=f"logits of ±{size:g}")
    yield Case((x, logits, z, mu, log_var + 50), scale=200, note="a very wide q")
    # with a mean of 0 no digit of z - mu is lost, for everyone
    narrow = log_var - 50
    near = 2 * draw.sign(6, 4, 3) * (0.5 * narrow).exp()
    yield Case((x, logits, near, 0 * mu, narrow), scale=200, note="q nearly a point")
    yield Case((x, logits, z + 90, mu + 90, log_var), scale=5e4, note="far from 0")
    wide = weighing(draw, 2, 3, 784, 50)
    yield Case(wide, scale=5e3, note="as many pixels as MNIST has, 50 latents")


def _weighing_steep(draw: Draw) -> Iterator[Case]:
    x, logits, z, mu, log_var = weighing(draw, 6, 4, 5, 3)
    far = 1e3 * draw.sign(6, 4, 5).sign()
    yield Case((x, far, z, mu, log_var), note="logits of ±1000")
    yield Case((x, 0.05 * far, z, mu, log_var), note="logits of ±50")
    yield Case((x, logits, z, mu, log_var + 40), note="a very wide q")


# --- log-weights (num_samples, batch) -------------------------------------------------


def _log_weights_plain(draw: Draw) -> Iterator[Case]:
    yield Case((2 * draw.normal(6, 4) - 5,), scale=10)
    yield Case(
        (1.5 * draw.normal(3, 5) + 1,), scale=10, note="more examples than samples"
    )
    yield Case((draw.normal(4, 4),), scale=10, note="as many examples as samples")
    many = draw.integer(101, 140)
    yield Case((2 * draw.normal(many, 2) - 5,), scale=10, note=f"{many} samples")


def sizes_of(far: float, count: int) -> Tensor:
    """far, -far and 0 in turn."""
    return torch.tensor([far, -far, 0.0], dtype=torch.float64).repeat(count)[:count]


def _log_weights_extremes(draw: Draw, scale: float) -> Iterator[Case]:
    for far in (1e4, 400.0, 60.0):
        own = min(scale, far)
        for shift, words in ((-far, f"around {-far:g}"), (far, f"around {far:g}")):
            yield Case((2 * draw.normal(5, 4) + shift,), scale=own, note=words)
        mixed = 2 * draw.normal(6, 4) + sizes_of(far, 4)
        yield Case((mixed,), scale=own, note=f"examples of ±{far:g} and 0")
        within = 2 * draw.normal(6, 4) + sizes_of(far, 6)[:, None]
        yield Case((within,), scale=own, note=f"samples of ±{far:g} and 0")


def _bound_extremes(draw: Draw) -> Iterator[Case]:
    yield from _log_weights_extremes(draw, 1e4)


def _ratio_extremes(draw: Draw) -> Iterator[Case]:
    yield from _log_weights_extremes(draw, 1.0)


def _size_extremes(draw: Draw) -> Iterator[Case]:
    yield from _ratio_extremes(draw)
    level = draw.normal(4) * torch.tensor([1.0, 50.0, 400.0, 1e4], dtype=torch.float64)
    equal = level.expand(6, 4).clone()
    yield Case((equal,), note="equal weights")
    alone = equal.clone()
    alone[2] += 200
    yield Case((alone,), note="one weight dominates")


def _log_weights_steep(draw: Draw) -> Iterator[Case]:
    yield Case((2 * draw.normal(5, 4) + sizes_of(1e4, 4),), note="±10,000 and 0")
    within = 2 * draw.normal(4, 3) + sizes_of(300.0, 4)[:, None]
    yield Case((within,), note="samples of ±300 and 0")


# The first sample is never one of them: adding -inf to -inf, one after the other, gives
# the right value. Column 3 has none.
HOLES = [(1, 0), (3, 0), (5, 1), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2)]


def holed(log_weights: Tensor) -> Tensor:
    """The same (6, 4) log-weights, some of them -inf."""
    changed = log_weights.clone()
    for row, column in HOLES:
        changed[row, column] = -INF
    return changed


def _log_weights_with_holes(draw: Draw) -> Iterator[Case]:
    yield Case((holed(draw.normal(6, 4)),), note="some are -inf")


# --- active_units ---------------------------------------------------------------------


def codes(draw: Draw, batch: int, variances: tuple[float, ...]) -> Tensor:
    """Means (batch, latent) with exactly these variances (with 1 / batch)."""
    raw = draw.normal(batch, len(variances))
    centred = raw - raw.mean(0)
    unit = centred / centred.square().mean(0).sqrt()
    return unit * torch.tensor(variances, dtype=torch.float64).sqrt()


# The threshold is 0.01. Some cross it under a nearby mistake: divided by n - 1,
# compared as a standard deviation or as the widest distance.
VARIANCES = (0.5, 0.0096, 0.0104, 2e-4, 3.0, 0.002, 0.04, 6e-5, 1.2e-4, 0.00105, 1.1)


def _codes_plain(draw: Draw) -> Iterator[Case]:
    yield Case((codes(draw, 9, VARIANCES),), note="centred means")
    shifted = codes(draw, 5, VARIANCES) + draw.normal(len(VARIANCES))
    yield Case((shifted,), note="means away from 0")
    yield Case((codes(draw, 12, (0.05, 1e-6)) + 3.0,), note="two latents")
    yield Case((codes(draw, 8, (0.0, 0.0, 0.3)),), note="two means never move")


def _codes_shapes(draw: Draw) -> Iterator[Case]:
    yield Case((codes(draw, 6, (0.3,)),), note="one latent, active")
    yield Case((codes(draw, 6, (0.003,)) + 1,), note="one latent, not active")
    yield Case((codes(draw, 2, (0.3, 0.002, 0.0104)),), note="two images")
    yield Case((draw.normal(1, 4),), note="one image: its mean does not vary")
    yield Case((codes(draw, 4, (0.02, 0.004, 1.0, 0.001)),), note="both sizes equal")
    many = codes(draw, 300, (0.011, 0.009, 0.4)).sort(0).values
    yield Case((many,), note="many images")


def _codes_close(draw: Draw) -> Iterator[Case]:
    above = tuple(0.01 * (1 + 1e-9 * (-1) ** i) for i in range(10))
    yield Case((codes(draw, 9, above),), note="variances within 1e-11 of 0.01")


CASES = {
    c.exercise: c
    for c in (
        Cases(
            "log_importance_weights",
            ("x", "logits", "z", "mu", "log_var"),
            _weighing_plain,
            extremes=_weighing_extremes,
            gradients=("logits", "z", "mu", "log_var"),
            steep=_weighing_steep,
        ),
        Cases(
            "iwae_bound",
            ("log_weights",),
            _log_weights_plain,
            extremes=_bound_extremes,
            gradients=("log_weights",),
            steep=_log_weights_steep,
            delicate=_log_weights_with_holes,
        ),
        Cases(
            "normalized_weights",
            ("log_weights",),
            _log_weights_plain,
            extremes=_ratio_extremes,
            gradients=("log_weights",),
            steep=_log_weights_steep,
            delicate=_log_weights_with_holes,
            # a sum of ±1e4, taken in logs, has three digits after the point there
            float32_extremes=False,
        ),
        Cases(
            "effective_sample_size",
            ("log_weights",),
            _log_weights_plain,
            extremes=_size_extremes,
            gradients=("log_weights",),
            steep=_log_weights_steep,
            delicate=_log_weights_with_holes,
            float32_extremes=False,
        ),
        Cases("active_units", ("mu",), _codes_plain),
    )
}
for _cases in CASES.values():
    add_standard(LAWS, _cases)


# --- laws of this lesson --------------------------------------------------------------


def expect(subject: Subject, truth: Truth, exercise: str, case: Case) -> None:
    """The value of one case, loosely: for laws that are not about the last digits."""
    compare(
        subject.call(exercise, *case.args),
        truth(exercise, *case.args),
        what=tried(CASES[exercise], case),
        scale=case.scale,
        rtol=LOOSE,
    )


@LAWS.law("log_importance_weights", "sizes", "any sizes work, 1 and equal ones as well")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _weighing_shapes(draw):
        expect(subject, truth, "log_importance_weights", case)


@LAWS.law("active_units", "sizes", "any sizes work, 1 and equal ones as well")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _codes_shapes(draw):
        expect(subject, truth, "active_units", case)


@LAWS.law("active_units", "close", "the variance is exact in float64", role=FORM)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _codes_close(draw):
        expect(subject, truth, "active_units", case)


SINGLE = "a single sample or a single example keeps its dimension"
SOME = "a log-weight of -inf is a weight of 0, and a sample like any other"


def _single(subject: Subject, truth: Truth, draw: Draw, exercise: str) -> None:
    for shape in ((1, 4), (6, 1), (1, 1)):
        expect(subject, truth, exercise, Case((2 * draw.normal(*shape) - 5,)))


def _zero_weights(subject: Subject, truth: Truth, draw: Draw, exercise: str) -> None:
    case = Case((holed(2 * draw.normal(6, 4)),), note="some are -inf")
    expect(subject, truth, exercise, case)


@LAWS.law("iwae_bound", "single", SINGLE)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _single(subject, truth, draw, "iwae_bound")


@LAWS.law("iwae_bound", "zero weights", SOME)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _zero_weights(subject, truth, draw, "iwae_bound")


@LAWS.law("normalized_weights", "single", SINGLE)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _single(subject, truth, draw, "normalized_weights")


@LAWS.law("normalized_weights", "zero weights", SOME)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    log_weights = holed(2 * draw.normal(6, 4))
    # compared relative to itself: 0 is 0, and a small weight has all its digits
    case = Case((log_weights,), scale=1e-300, note="some are -inf")
    expect(subject, truth, "normalized_weights", case)


@LAWS.law("effective_sample_size", "single", SINGLE)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _single(subject, truth, draw, "effective_sample_size")


@LAWS.law("effective_sample_size", "zero weights", SOME)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _zero_weights(subject, truth, draw, "effective_sample_size")


@LAWS.law("iwae_bound", "impossible x", "all weights 0: log p(x) is estimated as -inf")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    log_weights = 2 * draw.normal(5, 3)
    log_weights[:, 1] = -INF
    case = Case((log_weights,), note="all log-weights of one example are -inf")
    expect(subject, truth, "iwae_bound", case)


# --- what a broken active_units looks at ----------------------------------------------

_PATTERN = (-1.1, -0.7, -0.2, 0.1, 0.3, 0.4, 0.5, 2.1)  # times a size, plus half of it
_LADDER = 4000
_MEASURES: tuple[tuple[str, str, Callable[[Tensor], Tensor], float], ...] = (
    (
        "The variance with n - 1",
        "torch's var divides by n - 1 unless told otherwise. The definition is a mean "
        "over the n images.",
        lambda mu: mu.var(0),
        0.01,
    ),
    (
        "The standard deviation is compared",
        "0.01 is a threshold for variances; for standard deviations it would be 0.1.",
        lambda mu: mu.std(0, correction=0),
        0.01,
    ),
    (
        "The standard deviation is compared",
        "0.01 is a threshold for variances, and this one is divided by n - 1, too.",
        lambda mu: mu.std(0),
        0.01,
    ),
    (
        "The widest distance is compared with the threshold of a variance",
        "A distance is in the unit of mu, a variance in its square, and one odd image "
        "decides alone.",
        lambda mu: mu.amax(0) - mu.amin(0),
        0.01,
    ),
    (
        "The size of the means, not their variation",
        "A mean that is 3 for every image tells nothing about the image.",
        lambda mu: mu.square().mean(0),
        0.01,
    ),
    (
        "The average of the means, not their variation",
        "A mean that is 3 for every image tells nothing about the image.",
        lambda mu: mu.mean(0).abs(),
        0.01,
    ),
    (
        "The mean distance from the average is compared",
        "Distances have the unit of mu. The definition squares them, then averages.",
        lambda mu: (mu - mu.mean(0)).abs().mean(0),
        0.01,
    ),
    (
        "The sum of squares, not their mean",
        "With twice as many images it would be twice as large. What is the 1/n for?",
        lambda mu: (mu - mu.mean(0)).square().sum(0),
        0.01,
    ),
    ("The threshold is 0.1", "10 to the -2 is 0.01.", lambda mu: _spread(mu), 0.1),
    ("The threshold is 0.001", "10 to the -2 is 0.01.", lambda mu: _spread(mu), 0.001),
    ("The threshold is 0.0001", "10 to the -2 is 0.01.", lambda mu: _spread(mu), 1e-4),
)


def _spread(mu: Tensor) -> Tensor:
    return torch.var_mean(mu, 0, correction=0)[0]


@LAWS.examination("active_units")
def _(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    found = add_signs(CASES["active_units"])(subject, truth, draw)
    return found or _measured(subject)


def _measured(subject: Subject) -> Sign | None:
    """Which number crosses which threshold: latents of all sizes are asked about."""
    pattern = torch.tensor(_PATTERN, dtype=torch.float64) + 0.5
    mu = pattern[:, None] * torch.logspace(-5, 2, _LADDER, dtype=torch.float64)
    got = subject.call("active_units", mu)
    if not isinstance(got, Tensor) or got.shape != mu.shape[1:]:
        return None
    first = int((got != 0).double().argmax())
    if first == 0 or bool(got[:first].any()) or not bool((got[first:] == 1).all()):
        return None
    for name, sentence, measure, threshold in _MEASURES:
        below, above = measure(mu[:, first - 1 : first + 1]).tolist()
        if below <= threshold < above:
            return Sign(_label(name), name, sentence)
    return None


def _label(name: str) -> str:
    return "-".join(name.lower().replace(",", "").replace(".", "-").split())
