"""Lesson 06: mistakes of strangers about likelihoods, their units and reductions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal
from torch.nn import functional as F  # noqa: N812

from tests.unseen import register

UNSEEN, unseen = register()
PI = math.pi


# --- bernoulli_log_likelihood ---------------------------------------------------------


@unseen("bernoulli_log_likelihood", "exchanged-x-logits", "other-twice", "swapped")
def _(x: Tensor, logits: Tensor) -> Tensor:
    x = x.expand_as(logits)
    loss = F.binary_cross_entropy_with_logits(x, logits, reduction="none")
    return -loss.sum(dim=-1)


@unseen("bernoulli_log_likelihood", "The sigmoid is applied twice")
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = logits.sigmoid()
    x = x.expand_as(logits)
    return -F.binary_cross_entropy_with_logits(p, x, reduction="none").sum(-1)


@unseen("bernoulli_log_likelihood", "turned-sign", "The loss, not the log-likelihood")
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (F.softplus(logits) - x * logits).sum(-1)


@unseen("bernoulli_log_likelihood", "missing-normaliser")
def _(x: Tensor, logits: Tensor) -> Tensor:
    return torch.einsum("...i,...i->...", x.expand_as(logits), logits)


@unseen("bernoulli_log_likelihood", "sign-paper")
def _(x: Tensor, logits: Tensor) -> Tensor:
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
    return (x * log_p - (1 - x) * log_q).sum(-1)


@unseen("bernoulli_log_likelihood", "mean-for-sum", "A mean over the pixels")
def _(x: Tensor, logits: Tensor) -> Tensor:
    x = x.expand_as(logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").mean(-1)


@unseen(
    "bernoulli_log_likelihood",
    "summed-over-the-batch",
    "One number for the whole batch",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    x = x.expand_as(logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


@unseen(
    "bernoulli_log_likelihood", "extremes-wrong", "A small number inside the logarithm"
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = 1 / (1 + torch.exp(-logits))
    tiny = 1e-10
    return (x * torch.log(p + tiny) + (1 - x) * torch.log(1 - p + tiny)).sum(-1)


@unseen(
    "bernoulli_log_likelihood", "extremes-wrong", "clamped", "The logits are clamped"
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    logits = torch.clamp(logits, -10, 10)
    x = x.expand_as(logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


@unseen("bernoulli_log_likelihood", "x is thresholded inside")
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = Independent(Bernoulli(logits=logits), 1)
    return p.log_prob(x.round().expand_as(logits))


@unseen("bernoulli_log_likelihood", "A squared error in place of the log-likelihood")
def _(x: Tensor, logits: Tensor) -> Tensor:
    return -F.mse_loss(
        torch.sigmoid(logits), x.expand_as(logits), reduction="none"
    ).sum(-1)


@unseen("bernoulli_log_likelihood", "half-too-many")
def _(x: Tensor, logits: Tensor) -> Tensor:
    return 0.5 * (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)


@unseen("bernoulli_log_likelihood", "other-normaliser", "Only the ink counts")
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (x * torch.log(torch.sigmoid(logits))).sum(-1)


# --- binarize -------------------------------------------------------------------------


@unseen("binarize", "The comparison the other way round", "complement")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return torch.where(x < uniform, 1.0, 0.0).to(x.dtype)


@unseen("binarize", "Ties count as ink")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return torch.ge(x, uniform).to(x.dtype)


@unseen("binarize", "A fixed threshold")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (x + 0 * uniform).round()


@unseen("binarize", "restless", "Noise of its own")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return torch.bernoulli(x.expand(torch.broadcast_shapes(x.shape, uniform.shape)))


@unseen("binarize", "restless", "Noise of its own")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (torch.rand_like(x + uniform) < x).to(x.dtype)


@unseen("binarize", "integer-result", "Truth values in place of numbers")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return torch.lt(uniform, x)


@unseen("binarize", "float32-inside", "torch's default dtype")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (uniform < x).float()


@unseen("binarize", "dtype-of-the-noise", "The dtype of the noise")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (uniform < x).type_as(uniform)


@unseen("binarize", "Ties are rounded")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return torch.heaviside(x - uniform, torch.tensor(0.5, dtype=x.dtype))


@unseen("binarize", "The noise is turned around")
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (x + uniform > 1).to(x.dtype)


# --- entropy_floor --------------------------------------------------------------------


@unseen("entropy_floor", "turned-sign", "The sign of the entropy")
def _(x: Tensor) -> Tensor:
    return -torch.distributions.Bernoulli(probs=x).entropy().sum(-1)


@unseen(
    "entropy_floor", "extremes-wrong", "digits-lost", "x is clamped away from 0 and 1"
)
def _(x: Tensor) -> Tensor:
    x = x.clamp(1e-6, 1 - 1e-6)
    return -(x * torch.log(x) + (1 - x) * torch.log(1 - x)).sum(-1)


@unseen("entropy_floor", "Only one of the two outcomes", "missing-paper")
def _(x: Tensor) -> Tensor:
    return torch.special.entr(x).sum(-1)


@unseen("entropy_floor", "bits-for-nats", "Bits in place of nats")
def _(x: Tensor) -> Tensor:
    return -(x * x.log2() + (1 - x) * (1 - x).log2()).nan_to_num().sum(-1)


@unseen("entropy_floor", "mean-for-sum", "A mean over the pixels")
def _(x: Tensor) -> Tensor:
    return torch.distributions.Bernoulli(probs=x).entropy().mean(-1)


@unseen("entropy_floor", "x taken for logits")
def _(x: Tensor) -> Tensor:
    return torch.distributions.Bernoulli(logits=x).entropy().sum(-1)


@unseen("entropy_floor", "overflow", "0 times minus infinity")
def _(x: Tensor) -> Tensor:
    return F.binary_cross_entropy(x, x, reduction="none").log().exp().sum(-1) + 0 * (
        x * x.log()
    ).sum(-1)


@unseen("entropy_floor", "summed-over-the-batch", "One number for the whole batch")
def _(x: Tensor) -> Tensor:
    return F.binary_cross_entropy(x, x, reduction="sum")


@unseen("entropy_floor", "averaged-over-the-batch")
def _(x: Tensor) -> Tensor:
    return torch.special.entr(x).add(torch.special.entr(1 - x)).sum(1).mean()


@unseen("entropy_floor", "sign-paper")
def _(x: Tensor) -> Tensor:
    return (torch.special.entr(x) - torch.special.entr(1 - x)).sum(-1)


@unseen(
    "entropy_floor",
    "A small number inside the logarithm",
    "digits-lost",
    "extremes-wrong",
)
def _(x: Tensor) -> Tensor:
    e = 1e-8
    return -(x * torch.log(x + e) + (1 - x) * torch.log(1 - x + e)).sum(-1)


# --- gaussian_log_likelihood ----------------------------------------------------------


@unseen("gaussian_log_likelihood", "log-sigma")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, log_var.exp(), validate_args=False).log_prob(x).sum(-1)


@unseen("gaussian_log_likelihood", "log-sigma")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    sigma = torch.exp(log_var)
    z = (x - mean) / sigma
    return (-0.5 * z**2 - torch.log(sigma) - 0.5 * math.log(2 * PI)).sum(-1)


@unseen("gaussian_log_likelihood", "turned-sign", "The negative log-likelihood")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    std = (log_var / 2).exp()
    return -Normal(mean, std, validate_args=False).log_prob(x).sum(-1)


@unseen(
    "gaussian_log_likelihood", "wrong-constant", "The normalising constant is missing"
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp()
    return -0.5 * (log_var + (x - mean).square().div(var)).sum(-1)


@unseen(
    "gaussian_log_likelihood",
    "factor-log-variance",
    "log_var taken for the log of the standard deviation",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp()
    return -(0.5 * math.log(2 * PI) + log_var + (x - mean) ** 2 / (2 * var)).sum(-1)


@unseen("gaussian_log_likelihood", "factor-error")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    error = (x - mean) ** 2 / log_var.exp()
    return (-0.5 * math.log(2 * PI) - 0.5 * log_var - error).sum(-1)


@unseen("gaussian_log_likelihood", "other-error")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    error = torch.abs(x - mean) / torch.exp(log_var)
    return -0.5 * (math.log(2 * PI) + log_var + error).sum(-1)


@unseen("gaussian_log_likelihood", "sign-log-variance")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    error = (x - mean) ** 2 * torch.exp(-log_var)
    return -0.5 * (math.log(2 * PI) + error - log_var).sum(-1)


@unseen("gaussian_log_likelihood", "mean-for-sum", "A mean over the dimensions")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, (log_var / 2).exp(), validate_args=False).log_prob(x).mean(-1)


@unseen(
    "gaussian_log_likelihood", "other-log-variance", "The variance in place of its log"
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp()
    return -0.5 * (math.log(2 * PI) + var + (x - mean) ** 2 / var).sum(-1)


@unseen(
    "gaussian_log_likelihood",
    "other-error",
    "The squared error divided by the standard deviation",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    std = torch.exp(0.5 * log_var)
    return -(0.5 * math.log(2 * PI) + torch.log(std) + 0.5 * (x - mean) ** 2 / std).sum(
        -1
    )


@unseen("gaussian_log_likelihood", "log-missing", "The density, not its logarithm")
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    std = torch.exp(0.5 * log_var)
    return Independent(Normal(mean, std, validate_args=False), 1).log_prob(x).exp()


# --- optimal_log_var ------------------------------------------------------------------


@unseen(
    "optimal_log_var", "small-number-in-the-log", "A small number inside the logarithm"
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.log(((x - mean) ** 2).mean() + 1e-6)


@unseen(
    "optimal_log_var", "small-number-in-the-log", "A small number inside the logarithm"
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.log(torch.mean((x - mean).pow(2)) + 1e-3)


@unseen("optimal_log_var", "torch's var of the errors")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).var().log()


@unseen("optimal_log_var", "half-too-many", "The log of the standard deviation")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.log(torch.sqrt(F.mse_loss(*torch.broadcast_tensors(mean, x))))


@unseen("optimal_log_var", "log-missing", "The variance, not its logarithm")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return F.mse_loss(*torch.broadcast_tensors(mean, x))


@unseen("optimal_log_var", "The summed squared error")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x - mean).square().log()


@unseen("optimal_log_var", "The mean of the logs")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return 2 * (x - mean).abs().log().mean()


@unseen("optimal_log_var", "turned-sign", "The sign of the logarithm")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.log(1 / (x - mean).pow(2).mean())


@unseen("optimal_log_var", "The spread of the data, without the decoder")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return x.var(unbiased=False).log()


@unseen("optimal_log_var", "One log-variance for each example")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.log(((x - mean) ** 2).mean(dim=-1))


@unseen("optimal_log_var", "The absolute error")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.log((x - mean).abs().mean() ** 2)


@unseen("optimal_log_var", "constant-term", "wrong-constant")
def _(x: Tensor, mean: Tensor) -> Tensor:
    return torch.log(0.5 * (x - mean).pow(2).mean())


# --- bits_per_dim ---------------------------------------------------------------------


@unseen("bits_per_dim", "Nats for each dimension", "nats-for-bits")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll.div(num_dims)


@unseen("bits_per_dim", "Multiplied by log 2")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll * math.log(2.0) / num_dims


@unseen("bits_per_dim", "turned-sign", "The log-likelihood's sign")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return -nll / math.log(2.0) / num_dims


@unseen("bits_per_dim", "log2 of the negative log-likelihood")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return torch.log2(nll) / num_dims


@unseen("bits_per_dim", "averaged-over-the-batch", "A mean over the batch")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return (nll / (num_dims * math.log(2))).mean()


@unseen("bits_per_dim", "Bits, not bits for each dimension")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll * math.log2(math.e)


@unseen("bits_per_dim", "The logarithm to base ten")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / num_dims / math.log(10)


@unseen(
    "bits_per_dim", "half-too-many", "constant-factor", "Halved, as a Gaussian's log"
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / (num_dims * 2)


@unseen("bits_per_dim", "Multiplied by the number of dimensions")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / math.log(2) * num_dims


@unseen("bits_per_dim", "digits-lost", "float32-inside")
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / (num_dims * 0.693147)


# --- effective_beta -------------------------------------------------------------------


@unseen("effective_beta", "upside-down", "Upside down")
def _(num_pixels: int, num_latents: int) -> float:
    return float(num_latents) / float(num_pixels)


@unseen("effective_beta", "The product of the two")
def _(num_pixels: int, num_latents: int) -> float:
    return 1.0 * num_latents * num_pixels


@unseen("effective_beta", "A division of integers")
def _(num_pixels: int, num_latents: int) -> float:
    return float(int(num_pixels / num_latents))


@unseen("effective_beta", "Only the mean over the pixels", "ignores-num_latents")
def _(num_pixels: int, num_latents: int) -> float:
    return num_pixels * 1.0


@unseen("effective_beta", "half-too-many")
def _(num_pixels: int, num_latents: int) -> float:
    return num_pixels / (2 * num_latents)


@unseen("effective_beta", "half-missing")
def _(num_pixels: int, num_latents: int) -> float:
    return 2.0 * num_pixels / num_latents


@unseen("effective_beta", "log-too-many")
def _(num_pixels: int, num_latents: int) -> float:
    return math.log(num_pixels / num_latents)


@unseen("effective_beta", "square", "The square of the ratio")
def _(num_pixels: int, num_latents: int) -> float:
    return (num_pixels / num_latents) ** 2


@unseen("effective_beta", "Rounded to two digits", "digits-lost", "extremes-wrong")
def _(num_pixels: int, num_latents: int) -> float:
    return round(num_pixels / num_latents, 3)


@unseen("effective_beta", "The product of the two", "Only the mean over the latents")
def _(num_pixels: int, num_latents: int) -> float:
    return (1 / num_latents) * 1.0
