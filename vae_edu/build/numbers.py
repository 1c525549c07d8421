"""The recorded numbers of a lesson: true values from oracles, fingerprints of mistakes.

Reads a lesson's authored side; what it writes holds no code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from vae_edu.build.answers import all_mutants
from vae_edu.checks.diagnosis import EXAMINATION, examination_of
from vae_edu.checks.draw import Draw
from vae_edu.checks.judging import Verdict, run_law
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth, RecordingTruth
from vae_edu.errors import CourseError
from vae_edu.lesson import find
from vae_edu.subject import Subject, local


def record(topic: str) -> str:
    """The text of `vae_edu/checks/recorded/<topic>.json`."""
    names = [e.name for e in find(topic).exercises]
    truth = {name: truths(topic, name) for name in names}
    known = {name: _mistakes(topic, name) for name in names}
    table = {"truth": truth, "misconceptions": known}
    return json.dumps(table, indent=None, separators=(",", ":")) + "\n"


@cache
def truths(topic: str, exercise: str) -> dict[str, Any]:
    """What the oracles say to each public law of an exercise."""
    lesson = find(topic)
    reference = local(lesson.reference)
    asked: dict[str, Any] = {x.name: x.body for x in lesson.laws.of(exercise)}
    if examine := examination_of(topic, exercise):
        asked[EXAMINATION] = examine
    return {
        name: _said(topic, exercise, name, asked[name], reference) for name in asked
    }


def _said(
    topic: str, exercise: str, name: str, body: Callable[..., Any], reference: Subject
) -> list[Any]:
    recording = RecordingTruth(find(topic).oracle)
    body(reference, recording, Draw(f"{PUBLIC_SEED}/{exercise}/{name}"))
    return recording.said  # a law that is broken here is the author's error


@cache
def outcomes(topic: str, exercise: str) -> list[tuple[Any, list[Verdict]]]:
    """Each known wrong answer, and what the public laws say of it.

    Found once in a process: the build, the drift test and the audit ask for it.
    """
    truth, laws = truths(topic, exercise), find(topic).laws.of(exercise)
    found = []
    for mutant in all_mutants(topic, exercise):
        subject = local({exercise: mutant.answer})
        verdicts = [
            run_law(law, subject, RecordedTruth(truth[law.name]), PUBLIC_SEED)
            for law in laws
        ]
        found.append((mutant, verdicts))
    return found


def _mistakes(topic: str, exercise: str) -> list[dict[str, Any]]:
    rows = []
    for mutant, verdicts in outcomes(topic, exercise):
        laws = {v.law.name: v.seen for v in verdicts if not v.holds}
        if not laws:
            raise CourseError(
                f"no law notices the mutant {mutant.name!r} of {exercise}"
            )
        kept = ("name", "sentence", "label", "category")
        rows.append({key: getattr(mutant, key) for key in kept} | {"laws": laws})
    return rows
