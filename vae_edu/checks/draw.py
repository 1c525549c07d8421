"""Informative random inputs, the same on every platform for the same seed.

Drawn with Python's own generator, whose stream is fixed by its documentation; torch's
is not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import torch
from torch import Tensor

_quantile = lru_cache(2**16)(NormalDist().inv_cdf)  # the same seeds come again


class Draw:
    """Draws float64 tensors without zeros, ties or special values, from a seed."""

    def __init__(self, seed: str | int) -> None:
        self._random = random.Random(str(seed))

    def _fill(self, shape: Sequence[int], low: float, high: float) -> Tensor:
        count = 1
        for size in shape:
            count *= size
        values = [low + (high - low) * self._random.random() for _ in range(count)]
        return torch.tensor(values, dtype=torch.float64).reshape(tuple(shape))

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform on (low, high)."""
        return self._fill(shape, low, high)

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Standard normal times `scale`."""
        values = [
            _quantile(min(max(u, 1e-12), 1 - 1e-12))
            for u in self._fill(shape, 0.0, 1.0).flatten().tolist()
        ]
        return scale * torch.tensor(values, dtype=torch.float64).reshape(shape)

    def log_var(self, *shape: int) -> Tensor:
        """Log-variances on (-1.6, 1.4), distinct in every place."""
        return self._fill(shape, -1.6, 1.4)

    def probs(self, *shape: int) -> Tensor:
        """Probabilities over the last dimension, none near zero."""
        raw = self._fill(shape, 0.2, 1.0)
        return raw / raw.sum(-1, keepdim=True)

    def bits(self, *shape: int) -> Tensor:
        """Zeros and ones."""
        return (self._fill(shape, 0.0, 1.0) < 0.5).to(torch.float64)

    def sign(self, *shape: int) -> Tensor:
        """Cotangents: values on (0.5, 1.5) with random signs."""
        return self._fill(shape, 0.5, 1.5) * (1 - 2 * self.bits(*shape))

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return self._random.randint(low, high)
