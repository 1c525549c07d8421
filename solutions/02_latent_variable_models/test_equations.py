"""The equations printed in lesson 02, by sympy, quadrature and enumeration of samples.

What belongs here: each numbered line of the derivation, on models where the truth is
known by another way. What does not: the exercises (see hidden.py) and how the
notebook runs.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from scipy import integrate, stats

RNG = np.random.default_rng(0)
LATENT, DATA = 2, 3
WEIGHT, BIAS = RNG.normal(size=(DATA, LATENT)), RNG.normal(size=DATA)
NOISE = 0.4  # sigma squared
C = WEIGHT @ WEIGHT.T + NOISE * np.eye(DATA)
X = RNG.normal(size=DATA)


def log_normal(x, mean, covariance) -> float:
    return stats.multivariate_normal(mean, covariance).logpdf(x)


def by_formula(x) -> float:
    """Equation (5)."""
    r = x - BIAS
    distance = r @ np.linalg.inv(C) @ r
    return -0.5 * (
        DATA * math.log(2 * math.pi) + np.linalg.slogdet(C).logabsdet + distance
    )


def posterior(x):
    """Equation (8)."""
    sigma = np.linalg.inv(np.eye(LATENT) + WEIGHT.T @ WEIGHT / NOISE)
    return (x - BIAS) @ WEIGHT @ sigma / NOISE, sigma


def log_joint(x, z) -> float:
    likelihood = log_normal(x, z @ WEIGHT.T + BIAS, NOISE * np.eye(DATA))
    return likelihood + log_normal(z, np.zeros(LATENT), np.eye(LATENT))


def test_equation_1_the_log_density_of_independent_gaussians():
    x, m, ell = RNG.normal(size=(3, 4))
    printed = -0.5 * sum(np.log(2 * np.pi) + ell + (x - m) ** 2 / np.exp(ell))
    assert printed == pytest.approx(log_normal(x, m, np.diag(np.exp(ell))))


def test_equations_2_and_5_the_integral_over_z_is_the_gaussian():
    # the trapezoid rule: exact to all digits for a smooth function that dies out
    side = np.linspace(-7, 7, 141)
    z = np.stack(np.meshgrid(side, side), -1).reshape(-1, LATENT)
    likelihood = stats.norm(z @ WEIGHT.T + BIAS, math.sqrt(NOISE)).pdf(X).prod(-1)
    prior = stats.norm.pdf(z).prod(-1)
    value = (likelihood * prior).sum() * (side[1] - side[0]) ** 2
    assert math.log(value) == pytest.approx(by_formula(X), abs=1e-9)


def test_equation_4_the_covariance_from_independence_alone():
    # exact: a Gauss-Hermite rule, whose second moments are those of a Gaussian
    nodes = np.array([-1.0, 1.0])  # mean 0, variance 1, equal weights
    grid = np.stack(np.meshgrid(*[nodes] * (LATENT + DATA)), -1).reshape(
        -1, LATENT + DATA
    )
    x = grid[:, :LATENT] @ WEIGHT.T + math.sqrt(NOISE) * grid[:, LATENT:]
    np.testing.assert_allclose(x.T @ x / len(x), C, atol=1e-12)


def test_line_3_of_section_3_a_rotation_leaves_a_square_factor():
    a = np.hstack([WEIGHT, math.sqrt(NOISE) * np.eye(DATA)])
    rotation, triangle = np.linalg.qr(a.T)
    s = triangle.T
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(DATA), atol=1e-12)
    np.testing.assert_allclose(s @ s.T, C, atol=1e-12)
    v = (X - BIAS) @ np.linalg.inv(s).T
    changed = log_normal(v, np.zeros(DATA), np.eye(DATA)) - math.log(
        abs(np.linalg.det(s))
    )
    assert changed == pytest.approx(by_formula(X))
    assert abs(np.linalg.det(s)) == pytest.approx(math.sqrt(np.linalg.det(C)))


def test_equation_5_is_the_density_of_scipy():
    assert by_formula(X) == pytest.approx(log_normal(X, BIAS, C))


def test_equation_7_sorted_by_powers_of_z():
    z, w, x, b, s2 = sp.symbols("z w x b s2", real=True)
    exponent = -((x - b - z * w) ** 2) / (2 * s2) - z**2 / 2
    printed = -sp.Rational(1, 2) * z * (1 + w**2 / s2) * z + (x - b) * w * z / s2
    assert sp.diff(sp.expand(exponent - printed), z) == 0
    many = [
        log_joint(X, v)
        + 0.5 * v @ (np.eye(LATENT) + WEIGHT.T @ WEIGHT / NOISE) @ v
        - (X - BIAS) @ WEIGHT @ v / NOISE
        for v in RNG.normal(size=(4, LATENT))
    ]
    assert np.ptp(many) < 1e-10


def test_line_4_of_section_4_completing_the_square():
    z, m, lam = sp.symbols("z m lam", real=True)
    left = -lam * (z - m) ** 2 / 2
    right = -lam * z**2 / 2 + m * lam * z
    assert sp.diff(sp.expand(left - right), z) == 0


def test_equations_6_8_and_9_any_z_gives_the_evidence():
    mean, covariance = posterior(X)
    for z in 2 * RNG.normal(size=(5, LATENT)):
        found = log_joint(X, z) - log_normal(z, mean, covariance)
        assert found == pytest.approx(by_formula(X))


def test_the_posterior_becomes_the_prior_where_noise_is_endless():
    sigma = np.linalg.inv(np.eye(LATENT) + WEIGHT.T @ WEIGHT / 1e12)
    np.testing.assert_allclose(sigma, np.eye(LATENT), atol=1e-10)


def test_equations_10_11_and_12_by_all_pairs_of_samples():
    # a prior of three codes, S = 2: the nine outcomes and their probabilities, exactly
    prior, likelihood = np.array([0.2, 0.5, 0.3]), np.array([0.9, 0.1, 0.02])
    p = prior @ likelihood
    rho = prior @ likelihood**2 / p**2 - 1
    chances = np.outer(prior, prior)
    estimate = (likelihood[:, None] + likelihood) / 2
    assert (chances * estimate).sum() == pytest.approx(p)
    variance = (chances * (estimate - p) ** 2).sum()
    assert variance / p**2 == pytest.approx(rho / 2)
    assert (chances * np.log(estimate)).sum() < math.log(p)


def test_equation_13_the_bias_of_the_log_is_minus_rho_over_2s():
    # the number of hits of a prior of two codes is binomial: the expectation is a sum
    a, b, chance = 1.0, 0.2, 0.3
    p = chance * a + (1 - chance) * b
    rho = chance * (1 - chance) * (a - b) ** 2 / p**2
    for num_samples in (1_000, 10_000):
        hits = np.arange(num_samples + 1)
        estimate = (hits * a + (num_samples - hits) * b) / num_samples
        weight = stats.binom(num_samples, chance).pmf(hits)
        bias = weight @ np.log(estimate) - math.log(p)
        assert bias == pytest.approx(-rho / (2 * num_samples), rel=5 / num_samples)


def rho_1(x: float, var: float) -> float:
    """Equation (14)."""
    half = stats.norm(0, math.sqrt(1 + var / 2)).pdf(x)
    full = stats.norm(0, math.sqrt(1 + var)).pdf(x)
    return half / (2 * math.sqrt(math.pi * var) * full**2) - 1


@pytest.mark.parametrize(("x", "var"), [(1.0, 0.1), (-0.4, 0.7)])
def test_equation_14_against_quadrature(x, var):
    def moment(power: int) -> float:
        def under_prior(z: float) -> float:
            return stats.norm.pdf(x, z, math.sqrt(var)) ** power * stats.norm.pdf(z)

        return integrate.quad(under_prior, -8, 8, points=[x])[0]

    assert moment(2) / moment(1) ** 2 - 1 == pytest.approx(rho_1(x, var), rel=1e-7)


def test_equation_14_the_square_of_a_gaussian_density():
    x, z, s = sp.symbols("x z s", positive=True)

    def density(var):
        return sp.exp(-((x - z) ** 2) / (2 * var)) / sp.sqrt(2 * sp.pi * var)

    claim = density(s**2) ** 2 - density(s**2 / 2) / (2 * sp.sqrt(sp.pi) * s)
    assert sp.simplify(claim) == 0


def test_the_number_that_the_lesson_names():
    assert rho_1(1.0, 0.1) == pytest.approx(2.70, abs=0.005)
    assert (1 + rho_1(1.0, 0.1)) ** 6 == pytest.approx(2600, rel=0.02)
    assert math.log(100) / math.log(3.70) == pytest.approx(3.5, abs=0.05)
    assert math.sqrt(rho_1(1.0, 0.1) / 270) == pytest.approx(0.1, abs=0.001)


def test_equation_15_relative_variances_multiply():
    prior, likelihood = np.array([0.2, 0.5, 0.3]), np.array([0.9, 0.1, 0.02])

    def second(values, weights):
        return weights @ values**2 / (weights @ values) ** 2

    both = np.outer(likelihood, likelihood).ravel(), np.outer(prior, prior).ravel()
    assert second(*both) == pytest.approx(second(likelihood, prior) ** 2)


def test_equations_16_and_17_by_all_outcomes_of_q():
    joint, q = np.array([0.02, 0.3, 0.01]), np.array([0.5, 0.1, 0.4])
    assert q @ (joint / q) == pytest.approx(joint.sum())
    pairs = np.outer(q, q) * ((joint / q)[:, None] + joint / q) / 2
    assert pairs.sum() == pytest.approx(joint.sum())
    missing = np.array([0.6, 0.0, 0.4])  # q = 0 where the joint is not: a part is lost
    held = missing > 0
    assert missing[held] @ (joint[held] / missing[held]) < joint.sum() - 0.1


def test_equation_18_constant_weights_and_only_at_the_posterior():
    joint = np.array([0.02, 0.3, 0.01])
    q = joint / joint.sum()
    assert np.ptp(joint / q) < 1e-12
    assert (joint / q)[0] == pytest.approx(joint.sum())
    other = np.array([0.05, 0.9, 0.05])
    assert np.ptp(joint / other) > 0.01


def test_the_posterior_of_the_copies_that_the_lesson_names():
    var = 0.1  # Bayes for x | z ~ N(z, 0.1) at x = 1
    assert 1 / (1 + 1 / var) == pytest.approx(1 / 11)
    assert (1 / var) / (1 + 1 / var) == pytest.approx(10 / 11)


@pytest.mark.parametrize("s", [0.8, 1.0, 1.7, 3.0])
def test_equation_19_against_quadrature(s):
    def ratio(u: float) -> float:
        return stats.norm.pdf(u) ** 2 / stats.norm.pdf(u, 0, s)

    found = integrate.quad(ratio, -12, 12)[0]
    assert found == pytest.approx(s**2 / math.sqrt(2 * s**2 - 1), rel=1e-6)


def test_equation_19_has_no_limit_below_the_critical_width():
    s = 0.65

    def upto(end: float) -> float:
        def ratio(u: float) -> float:
            return math.exp(-(u**2) * (2 - 1 / s**2) / 2)

        return integrate.quad(ratio, -end, end)[0]

    assert upto(20) > 100 * upto(10)
    assert 2 - 1 / s**2 < 0


def test_the_relative_error_that_the_lesson_names():
    rho_5 = (4 / math.sqrt(7)) ** 5 - 1
    assert rho_5 == pytest.approx(6.9, abs=0.05)
    assert math.sqrt(rho_5 / 1000) == pytest.approx(0.08, abs=0.005)


def test_the_ring_has_two_equal_peaks_and_one_of_them_holds_half():
    x = np.array([-2.0, 0.0])

    def joint(z: float) -> float:
        mean = 2 * np.array([math.cos(1.5 * z), math.sin(1.5 * z)])
        return math.exp(log_normal(x, mean, 0.1 * np.eye(2))) * stats.norm.pdf(z)

    right = integrate.quad(joint, 0, 4, points=[2.07])[0]
    left = integrate.quad(joint, -4, 0, points=[-2.07])[0]
    assert right == pytest.approx(left)
    assert math.log(right / (left + right)) == pytest.approx(-0.69, abs=0.005)
