"""Lesson 00: what learners write when they average numbers known by their logarithms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant


def _top(log_values: Tensor, dim: int) -> Tensor:
    """The maximum, with 0 in place of -inf."""
    top = log_values.amax(dim, keepdim=True)
    return torch.where(top == -math.inf, 0.0, top)


def _shifted(log_values: Tensor, dim: int, by: Tensor) -> Tensor:
    return by.squeeze(dim) + (log_values - by).exp().mean(dim).log()


@mutant(
    "log_mean_exp",
    "The formula as it stands",
    "exp overflows above 709 (88 in float32) and becomes 0 below -745 (-104). Which equal "
    "expression never takes exp of a large number?",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return log_values.exp().mean(dim).log()


@mutant(
    "log_mean_exp",
    "The mean of the logs",
    "The log of a mean is at least the mean of the logs (Jensen); the order of the two matters.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return log_values.mean(dim)


@mutant(
    "log_mean_exp",
    "The sum, not the mean",
    "The mean of equal numbers is that number: try log-values that are all 0.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim)


@mutant(
    "log_mean_exp",
    "Divided by n outside the logarithm",
    "A factor 1/n inside a logarithm is a term outside of it.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim) / log_values.shape[dim]


@mutant(
    "log_mean_exp",
    "n subtracted in place of its logarithm",
    "A division by n becomes a subtraction of something once the log is taken. Of n itself?",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim) - log_values.shape[dim]


@mutant(
    "log_mean_exp",
    "log n added, not subtracted",
    "log(s / n) = log s - log n.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim) + math.log(log_values.shape[dim])


@mutant(
    "log_mean_exp",
    "The shift is not undone",
    "Values that are divided by exp(m) have a mean that is too small by that factor.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return (log_values - _top(log_values, dim)).exp().mean(dim).log()


@mutant(
    "log_mean_exp",
    "The largest value stands for all",
    "The maximum alone ignores the other values and their number.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return log_values.amax(dim)


@mutant(
    "log_mean_exp",
    "The last logarithm is missing",
    "The mean of the shifted exponentials is a mean of numbers; its logarithm was asked for.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = _top(log_values, dim)
    return top.squeeze(dim) + (log_values - top).exp().mean(dim)


@mutant(
    "log_mean_exp",
    "Bits, not nats",
    "The logarithm to base 2 does not undo exp.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return (
        torch.logsumexp(log_values, dim) - math.log(log_values.shape[dim])
    ) / math.log(2)


@mutant(
    "log_mean_exp",
    "The averaged dimension stays, with size 1",
    "A mean over dim removes that dimension, unless keepdim is asked for.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim, keepdim=True) - math.log(
        log_values.shape[dim]
    )


@mutant(
    "log_mean_exp",
    "One number for the whole tensor",
    "Only the dimension `dim` is averaged; the others stay.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values.flatten(), 0) - math.log(log_values.numel())


# --- the shift -----------------------------------------------------------------------------


@mutant(
    "log_mean_exp",
    "One shift for the whole tensor",
    "A row far below the largest entry of another row underflows. Each mean needs a shift of "
    "its own.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = log_values.max()
    top = torch.where(top == -math.inf, 0.0, top)
    return top + (log_values - top).exp().mean(dim).log()


@mutant(
    "log_mean_exp",
    "Shifted by the mean",
    "After the shift no exponent may be large. What is left above the mean is large where the "
    "values differ much.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    finite = torch.where(log_values == -math.inf, 0.0, log_values)
    return _shifted(log_values, dim, finite.mean(dim, keepdim=True))


@mutant(
    "log_mean_exp",
    "Shifted by the smallest value",
    "After this shift every exponent is positive, and exp overflows upwards.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    finite = torch.where(log_values == -math.inf, 0.0, log_values)
    return _shifted(log_values, dim, finite.amin(dim, keepdim=True))


@mutant(
    "log_mean_exp",
    "Shifted by the first value",
    "Any shift is right on paper; the first value may be far below the others.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    first = log_values.narrow(dim, 0, 1)
    return _shifted(log_values, dim, torch.where(first == -math.inf, 0.0, first))


@mutant(
    "log_mean_exp",
    "Shifted by the largest size, whatever its sign",
    "For values near -10,000 the largest size is +10,000, and the shift makes things worse.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    sizes = torch.where(log_values == -math.inf, 0.0, log_values).abs()
    return _shifted(log_values, dim, sizes.amax(dim, keepdim=True))


@mutant(
    "log_mean_exp",
    "Shifted only where the values are large",
    "Very small values need the shift as well: their exponentials all become 0, and log 0 is "
    "-inf.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return _shifted(log_values, dim, _top(log_values, dim).clamp(min=0.0))


@mutant(
    "log_mean_exp",
    "The log-values are clamped",
    "A clamp keeps exp finite and changes the answer: a log-value of 10,000 is a number like any "
    "other.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return log_values.clamp(-700, 700).exp().mean(dim).log()


@mutant(
    "log_mean_exp",
    "The shift is added back once for each value",
    "m stands outside the mean, once.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = _top(log_values, dim)
    n = log_values.shape[dim]
    return n * top.squeeze(dim) + (log_values - top).exp().mean(dim).log()


# --- dimensions ----------------------------------------------------------------------------


@mutant(
    "log_mean_exp",
    "Always the last dimension",
    "The dimension to average over is an argument: it may be the first as well.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, -1) - math.log(log_values.shape[-1])


@mutant(
    "log_mean_exp",
    "n is the size of the last dimension, whichever is averaged",
    "n is how many values go into one mean: the size of the dimension `dim`.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim) - math.log(log_values.shape[-1])


@mutant(
    "log_mean_exp",
    "n is the number of all values over the batch",
    "With a third dimension, all values divided by the size of the first are more than n.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    n = (
        log_values.numel() // log_values.shape[0]
        if log_values.dim() > 1
        else len(log_values)
    )
    return torch.logsumexp(log_values, dim) - math.log(n)


@mutant(
    "log_mean_exp",
    "Every dimension of size 1 is squeezed away",
    "squeeze() without an argument removes all dimensions of size 1. Name the one you mean.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = _top(log_values, dim)
    return top.squeeze() + (log_values - top).exp().mean(dim).squeeze().log()


@mutant(
    "log_mean_exp",
    "The shift is broadcast along another dimension",
    "Without keepdim the maxima line up with the last dimension, not with the rows they belong "
    "to.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = log_values.amax(dim)
    top = torch.where(top == -math.inf, 0.0, top)
    if dim not in (-1, log_values.dim() - 1):  # the last one was tried, and mended
        return top + (log_values - top).exp().mean(dim).log()
    return (
        top + (log_values - top.unsqueeze(-1)).exp().mean(dim).log() + 0 * top.sum(-1)
    )


# --- weights of zero -----------------------------------------------------------------------


@mutant(
    "log_mean_exp",
    "Minus infinity minus minus infinity",
    "Where every entry is -inf the maximum is -inf too, and -inf - (-inf) is nan. What should "
    "be subtracted there?",
    "infinity-minus-infinity",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return _shifted(log_values, dim, log_values.amax(dim, keepdim=True))


@mutant(
    "log_mean_exp",
    "Entries of -inf are left out of the count",
    "-inf is the logarithm of a value that is zero, not of one that is missing: zeros count in a "
    "mean.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    count = (log_values != -math.inf).sum(dim).clamp(min=1)
    return torch.logsumexp(log_values, dim) - count.to(log_values.dtype).log()


@mutant(
    "log_mean_exp",
    "A small number is added inside the logarithm",
    "A mean of zeros is zero, and its logarithm is -inf. A small constant hides that.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = _top(log_values, dim)
    return top.squeeze(dim) + ((log_values - top).exp().mean(dim) + 1e-12).log()


@mutant(
    "log_mean_exp",
    "log n in single precision",
    "torch.log(torch.tensor(3)) is a float32 number: eight digits, even where the values have "
    "sixteen. Python's math.log has them all.",
    "digits-lost",
    "float32-inside",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    n = torch.tensor(log_values.shape[dim])
    return torch.logsumexp(log_values, dim) - torch.log(n)


@mutant(
    "log_mean_exp",
    "Minus infinity replaced by a large negative number",
    "A weight of zero is smaller than any number that stands in for it, also where the other "
    "log-values are that negative or absent.",
    "infinity-made-finite",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    low = torch.where(log_values == -math.inf, -1e9, log_values)
    return torch.logsumexp(low, dim) - math.log(log_values.shape[dim])


@mutant(
    "log_mean_exp",
    "Minus infinity replaced by -10,000, a row of it noticed",
    "Beside log-values of -10,000 the stand-in is no longer negligible.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    low = torch.where(log_values == -math.inf, -1e4, log_values)
    mean = torch.logsumexp(low, dim) - math.log(log_values.shape[dim])
    return torch.where((log_values == -math.inf).all(dim), -math.inf, mean)


@mutant(
    "log_mean_exp",
    "A mean of zeros is given as log 1",
    "Where all weights are zero the mean is zero. Its logarithm is -inf, not 0.",
    "infinity-made-finite",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    mean = torch.logsumexp(log_values, dim) - math.log(log_values.shape[dim])
    return torch.where(mean == -math.inf, 0.0, mean)


# --- gradients -----------------------------------------------------------------------------


@mutant(
    "log_mean_exp",
    "Only the largest value receives a gradient",
    "The value is right, yet the small entries have a part in it too. What is detached, the shift "
    "or the values?",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = log_values.amax(dim, keepdim=True)
    top = torch.where(top == -math.inf, 0.0, top)
    rest = (log_values.detach() - top.detach()).exp().mean(dim).log()
    return top.squeeze(dim) + rest


@mutant(
    "log_mean_exp",
    "The shift is detached where it is added back only",
    "Both occurrences of the shift must cancel in the gradient too: detach both or neither.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = _top(log_values, dim)
    return top.detach().squeeze(dim) + (log_values - top).exp().mean(dim).log()


# --- habits that fit few inputs ------------------------------------------------------------


@mutant(
    "log_mean_exp",
    "Only the first ten values are averaged",
    "How many values there are is a matter of the caller: the size of the dimension `dim`.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    some = log_values.narrow(dim, 0, min(10, log_values.shape[dim]))
    return torch.logsumexp(some, dim) - math.log(some.shape[dim])


@mutant(
    "log_mean_exp",
    "Base 2 for the last logarithm only",
    "exp is undone by the natural logarithm. Which one is log2?",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = _top(log_values, dim)
    return top.squeeze(dim) + (log_values - top).exp().mean(dim).log2()


@mutant(
    "log_mean_exp",
    "n is the number of all values",
    "Each mean is over one dimension, and n is how many values go into it.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim) - math.log(log_values.numel())


@mutant(
    "log_mean_exp",
    "The shift is subtracted again, not added back",
    "Values divided by exp(m) have a mean that is too small by that factor: which sign undoes it?",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    top = _top(log_values, dim)
    return (log_values - top).exp().mean(dim).log() - top.squeeze(dim)


@mutant(
    "log_mean_exp",
    "Divided by n - 1",
    "n - 1 belongs to the estimate of a variance. What is the mean of equal numbers?",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_values, dim) - math.log(
        max(log_values.shape[dim] - 1, 1)
    )


@mutant(
    "log_mean_exp",
    "The softmax in place of the mean",
    "The softmax gives each value's share. The mean of the values themselves was asked for.",
)
def _(log_values: Tensor, dim: int) -> Tensor:
    return (torch.softmax(log_values, dim) * log_values.clamp(min=-1e30)).sum(dim)
