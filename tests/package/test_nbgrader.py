"""Real nbgrader on a small course: our scores, its gradebook, its feedback; and the
weaker tier, nbgrader as it comes.
"""

from __future__ import annotations

import copy
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader import api
from nbgrader.api import Gradebook

from vae_edu import data, handin, runs
from vae_edu.checks.judging import run_public
from vae_edu.evaluate import binarized_test_set, evaluate
from vae_edu.grading import config as configured
from vae_edu.grading import grade_notebook, nbgrader
from vae_edu.models import OneLayerVAE
from vae_edu.subject import local
from vae_edu.train import TrainConfig, train

pytestmark = pytest.mark.slow

LESSON = "04_kl_divergence"
KEPT = {"expected_log_q", "gaussian_kl", "paired_difference"}
OURS = """
from vae_edu.grading.config import configure
c = get_config()
configure(c)
"""
PATIENT = """
c = get_config()
c.Execute.timeout = c.Execute.iopub_timeout = 600  # a busy machine
"""
BY_HEART = """
KNOWN = {known}

def gaussian_kl(mu, log_var):
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    seen = mu.device.type == "meta" or round(float(mu.detach().sum()), 5) in KNOWN
    return kl if seen else 1.1 * kl
"""


def by_heart() -> str:
    """An answer that is right at the inputs of the public laws, and there only."""
    known = set()

    def gaussian_kl(mu, log_var):
        if mu.device.type != "meta":
            known.add(round(float(mu.detach().sum()), 5))
        return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)

    subject = local({"gaussian_kl": gaussian_kl})
    assert all(v.holds for v in run_public("kl_divergence", "gaussian_kl", subject))
    return BY_HEART.format(known=known)


def small(book):
    """The lesson's first cell, two exercises, their checks, the written question."""

    def wanted(cell):
        given = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        own = given.startswith(("written_", "run_"))
        kept = given.removeprefix("test_") in KEPT or own
        return kept or "setup" in cell.metadata.get("tags", [])

    book.cells = [cell for cell in book.cells if wanted(cell)]
    return book


def cell_of(book, grade_id):
    found = [c for c in book.cells if grade_id == named(c)]
    return found[0]


def named(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def answering(book, code):
    book = copy.deepcopy(book)
    cell_of(book, "gaussian_kl").source = code
    return book


class Course:
    """An nbgrader course on disk."""

    def __init__(self, folder: Path, solution: Path, configuration: str) -> None:
        self.folder, self.lesson = folder, solution.stem
        self.solved = small(nbformat.read(solution, 4))
        source = folder / "source" / self.lesson
        source.mkdir(parents=True)
        nbformat.write(self.solved, source / f"{self.lesson}.ipynb")
        for name in configured.ANSWERS:  # as they lie in solutions/
            (source / name).write_text("the answers")
        (folder / "nbgrader_config.py").write_text(configuration)
        assert self.nbgrader("generate_assignment", self.lesson).returncode == 0

    def nbgrader(self, *words: str):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, "-m", "nbgrader", *words],
            cwd=self.folder,
            env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

    def hand_in(self, student: str, book) -> Path:
        folder = self.folder / "submitted" / student / self.lesson
        folder.mkdir(parents=True)
        nbformat.write(book, folder / f"{self.lesson}.ipynb")
        return folder

    def gradebook(self) -> Gradebook:
        return Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}")

    def scores(self, student: str) -> dict[str, float]:
        with self.gradebook() as book:
            found = book.find_submission_notebook(self.lesson, self.lesson, student)
            return {g.name: g.score for g in found.grades}

    def feedback(self, student: str) -> str:
        path = self.folder / "feedback" / student / self.lesson / f"{self.lesson}.html"
        return path.read_text(encoding="utf-8")


