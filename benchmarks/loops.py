"""The loops a user would write otherwise: what the engine is measured against.

What belongs here: plain training and evaluation loops in the manner of the tutorials,
written for this comparison, with nothing slowed down on purpose. What does not: timing.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.distributions import Normal
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms


class PlainVAE(nn.Module):
    """784-400-20, ReLU, probabilities out: the tutorials' network."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc_mu = nn.Linear(400, 20)
        self.fc_log_var = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 784) -> mu and log_var, (n, 20) each."""
        h = functional.relu(self.fc1(x))
        return self.fc_mu(h), self.fc_log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        """(n, 20) -> probabilities (n, 784)."""
        return torch.sigmoid(self.fc4(functional.relu(self.fc3(z))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities, mu and log_var."""
        mu, log_var = self.encode(x)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return self.decode(z), mu, log_var


def loader(root: Path, batch_size: int = 128, first: int | None = None) -> DataLoader:
    """MNIST as torchvision gives it: a picture at a time, made a tensor."""
    mnist = datasets.MNIST(str(root), train=True, transform=transforms.ToTensor())
    subset = mnist if first is None else Subset(mnist, range(first))
    return DataLoader(subset, batch_size=batch_size, shuffle=True)


def loss_of(probabilities: Tensor, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """Summed cross-entropy of the grey values, and the KL; a sum over the batch."""
    cross_entropy = functional.binary_cross_entropy(probabilities, x, reduction="sum")
    return cross_entropy - 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


def train_epoch(
    model: PlainVAE,
    optimizer: torch.optim.Optimizer,
    batches: DataLoader,
    device: str = "cpu",
) -> float:
    """One epoch; return the mean loss."""
    model.train()
    total = 0.0
    for images, _ in batches:
        x = images.to(device).view(-1, 784)
        optimizer.zero_grad()
        loss = loss_of(*with_input(model, x))
        loss.backward()
        total += loss.item()
        optimizer.step()
    return total / len(batches.dataset)  # type: ignore[arg-type]


def with_input(model: PlainVAE, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what `loss_of` takes."""
    probabilities, mu, log_var = model(x)
    return probabilities, x, mu, log_var


def nll(model: nn.Module, images: Tensor, num_samples: int) -> float:
    """Mean −log p(x) by importance sampling, one image after the other.

    model: a given network of the course. Its encoder runs on the repeated image, as it
    does where a user calls the model on num_samples copies.
    """
    values = []
    with torch.no_grad():
        for image in images:
            x = image.expand(num_samples, -1)
            mu, log_var = model.encode(x)
            q = Normal(mu, torch.exp(0.5 * log_var))
            z = q.sample()
            cross_entropy = functional.binary_cross_entropy_with_logits(
                model.decode(z), x, reduction="none"
            )
            log_prior = Normal(torch.zeros_like(z), torch.ones_like(z)).log_prob(z)
            log_weights = (
                -cross_entropy.sum(1) + log_prior.sum(1) - q.log_prob(z).sum(1)
            )
            bound = torch.logsumexp(log_weights, 0) - math.log(num_samples)
            values.append(-bound.item())
    return sum(values) / len(values)
