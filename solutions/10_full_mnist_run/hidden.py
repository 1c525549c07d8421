"""Lesson 10: the oracle, from all pairs of images; the hidden law."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_edu.checks.full_mnist_run import CASES
from vae_edu.checks.law import Laws
from vae_edu.checks.standard import add_fresh

LAWS = Laws("full_mnist_run")


def paired_difference(nll_a: Tensor, nll_b: Tensor) -> tuple[Tensor, Tensor]:
    """The variance from pairs: half the mean square of what two draws differ by."""
    n, d = len(nll_a), torch.stack([nll_a, -nll_b]).sum(0)
    apart = d[:, None] - d
    i, j = torch.triu_indices(n, n, 1)
    return d.sum() / n, ((apart[i, j] ** 2).sum() / (n * (n - 1)) / n).sqrt()


ORACLES = {"paired_difference": paired_difference}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)
