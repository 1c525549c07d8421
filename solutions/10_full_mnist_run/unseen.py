"""Lesson 10: mistakes of strangers about the difference of two models."""

from __future__ import annotations

import torch

from tests.unseen import register

UNSEEN, unseen = register()
NAME = "paired_difference"


@unseen(NAME, "The two models are treated as if they had seen different images")
def _(nll_a, nll_b):
    n = nll_a.numel()
    return nll_a.mean() - nll_b.mean(), ((nll_a.var() + nll_b.var()) / n).sqrt()


@unseen(NAME, "The spread of the images stands in for that of their mean")
def _(nll_a, nll_b):
    gap = torch.sub(nll_a, nll_b)
    return gap.mean(), gap.std()


@unseen(NAME, "Divided by n where the mean was fitted to the same numbers")
def _(nll_a, nll_b):
    gap = nll_a - nll_b
    return gap.mean(), ((gap - gap.mean()) ** 2).mean().sqrt() / len(gap) ** 0.5


@unseen(
    NAME,
    "The sign says that the worse model is better",
    "turned-sign",
    "exchanged-nll_a-nll_b",
)
def _(nll_a, nll_b):
    gap = nll_b - nll_a
    return gap.mean(), gap.std() / gap.shape[0] ** 0.5


@unseen(NAME, "A variance is returned as the error", "square")
def _(nll_a, nll_b):
    gap = nll_a - nll_b
    return gap.mean(), torch.var(gap) / len(gap)


@unseen(NAME, "The spread is divided by n, not by its root")
def _(nll_a, nll_b):
    gap = nll_a - nll_b
    return gap.sum() / len(gap), torch.std(gap).div(len(gap))


@unseen(NAME, "A confidence interval in place of a standard error")
def _(nll_a, nll_b):
    gap = nll_a - nll_b
    return gap.mean(), 1.96 * gap.std() / len(gap) ** 0.5


@unseen(NAME, "The two numbers are exchanged", "order")
def _(nll_a, nll_b):
    gap = nll_a - nll_b
    return gap.std(correction=1) / len(gap) ** 0.5, gap.mean()


@unseen(NAME, "The distance of the models, without its sign")
def _(nll_a, nll_b):
    gap = (nll_a - nll_b).abs()
    return gap.mean(), gap.std() / len(gap) ** 0.5


@unseen(NAME, "The difference is summed over the images, not averaged")
def _(nll_a, nll_b):
    gap = nll_a - nll_b
    return gap.sum(), gap.std() * len(gap) ** 0.5


@unseen(NAME, "argument-detached")
def _(nll_a, nll_b):
    gap = nll_a.detach() - nll_b
    return gap.mean(), gap.std() / len(gap) ** 0.5


@unseen(NAME, "The mean square less the square of the mean")
def _(nll_a, nll_b):
    gap, n = nll_a - nll_b, len(nll_a)
    variance = (gap.square().sum() - n * gap.mean() ** 2) / (n - 1)
    return gap.mean(), (variance / n).sqrt()
