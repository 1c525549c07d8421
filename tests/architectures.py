"""Ways to write a VAE: right ones, all to be trained and handed in; and others, each to
be refused before the first epoch, with what to change.

Each is a class of VAE(input_dim, hidden_dim, latent_dim), for 64 pixels (8×8).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

from vae_edu.lesson import find

RIGHT: dict[str, type[nn.Module]] = {}
REFUSED: dict[str, tuple[type[nn.Module], str]] = {}


def right(name: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    def keep(kind: type[nn.Module]) -> type[nn.Module]:
        RIGHT[name] = kind
        return kind

    return keep


def refused(name: str, words: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    def keep(kind: type[nn.Module]) -> type[nn.Module]:
        REFUSED[name] = (kind, words)
        return kind

    return keep


class Plain(nn.Module):
    """The contract; each architecture below changes one part of it."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.sizes = (input_dim, hidden_dim, latent_dim)
        self.make(input_dim, hidden_dim, latent_dim)

    def make(self, i: int, h: int, k: int) -> None:
        self.first, self.mu, self.log_var = (
            nn.Linear(i, h),
            nn.Linear(h, k),
            nn.Linear(h, k),
        )
        self.up, self.out = nn.Linear(k, h), nn.Linear(h, i)

    def encode(self, x: Any) -> Any:
        h = torch.tanh(self.first(x))
        return self.mu(h), self.log_var(h)

    def decode(self, z: Any) -> Any:
        return self.out(torch.tanh(self.up(z)))

    def forward(self, x: Any, eps: Any) -> Any:
        mu, log_var = self.encode(x)
        z = mu + (0.5 * log_var).exp() * eps
        return self.decode(z), mu, log_var, z

    def sample(self, z: Any) -> Any:
        return torch.sigmoid(self.decode(z))


# --- the last layer -------------------------------------------------------------------


