"""What is handed in is what was checked: each way to answer, on both tiers.

A notebook is run as a learner runs it, and as nbgrader does; what its check says is
compared with the grade.
"""

from __future__ import annotations

import json
import sys
import types

import pytest

from tests.package.test_grade import notebook, of
from vae_edu import work as work_module
from vae_edu.feedback import CheckFailed
from vae_edu.grading import grade_notebook
from vae_edu.grading.nbgrader import from_cells
from vae_edu.grading.office import report
from vae_edu.grading.office.batch import _note
from vae_edu.grading.wall.kinds import PREFER
from vae_edu.work import remember_lines, work_file

TOPIC = "kl_divergence"
SETUP = "import torch\nfrom vae_edu import check, exercise\n"
HEAD = "@exercise\ndef gaussian_kl(mu, log_var):\n"
STUB = HEAD + "    # YOUR CODE HERE\n    raise NotImplementedError('replace this')\n"
RIGHT = HEAD + "    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)\n"
WRONG = RIGHT.replace("- log_var", "+ log_var")
HELPED = RIGHT.replace("0.5", "half()")
HALF = "def half():\n    return 0.5\n"


def given(source, tag="experiment"):
    """A cell of the lesson, altered."""
    return {"cell_type": "code", "metadata": {"tags": [tag]}, "source": source}


def answer(source, grade_id="gaussian_kl"):
    marks = {"grade": False, "grade_id": grade_id, "solution": True, "locked": False}
    cell = {"cell_type": "code", "metadata": {"nbgrader": marks}, "source": source}
    return cell


CHECK = {
    "cell_type": "code",
    "metadata": {
        "nbgrader": {"grade": True, "grade_id": "test_gaussian_kl", "solution": False}
    },
    "source": "check(gaussian_kl)",
}
TRAINING = "for i in range(3):\n    half = open('/proc/training')\n"

# what the learner did, and whether the last check of the notebook says right
WAYS = {
    "the cell": ([answer(RIGHT), CHECK], True),
    "the cell, wrong": ([answer(WRONG), CHECK], False),
    "a stub": ([answer(STUB), CHECK], False),
    "a cell of one's own": ([answer(STUB), RIGHT, CHECK], True),
    "the stub copied below": ([answer(RIGHT), STUB, CHECK], True),
    "the answer copied below": ([answer(WRONG), RIGHT, CHECK], True),
    "a wrong copy below": ([answer(RIGHT), WRONG, CHECK], False),
    "a copy below the check": ([answer(RIGHT), CHECK, WRONG], True),
    "a copy below, checked": (
        [answer(RIGHT), CHECK, WRONG, "check(gaussian_kl)"],
        False,
    ),
    "a name used again": ([HALF, answer(HELPED), CHECK, "half = 0"], True),
    "a name used again, in a loop": (
        [HALF, answer(HELPED), CHECK, "for half in range(3):\n    pass"],
        True,
    ),
    "a helper mended and checked": (
        [HALF.replace("0.5", "0.4"), answer(HELPED), CHECK, HALF, "check(gaussian_kl)"],
        True,
    ),
    "a module's name used again": (
        [
            answer(RIGHT.replace("log_var.exp()", "torch.exp(log_var)")),
            CHECK,
            "torch = 0",
        ],
        True,
    ),
    "a value in the answer's place": (
        [answer(RIGHT), CHECK, "gaussian_kl = gaussian_kl(*torch.ones(2, 3))"],
        True,
    ),
    "a name deleted": ([HALF, answer(HELPED), CHECK, "del half, gaussian_kl"], True),
    "a helper in a given cell": ([given(HALF), answer(HELPED), CHECK], True),
    "a constant in a given cell": (
        [given("X = 1\nhalf = lambda: X / 2\nprint(X)"), answer(HELPED), CHECK],
        True,
    ),
    "a helper of another tag": ([given(HALF, "data"), answer(HELPED), CHECK], True),
    "the answer in a given cell": ([answer(STUB), given(RIGHT), CHECK], True),
    "a given name used again": (
        [given(HALF), answer(HELPED), CHECK, given("half = 0")],
        True,
    ),
    "imported back from work": (
        [answer(RIGHT), f"from vae_edu.exercises.{TOPIC} import gaussian_kl", CHECK],
        True,
    ),
}


def book_of(cells):
    book = notebook(SETUP)
    for cell in cells:
        book["cells"] += notebook(cell)["cells"] if isinstance(cell, str) else [cell]
    return book