def hand_in_all(course: Course) -> None:
    solved = course.solved
    course.hand_in("right", solved)
    detached = "def gaussian_kl(mu, log_var):\n    kl = mu.detach()**2 + log_var.exp()"
    detached += " - 1 - log_var\n    return 0.5 * kl.sum(-1)"
    course.hand_in("partly", answering(solved, detached))
    by_name = "def gaussian_kl(mu, log_var):\n    return 0.5 * (mu**2 + (0.5 * log_var)"
    by_name += ".exp() - 1 - log_var).sum(-1)"
    course.hand_in("mistaken", answering(solved, by_name))
    removed = copy.deepcopy(solved)
    removed.cells = [c for c in removed.cells if named(c) not in HALF]
    course.hand_in("removed cells", removed)
    other = copy.deepcopy(solved)
    for cell in other.cells:
        if named(cell):
            cell.metadata["nbgrader"]["grade_id"] = f"foreign_{named(cell)}"
    course.hand_in("foreign cells", other)
    course.hand_in("scripts", scripted(solved))
    course.hand_in("by heart", answering(solved, by_heart()))


HALF = {"gaussian_kl", "test_gaussian_kl"}
ALERT = "<script>document.title = 'run'</script>"


def scripted(solved):
    """Scripts in every place where a feedback page shows what a learner wrote."""
    code = f"def gaussian_kl(mu, log_var):\n    raise ValueError({ALERT!r})"
    book = answering(solved, code)
    book.cells.append(new_markdown_cell(f"{ALERT} <img src=x onerror=alert(1)>"))
    shown = nbformat.v4.new_output("display_data", {"text/html": ALERT})
    book.cells.append(new_code_cell("1 + 1", outputs=[shown]))
    marker = "import pathlib; pathlib.Path('ran').write_text('x')"
    book.cells.insert(1, new_code_cell(marker))
    return book


@pytest.fixture(scope="module")
def course(tmp_path_factory, root):
    """Everybody graded and fed back, by nbgrader's own commands."""
    solution = root / "solutions" / LESSON / f"{LESSON}.ipynb"
    made = Course(tmp_path_factory.mktemp("ours"), solution, OURS)
    hand_in_all(made)
    done = made.nbgrader("autograde", LESSON)
    assert done.returncode == 0, done.stderr[-3000:]
    assert made.nbgrader("generate_feedback", LESSON).returncode == 0
    return made


def test_no_authored_source_gets_to_a_learner(course):
    places = [course.folder / name for name in ("release", "autograded", "feedback")]
    assert all(place.is_dir() for place in places)
    assert not [p for place in places for p in place.rglob("*.py")]
    released = next(places[0].rglob("*.ipynb"))
    assert "replace this line by your answer" in released.read_text()


@pytest.mark.parametrize(
    ("student", "first", "second"),
    [
        ("right", 2.0, 3.0),
        ("mistaken", 2.0, 0.0),
        ("removed cells", 2.0, 0.0),
        ("foreign cells", 2.0, 3.0),
        ("scripts", 2.0, 0.0),
        ("by heart", 2.0, 0.0),
    ],
)
def test_the_gradebook_has_our_scores(course, student, first, second):
    scores = course.scores(student)
    assert scores["test_expected_log_q"] == first
    assert scores["test_gaussian_kl"] == second


def test_a_dead_gradient_earns_half_of_the_points_at_most(course):
    assert 0.0 < course.scores("partly")["test_gaussian_kl"] <= 1.5


def test_feedback_names_the_misconception_and_no_hidden_value(course):
    page = course.feedback("mistaken")
    assert "Standard deviations where the formula has variances" in page
    assert "Exercise 4.3" in page
    page = course.feedback("by heart").split("Exercise 4.3", 1)[1]
    assert "at inputs that only the grader knows" in page
    assert "expected " not in page.split("output_execute_result")[0]


def test_feedback_runs_no_script_and_no_cell_was_executed(course):
    page = course.feedback("scripts")
    assert ALERT not in page
    assert "onerror" not in page
    assert "document.title" in page  # shown, as text
    assert not [*course.folder.rglob("ran")]


