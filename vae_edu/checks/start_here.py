"""Lesson 00: what is tried on its exercise. No true values and no answers are here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, Laws, Truth, compare
from vae_edu.checks.signs import of_infinities
from vae_edu.checks.standard import Case, Cases, add_standard, instead, tried
from vae_edu.subject import Subject

LAWS = Laws("start_here")
ZERO = -math.inf  # the logarithm of a weight of zero


def short(values: Tensor) -> Tensor:
    """Values that float32 has: casting large ones to it costs no more than digits."""
    return values.float().double()


def _plain(draw: Draw) -> Iterator[Case]:
    yield Case((draw.normal(4, 3, scale=2.0), 1))
    apart = torch.tensor([0.0, -25.0, 8.0, 3.0, -40.0], dtype=torch.float64)
    yield Case((draw.normal(2, 5) + apart, -1), note="values far apart")
    yield Case((draw.normal(5, 2, scale=2.0), 0), note="samples first")


def _dimensions(draw: Draw) -> Iterator[Case]:
    yield Case((draw.normal(2, 4, 3), 1), note="the middle one of three")
    yield Case((draw.normal(4, 3), 0), note="samples first")
    yield Case((draw.normal(4, 3), -2), note="the same, counted from the end")
    yield Case((draw.normal(5), 0), note="a single list of values")
    yield Case((draw.normal(5), -1), note="a single list, counted from the end")
    yield Case((draw.normal(2, 4, 3), -3), note="the first of three, from the end")
    yield Case((draw.normal(5, 2, 4, 3), 2), note="the third of four")
    yield Case((draw.normal(1, 4, 1), 1), note="dimensions of size 1 beside it stay")
    yield Case((draw.normal(4, 1), 1), note="a mean of one value")
    yield Case((draw.normal(3, draw.integer(20, 40)), 1), note="a mean of many values")


def _extremes(draw: Draw) -> Iterator[Case]:
    yield Case((draw.normal(4, 3) + 1e4, 1), scale=1e4, note="all near 10,000")
    rows = torch.tensor([[1e4], [-400.0], [400.0], [-1e4]], dtype=torch.float64)
    yield Case(
        (draw.normal(4, 3) + rows, 1), scale=1e4, note="each row of another size"
    )
    yield Case((draw.normal(4, 3) - 1e4, 1), scale=1e4, note="all near -10,000")
    sizes = torch.tensor([1e4, 0.0, -300.0, -1e4], dtype=torch.float64)
    wide = torch.stack([sizes.roll(i) for i in range(3)])
    yield Case((draw.normal(3, 4) + wide, 1), scale=1e4, note="all sizes in each row")


def _steep(draw: Draw) -> Iterator[Case]:
    yield Case((short(draw.normal(4, 3) + 1e4), 1), note="all near 10,000")
    yield Case((short(draw.normal(4, 3) - 1e4), 0), note="all near -10,000")
    columns = torch.tensor([-1e4, 1e4, 0.0, -300.0], dtype=torch.float64)
    yield Case((short(draw.normal(3, 4) + columns), 1), note="all sizes in one row")
    some = draw.normal(3, 4)
    some[0, 1] = some[2, 3] = ZERO
    yield Case((some, 1), note="some entries are -inf")


CASES = {
    "log_mean_exp": Cases(
        "log_mean_exp",
        ("log_values", "dim"),
        _plain,
        extremes=_extremes,
        gradients=("log_values",),
        steep=_steep,
    )
}


add_standard(LAWS, CASES["log_mean_exp"])


def compare_each(
    subject: Subject, truth: Truth, made: Iterable[Case], *, zeros: bool = False
) -> None:
    """Each value, loosely: for laws about something else than the last digits.

    zeros: the cases are about weights of 0, where a mistake may have a name.
    """
    for case in made:
        expected = truth("log_mean_exp", *case.args)
        got = subject.call("log_mean_exp", *case.args)
        what = tried(CASES["log_mean_exp"], case)
        with instead(of_infinities(got, expected)) if zeros else nullcontext():
            compare(got, expected, what=what, scale=case.scale, rtol=LOOSE)


@LAWS.law(
    "log_mean_exp",
    "dimensions",
    "any dim works, counted from either end, whatever the number of dimensions",
)
def _any_dimension(subject: Subject, truth: Truth, draw: Draw) -> None:
    compare_each(subject, truth, _dimensions(draw))


@LAWS.law(
    "log_mean_exp",
    "zero weights",
    "-inf is the log of zero: it counts as one of the values; all -inf gives -inf",
)
def _zero_weights(subject: Subject, truth: Truth, draw: Draw) -> None:
    some, row, low = draw.normal(4, 3), draw.normal(4, 3), draw.normal(4, 3) - 1e4
    some[0, 1] = some[2, 0] = some[2, 2] = ZERO
    row[1] = low[3, 1] = ZERO
    compare_each(
        subject,
        truth,
        [
            Case((some, 1), note="some entries are -inf"),
            Case((row, 1), note="one row is -inf throughout"),
            Case((low, 1), scale=1e4, note="-inf beside -10,000"),
        ],
        zeros=True,
    )
