"""`vae-edu release`: learners get the course, and nothing of the instructor's side."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.course import test_leaks as search
from vae_edu.build import release
from vae_edu.build.course import authored
from vae_edu.catalogue import folder_of
from vae_edu.cli import main
from vae_edu.errors import CourseError

LESSON = "04_kl_divergence"


@pytest.fixture(scope="module")
def released(root, tmp_path_factory):
    """A release of this checkout."""
    folder = tmp_path_factory.mktemp("learners") / "course"
    release.release(root, folder)
    return folder


@pytest.fixture(scope="module")
def texts(released):
    """Each file that can be read as text, squeezed as the search for leaks wants it."""
    return {
        path.relative_to(released).as_posix(): search._soup(path)
        for path in released.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def checkout(root, tmp_path):
    """A copy of what a release is made from, to change something in."""
    copy = tmp_path / "checkout"
    without = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("vae_edu", "notebooks", "scripts", "data"):
        shutil.copytree(root / name, copy / name, ignore=without)
    for name in (f for f in release.FILES if "/" not in f):
        shutil.copy(root / name, copy / name)
    for topic in authored():
        (copy / "solutions" / folder_of(topic)).mkdir(parents=True)
    return copy


# --- what is in it --------------------------------------------------------------------


@pytest.mark.parametrize("topic", authored())
def test_the_lessons_and_their_public_checks_are_there(texts, topic):
    folder = folder_of(topic)
    assert {
        f"notebooks/{folder}/{folder}.ipynb",
        f"vae_edu/exercises/{topic}.py",
        f"vae_edu/checks/{topic}.py",
        f"vae_edu/checks/recorded/{topic}.json",
    } <= {*texts}


def test_nothing_else_is_there(texts):
    folders = {name.split("/")[0] for name in texts if "/" in name}
    assert folders == {"notebooks", "vae_edu", "data", "scripts"}
    assert {name for name in texts if name.endswith(".ipynb")} == {
        f"notebooks/{f}/{f}.ipynb" for f in map(folder_of, authored())
    }
    withheld = ("vae_edu/build/", "vae_edu/grading/")
    assert not [name for name in texts if name.startswith(withheld)]
    assert not [name for name in texts if "__pycache__" in name]


@pytest.mark.parametrize("topic", authored())
def test_no_answer_or_hidden_law_is_there(texts, topic, root):
    assert search.leaks(topic, root, texts) == []


def test_the_search_finds_what_is_planted_in_any_file(texts, root):
    topic = authored()[-1]
    known = search.secrets(topic, root)
    secret = max((s.text for s in known if s.origin.startswith("hidden")), key=len)
    for name in ("README.md", "Makefile", "pyproject.toml", "scripts/bootstrap.py"):
        planted = texts | {name: texts[name] + secret}
        found = search.leaks(topic, root, planted)
        assert (name, secret) in [(file, text) for file, text, _ in found]


def test_no_file_names_the_instructors_side(released):
    for name in ("README.md", "Makefile", "data/README.md", "scripts/bootstrap.py"):
        text = (released / name).read_text(encoding="utf-8")
        for word in ("hidden.py", "mistakes.py", "BEGIN SOLUTION", "instructors"):
            assert word not in text, name


def test_files_are_as_readable_as_the_checkouts(released, root):
    assert released.stat().st_mode & 0o777 == 0o755
    for name in ("scripts/find_python.sh", "README.md", "vae_edu/cli.py"):
        mode = (released / name).stat().st_mode
        assert mode & 0o444 == 0o444
        assert name == "README.md" or mode == (root / name).stat().st_mode


# --- what is refused ------------------------------------------------------------------


def test_a_folder_with_something_in_it_is_refused(tmp_path, capsys):
    (tmp_path / "work.py").write_text("mine")
    assert main(["release", "--to", str(tmp_path)]) == 2
    assert main(["release", "--to", str(tmp_path / "work.py")]) == 2
    assert "new or empty folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["work.py"]
    assert (tmp_path / "work.py").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path, capsys, texts):
    assert main(["release", "--to", str(tmp_path)]) == 0
    assert f"{len(texts)} files released" in capsys.readouterr().out


def _an_answer(book):
    book["cells"][3]["source"] = "x = 1\n### BEGIN SOLUTION\ny = 2\n### END SOLUTION"


def _an_output(book):
    book["cells"][3]["outputs"] = [{"output_type": "stream", "text": "0.3"}]


@pytest.mark.parametrize("plant", [_an_answer, _an_output])
def test_a_notebook_with_answers_is_refused(checkout, tmp_path, plant):
    path = checkout / "notebooks" / LESSON / f"{LESSON}.ipynb"
    book = json.loads(path.read_text(encoding="utf-8"))
    plant(book)
    path.write_text(json.dumps(book), encoding="utf-8")
    with pytest.raises(CourseError, match="answers or outputs"):
        release.release(checkout, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["checkout"]


def test_a_checkout_that_is_not_whole_is_refused(checkout, tmp_path):
    release.release(checkout, tmp_path / "whole")
    (checkout / "LICENSE").unlink()
    with pytest.raises(CourseError, match="LICENSE is missing"):
        release.release(checkout, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"checkout", "whole"}


# --- what a learner does with it ------------------------------------------------------


def test_make_help_lists_what_works(released):
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=released,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert listed == ["help", "lab", "data"]
    tried = subprocess.run(["make", "-n", "test"], cwd=released, capture_output=True)
    assert tried.returncode != 0


@pytest.mark.parametrize(
    "words",
    [
        ["grade", "4"],
        ["judge", "answer.py"],
        ["release", "--to", "x"],
        ["build"],
        ["demo"],
        ["gradescope", "4", "--to", "x.zip"],
        ["similar", "4"],
    ],
)
def test_an_instructors_verb_says_that_it_is_not_there(released, words):
    """Without site-packages, whose finder would look in this checkout."""
    command = [sys.executable, "-S", "-E", "-m", "vae_edu.cli", *words]
    done = subprocess.run(command, cwd=released, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("vae-edu: this verb belongs to the instructor's side")


def test_a_module_that_is_missing_for_another_reason_is_not_hidden(monkeypatch):
    def broken(target):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(release, "command", broken)
    with pytest.raises(ModuleNotFoundError, match="torch"):
        main(["release", "--to", "x"])


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["release", "--to", str(tmp_path / "file" / "to")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot be read or written" in said
