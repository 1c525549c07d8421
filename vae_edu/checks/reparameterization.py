"""Lesson 05: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.formulas import Formula, Grid, Named, Term, add_formula
from vae_edu.checks.law import LOOSE, Broken, LawBody, Laws, Truth, compare
from vae_edu.checks.signs import sign
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
    yield Case(_triple(draw, 14, 2), scale=10, note="fourteen examples")
    yield Case(_triple(draw, 1, 13), scale=10, note="thirteen dimensions")


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
    for shift, words in ((-80, "tiny variances"), (80, "large variances")):
        log_var = _rounded(draw.log_var(4, 3) + shift)
        z = _rounded(4 * draw.sign(4, 3) * (0.5 * log_var).exp())
        yield Case((z, 0 * z, log_var), scale=1e-20, note=words)
    z, log_var = 1e3 * draw.sign(4, 3), draw.log_var(4, 3)
    yield Case((z, draw.normal(4, 3), log_var), scale=1e7, note="z far from mu")


# --- reparameterize ---------------------------------------------------------------


def _noisy(draw: Draw, *shape: int) -> tuple[Tensor, ...]:
    return (*_pair(draw, *shape), draw.normal(*shape))


def _sample_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_noisy(draw, 4, 3), scale=3)
    yield Case(_noisy(draw, 2, 5), scale=3)
    yield Case(_noisy(draw, 14, 2), scale=3, note="fourteen examples")
    yield Case(_noisy(draw, 1, 13), scale=3, note="thirteen dimensions")


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
    yield Case((1e-17 * mu, log_var - 80, eps), scale=1e-15, note="tiny variances")
    yield Case((mu, log_var + 80, eps), scale=1e19, note="large variances")
    far = 1e3 * draw.sign(4, 3)
    yield Case((far, log_var, 8 * draw.sign(4, 3)), scale=1e3, note="far draws")


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
    yield Case(_estimate(draw, "sine", 17, 2), scale=10, note="seventeen samples")
    yield Case(_estimate(draw, "sine", 3, 13), scale=20, note="thirteen dimensions")


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
    f, mu, log_var, eps = _estimate(draw, "quadratic", 6, 3)
    yield Case((f, 50 * mu, log_var, 3 * eps), scale=1e5, note="f is large")


def _pathwise_extremes(draw: Draw) -> Iterator[Case]:
    f, mu, log_var, eps = _estimate(draw, "quadratic", 6, 3)
    yield Case((f, 1e-13 * mu, log_var - 60, eps), scale=1e-13, note="tiny variances")
    yield Case((f, mu, log_var + 60, eps), scale=1e13, note="large variances")
    yield Case((f, 1e3 * mu, log_var, 4 * eps), scale=1e4, note="f is steep")


def _variance_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_pair(draw, 4, 3), scale=10)
    yield Case(_pair(draw, 2, 5), scale=10)
    yield Case(_pair(draw, 3, 1), scale=10, note="one latent dimension")
    yield Case(_pair(draw, 2, 13), scale=100, note="thirteen dimensions")


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


# --- terms that learners write, right and wrong -----------------------------------

_SIGMA = "log_var is log σ²: which exponential of it is σ², and which is σ?"
_LOG = "A logarithm may be negative; a spread is not."


def _scaled(power: float, of: Callable[[Named], Tensor]) -> Callable[[Named], Tensor]:
    """A term times a power of σ."""
    return lambda n: of(n) * (0.5 * power * n["log_var"]).exp()


def _ones(named: Named) -> Tensor:
    return torch.ones_like(named["mu"])


def _apart(named: Named) -> Tensor:
    apart: Tensor = named["z"] - named["mu"]
    return apart


def _square(named: Named) -> Tensor:
    return _apart(named) ** 2


_PARAMETER = "The derivative is asked for in log_var, not in σ or σ²."
_UNITS = "The density measures in units of σ."
_SCORE = (
    Term("(z - mu)/σ²", "distance", _scaled(-2, _apart)),
    Term("(z - mu)/σ", "distance", _scaled(-1, _apart), _SIGMA),
    Term("(z - mu)/σ⁴", "distance", _scaled(-4, _apart), _SIGMA),
    Term("z - mu", "distance", _apart, _UNITS),
    Term("(z - mu)·σ²", "distance", _scaled(2, _apart), "A variance divides."),
    Term("z/σ²", "distance", _scaled(-2, lambda n: n["z"]), "From where is z far?"),
    Term("(z - mu)²/σ²", "square", _scaled(-2, _square)),
    Term("(z - mu)²/σ", "square", _scaled(-1, _square), _SIGMA),
    Term("(z - mu)²/σ⁴", "square", _scaled(-4, _square), _PARAMETER),
    Term("(z - mu)²/σ³", "square", _scaled(-3, _square), _PARAMETER),
    Term("(z - mu)²", "square", _square, _UNITS),
    Term("a constant", "constant", _ones),
    Term("1/σ", "one", _scaled(-1, _ones), _PARAMETER),
    Term("1/σ²", "one", _scaled(-2, _ones), _PARAMETER),
    Term("log σ²", "one", lambda n: n["log_var"], "It is differentiated already."),
)


def _eps(named: Named) -> Tensor:
    eps: Tensor = named["eps"]
    return eps


def _mu(named: Named) -> Tensor:
    mu: Tensor = named["mu"]
    return mu


_FIRST = "The mean of z must be mu: first the noise is scaled, then mu comes in."
_NO_NOISE = "Without eps it is no noise."
_SAMPLE = (
    Term("mu", "mean", _mu),
    Term("mu·σ", "mean", _scaled(1, _mu), _FIRST),
    Term("mu/σ", "mean", _scaled(-1, _mu), _FIRST),
    Term("σ·eps", "noise", _scaled(1, _eps)),
    Term("σ²·eps", "noise", _scaled(2, _eps), _SIGMA),
    Term("eps/σ", "noise", _scaled(-1, _eps), "A large log_var is a wide q."),
    Term("eps", "noise", _eps, "log_var has a part in how far z lies from mu."),
    Term("log σ²·eps", "noise", lambda n: n["log_var"] * _eps(n), _LOG),
    Term("eps²·σ", "noise", _scaled(1, lambda n: _eps(n) ** 2), "The noise is eps."),
    Term("|eps|·σ", "noise", _scaled(1, lambda n: _eps(n).abs()), "It has a sign."),
    Term("a constant", "constant", _ones),
    Term("σ", "spread", _scaled(1, _ones), _NO_NOISE),
    Term("σ²", "spread", _scaled(2, _ones), _NO_NOISE),
)


def _var(named: Named) -> Tensor:
    var: Tensor = named["log_var"].exp()
    return var


def _others(of: Callable[[Named], Tensor]) -> Callable[[Named], Tensor]:
    """The sum over all dimensions but the own one."""
    return lambda n: of(n).sum(-1, keepdim=True) - of(n)


_mean_of_rest = _others(lambda n: _mu(n) ** 2 + _var(n))
_spread_of_rest = _others(lambda n: 2 * _var(n) ** 2 + 4 * _mu(n) ** 2 * _var(n))
_VARIANCE = (
    Term("mu⁴/σ²", "own-fourth", lambda n: _mu(n) ** 4 / _var(n)),
    Term("mu²", "own-square", lambda n: _mu(n) ** 2),
    Term("σ²", "own-variance", _var),
    Term(
        "E[R]·mu²/σ²",
        "mixed-mean",
        lambda n: _mean_of_rest(n) * _mu(n) ** 2 / _var(n),
    ),
    Term("E[R]", "mixed-variance", _mean_of_rest),
    Term("E[R]²/σ²", "rest", lambda n: _mean_of_rest(n) ** 2 / _var(n)),
    Term("Var[R]/σ²", "rest-variance", lambda n: _spread_of_rest(n) / _var(n)),
    Term("a constant", "constant", _ones),
)


def _given(draw: Draw, num_samples: int, latent: int) -> Estimate:
    return _estimate(draw, "sine", num_samples, latent)


_SAMPLES = {
    "mu + σ eps": lambda n: n["mu"] + _sigma(n) * n["eps"],
    "mu + σ² eps": lambda n: n["mu"] + _sigma(n) ** 2 * n["eps"],
    "mu + log σ² eps": lambda n: n["mu"] + n["log_var"] * n["eps"],
    "mu + eps": lambda n: n["mu"] + n["eps"],
    "eps": lambda n: n["eps"],
    "mu": lambda n: n["mu"] + 0 * n["eps"],
    "mu - σ eps": lambda n: n["mu"] - _sigma(n) * n["eps"],
}
_SCORES = {
    "eps/σ": lambda n: n["eps"] / _sigma(n),
    "eps": lambda n: n["eps"],
    "eps/σ²": lambda n: n["eps"] / _sigma(n) ** 2,
    "z - mu": lambda n: n["eps"] * _sigma(n),
    "-eps/σ": lambda n: -n["eps"] / _sigma(n),
    "the one in log_var": lambda n: 0.5 * (n["eps"] ** 2 - 1),
    "z/σ²": lambda n: (n["mu"] + _sigma(n) * n["eps"]) / _sigma(n) ** 2,
    "1 everywhere": lambda n: torch.ones_like(n["eps"]),
}
_WEIGHTS = {
    "f": lambda f: f,
    "f less its mean": lambda f: f - f.mean(),
    "f less the mean of the others": lambda f: f - (f.sum() - f) / (len(f) - 1),
    "the mean of f": lambda f: f.mean() + 0 * f,
    "f less the sum of the others": lambda f: f - (f.sum() - f),
}
_MEANS = {
    "averaged": lambda t: t.mean(0),
    "added": lambda t: t.sum(0),
    "divided by S - 1": lambda t: t.sum(0) / (len(t) - 1),
    "left out but for the first": lambda t: t[0],
    "added over the dimensions as well": lambda t: t.mean(0).sum().expand(t.shape[1:]),
}
_SLOPES = {
    "the one in mu": lambda n: torch.ones_like(n["eps"]),
    "the one in eps": lambda n: _sigma(n) + 0 * n["eps"],
    "the one in log_var": lambda n: 0.5 * _sigma(n) * n["eps"],
    "the one in σ": lambda n: n["eps"],
    "divided by σ": lambda n: 1 / _sigma(n) + 0 * n["eps"],
}


def _sigma(named: Named) -> Tensor:
    return (0.5 * named["log_var"]).exp()


def _scored_estimate(named: Named, ways: Mapping[str, Any]) -> Tensor:
    z = ways["sample"](named)
    weight = ways["weight"](named["f"].function()(z))[:, None]
    return ways["mean"](weight * ways["score"](named))


def _slope(named: Named, z: Tensor) -> Tensor:
    at = z.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(named["f"].function()(at).sum(), at)
    return slope


def _sloped_estimate(named: Named, ways: Mapping[str, Any]) -> Tensor:
    slope = _slope(named, ways["sample"](named))
    return ways["mean"](slope * ways["slope"](named))


_PHRASES = {
    "sample": "f is asked at",
    "score": "The score is",
    "weight": "The score is weighed by",
    "mean": "The samples are",
    "slope": "The gradient is",
}
_by_score = Grid(
    _given,
    _PHRASES,
    {"sample": _SAMPLES, "score": _SCORES, "weight": _WEIGHTS, "mean": _MEANS},
    _scored_estimate,
)
# where the others' mean is subtracted, S - 1 has another meaning
_by_advantage = replace(
    _by_score,
    slots={
        **_by_score.slots,
        "mean": {way: _MEANS[way] for way in ("averaged", "added")},
    },
)
_by_slope = Grid(
    _given,
    _PHRASES,
    {"sample": _SAMPLES, "slope": _SLOPES, "mean": _MEANS},
    _sloped_estimate,
)
for _name, _looks in (
    (
        "gaussian_score",
        [Formula(_triple, _SCORE, lambda t: t, i) for i in (0, 1)],
    ),
    ("reparameterize", [Formula(_noisy, _SAMPLE, lambda t: t)]),
    ("score_function_variance", [Formula(_pair, _VARIANCE, lambda t: t)]),
    ("score_function_gradient", [_by_score]),
    ("score_function_gradient_with_baseline", [_by_advantage]),
    ("pathwise_gradient", [_by_slope]),
):
    add_formula(LAWS, CASES[_name], *_looks)


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
            sign=sign("grad-left"),
        )
    if "grad mode" in switched:
        raise Broken(
            f"{what} left autograd switched off for everybody: torch.no_grad(), used "
            "as a `with` block, ends with it.",
            "left grad",
            sign=sign("grad-mode"),
        )
    if switched:
        names = ", ".join(cases.params[int(i)] for i in switched)
        raise Broken(
            f"{what} changed requires_grad of the caller's {names}. Differentiate with "
            "respect to a tensor of your own: mu.detach().clone().requires_grad_().",
            "mutated",
            sign=sign("grad-left"),
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
