"""The process that runs learners' code, as the judge sees it: started, asked, ended.

What belongs here: a zygote's handle, sessions (a submission loaded in a process of its
own) and their forks. What does not: what is asked there (`ahead`), laws, scores.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading import sandbox, start, wire
from vae_edu.grading.answers import Submission
from vae_edu.grading.light import spare_the_compiler
from vae_edu.subject import SubjectError
from vae_edu.work import reference_file

START_SECONDS = 120.0  # patience with a zygote on a busy machine
MOST_LEFT_OUT = 3  # pieces of a submission in which its process may die or hang


class Zygote:
    """The warm process from which every answer's process is forked, inside a sandbox.

    policy: "require" a sandbox, "prefer" one, "off"; or one of `sandbox.KINDS` by name.
    Afterwards `sandbox` is the kind in force, `problems` say why it is no better one.
    bubblewrap ends it with the thread that made it, so make it in one that lasts.
    """

    def __init__(
        self, policy: str = sandbox.PREFER, limits: sandbox.Limits = sandbox.LIMITS
    ) -> None:
        if not hasattr(os, "fork"):
            raise CourseError(
                "Judging forks processes, which this system cannot do. "
                "Use Linux, macOS or WSL."
            )
        spare_the_compiler()  # this process need not know it either
        self.limits = limits
        self._next: socket.socket | None = None  # of a session that is being made
        self.problems: list[str] = []
        for kind in sandbox.kinds(policy):
            problem = sandbox.lacking(kind) or self._start(kind)
            if not problem:
                self.sandbox = kind
                return
            self.problems.append(f"{kind}: {problem}")
        said = "; ".join(self.problems)
        if policy == sandbox.OFF or policy == sandbox.NONE:
            raise CourseError(f"The judging process did not start ({said}).")
        raise CourseError(f"There is no sandbox here ({said}). {sandbox.REMEDY}")

    def _start(self, kind: str) -> str:
        """Start it; the problem, if it did not start."""
        self.started = start.take(kind, self.limits)
        self.process, self.control = self.started.process, self.started.control
        with suppress(wire.WireError, OSError):
            wire.receive(self.control, time.monotonic() + START_SECONDS)
            return ""
        problem = self.started.words()
        self.close()
        return problem

    def fork(self) -> Fork:
        """A new session; the zygote is started again where it has died.

        The one after it is asked for now, and made while this one is at work. It has
        waited in a namespace that no other session sees; without one it is not made.
        """
        try:
            return self._fork()
        except (wire.WireError, OSError):
            self.close()
            if problem := self._start(self.sandbox):
                raise CourseError(f"The judging process died: {problem}") from None
            return self._fork()

    def _fork(self) -> Fork:
        if self.process.poll() is not None:  # with it, the session that waits
            raise OSError("the zygote has ended")
        fork = self._made()
        if fork.has_ended():  # while it waited
            fork.kill()
            fork = self._made()
        if self.sandbox == sandbox.BUBBLEWRAP:
            self._next = _socket_through(self.control, START_SECONDS)
        return fork

    def _made(self) -> Fork:
        own = self._next or _socket_through(self.control, START_SECONDS)
        self._next = None
        try:
            sign, descriptors = _sign(self.control, time.monotonic() + START_SECONDS)
            if sign != b"+":
                raise wire.WireError("no session could be made")
            message = wire.receive(self.control, time.monotonic() + START_SECONDS)
            return Fork(own, int(message["pid"]), *descriptors)
        except BaseException:
            own.close()
            raise

    def close(self) -> None:
        """End it."""
        if self._next is not None:
            self._next.close()
            self._next = None
        self.started.close()


@dataclass
class Fork:
    """A forked process: its socket and, of a session, the pid and a descriptor of it.

    Both come from the zygote. A session ends its laws' processes, and its own end ends
    them all: what it might say about their pids is not believed.
    """

    sock: socket.socket
    pid: int = 0
    handle: int = -1

    def has_ended(self) -> bool:
        """Whether it is known to have ended."""
        return self.handle >= 0 and bool(select.select([self.handle], [], [], 0)[0])

    def kill(self) -> None:
        """End it; a session takes its laws' processes with it."""
        self.sock.close()
        with suppress(ProcessLookupError, PermissionError):
            if self.handle >= 0:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            elif self.pid > 0:
                os.kill(self.pid, signal.SIGKILL)
        if self.handle >= 0:
            os.close(self.handle)
        self.pid, self.handle = 0, -1


