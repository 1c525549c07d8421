"""Lesson 09: mistakes of strangers about weights, bounds, and what they rest on."""

from __future__ import annotations

import math

import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional

from tests.unseen import register

UNSEEN, unseen = register()


# --- log_importance_weights -----------------------------------------------------------


def _pixels(x, logits):
    cost = functional.binary_cross_entropy_with_logits(
        logits, x.expand_as(logits), reduction="none"
    )
    return -cost.sum(-1)


@unseen(
    "log_importance_weights",
    "log-sigma",
    "log_var taken for the log of the standard deviation",
)
def _(x, logits, z, mu, log_var):
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    q = Normal(mu, log_var.exp()).log_prob(z).sum(-1)
    return _pixels(x, logits) + prior - q


@unseen("log_importance_weights", "The prior is forgotten")
def _(x, logits, z, mu, log_var):
    q = Normal(mu, torch.exp(0.5 * log_var)).log_prob(z).sum(-1)
    return Bernoulli(logits=logits).log_prob(x).sum(-1) - q


@unseen("log_importance_weights", "The proposal is forgotten")
def _(x, logits, z, mu, log_var):
    prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
    return prior + _pixels(x, logits)


@unseen("log_importance_weights", "The proposal multiplies, it does not divide")
def _(x, logits, z, mu, log_var):
    log_2pi = math.log(2 * math.pi)
    log_q = -0.5 * (log_2pi + log_var + (z - mu) ** 2 / log_var.exp())
    log_p = -0.5 * (log_2pi + z**2)
    return _pixels(x, logits) + (log_p + log_q).sum(dim=-1)


@unseen(
    "log_importance_weights", "The constant is left out of one of the two Gaussians"
)
def _(x, logits, z, mu, log_var):
    log_q = -0.5 * (math.log(2 * math.pi) + log_var + (z - mu) ** 2 / log_var.exp())
    return _pixels(x, logits) - 0.5 * (z * z).sum(-1) - log_q.sum(-1)


@unseen("log_importance_weights", "The KL in closed form stands in for the log-ratio")
def _(x, logits, z, mu, log_var):
    q = Normal(mu, (0.5 * log_var).exp())
    rate = kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu)))
    return _pixels(x, logits) - rate.sum(-1)


@unseen("log_importance_weights", "A mean over the pixels")
def _(x, logits, z, mu, log_var):
    like = Bernoulli(logits=logits).log_prob(x.expand_as(logits)).mean(-1)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    return like + prior - Normal(mu, (log_var / 2).exp()).log_prob(z).sum(-1)


@unseen("log_importance_weights", "The loss of the pixels, not their log-likelihood")
def _(x, logits, z, mu, log_var):
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    q = Normal(mu, (log_var / 2).exp()).log_prob(z).sum(-1)
    return -_pixels(x, logits) + prior - q


@unseen("log_importance_weights", "turned-sign")
def _(x, logits, z, mu, log_var):
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    q = Normal(mu, (log_var / 2).exp()).log_prob(z).sum(-1)
    return q - prior - _pixels(x, logits)


@unseen("log_importance_weights", "log-missing", "Weights, not their logs")
def _(x, logits, z, mu, log_var):
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    q = Normal(mu, (log_var / 2).exp()).log_prob(z).sum(-1)
    return torch.exp(_pixels(x, logits) + prior) / torch.exp(q)


@unseen(
    "log_importance_weights",
    "q's density is that of the noise, its width is left out",
)
def _(x, logits, z, mu, log_var):
    eps = (z - mu) * torch.exp(-log_var / 2)
    log_ratio = 0.5 * eps.pow(2) - 0.5 * z.pow(2)
    return _pixels(x, logits) + log_ratio.sum(-1)


@unseen("log_importance_weights", "precision-for-variance")
def _(x, logits, z, mu, log_var):
    log_q = -0.5 * (math.log(2 * math.pi) - log_var + (z - mu) ** 2 * log_var.exp())
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    return _pixels(x, logits) + prior - log_q.sum(-1)


# --- iwae_bound -----------------------------------------------------------------------


