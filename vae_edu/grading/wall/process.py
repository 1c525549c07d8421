"""The process that runs learners' code, as the judge sees it: started, asked, ended.

What belongs here: a zygote's handle, sessions (a submission loaded in a process of its
own) and their forks. What does not: what is asked there (`ahead`), laws, scores.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading.wall import enter, start, wire
from vae_edu.grading.wall.kinds import (
    BUBBLEWRAP,
    LIMITS,
    NONE,
    OFF,
    PREFER,
    REMEDY,
    Limits,
    kinds,
)
from vae_edu.lesson import find
from vae_edu.light import spare_the_compiler
from vae_edu.subject import SubjectError

if TYPE_CHECKING:
    from vae_edu.grading.verdict.answers import Submission

START_SECONDS = 120.0  # patience with a zygote on a busy machine
GONE_SECONDS = 5.0  # patience with the end of a killed session
LOADING = 4.0  # times a law's seconds: to load one with threads again and again
MOST_LEFT_OUT = 3  # pieces of a submission in which its process may die or hang


class Zygote:
    """The warm process from which every answer's process is forked, inside a sandbox.

    policy: "require" a sandbox, "prefer" one, "off"; or one of `KINDS` by name.
    Afterwards `sandbox` is the kind in force, `problems` say why it is no better one.
    bubblewrap ends it with the thread that made it, so make it in one that lasts.
    """

    def __init__(self, policy: str = PREFER, limits: Limits = LIMITS) -> None:
        if not hasattr(os, "fork"):
            raise CourseError(
                "Judging forks processes, which this system cannot do. "
                "Use Linux, macOS or WSL."
            )
        spare_the_compiler()  # this process need not know it either
        self.limits = limits
        self._next: tuple[str, socket.socket] | None = None  # being made, for a topic
        self.problems: list[str] = []
        for kind in kinds(policy):
            problem = enter.lacking(kind) or self._start(kind)
            if not problem:
                self.sandbox = kind
                return
            self.problems.append(f"{kind}: {problem}")
        said = "; ".join(self.problems)
        if policy in (OFF, NONE):
            raise CourseError(f"The judging process did not start ({said}).")
        raise CourseError(f"There is no sandbox here ({said}). {REMEDY}")

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

    def fork(self, topic: str) -> Fork:
        """A new session, with a lesson's earlier exercises in it; nothing else yet.

        The zygote is started again where it has died. The session after this one is
        asked for now, and made while this one is at work: in a namespace that no other
        session sees; without one it is not made.
        """
        try:
            return self._fork(topic)
        except (wire.WireError, OSError):
            self.close()
            if problem := self._start(self.sandbox):
                raise CourseError(f"The judging process died: {problem}") from None
            return self._fork(topic)

    def _fork(self, topic: str) -> Fork:
        if self.process.poll() is not None:  # with it, the session that waits
            raise OSError("the zygote has ended")
        fork = None
        try:
            fork = self._made(topic)
            if fork.has_ended():  # while it waited
                fork.kill()
                fork = self._made(topic)
            if self.sandbox == BUBBLEWRAP:
                self._next = topic, self._asked_for(topic)
            return fork
        except BaseException:
            if fork is not None:
                fork.kill()
            self.close()  # what it may still say would be taken for another answer
            raise

    def _made(self, topic: str) -> Fork:
        """The session that is asked for, or one asked for now."""
        known, own = self._next or (topic, self._asked_for(topic))
        self._next = None
        descriptors: list[int] = []
        try:
            sign, descriptors = _sign(self.control, time.monotonic() + START_SECONDS)
            if sign != b"+":
                raise wire.WireError("no session could be made")
            message = wire.receive(self.control, time.monotonic() + START_SECONDS)
            fork = Fork(own, int(message["pid"]), *descriptors)
        except BaseException:
            own.close()
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        if known == topic:
            return fork
        fork.kill()
        return self._made(topic)

    def _asked_for(self, topic: str) -> socket.socket:
        """Our end of a session's socket; the first message lies in it."""
        own = _socket_through(self.control, START_SECONDS)
        try:
            own.sendall(wire.frame({"earlier": earlier_sources(topic)}))
        except BaseException:
            own.close()
            raise
        return own

    def close(self) -> None:
        """End it."""
        if self._next is not None:
            self._next[1].close()
            self._next = None
        self.started.close()


