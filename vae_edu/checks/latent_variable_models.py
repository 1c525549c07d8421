"""Lesson 02: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, Laws, Truth, compare
from vae_edu.checks.signs import of_infinities
from vae_edu.checks.standard import Case, Cases, add_standard, instead, tried
from vae_edu.subject import Subject

LAWS = Laws("latent_variable_models")
INF = float("inf")


# --- gaussian_log_prob ----------------------------------------------------------------


def _density(
    draw: Draw, x: tuple[int, ...], mean: tuple[int, ...], log_var: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    return 2 * draw.normal(*x), draw.normal(*mean), draw.log_var(*log_var)


def _density_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_density(draw, (4, 3), (4, 3), (4, 3)), scale=30)
    yield Case(_density(draw, (2, 5), (2, 5), ()), scale=30, note="one log_var for all")


def _density_leading(draw: Draw) -> Iterator[Case]:
    for x, mean, log_var, note in (
        ((5,), (5,), (5,), "one example, no batch"),
        ((5,), (5,), (), "one example, one log_var"),
        ((2, 4, 3), (2, 4, 3), (2, 4, 3), "samples, batch, dim"),
        ((4, 3), (6, 4, 3), (6, 4, 3), "one batch, many means"),
        ((6, 4, 3), (3,), (3,), "one mean for all"),
        ((3,), (4, 3), (), "x is the smaller one"),
        ((4, 3), (4, 3), (3,), "one log_var a dimension"),
        ((3,), (3,), (4, 3), "log_var is the largest"),
        ((6, 1, 3), (4, 3), (1, 3), "x and mean broadcast"),
        ((4, 1), (4, 1), (4, 1), "one dimension"),
        ((2, 5, 4, 3), (4, 3), (), "four dimensions"),
    ):
        yield Case(_density(draw, x, mean, log_var), scale=10, note=note)


def _density_extremes(draw: Draw) -> Iterator[Case]:
    x, mean, log_var = _density(draw, (4, 3), (4, 3), (4, 3))
    much = draw.uniform(low=50.0, high=70.0)
    yield Case((x, mean, log_var + much), scale=200, note="large variances")
    unit = (-much / 2).exp()
    near = (unit * x, unit * mean, log_var - much)
    yield Case(near, scale=200, note="tiny variances, tiny distances")
    far = 10.0 ** draw.integer(2, 4)
    tail = (x + far, mean, log_var)
    yield Case(tail, scale=10 * far**2, note="far out in the tail")
    many = _density(draw, (2, 900), (900,), ())
    yield Case(many, scale=5e3, note="as many dimensions as pixels")


def _density_steep(draw: Draw) -> Iterator[Case]:
    yield Case(_density(draw, (4, 3), (3,), (3,)), note="one mean and one log_var")
    yield Case(_density(draw, (3,), (4, 3), ()), note="x is the smaller one")


# --- the linear-Gaussian model --------------------------------------------------------


def _linear(
    draw: Draw, leading: tuple[int, ...], data: int, latent: int
) -> tuple[Tensor, ...]:
    return (
        2 * draw.normal(*leading, data),
        draw.normal(data, latent),
        draw.normal(data),
        draw.log_var(),
    )


def _linear_plain(draw: Draw) -> Iterator[Case]:
    # the sizes differ by 1: an eigendecomposition has no gradient at equal eigenvalues
    yield Case(_linear(draw, (4,), 3, 2), scale=50)
    yield Case(_linear(draw, (2,), 3, 4), scale=50, note="more latents than data")


def _linear_leading(draw: Draw) -> Iterator[Case]:
    for leading, data, latent, note in (
        ((), 4, 2, "one example, no batch"),
        ((), 2, 3, "one example, more latents than data"),
        ((2, 5), 4, 3, "samples, batch, data"),
        ((3, 1, 2), 2, 4, "four dimensions"),
        ((4,), 3, 1, "one latent"),
        ((4,), 1, 2, "one data dimension"),
        ((1,), 3, 3, "a batch of one, as many latents as data"),
        ((3,), 3, 3, "all sizes equal"),
        ((2,), 1, 1, "one data dimension and one latent"),
        ((2,), 12, 14, "many data dimensions and latents"),
    ):
        yield Case(_linear(draw, leading, data, latent), scale=10, note=note)


def _evidence_extremes(draw: Draw) -> Iterator[Case]:
    x, weight, bias, log_var = _linear(draw, (4,), 3, 2)
    yield Case((x, weight, bias, log_var + 60), scale=200, note="much noise")
    yield Case((x + 80, weight, bias, log_var), scale=1e4, note="far out in the tail")
    # near W z + b, else the distance drowns all other terms
    near = draw.normal(4, 2) @ weight.T + bias + 1e-4 * x
    yield Case((near, weight, bias, log_var - 18), scale=200, note="little noise")
    x, weight, bias, log_var = _linear(draw, (2,), 160, 3)
    yield Case((x, weight, bias, log_var - 6), scale=1e5, note="many data dimensions")
    yield Case((x, weight, bias, log_var + 6), scale=1e4, note="many, and much noise")


def _posterior_extremes(draw: Draw) -> Iterator[Case]:
    x, weight, bias, log_var = _linear(draw, (4,), 3, 2)
    yield Case((x, weight, bias, log_var - 12), note="little noise")
    yield Case((x, weight, bias, log_var + 60), note="much noise")
    far = 1e11 * x  # else the mean is 0 in all digits
    yield Case((far, weight, bias, log_var + 25), scale=10, note="much noise, far out")


def _linear_steep(draw: Draw) -> Iterator[Case]:
    yield Case(_linear(draw, (4,), 2, 1), scale=10, note="one latent")
    yield Case(_linear(draw, (2,), 3, 3), scale=10, note="as many latents as data")


# --- estimates ------------------------------------------------------------------------


def _likelihoods_plain(draw: Draw) -> Iterator[Case]:
    yield Case((3 * draw.normal(6, 4) - 5,), scale=10)
    yield Case(
        (2 * draw.normal(3, 5) + 1,), scale=10, note="more examples than samples"
    )
    yield Case((3 * draw.normal(25, 2) - 5,), scale=10, note="many samples")


def _centres(draw: Draw, batch: int) -> Tensor:
    """Columns around 1e4, -1e4 and 0, in turn."""
    return torch.tensor([1e4, -1e4, 0.0], dtype=torch.float64).repeat(batch)[:batch]


def _likelihoods_extremes(draw: Draw) -> Iterator[Case]:
    yield Case((3 * draw.normal(5, 4) + 1e4,), scale=1e4, note="around 1e4")
    yield Case((3 * draw.normal(5, 4) - 1e4,), scale=1e4, note="around -1e4")
    mixed = 3 * draw.normal(6, 4) + _centres(draw, 4)
    yield Case((mixed,), scale=1e4, note="large, small and ordinary examples")
    within = 3 * draw.normal(6, 4) + _centres(draw, 6)[:, None]
    yield Case((within,), scale=1e4, note="large, small and ordinary samples")


def _joint(draw: Draw, num_samples: int, batch: int) -> tuple[Tensor, Tensor]:
    shape = num_samples, batch
    return 3 * draw.normal(*shape) - 6, 2 * draw.normal(*shape) - 3


def _joint_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_joint(draw, 6, 4), scale=10)
    yield Case(_joint(draw, 3, 5), scale=10, note="more examples than samples")
    yield Case(_joint(draw, 25, 2), scale=10, note="many samples")


def _joint_extremes(draw: Draw) -> Iterator[Case]:
    log_joint, log_q = _joint(draw, 6, 4)
    far = _centres(draw, 4)
    yield Case((log_joint - 1e4, log_q - 1e4), scale=1e4, note="both around -1e4")
    yield Case((log_joint + 1e4, log_q + 1e4), scale=1e4, note="both around 1e4")
    yield Case((log_joint + 1e4, log_q), scale=1e4, note="log_joint around 1e4")
    yield Case((log_joint - 1e4, log_q), scale=1e4, note="log_joint around -1e4")
    yield Case((log_joint, log_q + 1e4), scale=1e4, note="log_q around 1e4")
    yield Case((log_joint, log_q - 1e4), scale=1e4, note="log_q around -1e4")
    yield Case((log_joint + far, log_q), scale=1e4, note="different for each example")
    spread = _centres(draw, 6)[:, None]
    yield Case((log_joint + spread, log_q), scale=1e4, note="different for each sample")
    yield Case(
        (log_joint + spread, log_q + spread), scale=1e4, note="both, for each sample"
    )
    yield Case(
        (log_joint + spread, log_q - spread),
        scale=2e4,
        note="both, the other way round",
    )


HOLES = [(0, 0), (3, 0), (5, 1), (1, 2), (2, 2), (4, 2)]  # column 3 has none


def _impossible(values: Tensor, places: list[tuple[int, int]]) -> Tensor:
    holed = values.clone()
    for row, column in places:
        holed[row, column] = -INF
    return holed


def _likelihoods_with_holes(draw: Draw) -> Iterator[Case]:
    yield Case((_impossible(draw.normal(6, 4), HOLES),), note="some are -inf")


def _joint_with_holes(draw: Draw) -> Iterator[Case]:
    joint = _impossible(draw.normal(6, 4), HOLES)
    yield Case((joint, draw.normal(6, 4)), note="some are -inf")


CASES = {
    c.exercise: c
    for c in (
        Cases(
            "gaussian_log_prob",
            ("x", "mean", "log_var"),
            _density_plain,
            _density_leading,
            _density_extremes,
            gradients=("x", "mean", "log_var"),
            steep=_density_steep,
        ),
        Cases(
            "linear_gaussian_log_evidence",
            ("x", "weight", "bias", "log_var"),
            _linear_plain,
            _linear_leading,
            _evidence_extremes,
            gradients=("x", "weight", "bias", "log_var"),
            steep=_linear_steep,
            float32_extremes=False,
        ),
        Cases(
            "linear_gaussian_posterior",
            ("x", "weight", "bias", "log_var"),
            _linear_plain,
            _linear_leading,
            _posterior_extremes,
            gradients=("x", "weight", "bias", "log_var"),
            steep=_linear_steep,
            float32_extremes=False,
        ),
        Cases(
            "monte_carlo_log_evidence",
            ("log_likelihoods",),
            _likelihoods_plain,
            extremes=_likelihoods_extremes,
            gradients=("log_likelihoods",),
            delicate=_likelihoods_with_holes,
        ),
        Cases(
            "importance_log_evidence",
            ("log_joint", "log_q"),
            _joint_plain,
            extremes=_joint_extremes,
            gradients=("log_joint", "log_q"),
            delicate=_joint_with_holes,
        ),
    )
}
for _cases in CASES.values():
    add_standard(LAWS, _cases)


# --- laws of the two estimates --------------------------------------------------------


def _expect(subject: Subject, truth: Truth, exercise: str, case: Case) -> None:
    got, expected = subject.call(exercise, *case.args), truth(exercise, *case.args)
    what = tried(CASES[exercise], case)
    compare(got, expected, what=what, scale=case.scale, rtol=LOOSE)


def _expect_zeros(subject: Subject, truth: Truth, exercise: str, case: Case) -> None:
    got, expected = subject.call(exercise, *case.args), truth(exercise, *case.args)
    what = tried(CASES[exercise], case)
    with instead(of_infinities(got, expected)):
        compare(got, expected, what=what, scale=case.scale, rtol=LOOSE)


ONE_EACH = "a single sample or a single example keeps the shape (batch,)"
SOME = "a sample of weight 0 counts as a sample and adds nothing"
NONE = "an x that no sample explains has log-evidence -inf"


@LAWS.law("monte_carlo_log_evidence", "single", ONE_EACH)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for shape in ((1, 4), (6, 1), (1, 1)):
        case = Case((3 * draw.normal(*shape) - 5,))
        _expect(subject, truth, "monte_carlo_log_evidence", case)


@LAWS.law("monte_carlo_log_evidence", "impossible samples", SOME)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for centre, scale in ((-5.0, 1.0), (draw.integer(-10_000, -2_000), 1e4)):
        values = _impossible(3 * draw.normal(6, 4) + centre, HOLES)
        case = Case((values,), scale=scale, note="some of them -inf")
        _expect_zeros(subject, truth, "monte_carlo_log_evidence", case)


@LAWS.law("monte_carlo_log_evidence", "impossible x", NONE)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    values = _impossible(3 * draw.normal(5, 3) - 5, [(s, 1) for s in range(5)])
    case = Case((values,), note="all of one example -inf")
    _expect_zeros(subject, truth, "monte_carlo_log_evidence", case)


@LAWS.law("importance_log_evidence", "single", ONE_EACH)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for shape in ((1, 4), (6, 1), (1, 1)):
        _expect(subject, truth, "importance_log_evidence", Case(_joint(draw, *shape)))


@LAWS.law("importance_log_evidence", "impossible samples", SOME)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for low, scale in ((0, 1.0), (draw.integer(2_000, 10_000), 1e4)):
        log_joint, log_q = _joint(draw, 6, 4)
        args = _impossible(log_joint - low, HOLES), log_q
        case = Case(args, scale=scale, note="some log_joint are -inf")
        _expect_zeros(subject, truth, "importance_log_evidence", case)


@LAWS.law("importance_log_evidence", "impossible x", NONE)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    log_joint, log_q = _joint(draw, 5, 3)
    gone = _impossible(log_joint, [(s, 1) for s in range(5)])
    case = Case((gone, log_q), note="all log_joint of one example are -inf")
    _expect_zeros(subject, truth, "importance_log_evidence", case)
