"""What a law is, how two values are compared, and where the true values come from.

A law is a function of (subject, truth, draw) that raises `Broken` with words for the
learner. `truth(name, *args)` gives the expected value: from a recorded table in a
learner's copy (numbers only, no code), from an independent oracle on the instructor's
side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.signs import Sign, of_dtypes, of_shape, sign
from vae_edu.subject import Answer, Subject, SubjectError, Wrong

EXACT = 1e-11  # relative to the scale, float64
LOOSE = 1e-6  # where a law is about something else than the last digits
FLOAT32 = 64 * torch.finfo(torch.float32).eps

# what a broken law is worth (see `judging.score`)
VALUE = "value"  # the answer is another quantity: no points
ESSENTIAL = "essential"  # the answer fails at what it is for: half of them at most
FORM = "form"  # the answer is right, its manners are not: its share, half at most
OF_FORM = ("dtype", "digits", "device", "mutated", "left grad")  # kinds of `Broken`


class Broken(Exception):  # noqa: N818
    """A law does not hold. `kind` says how, the message says it to the learner.

    sign: which mistake the law saw, where it could tell.
    """

    def __init__(
        self,
        message: str,
        kind: str = "value",
        got: Any = None,
        expected: Any = None,
        sign: Sign | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.kind, self.sign = message, kind, sign
        self.got, self.expected = got, expected
        if sign is None and kind in ("shape", "type"):
            self.sign = of_shape(got, expected, "the call")


class Truth(Protocol):
    """The expected values: of a function, and of its vector-Jacobian products."""

    def __call__(self, name: str, *args: Any) -> Any:
        """The expected value of `name(*args)`."""

    def vjp(
        self,
        name: str,
        args: Sequence[Any],
        wrt: Sequence[int],
        cotangents: Sequence[Tensor],
    ) -> list[Tensor]:
        """The expected vector-Jacobian products with respect to args[i], i in wrt."""


LawBody = Callable[[Subject, Truth, Draw], None]
Examination = Callable[[Subject, Truth, Draw], Sign | None]


@dataclass(frozen=True)
class Law:
    """One law about one exercise.

    name: short, one word or two; sentence: what should hold, read as such by a
    learner; weight: its share of the score; hidden: not among those a learner can run;
    role: what it is worth, VALUE, ESSENTIAL or FORM.
    """

    exercise: str
    name: str
    sentence: str
    body: LawBody
    weight: float = 1.0
    hidden: bool = False
    role: str = ESSENTIAL


@dataclass
class Laws:
    """The laws of a lesson, in the order in which they are tried."""

    topic: str
    laws: list[Law] = field(default_factory=list)
    examinations: dict[str, Examination] = field(default_factory=dict)

    def add(self, law: Law) -> None:
        """Append a law; two of one exercise never share a name."""
        if any(old.name == law.name for old in self.of(law.exercise)):
            raise ValueError(f"{law.exercise} has two laws called {law.name!r}")
        self.laws.append(law)

    def law(
        self,
        exercise: str,
        name: str,
        sentence: str,
        *,
        hidden: bool = False,
        role: str = ESSENTIAL,
    ) -> Callable[[LawBody], LawBody]:
        """Declare a law written by hand."""

        def declare(body: LawBody) -> LawBody:
            self.add(Law(exercise, name, sentence, body, hidden=hidden, role=role))
            return body

        return declare

    def examination(self, exercise: str) -> Callable[[Examination], Examination]:
        """Declare how a broken answer is examined, to find the mistake's name."""

        def declare(examine: Examination) -> Examination:
            self.examinations[exercise] = examine
            return examine

        return declare

    def early(self, exercise: str, names: Sequence[str], *, before: str) -> None:
        """Try these laws of an exercise before another one, in the order named."""
        for name in names:
            law = next(x for x in self.of(exercise) if x.name == name)
            self.laws.remove(law)
            place = next(x for x in self.of(exercise) if x.name == before)
            self.laws.insert(self.laws.index(place), law)

    def of(self, exercise: str) -> list[Law]:
        """The laws of one exercise."""
        return [law for law in self.laws if law.exercise == exercise]


def of_dtype(message: str) -> bool:
    """Whether an error of torch's is about two dtypes that do not mix."""
    return "dtype" in message or "scalar type" in message


def of_writing(message: str) -> bool:
    """Whether an error of torch's is about a tensor that was written to in place."""
    return "in-place" in message or "inplace" in message


