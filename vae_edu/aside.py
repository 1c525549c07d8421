"""What code says beside its result, kept out of a notebook's cell while it is judged.

nbgrader takes any line on stderr in a graded cell for a failure: a warning of a right
answer, a late line of another cell's thread.

What belongs here: catching that. What does not: what is made of it (`feedback`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

MOST, LONGEST = 5, 1000  # lines and characters that are shown


class Said:
    """What was caught: warnings, then lines written to stderr, each of them once."""

    def __init__(self) -> None:
        self.warnings: list[warnings.WarningMessage] = []
        self._written: list[str] = []

    def write(self, text: str) -> int:
        """As a text stream's."""
        self._written.append(text)
        return len(text)

    def __str__(self) -> str:
        each = [f"{w.category.__name__}: {w.message}" for w in self.warnings]
        lines = dict.fromkeys([*each, *"".join(self._written).splitlines()])
        return "\n".join([line for line in lines if line.strip()][:MOST])[:LONGEST]


@contextmanager
def caught() -> Iterator[Said]:
    """While this lasts, warnings and stderr go into what is given; then on as before.

    The stream itself is turned aside, since a logger or another thread may hold it.
    """
    said = Said()
    streams = {id(s): s for s in (sys.stderr, sys.__stderr__) if s is not None}
    with ExitStack() as stack:
        said.warnings = stack.enter_context(warnings.catch_warnings(record=True))
        for stream in streams.values():
            stack.enter_context(_turned(stream, said.write))
        yield said


@contextmanager
def _turned(stream: Any, write: Callable[[str], int]) -> Iterator[None]:
    """A stream with another `write`, where it lets itself be given one."""
    own = getattr(stream, "__dict__", None)
    if own is None:
        yield
        return
    before = own.get("write")
    own["write"] = write
    try:
        yield
    finally:
        if before is None:
            del own["write"]
        else:
            own["write"] = before
