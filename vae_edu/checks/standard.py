"""The laws that every function of the course owes: one body each, given its cases.

A lesson's module says which inputs to try on an exercise (`Cases`); the true values
come from `truth`. Each law is about one thing only, and looser about the others, so
that a mistake breaks the law that is about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import (
    ESSENTIAL,
    FLOAT32,
    FORM,
    LOOSE,
    VALUE,
    Broken,
    Law,
    LawBody,
    Laws,
    Truth,
    compare,
    describe,
    expect_like,
    of_dtype,
    shape_text,
)
from vae_edu.checks.signs import Sign, sign
from vae_edu.probes import Probe
from vae_edu.subject import Subject, SubjectError


@dataclass(frozen=True)
class Case:
    """Arguments to try. scale: the largest intermediate value (for float32 and
    extremes); note: what is special, told to the learner.
    """

    args: tuple[Any, ...]
    scale: float = 1.0
    note: str = ""


CaseMaker = Callable[[Draw], Iterable[Case]]


@dataclass(frozen=True)
class Cases:
    """What to try on one exercise.

    params: parameter names in order; plain: ordinary inputs (float64); broadcast: other
    leading dimensions; extremes: values where a careless formula overflows; gradients:
    names of the parameters whose gradient is asked for; delicate: further inputs that
    must stay unchanged; steep: further cases for the
    gradients. float32_extremes: whether the extremes are tried in float32 too.
    """

    exercise: str
    params: tuple[str, ...]
    plain: CaseMaker
    broadcast: CaseMaker | None = None
    extremes: CaseMaker | None = None
    gradients: tuple[str, ...] = ()
    steep: CaseMaker | None = None
    delicate: CaseMaker | None = None
    float32_extremes: bool = True


def add_standard(laws: Laws, cases: Cases, *, skip: Sequence[str] = ()) -> None:
    """Append the standard laws of an exercise that its cases allow, less `skip`."""
    for name, sentence, role, make, needed in _STANDARD:
        if name in skip or not needed(cases):
            continue
        laws.add(Law(cases.exercise, name, sentence, make(cases), role=role))


def add_fresh(laws: Laws, cases: Cases) -> None:
    """Append the hidden law of fresh inputs: answers learnt by heart fail it."""
    sentence = "the values are right for inputs that were never published"
    law = Law(cases.exercise, "fresh inputs", sentence, values(cases), hidden=True)
    laws.add(replace(law, role=VALUE))


def tried(cases: Cases, case: Case) -> str:
    """The call in words: gaussian_kl(mu: (4, 3), log_var: (4, 3))."""
    note = f" ({case.note})" if case.note else ""
    return spelled(cases.exercise, cases.params, case.args) + note


def spelled(function: str, params: Sequence[str], args: Sequence[Any]) -> str:
    """A call in words, of any function: its parameters with the shapes they got."""
    named = zip(params, args, strict=False)
    return f"{function}({', '.join(f'{p}: {_in_words(v)}' for p, v in named)})"


def _in_words(value: Any) -> str:
    if isinstance(value, Tensor):
        return shape_text(value) if value.numel() > 3 else describe(value)
    return f"{value.kind} f" if isinstance(value, Probe) else repr(value)


def cast(args: Sequence[Any], **to: Any) -> tuple[Any, ...]:
    """The tensors among the arguments moved to a dtype or a device."""
    return tuple(_cast(a, to) for a in args)


def _cast(value: Any, to: dict[str, Any]) -> Any:
    if isinstance(value, Tensor):
        return value.to(**to) if value.is_floating_point() else value
    if isinstance(value, Probe):
        return replace(value, weight=value.weight.to(**to))
    return value


def values(cases: Cases) -> LawBody:
    """Every value, in float64, to the last digits."""

    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        for case in cases.plain(draw):
            expected = truth(cases.exercise, *case.args)
            try:
                got = subject.call(cases.exercise, *case.args)
            except SubjectError as error:
                if not of_dtype(error.message):
                    raise
                _expect_float32(subject, cases, case, expected)
                raise _single_only(cases, case, error) from None
            what, scale = tried(cases, case), case.scale
            compare(got, expected, what=what, scale=scale, dtype=torch.float64)

    return body


def _expect_float32(
    subject: Subject, cases: Cases, case: Case, expected: Any, rtol: float = 4 * FLOAT32
) -> None:
    got = subject.call(cases.exercise, *cast(case.args, dtype=torch.float32))
    what = f"in float32, {tried(cases, case)}"
    compare(got, expected, what=what, scale=_scale(case), rtol=rtol)


def _single_only(cases: Cases, case: Case, error: SubjectError) -> Broken:
    return Broken(
        f"{tried(cases, case)} is right for float32 and stops for float64"
        f"{because(error.message)}. A tensor made inside has torch's default dtype: "
        "give it the inputs' (dtype=x.dtype, torch.zeros_like(x), x.new_ones(...)).",
        "dtype",
        sign=sign("float32-inside"),
    )


def _leading(cases: Cases) -> LawBody:
    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        assert cases.broadcast is not None
        for case in cases.broadcast(draw):
            expected, what = truth(cases.exercise, *case.args), tried(cases, case)
            found = sign("written-for-a-batch", what)
            try:
                got = subject.call(cases.exercise, *case.args)
            except SubjectError as error:
                error.sign = None if of_dtype(error.message) else found
                raise
            with otherwise(found):
                compare(got, expected, what=what, scale=case.scale, rtol=LOOSE)

    return body


def _extremes(cases: Cases) -> LawBody:
    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        assert cases.extremes is not None
        for case in cases.extremes(draw):
            expected = truth(cases.exercise, *case.args)
            runs = [(case.args, LOOSE)]
            if cases.float32_extremes:
                runs.append((cast(case.args, dtype=torch.float32), 4 * FLOAT32))
            for args, rtol in runs:
                with otherwise(sign("extremes-wrong")):
                    compare(
                        subject.call(cases.exercise, *args),
                        expected,
                        what=tried(cases, case),
                        scale=case.scale,
                        rtol=rtol,
                    )

    return body


def _gradients(cases: Cases) -> LawBody:
    wrt = [cases.params.index(name) for name in cases.gradients]

    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        made = [*cases.plain(draw), *(cases.steep(draw) if cases.steep else ())]
        for case in made:
            value = truth(cases.exercise, *case.args)
            parts = value if isinstance(value, tuple) else (value,)
            cotangents = tuple(draw.sign(*part.shape) for part in parts)
            answer = subject.vjp(cases.exercise, case.args, wrt, cotangents)
            expect_like(answer.value, value, tried(cases, case))
            expected = truth.vjp(cases.exercise, case.args, wrt, cotangents)
            for name, got, want in zip(
                cases.gradients, answer.grads, expected, strict=True
            ):
                _compare_gradient(cases, case, name, got, want)

    return body


def _compare_gradient(
    cases: Cases, case: Case, name: str, got: Tensor | None, expected: Tensor
) -> None:
    what = f"the gradient of {tried(cases, case)} with respect to {name}"
    if got is None and bool((expected == 0).all()):
        return
    if got is None:
        raise Broken(
            f"{what} is missing: autograd finds no path from the result back to {name} "
            "(a detach, .item(), .data, numpy, or a result that does not use it).",
            "gradient",
            None,
            expected,
            sign("argument-detached", name),
        )
    with instead(_sign_of_gradient(got, name)):
        compare(got, expected, what=what, scale=case.scale, rtol=LOOSE)


def _sign_of_gradient(got: Tensor, name: str) -> Sign:
    if not bool(torch.isfinite(got).all()):
        return sign("gradient-nan")
    if not bool(got.any()):
        return sign("argument-detached", name)
    return sign("gradient-wrong", name)


@contextmanager
def instead(found: Sign | None) -> Iterator[None]:
    """Where a law is broken, this is the mistake, whatever it has seen by itself."""
    try:
        yield
    except Broken as broken:
        broken.sign = found
        raise


@contextmanager
def otherwise(found: Sign) -> Iterator[None]:
    """Where a law is broken and has seen no mistake by itself, it is this one."""
    try:
        yield
    except Broken as broken:
        broken.sign = broken.sign or found
        raise


def _float32(cases: Cases) -> LawBody:
    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        for case in cases.plain(draw):
            args = cast(case.args, dtype=torch.float32)
            compare(
                subject.call(cases.exercise, *args),
                truth(cases.exercise, *cast(args, dtype=torch.float64)),
                what=f"in float32, {tried(cases, case)}",
                scale=_scale(case),
                rtol=4 * FLOAT32,
                dtype=torch.float32,
            )

    return body


def _scale(case: Case) -> float:
    largest = [
        float(a.abs().max())
        for a in case.args
        if isinstance(a, Tensor) and a.numel() and bool(torch.isfinite(a).all())
    ]
    return max([case.scale, *largest])


def _device(cases: Cases) -> LawBody:
    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        for case in cases.plain(draw):
            expected = truth(cases.exercise, *case.args)
            try:
                got = subject.call(cases.exercise, *cast(case.args, device="meta"))
            except SubjectError as error:
                if error.final:
                    raise
                if not needs_values(error):
                    raise _device_error(cases, case, error.message) from None
                got = _with_values(subject, cases, case)
                compare(got, expected, rtol=LOOSE, scale=case.scale)
                continue
            _expect_meta(got, expected, tried(cases, case))

    return body


def needs_values(error: SubjectError) -> bool:
    """Code that looks at values (`if`, a mask) cannot run on `meta`, and is not wrong.

    Nor is `.tolist()` ("no data"); `.cpu()` says the same, and `OtherDevice` tells them
    apart.
    """
    signs = ("item() cannot", "nonzero", "no data", "aten::", "Meta kernel")
    return any(sign in error.message for sign in signs)


def _with_values(subject: Subject, cases: Cases, case: Case) -> Any:
    try:
        return subject.on_another_device(cases.exercise, *case.args)
    except SubjectError as error:
        raise _device_error(cases, case, error.message) from None


def _device_error(cases: Cases, case: Case, message: str) -> Broken:
    return Broken(
        f"{tried(cases, case)} fails where the inputs are on another device (a GPU)"
        f"{because(message)}.",
        "device",
        sign=sign("cpu-tensor"),
    )


def because(message: str) -> str:
    """The first line of an error, unless it speaks of `meta`, our stand-in device."""
    first = message.splitlines()[0] if message else ""
    return f": {first.rstrip('.')}" if first and "meta" not in first.lower() else ""


def _expect_meta(got: Any, expected: Any, what: str) -> None:
    if isinstance(expected, tuple):
        if not isinstance(got, tuple) or len(got) != len(expected):
            words = f"{what}: on another device it returns {describe(got)}."
            raise Broken(words, "device", sign=sign("cpu-tensor"))
        for g, e in zip(got, expected, strict=True):
            _expect_meta(g, e, what)
        return
    if not isinstance(expected, Tensor):
        return
    if not isinstance(got, Tensor) or got.device.type != "meta":
        raise Broken(
            f"{what}: for inputs on another device the result should be there too; "
            f"it is {describe(got)} on the CPU.",
            "device",
            sign=sign("cpu-tensor"),
        )
    if got.shape != expected.shape:
        raise Broken(
            f"{what}: on another device the shape is {shape_text(got)}.", "device"
        )


def _purity(cases: Cases) -> LawBody:
    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        made = [*cases.plain(draw), *cases.plain(draw)]
        for case in [*made, made[0]]:
            answer = subject.ask(cases.exercise, *case.args)
            expect_untouched(cases, case, answer.changed)
            with otherwise(sign("remembers")):
                compare(
                    answer.value,
                    truth(cases.exercise, *case.args),
                    what=f"called several times in a row, {tried(cases, case)}",
                    scale=case.scale,
                    rtol=LOOSE,
                )
        for case in [*_made(cases.extremes, draw), *_made(cases.delicate, draw)]:
            answer = subject.ask(cases.exercise, *case.args)
            expect_untouched(cases, case, answer.changed)
        _expect_no_grad_left(subject, truth, cases, made[0], draw)

    return body


def _made(maker: CaseMaker | None, draw: Draw) -> list[Case]:
    return [*maker(draw)] if maker else []


def expect_untouched(cases: Cases, case: Case, changed: Sequence[str]) -> None:
    """Raise `Broken` where a call wrote into an input, or into an earlier result."""
    if "result" in changed:
        raise Broken(
            f"{tried(cases, case)} wrote into the result of the call before it: two "
            "results share one tensor. Return a new tensor each time.",
            "mutated",
            sign=sign("result-shared"),
        )
    if changed:
        names = ", ".join(cases.params[int(i)] for i in changed)
        raise Broken(
            f"{tried(cases, case)} wrote into its input {names}. Leave the inputs as "
            "they are: methods that end in _ and item assignment write in place.",
            "mutated",
            sign=sign("in-place"),
        )


def _expect_no_grad_left(
    subject: Subject, truth: Truth, cases: Cases, case: Case, draw: Draw
) -> None:
    wrt = [
        i
        for i, a in enumerate(case.args)
        if isinstance(a, Tensor) and cases.params[i] in cases.gradients
    ]
    value = truth(cases.exercise, *case.args)
    if not wrt or not isinstance(value, Tensor):
        return
    cotangents = (draw.sign(*value.shape),)
    if subject.vjp(cases.exercise, case.args, wrt, cotangents).left_grad:
        raise Broken(
            f"{tried(cases, case)} left a .grad behind on one of its inputs: "
            "torch.autograd.grad computes a gradient without writing it anywhere.",
            "left grad",
            sign=sign("grad-left"),
        )


def _keywords(cases: Cases) -> LawBody:
    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        case = next(iter(cases.plain(draw)))
        named = dict(zip(cases.params, case.args, strict=False))
        compare(
            subject.call(cases.exercise, **named),
            truth(cases.exercise, *case.args),
            what=f"called with keywords, {tried(cases, case)}",
            scale=case.scale,
            rtol=LOOSE,
        )

    return body


def _always(cases: Cases) -> bool:
    return True


def _has_tensors(cases: Cases) -> bool:
    made = next(iter(cases.plain(Draw(0))))
    return any(isinstance(a, Tensor | Probe) for a in made.args)


_STANDARD: tuple[
    tuple[str, str, str, Callable[[Cases], LawBody], Callable[[Cases], bool]], ...
] = (
    ("values", "the values are right", VALUE, values, _always),
    (
        "leading dimensions",
        "any leading dimensions work: none, several, broadcast",
        ESSENTIAL,
        _leading,
        lambda c: c.broadcast is not None,
    ),
    (
        "extremes",
        "extreme inputs give the true, finite value",
        ESSENTIAL,
        _extremes,
        lambda c: c.extremes is not None,
    ),
    (
        "gradients",
        "the gradient in each differentiable input is right",
        ESSENTIAL,
        _gradients,
        lambda c: bool(c.gradients),
    ),
    ("float32", "float32 in, float32 out", FORM, _float32, _has_tensors),
    ("device", "the result is on the inputs' device", FORM, _device, _has_tensors),
    (
        "purity",
        "inputs stay unchanged, a second call gives the same result",
        ESSENTIAL,
        _purity,
        _always,
    ),
    ("keywords", "the arguments keep their names", FORM, _keywords, _always),
)
