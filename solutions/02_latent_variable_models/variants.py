"""Lesson 02: right answers, written differently."""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import (
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


# --- gaussian_log_prob ----------------------------------------------------------------


@variant("gaussian_log_prob", "torch.distributions")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, torch.exp(log_var / 2)).log_prob(x).sum(-1)


@variant("gaussian_log_prob", "Independent, expanded first")
def _(x, mean, log_var):
    loc = mean + torch.zeros_like(log_var)
    return Independent(Normal(loc, torch.exp(log_var).sqrt()), 1).log_prob(x)


@variant("gaussian_log_prob", "torch's loss, with its constant")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    x, mean, log_var = torch.broadcast_tensors(x, mean, log_var)
    loss = torch.nn.functional.gaussian_nll_loss
    terms = loss(mean, x, log_var.exp(), full=True, eps=0.0, reduction="none")
    return -terms.sum(-1)


@variant(
    "gaussian_log_prob", "three sums, the log_var of no dimensions counted by hand"
)
def _(x, mean, log_var):
    dim = x.shape[-1]
    spread = dim * log_var if log_var.dim() == 0 else log_var.sum(-1)
    standardised = (x - mean) / (log_var / 2).exp()
    distance = standardised.square().sum(dim=-1)
    return -(spread + distance) / 2 - dim / 2 * math.log(2 * math.pi)


@variant("gaussian_log_prob", "a loop over the dimensions")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    total = 0.0
    for j in range(x.shape[-1]):
        own = log_var if log_var.ndim == 0 else log_var[..., j]
        z = (x[..., j] - mean[..., j]) * torch.exp(-own / 2)
        total = total - 0.5 * z * z - own / 2 - math.log(math.sqrt(2 * math.pi))
    return total


@variant("gaussian_log_prob", "an einsum with precisions")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    log_var = log_var.expand(torch.broadcast_shapes(x.shape, mean.shape, log_var.shape))
    d = x - mean
    square = torch.einsum("...i,...i,...i->...", d, d, torch.exp(-log_var))
    return -0.5 * (square + (log_var + math.log(2 * math.pi)).sum(-1))


# --- linear_gaussian_log_evidence -----------------------------------------------------


@variant("linear_gaussian_log_evidence", "torch.distributions")
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.mT + torch.diag(log_var.exp().expand(weight.shape[0]))
    return MultivariateNormal(bias, covariance).log_prob(x)


@variant("linear_gaussian_log_evidence", "torch.distributions' low rank plus diagonal")
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.exp().expand(weight.shape[0])
    return LowRankMultivariateNormal(bias, weight, noise).log_prob(x)


@variant("linear_gaussian_log_evidence", "a Cholesky factor and a triangular system")
def _(x, weight, bias, log_var):
    d = weight.size(0)
    eye = torch.eye(d).to(weight)
    factor = torch.linalg.cholesky(weight @ weight.t() + log_var.exp() * eye)
    r = (x - bias).reshape(-1, d).t()
    white = torch.linalg.solve_triangular(factor, r, upper=False)
    half_log_det = factor.diagonal().log().sum()
    value = -0.5 * (white**2).sum(0) - half_log_det - 0.5 * d * math.log(2 * math.pi)
    return value.reshape(x.shape[:-1])


@variant("linear_gaussian_log_evidence", "Bayes' rule at the posterior mean")
def _(x, weight, bias, log_var):
    d, k = weight.shape
    precision = (
        torch.eye(k, dtype=x.dtype, device=x.device) + weight.T @ weight / log_var.exp()
    )
    z = torch.linalg.solve(
        precision, ((x - bias) @ weight / log_var.exp()).unsqueeze(-1)
    )
    z = z.squeeze(-1)
    log_2pi = math.log(2 * math.pi)
    error = ((x - bias - z @ weight.T) ** 2).sum(-1)
    log_x_given_z = -0.5 * (d * (log_2pi + log_var) + error / log_var.exp())
    log_z = -0.5 * (k * log_2pi + (z**2).sum(-1))
    log_z_given_x = -0.5 * k * log_2pi + 0.5 * torch.linalg.slogdet(precision).logabsdet
    return log_x_given_z + log_z - log_z_given_x


