"""Right modules with nonlinearities and layers that few would choose.

Each is right by its contract, so that no law may refuse it, whatever is drawn. What
does not belong here: right answers as learners write them (tests/variants).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Bend = Callable[[Tensor], Tensor]

BENDS: dict[str, Bend] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
    "hardtanh": F.hardtanh,
    "clamp": lambda h: h.clamp(-3, 3),
    "leaky_relu": F.leaky_relu,
    "relu6": F.relu6,
    "softsign": F.softsign,
    "softplus": F.softplus,
    "elu": F.elu,
    "hardswish": F.hardswish,
    "sine": torch.sin,
    "absolute value": torch.abs,
    "square": lambda h: h**2 / 4,
    "two kinds": lambda h: torch.where(h > 0, h, 0.1 * torch.tanh(h)),
}


def encoder(bend: Bend) -> type[nn.Module]:
    """An Encoder with that nonlinearity."""

    class Encoder(nn.Module):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__()
            self.first = nn.Linear(input_dim, hidden_dim)
            self.heads = nn.Linear(hidden_dim, 2 * latent_dim)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            mu, log_var = self.heads(bend(self.first(x))).chunk(2, -1)
            return mu, log_var

    return Encoder


def decoder(bend: Bend) -> type[nn.Module]:
    """A Decoder with that nonlinearity."""

    class Decoder(nn.Module):
        def __init__(self, latent_dim: int, hidden_dim: int, input_dim: int) -> None:
            super().__init__()
            self.first = nn.Linear(latent_dim, hidden_dim)
            self.last = nn.Linear(hidden_dim, input_dim)

        def forward(self, z: Tensor) -> Tensor:
            return self.last(bend(self.first(z)))

    return Decoder


def vae(bend: Bend) -> type[nn.Module]:
    """A VAE with that nonlinearity on both sides."""

    class VAE(nn.Module):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__()
            self.decoder = decoder(bend)(latent_dim, hidden_dim, input_dim)
            self.encoder = encoder(bend)(input_dim, hidden_dim, latent_dim)

        def forward(
            self, x: Tensor, eps: Tensor
        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            mu, log_var = self.encoder(x)
            z = mu + torch.exp(0.5 * log_var) * eps
            return self.decoder(z), mu, log_var, z

        def sample(self, z: Tensor) -> Tensor:
            return torch.sigmoid(self.decoder(z))

    return VAE


def autoencoder(bend: Bend, last: Bend) -> type[nn.Module]:
    """An Autoencoder with that nonlinearity inside, and another one behind code and
    image.
    """

    class Autoencoder(nn.Module):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__()
            self.up = nn.Linear(input_dim, hidden_dim)
            self.code = nn.Linear(hidden_dim, latent_dim)
            self.down = nn.Linear(latent_dim, hidden_dim)
            self.image = nn.Linear(hidden_dim, input_dim)

        def encode(self, x: Tensor) -> Tensor:
            return last(self.code(bend(self.up(x))))

        def decode(self, z: Tensor) -> Tensor:
            return last(self.image(bend(self.down(z))))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z = self.encode(x)
            return self.decode(z), z

    return Autoencoder


def unusual() -> Iterator[tuple[str, str, str, type[nn.Module]]]:
    """(topic, exercise, what is unusual, answer)."""
    for name, bend in BENDS.items():
        yield "building_the_vae", "Encoder", name, encoder(bend)
        yield "building_the_vae", "Decoder", name, decoder(bend)
        yield "building_the_vae", "VAE", name, vae(bend)
        yield "autoencoders", "Autoencoder", name, autoencoder(bend, lambda h: h)
    for name in ("relu", "hardtanh", "clamp", "sigmoid", "softplus"):
        made = autoencoder(torch.tanh, BENDS[name])
        yield "autoencoders", "Autoencoder", f"{name} at the end", made
