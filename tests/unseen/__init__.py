"""Wrong answers that nothing was built from: how often is a stranger's mistake named?

One module a lesson, each written after the laws, the signs and the mutants, in other
forms than theirs. Nothing is recorded from them: do not add one to make a name appear.
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
