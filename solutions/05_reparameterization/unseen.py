"""Lesson 05: mistakes of strangers about gradients of expectations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from tests.unseen import register

UNSEEN, unseen = register()
F = Callable[[Tensor], Tensor]


# --- gaussian_score -------------------------------------------------------------------


@unseen(
    "gaussian_score", "log-sigma", "log_var taken for the log of the standard deviation"
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    sigma = log_var.exp()
    return (z - mu) / sigma**2, (z - mu) ** 2 / sigma**2 - 1


@unseen(
    "gaussian_score", "turned-sign", "The gradient in z, not in mu", "sign-distance"
)
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    var = log_var.exp()
    return -(z - mu) / var, 0.5 * ((z - mu) ** 2 / var - 1)


@unseen("gaussian_score", "other-distance", "The score in mu is divided by sigma once")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    std = log_var.mul(0.5).exp()
    return (z - mu) / std, 0.5 * (((z - mu) / std) ** 2 - 1)


@unseen("gaussian_score", "wrong-constant")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    var = log_var.exp()
    return (z - mu) / var, 0.5 * (z - mu) ** 2 / var - 1


@unseen("gaussian_score", "The derivative in log sigma, not in log_var", "half-missing")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    z, mu, log_sigma = torch.broadcast_tensors(z, mu, 0.5 * log_var)
    m = mu.detach().clone().requires_grad_()
    s = log_sigma.detach().clone().requires_grad_()
    total = Normal(m, s.exp()).log_prob(z.detach()).sum()
    d_mu, d_s = torch.autograd.grad(total, [m, s])
    return d_mu, d_s


@unseen("gaussian_score", "turned-sign")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inv = torch.exp(-log_var)
    return (mu - z) * inv, 0.5 * (1 - (z - mu) ** 2 * inv)


@unseen("gaussian_score", "order", "The two scores are exchanged")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inv = torch.exp(-log_var)
    score_log_var = ((z - mu) ** 2 * inv - 1) / 2
    score_mu = (z - mu) * inv
    return score_log_var, score_mu


@unseen("gaussian_score", "list-for-tuple")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> list[Tensor]:
    inv = torch.exp(-log_var)
    return [(z - mu) * inv, ((z - mu) ** 2 * inv - 1) / 2]


@unseen("gaussian_score", "factor-distance", "half-missing")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inv = torch.exp(-log_var)
    return 2 * (z - mu) * inv, ((z - mu) ** 2 * inv - 1) / 2


@unseen("gaussian_score", "other-square", "factor-square")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    inv = torch.exp(-log_var)
    return (z - mu) * inv, 0.5 * ((z - mu) ** 2 - 1)


@unseen("gaussian_score", "part-missing", "no-return")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return (z - mu) * torch.exp(-log_var)


# --- score_function_gradient ----------------------------------------------------------


def _draw(mu: Tensor, log_var: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    std = torch.exp(0.5 * log_var.detach())
    return mu.detach() + std * eps, std


@unseen("score_function_gradient", "log-sigma")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    with torch.no_grad():
        sigma = log_var.exp()
        z = mu + sigma * eps
        score = (z - mu) / sigma**2
        return (f(z).unsqueeze(-1) * score).mean(dim=0)


@unseen("score_function_gradient", "choice-score", "The noise in place of the score")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    score = (z - mu.detach()) / std
    return (f(z).detach().unsqueeze(1) * score).mean(0)


@unseen("score_function_gradient", "turned-sign", "choice-score")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    score = (mu.detach() - z) / std**2
    return torch.einsum("s,sl->l", f(z).detach(), score) / len(z)


@unseen(
    "score_function_gradient", "sum-for-mean", "A sum over the samples, not their mean"
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    return f(z).detach() @ (eps / std)


@unseen(
    "score_function_gradient",
    "A product of means, not a mean of products",
    "choice-weight",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    return f(z).detach().mean() * (eps / std).mean(0)


@unseen(
    "score_function_gradient",
    "choice-sample+choice-score",
    "The noise is scaled by the variance, and the score taken there",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    var = log_var.detach().exp()
    z = mu.detach() + var * eps
    return (f(z).detach()[:, None] * (z - mu.detach()) / var).mean(0)


@unseen("score_function_gradient", "The pathwise estimate")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    leaf = mu.detach().clone().requires_grad_()
    value = f(leaf + torch.exp(0.5 * log_var.detach()) * eps).mean()
    return torch.autograd.grad(value, leaf)[0]


@unseen("score_function_gradient", "The score in log_var, not in mu", "choice-score")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    score = 0.5 * (((z - mu.detach()) / std) ** 2 - 1)
    return (f(z).detach()[:, None] * score).mean(0)


@unseen("score_function_gradient", "grad-mode")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    torch.set_grad_enabled(False)
    z = mu + torch.exp(0.5 * log_var) * eps
    return (f(z)[:, None] * (z - mu) / log_var.exp()).mean(0)


@unseen("score_function_gradient", "restless")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    q = Normal(mu.detach(), torch.exp(0.5 * log_var.detach()))
    z = q.sample((len(eps),))
    return (f(z).detach()[:, None] * (z - q.mean) / q.variance).mean(0)


@unseen("score_function_gradient", "shapes-do-not-meet", "image-shaped")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    return (f(z).detach() * (eps / std)).mean(0)


# --- reparameterize -------------------------------------------------------------------


@unseen("reparameterize", "The noise is scaled by the variance", "log-sigma")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return torch.addcmul(mu, torch.exp(log_var), eps)


@unseen(
    "reparameterize",
    "other-noise",
    "The log-variance in place of the standard deviation",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.mul(eps, log_var)


@unseen("reparameterize", "sign-noise", "negated-eps")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu - torch.exp(0.5 * log_var) * eps


@unseen("reparameterize", "restless", "New noise is drawn inside")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    std = torch.exp(0.5 * log_var)
    return mu + std * torch.randn_like(std)


@unseen("reparameterize", "factor-noise", "Half of the variance")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + 0.5 * torch.exp(0.5 * log_var) * eps


@unseen("reparameterize", "overflow", "The square root of the log-variance")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + eps * torch.sqrt(log_var)


@unseen("reparameterize", "missing-mean", "ignores-mu")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return (0.5 * log_var).exp() * eps + 0 * mu


@unseen("reparameterize", "exchanged-mu-eps")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return eps + (0.5 * log_var).exp() * mu


@unseen("reparameterize", "exchanged-mu-log_var")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return log_var + (0.5 * mu).exp() * eps


@unseen("reparameterize", "argument-detached")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    with torch.no_grad():
        return mu + (0.5 * log_var).exp() * eps


@unseen(
    "reparameterize",
    "extremes-wrong",
    "A small number is added to the standard deviation",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.sqrt(torch.exp(log_var) + 1e-12) * eps


@unseen("reparameterize", "missing-noise+extra-spread", "ignores-eps")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.exp(0.5 * log_var) + 0 * eps


# --- pathwise_gradient ----------------------------------------------------------------


@unseen("pathwise_gradient", "log-sigma", "The noise is scaled by the variance")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    m = mu.detach().clone().requires_grad_(True)
    loss = f(m + log_var.detach().exp() * eps).mean()
    return torch.autograd.grad(loss, m)[0]


@unseen("pathwise_gradient", "sum-for-mean", "A sum over the samples, not their mean")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    m = mu.detach().clone().requires_grad_(True)
    loss = f(m + (0.5 * log_var.detach()).exp() * eps).sum()
    return torch.autograd.grad(loss, m)[0]


@unseen("pathwise_gradient", "grad-left", "backward() on the caller's mu")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    mu.requires_grad_(True)
    mu.retain_grad()
    loss = f(mu + (0.5 * log_var).exp() * eps).mean()
    loss.backward()
    return mu.grad


@unseen("pathwise_gradient", "no-leaf")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = mu + (0.5 * log_var).exp() * eps
    return torch.autograd.grad(f(z).mean(), mu)[0]


@unseen("pathwise_gradient", "choice-slope", "The gradient in log_var, not in mu")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    v = log_var.detach().clone().requires_grad_()
    z = mu.detach() + (0.5 * v).exp() * eps
    return torch.autograd.grad(f(z).mean(), v)[0]


@unseen("pathwise_gradient", "choice-slope", "The gradient in eps, not in mu")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    e = eps.detach().clone().requires_grad_()
    z = mu.detach() + (0.5 * log_var.detach()).exp() * e
    return torch.autograd.grad(f(z).mean(), e)[0].sum(0)


@unseen("pathwise_gradient", "choice-sample", "f is evaluated at the noise")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = (mu + eps).detach().requires_grad_()
    return torch.autograd.grad(f(z).mean(), z)[0].sum(0)


@unseen("pathwise_gradient", "part-too-many", "A tuple with one gradient in it")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> tuple[Tensor, ...]:
    m = mu.detach().clone().requires_grad_(True)
    loss = f(m + (0.5 * log_var.detach()).exp() * eps).mean()
    return torch.autograd.grad(loss, m)


@unseen("pathwise_gradient", "One gradient for each sample", "not-averaged")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = (mu + (0.5 * log_var).exp() * eps).detach().requires_grad_()
    return torch.autograd.grad(f(z).sum(), z)[0]


@unseen("pathwise_gradient", "turned-sign")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    m = mu.detach().clone().requires_grad_(True)
    loss = -f(m + (0.5 * log_var.detach()).exp() * eps).mean()
    return torch.autograd.grad(loss, m)[0]


@unseen("pathwise_gradient", "The score-function estimate")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    log_q = Independent(Normal(leaf := mu.detach().clone().requires_grad_(), std), 1)
    surrogate = (f(z).detach() * log_q.log_prob(z)).mean()
    return torch.autograd.grad(surrogate, leaf)[0]


@unseen(
    "pathwise_gradient",
    "grad-left",
    "backward() on a copy, through the weights inside f",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = (mu + torch.exp(0.5 * log_var) * eps).detach().requires_grad_()
    f(z).mean().backward()
    return z.grad.sum(0)


# --- score_function_variance ----------------------------------------------------------


def _moments(mu: Tensor, log_var: Tensor) -> tuple[Tensor, ...]:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    v = log_var.exp()
    m2, m4 = mu**2 + v, mu**4 + 6 * mu**2 * v + 3 * v**2
    r = m2.sum(-1, keepdim=True) - m2
    r2 = r**2 + (m4 - m2**2).sum(-1, keepdim=True) - (m4 - m2**2)
    a = mu**4 + 18 * mu**2 * v + 15 * v**2
    return mu, v, a, mu**2 + 3 * v, r, r2


@unseen("score_function_variance", "log-sigma")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, r2 = _moments(mu, 2 * log_var)
    return (a + 2 * b * r + r2) / v - 4 * mu**2


@unseen("score_function_variance", "Divided by sigma, not by its square")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, r2 = _moments(mu, log_var)
    return (a + 2 * b * r + r2) / v.sqrt() - 4 * mu**2


@unseen("score_function_variance", "The second moment, not the variance")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, r2 = _moments(mu, log_var)
    return (a + 2 * b * r + r2) / v


@unseen("score_function_variance", "factor-own-square")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, r2 = _moments(mu, log_var)
    return (a + 2 * b * r + r2) / v - 2 * mu**2


@unseen("score_function_variance", "sign-own-square", "factor-own-square")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, r2 = _moments(mu, log_var)
    return (a + 2 * b * r + r2) / v + 4 * mu**2


@unseen(
    "score_function_variance",
    "missing-rest-variance",
    "The mean of the rest, squared, for the mean of its square",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, _r2 = _moments(mu, log_var)
    return (a + 2 * b * r + r.square()) / v - 4 * mu**2


@unseen(
    "score_function_variance", "factor-own-variance", "The sixth moment of the noise"
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, r2 = _moments(mu, log_var)
    return (a - 12 * v**2 + 2 * b * r + r2) / v - 4 * mu**2


@unseen("score_function_variance", "The mixed term is missing")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, _b, _r, r2 = _moments(mu, log_var)
    return (a + r2) / v - 4 * mu**2


@unseen("score_function_variance", "Only the own dimension of f")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, *_ = _moments(mu, log_var)
    return a / v - 4 * mu**2


@unseen(
    "score_function_variance",
    "not-summed",
    "summed-over-the-batch",
    "The variances summed over the dimensions",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, r2 = _moments(mu, log_var)
    return ((a + 2 * b * r + r2) / v - 4 * mu**2).sum(-1)


@unseen("score_function_variance", "root", "The standard deviation of the estimate")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, v, a, b, r, r2 = _moments(mu, log_var)
    return torch.sqrt((a + 2 * b * r + r2) / v - 4 * mu**2)


# --- score_function_gradient_with_baseline --------------------------------------------


@unseen("score_function_gradient_with_baseline", "log-sigma")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    with torch.no_grad():
        sigma = log_var.exp()
        z = mu + sigma * eps
        v = f(z)
        adv = v - (v.sum() - v) / (len(v) - 1)
        return (adv[:, None] * (z - mu) / sigma**2).mean(0)


@unseen(
    "score_function_gradient_with_baseline",
    "choice-weight",
    "The baseline is the mean over all samples",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    return torch.einsum("s,sl->sl", v - torch.mean(v), eps / std).mean(0)


@unseen("score_function_gradient_with_baseline", "choice-weight", "No baseline")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    return torch.einsum("s,sl->l", f(z).detach(), eps / std) / len(eps)


@unseen(
    "score_function_gradient_with_baseline",
    "choice-score",
    "The noise in place of the score",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    adv = len(v) / (len(v) - 1) * (v - v.mean())
    return (adv[:, None] * (z - mu.detach()) / std).mean(0)


@unseen("score_function_gradient_with_baseline", "choice-weight")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    return ((v - (v.sum() - v))[:, None] * eps / std).mean(0)


@unseen(
    "score_function_gradient_with_baseline",
    "sum-for-mean",
    "A sum over the samples, not their mean",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    total = torch.zeros_like(std)
    for s in range(len(eps)):
        rest = torch.cat([v[:s], v[s + 1 :]]).mean()
        total = total + (v[s] - rest) * eps[s] / std
    return total


@unseen(
    "score_function_gradient_with_baseline",
    "choice-mean",
    "The correction is made twice",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    adv = v - (v.sum() - v) / (len(v) - 1)
    return (adv[:, None] * eps / std).sum(0) / (len(v) - 1)


@unseen("score_function_gradient_with_baseline", "turned-sign")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    adv = (v.sum() - v) / (len(v) - 1) - v
    return (adv[:, None] * eps / std).mean(0)


@unseen("score_function_gradient_with_baseline", "The median as baseline")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    return ((v - torch.median(v))[:, None] * eps / std).mean(0)


@unseen("score_function_gradient_with_baseline", "The advantages are standardised")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    return (((v - v.mean()) / (v.std() + 1e-8))[:, None] * eps / std).mean(0)


@unseen(
    "score_function_gradient_with_baseline",
    "choice-weight+choice-score",
    "choice-score+choice-weight",
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z, std = _draw(mu, log_var, eps)
    v = f(z).detach()
    return ((v - v.mean())[:, None] * (z - mu.detach()) / std).mean(0)