def describe(value: Any) -> str:
    """A value in a few words: numbers where they are few, shape and dtype otherwise."""
    if isinstance(value, Wrong):
        return f"{_article(value.type)} {value.type}"
    if isinstance(value, tuple):
        return "(" + ", ".join(describe(v) for v in value) + ")"
    if not isinstance(value, Tensor):
        return f"{value:.6g}" if isinstance(value, float) else repr(value)
    if value.device.type == "meta":
        return f"a tensor {shape_text(value)} on another device"
    if value.dim() == 0:
        return f"{value.item():.5g}, a tensor of shape ()"
    flat = [f"{v:.5g}" for v in value.flatten()[:4].tolist()]
    more = ", …" if value.numel() > 4 else ""
    return f"[{', '.join(flat)}{more}] of shape {shape_text(value)}"


def _article(word: str) -> str:
    return "an" if word[:1].lower() in tuple("aeio") else "a"


def shape_text(value: Tensor) -> str:
    """A shape as a learner writes it: (4, 3)."""
    return str(tuple(value.shape))


def compare(
    got: Any,
    expected: Any,
    *,
    scale: float = 1.0,
    rtol: float = EXACT,
    what: str = "the result",
    dtype: torch.dtype | None = None,
) -> None:
    """Raise `Broken` unless `got` is `expected` within rtol · max(scale, |expected|).

    Types, number of parts and shapes are compared exactly; the dtype where one is
    given. Infinities must agree; a NaN is never right.
    """
    if isinstance(expected, tuple):
        _compare_tuple(got, expected, scale=scale, rtol=rtol, what=what, dtype=dtype)
        return
    if isinstance(expected, float):
        _compare_float(got, expected, rtol, what)
        return
    _expect_tensor(got, expected, what)
    if got.is_floating_point() and dtype in (None, got.dtype):
        _compare_values(got, expected, scale, rtol, what)
        return
    # wrong values are more than another dtype
    eps = torch.finfo(got.dtype).eps if got.is_floating_point() else 0.0
    _compare_values(got, expected, scale, max(rtol, 16 * eps), what)
    inputs = f" for inputs of {_dtype(dtype)}" if dtype is not None else ""
    raise _other_dtype(got, expected, what, inputs)


def expect_like(got: Any, expected: Any, what: str) -> None:
    """Raise `Broken` unless types, part counts and shapes agree; values may differ."""
    if not isinstance(expected, tuple):
        _expect_tensor(got, expected, what)
        if not got.is_floating_point():
            raise _other_dtype(got, expected, what)
        return
    if not isinstance(got, tuple) or len(got) != len(expected):
        raise Broken(
            f"{what} should be a tuple of {len(expected)}; it is {describe(got)}.",
            "type",
            got,
            expected,
        )
    for place, (g, e) in enumerate(zip(got, expected, strict=True)):
        expect_like(g, e, _part(what, place))


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _other_dtype(got: Any, expected: Any, what: str, inputs: str = "") -> Broken:
    words = f"{what} has dtype {_dtype(got.dtype)}{inputs}"
    advice = "the dtype should follow the inputs."
    mixed = of_dtypes(got, expected)
    return Broken(f"{words}; {advice}", "dtype", got, expected, mixed)


def _compare_tuple(
    got: Any, expected: tuple[Any, ...], *, what: str, **how: Any
) -> None:
    if not isinstance(got, tuple):
        raise Broken(
            f"{what} should be a tuple of {len(expected)}; it is {describe(got)}.",
            "type",
            got,
            expected,
        )
    if len(got) != len(expected):
        raise Broken(
            f"{what} should be a tuple of {len(expected)}; it has {len(got)} parts.",
            "type",
            got,
            expected,
        )
    for place, (g, e) in enumerate(zip(got, expected, strict=True)):
        compare(g, e, what=_part(what, place), **how)


def _part(what: str, place: int) -> str:
    """One of several results in words; `what` may be a call or a whole phrase."""
    return f"{what.rstrip(',')}, result {place + 1},"


def _compare_float(got: Any, expected: float, rtol: float, what: str) -> None:
    if not isinstance(got, float):
        raise Broken(
            f"{what} should be a Python float; it is {describe(got)}.",
            "type",
            got,
            expected,
        )
    if not math.isclose(got, expected, rel_tol=rtol, abs_tol=rtol):
        raise Broken(
            f"{what} is {got:.8g}; expected {expected:.8g}.", "value", got, expected
        )


