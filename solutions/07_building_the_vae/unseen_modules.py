"""Lesson 07: networks as learners write them wrongly, in the forms of tutorials."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Bernoulli, Normal
from torch.nn import functional as F  # noqa: N812

from tests.unseen import register

UNSEEN, unseen = register()


# --- Encoder --------------------------------------------------------------------------


class Trunk(nn.Module):
    """A body of two hidden layers, and what the wrong encoders below do with it."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden_dim, hidden_dim),
            nn.Tanh(),
        )
        self.fc_mu = nn.Linear(hidden_dim, latent_dim)
        self.fc_var = nn.Linear(hidden_dim, latent_dim)


@unseen("Encoder", "size-written")
class FlattensMnist(Trunk):
    def forward(self, x):
        h = self.body(x.view(-1, 784))
        return self.fc_mu(h), self.fc_var(h)


@unseen("Encoder", "noise-inside", "dropout")
class FunctionalDropout(Trunk):
    def forward(self, x):
        h = F.dropout(self.body(x), 0.3)
        return self.fc_mu(h), self.fc_var(h)


@unseen("Encoder", "joined")
class OneWideResult(Trunk):
    def forward(self, x):
        h = self.body(x)
        return torch.cat((self.fc_mu(h), self.fc_var(h)), dim=1)


@unseen("Encoder", "never-positive")
class AlwaysNarrowerThanThePrior(Trunk):
    def forward(self, x):
        h = self.body(x)
        return self.fc_mu(h), -F.softplus(self.fc_var(h))


@unseen("Encoder", "clamped")
class AScaledTanh(Trunk):
    def forward(self, x):
        h = self.body(x)
        return self.fc_mu(h), 5 * torch.tanh(self.fc_var(h))


@unseen("Encoder", "clamped")
class AFloorUnderTheLogVariance(Trunk):
    def forward(self, x):
        h = self.body(x)
        return self.fc_mu(h), torch.max(self.fc_var(h), torch.full((), -6.0).to(h))


@unseen("Encoder", "exponential")
class TheVariance(Trunk):
    def forward(self, x):
        h = self.body(x)
        return self.fc_mu(h), torch.exp(self.fc_var(h))


@unseen("Encoder", "one-head")
class TheSameLayerTwice(Trunk):
    def forward(self, x):
        h = self.body(x)
        mu, log_var = self.fc_mu(h), self.fc_mu(h) + self.fc_var.bias
        return mu, log_var


@unseen("Encoder", "no-nonlinearity")
class ALongLinearMap(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.Linear(hidden_dim, hidden_dim),
            nn.Linear(hidden_dim, 2 * latent_dim),
        )

    def forward(self, x):
        mu, log_var = self.net(x).chunk(2, dim=1)
        return mu, log_var


@unseen("Encoder", "rows-mixed")
class ScaledByTheBrightestPixelOfAll(Trunk):
    def forward(self, x):
        h = self.body(x / x.max())
        return self.fc_mu(h), self.fc_var(h)


@unseen("Encoder", "log-var-without-x")
class OneSpreadForAllImages(Trunk):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.fc_var = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, x):
        mu = self.fc_mu(self.body(x))
        return mu, self.fc_var.unsqueeze(0).repeat(x.size(0), 1)


# --- Decoder --------------------------------------------------------------------------


class Tail(nn.Module):
    """A decoder in one nn.Sequential, with something behind it."""

    last: type[nn.Module] = nn.Identity

    def __init__(self, latent_dim: int, hidden_dim: int, input_dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ELU(),
            nn.Linear(hidden_dim, input_dim),
            self.last(),
        )

    def forward(self, z):
        return self.net(z)


@unseen("Decoder", "probabilities")
class EndsInASigmoid(Tail):
    last = nn.Sigmoid


@unseen("Decoder", "tanh-last")
class EndsInATanh(Tail):
    last = nn.Tanh


