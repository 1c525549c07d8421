"""Lesson 04: what learners write when something about the KL divergence is misunderstood."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant
LOG_2PI = math.log(2 * math.pi)


# --- expected_log_q ------------------------------------------------------------------------


@mutant(
    "expected_log_q",
    "The density at the mean, not its expectation",
    "log q is not constant over z: the squared distance to the mean has an expectation of its own.",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var).sum(-1)


@mutant(
    "expected_log_q",
    "The entropy, with its sign",
    "The entropy is minus the expectation of log q. Which of the two was asked for?",
)
def _(log_var: Tensor) -> Tensor:
    return 0.5 * (LOG_2PI + 1 + log_var).sum(-1)


@mutant(
    "expected_log_q",
    "log_var taken for the log of the standard deviation",
    "log_var is log sigma squared, so log sigma is half of it.",
)
def _(log_var: Tensor) -> Tensor:
    return -(0.5 * LOG_2PI + 0.5 + log_var).sum(-1)


@mutant(
    "expected_log_q",
    "The variance in place of its logarithm",
    "A log-density contains the logarithm of sigma squared. Is exp(log_var) that?",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + 1 + log_var.exp()).sum(-1)


@mutant(
    "expected_log_q",
    "The constant counted once, not once for each dimension",
    "Each dimension has a density of its own with its own log 2 pi and its own 1.",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + 1 + log_var.sum(-1))


@mutant(
    "expected_log_q",
    "A mean over the dimensions",
    "Independent dimensions multiply their densities, so their logs add up.",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + 1 + log_var).mean(-1)


@mutant(
    "expected_log_q",
    "The sum runs over the second dimension, not the last",
    "With a sample dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + 1 + log_var).sum(min(1, log_var.dim() - 1))


@mutant(
    "expected_log_q",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range, and its gradient there is zero. Nothing here "
    "overflows.",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + 1 + log_var.clamp(-20, 20)).sum(-1)


@mutant(
    "expected_log_q",
    "The 1 is forgotten inside, 1/2 added outside once",
    "The expected squared distance is 1 in every dimension, not once in all.",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var).sum(-1) - 0.5


@mutant(
    "expected_log_q",
    "Every dimension of size 1 is squeezed away",
    "A batch of one is still a batch: the result keeps its shape (1,).",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + 1 + log_var).sum(-1, keepdim=True).squeeze()


@mutant(
    "expected_log_q",
    "Ten dimensions at most",
    "A size that is written into the code cuts off what lies beyond it.",
)
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + 1 + log_var[..., :10]).sum(-1)


# --- expected_log_prior --------------------------------------------------------------------


@mutant(
    "expected_log_prior",
    "The prior's density at the mean",
    "E[z squared] is not mu squared: the spread of q adds its variance.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + mu**2 + 0 * log_var).sum(-1)


@mutant(
    "expected_log_prior",
    "Standard deviations where the formula has variances",
    "log_var is log sigma squared: exp(log_var) is the variance already.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + mu**2 + (0.5 * log_var).exp()).sum(-1)


@mutant(
    "expected_log_prior",
    "The variance squared",
    "The formula has sigma squared, and exp(log_var) is sigma squared already.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + mu**2 + log_var.exp() ** 2).sum(-1)


@mutant(
    "expected_log_prior",
    "The log-variance in place of the variance",
    "E[z squared] needs the variance itself; log_var is its logarithm.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + mu**2 + log_var).sum(-1)


@mutant(
    "expected_log_prior",
    "A log-variance left over from log q",
    "p is the standard normal. Which variance is in its normalising term, and what is its logarithm?",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + log_var + mu**2 + log_var.exp()).sum(-1)


@mutant(
    "expected_log_prior",
    "The mean and the variance are squared together",
    "Which of the two is a square already? Try it where mu is 0.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + (mu + log_var.exp()) ** 2).sum(-1)


@mutant(
    "expected_log_prior",
    "The normalising constant is missing",
    "log p(z) of a standard normal includes -1/2 log 2 pi for each dimension. It cancels only "
    "later, in the KL.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (mu**2 + log_var.exp()).sum(-1)


@mutant(
    "expected_log_prior",
    "The sign of the expectation",
    "A log-density of a wide Gaussian is negative; the cross-entropy is its opposite.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (LOG_2PI + mu**2 + log_var.exp()).sum(-1)


@mutant(
    "expected_log_prior",
    "The constant counted once, not once for each dimension",
    "Each dimension brings its own log 2 pi.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + (mu**2 + log_var.exp()).sum(-1))


@mutant(
    "expected_log_prior",
    "The sum runs over the second dimension, not the last",
    "With a sample dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    terms = LOG_2PI + mu**2 + log_var.exp()
    return -0.5 * terms.sum(min(1, terms.dim() - 1))


@mutant(
    "expected_log_prior",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range, and its gradient there is zero.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + mu**2 + log_var.clamp(-10, 10).exp()).sum(-1)


@mutant(
    "expected_log_prior",
    "The log-variance is capped from above",
    "A cap changes the formula beyond it: a very wide q is very far from the prior.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + mu**2 + log_var.clamp(max=20.0).exp()).sum(-1)


@mutant(
    "expected_log_prior",
    "log_var is given mu's shape",
    "Either of the two may have more leading dimensions than the other. Plain arithmetic "
    "broadcasts both ways.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    second_moment = mu**2 + log_var.expand_as(mu).exp()
    return -0.5 * (LOG_2PI + second_moment).sum(-1)


# --- gaussian_kl ---------------------------------------------------------------------------


@mutant(
    "gaussian_kl",
    "Standard deviations where the formula has variances",
    "You used exp(log_var / 2), the standard deviation. log_var is log sigma squared, so "
    "exp(log_var) is the variance already.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + (0.5 * log_var).exp() - 1 - log_var).sum(-1)


@mutant(
    "gaussian_kl",
    "The variance squared",
    "exp(log_var) is sigma squared already; squaring it again gives sigma to the fourth.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() ** 2 - 1 - log_var).sum(-1)


@mutant(
    "gaussian_kl",
    "The sign of the log-variance",
    "Try log_var = 0.1 and -0.1 at mu = 0: the KL must be positive on both sides.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 + log_var).sum(-1)


@mutant(
    "gaussian_kl",
    "The bound's term, not the KL itself",
    "This is minus the KL, as it stands in the ELBO. A KL divergence is never negative.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)


@mutant(
    "gaussian_kl",
    "The factor 1/2 is missing",
    "It stands in front of every term of a Gaussian log-density.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


@mutant(
    "gaussian_kl",
    "A mean over the latent dimensions",
    "The KL of independent dimensions adds up. A mean divides it by the latent size, which is a "
    "hidden beta (lesson 06).",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(-1)


@mutant(
    "gaussian_kl",
    "One number for the whole batch",
    "A sum without dim adds the examples up too. One value per example was asked for.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum()


@mutant(
    "gaussian_kl",
    "mu is not squared",
    "The distance to the prior's mean enters squared: the KL is even in mu.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu + log_var.exp() - 1 - log_var).sum(-1)


@mutant(
    "gaussian_kl",
    "The 1 counted once, not once for each dimension",
    "At mu = 0 and log_var = 0 the KL must be 0 for any number of dimensions.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * ((mu**2 + log_var.exp() - log_var).sum(-1) - 1)


@mutant(
    "gaussian_kl",
    "The KL in the other direction",
    "KL(p ‖ q) and KL(q ‖ p) differ. The expectation is under the first of the two.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (log_var + (1 + mu**2) * (-log_var).exp() - 1).sum(-1)


@mutant(
    "gaussian_kl",
    "The sum runs over the second dimension, not the last",
    "With a sample dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    terms = mu**2 + log_var.exp() - 1 - log_var
    return 0.5 * terms.sum(min(1, terms.dim() - 1))


@mutant(
    "gaussian_kl",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range, and its gradient there is zero.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    low = log_var.clamp(-30, 30)
    return 0.5 * (mu**2 + low.exp() - 1 - low).sum(-1)


@mutant(
    "gaussian_kl",
    "The log-variance is capped from above",
    "A cap changes the formula beyond it, and the gradient there is zero: an encoder that got "
    "there would never come back.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    low = log_var.clamp(max=20.0)
    return 0.5 * (mu**2 + low.exp() - 1 - low).sum(-1)


@mutant(
    "gaussian_kl",
    "A small number inside the logarithm of the variance",
    "log_var is that logarithm already: going back from exp(log_var) loses it where the variance "
    "is tiny.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp()
    return 0.5 * (mu**2 + var - 1 - (var + 1e-12).log()).sum(-1)


@mutant(
    "gaussian_kl",
    "mu squared is summed over the batch too",
    "Each example has its own mean: sum mu squared over its dimensions only.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * ((mu**2).sum() + (log_var.exp() - 1 - log_var).sum(-1))


@mutant(
    "gaussian_kl",
    "Every dimension of size 1 is squeezed away",
    "A batch of one is still a batch: the result keeps its shape (1,).",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    terms = mu**2 + log_var.exp() - 1 - log_var
    return 0.5 * terms.sum(-1, keepdim=True).squeeze()


@mutant(
    "gaussian_kl",
    "Ten dimensions at most",
    "A size that is written into the code cuts off what lies beyond it.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)[..., :10].sum(-1)


@mutant(
    "gaussian_kl",
    "The mean is clamped",
    "A q whose mean is far away is far from the prior, however far. Beyond the clamp its gradient "
    "is zero.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu.clamp(-100, 100) ** 2 + log_var.exp() - 1 - log_var).sum(-1)


# --- gaussian_kl_between -------------------------------------------------------------------


@mutant(
    "gaussian_kl_between",
    "q and p exchanged",
    "The expectation is under q: p's variance divides, q's variance is what it divides.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_p - log_var_q
    shift = (mu_q - mu_p) ** 2 * (-log_var_q).exp()
    return 0.5 * (ratio.exp() - 1 - ratio + shift).sum(-1)


@mutant(
    "gaussian_kl_between",
    "The distance of the means is not divided by p's variance",
    "A shift of 1 matters little to a wide p and much to a narrow one.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    return 0.5 * (ratio.exp() - 1 - ratio + (mu_q - mu_p) ** 2).sum(-1)


@mutant(
    "gaussian_kl_between",
    "The distance of the means is divided by q's variance",
    "Under log p, distances are measured in p's standard deviations.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = (mu_q - mu_p) ** 2 * (-log_var_q).exp()
    return 0.5 * (ratio.exp() - 1 - ratio + shift).sum(-1)


@mutant(
    "gaussian_kl_between",
    "The distance of the means is divided before it is squared, by the variance",
    "What divides a distance is squared along with it. Which number has p's variance as its square?",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = ((mu_q - mu_p) * (-log_var_p).exp()) ** 2
    return 0.5 * (ratio.exp() - 1 - ratio + shift).sum(-1)


@mutant(
    "gaussian_kl_between",
    "The ratio of the variances is upside down in the exponential",
    "A q much wider than p often draws z where p is tiny. Does your exponential grow with q's variance?",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = (mu_q - mu_p) ** 2 * (-log_var_p).exp()
    return 0.5 * ((-ratio).exp() - 1 - ratio + shift).sum(-1)


@mutant(
    "gaussian_kl_between",
    "The difference of the means is not squared",
    "Exchange the two means: the distance stays the same, and so must its term.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = (mu_q - mu_p) * (-log_var_p).exp()
    return 0.5 * (ratio.exp() - 1 - ratio + shift).sum(-1)


@mutant(
    "gaussian_kl_between",
    "Standard deviations where the formula has variances",
    "exp(log_var / 2) is a standard deviation; the ratio of variances is asked for.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = (mu_q - mu_p) ** 2 * (-0.5 * log_var_p).exp()
    return 0.5 * ((0.5 * ratio).exp() - 1 - ratio + shift).sum(-1)


@mutant(
    "gaussian_kl_between",
    "The means are not squared apart",
    "The squared difference of the means is asked for, not the difference of the squares.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = (mu_q**2 - mu_p**2) * (-log_var_p).exp()
    return 0.5 * (ratio.exp() - 1 - ratio + shift).sum(-1)


@mutant(
    "gaussian_kl_between",
    "Two KLs to the standard normal subtracted",
    "KL does not work like a distance from a common origin: KL(q ‖ p) is not KL(q ‖ N(0, I)) - "
    "KL(p ‖ N(0, I)).",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    q = mu_q**2 + log_var_q.exp() - log_var_q
    p = mu_p**2 + log_var_p.exp() - log_var_p
    return 0.5 * (q - p).sum(-1)


@mutant(
    "gaussian_kl_between",
    "The variances are divided after exponentiating",
    "exp of a small log-variance can vanish before the division. The ratio of exponentials is the "
    "exponential of a difference.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    var_q, var_p = log_var_q.exp() + 1e-12, log_var_p.exp() + 1e-12
    ratio = var_q / var_p
    return 0.5 * (ratio - 1 - ratio.log() + (mu_q - mu_p) ** 2 / var_p).sum(-1)


@mutant(
    "gaussian_kl_between",
    "A mean over the latent dimensions",
    "The KL of independent dimensions adds up.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = (mu_q - mu_p) ** 2 * (-log_var_p).exp()
    return 0.5 * (ratio.exp() - 1 - ratio + shift).mean(-1)


@mutant(
    "gaussian_kl_between",
    "Each part is summed by itself, in its own shape",
    "Where q and p broadcast, a term that only p has must still be counted once for each example: "
    "form the terms first, then sum over the last dimension.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = (mu_q - mu_p) ** 2 * (-log_var_p).exp()
    terms = ratio.exp() - 1 - ratio + shift
    return 0.5 * terms.sum(min(1, terms.dim() - 1))


@mutant(
    "gaussian_kl_between",
    "p's log-variance is clamped",
    "A clamp changes the formula outside its range: a very narrow p punishes every distance.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    low = log_var_p.clamp(-40, 40)
    ratio = log_var_q - low
    shift = (mu_q - mu_p) ** 2 * (-low).exp()
    return 0.5 * (ratio.exp() - 1 - ratio + shift).sum(-1)


@mutant(
    "gaussian_kl_between",
    "The sign of the difference of the log-variances",
    "Let q and p have the same mean: the KL must be positive whichever of the two is wider.",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    ratio = log_var_q - log_var_p
    shift = (mu_q - mu_p) ** 2 * (-log_var_p).exp()
    return 0.5 * (ratio.exp() - 1 + ratio + shift).sum(-1)


# --- monte_carlo_kl ------------------------------------------------------------------------


def _logs(mu: Tensor, log_var: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    z = mu + (0.5 * log_var).exp() * eps
    log_q = -0.5 * (LOG_2PI + log_var + eps**2).sum(-1)
    return log_q, -0.5 * (LOG_2PI + z**2).sum(-1)


@mutant(
    "monte_carlo_kl",
    "The KL with the wrong sign",
    "The average is of log q minus log p, in this order.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps)
    return (log_p - log_q).mean(0)


@mutant(
    "monte_carlo_kl",
    "The noise is scaled by the variance",
    "eps has standard deviation 1; a standard deviation scales it, exp(log_var / 2).",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = mu + log_var.exp() * eps
    log_q = -0.5 * (LOG_2PI + log_var + (z - mu) ** 2 / log_var.exp()).sum(-1)
    return (log_q + 0.5 * (LOG_2PI + z**2).sum(-1)).mean(0)


@mutant(
    "monte_carlo_kl",
    "The density has the variance as its standard deviation",
    "torch's Normal(mu, scale) takes a standard deviation. Is exp(log_var) one?",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = mu + (0.5 * log_var).exp() * eps
    log_q = Normal(mu, log_var.exp(), validate_args=False).log_prob(z).sum(-1)
    return (log_q + 0.5 * (LOG_2PI + z**2).sum(-1)).mean(0)


@mutant(
    "monte_carlo_kl",
    "The variance as standard deviation, in the sample and in its density",
    "Sample and density agree with each other, and belong to another q. How wide is the one that was "
    "asked for?",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, 2 * log_var, eps)
    return (log_q - log_p).mean(0)


@mutant(
    "monte_carlo_kl",
    "Negative terms are set to 0",
    "A single log-ratio may be negative; only the expectation never is. What does the clamp do to the "
    "average?",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps)
    return (log_q - log_p).clamp(min=0.0).mean(0)


@mutant(
    "monte_carlo_kl",
    "Weighted by q a second time",
    "The samples come from q: a likely z turns up more often already.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps)
    return (log_q.exp() * (log_q - log_p)).mean(0)


@mutant(
    "monte_carlo_kl",
    "The samples are added, not averaged",
    "An expectation is estimated by a mean: twice the samples must not double the KL.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps)
    return (log_q - log_p).sum(0)


@mutant(
    "monte_carlo_kl",
    "Averaged over the batch, not over the samples",
    "The samples come first: eps is (num_samples, batch, latent).",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps)
    return (log_q - log_p).mean(-1)


@mutant(
    "monte_carlo_kl",
    "The closed form, not an estimate",
    "For these very samples log q - log p has another average. Use the densities, so that the "
    "same code works where no closed form exists.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


@mutant(
    "monte_carlo_kl",
    "log q is evaluated at eps as a standard normal",
    "The density of z = mu + sigma eps is that of eps divided by sigma: log sigma is missing.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = mu + (0.5 * log_var).exp() * eps
    return (0.5 * (z**2 - eps**2)).sum(-1).mean(0)


@mutant(
    "monte_carlo_kl",
    "A log of an average",
    "The log of an average ratio is another quantity (it meets you again in lesson 09). Average "
    "the logs.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps)
    return -torch.logsumexp(log_p - log_q, 0) + math.log(eps.shape[0])


@mutant(
    "monte_carlo_kl",
    "Fresh noise inside",
    "Noise is an argument here, so that a result can be repeated. Use eps.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    generator = torch.Generator(device="cpu").manual_seed(0)
    noise = torch.randn(eps.shape, generator=generator, dtype=eps.dtype)
    log_q, log_p = _logs(mu, log_var, noise)
    return (log_q - log_p).mean(0)


@mutant(
    "monte_carlo_kl",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range, and its gradient there is zero.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var.clamp(-10, 10), eps)
    return (log_q - log_p).mean(0)


@mutant(
    "monte_carlo_kl",
    "The parameters are unpacked as if they always had a batch",
    "One mu may stand for the whole batch. Let broadcasting do the work.",
    "written-for-a-batch",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    batch, latent = mu.shape
    log_q, log_p = _logs(mu, log_var, eps.reshape(-1, batch, latent))
    return (log_q - log_p).mean(0)


@mutant(
    "monte_carlo_kl",
    "Every dimension of size 1 is squeezed away",
    "A batch of one is still a batch: the result keeps its shape (1,).",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps)
    return (log_q - log_p).mean(0, keepdim=True).squeeze()


@mutant(
    "monte_carlo_kl",
    "Divided by one sample less",
    "S - 1 belongs to a variance; a mean of S numbers divides by S.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps)
    return (log_q - log_p).sum(0) / max(eps.shape[0] - 1, 1)


@mutant(
    "monte_carlo_kl",
    "Ten samples at most",
    "A number of samples that is written into the code leaves the others out.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q, log_p = _logs(mu, log_var, eps[:10])
    return (log_q - log_p).mean(0)


# --- gaussian_kl_gradients -----------------------------------------------------------------


@mutant(
    "gaussian_kl_gradients",
    "The derivative of exp is forgotten at the constant",
    "d/dl of (exp(l) - 1 - l) is exp(l) - 1, not exp(l).",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu, 0.5 * log_var.exp()


@mutant(
    "gaussian_kl_gradients",
    "The factor 1/2 is missing for log_var",
    "It cancels against the square for mu only.",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu, log_var.exp() - 1


@mutant(
    "gaussian_kl_gradients",
    "Standard deviations where the formula has variances",
    "exp(log_var / 2) is sigma. What does the KL contain, and what is its derivative in log_var?",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu, 0.5 * ((0.5 * log_var).exp() - 1)


@mutant(
    "gaussian_kl_gradients",
    "The derivative of the square keeps its 2",
    "1/2 times 2 mu is mu.",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return 2 * mu, 0.5 * (log_var.exp() - 1)


@mutant(
    "gaussian_kl_gradients",
    "The derivative with respect to the variance",
    "Asked is the derivative in log_var; the chain rule multiplies by the variance.",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu, 0.5 * (1 - (-log_var).exp())


@mutant(
    "gaussian_kl_gradients",
    "The order of the pair",
    "grad_mu comes first.",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 * (log_var.exp() - 1), mu


@mutant(
    "gaussian_kl_gradients",
    "The gradient summed over the dimensions",
    "Each coordinate has its own slope: elementwise, in the shape of the inputs.",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu.sum(-1), 0.5 * (log_var.exp() - 1).sum(-1)


@mutant(
    "gaussian_kl_gradients",
    "The sign: a step of descent, not the gradient",
    "The gradient points uphill; an optimizer subtracts it.",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return -mu, -0.5 * (log_var.exp() - 1)


@mutant(
    "gaussian_kl_gradients",
    "A mean over the batch is mixed in",
    "The gradient of each example's own KL is asked for; nothing is averaged.",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    n = mu.shape[0]
    return mu / n, 0.5 * (log_var.exp() - 1) / n


@mutant(
    "gaussian_kl_gradients",
    "Shapes are unpacked as if there always were a batch",
    "Leading dimensions may be none or several; elementwise formulas need no sizes.",
    "written-for-a-batch",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    batch, latent = mu.shape
    return mu.reshape(batch, latent), 0.5 * (log_var.exp() - 1)


@mutant(
    "gaussian_kl_gradients",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range.",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu.clamp(-10, 10), 0.5 * (log_var.clamp(-10, 10).exp() - 1)


@mutant(
    "gaussian_kl_gradients",
    "Autograd, run on the caller's own tensors",
    "backward() leaves its result in the caller's mu.grad, where the next optimizer step would "
    "find it. Differentiate on paper: two short formulas are left.",
    "grad-left",
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    mu.requires_grad_().retain_grad()
    log_var.requires_grad_().retain_grad()
    (0.5 * (mu**2 + log_var.exp() - 1 - log_var)).sum().backward(retain_graph=True)
    return mu.grad.clone(), log_var.grad.clone()
