"""Lesson 00: right answers, written differently."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


@variant("log_mean_exp", "torch.logsumexp, less log n")
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim=dim) - math.log(log_values.size(dim))


@variant("log_mean_exp", "log n subtracted from each value first")
def _(log_values, dim):
    return (log_values - math.log(log_values.shape[dim])).logsumexp(dim)


@variant("log_mean_exp", "max and a sum, nothing detached, nan_to_num for the shift")
def _(log_values: Tensor, dim: int) -> Tensor:
    top = torch.nan_to_num(log_values.max(dim, keepdim=True).values, neginf=0.0)
    total = torch.exp(log_values - top).sum(dim, keepdim=True)
    return (torch.log(total / log_values.shape[dim]) + top).squeeze(dim)


@variant("log_mean_exp", "a running maximum and a running sum, value by value")
def _(log_values: Tensor, dim: int) -> Tensor:
    slices = log_values.unbind(dim)
    top, total = slices[0], torch.ones_like(slices[0])
    for value in slices[1:]:
        new = torch.maximum(top, value)
        safe = torch.where(torch.isinf(new), torch.zeros_like(new), new)
        total = total * torch.exp(top - safe) + torch.exp(value - safe)
        top = new
        total = torch.where(torch.isinf(new), torch.ones_like(total), total)
    return top + torch.log(total / len(slices))


@variant("log_mean_exp", "logaddexp folded over the values")
def _(log_values, dim):
    return functools.reduce(torch.logaddexp, log_values.unbind(dim)) - math.log(
        log_values.shape[dim]
    )


@variant("log_mean_exp", "an if for the rows of nothing but zeros, in Python's loops")
def _(log_values: Tensor, dim: int) -> Tensor:
    moved = log_values.movedim(dim, -1)
    means = []
    for row in moved.reshape(-1, moved.shape[-1]):
        m = row.max().item()
        if m == -math.inf:
            means.append(row.sum())
        else:
            means.append(m + (row - m).exp().mean().log())
    return torch.stack(means).reshape(moved.shape[:-1])


@variant("log_mean_exp", "logcumsumexp, its last entry")
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logcumsumexp(log_values, dim).select(dim, -1) - math.log(
        log_values.shape[dim]
    )


@variant("log_mean_exp", "in float64 inside, in the inputs' dtype outside")
def _(log_values: Tensor, dim: int) -> Tensor:
    a = log_values.double()
    top = a.amax(dim, keepdim=True).clamp(min=torch.finfo(a.dtype).min)
    mean = torch.einsum("i...->...", (a - top).exp().movedim(dim, 0)) / a.shape[dim]
    return (mean.log() + top.squeeze(dim)).to(log_values.dtype)


@variant("log_mean_exp", "the values sorted, the largest one taken out as log1p")
def _(log_values: Tensor, dim: int) -> Tensor:
    ordered = log_values.sort(dim, descending=True).values
    top = ordered.narrow(dim, 0, 1)
    top = top.where(top > -math.inf, torch.zeros_like(top))
    rest = (ordered.narrow(dim, 1, ordered.shape[dim] - 1) - top).exp().sum(dim)
    return ordered.select(dim, 0) + rest.log1p() - math.log(log_values.shape[dim])
