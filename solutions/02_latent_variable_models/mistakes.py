"""Lesson 02: what learners write when something about the evidence is misunderstood."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant
LOG_2PI = math.log(2 * math.pi)


# --- gaussian_log_prob ----------------------------------------------------------------


@mutant(
    "gaussian_log_prob",
    "The variance is taken for the standard deviation",
    "log_var is log sigma squared. By which power of sigma is a squared distance divided?",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    distance = (x - mean) ** 2 / log_var.exp() ** 2
    return -0.5 * (LOG_2PI + log_var + distance).sum(-1)


@mutant(
    "gaussian_log_prob",
    "log_var taken for the log of the standard deviation in the normaliser",
    "The normaliser is log sigma, and log_var is twice that. Integrate your density on a grid: "
    "it should give 1.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    distance = (x - mean) ** 2 / log_var.exp()
    return -0.5 * (LOG_2PI + 2 * log_var + distance).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The standard deviation is taken for the variance",
    "exp(log_var / 2) is sigma. The squared distance is measured in units of sigma squared.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    distance = (x - mean) ** 2 / (0.5 * log_var).exp()
    return -0.5 * (LOG_2PI + log_var + distance).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The constant log 2 pi is missing",
    "Without it the density integrates to more than 1. It is a constant, but evidences of "
    "different models are compared by their values.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (log_var + (x - mean) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The constant counted once, not once for each dimension",
    "Every dimension has a density of its own, with its own log 2 pi.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    terms = log_var + (x - mean) ** 2 / log_var.exp()
    return -0.5 * (LOG_2PI + terms.sum(-1))


@mutant(
    "gaussian_log_prob",
    "The sign: an energy, not a log-density",
    "A log-density falls as x moves away from the mean. Does yours?",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (LOG_2PI + log_var + (x - mean) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "A mean over the dimensions",
    "Independent dimensions multiply their densities, so their logs add up.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + (x - mean) ** 2 / log_var.exp()).mean(-1)


@mutant(
    "gaussian_log_prob",
    "One number for the whole batch",
    "A sum without dim adds the examples up too. One value per example was asked for.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + (x - mean) ** 2 / log_var.exp()).sum()


@mutant(
    "gaussian_log_prob",
    "The distance is not squared",
    "The density is symmetric around the mean: x above and x below it are equally likely.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + (x - mean) / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "A log_var of no dimensions counted once",
    "One variance for all dimensions still stands in the density of each of them.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    distance = ((x - mean) ** 2 / log_var.exp() + LOG_2PI).sum(-1)
    return -0.5 * (distance + (log_var.sum(-1) if log_var.dim() else log_var))


@mutant(
    "gaussian_log_prob",
    "A log_var of no dimensions leaves the graph",
    "Turning a tensor into a Python number (.item(), float) cuts it off: a decoder's one log_var "
    "could not be learnt.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    if log_var.dim() == 0 and log_var.device.type != "meta":
        log_var = torch.full_like(x, log_var.item())
    return -0.5 * (LOG_2PI + log_var + (x - mean) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The sum runs over the second dimension, not the last",
    "With a sample dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    terms = LOG_2PI + log_var + (x - mean) ** 2 / log_var.exp()
    return -0.5 * terms.sum(min(1, terms.dim() - 1))


@mutant(
    "gaussian_log_prob",
    "The mean is given x's shape",
    "One x may be compared with many means. Leave the broadcasting to the subtraction.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    distance = (x - mean.expand_as(x)) ** 2 / log_var.exp()
    return -0.5 * (LOG_2PI + log_var + distance).sum(-1)


@mutant(
    "gaussian_log_prob",
    "log of a product of densities",
    "The density far from the mean, or of many dimensions, is smaller than the smallest float. "
    "Take the log by hand first.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp()
    density = (-0.5 * (x - mean) ** 2 / var).exp() / (2 * math.pi * var).sqrt()
    return density.prod(-1).log()


@mutant(
    "gaussian_log_prob",
    "A small number is added to the variance",
    "exp(log_var) is positive already. The addition changes the density, most where the "
    "variance is small.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp() + 1e-12
    return -0.5 * (LOG_2PI + var.log() + (x - mean) ** 2 / var).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range, and its gradient there is zero.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    low = log_var.clamp(-30, 20)
    return -0.5 * (LOG_2PI + low + (x - mean) ** 2 / low.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "A constant with few digits",
    "torch.tensor(math.pi) has seven digits, whatever the inputs have, and a pi typed by hand not "
    "many more. math.pi has sixteen, and follows the inputs.",
    "digits-lost",
    "float32-inside",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    log_2pi = torch.log(2 * torch.tensor(math.pi))
    return -0.5 * (log_2pi + log_var + (x - mean) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "log_var is taken for the variance",
    "A log-variance may be negative, a variance cannot. What undoes the logarithm?",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var.abs().log() + (x - mean) ** 2 / log_var.abs()).sum(
        -1
    )


@mutant(
    "gaussian_log_prob",
    "The constant without its half",
    "The normaliser is the square root of 2 pi sigma squared, in each dimension.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -(LOG_2PI + 0.5 * (log_var + (x - mean) ** 2 / log_var.exp())).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The distance without its half",
    "One standard deviation from the mean the density has fallen by a factor of exp(-1/2).",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -(0.5 * LOG_2PI + 0.5 * log_var + (x - mean) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The normaliser is missing",
    "A wide Gaussian is lower than a narrow one: integrate your density on a grid.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + (x - mean) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The distance alone",
    "The exponent is one part of a density. What makes its integral 1?",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The log-variance with the wrong sign",
    "A wide Gaussian is lower than a narrow one at its mean. Is yours?",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI - log_var + (x - mean) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The distance is multiplied by the variance",
    "A distance counts less where the variance is large.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + (x - mean) ** 2 * log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_prob",
    "The distance has the wrong sign",
    "The largest density is at the mean. Where is yours largest?",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var - (x - mean) ** 2 / log_var.exp()).sum(-1)


# --- linear_gaussian_log_evidence -----------------------------------------------------


def _eye(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)


def _log_density(residual: Tensor, covariance: Tensor) -> Tensor:
    solved = torch.linalg.solve(covariance, residual.unsqueeze(-1)).squeeze(-1)
    constant = residual.shape[-1] * LOG_2PI + covariance.logdet()
    return -0.5 * (constant + (residual * solved).sum(-1))


@mutant(
    "linear_gaussian_log_evidence",
    "The standard deviation is taken for the variance",
    "log_var is the log of sigma squared, so exp(log_var) is what stands on the diagonal.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = (0.5 * log_var).exp() * _eye(len(weight), weight)
    return _log_density(x - bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_log_evidence",
    "The variance squared",
    "exp(log_var) is sigma squared already.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.exp() ** 2 * _eye(len(weight), weight)
    return _log_density(x - bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_log_evidence",
    "The bias is missing",
    "Where is the middle of the x that this model makes? z has mean 0, and the noise too.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.exp() * _eye(len(weight), weight)
    return _log_density(x + 0 * bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_log_evidence",
    "The bias is added to x",
    "The distance from x to the mean of p(x) counts. Try x equal to the bias: the density should "
    "be at its highest.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.exp() * _eye(len(weight), weight)
    return _log_density(x + bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_log_evidence",
    "The latent variable is left out: z = 0",
    "This is log p(x | z = 0). Integrating over z makes the spread of x larger.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    return _log_density(
        x - bias, log_var.exp() * _eye(len(weight), weight) + 0 * weight.sum()
    )


@mutant(
    "linear_gaussian_log_evidence",
    "Only the diagonal of the covariance is used",
    "Two pixels that share a latent vary together. What is the covariance of x_1 and x_2?",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    var = (weight**2).sum(1) + log_var.exp()
    return -0.5 * (LOG_2PI + var.log() + (x - bias) ** 2 / var).sum(-1)


@mutant(
    "linear_gaussian_log_evidence",
    "The noise is added to every entry of the matrix",
    "A number added to a matrix goes to all entries. The noise of two pixels is independent: "
    "where does it belong?",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    jitter = 1e-9 * _eye(len(weight), weight)  # else singular where latent < data
    return _log_density(x - bias, weight @ weight.T + log_var.exp() + jitter)


@mutant(
    "linear_gaussian_log_evidence",
    "The quadratic form without the inverse",
    "A direction in which x varies much should cost little: the distance is divided by the "
    "covariance, not multiplied.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    residual = x - bias
    distance = ((residual @ covariance) * residual).sum(-1)
    return -0.5 * (len(weight) * LOG_2PI + covariance.logdet() + distance)


@mutant(
    "linear_gaussian_log_evidence",
    "The log-determinant without its half",
    "The normaliser of a Gaussian is the square root of a determinant.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    return _log_density(x - bias, covariance) - 0.5 * covariance.logdet()


@mutant(
    "linear_gaussian_log_evidence",
    "The constant counted once, not once for each dimension",
    "A Gaussian in D dimensions has the factor (2 pi) to the power D / 2.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    return _log_density(x - bias, covariance) + 0.5 * (len(weight) - 1) * LOG_2PI


@mutant(
    "linear_gaussian_log_evidence",
    "The constant counted once for each latent",
    "The density is one over x. How many dimensions has x?",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    extra = len(weight) - weight.shape[1]
    return _log_density(x - bias, covariance) + 0.5 * extra * LOG_2PI


@mutant(
    "linear_gaussian_log_evidence",
    "The covariance of z in the place of x's",
    "Its size should be (data, data): which of the two products of W with its transpose is that?",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight.T @ weight + log_var.exp() * _eye(weight.shape[1], weight)
    return _log_density(x - bias, covariance)


@mutant(
    "linear_gaussian_log_evidence",
    "One number for the whole batch",
    "The examples' distances are added up. One value per example was asked for.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.exp() * _eye(len(weight), weight)
    return _log_density(x - bias, weight @ weight.T + noise).sum()


@mutant(
    "linear_gaussian_log_evidence",
    "Nothing but (batch, data) is expected",
    "A single example, or samples in front of the batch, have other dimensions. Sum over the last "
    "one, whatever stands before it.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    residual = (x - bias).reshape(-1, len(weight))
    distance = (residual @ torch.linalg.inv(covariance) * residual).sum(1)
    return -0.5 * (len(weight) * LOG_2PI + covariance.logdet() + distance)


@mutant(
    "linear_gaussian_log_evidence",
    "The log of a determinant that underflows",
    "A product of many small variances is smaller than the smallest float; the sum of their logs "
    "is not. Torch has functions for the logarithm of a determinant.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    solved = torch.linalg.solve(covariance, (x - bias).unsqueeze(-1)).squeeze(-1)
    distance = ((x - bias) * solved).sum(-1)
    return -0.5 * (len(weight) * LOG_2PI + covariance.det().log() + distance)


@mutant(
    "linear_gaussian_log_evidence",
    "The log of a density that underflows",
    "Far from its mean a density is smaller than the smallest float. Take the log by hand.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.exp() * _eye(len(weight), weight)
    return _log_density(x - bias, weight @ weight.T + noise).exp().log()


@mutant(
    "linear_gaussian_log_evidence",
    "A small number is added to the diagonal",
    "The noise keeps the covariance invertible. An addition makes another model of it.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = (log_var.exp() + 1e-6) * _eye(len(weight), weight)
    return _log_density(x - bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_log_evidence",
    "A constant with few digits",
    "torch.tensor(math.pi) has seven digits, whatever the inputs have, and a pi typed by hand not "
    "many more. math.pi has sixteen, and follows the inputs.",
    "digits-lost",
    "float32-inside",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    rounded = float(torch.log(2 * torch.tensor(math.pi))) - LOG_2PI
    return _log_density(x - bias, covariance) - 0.5 * len(weight) * rounded


@mutant(
    "linear_gaussian_log_evidence",
    "The constant is missing",
    "Without it the density integrates to more than 1, and evidences are compared by their values.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    return _log_density(x - bias, covariance) + 0.5 * len(weight) * LOG_2PI


@mutant(
    "linear_gaussian_log_evidence",
    "The log-determinant is missing",
    "A wide Gaussian is lower than a narrow one: what makes its integral 1?",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    return _log_density(x - bias, covariance) + 0.5 * covariance.logdet()


@mutant(
    "linear_gaussian_log_evidence",
    "The log-determinant with the wrong sign",
    "A wide Gaussian is lower than a narrow one at its mean. Is yours?",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    return _log_density(x - bias, covariance) + covariance.logdet()


@mutant(
    "linear_gaussian_log_evidence",
    "The determinant without its logarithm",
    "The logarithm of a density has the logarithm of its normaliser in it.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    determinant = covariance.logdet() - covariance.det()
    return _log_density(x - bias, covariance) + 0.5 * determinant


@mutant(
    "linear_gaussian_log_evidence",
    "The distance without its half",
    "One standard deviation from the mean a density has fallen by a factor of exp(-1/2).",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    value = 2 * _log_density(x - bias, covariance)
    return value + 0.5 * (len(weight) * LOG_2PI + covariance.logdet())


@mutant(
    "linear_gaussian_log_evidence",
    "log_var on the diagonal, as it is",
    "A log-variance may be negative, a variance cannot. What undoes the logarithm?",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.abs() * _eye(len(weight), weight)
    return _log_density(x - bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_log_evidence",
    "The noise is left out",
    "x is W z + b and noise: without it x would lie in a plane, and have no density.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = 1e-6 * _eye(len(weight), weight) + 0 * log_var
    return _log_density(x - bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_log_evidence",
    "The noise is one everywhere",
    "The variance of the noise is an argument: exp(log_var).",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = _eye(len(weight), weight) + 0 * log_var
    return _log_density(x - bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_log_evidence",
    "The covariance is taken for its own square root",
    "scale_tril is a Cholesky factor; covariance_matrix is what you have.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    return _log_density(x - bias, covariance @ covariance)


@mutant(
    "linear_gaussian_log_evidence",
    "Every example is compared with every other",
    "The product of the distances with their transpose is (batch, batch); each x needs its own "
    "quadratic form only.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    covariance = weight @ weight.T + log_var.exp() * _eye(len(weight), weight)
    residual = x - bias
    distance = residual @ torch.linalg.inv(covariance) @ residual.mT
    return -0.5 * (len(weight) * LOG_2PI + covariance.logdet() + distance)


# --- linear_gaussian_posterior --------------------------------------------------------


def _posterior(
    residual: Tensor, weight: Tensor, precision_of_noise: Tensor
) -> tuple[Tensor, Tensor]:
    inner = weight.T @ weight * precision_of_noise
    covariance = torch.linalg.inv(_eye(weight.shape[1], weight) + inner)
    return residual @ weight @ covariance * precision_of_noise, covariance


@mutant(
    "linear_gaussian_posterior",
    "The precision is returned for the covariance",
    "The coefficient of z squared is a precision. Does the posterior become narrower when the "
    "noise becomes smaller?",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    mean, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return mean, torch.linalg.inv(covariance)


@mutant(
    "linear_gaussian_posterior",
    "The standard deviation is taken for the variance",
    "exp(log_var) is sigma squared, which divides the squared distance in log p(x|z).",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    return _posterior(x - bias, weight, (-0.5 * log_var).exp())


@mutant(
    "linear_gaussian_posterior",
    "The bias is missing",
    "An x equal to the bias says nothing about the direction of z: its posterior mean is 0.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    return _posterior(x + 0 * bias, weight, (-log_var).exp())


@mutant(
    "linear_gaussian_posterior",
    "The prior is left out",
    "This is least squares. The prior adds its own -z²/2 to the exponent.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    tiny = 1e-9 * _eye(weight.shape[1], weight)
    covariance = torch.linalg.inv(weight.T @ weight * (-log_var).exp() + tiny)
    return (x - bias) @ weight @ covariance * (-log_var).exp(), covariance


@mutant(
    "linear_gaussian_posterior",
    "The mean is not divided by the noise's variance",
    "The term that is linear in z comes from the likelihood, whose exponent is divided by sigma "
    "squared as a whole.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    _, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return (x - bias) @ weight @ covariance, covariance


@mutant(
    "linear_gaussian_posterior",
    "The mean is not multiplied by the covariance",
    "W transposed times the distance is the linear term. The square's centre is the linear term "
    "divided by the quadratic one.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    _, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return (x - bias) @ weight * (-log_var).exp(), covariance


@mutant(
    "linear_gaussian_posterior",
    "The covariance that pulls the noise out, without the noise",
    "With M = WᵀW + sigma² I the mean needs M's inverse, but the covariance is that inverse times "
    "something.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    mean, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return mean, covariance * (-log_var).exp()


@mutant(
    "linear_gaussian_posterior",
    "The prior's precision is added to every entry",
    "A 1 added to a matrix goes to all entries. The dimensions of z are independent under the "
    "prior: where does its precision belong?",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    tiny = 1e-9 * _eye(weight.shape[1], weight)
    covariance = torch.linalg.inv(1 + weight.T @ weight * (-log_var).exp() + tiny)
    return (x - bias) @ weight @ covariance * (-log_var).exp(), covariance


@mutant(
    "linear_gaussian_posterior",
    "Only the diagonal of the precision is inverted",
    "Two latents that move the same pixels can stand in for each other: given x they are "
    "correlated.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    covariance = torch.diag(1 / (1 + (weight**2).sum(0) * (-log_var).exp()))
    return (x - bias) @ weight @ covariance * (-log_var).exp(), covariance


@mutant(
    "linear_gaussian_posterior",
    "The covariance of x in the place of z's",
    "The covariance of z has the size (latent, latent). Which of the two products of W with its "
    "transpose is that?",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    inner = weight @ weight.T * (-log_var).exp()
    covariance = torch.linalg.inv(_eye(len(weight), weight) + inner)
    return (x - bias) @ covariance @ weight * (-log_var).exp(), covariance


@mutant(
    "linear_gaussian_posterior",
    "Standard deviations in the place of the covariance",
    "A matrix (latent, latent) was asked for, which holds the correlations too.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    mean, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return mean, covariance.diagonal().sqrt()


@mutant(
    "linear_gaussian_posterior",
    "One covariance for each example",
    "The covariance does not depend on x, and is asked for once: (latent, latent).",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    mean, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return mean, covariance.expand(*x.shape[:-1], *covariance.shape)


@mutant(
    "linear_gaussian_posterior",
    "A list, not a pair",
    "Two values are returned with a comma between them: return mean, covariance.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> list[Tensor]:
    return list(_posterior(x - bias, weight, (-log_var).exp()))


@mutant(
    "linear_gaussian_posterior",
    "Nothing but (batch, data) is expected",
    "A single example, or samples in front of the batch, have other dimensions. Multiply from the "
    "right and they all keep theirs.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    return _posterior((x - bias).reshape(-1, len(weight)), weight, (-log_var).exp())


@mutant(
    "linear_gaussian_posterior",
    "The noise is kept from becoming small",
    "Below some log_var the result no longer changes, and no gradient comes back. Nothing here "
    "overflows.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    return _posterior(x - bias, weight, (-log_var.clamp(min=-10)).exp())


@mutant(
    "linear_gaussian_posterior",
    "The noise is kept from becoming large",
    "Above some log_var the result no longer changes, and no gradient comes back. Nothing here "
    "overflows.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    return _posterior(x - bias, weight, (-log_var.clamp(max=20)).exp())


@mutant(
    "linear_gaussian_log_evidence",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range, and its gradient there is zero.",
)
def _(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    noise = log_var.clamp(-10, 10).exp() * _eye(len(weight), weight)
    return _log_density(x - bias, weight @ weight.T + noise)


@mutant(
    "linear_gaussian_posterior",
    "The covariance is cut off from the gradient",
    "The mean learns, the covariance does not: .detach() or .data stands where the pair is made.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    mean, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return mean, covariance.detach()


@mutant(
    "linear_gaussian_posterior",
    "A small number is added to the diagonal",
    "The prior keeps the precision invertible: it is the identity and something that cannot be "
    "negative. An addition makes another model of it.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    noise, latent = (-log_var).exp(), weight.shape[1]
    precision = (1 + 5e-6) * _eye(latent, weight) + weight.T @ weight * noise
    covariance = torch.linalg.inv(precision)
    return (x - bias) @ weight @ covariance * noise, covariance


@mutant(
    "linear_gaussian_posterior",
    "The precision is taken for the covariance throughout",
    "The coefficient of z squared is a precision; its inverse is the covariance.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    precision = _eye(weight.shape[1], weight) + weight.T @ weight * (-log_var).exp()
    return (x - bias) @ weight @ precision * (-log_var).exp(), precision


@mutant(
    "linear_gaussian_posterior",
    "The mean is divided by the noise's variance twice",
    "With M = WᵀW + sigma² I the noise cancels in the mean: count its powers.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    mean, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return mean * (-log_var).exp(), covariance


@mutant(
    "linear_gaussian_posterior",
    "The variances alone",
    "The diagonal of the covariance is not all of it: two latents that move the same pixels depend on each other.",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    mean, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return mean, covariance.diagonal()


@mutant(
    "linear_gaussian_posterior",
    "The bias is added to x",
    "The noise-free image of z is W z + b: what is left of x once b is taken away?",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    return _posterior(x + bias, weight, (-log_var).exp())


@mutant(
    "linear_gaussian_posterior",
    "log_var as it is, in place of the variance",
    "A log-variance may be negative, a variance cannot. What undoes the logarithm?",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    return _posterior(x - bias, weight, 1 / log_var)


@mutant(
    "linear_gaussian_posterior",
    "The means are columns",
    "x has the examples as rows, and so have the means: (..., latent).",
)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    mean, covariance = _posterior(x - bias, weight, (-log_var).exp())
    return mean.T if mean.dim() == 2 else mean, covariance


# --- monte_carlo_log_evidence ---------------------------------------------------------


@mutant(
    "monte_carlo_log_evidence",
    "The mean of the logs, not the log of the mean",
    "The likelihoods are averaged, then the log is taken. Averaging logs gives something smaller "
    "(lesson 03 says by how much).",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return log_likelihoods.mean(0)


@mutant(
    "monte_carlo_log_evidence",
    "The sum over the samples, not their mean",
    "Twice as many samples should not give twice the evidence.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, 0)


@mutant(
    "monte_carlo_log_evidence",
    "The mean over the batch, not over the samples",
    "The samples are the first dimension: one estimate for each example is asked for.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, 1) - math.log(log_likelihoods.shape[1])


@mutant(
    "monte_carlo_log_evidence",
    "Divided by the number of examples",
    "The mean is over the samples; which dimension counts them?",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, 0) - math.log(log_likelihoods.shape[1])


@mutant(
    "monte_carlo_log_evidence",
    "Divided by S, after the log",
    "The mean is inside the logarithm: dividing by S there is a subtraction outside.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, 0) / len(log_likelihoods)


@mutant(
    "monte_carlo_log_evidence",
    "The mean without its log",
    "The result is a log again: it lives where the inputs live.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return log_likelihoods.exp().mean(0)


@mutant(
    "monte_carlo_log_evidence",
    "exp before the largest is taken out",
    "exp(1e4) is inf and exp(-1e4) is 0. Lesson 00's function was written for this.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return log_likelihoods.exp().mean(0).log()


@mutant(
    "monte_carlo_log_evidence",
    "The largest of all examples is taken out",
    "Beside an x with a large likelihood, another x disappears. Each column has its own largest.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    peak = log_likelihoods.max()
    safe = peak if torch.isfinite(peak) else torch.zeros_like(peak)
    return (log_likelihoods - safe).exp().mean(0).log() + safe


@mutant(
    "monte_carlo_log_evidence",
    "The likeliest sample stands for all",
    "This is the largest likelihood, not the average one. How do the two compare for many samples?",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return log_likelihoods.max(0).values


@mutant(
    "monte_carlo_log_evidence",
    "A small number is added inside the log",
    "It hides underflow: every evidence below it becomes the same number.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return (log_likelihoods.clamp(max=80).exp().mean(0) + 1e-300).log()


@mutant(
    "monte_carlo_log_evidence",
    "Dimensions of size 1 are dropped",
    "squeeze drops the batch too where it holds one example. Name the dimension to be reduced.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    total = torch.logsumexp(log_likelihoods, 0, keepdim=True)
    return (total - math.log(len(log_likelihoods))).squeeze()


@mutant(
    "monte_carlo_log_evidence",
    "Impossible samples are not counted",
    "A sample that does not explain x says something too: the estimate averages over all that "
    "were drawn from the prior.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    count = (log_likelihoods > -math.inf).sum(0).clamp(min=1)
    return torch.logsumexp(log_likelihoods, 0) - count.to(log_likelihoods.dtype).log()


@mutant(
    "monte_carlo_log_evidence",
    "inf minus inf where no sample explains x",
    "If the largest is -inf, taking it out gives -inf - (-inf), which is not a number.",
    "infinity-minus-infinity",
)
def _(log_likelihoods: Tensor) -> Tensor:
    peak = log_likelihoods.amax(0)
    return (log_likelihoods - peak).exp().mean(0).log() + peak


@mutant(
    "monte_carlo_log_evidence",
    "Impossible samples become a log-likelihood of zero",
    "log 1 is 0: replacing -inf by 0 makes an impossible sample a certain one.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    zero = torch.zeros_like(log_likelihoods)
    shown = torch.where(torch.isinf(log_likelihoods), zero, log_likelihoods)
    gone = torch.isinf(log_likelihoods).all(0)
    value = torch.logsumexp(shown, 0) - math.log(len(shown))
    return torch.where(gone, torch.full_like(value, -math.inf), value)


@mutant(
    "monte_carlo_log_evidence",
    "float32 is written into the code",
    "torch.tensor(6.0) has seven digits, whatever the inputs have: it is in torch's default dtype. "
    "A Python number has sixteen and follows them.",
    "digits-lost",
    "float32-inside",
)
def _(log_likelihoods: Tensor) -> Tensor:
    num_samples = torch.tensor(float(len(log_likelihoods)))
    return torch.logsumexp(log_likelihoods, 0) - num_samples.log()


@mutant(
    "monte_carlo_log_evidence",
    "log S added, not subtracted",
    "A mean is smaller than the sum it is made from.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, 0) + math.log(len(log_likelihoods))


@mutant(
    "monte_carlo_log_evidence",
    "S is subtracted, not its logarithm",
    "A division by S becomes a subtraction of something once the log is taken. Of S itself?",
)
def _(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, 0) - len(log_likelihoods)


@mutant(
    "monte_carlo_log_evidence",
    "Divided by S - 1",
    "S - 1 belongs to the estimate of a variance. What is the mean of equal numbers?",
)
def _(log_likelihoods: Tensor) -> Tensor:
    count = max(len(log_likelihoods) - 1, 1)
    return torch.logsumexp(log_likelihoods, 0) - math.log(count)


@mutant(
    "monte_carlo_log_evidence",
    "The largest is taken out and not put back",
    "Dividing by the largest likelihood makes the mean safe. What undoes the division?",
)
def _(log_likelihoods: Tensor) -> Tensor:
    peak = log_likelihoods.amax(0).clamp(min=-1e30)
    return (log_likelihoods - peak).exp().mean(0).log()


@mutant(
    "monte_carlo_log_evidence",
    "One number for the whole batch",
    "Each x has an evidence of its own: only the samples are averaged.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    total = torch.logsumexp(log_likelihoods.flatten(), 0)
    return total - math.log(log_likelihoods.numel())


@mutant(
    "monte_carlo_log_evidence",
    "Ten samples at most",
    "How many samples there are is the caller's choice: all of them are averaged.",
)
def _(log_likelihoods: Tensor) -> Tensor:
    some = log_likelihoods[:10]
    return torch.logsumexp(some, 0) - math.log(len(some))


@mutant(
    "monte_carlo_log_evidence",
    "-1000 stands in for minus infinity",
    "Beside log-likelihoods of -1e4 a stand-in is the largest of all.",
    "weight-0-counts",
    "infinity-made-finite",
)
def _(log_likelihoods: Tensor) -> Tensor:
    low = log_likelihoods.masked_fill(log_likelihoods == -math.inf, -1e3)
    total = torch.logsumexp(low, 0) - math.log(len(low))
    return total.masked_fill((log_likelihoods == -math.inf).all(0), -math.inf)


# --- importance_log_evidence ----------------------------------------------------------


def _mean_of(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))


@mutant(
    "importance_log_evidence",
    "The mean of the log-weights",
    "This is the log-weight that a sample has on average: a lower bound (lesson 03), not the log "
    "of the average weight.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint - log_q).mean(0)


@mutant(
    "importance_log_evidence",
    "q and the joint exchanged",
    "Where q proposes too rarely, a sample has to count for more. Which of the two divides?",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _mean_of(log_q - log_joint)


@mutant(
    "importance_log_evidence",
    "The proposal is forgotten",
    "The samples come from q, so a plain average is one under q. What corrects for it?",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _mean_of(log_joint + 0 * log_q)


@mutant(
    "importance_log_evidence",
    "Densities multiplied, not divided",
    "A ratio of densities is a difference of logs.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _mean_of(log_joint + log_q)


@mutant(
    "importance_log_evidence",
    "A ratio of means, not the mean of ratios",
    "Each sample is divided by its own density before they are averaged.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _mean_of(log_joint) - _mean_of(log_q)


@mutant(
    "importance_log_evidence",
    "The joint averaged with self-normalised weights",
    "Normalised weights add up to 1 by force; their sum before that is the very thing asked for.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    log_weights = torch.log_softmax(log_joint - log_q, 0)
    return torch.logsumexp(log_weights + log_joint, 0)


@mutant(
    "importance_log_evidence",
    "The sum over the samples, not their mean",
    "Twice as many samples should not give twice the evidence.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint - log_q, 0)


@mutant(
    "importance_log_evidence",
    "The mean over the batch, not over the samples",
    "The samples are the first dimension: one estimate for each example is asked for.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    log_weights = log_joint - log_q
    return torch.logsumexp(log_weights, 1) - math.log(log_weights.shape[1])


@mutant(
    "importance_log_evidence",
    "The harmonic mean",
    "1 over the mean of 1 over the weights is not their mean: it lives from the smallest of them.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return -_mean_of(log_q - log_joint)


@mutant(
    "importance_log_evidence",
    "The best sample stands for all",
    "This is the largest weight, not the average one.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint - log_q).max(0).values


@mutant(
    "importance_log_evidence",
    "exp before the ratio is taken",
    "Both densities may be out of a float's range while their ratio is an ordinary number: "
    "subtract the logs first.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint.exp() / log_q.exp()).mean(0).log()


@mutant(
    "importance_log_evidence",
    "exp of the log-weights, unprotected",
    "The subtraction is done in logs, but exp of a log-weight of 1e4 is still inf. Lesson 00's "
    "function was written for this.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint - log_q).exp().mean(0).log()


@mutant(
    "importance_log_evidence",
    "The largest of all examples is taken out",
    "Beside an x with large weights, another x disappears. Each column has its own largest.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    log_weights = log_joint - log_q
    peak = log_weights.max()
    return (log_weights - peak).exp().mean(0).log() + peak


@mutant(
    "importance_log_evidence",
    "The largest joint and the largest q are taken out apart",
    "They may belong to two samples; then neither of them is the largest weight.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    peak = log_joint.amax(0) - log_q.amax(0)
    peak = torch.where(torch.isinf(peak), torch.zeros_like(peak), peak)
    return (log_joint - log_q - peak).exp().mean(0).log() + peak


@mutant(
    "importance_log_evidence",
    "Dimensions of size 1 are dropped",
    "squeeze drops the batch too where it holds one example. Name the dimension to be reduced.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    total = torch.logsumexp(log_joint - log_q, 0, keepdim=True)
    return (total - math.log(len(log_q))).squeeze()


@mutant(
    "importance_log_evidence",
    "Samples of weight 0 are not counted",
    "A sample that hits nothing says something too: the estimate averages over all that were "
    "drawn from q.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    count = (log_joint > -math.inf).sum(0).clamp(min=1)
    return torch.logsumexp(log_joint - log_q, 0) - count.to(log_joint.dtype).log()


@mutant(
    "importance_log_evidence",
    "inf minus inf where no sample explains x",
    "If the largest log-weight is -inf, taking it out gives -inf - (-inf), which is not a number.",
    "infinity-minus-infinity",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    log_weights = log_joint - log_q
    peak = log_weights.amax(0)
    return (log_weights - peak).exp().mean(0).log() + peak


@mutant(
    "importance_log_evidence",
    "float32 is written into the code",
    "torch.tensor(6.0) has seven digits, whatever the inputs have: it is in torch's default dtype. "
    "A Python number has sixteen and follows them.",
    "digits-lost",
    "float32-inside",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    num_samples = torch.tensor(float(len(log_q)))
    return torch.logsumexp(log_joint - log_q, 0) - num_samples.log()


@mutant(
    "importance_log_evidence",
    "The logs are divided, not the densities",
    "log(p / q) is not log p / log q. What is it?",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _mean_of(log_joint / log_q)


@mutant(
    "importance_log_evidence",
    "The joint is averaged, q is summed over its logs",
    "The weight of a sample is a ratio: form it first, then average the weights.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _mean_of(log_joint) - log_q.mean(0)


@mutant(
    "importance_log_evidence",
    "The logarithm of the mean is missing",
    "The result is a log again: it lives where the inputs live.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint - log_q).exp().mean(0)


@mutant(
    "importance_log_evidence",
    "The log-weights are cut off above",
    "A large weight is what the estimate is made of: cut it off and it is another one.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _mean_of((log_joint - log_q).clamp(max=50))


@mutant(
    "importance_log_evidence",
    "Ten samples at most",
    "How many samples there are is the caller's choice: all of them are averaged.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _mean_of((log_joint - log_q)[:10])


@mutant(
    "importance_log_evidence",
    "log S added, not subtracted",
    "A mean is smaller than the sum it is made from.",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint - log_q, 0) + math.log(len(log_q))


@mutant(
    "importance_log_evidence",
    "Divided by S - 1",
    "S - 1 belongs to the estimate of a variance. What is the mean of equal numbers?",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint - log_q, 0) - math.log(max(len(log_q) - 1, 1))


@mutant(
    "importance_log_evidence",
    "-1000 stands in for minus infinity",
    "Beside log-weights of -1e4 a stand-in is the largest of all.",
    "weight-0-counts",
    "infinity-made-finite",
)
def _(log_joint: Tensor, log_q: Tensor) -> Tensor:
    low = (log_joint - log_q).masked_fill(log_joint == -math.inf, -1e3)
    return _mean_of(low).masked_fill((log_joint == -math.inf).all(0), -math.inf)
