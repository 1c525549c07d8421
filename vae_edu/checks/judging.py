"""Runs laws on a subject; says what came out: verdicts, and a known mistake's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import Broken, Law, Laws, Truth
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth, Witness, alike, table
from vae_edu.subject import Request, Subject, SubjectError


@dataclass
class Verdict:
    """What one law said. kind: "" where it holds; else how it broke (see `Broken`).

    last: the last thing that was asked, for saying at which call an answer stopped.
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


@dataclass(frozen=True)
class Misconception:
    """A known mistake: its name and a way to think about it."""

    name: str
    sentence: str


def laws_of(topic: str) -> Laws:
    """The public laws of a lesson."""
    return import_module(f"vae_edu.checks.{topic}").LAWS


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
        verdict = Verdict(law, False, broken.kind, broken.message)
        verdict.got, verdict.expected = broken.got, broken.expected
    except SubjectError as error:
        kind = "unfinished" if error.unfinished else error.gone or "error"
        words = f"{error.kind}: {error.message}"
        verdict = Verdict(law, False, kind, words, trace=error.trace)
    except Exception as error:  # a law that stumbles over a foreign value fails closed
        words = f"the law could not be decided: {type(error).__name__}: {error}"
        verdict = Verdict(law, False, "undecided", words)
    else:
        verdict = Verdict(law, True)
    verdict.seen, verdict.last = witness.seen, witness.last
    return verdict


def run_public(topic: str, exercise: str, subject: Subject) -> list[Verdict]:
    """Every public law of an exercise against the recorded truth.

    An unfinished exercise is noticed at the first law, and the others are not tried.
    """
    said = table(topic)["truth"].get(exercise, {})
    verdicts: list[Verdict] = []
    for law in laws_of(topic).of(exercise):
        truth = RecordedTruth(said.get(law.name, ()))
        verdicts.append(run_law(law, subject, truth, PUBLIC_SEED))
        if verdicts[-1].kind == "unfinished":
            break
    return verdicts


def misconception(
    topic: str, exercise: str, verdicts: Sequence[Verdict]
) -> Misconception | None:
    """The known mistake whose outcome these public verdicts show, if there is one."""
    broken = {v.law.name: v.seen for v in verdicts if not v.holds and not v.law.hidden}
    if not broken:
        return None
    rows = table(topic)["misconceptions"].get(exercise, [])
    row = next(_matching(rows, broken), None)
    return Misconception(row["name"], row["sentence"]) if row else None


def _matching(
    rows: Iterable[dict[str, Any]], broken: dict[str, list[Any]]
) -> Iterator[dict[str, Any]]:
    """Rows that agree in every broken law, then those that agree in the first one."""
    rows = list(rows)
    for row in rows:
        same = row["laws"].keys() == broken.keys()
        if same and all(alike(seen, row["laws"][law]) for law, seen in broken.items()):
            yield row
    first = next(iter(broken))
    for row in rows:
        laws = row["laws"]
        if next(iter(laws)) == first and alike(broken[first], laws[first]):
            yield row


def score(verdicts: Sequence[Verdict], points: float) -> float:
    """Points earned: the share of laws that hold, none where the values are wrong.

    A law about form (gradients, dtype, device, ...) counts only for an answer whose
    values are right, else `return mu` would earn most of the points.
    """
    required = [v for v in verdicts if v.law.name in ("values", "fresh inputs")]
    if not verdicts or not all(v.holds for v in required):
        return 0.0
    total = sum(v.law.weight for v in verdicts)
    return round(points * sum(v.law.weight for v in verdicts if v.holds) / total, 2)
