"""`work/` is what was checked: the saved file, loaded afresh, does what the notebook's
object does, or the learner is told at once.

What belongs here: helpers, constants, classes and imports on their way from cells to
the file, and back. What does not: `@exercise`'s own manners (test_work).
"""

from __future__ import annotations
import __future__

import ast
import json
import os
import subprocess
import sys
import types
from contextlib import suppress
from importlib import import_module

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_edu import work
from vae_edu.errors import CourseError
from vae_edu.feedback import judge
from vae_edu.learner import fill
from vae_edu.paths import course_root

SETUP = """import math
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vae_edu import check, exercise
"""
HEAD = "@exercise\ndef gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:\n"
RIGHT = "0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)"
MU, LOG_VAR = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, -0.5]])
TRUE = 0.5 * (MU**2 + LOG_VAR.exp() - 1 - LOG_VAR).sum(-1)


def answer(expression: str, name: str = "gaussian_kl") -> str:
    """A cell with an answer that returns an expression of mu and log_var."""
    return f"{HEAD.replace('gaussian_kl', name)}    return {expression}\n"


UNFILLED = f"{HEAD}    # YOUR CODE HERE\n    raise NotImplementedError('fill in')\n"


class Notebook:
    """A kernel and its history: cells run as IPython does, a statement at a time."""

    def __init__(self, *cells: str, flags: int = 0) -> None:
        self.flags = flags
        self.history_manager = types.SimpleNamespace(input_hist_parsed=[""])
        self.module = types.ModuleType("__main__")
        self.names = self.module.__dict__
        self.names["get_ipython"] = lambda: self
        for cell in (SETUP, *cells):
            self.run(cell)

    def run(self, cell: str) -> None:
        self.history_manager.input_hist_parsed.append(cell)
        name = f"<cell {len(self.history_manager.input_hist_parsed)}>"
        work.remember_lines(name, cell)
        before, sys.modules["__main__"] = sys.modules["__main__"], self.module
        try:
            for node in ast.parse(cell).body:
                module = ast.Module([node], [])
                code = compile(module, name, "exec", self.flags, dont_inherit=True)
                exec(code, self.names)
        finally:
            sys.modules["__main__"] = before

    def note(self, name: str = "gaussian_kl") -> str:
        """What `check` adds to its verdict, having saved what the notebook holds."""
        return work.note(name, self.names[name])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty work/, and exercise modules that have not been imported yet."""
    monkeypatch.setenv("VAE_EDU_WORK", str(tmp_path / "work"))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    forget()
    yield tmp_path / "work"
    forget()


def forget() -> None:
    """What a kernel restart forgets."""
    work.set_aside.clear()
    for name in [n for n in sys.modules if n.startswith("vae_edu.exercises.")]:
        del sys.modules[name]


def loaded(name: str = "gaussian_kl", topic: str = "kl_divergence"):
    """The saved answer, as a new kernel finds it."""
    forget()
    return getattr(import_module(f"vae_edu.exercises.{topic}"), name)


def outcome(function):
    """What a call gives, or how it fails."""
    try:
        return function(MU, LOG_VAR).tolist()
    except Exception as error:
        return type(error).__name__


def agree(book: Notebook, name: str = "gaussian_kl") -> bool:
    return outcome(book.names[name]) == outcome(loaded(name))


# --- what comes along -----------------------------------------------------------------

KINDS = {
    "lambda": ("square = lambda x: x**2", "0.5 * square(mu).sum(-1)"),
    "partial": (
        "from functools import partial\nscaled = partial(torch.mul, 2.0)",
        "scaled(mu).sum(-1)",
    ),
    "lru_cache": (
        "from functools import lru_cache\n@lru_cache\ndef half():\n    return 0.5",
        "half() * mu.sum(-1)",
    ),
    "a decorator of one's own": (
        "def doubled(f):\n    def inner(x):\n        return 2 * f(x)\n    return inner",
        "@doubled\ndef helper(x):\n    return x + 1",
        "helper(mu).sum(-1)",
    ),
    "a closure": (
        "def times(k):\n    def inner(x):\n        return k * x\n    return inner",
        "triple = times(3.0)",
        "triple(mu).sum(-1)",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass Pair:\n    a: float\n"
        "    b: float = 2.0",
        "Pair(1.5).a * Pair(1.0).b * mu.sum(-1)",
    ),
    "NamedTuple": (
        "from typing import NamedTuple\nclass Pair(NamedTuple):\n    a: float\n"
        "    b: float = 2.0",
        "Pair(1.5).b * mu.sum(-1)",
    ),
    "namedtuple": (
        "from collections import namedtuple\nPair = namedtuple('Pair', 'a b')\n"
        "PAIR = Pair(1.0, 2.0)",
        "PAIR.b * mu.sum(-1)",
    ),
    "a base class": (
        "class Base(nn.Module):\n    scale = 2.0\n    def __init__(self):\n"
        "        super().__init__()",
        "class Own(Base):\n    def forward(self, x):\n        return self.scale * x",
        "Own()(mu).sum(-1)",
    ),
    "a tensor in a class": (
        "class Own:\n    w = torch.ones(2)",
        "(Own.w * mu).sum(-1)",
    ),
    "a class within a function": (
        "def helper(x):\n    class Inner:\n        k = 2.0\n    return Inner.k * x",
        "helper(mu).sum(-1)",
    ),
    "a loop too long for a short jump": (
        "def helper(x):\n    for k in range(3):\n        if k != 1:\n"
        + "            x = x + torch.relu(torch.sin(x)) * torch.cos(x)\n" * 12
        + "    return x",
        "helper(mu).sum(-1)",
    ),
    "a class attribute set later": (
        "class Own:\n    scale = 2.0",
        "Own.scale = 3.0",
        "Own.scale * mu.sum(-1)",
    ),
    "mutual recursion": (
        "def even(n):\n    return True if n == 0 else odd(n - 1)",
        "def odd(n):\n    return False if n == 0 else even(n - 1)",
        "(mu if even(4) else -mu).sum(-1)",
    ),
    "a tensor": ("HALF = torch.tensor(0.5)", "HALF * mu.sum(-1)"),
    "a tensor set in part": (
        "W = torch.zeros(2)\nW[0] = 3.0",
        "(W.to(mu) * mu).sum(-1)",
    ),
    "a default": (
        "K = 3.0\ndef helper(x, k=K, *, more=(1, 2)):\n    return k * x + more[1]",
        "helper(mu).sum(-1) * K",
    ),
    "infinity": ("TOP = math.inf\nLOW = -TOP", "mu.clamp(LOW, TOP).sum(-1)"),
    "a sum over a loop": ("N = 0\nfor i in range(4):\n    N += i", "N * mu.sum(-1)"),
    "two at once": ("A, B = 2.0, 3.0", "A * mu.sum(-1) + B"),
    "on one line": ("A = 2.0; B = 3.0", "A * mu.sum(-1) + B"),
    "an import under another name": (
        "from torch import where as pick",
        "pick(mu > 1, mu, -mu).sum(-1)",
    ),
    "a star": ("from math import *", "sqrt(2.0) * pi * mu.sum(-1)"),
    "math shadowed": ("math = None", "mu.sum(-1) if math is None else -mu.sum(-1)"),
    "a builtin shadowed": ("def sum(x):\n    return x.mean()", "sum(mu) + 0 * mu"),
    "redefined": (
        "def helper(x):\n    return x",
        "def helper(x):\n    return 2 * x",
        "helper(mu).sum(-1)",
    ),
    "an alias of an old version": (
        "K = 2.0\nTWICE = 2 * K",
        "K = 5.0",
        "K * TWICE * mu.sum(-1)",
    ),
    "a factory of a helper": (
        "def make():\n    return lambda x: SCALE * x\nSCALE = 2.0\nhelper = make()",
        "helper(mu).sum(-1)",
    ),
    "a comment": ("K = 2.0  # as in the paper: K = 3", "K * mu.sum(-1)"),
    "a text over lines": ('S = """a\n  b\n"""', "len(S) * mu.sum(-1)"),
}


@pytest.mark.parametrize("cells", KINDS.values(), ids=KINDS)
def test_what_an_answer_uses_comes_along(folder, cells, capsys):
    book = Notebook(*cells[:-1], answer(cells[-1]))
    assert capsys.readouterr().out == ""
    assert book.note() == ""
    expected = outcome(book.names["gaussian_kl"])
    assert isinstance(expected, list), expected
    assert outcome(loaded()) == expected


@pytest.mark.parametrize("cells", [KINDS["a base class"], KINDS["dataclass"]])
def test_a_fresh_process_finds_the_same(folder, cells):
    book = Notebook(*cells[:-1], answer(cells[-1]))
    code = (
        "import torch\nfrom vae_edu.exercises.kl_divergence import gaussian_kl\n"
        f"print(gaussian_kl(torch.tensor({MU.tolist()}), torch.zeros(1, 2)).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=course_root(), capture_output=True, text=True
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == outcome(book.names["gaussian_kl"])


def test_a_cell_below_time_is_read(folder):
    body = f"K = 2.0\n{answer('K * mu.sum(-1)')}"
    book = Notebook()
    magic = f"get_ipython().run_cell_magic('time', '', {body!r})"
    book.history_manager.input_hist_parsed.append(magic)
    exec(compile(body, "<timed exec>", "exec", dont_inherit=True), book.names)
    assert agree(book)
    assert "K = 2.0" in (folder / "kl_divergence.py").read_text()


WITHOUT_HISTORY = """import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
sys.modules["__main__"] = shell.user_module
for cell in {cells!r}:
    shell.run_cell(cell, store_history=False).raise_error()
