"""Gradescope: results.json from a grade, and the autograder in Gradescope's layout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from tests.sandboxes import do_without
from vae_edu import catalogue, data, handin, runs
from vae_edu.cli import main
from vae_edu.errors import CourseError
from vae_edu.evaluate import binarized_test_set, evaluate
from vae_edu.grading.office import gradescope
from vae_edu.grading.verdict import run_folder
from vae_edu.grading.verdict.grade import ExerciseGrade, Finding, Grade
from vae_edu.grading.wall import process
from vae_edu.models import OneLayerVAE
from vae_edu.train import TrainConfig, train

LESSON = "04_kl_divergence"
TOPIC = "kl_divergence"
POINTS = sum(e.card.points for e in catalogue.exercises_of(TOPIC))
RIGHT = """
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""
WRONG = """
import torch
def expected_log_prior(mu, log_var):
    raise ValueError("<script>alert(1)</script> **bold** " + str(mu))
"""
GRADE = Grade(
    LESSON,
    (
        ExerciseGrade("right", "4.1", 2.0, 2.0, passed=True),
        ExerciseGrade(
            *("wrong", "4.2", 0.5, 2.0),
            misconception="A mistake",
            advice="Think again.",
            public=(Finding("It is even", "value", "it said <b>\x1b[31m\ud800\x00"),),
            hidden=(Finding("It is additive", "value", "SECRET INPUT"),),
        ),
        ExerciseGrade("gone", "4.3", 0.0, 3.0, problem="it is not in the notebook"),
    ),
    "bubblewrap",
)


def test_the_fields_are_those_that_gradescope_reads():
    made = json.loads(json.dumps(gradescope.results(GRADE), allow_nan=False))
    assert made["score"] == GRADE.score == sum(t["score"] for t in made["tests"])
    assert made["output"] == "1 of 3 exercises are right."
    assert (made["visibility"], made["stdout_visibility"]) == ("visible", "hidden")
    assert made["extra_data"]["sandbox"] == "bubblewrap"
    assert [t["number"] for t in made["tests"]] == ["4.1", "4.2", "4.3"]
    assert [t["max_score"] for t in made["tests"]] == [2.0, 2.0, 3.0]
    assert [t["status"] for t in made["tests"]] == ["passed", "failed", "failed"]
    assert {t["output_format"] for t in [made, *made["tests"]]} == {"text"}


def test_the_words_are_plain_and_keep_hidden_inputs_back():
    right, wrong, gone = gradescope.results(GRADE)["tests"]
    assert right["output"] == "Right."
    assert gone["output"] == "Not judged: it is not in the notebook."
    for part in ("A mistake. Think again.", "It is even", "<b>", "It is additive"):
        assert part in wrong["output"]
    assert "SECRET" not in wrong["output"]
    assert not set("\x1b\x00\ud800") & set(wrong["output"])


def test_a_grade_of_nothing_says_why():
    made = gradescope.results(Grade(LESSON, (), "none", "it is empty"))
    assert (made["score"], made["tests"]) == (0, [])
    assert made["output"] == "Nothing could be graded: it is empty."


# --- which file it is -----------------------------------------------------------------


def test_the_notebook_is_found_below_folders(tmp_path):
    for name in ("a/.ipynb_checkpoints/x.ipynb", "__MACOSX/y.ipynb", "a/b c/zé.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, problem = gradescope.submitted(tmp_path, LESSON)
    assert (found.name, problem) == ("zé.ipynb", "")


def test_of_several_it_is_the_one_of_the_lessons_name(tmp_path):
    (tmp_path / "other.ipynb").touch()
    (tmp_path / f"{LESSON}.ipynb").touch()
    assert gradescope.submitted(tmp_path, LESSON)[0] == tmp_path / f"{LESSON}.ipynb"


def test_a_link_is_no_submission(tmp_path):
    (tmp_path / "law.ipynb").touch()
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / f"{LESSON}.ipynb").symlink_to(tmp_path / "law.ipynb")
    found, problem = gradescope.submitted(folder, LESSON)
    assert found is None
    assert "no notebook" in problem


# --- the run of lesson 10 -------------------------------------------------------------


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    """A run on scikit-learn's digits that learnt nothing: it is whole, no more."""
    digits = data.load("digits")
    model = OneLayerVAE(64, (8,), 2, generator=torch.Generator().manual_seed(0))
    config = TrainConfig(epochs=1, batch_size=256, device="cpu")
    rows = train(model, digits.train, config, say=lambda line: None)
    test = binarized_test_set(digits.test[:20])
    found = evaluate(model, test, num_samples=20)
    folder = tmp_path_factory.mktemp("made") / "run"
    return runs.write(folder, model, digits, config, rows, found)


