"""`vae-edu judge`: each answer in its own process; one that hangs costs itself."""

from __future__ import annotations

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from vae_edu import subject
from vae_edu.cli import main
from vae_edu.grading.verdict import judge
from vae_edu.grading.wall import process
from vae_edu.grading.wall import zygote as zygote_module

RIGHT = """
import torch
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""
WRONG = RIGHT.replace("log_var.exp()", "(log_var / 2).exp()")


@pytest.fixture(scope="module")
def zygote():
    """One start-up for all of this module's files."""
    warm = process.Zygote()
    yield warm
    warm.close()


def judged(zygote, tmp_path, source, exercise=None, name="answer.py", seconds=20.0):
    path = tmp_path / name
    path.write_text(source, encoding="utf-8")
    return judge.judge_file(zygote, path, exercise, "test", seconds)


def only(results):
    assert len(results) == 1
    return results[0]


def test_a_right_answer_passes_at_full_score(zygote, tmp_path):
    result = only(judged(zygote, tmp_path, RIGHT))
    assert (result.passed, result.score, result.max_score) == (True, 3.0, 3.0)
    assert result.failures == []
    assert result.misconception is None


def test_a_wrong_one_fails_and_is_named(zygote, tmp_path):
    result = only(judged(zygote, tmp_path, WRONG))
    assert not result.passed
    assert result.score == 0
    assert result.misconception == "Standard deviations where the formula has variances"
    assert "values" in [f["law"] for f in result.failures]


HONEST_ODDITIES = {
    "a slice of one element": RIGHT.replace(".sum(-1)", ".cumsum(-1)[..., -1]"),
    "compiled": RIGHT.replace("def gauss", "@torch.compile\ndef gauss"),
}


@pytest.mark.parametrize("name", HONEST_ODDITIES)
def test_what_is_right_in_an_odd_way_is_right(zygote, tmp_path, name):
    result = only(judged(zygote, tmp_path, HONEST_ODDITIES[name]))
    assert (result.passed, result.score) == (True, 3.0), result


THREADED = """
import math, torch
{head}
def expected_log_q(log_var):
    return -0.5 * (math.log(2 * math.pi) + 1 + log_var).sum(-1).double()
def gaussian_kl(mu, log_var):
    return {call}
"""
POOLS = {
    "a pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "pool = ThreadPoolExecutor(2)\npool.submit(lambda: 1).result()",
        "pool.submit(lambda: {}).result()",
    ),
    "torch's own": (
        "torch.set_num_threads(2)\ntorch.randn(10**6).exp().sum()",
        "{} + 0 * torch.randn(10**6).exp().sum().to(mu)",
    ),
}


@pytest.mark.parametrize("name", POOLS)
def test_threads_of_a_submission_are_there_after_a_wrong_exercise(
    zygote, tmp_path, name
):
    head, call = POOLS[name]
    call = call.format("0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)")
    source = THREADED.format(head=head, call=call)
    found = {r.exercise: r for r in judged(zygote, tmp_path, source, seconds=10.0)}
    assert not found["expected_log_q"].passed
    assert (found["gaussian_kl"].passed, found["gaussian_kl"].score) == (True, 3.0)


def test_a_reaper_of_its_own_costs_nothing_more(zygote, tmp_path):
    source = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    source += RIGHT.replace("mu**2", "mu.detach()**2")
    plain = only(judged(zygote, tmp_path, RIGHT.replace("mu**2", "mu.detach()**2")))
    assert only(judged(zygote, tmp_path, source)).score == plain.score > 0


def test_words_that_no_terminal_shows_do_not_stop_the_others(tmp_path, capsys):
    strange = tmp_path / "a.py"
    strange.write_text(
        'def gaussian_kl(mu, log_var):\n    raise ValueError("\\ud800")\n'
    )
    (tmp_path / "b.py").write_text(RIGHT)
    assert main(["judge", str(tmp_path), "--exercise", "gaussian_kl"]) == 1
    said = capsys.readouterr().out
    assert said.encode()
    assert "passed" in said
    assert "ValueError: ?" in said


def test_what_is_no_python_is_shown_with_its_line_and_none_of_ours():
    pieces = ["def gaussian_kl(mu, log_var):\n    for i in range(3)\n        pass\n"]
    assert stopped(pieces).startswith(
        '  File "<answer 0>", line 2\n    for i in range(3)\n'
    )
    missing = stopped(["gaussian_kl = no_such_name"])
    assert "no_such_name" in missing
    assert str(zygote_module.__file__) not in missing