"""


def test_a_kernel_that_is_told_to_keep_no_history_saves_all_the_same(folder, tmp_path):
    cells = [SETUP, "HALF = 0.5", answer(RIGHT.replace("0.5", "HALF"))]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HISTORY.format(cells=cells)],
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
        cwd=course_root(),
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert "HALF = 0.5" in (folder / "kl_divergence.py").read_text()
    assert outcome(loaded()) == TRUE.tolist()


def test_annotations_that_are_not_looked_up_come_along(folder, capsys):
    future = "from __future__ import annotations"
    flags = __future__.annotations.compiler_flag
    cell = f"{HEAD}    def inner(x: Nowhere):\n        return 2 * x\n".replace(
        "log_var: Tensor", "log_var: Nowhere"
    )
    book = Notebook(future, f"{cell}    return inner(mu).sum(-1)\n", flags=flags)
    assert capsys.readouterr().out == ""
    assert book.note() == ""
    assert agree(book)


def test_a_script_saves_its_answer(folder, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(f"{SETUP}K = 2.0\n{answer('K * F.relu(mu).sum(-1)')}K = 3.0\n")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert loaded()(MU, LOG_VAR).item() == 6.0  # as it was where it was saved


# --- what was mended afterwards -------------------------------------------------------


def test_a_mended_helper_reaches_the_file_with_the_next_check(folder):
    book = Notebook("def excess(x):\n    return x", answer("excess(mu).sum(-1)"))
    book.run("def excess(x):\n    return 2 * x")
    assert not agree(book)
    assert book.note() == ""
    assert agree(book)
    assert len([*(folder / "backup").iterdir()]) == 1


def test_a_mended_constant_takes_the_old_ones_place(folder):
    book = Notebook("HALF = 0.25", answer("HALF * mu.sum(-1)"))
    book.run("HALF = 0.5")
    book.run(answer("HALF * mu.sum(-1)"))
    assert agree(book)
    assert (folder / "kl_divergence.py").read_text().count("HALF =") == 1


def test_a_base_class_that_comes_later_stands_above_its_user(folder):
    plain = "class Own({}):\n    def __call__(self, x):\n        return 2 * x"
    book = Notebook(plain.format("object"), answer("Own()(mu).sum(-1)"))
    book.run("class Base:\n    pass")
    book.run(plain.format("Base"))
    assert book.note() == ""
    assert agree(book)
    text = (folder / "kl_divergence.py").read_text()
    assert text.index("class Base") < text.index("class Own")


def test_a_helper_that_was_not_there_yet_comes_with_the_check(folder):
    book = Notebook(answer("excess(mu).sum(-1)"))
    book.run("def excess(x):\n    return 2 * x")
    assert book.note() == ""
    assert agree(book)


def test_what_nothing_uses_any_more_goes(folder):
    book = Notebook("def excess(x):\n    return x", answer("excess(mu).sum(-1)"))
    book.run("def surplus(x):\n    return 2 * x")
    book.run(answer("surplus(mu).sum(-1)"))
    assert agree(book)
    assert "excess" not in (folder / "kl_divergence.py").read_text()


def test_a_helper_that_hid_a_builtin_goes_with_it(folder):
    Notebook("def abs(x):\n    return 0 * x", answer("abs(mu).sum(-1)"))
    book = Notebook(answer("abs(mu).sum(-1)"))
    assert book.note() == ""
    assert agree(book)


def test_a_helper_that_another_answer_uses_is_told(folder, capsys):
    other = (
        "@exercise\ndef expected_log_q(log_var):\n    return excess(log_var).sum(-1)"
    )
    book = Notebook(
        "def excess(x):\n    return x",
        other,
        "def excess(x):\n    return 2 * x",
        answer("excess(mu).sum(-1)"),
    )
    said = capsys.readouterr().out
    assert "excess has changed for expected_log_q too" in said
    assert "check(expected_log_q) again" in said
    assert agree(book)
    assert torch.equal(loaded("expected_log_q")(LOG_VAR), 2 * LOG_VAR.sum(-1))
    assert book.note("expected_log_q") == ""


def test_an_answer_that_uses_an_unfilled_one_waits_for_it(folder):
    book = Notebook(answer("expected_log_q(log_var)"))
    book.run(
        "from vae_edu.exercises.kl_divergence import expected_log_q\n"
        + answer("expected_log_q(log_var)")
    )
    with pytest.raises(NotImplementedError, match=r"Exercise 4\.1"):
        loaded()(MU, LOG_VAR)


def test_decorators_of_an_answer_come_along(folder):
    cell = answer("mu.sum(-1)").replace("@exercise\n", "@exercise\n@torch.no_grad()\n")
    book = Notebook(cell)
    assert agree(book)
    mu = MU.clone().requires_grad_()
    assert not loaded()(mu, LOG_VAR).requires_grad


# --- what is told ---------------------------------------------------------------------

TOLD = {
    "random": ("NOISE = torch.randn(2)", "NOISE * mu", "NOISE, a Tensor"),
    "in a loop": ("for W in [torch.ones(2)]:\n    pass", "W * mu", "W, a Tensor"),
    "a call of one's own": (
        "def train():\n    return torch.ones(2)\nW = train()",
        "W * mu",
        "W = train()",
    ),
    "read from a file": (
        "import io\nb = io.BytesIO()\ntorch.save(torch.ones(2), b)\n_ = b.seek(0)\n"
        "W = torch.load(b)",
        "W * mu",
        "W = torch.load(b)",
    ),
    "set by a program": (
        "globals()['K'] = 2.0",
        "K * mu",
        "K, a float that only this notebook knows, is set by no line",
    ),
    "made from an older version": (
        "def f(x):\n    return x\ng = f\ndef f(x):\n    return 2 * x",
        "f(g(mu))",
        "g",
    ),
    "a default of an older version": (
        "K = 3.0\ndef helper(x, k=K):\n    return k * x\nK = 4.0",
        "K * helper(mu)",
        "does not give helper as this notebook holds it",
    ),
    "a magic line": (
        "",
        "get_ipython() and mu",
        "A line with % or ! works in a notebook only",
    ),
}


@pytest.mark.parametrize(("cell", "used", "words"), TOLD.values(), ids=TOLD)
def test_what_cannot_come_along_is_named_and_not_saved(
    folder, capsys, cell, used, words
):
    book = Notebook(cell, answer(f"({used}).sum(-1)"))
    said = capsys.readouterr().out
    assert "gaussian_kl was not saved to work/kl_divergence.py" in said
    assert words in said
    assert words in str(judge(book.names["gaussian_kl"]))
    assert not (folder / "kl_divergence.py").exists()


@pytest.mark.parametrize(
    ("line", "use"),
    [
        ("from helpers_of_mine import half", "half()"),
        ("from helpers_of_mine import HALF", "HALF"),
        ("from helpers_of_mine import *", "half()"),
        ("import helpers_of_mine as h", "h.half()"),
    ],
)
def test_a_module_beside_the_notebook_is_not_handed_in(
    folder, tmp_path, monkeypatch, capsys, line, use
):
    text = "HALF = 0.5\ndef half():\n    return 0.5\n"
    (tmp_path / "helpers_of_mine.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "helpers_of_mine", raising=False)
    book = Notebook(line, answer(RIGHT.replace("0.5", use)))
    words = "comes from helpers_of_mine.py, which is not handed in"
    assert words in capsys.readouterr().out
    feedback = judge(book.names["gaussian_kl"])
    assert feedback.passed
    assert words in feedback.note
    assert "put it into a cell" in feedback.note


def test_what_is_drawn_for_the_proof_leaves_the_notebooks_draws_alone(folder):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Notebook(f"W = torch.randn(2)\nstate = {0}", answer("(W * mu).sum(-1)"))
    torch.manual_seed(3)
    book = Notebook("W = torch.ones(2)", answer("(W * mu).sum(-1)"))
    book.note()
    assert torch.equal(torch.rand(2), expected)


def test_a_helper_that_the_notebook_lost_is_told(folder):
    Notebook("def excess(x):\n    return x", answer("excess(mu).sum(-1)"))
    book = Notebook(answer("excess(mu).sum(-1)"))
    assert "does not define excess now" in book.note()


def test_an_answer_without_its_decorator_is_saved_by_its_check(folder):
    book = Notebook("from vae_edu.exercises.kl_divergence import gaussian_kl")
    book.run(answer("2 * mu.sum(-1)").replace("@exercise\n", ""))
    assert book.note() == ""
    assert agree(book)


# --- edits by hand --------------------------------------------------------------------


def test_a_helper_edited_by_hand_wins_over_an_unchanged_notebook(folder, capsys):
    cells = ("def excess(x):\n    return x", answer("excess(mu).sum(-1)"))
    Notebook(*cells)
    path = folder / "kl_divergence.py"
    path.write_text(path.read_text().replace("return x", "return 3 * x"))
    edited = path.read_text()
    forget()
    book = Notebook(*cells)
    assert "was edited since" in capsys.readouterr().out
    assert outcome(book.names["gaussian_kl"]) == [9.0]
    assert path.read_text() == edited


def test_an_edit_by_hand_that_a_changed_cell_replaces_is_told(folder, capsys):
    book = Notebook("def excess(x):\n    return x", answer("excess(mu).sum(-1)"))
    path = folder / "kl_divergence.py"
    path.write_text(path.read_text().replace("return x", "return 3 * x"))
    edited = path.read_text()
    book.run(answer("2 * excess(mu).sum(-1)"))
    assert "excess had been edited in work/kl_divergence.py" in capsys.readouterr().out
    assert agree(book)
    assert edited in [p.read_text() for p in (folder / "backup").iterdir()]


def test_a_folder_that_cannot_be_written_is_told(folder, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    book = Notebook(answer("mu.sum(-1)"))
    assert "was not saved" in capsys.readouterr().out
    assert "No space left on device" in book.note()


def test_edits_elsewhere_in_the_file_survive(folder):
    cells = ["K = 2.0", "def excess(x):\n    return K * x"]
    book = Notebook(*cells, answer("excess(mu).sum(-1)"))
    path = folder / "kl_divergence.py"
    text = path.read_text().replace("def excess", "# mine\nE = 1; G = 2\ndef excess")
    path.write_text(f"{text}\n\ndef own():  # of mine\n    return E + G\n\n# the end\n")
    book.run("def excess(x):\n    return K - x\nK = 5.0")
    book.run(answer("2 * excess(mu).sum(-1)"))
    text = path.read_text()
    for kept in ("# mine\nE = 1; G = 2\n", "def own():  # of mine\n", "\n# the end\n"):
        assert kept in text
    assert agree(book)


def test_a_file_in_disorder_is_put_in_order(folder):
    book = Notebook("class Base:\n    k = 2.0", answer("Own.k * mu.sum(-1)"))
    (folder / "kl_divergence.py").write_text(
        "class Own(Base):\n    pass\n\n\n# a note\nclass Base:\n    k = 1.0\n"
    )
    book.run("class Own(Base):\n    pass")
    assert book.note() == ""
    assert agree(book)
    assert "# a note\n" in (folder / "kl_divergence.py").read_text()


OLD_OWN = """def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    kl = HALF * (mu**2 + excess(log_var))
    return kl.sum(-1)
