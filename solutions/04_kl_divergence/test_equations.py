"""The equations printed in lesson 04, by sympy where possible, else by quadrature."""

from __future__ import annotations

import math

import pytest
import sympy as sp
import torch
from torch import Tensor
from torch.distributions import (
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from vae_edu.checks.draw import Draw

Z = torch.linspace(-60, 60, 24001, dtype=torch.float64)
MU, ELL = sp.symbols("mu ell", real=True)
PAIRS = [(0.0, 0.0), (1.0, -1.4), (-2.3, 0.9), (0.4, 2.1)]


def normal(mu: float, log_var: float) -> Normal:
    mean = torch.tensor(mu, dtype=torch.float64)
    return Normal(mean, math.exp(log_var / 2))


def integral(values: Tensor) -> float:
    return torch.trapezoid(values, Z).item()


def quadrature(q: Normal, p: Normal) -> float:
    log_q, log_p = q.log_prob(Z), p.log_prob(Z)
    return integral(log_q.exp() * (log_q - log_p))


def closed_form(mu: float, ell: float) -> float:
    return 0.5 * (mu**2 + math.exp(ell) - 1 - ell)


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("mu", "ell"), PAIRS)
def test_equation_1_is_what_torch_calls_the_kl(mu: float, ell: float) -> None:
    q, p = normal(mu, ell), normal(0.3, 0.5)
    assert quadrature(q, p) == close(kl_divergence(q, p).item())


def test_equation_2_the_logarithm_lies_below_its_tangent() -> None:
    t = sp.symbols("t", positive=True)
    gap = t - 1 - sp.log(t)
    assert sp.solve(sp.diff(gap, t), t) == [1]
    assert gap.subs(t, 1) == 0
    assert sp.diff(gap, t, 2).is_positive


def test_equation_3_each_side_of_gibbs_inequality() -> None:
    log_q, log_p = normal(1.0, -1.0).log_prob(Z), normal(-0.5, 0.4).log_prob(Z)
    q, p = log_q.exp(), log_p.exp()
    inside = q > 1e-250
    t = (p / q)[inside]
    assert bool((q[inside] * t.log() <= q[inside] * (t - 1) + 1e-15).all())
    left, right = integral(q * (log_p - log_q)), integral(p - q)
    assert left < right
    assert right == close(0.0)


def test_equation_4_is_the_gaussian_log_density() -> None:
    z = sp.symbols("z", real=True)
    density = sp.exp(-((z - MU) ** 2) / (2 * sp.exp(ELL))) / sp.sqrt(
        2 * sp.pi * sp.exp(ELL)
    )
    printed = -(sp.log(2 * sp.pi) + ELL + (z - MU) ** 2 / sp.exp(ELL)) / 2
    assert sp.simplify(sp.expand_log(sp.log(density), force=True) - printed) == 0


@pytest.mark.parametrize(("mu", "ell"), PAIRS)
def test_equation_5_the_expected_log_q(mu: float, ell: float) -> None:
    log_q = normal(mu, ell).log_prob(Z)
    printed = -0.5 * (math.log(2 * math.pi) + ell + 1)
    assert integral(log_q.exp() * log_q) == close(printed)


@pytest.mark.parametrize(("mu", "ell"), PAIRS)
def test_equation_6_the_second_moment_term_by_term(mu: float, ell: float) -> None:
    q = normal(mu, ell).log_prob(Z).exp()
    assert integral(q * 2 * mu * (Z - mu)) == close(0.0)
    assert integral(q * Z**2) == close(mu**2 + math.exp(ell))


@pytest.mark.parametrize(("mu", "ell"), PAIRS)
def test_equation_7_the_expected_log_prior(mu: float, ell: float) -> None:
    q, log_p = normal(mu, ell).log_prob(Z).exp(), normal(0.0, 0.0).log_prob(Z)
    printed = -0.5 * (math.log(2 * math.pi) + mu**2 + math.exp(ell))
    assert integral(q * log_p) == close(printed)


@pytest.mark.parametrize(("mu", "ell"), PAIRS)
def test_equation_8_the_closed_form(mu: float, ell: float) -> None:
    assert closed_form(mu, ell) == close(quadrature(normal(mu, ell), normal(0.0, 0.0)))


def test_equation_8_is_5_less_7() -> None:
    log_2pi = sp.log(2 * sp.pi)
    expected_log_q = -(log_2pi + ELL + 1) / 2
    expected_log_p = -(log_2pi + MU**2 + sp.exp(ELL)) / 2
    printed = (MU**2 + sp.exp(ELL) - 1 - ELL) / 2
    assert sp.simplify(expected_log_q - expected_log_p - printed) == 0


def test_equation_9_independent_dimensions_add_up() -> None:
    draw = Draw("additivity")
    mu, log_var = draw.normal(4), draw.log_var(4)
    q = MultivariateNormal(mu, torch.diag(log_var.exp()))
    p = MultivariateNormal(torch.zeros_like(mu), torch.eye(4, dtype=mu.dtype))
    parts = [closed_form(m, v) for m, v in zip(mu, log_var, strict=True)]
    assert kl_divergence(q, p).item() == close(float(sum(parts)))


@pytest.mark.parametrize("rho", [0.0, 0.3, -0.6, 0.9])
def test_after_equation_9_a_correlation_costs_its_mutual_information(
    rho: float,
) -> None:
    eye = torch.eye(2, dtype=torch.float64)
    tilted = eye + rho * (1 - eye)
    zero = torch.zeros(2, dtype=torch.float64)
    full = kl_divergence(
        MultivariateNormal(zero, tilted), MultivariateNormal(zero, eye)
    )
    assert full.item() == close(-0.5 * math.log(1 - rho**2))


