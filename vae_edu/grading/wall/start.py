"""Starting the process that runs learners' code; no torch, so that it can come first.

A zygote takes seconds to import torch, as does the judge: `early` lets both do so side
by side.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import IO

from vae_edu.grading.wall import enter, mounts
from vae_edu.grading.wall.kinds import BUBBLEWRAP, LIMITS, Limits, kinds


@dataclass
class Started:
    """A zygote that may not be ready yet: its process, our socket, what it says."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    said: IO[bytes]

    def words(self) -> str:
        """The last line that it wrote, as to why it does not serve."""
        self.said.seek(0)
        words = self.said.read().decode(errors="replace").strip()
        return words.splitlines()[-1][:300] if words else "it did not start"

    def close(self) -> None:
        """End it."""
        self.control.close()
        self.said.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


_early: dict[tuple[str, Limits], Started] = {}


def early(policy: str, limits: Limits = LIMITS) -> None:
    """Start the best zygote of a policy, for the calling thread to `take` later."""
    found = [kind for kind in kinds(policy) if not enter.lacking(kind)]
    if found and hasattr(os, "fork"):
        with suppress(OSError):  # it is tried again, and told, when it is needed
            _early[found[0], limits] = _start(found[0], limits)


def take(kind: str, limits: Limits) -> Started:
    """A zygote of this kind: one that was started before, or a new one."""
    return _early.pop((kind, limits), None) or _start(kind, limits)


def unused() -> None:
    """End what was started early and not taken."""
    while _early:
        _early.popitem()[1].close()


def _start(kind: str, limits: Limits) -> Started:
    own, other = socket.socketpair()
    said = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with other:
            process = _popen(kind, limits, other.fileno(), said)
    except BaseException:
        own.close()
        said.close()
        raise
    return Started(process, own, said)


def _popen(
    kind: str, limits: Limits, control: int, said: IO[bytes]
) -> subprocess.Popen[bytes]:
    """The zygote's process, with nothing of ours but its socket."""
    code = f"import sys; sys.path[:] = {mounts.search_path()!r}; "
    code += "from vae_edu.grading.wall import enter; "
    code += f"enter.begin({control}, {kind!r}, *{astuple(limits)})"
    command, passed = [mounts.python(), "-P", "-s", "-B", "-c", code], [control]
    if kind == BUBBLEWRAP:
        passed.append(mounts.filter_file())
        command = mounts.command(command, passed[-1])
    try:
        return subprocess.Popen(
            command,
            pass_fds=passed,
            env=mounts.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    finally:
        for descriptor in passed[1:]:
            os.close(descriptor)
