"""Lesson 04: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, Broken, Laws, Truth, compare
from vae_edu.checks.standard import Case, Cases, add_standard, tried
from vae_edu.subject import Subject

LAWS = Laws("kl_divergence")


def _log_var_plain(draw: Draw) -> Iterator[Case]:
    yield Case((draw.log_var(4, 3),))


def _log_var_leading(draw: Draw) -> Iterator[Case]:
    yield Case((draw.log_var(5),), note="one example, no batch")
    yield Case((draw.log_var(2, 4, 3),), note="samples, batch, latent")
    yield Case((draw.log_var(2, 3, 4, 5),), note="three leading dimensions")
    yield Case((draw.log_var(1, 3),), note="a batch of one")
    yield Case((draw.log_var(4, 1),), note="one latent dimension")


def _log_var_extremes(draw: Draw) -> Iterator[Case]:
    yield Case((draw.log_var(4, 3) + 60,), scale=100, note="large variances")
    yield Case((draw.log_var(4, 3) - 60,), scale=100, note="tiny variances")


def _pair(draw: Draw, *shape: int) -> tuple[Tensor, Tensor]:
    return draw.normal(*shape), draw.log_var(*shape)


def _pair_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_pair(draw, 4, 3), scale=4)
    yield Case(_pair(draw, 2, 5), scale=4)
    mu, log_var = _pair(draw, 3, 4)
    yield Case((0 * mu, 0 * log_var), note="q is the prior")


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
    yield Case((30 * mu, log_var - 55), scale=5e3, note="tiny variances")
    yield Case((mu, log_var + 12), scale=1e6, note="large variances")
    yield Case((mu, log_var + 55), scale=1e26, note="enormous variances")


def _four(draw: Draw, *shape: int) -> tuple[Tensor, ...]:
    return (*_pair(draw, *shape), *_pair(draw, *shape))


def _four_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_four(draw, 4, 3), scale=10)
    mu, log_var = _pair(draw, 2, 5)
    yield Case((mu, log_var, mu.clone(), log_var.clone()), note="q is p")


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
        (mu_q, log_var_q - 70, mu_p, log_var_p), scale=200, note="q nearly a point"
    )
    yield Case(
        (mu_q, log_var_q + 50, mu_p, log_var_p + 50), scale=10, note="both very wide"
    )
    yield Case(
        (mu_q, log_var_q - 50, mu_p, log_var_p - 50),
        scale=1e24,
        note="both nearly points",
    )


def _samples(
    draw: Draw, num_samples: int, batch: int, latent: int
) -> tuple[Tensor, ...]:
    return (*_pair(draw, batch, latent), draw.normal(num_samples, batch, latent))


def _samples_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_samples(draw, 6, 4, 3), scale=10)
    yield Case(_samples(draw, 1, 2, 5), scale=10, note="a single sample")


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


def _gradient_leading(draw: Draw) -> Iterator[Case]:
    yield Case(_pair(draw, 5), note="one example, no batch")
    yield Case(_pair(draw, 2, 4, 3), note="samples, batch, latent")
    yield Case(_pair(draw, 1, 3), note="a batch of one")
    yield Case(_pair(draw, 4, 1), note="one latent dimension")


def _gradient_extremes(draw: Draw) -> Iterator[Case]:
    mu, log_var = _pair(draw, 4, 3)
    yield Case((20 * mu, log_var - 55), scale=50, note="tiny variances")
    yield Case((mu, log_var + 12), scale=1e6, note="large variances")
    yield Case((mu, log_var + 55), scale=1e26, note="enormous variances")


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
            )
        expected = truth(cases.exercise, *case.args)
        compare(answer.value, expected, what=tried(cases, case), rtol=LOOSE)
