"""The equations printed in lesson 09, by sympy, enumeration and quadrature."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import sympy as sp
import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from vae_edu.checks.draw import Draw

POINTS, CHANCES = (torch.from_numpy(np.asarray(a)) for a in hermegauss(40))
CHANCES = CHANCES / CHANCES.sum()
Z = torch.linspace(-30, 30, 60001, dtype=torch.float64)


def normal(mean: float, sd: float) -> Normal:
    return Normal(torch.tensor(mean, dtype=torch.float64), sd)


POSTERIOR = normal(10 / 11, math.sqrt(1 / 11))
EVIDENCE = normal(0.0, math.sqrt(1.1))  # of x = 1, one latent


def close(value: float, tolerance: float = 1e-8) -> object:
    return pytest.approx(value, rel=tolerance, abs=tolerance)


def proposal(shift: float, width: float) -> Normal:
    """As the lesson's encoder: `shift` posterior sds off, `width` times wider."""
    sd = math.sqrt(1 / 11)
    return normal(10 / 11 + shift * sd, width * sd)


def log_weight(z: Tensor, q: Normal) -> Tensor:
    """Equation (2) for x | z ~ N(z, 0.1), z ~ N(0, 1), at x = 1."""
    log_joint = Normal(z, math.sqrt(0.1)).log_prob(torch.ones_like(z))
    prior = normal(0.0, 1.0)
    return log_joint + prior.log_prob(z) - q.log_prob(z)


def log_evidence() -> float:
    return EVIDENCE.log_prob(torch.tensor(1.0, dtype=torch.float64)).item()


def bound(k: int, q: Normal, points: int = 24) -> float:
    """Equation (5) by quadrature over k standard normals."""
    nodes, chances = (torch.from_numpy(np.asarray(a)) for a in hermegauss(points))
    chances = chances / chances.sum()
    log_w = log_weight(q.mean + q.stddev * nodes, q)
    index = torch.cartesian_prod(*[torch.arange(points)] * k).view(-1, k)
    values = torch.logsumexp(log_w[index], 1) - math.log(k)
    return (chances[index].prod(1) * values).sum().item()


@pytest.mark.parametrize(("shift", "width"), [(0.5, 1.2), (-1.0, 0.9)])
def test_equation_3_the_mean_weight_is_the_evidence(shift: float, width: float) -> None:
    q = proposal(shift, width)
    integrand = (q.log_prob(Z) + log_weight(Z, q)).exp()
    assert torch.trapezoid(integrand, Z).log().item() == close(log_evidence())


@pytest.mark.parametrize(("shift", "width"), [(0.5, 1.2), (-1.0, 0.9)])
def test_equations_1_and_4_the_mean_log_weight_is_the_elbo(
    shift: float, width: float
) -> None:
    q = proposal(shift, width)
    elbo = (CHANCES * log_weight(q.mean + q.stddev * POINTS, q)).sum().item()
    gap = kl_divergence(q, POSTERIOR).item()
    assert elbo == close(log_evidence() - gap)


def test_prediction_1_equal_weights_under_the_posterior() -> None:
    log_w = log_weight(POSTERIOR.mean + POSTERIOR.stddev * POINTS, POSTERIOR)
    assert log_w.max().item() == close(log_evidence())
    assert log_w.min().item() == close(log_evidence())


def test_equations_6_and_9_the_bounds_rise_and_stay_below() -> None:
    q = proposal(0.5, 1.2)
    bounds = [bound(k, q) for k in (1, 2, 3, 4)]
    gaps = [log_evidence() - b for b in bounds]
    assert all(a < b for a, b in pairwise(bounds))
    assert gaps == [
        pytest.approx(g, abs=2e-6) for g in (0.162678, 0.063375, 0.038723, 0.027866)
    ]


def test_the_first_gap_is_lesson_04s_closed_form() -> None:
    printed = 0.5 * (1.2**2 - 1 - math.log(1.2**2) + 0.5**2)
    assert printed == pytest.approx(0.162678, abs=5e-7)
    assert kl_divergence(proposal(0.5, 1.2), POSTERIOR).item() == close(printed)
    assert 5 * printed == pytest.approx(0.81, abs=0.005)
    narrow = 5 * kl_divergence(proposal(0.0, 0.65), POSTERIOR).item()
    assert narrow == pytest.approx(0.71, abs=0.005)


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_equations_7_and_8_over_all_subsets(m: int) -> None:
    weights = (3 * Draw("subsets").normal(6)).exp()
    averages = torch.stack([weights[list(i)].mean() for i in combinations(range(6), m)])
    assert averages.mean().item() == close(weights.mean().item())
    assert averages.log().mean() < weights.mean().log()
    assert averages.max() > weights.mean()  # the answer to the prediction


