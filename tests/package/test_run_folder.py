"""The run folder that is handed in: accepted, refused with a reason, graded.

What belongs here: the rule (`handin`) and the grader's seam (`grading.run_folder`).
What does not: what `runs` itself refuses, piece by piece.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vae_edu import data, handin, runs
from vae_edu.evaluate import binarized_test_set, evaluate
from vae_edu.feedback import CheckFailed
from vae_edu.grading.office.report import markdown
from vae_edu.grading.verdict import run_folder
from vae_edu.grading.verdict.grade import Grade, grade_of
from vae_edu.models import OneLayerVAE
from vae_edu.train import TrainConfig, train


def trained(folder: Path, *, epochs: int = 60, images: int = 200) -> Path:
    """A run on scikit-learn's digits, of some seconds."""
    digits = data.load("digits")
    model = OneLayerVAE(64, (60,), 8, "relu", torch.Generator().manual_seed(0))
    config = TrainConfig(epochs=epochs, batch_size=250, learning_rate=5e-3)
    rows = train(model, digits.train, config, say=lambda row: None)
    test = binarized_test_set(digits.test[:images])
    found = evaluate(model, test, num_samples=1000, progress=False)
    return runs.write(folder, model, digits, config, rows, found)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("good") / "run")


@pytest.fixture
def copied(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "student" / "run"))


def sealed(folder: Path) -> None:
    """Make the manifest agree with what is in the folder, as a forger would."""
    names = [p.name for p in folder.iterdir() if p.name != "run.json"]
    files = {name: (folder / name).read_bytes() for name in names}
    manifest = {"format": runs.FORMAT, "files": runs.sums(files)}
    (folder / "run.json").write_text(json.dumps(manifest))


# --- the rule ---------------------------------------------------------------------


def test_a_run_that_is_whole_earns_points_by_its_nll(good):
    marked = handin.mark(good)
    assert not marked.problem
    assert [c.met for c in marked.criteria[:2]] == [True, True]
    assert marked.points >= handin.WHOLE + handin.REACHED
    assert sum(c.points for c in marked.criteria) == handin.POINTS == 5


def test_a_run_that_learnt_little_is_accepted_and_misses_the_bars(tmp_path):
    marked = handin.mark(trained(tmp_path / "run", epochs=1))
    assert not marked.problem
    assert marked.points == handin.WHOLE


def test_a_run_on_few_images_misses_the_bars_however_low_its_nll(tmp_path):
    marked = handin.mark(trained(tmp_path / "run", images=50))
    assert marked.points == handin.WHOLE


def nan_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).flatten()[0] = torch.nan
    save_file(weights, folder / "model.safetensors")
    sealed(folder)


def better_claim(folder: Path) -> None:
    """Claims ten nats less, of every image, and consistently so."""
    claims = json.loads((folder / "evaluation.json").read_text())
    claims["nll"] -= 10
    (folder / "evaluation.json").write_text(json.dumps(claims))
    nll = load_file(folder / "nll.safetensors")
    save_file({"nll": nll["nll"] - 10}, folder / "nll.safetensors")
    sealed(folder)


