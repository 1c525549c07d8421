"""What a run of grading comes to: a table, and the same as a file."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from vae_edu import catalogue
from vae_edu.grading.report import table
from vae_edu.grading.store import FOLDER, write_whole

SHOWN = 40  # submissions that are listed one by one


@dataclass(frozen=True)
class Outcome:
    """What came out: `score` is None where there is no grade, and `note` says why.

    known: it was graded by an earlier run. exercises: points by exercise.
    """

    student: str
    score: float | None
    max_score: float
    note: str = ""
    known: bool = False
    exercises: tuple[tuple[str, float], ...] = ()


def conclude(course: Path, topic: str, outcomes: Sequence[Outcome]) -> int:
    """Print the summary, write the whole table, and return the exit status."""
    outcomes = sorted(outcomes, key=lambda o: o.student)
    lesson = catalogue.folder_of(topic)
    path = course / FOLDER / lesson / "summary.csv"
    write_whole(path, as_csv(topic, outcomes))
    print(summary(topic, outcomes))
    print(f"the whole table: {path}")
    print(f"next: nbgrader autograde {lesson}   (reads these grades)")
    return 1 if any(o.score is None for o in outcomes) else 0


def summary(topic: str, outcomes: Sequence[Outcome]) -> str:
    """The table of a run: each submission where they are few, else those with notes."""
    few = len(outcomes) <= SHOWN
    listed = [o for o in outcomes if few or o.note][:SHOWN]
    rows = [("student", "points", "note"), *(_row(o) for o in listed)]
    parts = [table(rows)] if listed else []
    if hidden := sum(few or bool(o.note) for o in outcomes) - len(listed):
        parts.append(f"... and {hidden} more with a note")
    return "\n\n".join([*parts, *_exercises(topic, outcomes), _count(outcomes)])


def _row(outcome: Outcome) -> tuple[str, str, str]:
    if outcome.score is None:
        return outcome.student, "none", outcome.note
    points = f"{outcome.score:g}/{outcome.max_score:g}"
    return outcome.student, points, outcome.note


def _exercises(topic: str, outcomes: Sequence[Outcome]) -> list[str]:
    """How the class did, exercise by exercise."""
    right: Counter[str] = Counter()
    graded = [o for o in outcomes if o.exercises]
    if not graded:
        return []
    rows = [("exercise", "at full score", "mean points")]
    for entry in catalogue.exercises_of(topic):
        points = [dict(o.exercises).get(entry.name, 0.0) for o in graded]
        right[entry.name] = sum(p >= entry.card.points for p in points)
        share = f"{right[entry.name]} of {len(graded)}"
        mean = f"{fmean(points):.2f} of {entry.card.points}"
        rows.append((f"{entry.card.number} {entry.name}", share, mean))
    return [table(rows)]


def _count(outcomes: Sequence[Outcome]) -> str:
    known = sum(o.known for o in outcomes)
    none = sum(o.score is None for o in outcomes)
    words = [f"{len(outcomes) - none} graded"]
    words += [f"({known} of them by an earlier run)"] if known else []
    words += [f"{none} without a grade: see the notes"] if none else []
    return ", ".join(words).replace(", (", " (")


def as_csv(topic: str, outcomes: Sequence[Outcome]) -> str:
    """Every submission, its points by exercise, and its note."""
    names = [e.name for e in catalogue.exercises_of(topic)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["student", "score", "max_score", *names, "note"])
    for o in outcomes:
        points = dict(o.exercises)
        score = "" if o.score is None else f"{o.score:g}"
        each = [f"{points[n]:g}" if n in points else "" for n in names]
        row = [o.student, score, f"{o.max_score:g}", *each, o.note]
        writer.writerow([harmless(cell) for cell in row])
    return text.getvalue()


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
