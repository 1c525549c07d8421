"""The equations printed in lesson 06, each verified by its number.

What belongs here: symbols (sympy), numbers, quadrature. What does not: the exercises.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, optimize, stats

LOGITS = np.linspace(-9, 9, 19)


def zeta(logit):
    return np.log1p(np.exp(logit))


def sigma(logit):
    return 1 / (1 + np.exp(-logit))


# --- the Bernoulli decoder --------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_1_to_5_are_one_function(x):
    p = sigma(LOGITS)
    lines = [
        np.log(p**x * (1 - p) ** (1 - x)),  # (1)
        x * np.log(p) + (1 - x) * np.log(1 - p),  # (2)
        -x * zeta(-LOGITS) - (1 - x) * zeta(LOGITS),  # (3)
        x * LOGITS - zeta(LOGITS),  # (5)
    ]
    for line in lines:
        assert np.allclose(line, stats.bernoulli.logpmf(x, p), rtol=0, atol=1e-11)


def test_1_sums_to_one_over_both_outcomes():
    p = sp.symbols("p", positive=True)
    assert sp.simplify(sum(p**x * (1 - p) ** (1 - x) for x in (0, 1)) - 1) == 0


def test_4_the_two_softplus_functions_differ_by_the_logit():
    assert np.allclose(zeta(LOGITS) - zeta(-LOGITS), LOGITS, rtol=0, atol=1e-12)


def test_6_the_stable_softplus_is_exact_and_never_overflows():
    stable = np.maximum(LOGITS, 0) + np.log(1 + np.exp(-np.abs(LOGITS)))
    assert np.allclose(stable, zeta(LOGITS), rtol=0, atol=1e-12)
    far = np.array([-1e3, 1e3])
    assert np.allclose(np.maximum(far, 0) + np.log1p(np.exp(-np.abs(far))), [0, 1e3])


def test_7_the_gradient_is_the_error():
    logit, x = sp.symbols("logit x", real=True)
    slope = sp.diff(x * logit - sp.log(1 + sp.exp(logit)), logit)
    assert sp.simplify(slope - (x - 1 / (1 + sp.exp(-logit)))) == 0


@pytest.mark.parametrize(("logit", "fails"), [(15.0, False), (18.0, True)])
def test_the_prediction_about_float32(logit, fails):
    one_less = 1 - torch.sigmoid(torch.tensor(logit))
    assert (one_less.item() == 0) is fails
    assert torch.sigmoid(torch.tensor(-80.0)).item() > 1e-36


# --- grey pixels ------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.1, 0.3, 0.8])
def test_8_the_grey_formula_is_an_expectation(x):
    expectation = x * (LOGITS - zeta(LOGITS)) + (1 - x) * (0 - zeta(LOGITS))
    assert np.allclose(expectation, x * LOGITS - zeta(LOGITS), atol=1e-12)


@pytest.mark.parametrize("logit", [-12.0, -2.0, 0.7, 5.0, 12.0])
def test_9_the_grey_formula_integrates_to_less_than_a_half(logit):
    area, _ = integrate.quad(lambda x: math.exp(x * logit - zeta(logit)), 0, 1)
    assert area == pytest.approx(math.tanh(logit / 2) / logit, rel=1e-10)
    assert area == pytest.approx(
        (math.exp(logit) - 1) / (math.exp(logit) + 1) / logit, rel=1e-10
    )
    assert area < 0.5


def test_9_at_zero_and_the_numbers_of_the_alt_text():
    logit = sp.symbols("logit")
    assert sp.limit(sp.tanh(logit / 2) / logit, logit, 0) == sp.Rational(1, 2)
    assert math.tanh(6) / 12 == pytest.approx(0.083, abs=5e-4)


@pytest.mark.parametrize("p", [0.1, 0.45, 0.9])
def test_9_its_inverse_is_the_continuous_bernoulli_s_constant(p):
    published = 2 * math.atanh(1 - 2 * p) / (1 - 2 * p)
    logit = math.log(p / (1 - p))
    assert logit / math.tanh(logit / 2) == pytest.approx(published, rel=1e-12)
    density = torch.distributions.ContinuousBernoulli(torch.tensor(p).double())
    at = density.log_prob(torch.tensor(0.3).double()).item()
    assert at == pytest.approx(
        0.3 * logit - zeta(logit) + math.log(published), rel=1e-6
    )


# --- binarising -------------------------------------------------------------------


def test_10_the_share_of_noise_below_x_is_x():
    noise = np.arange(1000) / 1000  # an even grid on [0, 1)
    for x in (0.0, 0.25, 0.7, 1.0):
        assert (noise < x).mean() == pytest.approx(x, abs=1e-12)


def test_11_cross_entropy_is_entropy_plus_kl_and_12_is_its_least_value():
    x, p = np.array([0.2, 0.5, 0.9]), np.array([0.4, 0.3, 0.8])
    cross = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum()
    entropy = stats.bernoulli(x).entropy().sum()
    assert entropy == pytest.approx(-(x * np.log(x) + (1 - x) * np.log(1 - x)).sum())
    kl = sum(stats.entropy([a, 1 - a], [b, 1 - b]) for a, b in zip(x, p, strict=True))
    assert cross == pytest.approx(entropy + kl)
    grid = np.arange(1, 1000) / 1000
    assert grid[np.argmax(0.2 * np.log(grid) + 0.8 * np.log(1 - grid))] == 0.2


def test_the_limit_of_t_log_t():
    t = sp.symbols("t", positive=True)
    assert sp.limit(t * sp.log(t), t, 0, "+") == 0


# --- the Gaussian decoder ---------------------------------------------------------


def test_13_and_14_are_the_gaussian_log_density():
    rng = np.random.default_rng(0)
    x, m, ell = rng.normal(size=(3, 5))
    own = -0.5 * (math.log(2 * math.pi) + ell + (x - m) ** 2 * np.exp(-ell)).sum()
    assert own == pytest.approx(stats.norm(m, np.exp(ell / 2)).logpdf(x).sum())
    pdf = np.exp(-((x - m) ** 2) / (2 * np.exp(ell))) / np.sqrt(2 * np.pi * np.exp(ell))
    assert np.log(pdf).sum() == pytest.approx(own)


def test_15_and_16_the_best_variance_is_the_mean_squared_error():
    errors = np.random.default_rng(1).normal(size=(7, 5)) * 0.4 + 0.2
    mse = (errors**2).mean()

    def minus(ell):
        return -stats.norm(0, math.exp(ell / 2)).logpdf(errors).sum()

    found = optimize.minimize_scalar(minus, (-5, 1), tol=1e-12)
    assert found.x == pytest.approx(math.log(mse), abs=1e-6)
    count = errors.size
    best = -count / 2 * (math.log(2 * math.pi) + math.log(mse) + 1)
    assert -found.fun == pytest.approx(best, rel=1e-10)


def test_15_the_derivative_and_the_sign_of_the_second():
    ell, e = sp.symbols("ell e", real=True)
    f = -sp.Rational(1, 2) * (sp.log(2 * sp.pi) + ell + e**2 * sp.exp(-ell))
    assert sp.simplify(sp.diff(f, ell) + (1 - e**2 * sp.exp(-ell)) / 2) == 0
    assert sp.simplify(sp.diff(f, ell, 2) + e**2 * sp.exp(-ell) / 2) == 0


@pytest.mark.parametrize("variance", [0.5, 0.07, 1.0])
def test_17_a_fixed_variance_is_a_weight_on_the_squared_error(variance):
    x, y = np.array([0.3, -1.2, 2.0]), np.array([0.9, 0.1, -0.4])
    normal = stats.norm(0, math.sqrt(variance))
    difference = normal.logpdf(y).sum() - normal.logpdf(x).sum()
    weighted = ((x**2).sum() - (y**2).sum()) / (2 * variance)
    assert difference == pytest.approx(weighted)
    assert math.sqrt(0.5) == pytest.approx(0.7, abs=0.01)


def test_18_the_variance_is_a_beta():
    square, kl, var = sp.symbols("square kl var", positive=True)
    assert sp.expand(2 * var * (square / (2 * var) + kl) - (square + 2 * var * kl)) == 0


# --- bits -------------------------------------------------------------------------


def test_19_bits_per_dim_of_a_fair_coin_and_of_a_uniform_byte():
    assert -math.log(0.5) / math.log(2) == pytest.approx(1)
    assert -math.log(256.0**-5) / (5 * math.log(2)) == pytest.approx(8)


@pytest.mark.parametrize(
    ("sd", "centre", "averaged", "true"),
    [
        (8.0, 4.326, 4.327, 4.327),
        (2.0, 2.326, 2.341, 2.341),
        (0.5, 0.326, 0.566, 0.551),
        (0.1, -1.996, 4.015, 0.0),
    ],
)
def test_20_and_the_table_of_dequantisation(sd, centre, averaged, true):
    normal = stats.norm(0, sd)
    mean, _ = integrate.quad(normal.logpdf, -0.5, 0.5)
    log_p = math.log(normal.cdf(0.5) - normal.cdf(-0.5))
    assert mean <= log_p
    for nats, bits in ((normal.logpdf(0), centre), (mean, averaged), (log_p, true)):
        assert -nats / math.log(2) == pytest.approx(bits, abs=6e-4)


# --- the hidden beta --------------------------------------------------------------


def test_21_the_table_of_reductions():
    pixels, latents, batch = 784, 200, 128
    pixel, latent = sp.Rational(1, pixels), sp.Rational(1, latents)
    assert latent / pixel == sp.Rational(392, 100)
    assert 1 / pixel == 784
    assert float(latent / 1) == 0.005
    # a default mean beside a sum over all, 32 images: w_r = 1 / (784 * 32), w_k = 1
    assert 784 * 32 == 25_088
    # a mean over the batch in the first term alone multiplies beta by the batch
    assert latent / (pixel / batch) == batch * (latent / pixel)


def test_22_is_the_maximum_of_the_likelihood_along_one_direction():
    s = 0.3
    for lam in (0.2, 0.9, 2.5):

        def minus(w, lam=lam):
            var = w**2 + s
            return 0.5 * (math.log(2 * math.pi * var) + lam / var)

        found = optimize.minimize_scalar(minus, bounds=(0, 3), method="bounded")
        assert found.x == pytest.approx(math.sqrt(max(lam - s, 0)), abs=1e-3)


def test_22_the_elbo_with_beta_is_the_elbo_with_beta_times_the_variance():
    beta, var, square, kl = sp.symbols("beta var square kl", positive=True)
    weighted = square / (2 * var) + beta * kl
    assert sp.simplify(weighted / beta - (square / (2 * beta * var) + kl)) == 0


def test_22_minimises_the_weighted_loss_over_decoder_and_encoder():
    lam, var, beta = 1.7, 0.1, 4.0

    def loss(parameters):
        w, a, log_v = parameters  # decoder, encoder mean a t, encoder variance
        v = math.exp(log_v)
        square = lam * (1 - w * a) ** 2 + w**2 * v
        kl = 0.5 * (a**2 * lam + v - 1 - log_v)
        return square / (2 * var) + beta * kl

    found = optimize.minimize(loss, [1.0, 0.5, -1.0], tol=1e-12)
    s = beta * var
    expected = [math.sqrt(lam - s), math.sqrt(lam - s) / lam, math.log(s / lam)]
    assert np.allclose(found.x, expected, atol=1e-4)


def test_23_the_rate_and_24_the_error_along_one_direction():
    lam, s = sp.symbols("lambda s", positive=True)
    w, v = sp.sqrt(lam - s), s / lam
    mean_square = w**2 / lam**2 * lam  # of the posterior's mean, over the data
    assert sp.simplify(mean_square - (lam - s) / lam) == 0
    rate = (mean_square + v - 1 - sp.log(v)) / 2
    assert sp.simplify(rate - sp.log(lam / s) / 2).equals(0)
    error = lam * (1 - w * w / lam) ** 2 + w**2 * v
    assert sp.simplify(error - s) == 0


def test_the_posterior_of_22_is_bayes_rule():
    lam, s, t = 1.4, 0.3, 0.8
    w = math.sqrt(lam - s)

    def joint(z):
        return stats.norm.pdf(z) * stats.norm(w * z, math.sqrt(s)).pdf(t)

    total, _ = integrate.quad(joint, -10, 10)
    mean, _ = integrate.quad(lambda z: z * joint(z) / total, -10, 10)
    second, _ = integrate.quad(lambda z: z**2 * joint(z) / total, -10, 10)
    assert mean == pytest.approx(w * t / lam, abs=1e-8)
    assert second - mean**2 == pytest.approx(s / lam, abs=1e-8)


def test_the_numbers_of_the_written_question():
    beta = 784 / 200
    assert 0.5 * beta == pytest.approx(1.96)
