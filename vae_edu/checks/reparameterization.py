"""Lesson 05: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, Broken, LawBody, Laws, Truth, compare
from vae_edu.checks.standard import Case, Cases, add_standard, tried
from vae_edu.probes import Probe
from vae_edu.subject import Subject

LAWS = Laws("reparameterization")


# --- gaussian_score ---------------------------------------------------------------


def _triple(draw: Draw, *shape: int) -> tuple[Tensor, ...]:
    return draw.normal(*shape), draw.normal(*shape), draw.log_var(*shape)


def _score_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_triple(draw, 4, 3), scale=10)
    yield Case(_triple(draw, 2, 5), scale=10)


def _score_leading(draw: Draw) -> Iterator[Case]:
    yield Case(_triple(draw, 5), note="one example, no batch")
    yield Case(_triple(draw, 2, 4, 3), note="samples, batch, latent")
    yield Case((draw.normal(1, 4, 3), *_pair(draw, 4, 3)), note="a single sample")
    yield Case((draw.normal(6, 4, 3), *_pair(draw, 4, 3)), note="several samples of z")
    yield Case((draw.normal(3), *_pair(draw, 4, 3)), note="one z for the whole batch")
    yield Case(
        (*_pair(draw, 3), draw.log_var(4, 3)), note="one z and mu, several log_var"
    )
    yield Case(
        (draw.normal(4, 3), draw.normal(3), draw.log_var(4, 3)), note="one mu for all"
    )
    yield Case(
        (draw.normal(6, 1, 3), draw.normal(4, 3), draw.log_var(3)),
        note="all three broadcast",
    )
    yield Case(
        (draw.normal(4, 1, 1), draw.normal(1, 1), draw.log_var(3, 1)),
        note="sizes of 1",
    )
    yield Case(
        (draw.normal(4, 3), draw.normal(3), draw.log_var()), note="one log_var for all"
    )
    yield Case(
        (draw.normal(3), draw.normal(4, 3), draw.log_var()), note="one z, one log_var"
    )


def _pair(draw: Draw, *shape: int) -> tuple[Tensor, Tensor]:
    return draw.normal(*shape), draw.log_var(*shape)


def _rounded(value: Tensor) -> Tensor:
    """float64 numbers that float32 holds without rounding."""
    return value.to(torch.float32).to(torch.float64)


def _score_extremes(draw: Draw) -> Iterator[Case]:
    # mu is 0, so that no digit of z - mu is lost, for everyone; |z - mu| is 2 to 6
    # sigma, so that no score is near 0 and each can be compared relative to itself
    for shift, words in ((-60, "tiny variances"), (60, "large variances")):
        log_var = _rounded(draw.log_var(4, 3) + shift)
        z = _rounded(4 * draw.sign(4, 3) * (0.5 * log_var).exp())
        yield Case((z, 0 * z, log_var), scale=1e-15, note=words)


# --- reparameterize ---------------------------------------------------------------


def _noisy(draw: Draw, *shape: int) -> tuple[Tensor, ...]:
    return (*_pair(draw, *shape), draw.normal(*shape))


def _sample_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_noisy(draw, 4, 3), scale=3)
    yield Case(_noisy(draw, 2, 5), scale=3)


def _sample_leading(draw: Draw) -> Iterator[Case]:
    yield Case(_noisy(draw, 5), note="one example, no batch")
    yield Case(_noisy(draw, 2, 4, 3), note="several leading dimensions")
    yield Case((*_pair(draw, 4, 3), draw.normal(1, 4, 3)), note="a single sample")
    yield Case(
        (*_pair(draw, 4, 3), draw.normal(6, 4, 3)), note="samples, batch, latent"
    )
    yield Case((*_pair(draw, 4, 3), draw.normal(3)), note="one eps for the whole batch")
    yield Case(
        (draw.normal(3), draw.log_var(4, 3), draw.normal(4, 3)), note="one mu for all"
    )
    yield Case(
        (draw.normal(4, 3), draw.log_var(3), draw.normal(6, 4, 3)),
        note="one log_var for all",
    )
    yield Case(
        (draw.normal(6, 1, 3), draw.log_var(4, 3), draw.normal(1, 4, 3)),
        note="all three broadcast",
    )
    yield Case(
        (draw.normal(1, 3), draw.log_var(5, 1, 3), draw.normal(2, 1, 4, 3)),
        note="sizes of 1, four dimensions",
    )


def _sample_extremes(draw: Draw) -> Iterator[Case]:
    # mu of the size of sigma, so that a wrong sigma shows beside it
    mu, log_var, eps = _noisy(draw, 4, 3)
    yield Case((1e-13 * mu, log_var - 60, eps), scale=1e-13, note="tiny variances")
    yield Case((mu, log_var + 60, eps), scale=1e13, note="large variances")


def _sample_steep(draw: Draw) -> Iterator[Case]:
    yield Case(
        (*_pair(draw, 4, 3), draw.normal(6, 4, 3)), note="samples, batch, latent"
    )
    mu, log_var, eps = _noisy(draw, 4, 3)
    yield Case((mu, log_var - 60, eps), scale=1e-14, note="tiny variances")
    yield Case((mu, log_var + 60, eps), scale=1e13, note="large variances")


# --- the estimators ---------------------------------------------------------------

Estimate = tuple[Probe, Tensor, Tensor, Tensor]


def _estimate(
    draw: Draw, kind: str, num_samples: int, latent: int, *, trainable: bool = False
) -> Estimate:
    f = Probe(kind, draw.sign(latent), trainable)
    return f, *_pair(draw, latent), draw.normal(num_samples, latent)


def _smooth(draw: Draw) -> Iterator[Case]:
    yield Case(_estimate(draw, "quadratic", 6, 3), scale=30)
    yield Case(_estimate(draw, "sine", 5, 4), scale=10)
    yield Case(_estimate(draw, "product", 4, 3), scale=30, note="f couples dimensions")
    yield Case(
        _estimate(draw, "quadratic", 4, 4), scale=30, note="as many as dimensions"
    )
    yield Case(_estimate(draw, "sine", 6, 1), scale=10, note="one latent dimension")
    yield Case(_estimate(draw, "constant", 5, 2), scale=10)


def _single(draw: Draw) -> Iterator[Case]:
    yield Case(_estimate(draw, "sine", 1, 3), scale=10, note="a single sample")


def _pathwise_plain(draw: Draw) -> Iterator[Case]:
    yield from _smooth(draw)
    yield from _single(draw)


def _baseline_plain(draw: Draw) -> Iterator[Case]:
    yield from _smooth(draw)
    yield Case(_estimate(draw, "step", 7, 3), scale=10, note="f has no derivative")
    yield Case(_estimate(draw, "quadratic", 2, 3), scale=30, note="two samples")


def _score_gradient_plain(draw: Draw) -> Iterator[Case]:
    yield from _smooth(draw)
    yield from _single(draw)
    yield Case(_estimate(draw, "step", 7, 3), scale=10, note="f has no derivative")


def _score_gradient_extremes(draw: Draw) -> Iterator[Case]:
    # mu is 0: elsewhere z - mu loses the digits of eps where sigma is tiny
    f, mu, log_var, eps = _estimate(draw, "sine", 6, 3)
    tiny = _rounded(log_var - 60)
    yield Case((f, 0 * mu, tiny, _rounded(eps)), scale=5, note="tiny variances")
    # a bounded f: a squared z times z - mu is beyond float32
    f, mu, log_var, eps = _estimate(draw, "step", 6, 3)
    large = _rounded(log_var + 60)
    yield Case((f, 0 * mu, large, _rounded(eps)), scale=1e-13, note="large variances")


def _pathwise_extremes(draw: Draw) -> Iterator[Case]:
    f, mu, log_var, eps = _estimate(draw, "quadratic", 6, 3)
    yield Case((f, 1e-13 * mu, log_var - 60, eps), scale=1e-13, note="tiny variances")
    yield Case((f, mu, log_var + 60, eps), scale=1e13, note="large variances")


def _variance_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_pair(draw, 4, 3), scale=10)
    yield Case(_pair(draw, 2, 5), scale=10)
    yield Case(_pair(draw, 3, 1), scale=10, note="one latent dimension")


def _variance_leading(draw: Draw) -> Iterator[Case]:
    yield Case(_pair(draw, 5), scale=100, note="one example, no batch")
    yield Case(_pair(draw, 2, 4, 3), scale=100, note="several leading dimensions")
    yield Case((draw.normal(3), draw.log_var(4, 3)), scale=100, note="one mu for all")
    yield Case(
        (draw.normal(4, 3), draw.log_var(3)), scale=100, note="one log_var for all"
    )
    yield Case(
        (draw.normal(6, 1, 3), draw.log_var(4, 3)), scale=100, note="both broadcast"
    )


def _variance_extremes(draw: Draw) -> Iterator[Case]:
    mu, log_var = _pair(draw, 4, 3)
    yield Case((mu, log_var - 12), scale=1e5, note="small variances")
    yield Case((mu, log_var + 12), scale=1e5, note="large variances")


ESTIMATE = ("f", "mu", "log_var", "eps")

CASES = {
    c.exercise: c
    for c in (
        Cases(
            "gaussian_score",
            ("z", "mu", "log_var"),
            _score_plain,
            _score_leading,
            _score_extremes,
        ),
        Cases(
            "score_function_gradient",
            ESTIMATE,
            _score_gradient_plain,
            extremes=_score_gradient_extremes,
        ),
        Cases(
            "reparameterize",
            ("mu", "log_var", "eps"),
            _sample_plain,
            _sample_leading,
            _sample_extremes,
            gradients=("mu", "log_var"),
            steep=_sample_steep,
        ),
        Cases(
            "pathwise_gradient",
            ESTIMATE,
            _pathwise_plain,
            extremes=_pathwise_extremes,
        ),
        Cases(
            "score_function_variance",
            ("mu", "log_var"),
            _variance_plain,
            _variance_leading,
            _variance_extremes,
        ),
        Cases(
            "score_function_gradient_with_baseline",
            ESTIMATE,
            _baseline_plain,
            extremes=_score_gradient_extremes,
        ),
    )
}
for _cases in CASES.values():
    add_standard(LAWS, _cases)


# --- nothing is left behind -------------------------------------------------------


def _traces(cases: Cases, made: tuple[tuple[Any, ...], ...]) -> LawBody:
    """What a caller may own: tensors, leaves, an encoder's outputs, f's weights."""
    which = [i for i, p in enumerate(cases.params) if p in ("z", "mu", "log_var")]

    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        for shape, wrt, upstream, words in made:
            args = shape(draw)
            asked = which if wrt else []
            what = f"{tried(cases, Case(args, note=words))}"
            answer = subject.ask_requiring(
                cases.exercise, args, asked, upstream=upstream
            )
            _expect_no_trace(what, cases, answer.left_grad, answer.switched)
            expected = truth(cases.exercise, *args)
            compare(answer.value, expected, what=what, scale=10, rtol=LOOSE)

    return body


def _expect_no_trace(
    what: str, cases: Cases, left_grad: bool, switched: list[str]
) -> None:
    if left_grad:
        raise Broken(
            f"{what} left a .grad behind, on an input or on a weight inside f: the "
            "caller's next optimizer step would use it. torch.autograd.grad returns a "
            "gradient and writes it nowhere.",
            "left grad",
        )
    if switched:
        names = ", ".join(cases.params[int(i)] for i in switched)
        raise Broken(
            f"{what} changed requires_grad of the caller's {names}. Differentiate with "
            "respect to a tensor of your own: mu.detach().clone().requires_grad_().",
            "mutated",
        )


def _owned(make: Any, make_trainable: Any) -> tuple[tuple[Any, ...], ...]:
    return (
        (make, False, False, "plain tensors"),
        (make, True, False, "mu and log_var require a gradient"),
        (make_trainable, False, False, "f has a trainable weight"),
        (make_trainable, True, True, "mu and log_var come from an encoder"),
    )


def _sine(draw: Draw) -> Estimate:
    return _estimate(draw, "sine", 5, 3)


def _trainable_sine(draw: Draw) -> Estimate:
    return _estimate(draw, "sine", 5, 3, trainable=True)


def _scored(draw: Draw) -> tuple[Tensor, ...]:
    return _triple(draw, 4, 3)


for _name in CASES:
    if CASES[_name].params == ESTIMATE:
        _body = _traces(CASES[_name], _owned(_sine, _trainable_sine))
        _sentence = "nothing is left behind: no .grad on the inputs or inside f"
        LAWS.law(_name, "no trace", _sentence)(_body)
LAWS.law("gaussian_score", "no trace", "no .grad is left behind on the inputs")(
    _traces(CASES["gaussian_score"], _owned(_scored, _scored)[:2])
)
