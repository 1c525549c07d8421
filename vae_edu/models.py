"""The given networks: an MLP with one stochastic layer, and the pair with two.

What belongs here: architectures, their densities, and the settings of the papers. What
does not: training (`train`), bounds (`evaluate`), and a learner's own modules.

Everyone has the course's contract: `model(x, eps) -> (logits, mu, log_var, z)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vae_edu.errors import CourseError, one_line

__all__ = [
    "ModelError",
    "OneLayerVAE",
    "TwoLayerVAE",
    "bernoulli_log_prob",
    "build",
    "burda_one_layer",
    "burda_two_layers",
    "latent_dim_of",
    "log_importance_weights",
    "log_ratio",
    "mlp_400_20",
    "set_input_bias",
    "set_output_bias",
]

ACTIVATIONS: Mapping[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class ModelError(CourseError):
    """A network cannot be built with these sizes."""


# --- densities --------------------------------------------------------------------


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    r"""Return log p(x|z) in nats, summed over pixels.

    $$\sum_i x_i l_i - \log(1 + e^{l_i})$$   Kingma & Welling 2014, App. C.1

    x: (batch, input) in [0, 1]; logits: (..., batch, input)  ->  (..., batch).
    """
    return (x * logits - functional.softplus(logits)).sum(-1)


def log_importance_weights(
    x: Tensor, logits: Tensor, z: Tensor, mu: Tensor, log_var: Tensor
) -> Tensor:
    r"""Return log p(x|z) + log p(z) − log q(z|x), in nats.

    The constants of both Gaussians cancel:
    $$\log w = \log p(x|z) + \tfrac12 \sum_j
      \frac{(z_j - \mu_j)^2}{e^{\ell_j}} + \ell_j - z_j^2$$   Burda et al. 2016, eq. 8

    x: (batch, input); logits: (k, batch, input); z: (k, batch, latent); mu, log_var:
    (batch, latent)  ->  (k, batch). Without k it is (batch,).
    """
    return bernoulli_log_prob(x, logits) + log_ratio(z, mu, log_var)


def log_ratio(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """Return log N(z; 0, I) − log N(z; mu, exp log_var), summed over dimensions."""
    scaled = (z - mu).square() * (-log_var).exp()
    return 0.5 * (scaled + log_var - z.square()).sum(-1)


# --- parts ------------------------------------------------------------------------


def _expect_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ModelError(
                f"{name} is {size!r}: expected a whole number of 1 or more "
                "(a model without latent variables is no VAE)."
            )


def _hidden_layers(
    input_dim: int, hidden: Sequence[int], activation: str
) -> nn.Sequential:
    """input_dim -> hidden[0] -> ... -> hidden[-1], each followed by the activation."""
    if activation not in ACTIVATIONS or not hidden:
        raise ModelError(
            f"no hidden layers can be made of {list(hidden)} with {activation!r}: "
            f"expected one size or more, and one of {sorted(ACTIVATIONS)}."
        )
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip([input_dim, *hidden[:-1]], hidden, strict=True):
        _expect_positive(hidden_dim=fan_out)
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


class GaussianMLP(nn.Module):
    """x -> hidden layers -> (mu, log_var), each (..., output_dim)."""

    def __init__(
        self, input_dim: int, hidden: Sequence[int], output_dim: int, activation: str
    ) -> None:
        super().__init__()
        self.hidden = _hidden_layers(input_dim, hidden, activation)
        self.mu = nn.Linear(hidden[-1], output_dim)
        self.log_var = nn.Linear(hidden[-1], output_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., input_dim) -> mu, log_var of (..., output_dim)."""
        h = self.hidden(x)
        return self.mu(h), self.log_var(h)


class BernoulliMLP(nn.Module):
    """z -> hidden layers -> logits of the pixels."""

    def __init__(
        self, latent_dim: int, hidden: Sequence[int], output_dim: int, activation: str
    ) -> None:
        super().__init__()
        self.hidden = _hidden_layers(latent_dim, hidden, activation)
        self.out = nn.Linear(hidden[-1], output_dim)

    def forward(self, z: Tensor) -> Tensor:
        """(..., latent_dim) -> (..., output_dim)."""
        logits: Tensor = self.out(self.hidden(z))
        return logits