@unseen("iwae_bound", "wrong-axis", "Averaged over the batch, not over the samples")
def _(log_weights):
    return torch.logsumexp(log_weights, 1) - math.log(log_weights.size(1))


@unseen("iwae_bound", "Averaged over the batch, not over the samples", "wrong-axis")
def _(log_weights):
    return log_weights.exp().mean(-1).log()


@unseen("iwae_bound", "The mean of the log-weights")
def _(log_weights):
    return torch.mean(log_weights, dim=0)


@unseen("iwae_bound", "The weights are added, not averaged")
def _(log_weights):
    top = log_weights.max(dim=0).values
    return top + torch.log(torch.exp(log_weights - top).sum(dim=0))


@unseen("iwae_bound", "Divided by the size of the batch")
def _(log_weights):
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[-1])


@unseen("iwae_bound", "turned-sign", "The loss, not the bound")
def _(log_weights):
    return -(torch.logsumexp(log_weights, 0) - math.log(len(log_weights)))


@unseen("iwae_bound", "exp of the log-weights, unprotected", "overflow")
def _(log_weights):
    return torch.log(torch.mean(torch.exp(log_weights), 0))


@unseen("iwae_bound", "One number for the whole batch", "averaged-over-the-batch")
def _(log_weights):
    bound = log_weights.logsumexp(0) - math.log(log_weights.shape[0])
    return bound.mean()


@unseen("iwae_bound", "log-missing")
def _(log_weights):
    return log_weights.exp().mean(0)


@unseen("iwae_bound", "The logarithm is divided by the number of samples")
def _(log_weights):
    return torch.logsumexp(log_weights, 0) / log_weights.shape[0]


@unseen("iwae_bound", "argument-detached")
def _(log_weights):
    top = log_weights.max(0).values
    return (log_weights - top).detach().exp().mean(0).log() + top.detach()


# --- normalized_weights ---------------------------------------------------------------


@unseen("normalized_weights", "Normalised over the batch, not over the samples")
def _(log_weights):
    return torch.exp(log_weights - torch.logsumexp(log_weights, 1, keepdim=True))


@unseen("normalized_weights", "The logs of the weights are normalised")
def _(log_weights):
    return log_weights / torch.sum(log_weights, dim=0, keepdim=True)


@unseen("normalized_weights", "The log-weights are clamped", "extremes-wrong")
def _(log_weights):
    w = torch.exp(torch.clamp(log_weights, -80, 80))
    return w / w.sum(0, keepdim=True)


@unseen("normalized_weights", "exp of the log-weights, unprotected", "overflow")
def _(log_weights):
    w = torch.exp(log_weights)
    return w / torch.sum(w, 0)


@unseen("normalized_weights", "Relative to the largest weight")
def _(log_weights):
    return torch.exp(log_weights - log_weights.max(0, keepdim=True).values)


@unseen("normalized_weights", "Normalised over all examples together")
def _(log_weights):
    return torch.exp(log_weights - torch.logsumexp(log_weights, (0, 1)))


@unseen("normalized_weights", "Divided by the mean weight")
def _(log_weights):
    w = torch.exp(log_weights - log_weights.amax(0))
    return w / w.mean(0)


@unseen("normalized_weights", "The result is left in logs")
def _(log_weights):
    return log_weights - log_weights.logsumexp(0)


@unseen("normalized_weights", "argument-detached")
@torch.no_grad()
def _(log_weights):
    return functional.softmax(log_weights, dim=0)


@unseen("normalized_weights", "A small number is added to the sum")
def _(log_weights):
    w = log_weights.exp()
    return w / (w.sum(dim=0, keepdim=True) + 1e-12)


@unseen("normalized_weights")
def _(log_weights):
    w = functional.softplus(log_weights)
    return w / w.sum(0)


# --- effective_sample_size ------------------------------------------------------------


@unseen("effective_sample_size", "upside-down", "Upside down")
def _(log_weights):
    w = torch.softmax(log_weights, dim=0)
    return torch.einsum("sb,sb->b", w, w)


@unseen("effective_sample_size", "The sums are over the batch", "wrong-axis")
def _(log_weights):
    w = torch.exp(log_weights - log_weights.max())
    return w.sum(1) ** 2 / (w**2).sum(1)


