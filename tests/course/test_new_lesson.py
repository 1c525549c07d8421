"""A lesson goes from nothing to a grade: `vae-edu build --new`, its text, the build.

What belongs here: a toy lesson in a copy of the course, that nothing outside its folder
and its public checks names. What does not: the lessons of the course.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vae_edu import catalogue
from vae_edu.build import course as building
from vae_edu.build import new
from vae_edu.errors import CourseError

LESSON = "12_doubling"
EXERCISES = '''"""Lesson 12, reference answers: twice as much."""

from torch import Tensor

from vae_edu.catalogue import declare


@declare(
    "12.1",
    points=3,
    minutes=5,
    difficulty="one operation",
    needed_for="nothing but this test",
)
def double(x: Tensor) -> Tensor:
    r"""Twice each entry, $2x$. x: any shape  ->  the same shape"""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
'''
CHECKS = '''"""Lesson 12: what is tried on its exercise."""

from vae_edu.checks.law import Laws, compare

LAWS = Laws("doubling")


@LAWS.law("double", "values", "the true value at four numbers")
def _values(subject, truth, draw):
    x = draw.normal(4)
    compare(subject.call("double", x), truth("double", x))
'''
HIDDEN = '''"""Lesson 12: the oracle, and the hidden law."""

from vae_edu.checks.law import Laws, compare

LAWS = Laws("doubling")


def double(x):
    """By a sum."""
    return x + x


ORACLES = {"double": double}


@LAWS.law("double", "fresh inputs", "the true value at other numbers", hidden=True)
def _fresh(subject, truth, draw):
    x = 10 + draw.normal(7)
    compare(subject.call("double", x), truth("double", x))
'''
REGISTER = '''"""Lesson 12: {0}s."""

from vae_edu.build.answers import register

REGISTER = register()
{0} = REGISTER.{0}


@{0}("double", {1})
def _(x):
    return {2}
'''
PARTS = {
    "exercises": EXERCISES,
    "hidden": HIDDEN,
    "lesson": new.PARTS["lesson"]
    .replace("@NN", "12")
    .replace("@N", "12")
    .replace(new.MARK, "Doubling")
    .replace("first_answer", "double"),
    "mistakes": REGISTER.format("mutant", '"Squared", "Two times, not twice."', "x**2"),
    "variants": REGISTER.format("variant", '"a sum"', "x + x"),
    "test_equations": '"""Lesson 12 prints no equation."""\n',
}
ANSWERS = {
    "right": "def double(x):\n    return x + x\n",
    "wrong": "def double(x):\n    return x ** 2\n",
    "public": "def double(x):\n    return 2 * x.clamp(max=5)\n",
}


def run(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command line, with the package and the course of the copy."""
    own = {"VAE_EDU_HOME": str(copy), "PYTHONPATH": str(copy)}
    work = {"VAE_EDU_WORK": str(copy / "work"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "vae_edu.cli", *words],
        cwd=copy,
        env={**os.environ, **own, **work},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A course of one lesson, and a new one whose files are to be filled."""
    folder = tmp_path_factory.mktemp("course")
    without = shutil.ignore_patterns("__pycache__")
    for name in ("vae_edu", "solutions/00_start_here"):
        shutil.copytree(root / name, folder / name, ignore=without)
    for name in ("pyproject.toml", "nbgrader_config.py"):
        shutil.copy(root / name, folder)
    (folder / "notebooks").mkdir()
    done = run(folder, "build", "--new", LESSON)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def built(copy: Path) -> Path:
    """The copy, with the toy lesson written and built."""
    skeleton = run(copy, "build", "12", "--no-execute")
    assert skeleton.returncode == 2
    assert new.MARK in skeleton.stderr
    for part, text in PARTS.items():
        (copy / "solutions" / LESSON / f"{part}.py").write_text(text)
    unfinished = run(copy, "build", "12", "--no-execute")
    assert "checks/doubling.py is not written yet" in unfinished.stderr
    (copy / "vae_edu" / "checks" / "doubling.py").write_text(CHECKS)
    elsewhere = run(copy, "build", "12", "--no-execute", "--to", str(copy / "else"))
    assert "build it in the checkout first" in elsewhere.stderr
    done = run(copy, "build", LESSON)
    assert done.returncode == 0, done.stderr
    return copy


def test_a_skeleton_has_each_file_of_a_lesson(copy):
    there = {path.stem for path in (copy / "solutions" / LESSON).glob("*.py")}
    assert there == {*new.PARTS}
    assert (copy / "vae_edu/checks/doubling.py").is_file()


def test_a_lesson_is_built_from_its_folder_alone(built):
    book = built / "notebooks" / LESSON / f"{LESSON}.ipynb"
    assert "Exercise 12.1: fill it in" in (
        built / "vae_edu/exercises/doubling.py"
    ).read_text(encoding="utf-8")
    assert "BEGIN SOLUTION" not in book.read_text(encoding="utf-8")
    recorded = json.loads(
        (built / "vae_edu/checks/recorded/doubling.json").read_text(encoding="utf-8")
    )
    assert [row["name"] for row in recorded["misconceptions"]["double"]] == ["Squared"]


def test_its_answers_are_judged(built, tmp_path):
    for name, text in ANSWERS.items():
        (tmp_path / f"{name}.py").write_text(text)
    done = run(built, "judge", str(tmp_path), "--json", "--unsafe-no-sandbox")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    said = {Path(row["file"]).stem: row for row in found}
    assert {name: row["passed"] for name, row in said.items()} == {
        "right": True,
        "wrong": False,
        "public": False,
    }
    assert said["right"]["score"] == said["right"]["max_score"] == 3
    assert said["wrong"]["misconception"] == "Squared"
    assert [f["law"] for f in said["public"]["failures"]] == ["fresh inputs"]


def test_a_notebook_of_it_gets_a_grade(built, tmp_path):
    folder = tmp_path / "submitted" / "ada" / LESSON
    folder.mkdir(parents=True)
    shutil.copy(built / "solutions" / LESSON / f"{LESSON}.ipynb", folder)
    words = ("grade", LESSON, "--course", str(tmp_path), "--unsafe-no-sandbox")
    done = run(built, *words)
    assert done.returncode == 0, done.stderr
    (kept,) = (tmp_path / "grades" / LESSON).glob("*/*.json")
    grade = json.loads(kept.read_text(encoding="utf-8"))
    assert [e["score"] for e in grade["exercises"]] == [3]


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("latent_space", "names no lesson"),
        ("11_Latent", "names no lesson"),
        ("11_latent-space", "names no lesson"),
        ("11_class", "names no lesson"),
        ("../11_latent", "names no lesson"),
        ("04_kl_divergence", "is there already"),
        ("04_latent_space", "number 4 is that of 04_kl_divergence"),
        ("91_kl_divergence", "topic kl_divergence is that of 04_kl_divergence"),
        ("91_judging", r"checks/judging\.py is there already"),
    ],
)
def test_a_name_that_cannot_be_taken_is_refused(root, name, words):
    with pytest.raises(CourseError, match=words):
        new.skeleton(root, name)


def test_every_lesson_with_sources_is_built():
    assert [*building.sources()] == building.authored()


def test_a_name_stands_once_in_a_lesson_and_its_card_has_the_lessons_number():
    with pytest.raises(CourseError, match="two exercises called 'double'"):
        building.stub_module(EXERCISES + EXERCISES, LESSON)
    with pytest.raises(CourseError, match=r"says 12\.1"):
        building.stub_module(EXERCISES, "13_doubling")


# --- lessons are found by their stubs -------------------------------------------------


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """Write stubs of lessons, each with exercises; the catalogue knows these alone."""

    def write(**lessons: dict[str, str]) -> None:
        for topic, cards in lessons.items():
            text = "".join(
                f'@declare("{number}", points=1, minutes=1, difficulty="", '
                f'needed_for="")\ndef {name}(): ...\n'
                for name, number in cards.items()
            )
            (tmp_path / f"{topic}.py").write_text(text)
        catalogue.forget()

    monkeypatch.setattr(catalogue, "_STUBS", tmp_path)
    catalogue.forget()
    yield write
    monkeypatch.undo()
    catalogue.forget()


def test_lessons_come_in_the_order_of_their_numbers_gaps_and_all(stubs):
    stubs(later={"f": "14.1"}, first={"g": "0.1"}, middle={"h": "2.1"})
    assert catalogue.TOPICS == ("first", "middle", "later")
    assert catalogue.folder_of("later") == "14_later"
    assert catalogue.topic_of("14") == catalogue.topic_of("14_later") == "later"
    with pytest.raises(CourseError, match="There is no lesson '3'"):
        catalogue.topic_of("3")


def test_two_lessons_with_one_number_are_refused(stubs):
    stubs(one={"f": "3.1"}, other={"g": "3.1"})
    with pytest.raises(CourseError, match="number 3: one and other"):
        catalogue.topic_of("one")


def test_a_name_may_stand_in_two_lessons(stubs):
    stubs(one={"f": "1.1", "g": "1.2"}, other={"g": "2.1"})
    assert catalogue.find("f").topic == catalogue.find("f", "other").topic == "one"
    assert [catalogue.find("g", t).topic for t in ("one", "other")] == ["one", "other"]
    with pytest.raises(CourseError, match="exercise of 01_one and 02_other"):
        catalogue.find("g")
