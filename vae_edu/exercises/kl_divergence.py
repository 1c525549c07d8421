"""Lesson 04: the stubs of its exercises, built from the instructor's source.

Your own answers, in work/, take their places when this is imported.
"""

import math
import torch
from torch import Tensor
from vae_edu.catalogue import declare
from vae_edu.work import resolve

@declare(
    "4.1",
    points=2,
    minutes=8,
    difficulty="two moments and a sum",
    needed_for="the closed form in 4.3",
)
def expected_log_q(log_var: Tensor) -> Tensor:
    r"""E_q[log q(z)] for q = N(mu, diag exp(log_var)), in nats, one value per example.

    $$-\tfrac12 \sum_j (\log 2\pi + 1 + \ell_j), \qquad \ell_j = \log\sigma_j^2$$

    It is minus the entropy of q, and the mean does not occur in it.
    Kingma & Welling 2014, App. B.

    log_var: (..., latent) log-variances  ->  (...)
    """
    raise NotImplementedError("Exercise 4.1: fill it in in notebooks/04_kl_divergence")



@declare(
    "4.2",
    points=2,
    minutes=8,
    difficulty="one expectation, E[z²]",
    needed_for="the closed form in 4.3",
)
def expected_log_prior(mu: Tensor, log_var: Tensor) -> Tensor:
    r"""E_q[log p(z)] for p = N(0, I) and q = N(mu, diag exp(log_var)), in nats.

    $$-\tfrac12 \sum_j (\log 2\pi + \mu_j^2 + e^{\ell_j})$$
    Kingma & Welling 2014, App. B.

    mu, log_var: (..., latent), leading dimensions broadcast  ->  (...)
    """
    raise NotImplementedError("Exercise 4.2: fill it in in notebooks/04_kl_divergence")



@declare(
    "4.3",
    points=3,
    minutes=8,
    difficulty="a subtraction, then tidy up",
    needed_for="the loss of every VAE in this course (lesson 07)",
)
def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    r"""KL(N(mu, diag exp(log_var)) ‖ N(0, I)) in nats, one value per example.

    $$\tfrac12 \sum_j (\mu_j^2 + e^{\ell_j} - 1 - \ell_j)$$
    Kingma & Welling 2014, App. B.

    mu, log_var: (..., latent), leading dimensions broadcast  ->  (...)
    """
    raise NotImplementedError("Exercise 4.3: fill it in in notebooks/04_kl_divergence")



@declare(
    "4.4",
    points=3,
    minutes=10,
    difficulty="the same steps with two more letters",
    needed_for="hierarchical models (Part III)",
)
def gaussian_kl_between(
    mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor
) -> Tensor:
    r"""KL(N(mu_q, diag exp(log_var_q)) ‖ N(mu_p, diag exp(log_var_p))) in nats.

    $$\tfrac12 \sum_j \Big(\ell_{p,j} - \ell_{q,j} - 1 + e^{\ell_{q,j} - \ell_{p,j}}
      + (\mu_{q,j} - \mu_{p,j})^2 e^{-\ell_{p,j}}\Big)$$

    mu_q, log_var_q, mu_p, log_var_p: (..., latent), leading dimensions broadcast
    ->  (...)
    """
    raise NotImplementedError("Exercise 4.4: fill it in in notebooks/04_kl_divergence")



@declare(
    "4.5",
    points=3,
    minutes=12,
    difficulty="two log-densities and a mean",
    needed_for="every bound without a closed form (lesson 09)",
)
def monte_carlo_kl(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    r"""An unbiased estimate of KL(N(mu, diag exp(log_var)) ‖ N(0, I)), in nats.

    $$\frac1S \sum_s \big[\log q(z^{(s)}) - \log p(z^{(s)})\big],
      \qquad z^{(s)} = \mu + e^{\ell/2} \epsilon^{(s)}$$

    Only the densities are used, not the closed form. Kingma & Welling 2014, Eq. 6.

    mu, log_var: (batch, latent); eps: (num_samples, batch, latent) standard normal
    ->  (batch,)
    """
    raise NotImplementedError("Exercise 4.5: fill it in in notebooks/04_kl_divergence")



@declare(
    "4.6",
    points=2,
    minutes=6,
    difficulty="two derivatives",
    needed_for="knowing what pulls on an encoder (lesson 12)",
)
def gaussian_kl_gradients(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    r"""The gradients of `gaussian_kl` by hand, elementwise, without autograd.

    $$\frac{\partial\,\mathrm{KL}}{\partial \mu_j} = \mu_j, \qquad
      \frac{\partial\,\mathrm{KL}}{\partial \ell_j} = \tfrac12 (e^{\ell_j} - 1)$$

    mu, log_var: (..., latent)  ->  (grad_mu, grad_log_var), each of their shape
    """
    raise NotImplementedError("Exercise 4.6: fill it in in notebooks/04_kl_divergence")


resolve(globals())
