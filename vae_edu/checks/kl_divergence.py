"""Lesson 04: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.formulas import Formula, Named, Term, add_formula
from vae_edu.checks.law import LOOSE, Broken, Laws, Truth, compare
from vae_edu.checks.signs import sign
from vae_edu.checks.standard import Case, Cases, add_standard, tried
from vae_edu.subject import Subject

LAWS = Laws("kl_divergence")


def _log_var_plain(draw: Draw) -> Iterator[Case]:
    yield Case((draw.log_var(4, 3),))
    yield Case((draw.log_var(2, 5),))
    yield Case((draw.log_var(1, 12),), note="a batch of one, twelve dimensions")


def _log_var_leading(draw: Draw) -> Iterator[Case]:
    yield Case((draw.log_var(5),), note="one example, no batch")
    yield Case((draw.log_var(2, 4, 3),), note="samples, batch, latent")
    yield Case((draw.log_var(2, 3, 4, 5),), note="three leading dimensions")
    yield Case((draw.log_var(1, 3),), note="a batch of one")
    yield Case((draw.log_var(4, 1),), note="one latent dimension")


def _log_var_extremes(draw: Draw) -> Iterator[Case]:
    yield Case((draw.log_var(4, 3) + 80,), scale=100, note="large variances")
    yield Case((draw.log_var(4, 3) - 80,), scale=100, note="tiny variances")


def _pair(draw: Draw, *shape: int) -> tuple[Tensor, Tensor]:
    return draw.normal(*shape), draw.log_var(*shape)


def _pair_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_pair(draw, 4, 3), scale=4)
    yield Case(_pair(draw, 2, 5), scale=4)
    mu, log_var = _pair(draw, 3, 4)
    yield Case((0 * mu, 0 * log_var), note="q is the prior")
    yield Case(_pair(draw, 14, 2), scale=4, note="fourteen examples")
    yield Case(_pair(draw, 1, 13), scale=4, note="thirteen dimensions")


def _pair_leading(draw: Draw) -> Iterator[Case]:
    yield Case(_pair(draw, 5), note="one example, no batch")
    yield Case(_pair(draw, 2, 4, 3), note="samples, batch, latent")
    yield Case(_pair(draw, 2, 3, 4, 5), note="three leading dimensions")
    yield Case(
        (draw.normal(6, 1, 3), draw.log_var(4, 3)), note="mu and log_var broadcast"
    )
    yield Case((draw.normal(3), draw.log_var(4, 3)), note="one mu for the whole batch")
    yield Case(
        (draw.normal(4, 3), draw.log_var(3)), note="one log_var for the whole batch"
    )
    yield Case((draw.normal(4, 3), draw.log_var(2, 1, 3)), note="log_var has more")
    yield Case(_pair(draw, 1, 3), note="a batch of one")
    yield Case(_pair(draw, 4, 1), note="one latent dimension")


def _pair_extremes(draw: Draw) -> Iterator[Case]:
    mu, log_var = _pair(draw, 4, 3)
    yield Case((30 * mu, log_var - 80), scale=5e3, note="tiny variances")
    yield Case((mu, log_var + 12), scale=1e6, note="large variances")
    yield Case((mu, log_var + 80), scale=1e36, note="enormous variances")
    yield Case((1e3 * draw.sign(4, 3), log_var), scale=1e6, note="means far from 0")


def _four(draw: Draw, *shape: int) -> tuple[Tensor, ...]:
    return (*_pair(draw, *shape), *_pair(draw, *shape))


def _four_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_four(draw, 4, 3), scale=10)
    mu, log_var = _pair(draw, 2, 5)
    yield Case((mu, log_var, mu.clone(), log_var.clone()), note="q is p")
    yield Case(_four(draw, 14, 2), scale=20, note="fourteen examples")
    yield Case(_four(draw, 1, 13), scale=20, note="thirteen dimensions")


def _four_leading(draw: Draw) -> Iterator[Case]:
    yield Case(_four(draw, 5), note="one example, no batch")
    yield Case(_four(draw, 2, 4, 3), note="samples, batch, latent")
    yield Case(_four(draw, 2, 3, 4, 5), note="three leading dimensions")
    yield Case((*_pair(draw, 6, 1, 3), *_pair(draw, 4, 3)), note="q and p broadcast")
    yield Case((*_pair(draw, 4, 3), *_pair(draw, 3)), note="one p for the whole batch")
    yield Case((*_pair(draw, 3), *_pair(draw, 4, 3)), note="one q for many p")
    mu_q, log_var_q, mu_p, log_var_p = _four(draw, 4, 3)
    yield Case((mu_q, log_var_q, mu_p[0], log_var_p), note="one mu_p")
    yield Case((mu_q, log_var_q[0], mu_p, log_var_p[0]), note="one log_var_q and _p")
    yield Case(_four(draw, 1, 3), note="a batch of one")
    yield Case(_four(draw, 4, 1), note="one latent dimension")


def _four_extremes(draw: Draw) -> Iterator[Case]:
    mu_q, log_var_q, mu_p, log_var_p = _four(draw, 4, 3)
    yield Case(
        (mu_q, log_var_q - 80, mu_p, log_var_p), scale=200, note="q nearly a point"
    )
    yield Case(
        (mu_q, log_var_q + 80, mu_p, log_var_p + 80), scale=10, note="both very wide"
    )
    far = 1e3 * draw.sign(4, 3)
    yield Case((far, log_var_q, mu_p, log_var_p), scale=1e7, note="q far from p")
    yield Case(
        (mu_q, log_var_q - 75, mu_p, log_var_p - 75),
        scale=1e34,
        note="both nearly points",
    )


def _samples(
    draw: Draw, num_samples: int, batch: int, latent: int
) -> tuple[Tensor, ...]:
    return (*_pair(draw, batch, latent), draw.normal(num_samples, batch, latent))


def _samples_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_samples(draw, 6, 4, 3), scale=10)
    yield Case(_samples(draw, 1, 2, 5), scale=10, note="a single sample")
    yield Case(_samples(draw, 17, 3, 2), scale=10, note="many samples")


def _samples_leading(draw: Draw) -> Iterator[Case]:
    mu, log_var, eps = draw.normal(3), draw.log_var(4, 3), draw.normal(6, 4, 3)
    yield Case((mu, log_var, eps), note="one mu for the whole batch")
    mu, log_var, eps = draw.normal(4, 3), draw.log_var(3), draw.normal(6, 4, 3)
    yield Case((mu, log_var, eps), note="one log_var for the whole batch")
    yield Case(_samples(draw, 6, 1, 3), note="a batch of one")
    yield Case(_samples(draw, 6, 4, 1), note="one latent dimension")


def _samples_extremes(draw: Draw) -> Iterator[Case]:
    # not smaller: z - mu loses the digits of eps where sigma is tiny, for everyone
    mu, log_var, eps = _samples(draw, 6, 4, 3)
    yield Case((mu, log_var - 18, eps), scale=200, note="small variances")
    yield Case((mu, log_var + 40, eps), scale=1e19, note="a very wide q")
    far = 1e3 * draw.sign(4, 3)
    yield Case((far, log_var, 3 * eps), scale=1e7, note="a q far from the prior")


def _gradient_leading(draw: Draw) -> Iterator[Case]:
    yield Case(_pair(draw, 5), note="one example, no batch")
    yield Case(_pair(draw, 2, 4, 3), note="samples, batch, latent")
    yield Case(_pair(draw, 1, 3), note="a batch of one")
    yield Case(_pair(draw, 4, 1), note="one latent dimension")


def _gradient_extremes(draw: Draw) -> Iterator[Case]:
    mu, log_var = _pair(draw, 4, 3)
    yield Case((20 * mu, log_var - 80), scale=50, note="tiny variances")
    yield Case((mu, log_var + 12), scale=1e6, note="large variances")
    yield Case((mu, log_var + 80), scale=1e36, note="enormous variances")
    yield Case((1e3 * draw.sign(4, 3), log_var), scale=1e3, note="means far from 0")


CASES = {
    c.exercise: c
    for c in (
        Cases(
            "expected_log_q",
            ("log_var",),
            _log_var_plain,
            _log_var_leading,
            _log_var_extremes,
            gradients=("log_var",),
        ),
        Cases(
            "expected_log_prior",
            ("mu", "log_var"),
            _pair_plain,
            _pair_leading,
            _pair_extremes,
            gradients=("mu", "log_var"),
        ),
        Cases(
            "gaussian_kl",
            ("mu", "log_var"),
            _pair_plain,
            _pair_leading,
            _pair_extremes,
            gradients=("mu", "log_var"),
        ),
        Cases(
            "gaussian_kl_between",
            ("mu_q", "log_var_q", "mu_p", "log_var_p"),
            _four_plain,
            _four_leading,
            _four_extremes,
            gradients=("mu_q", "log_var_q", "mu_p", "log_var_p"),
        ),
        Cases(
            "monte_carlo_kl",
            ("mu", "log_var", "eps"),
            _samples_plain,
            _samples_leading,
            _samples_extremes,
            gradients=("mu", "log_var"),
            float32_extremes=False,
        ),
        Cases(
            "gaussian_kl_gradients",
            ("mu", "log_var"),
            _pair_plain,
            _gradient_leading,
            _gradient_extremes,
        ),
    )
}
for _cases in CASES.values():
    add_standard(LAWS, _cases)


# --- terms that learners write, right and wrong ---------------------------------------

_SIGMA = "log_var is log σ²: which exponential of it is σ², and which is σ?"
_LOG = "The logarithm of a variance and the variance itself are two numbers."


def _ones(named: Named) -> Tensor:
    return torch.ones_like(next(iter(named.values())))


def _share(named: Named) -> Tensor:
    """What sums to 1 over the last dimension: a constant that is counted once."""
    return _ones(named) / _ones(named).shape[-1]


_LOGS = (
    Term("log σ²", "log-variance", lambda n: n["log_var"]),
    Term("a constant", "constant", _ones),
    Term("a constant counted once, not once for each dimension,", "constant", _share),
)
_SPREADS = (
    Term("σ²", "variance", lambda n: n["log_var"].exp()),
    Term("σ", "variance", lambda n: (0.5 * n["log_var"]).exp(), _SIGMA),
    Term("σ⁴", "variance", lambda n: (2 * n["log_var"]).exp(), _SIGMA),
    Term("1/σ²", "variance", lambda n: (-n["log_var"]).exp(), _SIGMA),
)
_UNDER = "Whose variance is it that distances are measured in, q's or p's?"
_MEANS = (
    Term("mu²", "mean", lambda n: n["mu"] ** 2),
    Term("mu", "mean", lambda n: n["mu"], "Turn the sign of mu: what changes?"),
    Term("|mu|", "mean", lambda n: n["mu"].abs(), "A distance, not its square."),
    Term("mu²/σ²", "mean", lambda n: n["mu"] ** 2 * (-n["log_var"]).exp(), _UNDER),
    Term("mu²σ²", "mean", lambda n: n["mu"] ** 2 * n["log_var"].exp(), _UNDER),
)


def _pair_of(draw: Draw, batch: int, latent: int) -> tuple[Tensor, ...]:
    return _pair(draw, batch, latent)


def _ratio(power: float) -> Callable[[Named], Tensor]:
    """A power of the ratio of q's standard deviation to p's."""
    return lambda n: (0.5 * power * (n["log_var_q"] - n["log_var_p"])).exp()


def _far(named: Named) -> Tensor:
    far: Tensor = named["mu_q"] - named["mu_p"]
    return far


def _far_over(power: float, of: str = "log_var_p") -> Callable[[Named], Tensor]:
    """The squared distance of the means over a power of a standard deviation."""
    return lambda n: _far(n) ** 2 * (-0.5 * power * n[of]).exp()


_UPSIDE = "Does it grow with the variance of q, which draws z, or shrink?"
_IN_P = "Distances and spreads are measured in what p is wide: its variance divides."
_FORGIVES = "A wide p forgives a large distance, a narrow one does not."
_EXCHANGE = "Exchange the two means: what changes?"
_BETWEEN = (
    Term("log σ_q²", "log-variance-of-q", lambda n: n["log_var_q"]),
    Term("log σ_p²", "log-variance-of-p", lambda n: n["log_var_p"]),
    *_LOGS[1:],
    Term("σ_q²/σ_p²", "ratio", _ratio(2)),
    Term("σ_q/σ_p", "ratio", _ratio(1), _SIGMA),
    Term("σ_q⁴/σ_p⁴", "ratio", _ratio(4), _SIGMA),
    Term("σ_p²/σ_q²", "ratio", _ratio(-2), _UPSIDE),
    Term("σ_q²", "ratio", lambda n: n["log_var_q"].exp(), _IN_P),
    Term("σ_p²", "ratio", lambda n: n["log_var_p"].exp(), _IN_P),
    Term("(mu_q - mu_p)²/σ_p²", "distance", _far_over(2)),
    Term("(mu_q - mu_p)²", "distance", _far_over(0), _IN_P),
    Term("(mu_q - mu_p)²/σ_p", "distance", _far_over(1), _SIGMA),
    Term("(mu_q - mu_p)²/σ_p⁴", "distance", _far_over(4), _SIGMA),
    Term("(mu_q - mu_p)²/σ_q²", "distance", _far_over(2, "log_var_q"), _UNDER),
    Term("(mu_q - mu_p)²·σ_p²", "distance", _far_over(-2), _FORGIVES),
    Term(
        "(mu_q - mu_p)/σ_p²",
        "distance",
        lambda n: _far(n) * (-n["log_var_p"]).exp(),
        _EXCHANGE,
    ),
)


def _drawn(power: float) -> Callable[[Named], Tensor]:
    """The square of z, its noise scaled by a power of σ."""
    return lambda n: (n["mu"] + (0.5 * power * n["log_var"]).exp() * n["eps"]) ** 2


def _noise_times(power: float) -> Callable[[Named], Tensor]:
    return lambda n: n["eps"] ** 2 * (0.5 * power * n["log_var"]).exp()


_AT_Z = "p is asked about z, and a log-density of a Gaussian holds a square."
_SAMPLED = (
    *_LOGS,
    Term("eps²", "density-of-q", _noise_times(0)),
    Term("eps²·σ", "density-of-q", _noise_times(1), _SIGMA),
    Term("eps²/σ²", "density-of-q", _noise_times(-2), _SIGMA),
    Term("eps²·σ²", "density-of-q", _noise_times(2), _SIGMA),
    Term("z²", "density-of-p", _drawn(1)),
    Term("(mu + σ² eps)²", "density-of-p", _drawn(2), _SIGMA),
    Term("(mu + eps)²", "density-of-p", _drawn(0), "How wide is q?"),
    Term(
        "(mu + log σ² eps)²",
        "density-of-p",
        lambda n: (n["mu"] + n["log_var"] * n["eps"]) ** 2,
        _LOG,
    ),
    Term("mu²", "density-of-p", lambda n: n["mu"] ** 2, _AT_Z),
    Term(
        "z",
        "density-of-p",
        lambda n: n["mu"] + (0.5 * n["log_var"]).exp() * n["eps"],
        _AT_Z,
    ),
)
_NOT_YET = "That is the term itself, before it is differentiated."
_SLOPES = (
    Term("mu", "slope", lambda n: n["mu"]),
    Term("mu²", "slope", lambda n: n["mu"] ** 2, _NOT_YET),
    Term("log σ²", "slope", lambda n: n["log_var"], _LOG),
    Term("a constant", "constant", _ones),
    *_SPREADS,
)

for _name, _terms in (
    ("expected_log_q", (*_LOGS, *_SPREADS)),
    ("expected_log_prior", (*_LOGS, *_SPREADS, *_MEANS)),
    ("gaussian_kl", (*_LOGS, *_SPREADS, *_MEANS)),
):
    _make = (
        _pair_of if "mu" in CASES[_name].params else lambda d, b, n: (d.log_var(b, n),)
    )
    add_formula(LAWS, CASES[_name], Formula(_make, _terms))
add_formula(
    LAWS,
    CASES["gaussian_kl_between"],
    Formula(lambda d, b, n: _four(d, b, n), _BETWEEN),
)
add_formula(
    LAWS,
    CASES["monte_carlo_kl"],
    Formula(
        lambda d, b, n: _samples(d, 4, b, n),
        _SAMPLED,
        lambda t: t.sum(-1).mean(0),
    ),
)
add_formula(
    LAWS,
    CASES["gaussian_kl_gradients"],
    *(Formula(_pair_of, _SLOPES, lambda t: t, place) for place in (0, 1)),
)


# --- laws of this lesson --------------------------------------------------------------


@LAWS.law(
    "gaussian_kl_gradients",
    "no trace",
    "the caller's tensors are left as they were: no .grad, the same requires_grad",
)
def _no_trace(subject: Subject, truth: Truth, draw: Draw) -> None:
    cases = CASES["gaussian_kl_gradients"]
    for wrt, upstream, note in (
        ((), False, "plain tensors"),
        ((0, 1), False, "mu and log_var require a gradient"),
        ((0, 1), True, "mu and log_var come from an encoder"),
    ):
        case = Case(_pair(draw, 4, 3), note=note)
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
        compare(answer.value, expected, what=tried(cases, case), rtol=LOOSE)