def other_data(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["data"]["name"] = "easy"
    (folder / "config.json").write_text(json.dumps(config))
    sealed(folder)


def no_data(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["data"]
    (folder / "config.json").write_text(json.dumps(config))
    sealed(folder)


def altered(folder: Path) -> None:
    path = folder / "evaluation.json"
    path.write_text(path.read_text().replace('"n": 200', '"n": 201'))


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flattering_card(folder: Path) -> None:
    path = folder / "card.md"
    path.write_text(re.sub(r"samples \| \d+", "samples | 10", path.read_text()))
    sealed(folder)


def foreign(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def linked(folder: Path) -> None:
    path = folder / "card.md"
    path.rename(folder.parent / "elsewhere.md")
    path.symlink_to(folder.parent / "elsewhere.md")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (nan_weights, "not finite"),
        (better_claim, "its weights give"),
        (other_data, "easy"),
        (no_data, "None"),
        (altered, "altered"),
        (truncated, "cut or edited"),
        (flattering_card, "card.md says something else"),
        (foreign, "notes.txt"),
        (linked, "no plain file"),
        (lambda folder: (folder / "run.json").unlink(), "no run folder"),
        (lambda folder: (folder / "metrics.csv").unlink(), "missing"),
    ],
)
def test_a_spoilt_folder_is_refused_with_its_reason(copied, spoil, reason):
    spoil(copied)
    marked = handin.mark(copied)
    assert reason in marked.problem
    assert marked.points == 0
    graded = run_folder.grade_run(copied, "seed")
    assert graded.score == 0
    assert not graded.passed
    assert reason in graded.problem


# --- what a learner runs ----------------------------------------------------------


def test_check_run_waits_for_a_run_accepts_it_and_refuses_a_spoilt_one(
    copied, monkeypatch, capsys
):
    monkeypatch.setenv("VAE_EDU_RUNS", str(copied.parent))
    with pytest.raises(NotImplementedError, match="no run called other"):
        handin.check_run("other")
    handin.check_run("run")
    assert "Accepted" in capsys.readouterr().out
    shutil.make_archive(str(copied.parent / "packed"), "zip", copied)
    handin.check_run("packed.zip")
    monkeypatch.chdir(copied.parent)
    monkeypatch.setenv("VAE_EDU_RUNS", str(copied.parent / "elsewhere"))
    handin.check_run("packed.zip")
    assert capsys.readouterr().out.count("Accepted") == 2
    handin.check_run("run")
    truncated(copied)
    with pytest.raises(CheckFailed, match="would not be accepted"):
        handin.check_run("run")
    assert "cut or edited" in capsys.readouterr().out


# --- the grader's seam ------------------------------------------------------------


def test_only_lesson_10_has_a_run_folder():
    place = Path("submitted/ada/10_full_mnist_run/10_full_mnist_run.ipynb")
    assert run_folder.beside(place, "full_mnist_run") == place.parent / "run"
    assert run_folder.beside(place, "kl_divergence") is None
    graded = Grade("04_kl_divergence", (), "none")
    assert run_folder.with_run(graded, None, "seed") is graded


def test_the_run_is_one_more_item_of_the_grade_and_survives_the_store(good):
    graded = run_folder.with_run(Grade("10_full_mnist_run", (), "none"), good, "s")
    (item,) = graded.exercises
    assert item.max_score == handin.POINTS
    assert item.score == graded.score == handin.mark(good).points
    assert grade_of(json.loads(json.dumps(graded.as_dict()))) == graded
    assert "the run folder" in markdown(item)


def test_no_folder_a_link_and_a_huge_one_get_a_reason(good, tmp_path, monkeypatch):
    assert "no folder run/" in run_folder.grade_run(tmp_path / "run", "s").problem
    (tmp_path / "link").symlink_to(good)
    assert "is a link" in run_folder.grade_run(tmp_path / "link", "s").problem
    monkeypatch.setattr(run_folder, "LARGEST", 10)
    assert "more than" in run_folder.grade_run(good, "s").problem


@pytest.mark.skipif(sys.platform != "linux", reason="bounds of Linux")
@pytest.mark.parametrize(
    ("bound", "most", "words"),
    [("MEMORY", 2**20, "GiB of memory"), ("SECONDS", 1, "minutes of a processor")],
)
def test_recomputing_is_bounded(good, monkeypatch, bound, most, words):
    monkeypatch.setattr(run_folder, bound, most)
    item = run_folder.grade_run(good, "s")
    assert item.score == 0
    assert "takes more than" in item.problem
    assert words in item.problem


TAKES = {
    "memory": "held = bytearray(300 << 20); import time; time.sleep(300)",
    "the kernel's memory": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "time": "from vae_edu.grading.verdict import run_folder as r; r._end_after(1)\n"
    "while True: pass",
    "wall time": "import time; time.sleep(300)",
}


@pytest.mark.skipif(sys.platform != "linux", reason="bounds of Linux")
@pytest.mark.parametrize("kind", TAKES)
def test_what_takes_too_much_is_named(good, monkeypatch, kind):
    if kind == "memory":
        monkeypatch.setattr(run_folder, "MEMORY", 250 << 20)
    if kind == "wall time":
        monkeypatch.setattr(run_folder, "SECONDS", 0.1)
    instead_of_recomputing(monkeypatch, TAKES[kind])
    words = "of memory" if kind.endswith("memory") else "of a processor"
    assert words in run_folder.grade_run(good, "s").problem


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("os.abort()", "-6"),
        (
            "from vae_edu.grading.verdict import run_folder as r;"
            "from vae_edu import data;"
            "r.handin.mark = lambda *a, **k: data.load('mnist');"
            "os.environ['VAE_EDU_DATA'] = os.devnull; r.mark_from_input()",
            "is missing|cannot be read",
        ),
    ],
)
def test_what_comes_to_no_end_costs_the_run_alone_and_is_judged_again(
    good, monkeypatch, code, words
):
    """A fault of ours, and a run that ends the process: nobody can tell which."""
    instead_of_recomputing(monkeypatch, "import os; " + code)
    item = run_folder.grade_run(good, "s")
    assert item.score == 0
    assert item.problem.startswith(run_folder.NOT_JUDGED)
    assert re.search(words, item.problem)
    graded = run_folder.with_run(Grade("10_full_mnist_run", (), "none"), good, "s")
    assert not run_folder.is_judged(graded)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("evaluation.json", {"seed": 2**70}),
        ("evaluation.json", {"n": float("inf")}),
        ("config.json", {"title": "\ud800"}),
        ("config.json", {"model": {"form": "program", "steps": [[0]], "outputs": []}}),
    ],
)
def test_an_odd_run_costs_its_own_points_and_no_others(copied, file, change):
    content = json.loads((copied / file).read_text()) | change
    (copied / file).write_text(json.dumps(content))
    sealed(copied)
    item = run_folder.grade_run(copied, "s")
    assert item.score == 0
    assert item.problem
    assert not item.problem.startswith(run_folder.NOT_JUDGED)
    item.problem.encode("utf-8")