@variant("linear_gaussian_log_evidence", "eigenvalues of the covariance")
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    marginal = torch.einsum("ik,jk->ij", weight, weight)
    marginal = marginal + log_var.exp() * torch.eye(
        weight.shape[0], dtype=weight.dtype, device=weight.device
    )
    values, vectors = torch.linalg.eigh(marginal)
    turned = (x - bias) @ vectors
    terms = turned**2 / values + values.log() + math.log(2 * math.pi)
    return -terms.sum(-1) / 2


@variant(
    "linear_gaussian_log_evidence", "a loop over the examples, an explicit inverse"
)
def _(x, weight, bias, log_var):
    flat = x.reshape(-1, x.shape[-1])
    cov = weight.matmul(weight.transpose(0, 1))
    cov = cov + torch.diag_embed(torch.exp(log_var) * torch.ones_like(bias))
    inv = torch.inverse(cov)
    constant = torch.logdet(2 * math.pi * cov)
    out = [-0.5 * (constant + (r - bias) @ inv @ (r - bias)) for r in flat]
    return torch.stack(out).view(x.shape[:-1])


@variant("linear_gaussian_log_evidence", "Woodbury's identity, by hand")
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    data, latent = weight.shape
    var = log_var.exp()
    m = weight.T @ weight + var * torch.eye(latent, dtype=x.dtype, device=x.device)
    r = x - bias
    back = r @ weight
    inside = torch.einsum("...i,ij,...j->...", back, torch.linalg.inv(m), back)
    distance = ((r * r).sum(-1) - inside) / var
    log_det = torch.linalg.slogdet(m)[1] + (data - latent) * log_var
    return -0.5 * (data * math.log(2 * math.pi) + log_det + distance)


# --- linear_gaussian_posterior --------------------------------------------------------


class Posterior(NamedTuple):
    mean: Tensor
    covariance: Tensor


@variant("linear_gaussian_posterior", "Bishop's M, and a NamedTuple")
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Posterior:
    var = torch.exp(log_var)
    k = weight.shape[1]
    m = weight.T @ weight + var * torch.eye(k, dtype=weight.dtype, device=weight.device)
    inverse = torch.linalg.inv(m)
    return Posterior((x - bias) @ weight @ inverse.T, var * inverse)


@variant("linear_gaussian_posterior", "conditioning the joint Gaussian")
def _(x, weight, bias, log_var):
    d, k = weight.shape
    cov_x = weight @ weight.T + log_var.exp() * torch.eye(
        d, dtype=x.dtype, device=x.device
    )
    gain = torch.linalg.solve(cov_x, weight)
    eye = torch.eye(k, dtype=x.dtype, device=x.device)
    return (x - bias) @ gain, eye - weight.T @ gain


@variant("linear_gaussian_posterior", "Cholesky solves, column vectors")
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor):
    eye = torch.eye(weight.size(1), dtype=weight.dtype, device=weight.device)
    factor = torch.linalg.cholesky(eye + weight.T @ weight / log_var.exp())
    covariance = torch.cholesky_inverse(factor)
    column = (
        torch.einsum("dk,...d->...k", weight, x - bias).unsqueeze(-1) / log_var.exp()
    )
    return (covariance @ column).squeeze(-1), covariance


@variant("linear_gaussian_posterior", "a loop over the examples")
def _(x, weight, bias, log_var):
    inner = weight.T.mm(weight) / torch.exp(log_var)
    precision = inner + torch.diag(torch.ones_like(weight[0]))
    flat = x.reshape(-1, weight.shape[0])
    rows = [
        torch.linalg.solve(precision, weight.T @ (r - bias)) / torch.exp(log_var)
        for r in flat
    ]
    mean = torch.stack(rows).reshape(*x.shape[:-1], weight.shape[1])
    return mean, precision.inverse()


