"""The keeper of a session: waits for its end, or ends what holds too much. Linux.

It runs no learner's code. What belongs here: counting what processes hold, and ending
them. What does not: the walls themselves (`enter`).
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vae_edu.grading.wall.kinds import Limits


def keep(session: int, limits: Limits, words: int) -> None:
    """Wait for a session's end; end it where it holds too much, or the zygote has gone.

    words: a descriptor to say there what was too much. What the session leaves behind
    is ended too: by its pid namespace or, without one, here.
    """
    zygote, shared = os.getppid(), held(os.getpid())  # what every fork has from it
    said = False
    try:
        while not _has_ended(session, 0.1):
            family = descendants(os.getpid())
            much = _too_much(family, shared, limits)
            if much or os.getppid() != zygote:
                if not said:  # once: the dying may take a while
                    with suppress(OSError):  # nobody listens any more
                        os.write(words, much.encode())
                said = True
                os.kill(session, signal.SIGKILL)
    finally:
        _bury()  # the session, too, where watching it failed


def _too_much(family: list[int], shared: int, limits: Limits) -> str:
    """What processes hold together beyond the limits, in words; "" where nothing."""
    if sum(_own(p, shared) for p in family) > limits.memory:
        return f"it used more than {limits.memory / 2**30:.3g} GiB of memory"
    if len(family) > 2 * limits.processes:
        return f"it started more than {limits.processes} processes"
    return ""


def _own(pid: int, shared: int) -> int:
    """What a process holds and no other does, or a little more.

    It has `shared` from the zygote, until it writes there: a fault for each page.
    """
    much = held(pid)
    return max(much - shared, min(much, _faults(pid) * os.sysconf("SC_PAGE_SIZE")))


def _faults(pid: int) -> int:
    """How many pages a process has touched first, or made its own by writing."""
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
        return int(after_name.split()[7])
    return 0


def _has_ended(pid: int, seconds: float) -> bool:
    """Wait so long at most for a child of this process."""
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [], seconds)
        os.close(descriptor)
    else:
        time.sleep(seconds)
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def descendants(pid: int) -> list[int]:
    """Every process below `pid`; [] where the kernel does not say."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for children in _children_by_task(waiting.pop()):
            waiting += children
            found += children
    return found


def _children_by_task(pid: int) -> Iterator[list[int]]:
    """Processes that each thread of `pid` started; any may have ended meanwhile."""
    tasks = Path(f"/proc/{pid}/task")
    with suppress(OSError):
        for task in os.listdir(tasks):
            with suppress(OSError):
                words = (tasks / task / "children").read_text().split()
                yield [int(word) for word in words]


def held(pid: int) -> int:
    """Bytes of memory that are a process's own or shared memory: no files, no code.

    Asked of each thread: the first one may have ended, and then has no memory to show.
    """
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                if found := _anonymous(Path(f"/proc/{pid}/task/{task}/status")):
                    return found
    return 0


def _anonymous(status: Path) -> int:
    """As bytes: a process chooses its own name, which need not be text."""
    pairs = (line.partition(b":") for line in status.read_bytes().split(b"\n"))
    fields = {name: value for name, _, value in pairs}
    kinds = (b"RssAnon", b"RssShmem")
    return sum(int(fields[k].split()[0]) * 1024 for k in kinds if k in fields)


def _bury() -> None:
    """End and reap whatever has become a child of this process."""
    while True:
        for pid in descendants(os.getpid()):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)  # then look again: one that was born meanwhile was not listed