def side_by_side(run, folder):
    """As single files come, or a zip that was unpacked on the way."""
    shutil.copytree(run, folder, dirs_exist_ok=True)
    (folder / "10_full_mnist_run.ipynb").write_text("{}")
    (folder / "more.txt").write_text("x")


def packed(run, folder):
    shutil.make_archive(str(folder / "run"), "zip", run)


LAID_OUT = {
    "a folder": lambda run, folder: shutil.copytree(run, folder / "run"),
    "a folder of another name": lambda run, folder: shutil.copytree(run, folder / "r"),
    "deeper": lambda run, folder: shutil.copytree(run, folder / "my lesson" / "run"),
    "packed": packed,
    "side by side": side_by_side,
    "two, one of them called run": lambda run, folder: [
        shutil.copytree(run, folder / name) for name in ("run", "other")
    ],
}


@pytest.mark.parametrize("way", LAID_OUT)
def test_the_run_is_found_however_it_lies(a_run, tmp_path, way):
    folder, aside = tmp_path / "submission", tmp_path / "aside"
    folder.mkdir()
    aside.mkdir()
    LAID_OUT[way](a_run, folder)
    found = gradescope.submitted_run(folder, "10", aside)
    assert run_folder.grade_run(found, "s").score == handin.WHOLE
    assert gradescope.submitted_run(folder, LESSON, aside) is None


def test_without_a_run_one_is_asked_for(tmp_path):
    found = gradescope.submitted_run(tmp_path, "10_full_mnist_run", tmp_path)
    assert "no folder run/" in run_folder.grade_run(found, "s").problem


def test_the_archive_of_lesson_10_brings_what_a_run_takes(tmp_path, capsys):
    path = tmp_path / "run autograder.zip"
    assert main(["gradescope", "10", "--to", str(path)]) == 0
    points = sum(e.card.points for e in catalogue.exercises_of("full_mnist_run"))
    assert f"{points + handin.POINTS} autograder points" in capsys.readouterr().out
    with zipfile.ZipFile(path) as file:
        assert "course/data/checksums.json" in file.namelist()
        setup = file.read("setup.sh").decode()
    assert 'vae-edu" data' in setup
    assert "scikit-learn" in setup
    subprocess.run(["bash", "-n"], input=setup, text=True, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["packed", "side by side"])
def test_the_run_is_graded_with_the_notebook(a_run, tmp_path, sandboxed, way):
    path = tmp_path / "a.zip"
    assert main(["gradescope", "10", "--to", str(path)]) == 0
    root = unpacked(path, tmp_path / "auto")
    LAID_OUT[way](a_run, root / "submission")
    book = new_notebook(cells=[new_code_cell(PAIRED)])
    nbformat.write(book, root / "submission" / "10_full_mnist_run.ipynb")
    made, said = run(root)
    by_name = {t["name"]: t for t in made["tests"]}
    assert by_name[run_folder.NAME]["score"] == handin.WHOLE, said
    assert by_name["paired_difference"]["status"] == "passed"
    assert made["score"] == handin.WHOLE + by_name["paired_difference"]["max_score"]


PAIRED = """
def paired_difference(nll_a, nll_b):
    d = nll_a - nll_b
    return d.mean(), d.std() / len(d) ** 0.5
"""


# --- the autograder -------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "kl autograder.zip"
    assert main(["gradescope", "4", "--to", str(path)]) == 0
    return path


@pytest.fixture
def autograder(archive, tmp_path):
    """/autograder as Gradescope lays it out."""
    return unpacked(archive, tmp_path / "auto grader")


def unpacked(archive, root):
    (root / "submission").mkdir(parents=True)
    with zipfile.ZipFile(archive) as file:
        file.extractall(root / "source")
        for entry in file.infolist():
            (root / "source" / entry.filename).chmod(entry.external_attr >> 16)
    shutil.copy(root / "source" / "run_autograder", root)
    return root