@variant("linear_gaussian_posterior", "eigenvectors of the precision")
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor):
    gram = weight.T @ weight
    values, vectors = torch.linalg.eigh(gram)
    shrink = torch.exp(log_var) / (torch.exp(log_var) + values)
    covariance = torch.einsum("ik,k,jk->ij", vectors, shrink, vectors)
    mean = torch.einsum("...d,dk,kl->...l", x - bias, weight, covariance)
    return mean / log_var.exp(), covariance


@variant("linear_gaussian_posterior", "a least-squares problem with the prior's rows")
def _(x, weight, bias, log_var):
    eye = torch.diag(torch.ones_like(weight[0]))
    rows = torch.cat([weight / torch.exp(log_var / 2), eye])
    r = ((x - bias) / torch.exp(log_var / 2)).reshape(-1, weight.shape[0])
    zeros = r.new_zeros(r.shape[0], weight.shape[1])
    target = torch.cat([r, zeros], -1)
    inverse = torch.linalg.pinv(rows)
    mean = (target @ inverse.T).reshape(*x.shape[:-1], -1)
    return tuple(part for part in (mean, inverse @ inverse.T))


# --- monte_carlo_log_evidence ---------------------------------------------------------


@variant("monte_carlo_log_evidence", "lesson 00's function, written out")
def _(log_likelihoods: Tensor) -> Tensor:
    peak = log_likelihoods.amax(dim=0, keepdim=True).detach()
    peak = torch.nan_to_num(peak, neginf=0.0)
    mean = (log_likelihoods - peak).exp().mean(dim=0, keepdim=True)
    return (mean.log() + peak)[0]


@variant("monte_carlo_log_evidence", "each term divided first")
def _(log_likelihoods: Tensor) -> Tensor:
    num_samples = log_likelihoods.shape[0]
    return torch.logsumexp(log_likelihoods - math.log(num_samples), dim=0)


@variant("monte_carlo_log_evidence", "logaddexp, sample by sample")
def _(log_likelihoods):
    return reduce(torch.logaddexp, log_likelihoods) - math.log(log_likelihoods.shape[0])


@variant("monte_carlo_log_evidence", "column by column, with an if")
def _(log_likelihoods):
    out = []
    for column in log_likelihoods.T:
        top = column.max()
        if torch.isneginf(top):
            out.append(top)
        else:
            out.append(top + torch.log(torch.exp(column - top).sum() / len(column)))
    return torch.stack(out)


@variant("monte_carlo_log_evidence", "only the possible samples are exponentiated")
def _(log_likelihoods: Tensor) -> Tensor:
    possible = ~torch.isneginf(log_likelihoods)
    shown = torch.where(possible, log_likelihoods, torch.zeros_like(log_likelihoods))
    low = torch.full_like(log_likelihoods, -3e38)
    top = torch.where(possible, log_likelihoods, low).max(0).values
    top = torch.where(possible.any(0), top, torch.zeros_like(top)).detach()
    terms = torch.where(
        possible, torch.exp(torch.where(possible, shown - top, 0 * shown)), 0
    )
    return torch.log(terms.sum(0) / log_likelihoods.shape[0]) + top


# --- importance_log_evidence ----------------------------------------------------------


@variant("importance_log_evidence", "each term divided first")
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint - log_q - math.log(log_q.size(0))).logsumexp(0)


@variant("importance_log_evidence", "the largest weight taken out")
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    log_weights = log_joint - log_q
    peak = log_weights.max(dim=0).values
    peak = torch.where(torch.isinf(peak), torch.zeros_like(peak), peak)
    return torch.log(torch.mean(torch.exp(log_weights - peak), dim=0)) + peak


@variant("importance_log_evidence", "logaddexp, sample by sample")
def _(log_joint, log_q):
    total = None
    for joint, q in zip(log_joint, log_q, strict=True):
        weight = torch.sub(joint, q)
        total = weight if total is None else torch.logaddexp(total, weight)
    return total - math.log(len(log_q))


@variant("importance_log_evidence", "transposed, with a sorted sum")
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    log_weights = (log_joint - log_q).T.sort(-1).values
    return log_weights.logsumexp(-1) - torch.log(
        torch.full_like(log_weights[:, 0], log_q.shape[0])
    )
