"""Lesson 04: right answers, written differently."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


@variant("expected_log_q", "minus the entropy of torch.distributions")
def _(log_var: Tensor) -> Tensor:
    scale = torch.exp(log_var / 2)
    return -Independent(Normal(torch.zeros_like(scale), scale), 1).entropy()


@variant("expected_log_q", "constant times the number of dimensions")
def _(log_var: Tensor) -> Tensor:
    constant = log_var.shape[-1] * (1 + math.log(2 * math.pi))
    return -(constant + torch.sum(log_var, dim=-1)) / 2


@variant("expected_log_q", "a loop over the dimensions")
def _(log_var):
    total = 0.0
    for j in range(log_var.shape[-1]):
        total = total - 0.5 * (math.log(2 * math.pi * math.e) + log_var[..., j])
    return total


@variant("expected_log_q", "through sigma, and a matrix product with ones")
def _(log_var: Tensor) -> Tensor:
    sigma = (log_var / 2).exp()
    per_dimension = 0.5 + torch.log(sigma * math.sqrt(2 * math.pi))
    return -(per_dimension @ torch.ones_like(log_var[(0,) * (log_var.dim() - 1)]))


@variant("expected_log_prior", "an einsum")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    second_moment = mu.square() + torch.exp(log_var)
    ones = torch.ones_like(second_moment)
    constant = -0.5 * math.log(2 * math.pi) * mu.shape[-1]
    return constant - 0.5 * torch.einsum("...j,...j->...", second_moment, ones)


@variant("expected_log_prior", "minus entropy minus KL")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    sigma = torch.exp(0.5 * log_var)
    q = Normal(mu, sigma)
    p = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return -(q.entropy() + kl_divergence(q, p)).sum(dim=-1)


@variant("expected_log_prior", "two separate sums")
def _(mu, log_var):
    d = max(mu.shape[-1], log_var.shape[-1])
    spread = torch.exp(log_var).sum(-1)
    return -(d * math.log(2 * math.pi) + (mu * mu).sum(-1) + spread) / 2


@variant("expected_log_prior", "one dimension after the other, the constant last")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    total = 0.0
    for m, v in zip(mu.unbind(-1), log_var.unbind(-1), strict=True):
        total = total - (m.square() + v.exp()) / 2
    return total - 0.5 * mu.size(-1) * math.log(2 * math.pi)


@variant("gaussian_kl", "torch.distributions")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return kl_divergence(Normal(mu, (log_var / 2).exp()), Normal(0.0, 1.0)).sum(-1)


@variant("gaussian_kl", "expm1 and einsum")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    return 0.5 * (
        torch.einsum("...j,...j->...", mu, mu)
        + torch.expm1(log_var).sum(dim=-1)
        - log_var.sum(dim=-1)
    )


@variant("gaussian_kl", "as the difference of two expectations")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    log_2pi = math.log(2 * math.pi)
    log_q = -0.5 * (log_2pi + 1 + log_var).sum(-1)
    log_p = -0.5 * (log_2pi + mu**2 + torch.exp(log_var)).sum(-1)
    return log_q - log_p


@variant("gaussian_kl", "the original paper's minus sign, with named parts")
def _(mu, log_var):
    sigma2 = torch.exp(log_var)
    inner = 1 + log_var - mu.pow(2) - sigma2
    return torch.sum(inner, axis=-1).mul(-0.5)


@variant("gaussian_kl", "a mask and a data-dependent if: the prior costs nothing")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    terms = (mu * mu + torch.expm1(log_var) - log_var) * 0.5
    if not (mu == 0).any():
        return terms.sum(dim=-1)
    at_prior = (mu == 0) & (log_var == 0)
    return torch.where(at_prior, torch.zeros_like(terms), terms).sum(dim=-1)


@variant("gaussian_kl_between", "torch.distributions")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    q = Normal(mu_q, torch.exp(log_var_q / 2))
    p = Normal(mu_p, torch.exp(log_var_p / 2))
    return kl_divergence(q, p).sum(-1)


@variant("gaussian_kl_between", "moving q into p's coordinates")
def _(mu_q, log_var_q, mu_p, log_var_p):
    shift = (mu_q - mu_p) / torch.exp(log_var_p / 2)
    log_var = log_var_q - log_var_p
    return 0.5 * (shift**2 + log_var.exp() - 1 - log_var).sum(-1)


@variant("gaussian_kl_between", "variances, added one after the other")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    kl = log_var_p - log_var_q
    kl = kl + (log_var_q.exp() + (mu_q - mu_p) ** 2) / log_var_p.exp()
    kl = kl - torch.ones((), dtype=kl.dtype, device=kl.device)
    return kl.sum(-1) / 2


@variant("gaussian_kl_between", "a cross-entropy less an entropy, each in full")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    log_2pi = math.log(2 * math.pi)
    squared = (mu_q - mu_p).square() + log_var_q.exp()
    cross_entropy = 0.5 * (log_2pi + log_var_p + squared / log_var_p.exp())
    entropy = 0.5 * (log_2pi + 1.0 + log_var_q)
    return (cross_entropy - entropy).sum(-1)


@variant("monte_carlo_kl", "torch.distributions")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    sigma = (log_var / 2).exp()
    q, p = Normal(mu, sigma), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    z = mu + sigma * eps
    return (q.log_prob(z) - p.log_prob(z)).sum(-1).mean(dim=0)


@variant("monte_carlo_kl", "a loop over the samples")
def _(mu, log_var, eps):
    total = 0
    for noise in eps:
        z = mu + noise * torch.exp(log_var / 2)
        total = total + 0.5 * (z**2 - noise**2 - log_var).sum(-1)
    return total / len(eps)


@variant("monte_carlo_kl", "the mean first, the sum last")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = torch.addcmul(mu.expand_as(eps), (0.5 * log_var).exp().expand_as(eps), eps)
    return 0.5 * ((z**2).mean(0) - (eps**2).mean(0) - log_var).sum(-1)


@variant("monte_carlo_kl", "log q evaluated at z itself, a running mean")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    mean = None
    for count, z in enumerate(mu + log_var.exp().sqrt() * eps, start=1):
        scaled = (z - mu) ** 2 / log_var.exp()
        log_q = -0.5 * (math.log(2 * math.pi) + log_var + scaled).sum(-1)
        log_p = -0.5 * (math.log(2 * math.pi) + z**2).sum(-1)
        term = log_q - log_p
        mean = term if mean is None else mean + (term - mean) / count
    return mean


@variant("gaussian_kl_gradients", "a NamedTuple")
def _(mu: Tensor, log_var: Tensor):
    class Gradients(NamedTuple):
        grad_mu: Tensor
        grad_log_var: Tensor

    return Gradients(mu.clone(), (torch.exp(log_var) - 1) / 2)


@variant("gaussian_kl_gradients", "torch.func")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    def total(m: Tensor, v: Tensor) -> Tensor:
        return 0.5 * (m**2 + torch.expm1(v) - v).sum()

    return torch.func.grad(total, argnums=(0, 1))(mu, log_var)


@variant("gaussian_kl_gradients", "multiplied out")
def _(mu, log_var):
    return 1.0 * mu, torch.sub(log_var.exp() * 0.5, 0.5)


@variant("gaussian_kl_gradients", "halves of sinh: (e^l - 1) / 2 = e^(l/2) sinh(l/2)")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    half = log_var / 2
    return mu, torch.exp(half) * torch.sinh(half)
