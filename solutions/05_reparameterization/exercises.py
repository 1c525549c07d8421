"""Lesson 05, reference answers: the gradient of an expectation, two ways."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae_edu.catalogue import declare


@declare(
    "5.1",
    points=2,
    minutes=8,
    difficulty="two derivatives of one log-density",
    needed_for="the score-function estimator in 5.2",
)
def gaussian_score(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    r"""The score of N(mu, diag exp(log_var)) at z: elementwise gradients of log q(z).

    $$\frac{\partial \log q}{\partial \mu_j} = \frac{z_j - \mu_j}{\sigma_j^2}, \qquad
      \frac{\partial \log q}{\partial \ell_j}
      = \tfrac12 \Big(\frac{(z_j - \mu_j)^2}{\sigma_j^2} - 1\Big),
      \qquad \ell_j = \log \sigma_j^2$$

    Nothing is summed: entry j of a score belongs to parameter j. Williams 1992, Sec. 6.

    z, mu, log_var: (..., latent), leading dimensions broadcast; log_var may be a
    scalar tensor
    ->  (score_mu, score_log_var), both of the broadcast shape of the three
    """
    ### BEGIN SOLUTION
    distance = z - mu
    square = distance**2 * (-log_var).exp()  # ((z - mu) / sigma)²
    return distance * (-log_var).exp(), 0.5 * (square - 1)
    ### END SOLUTION


@declare(
    "5.2",
    points=3,
    minutes=10,
    difficulty="a weighted average",
    needed_for="models whose f has no derivative, and the comparison in 5.5",
)
def score_function_gradient(
    f: Callable[[Tensor], Tensor], mu: Tensor, log_var: Tensor, eps: Tensor
) -> Tensor:
    r"""The score-function estimate of the gradient of E_q[f(z)] in mu, a sample mean.

    $$\frac1S \sum_s f(z^{(s)}) \, \nabla_\mu \log q(z^{(s)}),
      \qquad z^{(s)} = \mu + e^{\ell/2} \epsilon^{(s)}$$

    f is evaluated and never differentiated: it may have no derivative at all.
    Williams 1992, Theorem 1; Mohamed et al. 2020, Eq. 13.

    f: (num_samples, latent) -> (num_samples,); mu, log_var: (latent,);
    eps: (num_samples, latent) standard normal
    ->  grad_mu (latent,); no `.grad` is left anywhere
    """
    ### BEGIN SOLUTION
    with torch.no_grad():  # the formula is a gradient already
        z = mu + (0.5 * log_var).exp() * eps  # (num_samples, latent)
        score_mu, _ = gaussian_score(z, mu, log_var)
        return (f(z)[:, None] * score_mu).mean(0)
    ### END SOLUTION


@declare(
    "5.3",
    points=2,
    minutes=5,
    difficulty="one line",
    needed_for="the pathwise estimator in 5.4, and every VAE from lesson 07 on",
)
def reparameterize(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    r"""A sample of N(mu, diag exp(log_var)), differentiable in mu and log_var.

    $$z = \mu + \sigma \odot \epsilon, \qquad \sigma = e^{\ell / 2}$$

    Kingma & Welling 2014, Sec. 2.4 and Eq. 10; Rezende et al. 2014, Sec. 3.

    mu, log_var, eps: (..., latent), leading dimensions broadcast; eps standard normal
    ->  z of their broadcast shape
    """
    ### BEGIN SOLUTION
    return mu + (0.5 * log_var).exp() * eps
    ### END SOLUTION


@declare(
    "5.4",
    points=3,
    minutes=10,
    difficulty="autograd, without touching what belongs to the caller",
    needed_for="seeing what loss.backward() does in a VAE (lesson 07)",
)
def pathwise_gradient(
    f: Callable[[Tensor], Tensor], mu: Tensor, log_var: Tensor, eps: Tensor
) -> Tensor:
    r"""The pathwise estimate of the gradient of E_q[f(z)] in mu, averaged over samples.

    $$\nabla_\mu \frac1S \sum_s f(\mu + e^{\ell/2} \epsilon^{(s)})$$

    f must be differentiable. mu may require a gradient or not, f may hold trainable
    weights: none of them is changed or keeps a `.grad`. Kingma & Welling 2014,
    Sec. 2.4.

    f: (num_samples, latent) -> (num_samples,); mu, log_var: (latent,);
    eps: (num_samples, latent) standard normal
    ->  grad_mu (latent,)
    """
    ### BEGIN SOLUTION
    leaf = (
        mu.detach().clone().requires_grad_()
    )  # ours, so the caller's mu stays as it is
    z = reparameterize(leaf, log_var.detach(), eps)
    (gradient,) = torch.autograd.grad(f(z).mean(), leaf)
    return gradient
    ### END SOLUTION


@declare(
    "5.5",
    points=3,
    minutes=15,
    difficulty="four moments of a Gaussian, put together",
    needed_for="knowing in advance which estimator can train",
)
def score_function_variance(mu: Tensor, log_var: Tensor) -> Tensor:
    r"""The exact variance of a one-sample score-function estimate, f = sum_j z_j^2.

    $$\operatorname{Var}\Big[f(z)\, \frac{\epsilon_j}{\sigma_j}\Big]
      = \frac{\mathbb E[z_j^4 \epsilon_j^2] + 2\, \mathbb E[z_j^2 \epsilon_j^2]\,
      \mathbb E[R_j] + \mathbb E[R_j^2]}{\sigma_j^2} - 4 \mu_j^2,
      \qquad R_j = \sum_{k \ne j} z_k^2$$

    mu, log_var: (..., latent), leading dimensions broadcast
    ->  (..., latent), the variance of each component of the gradient in mu
    """
    ### BEGIN SOLUTION
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    var = log_var.exp()
    mean = mu**2 + var  # E[z_j²]
    spread = 2 * var**2 + 4 * mu**2 * var  # Var[z_j²]
    rest = mean.sum(-1, keepdim=True) - mean  # E[R_j]
    rest_spread = spread.sum(-1, keepdim=True) - spread  # Var[R_j]
    own = mu**4 + 18 * mu**2 * var + 15 * var**2  # E[z_j⁴ eps_j²]
    square = own + 2 * (mu**2 + 3 * var) * rest + rest**2 + rest_spread
    return square / var - 4 * mu**2
    ### END SOLUTION


@declare(
    "5.6",
    points=3,
    minutes=12,
    difficulty="whose mean to subtract",
    needed_for="training through samples that are not reparameterizable",
)
def score_function_gradient_with_baseline(
    f: Callable[[Tensor], Tensor], mu: Tensor, log_var: Tensor, eps: Tensor
) -> Tensor:
    r"""The score-function estimate with a leave-one-out baseline, unbiased.

    $$\frac1S \sum_s \big(f(z^{(s)}) - b_s\big)\, \nabla_\mu \log q(z^{(s)}), \qquad
      b_s = \frac{1}{S-1} \sum_{t \ne s} f(z^{(t)})$$

    Each sample's baseline is the mean of f over the other samples, so the two are
    independent. Kool, van Hoof & Welling 2019.

    f: (num_samples, latent) -> (num_samples,); mu, log_var: (latent,);
    eps: (num_samples, latent) standard normal, two samples or more
    ->  grad_mu (latent,); no `.grad` is left anywhere
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        z = mu + (0.5 * log_var).exp() * eps
        score_mu, _ = gaussian_score(z, mu, log_var)
        values = f(z)
        baseline = (values.sum() - values) / (len(values) - 1)  # (num_samples,)
        return ((values - baseline)[:, None] * score_mu).mean(0)
    ### END SOLUTION
