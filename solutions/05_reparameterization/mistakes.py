"""Lesson 05: what learners write when something about gradients of expectations is amiss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant
F = Callable[[Tensor], Tensor]


# --- gaussian_score ---------------------------------------------------------------


@mutant(
    "gaussian_score",
    "Standard deviations where the formula has variances",
    "The exponent of a Gaussian density divides by sigma squared, and exp(log_var) is just that; "
    "exp(log_var / 2) is its root.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    sigma = (0.5 * log_var).exp()
    return (z - mu) / sigma, 0.5 * ((z - mu) ** 2 / sigma - 1)


@mutant(
    "gaussian_score",
    "The score in mu is divided by sigma once",
    "What does the derivative of (z - mu)² / (2 sigma²) leave below the line?",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    eps = (z - mu) * (-0.5 * log_var).exp()
    return eps, 0.5 * (eps**2 - 1)


@mutant(
    "gaussian_score",
    "The derivative in sigma, not in log_var",
    "sigma = exp(log_var / 2) moves with log_var at a rate of its own: the chain rule multiplies by it.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    eps = (z - mu) * (-0.5 * log_var).exp()
    return eps * (-0.5 * log_var).exp(), (eps**2 - 1) * (-0.5 * log_var).exp()


@mutant(
    "gaussian_score",
    "log_var taken for the log of the standard deviation",
    "log_var is log sigma squared. Exponentiating twice log_var gives sigma to the fourth.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    precision = (-2 * log_var).exp()
    return (z - mu) * precision, (z - mu) ** 2 * precision - 1


@mutant(
    "gaussian_score",
    "The gradient in z, not in mu",
    "Move mu towards z: does log q(z) grow or shrink? The gradient in mu and the one in z have "
    "opposite signs.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (-log_var).exp()
    return (mu - z) * inverse, 0.5 * ((z - mu) ** 2 * inverse - 1)


@mutant(
    "gaussian_score",
    "The derivative in log sigma, not in log_var",
    "log_var = 2 log sigma, so by the chain rule the two derivatives differ by a factor.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (-log_var).exp()
    return (z - mu) * inverse, (z - mu) ** 2 * inverse - 1


@mutant(
    "gaussian_score",
    "The derivative in the variance, not in its logarithm",
    "The parameter is log_var. One more factor comes from the chain rule.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (-log_var).exp()
    square = (z - mu) ** 2 * inverse
    return (z - mu) * inverse, 0.5 * (square - 1) * inverse


@mutant(
    "gaussian_score",
    "The normalising constant is not differentiated",
    "log q has a term -log_var / 2 beside the squared distance. A score whose mean is not zero "
    "has lost a term.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (-log_var).exp()
    return (z - mu) * inverse, 0.5 * (z - mu) ** 2 * inverse


@mutant(
    "gaussian_score",
    "The sign of the constant term",
    "At z = mu, does a larger variance raise or lower the density?",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (-log_var).exp()
    return (z - mu) * inverse, 0.5 * ((z - mu) ** 2 * inverse + 1)


@mutant(
    "gaussian_score",
    "The scores are summed over the dimensions",
    "log q is a sum over dimensions, but parameter j occurs in one term of it only. A gradient "
    "has one entry for each parameter.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (-log_var).exp()
    square = (z - mu) ** 2 * inverse
    return ((z - mu) * inverse).sum(-1), (0.5 * (square - 1)).sum(-1)


@mutant(
    "gaussian_score",
    "The two scores are exchanged",
    "The order is that of the signature: first the score in mu, then the one in log_var.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (-log_var).exp()
    return 0.5 * ((z - mu) ** 2 * inverse - 1), (z - mu) * inverse


@mutant(
    "gaussian_score",
    "One stacked tensor, not two",
    "Two results were asked for: separate them with a comma.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    inverse = (-log_var).exp()
    square = (z - mu) ** 2 * inverse
    return torch.stack(((z - mu) * inverse, 0.5 * (square - 1)))


@mutant(
    "gaussian_score",
    "Each score has its parameter's shape, summed over the samples",
    "autograd adds up the gradients of all the z that share one mu. Each z has a score of its "
    "own: broadcast first.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    at = [
        mu.detach().clone().requires_grad_(),
        log_var.detach().clone().requires_grad_(),
    ]
    log_q = Normal(at[0], (0.5 * at[1]).exp()).log_prob(z)
    grads = torch.autograd.grad(log_q.sum(), at)
    return grads[0], grads[1]


@mutant(
    "gaussian_score",
    "The result has the shape of z",
    "z may be the smallest of the three: one z can be scored under many mu.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    mu, inverse = mu.expand_as(z), (-log_var).exp().expand_as(z)
    return (z - mu) * inverse, 0.5 * ((z - mu) ** 2 * inverse - 1)


@mutant(
    "gaussian_score",
    "log_var must have a last dimension",
    "A log_var of shape () is one number for all dimensions; it broadcasts by itself, but it has "
    "no dimension -1.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    distance = (z - mu).reshape(*(z - mu).shape[:-1], log_var.shape[-1])
    inverse = (-log_var).exp()
    return distance * inverse, 0.5 * (distance**2 * inverse - 1)


@mutant(
    "gaussian_score",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range. Nothing here overflows.",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (-log_var.clamp(-30, 30)).exp()
    return (z - mu) * inverse, 0.5 * ((z - mu) ** 2 * inverse - 1)


@mutant(
    "gaussian_score",
    "backward() on the caller's parameters",
    "Differentiating log q is a fine way; but backward() writes into .grad of every leaf it "
    "meets, the caller's too.",
    "grad-left",
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    shape = torch.broadcast_shapes(z.shape, mu.shape, log_var.shape)
    m, v = (t.expand(shape).clone() for t in (mu, log_var))
    for t in (m, v):
        t.requires_grad_() if t.is_leaf else t.retain_grad()
    Normal(m, (0.5 * v).exp()).log_prob(z).sum().backward()
    assert m.grad is not None
    assert v.grad is not None
    return m.grad, v.grad


# --- score_function_gradient ------------------------------------------------------


def _parts(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """f at the samples, and the score in mu."""
    sigma = (0.5 * log_var).exp().detach()
    return f(mu.detach() + sigma * eps).detach(), eps / sigma


@mutant(
    "score_function_gradient",
    "A sum over the samples, not their mean",
    "An expectation is estimated by an average. Does the result grow with the number of samples?",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return (values[:, None] * score).sum(0)


@mutant(
    "score_function_gradient",
    "Divided by the samples less one",
    "The S - 1 belongs to a variance, where a mean was estimated first. Here nothing was.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return (values[:, None] * score).sum(0) / max(len(values) - 1, 1)


@mutant(
    "score_function_gradient",
    "A product of means, not a mean of products",
    "The mean of the score is zero in expectation. Only its product with f, sample by sample, "
    "carries the gradient.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return values.mean() * score.mean(0) if len(values) > 1 else values[0] * score[0]


@mutant(
    "score_function_gradient",
    "The noise in place of the score",
    "eps is (z - mu) / sigma. The score in mu divides by sigma once more.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, _score = _parts(f, mu, log_var, eps)
    return (values[:, None] * eps).mean(0)


@mutant(
    "score_function_gradient",
    "The distance to the mean in place of the score",
    "z - mu is not yet the score: the exponent of the density divides by the variance.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return (values[:, None] * score * log_var.exp()).mean(0)


@mutant(
    "score_function_gradient",
    "f is evaluated at the noise",
    "The expectation is under q, and eps is a sample of N(0, I). Move and scale it first.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = f(eps).detach(), eps * (-0.5 * log_var).exp()
    return (values[:, None] * score).mean(0)


@mutant(
    "score_function_gradient",
    "The noise is scaled by the variance",
    "exp(log_var) is sigma squared; the noise is multiplied by sigma.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values = f(mu + log_var.exp() * eps).detach()
    return (values[:, None] * eps * (-0.5 * log_var).exp()).mean(0)


@mutant(
    "score_function_gradient",
    "The noise is scaled by the variance, and the score taken there",
    "z has the mean of q and another spread. Which power of e turns log_var into a standard deviation?",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values = f(mu + log_var.exp() * eps).detach()
    return (values[:, None] * eps).mean(0)


@mutant(
    "score_function_gradient",
    "The score in log_var, not in mu",
    "A Gaussian has two scores. The gradient in mu uses the first.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, _score = _parts(f, mu, log_var, eps)
    return (values[:, None] * 0.5 * (eps**2 - 1)).mean(0)


@mutant(
    "score_function_gradient",
    "The mean of f is subtracted already",
    "That is a baseline, and with the sample's own f in it, the estimate is biased. Here the plain "
    "estimator was asked for.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return ((values - values.mean())[:, None] * score).mean(0)


@mutant(
    "score_function_gradient",
    "f is standardised",
    "Dividing by the spread of f changes the length of the gradient, and subtracting the mean "
    "adds a bias.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    spread = values.std(correction=0) + 1e-8
    return (((values - values.mean()) / spread)[:, None] * score).mean(0)


@mutant(
    "score_function_gradient",
    "The sample is not held fixed while log q is differentiated",
    "In z = mu + sigma eps, the difference z - mu does not depend on mu, so log q(z) loses its "
    "gradient. In this formula z is a number: detach it.",
    "zeros",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    leaf = mu.detach().clone().requires_grad_()
    z = leaf + (0.5 * log_var.detach()).exp() * eps
    log_q = Normal(leaf, (0.5 * log_var.detach()).exp()).log_prob(z).sum(-1)
    (gradient,) = torch.autograd.grad((f(z).detach() * log_q).mean(), leaf)
    return gradient


@mutant(
    "score_function_gradient",
    "f is differentiated too",
    "The pathwise gradient was added to the score-function one. Either of them is the whole "
    "gradient in expectation.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    leaf = mu.detach().clone().requires_grad_()
    at = f(leaf + (0.5 * log_var.detach()).exp() * eps).mean()
    path = torch.autograd.grad(at, leaf)[0] if at.requires_grad else 0.0
    return (values[:, None] * score).mean(0) + path


@mutant(
    "score_function_gradient",
    "The derivative of f is asked for",
    "f may be a step, a count, a game's score: its output then has no gradient. This estimator "
    "only needs its value.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    sigma = (0.5 * log_var).exp().detach()
    z = (mu.detach() + sigma * eps).requires_grad_()
    values = f(z)
    torch.autograd.grad(values.sum(), z)
    return (values.detach()[:, None] * eps / sigma).mean(0)


@mutant(
    "score_function_gradient",
    "The mean runs over the dimensions",
    "Samples come first: averaging over dimension 0 leaves one entry for each parameter.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return (values[:, None] * score).mean(-1)


@mutant(
    "score_function_gradient",
    "The log-variance is clamped",
    "A clamp changes the distribution that is sampled and scored. Nothing here overflows.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var.clamp(-10, 10), eps)
    return (values[:, None] * score).mean(0)


@mutant(
    "score_function_gradient",
    "backward() reaches the weights inside f",
    "f(z) was multiplied into the surrogate with its graph, so backward() went through f as well "
    "and left a .grad on its weights. In the surrogate f(z) is a number.",
    "grad-left",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    leaf = mu.detach().clone().requires_grad_()
    sigma = (0.5 * log_var.detach()).exp()
    z = (leaf + sigma * eps).detach()
    (f(z) * Normal(leaf, sigma).log_prob(z).sum(-1)).mean().backward()
    assert leaf.grad is not None
    return leaf.grad


@mutant(
    "score_function_gradient",
    "backward() reaches more than your leaf",
    "It fills the .grad of everything on its way that requires one: of log_var, or of the caller's mu where "
    "a clone is still tied to it. torch.autograd.grad(result, leaf) writes nothing.",
    "grad-left",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    own = mu.clone()
    own.retain_grad() if own.requires_grad else own.requires_grad_()
    sigma = (0.5 * log_var.detach()).exp()
    z = (own + sigma * eps).detach()
    (f(z).detach() * Normal(own, sigma).log_prob(z).sum(-1)).mean().backward()
    assert own.grad is not None
    return own.grad


@mutant(
    "score_function_gradient",
    "The pathwise estimate",
    "That is the other way to the same expectation, and asks for the derivative of f. This one only "
    "asks for its value.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, mu, log_var, eps).mean(0)


@mutant(
    "score_function_gradient",
    "Ten samples at most",
    "A number of samples that is written into the code leaves the others out.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps[:10])
    return (values[:, None] * score).mean(0)


@mutant(
    "score_function_gradient",
    "Large values of f are clipped",
    "Clipping f estimates the gradient of another expectation. Nothing here overflows.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return (values.clamp(-100, 100)[:, None] * score).mean(0)


# --- reparameterize ---------------------------------------------------------------


@mutant(
    "reparameterize",
    "The noise is scaled by the variance",
    "Multiplying a standard normal by a number multiplies its standard deviation by that number. "
    "exp(log_var) is the variance.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + log_var.exp() * eps


@mutant(
    "reparameterize",
    "The log-variance in place of the standard deviation",
    "log_var can be negative; a standard deviation cannot. Which function turns one into the other?",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + log_var * eps


@mutant(
    "reparameterize",
    "The square root of the log-variance",
    "sigma is the root of the variance, and log_var is the variance's logarithm, which may be negative: "
    "its root is NaN there. Which comes first, the way back from the logarithm or the root?",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + log_var.sqrt() * eps


@mutant(
    "reparameterize",
    "The inverse of the standard deviation",
    "The sign in the exponent: a large log_var must give a wide distribution.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + (-0.5 * log_var).exp() * eps


@mutant(
    "reparameterize",
    "Standardised, the wrong way round",
    "(x - mu) / sigma takes a sample of q to a standard normal. Here the way back was asked for.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return (eps - mu) * (-0.5 * log_var).exp()


@mutant(
    "reparameterize",
    "mu is scaled as well",
    "Scaling comes first, then the shift: the mean of z must be mu.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return (mu + eps) * (0.5 * log_var).exp()


@mutant(
    "reparameterize",
    "New noise is drawn inside",
    "The noise is an argument, so that the same call gives the same sample.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    fresh = torch.randn(eps.shape, generator=torch.Generator().manual_seed(0))
    return mu + (0.5 * log_var).exp() * fresh.to(eps)


@mutant(
    "reparameterize",
    "The noise is left out",
    "This is the mean of q, the same for every eps. A sample was asked for.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + 0 * (log_var * eps)


@mutant(
    "reparameterize",
    "Half of the variance",
    "The 1/2 stands in the exponent: sigma = exp(log_var / 2), not exp(log_var) / 2.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + 0.5 * log_var.exp() * eps


@mutant(
    "reparameterize",
    "A small number is added to the standard deviation",
    "exp is positive everywhere: nothing needs protection, and the sample is a little too wide.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + ((0.5 * log_var).exp() + 1e-12) * eps


@mutant(
    "reparameterize",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range, and its gradient there is zero.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + (0.5 * log_var.clamp(-30, 20)).exp() * eps


@mutant(
    "reparameterize",
    "softplus in place of exp",
    "softplus makes a positive number too, but log_var is a logarithm by its name.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.nn.functional.softplus(log_var).sqrt() * eps


@mutant(
    "reparameterize",
    "The result has the shape of mu",
    "Several samples of one example share its mu: eps has a dimension more. Let all three "
    "broadcast.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = mu + (0.5 * log_var).exp() * eps
    return z if z.shape == mu.shape else z.sum_to_size(mu.shape)


@mutant(
    "reparameterize",
    "The shape is taken from eps",
    "eps may be the smaller one: the same noise can serve every example of a batch.",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return torch.addcmul(mu.expand_as(eps), (0.5 * log_var).exp().expand_as(eps), eps)


@mutant(
    "reparameterize",
    "The noise is cut off",
    "Without the far draws q is not the Gaussian that its density describes.",
    "noise-cut",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + (0.5 * log_var).exp() * eps.clamp(-4, 4)


# --- pathwise_gradient ------------------------------------------------------------


def _slopes(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """The gradient of f at each sample."""
    z = (mu + (0.5 * log_var).exp() * eps).detach().requires_grad_()
    return torch.autograd.grad(f(z).sum(), z)[0]


@mutant(
    "pathwise_gradient",
    "A sum over the samples, not their mean",
    "An expectation is estimated by an average. Does the result grow with the number of samples?",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, mu, log_var, eps).sum(0)


@mutant(
    "pathwise_gradient",
    "The gradient in eps, not in mu",
    "z moves by sigma when eps moves by 1, and by 1 when mu does.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return ((0.5 * log_var).exp() * _slopes(f, mu, log_var, eps)).mean(0).detach()


@mutant(
    "pathwise_gradient",
    "The gradient in log_var, not in mu",
    "Both parameters receive a gradient through z. The one in mu was asked for.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    sigma = (0.5 * log_var).exp()
    return (_slopes(f, mu, log_var, eps) * 0.5 * sigma * eps).mean(0).detach()


@mutant(
    "pathwise_gradient",
    "The noise is left out",
    "This is the gradient of f at the mean, not the mean of the gradient. The two agree only where "
    "f is at most quadratic.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, mu, log_var, 0 * eps).mean(0)


@mutant(
    "pathwise_gradient",
    "The gradient at the average sample",
    "f is averaged over the samples, not the samples before f.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, mu, log_var, eps.mean(0, keepdim=True)).mean(0)


@mutant(
    "pathwise_gradient",
    "f is evaluated at the noise",
    "The expectation is under q, and eps is a sample of N(0, I). Move and scale it first.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, 0 * mu, 0 * log_var, eps).mean(0)


@mutant(
    "pathwise_gradient",
    "The noise is scaled by the variance",
    "exp(log_var) is sigma squared; the noise is multiplied by sigma.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, mu, 2 * log_var, eps).mean(0)


@mutant(
    "pathwise_gradient",
    "The first sample only",
    "The estimate is averaged over all of eps.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, mu, log_var, eps[:1]).mean(0)


@mutant(
    "pathwise_gradient",
    "One gradient for each sample",
    "mu has one entry for each dimension, and so has its gradient. Average over the samples.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, mu, log_var, eps)


@mutant(
    "pathwise_gradient",
    "The score-function estimate",
    "That is the other way to the same expectation. The pathwise gradient differentiates f.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return (values[:, None] * score).mean(0)


@mutant(
    "pathwise_gradient",
    "A tuple with one gradient in it",
    "torch.autograd.grad returns a tuple, one gradient for each tensor asked about.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> tuple[Tensor, ...]:
    return (_slopes(f, mu, log_var, eps).mean(0),)


@mutant(
    "pathwise_gradient",
    "The mean of f, not its gradient",
    "The value was averaged; nobody has differentiated it yet.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return f(mu + (0.5 * log_var).exp() * eps).mean()


@mutant(
    "pathwise_gradient",
    "The path from z back to mu is cut",
    "A sample that is detached is a number: nothing remembers that it came from mu.",
    "zeros",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    leaf = mu.detach().clone().requires_grad_()
    z = (leaf + (0.5 * log_var).exp() * eps).detach()
    value = f(z).mean() + 0 * leaf.sum()
    return torch.autograd.grad(value, leaf)[0]


@mutant(
    "pathwise_gradient",
    "The log-variance is clamped",
    "A clamp changes the distribution that is sampled. Nothing here overflows.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _slopes(f, mu, log_var.clamp(-30, 20), eps).mean(0)


@mutant(
    "pathwise_gradient",
    "backward() on the caller's mu",
    "backward() writes into .grad of the caller's tensor, where the next optimizer step finds it; "
    "and where mu comes from an encoder, mu.grad stays empty.",
    "grad-left",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    mu.requires_grad_()
    mu.retain_grad()
    f(mu + (0.5 * log_var).exp() * eps).mean().backward()
    assert mu.grad is not None
    return mu.grad


@mutant(
    "pathwise_gradient",
    "backward() on a copy, through the weights inside f",
    "mu is safe on its copy, but backward() writes into .grad of every leaf on its way: also of "
    "the weights in f.",
    "grad-left",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    leaf = mu.detach().clone().requires_grad_()
    f(leaf + (0.5 * log_var.detach()).exp() * eps).mean().backward()
    assert leaf.grad is not None
    return leaf.grad


@mutant(
    "pathwise_gradient",
    "The caller's mu starts to require a gradient",
    "requires_grad_ ends in an underscore: it changes the caller's tensor, and from then on "
    "everything computed from it keeps a graph.",
    "grad-left",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    mu.requires_grad_()
    z = mu + (0.5 * log_var).exp() * eps
    return torch.autograd.grad(f(z).mean(), mu, retain_graph=True)[0]


@mutant(
    "pathwise_gradient",
    "backward() reaches more than your leaf",
    "It fills the .grad of everything on its way that requires one: of log_var, or of the caller's mu where "
    "a clone is still tied to it. torch.autograd.grad(result, leaf) writes nothing.",
    "grad-left",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    own = mu.clone()
    own.retain_grad() if own.requires_grad else own.requires_grad_()
    f(own + (0.5 * log_var.detach()).exp() * eps).mean().backward()
    assert own.grad is not None
    return own.grad


# --- score_function_variance ------------------------------------------------------


def _variance(
    mu: Tensor,
    log_var: Tensor,
    *,
    own: tuple[float, float] = (18, 15),
    mixed: float = 3,
    twice: float = 2,
    alone: bool = False,
    spread: float = 1,
    mean: float = 4,
) -> Tensor:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    var = log_var.exp()
    first = mu**2 + var
    width = 2 * var**2 + 4 * mu**2 * var
    rest = 0 * first if alone else first.sum(-1, keepdim=True) - first
    wide = 0 * width if alone else width.sum(-1, keepdim=True) - width
    fourth = mu**4 + own[0] * mu**2 * var + own[1] * var**2
    square = fourth + twice * (mu**2 + mixed * var) * rest + rest**2 + spread * wide
    return square / var - mean * mu**2


@mutant(
    "score_function_variance",
    "The second moment, not the variance",
    "A variance is the mean of the square minus the square of the mean, and the mean is the "
    "gradient itself.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, mean=0)


@mutant(
    "score_function_variance",
    "The mean is subtracted without its factor",
    "The gradient of mu squared plus sigma squared is not mu. Its square is what is subtracted.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, mean=1)


@mutant(
    "score_function_variance",
    "Only the own dimension of f",
    "f adds up all the dimensions, and each of them is noise to the gradient of every other.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, alone=True)


@mutant(
    "score_function_variance",
    "The mean of the rest, squared, for the mean of its square",
    "R is random: the mean of its square is larger than the square of its mean, by its variance.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, spread=0)


@mutant(
    "score_function_variance",
    "The sums run over all dimensions, the own one too",
    "R_j leaves dimension j out; with it, the own z² is counted twice. What is left when it is taken away?",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    var = log_var.exp()
    rest = (mu**2 + var).sum(-1, keepdim=True)
    wide = (2 * var**2 + 4 * mu**2 * var).sum(-1, keepdim=True)
    fourth = mu**4 + 18 * mu**2 * var + 15 * var**2
    square = fourth + 2 * (mu**2 + 3 * var) * rest + rest**2 + wide
    return square / var - 4 * mu**2


@mutant(
    "score_function_variance",
    "The noise's fourth moment is forgotten in the mixed term",
    "In E[z² eps²] the square of sigma meets eps four times. What is E[eps⁴]?",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, mixed=1)


@mutant(
    "score_function_variance",
    "A binomial coefficient without its moment",
    "The middle term of (mu + sigma eps)⁴, times eps², contains eps⁴: coefficient and moment multiply.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, own=(6, 15))


@mutant(
    "score_function_variance",
    "The cross term counted once",
    "A square of a sum has the mixed product twice.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, twice=1)


@mutant(
    "score_function_variance",
    "z and the noise treated as independent",
    "z is made of eps: E[z² eps²] is not E[z²] E[eps²]. Multiply out in powers of eps.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, own=(6, 3), mixed=1)


@mutant(
    "score_function_variance",
    "The sixth moment of the noise",
    "The even moments of a standard normal are 1, 3, 15: each is the one before times the next "
    "odd number.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, own=(18, 9))


@mutant(
    "score_function_variance",
    "A binomial coefficient in the fourth power",
    "(a + b)^4 has the coefficients 1, 4, 6, 4, 1; the even powers of the noise survive.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, own=(12, 15))


@mutant(
    "score_function_variance",
    "The noise in place of the score",
    "The score is eps / sigma: its square divides by the variance.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    right = _variance(mu, log_var) + 4 * mu**2
    return right * log_var.exp() - 4 * mu**2


@mutant(
    "score_function_variance",
    "Divided by sigma, not by its square",
    "The score is eps / sigma, and what varies is squared: which power of sigma is below the line?",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    right = _variance(mu, log_var) + 4 * mu**2
    return right * (0.5 * log_var).exp() - 4 * mu**2


@mutant(
    "score_function_variance",
    "The mixed term is missing",
    "z_j² and the rest R_j are independent, and the square of their sum has a product of the two.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var, twice=0)


@mutant(
    "score_function_variance",
    "The standard deviation of the estimate",
    "The square root was taken at the end. The variance was asked for.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var).sqrt()


@mutant(
    "score_function_variance",
    "The pathwise estimator's variance",
    "The pathwise gradient of f is 2 z, which varies by 4 sigma squared. Here f itself multiplies "
    "the score.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return (4 * log_var.exp()).expand(torch.broadcast_shapes(mu.shape, log_var.shape))


@mutant(
    "score_function_variance",
    "The variances summed over the dimensions",
    "The gradient has one component for each dimension, and each has a variance of its own.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var).sum(-1)


@mutant(
    "score_function_variance",
    "The sum over the dimensions runs over the second one",
    "With a dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    if mu.dim() < 3:
        return _variance(mu, log_var)
    return _variance(mu.transpose(1, -1), log_var.transpose(1, -1)).transpose(1, -1)


@mutant(
    "score_function_variance",
    "The log-variance is clamped",
    "A clamp changes the formula outside its range. Nothing here overflows.",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return _variance(mu, log_var.clamp(-10, 10))


# --- score_function_gradient_with_baseline ----------------------------------------


def _weigh(values: Tensor, score: Tensor) -> Tensor:
    return (values[:, None] * score).mean(0)


@mutant(
    "score_function_gradient_with_baseline",
    "The baseline is the mean over all samples",
    "Each sample's own f is part of that mean, so baseline and score are correlated: the estimate "
    "is too short by a factor that depends on S.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh(values - values.mean(), score)


@mutant(
    "score_function_gradient_with_baseline",
    "No baseline",
    "This is the plain estimator: right on average, but with all its variance.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return _weigh(*_parts(f, mu, log_var, eps))


@mutant(
    "score_function_gradient_with_baseline",
    "The sum of the others is divided by S",
    "Without the sample itself there are S - 1 others.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh(values - (values.sum() - values) / len(values), score)


@mutant(
    "score_function_gradient_with_baseline",
    "The sum of all is divided by S - 1",
    "The sample's own f is still in the sum.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh(values - values.sum() / (len(values) - 1), score)


@mutant(
    "score_function_gradient_with_baseline",
    "The correction is made twice",
    "A leave-one-out baseline needs no further factor: the outer average is over S samples.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    count = len(values)
    baseline = (values.sum() - values) / (count - 1)
    return _weigh(values - baseline, score) * count / (count - 1)


@mutant(
    "score_function_gradient_with_baseline",
    "The correction goes the wrong way",
    "With the sample's own f in the baseline, the estimate comes out too short. Which factor makes "
    "it longer?",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    count = len(values)
    return _weigh(values - values.mean(), score) * (count - 1) / count


@mutant(
    "score_function_gradient_with_baseline",
    "The baseline is added",
    "A baseline is subtracted, so that what multiplies the score is small.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh(values + (values.sum() - values) / (len(values) - 1), score)


@mutant(
    "score_function_gradient_with_baseline",
    "One other sample as the baseline",
    "A single other sample gives no bias, but a noisy baseline. Average all the others.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh(values - values.roll(1), score)


@mutant(
    "score_function_gradient_with_baseline",
    "The advantages are standardised",
    "Dividing by the spread of f makes the estimate biased: its length no longer means anything.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh((values - values.mean()) / (values.std() + 1e-8), score)


@mutant(
    "score_function_gradient_with_baseline",
    "The baseline is f at the mean",
    "f(mu) does not depend on the samples and gives no bias, but it is not the mean of f over the "
    "others.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh(values - f(mu.detach()[None]).detach(), score)


@mutant(
    "score_function_gradient_with_baseline",
    "The median as baseline",
    "The median of all samples contains the sample itself, and it is not a mean.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh(values - values.median(), score)


@mutant(
    "score_function_gradient_with_baseline",
    "The baseline multiplies no score",
    "f minus its baseline, together, multiplies the score: sample by sample.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    return _weigh(values, score) - values.mean()


@mutant(
    "score_function_gradient_with_baseline",
    "The noise in place of the score",
    "eps is (z - mu) / sigma. The score in mu divides by sigma once more.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, _score = _parts(f, mu, log_var, eps)
    return _weigh(values - (values.sum() - values) / (len(values) - 1), eps)


@mutant(
    "score_function_gradient_with_baseline",
    "A sum over the samples, not their mean",
    "An expectation is estimated by an average. Does the result grow with the number of samples?",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var, eps)
    baseline = (values.sum() - values) / (len(values) - 1)
    return _weigh(values - baseline, score) * len(values)


@mutant(
    "score_function_gradient_with_baseline",
    "The log-variance is clamped",
    "A clamp changes the distribution that is sampled and scored. Nothing here overflows.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values, score = _parts(f, mu, log_var.clamp(-10, 10), eps)
    return _weigh(values - (values.sum() - values) / (len(values) - 1), score)


@mutant(
    "score_function_gradient_with_baseline",
    "The derivative of f is asked for",
    "f may be a step, a count, a game's score: its output then has no gradient. This estimator "
    "only needs its value.",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    sigma = (0.5 * log_var).exp().detach()
    z = (mu.detach() + sigma * eps).requires_grad_()
    values = f(z)
    torch.autograd.grad(values.sum(), z)
    values = values.detach()
    return _weigh(values - (values.sum() - values) / (len(values) - 1), eps / sigma)


@mutant(
    "score_function_gradient_with_baseline",
    "backward() reaches the weights inside f",
    "f(z) was multiplied into the surrogate with its graph, so backward() went through f as well "
    "and left a .grad on its weights. In the surrogate f(z) is a number.",
    "grad-left",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    leaf = mu.detach().clone().requires_grad_()
    sigma = (0.5 * log_var.detach()).exp()
    z = (leaf + sigma * eps).detach()
    values = f(z)
    centred = values - (values.sum() - values) / (len(values) - 1)
    (centred * Normal(leaf, sigma).log_prob(z).sum(-1)).mean().backward()
    assert leaf.grad is not None
    return leaf.grad