def _socket_through(parent: socket.socket, seconds: float) -> socket.socket:
    """Hand over one end of a pair of sockets; the other, which never waits longer."""
    own, other = socket.socketpair()
    own.settimeout(seconds)
    with other:
        try:
            socket.send_fds(parent, [b"f"], [other.fileno()])
        except BaseException:
            own.close()
            raise
    return own


def _sign(sock: socket.socket, deadline: float) -> tuple[bytes, list[int]]:
    """One byte, and the descriptor that may come with it."""
    if not select.select([sock], [], [], max(0.0, deadline - time.monotonic()))[0]:
        raise TimeoutError
    data, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
    return data, list(descriptors)


def fork_law(session: Fork, seconds: float) -> Fork:
    """Ask a session for a fork that serves one law."""
    own = _socket_through(session.sock, seconds)
    try:
        wire.receive(session.sock, time.monotonic() + seconds)
        return Fork(own)
    except BaseException:
        own.close()
        raise


@contextmanager
def session(
    zygote: Zygote, submission: Submission, topic: str, seconds: float
) -> Iterator[Fork]:
    """A process that has loaded a submission; SubjectError where that fails.

    A piece in which the process dies or hangs is left out, and the rest loaded anew: it
    costs the exercises that it defines, not the others.
    """
    left_out: dict[int, str] = {}
    while True:
        fork = zygote.fork()
        try:
            _load(fork, submission, topic, time.monotonic() + 2 * seconds, left_out)
            break
        except _Lost as lost:
            fork.kill()
            full = len(left_out) == MOST_LEFT_OUT
            if lost.piece is None or lost.piece in left_out or full:
                raise lost.error from None
            left_out[lost.piece] = lost.error.message
        except BaseException:
            fork.kill()
            raise
    try:
        fork.sock.settimeout(seconds)
        yield fork
    finally:
        fork.kill()


class _Lost(Exception):  # noqa: N818
    """The process died or hung while it loaded this piece."""

    def __init__(self, piece: int | None, error: SubjectError) -> None:
        super().__init__(piece)
        self.piece, self.error = piece, error


def _load(
    fork: Fork,
    submission: Submission,
    topic: str,
    deadline: float,
    left_out: dict[int, str],
) -> None:
    """Have a submission loaded; the process says which piece it is at."""
    message = {
        "name": submission.path.name,
        "pieces": submission.pieces,
        "left_out": {str(i): words for i, words in left_out.items()},
        "wanted": submission.wanted,
        "earlier": earlier_sources(topic),
    }
    try:
        hand_over(fork, wire.frame(message))
    except wire.WireError as error:
        raise SubjectError("TooLarge", f"{error}") from None
    reader = wire.Reader(fork.sock, ahead=0)
    at, reply = None, {"at": None}
    while "at" in reply:
        at = reply["at"] if isinstance(reply["at"], int) else at
        try:
            reply = reply_of(reader, deadline)
        except SubjectError as error:
            raise _Lost(at, error) from None
    if "failed" in reply:
        raise SubjectError("LoadError", str(reply["failed"]))


def hand_over(fork: Fork, frames: bytes) -> None:
    """Send messages to a process that may have died, or not listen."""
    try:
        fork.sock.sendall(frames)
    except TimeoutError:
        raise SubjectError("Timeout", "the code did not finish in time") from None
    except OSError:
        raise SubjectError("Died", "the process that ran it died") from None


def earlier_sources(topic: str) -> dict[str, str]:
    """The reference answers of the lessons before this one, as text, in order."""
    before = catalogue.TOPICS[: catalogue.TOPICS.index(topic)]
    files = {t: reference_file(t) for t in before}
    return {t: f.read_text(encoding="utf-8") for t, f in files.items() if f.exists()}


def reply_of(reader: wire.Reader, deadline: float) -> dict[str, Any]:
    """A message from a process that may hang, die or talk nonsense."""
    try:
        return reader.receive(deadline)
    except TimeoutError:
        raise SubjectError("Timeout", "the code did not finish in time") from None
    except (wire.WireError, OSError) as error:
        raise SubjectError("Died", f"the process that ran it died: {error}") from None
