"""`grade_notebook`: a grade for whatever a file holds, without a course tree."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch

from vae_edu import catalogue
from vae_edu.checks.judging import run_public
from vae_edu.checks.record import PUBLIC_SEED
from vae_edu.errors import CourseError
from vae_edu.grading import grade_notebook
from vae_edu.grading.office.report import markdown
from vae_edu.grading.verdict import grade as grading
from vae_edu.grading.verdict import verdicts
from vae_edu.grading.verdict.answers import Submission, read
from vae_edu.grading.verdict.grade import Grade, grade_of
from vae_edu.grading.wall import enter
from vae_edu.grading.wall.kinds import KINDS, NONE, OFF, PREFER
from vae_edu.subject import local

LESSON, TOPIC = "04_kl_divergence", "kl_divergence"
RIGHT = """
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""
FULL = sum(e.card.points for e in catalogue.exercises_of(TOPIC))


@pytest.fixture(scope="module")
def solved(root):
    """The instructor's notebook: every exercise is right."""
    path = root / "solutions" / LESSON / f"{LESSON}.ipynb"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def graded(tmp_path):
    """Grade a notebook or a text that stands in a file."""

    def grade(content, name="answer.ipynb", lesson=TOPIC, seconds=30.0):
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        policy = PREFER
        return grade_notebook(path, lesson, seed="test", seconds=seconds, policy=policy)

    return grade


def changed(book, name="gaussian_kl", **fields):
    """A copy of a notebook with another cell of that grade id."""
    book = json.loads(json.dumps(book))
    for cell in book["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == name:
            cell.update(fields)
    return book


def notebook(*sources):
    cells = [{"cell_type": "code", "metadata": {}, "source": s} for s in sources]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}


def of(grade, name="gaussian_kl"):
    return next(e for e in grade.exercises if e.name == name)


# --- whole notebooks ------------------------------------------------------------------


def test_the_reference_has_full_marks(graded, solved):
    grade = graded(solved)
    assert [e.problem for e in grade.exercises if not e.passed] == []
    assert (grade.score, grade.max_score) == (FULL, FULL)
    assert (grade.lesson, grade.problem) == (LESSON, "")
    assert grade.sandbox in KINDS


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_every_lesson_gives_its_reference_full_marks(graded, root, topic):
    lesson = catalogue.folder_of(topic)
    path = root / "solutions" / lesson / f"{lesson}.ipynb"
    grade = graded(path.read_text(encoding="utf-8"), lesson=topic, seconds=20.0)
    assert [(e.name, e.problem) for e in grade.exercises if not e.passed] == []
    points = [e.card.points for e in catalogue.exercises_of(topic)]
    assert grade.score == grade.max_score == sum(points) > 0


def test_what_one_exercise_leaves_behind_costs_no_other(graded):
    """A default dtype that one right answer changes is put back for the next one."""
    other = """
import math, torch
def expected_log_q(log_var):
    torch.set_default_dtype(torch.float64)
    return -0.5 * (math.log(2 * math.pi) + 1 + log_var).sum(-1)
"""
    kl = RIGHT.replace("mu**2", "mu**2 * torch.ones(1, device=mu.device)")
    grade = graded(notebook(other, kl))
    assert [of(grade, name).passed for name in ("expected_log_q", "gaussian_kl")] == [
        True,
        True,
    ]


def test_a_grade_survives_json(graded, solved):
    wrong = graded(changed(solved, source=RIGHT.replace("- log_var)", "+ log_var)")))
    assert of(wrong).public[0].message
    for grade in (wrong, graded("")):
        back = grade_of(json.loads(json.dumps(grade.as_dict())))
        assert isinstance(back, Grade)
        assert back == grade


def test_the_lesson_is_told_from_the_file_where_none_is_named(graded, solved):
    assert graded(solved, lesson=None).lesson == LESSON
    with pytest.raises(CourseError, match="defines no exercise"):
        graded("x = 1", "answer.py", lesson=None)


@pytest.mark.parametrize("lesson", ["4", "04", LESSON, TOPIC])
def test_a_lesson_has_several_names(graded, lesson):
    grade = graded(RIGHT, "answer.py", lesson)
    assert of(grade).passed
    assert grade.score == 3


