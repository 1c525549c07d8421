"""Lesson 10: right answers, written differently."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


class Reading(NamedTuple):
    """A difference and its standard error."""

    difference: Tensor
    standard_error: Tensor


@variant("paired_difference", "std_mean, in a NamedTuple")
def _(nll_a: Tensor, nll_b: Tensor) -> Reading:
    spread, mean = torch.std_mean(nll_a - nll_b, dim=0, unbiased=True)
    return Reading(mean, spread / math.sqrt(nll_a.numel()))


@variant("paired_difference", "the length of the centred differences")
def _(nll_a, nll_b):
    d = nll_a.sub(nll_b)
    n = d.shape[0]
    mean = d.sum() / n
    return mean, torch.linalg.vector_norm(d - mean) / (n * (n - 1)) ** 0.5


@variant("paired_difference", "both variances, less twice the covariance")
def _(nll_a: Tensor, nll_b: Tensor) -> tuple[Tensor, Tensor]:
    c = torch.cov(torch.stack([nll_a, nll_b]))
    variance = c[0, 0] + c[1, 1] - 2 * c[0, 1]
    return nll_a.mean() - nll_b.mean(), (variance / nll_a.shape[0]).sqrt()


@variant("paired_difference", "a loop over the images")
def _(nll_a, nll_b):
    pairs = [a - b for a, b in zip(nll_a, nll_b, strict=True)]
    mean = sum(pairs) / len(pairs)
    squares = sum((d - mean) ** 2 for d in pairs)
    return mean, torch.sqrt(squares / (len(pairs) - 1) / len(pairs))


@variant("paired_difference", "einsum on centred differences")
def _(nll_a, nll_b):
    n = nll_a.size(0)
    d = nll_a + (-1) * nll_b
    r = d - torch.mean(d, 0, keepdim=True)
    return d.mean(-1), torch.einsum("i,i->", r, r).div(n - 1).div(n).pow(0.5)


@variant("paired_difference", "the jackknife")
def _(nll_a: Tensor, nll_b: Tensor) -> tuple[Tensor, Tensor]:
    d = nll_a - nll_b
    n = len(d)
    centre = d.mean()
    r = d - centre  # leaving one out moves the mean by -r / (n - 1)
    left_out = -r / (n - 1)
    return centre, ((n - 1) / n * (left_out**2).sum()).sqrt()