def test_equation_10_the_gap_is_half_the_relative_variance_over_k() -> None:
    rho, k, delta = sp.symbols("rho k delta", positive=True)
    taylor = sp.series(sp.log(1 + delta), delta, 0, 3).removeO()
    assert sp.expand(taylor - (delta - delta**2 / 2)) == 0
    printed = (-taylor).coeff(delta, 2) * rho / k
    assert sp.simplify(printed - rho / (2 * k)) == 0
    # nearly equal weights: the formula is good for few samples already
    q = proposal(0.01, 1.005)
    relative = one_plus_rho(0.01, 1.005) - 1
    for size in (2, 3):
        gap = log_evidence() - bound(size, q)
        assert gap == pytest.approx(relative / (2 * size), rel=0.02)


def one_plus_rho(d: float, s: float) -> float:
    return s**2 / math.sqrt(2 * s**2 - 1) * math.exp(d**2 / (2 * s**2 - 1))


@pytest.mark.parametrize(("d", "s"), [(0.0, 1.0), (0.5, 1.2), (1.0, 1.2), (-0.7, 0.8)])
def test_equation_11_the_second_moment_of_the_weights(d: float, s: float) -> None:
    p, q = normal(0.0, 1.0), normal(d, s)
    integrand = (2 * p.log_prob(Z) - q.log_prob(Z)).exp()
    assert torch.trapezoid(integrand, Z).item() == close(one_plus_rho(d, s))
    middle = s / math.sqrt(2 * math.pi) * (-(Z**2) + (Z - d) ** 2 / (2 * s**2)).exp()
    assert torch.trapezoid(middle, Z).item() == close(one_plus_rho(d, s))


def test_numbers_quoted_in_section_4() -> None:
    rho = one_plus_rho(0.5, 1.2) ** 5 - 1
    assert rho == pytest.approx(1.48, abs=0.005)
    assert rho / 2 / 0.01 == pytest.approx(74, abs=0.5)
    assert one_plus_rho(1.0, 1.2) ** 5 - 1 == pytest.approx(17, abs=0.5)


def test_equation_12_the_gradient_weighs_the_samples() -> None:
    draw = Draw("gradient")
    slopes, at = draw.normal(5, 3), draw.normal(3).requires_grad_()
    log_w = torch.sin(slopes @ at) * 3
    total = torch.logsumexp(log_w, 0) - math.log(5)
    (whole,) = torch.autograd.grad(total, at, retain_graph=True)
    rows = [torch.autograd.grad(v, at, retain_graph=True)[0] for v in log_w]
    weights = log_w.exp() / log_w.exp().sum()
    expected = (weights.unsqueeze(1) * torch.stack(rows)).sum(0)
    assert whole.tolist() == [close(v) for v in expected.tolist()]


def test_equations_13_and_14_the_effective_sample_size_and_its_bounds() -> None:
    draw = Draw("ess")
    for scale in (0.0, 0.5, 2.0, 30.0):
        weights = (scale * draw.normal(7)).exp()
        shares = weights / weights.sum()
        first = 1 / (shares**2).sum()
        second = weights.sum() ** 2 / (weights**2).sum()
        assert first.item() == close(second.item())
        assert 1 - 1e-12 <= second.item() <= 7 + 1e-12
    f = draw.normal(200_000, 3)
    shares = torch.tensor([0.5, 0.3, 0.2]).double()
    measured = (f * shares).sum(1).var().item()
    assert measured == pytest.approx((shares**2).sum().item(), rel=0.02)


def test_equation_15_the_share_of_samples_that_count() -> None:
    d, s = 0.5, 1.2
    u = d + s * Draw("share").normal(200_000)
    p, q = normal(0.0, 1.0), normal(d, s)
    weights = (p.log_prob(u) - q.log_prob(u)).exp()
    share = weights.sum() ** 2 / (weights**2).sum() / len(u)
    assert share.item() == pytest.approx(1 / one_plus_rho(d, s), rel=0.01)
    assert one_plus_rho(0.0, 1.2) ** -5 == pytest.approx(0.78, abs=0.01)