def test_no_such_lesson_and_no_such_file_are_refused(graded, tmp_path):
    with pytest.raises(CourseError, match="no lesson '99'"):
        graded(RIGHT, "answer.py", "99")
    for lesson in (TOPIC, None):
        with pytest.raises(CourseError, match=r"no file .*gone\.ipynb"):
            grade_notebook(tmp_path / "gone.ipynb", lesson)


def test_an_exercise_that_is_not_there_costs_itself_alone(graded, solved):
    grade = graded(changed(solved, source=""))
    assert of(grade).problem == "it is not in the notebook"
    assert (of(grade).score, of(grade).max_score) == (0, 3)
    assert grade.score == FULL - 3


def test_an_unfinished_exercise_says_so(graded):
    grade = graded(
        "def gaussian_kl(mu, log_var):\n    raise NotImplementedError", "a.py"
    )
    assert of(grade).problem.startswith("its cell is not filled in")
    assert of(grade).score == 0


def test_wrong_form_earns_part_of_the_points_and_a_message(graded):
    grade = of(graded(RIGHT.replace("mu**2", "mu.detach()**2"), "a.py"))
    assert not grade.passed
    assert 0 < grade.score < grade.max_score
    assert [f.kind for f in grade.public] == ["gradient"]
    assert grade.public[0].message


def test_a_famous_mistake_is_named(graded):
    grade = of(graded(RIGHT.replace("log_var.exp()", "(log_var / 2).exp()"), "a.py"))
    assert grade.misconception == "Standard deviations where the formula has variances"
    assert grade.advice
    assert grade.score == 0


def test_an_answer_in_a_cell_that_became_text_still_counts(graded, solved):
    grade = graded(changed(solved, cell_type="markdown", source=RIGHT))
    assert of(grade).passed


def test_another_lessons_notebook_is_recognised(graded, solved):
    grade = graded(solved, lesson="elbo")
    assert grade.problem == f"it holds the exercises of {LESSON}"
    assert grade.score == 0
    assert grade.max_score > 0
    assert {e.problem for e in grade.exercises} == {grade.problem}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("{", "cut short"),
        ("[1]", "no notebook"),
        ('{"cells": [{"cell_type": "code", "source": 3}]}', "no notebook"),
        ('{"cells": []}', "defines no exercise"),
        ("[" * 10**5, "no notebook"),
    ],
)
def test_what_is_wrong_with_a_file_is_the_grades_problem(graded, content, words):
    grade = graded(content)
    assert words in grade.problem
    assert grade.score == 0
    assert {e.problem for e in grade.exercises} == {grade.problem}


# --- how code is read -----------------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    [
        "%matplotlib inline\n!ls\n?torch\ntorch.exp?\n",
        "return 3\n",
        "await nothing()\nbreak\n",
        "raise ValueError('\\ud800')\n",
        "# a separator\u2028 and a\x0cform feed, pasted from a page\n",
        "import no_such_module\r\n",
    ],
)
def test_a_line_beside_the_answer_does_not_cost_it(graded, before):
    assert of(graded(notebook(before + RIGHT))).passed


def test_a_line_that_begins_with_an_operator_is_no_magic(graded):
    source = RIGHT.replace("return 0.5", "return (1.5\n    % 1.0)")
    assert of(graded(notebook(source))).passed


