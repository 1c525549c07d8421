"""Lesson 09: the stubs of its exercises, built from the instructor's source.

Your own answers, in work/, take their places when this is imported.
"""

import torch
from torch import Tensor
from vae_edu.catalogue import declare
from vae_edu.work import resolve

@declare(
    "9.1",
    points=4,
    minutes=12,
    difficulty="three log-densities, and the shapes they meet in",
    needed_for="every bound of this lesson, and the test score of lesson 10",
)
def log_importance_weights(
    x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor
) -> Tensor:
    r"""The log-weight of each sample z of the encoder, in nats.

    $$\log w_{sn} = \log p(x_n \mid z_{sn}) + \log p(z_{sn}) - \log q(z_{sn} \mid x_n)$$

    p(x|z): Bernoulli pixels with these logits; p(z) = N(0, I);
    q(z|x) = N(mu, diag exp(log_var)). z may be any point, not only a draw from q.
    Finite, and differentiable in logits, z, mu and log_var, wherever the true value is
    finite. Burda et al. 2016, sec. 3.

    x: (batch, input), zeros and ones; logits: (num_samples, batch, input);
    z: (num_samples, batch, latent); mu, log_var: (batch, latent)
    ->  (num_samples, batch)
    """
    raise NotImplementedError("Exercise 9.1: fill it in in notebooks/09_importance_weighting")



@declare(
    "9.2",
    points=3,
    minutes=8,
    difficulty="one mean, and on which side of the logarithm it stands",
    needed_for="training with k samples, and the test log-likelihood (lesson 10)",
)
def iwae_bound(log_weights: Tensor) -> Tensor:
    r"""The importance-weighted bound on log p(x) from k samples, one value per example.

    $$\log \frac1k \sum_{s=1}^k w_s$$

    In nats. Finite wherever its true value is, for log-weights of ±10,000 as well; a
    log-weight of -inf is a weight of 0 and counts as a sample; where all of them are
    -inf, so is the result. Burda et al. 2016, Eq. 8.

    log_weights: (num_samples, batch)  ->  (batch,)
    """
    raise NotImplementedError("Exercise 9.2: fill it in in notebooks/09_importance_weighting")



@declare(
    "9.3",
    points=3,
    minutes=10,
    difficulty="one derivative that you have met before",
    needed_for="the gradient of the bound, and the effective sample size (9.4)",
)
def normalized_weights(log_weights: Tensor) -> Tensor:
    r"""The weights of each example divided by their sum over the samples.

    $$\tilde w_s = \frac{w_s}{\sum_{t=1}^k w_t}$$

    Right, with its gradient, for log-weights of ±10,000 as well; a log-weight of -inf
    gives 0 (at least one of an example's log-weights is finite). Burda et al. 2016,
    Eq. 14.

    log_weights: (num_samples, batch)  ->  (num_samples, batch), each column sums to 1
    """
    raise NotImplementedError("Exercise 9.3: fill it in in notebooks/09_importance_weighting")



@declare(
    "9.4",
    points=3,
    minutes=10,
    difficulty="two sums, neither of which may overflow",
    needed_for="knowing when not to trust an estimate",
)
def effective_sample_size(log_weights: Tensor) -> Tensor:
    r"""How many equal weights would average as steadily as these, for each example.

    $$\frac{\big(\sum_s w_s\big)^2}{\sum_s w_s^2} \in [1, k]$$

    Right, with its gradient, for log-weights of ±10,000 as well; a log-weight of -inf
    is a weight of 0 (at least one of an example's log-weights is finite). Kong 1992;
    Owen 2013, Eq. 9.13.

    log_weights: (num_samples, batch)  ->  (batch,)
    """
    raise NotImplementedError("Exercise 9.4: fill it in in notebooks/09_importance_weighting")



@declare(
    "9.5",
    points=2,
    minutes=6,
    difficulty="one variance, over the right dimension",
    needed_for="posterior collapse (lesson 12)",
)
def active_units(mu: Tensor) -> Tensor:
    r"""1 for each latent dimension whose posterior mean varies over the data, else 0.

    $$A_j = \frac1n \sum_{i=1}^n (\mu_{ij} - \bar\mu_j)^2 > 0.01$$

    Note the 1/n: it is the variance of the n means given, not an estimate for others.
    Burda et al. 2016, sec. 5.2.

    mu: (batch, latent), the posterior means of n = batch images
    ->  (latent,) of 0 and 1, in the dtype of mu
    """
    raise NotImplementedError("Exercise 9.5: fill it in in notebooks/09_importance_weighting")


resolve(globals())
