"""The built files are what the build makes of the sources today, and nbgrader agrees.

What belongs here: stubs, recorded numbers and notebooks against a fresh build, and
nbgrader's commands on the course. What does not: running a lesson (see test_notebooks).
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from vae_edu.build import course
from vae_edu.build.drift import agree
from vae_edu.build.source import stubbed
from vae_edu.catalogue import exercises_of, folder_of
from vae_edu.checks.record import alike
from vae_edu.errors import CourseError
from vae_edu.grading.config import ANSWERS
from vae_edu.lesson import find

LESSONS = course.authored()

per_lesson = pytest.mark.parametrize("topic", LESSONS)


def learner_path(topic: str) -> Path:
    return Path("notebooks") / folder_of(topic) / f"{folder_of(topic)}.ipynb"


def solution_path(topic: str) -> Path:
    return Path("solutions") / folder_of(topic) / f"{folder_of(topic)}.ipynb"


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


# --- drift ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every lesson built into an empty folder, beside a learner's work."""
    folder = tmp_path_factory.mktemp("built")
    own = tmp_path_factory.mktemp("own")
    (own / "kl_divergence.py").write_text("mine = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_EDU_WORK", str(own))
        course.build(LESSONS, folder, execute=False)
    assert files_in(own) == {"kl_divergence.py": b"mine = 1\n"}
    return folder


@per_lesson
def test_stubs_and_the_learners_notebook_equal_a_fresh_build(topic, built, root):
    for path in (Path("vae_edu/exercises") / f"{topic}.py", learner_path(topic)):
        assert (root / path).read_bytes() == (built / path).read_bytes(), path


@per_lesson
def test_recorded_numbers_equal_a_fresh_build(topic, built, root):
    path = Path("vae_edu/checks/recorded") / f"{topic}.json"
    old, new = (root / path).read_bytes(), (built / path).read_bytes()
    # another processor may round a last digit differently; here the bytes are equal
    assert old == new or agree(json.loads(old), json.loads(new)), path


@per_lesson
def test_no_two_mistakes_of_an_exercise_are_alike(topic):
    for rows in find(topic).recorded["misconceptions"].values():
        pairs = combinations(rows, 2)
        same = [(a["name"], b["name"]) for a, b in pairs if all_alike(a, b)]
        assert [pair for pair in same if pair[0] != pair[1]] == []