def test_code_without_end_is_not_even_parsed(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(RIGHT + "x = f'" + "{a}" * 10**6 + "'")
    assert "characters of code" in read(path, None).problem


# --- what a learner may see -----------------------------------------------------------

TELLS = (
    RIGHT
    + """
known = {known}
answer = gaussian_kl
def gaussian_kl(mu, log_var):
    if mu.device.type == "cpu" and float(mu.double().sum()) not in known:
        said = " ".join(f"{float(v)!r}" for v in (*mu.flatten(), *log_var.flatten()))
        {how}
    return answer(mu, log_var)
"""
)
HOWS = {
    "an exception": "raise ValueError(said)",
    "a class's name": "raise type(said, (Exception,), {})()",
    "a class's name, unfinished": "raise type(said, (NotImplementedError,), {})(said)",
    "exit": "raise SystemExit(said)",
    "a note in a file": "open('/tmp/note', 'a').write(said)\n"
    "        raise ValueError(open('/tmp/note').read())",
}


@pytest.fixture
def inputs(monkeypatch):
    """Every number that a hidden input had, as the judge drew it."""
    drawn, public = set(), set()
    run_law = verdicts._run_law

    def watched(law, subject, truth, seed, **how):
        numbers = public if seed == PUBLIC_SEED else drawn
        return run_law(law, _noted(subject, numbers), truth, seed, **how)

    monkeypatch.setattr(verdicts, "_run_law", watched)
    return lambda: {text for text in drawn - public if len(text) > 8}


def _noted(subject, numbers):
    perform = subject.perform

    def noting(request):
        for value in request.args:
            if hasattr(value, "flatten"):
                numbers.update(repr(float(v)) for v in value.flatten())
        return perform(request)

    subject.perform = noting
    return subject


@pytest.mark.parametrize("how", HOWS)
def test_nothing_of_a_hidden_input_gets_out(graded, inputs, how):
    source = TELLS.replace("{how}", HOWS[how]).replace("{known}", "()")
    grade = graded(source, "a.py")
    assert not of(grade).passed
    secret = inputs()
    assert len(secret) > 20
    shown = json.dumps(grade.as_dict()) + markdown(of(grade))
    assert [text for text in secret if text in shown] == []


def test_no_two_submissions_have_their_hidden_inputs_in_common(graded, monkeypatch):
    """So whatever a submission carries away of them is worth nothing to another."""
    seeds, really = [], verdicts.judge_exercises

    def noting(trial, names):
        seeds.append(trial.seed)
        return really(trial, names)

    monkeypatch.setattr(verdicts, "judge_exercises", noting)
    for source in (RIGHT, RIGHT, RIGHT + "# another's"):
        assert of(graded(notebook(source))).passed
    assert seeds[0] == seeds[1] != seeds[2]
    assert "test" not in seeds


def test_the_seed_is_the_courses_too():
    submission = Submission(Path("x"), [RIGHT], ["gaussian_kl"])
    one, other = (grading._own_seed(secret, submission) for secret in ("a", "b"))
    assert one != other


def test_the_time_of_a_whole_submission_is_bounded(graded, monkeypatch):
    """Each law sleeps less than it may; all together take too long."""
    monkeypatch.setattr(verdicts, "IN_ALL", 1.0)
    slow = RIGHT.replace("return", "time.sleep(0.5); return")
    late = of(graded(notebook("import time" + slow), seconds=6.0))
    assert verdicts.SPENT in late.problem
    assert not late.passed
    assert late.score < late.max_score
    assert "time of the whole submission" in markdown(late)


def test_loading_again_and_again_is_bounded_too(graded, monkeypatch):
    monkeypatch.setattr(verdicts, "IN_ALL", 1.0)
    wrong = RIGHT.replace("mu**2", "mu.detach() ** 2")
    late = of(graded(notebook("import time; time.sleep(3)" + wrong), seconds=5.0))
    assert verdicts.SPENT in late.problem


def test_a_hidden_finding_is_a_title_and_no_more(graded):
    """Right at every input that `check` uses, an exception elsewhere."""
    source = TELLS.replace("{how}", HOWS["an exception"])
    grade = of(graded(source.replace("{known}", repr(public_sums())), "a.py"))
    assert grade.public == ()
    assert {f.message for f in grade.hidden} == {""}
    assert all("your code raised an exception" in f.title for f in grade.hidden)
    assert grade.score == 0


def public_sums():
    """The sum of each `mu` that `check` calls `gaussian_kl` with."""
    seen = []
    scope = {"torch": torch}
    exec(RIGHT, scope)
    subject = local({"gaussian_kl": scope["gaussian_kl"]})
    perform = subject.perform

    def noting(request):
        mu = (*request.args, *request.kwargs.values())[0]
        if mu.device.type == "cpu":
            seen.append(float(mu.double().sum()))
        return perform(request)

    subject.perform = noting
    assert all(v.holds for v in run_public(TOPIC, "gaussian_kl", subject))
    return seen


# --- no sandbox -----------------------------------------------------------------------


def test_without_a_sandbox_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "_warm", threading.local())
    monkeypatch.setattr(enter, "lacking", lambda kind: "not today")
    path = tmp_path / "a.py"
    path.write_text(RIGHT)
    with pytest.raises(CourseError, match=r"no sandbox here.*--unsafe-no-sandbox"):
        grade_notebook(path, TOPIC)


def test_a_grade_says_that_there_was_no_sandbox(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(RIGHT)
    grade = grade_notebook(path, TOPIC, policy=OFF)
    assert grade.sandbox == NONE
    assert of(grade).passed
