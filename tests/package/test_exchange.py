"""The ways in which submissions reach a course: nbgrader's exchange, and archives.

Each step is nbgrader's own command, as the README names it; then ours, and its grades
in the gradebook.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

pytestmark = pytest.mark.slow

LESSON = "00_start_here"
CONFIGURATION = """
from vae_edu.grading.config import configure
c = get_config()
configure(c)
c.CourseDirectory.course_id = "vae"
c.Exchange.root = {root!r}
c.ExchangeFetchAssignment.path_includes_course = False
"""
ARCHIVES = """
c.ZipCollectApp.zip_ext = [".zip"]
c.FileNameCollectorPlugin.named_regexp = (
    r".*_(?P<student_id>[a-z]+)_attempt_(?P<timestamp>[0-9-]+)_(?P<file_id>.*)"
)
"""


def nbgrader(folder: Path, *words: str) -> str:
    """Run a command of nbgrader's in a folder; it must succeed."""
    return run(folder, "nbgrader", *words)


def run(folder: Path, *words: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture
def course(tmp_path, root):
    """A course with the solved lesson as its source, in the gradebook."""
    folder, exchange = tmp_path / "course", tmp_path / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)
    source = folder / "source" / LESSON
    source.mkdir(parents=True)
    solution = root / "solutions" / LESSON / f"{LESSON}.ipynb"
    (source / solution.name).write_bytes(solution.read_bytes())
    text = CONFIGURATION.format(root=str(exchange)) + ARCHIVES
    (folder / "nbgrader_config.py").write_text(text)
    nbgrader(folder, "generate_assignment", LESSON)
    return folder


def solved(course: Path) -> nbformat.NotebookNode:
    return nbformat.read(course / "source" / LESSON / f"{LESSON}.ipynb", 4)


def scores(course: Path) -> dict[str, str]:
    path = course / "grades" / LESSON / "summary.csv"
    with path.open(newline="") as file:
        return {row["student"]: row["score"] for row in csv.DictReader(file)}


def in_gradebook(course: Path, student: str) -> float:
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        return book.find_submission(LESSON, student).score


def test_through_the_exchange(course, tmp_path, monkeypatch):
    nbgrader(course, "release_assignment", LESSON)
    learner = tmp_path / "learner"
    learner.mkdir()
    text = (course / "nbgrader_config.py").read_text()
    (learner / "nbgrader_config.py").write_text(text)
    monkeypatch.setenv("JUPYTERHUB_USER", "ana")
    monkeypatch.setenv("LOGNAME", "ana")
    monkeypatch.setenv("USER", "ana")
    nbgrader(learner, "fetch_assignment", LESSON)
    (notebook,) = learner.rglob(f"{LESSON}.ipynb")
    released = nbformat.read(notebook, 4)
    answers = {
        c.metadata.get("nbgrader", {}).get("grade_id"): c.source
        for c in solved(course).cells
        if c.metadata.get("nbgrader", {}).get("solution")
    }
    for cell in released.cells:
        given = cell.metadata.get("nbgrader", {})
        if given.get("solution"):
            assert "NotImplementedError" in cell.source or cell.cell_type == "markdown"
            cell.source = answers[given["grade_id"]]
    nbformat.write(released, notebook)
    nbgrader(learner, "submit", LESSON)
    nbgrader(course, "collect", LESSON)
    (student,) = (p.name for p in (course / "submitted").iterdir())
    run(course, "vae_edu.cli", "grade", LESSON)
    assert float(scores(course)[student]) > 0
    nbgrader(course, "autograde", LESSON)
    assert in_gradebook(course, student) == float(scores(course)[student])


def test_from_an_archive(course, tmp_path):
    downloaded = course / "downloaded" / LESSON / "archive"
    downloaded.mkdir(parents=True)
    wrong = solved(course)
    for cell in wrong.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = cell.source.replace("return ", "return 1.01 * ")
    books = {"ana": solved(course), "ben": wrong}
    with zipfile.ZipFile(downloaded / "download.zip", "w") as archive:
        for student, book in books.items():
            name = f"{LESSON}_{student}_attempt_2026-11-21-12-00-00_{LESSON}.ipynb"
            archive.writestr(name, nbformat.writes(book))
    nbgrader(course, "zip_collect", LESSON)
    run(course, "vae_edu.cli", "grade", LESSON)
    found = {student: float(score) for student, score in scores(course).items()}
    assert found["ana"] > found["ben"] == 0
    nbgrader(course, "autograde", LESSON)
    assert {s: in_gradebook(course, s) for s in found} == found
