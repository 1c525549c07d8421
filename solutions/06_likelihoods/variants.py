"""Lesson 06: right answers, written differently."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal
from torch.nn import functional as F  # noqa: N812

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


# --- bernoulli_log_likelihood ---------------------------------------------------------


@variant("bernoulli_log_likelihood", "PyTorch's loss with logits")
def _(x: Tensor, logits: Tensor) -> Tensor:
    x = x.expand_as(logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


@variant("bernoulli_log_likelihood", "torch.distributions")
def _(x: Tensor, logits: Tensor) -> Tensor:
    pixels = Bernoulli(logits=logits, validate_args=False)
    return Independent(pixels, 1, validate_args=False).log_prob(x)


@variant("bernoulli_log_likelihood", "two log-sigmoids")
def _(x: Tensor, logits: Tensor) -> Tensor:
    white, black = F.logsigmoid(logits), F.logsigmoid(-logits)
    return torch.einsum(
        "...j,...j->...", x.expand_as(logits), white - black
    ) + black.sum(dim=-1)


@variant("bernoulli_log_likelihood", "the written-out stable form")
def _(x, logits):
    tail = torch.log1p(torch.exp(-torch.abs(logits)))
    return -(torch.clamp(logits, min=0) - logits * x + tail).sum(axis=-1)


@variant("bernoulli_log_likelihood", "logaddexp")
def _(x: Tensor, logits: Tensor) -> Tensor:
    return torch.sum(x * logits - torch.logaddexp(logits, torch.zeros_like(logits)), -1)


@variant("bernoulli_log_likelihood", "masks for the two signs")
def _(x: Tensor, logits: Tensor) -> Tensor:
    flat, grey = logits.reshape(-1), x.expand_as(logits).reshape(-1)
    up = flat > 0
    values = torch.zeros_like(flat)
    values[up] = (grey[up] - 1) * flat[up] - torch.log1p((-flat[up]).exp())
    values[~up] = grey[~up] * flat[~up] - torch.log1p(flat[~up].exp())
    return values.reshape(logits.shape).sum(-1)


@variant("bernoulli_log_likelihood", "a log-softmax over the two outcomes")
def _(x: Tensor, logits: Tensor) -> Tensor:
    both = torch.stack((torch.zeros_like(logits), logits))
    black, white = torch.log_softmax(both, dim=0)
    return (torch.lerp(black, white, x.expand_as(white))).sum(-1)


# --- binarize -------------------------------------------------------------------------


@variant("binarize", "torch.where of tensors")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    x, uniform = torch.broadcast_tensors(x, uniform)
    return torch.where(x > uniform, torch.ones_like(x), torch.zeros_like(x))


@variant("binarize", "a mask")
def _(x, uniform):
    result = torch.zeros_like(x + uniform)
    result[(uniform < x).expand(result.shape)] = 1
    return result


@variant("binarize", "the sign of the difference")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return torch.sign(x - uniform).clamp(min=0)


@variant("binarize", "a step function")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return torch.heaviside(x - uniform, x.new_zeros(()))


@variant("binarize", "not greater or equal")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return 1 - uniform.ge(x).type_as(x)


# --- entropy_floor --------------------------------------------------------------------


@variant("entropy_floor", "xlogy and xlog1py")
def _(x: Tensor) -> Tensor:
    white, black = torch.xlogy(x, x), torch.special.xlog1py(1 - x, -x)
    return -(white + black).sum(-1)


@variant("entropy_floor", "torch.distributions")
def _(x: Tensor) -> Tensor:
    return Independent(Bernoulli(probs=x), 1).entropy()


@variant("entropy_floor", "an if for black and white")
def _(x):
    total = 0
    for pixel in x.unbind(-1):
        for p in (pixel, 1 - pixel):
            safe = torch.where(p == 0, torch.ones_like(p), p)
            total = total - p * torch.log(safe)
    return total


@variant("entropy_floor", "a mask")
def _(x: Tensor) -> Tensor:
    grey = (x > 0) & (x < 1)
    terms = torch.zeros_like(x)
    terms[grey] = F.binary_cross_entropy(x[grey], x[grey], reduction="none")
    return terms.sum(dim=-1)


@variant("entropy_floor", "NaN is only ever 0 log 0")
def _(x: Tensor) -> Tensor:
    return -torch.nan_to_num(x * x.log() + (1 - x) * torch.log1p(-x), nan=0.0).sum(-1)


# --- gaussian_log_likelihood ----------------------------------------------------------


@variant("gaussian_log_likelihood", "torch.distributions")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, torch.exp(0.5 * log_var)).log_prob(x).sum(-1)


@variant("gaussian_log_likelihood", "three sums over broadcast tensors")
def _(x, mean, log_var):
    x, mean, log_var = torch.broadcast_tensors(x, mean, log_var)
    constant = x.shape[-1] * math.log(2 * math.pi)
    scaled = (x - mean) / torch.exp(log_var / 2)
    square = torch.einsum("...j,...j->...", scaled, scaled)
    return -(constant + log_var.sum(-1) + square) / 2


@variant("gaussian_log_likelihood", "a loop over the dimensions")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    total = 0.0
    for j in range(x.shape[-1]):
        ell = log_var if log_var.dim() == 0 else log_var[..., j]
        square = (x[..., j] - mean[..., j]).pow(2) / ell.exp()
        total = total - 0.5 * (math.log(2 * math.pi) + ell + square)
    return total


@variant("gaussian_log_likelihood", "an if for the shared variance")
def _(x, mean, log_var):
    dims = x.shape[-1]
    if log_var.dim() == 0:
        error = F.mse_loss(*torch.broadcast_tensors(x, mean), reduction="none").sum(-1)
        return -0.5 * (error / log_var.exp() + dims * (log_var + math.log(2 * math.pi)))
    spread = log_var + (x - mean) ** 2 / torch.exp(log_var)
    return -0.5 * (spread.sum(-1) + dims * math.log(2 * math.pi))


@variant("gaussian_log_likelihood", "a standard normal, scaled")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    standard = Normal(torch.zeros_like(log_var), torch.ones_like(log_var))
    eps = (x - mean) * torch.exp(-log_var / 2)
    return (standard.log_prob(eps) - log_var / 2).sum(dim=-1)


# --- optimal_log_var ------------------------------------------------------------------


@variant("optimal_log_var", "PyTorch's mse_loss")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.log(F.mse_loss(*torch.broadcast_tensors(x, mean)))


@variant("optimal_log_var", "variance plus squared bias")
def _(x: Tensor, mean: Tensor) -> Tensor:
    error = x - mean
    return (error.var(unbiased=False) + error.mean() ** 2).log()


@variant("optimal_log_var", "twice the log of the root mean square")
def _(x, mean):
    error = (x - mean).flatten()
    return 2 * torch.log(torch.linalg.norm(error) / len(error) ** 0.5)


@variant("optimal_log_var", "logsumexp")
def _(x: Tensor, mean: Tensor) -> Tensor:
    logs = 2 * (x - mean).abs().log().flatten()
    return torch.logsumexp(logs, 0) - math.log(logs.numel())


# --- bits_per_dim ---------------------------------------------------------------------


@variant("bits_per_dim", "log2 of e")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll * math.log2(math.e) / num_dims


@variant("bits_per_dim", "a constant tensor of the same kind")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return torch.div(nll / num_dims, torch.log(nll.new_tensor(2.0)))


@variant("bits_per_dim", "a negative log-likelihood turned twice")
def _(nll, num_dims):
    log_p = -nll
    per_dim = log_p / float(num_dims)
    return per_dim / -math.log(2)


@variant("bits_per_dim", "one number after the other")
def _(nll: Tensor, num_dims: int) -> Tensor:
    values = [v / num_dims / math.log(2) for v in nll.flatten()]
    return torch.stack(values).reshape(nll.shape)


# --- effective_beta -------------------------------------------------------------------


@variant("effective_beta", "the ratio of the two weights")
def _(num_pixels: int, num_latents: int) -> float:
    pixel_weight, latent_weight = 1 / num_pixels, 1 / num_latents
    return latent_weight / pixel_weight


@variant("effective_beta", "a fraction")
def _(num_pixels: int, num_latents: int) -> float:
    return float(Fraction(num_pixels, num_latents))


@variant("effective_beta", "measured by autograd")
def _(num_pixels, num_latents):
    r = torch.zeros(num_pixels, dtype=torch.float64, requires_grad=True)
    k = torch.zeros(num_latents, dtype=torch.float64, requires_grad=True)
    (r.mean() + k.mean()).backward()
    return (k.grad[0] / r.grad[0]).item()


@variant("effective_beta", "a float64 tensor's item")
def _(num_pixels: int, num_latents: int) -> float:
    return torch.tensor(num_pixels, dtype=torch.float64).div(num_latents).item()
