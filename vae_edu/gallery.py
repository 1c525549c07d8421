"""Training runs that go wrong, for lesson 08. Read it after you have guessed.

What belongs here: what is wrong with each patient, as arguments for the lesson's own
`train` or as a change to the model. What does not: training, measuring, drawing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PATIENTS = ("healthy", "A", "B", "C", "D", "E")


class _Blindfolded(nn.Module):
    """A model whose encoder gets a blank image, whatever the image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = model

    def forward(self, x: Tensor, eps: Tensor) -> Any:
        return self.inner(0 * x, eps)


class _Reading(nn.Module):
    """A model whose decoder also reads all pixels that come before each one.

    log p(x|z) = sum_j log p(x_j | x_1 ... x_{j-1}, z): a decoder that needs no code.
    """

    def __init__(self, model: nn.Module, pixels: int) -> None:
        super().__init__()
        self.inner = model
        self.before = nn.Parameter(torch.zeros(pixels, pixels))

    def forward(self, x: Tensor, eps: Tensor) -> Any:
        logits, mu, log_var, z = self.inner(x, eps)
        return logits + 10 * x @ self.before.triu(1), mu, log_var, z  # quick to learn


def model(patient: str, healthy: nn.Module, pixels: int) -> nn.Module:
    """The patient's model, made from a healthy one."""
    _expect(patient)
    if patient == "B":
        return _Blindfolded(healthy)
    return _Reading(healthy, pixels) if patient == "E" else healthy


def habits(patient: str) -> dict[str, Any]:
    """What the patient's training does differently: keywords for `train`."""
    _expect(patient)
    known: dict[str, dict[str, Any]] = {
        "A": {"noise": lambda eps: 0 * eps},
        "C": {"lr": 0.1},
        "D": {"beta": lambda step: 1 / 100},
    }
    return known.get(patient, {})


def _expect(patient: str) -> None:
    if patient not in PATIENTS:
        names = ", ".join(PATIENTS)
        raise ValueError(f"there is no patient {patient!r}; there are {names}")
