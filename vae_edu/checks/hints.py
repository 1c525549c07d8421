"""What a wrong value looks like, said in a sentence: a sign, a factor, a sum, a mean.

Used where no known mistake matches. What does not belong here: anything about one
exercise.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vae_edu.subject import Wrong

_FACTORS = {
    0.5: "exactly half the expected value: a factor 1/2 too many, or a 2 missing",
    2.0: "exactly twice the expected value: a factor 1/2 is missing",
    math.log(2): "the expected value times log 2: bits and nats are exchanged",
    1 / math.log(2): "the expected value divided by log 2: bits and nats are exchanged",
}

_ROUNDED = (
    "Its first six digits are right, or more; float64 has sixteen. What costs digits: "
    "a float32 tensor made inside (torch.zeros(n) or torch.tensor(0.0), where "
    "torch.zeros_like(x) has the dtype of x), a constant typed with few digits, a "
    "small number added for safety, a difference of two large ones."
)

_NAN = "NaN comes from 0/0, inf - inf, 0 * inf or the log of a negative number."
_INFINITE = (
    "An infinity comes from an exponential that overflows, from a division by 0 or "
    "from the logarithm of 0."
)


def look(got: Any, expected: Any) -> str:
    """A sentence on how `got` differs from `expected`; "" where nothing stands out."""
    if isinstance(got, Wrong) and got.type == "NoneType":
        return "A function without a `return` gives None. Does yours have one?"
    if not isinstance(got, Tensor) or not isinstance(expected, Tensor):
        return ""
    g, e = got.to(torch.float64), expected.to(torch.float64)
    if g.shape != e.shape:
        return _shapes(g, e)
    if not bool(torch.isfinite(e).all()):
        return ""
    lost = g[~torch.isfinite(g)]
    if lost.numel():
        return _NAN if bool(torch.isnan(lost.flatten()[0])) else _INFINITE
    said = _values(g, e)
    return "" if said is _ROUNDED and got.dtype != torch.float64 else said


def _shapes(g: Tensor, e: Tensor) -> str:
    asked, came = tuple(e.shape), tuple(g.shape)
    if not came and asked:
        return (
            f"One number came out where shape {asked} was asked for: a sum or mean "
            "without `dim` reduces every dimension."
        )
    if any(came[:i] + came[i + 1 :] == asked for i, n in enumerate(came) if n == 1):
        return "A dimension of size 1 is left: from keepdim=True?"
    if asked and came == (*asked, asked[-1]):
        kept, both = (*asked, 1), f"{asked}, together, broadcast to {came}"
        return (
            f"Has a kept dimension met one that was removed? {kept} and {both}. Take "
            "the kept dimension out, with squeeze(dim), before the two meet."
        )
    if len(came) == len(asked) + 1:
        return (
            "One dimension too many: which line brought it in, or should have taken it "
            "away?"
        )
    if g.dim() == e.dim() and sorted(g.shape) == sorted(e.shape):
        return "The sizes are right but in another order."
    return ""


def _values(g: Tensor, e: Tensor) -> str:
    if g.numel() == 0 or not bool(torch.isfinite(g).all()):
        return ""
    if torch.allclose(g, e, rtol=1e-6, atol=0.0):
        return _ROUNDED
    if torch.allclose(g, -e, rtol=1e-5) and not torch.allclose(g, e):
        return "It is exactly the negative of the expected value: look at the sign."
    ratio, difference = g / e, g - e
    if bool(torch.isfinite(ratio).all()) and _constant(ratio):
        return "It is " + _factor(float(ratio.flatten()[0])) + "."
    if _constant(difference) and difference.numel() > 1:
        return (
            "It differs from the expected value by the same amount everywhere, "
            f"{float(difference.flatten()[0]):.4g}: a constant term is missing or too "
            "many."
        )
    return ""


def _constant(values: Tensor) -> bool:
    first = values.flatten()[0]
    return values.numel() > 1 and torch.allclose(values, first, rtol=1e-5, atol=1e-8)


def _factor(ratio: float) -> str:
    for known, words in _FACTORS.items():
        if math.isclose(ratio, known, rel_tol=1e-4):
            return words
    return f"the expected value times {ratio:.4g}, everywhere"
