"""`@exercise` and `work/`: what a learner types is saved, used, and never lost."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from vae_edu import work
from vae_edu.errors import CourseError
from vae_edu.learner import shelf

RIGHT = """
@exercise
def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    "My answer."
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""
WRONG = RIGHT.replace("log_var.exp()", "(0.5 * log_var).exp()")
UNFILLED = """
@exercise
def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    "Fill me in."
    # YOUR CODE HERE
    raise NotImplementedError('replace this line by your answer')
"""
SETUP = """
import math
import torch
from torch import Tensor, nn
from vae_edu import check, exercise
"""
MU, LOG_VAR = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, -0.5]])
TRUE = 0.5 * (MU**2 + LOG_VAR.exp() - 1 - LOG_VAR).sum(-1)


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
    for name in [n for n in sys.modules if n.startswith("vae_edu.exercises.")]:
        del sys.modules[name]


def notebook(*cells: str) -> dict:
    """Run cells as a notebook would, in a fresh namespace; errors are raised."""
    shell = InteractiveShell()
    for cell in (SETUP, *cells):
        shell.run_cell(textwrap.dedent(cell), store_history=True).raise_error()
    return shell.user_ns


def kl_module():
    return importlib.import_module("vae_edu.exercises.kl_divergence")


def test_a_cell_is_saved_and_used_after_a_restart(folder):
    notebook(RIGHT)
    assert "log_var.exp()" in (folder / "kl_divergence.py").read_text()
    forget()
    assert torch.allclose(kl_module().gaussian_kl(MU, LOG_VAR), TRUE)


def test_the_saved_file_runs_by_itself(folder):
    notebook(RIGHT)
    namespace: dict = {}
    exec((folder / "kl_divergence.py").read_text(), namespace)
    assert torch.allclose(namespace["gaussian_kl"](MU, LOG_VAR), TRUE)


def test_other_lessons_use_it_in_the_same_kernel(folder):
    kl_module()
    notebook(RIGHT)
    assert torch.allclose(kl_module().gaussian_kl(MU, LOG_VAR), TRUE)


def test_a_class_is_saved_too(folder, monkeypatch):
    monkeypatch.setattr(work, "expect_signature", lambda *_: None)
    text = """
    @exercise
    class gaussian_kl(nn.Module):
        def forward(self, mu):
            return mu + 41
    """
    notebook(text)
    forget()
    module = kl_module().gaussian_kl()
    assert module(torch.ones(1)).item() == 42


def test_an_unfilled_cell_never_replaces_an_answer(folder, capsys):
    notebook(RIGHT)
    before = (folder / "kl_divergence.py").read_text()
    forget()
    names = notebook(UNFILLED)
    assert (folder / "kl_divergence.py").read_text() == before
    assert torch.allclose(names["gaussian_kl"](MU, LOG_VAR), TRUE)
    assert "saved answer" in capsys.readouterr().out


def test_an_unfilled_cell_saves_nothing(folder):
    names = notebook(UNFILLED)
    assert not folder.exists()
    with pytest.raises(NotImplementedError):
        names["gaussian_kl"](MU, LOG_VAR)


def test_what_is_replaced_is_kept(folder):
    notebook(WRONG)
    old = (folder / "kl_divergence.py").read_text()
    notebook(RIGHT)
    kept = [p.read_text() for p in (folder / "backup").iterdir()]
    assert kept == [old]


def test_an_edit_by_hand_wins_over_an_unchanged_cell(folder, capsys):
    notebook(WRONG)
    path = folder / "kl_divergence.py"
    path.write_text(path.read_text().replace("(0.5 * log_var).exp()", "log_var.exp()"))
    forget()
    names = notebook(WRONG)
    assert torch.allclose(names["gaussian_kl"](MU, LOG_VAR), TRUE)
    assert "edited since" in capsys.readouterr().out


def test_a_changed_cell_wins_and_the_edit_is_kept(folder):
    notebook(WRONG)
    path = folder / "kl_divergence.py"
    edited = path.read_text().replace("0.5 *", "0.25 *")
    path.write_text(edited)
    forget()
    names = notebook(RIGHT)
    assert torch.allclose(names["gaussian_kl"](MU, LOG_VAR), TRUE)
    assert edited in [p.read_text() for p in (folder / "backup").iterdir()]


def test_text_beside_the_answer_stays(folder):
    notebook(RIGHT)
    path = folder / "kl_divergence.py"
    path.write_text(path.read_text() + "\n\n# a note of mine\nKEPT = 1\n")
    forget()
    notebook(RIGHT.replace("My answer.", "My second answer."))
    text = path.read_text()
    assert "# a note of mine\nKEPT = 1\n" in text
    assert "My second answer." in text
    assert text.count("def gaussian_kl") == 1


def test_helpers_constants_and_imports_come_along(folder):
    cells = (
        "from torch.nn import functional as F\nHALF = 0.5",
        "def excess(log_var):\n    return log_var.exp() - 1 - log_var",
        RIGHT.replace(
            "0.5 * (mu**2 + log_var.exp() - 1 - log_var)",
            "HALF * (mu**2 + excess(F.relu(log_var) - F.relu(-log_var)))",
        ),
    )
    notebook(*cells)
    forget()
    assert torch.allclose(kl_module().gaussian_kl(MU, LOG_VAR), TRUE)


