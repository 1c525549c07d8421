"""Lesson 02: the stubs of its exercises, built from the instructor's source.

Your own answers, in work/, take their places when this is imported.
"""

import math
import torch
from torch import Tensor
from vae_edu.catalogue import declare
from vae_edu.work import resolve

@declare(
    "2.1",
    points=2,
    minutes=8,
    difficulty="one density, then a sum of logs",
    needed_for="every likelihood and every prior from here on",
)
def gaussian_log_prob(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    r"""The log of N(x; mean, diag exp(log_var)) in nats: a sum over the dimensions.

    $$-\tfrac12 \sum_j \Big(\log 2\pi + \ell_j + \frac{(x_j - m_j)^2}{e^{\ell_j}}\Big),
      \qquad \ell_j = \log\sigma_j^2$$   Bishop 2006, Eq. 1.46, once for each dimension.

    x, mean: (..., dim); log_var: (..., dim), or () for one variance in all dimensions;
    leading dimensions broadcast  ->  (...)
    """
    raise NotImplementedError("Exercise 2.1: fill it in in notebooks/02_latent_variable_models")



@declare(
    "2.2",
    points=4,
    minutes=12,
    difficulty="a covariance matrix, its determinant and a linear system",
    needed_for="the truth that every estimate of this lesson is compared with",
)
def linear_gaussian_log_evidence(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> Tensor:
    r"""The log of p(x), in nats, for z ~ N(0, I) and x|z ~ N(z Wᵀ + b, exp(log_var) I).

    $$-\tfrac12\Big(D \log 2\pi + \log\det C + (x - b)\, C^{-1} (x - b)^\top\Big),
      \qquad C = W W^\top + \sigma^2 I$$   Bishop 2006, Eq. 12.35 and 12.36.

    x: (..., data), any leading dimensions; weight: (data, latent); bias: (data,);
    log_var: (), the log of sigma²  ->  (...)
    """
    raise NotImplementedError("Exercise 2.2: fill it in in notebooks/02_latent_variable_models")



@declare(
    "2.3",
    points=4,
    minutes=12,
    difficulty="complete the square, then read off two moments",
    needed_for="the best proposal (2.5), and what an encoder has to imitate",
)
def linear_gaussian_posterior(
    x: Tensor, weight: Tensor, bias: Tensor, log_var: Tensor
) -> tuple[Tensor, Tensor]:
    r"""The Gaussian p(z|x) of the same model: its means, and the one covariance.

    $$\Sigma = \big(I + \tfrac{1}{\sigma^2} W^\top W\big)^{-1}, \qquad
      m = \tfrac{1}{\sigma^2} (x - b)\, W\, \Sigma$$   Bishop 2006, Eq. 2.116 and 2.117.

    x: (..., data), any leading dimensions; weight: (data, latent); bias: (data,);
    log_var: (), the log of sigma²
    ->  (mean (..., latent), covariance (latent, latent))
    """
    raise NotImplementedError("Exercise 2.3: fill it in in notebooks/02_latent_variable_models")



@declare(
    "2.4",
    points=2,
    minutes=6,
    difficulty="one mean, taken in the right place",
    needed_for="seeing sampling fail, and its repair in 2.5",
)
def monte_carlo_log_evidence(log_likelihoods: Tensor) -> Tensor:
    r"""The log of the Monte Carlo estimate of p(x) from samples of the prior, in nats.

    $$\log \frac1S \sum_{s=1}^S p(x \mid z^{(s)}), \qquad z^{(s)} \sim p(z)$$

    Finite wherever its true value is; a log-likelihood of -inf is a likelihood of 0,
    and where all of them are -inf, so is the result. Bishop 2006, Eq. 11.2.

    log_likelihoods: (num_samples, batch), log p(x | z) of each sample  ->  (batch,)
    """
    raise NotImplementedError("Exercise 2.4: fill it in in notebooks/02_latent_variable_models")



@declare(
    "2.5",
    points=3,
    minutes=8,
    difficulty="one subtraction more",
    needed_for="the test log-likelihoods of lessons 09 and 10",
)
def importance_log_evidence(log_joint: Tensor, log_q: Tensor) -> Tensor:
    r"""The log of the importance-sampling estimate of p(x), in nats.

    $$\log \frac1S \sum_{s=1}^S \frac{p(x, z^{(s)})}{q(z^{(s)})},
      \qquad z^{(s)} \sim q(z)$$

    Finite wherever its true value is; a log_joint of -inf is a weight of 0.
    Bishop 2006, Eq. 11.19.

    log_joint, log_q: (num_samples, batch), log p(x, z) and log q(z) at the samples of q
    ->  (batch,)
    """
    raise NotImplementedError("Exercise 2.5: fill it in in notebooks/02_latent_variable_models")


resolve(globals())