def test_a_zip_beside_the_notebook_is_the_run(good, tmp_path):
    notebook = tmp_path / "10_full_mnist_run.ipynb"
    made = shutil.make_archive(str(tmp_path / "run"), "zip", good)
    found = run_folder.beside(notebook, "full_mnist_run")
    assert found == Path(made)
    assert run_folder.grade_run(found, "s").score == handin.mark(good).points
    assert run_folder.digest(found) == run_folder.digest(found) != ""
    Path(made).rename(tmp_path / "lesson10-seconds.zip")
    found = run_folder.beside(notebook, "full_mnist_run")
    assert found == tmp_path / "lesson10-seconds.zip"
    (tmp_path / "run").mkdir()
    assert run_folder.beside(notebook, "full_mnist_run") == tmp_path / "run"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_cannot_be_read_costs_the_run_alone(copied):
    copied.chmod(0)
    try:
        assert "cannot be read" in run_folder.grade_run(copied, "s").problem
        assert run_folder.digest(copied).startswith("not to be read")
    finally:
        copied.chmod(0o700)


def instead_of_recomputing(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    real = run_folder.subprocess.Popen

    def start(command, **keywords):
        return real([*command[:-1], code], **keywords)

    monkeypatch.setattr(run_folder.subprocess, "Popen", start)


def test_a_grade_is_found_again_only_for_the_same_folder(copied):
    before = run_folder.digest(copied)
    assert before == run_folder.digest(copied) != ""
    altered(copied)
    assert run_folder.digest(copied) != before
    assert run_folder.digest(None) == ""
