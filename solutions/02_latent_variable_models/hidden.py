"""Lesson 02: oracles by torch.distributions and by conditioning; the hidden laws."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from vae_edu.checks.draw import Draw
from vae_edu.checks.latent_variable_models import CASES
from vae_edu.checks.law import FLOAT32, LOOSE, Broken, Laws, Truth, compare
from vae_edu.checks.standard import Case, add_fresh, cast, tried
from vae_edu.subject import Subject

LAWS = Laws("latent_variable_models")
INF = float("inf")


# --- oracles --------------------------------------------------------------------------


def gaussian_log_prob(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """torch.distributions, everything brought to one shape first."""
    x, mean, log_var = torch.broadcast_tensors(x, mean, log_var)
    normal = Independent(Normal(mean, (log_var / 2).exp(), validate_args=False), 1)
    return normal.log_prob(x)


def _marginal(weight: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.exp().expand(weight.shape[0])
    return torch.einsum("ik,jk->ij", weight, weight) + torch.diag(noise)


def linear_gaussian_log_evidence(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Tensor:
    """torch.distributions' Gaussian (by a Cholesky factor)."""
    covariance = _marginal(weight, log_var)
    return MultivariateNormal(bias, covariance, validate_args=False).log_prob(x)


def linear_gaussian_posterior(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    """Conditioning of the joint Gaussian of (z, x): Cov(z, x) = Wᵀ."""
    gain = torch.linalg.solve(_marginal(weight, log_var), weight)  # (data, latent)
    prior = torch.eye(weight.shape[1], dtype=x.dtype)
    return torch.einsum("...d,dk->...k", x - bias, gain), prior - weight.T @ gain


def monte_carlo_log_evidence(log_likelihoods: Tensor) -> Tensor:
    """The mean of weights relative to the largest."""
    peak = log_likelihoods.detach().amax(0)
    peak = torch.where(torch.isinf(peak), torch.zeros_like(peak), peak)
    return (log_likelihoods - peak).exp().mean(0).log() + peak


def importance_log_evidence(log_joint: Tensor, log_q: Tensor) -> Tensor:
    """The same with weights p(x, z) / q(z)."""
    return monte_carlo_log_evidence(log_joint - log_q)


ORACLES = {
    f.__name__: f
    for f in (
        gaussian_log_prob,
        linear_gaussian_log_evidence,
        linear_gaussian_posterior,
        monte_carlo_log_evidence,
        importance_log_evidence,
    )
}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)


# --- hidden laws ----------------------------------------------------------------------


def _expect_all(
    subject: Subject, truth: Truth, draw: Draw, name: str, case: Case
) -> None:
    """Value in float64 and float32, and every gradient, of one case."""
    cases = CASES[name]
    what = tried(cases, case)
    expected = truth(name, *case.args)
    wrt = [cases.params.index(p) for p in cases.gradients]
    parts = expected if isinstance(expected, tuple) else (expected,)
    cotangents = tuple(draw.sign(*part.shape) for part in parts)
    answer = subject.vjp(name, case.args, wrt, cotangents)
    compare(answer.value, expected, what=what, scale=case.scale, rtol=LOOSE)
    single = subject.call(name, *cast(case.args, dtype=torch.float32))
    rtol, said = 4 * FLOAT32, f"in float32, {what}"
    compare(
        single, expected, what=said, scale=case.scale, rtol=rtol, dtype=torch.float32
    )
    wanted = truth.vjp(name, case.args, wrt, cotangents)
    for param, got, want in zip(cases.gradients, answer.grads, wanted, strict=True):
        said = f"the gradient of {what} with respect to {param}"
        if got is None:
            raise Broken(f"{said} is missing.", "gradient", None, want)
        scale = max(1.0, float(want.abs().max()))
        compare(got, want, what=said, scale=scale, rtol=10 * LOOSE)


@LAWS.law(
    "gaussian_log_prob",
    "broadcasting",
    "values and gradients are right in every pattern of broadcasting",
    hidden=True,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    shapes: tuple[tuple[int, ...], ...] = ((4,), (3, 4), (5, 1, 4), (1, 3, 4))
    for x in shapes:
        for mean in shapes:
            for log_var in ((), *shapes):
                args = draw.normal(*x), 2 * draw.normal(*mean), draw.log_var(*log_var)
                _expect_all(subject, truth, draw, "gaussian_log_prob", Case(args, 60))


# They differ by 1 at most: an eigendecomposition has no gradient at equal eigenvalues.
SIZES = ((4, 3), (3, 4), (3, 3), (2, 1), (1, 2), (1, 1))


def _expect_all_models(subject: Subject, truth: Truth, draw: Draw, name: str) -> None:
    for data, latent in SIZES:
        for leading in ((), (5,), (data,), (1,), (2, 3), (2, 1, 3)):
            args = (
                draw.normal(*leading, data),
                draw.normal(data, latent),
                draw.normal(data),
                draw.uniform(low=-0.7, high=1.5),
            )
            _expect_all(subject, truth, draw, name, Case(args, 100))


MODELS = "values and gradients are right for every size of model and of x"


@LAWS.law("linear_gaussian_log_evidence", "all sizes", MODELS, hidden=True)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_all_models(subject, truth, draw, "linear_gaussian_log_evidence")


@LAWS.law("linear_gaussian_posterior", "all sizes", MODELS, hidden=True)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_all_models(subject, truth, draw, "linear_gaussian_posterior")


# Column by column: one hole (last, in the middle), two, all but the first, none. The
# first sample is never one where gradients are asked: adding -inf and -inf, one after
# the other (torch.logaddexp), gives the right value and no gradient.
HOLES = ((4,), (2,), (2, 4), (1, 2, 3, 4), ())
WEIGHTLESS = "weights of 0 are right beside ±1e4, in both dtypes and in the gradient"


def _holed(values: Tensor) -> Tensor:
    holed = values.clone()
    for column, rows in enumerate(HOLES):
        holed[list(rows), column] = -INF
    return holed


def _far(shift: float) -> Tensor:
    return torch.tensor([0.0, shift, -shift, shift, -shift], dtype=torch.float64)


@LAWS.law("monte_carlo_log_evidence", "weights of 0", WEIGHTLESS, hidden=True)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    name = "monte_carlo_log_evidence"
    for shift in (3.0, 1e4):
        values = _holed(2 * draw.normal(5, 5) + _far(shift))
        _expect_all(subject, truth, draw, name, Case((values,), 10 * shift))
    values[:, 0] = -INF
    values[:4, 3] = -INF
    _expect_value(subject, truth, name, values)


def _expect_value(subject: Subject, truth: Truth, name: str, *args: Tensor) -> None:
    expected = truth(name, *args)
    for dtype, rtol in ((torch.float64, LOOSE), (torch.float32, 4 * FLOAT32)):
        got = subject.call(name, *cast(args, dtype=dtype))
        what = tried(CASES[name], Case(args))
        compare(got, expected, what=what, scale=1e4, rtol=rtol, dtype=dtype)


@LAWS.law("importance_log_evidence", "weights of 0", WEIGHTLESS, hidden=True)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    name = "importance_log_evidence"
    for shift in (3.0, 1e4):
        log_q = 2 * draw.normal(5, 5) + _far(shift).flip(0)
        log_joint = _holed(2 * draw.normal(5, 5) + _far(shift))
        _expect_all(subject, truth, draw, name, Case((log_joint, log_q), 10 * shift))
    log_joint[:, 0] = -INF
    log_joint[:4, 3] = -INF
    _expect_value(subject, truth, name, log_joint, log_q)
