"""Lesson 07: right answers, written differently."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


def _mlp(*sizes: int, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), act()]
    return nn.Sequential(*layers[:-1])


# --- Encoder --------------------------------------------------------------------------


@variant("Encoder", "one layer of twice the size, cut in two")
class OneLayerOfTwiceTheSizeCutInTwo(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.net = _mlp(input_dim, hidden_dim, 2 * latent_dim, act=nn.Tanh)

    def forward(self, x):
        return self.net(x).chunk(2, dim=-1)


@variant("Encoder", "two networks that share nothing, a NamedTuple")
class TwoNetworksThatShareNothing(nn.Module):
    class Posterior(NamedTuple):
        mu: Tensor
        log_var: Tensor

    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.mean_net = _mlp(input_dim, hidden_dim, latent_dim, act=nn.GELU)
        self.spread_net = _mlp(input_dim, hidden_dim, latent_dim, act=nn.Softplus)

    def forward(self, x):
        return self.Posterior(mu=self.mean_net(x), log_var=self.spread_net(x))


@variant("Encoder", "weights as parameters, matmul, a calm start for the log-variance")
class WeightsAsParameters(nn.Module):
    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(
            torch.randn(input_dim, hidden_dim) / math.sqrt(input_dim)
        )
        self.b1 = nn.Parameter(torch.zeros(hidden_dim))
        self.w2 = nn.Parameter(torch.empty(hidden_dim, 2, latent_dim))
        nn.init.normal_(self.w2, std=1e-3)
        self.b2 = nn.Parameter(torch.tensor([[0.0], [-3.0]]).repeat(1, latent_dim))

    def forward(self, x: Tensor):
        h = torch.sigmoid(torch.einsum("bi,ih->bh", 2 * x - 1, self.w1) + self.b1)
        both = torch.einsum("bh,hkl->bkl", h, self.w2) + self.b2
        mu, log_var = both.unbind(1)
        return mu, log_var


@variant("Encoder", "LayerNorm, two hidden layers, strided halves, checked images")
class LayerNormTwoHiddenLayers(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.body = nn.Sequential(
            OrderedDict(
                lift=nn.Linear(input_dim, hidden_dim),
                norm=nn.LayerNorm(hidden_dim),
                act=nn.SiLU(),
                more=nn.Linear(hidden_dim, hidden_dim),
                act2=nn.SiLU(),
            )
        )
        self.head = nn.Linear(hidden_dim, 2 * latent_dim)

    def forward(self, x):
        if (x < 0).any() or (x > 1).any():
            raise ValueError("images are values in [0, 1]")
        out = self.head(self.body(x.flatten(1)))
        return out[..., 0::2], out[..., 1::2]


@variant("Encoder", "convolutions, a skip past the hidden layer, LeakyReLU in place")
class ConvolutionsAndASkip(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.conv = nn.Conv1d(1, 3, kernel_size=3, padding=1)
        self.fc = nn.Linear(3 * input_dim, hidden_dim)
        self.act = nn.LeakyReLU(0.1, inplace=True)
        self.heads = nn.ModuleDict(
            {k: nn.Linear(hidden_dim, latent_dim) for k in ("mu", "log_var")}
        )
        self.straight = nn.Linear(input_dim, 2 * latent_dim, bias=False)

    def forward(self, x):
        h = self.act(self.conv(x.unsqueeze(1))).view(x.size(0), -1)
        h = self.act(self.fc(h))
        mu, log_var = torch.tensor_split(self.straight(x), 2, dim=1)
        return self.heads["mu"](h) + mu, self.heads["log_var"](h) + log_var


@variant("Encoder", "weight norm, sines, an image at a time")
class WeightNormSinesAnImageAtATime(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.enter = norm(nn.Linear(input_dim, hidden_dim))
        self.leave = norm(nn.Linear(hidden_dim, latent_dim * 2))
        self.latent_dim = latent_dim

    def forward(self, x):
        rows = [self.leave(torch.sin(self.enter(row))) for row in x]
        out = torch.stack(rows)
        return out[:, : self.latent_dim], out[:, self.latent_dim :]


# --- Decoder --------------------------------------------------------------------------


@variant("Decoder", "nn.Sequential with tanh")
class SequentialWithTanh(nn.Sequential):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(
            nn.Linear(latent_dim, hidden_dim),
            nn.Tanh(),
            nn.Linear(hidden_dim, input_dim),
        )

    def forward(self, z):
        return super().forward(z)


@variant("Decoder", "parameters and addmm, softplus, a last layer that starts at zero")
class ParametersAndAddmm(nn.Module):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__()
        self.w = nn.ParameterList(
            [
                nn.Parameter(
                    nn.init.xavier_uniform_(torch.empty(latent_dim, hidden_dim))
                ),
                nn.Parameter(torch.zeros(hidden_dim, input_dim)),
            ]
        )
        self.b = nn.ParameterList(
            [nn.Parameter(torch.zeros(d)) for d in (hidden_dim, input_dim)]
        )

    def forward(self, z):
        h = F.softplus(torch.addmm(self.b[0], z.flatten(0, -2), self.w[0]))
        return torch.addmm(self.b[1], h, self.w[1]).unflatten(0, z.shape[:-1])


@variant("Decoder", "three layers with a residual, a bias at the data's mean")
class ThreeLayersWithAResidual(nn.Module):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__()
        self.up = nn.Linear(latent_dim, hidden_dim)
        self.mix = nn.Linear(hidden_dim, hidden_dim)
        self.out = nn.Linear(hidden_dim, input_dim)
        nn.init.constant_(self.out.bias, -2.0)

    def forward(self, z: Tensor) -> Tensor:
        h = F.elu(self.up(z))
        h = h + F.elu(self.mix(h))
        if torch.isnan(h).any():
            raise ValueError("nan")
        return self.out(h)


@variant("Decoder", "transposed convolution over the pixels")
class TransposedConvolution(nn.Module):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__()
        self.fc = nn.Linear(latent_dim, hidden_dim)
        self.spread = nn.Linear(hidden_dim, 2 * input_dim)
        self.conv = nn.ConvTranspose1d(2, 1, kernel_size=3, padding=1)
        self.input_dim = input_dim

    def forward(self, z):
        h = F.mish(self.spread(F.mish(self.fc(z))))
        pixels = self.conv(h.reshape(-1, 2, self.input_dim)).squeeze(1)
        return pixels.reshape(*z.shape[:-1], -1)


@variant("Decoder", "a bilinear layer and a constant buffer")
class ABilinearLayerAndAConstantBuffer(nn.Module):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__()
        self.pair = nn.Bilinear(latent_dim, latent_dim, hidden_dim)
        self.last = nn.Linear(hidden_dim, input_dim, bias=False)
        self.register_buffer("grey", torch.full((input_dim,), -0.5))

    def forward(self, z):
        return self.grey + self.last(
            torch.where(self.pair(z, z) > 0, 1.0, 0.1) * self.pair(z, z)
        )


# --- VAE ------------------------------------------------------------------------------


@variant("VAE", "everything inline, sqrt of the variance, sigmoid by hand")
class EverythingInline(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.fc21 = nn.Linear(hidden_dim, latent_dim)
        self.fc22 = nn.Linear(hidden_dim, latent_dim)
        self.fc3 = nn.Linear(latent_dim, hidden_dim)
        self.fc4 = nn.Linear(hidden_dim, input_dim)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def decode(self, z):
        return self.fc4(F.relu(self.fc3(z)))

    def forward(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + torch.sqrt(torch.exp(logvar)) * eps
        return self.decode(z), mu, logvar, z

    def sample(self, z):
        return 1 / (1 + torch.exp(-self.decode(z)))


@variant("VAE", "nn.Sequential halves, chunk, addcmul, a NamedTuple")
class SequentialHalves(nn.Module):
    class Output(NamedTuple):
        logits: Tensor
        mu: Tensor
        log_var: Tensor
        z: Tensor

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.enc = _mlp(input_dim, hidden_dim, hidden_dim, 2 * latent_dim, act=nn.SiLU)
        self.dec = _mlp(latent_dim, hidden_dim, hidden_dim, input_dim, act=nn.SiLU)

    def forward(self, x: Tensor, eps: Tensor) -> Output:
        mu, log_var = self.enc(x).chunk(2, -1)
        sigma = torch.exp(log_var.mul(0.5))
        z = torch.addcmul(mu.expand_as(eps), sigma.expand_as(eps), eps)
        return self.Output(self.dec(z), mu, log_var, z)

    def sample(self, z: Tensor) -> Tensor:
        return Bernoulli(logits=self.dec(z)).probs


@variant("VAE", "torch.distributions all the way")
class TorchDistributionsAllTheWay(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.encoder = nn.ModuleList(
            [
                _mlp(input_dim, hidden_dim, latent_dim, act=nn.Tanh),
                _mlp(input_dim, hidden_dim, latent_dim, act=nn.Tanh),
            ]
        )
        self.decoder = _mlp(latent_dim, hidden_dim, input_dim, act=nn.Tanh)

    def posterior(self, x):
        mu, log_var = (net(x) for net in self.encoder)
        return Independent(Normal(mu, (log_var / 2).exp()), 1), mu, log_var

    def forward(self, x, eps):
        q, mu, log_var = self.posterior(x)
        z = q.mean + q.stddev * eps
        return Bernoulli(logits=self.decoder(z)).logits, mu, log_var, z

    def sample(self, z):
        return Bernoulli(logits=self.decoder(z)).mean


@variant("VAE", "a loop over the samples, a decoder for two dimensions only")
class ALoopOverTheSamples(nn.Module):
    class Decode(nn.Module):
        def __init__(self, latent_dim, hidden_dim, input_dim):
            super().__init__()
            self.a = nn.Parameter(torch.randn(latent_dim, hidden_dim) * 0.3)
            self.b = nn.Parameter(torch.randn(hidden_dim, input_dim) * 0.3)
            self.c = nn.Parameter(torch.randn(hidden_dim) * 0.3)

        def forward(self, z):
            return torch.relu(torch.einsum("bl,lh->bh", z, self.a) + self.c) @ self.b

    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.body = nn.Linear(input_dim, hidden_dim)
        self.head = nn.Linear(hidden_dim, 2 * latent_dim)
        self.decode = self.Decode(latent_dim, hidden_dim, input_dim)

    def forward(self, x, eps):
        mu, log_var = self.head(F.gelu(self.body(x))).split(eps.shape[-1], dim=-1)
        sigma = log_var.exp() ** 0.5
        if eps.dim() == 2:
            z = mu + sigma * eps
            return self.decode(z), mu, log_var, z
        zs = [mu + sigma * noise for noise in eps]
        return torch.stack([self.decode(z) for z in zs]), mu, log_var, torch.stack(zs)

    def sample(self, z):
        return torch.special.expit(self.decode(z))


@variant("VAE", "samples folded into the batch, tied weights, tanh in place of sigmoid")
class SamplesFoldedIntoTheBatch(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.first = nn.Linear(input_dim, hidden_dim)
        self.mu = nn.Linear(hidden_dim, latent_dim)
        self.log_var = nn.Linear(hidden_dim, latent_dim)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden_dim))
        self.pixel_bias = nn.Parameter(torch.zeros(input_dim))

    def logits(self, z):
        h = F.leaky_relu(F.linear(z, self.mu.weight.T, self.hidden_bias))
        return F.linear(h, self.first.weight.T, self.pixel_bias)

    def forward(self, x, eps):
        h = F.leaky_relu(self.first(x))
        mu, log_var = self.mu(h), self.log_var(h)
        z = torch.exp(log_var / 2) * eps + mu
        flat = self.logits(z.reshape(-1, z.shape[-1]))
        return flat.reshape(*z.shape[:-1], -1), mu, log_var, z

    def sample(self, z):
        return 0.5 * (1 + torch.tanh(0.5 * self.logits(z)))


@variant("VAE", "parts of its own, a grad-mode decorator, a stable sigmoid by hand")
class PartsOfItsOwn(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        make = lambda a, b: nn.Sequential(  # noqa: E731
            nn.Linear(a, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, b),
        )
        self.parts = nn.ModuleDict(
            {"q": make(input_dim, 2 * latent_dim), "p": make(latent_dim, input_dim)}
        )

    def forward(self, x, eps):
        stats = self.parts["q"](x)
        mu, log_var = stats[:, : eps.size(-1)], stats[:, eps.size(-1) :]
        z = mu + (log_var * 0.5).exp() * eps
        return self.parts["p"](z), mu, log_var, z

    @torch.enable_grad()
    def sample(self, z):
        logits = self.parts["p"](z)
        small = torch.exp(-logits.abs())
        return torch.where(logits >= 0, 1 / (1 + small), small / (1 + small))


# --- negative_elbo --------------------------------------------------------------------


@variant("negative_elbo", "PyTorch's cross-entropy with logits, summed, over the batch")
def _(x, logits, mu, log_var, beta=1.0):
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.shape[0]
    kld = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp()) / x.size(0)
    return bce + beta * kld, bce, kld


@variant("negative_elbo", "torch.distributions, a NamedTuple")
def _(x: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor, beta: float = 1.0):
    class Loss(NamedTuple):
        loss: Tensor
        reconstruction: Tensor
        kl: Tensor

    p = Independent(Bernoulli(logits=logits, validate_args=False), 1)
    q = Independent(Normal(mu, torch.exp(log_var / 2)), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    reconstruction, kl = -p.log_prob(x).mean(), kl_divergence(q, prior).mean()
    return Loss(torch.add(reconstruction, kl, alpha=beta), reconstruction, kl)


@variant("negative_elbo", "one example after the other")
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = 0.0, 0.0
    for x_n, l_n, m_n, v_n in zip(x, logits, mu, log_var, strict=True):
        reconstruction = (
            reconstruction
            - (x_n * F.logsigmoid(l_n) + (1 - x_n) * F.logsigmoid(-l_n)).sum()
        )
        kl = kl + 0.5 * (m_n @ m_n + (torch.expm1(v_n) - v_n).sum())
    reconstruction, kl = reconstruction / len(x), kl / len(x)
    return reconstruction + kl * beta, reconstruction, kl


@variant("negative_elbo", "the mean over everything, times its size")
def _(x, logits, mu, log_var, beta=1.0):
    softplus = logits.clamp(min=0) + torch.log1p(torch.exp(-logits.abs()))
    reconstruction = torch.mean(softplus - x * logits) * x.shape[1]
    kl = torch.mean((mu.square() + log_var.exp() - log_var - 1) / 2) * mu.shape[1]
    return torch.stack([reconstruction, beta * kl]).sum(), reconstruction, kl


@variant("negative_elbo", "einsum, logaddexp, minus the ELBO at the end")
def _(x, logits, mu, log_var, beta=1.0):
    n = torch.tensor(len(x), dtype=x.dtype, device=x.device)
    log_norm = torch.logaddexp(torch.zeros_like(logits), logits)
    log_p = (torch.einsum("bi,bi->b", x, logits) - log_norm.sum(1)).sum() / n
    moments = torch.einsum("bl,bl->", mu, mu) + log_var.exp().sum()
    kl = (moments - log_var.sum() - log_var.numel()) / (2 * n)
    elbo = log_p - beta * kl
    return -elbo, -log_p, kl


# --- head_gradients -------------------------------------------------------------------


@variant("head_gradients", "through sigma, one factor after the other")
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = torch.exp(log_var / 2)
    grad_sigma = grad_z * eps + beta * (sigma - 1 / sigma)
    return grad_z + beta * mu, grad_sigma * sigma / 2


@variant("head_gradients", "autograd on copies")
def _(grad_z, mu, log_var, eps, beta=1.0):
    m, v = (t.detach().clone().requires_grad_(True) for t in (mu, log_var))
    with torch.enable_grad():
        z = m + (v / 2).exp() * eps
        kl = 0.5 * (m**2 + v.exp() - 1 - v).sum()
        return torch.autograd.grad((grad_z.detach() * z).sum() + beta * kl, (m, v))


@variant("head_gradients", "torch.func, a NamedTuple")
def _(grad_z, mu, log_var, eps, beta=1.0):
    class Gradients(NamedTuple):
        mu: Tensor
        log_var: Tensor

    def total(m, v):
        kl = 0.5 * (m.square() + torch.expm1(v) - v)
        return (grad_z * torch.addcmul(m, torch.exp(0.5 * v), eps) + beta * kl).sum()

    return Gradients(*torch.func.grad(total, argnums=(0, 1))(mu, log_var))


@variant("head_gradients", "factored out")
def _(grad_z, mu, log_var, eps, beta=1.0):
    half = 0.5 * log_var
    sigma = half.exp()
    return beta * mu + grad_z, 0.5 * (sigma * (grad_z * eps + beta * sigma) - beta)


@variant("head_gradients", "row by row")
def _(grad_z, mu, log_var, eps, beta=1.0):
    first, second = [], []
    for g, m, v, e in zip(grad_z, mu, log_var, eps, strict=True):
        first.append(torch.add(g, m, alpha=beta))
        pull = g * e * torch.sqrt(v.exp()) + beta * torch.expm1(v)
        second.append(pull / 2)
    return torch.stack(first), torch.stack(second)
