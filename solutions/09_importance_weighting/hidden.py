"""Lesson 09: oracles by torch.distributions and exact powers; the hidden laws."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vae_edu.checks.draw import Draw
from vae_edu.checks.importance_weighting import (
    CASES,
    INF,
    codes,
    expect,
    holed,
    sizes_of,
    weighing,
)
from vae_edu.checks.law import FLOAT32, LOOSE, Broken, Laws, Truth, compare
from vae_edu.checks.standard import Case, add_fresh, cast, tried
from vae_edu.subject import Subject

LAWS = Laws("importance_weighting")


# --- oracles --------------------------------------------------------------------------


def log_importance_weights(
    x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor
) -> Tensor:
    """Two log-softmaxes for a pixel, torch.distributions for the Gaussians."""
    both = torch.stack([torch.zeros_like(logits), logits], dim=-1)
    log_p = both - torch.logsumexp(both, dim=-1, keepdim=True)
    chosen = torch.stack([1 - x, x], dim=-1)
    log_likelihood = (chosen * log_p).sum(dim=(-2, -1))
    q = Independent(Normal(mu, (log_var / 2).exp(), validate_args=False), 1)
    ones = torch.ones_like(mu)
    prior = Independent(Normal(0 * ones, ones, validate_args=False), 1)
    return log_likelihood + prior.log_prob(z) - q.log_prob(z)


def iwae_bound(log_weights: Tensor) -> Tensor:
    """The mean of the weights relative to the largest."""
    peak = log_weights.detach().amax(0)
    peak = torch.where(torch.isinf(peak), torch.zeros_like(peak), peak)
    return (log_weights - peak).exp().mean(0).log() + peak


def normalized_weights(log_weights: Tensor) -> Tensor:
    """Each weight against all of its example: 1 / sum_t exp(a_t - a_s)."""
    peak = log_weights.detach().amax(0)
    weights = (log_weights - peak).exp()
    return weights / weights.sum(0)


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """By its definition, after the largest weight was taken out."""
    weights = (log_weights - log_weights.detach().amax(0)).exp()
    return weights.sum(0) ** 2 / (weights**2).sum(0)


def active_units(mu: Tensor) -> Tensor:
    """From the lengths of the centred columns."""
    n = mu.shape[0]
    centred = mu - mu.sum(0) / n
    active = (centred.T @ centred).diagonal() > 0.01 * n
    return torch.where(active, torch.ones_like(mu[0]), torch.zeros_like(mu[0]))


ORACLES = {
    f.__name__: f
    for f in (
        log_importance_weights,
        iwae_bound,
        normalized_weights,
        effective_sample_size,
        active_units,
    )
}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)


# --- hidden laws ----------------------------------------------------------------------


def _expect_all(
    subject: Subject,
    truth: Truth,
    draw: Draw,
    name: str,
    case: Case,
    *,
    exact_in_float32: bool = True,
) -> None:
    """Value in float64 and float32, and every gradient, of one case."""
    cases = CASES[name]
    what = tried(cases, case)
    expected = truth(name, *case.args)
    wrt = [cases.params.index(p) for p in cases.gradients]
    cotangents = (draw.sign(*expected.shape),)
    answer = subject.vjp(name, case.args, wrt, cotangents)
    # where only ratios count, the size of the log-weights does not matter in float64
    scale = case.scale if exact_in_float32 else 1.0
    compare(answer.value, expected, what=what, scale=scale, rtol=LOOSE)
    compare(
        subject.call(name, *cast(case.args, dtype=torch.float32)),
        expected,
        what=f"in float32, {what}",
        scale=case.scale,
        rtol=4 * FLOAT32,
        dtype=torch.float32,
    )
    wanted = truth.vjp(name, case.args, wrt, cotangents)
    for param, got, want in zip(cases.gradients, answer.grads, wanted, strict=True):
        said = f"the gradient of {what} with respect to {param}"
        if got is None:
            raise Broken(f"{said} is missing.", "gradient", None, want)
        scale = max(1.0, float(want.abs().max()))
        compare(got, want, what=said, scale=scale, rtol=10 * LOOSE)


@LAWS.law(
    "log_importance_weights",
    "all sizes",
    "values and gradients are right for every pattern of sizes",
    hidden=True,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for sizes in (
        (5, 2, 7, 3),
        (2, 5, 3, 7),
        (1, 1, 4, 2),
        (2, 2, 2, 2),
        (3, 1, 3, 1),
        (1, 3, 1, 3),
        (130, 2, 3, 2),
        (2, 70, 3, 2),
    ):
        args = weighing(draw, *sizes)
        _expect_all(subject, truth, draw, "log_importance_weights", Case(args, 60))


# Where gradients are asked, the first sample is never -inf: adding -inf to -inf, one
# after the other (torch.logaddexp), gives the right value and no gradient.
WEIGHTLESS = "weights of 0 are right beside ±1e4, in both dtypes and in the gradient"


def _expect_weightless(
    subject: Subject, truth: Truth, draw: Draw, name: str, *, in_logs: bool
) -> None:
    for far in (3.0, 1e4):
        log_weights = holed(2 * draw.normal(6, 4) + sizes_of(far, 4))
        case = Case((log_weights,), 10 * far, "some are -inf")
        _expect_all(subject, truth, draw, name, case, exact_in_float32=in_logs)
    within = holed(2 * draw.normal(6, 4) + sizes_of(1e4, 6)[:, None])
    within[:5, 3] = -INF
    case = Case((within,), 1e4 if in_logs else 1.0, "-inf beside ±1e4")
    expect(subject, truth, name, case)
    many = 2 * draw.normal(5003, 1) - 5  # as many as a test score takes, and no more
    many[7::11] = -INF
    expect(subject, truth, name, Case((many,), 10, "5,003 samples, some are -inf"))


@LAWS.law("iwae_bound", "weights of 0", WEIGHTLESS, hidden=True)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_weightless(subject, truth, draw, "iwae_bound", in_logs=True)
    empty = torch.full((3, 2), -INF, dtype=torch.float64)
    for shape in ((3, 2), (1, 1), (1, 2)):
        case = Case((empty[: shape[0], : shape[1]].clone(),), note="-inf only")
        expect(subject, truth, "iwae_bound", case)


@LAWS.law("normalized_weights", "weights of 0", WEIGHTLESS, hidden=True)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_weightless(subject, truth, draw, "normalized_weights", in_logs=False)


@LAWS.law("effective_sample_size", "weights of 0", WEIGHTLESS, hidden=True)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    _expect_weightless(subject, truth, draw, "effective_sample_size", in_logs=False)


@LAWS.law(
    "active_units",
    "many images",
    "as many images as a test set has, and as few as two",
    hidden=True,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    # divided by n - 1, each of the last two would cross the threshold
    for batch in (2, 3, 20, 300):
        below = 0.01 * (batch - 0.4) / batch
        mu = codes(draw, batch, (0.011, 1e-4, 0.2, below, below)).sort(0).values
        case = Case((mu + draw.normal(5),), note=f"{batch} images")
        expect(subject, truth, "active_units", case)