def run(root, **environment):
    """The results of the real script, run as Gradescope runs it."""
    environment = {"VAE_EDU_PYTHON": sys.executable} | environment
    done = subprocess.run(
        [root / "run_autograder"],
        cwd=root,
        env=os.environ | {"VAE_EDU_AUTOGRADER": str(root)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = (root / "results" / "results.json").read_text(encoding="utf-8")
    return json.loads(text), done.stdout


def test_the_archive_has_the_scripts_at_its_root(archive):
    with zipfile.ZipFile(archive) as file:
        modes = {e.filename: e.external_attr >> 16 for e in file.infolist()}
    assert modes["run_autograder"] == modes["setup.sh"] == 0o755
    assert f"course/solutions/{LESSON}/hidden.py" in modes
    assert "course/vae_edu/grading/office/gradescope.py" in modes


def test_the_archive_leaves_out_what_grading_does_not_take(archive):
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        texts = [file.read(name).decode(errors="replace") for name in names]
    assert f"course/solutions/{LESSON}/exercises.py" not in names
    for part in (
        "mistakes.py",
        "variants.py",
        f"{LESSON}/lesson.py",
        "unseen",
        "test_",
        "vae_edu/build",
        "__pycache__",
        ".ipynb",
    ):
        assert not [name for name in names if part in name]
    assert not [text for text in texts if str(gradescope.course_root()) in text]


@pytest.mark.parametrize("script", [gradescope.SETUP, gradescope.RUN])
def test_the_scripts_are_valid(script):
    done = subprocess.run(
        ["bash", "-n"], input=script, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_a_folder_that_is_not_there_is_said(tmp_path, capsys):
    target = tmp_path / "missing" / "a.zip"
    assert main(["gradescope", "4", "--to", str(target)]) == 2
    assert "could not be written" in capsys.readouterr().err


@pytest.fixture(scope="module")
def sandboxed():
    try:
        process.Zygote("require").close()
    except CourseError as error:
        do_without("bubblewrap", error)


@pytest.mark.slow
def test_a_submission_is_graded(autograder, sandboxed):
    released = gradescope.course_root() / "notebooks" / LESSON / f"{LESSON}.ipynb"
    book = nbformat.read(released, as_version=4)
    answers = {"gaussian_kl": RIGHT, "expected_log_prior": WRONG}
    for cell in book.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(name, cell.source)
    nbformat.write(book, autograder / "submission" / f"{LESSON}.ipynb")
    made, _ = run(autograder)
    by_name = {t["name"]: t for t in made["tests"]}
    assert by_name["gaussian_kl"]["status"] == "passed"
    assert by_name["gaussian_kl"]["score"] == 3
    assert by_name["expected_log_prior"]["score"] == 0
    assert "not filled in" in by_name["monte_carlo_kl"]["output"]
    assert made["score"] == 3
    assert sum(t["max_score"] for t in made["tests"]) == POINTS
    assert made["extra_data"]["sandbox"] in ("bubblewrap", "landlock")
    shown, _, hidden = by_name["expected_log_prior"]["output"].partition("only the gra")
    assert "<script>alert(1)</script> **bold** tensor(" in shown
    assert "tensor(" not in hidden


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "There is no notebook in it. Please submit"),
        ({"answer.docx": b"PK"}, "There is no notebook in it (answer.docx)"),
        ({"a.ipynb": b"{}", "b.ipynb": b"{}"}, "more than one notebook"),
        ({"a.ipynb": b'{"cells": [{"ce'}, "it is no notebook, or cut short"),
        ({"a.ipynb": b"\xff\xfe\x00"}, "it is no text in UTF-8"),
    ],
)
def test_what_cannot_be_graded_gets_a_reason(autograder, sandboxed, files, words):
    for name, content in files.items():
        (autograder / "submission" / name).write_bytes(content)
    made, _ = run(autograder)
    assert made["score"] == 0
    assert words in made["output"]


@pytest.mark.slow
def test_without_a_sandbox_nothing_is_run_and_nobody_is_blamed(autograder):
    settings = autograder / "source" / gradescope.SETTINGS
    changed = json.loads(settings.read_text()) | {"policy": "nothing"}
    settings.write_text(json.dumps(changed))
    book = new_notebook(cells=[new_code_cell(RIGHT)])
    nbformat.write(book, autograder / "submission" / "a.ipynb")
    made, said = run(autograder)
    assert made["score"] == 0
    assert gradescope.NOT_YOURS in made["output"]
    assert "nothing" in said


def test_a_python_that_is_not_there_still_gives_results(autograder):
    made, _ = run(autograder, VAE_EDU_PYTHON="/missing/python")
    assert made["score"] == 0
    assert gradescope.NOT_YOURS in made["output"]
