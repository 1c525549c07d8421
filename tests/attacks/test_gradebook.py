"""Edited cells, through `nbgrader autograde`: a cell is worth what was released."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks import registry
from tests.attacks.registry import ATTACKS, CELLS, LESSON, POINTS, submission

CONFIG = """
from vae_edu.grading.config import configure

c = get_config()
configure(c)
"""
EDITED = [attack for attack in ATTACKS if attack.line == CELLS]
SOURCE = ("assignment", "notebook", "base_cell", "grade_cells", "solution_cell")
HONEST = """
    SELECT c.id, c.name, g.auto_score, g.manual_score, g.extra_credit,
           g.needs_manual_grade
    FROM grade g JOIN base_cell c ON g.cell_id = c.id
    JOIN submitted_notebook n ON g.notebook_id = n.id
    JOIN submitted_assignment a ON n.assignment_id = a.id
    WHERE a.student_id = ?
"""


class Course:
    """A course with the small lesson released and honest zoe graded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "nbgrader_config.py").write_text(CONFIG)
        self.put(folder / "source" / LESSON, registry.source_notebook())
        self.hand_in("zoe", registry.honest_notebook())
        self.nbgrader("generate_assignment", LESSON)
        self.nbgrader("autograde", LESSON)

    def put(self, folder, book):
        folder.mkdir(parents=True)
        (folder / f"{LESSON}.ipynb").write_text(json.dumps(book))

    def hand_in(self, student, book):
        self.put(self.folder / "submitted" / student / LESSON, book)

    def nbgrader(self, *words):
        command = [sys.executable, "-m", "nbgrader", *words]
        bins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PATH": bins},  # nbgrader calls `alembic`
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def ask(self, query, *values):
        with sqlite3.connect(self.folder / "gradebook.db") as book:
            return book.execute(query, values).fetchall()

    def state(self):
        """What the gradebook says of the lesson itself, and of zoe."""
        names = [n for (n,) in self.ask("SELECT name FROM sqlite_master")]
        tables = [n for n in names if n in SOURCE]
        assert "base_cell" in tables
        rows = [self.ask(f"SELECT * FROM {name}") for name in tables]
        return rows, self.ask(HONEST, "zoe")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course after everybody was graded, and its state before that."""
    made = Course(tmp_path_factory.mktemp("course"))
    before = made.state()
    for number, attack in enumerate(EDITED):
        made.hand_in(f"m{number}", submission(attack))
    made.nbgrader("autograde", LESSON)
    return made, before


@pytest.mark.parametrize("number", range(len(EDITED)), ids=lambda n: EDITED[n].name)
def test_edited_cells_earn_what_the_answer_deserves(course, number):
    made, _ = course
    (row,) = made.ask(HONEST, f"m{number}")
    _, name, points, by_hand, extra, waits = row
    assert name == f"test_{registry.NAME}"
    assert points == EDITED[number].most
    assert (by_hand, extra or 0, bool(waits)) == (None, 0, False)


def test_the_lesson_and_the_honest_are_as_before(course):
    made, before = course
    assert made.state() == before
    assert [row[2] for row in before[1]] == [POINTS]