def run(book, monkeypatch):
    """Whether the last check of `gaussian_kl` says right, from top to bottom."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    said = None
    for i, cell in enumerate(book["cells"]):
        name = f"<cell {i}>"
        remember_lines(name, cell["source"])
        try:
            exec(compile(cell["source"], name, "exec"), module.__dict__)
        except (CheckFailed, NotImplementedError, NameError):
            said = False
        else:
            said = True if cell["source"] == "check(gaussian_kl)" else said
    return said


@pytest.fixture
def graded(tmp_path):
    """Grade a notebook for its lesson."""

    def grade(book, topic=TOPIC):
        path = tmp_path / "a.ipynb"
        path.write_text(json.dumps(book))
        policy = PREFER
        return grade_notebook(path, topic, seed="test", seconds=30.0, policy=policy)

    return grade


@pytest.mark.parametrize("way", WAYS)
def test_the_grade_is_what_the_check_said(way, graded, work, monkeypatch):
    cells, right = WAYS[way]
    book = book_of(cells)
    assert run(book, monkeypatch) == right
    assert of(graded(book)).passed == right


@pytest.mark.parametrize("way", WAYS)
def test_a_plain_hub_says_the_same(way, work, monkeypatch):
    cells, right = WAYS[way]
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    monkeypatch.setattr(work_module, "_held_here", {})
    assert run(book_of(cells), monkeypatch) == right


def test_each_answer_finds_the_names_of_its_own_check(graded):
    other = "def half():\n    return -0.5\n"
    log_q = "import math\n@exercise\ndef expected_log_q(log_var):\n"
    log_q += "    return half() * (math.log(2 * math.pi) + 1 + log_var).sum(-1)\n"
    cells = [HALF, answer(HELPED), CHECK, other, log_q, "check(expected_log_q)"]
    grade = graded(book_of([*cells, "half = None"]))
    assert of(grade).passed
    assert of(grade, "expected_log_q").passed


ENCODER = """
@exercise
class Encoder(torch.nn.Module):
    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.hidden = linear(input_dim, hidden_dim)
        self.both = linear(hidden_dim, 2 * latent_dim)

    def forward(self, x):
        return bend(self.both(bend(self.hidden(x), True)), False).chunk(2, -1)
"""
NAMES = """
linear = torch.nn.Linear
def bend(h, really):
    return torch.relu(h) if really else h
"""


def test_the_methods_of_a_module_find_them_too(graded):
    cells = [NAMES, ENCODER, "check(Encoder)", "linear = bend = torch = None"]
    grade = graded(book_of(cells), "building_the_vae")
    assert of(grade, "Encoder").passed, of(grade, "Encoder")


# --- the file in work/ ----------------------------------------------------------------


def test_a_file_in_work_is_not_handed_in_and_that_is_said(graded, work, monkeypatch):
    work_file(TOPIC).write_text(RIGHT.replace("@exercise\n", ""))
    book = book_of([answer(STUB), CHECK])
    assert run(book, monkeypatch)
    grade = graded(book)
    assert of(grade).score == 0
    assert "not filled in" in report.markdown(of(grade))
    assert "work/" in of(grade).problem
    assert "not filled in: gaussian_kl" in _note(grade)


# --- what cannot be graded as it was checked ------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ["%%writefile helpers.py\n" + HALF, "from helpers import half", answer(HELPED)],
        ["from helpers import half", answer(HELPED)],
        ["from helpers import *", answer(HELPED)],
        [answer(RIGHT.replace("    return", "    import helpers\n    return"))],
        [given("from helpers import half"), answer(HELPED)],
    ],
)
def test_what_lies_beside_the_notebook_is_named(graded, cells):
    grade = graded(book_of([*cells, CHECK]))
    assert of(grade).problem.startswith("No module named 'helpers'")
    assert "No module named 'helpers'" in _note(grade)
    words = report.markdown(of(grade))
    assert "the notebook alone" in words
    assert "as `check` says" not in words


def test_what_stops_is_not_said_to_stop_in_check_as_well(graded):
    grade = graded(book_of([answer(RIGHT.replace("mu**2", "mu @ 'a'")), CHECK]))
    assert "as `check` says too" not in report.markdown(of(grade))
    assert "TypeError" in report.markdown(of(grade))


def test_an_answer_that_waits_for_another_names_that_one(graded):
    other = (
        "@exercise\ndef expected_log_q(log_var):\n    raise NotImplementedError('x')\n"
    )
    waits = HEAD + "    return expected_log_q(log_var)\n"
    grade = graded(book_of([other, answer(waits), CHECK]))
    assert of(grade).problem == "it uses expected_log_q, which is not filled in"


# --- given cells ----------------------------------------------------------------------


def test_of_a_given_cell_no_more_is_run_than_an_answer_needs():
    demonstration = f"import math\n{HALF}x = half()\nplot(x)\n"
    book = book_of([given(demonstration), answer(HELPED), CHECK])
    assert from_cells(book["cells"], TOPIC).pieces[1] == f"import math\n{HALF.strip()}"
    local = RIGHT.replace("    return", "    x = mu\n    return")
    book = book_of([given(demonstration), answer(local), CHECK])
    assert from_cells(book["cells"], TOPIC).pieces[1] == "import math"


def test_a_check_that_nbgrader_puts_back_changes_no_piece():
    whole = book_of([answer(RIGHT), CHECK, "half = 0"])
    removed = book_of([answer(RIGHT), "half = 0"])
    pieces = [from_cells(b["cells"], TOPIC).pieces for b in (whole, removed)]
    assert pieces[0] == pieces[1]
