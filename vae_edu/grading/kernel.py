"""The weaker tier: hidden laws inside the learner's kernel, for a plain nbgrader.

A course whose hub runs nbgrader unmodified executes a lesson's check cells in the
process that ran the learner's code. The released cell calls `check`; what nbgrader
puts back for grading calls `check_hidden` too. A determined learner can cheat this
tier, as everything that is graded in its own process: see README.md.
"""

from __future__ import annotations

import secrets
from typing import Any

from vae_edu import catalogue
from vae_edu.aside import caught
from vae_edu.checks.judging import Verdict, run_law
from vae_edu.feedback import CheckFailed
from vae_edu.grading.verdict.verdicts import truth_of
from vae_edu.lesson import find
from vae_edu.subject import local


def check_hidden(answer: Any) -> None:
    """Every law, public and hidden, on inputs drawn anew.

    answer: the function or class. Raises CheckFailed with the names of what is broken,
    nothing of the inputs; CourseError where the hidden laws are not installed.
    """
    entry = catalogue.find(getattr(answer, "__name__", repr(answer)))
    subject, truth = local({entry.name: answer}), truth_of(entry.topic)
    laws, seed = find(entry.topic).every_law(entry.name), secrets.token_hex(16)
    with caught():  # and not shown: it may hold an input
        verdicts = [run_law(law, subject, truth, seed) for law in laws]
    broken = [v for v in verdicts if not v.holds]
    if broken:
        raise _failed(entry, broken)


def _failed(entry: catalogue.Exercise, broken: list[Verdict]) -> CheckFailed:
    said = "; ".join(v.law.sentence for v in broken)
    title = f"Exercise {entry.card.number} · {entry.name}"
    failure = CheckFailed(f"{title}: not true at inputs of the grader: {said}.")
    failure.__suppress_context__ = True
    return failure