@dataclass
class Fork:
    """A forked process: its socket and, of a session, the pid and a descriptor of it.

    Both come from the zygote. A session ends its laws' processes, and its own end ends
    them all: what it might say about their pids is not believed. why: a descriptor
    from which to read why the session's keeper has ended it. threaded: it says that it
    has threads, which a fork of it would lack, and might wait for.
    """

    sock: socket.socket
    pid: int = 0
    handle: int = -1
    why: int = -1
    threaded: bool = field(default=False, init=False)

    def has_ended(self) -> bool:
        """Whether it is known to have ended."""
        return self.handle >= 0 and bool(select.select([self.handle], [], [], 0)[0])

    def death(self) -> SubjectError:
        """What to raise where it has died."""
        said = ""
        if self.why >= 0 and select.select([self.why], [], [], 0)[0]:
            said = os.read(self.why, 200).decode()
        words = said or "the process that ran it died"
        return SubjectError("Died", words, gone="died")

    def kill(self) -> None:
        """End it; a session takes its laws' processes with it."""
        self.sock.close()
        with suppress(ProcessLookupError, PermissionError):
            if self.handle >= 0:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            elif self.pid > 0:
                os.kill(self.pid, signal.SIGKILL)
        for descriptor in (self.handle, self.why):
            if self.handle >= 0 and descriptor >= 0:  # a law's `why` is its session's
                os.close(descriptor)
        self.pid, self.handle, self.why = 0, -1, -1


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
    """One byte, and the descriptors that may come with it."""
    if not select.select([sock], [], [], max(0.0, deadline - time.monotonic()))[0]:
        raise TimeoutError
    data, descriptors, _, _ = socket.recv_fds(sock, 1, 2)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, list(descriptors)


class Budget:
    """Seconds that a submission's code may take in all, its sessions together.

    Only waiting for it is counted: not the judge's own time.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self.left = seconds

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0

    def of(self, seconds: float) -> float:
        """So many seconds, or what is left."""
        return min(seconds, max(self.left, 0.0))

    @contextmanager
    def counted(self) -> Iterator[None]:
        """What is waited here counts."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.left -= time.monotonic() - began


