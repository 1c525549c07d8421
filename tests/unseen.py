"""Wrong answers beside the mutants: what the mistakes of others are called.

A lesson's unseen.py fills one, in other forms than its mistakes; no number is recorded
from them.
Signs and names were mended after the first of these answers were judged, so that the
share that is named here is no estimate for answers that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Unseen(NamedTuple):
    """A wrong answer, and the names that would be true of it.

    names: labels of signs, or names of misconceptions; with none, no name is true.
    """

    exercise: str
    names: tuple[str, ...]
    answer: Any


def register() -> tuple[list[Unseen], Callable[..., Callable[[T], T]]]:
    """A list, and the decorator that appends to it: `UNSEEN, unseen = register()`."""
    kept: list[Unseen] = []

    def unseen(exercise: str, *names: str) -> Callable[[T], T]:
        def keep(answer: T) -> T:
            kept.append(Unseen(exercise, names, answer))
            return answer

        return keep

    return kept, unseen