"""
OLD_FILE = (
    '"""Your answers to lesson 04_kl_divergence. Saved from the notebook; '
    "edit them here if you like.\n\nThis file is what every later lesson uses. "
    'Earlier versions are kept in work/backup.\n"""\n\nHALF = 0.5\n\nHALF = 0.25\n'
    "from torch import Tensor\n\n\ndef excess(log_var):\n"
    f"    return log_var.exp() - 1 - log_var\n\n\n{OLD_OWN}"
)
OLD_CELLS = (
    "HALF = 0.5\ndef excess(log_var):\n    return log_var.exp() - 1 - log_var",
    f"@exercise\n{OLD_OWN}",
)


def old_folder(folder) -> None:
    """As the version before left it where HALF was mended: the old one wins."""
    folder.mkdir()
    (folder / "kl_divergence.py").write_text(OLD_FILE)
    state = {"saved": {"kl_divergence": {"gaussian_kl": OLD_OWN}}}
    (folder / ".state.json").write_text(json.dumps(state))


def test_a_folder_of_the_version_before_goes_on_working(folder):
    old_folder(folder)
    assert torch.equal(loaded()(MU, LOG_VAR), 0.5 * TRUE)
    book = Notebook(*OLD_CELLS)
    assert agree(book)
    assert torch.equal(loaded()(MU, LOG_VAR), TRUE)
    assert [p.read_text() for p in (folder / "backup").iterdir()] == [OLD_FILE]


