"""The equations printed in lesson 03, by sympy where possible, else by enumeration."""

from __future__ import annotations

import math

import pytest
import sympy as sp
import torch
from torch import Tensor

from vae_edu.checks.draw import Draw

F64 = torch.float64
PRIOR = torch.tensor([0.90 * 0.85, 0.10 * 0.85, 0.90 * 0.15, 0.10 * 0.15], dtype=F64)
SILENT = 0.999 * torch.tensor([1.0, 0.05, 0.10, 0.005], dtype=F64)
RINGING = PRIOR * (1 - SILENT)
Q = torch.tensor([0.1, 0.4, 0.4, 0.1], dtype=F64)


def near(value: float, digits: int = 4) -> object:
    """A number printed in the lesson, to its last printed digit."""
    return pytest.approx(value, abs=0.51 * 10**-digits)


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-11, abs=1e-11)


def bound(joint: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(q, joint) - torch.xlogy(q, q)).sum(-1)


def kl(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)


# --- 1. the alarm -----------------------------------------------------------------


def test_section_1_numbers_of_the_alarm() -> None:
    joint = torch.stack([PRIOR * SILENT, RINGING])
    silent, ringing = joint.sum(-1).log().tolist()
    assert (silent, ringing) == (near(-0.2458), near(-1.5235))
    assert joint.sum().item() == close(1.0)
    assert PRIOR.sum().item() == close(1.0)


# --- 2. Jensen --------------------------------------------------------------------


def test_section_2_line_1_the_tangent_touches_the_logarithm_once() -> None:
    t, m = sp.symbols("t m", positive=True)
    above = sp.log(m) + (t - m) / m - sp.log(t)
    assert sp.simplify(sp.diff(above, t) - (1 / m - 1 / t)) == 0
    assert sp.solve(sp.diff(above, t), t) == [m]
    assert sp.simplify(above.subs(t, m)) == 0
    assert sp.diff(above, t, 2).is_positive


def test_section_2_lines_2_and_3_averaging_the_tangent() -> None:
    draw = Draw("jensen")
    v, p = draw.normal(50, 6).exp(), draw.probs(50, 6)
    mean, mean_log = (p * v).sum(-1), (p * v.log()).sum(-1)
    for factor in (0.3, 1.0, 2.5):
        m = factor * mean
        assert bool((mean_log <= m.log() + (mean - m) / m).all())
    assert bool((mean_log < mean.log()).all())


def test_section_2_the_gap_of_two_values() -> None:
    s = sp.symbols("s", positive=True)
    gap = -(sp.log(1 - s) + sp.log(1 + s)) / 2
    assert sp.simplify(sp.diff(gap - (-sp.log(1 - s**2) / 2), s)) == 0
    assert sp.series(gap, s, 0, 4).removeO() == s**2 / 2
    assert sp.limit(gap, s, 1, "-") == sp.oo


# --- 3. the first derivation ------------------------------------------------------


def test_section_3_lines_1_to_5_and_the_numbers() -> None:
    w = RINGING / Q
    assert (Q * w).sum().log().item() == close(RINGING.sum().log().item())
    assert (Q * w.log()).sum().item() == close(bound(RINGING, Q).item())
    assert bound(RINGING, Q).item() == near(-1.7941)
    assert (RINGING.sum().log() - bound(RINGING, Q)).item() == near(0.27, 2)
    assert (w[2] / w[0]).item() == pytest.approx(40, abs=1)


def test_section_3_one_state_gives_its_joint_and_a_lower_bound() -> None:
    for k, one in enumerate(torch.eye(4, dtype=F64)):
        assert bound(RINGING, one).item() == close(RINGING[k].log().item())
        assert bound(RINGING, one) < RINGING.sum().log()
    assert bound(RINGING, PRIOR).item() == near(-5.30, 2)
    assert RINGING.max().log().item() == near(-2.11, 2)


# --- 4. the second derivation -----------------------------------------------------


def test_section_4_the_posterior_and_explaining_away() -> None:
    posterior = RINGING / RINGING.sum()
    printed = [0.0035, 0.3705, 0.5575, 0.0685]
    assert posterior.tolist() == [near(value) for value in printed]
    assert posterior[2:].sum().item() == near(0.626, 3)
    assert (RINGING[3] / RINGING[[1, 3]].sum()).item() == near(0.156, 3)


def test_section_4_each_side_of_the_proof_that_a_kl_is_not_negative() -> None:
    draw = Draw("gibbs")
    q, p = draw.probs(40, 5), draw.probs(40, 5)
    q[:, 0] = 0
    q = q / q.sum(-1, keepdim=True)
    inside = torch.where(q > 0, p, 0.0).sum(-1).log()
    assert bool((-kl(q, p) <= inside + 1e-15).all())
    assert bool((inside < 0).all())