@unseen("Decoder", "probabilities")
class EndsInASoftmax(Tail):
    def forward(self, z):
        return F.softmax(self.net(z), dim=-1)


@unseen("Decoder", "exponential")
class Intensities(Tail):
    def forward(self, z):
        return self.net(z).exp()


@unseen("Decoder", "softplus")
class PositiveIntensities(Tail):
    last = nn.Softplus


@unseen("Decoder", "size-written")
class APicture(Tail):
    def forward(self, z):
        return self.net(z).view(-1, 1, 28, 28)


@unseen("Decoder", "image-shaped", "sizes-do-not-meet")
class AllSamplesInOneRow(Tail):
    def forward(self, z):
        return self.net(z.reshape(-1, z.shape[-1]))


@unseen("Decoder", "distribution-returned")
class ADistribution(Tail):
    def forward(self, z):
        return Bernoulli(logits=self.net(z))


@unseen("Decoder", "clamped")
class LogitsOfSafeProbabilities(Tail):
    def forward(self, z):
        return torch.logit(torch.sigmoid(self.net(z)), eps=1e-6)


@unseen("Decoder", "rows-mixed")
class TheCodesAreScaledTogether(Tail):
    def forward(self, z):
        return self.net(z / z.norm())


@unseen("Decoder", "no-return")
class ForgetsToReturn(Tail):
    def forward(self, z):
        self.net(z)


# --- VAE ------------------------------------------------------------------------------