def test_an_edit_by_hand_in_an_old_folder_is_still_seen(folder):
    old_folder(folder)
    path = folder / "kl_divergence.py"
    path.write_text(OLD_FILE.replace("kl = HALF *", "kl = 4 *"))
    edited = path.read_text()
    book = Notebook(*OLD_CELLS)
    assert path.read_text() == edited
    assert book.names["gaussian_kl"].__module__ == "vae_edu_work.kl_divergence"


# --- notebooks edited at random -------------------------------------------------------

HELPERS = {
    "scale": ("scale = {k}.0", "scale * {x}"),
    "twice": ("def twice(x):\n    return {k} * x", "twice({x})"),
    "shift": ("shift = lambda x: x + {k}", "shift({x})"),
    "both": ("def both(x):\n    return {k} * twice(x)", "both({x})"),
    "Base": (
        "class Base:\n    k = {k}\n    def go(self, x):\n        return self.k * x",
        "Base().go({x})",
    ),
    "Own": (
        "class Own(Base):\n    def go(self, x):\n        return {k} + super().go(x)",
        "Own().go({x})",
    ),
    "table": ("table = torch.tensor([{k}.0, 1.0])", "table * {x}"),
    "made": ("made = functools.partial(torch.add, {k})", "made({x})"),
    "abs": ("def abs(x):\n    return {k} * x", "abs({x})"),
}
NAMES = st.sampled_from(sorted(HELPERS))
NUMBERS = st.integers(1, 9)
EDITS = st.one_of(
    st.tuples(st.just("define"), NAMES, NUMBERS),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("answer"), st.lists(NAMES, max_size=3)),
    st.tuples(st.just("check")),
    st.tuples(st.just("restart"), st.permutations(sorted(HELPERS))),
    st.tuples(st.just("by hand"), NUMBERS),
)


