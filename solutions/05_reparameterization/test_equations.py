"""The equations printed in lesson 05, by sympy or by quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
import torch
from torch import Tensor

MU, ELL, Z, EPS, THETA, B = sp.symbols("mu ell z epsilon theta b", real=True)
SIGMA = sp.symbols("sigma", positive=True)
PATH = MU + SIGMA * EPS


def moment(power: int) -> int:
    """E[eps^power] of a standard normal, by a quadrature that is exact to power 23."""
    at, weight = np.polynomial.hermite_e.hermegauss(12)
    value = float((weight * at**power).sum() / weight.sum())
    assert value == pytest.approx(round(value), abs=1e-6)
    return round(value)


def mean(polynomial: sp.Expr) -> sp.Expr:
    """The expectation of a polynomial in eps."""
    terms = sp.Poly(sp.expand(polynomial), EPS).terms()
    return sp.expand(sum(c * moment(k) for (k,), c in terms))


def log_q() -> sp.Expr:
    return -(sp.log(2 * sp.pi) + ELL + (Z - MU) ** 2 * sp.exp(-ELL)) / 2


def nodes(latent: int, points: int = 7) -> tuple[Tensor, Tensor]:
    """Gauss-Hermite points in `latent` dimensions: exact to degree 2 · points - 1."""
    at, weight = np.polynomial.hermite_e.hermegauss(points)
    one, w = torch.tensor(at), torch.tensor(weight / weight.sum())
    grid = torch.cartesian_prod(*[one] * latent).reshape(-1, latent)
    weights = torch.cartesian_prod(*[w] * latent).reshape(-1, latent).prod(-1)
    return grid, weights


def variance(values: Tensor, weights: Tensor) -> Tensor:
    first = (weights[:, None] * values).sum(0)
    return (weights[:, None] * values**2).sum(0) - first**2


# --- sections 1 and 2 ---------------------------------------------------------------


def test_section_1_the_truth_about_the_square() -> None:
    assert mean((MU + EPS) ** 2) == MU**2 + 1
    assert sp.diff(MU**2 + 1, MU) == 2 * MU


def test_line_2_fails_for_the_uniform() -> None:
    outside = sp.diff(sp.integrate(Z / THETA, (Z, 0, THETA)), THETA)
    inside = sp.integrate(sp.diff(Z / THETA, THETA), (Z, 0, THETA))
    assert outside == sp.Rational(1, 2)
    assert inside == -sp.Rational(1, 2)


def test_lines_3_and_4_the_score_gives_the_gradient() -> None:
    q = sp.exp(log_q())
    assert sp.simplify(sp.diff(q, MU) - q * sp.diff(log_q(), MU)) == 0
    for f in (Z**2, Z**3, Z**4):
        path = f.subs(Z, PATH)
        assert sp.simplify(mean(path * EPS / SIGMA) - sp.diff(mean(path), MU)) == 0


def test_line_5_the_scores_have_mean_zero_and_the_printed_variances() -> None:
    in_mu, in_ell = EPS / SIGMA, (EPS**2 - 1) / 2
    assert mean(in_mu) == 0
    assert mean(in_ell) == 0
    assert sp.simplify(mean(in_mu**2) - 1 / SIGMA**2) == 0
    assert mean(in_ell**2) == sp.Rational(1, 2)
    assert math.exp(0.5) == pytest.approx(1.65, abs=0.005)
    assert math.exp(-0.5) == pytest.approx(0.607, abs=0.0005)


def test_section_2_the_scores_of_a_gaussian() -> None:
    inverse = sp.exp(-ELL)
    assert sp.simplify(sp.diff(log_q(), MU) - (Z - MU) * inverse) == 0
    printed = ((Z - MU) ** 2 * inverse - 1) / 2
    assert sp.simplify(sp.diff(log_q(), ELL) - printed) == 0


# --- sections 3 and 4 ---------------------------------------------------------------


def test_section_3_the_gradient_of_a_step() -> None:
    phi = sp.erf(MU / SIGMA / sp.sqrt(2)) / 2  # Phi, less a constant
    density = sp.exp(-((MU / SIGMA) ** 2) / 2) / sp.sqrt(2 * sp.pi)
    assert sp.simplify(sp.diff(phi, MU) - density / SIGMA) == 0


def test_line_8_the_two_derivatives_of_the_path() -> None:
    z = MU + sp.exp(ELL / 2) * EPS
    assert sp.diff(z, MU) == 1
    assert sp.simplify(sp.diff(z, ELL) - sp.exp(ELL / 2) * EPS / 2) == 0
    f = PATH**4
    by_path = mean((4 * Z**3).subs(Z, PATH) * SIGMA * EPS / 2)
    by_law = sp.diff(mean(f), SIGMA) * SIGMA / 2  # d/d ell = (sigma / 2) d/d sigma
    assert sp.expand(by_path - by_law) == 0


def test_section_4_the_expected_sine() -> None:
    grid, weights = nodes(1, 40)
    for mu, sigma in ((0.5, 1.0), (-1.2, 0.6)):
        z = mu + sigma * grid[:, 0]
        sine = (weights * torch.sin(z)).sum().item()
        slope = (weights * torch.cos(z)).sum().item()
        assert sine == pytest.approx(math.exp(-(sigma**2) / 2) * math.sin(mu))
        assert slope == pytest.approx(math.exp(-(sigma**2) / 2) * math.cos(mu))
    assert math.exp(-0.5) * math.cos(0.5) == pytest.approx(0.532, abs=0.0005)


# --- section 5 ----------------------------------------------------------------------


def test_section_5_the_moments() -> None:
    assert [moment(k) for k in (1, 2, 3, 4, 5, 6)] == [0, 1, 0, 3, 0, 15]
    z = PATH
    assert mean(z**2 * EPS**2) == sp.expand(MU**2 + 3 * SIGMA**2)
    fourth = MU**4 + 18 * MU**2 * SIGMA**2 + 15 * SIGMA**4
    assert mean(z**4 * EPS**2) == sp.expand(fourth)
    assert mean(z**2) == sp.expand(MU**2 + SIGMA**2)
    spread = sp.expand(mean(z**4) - mean(z**2) ** 2)
    assert spread == sp.expand(2 * SIGMA**4 + 4 * MU**2 * SIGMA**2)
    assert mean((2 * z) ** 2) - mean(2 * z) ** 2 == 4 * SIGMA**2
    assert mean(z**2 * EPS / SIGMA) == 2 * MU


def printed_variance(mu: Tensor, var: Tensor, count: int | None = None) -> Tensor:
    """The sum of section 5, for the first `count` dimensions, one after the other."""
    out = []
    for j in range(count or len(mu)):
        rest = [k for k in range(len(mu)) if k != j]
        first = sum(mu[k] ** 2 + var[k] for k in rest)
        spread = sum(2 * var[k] ** 2 + 4 * mu[k] ** 2 * var[k] for k in rest)
        own = mu[j] ** 4 + 18 * mu[j] ** 2 * var[j] + 15 * var[j] ** 2
        square = own + 2 * (mu[j] ** 2 + 3 * var[j]) * first + first**2 + spread
        out.append(square / var[j] - 4 * mu[j] ** 2)
    return torch.stack(out)


@pytest.mark.parametrize("latent", [1, 2, 4])
def test_section_5_the_variance_of_the_score_function(latent: int) -> None:
    mu = torch.linspace(-0.8, 1.3, latent, dtype=torch.float64)
    sigma = torch.linspace(0.6, 1.4, latent, dtype=torch.float64)
    eps, weights = nodes(latent)
    value = ((mu + sigma * eps) ** 2).sum(-1, keepdim=True)
    exact = variance(value * eps / sigma, weights)
    assert torch.allclose(printed_variance(mu, sigma**2), exact, rtol=1e-10)


def test_section_5_the_numbers_and_the_case_of_mean_zero() -> None:
    for d, ratio in ((1, 7.5), (20, 473), (200, 40_703)):
        one = torch.ones(d, dtype=torch.float64)
        assert printed_variance(one, one, 1)[0] / 4 == pytest.approx(ratio)
        var = 0.49 * one
        at_zero = printed_variance(0 * one, var, 1)[0]
        assert at_zero == pytest.approx((d + 2) * (d + 4) * 0.49)


# --- section 6 ----------------------------------------------------------------------


@pytest.mark.parametrize("latent", [1, 3])
def test_lines_9_and_10_a_baseline_keeps_the_mean(latent: int) -> None:
    eps, weights = nodes(latent)
    mu, sigma = 0.7, 1.3
    value = ((mu + sigma * eps) ** 2).sum(-1, keepdim=True)
    score = eps / sigma
    means = [(weights[:, None] * (value - b) * score).sum(0) for b in (-3.0, 0.0, 11.0)]
    for found in means:
        assert torch.allclose(found, torch.full_like(found, 2 * mu))
    fs2 = (weights[:, None] * value * score**2).sum(0)
    best = fs2 * sigma**2  # divided by E[s²] = 1 / sigma²
    lowest = variance((value - best) * score, weights)
    for b in (-3.0, 0.0, 11.0):
        apart = (b - best) ** 2 / sigma**2
        here = variance((value - b) * score, weights)
        assert torch.allclose(here, lowest + apart)


@pytest.mark.parametrize("latent", [1, 2, 4])
def test_section_6_the_table_of_baselines(latent: int) -> None:
    eps, weights = nodes(latent)
    value, d = (eps**2).sum(-1, keepdim=True), latent
    table = {0: (d + 2) * (d + 4), d: 2 * (d + 4), d + 2: 2 * (d + 2)}
    for b, printed in table.items():
        measured = variance((value - b) * eps, weights)
        assert torch.allclose(measured, torch.full_like(measured, printed))
    assert (10 + 2) * (10 + 4) == 168
    parabola = sp.Lambda(B, 168 - 24 * B + B**2)
    assert [parabola(b) for b in (0, 10, 12)] == [168, 28, 24]


def exhaustive(samples: int, weigh) -> Tensor:
    """The exact mean of an estimator of d/dmu E[z²], by quadrature over all samples."""
    eps, weights = nodes(samples, 4)
    value = (1 + eps) ** 2  # mu = 1, sigma = 1, one dimension
    return (weights * weigh(value, eps).mean(-1)).sum()


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_section_6_the_bias_of_the_mean_and_the_cure(samples: int) -> None:
    def with_mean(value: Tensor, score: Tensor) -> Tensor:
        return (value - value.mean(-1, keepdim=True)) * score

    def left_out(value: Tensor, score: Tensor) -> Tensor:
        others = (value.sum(-1, keepdim=True) - value) / (samples - 1)
        return (value - others) * score

    assert exhaustive(samples, with_mean) == pytest.approx(2 * (1 - 1 / samples))
    assert exhaustive(samples, left_out) == pytest.approx(2.0)


def test_section_6_leave_one_out_is_the_sample_covariance() -> None:
    value, score = torch.tensor([[0.3, -1.2, 2.0, 0.7], [1.1, 0.4, -0.9, 0.2]])
    others = (value.sum() - value) / 3
    centred = value - value.mean()
    assert torch.allclose(value - others, centred * 4 / 3)
    loo = ((value - others) * score).mean()
    assert torch.allclose(loo, torch.cov(torch.stack([value, score]))[0, 1])


# --- section 7 ----------------------------------------------------------------------


def test_section_7_the_noise_free_descent() -> None:
    assert sp.diff(mean((PATH - 2) ** 2), MU) == sp.expand(2 * (MU - 2))
    after = 2 * (1 - 2 * 0.005) ** 300
    assert after == pytest.approx(0.098, abs=0.0005)


def test_section_7_a_term_of_value_zero_has_the_gradient_of_the_estimate() -> None:
    mu, ell = (torch.tensor(v, requires_grad=True) for v in (0.4, -0.3))
    score_mu, score_ell, cost = 1.7, -0.2, 3.0
    slope = score_mu * mu + score_ell * ell
    term = cost * (slope - slope.detach())
    assert term.item() == 0
    grads = torch.autograd.grad(term, (mu, ell))
    assert [g.item() for g in grads] == pytest.approx([5.1, -0.6])


def test_section_7_a_constant_of_1000_and_its_variance() -> None:
    """Variance grows by b² / sigma² to leading order (line 10 with b = -1000)."""
    eps, weights = nodes(1)
    sigma = 0.8
    value = (0.5 + sigma * eps) ** 2
    plain = variance(value * eps / sigma, weights)
    shifted = variance((value + 1000) * eps / sigma, weights)
    assert (shifted - plain).item() == pytest.approx(1000**2 / sigma**2, rel=0.01)
