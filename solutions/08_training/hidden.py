"""Lesson 08: oracles from torch.distributions, autograd and counting; hidden laws."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, VALUE, Laws, Truth, compare
from vae_edu.checks.standard import Case, add_fresh
from vae_edu.checks.training import (
    CASES,
    expect_mean,
    expect_step,
    images,
    like_weights,
    model_probe,
    step_values,
)
from vae_edu.probes import OptimizerProbe
from vae_edu.subject import Subject

LAWS = Laws("training")


def minibatch_variance(gradients: Tensor, batch_size: int) -> Tensor:
    """Every batch there is, where there are few; else by the covariance of two draws.

    The gradients of two different draws are correlated: N of them sum to a constant.
    """
    n = len(gradients)
    if math.comb(n, batch_size) <= 500:
        chosen = torch.tensor(list(combinations(range(n), batch_size)))
        return gradients[chosen].mean(1).var(0, correction=0)
    variance = gradients.var(0, correction=0)
    covariance = -variance / (n - 1)
    pairs = batch_size * (batch_size - 1)
    return (batch_size * variance + pairs * covariance) / batch_size**2


def adam_update(
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Tensor, Tensor, Tensor]:
    """torch's own Adam, given this memory."""
    p = torch.zeros_like(grad, requires_grad=True)
    adam = torch.optim.Adam([p], lr=lr, betas=(beta1, beta2), eps=eps)
    memory = {"exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    adam.state[p] = {"step": torch.tensor(float(step - 1)), **memory}
    p.grad = grad.clone()
    adam.step()
    after = adam.state[p]
    return p.detach(), after["exp_avg"], after["exp_avg_sq"]


def _terms(model: nn.Module, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """One value per example: -log p(x|z) and the KL."""
    logits, mu, log_var, _ = model(x, eps)
    pixels = Bernoulli(logits=logits, validate_args=False).log_prob(x)
    q = Normal(mu, torch.exp(log_var / 2))
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return -pixels.sum(1), kl_divergence(q, prior).sum(1)


def _stepped(
    model: nn.Module, optimizer: Any, x: Tensor, eps: Tensor, beta: float
) -> tuple[float, float, float]:
    reconstruction, kl = (t.sum() / len(x) for t in _terms(model, x, eps))
    loss = reconstruction + beta * kl
    own = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, own, allow_unused=True)
    for p, grad in zip(own, grads, strict=True):
        p.grad = grad
    optimizer.step()
    return loss.item(), reconstruction.item(), kl.item()


def train_step(
    model: nn.Module, optimizer: Any, x: Tensor, eps: Tensor, beta: float = 1.0
) -> tuple[float, float, float]:
    """Gradients asked for, and put in their places by hand."""
    return _stepped(model, optimizer, x, eps, beta)


def weights_after(
    model: nn.Module, optimizer: Any, x: Tensor, eps: Tensor, beta: float = 1.0
) -> tuple[Tensor, ...]:
    """The parameters after a step, in the order of their names."""
    _stepped(model, optimizer, x, eps, beta)
    return tuple(p.detach() for _, p in sorted(model.named_parameters()))


def evaluate(model: nn.Module, x: Tensor, eps: Tensor) -> tuple[float, float, float]:
    """The whole set at once; sums without rounding."""
    with torch.no_grad():
        terms = _terms(model.eval(), x, eps)
    reconstruction, kl = (math.fsum(t.tolist()) / len(x) for t in terms)
    return reconstruction + kl, reconstruction, kl


def kl_warmup(step: int, warmup_steps: int) -> float:
    """A fraction, cut at 1."""
    if warmup_steps == 0 or step >= warmup_steps:
        return 1.0
    return float(Fraction(step, warmup_steps))


ORACLES = {
    f.__name__: f
    for f in (
        minibatch_variance,
        adam_update,
        train_step,
        weights_after,
        evaluate,
        kl_warmup,
    )
}

for _cases in CASES.values():
    if _cases.exercise != "train_step":
        add_fresh(LAWS, _cases)
_FRESH = "the step and its numbers are right for inputs that were never published"
LAWS.law("train_step", "fresh inputs", _FRESH, hidden=True, role=VALUE)(step_values)


@LAWS.law(
    "train_step", "a training loop", "all of it together, step after step", hidden=True
)
def _a_training_loop(subject: Subject, truth: Truth, draw: Draw) -> None:
    for kind in ("sgd", "momentum", "adam"):
        model = model_probe(draw, 9, 2, restless=True, rounds=4)
        model.grads = like_weights(draw, model)
        past = like_weights(draw, model)
        optimizer = OptimizerProbe(kind, 0.05, past=past)
        case = Case((model, optimizer, *images(draw, model, 5), 0.3))
        answer = expect_step(subject, truth, case, f"after four steps with {kind}")
        expected = truth("train_step", *case.args)
        compare(answer.value, expected, what=f"step four with {kind}", rtol=LOOSE)


@LAWS.law(
    "evaluate",
    "set sizes",
    "round numbers of images, and thousands",
    hidden=True,
    role=VALUE,
)
def _set_sizes(subject: Subject, truth: Truth, draw: Draw) -> None:
    for n in (64, 128, 500, 1024, 10007):
        model = model_probe(draw, 3, 2)
        x, eps = images(draw, model, n)
        x[-6:] = 1 - 0.1 * x[-6:]
        expect_mean(subject, truth, (model, x, eps), f"for {n:,} images, evaluate")