class Learner:
    """Edits a notebook, runs what was edited, and checks."""

    def __init__(self, folder) -> None:
        self.folder, self.cells = folder, {}
        self.own = answer("mu.sum(-1)")
        self.book = Notebook("import functools", self.own)

    def define(self, name, k) -> None:
        self.cells[name] = HELPERS[name][0].format(k=k)
        self.run(self.cells[name])

    def delete(self, name) -> None:
        self.cells.pop(name, None)
        self.book.names.pop(name, None)

    def answer(self, used) -> None:
        expression = "mu"
        for name in used:
            expression = HELPERS[name][1].format(x=f"({expression})")
        self.own = answer(f"({expression}).sum(-1)")
        self.run(self.own)

    def run(self, cell) -> None:
        with suppress(NameError):  # of a base class that is gone
            self.book.run(cell)

    def restart(self, order) -> None:
        """From top to bottom, the helpers in another order."""
        forget()
        self.book = Notebook("import functools")
        for name in order:
            if name in self.cells:
                self.run(self.cells[name])
        self.run(self.own)

    def by_hand(self, k) -> None:
        """A line of the learner's own in the file."""
        path = self.folder / "kl_divergence.py"
        path.write_text(f"{path.read_text()}\n\nmine = {k}  # by hand\n")

    def check(self) -> None:
        note = self.book.note()
        live, saved = outcome(self.book.names["gaussian_kl"]), outcome(loaded())
        assert live == saved or note, (live, saved)
        if live != "NameError":
            assert not note or "Own(" in self.own, note  # of an older Base


