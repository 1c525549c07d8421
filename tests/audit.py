"""How strong the laws of a lesson are: `python -m tests.audit kl_divergence`.

For each exercise: does the reference pass, is a right variant refused, does a mutant
survive, is it called by its name, does it earn more than it is worth, and which law has
no mutant that it alone kills.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from vae_edu.build.answers import Mutant, all_mutants
from vae_edu.build.numbers import outcomes
from vae_edu.checks.diagnosis import Misconception, diagnose
from vae_edu.checks.judging import (
    Verdict,
    run_law,
    run_public,
    score,
)
from vae_edu.checks.law import Law
from vae_edu.lesson import find
from vae_edu.subject import Subject, local

SEED = "audit"


def verdicts(topic: str, exercise: str, subject: Subject) -> list[Verdict]:
    """Every law on fresh inputs, the true values from the oracles."""
    lesson = find(topic)
    truth, laws = lesson.oracle, lesson.every_law(exercise)
    return [run_law(x, subject, truth, SEED) for x in laws]


@dataclass
class Audit:
    """What was found about one exercise."""

    exercise: str
    laws: int = 0
    hidden: int = 0
    mutants: int = 0
    formal: int = 0
    variants: int = 0
    reference: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    surviving: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    dear: list[str] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)


@cache
def audit(topic: str, exercise: str) -> Audit:
    """Run everything there is on one exercise."""
    lesson = find(topic)
    laws = lesson.every_law(exercise)
    found = Audit(
        exercise, sum(not x.hidden for x in laws), sum(x.hidden for x in laws)
    )
    found.reference, found.refused = accepted(topic, exercise)
    found.variants = sum(v.exercise == exercise for v in lesson.variants)
    found.unnamed = unnamed(topic, exercise)
    _mutants(topic, exercise, found, laws)
    return found


@cache
def accepted(topic: str, exercise: str) -> tuple[list[str], list[str]]:
    """What is broken by the reference, and by right answers that are variants of it."""
    lesson = find(topic)
    right = lesson.reference[exercise]
    refused = []
    for variant in (v for v in lesson.variants if v.exercise == exercise):
        words = _broken_words(topic, exercise, variant.answer)
        refused += [f"{variant.name}: {w}" for w in words]
    return _broken_words(topic, exercise, right), refused


def _broken_words(topic: str, exercise: str, answer: Any) -> list[str]:
    subject = local({exercise: answer})
    judged = verdicts(topic, exercise, subject) + run_public(topic, exercise, subject)
    return [f"[{v.law.name}] {v.message} {v.trace}" for v in judged if not v.holds]


def unnamed(topic: str, exercise: str) -> list[str]:
    """The wrong answers that break a public law and are not named, or named wrongly."""
    found = []
    for mutant, public in outcomes(topic, exercise):
        known = diagnose(topic, exercise, public, local({exercise: mutant.answer}))
        if any(not v.holds for v in public) and not names(known, mutant):
            found.append(f"{mutant.name} -> {known.name if known else None}")
    return found


def _mutants(topic: str, exercise: str, found: Audit, laws: list[Law]) -> None:
    alone: Counter[tuple[bool, str]] = Counter()
    mutants = all_mutants(topic, exercise)
    for mutant in mutants:
        subject = local({exercise: mutant.answer})
        judged = verdicts(topic, exercise, subject)
        broken = [v.law for v in judged if not v.holds]
        if not broken:
            found.surviving.append(mutant.name)
        found.dear += _untrue_share(mutant, judged)
        for tier in (False, True):
            own = [law.name for law in broken if law.hidden is tier]
            if len(own) == 1:
                alone[tier, own[0]] += 1
    found.mutants = sum(m.exercise == exercise for m in find(topic).mistakes)
    found.formal = len(mutants) - found.mutants
    found.idle = [x.name for x in laws if not alone[x.hidden, x.name]]


def _untrue_share(mutant: Mutant, judged: Sequence[Verdict]) -> list[str]:
    """Words where a mistake earns more, or less, than what it is about is worth.

    Bad form alone keeps half of the points or more; all else earns half at most, and
    another quantity than the one asked for nothing.
    """
    share = score(judged, 1.0)
    if mutant.category == "form":
        return [f"{mutant.name}: {share:g} of 1, for form alone"] * (share < 0.5)
    return [f"{mutant.name}: {share:g} of 1"] * (share > 0.5)


def names(known: Misconception | None, mutant: Mutant) -> bool:
    """Whether a name is that of a mistake, or of a sign that it shows."""
    if known is None:
        return False
    return known.name == mutant.name or known.label in mutant.signs


def report(topic: str) -> str:
    """The audit of a lesson as text."""
    lines = []
    for entry in find(topic).exercises:
        a = audit(topic, entry.name)
        lines.append(
            f"{a.exercise}: {a.laws}+{a.hidden} laws, {a.mutants}+{a.formal} mutants, "
            f"{a.variants} variants"
        )
        for name in ("reference", "refused", "surviving", "unnamed", "dear", "idle"):
            lines += [f"    {name}: {x}" for x in getattr(a, name)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(find(sys.argv[1]).topic))
