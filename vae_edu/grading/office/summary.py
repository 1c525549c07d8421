"""What a run of grading comes to: a table, and the same as a file."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from vae_edu import catalogue
from vae_edu.grading.office.report import table
from vae_edu.grading.office.store import FOLDER, write_whole
from vae_edu.grading.verdict.plain import neutral, printable
from vae_edu.grading.verdict.run_folder import LESSONS, NAME

TABLE = "summary.csv"
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


@dataclass(frozen=True)
class Remarks:
    """What is to be said of a download that was taken in, a line each.

    lost: files that could not be, and why.
    """

    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (("not taken in", self.lost), ("of the download", self.notes))
        return "\n\n".join(_listed(head, lines) for head, lines in parts if lines)


NO_REMARKS = Remarks()


def _listed(head: str, lines: Sequence[str]) -> str:
    shown = [f"  {printable(line)}" for line in lines[:SHOWN]]
    more = [f"  ... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([f"{head}:", *shown, *more])


def conclude(
    course: Path,
    topic: str,
    outcomes: Sequence[Outcome],
    *,
    shard: str | None = None,
    some: bool = False,
    remarks: Remarks = NO_REMARKS,
) -> int:
    """Print the summary, keep the table, and return the exit status.

    A shard has a table of its own. A run of some students alone changes their rows.
    """
    outcomes = sorted(outcomes, key=lambda o: o.student)
    lesson = catalogue.folder_of(topic)
    name = f"summary-{shard.replace('/', '-of-')}.csv" if shard else TABLE
    path = course / FOLDER / lesson / name
    write_whole(path, as_csv(topic, outcomes, _rows_in(path) if some else ()))
    say(summary(topic, outcomes))
    if words := str(remarks):
        say(f"\n{words}\n")
    say(f"the whole table: {path}")
    say(_next(course, lesson, outcomes))
    return 1 if remarks.lost or any(o.score is None for o in outcomes) else 0


def _next(course: Path, lesson: str, outcomes: Sequence[Outcome]) -> str:
    """The command that comes next; nbgrader passes over what it has graded before."""
    command = f"next: nbgrader autograde {lesson}"
    graded = [o for o in outcomes if o.score is not None]
    changed = [o.student for o in graded if _is_behind(course, lesson, o)]
    if not changed:
        return f"{command}   (reads these grades)"
    names = ", ".join(changed[:5]) + (", ..." if len(changed) > 5 else "")
    return (
        f"{command} --force   (reads these grades; without --force it passes over "
        f"what it graded before, of which {len(changed)} changed: {names})"
    )


def _is_behind(course: Path, lesson: str, outcome: Outcome) -> bool:
    """Whether nbgrader has graded an earlier submission, or read an earlier grade."""
    old, new = (
        course / folder / outcome.student / lesson / f"{lesson}.ipynb"
        for folder in ("autograded", "submitted")
    )
    if not (old.is_file() and new.is_file()):
        return False
    return not outcome.known or old.stat().st_mtime < new.stat().st_mtime


def say(text: str) -> None:
    """Print; a character that the terminal's encoding lacks is written out."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


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
    points = f"{outcome.score or 0:g}/{outcome.max_score:g}"
    shown = "none" if outcome.score is None else points
    return printable(outcome.student), shown, printable(outcome.note)


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


def as_csv(
    topic: str,
    outcomes: Sequence[Outcome],
    before: Sequence[Sequence[str]] = (),
) -> str:
    """Each submission, its points by exercise, its note; rows of others as before."""
    names = [e.name for e in catalogue.exercises_of(topic)]
    names += [NAME] if topic in LESSONS else []
    head = ["student", "score", "max_score", *names, "note"]
    kept = before[1:] if before and [*before[0]] == head else ()
    rows = {row[0]: [*row] for row in kept if len(row) == len(head)}
    new = [[_cell(c) for c in _csv_row(o, names)] for o in outcomes]
    rows |= {row[0]: row for row in new}
    text = io.StringIO()
    csv.writer(text).writerows([head, *(rows[s] for s in sorted(rows))])
    return text.getvalue()


def _csv_row(outcome: Outcome, names: Sequence[str]) -> list[str]:
    points = dict(outcome.exercises)
    score = "" if outcome.score is None else f"{outcome.score:g}"
    each = [f"{points[n]:g}" if n in points else "" for n in names]
    note = printable(outcome.note)
    return [outcome.student, score, f"{outcome.max_score:g}", *each, note]


def _cell(text: str) -> str:
    """What a spreadsheet takes for text, and UTF-8 can hold."""
    return neutral(text).encode("utf-8", "backslashreplace").decode()


def _rows_in(path: Path) -> list[list[str]]:
    """The rows of a table that is there already."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [*csv.reader(file)]
    except (OSError, ValueError, csv.Error):
        return []
