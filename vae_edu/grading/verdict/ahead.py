"""Asking ahead: what the laws are going to ask, so that nobody waits between answers.

With one seed, as `vae-edu judge` has it, a law asks every answer the same things, but
for what it makes of earlier answers (a module's own weights). The reference is asked
once, in the judge's process, and its requests, written down, are sent to a submission's
process in advance; the laws then read the answers in the same order. Where a law asks
something else after all, the answers in flight are thrown away and it is asked again,
one by one. (`vae-edu grade` has a seed for each submission, and asks one by one.)

What belongs here: scripts, and the judge's end of a law's process that follows them.
What does not: laws and verdicts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.judging import run_law
from vae_edu.checks.law import Law, Truth
from vae_edu.errors import CourseError
from vae_edu.grading.wall import wire
from vae_edu.grading.wall.process import Budget, Fork, hand_over, reply_of
from vae_edu.lesson import find
from vae_edu.subject import Answer, Engine, Request, Subject, SubjectError

ROOM = 32 * 2**10  # bytes under way that a socket holds while nobody reads them
SCRIPTS = 1024  # laws whose scripts are kept


@dataclass
class Script:
    """What a law asks first; `whole`: and nothing more."""

    requests: list[Request] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    whole: bool = False

    def cut(self, count: int) -> None:
        """Keep the first requests alone: what comes next depends on answers."""
        del self.requests[count:], self.frames[count:]
        self.whole = False


def script_of(topic: str, law: Law, truth: Truth, seed: str) -> Script:
    """What a law asks the reference; an empty script where this copy has none."""
    return _script(topic, law, _Same(truth), seed)


class _Same:
    """A truth as a key of a cache: equal to every other one."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same)


@lru_cache(SCRIPTS)
def _script(topic: str, law: Law, truth: _Same, seed: str) -> Script:
    try:
        reference = find(topic).reference
    except CourseError:
        return Script()
    asked, held = _asked(law, Engine(reference).perform, truth.truth, seed)
    script = Script(asked, [wire.frame(wire.request_message(r)) for r in asked], held)
    others, _ = _asked(law, _Otherwise(reference).perform, truth.truth, seed)
    common = _common(asked, others)
    if common < min(len(asked), len(others)):
        script.cut(common)
    return script


def _asked(
    law: Law, perform: Callable[[Request], Answer], truth: Truth, seed: str
) -> tuple[list[Request], bool]:
    asked: list[Request] = []

    def noting(request: Request) -> Answer:
        asked.append(replace(request, anew=not asked))
        return perform(request)

    return asked, run_law(law, Subject(noting), truth, seed, noted=False).holds


class _Otherwise(Engine):
    """The reference, with other weights, under other names, and other last digits.

    So what a law makes of an answer is told from what it asks of all alike.
    """

    def perform(self, request: Request) -> Answer:
        """See `Engine`."""
        if request.op == "build":
            other = request.options | {"seed": request.options["seed"] + 1}
            return super().perform(replace(request, options=other))
        if request.op == "load":
            known = {k.removeprefix(_OTHER): v for k, v in request.kwargs.items()}
            request = replace(request, kwargs=known)
        answer = super().perform(request)
        answer.value = _rounded_otherwise(answer.value)
        answer.state_grads = {_OTHER + k: v for k, v in answer.state_grads.items()}
        return answer


_OTHER = "other."


def _rounded_otherwise(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_rounded_otherwise, value))
    if isinstance(value, Tensor) and value.is_floating_point():
        return value * (1 + 2 * torch.finfo(value.dtype).eps)
    return value * (1 + 2**-51) if isinstance(value, float) else value


