"""Lesson 09: right answers, written differently."""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal
from torch.nn import functional as F  # noqa: N812

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


# --- log_importance_weights -----------------------------------------------------------


@variant("log_importance_weights", "torch.distributions throughout")
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    q = Normal(mu, torch.exp(log_var / 2))
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    likelihood = Bernoulli(logits=logits).log_prob(x).sum(-1)
    return likelihood + (prior.log_prob(z) - q.log_prob(z)).sum(-1)


@variant("log_importance_weights", "Independent, and a prior of Python numbers")
def _(x, logits, z, mu, log_var):
    q = Independent(Normal(mu, log_var.exp().sqrt()), 1)
    p_x = Independent(Bernoulli(logits=logits), 1)
    log_p = p_x.log_prob(x) + Normal(0.0, 1.0).log_prob(z).sum(-1)
    return log_p - q.log_prob(z)


@variant("log_importance_weights", "the constants cancelled on paper")
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    eps = (z - mu) / (log_var / 2).exp()
    ratio = 0.5 * (eps.square() + log_var - z.square()).sum(-1)
    return (x * logits - F.softplus(logits)).sum(-1) + ratio


@variant("log_importance_weights", "PyTorch's loss on expanded images")
def _(x, logits, z, mu, log_var):
    loss = F.binary_cross_entropy_with_logits(
        logits, x.expand_as(logits), reduction="none"
    )
    log_2pi = math.log(2 * math.pi)
    log_prior = -0.5 * torch.sum(z * z + log_2pi, dim=2)
    log_q = -0.5 * torch.sum((z - mu) ** 2 * torch.exp(-log_var) + log_var + log_2pi, 2)
    return log_prior - log_q - loss.sum(dim=2)


@variant("log_importance_weights", "a loop over the samples, a mask for the pixels")
def _(x, logits, z, mu, log_var):
    rows = []
    for sample, code in zip(logits, z, strict=True):
        signed = torch.where(x == 1, sample, -sample)
        row = F.logsigmoid(signed).sum(-1)
        row = row - (code**2).sum(-1) / 2 + log_var.sum(-1) / 2
        rows.append(row + ((code - mu) ** 2 / log_var.exp()).sum(-1) / 2)
    return torch.stack(rows)


@variant("log_importance_weights", "flattened: samples and examples in one dimension")
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    num_samples, batch, pixels = logits.shape
    flat = logits.reshape(-1, pixels)
    images = x.repeat(num_samples, 1)
    likelihood = (images - 1) * flat + F.logsigmoid(flat)
    codes, means = z.reshape(-1, z.shape[-1]), mu.repeat(num_samples, 1)
    spread = log_var.repeat(num_samples, 1)
    terms = codes**2 - spread - (codes - means) ** 2 * (-spread).exp()
    return (likelihood.sum(1) - 0.5 * terms.sum(1)).view(num_samples, batch)


@variant("log_importance_weights", "einsum, and logaddexp for softplus")
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    ink = torch.einsum("ni,sni->sn", x, logits)
    partition = torch.logaddexp(logits, torch.zeros_like(logits)).sum(-1)
    d = z - mu
    distance = torch.einsum("snj,snj,nj->sn", d, d, torch.exp(-log_var))
    norm = torch.einsum("snj,snj->sn", z, z)
    return ink - partition + 0.5 * (distance - norm + log_var.sum(-1))


# --- iwae_bound -----------------------------------------------------------------------


@variant("iwae_bound", "logsumexp less log k")
def _(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, dim=0) - math.log(log_weights.shape[0])


@variant("iwae_bound", "each term divided first")
def _(log_weights):
    return (log_weights - math.log(len(log_weights))).logsumexp(0)


@variant("iwae_bound", "the largest weight taken out, with a mask")
def _(log_weights: Tensor) -> Tensor:
    top = log_weights.max(dim=0, keepdim=True).values
    top = torch.where(torch.isfinite(top), top, torch.zeros_like(top))
    return (torch.log(torch.mean((log_weights - top).exp(), 0, True)) + top)[0]


@variant("iwae_bound", "logaddexp, sample by sample")
def _(log_weights):
    return reduce(torch.logaddexp, log_weights) - math.log(log_weights.size(0))


@variant("iwae_bound", "column by column, with an if")
def _(log_weights):
    bounds = []
    for column in log_weights.unbind(1):
        top = column.max()
        if top == -math.inf:
            bounds.append(top)
            continue
        bounds.append(top + (column - top).exp().sum().div(len(column)).log())
    return torch.stack(bounds)


@variant("iwae_bound", "transposed, the number of samples as a tensor")
def _(log_weights: Tensor) -> Tensor:
    k = torch.full_like(log_weights[0], log_weights.shape[0])
    return log_weights.T.logsumexp(dim=-1) - k.log()


@variant("iwae_bound", "the first sample and what the others are relative to the top")
def _(log_weights: Tensor) -> Tensor:
    ordered = log_weights.sort(dim=0, descending=True).values
    top = ordered[0]
    safe = torch.where(top == -math.inf, torch.zeros_like(top), top)
    rest = (ordered[1:] - safe).exp().sum(0)
    first = (top - safe).exp()
    return safe + (first + rest).log() - math.log(len(log_weights))


