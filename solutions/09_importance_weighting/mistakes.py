"""Lesson 09: what learners write when importance weights are misunderstood."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant
LOG_2PI = math.log(2 * math.pi)


# --- log_importance_weights ----------------------------------------------------------------


def _pixels(x: Tensor, logits: Tensor) -> Tensor:
    return x * logits - F.softplus(logits)


def _prior(z: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + z**2).sum(-1)


def _q(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + (z - mu) ** 2 / log_var.exp()).sum(-1)


@mutant(
    "log_importance_weights",
    "The prior is forgotten",
    "The numerator of a weight is the joint density of x and z. It has two factors.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).sum(-1) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "The proposal is forgotten",
    "This is the log-joint. Samples do not come from the prior: where q draws often, each draw "
    "has to count for less.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).sum(-1) + _prior(z)


@mutant(
    "log_importance_weights",
    "The proposal multiplies, it does not divide",
    "A code that q draws twice as often has to count half as much. What is a division, in logs?",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).sum(-1) + _prior(z) + _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "Prior and proposal exchanged",
    "Which of the two were the samples drawn from? That one is divided by.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).sum(-1) - _prior(z) + _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "The KL in closed form stands in for the log-ratio",
    "The KL is the average of log q - log p over all z. A weight belongs to one z, and the closed "
    "form is the same for all of them.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    return _pixels(x, logits).sum(-1) - kl + 0 * z.sum(-1)


@mutant(
    "log_importance_weights",
    "q's density is that of the noise, its width is left out",
    "z = mu + sigma eps stretches space, and a stretched density is thinner. Where is sigma in "
    "log q?",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    eps = (z - mu) * (-0.5 * log_var).exp()
    return _pixels(x, logits).sum(-1) + _prior(z) - _prior(eps)


@mutant(
    "log_importance_weights",
    "log_var taken for the log of the standard deviation",
    "log_var is log sigma squared. torch's Normal wants sigma.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).sum(-1) + _prior(z) - _q(z, mu, 2 * log_var)


@mutant(
    "log_importance_weights",
    "The standard deviation is passed where a log-variance is asked for",
    "gaussian_log_prob takes a logarithm. Where log_var is 0 the standard deviation is 1, and a "
    "log-variance of 1 is another bell.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).sum(-1) + _prior(z) - _q(z, mu, (0.5 * log_var).exp())


@mutant(
    "log_importance_weights",
    "The prior has a log-variance of 1",
    "exp(1) would be its variance. Which number is the logarithm of the variance of N(0, I)?",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    zero = torch.zeros_like(log_var)
    return _pixels(x, logits).sum(-1) + _q(z, zero, zero + 1) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "The squared distance is divided by the standard deviation",
    "In the exponent of a Gaussian the squared distance stands over the variance.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    terms = LOG_2PI + log_var + (z - mu) ** 2 / (0.5 * log_var).exp()
    return _pixels(x, logits).sum(-1) + _prior(z) + 0.5 * terms.sum(-1)


@mutant(
    "log_importance_weights",
    "The prior is evaluated at mu, not at z",
    "mu is where q is centred. The decoder was given z, so p(x, z) is asked for at z.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).sum(-1) + _prior(mu) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "The proposal is evaluated at its mean",
    "The log-ratio is about each sample z: log q(z), not the top of the bell.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).sum(-1) + _prior(z) - _q(mu, mu, log_var)


@mutant(
    "log_importance_weights",
    "The constant is left out of one of the two Gaussians",
    "log 2 pi cancels between prior and proposal, once for each latent dimension, if it is in "
    "both or in neither.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    prior = -0.5 * (z**2).sum(-1)
    return _pixels(x, logits).sum(-1) + prior - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "A mean over the pixels",
    "The likelihood of an image is a product over its pixels, so its log is a sum. A mean is the "
    "hidden beta of lesson 06.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _pixels(x, logits).mean(-1) + _prior(z) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "The loss of the pixels, not their log-likelihood",
    "Cross-entropy is minus the log-likelihood: better pixels must make a weight larger.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return -_pixels(x, logits).sum(-1) + _prior(z) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "Weights, not their logs",
    "For an image of 784 pixels a weight is some e to the -100: out of float32's range. The "
    "logarithm was asked for.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return (_pixels(x, logits).sum(-1) + _prior(z) - _q(z, mu, log_var)).exp()


@mutant(
    "log_importance_weights",
    "The samples are averaged already",
    "Each sample keeps a weight of its own here; how they are combined is the next exercise.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return (_pixels(x, logits).sum(-1) + _prior(z) - _q(z, mu, log_var)).mean(0)


@mutant(
    "log_importance_weights",
    "The bound with the samples averaged in each term first",
    "An average of log-likelihoods for all samples is no longer the log-likelihood of one of them.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    reconstruction = _pixels(x, logits).sum(-1).mean(0)
    return reconstruction + _prior(z) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "The sigmoid first, then its logarithm",
    "At a logit of 1000 the sigmoid is rounded to 1, and log(1 - 1) is -inf. Lesson 06 has a "
    "function for this.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    p = logits.sigmoid()
    pixels = torch.where(x > 0.5, p, 1 - p).log()
    return pixels.sum(-1) + _prior(z) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "The probabilities are clamped",
    "With a clamp no pixel costs more than 16 nats, however wrong the decoder is about it.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    p = logits.sigmoid().clamp(1e-7, 1 - 1e-7)
    pixels = torch.where(x > 0.5, p, 1 - p).log()
    return pixels.sum(-1) + _prior(z) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "Small variances are clamped",
    "A clamp says that q is wider than it is, and its density at z comes out too low.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    wide = log_var.clamp(min=-20)
    return _pixels(x, logits).sum(-1) + _prior(z) - _q(z, mu, wide)


@mutant(
    "log_importance_weights",
    "A small number is added to the variance",
    "log_var needs no protection, its exponential is never 0. The small number changes a narrow q.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    terms = LOG_2PI + log_var + (z - mu) ** 2 / (log_var.exp() + 1e-12)
    return _pixels(x, logits).sum(-1) + _prior(z) + 0.5 * terms.sum(-1)


@mutant(
    "log_importance_weights",
    "Every dimension of size 1 is squeezed away",
    "A single sample is still a sample: the result keeps its shape (num_samples, batch).",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return (_pixels(x, logits).sum(-1) + _prior(z) - _q(z, mu, log_var)).squeeze()


@mutant(
    "log_importance_weights",
    "A single sample loses its dimension",
    "With num_samples = 1 the result has shape (1, batch), so that the next function can average "
    "over it.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return (_pixels(x, logits).sum(-1) + _prior(z) - _q(z, mu, log_var)).squeeze(0)


@mutant(
    "log_importance_weights",
    "Images are repeated in the wrong order",
    "logits[s, n] belongs to image n. Flattening and repeating must keep each image beside its "
    "own samples; broadcasting does so by itself.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    repeated = x.repeat_interleave(len(logits), 0).reshape(logits.shape)
    return _pixels(repeated, logits).sum(-1) + _prior(z) - _q(z, mu, log_var)


@mutant(
    "log_importance_weights",
    "The latents are summed over the batch",
    "Each example has its own z. Sum over the last dimension.",
)
def _(x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    ratio = -0.5 * z**2 + 0.5 * (log_var + (z - mu) ** 2 / log_var.exp())
    return _pixels(x, logits).sum(-1) + ratio.sum((1, 2))[:, None]


# --- iwae_bound ----------------------------------------------------------------------------


@mutant(
    "iwae_bound",
    "The mean of the log-weights",
    "That is the ELBO, averaged over samples: more samples make it steadier, not tighter. Which "
    "comes first, the mean or the logarithm?",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.mean(0)


@mutant(
    "iwae_bound",
    "The weights are added, not averaged",
    "With equal weights the bound must be their log, for any number of samples.",
)
def _(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0)


@mutant(
    "iwae_bound",
    "The number of samples is added",
    "Inside the logarithm the sum is divided by k. What does that become outside?",
)
def _(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) + math.log(len(log_weights))


@mutant(
    "iwae_bound",
    "The logarithm is divided by the number of samples",
    "1/k stands inside the logarithm.",
)
def _(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) / len(log_weights)


@mutant(
    "iwae_bound",
    "Averaged over the batch, not over the samples",
    "The samples come first: (num_samples, batch). Each example keeps a bound of its own.",
)
def _(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, -1) - math.log(log_weights.shape[-1])


@mutant(
    "iwae_bound",
    "Divided by the size of the batch",
    "How many numbers does each mean run over?",
)
def _(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[-1])


@mutant(
    "iwae_bound",
    "One number for the whole batch",
    "Every example has its own bound; a loss takes the mean later.",
)
def _(log_weights: Tensor) -> Tensor:
    return (torch.logsumexp(log_weights, 0) - math.log(len(log_weights))).mean()


@mutant(
    "iwae_bound",
    "The loss, not the bound",
    "A loss is minus the bound. Here a larger value is the better one.",
)
def _(log_weights: Tensor) -> Tensor:
    return math.log(len(log_weights)) - torch.logsumexp(log_weights, 0)


@mutant(
    "iwae_bound",
    "The largest weight stands for all",
    "A single sample dominates often, but not always, and the mean divides even that one by k.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.amax(0)


@mutant(
    "iwae_bound",
    "Bound as a weighted mean of the log-weights",
    "The normalised weights belong to the gradient of the bound, not to its value.",
)
def _(log_weights: Tensor) -> Tensor:
    weights = log_weights.softmax(0)
    return torch.where(weights > 0, weights * log_weights, 0.0).sum(0)


@mutant(
    "iwae_bound",
    "The logs of the normalised weights are added",
    "Normalised weights say how samples compare with each other. How likely x is, all of them "
    "together, was divided out.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.log_softmax(0).sum(0)


@mutant(
    "iwae_bound",
    "exp of the log-weights, unprotected",
    "Log-weights of images are near -100 in float32, and exp of that is 0. Lesson 00's function "
    "was written for this.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.exp().mean(0).log()


@mutant(
    "iwae_bound",
    "The largest of all examples is taken out",
    "Beside an x with large weights, another x disappears. Each column has its own largest.",
)
def _(log_weights: Tensor) -> Tensor:
    peak = log_weights.max()
    return (log_weights - peak).exp().mean(0).log() + peak


@mutant(
    "iwae_bound",
    "The log-weights are shifted by their mean",
    "After the shift the largest exponent may still be large. Which shift leaves nothing above 0?",
)
def _(log_weights: Tensor) -> Tensor:
    finite = torch.where(log_weights.isneginf(), 0.0, log_weights)
    centre = finite.mean(0)
    inside = (log_weights - centre).exp().mean(0).log() + centre
    return torch.where(log_weights.isneginf().all(0), -math.inf, inside)


@mutant(
    "iwae_bound",
    "A small number inside the logarithm",
    "It keeps the logarithm finite where the weights underflow, at a value that says nothing "
    "about them.",
)
def _(log_weights: Tensor) -> Tensor:
    return (log_weights.exp().mean(0) + 1e-30).log()


@mutant(
    "iwae_bound",
    "Samples of weight 0 are not counted",
    "A sample that explains nothing says something too: the mean runs over all that were drawn.",
)
def _(log_weights: Tensor) -> Tensor:
    count = (log_weights > -math.inf).sum(0).clamp(min=1)
    return torch.logsumexp(log_weights, 0) - count.to(log_weights.dtype).log()


@mutant(
    "iwae_bound",
    "A weight of 0 becomes a log-weight of 0",
    "nan_to_num and masks that put 0 in place of -inf turn a weight of 0 into a weight of 1.",
)
def _(log_weights: Tensor) -> Tensor:
    kept = torch.where(log_weights.isneginf(), 0.0, log_weights)
    bound = torch.logsumexp(kept, 0) - math.log(len(kept))
    return torch.where(log_weights.isneginf().all(0), -math.inf, bound)


@mutant(
    "iwae_bound",
    "inf minus inf where no sample explains x",
    "If the largest log-weight is -inf, taking it out gives -inf - (-inf), which is not a number.",
)
def _(log_weights: Tensor) -> Tensor:
    peak = log_weights.amax(0)
    return (log_weights - peak).exp().mean(0).log() + peak


@mutant(
    "iwae_bound",
    "Only the first hundred samples are looked at",
    "The mean is over all samples that were drawn, however many.",
)
def _(log_weights: Tensor) -> Tensor:
    kept = log_weights[:100]
    return kept.logsumexp(0) - math.log(len(kept))


@mutant(
    "iwae_bound",
    "The log-weights are clamped",
    "Beyond the bound every log-weight is the bound. What may be taken out of all of them, and "
    "added outside the logarithm?",
    "extremes-wrong",
)
def _(log_weights: Tensor) -> Tensor:
    kept = log_weights.clamp(-700, 700).exp()
    return kept.mean(0).log()


@mutant(
    "iwae_bound",
    "Dimensions of size 1 are dropped",
    "squeeze drops the batch too where it holds one example. Name the dimension to be reduced.",
)
def _(log_weights: Tensor) -> Tensor:
    total = torch.logsumexp(log_weights, 0, keepdim=True)
    return (total - math.log(len(log_weights))).squeeze()


@mutant(
    "iwae_bound",
    "Right to some digits, not to sixteen",
    "The log of torch.tensor(6.0) has seven digits, whatever the inputs have; that of a Python "
    "number has sixteen. A small number added for safety costs digits too.",
)
def _(log_weights: Tensor) -> Tensor:
    k = torch.tensor(float(len(log_weights)))
    return torch.logsumexp(log_weights, 0) - k.log()


# --- normalized_weights --------------------------------------------------------------------


@mutant(
    "normalized_weights",
    "Normalised over the batch, not over the samples",
    "Each example shares out one unit among its own samples: each column sums to 1.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.softmax(-1)


@mutant(
    "normalized_weights",
    "Normalised over all examples together",
    "A weight competes with the other samples of the same example only.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.flatten().softmax(0).reshape(log_weights.shape)


@mutant(
    "normalized_weights",
    "The logs of the weights are normalised",
    "The weights themselves are divided by their sum; log-weights may be negative and sum to "
    "anything.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights / log_weights.sum(0)


@mutant(
    "normalized_weights",
    "The result is left in logs",
    "The weights were asked for. Their sum over the samples is 1, that of their logs is not.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.log_softmax(0)


@mutant(
    "normalized_weights",
    "Relative to the largest weight",
    "The largest of these is 1. It is their sum that should be.",
)
def _(log_weights: Tensor) -> Tensor:
    return (log_weights - log_weights.amax(0)).exp()


@mutant(
    "normalized_weights",
    "Divided by the mean weight",
    "These average to 1, so they sum to the number of samples.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.softmax(0) * len(log_weights)


@mutant(
    "normalized_weights",
    "exp of the log-weights, unprotected",
    "exp overflows above 709 and is 0 below -745; inf / inf and 0 / 0 are no numbers. Only ratios "
    "matter here: what may be taken out of all of them?",
)
def _(log_weights: Tensor) -> Tensor:
    weights = log_weights.exp()
    return weights / weights.sum(0)


@mutant(
    "normalized_weights",
    "The largest of all examples is taken out",
    "Beside an x with large weights, those of another x all become 0. Each column has its own "
    "largest.",
)
def _(log_weights: Tensor) -> Tensor:
    weights = (log_weights - log_weights.max()).exp()
    return weights / weights.sum(0)


@mutant(
    "normalized_weights",
    "The smallest log-weight is taken out",
    "Then every exponent is positive, and a large one overflows.",
)
def _(log_weights: Tensor) -> Tensor:
    finite = torch.where(log_weights.isneginf(), math.inf, log_weights)
    weights = (log_weights - finite.amin(0)).exp()
    return weights / weights.sum(0)


@mutant(
    "normalized_weights",
    "A small number is added to the sum",
    "It is not small beside weights of e to the -100.",
)
def _(log_weights: Tensor) -> Tensor:
    weights = log_weights.exp()
    return weights / (weights.sum(0) + 1e-20)


@mutant(
    "normalized_weights",
    "The log-weights are clamped",
    "Below or above the bound all weights are the same. Only ratios matter: what may be taken out "
    "of all of them without changing one?",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.clamp(-600, 600).softmax(0)


@mutant(
    "normalized_weights",
    "Only the first hundred samples share the unit",
    "Every sample that was drawn has a part in the sum, the last as much as the first.",
)
def _(log_weights: Tensor) -> Tensor:
    kept = log_weights[:100].softmax(0)
    return torch.cat([kept, 0 * log_weights[100:]])


@mutant(
    "normalized_weights",
    "A weight of 0 becomes a log-weight of 0",
    "nan_to_num and masks that put 0 in place of -inf turn a weight of 0 into a weight of 1.",
)
def _(log_weights: Tensor) -> Tensor:
    return torch.where(log_weights.isneginf(), 0.0, log_weights).softmax(0)


@mutant(
    "normalized_weights",
    "Small weights are raised to a least value",
    "A sample that cannot have made x has weight 0, not a little. Nothing here divides by it.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.softmax(0).clamp(min=1e-9)


@mutant(
    "normalized_weights",
    "0 times -inf where a weight is 0",
    "A shift that is itself a weighted mean multiplies -inf by 0. Compare with the largest "
    "log-weight instead.",
)
def _(log_weights: Tensor) -> Tensor:
    centre = (log_weights.softmax(0).detach() * log_weights.detach()).sum(0)
    return (log_weights - centre).softmax(0)


@mutant(
    "normalized_weights",
    "Equal weights for all",
    "That would be the gradient of the mean of the log-weights, the ELBO. Here good samples count "
    "more.",
)
def _(log_weights: Tensor) -> Tensor:
    return torch.ones_like(log_weights) / len(log_weights) + 0 * log_weights


@mutant(
    "normalized_weights",
    "Squared weights",
    "The squares belong to another estimator of the gradient (section 6). They do not sum to 1.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.softmax(0) ** 2


@mutant(
    "normalized_weights",
    "Dimensions of size 1 are dropped",
    "squeeze drops the sample or the example where there is one of it. The shape is that of the "
    "input.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.softmax(0).squeeze()


@mutant(
    "normalized_weights",
    "torch's default dtype",
    "float() is float32, whatever the log-weights are.",
    "float32-inside",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.softmax(0).float()


# --- effective_sample_size -----------------------------------------------------------------


@mutant(
    "effective_sample_size",
    "The sums are over the batch",
    "The samples come first: (num_samples, batch). Each example has its own effective size.",
)
def _(log_weights: Tensor) -> Tensor:
    return 1 / log_weights.softmax(-1).square().sum(-1)


@mutant(
    "effective_sample_size",
    "As a share of the samples",
    "Equal weights should give k, the number of samples, and not 1.",
)
def _(log_weights: Tensor) -> Tensor:
    return 1 / log_weights.softmax(0).square().mean(0) / len(log_weights) ** 2


@mutant(
    "effective_sample_size",
    "The sum is not squared",
    "Multiplying all weights by 10 must change nothing. Does it, with yours?",
)
def _(log_weights: Tensor) -> Tensor:
    weights = (log_weights - log_weights.amax(0)).exp()
    return weights.sum(0) / weights.square().sum(0)


@mutant(
    "effective_sample_size",
    "Upside down",
    "Equal weights should give k. Yours gives 1/k.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.softmax(0).square().sum(0)


@mutant(
    "effective_sample_size",
    "The log-weights in place of the weights",
    "The formula is about w. Log-weights are negative for images, and their squares say nothing.",
)
def _(log_weights: Tensor) -> Tensor:
    return log_weights.sum(0) ** 2 / log_weights.square().sum(0)


@mutant(
    "effective_sample_size",
    "The log of the effective size",
    "Two logsumexp give its logarithm; a number of samples was asked for.",
)
def _(log_weights: Tensor) -> Tensor:
    return 2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)


@mutant(
    "effective_sample_size",
    "The perplexity of the weights",
    "exp of the entropy counts samples too, and is another measure. The definition asked for has "
    "squares in it.",
)
def _(log_weights: Tensor) -> Tensor:
    weights = log_weights.softmax(0)
    return torch.special.entr(weights).sum(0).exp()


@mutant(
    "effective_sample_size",
    "The inverse of the largest weight",
    "It looks at the largest weight alone. The weights ½, ½ and ½, ¼, ¼ have the same largest "
    "one. Does an average over them rest on equally many samples?",
)
def _(log_weights: Tensor) -> Tensor:
    return 1 / log_weights.softmax(0).amax(0)


@mutant(
    "effective_sample_size",
    "The mean of the squared weights",
    "For k equal weights of 1/k the result should be k. The mean of their squares is 1/k².",
)
def _(log_weights: Tensor) -> Tensor:
    return 1 / log_weights.softmax(0).square().mean(0)


@mutant(
    "effective_sample_size",
    "The square of the sum where the sum of the squares belongs",
    "Normalised weights sum to 1, so this is 1 whatever they are. Square first, or add first?",
)
def _(log_weights: Tensor) -> Tensor:
    return 1 / log_weights.softmax(0).sum(0) ** 2


@mutant(
    "effective_sample_size",
    "The squares of all examples are added up",
    "Each example has its own samples, and its own effective size.",
)
def _(log_weights: Tensor) -> Tensor:
    return 1 / log_weights.softmax(0).square().sum()


@mutant(
    "effective_sample_size",
    "The variance of the weights with k - 1",
    "Written with a variance the formula needs the mean square of the k weights themselves, "
    "divided by k.",
)
def _(log_weights: Tensor) -> Tensor:
    k = len(log_weights)
    weights = log_weights.softmax(0) * k
    spread = (weights - 1).square().sum(0) / max(k - 1, 1)
    return k / (1 + spread)


@mutant(
    "effective_sample_size",
    "exp of the log-weights, unprotected",
    "exp overflows above 709, and inf / inf is no number. The ratio stays the same when all "
    "weights are divided by the largest.",
)
def _(log_weights: Tensor) -> Tensor:
    weights = log_weights.exp()
    return weights.sum(0) ** 2 / weights.square().sum(0)


@mutant(
    "effective_sample_size",
    "The squares are taken before the largest weight is out",
    "One of the two sums is protected, the other overflows from log-weights of 355 on, where the "
    "square leaves the range.",
)
def _(log_weights: Tensor) -> Tensor:
    log_sum = log_weights.logsumexp(0)
    return (2 * log_sum - log_weights.exp().square().sum(0).log()).exp()


@mutant(
    "effective_sample_size",
    "The largest of all examples is taken out",
    "Beside an x with large weights, another one becomes 0 / 0. Each column has its own largest.",
)
def _(log_weights: Tensor) -> Tensor:
    weights = (log_weights - log_weights.max()).exp()
    return weights.sum(0) ** 2 / weights.square().sum(0)


@mutant(
    "effective_sample_size",
    "A small number is added below",
    "It is not small beside the square of e to the -100.",
)
def _(log_weights: Tensor) -> Tensor:
    weights = log_weights.exp()
    return weights.sum(0) ** 2 / (weights.square().sum(0) + 1e-30)


@mutant(
    "effective_sample_size",
    "The log-weights are clamped",
    "Below or above the bound all weights are the same. Only ratios matter: what may be taken out "
    "of all of them without changing one?",
)
def _(log_weights: Tensor) -> Tensor:
    return 1 / log_weights.clamp(-300, 300).softmax(0).square().sum(0)


@mutant(
    "effective_sample_size",
    "Only the first hundred samples are looked at",
    "Every sample that was drawn has a part in both sums.",
)
def _(log_weights: Tensor) -> Tensor:
    return 1 / log_weights[:100].softmax(0).square().sum(0)


@mutant(
    "effective_sample_size",
    "A weight of 0 becomes a log-weight of 0",
    "nan_to_num and masks that put 0 in place of -inf turn a weight of 0 into a weight of 1.",
)
def _(log_weights: Tensor) -> Tensor:
    kept = torch.where(log_weights.isneginf(), 0.0, log_weights)
    return 1 / kept.softmax(0).square().sum(0)


@mutant(
    "effective_sample_size",
    "0 times -inf where a weight is 0",
    "A shift that is itself a weighted mean multiplies -inf by 0. Compare with the largest "
    "log-weight instead.",
)
def _(log_weights: Tensor) -> Tensor:
    centre = (log_weights.softmax(0).detach() * log_weights.detach()).sum(0)
    return 1 / (log_weights - centre).softmax(0).square().sum(0)


@mutant(
    "effective_sample_size",
    "One number for the whole batch",
    "Each example has its own weights, and its own effective size.",
)
def _(log_weights: Tensor) -> Tensor:
    return (1 / log_weights.softmax(0).square().sum(0)).mean()


@mutant(
    "effective_sample_size",
    "Dimensions of size 1 are dropped",
    "squeeze drops the batch too where it holds one example. Name the dimension to be reduced.",
)
def _(log_weights: Tensor) -> Tensor:
    return (1 / log_weights.softmax(0).square().sum(0, keepdim=True)).squeeze()


@mutant(
    "effective_sample_size",
    "The smallest log-weight is taken out",
    "Then every exponent is positive, and a large one overflows.",
)
def _(log_weights: Tensor) -> Tensor:
    finite = torch.where(log_weights.isneginf(), math.inf, log_weights)
    weights = (log_weights - finite.amin(0)).exp()
    return 1 / (weights / weights.sum(0)).square().sum(0)


@mutant(
    "effective_sample_size",
    "torch's default dtype",
    "A number of samples is a number like any other: float() is float32, whatever the "
    "log-weights are.",
    "float32-inside",
)
def _(log_weights: Tensor) -> Tensor:
    return (1 / log_weights.softmax(0).square().sum(0)).float()


# --- active_units --------------------------------------------------------------------------


def _flags(statistic: Tensor, mu: Tensor, threshold: float = 0.01) -> Tensor:
    return (statistic > threshold).to(mu.dtype)


@mutant(
    "active_units",
    "The variance with n - 1",
    "torch's var divides by n - 1 unless told otherwise. The definition is a mean over the n "
    "images.",
)
def _(mu: Tensor) -> Tensor:
    centred = mu - mu.mean(0)
    return _flags(centred.square().sum(0) / max(len(mu) - 1, 1), mu)


@mutant(
    "active_units",
    "The standard deviation is compared",
    "0.01 is a threshold for variances; for standard deviations it would be 0.1.",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu.var(0, correction=0).sqrt(), mu)


@mutant(
    "active_units",
    "The widest distance is compared with the threshold of a variance",
    "A distance is in the unit of mu, a variance in its square, and one odd image decides alone.",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu.amax(0) - mu.amin(0), mu)


@mutant(
    "active_units",
    "The sum of squares, not their mean",
    "With twice as many images it would be twice as large. What is the 1/n for?",
)
def _(mu: Tensor) -> Tensor:
    return _flags((mu - mu.mean(0)).square().sum(0), mu)


@mutant(
    "active_units",
    "The variance over the latent dimensions",
    "One value for each latent is asked for: the variance runs over the images, which come first.",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu.var(-1, correction=0), mu)


@mutant(
    "active_units",
    "The size of the means, not their variation",
    "A mean that is 3 for every image tells nothing about the image.",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu.square().mean(0), mu)


@mutant(
    "active_units",
    "The number of active units",
    "Which of them are active is asked for; their number is the sum of that.",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu.var(0, correction=0), mu).sum()


@mutant(
    "active_units",
    "The share of active units",
    "Which of them are active is asked for, one value for each latent.",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu.var(0, correction=0), mu).mean()


@mutant(
    "active_units",
    "The variances themselves",
    "A 1 or a 0 for each latent: is the variance above the threshold?",
)
def _(mu: Tensor) -> Tensor:
    return mu.var(0, correction=0)


@mutant(
    "active_units",
    "The inactive ones are marked",
    "1 stands for a unit whose mean moves with the image.",
)
def _(mu: Tensor) -> Tensor:
    return 1 - _flags(mu.var(0, correction=0), mu)


@mutant(
    "active_units",
    "The threshold is 0.1",
    "10 to the -2 is 0.01.",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu.var(0, correction=0), mu, 0.1)


@mutant(
    "active_units",
    "Truth values in place of numbers",
    "0 and 1 in the dtype of mu were asked for, so that they can be added and averaged.",
)
def _(mu: Tensor) -> Tensor:
    return mu.var(0, correction=0) > 0.01


@mutant(
    "active_units",
    "torch's default dtype",
    "float() is float32, whatever mu is.",
    "float32-inside",
)
def _(mu: Tensor) -> Tensor:
    return (mu.var(0, correction=0) > 0.01).float()


@mutant(
    "active_units",
    "The widest distance between two images",
    "Two odd images can be far apart where all others agree. The variance is an average over all.",
)
def _(mu: Tensor) -> Tensor:
    return _flags((mu.amax(0) - mu.amin(0)) ** 2 / 12, mu)


@mutant(
    "active_units",
    "Only the first hundred images are looked at",
    "The variance is over all the images that are given.",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu[:100].var(0, correction=0), mu)


@mutant(
    "active_units",
    "Every dimension of size 1 is squeezed away",
    "A single latent is still one: the result keeps its shape (1,).",
)
def _(mu: Tensor) -> Tensor:
    return _flags(mu.var(0, correction=0), mu).squeeze()