def test_section_4_the_parabola_and_the_ends() -> None:
    t, c = sp.symbols("t c", positive=True)
    forward = t * sp.log(t / c) + (1 - t) * sp.log((1 - t) / (1 - c))
    backward = c * sp.log(c / t) + (1 - c) * sp.log((1 - c) / (1 - t))
    for divergence in (forward, backward):
        value = divergence.subs(c, sp.Rational(1, 5))
        slope, curve = sp.diff(value, t), sp.diff(value, t, 2)
        assert slope.subs(t, sp.Rational(1, 5)).simplify() == 0
        assert sp.nsimplify(curve.subs(t, sp.Rational(1, 5)) / 2) == 1 / sp.Rational(
            8, 25
        )
    at_0 = sp.limit(forward.subs(c, sp.Rational(1, 5)), t, 0, "+")
    assert float(at_0) == near(0.2231)
    assert sp.limit(backward.subs(c, sp.Rational(1, 5)), t, 0, "+") == sp.oo


def test_section_4_lines_1_to_4_of_the_decomposition() -> None:
    draw = Draw("decomposition")
    joint, q = 0.01 * draw.normal(30, 6).exp(), draw.probs(30, 6)
    evidence, posterior = joint.sum(-1), joint / joint.sum(-1, keepdim=True)
    line_2 = (q * (joint / posterior).log()).sum(-1)
    line_3 = (q * ((joint / q) * (q / posterior)).log()).sum(-1)
    line_4 = bound(joint, q) + kl(q, posterior)
    for line in (line_2, line_3, line_4):
        assert torch.allclose(line, evidence.log(), rtol=1e-12)
    w = joint / q
    jensen = (q * w).sum(-1).log() - (q * w.log()).sum(-1)
    assert torch.allclose(jensen, kl(q, posterior), rtol=1e-9)
    assert torch.allclose(bound(joint, posterior), evidence.log(), rtol=1e-12)


# --- 5. the gradient --------------------------------------------------------------


def test_section_5_the_gradient_in_the_logits_of_q() -> None:
    eta = torch.tensor([0.3, -1.2, 0.8, 0.1], dtype=F64, requires_grad=True)
    q = eta.softmax(-1)
    elbo = (q * (RINGING.log() - q.log())).sum()
    (gradient,) = torch.autograd.grad(elbo, eta)
    by_hand = q * (RINGING.log() - q.log() - elbo)
    assert torch.allclose(gradient, by_hand, rtol=1e-12)


def test_section_5_the_ascent_ends_where_the_lesson_says() -> None:
    eta = torch.zeros(4, dtype=F64)
    for _ in range(60):
        q = eta.softmax(-1)
        eta = eta + q * (RINGING.log() - q.log() - bound(RINGING, q))
    missing = RINGING.sum().log() - bound(RINGING, eta.softmax(-1))
    assert missing.item() == near(0.002, 3)


# --- 6. factorised ----------------------------------------------------------------


def test_section_6_two_maxima_of_the_factorised_bound() -> None:
    grid = torch.linspace(0.005, 0.995, 199, dtype=F64)
    a, b = torch.meshgrid(grid, grid, indexing="ij")
    q = torch.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b], dim=-1)
    surface = bound(RINGING, q)
    around = torch.nn.functional.max_pool2d(surface[None], 3, 1, 1)[0]
    tops = [tuple(place) for place in (surface == around).nonzero().tolist()]
    assert tops == [(23, 196), (193, 36)]
    assert [surface[i].item() for i in tops] == [near(-1.98, 2), near(-2.32, 2)]
    assert (RINGING.sum().log() - surface.max()).item() == near(0.45, 2)


def test_section_6_the_best_common_variance_and_its_gap() -> None:
    s2, rho = sp.symbols("s2 rho", positive=True)
    # KL(N(0, s2 I) ‖ N(0, C)), C = [[1, rho], [rho, 1]], of two Gaussians
    gap = (2 * s2 / (1 - rho**2) - 2 + sp.log(1 - rho**2) - 2 * sp.log(s2)) / 2
    assert sp.solve(sp.diff(gap, s2), s2) == [1 - rho**2]
    least = gap.subs(s2, 1 - rho**2)
    assert sp.simplify(sp.expand_log(least, force=True) + sp.log(1 - rho**2) / 2) == 0
    assert -0.5 * math.log(1 - 0.3**2) == near(0.05, 2)
    assert -0.5 * math.log(1 - 0.96**2) == near(1.27, 2)


# --- 7. the two terms -------------------------------------------------------------


def test_section_7_lines_1_to_3_the_two_forms_agree() -> None:
    draw = Draw("terms")
    likelihood, prior, q = draw.uniform(30, 6), draw.probs(6), draw.probs(30, 6)
    two_terms = (q * likelihood.log()).sum(-1) - kl(q, prior)
    assert torch.allclose(two_terms, bound(likelihood * prior, q), rtol=1e-12)


def test_section_8_the_temperature_1_is_the_posterior_and_the_best() -> None:
    joint = Draw("temperature").normal(20, 10, scale=3.0).exp()
    temperatures = torch.logspace(-1, 1, 61, dtype=F64)
    q = (joint.log() / temperatures[:, None, None]).softmax(-1)
    elbo = bound(joint, q).mean(-1)
    assert temperatures[elbo.argmax()].item() == close(1.0)
    assert elbo.max().item() == close(joint.sum(-1).log().mean().item())
    assert math.log(10) == near(2.30, 2)