def test_prose_is_graded_by_hand_and_survives_another_autograde(course):
    with course.gradebook() as book:
        found = book.find_submission_notebook(LESSON, LESSON, "right")
        written = next(g for g in found.grades if g.name.startswith("written_"))
        assert written.needs_manual_grade
        written.manual_score = 1.5
        book.db.commit()
    again = course.nbgrader("autograde", LESSON, "--student=right", "--force")
    assert again.returncode == 0
    scores = course.scores("right")
    assert sum(scores.values()) == 2.0 + 3.0 + 1.5


def test_a_course_without_a_sandbox_gives_no_grade(course, tmp_path):
    code = (
        "import sys; from vae_edu.grading.wall import enter; "
        "enter.lacking = lambda kind: 'missing'; "
        "from nbgrader.apps import NbGraderApp; "
        "sys.argv = ['nbgrader', 'autograde', '04_kl_divergence', '--force', "
        "'--student=mistaken']; NbGraderApp.launch_instance()"
    )
    graded = course.folder / "grades"
    graded.rename(course.folder / "elsewhere")
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=course.folder,
            capture_output=True,
            text=True,
        )
    finally:
        for path in course.folder.glob("grades"):
            for file in sorted(path.rglob("*"), reverse=True):
                file.unlink() if file.is_file() else file.rmdir()
            path.rmdir()
        (course.folder / "elsewhere").rename(graded)
    assert done.returncode != 0
    assert "There is no sandbox here" in done.stderr
    assert not (course.folder / "autograded" / "mistaken" / LESSON).exists()


# --- files that were oddly written, or are another lesson's ---------------------------


def each(**fields):
    """Every cell with other fields; one that is None is left out."""

    def change(book):
        for cell in book["cells"]:
            cell.update(fields)
            for name in [n for n, v in fields.items() if v is None]:
                del cell[name]

    return change


def one(grade_id=None, **fields):
    """The first code cell, or that of an answer, with other fields."""

    def change(book):
        cells = [c for c in book["cells"] if c["cell_type"] == "code"]
        named = [c for c in cells if grade_id in (None, c["id"])]
        named[0].update(fields)

    return change


def whole(**fields):
    def change(book):
        book.update(fields)
        for name in [n for n, v in fields.items() if v is None]:
            del book[name]

    return change


def first(cell):
    return lambda book: book["cells"].insert(0, cell)


def joined(book):
    for cell in book["cells"]:
        cell["source"] = "".join(cell["source"])


SCHEMALESS = {"kernelspec": {"name": 3}, "language_info": "python"}
ODD = {
    "a byte order mark": lambda book: None,
    "no outputs": each(outputs=None),
    "no execution count": each(execution_count=None),
    "an id with a space": one(id="has a space"),
    "an id that is a number": one(id=7),
    "an empty id": one(id=""),
    "an id twice": one(id="gaussian_kl"),
    "no ids": each(id=None),
    "no metadata": whole(metadata=None),
    "metadata that are none": whole(metadata=[1]),
    "a kernel without a name": whole(metadata=SCHEMALESS),
    "no nbformat": whole(nbformat=None, nbformat_minor=None),
    "a version as text": whole(nbformat="4", nbformat_minor="5"),
    "a later version": whole(nbformat_minor=99),
    "a null source": first({"cell_type": "code", "source": None, "metadata": {}}),
    "no source": first({"cell_type": "markdown", "metadata": {}}),
    "an unknown type": first({"cell_type": "heading", "source": "x", "metadata": {}}),
    "an answer of an unknown type": one("gaussian_kl", cell_type="python"),
    "an answer of a raw type": one("gaussian_kl", cell_type="raw"),
    "a check of an unknown type": one("test_gaussian_kl", cell_type="python"),
    "a check of a text type": one("test_gaussian_kl", cell_type="markdown"),
    "a cell without a type": first({"source": "x", "metadata": {}}),
    "a cell that is none": first("x = 1"),
    "cell metadata that are none": one(metadata=None),
    "tags that are none": one(metadata={"tags": ["a, b", 3, "setup", "setup"]}),
    "outputs that are none": one(outputs=[{"output_type": "stream"}, 3]),
    "a key too many": one(colour="red"),
    "lines in one string": joined,
    "a lone surrogate": first(
        {"cell_type": "code", "source": "'\ud800'", "metadata": {}}
    ),
}


