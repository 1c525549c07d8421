"""What a broken answer is called: the known mistake, or the sign, that its values show.

In the order in which they help most: a known mistake whose numbers agree, in all
broken laws or in the first; what an examination of the answer proves; what the broken
laws saw, or an error says. No name is given on a coincidence: the numbers must be
more than zeros and ones.

What belongs here: choosing a name. What does not: laws, signs, and words around a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from vae_edu.checks.alternatives import add_signs
from vae_edu.checks.draw import Draw
from vae_edu.checks.judging import Verdict
from vae_edu.checks.law import VALUE, Examination, attempt
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth, alike
from vae_edu.checks.signs import Sign, of_error
from vae_edu.lesson import find
from vae_edu.subject import Subject

COUNT = 100  # a whole number above it is no coincidence
EXAMINATION = "(signs)"  # where the true values that it asks for are recorded


@dataclass(frozen=True)
class Misconception:
    """A mistake by its name, and a way to think about it.

    label: stable, for statistics and translations; category: see `Sign`.
    """

    name: str
    sentence: str
    label: str = ""
    category: str = ""


def diagnose(
    topic: str, exercise: str, verdicts: Sequence[Verdict], subject: Subject
) -> Misconception | None:
    """The mistake that these public verdicts show, if it can be told.

    subject: the answer, which may be asked a few more things.
    """
    broken = [v for v in verdicts if not v.holds and not v.law.hidden]
    if not broken or any(v.kind == "unfinished" for v in broken):
        return None
    rows = find(topic).recorded["misconceptions"].get(exercise, [])
    if known := _named(_in_every_law(rows, broken)):
        return known
    found = examined(topic, exercise, subject)
    if found is not None and found.label == "restless":  # its numbers agree by chance
        return _signed(found)
    return (
        _named(_in_the_first_law(rows, broken))
        or _signed(found)
        or _signed(_seen(broken))
    )


def _named(rows: Iterator[dict[str, Any]]) -> Misconception | None:
    row = next(rows, None)
    if row is None:
        return None
    kept = (row[k] for k in ("name", "sentence", "label", "category"))
    return Misconception(*kept)


def _signed(sign: Sign | None) -> Misconception | None:
    if sign is None:
        return None
    return Misconception(sign.name, sign.sentence, sign.label, sign.category)


# --- known mistakes -------------------------------------------------------------------


def _in_every_law(
    rows: Iterable[dict[str, Any]], broken: Sequence[Verdict]
) -> Iterator[dict[str, Any]]:
    """Rows whose every broken law is broken here, with the same values.

    Where only the last digits are wrong, all such mistakes agree to six.
    """
    if all(v.kind == "digits" for v in broken):
        return
    seen = {v.law.name: v.seen for v in broken}
    if not any(_telling(values) for values in seen.values()):
        return
    for row in rows:
        same = row["laws"].keys() == seen.keys()
        if same and all(alike(seen[law], row["laws"][law]) for law in seen):
            yield row


def _in_the_first_law(
    rows: Iterable[dict[str, Any]], broken: Sequence[Verdict]
) -> Iterator[dict[str, Any]]:
    """Rows that break the same law first, with the same values."""
    first = broken[0]
    if first.kind == "digits" or not _telling(first.seen):
        return
    for row in rows:
        law, seen = next(iter(row["laws"].items()))
        if law == first.law.name and alike(first.seen, seen):
            yield row


def _telling(seen: Sequence[Any]) -> bool:
    """Whether what was seen is more than shapes, zeros, ones and counts."""
    noted = [v for v in seen if isinstance(v, list)]  # numbers, each with its room
    return any(
        abs(number - round(number)) > room or abs(number) > COUNT
        for number, room in noted
    )


# --- signs ----------------------------------------------------------------------------


@cache
def examination_of(topic: str, exercise: str) -> Examination | None:
    """How a broken answer to an exercise is examined."""
    lesson = find(topic)
    if exercise in lesson.laws.examinations:
        return lesson.laws.examinations[exercise]
    cases = lesson.cases
    return add_signs(cases[exercise]) if exercise in cases else None


def examined(topic: str, exercise: str, subject: Subject) -> Sign | None:
    """What the examination of an answer proves; None where it proves nothing."""
    examine = examination_of(topic, exercise)
    if examine is None:
        return None
    said = find(topic).recorded["truth"].get(exercise, {}).get(EXAMINATION, ())
    draw = Draw(f"{PUBLIC_SEED}/{exercise}/{EXAMINATION}")
    return attempt(lambda: examine(subject, RecordedTruth(said), draw))


def _seen(broken: Sequence[Verdict]) -> Sign | None:
    """The sign of the smallest priority, of equal ones the first.

    Where the values are wrong, a law about something else has seen only that; so has
    a law of devices of code that stops on any, and a law of gradients of no tensors.
    """
    if broken[0].law.role == VALUE:
        broken = [v for v in broken if v.law.role == VALUE]
    kinds = [v.kind for v in broken]
    if "error" in kinds:
        broken = [v for v in broken if v.kind != "device"]
    if kinds[0] == "type":
        broken = [v for v in broken if v.kind != "gradient"]
    signs = [v.sign or _of_error(v) for v in broken]
    untrue = _untrue(broken)
    found = [s for s in signs if s is not None and s.label not in untrue]
    return min(found, key=lambda s: s.priority, default=None)


_OF_A_RIGHT_VALUE = ("gradient-wrong", "gradient-nan", "argument-detached")
_OF_RIGHT_PLAIN_VALUES = (
    "remembers",
    "written-for-a-batch",
    "extremes-wrong",
    "digits-lost",
)


def _untrue(broken: Sequence[Verdict]) -> Sequence[str]:
    """Signs that a law gives, taking values for right which another found wrong."""
    wrong = [v.law.name for v in broken if v.kind in ("value", "shape", "type")]
    if "values" in wrong:
        return (*_OF_A_RIGHT_VALUE, *_OF_RIGHT_PLAIN_VALUES)
    return (*_OF_A_RIGHT_VALUE, "digits-lost") if "extremes" in wrong else ()


def _of_error(verdict: Verdict) -> Sign | None:
    return of_error(verdict.message) if verdict.kind == "error" else None
