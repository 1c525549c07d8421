"""Lesson 01: right answers written in other ways."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


@variant("squared_error", "torch's mse_loss without a reduction")
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return F.mse_loss(x_hat, x, reduction="none").sum(dim=1)


@variant("squared_error", "einsum of the residual with itself")
def _(x, x_hat):
    residual = x_hat - x
    return torch.einsum("bi,bi->b", residual, residual)


@variant("squared_error", "a loop over the images")
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return torch.stack([torch.dot(a - b, a - b) for a, b in zip(x, x_hat, strict=True)])


@variant("squared_error", "the mean times the number of pixels")
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    assert x.shape == x_hat.shape
    return torch.square(x - x_hat).flatten(1).mean(1) * x[0].numel()


@variant("squared_error", "the diagonal of the residuals' Gram matrix")
def _(x, x_hat):
    r = x.sub(x_hat)
    return torch.diagonal(r @ r.mT)


@variant("squared_error", "the square of torch's vector norm")
def _(x, x_hat):
    return torch.linalg.vector_norm(x - x_hat, dim=-1) ** 2


@variant("squared_error", "a data-dependent if, and a float power")
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    if torch.isnan(x).any() or torch.isnan(x_hat).any():
        raise ValueError("nan")
    return torch.sum(torch.abs(x - x_hat) ** 2.0, axis=1)


@variant("pca_reconstruction", "the projector first")
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    projector = components.T @ components
    return mean + (x - mean) @ projector


@variant("pca_reconstruction", "F.linear twice")
def _(x, mean, components):
    return F.linear(F.linear(x - mean, components), components.t(), mean)


@variant("pca_reconstruction", "what the other directions carry is taken away")
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    centred = x - mean
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return x - centred @ (eye - components.mT @ components)


@variant("pca_reconstruction", "one component after the other")
def _(x, mean, components):
    x_hat = mean.expand_as(x)
    for direction in components:
        x_hat = x_hat + ((x - mean) @ direction)[:, None] * direction
    return x_hat


@variant("pca_reconstruction", "einsum")
def _(x, mean, components):
    z = torch.einsum("bi,ki->bk", x - mean, components)
    return mean + torch.einsum("bk,ki->bi", z, components)


@variant("subspace_cosines", "orthonormal bases by SVD")
def _(first: Tensor, second: Tensor) -> Tensor:
    one = torch.linalg.svd(first, full_matrices=False).Vh
    two = torch.linalg.svd(second, full_matrices=False).Vh
    return torch.linalg.svd(one @ two.T).S


@variant("subspace_cosines", "Gram and Schmidt by hand")
def _(first, second):
    def basis(rows):
        kept = []
        for row in rows:
            for _ in range(2):
                for q in kept:
                    row = row - (row @ q) * q
            kept.append(row / row.norm())
        return torch.stack(kept)

    return torch.linalg.svdvals(basis(first) @ basis(second).T)


@variant("subspace_cosines", "by Cholesky factors of the Gram matrices")
def _(first, second):
    def basis(rows):
        rows = rows / rows.norm(dim=1, keepdim=True)
        factor = torch.linalg.cholesky(rows @ rows.T)
        return torch.linalg.solve_triangular(factor, rows, upper=False)

    cosines = torch.linalg.svdvals(basis(first) @ basis(second).T)
    return torch.clamp(cosines, max=1.0)


@variant("subspace_cosines", "from projectors")
def _(first: Tensor, second: Tensor) -> Tensor:
    p = first.T @ torch.linalg.pinv(first.T)
    q = second.T @ torch.linalg.pinv(second.T)
    return torch.linalg.svdvals(p @ q)[: min(len(first), len(second))]


# --- Autoencoder ------------------------------------------------------------


@variant("Autoencoder", "separate layers, tanh, sigmoid at the end")
class SeparateLayersTanhSigmoidAtTheEnd(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, latent_dim)
        self.fc3 = nn.Linear(latent_dim, hidden_dim)
        self.fc4 = nn.Linear(hidden_dim, input_dim)

    def encode(self, x):
        return self.fc2(torch.tanh(self.fc1(x)))

    def decode(self, z):
        return torch.sigmoid(self.fc4(torch.tanh(self.fc3(z))))

    def forward(self, x):
        z = self.encode(x)
        return self.decode(z), z


@variant("Autoencoder", "weights as parameters, matmul, softplus")
class WeightsAsParametersMatmulSoftplus(nn.Module):
    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        nn.Module.__init__(self)
        sizes = [input_dim, hidden_dim, latent_dim, hidden_dim, input_dim]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for a, b in pairwise(sizes):
            self.weights.append(nn.Parameter(torch.randn(a, b) / math.sqrt(a)))
            self.biases.append(nn.Parameter(torch.zeros(b)))

    def _layer(self, h, i):
        return h @ self.weights[i] + self.biases[i]

    def encode(self, x: Tensor) -> Tensor:
        return self._layer(F.softplus(self._layer(x, 0)), 1)

    def decode(self, z: Tensor) -> Tensor:
        return self._layer(F.softplus(self._layer(z, 2)), 3)

    def forward(self, x: Tensor):
        z = self.encode(x)
        return (self.decode(z), z)


@variant("Autoencoder", "LayerNorm, GELU, two hidden layers, a NamedTuple")
class LayerNormGELUTwoHiddenLayersANamedTuple(nn.Module):
    class Result(NamedTuple):
        x_hat: Tensor
        z: Tensor

    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()

        def mlp(a, b):
            return nn.Sequential(
                nn.Linear(a, hidden_dim),
                nn.LayerNorm(hidden_dim),
                nn.GELU(),
                nn.Linear(hidden_dim, hidden_dim // 2),
                nn.GELU(),
                nn.Linear(hidden_dim // 2, b),
            )

        self.nets = nn.ModuleDict(
            {"down": mlp(input_dim, latent_dim), "up": mlp(latent_dim, input_dim)}
        )

    def encode(self, x):
        return self.nets["down"](x.view(x.size(0), -1))

    def decode(self, z):
        return self.nets["up"](z)

    def forward(self, x):
        return self.Result(self.decode(self.encode(x)), self.encode(x))


@variant("Autoencoder", "submodule classes with a residual connection")
class SubmoduleClassesWithAResidualConnection(nn.Module):
    class Half(nn.Module):
        def __init__(self, a, hidden, b):
            super().__init__()
            self.enter = nn.Linear(a, hidden)
            self.inner = nn.Linear(hidden, hidden)
            self.leave = nn.Linear(hidden, b)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x):
            h = self.act(self.enter(x))
            return self.leave(h + F.silu(self.inner(h)))

    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.encoder = self.Half(input_dim, hidden_dim, latent_dim)
        self.decoder = self.Half(latent_dim, hidden_dim, input_dim)

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        self.last_code = z = self.encode(x)
        return self.decode(z), z


@variant("Autoencoder", "tied weights")
class TiedWeights(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.first = nn.Linear(input_dim, hidden_dim)
        self.second = nn.Linear(hidden_dim, latent_dim)
        self.back_to_hidden = nn.Parameter(torch.zeros(hidden_dim))
        self.back_to_input = nn.Parameter(torch.zeros(input_dim))

    def encode(self, x):
        return self.second(F.leaky_relu(self.first(x)))

    def decode(self, z):
        h = F.leaky_relu(F.linear(z, self.second.weight.t(), self.back_to_hidden))
        return F.linear(h, self.first.weight.t(), self.back_to_input)

    def forward(self, x):
        z = self.encode(x)
        return self.decode(z), z


@variant("Autoencoder", "one layer shared under two names, last layer starting at zero")
class OneLayerSharedUnderTwoNamesLast(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        middle = nn.Linear(hidden_dim, hidden_dim)
        out = nn.Linear(hidden_dim, input_dim)
        nn.init.zeros_(out.weight)
        nn.init.orthogonal_(middle.weight)
        self.encoder = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.ELU(),
            middle,
            nn.ELU(),
            nn.Linear(hidden_dim, latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim), nn.ELU(), middle, nn.ELU(), out
        )

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        return self.decoder(self.encoder(x)), self.encoder(x)


@variant(
    "Autoencoder",
    "a loop, weight norm, Dropout of 0, a constant buffer, an if on values",
)
class ALoopWeightNormDropoutOf0(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.up = nn.ModuleList(
            [norm(nn.Linear(latent_dim, hidden_dim)), nn.Linear(hidden_dim, input_dim)]
        )
        self.down = nn.ModuleList(
            [norm(nn.Linear(input_dim, hidden_dim)), nn.Linear(hidden_dim, latent_dim)]
        )
        self.drop = nn.Dropout(0.0)
        self.register_buffer("grey", torch.zeros(input_dim))
        nn.init.zeros_(self.up[-1].bias)

    def _through(self, layers, h):
        for layer in layers[:-1]:
            h = self.drop(torch.sin(layer(h)))
        if torch.isnan(h).any():
            raise ValueError("nan")
        return layers[-1](h)

    def encode(self, x):
        return self._through(self.down, x - self.grey)

    def decode(self, z):
        return self.grey + self._through(self.up, z)

    def forward(self, x):
        z = self.encode(x)
        return self.decode(z), z


@variant("Autoencoder", "convolutions over the pixels, a skip around the hidden layer")
class ConvolutionsOverThePixelsASkipAround(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3, padding=1)
        self.to_hidden = nn.Linear(4 * input_dim, hidden_dim)
        self.to_code = nn.Linear(hidden_dim, latent_dim)
        self.straight = nn.Linear(input_dim, latent_dim, bias=False)
        self.from_code = nn.Bilinear(latent_dim, latent_dim, hidden_dim)
        self.to_image = nn.Linear(hidden_dim, input_dim)
        self.slope = nn.Parameter(torch.tensor(0.2))

    def encode(self, x):
        h = F.relu(self.conv(x[:, None, :])).flatten(1)
        return self.to_code(F.mish(self.to_hidden(h))) + self.straight(x)

    def decode(self, z):
        h = self.from_code(z, z)
        return self.to_image(torch.where(h > 0, h, self.slope * h))

    def forward(self, x):
        z = self.encode(x)
        return self.decode(z), z


@variant("Autoencoder", "encode and decode are submodules of their own")
class EncodeAndDecodeAreSubmodules(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.CELU(),
            nn.Linear(hidden_dim, latent_dim),
        )
        self.decode = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.CELU(),
            nn.Linear(hidden_dim, input_dim),
        )

    def forward(self, x):
        z = self.encode(x)
        return self.decode(z), z
