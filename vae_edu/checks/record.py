"""Numbers that travel instead of answers: recorded truth and fingerprints of mistakes.

The build runs each public law with an independent oracle and keeps the values it asked
for (`RecordingTruth`); a learner's copy replays them (`RecordedTruth`). It also runs
each law on each known wrong answer and keeps what came out, as numbers (`Witness`); a
learner's outcome is compared with these. No code, right or wrong, is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.law import NoTruth, Truth
from vae_edu.subject import Answer, Request, Subject, SubjectError, Wrong

PUBLIC_SEED = "public"
MANY = 2**18  # elements of a tensor above which its numbers are not noted
STEPS = "~"  # behind a float64's kind: its numbers are those of float32

# How far a sum may be off, in parts of the largest number behind it. HALF: a mistake
# may ask for the arc cosine of 1, or invert a matrix that has no inverse, and keep no
# more than half of float64's digits.
SINGLE = 256 * torch.finfo(torch.float32).eps
DOUBLE = 256 * torch.finfo(torch.float64).eps
HALF = torch.finfo(torch.float32).eps


def encode(value: Any) -> Any:
    """A value as JSON: tensors with dtype and shape, tuples, numbers."""
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return {"d": dtype, "s": list(value.shape), "v": value.flatten().tolist()}
    if isinstance(value, tuple | list):
        return [encode(v) for v in value]
    return value


def decode(value: Any) -> Any:
    """The inverse of `encode`; lists become tuples."""
    if isinstance(value, dict):
        dtype = getattr(torch, value["d"])
        return torch.tensor(value["v"], dtype=dtype).reshape(value["s"])
    if isinstance(value, list):
        return tuple(decode(v) for v in value)
    return value


class RecordingTruth:
    """Passes a truth on and keeps what it said."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.said: list[Any] = []

    def __call__(self, name: str, *args: Any) -> Any:
        """See `Truth`."""
        try:
            return self._keep(self.truth(name, *args))
        except NoTruth:
            self.said.append(None)
            raise

    def vjp(
        self,
        name: str,
        args: Sequence[Any],
        wrt: Sequence[int],
        cotangents: Sequence[Tensor],
    ) -> list[Tensor]:
        """See `Truth`."""
        return self._keep(self.truth.vjp(name, args, wrt, cotangents))

    def _keep(self, value: Any) -> Any:
        self.said.append(encode(value))
        return value


class RecordedTruth:
    """Says again what was recorded, in the same order."""

    def __init__(self, said: Sequence[Any]) -> None:
        self._said = iter(said)

    def __call__(self, name: str, *args: Any) -> Any:
        """See `Truth`."""
        said = next(self._said, None)
        if said is None:
            raise NoTruth("none was recorded")
        return decode(said)

    def vjp(
        self,
        name: str,
        args: Sequence[Any],
        wrt: Sequence[int],
        cotangents: Sequence[Tensor],
    ) -> list[Tensor]:
        """See `Truth`."""
        said = next(self._said, None)
        if said is None:
            raise NoTruth("none was recorded")
        return list(decode(said))


class Witness:
    """A subject that also keeps everything that came back, and notes it when asked.

    Every law begins anew, so that it finds in `check` what it finds in a judge's
    process.
    """

    def __init__(self, subject: Subject) -> None:
        self._perform = subject.perform
        self._kept: list[tuple[Request, Answer | SubjectError]] = []
        self.last: Request | None = None
        self.built: dict[int, Request] = {}

    def subject(self) -> Subject:
        """The subject to run a law on."""
        return Subject(self.perform)

    def perform(self, request: Request) -> Answer:
        """Perform a request and keep its outcome."""
        first, self.last = self.last is None, request
        try:
            answer = self._perform(replace(request, anew=True) if first else request)
        except SubjectError as error:
            self._kept.append((request, error))
            raise
        self._kept.append((request, answer))
        if request.op == "build":
            self.built[int(answer.value)] = request
        return answer

    def notes(self) -> list[Any]:
        """What came back, in words and numbers.

        Each number is noted with its room: by how much it may differ on another
        processor, or where the same is computed in another order.
        """
        rounding, seen = _Rounding(), list[Any]()
        for request, answer in self._kept:
            if isinstance(answer, SubjectError):
                seen.append(f"error {answer.kind}")
                continue
            rounding.meet(request, answer)
            if request.op != "build":  # which instance it is says nothing about it
                seen.extend(_features(answer, rounding))
        return seen