@settings(max_examples=60)
@given(st.lists(EDITS, max_size=12))
def test_whatever_is_edited_the_file_is_what_was_checked(tmp_path_factory, edits):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("learner") / "work"
        patch.setenv("VAE_EDU_WORK", str(folder))
        forget()
        learner = Learner(folder)
        for kind, *rest in [*edits, ("check",)]:
            getattr(learner, kind.replace(" ", "_"))(*rest)
        text = (folder / "kl_divergence.py").read_text()
        assert text.count("# by hand") == sum(e[0] == "by hand" for e in edits)
        forget()


# --- back into the notebook -----------------------------------------------------------


def edited_by_hand(folder) -> Notebook:
    """A learner who wrote the answer into the file, and left the cell as it was."""
    folder.mkdir(exist_ok=True)
    (folder / "kl_divergence.py").write_text(
        "import math\nfrom torch import Tensor\nfrom functools import partial\n\n"
        "HALF = 0.5\n\n# of the formula\nhalved = partial(math.prod, start=HALF)\n\n"
        "def expected_log_q(log_var):\n    return unrelated()\n\n"
        "def unrelated():\n    return 1\n\n"
        "def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:\n"
        f"    return {RIGHT.replace('0.5', 'halved([])')}\n"
    )
    return Notebook(UNFILLED)