def _initialise(model: nn.Module, generator: Generator | None) -> None:
    """Glorot's uniform weights and zero biases, as Burda et al. have them."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)


# --- one stochastic layer ---------------------------------------------------------


class OneLayerVAE(nn.Module):
    """x -> hidden -> z ~ N(mu, exp log_var) -> hidden reversed -> logits.

    hidden: sizes from the image to the code. generator: draws the first weights.
    Raises ModelError for a size below 1.
    """

    def __init__(
        self,
        input_dim: int = 784,
        hidden: Sequence[int] = (200, 200),
        latent_dim: int = 50,
        activation: str = "tanh",
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        _expect_positive(input_dim=input_dim, latent_dim=latent_dim)
        self.input_dim, self.latent_dim = input_dim, latent_dim
        self.sizes = {
            "input_dim": input_dim,
            "hidden": list(hidden),
            "latent_dim": latent_dim,
            "activation": activation,
        }
        self.encoder = GaussianMLP(input_dim, hidden, latent_dim, activation)
        self.decoder = BernoulliMLP(latent_dim, hidden[::-1], input_dim, activation)
        _initialise(self, generator)

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (logits, mu, log_var, z) with z = mu + exp(log_var / 2) eps.

        x: (batch, input); eps: (batch, latent) or (k, batch, latent): the encoder runs
        once for all k.
        """
        mu, log_var = self.encoder(x)
        z = mu + (0.5 * log_var).exp() * eps
        return self.decoder(z), mu, log_var, z

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log_var of q(z|x), (batch, latent) each."""
        mu, log_var = self.encoder(x)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """Return the logits of pixels; z: (..., latent) -> (..., input)."""
        logits: Tensor = self.decoder(z)
        return logits

    def sample(self, z: Tensor) -> Tensor:
        """Return the probabilities of pixels; z: (..., latent) -> (..., input)."""
        return torch.sigmoid(self.decode(z))

    @property
    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight (input, hidden) and bias (input,) of logits = h Wᵀ + b."""
        return self.decoder.out.weight, self.decoder.out.bias

    def features(
        self, code: tuple[Tensor, Tensor], eps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what `evaluate` needs for log-weights without the logits.

        code: what `encode` gave; eps: (k, batch, latent)  ->  the last hidden layer
        (k, batch, hidden), and log p(z) − log q(z|x), (k, batch).
        """
        mu, log_var = code
        z = mu + (0.5 * log_var).exp() * eps
        ratio = 0.5 * (eps.square() - z.square() + log_var).sum(-1)  # as `log_ratio`
        return self.decoder.hidden(z), ratio


# --- two stochastic layers --------------------------------------------------------


class TwoLayerVAE(nn.Module):
    """q(h1|x) q(h2|h1) against p(h2) p(h1|h2) p(x|h1), all but p(h2) given by MLPs.

    The noise of both layers is one tensor, (..., latent_dims[0] + latent_dims[1]), and
    so are mu, log_var and z. The prior of h1 is not N(0, I), so no closed KL holds:
    train and evaluate it by `log_weights`. Burda et al. 2016, sec. 5 and App. C.
    """

    def __init__(
        self,
        input_dim: int = 784,
        hidden: Sequence[Sequence[int]] = ((200, 200), (100, 100)),
        latent_dims: Sequence[int] = (100, 50),
        activation: str = "tanh",
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        (one, two), (dim_1, dim_2) = hidden, latent_dims
        _expect_positive(input_dim=input_dim, latent_dim_1=dim_1, latent_dim_2=dim_2)
        self.input_dim, self.latent_dim = input_dim, dim_1 + dim_2
        self.latent_dims = [dim_1, dim_2]
        self.sizes = {
            "input_dim": input_dim,
            "hidden": [list(one), list(two)],
            "latent_dims": [dim_1, dim_2],
            "activation": activation,
        }
        self.encoder = GaussianMLP(input_dim, one, dim_1, activation)
        self.encoder_2 = GaussianMLP(dim_1, two, dim_2, activation)
        self.decoder_2 = GaussianMLP(dim_2, two[::-1], dim_1, activation)
        self.decoder = BernoulliMLP(dim_1, one[::-1], input_dim, activation)
        _initialise(self, generator)

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (logits, mu, log_var, z); the last three hold h1, then h2.

        x: (batch, input); eps: (..., batch, latent).
        """
        mu, log_var = self.encoder(x)
        h1, h2, mu_2, log_var_2 = self._codes(mu, log_var, eps)
        return (
            self.decoder(h1),
            torch.cat([mu.expand_as(h1), mu_2], -1),
            torch.cat([log_var.expand_as(h1), log_var_2], -1),
            torch.cat([h1, h2], -1),
        )

    def _codes(
        self, mu: Tensor, log_var: Tensor, eps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sample h1 and, given it, h2; with the parameters of q(h2|h1)."""
        eps_1, eps_2 = torch.split(eps, self.latent_dims, dim=-1)
        h1 = mu + (0.5 * log_var).exp() * eps_1
        mu_2, log_var_2 = self.encoder_2(h1)
        return h1, mu_2 + (0.5 * log_var_2).exp() * eps_2, mu_2, log_var_2

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log_var of both layers, the second's at h1 = its mean."""
        mu, log_var = self.encoder(x)
        mu_2, log_var_2 = self.encoder_2(mu)
        return torch.cat([mu, mu_2], -1), torch.cat([log_var, log_var_2], -1)

    def decode(self, z: Tensor) -> Tensor:
        """Return the logits of pixels, of the first layer's part of z."""
        logits: Tensor = self.decoder(z[..., : self.latent_dims[0]])
        return logits

    def sample(self, z: Tensor) -> Tensor:
        """Return the probabilities of pixels; z: (..., latent), N(0, I) both layers."""
        eps_1, h2 = torch.split(z, self.latent_dims, dim=-1)
        mu, log_var = self.decoder_2(h2)
        return torch.sigmoid(self.decoder(mu + (0.5 * log_var).exp() * eps_1))

    def log_weights(self, x: Tensor, eps: Tensor) -> Tensor:
        """Return log p(x, h1, h2) − log q(h1, h2|x), (..., batch), in nats."""
        h, log_ratio = self.features(self.encoder(x), eps)
        return bernoulli_log_prob(x, self.decoder.out(h)) + log_ratio

    @property
    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight (input, hidden) and bias (input,) of logits = h Wᵀ + b."""
        return self.decoder.out.weight, self.decoder.out.bias

    def features(
        self, code: tuple[Tensor, Tensor], eps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the last hidden layer and log p(h1, h2) − log q(h1, h2|x).

        code: what `encode` gave, of which the first layer's part is used.
        """
        mu, log_var = (part[..., : self.latent_dims[0]] for part in code)
        h1, h2, mu_2, log_var_2 = self._codes(mu, log_var, eps)
        ratio = self._layer_ratio(h1, h2, (mu, log_var))
        return self.decoder.hidden(h1), ratio + log_ratio(h2, mu_2, log_var_2)

    def _layer_ratio(self, h1: Tensor, h2: Tensor, q: tuple[Tensor, Tensor]) -> Tensor:
        """Return log p(h1|h2) − log q(h1|x), summed over dimensions."""
        return log_ratio(h1, *q) - log_ratio(h1, *self.decoder_2(h2))

    def dreg_log_weights(
        self, x: Tensor, eps: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the log-weights and the codes, for doubly reparameterised gradients.

        The densities of q keep their dependence on the codes and lose that on the
        encoders' weights. The codes returned are those that the densities see; what
        the second encoder sees is another branch, so a hook on them acts once on each
        path to the encoders. Tucker et al. 2019, eq. 6.
        """
        mu, log_var = self.encoder(x)
        own_1, own_2, _, _ = self._codes(mu, log_var, eps)
        h1, h2 = own_1.view_as(own_1), own_2.view_as(own_2)
        frozen = {k: v.detach() for k, v in self.encoder_2.named_parameters()}
        q_2 = torch.func.functional_call(self.encoder_2, frozen, (h1,))
        ratio = self._layer_ratio(h1, h2, (mu.detach(), log_var.detach()))
        log_prob = bernoulli_log_prob(x, self.decoder(h1))
        return log_prob + ratio + log_ratio(h2, *q_2), (h1, h2)


# --- the papers' settings ---------------------------------------------------------


def burda_one_layer(generator: Generator | None = None) -> OneLayerVAE:
    """784-200-200-50, tanh. Burda et al. 2016, sec. 5."""
    return OneLayerVAE(generator=generator)


def burda_two_layers(generator: Generator | None = None) -> TwoLayerVAE:
    """784-200-200-100-100-100-50, tanh. Burda et al. 2016, sec. 5."""
    return TwoLayerVAE(generator=generator)


def mlp_400_20(generator: Generator | None = None) -> OneLayerVAE:
    """784-400-20, ReLU: the size of the well-known PyTorch example."""
    return OneLayerVAE(784, (400,), 20, "relu", generator)


GIVEN: Mapping[str, type[nn.Module]] = {
    "one_layer": OneLayerVAE,
    "two_layers": TwoLayerVAE,
}


def build(name: str, sizes: Mapping[str, Any]) -> nn.Module:
    """Return a given network by its name and `.sizes`, as a run folder records them.

    Raises ModelError for a name or sizes that are none of the given networks'.
    """
    try:
        return GIVEN[name](**sizes)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"no given network is {name!r} with {dict(sizes)}: "
            f"expected one of {sorted(GIVEN)} and its sizes."
        ) from error


def set_output_bias(layer: nn.Linear, images: Tensor) -> None:
    r"""Set the bias to the logit of each pixel's mean, kept within [0.001, 0.999].

    So the first epoch need not learn where digits never are. images: (n, input), uint8
    in 0..255 or floats in [0, 1]. Burda et al.'s published code.
    """
    mean = _mean_image(images, len(layer.bias), "the layer that gives the logits")
    with torch.no_grad():
        layer.bias.copy_(torch.logit(mean.clamp(0.001, 0.999)))


def set_input_bias(layer: nn.Linear, images: Tensor) -> None:
    """Set the bias to −W · mean image, so that the layer starts on centred images.

    images: (n, input), uint8 in 0..255 or floats in [0, 1].
    """
    mean = _mean_image(images, layer.in_features, "the layer that the images enter")
    with torch.no_grad():
        layer.bias.copy_(-layer.weight @ mean.to(layer.weight))


def _mean_image(images: Tensor, pixels: int, expected: str) -> Tensor:
    """The mean in [0, 1], float64; in parts, whose sums of bytes float32 holds."""
    if images.shape[1:] != (pixels,):
        raise ModelError(
            f"the layer has {pixels} pixels, the images' mean "
            f"{tuple(images.shape[1:])}: expected {expected}."
        )
    scale = 255 if images.dtype == torch.uint8 else 1
    sums = [part.float().sum(0).double() for part in torch.split(images, 250)]
    return torch.stack(sums).sum(0) / (scale * len(images))


def latent_dim_of(model: nn.Module, input_dim: int) -> int:
    """Return how many noise values an image takes: `model.latent_dim`, or found out.

    Raises ModelError where the model does not take images of this size, or the size
    cannot be found: pass latent_dim then.
    """
    declared = getattr(model, "latent_dim", None)
    if isinstance(declared, int):
        return declared
    was = {part: part.training for part in model.modules()}
    model.eval()  # where one image is enough
    try:
        return _latent_dim_tried(model, input_dim)
    except Exception as error:
        raise ModelError(
            f"the model does not take images of {input_dim} pixels as model(x, eps) "
            f"({one_line(error)}). Remedy: check input_dim, or pass latent_dim=..."
        ) from error
    finally:
        for part, training in was.items():
            part.training = training


def _latent_dim_tried(model: nn.Module, input_dim: int) -> int:
    """Try noise of one value, which spreads to any size; else each size of a weight."""
    like = next(model.parameters(), torch.empty(0))
    sizes = {n for p in model.parameters() for n in p.shape}
    sizes |= {n // 2 for n in sizes if n % 2 == 0}  # both heads in one layer
    first: Exception | None = None
    for size in (1, *sorted(sizes - {1})):
        try:
            with torch.no_grad():
                x, eps = like.new_zeros(1, input_dim), like.new_zeros(1, size)
                mu = model(x, eps)[1]
        except Exception as error:
            first = first or error
            continue
        if size in (1, mu.shape[-1]):
            return int(mu.shape[-1])
    raise first or ValueError("mu has the size of no noise")