@pytest.mark.parametrize(("mu", "ell"), PAIRS)
def test_equation_10_standardising_keeps_the_kl(mu: float, ell: float) -> None:
    mu_p, ell_p = 0.7, -0.8
    moved = normal((mu - mu_p) / math.exp(ell_p / 2), ell - ell_p)
    before = quadrature(normal(mu, ell), normal(mu_p, ell_p))
    assert before == close(quadrature(moved, normal(0.0, 0.0)))


def test_equation_11_follows_from_8_and_10() -> None:
    mu_q, mu_p, ell_q, ell_p = sp.symbols("mu_q mu_p ell_q ell_p", real=True)
    at_prior = (MU**2 + sp.exp(ELL) - 1 - ELL) / 2
    moved = {MU: (mu_q - mu_p) / sp.exp(ell_p / 2), ELL: ell_q - ell_p}
    printed = (
        (mu_q - mu_p) ** 2 / sp.exp(ell_p) + sp.exp(ell_q - ell_p) - 1 - (ell_q - ell_p)
    ) / 2
    assert sp.simplify(at_prior.subs(moved) - printed) == 0


def test_equation_11_against_the_integral() -> None:
    mu_q, ell_q, mu_p, ell_p = 1.2, -0.7, -0.4, 0.9
    printed = 0.5 * (
        (mu_q - mu_p) ** 2 / math.exp(ell_p)
        + math.exp(ell_q - ell_p)
        - 1
        - (ell_q - ell_p)
    )
    assert quadrature(normal(mu_q, ell_q), normal(mu_p, ell_p)) == close(printed)


def test_section_7_moments_minimise_forward_and_one_hump_costs_log_2() -> None:
    humps = [Normal(torch.tensor(m, dtype=torch.float64), 0.6) for m in (-2.0, 2.0)]
    log_p = torch.logaddexp(*(h.log_prob(Z) for h in humps)) - math.log(2)
    assert integral(log_p.exp() * Z) == close(0.0)
    assert integral(log_p.exp() * Z**2) == close(4.36)
    log_q = humps[0].log_prob(Z)
    reverse = integral(log_q.exp() * (log_q - log_p))
    assert reverse == pytest.approx(math.log(2), abs=0.005)
    mean = torch.zeros((), dtype=torch.float64, requires_grad=True)
    log_var = torch.tensor(math.log(4.36), dtype=torch.float64, requires_grad=True)
    log_fit = Normal(mean, (log_var / 2).exp()).log_prob(Z)
    forward = torch.trapezoid(log_p.exp() * (log_p - log_fit), Z)
    slopes = torch.autograd.grad(forward, [mean, log_var])
    assert [s.item() for s in slopes] == [close(0.0), close(0.0)]


def test_equation_12_has_the_kl_as_its_mean() -> None:
    mu, ell = 1.0, -1.0
    eps, weights = Z, normal(0.0, 0.0).log_prob(Z).exp()
    z = mu + math.exp(ell / 2) * eps
    term = normal(mu, ell).log_prob(z) - normal(0.0, 0.0).log_prob(z)
    assert integral(weights * term) == close(closed_form(mu, ell))


@pytest.mark.parametrize(("mu", "ell"), PAIRS)
def test_equation_13_the_variance_of_one_term(mu: float, ell: float) -> None:
    weights, var = normal(0.0, 0.0).log_prob(Z).exp(), math.exp(ell)
    z = mu + math.sqrt(var) * Z
    term = normal(mu, ell).log_prob(z) - normal(0.0, 0.0).log_prob(z)
    variance = integral(weights * (term - closed_form(mu, ell)) ** 2)
    assert variance == close(0.5 * (var - 1) ** 2 + mu**2 * var)


def test_equation_13_adds_up_over_dimensions() -> None:
    draw = Draw("variance")
    mu, log_var, eps = draw.normal(2), draw.log_var(2), draw.normal(40_000, 2)
    q = Independent(Normal(mu, (log_var / 2).exp()), 1)
    p = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    z = mu + (log_var / 2).exp() * eps
    var = log_var.exp()
    printed = (0.5 * (var - 1) ** 2 + mu**2 * var).sum().item()
    measured = (q.log_prob(z) - p.log_prob(z)).var().item()
    assert measured == pytest.approx(printed, rel=0.05)


def test_equation_14_the_derivatives_of_8() -> None:
    kl = (MU**2 + sp.exp(ELL) - 1 - ELL) / 2
    assert sp.diff(kl, MU) == MU
    assert sp.simplify(sp.diff(kl, ELL) - (sp.exp(ELL) - 1) / 2) == 0
    slope = sp.lambdify(ELL, sp.diff(kl, ELL))
    assert slope(-10) == pytest.approx(-0.5, abs=1e-4)
    assert slope(5) == pytest.approx(74, abs=0.5)


def test_numbers_quoted_in_the_prose() -> None:
    assert quadrature(normal(1.0, 2 * math.log(0.5)), normal(0.0, 0.0)) == (
        pytest.approx(0.818147, abs=1e-6)
    )
    assert closed_form(0.0, math.log(4.0)) == pytest.approx(0.81, abs=0.005)
    assert closed_form(0.0, math.log(0.25)) == pytest.approx(0.32, abs=0.005)
    mu, var = (1.0, -0.5), (math.exp(-1.0), math.exp(0.5))
    v = sum(0.5 * (s - 1) ** 2 + m**2 * s for m, s in zip(mu, var, strict=True))
    assert v / 0.01**2 == pytest.approx(12_000, rel=0.02)
