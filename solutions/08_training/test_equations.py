"""The equations printed in lesson 08: by enumeration, by sympy, or by numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import pytest
import sympy as sp
import torch
from torch import nn

from vae_edu import gallery
from vae_edu.checks.draw import Draw
from vae_edu.lesson import find

kl_warmup = find("training").authored("hidden").kl_warmup
GRADIENTS = [Fraction(n) for n in (3, -1, 4, 1, -5, 9)]


def mean(values):
    return sum(values, Fraction(0)) / len(values)


def variance(values):
    centre = mean(values)
    return mean([(v - centre) ** 2 for v in values])


def batch_means(size):
    return [mean(batch) for batch in combinations(GRADIENTS, size)]


# --- mini-batches -----------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, 7))
def test_equation_2_a_mini_batch_is_right_on_average(size):
    assert mean(batch_means(size)) == mean(GRADIENTS)
    chosen = [batch for batch in combinations(range(6), size) if 0 in batch]
    assert Fraction(len(chosen), math.comb(6, size)) == Fraction(size, 6)


def test_equation_4_two_different_draws_are_correlated_negatively():
    centre = mean(GRADIENTS)
    pairs = [(a - centre) * (b - centre) for a, b in combinations(GRADIENTS, 2)]
    assert mean(pairs) == -variance(GRADIENTS) / (len(GRADIENTS) - 1)


@pytest.mark.parametrize("size", range(1, 7))
def test_equations_3_and_5_the_variance_counted_over_every_batch(size):
    s2, n = variance(GRADIENTS), len(GRADIENTS)
    c = -s2 / (n - 1)
    counted = variance(batch_means(size))
    assert counted == (size * s2 + size * (size - 1) * c) / size**2
    assert counted == s2 / size * Fraction(n - size, n - 1)


def test_equation_5_follows_from_3_and_4():
    b, n, s2 = sp.symbols("B N s2", positive=True)
    three = (b * s2 + b * (b - 1) * (-s2 / (n - 1))) / b**2
    assert sp.simplify(three - s2 / b * (n - b) / (n - 1)) == 0


# --- Adam -------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1, 2, 5])
def test_equation_7_the_recursion_unrolled_and_its_weights(t):
    beta = sp.Symbol("beta")
    g = sp.symbols(f"g1:{t + 1}")
    m = sp.Integer(0)
    for value in g:
        m = beta * m + (1 - beta) * value  # equation (6)
    unrolled = (1 - beta) * sum(beta ** (t - s) * g[s - 1] for s in range(1, t + 1))
    assert sp.expand(m - unrolled) == 0
    weights = (1 - beta) * sum(beta ** (t - s) for s in range(1, t + 1))
    assert sp.expand(weights - (1 - beta**t)) == 0


def adams_path(grads, lr=0.1, **how):
    """Points of equation (8), the updates added up."""
    adam_update = find("training").reference["adam_update"]
    theta, m, v, path = torch.zeros(4).double(), torch.zeros(4), torch.zeros(4), []
    for t, g in enumerate(grads, start=1):
        update, m, v = adam_update(g, m, v, t, lr=lr, **how)
        theta = theta + update
        path.append(theta)
    return torch.stack(path)


def test_equation_8_is_what_torch_does():
    grads = Draw("adam").normal(20, 4)
    p = nn.Parameter(torch.zeros(4).double())
    adam = torch.optim.Adam([p], lr=0.1)
    path = []
    for g in grads:
        p.grad = g.clone()
        adam.step()
        path.append(p.detach().clone())
    torch.testing.assert_close(adams_path(grads), torch.stack(path))


def test_equation_8_the_first_step_has_the_size_of_the_learning_rate():
    g = Draw("first").sign(1, 4) * torch.tensor([1e-3, 1.0, 1e3, 10.0])
    first = adams_path(g)[0]
    torch.testing.assert_close(first, -0.1 * g[0].sign(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("scale", [1e-2, 100.0])
def test_equation_8_does_not_see_the_scale_of_the_loss(scale):
    grads = Draw("scale").normal(20, 4)
    own, scaled = adams_path(grads, eps=0.0), adams_path(scale * grads, eps=0.0)
    torch.testing.assert_close(own, scaled)


# --- a step -----------------------------------------------------------------------


def test_equation_9_backward_adds():
    p = nn.Parameter(torch.tensor([2.0, -1.0]))
    (3 * p).sum().backward()
    (p**2).sum().backward()
    assert p.grad.tolist() == [3 + 4.0, 3 - 2.0]


def test_equation_10_what_plain_descent_gains_to_first_order():
    weight = Draw("gain").normal(3)

    def loss(theta):
        return torch.logsumexp(weight * theta, 0) + (theta**4).sum()

    theta = Draw("theta").normal(3).requires_grad_()
    (g,) = torch.autograd.grad(loss(theta), theta)
    errors = []
    for lr in (1e-3, 1e-4):
        gain = loss(theta) - loss(theta - lr * g)
        errors.append(abs((gain - lr * g.square().sum()).item()))
    assert 80 < errors[0] / errors[1] < 125  # of second order


# --- one batch by heart -----------------------------------------------------------


def test_equation_11_no_model_is_better_than_log_n_on_n_images():
    draw = Draw("floor")
    for _ in range(50):
        p = draw.uniform(20, low=1e-4)
        p = p / p.sum() * float(draw.uniform(1))  # of 20 distinct images: at most 1
        average, middle = p.log().mean(), p.mean().log()
        assert average <= middle <= math.log(1 / 20) + 1e-12
    uniform = torch.full((20,), 1 / 20).double()
    assert float(-uniform.log().mean()) == pytest.approx(math.log(20))
    assert math.log(20) == pytest.approx(3.0, abs=0.005)


# --- measuring --------------------------------------------------------------------


def test_equation_12_batches_weigh_as_much_as_they_have_examples():
    losses = Draw("mean").normal(130)
    parts = losses.split(128)
    weighted = sum(len(part) / 130 * part.mean() for part in parts)
    assert float(weighted) == pytest.approx(float(losses.mean()))
    assert float(sum(p.mean() for p in parts) / 2) != pytest.approx(
        float(losses.mean()), abs=1e-3
    )


# --- warm-up and the gallery ------------------------------------------------------


def test_equation_13_the_weight_and_what_the_bound_loses():
    assert [kl_warmup(t, 200) for t in (0, 50, 100, 200, 299)] == [0, 0.25, 0.5, 1, 1]
    negative_elbo = find("building_the_vae").reference["negative_elbo"]
    draw = Draw("warm")
    args = draw.bits(3, 5), draw.normal(3, 5), draw.normal(3, 2), draw.log_var(3, 2)
    loss, _, kl = negative_elbo(*args)
    lower, _, _ = negative_elbo(*args, beta=0.3)
    assert float(loss - lower) == pytest.approx(0.7 * float(kl))


class Model(nn.Module):
    """logits, mu, log_var, z that depend on x and eps."""

    def forward(self, x, eps):
        return x - 0.5, x[:, :2], -x[:, :2], x[:, :2] + eps


def test_patient_b_is_blind_and_the_others_see():
    x, eps = Draw("see").uniform(4, 5), torch.zeros(4, 2)
    for patient in gallery.PATIENTS:
        mu = gallery.model(patient, Model(), 5).double()(x, eps)[1]
        assert bool((mu.std(0) > 0).all()) == (patient != "B")


def test_patient_e_reads_only_the_pixels_before():
    model = gallery.model("E", Model(), 5).double()
    with torch.no_grad():
        model.before.copy_(Draw("read").normal(5, 5))
    x = Draw("pixels").uniform(1, 5)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: model(x, torch.zeros(1, 2))[0][0], x
    )[:, 0]
    beyond = jacobian - torch.eye(5).double()  # what Model itself has of x
    assert torch.equal(beyond, beyond.tril(-1))  # logit j, pixels i < j
    assert bool((beyond.tril(-1) != 0).sum() == 10)


def test_an_unknown_patient_is_refused():
    with pytest.raises(ValueError, match="no patient 'Z'"):
        gallery.habits("Z")
