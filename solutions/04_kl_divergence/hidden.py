"""Lesson 04: oracles from torch.distributions and autograd, and the hidden laws."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from vae_edu.checks.kl_divergence import CASES
from vae_edu.checks.law import Laws
from vae_edu.checks.standard import add_fresh

LAWS = Laws("kl_divergence")


def _normal(mu: Tensor, log_var: Tensor) -> Independent:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    return Independent(Normal(mu, torch.exp(log_var / 2)), 1)


def _standard(like: Tensor) -> Independent:
    return _normal(torch.zeros_like(like), torch.zeros_like(like))


def expected_log_q(log_var: Tensor) -> Tensor:
    """Minus the entropy."""
    return -_normal(torch.zeros_like(log_var), log_var).entropy()


def expected_log_prior(mu: Tensor, log_var: Tensor) -> Tensor:
    """Minus the cross-entropy: KL = E log q - E log p."""
    return expected_log_q(log_var) - gaussian_kl(mu, log_var)


def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """torch.distributions' closed form."""
    q = _normal(mu, log_var)
    return kl_divergence(q, _standard(q.mean))


def gaussian_kl_between(
    mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor
) -> Tensor:
    """torch.distributions' closed form."""
    return kl_divergence(_normal(mu_q, log_var_q), _normal(mu_p, log_var_p))


def monte_carlo_kl(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """Log-densities by torch.distributions."""
    q = _normal(mu, log_var)
    z = q.mean + q.stddev * eps
    return (q.log_prob(z) - _standard(q.mean).log_prob(z)).mean(0)


def gaussian_kl_gradients(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    """Autograd through the oracle."""
    inputs = [mu.detach().requires_grad_(), log_var.detach().requires_grad_()]
    grads = torch.autograd.grad(gaussian_kl(*inputs).sum(), inputs)
    return grads[0], grads[1]


ORACLES = {
    f.__name__: f
    for f in (
        expected_log_q,
        expected_log_prior,
        gaussian_kl,
        gaussian_kl_between,
        monte_carlo_kl,
        gaussian_kl_gradients,
    )
}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)
