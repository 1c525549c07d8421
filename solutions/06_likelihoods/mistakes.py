"""Lesson 06: what learners write when a likelihood or a reduction is misunderstood."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant
LOG_2PI = math.log(2 * math.pi)
LN2 = math.log(2)


# --- bernoulli_log_likelihood ---------------------------------------------------------


@mutant(
    "bernoulli_log_likelihood",
    "The sigmoid first, then its logarithm",
    "At a logit of -1000 the sigmoid is rounded to 0 before the logarithm sees it. Take the "
    "logarithm on paper first, and look at what is left to compute.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "A small number inside the logarithm",
    "An epsilon hides the overflow and changes every value: sure and wrong now costs -log eps "
    "at most, whatever the logit.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return (x * (p + 1e-8).log() + (1 - x) * (1 - p + 1e-8).log()).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "The probabilities are clamped",
    "A clamp at 1e-7 lets no pixel cost more than 16 nats, and gives the gradient 0 just where "
    "the decoder is most wrong.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = torch.sigmoid(logits).clamp(1e-7, 1 - 1e-7)
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "binary_cross_entropy of probabilities",
    "PyTorch's binary_cross_entropy cuts each logarithm off at -100, since a probability that "
    "is rounded to 0 has none. Which form never goes through the probability?",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    x = x.expand_as(logits)
    loss = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")
    return -loss.sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "The loss, not the log-likelihood",
    "Cross-entropy is minus the log-likelihood. A log-probability is never positive.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    x = x.expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "A mean over the pixels",
    "Independent pixels multiply their probabilities, so their logs add up. A mean divides by "
    "the number of pixels, which is a hidden beta.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - F.softplus(logits)).mean(-1)


@mutant(
    "bernoulli_log_likelihood",
    "One number for the whole batch",
    "A sum without dim adds the examples up too. One value per example was asked for.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - F.softplus(logits)).sum()


@mutant(
    "bernoulli_log_likelihood",
    "PyTorch's default reduction",
    "binary_cross_entropy_with_logits averages over everything unless told otherwise: over the "
    "pixels and over the batch.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits))


@mutant(
    "bernoulli_log_likelihood",
    "Only the ink counts",
    "Paper has a probability too: what does the formula say at x = 0?",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (x * F.logsigmoid(logits)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "The probabilities of the two outcomes exchanged",
    "A large logit means that ink is likely: log p at x = 1 must grow with the logit.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (-x * logits - F.softplus(-logits)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "Logits taken for probabilities",
    "Logits run over all real numbers, so their logarithm makes no sense. Which function turns "
    "them into probabilities?",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = logits.clamp(1e-6, 1 - 1e-6)
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "The sigmoid is applied twice",
    "Functions whose name ends in with_logits apply the sigmoid themselves.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return (x * p - F.softplus(p)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "x is thresholded inside",
    "Grey values were to go through the same formula. Here 0.4 counts as paper.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    x = (x > 0.5).to(logits.dtype)
    return (x * logits - F.softplus(logits)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "x decides which term counts, and grey counts as ink",
    "Where x is neither 0 nor 1, both terms have a weight.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return torch.where(x > 0, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "A squared error in place of the log-likelihood",
    "The squared error belongs to a Gaussian decoder. Start from the probability of one pixel.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return -((x - torch.sigmoid(logits)) ** 2).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "Softplus written out as log(1 + exp(l))",
    "The formula is right and exp(1000) is infinite. Which equal form has only exponentials "
    "of negative numbers?",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - torch.log1p(logits.exp())).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "Stable on one side only",
    "Large positive logits are safe now. What happens to exp(-l) at l = -1000?",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - logits - torch.log1p((-logits).exp())).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "The logits are clamped",
    "A clamp changes the value outside its range, and the gradient there is 0: the most wrong "
    "pixel learns nothing.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    low = logits.clamp(-50, 50)
    return (x * low - F.softplus(low)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "torch.where, with an overflow in the branch not taken",
    "The value is right and the gradient is not: autograd multiplies the branch that was not "
    "taken by 0, and 0 times infinity is NaN.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    positive = logits + torch.log1p((-logits).exp())
    negative = torch.log1p(logits.exp())
    return (x * logits - torch.where(logits > 0, positive, negative)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "A threshold that only float64 can bear",
    "exp(500) is a number in float64 and infinite in float32, which networks compute in.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    middle = torch.log1p(logits.clamp(max=500).exp())
    return (x * logits - torch.where(logits > 500, logits, middle)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "NaN replaced afterwards",
    "nan_to_num turns the symptom into a number, and not into the right one: -inf is not what "
    "a logit of -1000 costs.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    value = x * p.log() + (1 - x) * (1 - p).log()
    return torch.nan_to_num(value).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "The sum runs over the second dimension, not the last",
    "With a sample dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    terms = x * logits - F.softplus(logits)
    return terms.sum(min(1, terms.dim() - 1))


@mutant(
    "bernoulli_log_likelihood",
    "The samples are averaged as well",
    "Each sample keeps its own log-likelihood: lesson 09 needs them one by one.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    terms = (x * logits - F.softplus(logits)).sum(-1)
    return terms.mean(0) if terms.dim() == 2 else terms


@mutant(
    "bernoulli_log_likelihood",
    "A batch of one is squeezed away",
    "squeeze() without dim removes every dimension of size 1, the batch's too.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - F.softplus(logits)).sum(-1).squeeze()


@mutant(
    "bernoulli_log_likelihood",
    "The continuous Bernoulli's density",
    "This adds the constant that makes a density of the formula. The exercise asks for the "
    "plain formula.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    density = torch.distributions.ContinuousBernoulli(logits=logits)
    return density.log_prob(x.expand_as(logits)).sum(-1)


@mutant(
    "bernoulli_log_likelihood",
    "Bits in place of nats",
    "Logarithms in this course are natural.",
)
def _(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - F.softplus(logits)).sum(-1) / LN2


# --- binarize -------------------------------------------------------------------------


@mutant(
    "binarize",
    "A fixed threshold",
    "A threshold makes every grey pixel always paper or always ink. The noise is to decide, "
    "in proportion to the grey value.",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return ((x > 0.5) & (uniform >= 0)).to(x.dtype)


@mutant(
    "binarize",
    "The comparison the other way round",
    "A pixel of 0.9 should be ink nine times in ten. How often is uniform above 0.9?",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (uniform > x).to(x.dtype)


@mutant(
    "binarize",
    "Ties count as ink",
    "uniform can be exactly 0, and a pixel of 0 must never be ink.",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (uniform <= x).to(x.dtype)


@mutant(
    "binarize",
    "Ink is left out where the noise is 0",
    "Noise of exactly 0 is below every positive grey value.",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return ((uniform < x) & (uniform > 0)).to(x.dtype)


@mutant(
    "binarize",
    "Ties are rounded",
    "The sign of 0 is 0, so a tie becomes grey: the result must be 0 or 1.",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (torch.sign(x - uniform) + 1) / 2


@mutant(
    "binarize",
    "Truth values in place of numbers",
    "A comparison gives booleans. Networks and likelihoods need the dtype of x.",
    "integer-result",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return uniform < x


@mutant(
    "binarize",
    "Integers in place of numbers of x's dtype",
    "0 and 1 as integers stop at the first layer of a network.",
    "integer-result",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (uniform < x).long()


@mutant(
    "binarize",
    "torch's default dtype",
    "torch.where with two Python numbers makes torch's default dtype. It should be the dtype "
    "of x.",
    "float32-inside",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return torch.where(uniform < x, 1.0, 0.0).float()


@mutant(
    "binarize",
    "Noise of its own",
    "torch.bernoulli draws new noise at each call, so nobody can repeat the result. Use the "
    "noise that is handed in.",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    generator = torch.Generator(x.device if x.device.type != "meta" else "cpu")
    generator.manual_seed(0)
    if x.device.type == "meta":
        return torch.bernoulli(x.expand(torch.broadcast_shapes(x.shape, uniform.shape)))
    shape = torch.broadcast_shapes(x.shape, uniform.shape)
    return torch.bernoulli(x.expand(shape), generator=generator)


@mutant(
    "binarize",
    "The grey value is kept where the pixel is on",
    "The result is a binary image: 1, and not x, where the coin says ink.",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return x * (uniform < x)


@mutant(
    "binarize",
    "The result has the shape of x",
    "With several samples of noise there are several binary images: the result has the "
    "broadcast shape.",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    b = (uniform < x).to(x.dtype)
    while b.dim() > x.dim():
        b = b[0]
    return b


@mutant(
    "binarize",
    "The samples are averaged",
    "An average of binary images is grey again. Each sample of noise gives an image of its own.",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    b = (uniform < x).to(x.dtype)
    return b.mean(0) if b.dim() == 3 else b


@mutant(
    "binarize",
    "The dtype of the noise",
    "The image is what comes out, so its dtype is kept: float64 images with float32 noise stay "
    "float64.",
    "dtype-of-the-noise",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (uniform < x).to(uniform.dtype)


@mutant(
    "binarize",
    "The noise is turned around",
    "Ink comes up as often as it should, and for other noise: u above 1 - x has the same "
    "probability as u below x. Which one was asked for?",
)
def _(x: Tensor, uniform: Tensor) -> Tensor:
    return (1 - uniform < x).to(x.dtype)


# --- entropy_floor --------------------------------------------------------------------


def _x_log_x(x: Tensor) -> Tensor:
    return torch.special.xlogy(x, x)


@mutant(
    "entropy_floor",
    "0 times minus infinity",
    "At a pixel of 0 this multiplies 0 by log 0. The limit of x log x at 0 is 0, but floating "
    "point does not know it.",
)
def _(x: Tensor) -> Tensor:
    return -(x * x.log() + (1 - x) * (1 - x).log()).sum(-1)


@mutant(
    "entropy_floor",
    "Guarded at 0, not at 1",
    "A pixel of 1 has 1 - x = 0, and the same problem in the other term.",
)
def _(x: Tensor) -> Tensor:
    return -(_x_log_x(x) + (1 - x) * (1 - x).log()).sum(-1)


@mutant(
    "entropy_floor",
    "A small number inside the logarithm",
    "An epsilon repairs the pixels at 0 by changing all the others.",
)
def _(x: Tensor) -> Tensor:
    return -(x * (x + 1e-6).log() + (1 - x) * (1 - x + 1e-6).log()).sum(-1)


@mutant(
    "entropy_floor",
    "x is clamped away from 0 and 1",
    "A pixel of exactly 0 is no coin, and its entropy is 0. Clamped, each such pixel adds a "
    "little, and most pixels of a digit are such.",
    "extremes-wrong",
    "digits-lost",
)
def _(x: Tensor) -> Tensor:
    x = x.clamp(1e-5, 1 - 1e-5)
    return -(_x_log_x(x) + _x_log_x(1 - x)).sum(-1)


@mutant(
    "entropy_floor",
    "Only one of the two outcomes",
    "A pixel can be ink or paper, and both outcomes have a probability.",
)
def _(x: Tensor) -> Tensor:
    return -_x_log_x(x).sum(-1)


@mutant(
    "entropy_floor",
    "The sign of the entropy",
    "The logarithm of a probability is negative, and an entropy is not.",
)
def _(x: Tensor) -> Tensor:
    return (_x_log_x(x) + _x_log_x(1 - x)).sum(-1)


@mutant(
    "entropy_floor",
    "A mean over the pixels",
    "Independent coins add their entropies up.",
)
def _(x: Tensor) -> Tensor:
    return -(_x_log_x(x) + _x_log_x(1 - x)).mean(-1)


@mutant(
    "entropy_floor",
    "Bits in place of nats",
    "A fair coin has log 2 = 0.693 nats. Logarithms in this course are natural.",
)
def _(x: Tensor) -> Tensor:
    return -(_x_log_x(x) + _x_log_x(1 - x)).sum(-1) / LN2


@mutant(
    "entropy_floor",
    "The variance of the coin",
    "x (1 - x) is the variance of a coin. The entropy is an expected logarithm.",
)
def _(x: Tensor) -> Tensor:
    return (x * (1 - x)).sum(-1)


@mutant(
    "entropy_floor",
    "x is thresholded first",
    "After a threshold nothing is random any more, and the entropy is 0.",
)
def _(x: Tensor) -> Tensor:
    b = (x > 0.5).to(x.dtype)
    return -(_x_log_x(b) + _x_log_x(1 - b)).sum(-1)


@mutant(
    "entropy_floor",
    "x taken for logits",
    "x holds probabilities already; a sigmoid would turn 0 into 1/2.",
)
def _(x: Tensor) -> Tensor:
    p = torch.sigmoid(x)
    return -(_x_log_x(p) + _x_log_x(1 - p)).sum(-1)


@mutant(
    "entropy_floor",
    "One number for the whole batch",
    "A sum without dim adds the examples up too. One value per image was asked for.",
)
def _(x: Tensor) -> Tensor:
    return -(_x_log_x(x) + _x_log_x(1 - x)).sum()


@mutant(
    "entropy_floor",
    "The sum runs over the second dimension, not the last",
    "With a sample dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(x: Tensor) -> Tensor:
    terms = -(_x_log_x(x) + _x_log_x(1 - x))
    return terms.sum(min(1, terms.dim() - 1))


# --- gaussian_log_likelihood ----------------------------------------------------------


def _quadratic(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return (x - mean) ** 2 * (-log_var).exp()


@mutant(
    "gaussian_log_likelihood",
    "A shared log_var counted once, not once for each dimension",
    "One variance for all dimensions still stands in the density of each of them: log_var "
    "belongs inside the sum.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    square = _quadratic(x, mean, log_var)
    spread = log_var.sum(-1) if log_var.dim() else log_var
    return -0.5 * ((LOG_2PI + square).sum(-1) + spread)


@mutant(
    "gaussian_log_likelihood",
    "The log-variance is not counted at all",
    "Without it, an infinite variance would make every x perfectly likely.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + _quadratic(x, mean, log_var)).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The normalising constant is missing",
    "A density integrates to 1: each dimension brings -1/2 log 2 pi.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (log_var + _quadratic(x, mean, log_var)).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The constant counted once, not once for each dimension",
    "Each dimension has a density of its own, with its own log 2 pi.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + (log_var + _quadratic(x, mean, log_var)).sum(-1))


@mutant(
    "gaussian_log_likelihood",
    "Only the squared error",
    "The squared error is what is left of the log-likelihood when the variance is 1/2 and the "
    "constant is dropped.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -((x - mean) ** 2 + 0 * log_var).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The squared error divided by the standard deviation",
    "exp(log_var / 2) is the standard deviation. The squared error has the unit of a variance.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    square = (x - mean) ** 2 * (-0.5 * log_var).exp()
    return -0.5 * (LOG_2PI + log_var + square).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The squared error multiplied by the variance",
    "A wide Gaussian forgives large errors: the variance divides.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + (x - mean) ** 2 * log_var.exp()).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "log_var taken for the log of the standard deviation",
    "log_var is log sigma squared: half of it stands in the density, beside half of log 2 pi.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -(0.5 * LOG_2PI + log_var + 0.5 * _quadratic(x, mean, log_var)).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The log-variance in place of the variance",
    "The squared error is divided by the variance itself; log_var is its logarithm.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + (x - mean) ** 2 / log_var).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The negative log-likelihood",
    "This is the loss. The log-likelihood has the other sign: it falls as x leaves the mean.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (LOG_2PI + log_var + _quadratic(x, mean, log_var)).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The factor 1/2 stands only before the squared error",
    "1/2 log 2 pi sigma squared: the logarithm of a square root has the factor too.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -(LOG_2PI + log_var + 0.5 * _quadratic(x, mean, log_var)).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "A mean over the dimensions",
    "Independent dimensions multiply their densities, so their logs add up.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + _quadratic(x, mean, log_var)).mean(-1)


@mutant(
    "gaussian_log_likelihood",
    "The variance is kept above 1e-6",
    "PyTorch's gaussian_nll_loss clamps the variance. Where the true variance is smaller, the "
    "value and the gradient change.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp().clamp(min=1e-6)
    return -0.5 * (LOG_2PI + var.log() + (x - mean) ** 2 / var).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "A small number added to the variance",
    "Nothing here divides by 0: exp(-log_var) is finite, and needs no epsilon.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp() + 1e-8
    return -0.5 * (LOG_2PI + log_var + (x - mean) ** 2 / var).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range, and its gradient there is zero.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    low = log_var.clamp(-40, 40)
    return -0.5 * (LOG_2PI + low + _quadratic(x, mean, low)).sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The density first, then its logarithm",
    "A density far from the mean is rounded to 0 before the logarithm sees it.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    density = torch.exp(-0.5 * _quadratic(x, mean, log_var))
    density = density / torch.sqrt(2 * math.pi * log_var.exp())
    return density.log().sum(-1)


@mutant(
    "gaussian_log_likelihood",
    "The sum runs over the second dimension, not the last",
    "With a sample dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    terms = LOG_2PI + log_var + _quadratic(x, mean, log_var)
    return -0.5 * terms.sum(min(1, terms.dim() - 1))


@mutant(
    "gaussian_log_likelihood",
    "log_var is stretched to the shape of x",
    "With several samples, log_var may have a dimension that x lacks. Leave the broadcasting "
    "to the arithmetic.",
)
def _(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var.expand_as(x) + _quadratic(x, mean, log_var)).sum(
        -1
    )


# --- optimal_log_var ------------------------------------------------------------------


@mutant(
    "optimal_log_var",
    "The variance, not its logarithm",
    "The decoder's parameter is log_var.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).square().mean()


@mutant(
    "optimal_log_var",
    "The log of the standard deviation",
    "log sigma is half of log sigma squared. Which of the two is log_var?",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).square().mean().sqrt().log()


@mutant(
    "optimal_log_var",
    "The summed squared error",
    "A variance is the expected square of one number: more pixels do not make it larger.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).square().sum().log()


@mutant(
    "optimal_log_var",
    "The sum over an image, averaged over the batch",
    "log_var is shared by all dimensions too, so the squared error is averaged over them as "
    "well.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).square().sum(-1).mean().log()


@mutant(
    "optimal_log_var",
    "Divided by n - 1",
    "n - 1 makes up for a mean that was estimated from the same numbers. Set the derivative "
    "of the likelihood to zero, and see which count stands there.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    square = (x - mean).square()
    return (square.sum() / max(square.numel() - 1, 1)).log()


@mutant(
    "optimal_log_var",
    "The variance of the errors around their own mean",
    "The Gaussian is centred at the decoder's mean, so an error that all pixels share counts "
    "too.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).var(correction=0).log()


@mutant(
    "optimal_log_var",
    "torch's var of the errors",
    "var subtracts the mean of the errors and divides by n - 1. The Gaussian is centred at the "
    "decoder's mean, so an error that all pixels share counts too.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).var().log()


@mutant(
    "optimal_log_var",
    "The mean of the logs",
    "The log of a mean is not the mean of the logs (lesson 03).",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).square().log().mean()


@mutant(
    "optimal_log_var",
    "The absolute error",
    "The absolute error is the Laplace distribution's. The Gaussian's log-density holds a "
    "square.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return 2 * (x - mean).abs().mean().log()


@mutant(
    "optimal_log_var",
    "One log-variance for each dimension",
    "One number was asked for, shared by all dimensions: the likelihood of all of them "
    "together decides.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    square = (x - mean).square()
    return square.reshape(-1, square.shape[-1]).mean(0).log()


@mutant(
    "optimal_log_var",
    "One log-variance for each example",
    "One number was asked for, shared by all examples.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).square().mean(-1).log()


@mutant(
    "optimal_log_var",
    "The sign of the logarithm",
    "Small errors call for a small variance.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return -(x - mean).square().mean().log()


@mutant(
    "optimal_log_var",
    "A small number inside the logarithm",
    "An epsilon sets a floor under the variance that the data did not ask for.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return ((x - mean).square().mean() + 1e-12).log()


@mutant(
    "optimal_log_var",
    "Divided by the size of x, whatever it is broadcast to",
    "With several samples of the mean there are more errors than x has pixels.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return ((x - mean).square().sum() / x.numel()).log()


@mutant(
    "optimal_log_var",
    "The spread of the data, without the decoder",
    "The variance is that of x around the decoder's mean. A good decoder makes it small.",
)
def _(x: Tensor, mean: Tensor) -> Tensor:
    return (x - x.mean()).square().mean().log() + 0 * mean.sum()


# --- bits_per_dim ---------------------------------------------------------------------


@mutant(
    "bits_per_dim",
    "Nats for each dimension",
    "A bit is the information of one fair coin, log 2 nats.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / num_dims


@mutant(
    "bits_per_dim",
    "Bits, not bits for each dimension",
    "The unit is right. The number still grows with the image.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / LN2


@mutant(
    "bits_per_dim",
    "Multiplied by log 2",
    "A nat is more than a bit, so the number of bits is larger than the number of nats.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll * LN2 / num_dims


@mutant(
    "bits_per_dim",
    "log2 of the negative log-likelihood",
    "nll is a logarithm already. Only its base changes.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return torch.log2(nll.abs()) / num_dims


@mutant(
    "bits_per_dim",
    "The logarithm to base ten",
    "log 10 nats make one decimal digit. How many nats make one binary digit?",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / (num_dims * math.log(10))


@mutant(
    "bits_per_dim",
    "The log-likelihood's sign",
    "nll is -log p(x) already: a code length, and positive for an image of bytes.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return -nll / (num_dims * LN2)


@mutant(
    "bits_per_dim",
    "Multiplied by the number of dimensions",
    "Bits for each dimension are fewer than bits for the whole image.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll * num_dims / LN2


@mutant(
    "bits_per_dim",
    "Eight bits are added",
    "The 8 turns a density over [0, 1] into a probability of bytes. The exercise only changes "
    "the unit.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / (num_dims * LN2) + 8


@mutant(
    "bits_per_dim",
    "A mean over the batch",
    "One value for each that came in was asked for, in the same shape.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll.mean() / (num_dims * LN2)


@mutant(
    "bits_per_dim",
    "A sum over the last dimension",
    "nll is already summed over the dimensions of an image.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    total = nll.sum(-1) if nll.dim() else nll
    return total / (num_dims * LN2)


@mutant(
    "bits_per_dim",
    "The samples are averaged",
    "One value for each that came in was asked for, whatever the shape.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    value = nll / (num_dims * LN2)
    return value.mean(0) if value.dim() > 1 else value


@mutant(
    "bits_per_dim",
    "Through the probability and back",
    "exp(-nll) is 0 for any image of some size. A change of base needs no exponential.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return -torch.log2(torch.exp(-nll)) / num_dims


@mutant(
    "bits_per_dim",
    "Divided by the size of the tensor",
    "The tensor holds one value for each image. The number of dimensions is an argument.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / (nll.numel() * LN2)


@mutant(
    "bits_per_dim",
    "log 2 rounded to 0.693",
    "Three digits are enough on paper. Let the computer take the logarithm.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return nll / (num_dims * 0.693)


@mutant(
    "bits_per_dim",
    "Kept within a range that looks sensible",
    "A bad model may need any number of bits. A clamp hides how bad it is.",
)
def _(nll: Tensor, num_dims: int) -> Tensor:
    return (nll / (num_dims * LN2)).clamp(-1e3, 1e3)


# --- effective_beta -------------------------------------------------------------------


@mutant(
    "effective_beta",
    "Upside down",
    "Multiply the whole loss by the number of pixels, so that the first sum stands alone. "
    "What stands before the second?",
)
def _(num_pixels: int, num_latents: int) -> float:
    return num_latents / num_pixels


@mutant(
    "effective_beta",
    "A division of integers",
    "// drops what is behind the point: 784 // 200 is 3.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return float(num_pixels // num_latents)


@mutant(
    "effective_beta",
    "An integer where a float is due",
    "The result is a float, 32.0, even where the division leaves no rest.",
)
def _(num_pixels: int, num_latents: int) -> float:
    even = num_pixels % num_latents == 0
    return num_pixels // num_latents if even else num_pixels / num_latents


@mutant(
    "effective_beta",
    "Only the mean over the pixels",
    "This is the beta where the KL is summed. Here the KL is a mean too.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return float(num_pixels)


@mutant(
    "effective_beta",
    "Only the mean over the latents",
    "This is the beta where the pixels are summed. Here the pixels are a mean too.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return 1 / num_latents


@mutant(
    "effective_beta",
    "The product of the two",
    "One mean makes its term smaller, the other mean makes the other term smaller: they pull "
    "beta in opposite directions.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return float(num_pixels * num_latents)


@mutant(
    "effective_beta",
    "Both means cancel",
    "They would if there were as many latents as pixels.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return 1.0


@mutant(
    "effective_beta",
    "Rounded to two digits",
    "Round when printing, not when computing.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return round(num_pixels / num_latents, 2)


@mutant(
    "effective_beta",
    "A tensor in place of a float",
    "Nothing here is differentiated: a Python float was asked for.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return torch.tensor(num_pixels / num_latents, dtype=torch.float64)


@mutant(
    "effective_beta",
    "The share of the pixels",
    "Beta is a ratio of two weights, not a share of their sum.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return num_pixels / (num_pixels + num_latents)


@mutant(
    "effective_beta",
    "The square root of the ratio",
    "The means divide by the counts themselves: no root comes in.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return math.sqrt(num_pixels / num_latents)


@mutant(
    "effective_beta",
    "Never below 1",
    "With more latents than pixels the KL is the term that is made smaller.",
)
def _(num_pixels: int, num_latents: int) -> float:
    return max(num_pixels, num_latents) / min(num_pixels, num_latents)
