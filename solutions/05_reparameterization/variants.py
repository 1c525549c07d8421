"""Lesson 05: right answers, written differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import AffineTransform, Normal

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant
F = Callable[[Tensor], Tensor]


class Scores(NamedTuple):
    score_mu: Tensor
    score_log_var: Tensor


# --- gaussian_score ---------------------------------------------------------------


@variant("gaussian_score", "through the standardised distance, a NamedTuple")
def _(z, mu, log_var):
    sigma = torch.exp(log_var / 2)
    u = (z - mu) / sigma
    return Scores(u / sigma, (u.square() - 1) / 2)


@variant("gaussian_score", "autograd on broadcast copies")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    shape = torch.broadcast_shapes(z.shape, mu.shape, log_var.shape)
    m = mu.detach().expand(shape).clone().requires_grad_(True)
    v = log_var.detach().expand(shape).clone().requires_grad_(True)
    log_q = Normal(m, v.exp().sqrt()).log_prob(z.detach())
    return torch.autograd.grad(log_q.sum(), (m, v))


@variant("gaussian_score", "torch.func on the log-density")
def _(z, mu, log_var):
    def log_q(m, v):
        return (-0.5 * ((z - m) ** 2 / v.exp() + v)).sum()

    z, mu, log_var = torch.broadcast_tensors(z, mu, log_var)
    return torch.func.grad(log_q, argnums=(0, 1))(mu, log_var)


@variant("gaussian_score", "variances, factored")
def _(z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    variance = log_var.exp()
    a, s = torch.sub(z, mu), torch.sqrt(variance)
    score_log_var = 0.5 * (a / s - 1) * (a / s + 1)
    return a.div(variance), score_log_var


@variant("gaussian_score", "backward on copies of its own")
def _(z, mu, log_var):
    z, mu, log_var = (
        t.detach().clone() for t in torch.broadcast_tensors(z, mu, log_var)
    )
    mu.requires_grad = True
    log_var.requires_grad = True
    energy = 0.5 * (z - mu).pow(2) * torch.exp(-log_var) + 0.5 * log_var
    energy.sum().backward()
    return -mu.grad, -log_var.grad


# --- score_function_gradient ------------------------------------------------------


@variant("score_function_gradient", "the surrogate loss of torch.distributions")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    at = mu.detach().clone().requires_grad_()
    q = Normal(at, torch.exp(0.5 * log_var.detach()))
    z = (mu + torch.exp(0.5 * log_var) * eps).detach()
    surrogate = f(z).detach() * q.log_prob(z).sum(-1)
    return torch.autograd.grad(surrogate.mean(), at)[0]


@variant("score_function_gradient", "a matrix product")
def _(f, mu, log_var, eps):
    sigma = torch.exp(log_var / 2)
    values = f(mu + sigma * eps)
    return values @ eps / sigma / len(eps)


@variant("score_function_gradient", "a loop, one sample at a time")
def _(f, mu, log_var, eps):
    total = torch.zeros_like(log_var)
    for e in eps:
        z = mu + log_var.exp().sqrt() * e
        total = total + f(z.unsqueeze(0)).squeeze(0) * (z - mu) / log_var.exp()
    return total / eps.shape[0]


@variant("score_function_gradient", "an einsum, with a graph")
def _(f, mu, log_var, eps):
    z = mu + (0.5 * log_var).exp() * eps
    score = torch.einsum("sl,l->sl", z - mu, torch.exp(-log_var))
    return torch.einsum("s,sl->l", f(z), score) / z.size(0)


@variant("score_function_gradient", "backward on a copy, f as a number")
def _(f, mu, log_var, eps):
    with torch.no_grad():
        sigma = log_var.mul(0.5).exp()
        z = torch.addcmul(mu, sigma, eps)
        values = f(z)
    own = mu.detach().clone().requires_grad_()
    (-0.5 * (((z - own) / sigma) ** 2).sum(1) * values).mean().backward()
    return own.grad


@variant("score_function_gradient", "both scores, the second unused")
def _(f, mu, log_var, eps):
    def scores(z):
        inverse = torch.exp(-log_var)
        return Scores((z - mu) * inverse, 0.5 * ((z - mu) ** 2 * inverse - 1))

    z = mu + torch.exp(log_var / 2) * eps
    weighted = f(z).reshape(-1, 1) * scores(z).score_mu
    return weighted.sum(dim=0) / weighted.shape[0]


# --- reparameterize ---------------------------------------------------------------


@variant("reparameterize", "a root of the variance")
def _(mu, log_var, eps):
    return eps * log_var.exp().sqrt() + mu


@variant("reparameterize", "an affine transform of torch.distributions")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return AffineTransform(loc=mu, scale=torch.exp(log_var / 2))(eps)


@variant("reparameterize", "addcmul, as many clauses as there are tensors")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    mu, log_var, eps = torch.broadcast_tensors(mu, log_var, eps)
    return torch.addcmul(mu, torch.exp(log_var * 0.5), eps)


@variant("reparameterize", "a diagonal Cholesky factor")
def _(mu, log_var, eps):
    factor = torch.diag_embed(torch.exp(0.5 * log_var))
    return mu + (factor @ eps.unsqueeze(-1)).squeeze(-1)


@variant("reparameterize", "a loop over the dimensions")
def _(mu, log_var, eps):
    parts = []
    for j in range(eps.shape[-1]):
        parts.append(mu[..., j] + torch.exp(log_var[..., j] / 2) * eps[..., j])
    return torch.stack(parts, dim=-1)


@variant("reparameterize", "in place, on a tensor of its own")
def _(mu, log_var, eps):
    z = eps * torch.pow(log_var.exp(), 0.5)
    shape = torch.broadcast_shapes(z.shape, mu.shape)
    z = z.expand(shape).clone()
    z += mu
    return z


# --- pathwise_gradient ------------------------------------------------------------


@variant("pathwise_gradient", "the gradient of f at each z, averaged")
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = (mu + torch.exp(log_var / 2) * eps).detach().requires_grad_(True)
    return torch.autograd.grad(f(z).sum(), z)[0].mean(dim=0)


@variant("pathwise_gradient", "torch.func.grad")
def _(f, mu, log_var, eps):
    def mean_of_f(m):
        return f(m + torch.exp(0.5 * log_var) * eps).mean()

    return torch.func.grad(mean_of_f)(mu)


@variant("pathwise_gradient", "torch.func.jacrev, one row a sample")
def _(f, mu, log_var, eps):
    rows = torch.func.jacrev(lambda m: f(m + log_var.exp().sqrt() * eps))(mu.detach())
    return rows.mean(0)


@variant("pathwise_gradient", "a loop with one sample at a time")
def _(f, mu, log_var, eps):
    sigma = torch.exp(0.5 * log_var.detach())
    total = torch.zeros_like(log_var)
    for e in eps:
        at = mu.detach().clone().requires_grad_()
        (g,) = torch.autograd.grad(f((at + sigma * e)[None]).sum(), at)
        total = total + g
    return total.detach() / len(eps)


@variant("pathwise_gradient", "backward with its inputs named")
def _(f, mu, log_var, eps):
    own = mu.detach().clone()
    own.requires_grad = True
    loss = f(own + torch.exp(log_var.detach() / 2) * eps).mean()
    loss.backward(inputs=[own])
    return own.grad


@variant(
    "pathwise_gradient", "on the caller's mu where it has a graph, on a copy where not"
)
def _(f, mu, log_var, eps):
    at = mu if mu.requires_grad else mu.clone().requires_grad_()
    z = at + torch.exp(log_var.detach() / 2) * eps
    return torch.autograd.grad(f(z).mean(), at, create_graph=True, allow_unused=True)[0]


@variant("pathwise_gradient", "a vector-Jacobian product")
def _(f, mu, log_var, eps):
    ones = torch.full(
        (eps.shape[0],), 1 / eps.shape[0], dtype=mu.dtype, device=mu.device
    )
    _, back = torch.func.vjp(lambda m: f(m + (0.5 * log_var).exp() * eps), mu)
    return back(ones)[0]


# --- score_function_variance ------------------------------------------------------


@variant("score_function_variance", "multiplied out, in the ratio of mean and spread")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    m, v = mu.square(), log_var.exp()
    total, own = (m + v).sum(-1, keepdim=True), m + v
    noise = (2 * v * v + 4 * m * v).sum(-1, keepdim=True) - 2 * v * v - 4 * m * v
    a = m * m / v + 18 * m + 15 * v
    b = 2 * (m / v + 3) * (total - own)
    return a + b + ((total - own) ** 2 + noise) / v - 4 * m


@variant("score_function_variance", "a mask leaves the own dimension out")
def _(mu, log_var):
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    d = mu.shape[-1]
    others = 1 - torch.eye(d, dtype=mu.dtype, device=mu.device)
    var = torch.exp(log_var)
    rest = (mu**2 + var) @ others
    rest_var = (2 * var**2 + 4 * mu**2 * var) @ others
    fourth = mu**4 + 18 * mu**2 * var + 15 * var**2
    second = mu**2 + 3 * var
    raw = fourth + 2 * second * rest + rest_var + rest * rest
    return raw / var - (2 * mu) ** 2


@variant("score_function_variance", "a loop over the dimensions")
def _(mu, log_var):
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    var, out = torch.exp(log_var), []
    for i in range(mu.shape[-1]):
        m, v = mu[..., i], var[..., i]
        mean, spread = torch.zeros_like(m), torch.zeros_like(m)
        for k in range(mu.shape[-1]):
            if k != i:
                mean = mean + mu[..., k] ** 2 + var[..., k]
                spread = spread + 2 * var[..., k] * (var[..., k] + 2 * mu[..., k] ** 2)
        raw = m**4 + 18 * m**2 * v + 15 * v**2 + 2 * (m**2 + 3 * v) * mean
        out.append((raw + mean**2 + spread) / v - 4 * m**2)
    return torch.stack(out, -1)


@variant("score_function_variance", "the total, by Stein's lemma")
def _(mu, log_var):
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    var = log_var.exp()
    mean = (mu**2 + var).sum(-1, keepdim=True)
    second = mean**2 + (2 * var**2 + 4 * mu**2 * var).sum(-1, keepdim=True)
    # E[F² (eps² - 1)] = sigma² E[(F²)''] = sigma² E[8 z² + 4 F]
    return second / var + 4 * mean + 4 * mu**2 + 8 * var


# --- score_function_gradient_with_baseline ----------------------------------------


@variant(
    "score_function_gradient_with_baseline", "the mean baseline, times S / (S - 1)"
)
def _(f: F, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    values = f(mu + torch.exp(log_var / 2) * eps)
    score = eps * torch.exp(-0.5 * log_var)
    return (values - values.mean()) @ score / (len(values) - 1)


@variant("score_function_gradient_with_baseline", "the covariance of f and the score")
def _(f, mu, log_var, eps):
    with torch.no_grad():
        sigma = log_var.exp().sqrt()
        table = torch.cat([f(mu + sigma * eps)[:, None], eps / sigma], dim=1)
        return torch.cov(table.T)[0, 1:]


@variant("score_function_gradient_with_baseline", "a loop that leaves one out")
def _(f, mu, log_var, eps):
    z = mu + torch.exp(0.5 * log_var) * eps
    total = torch.zeros_like(log_var)
    for s in range(len(z)):
        others = [t for t in range(len(z)) if t != s]
        advantage = f(z)[s] - f(z[others]).mean()
        total = total + advantage * (z[s] - mu) / log_var.exp()
    return total / len(z)


@variant("score_function_gradient_with_baseline", "a mask with an empty diagonal")
def _(f, mu, log_var, eps):
    num = eps.shape[0]
    values = f(mu + torch.exp(0.5 * log_var) * eps).detach()
    others = (1 - torch.eye(num).to(values)) / (num - 1)
    centred = values - others @ values
    return torch.einsum("s,sl,l->l", centred, eps, torch.exp(-log_var / 2)) / num


@variant("score_function_gradient_with_baseline", "all pairs of differences")
def _(f, mu, log_var, eps):
    sigma = torch.exp(log_var / 2)
    v, s = f(mu + sigma * eps), eps / sigma
    n = v.shape[0]
    dv, ds = v[:, None] - v[None, :], s[:, None, :] - s[None, :, :]
    return (dv[..., None] * ds).sum((0, 1)) / (2 * n * (n - 1))


@variant("score_function_gradient_with_baseline", "the surrogate loss")
def _(f, mu, log_var, eps):
    own = mu.detach().clone().requires_grad_(True)
    q = Normal(own, torch.exp(log_var.detach() / 2))
    z = (own + q.stddev * eps).detach()
    values = f(z).detach()
    advantage = values - (values.sum() - values) / (values.numel() - 1)
    return torch.autograd.grad((advantage * q.log_prob(z).sum(-1)).mean(), own)[0]
