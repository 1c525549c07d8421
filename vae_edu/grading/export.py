"""nbgrader's grades as CSV for an LMS: `nbgrader export --exporter=...`.

    nbgrader export --exporter=vae_edu.grading.export.Canvas --to=canvas.csv
    nbgrader export --exporter=vae_edu.grading.export.Moodle --to=moodle.csv

The files are UTF-8 with a byte order mark: without one, Excel reads names in the
machine's old code page; Canvas finds "Student" behind it, and Moodle cuts it off.

What belongs here: which column holds what, and cells that no spreadsheet runs. What
does not: scores, which are nbgrader's (late penalties and manual grades included).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from nbgrader.api import (
    Assignment,
    Grade,
    Gradebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.plugins import ExportPlugin
from traitlets import Dict, Enum, Unicode

from vae_edu.errors import CourseError
from vae_edu.grading.office.store import write_whole
from vae_edu.grading.verdict.plain import neutral

__all__ = ["Canvas", "Moodle", "neutral"]

SHOWN = 5  # names in a warning


class LmsExport(ExportPlugin):
    """One row a student, one column an assignment; no submission is an empty cell."""

    fallback = "grades.csv"
    columns = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="an assignment's column in the LMS, where it is not called the same",
    ).tag(config=True)

    def export(self, gradebook: Gradebook) -> None:
        """Write the file at `to`, whole or not at all; unknown names are warned of."""
        assignments = self._chosen("assignment", gradebook.assignments, _name)
        students = self._chosen("student", gradebook.students, _id)
        grades = {a.name: self._grades(gradebook, a, students) for a in assignments}
        rows = [*self.heading(assignments)]
        for student in students:
            each = [grades[a.name].get(student.id, "") for a in assignments]
            rows.append([*self.person(student), *each])
        self._write(Path(self.to or self.fallback), rows)

    def heading(self, assignments: Sequence[Assignment]) -> list[list[str]]:
        """The rows above the students."""
        raise NotImplementedError

    def person(self, student: Student) -> list[str]:
        """The cells by which the LMS knows a student."""
        raise NotImplementedError

    def column(self, assignment: Assignment) -> str:
        """The heading of an assignment's column."""
        return self.columns.get(assignment.name, assignment.name)

    def _chosen(
        self, what: str, found: Iterable[Any], key: Callable[[Any], str]
    ) -> list[Any]:
        """Those named by the option `what`; all where none is named."""
        named = [str(name) for name in getattr(self, what)]
        entries = [*found]
        if unknown := set(named) - {key(entry) for entry in entries}:
            self.log.warning("There is no %s %s", what, ", ".join(sorted(unknown)))
        return [entry for entry in entries if not named or key(entry) in named]

    def _grades(
        self, gradebook: Gradebook, assignment: Assignment, students: Sequence[Student]
    ) -> dict[str, str]:
        """Each student's score; no entry without a submission that has a grade."""
        wanted = {student.id for student in students}
        found = gradebook.assignment_submissions(assignment.name)
        known = _with_points(gradebook)
        handed_in = [s for s in found if s.student_id in wanted]
        graded = [s for s in handed_in if s.id in known]
        if without := sorted(s.student_id for s in handed_in if s.id not in known):
            self.log.warning(
                "%s: no grade, and so an empty cell, for %d of %d submissions: %s",
                assignment.name,
                len(without),
                len(handed_in),
                _some(without),
            )
        open_ones = sorted(s.student_id for s in graded if s.needs_manual_grade)
        if open_ones:
            self.log.warning(
                "%s: %d of %d still need manual grading, and have only their other "
                "points here: %s",
                assignment.name,
                len(open_ones),
                len(graded),
                _some(open_ones),
            )
        return {s.student_id: _number(_score(s)) for s in graded}

    def _write(self, path: Path, rows: Sequence[Sequence[str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        safe = [[neutral(cell) for cell in row] for row in rows]
        writer.writerows(safe)
        try:
            write_whole(path, "\ufeff" + text.getvalue())
        except CourseError as error:
            self.log.error("%s", error)
            raise SystemExit(1) from None
        self._report(path, [r[0] for r, s in zip(rows, safe, strict=True) if r != s])

    def _report(self, path: Path, changed: Sequence[str]) -> None:
        if changed:
            self.log.warning(
                "%d rows have cells that look like formulas; they begin with an "
                "apostrophe now: %s",
                len(changed),
                _some([repr(cell) for cell in changed]),
            )
        self.log.info("Wrote %s", path)


class Canvas(LmsExport):
    """Canvas's gradebook import: students, then a column for each assignment.

    Canvas finds a column by the assignment's name, or by the number in "name (1234)" as
    its own export has it: see `columns`. It shows every change before it makes it.
    """

    fallback = "canvas.csv"
    identity = Enum(
        ("login", "sis", "download"),
        "login",
        help="what the gradebook's student ids are in Canvas: SIS Login IDs, SIS User "
        "IDs, or name_number as its downloads of submissions are called",
    ).tag(config=True)

    def heading(self, assignments: Sequence[Assignment]) -> list[list[str]]:
        """Column names, then the row of points."""
        fixed = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
        points = ["    Points Possible", "", "", "", ""]
        return [
            [*fixed, *map(self.column, assignments)],
            [*points, *(_number(a.max_score) for a in assignments)],
        ]

    def person(self, student: Student) -> list[str]:
        """Canvas looks for the ID first, then the SIS IDs, then the name."""
        names = [n for n in (student.last_name, student.first_name) if n]
        login = student.id if self.identity == "login" else ""
        sis = student.id if self.identity == "sis" else ""
        return [
            ", ".join(names) or student.id,
            self._number_of(student),
            sis,
            login,
            "",
        ]

    def _number_of(self, student: Student) -> str:
        """Canvas's own number; it would read "12abc" as 12, another student's."""
        known = student.lms_user_id or ""
        if not known and self.identity == "download":
            known = student.id.rpartition("_")[2]
        return known if known.isascii() and known.isdigit() else ""


class Moodle(LmsExport):
    """Moodle's grade import (CSV): it asks which column is the user's, which a grade's.

    Map the ID number or the Email address to its field there; separator comma, UTF-8.
    """

    fallback = "moodle.csv"

    def heading(self, assignments: Sequence[Assignment]) -> list[list[str]]:
        """Column names, called as Moodle's own export calls them."""
        fixed = ["First name", "Last name", "ID number", "Email address"]
        return [[*fixed, *map(self.column, assignments)]]

    def person(self, student: Student) -> list[str]:
        """Names, the student's id in the gradebook, and the address."""
        return [
            student.first_name or "",
            student.last_name or "",
            student.id,
            student.email or "",
        ]


def _name(assignment: Assignment) -> str:
    return str(assignment.name)


def _id(student: Student) -> str:
    return str(student.id)


def _with_points(gradebook: Gradebook) -> set[str]:
    """The submissions in which anything has been graded, by a program or by hand."""
    found = (
        gradebook.db.query(SubmittedNotebook.assignment_id)
        .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
        .filter(Grade.auto_score.isnot(None) | Grade.manual_score.isnot(None))
        .distinct()
    )
    return {str(row[0]) for row in found}


def _score(submission: SubmittedAssignment) -> float:
    """What nbgrader's own export calls the score."""
    return max(0.0, submission.score - submission.late_submission_penalty)


def _number(value: float) -> str:
    """Two decimals at most, as both show them: 7, 7.5, 6.67."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