def all_alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether the room of one of two mistakes is so wide that the other is in it."""
    if a["laws"].keys() != b["laws"].keys():
        return False
    pairs = [(a["laws"][law], b["laws"][law]) for law in a["laws"]]
    return all(alike(x, y) for x, y in pairs) or all(alike(y, x) for x, y in pairs)


@pytest.fixture
def recorded(root: Path) -> dict[str, Any]:
    text = (root / "vae_edu/checks/recorded/kl_divergence.json").read_text("utf-8")
    table = json.loads(text)
    assert agree(table, json.loads(text))
    return table


@pytest.mark.parametrize(
    ("law", "part"), [("values", 1e-8), ("float32", 1e-8), ("gradients", 1e-8)]
)
def test_a_true_value_that_drifts_is_seen(law, part, recorded):
    drifted = copy.deepcopy(recorded)
    said = drifted["truth"]["gaussian_kl"][law][0]
    assert said["d"] == "float64"
    said["v"][0] += part * max(map(abs, said["v"]))
    assert not agree(recorded, drifted)


@pytest.mark.parametrize(("law", "part"), [("values", 1e-6), ("float32", 2e-4)])
def test_a_mistake_whose_numbers_drift_is_seen(law, part, recorded):
    drifted = copy.deepcopy(recorded)
    rows = drifted["misconceptions"]["gaussian_kl"]
    seen = next(row["laws"][law] for row in rows if law in row["laws"])
    number = next(entry for entry in seen if isinstance(entry, list))
    kept = number[0]
    number[0] = kept + 0.5 * number[1]
    assert agree(recorded, drifted)
    number[0] = kept + part * max(1.0, abs(kept))
    assert not agree(recorded, drifted)


@pytest.mark.parametrize(("part", "kept"), [(1e-11, True), (1e-6, False)])
def test_a_table_that_differs_by_a_processor_alone_is_left(
    part, kept, recorded, tmp_path
):
    drifted = copy.deepcopy(recorded)
    said = drifted["truth"]["gaussian_kl"]["values"][0]
    said["v"][0] += part * max(map(abs, said["v"]))
    path = tmp_path / "vae_edu" / "checks" / "recorded" / "kl_divergence.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(drifted), "utf-8")
    before = path.read_bytes()
    assert course.build_numbers("kl_divergence", tmp_path) == path
    assert (path.read_bytes() == before) is kept


def test_a_mistake_that_breaks_other_laws_is_seen(recorded):
    drifted = copy.deepcopy(recorded)
    drifted["misconceptions"]["gaussian_kl"][0]["laws"].popitem()
    assert not agree(recorded, drifted)


@per_lesson
def test_the_solution_notebook_equals_a_fresh_build_but_for_outputs(topic, built, root):
    path = solution_path(topic)
    assert authored_part(root / path) == authored_part(built / path)


def authored_part(path: Path) -> dict[str, Any]:
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return json.loads(nbformat.writes(book))


def test_a_second_build_in_another_process_gives_the_same_bytes(built, tmp_path, root):
    topic = min(LESSONS, key=lambda t: len(exercises_of(t)))
    command = ["build", topic, "--no-execute", "--to", str(tmp_path)]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}
    run([sys.executable, "-m", "vae_edu.cli", *command], root, **environment)
    again = files_in(tmp_path)
    assert len(again) == 4
    assert again == {name: (built / name).read_bytes() for name in again}


def test_nothing_but_the_four_kinds_of_built_files_is_written(built):
    folders = {name.split("/")[0] for name in files_in(built)}
    assert folders == {"notebooks", "solutions", "vae_edu"}
    assert len(files_in(built)) == 4 * len(LESSONS)


def test_an_answer_outside_a_region_or_without_one_is_an_error():
    with pytest.raises(CourseError, match="no ### BEGIN SOLUTION"):
        stubbed("def f(x):\n    return x\n", "Exercise 0.0")
    text = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION\n"
    assert "return x" not in stubbed(text, "Exercise 0.0")


# --- nbgrader ---------------------------------------------------------------------


def run(command: list[str], folder: Path, **environment: str) -> str:
    """A command's output, both streams; an AssertionError with it where it fails."""
    python_path = str(course.course_root())
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": python_path, **environment},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def nbgrader(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nbgrader", *arguments]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A copy of the course, all lessons released by `nbgrader generate_assignment`."""
    folder = tmp_path_factory.mktemp("nbgrader")
    shutil.copy(root / "nbgrader_config.py", folder)
    for topic in LESSONS:
        lesson = Path("solutions") / folder_of(topic)
        shutil.copytree(root / lesson, folder / lesson)
    (folder / "notebooks").mkdir()
    run(nbgrader("generate_assignment", "*", "--force"), folder)
    return folder


@per_lesson
def test_nbgrader_generates_the_committed_notebook_and_nothing_else(
    topic, released, root
):
    made = files_in(released / "notebooks" / folder_of(topic))
    assert made == {learner_path(topic).name: (root / learner_path(topic)).read_bytes()}


def test_every_authored_file_is_withheld_from_learners(root):
    files = {p.name for p in (root / "solutions").glob("*/*") if p.is_file()}
    assert {name for name in files if not name.endswith(".ipynb")} <= set(ANSWERS)


@per_lesson
def test_points_come_from_the_declarations(topic, root):
    book = nbformat.read(root / learner_path(topic), as_version=4)
    cells = {c.metadata.nbgrader.grade_id: c for c in book.cells if is_graded(c)}
    for entry in exercises_of(topic):
        check = cells[f"test_{entry.name}"].metadata.nbgrader
        assert (check.points, check.locked) == (entry.card.points, True)
        assert cells[entry.name].metadata.nbgrader.solution


def is_graded(cell: NotebookNode) -> bool:
    return "nbgrader" in cell.metadata


@pytest.mark.slow
def test_nbgrader_validates_a_solution_and_refuses_a_blank_kindly(tmp_path, root):
    topic = "kl_divergence"
    for name, path in (("blank", learner_path(topic)), ("right", solution_path(topic))):
        shutil.copy(root / path, tmp_path / f"{name}.ipynb")
    patience = [f"--Execute.{k}=600" for k in ("timeout", "iopub_timeout")]
    files = ["blank.ipynb", "right.ipynb"]
    said = run(nbgrader("validate", *patience, *files), tmp_path)
    blank, right = said.split("Success!")
    assert f"VALIDATION FAILED ON {len(graded(tmp_path / 'blank.ipynb'))} CELL" in blank
    assert blank.count("not filled in yet") == len(exercises_of(topic))
    assert "Traceback" not in said
    assert "FAILED" not in right


def graded(path: Path) -> list[NotebookNode]:
    book = nbformat.read(path, as_version=4)
    return [c for c in book.cells if is_graded(c) and c.metadata.nbgrader.grade]
