"""Lesson 07: mistakes of strangers about the loss and what pulls on the two heads."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from tests.unseen import register

UNSEEN, unseen = register()


# --- negative_elbo --------------------------------------------------------------------


def _rate(mu, log_var):
    return -0.5 * (1 + log_var - mu.pow(2) - log_var.exp()).sum(-1)


def _cost(x, logits):
    cost = functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return cost.sum(-1)


@unseen("negative_elbo", "logits-for-probabilities")
def _(x, logits, mu, log_var, beta=1.0):
    rec = functional.binary_cross_entropy(logits, x, reduction="sum") / len(x)
    kl = _rate(mu, log_var).mean()
    return rec + beta * kl, rec, kl


@unseen(
    "negative_elbo",
    "A mean over the pixels",
)
def _(x, logits, mu, log_var, beta=1.0):
    rec = functional.binary_cross_entropy_with_logits(logits, x)
    kl = _rate(mu, log_var).mean()
    return rec + beta * kl, rec, kl


@unseen("negative_elbo", "Means over pixels and over latents")
def _(x, logits, mu, log_var, beta=1.0):
    rec = functional.binary_cross_entropy_with_logits(logits, x)
    kl = torch.mean(-0.5 * (1 + log_var - mu**2 - log_var.exp()))
    return rec + beta * kl, rec, kl


@unseen("negative_elbo", "A sum over the batch", "sum-for-mean")
def _(x, logits, mu, log_var, beta=1.0):
    rec = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = _rate(mu, log_var).sum()
    return rec + beta * kl, rec, kl


@unseen("negative_elbo", "log_var is taken for the log of sigma in the KL", "log-sigma")
def _(x, logits, mu, log_var, beta=1.0):
    q = Normal(mu, log_var.exp())
    kl = kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu)))
    rec, kl = _cost(x, logits).mean(), kl.sum(-1).mean()
    return rec + beta * kl, rec, kl


@unseen("negative_elbo", "The returned KL is multiplied by beta")
def _(x, logits, mu, log_var, beta=1.0):
    rec, kl = _cost(x, logits).mean(), beta * _rate(mu, log_var).mean()
    return rec + kl, rec, kl


@unseen("negative_elbo", "The ELBO, not its negative", "turned-sign")
def _(x, logits, mu, log_var, beta=1.0):
    rec, kl = -_cost(x, logits).mean(), _rate(mu, log_var).mean()
    return rec - beta * kl, -rec, kl


@unseen("negative_elbo", "The KL is subtracted")
def _(x, logits, mu, log_var, beta=1.0):
    rec, kl = _cost(x, logits).mean(), _rate(mu, log_var).mean()
    return rec - beta * kl, rec, kl


@unseen("negative_elbo", "The sign of the KL term")
def _(x, logits, mu, log_var, beta=1.0):
    rec = _cost(x, logits).mean()
    kl = 0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1).mean()
    return rec + beta * kl, rec, kl


@unseen("negative_elbo", "Cross-entropy of probabilities")
def _(x, logits, mu, log_var, beta=1.0):
    p = torch.sigmoid(logits)
    rec = functional.binary_cross_entropy(p, x, reduction="sum") / x.shape[0]
    kl = _rate(mu, log_var).mean()
    return rec + beta * kl, rec, kl


@unseen("negative_elbo", "One value per example")
def _(x, logits, mu, log_var, beta=1.0):
    rec, kl = _cost(x, logits), _rate(mu, log_var)
    return rec + beta * kl, rec, kl


@unseen("negative_elbo", "The half of the KL is forgotten")
def _(x, logits, mu, log_var, beta=1.0):
    rec, kl = _cost(x, logits).mean(), 2 * _rate(mu, log_var).mean()
    return rec + beta * kl, rec, kl


# --- head_gradients -------------------------------------------------------------------


@unseen("head_gradients", "The reconstruction alone")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(log_var / 2)
    return grad_z.clone(), grad_z * eps * sigma / 2


@unseen("head_gradients", "divided-by-batch", "Averaged over the batch")
def _(grad_z, mu, log_var, eps, beta=1.0):
    n = grad_z.shape[0]
    sigma = torch.exp(0.5 * log_var)
    second = 0.5 * grad_z * eps * sigma + 0.5 * beta * (sigma**2 - 1)
    return (grad_z + beta * mu) / n, second / n


@unseen("head_gradients", "averaged-over-the-batch")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(0.5 * log_var)
    second = 0.5 * grad_z * eps * sigma + 0.5 * beta * (sigma**2 - 1)
    return (grad_z + beta * mu).mean(0), second.mean(0)


@unseen("head_gradients", "The KL's part is divided by the batch")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma, n = torch.exp(0.5 * log_var), len(mu)
    second = 0.5 * grad_z * eps * sigma + 0.5 * beta * (sigma**2 - 1) / n
    return grad_z + beta * mu / n, second


@unseen("head_gradients", "The half of the exponent is forgotten")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = log_var.mul(0.5).exp()
    return grad_z + beta * mu, grad_z * eps * sigma + beta * torch.expm1(log_var) / 2


@unseen("head_gradients", "The gradient in sigma, not in log_var")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(log_var / 2)
    return grad_z + beta * mu, grad_z * eps + beta * (sigma - 1 / sigma)


@unseen("head_gradients", "log-sigma")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(log_var)
    return grad_z + beta * mu, grad_z * eps * sigma + beta * (sigma**2 - 1)


@unseen("head_gradients", "order", "The two gradients change places")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(log_var / 2)
    first = grad_z + beta * mu
    return 0.5 * (grad_z * eps * sigma + beta * (sigma * sigma - 1)), first


@unseen("head_gradients", "No beta")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(log_var / 2)
    return grad_z + mu, 0.5 * (grad_z * eps * sigma + sigma * sigma - 1)


@unseen("head_gradients", "The KL pulls the wrong way")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(log_var / 2)
    return grad_z - beta * mu, 0.5 * (grad_z * eps * sigma - beta * (sigma**2 - 1))


@unseen("head_gradients", "mu is squared in the KL's part", "constant-factor")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(log_var / 2)
    second = 0.5 * (grad_z * eps * sigma + beta * (sigma**2 - 1))
    return grad_z + beta * mu**2 / 2, second


@unseen("head_gradients", "grad-left", "Autograd on the caller's tensors")
def _(grad_z, mu, log_var, eps, beta=1.0):
    mu.requires_grad_(True)
    log_var.requires_grad_(True)
    z = mu + torch.exp(log_var / 2) * eps
    ((z * grad_z).sum() + beta * _rate(mu, log_var).sum()).backward()
    return mu.grad, log_var.grad