def _expect_tensor(got: Any, expected: Tensor, what: str) -> None:
    if not isinstance(got, Tensor):
        raise Broken(
            f"{what} should be a tensor; it is {describe(got)}.", "type", got, expected
        )
    if got.shape != expected.shape:
        raise Broken(
            f"{what} has shape {shape_text(got)}; expected {shape_text(expected)}.",
            "shape",
            got,
            expected,
        )
    if got.device != expected.device:
        words = f"{what} is not on the inputs' device."
        raise Broken(words, "device", sign=sign("cpu-tensor"))


def _compare_values(
    got: Tensor, expected: Tensor, scale: float, rtol: float, what: str
) -> None:
    g, e = got.to(torch.float64), expected.to(torch.float64)
    finite = torch.isfinite(e)
    room = rtol * torch.clamp(torch.where(finite, e.abs(), 0.0), min=scale)
    close = torch.where(finite, (g - e).abs() <= room, g == e)
    if bool(close.all()):
        return
    lost = finite & ~torch.isfinite(g)
    kind, words, wrong = "value", "is not the true value", ~close
    if bool(lost.any()):
        kind, words, wrong = "overflow", "is not finite where the true value is", lost
    elif _right_to_float32(g, e, finite, scale):
        kind, words = "digits", "is right to five or six digits only"
    place = tuple(wrong.nonzero()[0].tolist())
    where = f" at index {place}" if place else ""
    shown = [f"{v[place].item():.6g}" for v in (g, e)]
    if shown[0] == shown[1]:
        shown = [f"{v[place].item():.15g}" for v in (g, e)]
    raise Broken(
        f"{what} {words}{where}: got {shown[0]}, expected {shown[1]}.",
        kind,
        got,
        expected,
        _sign_of_digits(got, kind),
    )


def _sign_of_digits(got: Tensor, kind: str) -> Sign | None:
    if kind == "overflow":
        return sign("overflow")
    if kind != "digits":
        return None
    single = torch.equal(got, got.float().to(got.dtype))
    return sign("float32-inside" if single else "digits-lost")


def _right_to_float32(g: Tensor, e: Tensor, finite: Tensor, scale: float) -> bool:
    """Whether all that is wrong are digits that float32 does not have."""
    room = FLOAT32 * torch.clamp(torch.where(finite, e.abs(), 0.0), min=scale)
    return bool(torch.where(finite, (g - e).abs() <= room, g == e).all())


def attempt(find: Callable[[], Sign | None]) -> Sign | None:
    """What `find` finds; None where the answer gives nothing that it could look at."""
    try:
        return find()
    except Broken as broken:
        return broken.sign
    except (NoTruth, SubjectError, ArithmeticError, LookupError):
        return None
    except (RuntimeError, TypeError, ValueError, AttributeError):  # of foreign values
        return None


class NoTruth(Exception):  # noqa: N818
    """The oracle gave no true value: nothing can be said of the answer."""


def _sound(value: Any) -> Any:
    """The oracle's value; raises NoTruth for NaN, and for what no exercise returns."""
    parts = value if isinstance(value, tuple) else (value,)
    for part in parts:
        if isinstance(part, Wrong) or part is None:
            raise NoTruth(f"the oracle gave {describe(part)}")
        if bool(torch.isnan(torch.as_tensor(part)).any()):
            raise NoTruth("the oracle gave NaN")
    return value


class OracleTruth:
    """Truth computed by independent code, on the instructor's side.

    Where that code fails, `NoTruth`: its error is not taken for the learner's.
    """

    def __init__(self, oracle: Subject) -> None:
        self.oracle = oracle

    def __call__(self, name: str, *args: Any) -> Any:
        """See `Truth`."""
        try:
            return _sound(self.oracle.call(name, *args))
        except SubjectError as error:
            raise NoTruth(f"the oracle: {error.kind}: {error.message}") from None

    def vjp(
        self,
        name: str,
        args: Sequence[Any],
        wrt: Sequence[int],
        cotangents: Sequence[Tensor],
    ) -> list[Tensor]:
        """See `Truth`; an input that the value does not depend on has gradient zero."""
        try:
            answer: Answer = self.oracle.vjp(name, args, wrt, cotangents)
        except SubjectError as error:
            raise NoTruth(f"the oracle: {error.kind}: {error.message}") from None
        return [
            torch.zeros_like(args[i]) if g is None else _sound(g)
            for i, g in zip(wrt, answer.grads, strict=True)
        ]