def stopped(pieces):
    """The lines that are shown of an answer whose piece does not run."""
    message = {"name": "a.py", "topic": "kl_divergence", "pieces": pieces}
    message |= {"left_out": {}, "wanted": ["gaussian_kl"]}
    engine = zygote_module.load(message, lambda i: None)
    with pytest.raises(subject.SubjectError) as raised:
        engine.perform(subject.Request("call", "gaussian_kl"))
    return raised.value.trace


LARGE = {
    "a little": "mu.new_zeros(2**20 + 1)",
    "by far": "mu.new_zeros(2**25)",
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_a_value_that_is_too_large_is_named(zygote, tmp_path, value):
    source = f"def gaussian_kl(mu, log_var):\n    return {value}\n"
    result = only(judged(zygote, tmp_path, source, seconds=60.0))
    assert result.score == 0
    assert "returned more than 4 MiB" in result.failures[0]["message"]


def test_bad_form_earns_part_of_the_points(zygote, tmp_path):
    source = RIGHT.replace("mu**2", "mu.detach()**2")
    result = only(judged(zygote, tmp_path, source))
    assert not result.passed
    assert 0 < result.score < result.max_score
    assert [f["law"] for f in result.failures] == ["gradients"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("while True: pass", "in time"),
        ("import os; os._exit(0)", "died"),
        ("import os; os.abort()", "died"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("return 1 / 0", "ZeroDivisionError"),
        ("return bytearray(40 * 2**30)", "MemoryError"),
        ("return gaussian_kl(mu, log_var)", "RecursionError"),
        ("import ctypes; ctypes.string_at(0)", "died"),
    ],
)
def test_what_goes_wrong_costs_only_itself(zygote, tmp_path, body, words):
    source = f"def gaussian_kl(mu, log_var):\n    {body}\n"
    result = only(judged(zygote, tmp_path, source, seconds=1.5))
    assert not result.passed
    assert result.score == 0
    assert any(words in f["message"] for f in result.failures)
    assert only(judged(zygote, tmp_path, RIGHT)).passed


@pytest.mark.parametrize("name", ["Died", "Timeout", "Strayed"])
def test_an_exception_of_any_name_is_an_exception(zygote, tmp_path, name):
    source = f"class {name}(Exception): pass\n"
    source += f"def gaussian_kl(mu, log_var):\n    raise {name}('no')\n"
    result = only(judged(zygote, tmp_path, source))
    assert {f["kind"] for f in result.failures} == {"error"}
    assert {f["message"] for f in result.failures} == {f"{name}: no"}
    dies = source.replace(f"raise {name}('no')", "import os; os._exit(0)")
    result = only(judged(zygote, tmp_path, dies))
    assert {f["kind"] for f in result.failures} == {"died"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from helpers import half", "No module named 'helpers'"),
        ("from helpers import *", "No module named 'helpers'"),
        ("import helpers\nhalf = helpers.half", "No module named 'helpers'"),
        ("half = open('no_such_file').read()", "No such file"),
        ("def half(): return 1 + ''", "unsupported operand"),
    ],
)
def test_the_reason_is_what_failed_first(zygote, tmp_path, line, said):
    source = f"{line}\n{RIGHT.replace('0.5', 'half()')}"
    result = only(judged(zygote, tmp_path, source))
    assert said in result.failures[0]["message"]
    assert "NameError" not in str(result)


@pytest.mark.parametrize(
    "line",
    [
        "import os; os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "while True: pass",
        "raise RuntimeError('no')",
        "def gaussian_kl(mu, log_var:",
        "raise SystemExit",
    ],
)
def test_a_file_that_does_not_load_fails_with_a_reason(zygote, tmp_path, line):
    result = only(judged(zygote, tmp_path, line, exercise="gaussian_kl", seconds=1.0))
    assert not result.passed
    assert result.failures[0]["message"]
    assert only(judged(zygote, tmp_path, RIGHT)).passed


def test_an_error_beside_the_answer_does_not_matter(zygote, tmp_path):
    assert only(judged(zygote, tmp_path, "import no_such_module\n" + RIGHT)).passed


def test_an_exception_in_one_exercise_leaves_the_others(zygote, tmp_path):
    source = RIGHT + "\ndef expected_log_q(log_var):\n    raise KeyError('x')\n"
    results = {r.exercise: r.passed for r in judged(zygote, tmp_path, source)}
    assert results == {"expected_log_q": False, "gaussian_kl": True}


