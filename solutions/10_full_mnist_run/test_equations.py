"""The equations printed in lesson 10, verified by sympy, enumeration or numbers."""

from __future__ import annotations

import math
from itertools import product

import pytest
import sympy
import torch

from vae_edu.evaluate import softplus_sum
from vae_edu.lesson import find
from vae_edu.models import OneLayerVAE
from vae_edu.train import TrainConfig, draw_binary, learning_rate_at, negative_elbo


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(10)


@pytest.mark.parametrize("pixels", [784, 64])
def test_a_decoder_that_says_nothing_costs_log_two_a_pixel(pixels):
    x = torch.randint(0, 2, (5, pixels)).float()
    zero = torch.zeros(5, 3)
    loss, _, kl = negative_elbo(x, torch.zeros(5, pixels), zero, zero)
    assert loss.item() == pytest.approx(pixels * math.log(2), rel=1e-6)
    assert kl.item() == 0
    assert round(784 * math.log(2), 1) == 543.4
    assert round(64 * math.log(2), 1) == 44.4


def test_equation_1_binarises_with_the_pixels_own_probability():
    images = torch.arange(256, dtype=torch.uint8).repeat(4000, 1)
    found = draw_binary(images, torch.Generator().manual_seed(0)).mean(0)
    expected = torch.arange(256) / 255
    assert (found - expected).abs().max() < 5 * 0.5 / 4000**0.5
    assert found[0] == 0
    assert found[255] == 1


def test_the_learning_rate_rises_for_a_twentieth_of_the_steps_and_falls_to_zero():
    config = TrainConfig(epochs=10, learning_rate=1.0)
    rates = [learning_rate_at(step, 40, config) for step in range(400)]
    top = rates.index(max(rates))
    assert abs(top - 20) <= 1
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 1e-3


def test_equation_2_the_sum_over_pixels_moves_to_the_image():
    x, h = sympy.symbols("x0:4"), sympy.symbols("h0:3")
    weight = sympy.Matrix(4, 3, sympy.symbols("w0:12"))
    bias = sympy.Matrix(sympy.symbols("b0:4"))
    row, column = sympy.Matrix(x).T, sympy.Matrix(h)
    left = (row * (weight * column + bias))[0]
    right = ((weight.T * row.T).T * column)[0] + (bias.T * row.T)[0]
    assert sympy.expand(left - right) == 0


@pytest.mark.parametrize("size", [1.0, 9.0, 80.0])
def test_equation_3_eight_pixels_share_a_logarithm(size):
    logits = size * (2 * torch.rand(50, 784) - 1)
    exact = torch.nn.functional.softplus(logits.double()).sum(-1)
    assert torch.allclose(softplus_sum(logits.clone()).double(), exact, rtol=1e-5)


def test_equation_3_a_product_of_eight_stays_finite_up_to_ten_and_not_to_twelve():
    assert 8 * math.log10(1 + math.exp(10)) == pytest.approx(34.7, abs=0.05)
    eight = torch.full((8,), 10.0)
    assert (1 + eight.exp()).prod().isfinite()
    assert (1 + (1.2 * eight).exp()).prod().isinf()


def test_equations_2_and_3_give_the_bound_of_lesson_09():
    from vae_edu.evaluate import log_weights

    lesson = find("importance_weighting").reference
    model = OneLayerVAE(16, (9,), 3, "relu", torch.Generator().manual_seed(1))
    x = torch.randint(0, 2, (4, 16)).float()
    with torch.no_grad():
        fast = log_weights(model, x, 50, torch.Generator().manual_seed(2))
        eps = torch.randn(50, 4, 3, generator=torch.Generator().manual_seed(2))
        logits, mu, log_var, z = model(x, eps)
        slow = lesson["log_importance_weights"](x, logits, z, mu, log_var)
    assert torch.allclose(fast, slow, atol=1e-4)


def test_equation_4_the_variance_of_a_difference_of_means_on_the_same_images():
    """All samples of 2 images out of a population of 4, drawn with replacement."""
    a, b = torch.randn(2, 4, dtype=torch.float64)
    b = b + 0.7 * a
    pairs = [list(chosen) for chosen in product(range(4), repeat=2)]
    means = torch.stack([(a[c] - b[c]).mean() for c in pairs])
    spread_a, spread_b = a.std(correction=0), b.std(correction=0)
    rho = ((a - a.mean()) * (b - b.mean())).mean() / (spread_a * spread_b)
    formula = (spread_a**2 + spread_b**2 - 2 * rho * spread_a * spread_b) / 2
    assert means.var(correction=0).item() == pytest.approx(formula.item())


def test_equation_5_is_unbiased_and_is_the_exercise():
    """The mean of SE squared over all samples is the variance of the mean."""
    paired_difference = find("full_mnist_run").reference["paired_difference"]
    a, b = torch.randn(2, 4, dtype=torch.float64)
    samples = [list(chosen) for chosen in product(range(4), repeat=3)]
    found = [paired_difference(a[c], b[c]) for c in samples]
    means = torch.stack([mean for mean, _ in found])
    squares = torch.stack([error**2 for _, error in found])
    assert squares.mean().item() == pytest.approx(means.var(correction=0).item())


def test_the_predicted_gain_of_pairing():
    share = (1 + 1 - 2 * 0.95) / 2
    assert share == pytest.approx(1 / 20)
    assert (1 / share) ** 0.5 == pytest.approx(4.5, abs=0.05)
