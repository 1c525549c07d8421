"""What the laws say of an exercise that lives in another process.

What belongs here: which laws are tried, in which processes, and the diagnosis. What
does not: files, scores in a gradebook, words for a learner.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from vae_edu.checks.judging import Misconception, Verdict, laws_of, misconception
from vae_edu.checks.judging import run_law as _run_law
from vae_edu.checks.law import Law, OracleTruth, Truth
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth, table
from vae_edu.errors import CourseError
from vae_edu.grading import wire
from vae_edu.grading.process import Fork, fork_law, remote
from vae_edu.paths import course_root
from vae_edu.subject import local

LAW_SECONDS = 20.0
PATIENCE = 2  # laws that may run out of time before the others are not tried


@dataclass
class Judgement:
    """Every law's verdict on one exercise.

    verdicts: public and hidden laws at inputs drawn from the judge's seed; public: the
    public laws at the inputs that `check` uses, tried only where a law is broken, with
    the known mistake that they show.
    """

    verdicts: list[Verdict]
    public: list[Verdict] = field(default_factory=list)
    known: Misconception | None = None

    @property
    def passed(self) -> bool:
        """True where every law was tried and holds."""
        return all(v.holds for v in self.verdicts)


def judge_exercise(
    session: Fork, topic: str, exercise: str, seed: str, seconds: float
) -> Judgement:
    """Every law, public and hidden, on inputs drawn from `seed`; then the diagnosis."""
    laws = every_law(topic, exercise)
    truth = oracle_of(topic)
    verdicts = _together(session, laws, truth, seed, seconds)
    if all(v.holds for v in verdicts):
        return Judgement(verdicts)
    judgement = Judgement(_apart(session, laws, truth, seed, seconds))
    if not judgement.passed and not _hopeless(judgement.verdicts):
        judgement.public = _public(session, topic, exercise, seconds)
        judgement.known = misconception(topic, exercise, judgement.public)
    return judgement


def _together(
    session: Fork, laws: Sequence[Law], truth: Truth, seed: str, seconds: float
) -> list[Verdict]:
    """The laws in one process, up to the first that is broken.

    Ten times faster than a process a law, and no more lenient: a law that finds another
    state than the one after loading can only be harder to keep. So where all hold, that
    is the verdict; else each is tried in a process of its own.
    """
    own = _forked(session, seconds)
    if own is None:
        return [_died(law) for law in laws[:1]]
    verdicts: list[Verdict] = []
    try:
        for law in laws:
            verdicts.append(_run_law(law, remote(own, seconds), truth, seed))
            if not verdicts[-1].holds:
                break
    finally:
        own.kill()
    return verdicts


def _apart(
    session: Fork, laws: Sequence[Law], truth: Truth, seed: str, seconds: float
) -> list[Verdict]:
    """Each law in a process of its own, as it was right after loading."""
    verdicts: list[Verdict] = []
    for law in laws:
        verdicts.append(_try(session, law, truth, seed, seconds, verdicts))
        if verdicts[-1].kind == "unfinished":
            break
    return verdicts


def _public(session: Fork, topic: str, exercise: str, seconds: float) -> list[Verdict]:
    """The public laws as `check` tries them: what a learner may be shown."""
    said = table(topic)["truth"].get(exercise, {})
    verdicts: list[Verdict] = []
    for law in laws_of(topic).of(exercise):
        truth = RecordedTruth(said.get(law.name, ()))
        verdicts.append(_try(session, law, truth, PUBLIC_SEED, seconds, verdicts))
    return verdicts


def _hopeless(verdicts: Sequence[Verdict]) -> bool:
    return any(v.kind in ("unfinished", "time") for v in verdicts)


def _try(
    session: Fork,
    law: Law,
    truth: Truth,
    seed: str,
    seconds: float,
    before: Sequence[Verdict],
) -> Verdict:
    """One law in a process of its own, forked from the session."""
    if sum(v.kind == "time" for v in before) >= PATIENCE:
        return Verdict(law, False, "time", "not tried: other laws ran out of time")
    own = _forked(session, seconds)
    if own is None:
        return _died(law)
    try:
        verdict = _run_law(law, remote(own, seconds), truth, seed)
    finally:
        own.kill()
    if verdict.message.startswith("Timeout: "):
        verdict.kind = "time"
    return verdict


def _forked(session: Fork, seconds: float) -> Fork | None:
    try:
        return fork_law(session, seconds)
    except (wire.WireError, OSError):
        return None


def _died(law: Law) -> Verdict:
    return Verdict(law, False, "died", "not tried: the answer's process has died")


def every_law(topic: str, exercise: str) -> list[Law]:
    """Public laws, then hidden ones."""
    return [*laws_of(topic).of(exercise), *hidden(topic).LAWS.of(exercise)]


def oracle_of(topic: str) -> OracleTruth:
    """The independent oracles of a lesson."""
    return OracleTruth(local(hidden(topic).ORACLES))


def hidden(topic: str) -> Any:
    """A lesson's hidden laws and oracles, which only a full checkout has."""
    root = str(course_root())
    if not (course_root() / "tests" / "hidden").is_dir():
        raise CourseError(
            "Judging needs the instructor's side of the course (tests/hidden), which "
            "this copy does not have. Use a full checkout."
        )
    if root not in sys.path:
        sys.path.insert(0, root)
    return import_module(f"tests.hidden.{topic}")
