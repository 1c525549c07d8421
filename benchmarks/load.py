"""How much of the machine others use while a benchmark runs. Linux; elsewhere 0."""

from __future__ import annotations

import time
from pathlib import Path


def jiffies() -> tuple[int, int]:
    """Return the machine's busy and total CPU time; (0, 0) where Linux is not."""
    try:
        line = Path("/proc/stat").read_text("ascii").splitlines()[0]
    except OSError:
        return 0, 0
    values = [int(word) for word in line.split()[1:9]]  # guest is within user
    idle = values[3] + values[4]
    return sum(values) - idle, sum(values)


def foreign_share(
    before: tuple[int, int], after: tuple[int, int], own: float, ticks: int = 100
) -> float:
    """Return the share of the machine that others took, own: our CPU seconds."""
    busy, total = (b - a for a, b in zip(before, after, strict=True))
    return max(0.0, busy - own * ticks) / total if total > 0 else 0.0


def share_at_rest(seconds: float = 1.0) -> float:
    """Return the share of the machine that is used while this process only waits.

    For work in sandboxed processes, whose CPU time never comes back to a parent, so
    that it could not be told from others'.
    """
    before = jiffies()
    time.sleep(seconds)
    return foreign_share(before, jiffies(), own=0.0)
