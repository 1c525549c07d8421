"""Runs laws on a subject; says what came out: verdicts, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import (
    ESSENTIAL,
    FORM,
    OF_FORM,
    VALUE,
    Broken,
    Law,
    Truth,
    of_dtype,
    of_writing,
)
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth, Witness
from vae_edu.checks.signs import Sign
from vae_edu.lesson import find
from vae_edu.subject import Request, Subject, SubjectError


@dataclass
class Verdict:
    """What one law said. kind: "" where it holds; else how it broke (see `Broken`).

    last: the last thing that was asked, for saying at which call an answer stopped, and
    built: how its module was made;
    sign: the mistake that the law saw, where it could tell.
    """

    law: Law
    holds: bool
    kind: str = ""
    message: str = ""
    got: Any = None
    expected: Any = None
    trace: str = ""
    seen: list[Any] = field(default_factory=list)
    last: Request | None = None
    built: Request | None = None
    sign: Sign | None = None


def run_law(
    law: Law, subject: Subject, truth: Truth, seed: str, *, noted: bool = True
) -> Verdict:
    """Try one law; all outcomes are verdicts: it holds only if it ran to its end.

    noted: keep what came back, in a few numbers, for a diagnosis.
    """
    witness = Witness(subject)
    draw = Draw(f"{seed}/{law.exercise}/{law.name}")
    try:
        law.body(witness.subject() if noted else subject, truth, draw)
    except Broken as broken:
        verdict = Verdict(law, False, broken.kind, broken.message, sign=broken.sign)
        verdict.got, verdict.expected = broken.got, broken.expected
    except SubjectError as error:
        kind = "unfinished" if error.unfinished else error.gone or "error"
        words = f"{error.kind}: {error.message}"
        verdict = Verdict(law, False, kind, words, trace=error.trace)
        verdict.sign = error.sign
    except Exception as error:  # a law that stumbles over a foreign value fails closed
        words = f"the law could not be decided: {type(error).__name__}: {error}"
        verdict = Verdict(law, False, "undecided", words)
    else:
        verdict = Verdict(law, True)
    verdict.seen = [] if verdict.holds else witness.notes()
    verdict.last = witness.last
    verdict.built = witness.built.get(witness.last.handle) if witness.last else None
    return verdict


def run_public(topic: str, exercise: str, subject: Subject) -> list[Verdict]:
    """Every public law of an exercise against the recorded truth.

    An unfinished exercise is noticed at the first law, and the others are not tried.
    """
    lesson = find(topic)
    said = lesson.recorded["truth"].get(exercise, {})
    verdicts: list[Verdict] = []
    for law in lesson.laws.of(exercise):
        truth = RecordedTruth(said.get(law.name, ()))
        verdicts.append(run_law(law, subject, truth, PUBLIC_SEED))
        if verdicts[-1].kind == "unfinished":
            break
    return verdicts


def worth(verdict: Verdict, others: Sequence[Verdict] = ()) -> str:
    """What a broken law is worth, among others: VALUE, ESSENTIAL or FORM.

    A law of any role may be broken in form alone: a dtype, a device, an input that was
    written to, digits that float32 does not have. Where bad form stops the code in one
    law (float64 meets a float32 tensor, autograd an input that was written to), it
    stops it in others too, and is the same offence.
    """
    if verdict.kind in OF_FORM:
        return FORM
    seen = {v.kind for v in others if v.law.role == VALUE or v.kind == "mutated"}
    stopped = verdict.kind == "error"
    mixed = "dtype" in seen and of_dtype(verdict.message)
    in_place = "mutated" in seen and of_writing(verdict.message)
    rounded = "digits" in seen and verdict.kind == "value"
    same = (stopped and (mixed or in_place)) or (rounded and verdict.law.role != VALUE)
    return FORM if same else verdict.law.role


def worst(verdicts: Sequence[Verdict]) -> str:
    """The heaviest of what is broken: VALUE, ESSENTIAL, FORM, or "" for nothing."""
    broken = {worth(v, verdicts) for v in verdicts if not v.holds}
    return next((role for role in (VALUE, ESSENTIAL, FORM) if role in broken), "")


def score(verdicts: Sequence[Verdict], points: float) -> float:
    """Points earned, from the share of laws that hold.

    Another quantity than the one asked for earns nothing; an answer that fails at what
    the exercise is about at most half, however many other laws hold; a right answer
    that offends form alone at least half (half, where digits are lost).
    """
    role = worst(verdicts)
    if not verdicts or role == VALUE:
        return 0.0
    total = sum(v.law.weight for v in verdicts)
    share = sum(v.law.weight for v in verdicts if v.holds) / total
    if role == ESSENTIAL:
        share = share / 2
    elif role == FORM:
        digits = any(v.kind == "digits" for v in verdicts if not v.holds)
        share = 0.5 if digits else max(share, 0.5)
    return round(points * share, 2)
