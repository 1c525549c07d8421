"""Lesson 02: wrong answers that no mutant and no sign was made from."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from tests.unseen import register

UNSEEN, unseen = register()
Pair = tuple[Tensor, Tensor]


# --- gaussian_log_prob ----------------------------------------------------------------


@unseen("gaussian_log_prob", "log-sigma")
def scale_is_exp(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, log_var.exp()).log_prob(x).sum(-1)


@unseen("gaussian_log_prob", "log_var is taken for the variance")
def scale_is_log_var(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, log_var.abs().sqrt()).log_prob(x).sum(-1)


@unseen("gaussian_log_prob", "mean-for-sum", "A mean over the dimensions")
def averaged(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, (log_var / 2).exp()).log_prob(x).mean(-1)


@unseen("gaussian_log_prob", "not-summed")
def elementwise(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, (log_var / 2).exp()).log_prob(x)


@unseen("gaussian_log_prob", "log-missing")
def density(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, (log_var / 2).exp()).log_prob(x).sum(-1).exp()


@unseen("gaussian_log_prob", "turned-sign", "The sign: an energy, not a log-density")
def nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    x, mean, log_var = torch.broadcast_tensors(x, mean, log_var)
    loss = torch.nn.functional.gaussian_nll_loss
    terms = loss(mean, x, log_var.exp(), full=True, eps=0.0, reduction="none")
    return terms.sum(-1)


@unseen("gaussian_log_prob", "The constant log 2 pi is missing")
def nll_without_constant(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    z = (x - mean) / torch.exp(log_var / 2)
    return (-0.5 * z**2 - log_var / 2).sum(-1)


@unseen("gaussian_log_prob", "The constant without its half")
def constant_without_half(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    z = (x - mean) / torch.exp(log_var / 2)
    return (-0.5 * z**2 - log_var / 2 - math.log(2 * math.pi)).sum(-1)


@unseen("gaussian_log_prob", "The normaliser is missing")
def no_normaliser(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    terms = math.log(2 * math.pi) + (x - mean) ** 2 / log_var.exp()
    return -0.5 * terms.sum(-1)


@unseen("gaussian_log_prob", "precision-for-variance")
def multiplied_by_the_variance(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    terms = math.log(2 * math.pi) - log_var + (x - mean) ** 2 * log_var.exp()
    return -0.5 * terms.sum(-1)


@unseen("gaussian_log_prob", "The distance is multiplied by the variance")
def distance_times_the_variance(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    terms = math.log(2 * math.pi) + log_var + (x - mean) ** 2 * log_var.exp()
    return -0.5 * terms.sum(-1)


@unseen("gaussian_log_prob", "The log-variance with the wrong sign")
def normaliser_added(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    terms = math.log(2 * math.pi) - log_var + (x - mean) ** 2 / log_var.exp()
    return -0.5 * terms.sum(-1)


@unseen("gaussian_log_prob", "A log_var of no dimensions counted once")
def multivariate_by_hand(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    d = x.shape[-1]
    total = log_var if log_var.ndim == 0 else log_var.sum(-1)
    square = ((x - mean) ** 2 * torch.exp(-log_var)).sum(-1)
    return -0.5 * (d * math.log(2 * math.pi) + total + square)


@unseen("gaussian_log_prob", "A log_var of no dimensions counted once")
def needs_a_dimension(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    square = ((x - mean) ** 2 * torch.exp(-log_var)).sum(-1)
    constant = x.shape[-1] * math.log(2 * math.pi)
    return -0.5 * (constant + log_var.sum(-1) + square)


@unseen("gaussian_log_prob", "A small number is added to the variance", "digits-lost")
def sigma_plus_eps(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return Normal(mean, (0.5 * log_var).exp() + 1e-6).log_prob(x).sum(-1)


@unseen("gaussian_log_prob", "digits-lost", "A constant with few digits")
def rounded_pi(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    terms = math.log(2 * 3.14159) + log_var + (x - mean) ** 2 / log_var.exp()
    return -0.5 * terms.sum(-1)


@unseen("gaussian_log_prob", "argument-detached")
def variance_detached(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    with torch.no_grad():
        std = (log_var / 2).exp()
    return Normal(mean, std).log_prob(x).sum(-1)


# --- linear_gaussian_log_evidence -----------------------------------------------------


def _cov(weight: Tensor, noise: Tensor) -> Tensor:
    return weight @ weight.T + noise * torch.eye(len(weight)).to(weight)


@unseen("linear_gaussian_log_evidence", "log-sigma", "The variance squared")
def sigma_is_exp(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    sigma = torch.exp(log_var)
    return MultivariateNormal(bias, _cov(weight, sigma**2)).log_prob(x)


@unseen(
    "linear_gaussian_log_evidence", "The standard deviation is taken for the variance"
)
def sigma_on_the_diagonal(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Tensor:
    return MultivariateNormal(bias, _cov(weight, (log_var / 2).exp())).log_prob(x)


@unseen(
    "linear_gaussian_log_evidence", "The covariance is taken for its own square root"
)
def as_scale_tril(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    cov = _cov(weight, log_var.exp())
    return MultivariateNormal(bias, cov @ cov.mT).log_prob(x)


@unseen("linear_gaussian_log_evidence", "The bias is missing", "ignores-bias")
def centred_at_zero(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    zero = torch.zeros_like(bias)
    return MultivariateNormal(zero, _cov(weight, log_var.exp())).log_prob(x)


@unseen("linear_gaussian_log_evidence", "The log-determinant is missing")
def no_determinant(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    c, r = _cov(weight, log_var.exp()), x - bias
    distance = (r @ torch.linalg.inv(c) * r).sum(-1)
    return -0.5 * (len(bias) * math.log(2 * math.pi) + distance + 0 * c.sum())


@unseen("linear_gaussian_log_evidence", "The determinant without its logarithm")
def plain_determinant(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Tensor:
    c, r = _cov(weight, log_var.exp()), x - bias
    distance = (r @ torch.linalg.inv(c) * r).sum(-1)
    return -0.5 * (len(bias) * math.log(2 * math.pi) + torch.det(c) + distance)


@unseen("linear_gaussian_log_evidence", "The log-determinant with the wrong sign")
def determinant_added(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Tensor:
    c, r = _cov(weight, log_var.exp()), x - bias
    distance = (r @ torch.linalg.inv(c) * r).sum(-1)
    return -0.5 * (len(bias) * math.log(2 * math.pi) - torch.logdet(c) + distance)


@unseen("linear_gaussian_log_evidence", "The constant is missing")
def no_constant(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    c, r = _cov(weight, log_var.exp()), x - bias
    distance = (r @ torch.linalg.inv(c) * r).sum(-1)
    return -0.5 * (torch.logdet(c) + distance)


@unseen("linear_gaussian_log_evidence", "turned-sign")
def energy(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    return -MultivariateNormal(bias, _cov(weight, log_var.exp())).log_prob(x)


@unseen("linear_gaussian_log_evidence", "A mean over the dimensions", "mean-for-sum")
def per_dimension(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    normal = MultivariateNormal(bias, _cov(weight, log_var.exp()))
    return normal.log_prob(x) / x.shape[-1]


@unseen("linear_gaussian_log_evidence", "cpu-tensor", "digits-lost")
def eye_on_the_cpu(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    c = weight @ weight.T + torch.exp(log_var) * torch.eye(weight.shape[0])
    r = x - bias
    distance = torch.einsum("...i,ij,...j->...", r, torch.linalg.inv(c), r)
    return -0.5 * (r.shape[-1] * math.log(2 * math.pi) + torch.logdet(c) + distance)


@unseen("linear_gaussian_log_evidence", "The noise is left out", "ignores-log_var")
def no_noise(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    c = weight @ weight.T + 1e-6 * torch.eye(len(weight)).to(weight)
    r = x - bias
    distance = (r @ torch.linalg.inv(c) * r).sum(-1)
    return -0.5 * (len(bias) * math.log(2 * math.pi) + torch.logdet(c) + distance)


@unseen("linear_gaussian_log_evidence", "log_var on the diagonal, as it is")
def log_var_on_the_diagonal(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Tensor:
    c, r = _cov(weight, log_var), x - bias
    distance = (r @ torch.linalg.inv(c) * r).sum(-1)
    return -0.5 * (len(bias) * math.log(2 * math.pi) + torch.logdet(c) + distance)


@unseen("linear_gaussian_log_evidence", "Only the diagonal of the covariance is used")
def independent_pixels(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Tensor:
    variance = weight.square().sum(-1) + log_var.exp()
    return Normal(bias, variance.sqrt()).log_prob(x).sum(-1)


@unseen("linear_gaussian_log_evidence", "sizes-do-not-meet")
def column_vectors(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    c, r = _cov(weight, log_var.exp()), x - bias
    distance = r.T @ torch.linalg.inv(c) @ r
    return -0.5 * (len(bias) * math.log(2 * math.pi) + torch.logdet(c) + distance)


@unseen("linear_gaussian_log_evidence", "Every example is compared with every other")
def all_pairs(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    c, r = _cov(weight, log_var.exp()), x - bias
    distance = r @ torch.linalg.inv(c) @ r.mT
    return -0.5 * (len(bias) * math.log(2 * math.pi) + torch.logdet(c) + distance)


# --- linear_gaussian_posterior --------------------------------------------------------


def _precision(weight: Tensor, noise: Tensor) -> Tensor:
    return torch.eye(weight.shape[1]).to(weight) + weight.T @ weight / noise


@unseen("linear_gaussian_posterior", "log-sigma")
def posterior_sigma(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    var = log_var.exp() ** 2
    cov = torch.linalg.inv(_precision(weight, var))
    return (x - bias) @ weight @ cov / var, cov


@unseen("linear_gaussian_posterior", "The precision is returned for the covariance")
def precision_returned(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Pair:
    p = _precision(weight, log_var.exp())
    return torch.linalg.solve(p, weight.T @ (x - bias).mT / log_var.exp()).mT, p


@unseen("linear_gaussian_posterior", "The mean is not divided by the noise's variance")
def mean_without_noise(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Pair:
    cov = _precision(weight, log_var.exp()).inverse()
    return torch.einsum("...d,dk,kl->...l", x - bias, weight, cov), cov


@unseen("linear_gaussian_posterior", "order")
def other_order(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    cov = _precision(weight, log_var.exp()).inverse()
    return cov, (x - bias) @ weight @ cov / log_var.exp()


@unseen("linear_gaussian_posterior", "part-missing")
def mean_alone(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Tensor:
    cov = _precision(weight, log_var.exp()).inverse()
    return (x - bias) @ weight @ cov / log_var.exp()


@unseen("linear_gaussian_posterior", "The bias is missing", "ignores-bias")
def bias_forgotten(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    cov = _precision(weight, log_var.exp()).inverse()
    return x @ weight @ cov / log_var.exp(), cov


@unseen("linear_gaussian_posterior", "The prior is left out")
def least_squares(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    gram = weight.T @ weight
    mean = (x - bias) @ weight @ torch.linalg.pinv(gram)
    return mean, torch.linalg.pinv(gram) * log_var.exp()


@unseen("linear_gaussian_posterior", "The variances alone")
def variances(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    cov = _precision(weight, log_var.exp()).inverse()
    return (x - bias) @ weight @ cov / log_var.exp(), cov.diagonal()


@unseen(
    "linear_gaussian_posterior", "The precision is taken for the covariance throughout"
)
def mean_by_the_precision(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Pair:
    p = _precision(weight, log_var.exp())
    return (x - bias) @ weight @ p / log_var.exp(), p


@unseen("linear_gaussian_posterior", "precision-for-variance")
def noise_multiplied(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    cov = torch.linalg.inv(_precision(weight, (-log_var).exp()))
    return (x - bias) @ weight @ cov * log_var.exp(), cov


@unseen("linear_gaussian_posterior", "The means are columns", "exchanged-dimensions")
def mean_as_columns(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    cov = _precision(weight, log_var.exp()).inverse()
    return cov @ weight.T @ (x - bias).T / log_var.exp(), cov


@unseen(
    "linear_gaussian_posterior", "The mean is divided by the noise's variance twice"
)
def noise_twice(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    m = weight.T @ weight + log_var.exp() * torch.eye(weight.shape[1]).to(weight)
    inverse = torch.linalg.inv(m)
    return (x - bias) @ weight @ inverse / log_var.exp(), inverse * log_var.exp()


@unseen("linear_gaussian_posterior", "The bias is added to x", "negated-bias")
def bias_added(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    cov = _precision(weight, log_var.exp()).inverse()
    return (x + bias) @ weight @ cov / log_var.exp(), cov


@unseen("linear_gaussian_posterior", "cpu-tensor")
def posterior_eye(x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor) -> Pair:
    p = torch.eye(weight.shape[1]) + weight.T @ weight / log_var.exp()
    cov = torch.linalg.inv(p)
    return (x - bias) @ weight @ cov / log_var.exp(), cov


# --- monte_carlo_log_evidence ---------------------------------------------------------


@unseen("monte_carlo_log_evidence", "exp before the largest is taken out", "overflow")
def mean_then_log(log_likelihoods: Tensor) -> Tensor:
    return torch.log(torch.exp(log_likelihoods).sum(0) / log_likelihoods.shape[0])


@unseen(
    "monte_carlo_log_evidence",
    "wrong-axis",
    "The mean over the batch, not over the samples",
)
def last_axis(log_likelihoods: Tensor) -> Tensor:
    n = log_likelihoods.size(-1)
    return torch.logsumexp(log_likelihoods - math.log(n), -1)


@unseen("monte_carlo_log_evidence", "The sum over the samples, not their mean")
def no_n(log_likelihoods: Tensor) -> Tensor:
    m = log_likelihoods.amax(0).clamp(min=-1e30)
    return m + (log_likelihoods - m).exp().sum(0).log()


@unseen("monte_carlo_log_evidence", "One number for the whole batch")
def one_number(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, (0, 1)) - math.log(log_likelihoods.numel())


@unseen("monte_carlo_log_evidence", "averaged-over-the-batch")
def batch_average(log_likelihoods: Tensor) -> Tensor:
    n = len(log_likelihoods)
    return (torch.logsumexp(log_likelihoods, 0) - math.log(n)).mean()


@unseen("monte_carlo_log_evidence", "The mean of the logs, not the log of the mean")
def average_logs(log_likelihoods: Tensor) -> Tensor:
    return torch.einsum("sb->b", log_likelihoods) / len(log_likelihoods)


@unseen("monte_carlo_log_evidence", "log S added, not subtracted")
def log_s_added(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, 0) + math.log(len(log_likelihoods))


@unseen("monte_carlo_log_evidence", "S is subtracted, not its logarithm")
def s_subtracted(log_likelihoods: Tensor) -> Tensor:
    return torch.logsumexp(log_likelihoods, 0) - len(log_likelihoods)


@unseen("monte_carlo_log_evidence", "The largest is taken out and not put back")
def shift_not_undone(log_likelihoods: Tensor) -> Tensor:
    m = log_likelihoods.max(0, keepdim=True).values
    return (log_likelihoods - m).exp().mean(0).log()


@unseen("monte_carlo_log_evidence", "Divided by S - 1")
def one_less(log_likelihoods: Tensor) -> Tensor:
    n = max(len(log_likelihoods) - 1, 1)
    return torch.logsumexp(log_likelihoods, 0) - math.log(n)


@unseen("monte_carlo_log_evidence", "inf minus inf where no sample explains x")
def by_softmax(log_likelihoods: Tensor) -> Tensor:
    top = log_likelihoods.max(dim=0)[0]
    return top + torch.log(torch.mean(torch.exp(log_likelihoods - top), dim=0))


@unseen("monte_carlo_log_evidence", "Ten samples at most")
def ten_samples(log_likelihoods: Tensor) -> Tensor:
    some = log_likelihoods[:10]
    return torch.logsumexp(some, 0) - math.log(len(some))


# --- importance_log_evidence ----------------------------------------------------------


@unseen("importance_log_evidence", "exp before the ratio is taken", "overflow")
def ratio_of_densities(log_joint: Tensor, log_q: Tensor) -> Tensor:
    weights = log_joint.exp() / log_q.exp()
    return torch.log(weights.sum(0) / weights.shape[0])


@unseen(
    "importance_log_evidence", "exchanged-log_joint-log_q", "q and the joint exchanged"
)
def exchanged(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_q - log_joint, 0) - math.log(len(log_q))


@unseen("importance_log_evidence", "negated-log_q", "Densities multiplied, not divided")
def product_of_densities(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint + log_q - math.log(len(log_q)), 0)


@unseen("importance_log_evidence", "The logs are divided, not the densities")
def quotient_of_logs(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint / log_q, 0) - math.log(len(log_q))


@unseen(
    "importance_log_evidence",
    "wrong-axis",
    "The mean over the batch, not over the samples",
)
def importance_last_axis(log_joint: Tensor, log_q: Tensor) -> Tensor:
    w = log_joint - log_q
    return torch.logsumexp(w, -1) - math.log(w.shape[-1])


@unseen("importance_log_evidence", "The mean of the log-weights")
def bound(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.mean(log_joint, 0) - torch.mean(log_q, 0)


@unseen("importance_log_evidence", "A ratio of means, not the mean of ratios")
def weighted_by_q(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint - log_q + log_q, 0) - torch.logsumexp(log_q, 0)


@unseen("importance_log_evidence", "argument-detached")
def q_detached(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint - log_q.detach(), 0) - math.log(len(log_q))


@unseen(
    "importance_log_evidence", "The log-weights are cut off above", "extremes-wrong"
)
def truncated(log_joint: Tensor, log_q: Tensor) -> Tensor:
    w = (log_joint - log_q).clamp(max=50)
    return torch.logsumexp(w, 0) - math.log(len(w))


@unseen(
    "importance_log_evidence",
    "The sum over the samples, not their mean",
    "sum-for-mean",
)
def sum_of_weights(log_joint: Tensor, log_q: Tensor) -> Tensor:
    m = (log_joint - log_q).max(0).values
    m = torch.where(torch.isinf(m), 0.0, m)
    return (log_joint - log_q - m).exp().sum(0).log() + m


@unseen(
    "importance_log_evidence", "The logarithm of the mean is missing", "log-missing"
)
def average_weight(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint - log_q).exp().mean(0)


@unseen("importance_log_evidence", "in-place")
def subtracts_in_place(log_joint: Tensor, log_q: Tensor) -> Tensor:
    with torch.no_grad():
        log_joint.sub_(log_q)
    return torch.logsumexp(log_joint, 0) - math.log(len(log_q))


@unseen("importance_log_evidence", "infinity-made-finite", "weight-0-counts")
def zero_for_minus_infinity(log_joint: Tensor, log_q: Tensor) -> Tensor:
    w = torch.nan_to_num(log_joint - log_q, neginf=-100.0)
    return torch.logsumexp(w, 0) - math.log(len(w))