class Kingma(nn.Module):
    """A VAE in one class, its layers numbered as in the best known example."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.fc21 = nn.Linear(hidden_dim, latent_dim)
        self.fc22 = nn.Linear(hidden_dim, latent_dim)
        self.fc3 = nn.Linear(latent_dim, hidden_dim)
        self.fc4 = nn.Linear(hidden_dim, input_dim)

    def encode(self, x):
        h1 = F.elu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar, eps):
        std = torch.exp(0.5 * logvar)
        return mu + eps * std

    def decode(self, z):
        return self.fc4(F.elu(self.fc3(z)))

    def forward(self, x, eps):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar, eps)
        return self.decode(z), mu, logvar, z

    def sample(self, z):
        return torch.sigmoid(self.decode(z))


@unseen("VAE", "probabilities")
class DecodesToPixels(Kingma):
    def decode(self, z):
        return torch.sigmoid(self.fc4(F.elu(self.fc3(z))))

    def sample(self, z):
        return self.decode(z)


@unseen("VAE", "noise-inside")
class DrawsItsOwn(Kingma):
    def reparameterize(self, mu, logvar, eps):
        std = logvar.mul(0.5).exp_()
        eps = torch.empty_like(eps).normal_()
        return eps.mul(std).add(mu)


@unseen("VAE", "noise-in-training-only")
class MeanInEvaluation(Kingma):
    def reparameterize(self, mu, logvar, eps):
        if not self.training:
            return mu
        return super().reparameterize(mu, logvar, eps)


@unseen("VAE", "exponential-forgotten")
class ForgetsTheExponential(Kingma):
    def reparameterize(self, mu, logvar, eps):
        std = 0.5 * logvar
        return mu + std * eps


@unseen("VAE", "noise-unscaled")
class AddsTheNoise(Kingma):
    def reparameterize(self, mu, logvar, eps):
        return mu + eps


@unseen("VAE", "softplus-as-std")
class ASoftplusSpread(Kingma):
    def reparameterize(self, mu, logvar, eps):
        return mu + F.softplus(logvar) * eps


@unseen("VAE", "variance-returned")
class ReturnsTheVariance(Kingma):
    def encode(self, x):
        h1 = torch.tanh(self.fc1(x))
        return self.fc21(h1), F.softplus(self.fc22(h1))

    def reparameterize(self, mu, var, eps):
        return mu + var.sqrt() * eps


@unseen("VAE", "noise-subtracted")
class SubtractsTheNoise(Kingma):
    def reparameterize(self, mu, logvar, eps):
        return mu - torch.exp(logvar / 2) * eps


@unseen("VAE", "order")
class InTheOrderOfTheExample(Kingma):
    def forward(self, x, eps):
        logits, mu, logvar, z = super().forward(x, eps)
        return logits, z, mu, logvar


@unseen("VAE", "sample-draws")
class DrawsAnImage(Kingma):
    def sample(self, z):
        return Bernoulli(logits=self.decode(z)).sample()


@unseen("VAE", "sample-no-gradient")
class SamplesForAPicture(Kingma):
    def sample(self, z):
        with torch.no_grad():
            return torch.sigmoid(self.decode(z))


@unseen("VAE", "noise-inside", "sample-noise")
class SampleDrawsTheCode(Kingma):
    def sample(self, z):
        return torch.sigmoid(self.decode(torch.randn_like(z)))


@unseen("VAE", "ignores-input", "remembers")
class SampleShowsTheLastImage(Kingma):
    def forward(self, x, eps):
        out = super().forward(x, eps)
        self.last = out[0]
        return out

    def sample(self, z):
        if not hasattr(self, "last") or self.last.shape[0] != z.shape[0]:
            return torch.sigmoid(self.decode(z))
        return torch.sigmoid(self.last)


@unseen("VAE", "one-image-for-all-samples")
class TheMeanImage(Kingma):
    def decode(self, z):
        logits = super().decode(z)
        return logits.mean(0) if logits.dim() == 3 else logits


@unseen("VAE", "both-detached")
class DrawnBySampler(Kingma):
    def reparameterize(self, mu, logvar, eps):
        with torch.no_grad():
            return Normal(mu, 1e-9 + 0 * mu).mean + eps * torch.exp(0.5 * logvar)


@unseen("VAE", "log-var-detached")
class AStableSpread(Kingma):
    def reparameterize(self, mu, logvar, eps):
        return mu + eps * torch.exp(0.5 * logvar).detach()


@unseen("VAE", "batch-norm")
class NormalisedInside(Kingma):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.bn = nn.BatchNorm1d(hidden_dim, track_running_stats=True)

    def encode(self, x):
        h1 = F.relu(self.bn(self.fc1(x)))
        return self.fc21(h1), self.fc22(h1)


@unseen("VAE", "clamped")
class SafeLogVariance(Kingma):
    def encode(self, x):
        mu, logvar = super().encode(x)
        return mu, torch.clamp(logvar, min=-6)


@unseen("VAE", "no-nonlinearity")
class FlatDecoder(Kingma):
    def decode(self, z):
        return self.fc4(self.fc3(z))


@unseen("VAE", "decoder-sees-x")
class ASkipAroundTheCode(Kingma):
    def forward(self, x, eps):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar, eps)
        return self.fc4(F.elu(self.fc3(z) + self.fc1(x))), mu, logvar, z


@unseen("VAE", "squeezed")
class WithoutTheOnes(Kingma):
    def forward(self, x, eps):
        logits, mu, logvar, z = super().forward(x, eps)
        return logits.squeeze(), mu.squeeze(), logvar.squeeze(), z.squeeze()


@unseen("VAE", "in-place")
class CentresTheNoise(Kingma):
    def reparameterize(self, mu, logvar, eps):
        return eps.mul_(torch.exp(0.5 * logvar)) + mu


@unseen("VAE", "unused-layer")
class ThreeHeads(Kingma):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.fc23 = nn.Linear(hidden_dim, latent_dim)


@unseen("VAE", "not-registered")
class LayersInADict(Kingma):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        del self.fc3, self.fc4
        self.layers = {
            "up": nn.Linear(latent_dim, hidden_dim),
            "out": nn.Linear(hidden_dim, input_dim),
        }

    def decode(self, z):
        return self.layers["out"](F.elu(self.layers["up"](z)))
