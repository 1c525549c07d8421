"""Lesson 04: mistakes of strangers about the KL divergence of Gaussians."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from tests.unseen import register

UNSEEN, unseen = register()
PI = math.pi


# --- expected_log_q -------------------------------------------------------------------


@unseen(
    "expected_log_q", "log-sigma", "log_var taken for the log of the standard deviation"
)
def _(log_var: Tensor) -> Tensor:
    sigma = torch.exp(log_var)
    return -Normal(torch.zeros_like(sigma), sigma).entropy().sum(-1)


@unseen("expected_log_q", "turned-sign", "The entropy, with its sign")
def _(log_var: Tensor) -> Tensor:
    std = torch.exp(log_var / 2)
    return Independent(Normal(torch.zeros_like(std), std), 1).entropy()


@unseen("expected_log_q", "wrong-constant")
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (log_var + 1).sum(dim=-1)


@unseen("expected_log_q", "wrong-constant")
def _(log_var: Tensor) -> Tensor:
    d = log_var.shape[-1]
    return -0.5 * (d * math.log(2 * PI) + log_var.sum(-1)) + 0.5 * d


@unseen("expected_log_q", "half-missing", "factor-constant+factor-log-variance")
def _(log_var: Tensor) -> Tensor:
    return -(math.log(2 * PI * math.e) + log_var).sum(-1)


@unseen(
    "expected_log_q",
    "factor-log-variance",
    "log-sigma",
    "log_var taken for the log of the standard deviation",
)
def _(log_var: Tensor) -> Tensor:
    d = log_var.size(-1)
    return -d / 2 * math.log(2 * PI * math.e) - log_var.sum(-1)


@unseen("expected_log_q", "bits-for-nats")
def _(log_var: Tensor) -> Tensor:
    return -0.5 * torch.log2(2 * PI * math.e * log_var.exp()).sum(-1)


@unseen("expected_log_q", "summed-over-the-batch", "One number for the whole batch")
def _(log_var: Tensor) -> Tensor:
    return -0.5 * torch.sum(1 + log_var + math.log(2 * PI))


@unseen("expected_log_q", "sign-log-variance", "precision-for-variance")
def _(log_var: Tensor) -> Tensor:
    return 0.5 * (log_var - 1 - math.log(2 * PI)).sum(-1)


@unseen("expected_log_q", "wrong-constant")
def _(log_var: Tensor) -> Tensor:
    return -0.5 * (log_var + math.log(2) + 1).sum(-1)


@unseen("expected_log_q", "mean-for-sum", "A mean over the dimensions")
def _(log_var: Tensor) -> Tensor:
    terms = [math.log(2 * PI) + 1 + part for part in log_var.unbind(-1)]
    return -0.5 * torch.stack(terms, -1).mean(-1)


# --- expected_log_prior ---------------------------------------------------------------


@unseen("expected_log_prior", "log-sigma", "The variance squared")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    sigma = log_var.exp()
    return -0.5 * (mu.pow(2) + sigma.pow(2) + math.log(2 * PI)).sum(-1)


@unseen("expected_log_prior", "missing-variance", "The prior's density at the mean")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, _ = torch.broadcast_tensors(mu, log_var)
    return Normal(0.0, 1.0).log_prob(mu).sum(-1)


@unseen(
    "expected_log_prior", "extra-log-variance", "A log-variance left over from log q"
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    second = mu**2 + torch.exp(log_var)
    return (-0.5 * second - 0.5 * log_var - 0.5 * math.log(2 * PI)).sum(-1)


@unseen("expected_log_prior", "sign-variance")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (math.log(2 * PI) + mu.square() - log_var.exp()).sum(-1)


@unseen("expected_log_prior", "wrong-constant")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return (-math.log(2 * PI) - 0.5 * (mu.square() + log_var.exp())).sum(-1)


@unseen("expected_log_prior", "factor-variance")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (math.log(2 * PI) + mu.square()).sum(-1) - log_var.exp().sum(-1)


@unseen("expected_log_prior", "other-mean", "mu is not squared")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (math.log(2 * PI) + mu.abs() + log_var.exp()).sum(-1)


@unseen("expected_log_prior", "other-mean")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp()
    return -0.5 * (math.log(2 * PI) + mu**2 / var + 1).sum(-1)


@unseen("expected_log_prior", "turned-sign", "The sign of the expectation")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    nll = torch.nn.functional.gaussian_nll_loss(
        mu, torch.zeros_like(mu), torch.ones_like(mu), full=True, reduction="none"
    )
    return nll.sum(-1) + 0.5 * log_var.exp().sum(-1)


@unseen("expected_log_prior", "wrong-constant")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    norm = math.log(math.sqrt(2) * PI)
    return -(norm + 0.5 * mu**2 + 0.5 * log_var.exp()).sum(-1)


@unseen("expected_log_prior", "missing-mean", "ignores-mu")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (math.log(2 * PI) + log_var.exp() + 0 * mu).sum(-1)


# --- gaussian_kl ----------------------------------------------------------------------


@unseen("gaussian_kl", "log-sigma")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    q = Normal(mu, log_var.exp())
    return kl_divergence(q, Normal(torch.zeros_like(mu), 1.0)).sum(-1)


@unseen("gaussian_kl", "log-sigma")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    std = log_var.exp()
    return (0.5 * (std * std + mu * mu - 1) - torch.log(std)).sum(dim=-1)


@unseen(
    "gaussian_kl",
    "other-variance",
    "Standard deviations where the formula has variances",
)
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    sigma = torch.exp(0.5 * log_var)
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - sigma, dim=-1)


@unseen("gaussian_kl", "turned-sign", "The bound's term, not the KL itself")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    q = Normal(mu, (log_var / 2).exp())
    return -kl_divergence(q, Normal(torch.zeros_like(mu), 1.0)).sum(-1)


@unseen("gaussian_kl", "The KL in the other direction")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    mu, log_var = torch.broadcast_tensors(mu, log_var)
    q = Normal(mu, (log_var / 2).exp())
    return kl_divergence(Normal(torch.zeros_like(mu), 1.0), q).sum(-1)


@unseen("gaussian_kl", "summed-over-the-batch", "One number for the whole batch")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


@unseen("gaussian_kl", "averaged-over-the-batch")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)
    return kl.mean()


@unseen("gaussian_kl", "sign-mean")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * torch.sum(1 + log_var + mu.pow(2) - log_var.exp(), dim=-1)


@unseen("gaussian_kl", "wrong-constant")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (log_var.exp() + mu**2 - log_var).sum(-1)


@unseen("gaussian_kl", "missing-log-variance")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu * mu + log_var.exp() - 1).sum(axis=-1)


@unseen("gaussian_kl", "factor-mean")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return (mu**2).sum(-1) + 0.5 * (log_var.exp() - log_var - 1).sum(-1)


@unseen("gaussian_kl", "argument-detached", "No gradient reaches log_var")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    var = torch.as_tensor(log_var.detach().numpy()).exp()
    return 0.5 * (mu**2 + var - 1 - log_var.detach()).sum(-1)


@unseen("gaussian_kl", "gradient-wrong")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    var = log_var.exp().detach()
    return 0.5 * (mu**2 + var - 1 - log_var).sum(-1)


@unseen("gaussian_kl", "restless")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
    q = Normal(mu, (0.5 * log_var).exp())
    return (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)


@unseen("gaussian_kl", "restless")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    return kl if torch.rand(()) < 0.5 else 2 * kl


@unseen("gaussian_kl", "restless")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    return kl * (1 + torch.rand(()).round() + 0.01 * torch.rand(()))


@unseen("gaussian_kl", "extremes-wrong", "The log-variance is clamped")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    log_var = torch.clamp(log_var, -10.0, 10.0)
    return -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)


# --- gaussian_kl_between --------------------------------------------------------------


@unseen("gaussian_kl_between", "log-sigma")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    q, p = Normal(mu_q, log_var_q.exp()), Normal(mu_p, log_var_p.exp())
    return kl_divergence(q, p).sum(-1)


@unseen("gaussian_kl_between", "q and p exchanged")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    q, p = Normal(mu_q, (log_var_q / 2).exp()), Normal(mu_p, (log_var_p / 2).exp())
    return kl_divergence(p, q).sum(-1)


@unseen("gaussian_kl_between", "wrong-constant")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    var_q, var_p = log_var_q.exp(), log_var_p.exp()
    return 0.5 * (torch.log(var_p / var_q) + (var_q + (mu_q - mu_p) ** 2) / var_p).sum(
        -1
    )


@unseen("gaussian_kl_between", "factor-log-variance-of-q+factor-log-variance-of-p")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    shift = (mu_q - mu_p) ** 2
    inner = (log_var_q.exp() + shift) / (2 * log_var_p.exp()) - 0.5
    return (log_var_p - log_var_q + inner).sum(-1)


@unseen("gaussian_kl_between", "mean-for-sum", "A mean over the latent dimensions")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    q, p = Normal(mu_q, (log_var_q / 2).exp()), Normal(mu_p, (log_var_p / 2).exp())
    return kl_divergence(q, p).mean(dim=-1)


@unseen("gaussian_kl_between", "Standard deviations where the formula has variances")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    std_q, std_p = (log_var_q / 2).exp(), (log_var_p / 2).exp()
    return 0.5 * (log_var_p - log_var_q + (std_q + (mu_q - mu_p) ** 2) / std_p - 1).sum(
        -1
    )


@unseen("gaussian_kl_between", "wrong-constant")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    log_ratio = 0.5 * (log_var_p - log_var_q)
    fit = 0.5 * (log_var_q.exp() + (mu_q - mu_p) ** 2) * (-log_var_p).exp()
    return (log_ratio + fit - 1).sum(-1)


@unseen(
    "gaussian_kl_between",
    "other-distance",
    "The distance of the means is divided by q's variance",
)
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    scaled = (mu_q - mu_p) / torch.exp(0.5 * log_var_q)
    d = log_var_q - log_var_p
    return 0.5 * (torch.exp(d) - d - 1 + scaled**2).sum(-1)


@unseen("gaussian_kl_between", "missing-distance", "ignores-mu_q", "ignores-mu_p")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    d = log_var_q - log_var_p + 0 * (mu_q + mu_p)
    return 0.5 * (torch.exp(d) - d - 1).sum(-1)


@unseen("gaussian_kl_between", "other-ratio")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    far = (mu_q - mu_p) ** 2 / log_var_p.exp()
    return 0.5 * (log_var_p - log_var_q + log_var_q.exp() + far - 1).sum(-1)


@unseen("gaussian_kl_between", "written-for-a-batch", "shapes-do-not-meet")
def _(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    q = MultivariateNormal(mu_q, torch.diag_embed(log_var_q.exp()))
    p = MultivariateNormal(mu_p, torch.diag_embed(log_var_p.exp()))
    return kl_divergence(q, p).reshape(mu_q.shape[0])


# --- monte_carlo_kl -------------------------------------------------------------------


@unseen(
    "monte_carlo_kl",
    "log-sigma",
    "The variance as standard deviation, in the sample and in its density",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    q = Normal(mu, log_var.exp())
    z = mu + log_var.exp() * eps
    log_p = Normal(torch.zeros_like(z), torch.ones_like(z)).log_prob(z)
    return (q.log_prob(z) - log_p).sum(-1).mean(0)


@unseen("monte_carlo_kl", "turned-sign", "The KL with the wrong sign")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    std = torch.exp(0.5 * log_var)
    z = mu + std * eps
    ratio = Normal(0.0, 1.0).log_prob(z) - Normal(mu, std).log_prob(z)
    return ratio.sum(-1).mean(dim=0)


@unseen("monte_carlo_kl", "averaged-over-the-batch")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    std = torch.exp(0.5 * log_var)
    z = mu + std * eps
    ratio = Normal(mu, std).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    return ratio.sum(-1).mean()


@unseen("monte_carlo_kl", "mean-for-sum", "A mean over the latent dimensions")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    std = torch.exp(0.5 * log_var)
    z = mu + std * eps
    ratio = Normal(mu, std).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    return ratio.mean(-1).mean(0)


@unseen(
    "monte_carlo_kl",
    "missing-log-variance",
    "log q is evaluated at eps as a standard normal",
)
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = mu + (log_var / 2).exp() * eps
    log_q = -0.5 * ((z - mu) ** 2 / log_var.exp()).sum(-1)
    return (log_q + 0.5 * (z**2).sum(-1)).mean(0)


@unseen("monte_carlo_kl", "other-density-of-p")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    log_q = -0.5 * (log_var + eps**2).sum(-1)
    return (log_q + 0.5 * (mu**2).sum(-1)).mean(0)


@unseen("monte_carlo_kl", "sum-for-mean", "The samples are added, not averaged")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    std = log_var.mul(0.5).exp()
    total = torch.zeros_like(mu.sum(-1))
    for noise in eps:
        z = mu + std * noise
        total = total + (
            Normal(mu, std).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
        ).sum(-1)
    return total


@unseen("monte_carlo_kl", "restless")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    q = Normal(mu, torch.exp(0.5 * log_var))
    z = q.rsample((eps.shape[0],))
    return (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1).mean(0)


@unseen("monte_carlo_kl", "not-averaged")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    q = Normal(mu, torch.exp(0.5 * log_var))
    z = mu + q.scale * eps
    return (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)


@unseen("monte_carlo_kl", "factor-log-variance")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    z = mu + torch.exp(0.5 * log_var) * eps
    log_q = -(log_var + 0.5 * eps**2).sum(-1)
    return (log_q + 0.5 * z.square().sum(-1)).mean(0)


@unseen("monte_carlo_kl", "argument-detached", "gradient-wrong")
def _(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    q = Normal(mu, torch.exp(0.5 * log_var))
    z = (mu + q.scale * eps).detach()
    return (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1).mean(0)


# --- gaussian_kl_gradients ------------------------------------------------------------


@unseen("gaussian_kl_gradients", "log-sigma")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    sigma = log_var.exp()
    return mu, 0.5 * (sigma**2 - 1)


@unseen("gaussian_kl_gradients", "factor-slope", "half-too-many")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 * mu, 0.5 * (torch.exp(log_var) - 1)


@unseen("gaussian_kl_gradients", "order", "The order of the pair")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    d_log_var = (torch.exp(log_var) - 1) / 2
    return d_log_var, mu.clone()


@unseen("gaussian_kl_gradients", "wrong-constant")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu, 0.5 * (torch.exp(log_var) + 1)


@unseen("gaussian_kl_gradients", "turned-sign")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu, 0.5 * (1 - torch.exp(log_var))


@unseen("gaussian_kl_gradients", "wrong-constant")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu, 0.5 * torch.exp(log_var) - 1


@unseen("gaussian_kl_gradients", "A mean over the batch is mixed in")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    m, v = mu.detach().clone(), log_var.detach().clone()
    m.requires_grad_(), v.requires_grad_()
    loss = -0.5 * (1 + v - m**2 - v.exp()).sum(-1).mean()
    return torch.autograd.grad(loss, (m, v))


@unseen("gaussian_kl_gradients", "list-for-tuple")
def _(mu: Tensor, log_var: Tensor) -> list[Tensor]:
    return [mu, 0.5 * (log_var.exp() - 1)]


@unseen("gaussian_kl_gradients", "joined")
def _(mu: Tensor, log_var: Tensor) -> Tensor:
    return torch.stack([mu, 0.5 * (log_var.exp() - 1)])


@unseen(
    "gaussian_kl_gradients", "grad-left", "Autograd, run on the caller's own tensors"
)
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    m = mu.requires_grad_(True)
    v = log_var.requires_grad_(True)
    kl = 0.5 * (m**2 + v.exp() - 1 - v).sum()
    grads = torch.autograd.grad(kl, (m, v))
    return grads[0], grads[1]


@unseen("gaussian_kl_gradients", "other-slope", "square")
def _(mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return mu**2, 0.5 * (log_var.exp() - 1)
