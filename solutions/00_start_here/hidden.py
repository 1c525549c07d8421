"""Lesson 00: the oracle, by torch.logsumexp, and the hidden laws."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import FLOAT32, Laws, Truth, compare
from vae_edu.checks.standard import Case, add_fresh, cast
from vae_edu.checks.start_here import CASES, ZERO, compare_each
from vae_edu.subject import Subject

LAWS = Laws("start_here")


def log_mean_exp(log_values: Tensor, dim: int) -> Tensor:
    """torch's own logsumexp, less log n."""
    return torch.logsumexp(log_values, dim) - math.log(log_values.shape[dim])


ORACLES = {"log_mean_exp": log_mean_exp}

add_fresh(LAWS, CASES["log_mean_exp"])


def _zeros_beside_extremes(draw: Draw) -> Iterator[Case]:
    low, high = draw.normal(4, 3) - 1e4, draw.normal(4, 3) + 1e4
    low[1, 2] = high[3, 0] = ZERO
    low[:, 1] = high[0] = ZERO
    yield Case((low, 0), scale=1e4, note="a column of -inf")
    yield Case((high, 1), scale=1e4, note="-inf beside 10,000")
    yield Case((torch.full((3, 2), ZERO, dtype=low.dtype), 0), note="-inf only")
    yield Case((torch.full((4,), ZERO, dtype=low.dtype), 0), note="one list of -inf")
    yield Case((torch.full((3, 1), ZERO, dtype=low.dtype), 1), note="one value each")


@LAWS.law(
    "log_mean_exp",
    "zero weights beside extremes",
    "-inf stays a weight of zero among log-values of ±10,000 and by itself",
    hidden=True,
)
def _zeros(subject: Subject, truth: Truth, draw: Draw) -> None:
    made = list(_zeros_beside_extremes(draw))
    compare_each(subject, truth, made)
    for case in made:
        compare(
            subject.call("log_mean_exp", *cast(case.args, dtype=torch.float32)),
            truth("log_mean_exp", *case.args),
            what=f"log_mean_exp in float32 ({case.note})",
            scale=case.scale,
            rtol=4 * FLOAT32,
            dtype=torch.float32,
        )