@right("the last layer without a bias")
class NoBias(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.out = nn.Linear(h, i, bias=False)


@right("h @ W + b")
class Matmul(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.w, self.b = (
            nn.Parameter(0.1 * torch.randn(h, i)),
            nn.Parameter(torch.zeros(i)),
        )

    def decode(self, z):
        return torch.tanh(self.up(z)) @ self.w + self.b


@right("h @ W.T alone")
class MatmulAlone(Plain):
    def decode(self, z):
        return torch.matmul(torch.tanh(self.up(z)), self.out.weight.T)


@right("einsum, the bias from the left")
class Einsum(Plain):
    def decode(self, z):
        h = torch.tanh(self.up(z))
        return self.out.bias + torch.einsum("...h,ih->...i", h, self.out.weight)


@right("tied weights")
class Tied(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.b1, self.b2 = nn.Parameter(torch.zeros(h)), nn.Parameter(torch.zeros(i))

    def decode(self, z):
        h = torch.tanh(F.linear(z, self.mu.weight.t(), self.b1))
        return F.linear(h, self.first.weight.t(), self.b2)


@right("logits clamped")
class Clamped(Plain):
    def decode(self, z):
        return super().decode(z).clamp(-15, 15)


@right("a skip from the code to the logits")
class Skip(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.skip = nn.Linear(k, i)

    def decode(self, z):
        return super().decode(z) + self.skip(z)


@right("a learned scale of the logits")
class Scaled(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.scale = nn.Parameter(torch.ones(()))

    def decode(self, z):
        return super().decode(z) * self.scale


@right("the data's mean added to the logits")
class MeanAdded(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.register_buffer("mean", torch.linspace(-2, 2, i))

    def decode(self, z):
        return super().decode(z) + self.mean


@right("soft bounds on the logits, on log_var and in the middle")
class SoftBounds(Plain):
    def encode(self, x):
        mu, log_var = super().encode(x)
        return mu, -8 + F.softplus(log_var + 8)

    def decode(self, z):
        return 20 * torch.tanh(super().decode(F.hardtanh(z, -6, 6)) / 20)


@right("a gate between two outputs")
class Gated(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.both = nn.Linear(h, 2 * i)

    def decode(self, z):
        return F.glu(self.both(F.gelu(self.up(z), approximate="tanh")), dim=-1)


# --- layers -----------------------------------------------------------------------


@right("weight norm, the old hooks")
class OldWeightNorm(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        for name in ("first", "up", "out"):
            nn.utils.weight_norm(getattr(self, name))


@right("weight norm, parametrizations, in the encoder and last")
class NewWeightNorm(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.first = nn.utils.parametrizations.weight_norm(self.first)
        self.out = nn.utils.parametrizations.weight_norm(self.out)


@right("an orthogonal hidden layer")
class Orthogonal(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.up = nn.utils.parametrizations.orthogonal(self.up)


@right("layer norm, SiLU, dropout that is off, residual blocks")
class Residual(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.norms = nn.ModuleList(nn.LayerNorm(h) for _ in range(2))
        self.blocks = nn.ModuleList(nn.Linear(h, h) for _ in range(2))
        self.drop = nn.Dropout(0.1)

    def decode(self, z):
        h = self.up(z)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            h = h + self.drop(F.silu(block(norm(h))))
        return self.out(h)


@right("batch norm in the encoder, by its running means")
class BatchNorm(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.norm = nn.BatchNorm1d(h)

    def encode(self, x):
        h = F.relu(self.norm(self.first(x)))
        return self.mu(h), self.log_var(h)


@right("convolutions on unflattened images, transposed ones back")
class Convolutions(Plain):
    def make(self, i, h, k):
        self.side = math.isqrt(i)
        self.encoder = nn.Sequential(
            *(nn.Unflatten(1, (1, self.side, self.side)), nn.Conv2d(1, 4, 3, 2, 1)),
            *(nn.ReLU(inplace=True), nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU(), nn.Flatten()),
        )
        self.heads = nn.Linear(8 * (self.side // 4) ** 2, 2 * k)
        self.up = nn.Linear(k, 8 * (self.side // 4) ** 2)
        self.decoder = nn.Sequential(
            *(nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.ReLU()),
            nn.ConvTranspose2d(4, 1, 4, 2, 1),
        )

    def encode(self, x):
        return self.heads(self.encoder(x)).chunk(2, -1)

    def decode(self, z):
        h = self.up(z).relu().view(-1, 8, self.side // 4, self.side // 4)
        return self.decoder(h).view(*z.shape[:-1], -1)


@right("upsampling, pooling, group norm, padding")
class Upsampling(Plain):
    def make(self, i, h, k):
        self.side = math.isqrt(i)
        half = self.side // 2
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)
        self.heads, self.up = nn.Linear(4 * half**2, 2 * k), nn.Linear(k, 4 * half**2)
        self.last = nn.Conv2d(4, 1, 3, padding=1, padding_mode="replicate")

    def encode(self, x):
        h = F.pad(x.view(-1, 1, self.side, self.side), (1, 1, 1, 1))
        h = F.max_pool2d(F.leaky_relu(self.norm(self.conv(h))), 2)
        return torch.tensor_split(self.heads(h.flatten(1)), 2, dim=1)

    def decode(self, z):
        half = self.side // 2
        h = F.elu(self.up(z)).reshape(-1, 4, half, half)
        h = self.last(F.interpolate(h, scale_factor=2, mode="bilinear"))
        return h.flatten(1).unflatten(0, z.shape[:-1])


@right("attention over the rows of an image")
class Attention(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        side = math.isqrt(i)
        self.attend = nn.MultiheadAttention(side, 2, batch_first=True)

    def encode(self, x):
        side = math.isqrt(x.shape[-1])
        rows = x.view(-1, side, side)
        return super().encode((rows + self.attend(rows, rows, rows)[0]).flatten(1))


@right("positions and a lookup of rows, made in forward")
class Positions(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.table = nn.Embedding(i, 1)

    def encode(self, x):
        places = torch.arange(x.shape[-1], device=x.device)
        return super().encode(x + self.table(places).squeeze(-1))


@right("a permutation of the pixels, in a buffer of integers")
class Permuted(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.register_buffer("order", torch.randperm(i))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def encode(self, x):
        return super().encode(x[:, self.order])

    def decode(self, z):
        return torch.index_select(super().decode(z), -1, self.order)


@right("frozen features, a tensor that is no parameter")
class Frozen(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.features = torch.randn(i, i) / math.sqrt(i)

    def encode(self, x):
        return super().encode(torch.cos(x @ self.features))


# --- ways to write it -----------------------------------------------------------------


@right("torch.where, comparisons, masked_fill")
class Where(Plain):
    def encode(self, x):
        h = self.first(torch.where(x > 0.5, 1.0, -1.0))
        h = h.masked_fill(h < 0, 0.0)
        return self.mu(h), torch.where(self.log_var(h) > 5, 5.0, self.log_var(h))

    def decode(self, z):
        h = self.up(z)
        return self.out(torch.where(h > 0, h, 0.1 * h) * (h.abs() < 100).float())


@right("addcmul, addmm, baddbmm's cousins")
class Addcmul(Plain):
    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        sigma = torch.exp(log_var / 2)
        z = torch.addcmul(mu.expand_as(eps), sigma.expand_as(eps), eps, value=1.0)
        h = torch.addmm(self.up.bias, z.flatten(0, -2), self.up.weight.t()).tanh()
        logits = torch.addmm(self.out.bias, h, self.out.weight.t())
        return logits.view(*eps.shape[:-1], -1), mu, log_var, z


@right("distributions inside")
class Distributions(Plain):
    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        q = Independent(Normal(mu, torch.exp(0.5 * log_var)), 1)
        z = q.base_dist.loc + q.base_dist.scale * eps
        p = Independent(Bernoulli(logits=self.decode(z)), 1)
        return p.base_dist.logits, q.mean, log_var, z


@right("z worked out twice, in a function of its own")
class Twice(Plain):
    def code(self, mu, log_var, eps):
        return mu + torch.exp(log_var * torch.tensor(0.5)) * eps

    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        logits = self.decode(self.code(mu, log_var, eps))
        return logits, mu, log_var, self.code(mu, log_var, eps)


@right("a loop over the images, stacked")
class Looped(Plain):
    def encode(self, x):
        rows = [super(Looped, self).encode(row) for row in x]
        return torch.stack([m for m, _ in rows]), torch.stack([v for _, v in rows])


@right("writing in place, into slices")
class InPlace(Plain):
    def encode(self, x):
        h = torch.tanh(self.first(x))
        both = x.new_zeros(len(x), 2, self.sizes[2])
        both[:, 0] = self.mu(h)
        both[:, 1] = self.log_var(h)
        both[:, 1].clamp_(-10, 10)
        return both[:, 0], both[:, 1]

    def decode(self, z):
        h = self.up(z)
        h *= 0.5
        h.add_(1).tanh_()
        return self.out(h)


@right("asserts, and a count of calls")
class Asserts(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x, eps):
        self.calls += 1
        assert not x.isnan().any()
        if (x < 0).any() or (x > 1).any():
            raise ValueError("images are values in [0, 1]")
        return super().forward(x, eps)


@right("float64 in the middle")
class DoubleInside(Plain):
    def decode(self, z):
        return (
            super().decode(z).double().sigmoid().clamp(1e-6, 1 - 1e-6).logit().float()
        )


@right("softmax, normalised rows, statistics of one row")
class Normalised(Plain):
    def encode(self, x):
        x = F.normalize(x - x.mean(-1, keepdim=True), dim=-1)
        h = torch.softmax(self.first(x) * 4, dim=-1) * 8
        return self.mu(h), self.log_var(h)

    def decode(self, z):
        h = self.up(z)
        h = (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-3)
        return F.rms_norm(self.out(h), (self.sizes[0],)) + torch.logsumexp(h, -1, True)


@right("a mixture of experts, bilinear, PReLU")
class Experts(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.gate, self.act = nn.Linear(k, 3), nn.PReLU(h)
        self.pair = nn.Bilinear(k, k, h)
        self.experts = nn.Parameter(0.1 * torch.randn(3, h, i))

    def decode(self, z):
        h = self.pair(z, z) + self.up(z)
        h = self.act(h.flatten(0, -2)).view_as(h)
        share = self.gate(z).softmax(-1)
        return torch.einsum("...e,...h,ehi->...i", share, h, self.experts)


@right("Fourier features of the code, powers, a norm")
class Fourier(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.up = nn.Linear(4 * k + 1, h)

    def decode(self, z):
        norm = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
        parts = [torch.sin(z), torch.cos(math.pi * z), z**2, torch.atan(z), norm]
        return self.out(F.mish(self.up(torch.cat(parts, -1))))


def composed(encoder: type[nn.Module], decoder: type[nn.Module]) -> type[nn.Module]:
    """A VAE of two parts, as lesson 07 puts them together."""

    class Composed(nn.Module):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__()
            self.encoder = encoder(input_dim, hidden_dim, latent_dim)
            self.decoder = decoder(latent_dim, hidden_dim, input_dim)

        def forward(self, x: Any, eps: Any) -> Any:
            mu, log_var = self.encoder(x)
            z = mu + (0.5 * log_var).exp() * eps
            return self.decoder(z), mu, log_var, z

        def sample(self, z: Any) -> Any:
            return torch.sigmoid(self.decoder(z))

    return Composed


def _variants() -> None:
    """Every right Encoder, Decoder and VAE of lesson 07's variants."""
    found = find("building_the_vae").variants
    by = {
        e: [v for v in found if v.exercise == e] for e in ("Encoder", "Decoder", "VAE")
    }
    for v in by["VAE"]:
        RIGHT[f"07: {v.name}"] = v.answer
    for v in by["Encoder"]:
        RIGHT[f"07, encoder: {v.name}"] = composed(v.answer, by["Decoder"][0].answer)
    for v in by["Decoder"]:
        RIGHT[f"07, decoder: {v.name}"] = composed(by["Encoder"][0].answer, v.answer)


_variants()


# --- what is refused ------------------------------------------------------------------


@refused("noise of its own", "the noise comes in as eps")
class OwnNoise(Plain):
    def decode(self, z):
        return super().decode(z + 0.1 * torch.randn_like(z))


@refused("rsample", "the noise comes in as eps")
class Rsample(Plain):
    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        z = Normal(mu, torch.exp(0.5 * log_var)).rsample(eps.shape[:-2])
        return self.decode(z), mu, log_var, z


@refused("dropout in eval mode too", "the noise comes in as eps")
class DropoutAlways(Plain):
    def decode(self, z):
        return self.out(F.dropout(torch.tanh(self.up(z)), 0.2))


@refused("a spectrum", "torch.fft.rfft")
class Spectrum(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.first = nn.Linear(i // 2 + 1, h)

    def encode(self, x):
        waves = torch.fft.rfft(x)
        return super().encode(waves.abs())


@refused("statistics of the batch", "each image and each code alone")
class BatchStatistics(Plain):
    def make(self, i, h, k):
        super().make(i, h, k)
        self.norm = nn.BatchNorm1d(h, track_running_stats=False)

    def encode(self, x):
        h = self.first(x)
        h = (h - h.mean(0)) * 0.5
        return self.mu(h), self.log_var(h)


@refused("a decoder that sees the image", "decode the z that is returned")
class SeesTheImage(Plain):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits + 0.1 * self.up(mu).mean(-1, keepdim=True), mu, log_var, z


@refused("through numpy", "whatever its values")
class ThroughNumpy(Plain):
    def decode(self, z):
        scale = float(z.detach().abs().mean().numpy())
        return super().decode(z) * scale


@refused("three outputs", "not enough values to unpack (expected 4, got 3)")
class ThreeOutputs(Plain):
    def forward(self, x, eps):
        return super().forward(x, eps)[:3]


@refused("one code at a time only", "several codes an image")
class OneCode(Plain):
    def forward(self, x, eps):
        if eps.ndim == 3 and len(eps) > 1:
            raise ValueError("one code for each image")
        return super().forward(x, eps)
