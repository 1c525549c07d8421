"""Lesson 00: wrong answers that no mutant and no sign was made from."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tests.unseen import register

UNSEEN, unseen = register()


@unseen("log_mean_exp", "the-formula-as-it-stands", "overflow")
def naive_with_a_python_sum(log_values: Tensor, dim: int) -> Tensor:
    n = log_values.size(dim)
    return torch.log(sum(torch.exp(v) / n for v in log_values.unbind(dim)))


@unseen("log_mean_exp", "Divided by n outside the logarithm")
def lse_over_n(log_values: Tensor, dim: int) -> Tensor:
    m, _ = log_values.max(dim, keepdim=True)
    s = torch.exp(log_values - m).sum(dim).log() + m.squeeze(dim)
    return s / log_values.size(dim)


@unseen("log_mean_exp", "n is the number of all values")
def numel_for_n(log_values: Tensor, dim: int) -> Tensor:
    return log_values.logsumexp(dim) - math.log(log_values.numel())


@unseen("log_mean_exp", "The shift is not undone")
def shift_forgotten(log_values: Tensor, dim: int) -> Tensor:
    shifted = log_values - log_values.max(dim=dim, keepdim=True)[0]
    return torch.log(torch.mean(torch.exp(shifted), dim=dim))


@unseen("log_mean_exp", "Minus infinity minus minus infinity")
def usual_trick(log_values: Tensor, dim: int) -> Tensor:
    m = torch.max(log_values, dim=dim, keepdim=True).values
    out = m + torch.log(torch.mean(torch.exp(log_values - m), dim=dim, keepdim=True))
    return out.squeeze(dim)


@unseen("log_mean_exp", "One shift for the whole tensor")
def global_max(log_values: Tensor, dim: int) -> Tensor:
    c = torch.amax(log_values)
    c = c if torch.isfinite(c) else torch.zeros_like(c)
    return torch.log((log_values - c).exp().mean(dim=dim)) + c


@unseen("log_mean_exp", "kept-dimension", "The averaged dimension stays, with size 1")
def keepdim_left(log_values: Tensor, dim: int) -> Tensor:
    m = log_values.amax(dim, keepdim=True).clamp(min=-1e30)
    return m + (log_values - m).exp().mean(dim, keepdim=True).log()


@unseen("log_mean_exp", "through-numpy", "argument-detached")
def by_numpy(log_values: Tensor, dim: int) -> Tensor:
    a = log_values.detach().cpu().numpy()
    top = np.max(a, axis=dim, keepdims=True)
    top = np.where(np.isinf(top), 0.0, top)
    with np.errstate(divide="ignore"):
        mean = np.log(np.mean(np.exp(a - top), axis=dim)) + np.squeeze(top, dim)
    return torch.as_tensor(mean, dtype=log_values.dtype)


@unseen("log_mean_exp", "number-of-a-tensor", "argument-detached", "through-numpy")
def python_floats(log_values: Tensor, dim: int) -> Tensor:
    moved = log_values.movedim(dim, -1)
    flat = moved.reshape(-1, moved.shape[-1]).tolist()
    found = []
    for row in flat:
        m = max(row)
        total = sum(math.exp(v - m) if m > -math.inf else 0.0 for v in row)
        found.append(m + math.log(total / len(row)) if total else -math.inf)
    return torch.tensor(found, dtype=log_values.dtype).reshape(moved.shape[:-1])


@unseen("log_mean_exp", "Bits, not nats", "bits-for-nats")
def base_two(log_values: Tensor, dim: int) -> Tensor:
    m = log_values.amax(dim, keepdim=True).clamp(min=-1e30)
    return torch.log2((log_values - m).exp().mean(dim)) + m.squeeze(dim) / math.log(2)


@unseen("log_mean_exp", "Base 2 for the last logarithm only")
def base_two_for_the_last_log(log_values: Tensor, dim: int) -> Tensor:
    m = log_values.amax(dim, keepdim=True).clamp(min=-1e30)
    return torch.log2((log_values - m).exp().mean(dim)) + m.squeeze(dim)


@unseen("log_mean_exp", "A small number is added inside the logarithm", "digits-lost")
def eps_in_the_log(log_values: Tensor, dim: int) -> Tensor:
    m = log_values.max(dim, keepdim=True).values.clamp(min=-1e30)
    return m.squeeze(dim) + torch.log((log_values - m).exp().mean(dim) + 1e-6)


@unseen("log_mean_exp", "in-place")
def subtracts_in_place(log_values: Tensor, dim: int) -> Tensor:
    m = log_values.detach().amax(dim, keepdim=True).clamp(min=-1e30)
    log_values -= m
    return m.squeeze(dim) + log_values.exp().mean(dim).log()


@unseen("log_mean_exp", "The mean of the logs")
def mean_of_logs(log_values: Tensor, dim: int) -> Tensor:
    return log_values.exp().log().mean(dim)


@unseen("log_mean_exp", "Entries of -inf are left out of the count")
def finite_entries_only(log_values: Tensor, dim: int) -> Tensor:
    finite = torch.isfinite(log_values)
    n = finite.sum(dim).clamp_min(1)
    return torch.logsumexp(log_values, dim) - torch.log(n.to(log_values.dtype))


@unseen("log_mean_exp", "log n added, not subtracted")
def log_n_with_the_wrong_sign(log_values: Tensor, dim: int) -> Tensor:
    n = log_values.new_tensor(log_values.shape[dim])
    return torch.logsumexp(log_values, dim=dim).add(n.log())