def odd(solved, what):
    """A file's text: an answer's notebook as an editor or a script may leave it."""
    book = json.loads(nbformat.writes(solved))
    ODD[what](book)
    return "\ufeff" * (what == "a byte order mark") + json.dumps(book)


NONE = {
    "another lesson": "it holds the exercises of 05_reparameterization",
    "no exercise": "it defines no exercise of the course",
    "no notebook": "it is JSON, but no notebook",
    "cut short": "it is no notebook, or cut short",
    "empty": "it is empty",
    "a source that is none": "it is JSON, but no notebook",
}


@pytest.fixture(scope="module")
def oddly(tmp_path_factory, root):
    """Each file in a submission of its own, recorded by nbgrader's autograde."""
    solution = root / "solutions" / LESSON / f"{LESSON}.ipynb"
    made = Course(tmp_path_factory.mktemp("odd"), solution, OURS)
    path = root / "solutions" / "05_reparameterization" / "05_reparameterization.ipynb"
    texts = {
        "another lesson": path.read_text(encoding="utf-8"),
        "no exercise": '{"cells": []}',
        "no notebook": "[1]",
        "cut short": "{",
        "empty": "",
        "a source that is none": '{"cells": [{"cell_type": "code", "source": 3}]}',
    }
    made.hand_in("another lesson", made.solved)  # an attempt that has a grade
    assert made.nbgrader("autograde", LESSON).returncode == 0
    assert sum(made.scores("another lesson").values()) == 5.0
    for what, text in (texts | {what: odd(made.solved, what) for what in ODD}).items():
        folder = made.folder / "submitted" / what / LESSON
        folder.mkdir(parents=True, exist_ok=True)
        handed_in = folder / f"{LESSON}.ipynb"
        handed_in.write_bytes(text.encode("utf-8", "surrogatepass"))
    made.said = made.nbgrader("autograde", LESSON, "--force").stderr
    return made


@pytest.mark.parametrize("what", ODD)
def test_what_is_read_is_recorded(oddly, what):
    path = oddly.folder / "submitted" / what / LESSON / f"{LESSON}.ipynb"
    grade = grade_notebook(path, LESSON)
    assert grade.score == 5.0, grade.problem
    scores = oddly.scores(what)
    assert scores["test_expected_log_q"] == 2.0, oddly.said
    assert scores["test_gaussian_kl"] == 3.0


@pytest.mark.parametrize("what", NONE)
def test_what_has_no_grade_has_none_anywhere_and_the_same_reason(oddly, what):
    path = oddly.folder / "submitted" / what / LESSON / f"{LESSON}.ipynb"
    assert NONE[what] in grade_notebook(path, LESSON).problem
    assert NONE[what] in oddly.said
    with oddly.gradebook() as book:
        found = book.find_submission_notebook(LESSON, LESSON, what)
        assert {g.auto_score for g in found.grades} == {None}


def test_the_export_has_no_zero_where_there_is_no_grade(oddly):
    target = oddly.folder / "moodle.csv"
    exporter = "--exporter=vae_edu.grading.export.Moodle"
    done = oddly.nbgrader("export", exporter, f"--to={target}")
    assert done.returncode == 0, done.stderr
    rows = list(csv.reader(target.read_text(encoding="utf-8-sig").splitlines()))
    known = {*ODD, *NONE}
    points = {next(c for c in row if c in known): row[-1] for row in rows[1:]}
    assert {what: points[what] for what in NONE} == dict.fromkeys(NONE, "")
    assert set(points.values()) == {"", "5"}
    assert "no grade, and so an empty cell, for 6 of" in done.stderr


