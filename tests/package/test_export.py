"""Grades for Canvas and Moodle: an LMS reads the file, and no spreadsheet runs it."""

from __future__ import annotations

import csv
import logging
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("nbgrader")

from nbgrader.api import Gradebook
from traitlets.config import Config

from vae_edu.grading import export

LESSON = "04_kl_divergence"
NASTY = {
    "comma": ("Ann, Maria", "O'Neil"),
    "quote": ('"Q"', 'a""b'),
    "lines": ("two\nlines", "back\r\nto back"),
    "unicode": ("Żółć", "李 小龍 \U0001f600"),
    "sum": ("=1+1", "@SUM(A1)"),
    "plus": ("+49", "-7"),
    "wide": ("\uff1d1\uff0b1", "\u2212x"),
    "tab": ("\t=1", "\r=1"),
    "blank": (" =1", "\u200b=1"),
    "split": ("a;=1+1", "b\n+1"),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two assignments, students, no submission. Made once: nbgrader takes seconds."""
    path = tmp_path_factory.mktemp("gradebook") / "gradebook.db"
    with Gradebook(f"sqlite:///{path}", "vae") as book:
        for name in (LESSON, '=second, "one"'):
            book.add_assignment(name)
            book.add_notebook("nb", name)
            for cell in ("auto", "prose"):
                worth = {"max_score": 5, "cell_type": "code"}
                book.add_grade_cell(cell, "nb", name, **worth)
        for student, (first, last) in NASTY.items():
            book.add_student(student, first_name=first, last_name=last)
        book.add_student("absent", first_name="No", last_name="Body", email="n@x.org")
    return path


@pytest.fixture
def gradebook(template, tmp_path):
    """A copy of the template, with a submission of nobody."""
    path = shutil.copy(template, tmp_path)
    with Gradebook(f"sqlite:///{path}", "vae") as book:
        yield book


def graded(book, student, auto=None, manual=None, penalty=0.0, open_=False):
    book.add_submission(LESSON, student)
    for cell in ("auto", "prose"):
        grade = book.find_grade(cell, "nb", LESSON, student)
        grade.auto_score, grade.needs_manual_grade = 0.0, False
    book.find_grade("auto", "nb", LESSON, student).auto_score = auto
    prose = book.find_grade("prose", "nb", LESSON, student)
    prose.manual_score, prose.needs_manual_grade = manual, open_
    book.find_submission_notebook(
        "nb", LESSON, student
    ).late_submission_penalty = penalty
    book.db.commit()


def written(plugin, book, tmp_path, name="out.csv", **options):
    path = tmp_path / name
    plugin(to=str(path), **options).export(book)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [*csv.reader(file)]


def by_id(rows, column):
    return {row[column]: row for row in rows}


def test_canvas_has_its_columns_and_a_row_of_points(gradebook, tmp_path):
    rows = written(export.Canvas, gradebook, tmp_path)
    fixed = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert rows[0] == [*fixed, LESSON, '\'=second, "one"']
    assert rows[1] == ["    Points Possible", "", "", "", "", "10", "10"]
    assert {len(row) for row in rows} == {7}
    assert len(rows) == 2 + len(NASTY) + 1


def test_moodle_has_its_columns(gradebook, tmp_path):
    rows = written(export.Moodle, gradebook, tmp_path)
    assert rows[0][:4] == ["First name", "Last name", "ID number", "Email address"]
    assert ["No", "Body", "absent", "n@x.org", "", ""] in rows


def test_what_has_no_grade_is_no_zero(gradebook, tmp_path, caplog):
    graded(gradebook, "comma", auto=0.0)
    gradebook.add_submission(LESSON, "quote")  # as nbgrader has it of a torn file
    moodle = by_id(written(export.Moodle, gradebook, tmp_path), 2)
    assert moodle["comma"][4] == "0"
    assert moodle["quote"][4] == ""
    assert (
        "no grade, and so an empty cell, for 1 of 2 submissions: quote" in caplog.text
    )


@pytest.mark.parametrize("student", ["comma", "quote", "lines", "unicode"])
def test_names_survive_as_they_are(gradebook, tmp_path, student):
    moodle = by_id(written(export.Moodle, gradebook, tmp_path), 2)
    assert tuple(moodle[student][:2]) == NASTY[student]
    canvas = by_id(written(export.Canvas, gradebook, tmp_path), 3)
    first, last = NASTY[student]
    assert canvas[student][0] == f"{last}, {first}"


@pytest.mark.parametrize("student", ["sum", "plus", "wide", "tab", "blank", "split"])
def test_formulas_become_text(gradebook, tmp_path, student):
    row = by_id(written(export.Moodle, gradebook, tmp_path), 2)[student]
    for cell, name in zip(row, NASTY[student], strict=False):
        assert "'" in cell
        assert cell.replace("'", "") == name
    pieces = [p.strip() for cell in row[:2] for p in cell.split(";")]
    assert not [p for p in pieces if p[:1] in ("=", "+", "-", "@", "\uff1d")]


@pytest.mark.parametrize(
    "cell", ["", "7.5", "O'Neil", "a-b", "a=b", "x@y.org", "a; b", "two\nlines", "3 -2"]
)
def test_harmless_cells_stay(cell):
    assert export.neutral(cell) == cell


def test_scores_count_manual_points_and_the_late_penalty(gradebook, tmp_path):
    graded(gradebook, "comma", auto=3.5, manual=4.0)
    graded(gradebook, "quote", auto=5, manual=1 / 3, penalty=2.0)
    graded(gradebook, "plus", auto=1, manual=0, penalty=3.0)
    graded(gradebook, "unicode", auto=0, manual=0)
    row = by_id(written(export.Moodle, gradebook, tmp_path), 2)
    told = {student: row[student][4] for student in row}
    assert told["comma"] == "7.5"
    assert told["quote"] == "3.33"
    assert (told["plus"], told["unicode"]) == ("0", "0")


def test_no_submission_is_an_empty_cell_and_no_zero(gradebook, tmp_path):
    for plugin, column in ((export.Canvas, 3), (export.Moodle, 2)):
        rows = by_id(written(plugin, gradebook, tmp_path), column)
        assert rows["absent"][-2:] == ["", ""]


def test_what_needs_manual_grading_is_said(gradebook, tmp_path, caplog):
    graded(gradebook, "comma", auto=3, open_=True)
    graded(gradebook, "quote", auto=3, manual=2)
    log = logging.getLogger("test_export")
    with caplog.at_level(logging.WARNING, "test_export"):
        written(export.Canvas, gradebook, tmp_path, log=log)
    said = [m for m in caplog.messages if "manual grading" in m]
    assert len(said) == 1
    assert f"{LESSON}: 1 of 2 still need manual grading" in said[0]
    assert said[0].endswith("comma")
    assert any("look like formulas" in m for m in caplog.messages)


def test_assignments_and_students_can_be_chosen(gradebook, tmp_path, caplog):
    log = logging.getLogger("test_export")
    chosen = {"assignment": [LESSON, "missing"], "student": ["sum", "absent"]}
    with caplog.at_level(logging.WARNING, "test_export"):
        rows = written(export.Moodle, gradebook, tmp_path, log=log, **chosen)
    assert rows[0][4:] == [LESSON]
    assert {row[2] for row in rows[1:]} == {"sum", "absent"}
    assert "There is no assignment missing" in caplog.messages


def test_a_column_can_have_the_name_it_has_in_the_lms(gradebook, tmp_path):
    columns = {LESSON: "KL divergence (1234)"}
    rows = written(export.Canvas, gradebook, tmp_path, columns=columns)
    assert rows[0][5] == "KL divergence (1234)"


def test_canvas_numbers_are_numbers_and_nothing_else(gradebook, tmp_path):
    gradebook.add_student("anna", lms_user_id="4711")
    gradebook.add_student("bert", lms_user_id="12abc")
    gradebook.add_student("doejane_815", last_name="Doe")
    rows = by_id(written(export.Canvas, gradebook, tmp_path), 3)
    assert [rows[s][1] for s in ("anna", "bert", "doejane_815")] == ["4711", "", ""]
    rows = written(export.Canvas, gradebook, tmp_path, identity="sis")
    assert ["anna", "4711", "anna", "", "", "", ""] in rows
    rows = written(export.Canvas, gradebook, tmp_path, identity="download")
    assert ["Doe", "815", "", "", "", "", ""] in rows


def test_a_file_that_cannot_be_written_is_left_as_it_was(
    gradebook, tmp_path, monkeypatch
):
    path = tmp_path / "grades.csv"
    path.write_text("as it was")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "")))
    with pytest.raises(SystemExit):
        export.Canvas(to=str(path)).export(gradebook)
    assert path.read_text() == "as it was"
    assert [p.name for p in tmp_path.glob("*grades.csv*")] == ["grades.csv"]


def test_the_options_can_be_configured(gradebook, tmp_path):
    config = Config()
    config.Canvas.identity = "sis"
    config.LmsExport.columns = {LESSON: "KL"}
    rows = written(export.Canvas, gradebook, tmp_path, config=config)
    assert rows[0][5] == "KL"
    assert "comma" in by_id(rows, 2)


@pytest.mark.slow
def test_nbgrader_export_writes_it(gradebook, tmp_path):
    graded(gradebook, "comma", auto=3.5, manual=4.0)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nbgrader", "export"),
            "--exporter=vae_edu.grading.export.Canvas",
            *("--to=grades.csv", f"--assignment={LESSON}"),
            f"--db=sqlite:///{tmp_path}/gradebook.db",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [*csv.reader(file)]
    assert by_id(rows, 3)["comma"] == ["O'Neil, Ann, Maria", "", "", "comma", "", "7.5"]
