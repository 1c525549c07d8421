"""Right modules with nonlinearities and layers that few would choose.

Each is right by its contract, so that no law may refuse it, whatever is drawn. What
does not belong here: right answers as learners write them (variants.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

Bend = Callable[[Tensor], Tensor]
Change = Callable[[nn.Module], object]

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


# --- layers ---------------------------------------------------------------------------


def linears(module: nn.Module) -> list[nn.Linear]:
    """All its linear layers."""
    return [part for part in module.modules() if isinstance(part, nn.Linear)]


def _xavier(module: nn.Module) -> None:
    for layer in linears(module):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def _dead_unit(module: nn.Module) -> None:
    for layer in linears(module):
        if layer.out_features == max(own.out_features for own in linears(module)):
            layer.weight.data[0] = 0.0
            layer.bias.data[0] = -1.0


CHANGES: dict[str, Change] = {
    "weight norm": lambda m: [weight_norm(layer) for layer in linears(m)],
    "xavier, zero bias": _xavier,
    "a dead unit": _dead_unit,
}


def changed(answer: type[nn.Module], change: Change) -> type[nn.Module]:
    """A class whose instances are changed after they were made."""

    class Changed(answer):  # type: ignore[misc,valid-type]
        def __init__(self, *args: int, **kwargs: int) -> None:
            super().__init__(*args, **kwargs)
            change(self)

    return Changed


class Residual(nn.Module):
    """x + two layers of x, normalised before them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.down(F.gelu(self.up(self.norm(h))))


def skipping(a: int, b: int, c: int) -> nn.Sequential:
    """A layer, two residual blocks, and a layer."""
    return nn.Sequential(nn.Linear(a, b), Residual(b), Residual(b), nn.Linear(b, c))


def normed(a: int, b: int, c: int) -> nn.Sequential:
    """Two layers with a layer norm before the nonlinearity."""
    return nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU(), nn.Linear(b, c))


def plain(a: int, b: int, c: int) -> nn.Sequential:
    """Three layers in a row."""
    middle = nn.Linear(b, b)
    return nn.Sequential(
        nn.Linear(a, b), nn.SELU(), middle, nn.Mish(inplace=True), nn.Linear(b, c)
    )


Net = Callable[[int, int, int], nn.Module]
NETS: dict[str, Net] = {
    "skips": skipping,
    "layer norm": normed,
    "nn.Sequential throughout": plain,
}


def of_nets(net: Net) -> dict[str, type[nn.Module]]:
    """The four modules, made of such networks."""

    class Encoder(nn.Module):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__()
            self.net = net(input_dim, hidden_dim, 2 * latent_dim)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.net(x).tensor_split(2, dim=-1))

    class Decoder(nn.Module):
        def __init__(self, latent_dim: int, hidden_dim: int, input_dim: int) -> None:
            super().__init__()
            self.net = net(latent_dim, hidden_dim, input_dim)

        def forward(self, z: Tensor) -> Tensor:
            return self.net(z)

    class VAE(nn.Module):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__()
            self.q = net(input_dim, hidden_dim, 2 * latent_dim)
            self.p = net(latent_dim, hidden_dim, input_dim)

        def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, ...]:
            mu, log_var = self.q(x).chunk(2, dim=-1)
            z = torch.addcmul(mu, log_var.mul(0.5).exp(), eps)
            return self.p(z), mu, log_var, z

        def sample(self, z: Tensor) -> Tensor:
            return self.p(z).sigmoid()

    class Autoencoder(nn.Module):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__()
            self.encode = net(input_dim, hidden_dim, latent_dim)
            self.decode = net(latent_dim, hidden_dim, input_dim)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z = self.encode(x)
            return self.decode(z), z

    made = (Encoder, Decoder, VAE, Autoencoder)
    return {answer.__name__: answer for answer in made}


def tied() -> dict[str, type[nn.Module]]:
    """The two with a decoder: it uses the encoder's weights, turned round."""

    class Tied(nn.Module):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__()
            self.first = nn.Linear(input_dim, hidden_dim)
            self.mu = nn.Linear(hidden_dim, latent_dim)
            self.back = nn.Parameter(torch.zeros(hidden_dim))
            self.image = nn.Parameter(torch.zeros(input_dim))

        def encode(self, x: Tensor) -> Tensor:
            return self.mu(torch.tanh(self.first(x)))

        def decode(self, z: Tensor) -> Tensor:
            h = torch.tanh(F.linear(z, self.mu.weight.mT, self.back))
            return F.linear(h, self.first.weight.mT, self.image)

    class Autoencoder(Tied):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z = self.encode(x)
            return self.decode(z), z

    class VAE(Tied):
        def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
            super().__init__(input_dim, hidden_dim, latent_dim)
            self.log_var = nn.Linear(hidden_dim, latent_dim)

        def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, ...]:
            h = torch.tanh(self.first(x))
            mu, log_var = self.mu(h), self.log_var(h)
            z = mu + torch.exp(log_var / 2) * eps
            return self.decode(z), mu, log_var, z

        def sample(self, z: Tensor) -> Tensor:
            return torch.sigmoid(self.decode(z))

    return {"Autoencoder": Autoencoder, "VAE": VAE}


def of_layers() -> Iterator[tuple[str, str, type[nn.Module]]]:
    """(exercise, what is unusual, answer) for unusual layers."""
    usual = of_nets(lambda a, b, c: nn.Sequential(*_usual(a, b, c)))
    for name, change in CHANGES.items():
        for exercise, answer in usual.items():
            yield exercise, name, changed(answer, change)
    for name, net in NETS.items():
        for exercise, answer in of_nets(net).items():
            yield exercise, name, answer
    for exercise, answer in tied().items():
        yield exercise, "tied weights", answer


def _usual(a: int, b: int, c: int) -> tuple[nn.Module, ...]:
    return nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c)


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
    for exercise, what, answer in of_layers():
        topic = "autoencoders" if exercise == "Autoencoder" else "building_the_vae"
        yield topic, exercise, what, answer
