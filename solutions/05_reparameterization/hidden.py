"""Lesson 05: oracles by torch.distributions, torch.func, quadrature; hidden laws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, Broken, LawBody, Laws, Truth, compare
from vae_edu.checks.reparameterization import CASES
from vae_edu.checks.standard import Case, add_fresh, tried
from vae_edu.probes import Probe
from vae_edu.subject import Subject

LAWS = Laws("reparameterization")
F = Callable[[Tensor], Tensor]


def _q(mu: Tensor, log_var: Tensor) -> Normal:
    return Normal(mu, torch.exp(log_var / 2))


def gaussian_score(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    """Autograd through torch.distributions, on broadcast copies: nothing is summed."""
    z, mu, log_var = torch.broadcast_tensors(z, mu, log_var)
    at = [
        mu.detach().clone().requires_grad_(),
        log_var.detach().clone().requires_grad_(),
    ]
    grads = torch.autograd.grad(_q(*at).log_prob(z.detach()).sum(), at)
    return grads[0], grads[1]


def _samples(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return torch.addcmul(mu, torch.sqrt(torch.exp(log_var)), eps).detach()


def score_function_gradient(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """The gradient of the surrogate mean of f · log q, one sample after the other."""
    z = _samples(mu, log_var, eps)
    return _weighted(f(z).detach(), z, mu, log_var)


def _weighted(weights: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    total = torch.zeros_like(mu).detach()
    for weight, sample in zip(weights, z, strict=True):
        total = total + weight * gaussian_score(sample, mu, log_var)[0]
    return total / len(z)


def reparameterize(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """The standard deviation through a square root of the variance."""
    return mu + torch.sqrt(torch.exp(log_var)) * eps


def pathwise_gradient(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """The gradient of f at each z; dz/dmu is the identity."""
    z = _samples(mu, log_var, eps)
    return torch.func.grad(lambda at: f(at).sum())(z).mean(0)


def score_function_variance(mu: Tensor, log_var: Tensor) -> Tensor:
    """Gauss-Hermite quadrature in each dimension: exact for these polynomials."""
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    at, weight = np.polynomial.hermite_e.hermegauss(12)
    eps = torch.as_tensor(at).to(mu)
    weight = torch.as_tensor(weight / weight.sum()).to(mu)
    sigma = torch.exp(log_var / 2)[..., None]
    square = (mu[..., None] + sigma * eps) ** 2  # (..., latent, points)

    def mean(values: Tensor) -> Tensor:
        return (values * weight).sum(-1)

    latent = mu.shape[-1]
    others = 1 - torch.eye(latent, dtype=mu.dtype, device=mu.device)
    first = mean(square)
    rest = (others * first[..., None, :]).sum(-1)
    spread = mean(square**2) - first**2
    rest_square = rest**2 + (others * spread[..., None, :]).sum(-1)
    moments = [mean(square**k * eps**2) for k in (0, 1, 2)]
    second = moments[2] + 2 * moments[1] * rest + moments[0] * rest_square
    gradient = mean(square * eps)
    return (second - gradient**2) / sigma[..., 0] ** 2


def score_function_gradient_with_baseline(
    f: F, mu: Tensor, log_var: Tensor, eps: Tensor
) -> Tensor:
    """Each sample in turn is left out of the list that the baseline averages."""
    z = _samples(mu, log_var, eps)
    values = f(z).detach()
    left = [
        values[i] - torch.cat([values[:i], values[i + 1 :]]).mean()
        for i in range(len(values))
    ]
    return _weighted(torch.stack(left), z, mu, log_var)


ORACLES = {
    f.__name__: f
    for f in (
        gaussian_score,
        score_function_gradient,
        reparameterize,
        pathwise_gradient,
        score_function_variance,
        score_function_gradient_with_baseline,
    )
}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)


# --- shapes that were never published ---------------------------------------------

SHAPES: dict[str, tuple[tuple[tuple[int, ...], ...], ...]] = {
    "gaussian_score": (
        ((2, 1, 4, 3), (5, 1, 3), (4, 3)),
        ((3,), (3,), (2, 4, 3)),
        ((1, 3), (5, 3), ()),
        ((5, 2), (7, 1, 2), (1, 2)),
    ),
    "reparameterize": (
        ((2, 1, 4, 3), (5, 1, 3), (4, 3)),
        ((3,), (3,), (2, 4, 3)),
        ((2, 4, 3), (3,), (3,)),
        ((3,), (2, 4, 3), (4, 3)),
    ),
    "score_function_variance": (
        ((2, 1, 4, 3), (5, 1, 3)),
        ((3,), (2, 4, 3)),
        ((2, 4, 3), (1, 3)),
    ),
}


def _other_shapes(exercise: str) -> LawBody:
    params = CASES[exercise].params

    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        for shapes in SHAPES[exercise]:
            args = tuple(
                draw.log_var(*s) if p == "log_var" else draw.normal(*s)
                for p, s in zip(params, shapes, strict=True)
            )
            compare(
                subject.call(exercise, *args),
                truth(exercise, *args),
                what=tried(CASES[exercise], Case(args)),
                scale=100,
                rtol=LOOSE,
            )

    return body


for _name in SHAPES:
    LAWS.law(_name, "other shapes", "any shapes broadcast", hidden=True)(
        _other_shapes(_name)
    )


# --- whose gradients, on another f ------------------------------------------------


def _borrowed(exercise: str) -> LawBody:
    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        for upstream in (False, True):
            f = Probe("quadratic", draw.sign(4), trainable=True)
            args = (f, draw.normal(4), draw.log_var(4), draw.normal(3, 4))
            answer = subject.ask_requiring(exercise, args, [1, 2, 3], upstream=upstream)
            compare(answer.value, truth(exercise, *args), scale=30, rtol=LOOSE)
            if answer.left_grad or answer.switched:
                raise Broken(
                    "the caller's tensors were not left as they were", "left grad"
                )

    return body


for _name in (
    "score_function_gradient",
    "pathwise_gradient",
    "score_function_gradient_with_baseline",
):
    LAWS.law(_name, "borrowed", "nothing of the caller's is kept", hidden=True)(
        _borrowed(_name)
    )
