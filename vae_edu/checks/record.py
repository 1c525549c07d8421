"""Numbers that travel instead of answers: recorded truth and fingerprints of mistakes.

The build runs each public law with an independent oracle and keeps the values it asked
for (`RecordingTruth`); a learner's copy replays them (`RecordedTruth`). It also runs
each law on each known wrong answer and keeps what came out, as numbers (`Witness`); a
learner's outcome is compared with these. No code, right or wrong, is kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.law import NoTruth, Truth
from vae_edu.errors import CourseError
from vae_edu.subject import Answer, Request, Subject, SubjectError, Wrong

PUBLIC_SEED = "public"
MANY = 2**18  # elements of a tensor above which its numbers are not noted


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
        said = next(self._said)
        if said is None:
            raise NoTruth("there was none when it was recorded")
        return decode(said)

    def vjp(
        self,
        name: str,
        args: Sequence[Any],
        wrt: Sequence[int],
        cotangents: Sequence[Tensor],
    ) -> list[Tensor]:
        """See `Truth`."""
        return list(decode(next(self._said)))


class Witness:
    """A subject that also notes, in a few numbers, everything that came back."""

    def __init__(self, subject: Subject) -> None:
        self._perform = subject.perform
        self.seen: list[Any] = []
        self.last: Request | None = None
        self.built: dict[int, Request] = {}

    def subject(self) -> Subject:
        """The subject to run a law on."""
        return Subject(self.perform)

    def perform(self, request: Request) -> Answer:
        """Perform a request and note its outcome."""
        self.last = request
        try:
            answer = self._perform(request)
        except SubjectError as error:
            self.seen.append(f"error {error.kind}")
            raise
        if request.op == "build":
            self.built[int(answer.value)] = request
        self.seen.extend(_features(answer))
        return answer


def _features(answer: Answer) -> list[Any]:
    values = answer.value if isinstance(answer.value, tuple) else (answer.value,)
    seen: list[Any] = [",".join(answer.changed)] if answer.changed else []
    seen += ["left grad"] * answer.left_grad
    seen += [f"switched {name}" for name in answer.switched]
    for value in (*values, *answer.grads, *answer.state_grads.values()):
        seen.extend(_feature(value))
    return seen


def _feature(value: Any) -> list[Any]:
    if isinstance(value, Tensor):
        kind = f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        if value.device.type == "meta":
            return [f"meta {kind}"]
        if value.numel() > MANY:  # no exercise returns so many
            return [kind]
        steps = torch.equal(value, value.float().to(value.dtype))  # of float32
        return [kind, steps, *_projection(value.to(torch.float64))]
    if isinstance(value, float):
        return ["float", "nan" if math.isnan(value) else _number(value)]
    return [value.type if isinstance(value, Wrong) else type(value).__name__]


def _projection(value: Tensor) -> list[Any]:
    flat = value.flatten()
    finite = torch.isfinite(flat)
    weights = torch.cos(torch.arange(flat.numel(), dtype=torch.float64) + 1.0)
    total = float((torch.where(finite, flat, 0.0) * weights).sum())
    lost = int((~finite).sum())
    return [_number(total)] if not lost else [_number(total), f"{lost} not finite"]


def _number(value: float) -> float:
    return float(f"{value:.9g}")


def alike(seen: Sequence[Any], known: Sequence[Any]) -> bool:
    """Whether two notes of a law's run agree: words exactly, numbers to six digits."""
    if len(seen) != len(known):
        return False
    return all(_alike(a, b) for a, b in zip(seen, known, strict=True))


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return bool(a == b)


@cache
def table(topic: str) -> dict[str, Any]:
    """The recorded numbers of a lesson: {"truth": ..., "misconceptions": ...}."""
    path = Path(__file__).parent / "recorded" / f"{topic}.json"
    if not path.exists():
        raise CourseError(
            f"The recorded values of lesson {topic!r} are missing ({path.name} in "
            "vae_edu/checks/recorded). In a checkout, `make build` writes them; "
            "otherwise install vae_edu again."
        )
    return json.loads(path.read_text(encoding="utf-8"))