@dataclass
class _Rounding:
    """What is known of the arithmetic behind an answer.

    single: float32 has had a part in it; asked: the largest number that went in.
    """

    single: bool = False
    asked: float = 1.0
    _loaded: float = 1.0

    def meet(self, request: Request, answer: Answer) -> None:
        """Look at a request and its answer."""
        given = [*request.args, *request.kwargs.values()]
        sizes = [largest(v) for v in given if isinstance(v, Tensor)]
        if request.op == "load":
            self._loaded = max(sizes, default=1.0)
        self.asked = max([1.0, self._loaded, *sizes])
        if not self.single:
            parts = (*given, *_parts(answer))
            self.single = request.op == "build" or any(map(_is_single, parts))

    def room(self, size: float, *, single: bool = False) -> float:
        """By how much a sum of numbers up to this size may be off."""
        if single or self.single:
            return SINGLE * max(size, self.asked)
        return max(HALF * max(1.0, size), DOUBLE * self.asked)


def _is_single(value: Any) -> bool:
    tensor = isinstance(value, Tensor) and value.is_floating_point()
    return tensor and value.dtype != torch.float64


def largest(value: Tensor) -> float:
    """The largest finite size of a number in a tensor; 0 where there is none."""
    if value.device.type == "meta" or not value.is_floating_point():
        return 0.0
    sizes = value.abs()
    size = float(sizes.max()) if sizes.numel() else 0.0
    if math.isfinite(size):
        return size
    sizes = sizes[torch.isfinite(sizes)]
    return float(sizes.max()) if sizes.numel() else 0.0


def _parts(answer: Answer) -> list[Any]:
    values = answer.value if isinstance(answer.value, tuple) else (answer.value,)
    return [*values, *answer.grads, *answer.state_grads.values()]


def _features(answer: Answer, rounding: _Rounding) -> list[Any]:
    seen: list[Any] = [",".join(answer.changed)] if answer.changed else []
    seen += ["left grad"] * answer.left_grad
    seen += [f"switched {name}" for name in answer.switched]
    for value in _parts(answer):
        seen.extend(_feature(value, rounding))
    return seen


def _feature(value: Any, rounding: _Rounding) -> list[Any]:
    if isinstance(value, Tensor):
        return _tensor(value, rounding)
    if isinstance(value, float):
        return ["float", _number(value, rounding.room(abs(value)))]
    return [value.type if isinstance(value, Wrong) else type(value).__name__]


def _tensor(value: Tensor, rounding: _Rounding) -> list[Any]:
    """Dtype and shape, the sum of the entries by fixed weights, how many are lost."""
    kind = f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if value.device.type == "meta":
        return [f"meta {kind}"]
    if value.numel() > MANY:  # no exercise returns so many
        return [kind]
    flat, lost = _finite(value.flatten().to(torch.float64))
    size = largest(flat)
    single = value.dtype == torch.float64 and _as_float32(flat, size)
    total = float(flat @ _weights(flat.numel()))
    noted = _number(total, rounding.room(size, single=single))
    return [kind + STEPS * single, noted, *[f"{lost} not finite"] * bool(lost)]


def _finite(flat: Tensor) -> tuple[Tensor, int]:
    """The entries, 0 in the place of those that are not finite; how many are not."""
    finite = torch.isfinite(flat)
    if bool(finite.all()):
        return flat, 0
    return torch.where(finite, flat, 0.0), int((~finite).sum())


@lru_cache(256)
def _weights(count: int) -> Tensor:
    return torch.cos(torch.arange(count, dtype=torch.float64) + 1.0)


def _as_float32(flat: Tensor, size: float) -> bool:
    """Whether float64 holds float32's numbers, but for what its own rounding leaves.

    So a 0 and a difference of equals, which leaves 1e-17 on one processor and 0 on
    another, are the same.
    """
    off = (flat - flat.float().to(torch.float64)).abs()
    return bool((off <= DOUBLE * max(1.0, size)).all())


def _number(value: float, room: float) -> Any:
    """A number and its room, in no more digits than that leaves; a word if not finite.

    Of the room one digit is told, of the number one behind it.
    """
    if not math.isfinite(value + room):
        return str(value)
    places = 1 - math.floor(math.log10(room))
    return [round(value, places) + 0.0, float(f"{room:.0e}")]


def alike(seen: Sequence[Any], known: Sequence[Any]) -> bool:
    """Whether two notes of a law's run agree: words exactly, numbers in their room."""
    if len(seen) != len(known):
        return False
    return all(_alike(a, b) for a, b in zip(seen, known, strict=True))


def _alike(seen: Any, known: Any) -> bool:
    if isinstance(seen, list) and isinstance(known, list):
        return abs(seen[0] - known[0]) <= known[1]
    return bool(seen == known)
