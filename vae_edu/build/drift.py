"""Whether two tables of recorded numbers say the same, but for what a processor may
change (docs/processors.md).

The build keeps a table that agrees with the new one, and the tests compare by it. What
does not belong here: matching a learner's outcome (`checks.record`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.record import SINGLE, alike, decode, largest

# Mistakes whose numbers are the rounding of this processor and nothing else: a mistake,
# and the law ("" for each) whose inputs it makes singular.
_NOISE = (
    ("float32 is written into the code", "extremes"),  # a condition of 1e7 or more
    ("The bases are centred first", ""),  # their rank falls: one direction is anything
    ("The noise is left out", "float32"),  # a covariance without an inverse
)


def agree(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two tables hold the same, but for what a processor may change."""
    known, found = (table["misconceptions"] for table in (old, new))
    return (
        said_alike(old["truth"], new["truth"])
        and list(known) == list(found)
        and all(rows_alike(known[name], found[name]) for name in known)
    )


def said_alike(old: Any, new: Any) -> bool:
    """True values: float64 to nine digits of the largest entry, float32 to its room."""
    if isinstance(old, dict) and "d" in old:
        return bool(tensors_alike(decode(old), decode(new)))
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(old, dict) and isinstance(new, dict):
        return list(old) == list(new) and all(said_alike(old[k], new[k]) for k in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(said_alike, old, new))
    return bool(old == new)


def tensors_alike(old: Tensor, new: Tensor) -> bool:
    """Dtype and shape exactly, entries to a part of the largest."""
    if old.dtype != new.dtype or old.shape != new.shape:
        return False
    part = 1e-9 if old.dtype == torch.float64 else SINGLE
    room = part * max(1.0, largest(old))
    return torch.allclose(old, new, rtol=0.0, atol=room, equal_nan=True)


def rows_alike(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    """Mistakes: names, words and broken laws exactly, numbers in their room."""
    return len(old) == len(new) and all(
        (known["name"], known["sentence"]) == (row["name"], row["sentence"])
        and list(known["laws"]) == list(row["laws"])
        and all(
            noted_alike(known["name"], law, seen, row["laws"][law])
            for law, seen in known["laws"].items()
        )
        for known, row in zip(old, new, strict=True)
    )


def noted_alike(name: str, law: str, known: list[Any], seen: list[Any]) -> bool:
    """As a learner's outcome is matched; words alone, where no digit is told."""
    if (name, law) in _NOISE or (name, "") in _NOISE:
        known, seen = ([e for e in n if isinstance(e, str)] for n in (known, seen))
    return alike(seen, known)