def _common(a: Sequence[Request], b: Sequence[Request]) -> int:
    """How many requests two sequences share from the start."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if not same(x, y)), min(len(a), len(b)))


def same(a: Any, b: Any) -> bool:
    """Whether two requests, or parts of them, are equal; a NaN is what it is."""
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is Tensor:
        return _same_tensor(a, b)
    if kind is tuple or kind is list:
        return len(a) == len(b) and all(map(same, a, b))
    if kind is dict:
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if is_dataclass(a):
        return same(vars(a), vars(b))
    return bool(a == b or (a != a and b != b))


def _same_tensor(a: Tensor, b: Tensor) -> bool:
    if a.dtype != b.dtype or a.device != b.device or a.shape != b.shape:
        return False
    if a.device.type == "meta" or torch.equal(a, b):
        return True
    return torch.equal(wire.bytes_of(a), wire.bytes_of(b))  # where there is a NaN


# --- the judge's end --------------------------------------------------------------


class Line:
    """The judge's end of a law's process: what is asked there, in order, maybe ahead.

    scripts: of the laws that will be tried there, in that order; `begin` says each time
    that the next one starts. Where a law asks something that is not in its script, that
    is cut there, and `strayed` is True from then on: the process is at what nobody
    asked, so that nothing it says counts any more.
    """

    def __init__(self, fork: Fork, scripts: Sequence[Script]) -> None:
        self.strayed = False
        self._fork = fork
        self._reader = wire.Reader(fork.sock, limit=wire.REPLY_LIMIT)
        self._scripts = scripts
        self._law, self._asked = -1, 0  # the law that is tried, its requests so far
        self._next, self._sent = 0, 0  # the script that is sent, its frames so far
        self._sizes: deque[int] = deque()  # bytes of each request without an answer

    def begin(self, seconds: float, budget: Budget) -> Subject:
        """The next law starts; its subject may keep us waiting so long in all.

        No longer than is left of its submission's budget, either. The judge's own time
        (an oracle's first import, a quadrature) does not count.
        """
        if self._law >= 0 and self._asked < len(self._script.requests):
            self._stray()
        self._law, self._asked = self._law + 1, 0
        if self._next < self._law:
            self._next, self._sent = self._law, 0
        own = Budget(budget.of(seconds))

        def perform(request: Request) -> Answer:
            with own.counted(), budget.counted():
                first = replace(request, anew=self._asked == 0)
                return self._exchange(first, time.monotonic() + own.left)

        return Subject(perform)

    def _exchange(self, request: Request, deadline: float) -> Answer:
        self._ask(request)
        reply = reply_of(self._fork, self._reader, deadline)
        self._sizes.popleft()
        return _answer(reply)

    @property
    def _script(self) -> Script:
        return self._scripts[self._law]

    def _stray(self) -> None:
        self.strayed = True
        self._script.cut(self._asked)

    def _ask(self, request: Request) -> None:
        """Have a request answered: sent long ago, or now."""
        script = self._script
        foreseen = self._asked < len(script.requests)
        right = same(script.requests[self._asked], request) if foreseen else True
        if not right or (script.whole and not foreseen):
            self._stray()
        if self.strayed:
            raise SubjectError("Strayed", "asked something else than foreseen")
        self._asked += 1
        if foreseen:
            self._send_ahead()
        else:
            self._send([wire.frame(wire.request_message(request))])

    def _send_ahead(self) -> None:
        """Send what the socket has room for; at least what is asked now."""
        frames: list[bytes] = []
        under_way = sum(self._sizes)
        if under_way > ROOM // 2:  # many at a time
            return
        while (frame := self._due()) is not None:
            if under_way and under_way + len(frame) > ROOM:
                break
            under_way += len(frame)
            self._sent += 1
            frames.append(frame)
        if frames:
            self._send(frames)

    def _due(self) -> bytes | None:
        """The next frame to send; after a script that is cut, that is not known."""
        while self._next < len(self._scripts):
            script = self._scripts[self._next]
            if self._sent < len(script.frames):
                return script.frames[self._sent]
            if not script.whole:
                return None
            self._next, self._sent = self._next + 1, 0
        return None

    def _send(self, frames: Sequence[bytes]) -> None:
        self._sizes.extend(map(len, frames))
        hand_over(self._fork, b"".join(frames))


def _answer(reply: dict[str, Any]) -> Answer:
    try:
        return wire.answer_of(reply)
    except SubjectError:
        raise
    except Exception:  # whatever was sent
        words = "its process sent no valid answer"
        raise SubjectError("Died", words, gone="died") from None
