"""The equations printed in lesson 07, each verified by its number.

What belongs here: symbols (sympy), numbers, quadrature. What does not: the exercises.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from scipy import integrate, optimize, stats

GRID = np.linspace(-9, 9, 1201)


def zeta(logit):
    return np.logaddexp(0.0, logit)


def cost(x, z):
    """The cost of three pixels under a small decoder with a single latent."""
    z = np.asarray(z)[..., None]
    logits = np.array([1.5, -0.7, 0.4]) * np.tanh(z) + np.array([0.2, 1.0, -0.5])
    return (zeta(logits) - x * logits).sum(-1)


def expected(f):
    """E[f(eps)] for standard normal eps; the trapezoid rule, see (11)."""
    return float(integrate.trapezoid(f(GRID) * stats.norm.pdf(GRID), GRID))


def kl(mu, log_var):
    return 0.5 * (mu**2 + math.exp(log_var) - 1 - log_var)


def minus_elbo(x, mu, log_var):
    sigma = math.exp(log_var / 2)
    return expected(lambda e: cost(x, mu + sigma * e)) + kl(mu, log_var)


IMAGES = [np.array(v) for v in ([1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.3])]


def minus_log_evidence(x):
    return -math.log(expected(lambda z: np.exp(-cost(x, z))))


def test_1_is_a_bound_and_tight_at_the_posterior():
    for x in IMAGES:
        assert minus_elbo(x, 0.4, -0.8) > minus_log_evidence(x)
    x = IMAGES[0]
    evidence = math.exp(-minus_log_evidence(x))

    def log_posterior(z):
        return stats.norm.logpdf(z) - cost(x, z) - math.log(evidence)

    def integrand(z):
        gap = cost(x, z) + log_posterior(z) - stats.norm.logpdf(z)
        return math.exp(log_posterior(z)) * gap

    value = integrate.quad(integrand, -9, 9)[0]
    assert value == pytest.approx(minus_log_evidence(x), abs=1e-9)


def test_3_one_map_for_all_is_no_better_than_each_for_itself():
    each = sum(
        optimize.minimize(lambda p, x=x: minus_elbo(x, *p), [0.0, 0.0]).fun
        for x in IMAGES
    )

    def amortised(p):  # mu is affine in the first pixel, log_var in the last
        return sum(
            minus_elbo(x, p[0] + p[1] * x[0], p[2] + p[3] * x[2]) for x in IMAGES
        )

    together = optimize.minimize(amortised, np.zeros(4)).fun
    assert together >= each - 1e-7
    assert together > each + 1e-4  # and here there is a gap


def test_4_the_noise_takes_the_place_of_q():
    mu, sigma, x = 0.7, 0.6, IMAGES[0]
    q = stats.norm(mu, sigma)
    left = integrate.quad(lambda z: q.pdf(z) * cost(x, z), -9, 9)[0]
    assert left == pytest.approx(expected(lambda e: cost(x, mu + sigma * e)), abs=1e-9)


def test_6_the_mean_over_batches_is_the_mean_over_the_data():
    values = [minus_elbo(x, 0.3, -1.0) for x in IMAGES]
    batches = [(i, j) for i in range(3) for j in range(3)]
    means = [(values[i] + values[j]) / 2 for i, j in batches]
    assert np.mean(means) == pytest.approx(np.mean(values), abs=1e-12)
    mu, log_var = sp.symbols("mu ell", real=True)
    z = sp.symbols("z", real=True)
    s = sp.exp(log_var / 2)
    q = sp.exp(-((z - mu) ** 2) / (2 * s**2)) / (s * sp.sqrt(2 * sp.pi))
    log_ratio = sp.expand_log(-((z - mu) ** 2) / (2 * s**2) - log_var / 2 + z**2 / 2)
    moments = sp.integrate(q * log_ratio, (z, -sp.oo, sp.oo))
    printed = (mu**2 + sp.exp(log_var) - 1 - log_var) / 2
    assert sp.simplify(moments - printed) == 0


def test_7_a_step_of_the_log_variance_multiplies_the_deviation():
    log_var, delta = sp.symbols("ell delta", real=True)
    ratio = sp.exp((log_var + delta) / 2) / sp.exp(log_var / 2)
    assert sp.simplify(ratio - sp.exp(delta / 2)) == 0


def test_the_kl_near_the_prior_is_half_and_a_quarter():
    for mu, log_var in ((0.2, 0.2), (-0.1, 0.15)):
        near = mu**2 / 2 + log_var**2 / 4
        assert kl(mu, log_var) == pytest.approx(near, rel=0.05)
    assert kl(0.2, 0.2) == pytest.approx(0.03, abs=0.001)


@pytest.mark.parametrize(("pixels", "printed"), [(784, 543.4), (64, 44.4)])
def test_8_coins(pixels, printed):
    rng = np.random.default_rng(0)
    x = rng.random(pixels)
    at_zero = (zeta(np.zeros(pixels)) - x * 0).sum()
    assert at_zero == pytest.approx(pixels * math.log(2), abs=1e-9)
    assert round(at_zero, 1) == printed


def test_two_sigmoids_leave_half_to_073():
    assert 1 / (1 + math.exp(0)) == 0.5
    assert round(1 / (1 + math.exp(-1)), 2) == 0.73


def test_9_a_beta_above_1_is_still_a_bound():
    x = IMAGES[1]
    for beta in (1.0, 1.5, 4.0):
        loss = minus_elbo(x, 0.4, -0.8) + (beta - 1) * kl(0.4, -0.8)
        assert loss >= minus_log_evidence(x)


def test_10_the_mean_image():
    rng = np.random.default_rng(1)
    x = rng.random((50, 7)) ** 2
    m = x.mean(0)
    left = (-x * np.log(m) - (1 - x) * np.log(1 - m)).sum(1).mean()
    entropy = (-m * np.log(m) - (1 - m) * np.log(1 - m)).sum()
    assert left == pytest.approx(entropy, abs=1e-12)
    logits = np.log(m / (1 - m))
    assert (zeta(logits) - x * logits).sum(1).mean() == pytest.approx(entropy)
    for other in (np.clip(m + 0.05, 0, 0.99), np.full(7, 0.5)):  # no constant is better
        worse = (-x * np.log(other) - (1 - x) * np.log(1 - other)).sum(1).mean()
        extra = m * np.log(m / other) + (1 - m) * np.log((1 - m) / (1 - other))
        assert worse == pytest.approx(entropy + extra.sum(), abs=1e-12)


def test_11_a_grid_computes_the_expectation():
    mu, sigma, x = 0.7, 0.6, IMAGES[2]
    grid = np.linspace(-8, 8, 1601)
    values = cost(x, mu + sigma * grid) * np.exp(-(grid**2) / 2)
    trapezoid = integrate.trapezoid(values, grid) / math.sqrt(2 * math.pi)

    def integrand(e):
        return cost(x, mu + sigma * e) * stats.norm.pdf(e)

    assert trapezoid == pytest.approx(integrate.quad(integrand, -9, 9)[0], abs=1e-9)


def test_12_the_two_derivatives():
    mu, log_var, eps = sp.symbols("mu ell epsilon", real=True)
    z = mu + sp.exp(log_var / 2) * eps
    assert sp.diff(z, mu) == 1
    assert sp.simplify(sp.diff(z, log_var) - sp.exp(log_var / 2) * eps / 2) == 0
    rate = (mu**2 + sp.exp(log_var) - 1 - log_var) / 2
    assert sp.diff(rate, mu) == mu
    assert sp.simplify(sp.diff(rate, log_var) - (sp.exp(log_var) - 1) / 2) == 0


def test_13_what_remains_is_the_curvature():
    z = sp.symbols("z", real=True)
    weights, shifts, x = (1.5, -0.7, 0.4), (0.2, 1.0, -0.5), (1.0, 0.0, 1.0)
    logits = [a * sp.tanh(z) + b for a, b in zip(weights, shifts, strict=True)]
    r = sum(sp.log(1 + sp.exp(v)) - t * v for v, t in zip(logits, x, strict=True))
    first = sp.lambdify(z, sp.diff(r, z), "numpy")
    second = sp.lambdify(z, sp.diff(r, z, 2), "numpy")
    mu, sigma = 0.3, 0.8
    left = expected(lambda e: 0.5 * sigma * e * first(mu + sigma * e))
    right = 0.5 * sigma**2 * expected(lambda e: second(mu + sigma * e))
    assert left == pytest.approx(right, abs=1e-9)
    assert abs(left) > 1e-3


def test_without_noise_the_log_variance_is_left_to_the_kl():
    log_var = 3.0
    for _ in range(400):
        log_var -= 0.1 * 0.5 * (math.exp(log_var) - 1)
    assert log_var == pytest.approx(0.0, abs=1e-6)