class Sessions:
    """Processes that have loaded one submission, to try laws in.

    A piece in which such a process dies or hangs is left out, and the rest loaded anew:
    it costs the exercises that it defines, not the others. budget: none is without end.
    """

    def __init__(
        self,
        zygote: Zygote,
        submission: Submission,
        topic: str,
        seconds: float,
        budget: Budget | None = None,
    ) -> None:
        self._zygote, self._seconds = zygote, seconds
        self.budget = Budget() if budget is None else budget
        self._submission, self._topic = submission, topic
        self._left_out: dict[int, str] = {}
        self._first: Fork | None = None
        self._forked: Fork | None = None  # the session that the others are forks of
        self._loading = 0.0  # seconds that it took
        self._ending: list[int] = []  # descriptors of sessions that were killed

    def begin(self) -> None:
        """Load it for the first process; SubjectError where that fails."""
        self._first = self._loaded()

    def anew(self, budget: Budget) -> Sessions:
        """Others of the same submission, in which nothing was asked yet."""
        others = Sessions(
            self._zygote, self._submission, self._topic, self._seconds, budget
        )
        others._left_out = self._left_out
        return others

    @contextmanager
    def process(self) -> Iterator[Fork]:
        """A process in the state right after loading; SubjectError where none comes.

        The first one is a session itself: it saves the time of a fork, which is all
        that a right answer needs. The next ones are forks of a second session.
        """
        own = self._of_its_own() or self._fork()
        try:
            yield own
        finally:
            self._kill(own)

    def close(self, seconds: float = 0.0) -> None:
        """End them, and wait so long for it.

        One that is dying still has its files open, and locks on them can be seen.
        """
        for session in (self._first, self._forked):
            if session is not None:
                self._kill(session)
        self._first = self._forked = None
        end = time.monotonic() + seconds
        while self._ending:
            handle = self._ending.pop()
            select.select([handle], [], [], max(0.0, end - time.monotonic()))
            os.close(handle)

    def _kill(self, fork: Fork) -> None:
        if fork.handle >= 0:
            self._ending.append(os.dup(fork.handle))
        fork.kill()

    def _of_its_own(self) -> Fork | None:
        session, self._first = self._first, None
        return session and self._serving(session)

    def _serving(self, session: Fork) -> Fork:
        """A session that serves laws itself, and forks no more."""
        session.sock.settimeout(self._seconds)
        try:
            hand_over(session, b"s")
        except BaseException:
            self._kill(session)
            raise
        return session

    def _fork(self) -> Fork:
        if self._forked is None:
            self._forked = self._loaded()
            self._forked.sock.settimeout(self._seconds)
        if self._forked.threaded and self._loading < LOADING * self._seconds:
            session, self._forked = self._forked, None
            return self._serving(session)
        try:
            with self.budget.counted():
                return _fork_law(self._forked, self.budget.of(self._seconds))
        except (wire.WireError, OSError):
            raise self._forked.death() from None

    def _loaded(self) -> Fork:
        began = time.monotonic()
        again = True  # once, where it was lost before its first piece: not its doing
        while True:
            fork = self._zygote.fork(self._topic)
            try:
                self._load(fork)
                self._loading += time.monotonic() - began
                return fork
            except _Lost as lost:
                fork.kill()
                if lost.piece is None and again:
                    again = False
                else:
                    self._leave_out(lost)
            except BaseException:
                fork.kill()
                raise

    def _load(self, fork: Fork) -> None:
        """Have a submission loaded; the process says which piece it is at.

        Its time begins with its first piece: until then only the zygote's code runs.
        """
        deadline = time.monotonic() + START_SECONDS
        try:
            hand_over(fork, wire.frame(self._message()))
        except wire.WireError as error:
            raise SubjectError("TooLarge", f"{error}") from None
        except SubjectError as error:
            raise _Lost(None, error) from None
        reader = wire.Reader(fork.sock, ahead=0, limit=wire.REPLY_LIMIT)
        at, reply = None, {"at": None}
        while "at" in reply:
            at = reply["at"] if isinstance(reply["at"], int) else at
            try:
                with nullcontext() if at is None else self.budget.counted():
                    reply = reply_of(fork, reader, deadline)
            except SubjectError as error:
                raise _Lost(at, error) from None
            if at is None:
                deadline = time.monotonic() + self.budget.of(2 * self._seconds)
        fork.threaded = bool(reply.get("threaded"))
        if "failed" in reply:
            raise SubjectError("LoadError", str(reply["failed"]))

    def _message(self) -> dict[str, Any]:
        return {
            "name": self._submission.path.name,
            "topic": self._topic,
            "pieces": self._submission.pieces,
            "left_out": {str(i): words for i, words in self._left_out.items()},
            "wanted": self._submission.wanted,
        }

    def _leave_out(self, lost: _Lost) -> None:
        full = len(self._left_out) == MOST_LEFT_OUT
        if lost.piece is None or lost.piece in self._left_out or full:
            raise lost.error from None
        self._left_out[lost.piece] = lost.error.message


def _fork_law(session: Fork, seconds: float) -> Fork:
    """Ask a session for a fork that serves one law."""
    own = _socket_through(session.sock, seconds)
    try:
        reader = wire.Reader(session.sock, ahead=0, limit=wire.REPLY_LIMIT)
        reader.receive(time.monotonic() + seconds)
        return Fork(own, why=session.why)
    except BaseException:
        own.close()
        raise


class _Lost(Exception):  # noqa: N818
    """The process died or hung while it loaded this piece."""

    def __init__(self, piece: int | None, error: SubjectError) -> None:
        super().__init__(piece)
        self.piece, self.error = piece, error


def hand_over(fork: Fork, frames: bytes) -> None:
    """Send messages to a process that may have died, or not listen."""
    try:
        fork.sock.sendall(frames)
    except TimeoutError:
        raise _late() from None
    except OSError:
        raise fork.death() from None


def _late() -> SubjectError:
    return SubjectError("Timeout", "the code did not finish in time", gone="time")


@cache
def earlier_sources(topic: str) -> dict[str, str]:
    """The reference answers of the lessons before this one, as text, in order."""
    before = catalogue.TOPICS[: catalogue.TOPICS.index(topic)]
    files = {t: find(t).file("exercises") for t in before}
    return {t: f.read_text(encoding="utf-8") for t, f in files.items() if f.exists()}


def reply_of(fork: Fork, reader: wire.Reader, deadline: float) -> dict[str, Any]:
    """A message from a process that may hang, die or talk nonsense."""
    try:
        return reader.receive(deadline)
    except TimeoutError:
        raise _late() from None
    except wire.TooLargeError:
        raise SubjectError("Died", wire.TOO_LARGE, gone="died") from None
    except (wire.WireError, OSError):
        raise fork.death() from None