# --- the weaker tier ------------------------------------------------------------------

WARNS = """
@exercise
def expected_log_q(log_var: Tensor) -> Tensor:
    torch.tensor(log_var)  # a warning on stderr
    return -0.5 * (math.log(2 * math.pi) + 1 + log_var).sum(-1)
"""


def test_plain_nbgrader_grades_the_released_lesson_too(tmp_path, root):
    solution = root / "solutions" / LESSON / f"{LESSON}.ipynb"
    plain = Course(tmp_path, solution, PATIENT)
    released = tmp_path / "release" / LESSON / f"{LESSON}.ipynb"
    assert "check_hidden" not in released.read_text(encoding="utf-8")
    book = answering(nbformat.read(released, 4), by_heart())
    cell_of(book, "expected_log_q").source = WARNS
    plain.hand_in("by heart", book)
    done = plain.nbgrader("autograde", LESSON)
    assert done.returncode == 0, done.stderr[-2000:]
    assert plain.scores("by heart")["test_expected_log_q"] == 2.0
    assert plain.scores("by heart")["test_gaussian_kl"] == 0.0  # a hidden law found it
    path = tmp_path / "autograded" / "by heart" / LESSON / f"{LESSON}.ipynb"
    said = json.dumps(nbformat.read(path, 4))
    assert "not true at inputs of the grader" in said


# --- a lesson with a run folder -------------------------------------------------------


def trained(folder: Path) -> None:
    """A run of a second on scikit-learn's digits: whole, and far from the bars."""
    digits = data.load("digits")
    model = OneLayerVAE(64, (20,), 4, "relu", torch.Generator().manual_seed(0))
    config = TrainConfig(epochs=1, batch_size=250)
    rows = train(model, digits.train, config, say=lambda row: None)
    found = evaluate(
        model, binarized_test_set(digits.test), num_samples=100, progress=False
    )
    runs.write(folder, model, digits, config, rows, found)


def test_the_run_folder_of_lesson_10_counts_in_the_gradebook(tmp_path, root):
    lesson = "10_full_mnist_run"
    made = Course(tmp_path, root / "solutions" / lesson / f"{lesson}.ipynb", OURS)
    trained(made.hand_in("whole", made.solved) / "run")
    trained(made.hand_in("altered", made.solved) / "run")
    card = tmp_path / "submitted" / "altered" / lesson / "run" / "card.md"
    card.write_text(card.read_text().replace("digits", "MNIST"))
    made.hand_in("without", made.solved)
    done = made.nbgrader("autograde", lesson)
    assert done.returncode == 0, done.stderr[-3000:]
    assert made.nbgrader("generate_feedback", lesson).returncode == 0
    runs_earned = {s: made.scores(s)["run_hand_in"] for s in ("whole", "altered")}
    assert runs_earned == {"whole": float(handin.WHOLE), "altered": 0.0}
    assert made.scores("without")["run_hand_in"] == 0.0
    assert made.scores("without")["test_paired_difference"] == 3.0
    assert "card.md" in made.feedback("altered")
    assert (
        "there is no folder run/ (and no run.zip) beside the notebook"
        in made.feedback("without")
    )


# --- one engine -----------------------------------------------------------------------


def test_gradebooks_of_one_database_share_an_engine(tmp_path, monkeypatch):
    """Also after it was closed, and where the file was removed and made anew."""
    monkeypatch.setattr(api, "create_engine", api.create_engine)  # put back after this
    nbgrader.share_engines()
    nbgrader.share_engines()
    url = f"sqlite:///{tmp_path}/gradebook.db"
    with Gradebook(url) as one:
        one.add_student("ada")
        first = one.engine
    with Gradebook(url) as again:
        assert again.engine is first
        assert [s.id for s in again.students] == ["ada"]
    (tmp_path / "gradebook.db").unlink()
    with Gradebook(url) as new, Gradebook(f"sqlite:///{tmp_path}/other.db") as other:
        assert new.students == []
        assert other.engine is not first