def test_the_customary_names_need_no_import(zygote, tmp_path):
    assert only(judged(zygote, tmp_path, RIGHT.replace("import torch", ""))).passed


WORKERS = """
import torch
from torch.utils.data import DataLoader, TensorDataset
class Mine(DataLoader):
    pass
def gaussian_kl(mu, log_var):
    data = TensorDataset(torch.arange(8.0))
    more = dict(num_workers=2, persistent_workers=True, timeout=5, prefetch_factor=2)
    for kind in (DataLoader, Mine):
        loader = kind(data, 4, **more)
        assert [len(batch) for batch, in loader] * 2 == [4, 4, 4, 4]
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""


def test_a_loader_with_workers_loads_and_does_not_hang(zygote, tmp_path):
    (result,) = judged(zygote, tmp_path, WORKERS)
    assert result.passed, result.failures


LAZY = """
from torch import nn
class Encoder(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.hidden = nn.LazyLinear(hidden_dim)
        self.mu = nn.Linear(hidden_dim, latent_dim)
        self.log_var = nn.Linear(hidden_dim, latent_dim)
    def forward(self, x):
        h = self.hidden(x).relu()
        return self.mu(h), self.log_var(h)
"""


def test_a_lazy_layer_is_told_to_have_a_width(zygote, tmp_path):
    (result,) = judged(zygote, tmp_path, LAZY)
    assert {f["message"] for f in result.failures} == {
        "TypeError: Encoder(...) has a layer whose weights are made at its first call "
        "only (LazyLinear): write the layer with its width, as "
        "nn.Linear with both of its sizes"
    }


def test_decorated_answers_are_judged_and_not_saved(zygote, tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_EDU_WORK", str(tmp_path / "work"))
    source = "from vae_edu import exercise\n" + RIGHT.replace("def ", "@exercise\ndef ")
    assert only(judged(zygote, tmp_path, source)).passed
    assert not (tmp_path / "work").exists()


def test_lambdas_and_conditional_definitions_are_found(zygote, tmp_path):
    source = """
if True:
    gaussian_kl = lambda mu, log_var: 0.5 * (mu**2 + log_var.expm1() - log_var).sum(-1)
"""
    assert only(judged(zygote, tmp_path, source)).passed


def test_this_lessons_answers_are_not_to_be_had_by_import(zygote, tmp_path):
    source = "from vae_edu.exercises.kl_divergence import gaussian_kl as stolen\n"
    source += "def gaussian_kl(mu, log_var):\n    return stolen(mu, log_var)\n"
    result = only(judged(zygote, tmp_path, source))
    assert result.failures[0]["kind"] == "unfinished"


def test_notebooks_are_judged_by_their_cells(zygote, tmp_path):
    cells = [
        new_code_cell("%matplotlib inline\nimport torch"),
        new_code_cell("raise ValueError('a cell that fails')"),
        new_code_cell("while True: pass", metadata={"tags": ["experiment"]}),
        new_code_cell(RIGHT),
    ]
    text = nbformat.writes(new_notebook(cells=cells))
    assert only(judged(zygote, tmp_path, text, name="a.ipynb")).passed


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", "{}", '{"cells": 3}', "\x00\x01"]
)
def test_a_notebook_that_is_none_gets_a_reason(zygote, tmp_path, text):
    result = only(judged(zygote, tmp_path, text, "gaussian_kl", name="a.ipynb"))
    assert not result.passed
    assert result.failures


def test_wrong_calls_exit_with_2(tmp_path, capsys):
    (tmp_path / "a.py").write_text(RIGHT)
    assert main(["judge", str(tmp_path / "no_such_file.py")]) == 2
    assert main(["judge", str(tmp_path / "a.py"), "--exercise", "gausian_kl"]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["judge", str(tmp_path / "empty")]) == 2
    said = capsys.readouterr().err
    assert "Did you mean 'gaussian_kl'" in said
    assert "nothing to judge" in said


def test_the_command_prints_one_object_a_line(tmp_path):
    (tmp_path / "a.py").write_text(RIGHT)
    (tmp_path / "b c.py").write_text(WRONG)
    command = [sys.executable, "-m", "vae_edu.cli", "judge", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("sandbox: ")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["passed"] for r in rows] == [True, False]
    expected = {"file", "exercise", "passed", "score", "max_score", "misconception"}
    assert set(rows[0]) == expected | {"label", "failures"}