def test_two_peaks_the_bound_misses_log_2_at_a_full_ess() -> None:
    u = 0.5 * Draw("peaks").normal(1000) + 4
    peaks = [normal(m, 0.5) for m in (-4.0, 4.0)]
    log_p = torch.logaddexp(*(p.log_prob(u) for p in peaks)) - math.log(2)
    weights = (log_p - peaks[1].log_prob(u)).exp()
    assert weights.mean().log().item() == pytest.approx(-math.log(2), abs=1e-6)
    ess = weights.sum() ** 2 / (weights**2).sum()
    assert ess.item() == pytest.approx(1000, rel=1e-6)


def _normalised_pair(mu: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log-weights of two samples; the same with q's own parameters detached; z."""
    z = mu + 0.4 * eps  # (nodes, 2)
    free = [log_weight(z, Normal(m, 0.4)) for m in (mu, mu.detach())]
    return free[0], free[1], z


def test_equation_20_has_the_gradient_of_the_bound_as_its_mean() -> None:
    mu = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    index = torch.cartesian_prod(torch.arange(40), torch.arange(40))
    eps, chance = POINTS[index], CHANCES[index].prod(1)
    plain, path, _ = _normalised_pair(mu, eps)
    value = (chance * (torch.logsumexp(plain, 1) - math.log(2))).sum()
    (exact,) = torch.autograd.grad(value, mu, retain_graph=True)
    squares = path.softmax(1).detach() ** 2
    (dreg,) = torch.autograd.grad((chance[:, None] * squares * path).sum(), mu)
    assert abs(exact.item()) > 0.1
    assert dreg.item() == pytest.approx(exact.item(), rel=1e-6)


def test_equation_18_splits_the_gradient_in_two() -> None:
    mu = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    eps = POINTS[18:22].view(2, 2)
    plain, path, z = _normalised_pair(mu, eps)
    (whole,) = torch.autograd.grad(plain.sum(), mu, retain_graph=True)
    (through_z,) = torch.autograd.grad(path.sum(), mu)
    score = ((z.detach() - 0.7) / 0.4**2).sum()
    assert whole.item() == close((through_z - score).item())


def test_equation_19_score_function_and_pathwise_agree() -> None:
    mean, sd = 0.3, 0.8
    z = mean + sd * POINTS
    score = (CHANCES * torch.sin(2 * z) * (z - mean) / sd**2).sum().item()
    assert score == close((CHANCES * 2 * torch.cos(2 * z)).sum().item())


def test_lines_3_and_4_of_dreg_leave_the_squared_weight() -> None:
    a, b = sp.symbols("a b", real=True)
    share = sp.exp(a) / (sp.exp(a) + sp.exp(b))
    assert sp.simplify(sp.diff(share, a) - share * (1 - share)) == 0
    assert sp.expand(share - share * (1 - share) - share**2) == 0


def test_equations_16_and_17_signal_and_noise_by_their_powers() -> None:
    delta, k, phi = sp.symbols("delta k phi", positive=True)
    f = sp.Function("f")(phi)
    second = sp.diff((delta - delta**2 / 2).subs(delta, f), phi)
    assert sp.simplify(second - (sp.diff(f, phi) - sp.diff(f**2, phi) / 2)) == 0
    assert sp.simplify((1 / k) / (1 / sp.sqrt(k)) - 1 / sp.sqrt(k)) == 0
    # the signal of the plain estimate is that of -rho / 2k: exact for near proposals
    step = 1e-4
    up, down = (bound(2, normal(m, 0.31)) for m in _around(step))
    rho_up, rho_down = (_rho_at(m, 0.31) for m in _around(step))
    assert (up - down) == pytest.approx(-(rho_up - rho_down) / 4, rel=0.05)


def _around(step: float) -> tuple[float, float]:
    centre = 10 / 11 + 0.03
    return centre + step, centre - step


def _rho_at(mean: float, sd: float) -> float:
    unit = math.sqrt(1 / 11)
    return one_plus_rho((mean - 10 / 11) / unit, sd / unit) - 1


def test_equation_21_divides_by_n() -> None:
    mu = Draw("activity").normal(9, 2)
    printed = (mu - mu.mean(0)).square().sum(0) / 9
    assert printed.tolist() == [close(v) for v in mu.var(0, correction=0).tolist()]