def test_an_answer_may_use_an_earlier_one(folder):
    notebook(
        """
        @exercise
        def expected_log_q(log_var: Tensor) -> Tensor:
            return -0.5 * (math.log(2 * math.pi) + 1 + log_var).sum(-1)
        """,
        """
        @exercise
        def expected_log_prior(mu: Tensor, log_var: Tensor) -> Tensor:
            return -0.5 * (math.log(2 * math.pi) + mu**2 + log_var.exp()).sum(-1)
        """,
        RIGHT.replace(
            "0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)",
            "expected_log_q(log_var) - expected_log_prior(mu, log_var)",
        ),
    )
    forget()
    assert torch.allclose(kl_module().gaussian_kl(MU, LOG_VAR), TRUE)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (RIGHT.replace("mu: Tensor,", "mean: Tensor,"), "Rename mean to mu"),
        (RIGHT.replace("log_var: Tensor)", "log_var: Tensor, n=1)"), "expected (mu, "),
        (RIGHT.replace("mu: Tensor, log_var", "log_var: Tensor, mu"), "their order"),
        (RIGHT.replace("gaussian_kl", "gausian_kl"), "Did you mean 'gaussian_kl'"),
        ("@exercise\nclass gaussian_kl:\n    pass", "should be a function"),
    ],
)
def test_a_wrong_name_or_signature_is_refused(folder, cell, words):
    with pytest.raises(CourseError, match=words.replace("(", r"\(")):
        notebook(cell)
    assert not folder.exists()


def test_a_refusal_is_shown_without_a_traceback(folder):
    with pytest.raises(CourseError) as caught:
        notebook(RIGHT.replace("mu: Tensor, log_var", "mean: Tensor, log_var"))
    assert caught.value._render_traceback_() == [str(caught.value)]


def test_a_file_that_does_not_parse_is_not_touched(folder, capsys):
    notebook(WRONG)
    path = folder / "kl_divergence.py"
    path.write_text("def half(\n")
    forget()
    with pytest.warns(UserWarning, match="does not run"):
        names = notebook(RIGHT)
    assert path.read_text() == "def half(\n"
    assert "does not parse (line 1" in capsys.readouterr().out
    assert torch.allclose(names["gaussian_kl"](MU, LOG_VAR), TRUE)


def test_running_a_cell_twice_changes_nothing(folder):
    notebook(RIGHT)
    before = (folder / "kl_divergence.py").read_text()
    notebook(RIGHT)
    assert (folder / "kl_divergence.py").read_text() == before
    assert not (folder / "backup").exists()


def test_nbgrader_running_a_submission_saves_nothing(folder, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    notebook(RIGHT)
    assert not folder.exists()


def test_the_reference_can_be_borrowed_and_given_back(folder, capsys):
    work.use_reference("4")
    assert torch.allclose(kl_module().gaussian_kl(MU, LOG_VAR), TRUE)
    forget()
    names = notebook(UNFILLED)
    assert torch.allclose(names["gaussian_kl"](MU, LOG_VAR), TRUE)
    assert "borrowed" in capsys.readouterr().out
    work.use_own("kl_divergence")
    with pytest.raises(NotImplementedError, match=r"Exercise 4\.3"):
        kl_module().gaussian_kl(MU, LOG_VAR)


def test_an_own_answer_stands_before_the_borrowed_one(folder):
    notebook(WRONG)
    work.use_reference("kl_divergence")
    assert not torch.allclose(kl_module().gaussian_kl(MU, LOG_VAR), TRUE)
    zeros = kl_module().expected_log_q(torch.zeros(1, 2))
    assert zeros.item() == pytest.approx(-2.8378770664093453)


def test_a_copy_without_the_reference_says_so(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("VAE_EDU_HOME", str(tmp_path))
    with pytest.raises(CourseError, match=r"04_kl_divergence/exercises\.py"):
        work.use_reference("kl_divergence")


def test_an_unknown_lesson_is_named(folder):
    with pytest.raises(CourseError, match="Did you mean 'kl_divergence'"):
        work.use_reference("kl_divergense")


def test_a_crash_while_writing_leaves_the_old_text(folder, monkeypatch):
    notebook(WRONG)
    before = (folder / "kl_divergence.py").read_text()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        shelf.write(folder / "kl_divergence.py", "new")
    assert (folder / "kl_divergence.py").read_text() == before
    assert [p.name for p in Path(folder).iterdir() if p.suffix == ".tmp"] == []


def test_an_attribute_is_not_taken_for_a_global(folder, capsys):
    notebook(
        "where = torch.ones(2)",
        RIGHT.replace("return", "mu = torch.where(mu > 0, mu, mu)\n    return"),
    )
    assert "only this notebook knows" not in capsys.readouterr().out
    assert "where =" not in (folder / "kl_divergence.py").read_text()
