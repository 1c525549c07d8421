"""The recorded numbers of a lesson: true values from oracles, fingerprints of mistakes.

Reads the instructor's side (`tests/hidden`, `tests/mutants`); what it writes holds no
code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

from vae_edu.catalogue import exercises_of
from vae_edu.checks.diagnosis import EXAMINATION, examination_of
from vae_edu.checks.draw import Draw
from vae_edu.checks.judging import laws_of, run_law
from vae_edu.checks.law import OracleTruth
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth, RecordingTruth
from vae_edu.errors import CourseError
from vae_edu.subject import Subject, local
from vae_edu.work import reference_answers


def oracle_of(topic: str) -> OracleTruth:
    """The independent oracles of a lesson."""
    return OracleTruth(local(import_module(f"tests.hidden.{topic}").ORACLES))


def record(topic: str) -> str:
    """The text of `vae_edu/checks/recorded/<topic>.json`."""
    truth = {e.name: _truths(topic, e.name) for e in exercises_of(topic)}
    known = {e.name: _mistakes(topic, e.name, truth) for e in exercises_of(topic)}
    table = {"truth": truth, "misconceptions": known}
    return json.dumps(table, indent=None, separators=(",", ":")) + "\n"


def _truths(topic: str, exercise: str) -> dict[str, Any]:
    reference = local(reference_answers(topic))
    asked: dict[str, Any] = {x.name: x.body for x in laws_of(topic).of(exercise)}
    if examine := examination_of(topic, exercise):
        asked[EXAMINATION] = examine
    return {
        name: _said(topic, exercise, name, asked[name], reference) for name in asked
    }


def _said(
    topic: str, exercise: str, name: str, body: Callable[..., Any], reference: Subject
) -> list[Any]:
    recording = RecordingTruth(oracle_of(topic))
    body(reference, recording, Draw(f"{PUBLIC_SEED}/{exercise}/{name}"))
    return recording.said  # a law that is broken here is the author's error


def _mistakes(topic: str, exercise: str, truth: dict[str, Any]) -> list[dict[str, Any]]:
    mutants = import_module("tests.answers").all_mutants(topic, exercise)
    rows = []
    for mutant in mutants:
        subject = local({exercise: mutant.answer})
        laws = _broken(topic, exercise, subject, truth[exercise])
        if not laws:
            raise CourseError(
                f"no law notices the mutant {mutant.name!r} of {exercise}"
            )
        kept = ("name", "sentence", "label", "category")
        rows.append({key: getattr(mutant, key) for key in kept} | {"laws": laws})
    return rows


def _broken(
    topic: str, exercise: str, subject: Subject, truth: dict[str, Any]
) -> dict[str, list[Any]]:
    verdicts = [
        run_law(law, subject, RecordedTruth(truth[law.name]), PUBLIC_SEED)
        for law in laws_of(topic).of(exercise)
    ]
    return {v.law.name: v.seen for v in verdicts if not v.holds}