def test_a_check_below_an_unfilled_cell_says_what_is_handed_in(folder, capsys):
    book = edited_by_hand(folder)
    for said in (capsys.readouterr().out, str(judge(book.names["gaussian_kl"]))):
        assert "What is handed in is the cell, which is still empty" in said
        assert 'from vae_edu import fill_in; fill_in("gaussian_kl")' in said
    assert judge(book.names["gaussian_kl"]).passed


def test_a_check_below_a_cell_that_the_file_left_behind_says_so(folder):
    cell = answer("2 * mu.sum(-1)")
    Notebook(cell)
    path = folder / "kl_divergence.py"
    path.write_text(path.read_text().replace("2 * mu.sum(-1)", RIGHT))
    forget()
    feedback = judge(Notebook(cell).names["gaussian_kl"])
    assert feedback.passed
    assert "What is handed in is the cell, which holds another" in feedback.note


def test_a_borrowed_answer_is_not_taken_for_ones_own(folder):
    work.use_reference("kl_divergence")
    feedback = judge(Notebook(UNFILLED).names["gaussian_kl"])
    assert feedback.passed
    assert "the reference (borrowed)" in feedback.note
    assert "fill_in" not in feedback.note


class FrontEnd:
    """What IPython offers where JupyterLab shows the notebook."""

    kernel = True

    def __init__(self, book: Notebook) -> None:
        self.history_manager, self.user_ns = book.history_manager, book.names
        self.next: list[tuple[str, bool]] = []

    def set_next_input(self, text: str, replace: bool) -> None:
        self.next.append((text, replace))