# --- normalized_weights ---------------------------------------------------------------


@variant("normalized_weights", "exp less logsumexp")
def _(log_weights: Tensor) -> Tensor:
    return torch.exp(log_weights - torch.logsumexp(log_weights, dim=0))


@variant("normalized_weights", "the largest weight taken out")
def _(log_weights: Tensor) -> Tensor:
    weights = torch.exp(log_weights - log_weights.amax(0, keepdim=True))
    return weights / weights.sum(0, keepdim=True)


@variant("normalized_weights", "log_softmax, then exp")
def _(log_weights):
    return F.log_softmax(log_weights, dim=0).exp()


@variant("normalized_weights", "transposed, as a categorical distribution")
def _(log_weights: Tensor) -> Tensor:
    return torch.distributions.Categorical(logits=log_weights.T).probs.T


@variant("normalized_weights", "column by column")
def _(log_weights):
    columns = []
    for n in range(log_weights.shape[1]):
        column = log_weights[:, n]
        weights = (column - column.max().detach()).exp()
        columns.append(weights / torch.sum(weights))
    return torch.stack(columns, dim=1)


@variant("normalized_weights", "only finite log-weights are exponentiated")
def _(log_weights: Tensor) -> Tensor:
    possible = log_weights > -math.inf
    top = log_weights.detach().max(0).values
    shown = torch.where(possible, log_weights - top, torch.zeros_like(log_weights))
    weights = torch.where(possible, shown.exp(), torch.zeros_like(shown))
    return weights / torch.einsum("sn->n", weights)


# --- effective_sample_size ------------------------------------------------------------


@variant("effective_sample_size", "by its definition, the largest weight taken out")
def _(log_weights: Tensor) -> Tensor:
    weights = (log_weights - log_weights.max(0).values).exp()
    return weights.sum(0) ** 2 / (weights**2).sum(0)


@variant("effective_sample_size", "two logsumexp")
def _(log_weights):
    return torch.exp(2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0))


@variant("effective_sample_size", "the softmax as an inner product")
def _(log_weights: Tensor) -> Tensor:
    weights = log_weights.softmax(dim=0)
    return torch.einsum("sn,sn->n", weights, weights).reciprocal()


@variant("effective_sample_size", "through the coefficient of variation")
def _(log_weights: Tensor) -> Tensor:
    k = log_weights.shape[0]
    weights = torch.softmax(log_weights, 0) * k
    return k / (1 + weights.var(0, unbiased=False))


@variant("effective_sample_size", "two lengths of the vector of weights")
def _(log_weights: Tensor) -> Tensor:
    peak = log_weights.detach().amax(0, keepdim=True)
    weights = torch.exp(log_weights - peak)
    one = torch.linalg.vector_norm(weights, ord=1, dim=0)
    return (one / torch.linalg.vector_norm(weights, ord=2, dim=0)) ** 2


@variant("effective_sample_size", "a loop over the examples")
def _(log_weights):
    sizes = []
    for column in log_weights.T:
        kept = column[column > -math.inf]
        weights = torch.softmax(kept, 0)
        sizes.append(1 / (weights @ weights))
    return torch.stack(sizes)


# --- active_units ---------------------------------------------------------------------


@variant("active_units", "the mean square of the centred means")
def _(mu: Tensor) -> Tensor:
    statistic = (mu - mu.mean(0, keepdim=True)).pow(2).mean(0)
    return torch.where(
        statistic > 1e-2, torch.ones_like(statistic), torch.zeros_like(statistic)
    )


@variant("active_units", "the mean of the squares less the square of the mean")
def _(mu: Tensor) -> Tensor:
    statistic = (mu * mu).mean(0) - mu.mean(0) ** 2
    return (statistic > 0.01).type_as(mu)


@variant("active_units", "the standard deviation against 0.1")
def _(mu):
    return torch.std(mu, dim=0, unbiased=False).gt(0.1).to(dtype=mu.dtype)


@variant("active_units", "the diagonal of a covariance matrix")
def _(mu: Tensor) -> Tensor:
    centred = mu - mu.mean(0)
    covariance = centred.T @ centred / mu.shape[0]
    return torch.heaviside(covariance.diagonal() - 0.01, mu.new_zeros(()))


@variant("active_units", "a loop over the latents, with an if")
def _(mu):
    flags = torch.zeros(mu.shape[1], dtype=mu.dtype, device=mu.device)
    for j in range(mu.shape[1]):
        if torch.var(mu[:, j], correction=0) > 0.01:
            flags[j] = 1
    return flags


@variant("active_units", "one example after the other (Welford)")
def _(mu: Tensor) -> Tensor:
    mean, total = torch.zeros_like(mu[0]), torch.zeros_like(mu[0])
    for n, row in enumerate(mu, start=1):
        step = row - mean
        mean = mean + step / n
        total = total + step * (row - mean)
    return (total / len(mu) > 0.01).to(mu)