@unseen("effective_sample_size", "exp of the log-weights, unprotected", "overflow")
def _(log_weights):
    w = torch.exp(log_weights)
    return w.sum(0).square() / w.square().sum(0)


@unseen("effective_sample_size", "The log of the effective size", "log-too-many")
def _(log_weights):
    return 2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(log_weights * 2, 0)


@unseen("effective_sample_size", "As a share of the samples", "divided-by-batch")
def _(log_weights):
    w = torch.softmax(log_weights, 0)
    return 1 / (len(w) * w.pow(2).sum(0))


@unseen("effective_sample_size", "The perplexity of the weights")
def _(log_weights):
    logs = torch.log_softmax(log_weights, 0)
    return torch.exp(-(logs.exp() * logs).sum(0))


@unseen("effective_sample_size", "The sum is not squared")
def _(log_weights):
    w = torch.exp(log_weights - log_weights.max(0).values)
    return w.sum(0) / (w * w).sum(0)


@unseen("effective_sample_size", "The log-weights in place of the weights")
def _(log_weights):
    return torch.sum(log_weights, 0) ** 2 / torch.sum(log_weights**2, 0)


@unseen("effective_sample_size", "One number for the whole batch")
def _(log_weights):
    return torch.mean(1 / torch.softmax(log_weights, 0).pow(2).sum(0))


@unseen("effective_sample_size", "The log-weights are clamped", "extremes-wrong")
def _(log_weights):
    w = log_weights.clamp(min=-50, max=50).exp()
    return w.sum(0) ** 2 / (w**2).sum(0)


@unseen(
    "effective_sample_size",
    "The square of the sum where the sum of the squares belongs",
)
def _(log_weights):
    w = torch.exp(log_weights - log_weights.amax(0))
    return w.sum(0) ** 2 / w.sum(0) ** 2


# --- active_units ---------------------------------------------------------------------


@unseen("active_units", "The variance with n - 1")
def _(mu):
    return (torch.var(mu, dim=0) > 1e-2).to(mu)


@unseen("active_units", "The standard deviation is compared")
def _(mu):
    return (mu.std(dim=0, unbiased=False) > 0.01).type_as(mu)


@unseen("active_units", "The standard deviation is compared")
def _(mu):
    return torch.where(torch.std(mu, 0) > 0.01, 1.0, 0.0).to(mu.dtype)


@unseen(
    "active_units", "The widest distance is compared with the threshold of a variance"
)
def _(mu):
    return ((mu.max(0).values - mu.min(0).values) > 0.01).to(mu.dtype)


@unseen("active_units", "The size of the means, not their variation")
def _(mu):
    return ((mu**2).mean(dim=0) > 0.01).to(mu.dtype)


@unseen("active_units", "The average of the means, not their variation")
def _(mu):
    return (mu.mean(0).abs() > 0.01).to(mu.dtype)


@unseen("active_units", "The mean distance from the average is compared")
def _(mu):
    return ((mu - mu.mean(0)).abs().mean(0) > 0.01).to(mu.dtype)


@unseen("active_units", "The variance over the latent dimensions")
def _(mu):
    return (mu.var(dim=1, correction=0) > 0.01).to(mu.dtype)


@unseen("active_units", "The number of active units")
def _(mu):
    return torch.count_nonzero(mu.var(0, correction=0) > 0.01).to(mu.dtype)


@unseen("active_units", "The inactive ones are marked", "complement")
def _(mu):
    return (mu.var(0, correction=0) <= 0.01).to(mu.dtype)


@unseen("active_units", "Truth values in place of numbers", "integer-result")
def _(mu):
    return mu.var(0, correction=0).gt(0.01)


@unseen("active_units", "The sum of squares, not their mean")
def _(mu):
    centred = mu - mu.mean(0)
    return (torch.einsum("nl,nl->l", centred, centred) > 0.01).to(mu.dtype)


@unseen("active_units", "The threshold is 0.001")
def _(mu):
    return (mu.var(0, correction=0) > 1e-3).to(mu.dtype)