CALL = 'from vae_edu import fill_in; fill_in("gaussian_kl")'


@pytest.mark.parametrize(
    ("cell", "replaced"),
    [
        (CALL, True),
        (f"{UNFILLED}\n{CALL}", True),
        (f"x = 3\n{CALL}", False),
        (f"def gaussian_kl_of_mine():\n    return 1\n{CALL}", False),
    ],
)
def test_the_answer_goes_into_a_cell_that_holds_nothing_else(
    folder, monkeypatch, capsys, cell, replaced
):
    book = edited_by_hand(folder)
    shell = FrontEnd(book)
    monkeypatch.setattr(fill, "_shell", lambda: shell)
    saved = outcome(loaded())
    before = (folder / "kl_divergence.py").read_text()
    book.run(cell)
    [(text, replace)] = shell.next
    assert replace == replaced
    assert ("This cell" if replaced else "The next cell") in capsys.readouterr().out
    book.run(text)
    assert book.note() == ""
    assert outcome(book.names["gaussian_kl"]) == saved == TRUE.tolist()
    assert (folder / "kl_divergence.py").read_text() == before
    assert "unrelated" not in text
    assert "import math" not in text  # the notebook has it


def test_the_filled_cell_brings_what_a_fresh_notebook_lacks(folder, capsys):
    edited_by_hand(folder)
    capsys.readouterr()
    fill.fill_in("gaussian_kl")  # no front end: it is printed
    names: dict = {"__name__": "elsewhere"}
    text = capsys.readouterr().out.replace("@exercise", "")
    exec(text, names)
    assert outcome(names["gaussian_kl"]) == TRUE.tolist()


def test_what_is_not_saved_cannot_be_filled_in(folder):
    with pytest.raises(CourseError, match="has no answer to gaussian_kl yet"):
        fill.fill_in("gaussian_kl")
    with pytest.raises(CourseError, match="Did you mean 'gaussian_kl'"):
        fill.fill_in("gausian_kl")
    folder.mkdir()
    (folder / "kl_divergence.py").write_text("def half(\n")
    with pytest.raises(CourseError, match="does not parse"):
        fill.fill_in("gaussian_kl")
