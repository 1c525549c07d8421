"""What `make` does before anything is installed, tried with stand-ins for the tools."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SH = shutil.which("sh")
pytestmark = pytest.mark.skipif(SH is None, reason="make needs a POSIX shell")


# --- find_python.sh ---------------------------------------------------------------


def stand_in(folder: Path, name: str, version: str, *, venv: bool = True) -> None:
    """A command that answers like a Python of that version."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    has_venv = 0 if venv else 1
    path.write_text(
        f"#!{SH}\ncase $2 in\n*version_info*) echo {version} ;;\n"
        f"*ensurepip*) exit {has_venv} ;;\nesac\n"
    )
    path.chmod(0o755)


def broken(folder: Path, name: str) -> None:
    """A name on PATH that only says that nothing is there (as pyenv's shims do)."""
    path = folder / name
    path.write_text(f"#!{SH}\necho 'command not found' >&2\nexit 127\n")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def find(path: Path, python: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SH, str(REPOSITORY / "scripts" / "find_python.sh")],
        cwd=path.parent,
        env={"PATH": str(path), "PYTHON": python},
        capture_output=True,
        text=True,
    )


def test_the_newest_that_works_is_taken(path):
    broken(path, "python3.13")
    stand_in(path, "python3.12", "3.12")
    stand_in(path, "python3.11", "3.11")
    assert find(path).stdout == "python3.12\n"


def test_a_plain_python3_in_range_is_taken(path):
    stand_in(path, "python3", "3.11")
    assert find(path).stdout == "python3\n"


def test_the_environment_made_before_is_taken_first(path):
    stand_in(path, "python3.13", "3.13")
    stand_in(path.parent, ".venv/bin/python", "3.12")
    assert find(path).stdout == ".venv/bin/python\n"


def test_the_one_asked_for_is_taken_or_nothing(path):
    stand_in(path, "python3.13", "3.13")
    stand_in(path, "mine", "3.11")
    stand_in(path, "old", "3.9")
    assert find(path, "mine").stdout == "mine\n"
    refusal = find(path, "old")
    assert (refusal.returncode, refusal.stdout) == (1, "")
    assert "old (3.9)" in refusal.stderr


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14", "3.20"])
def test_a_python_out_of_range_gets_one_clear_error(path, version):
    stand_in(path, "python3", version)
    refusal = find(path)
    assert (refusal.returncode, refusal.stdout) == (1, "")
    assert refusal.stderr.count("\n") == 1
    assert f"python3 ({version})" in refusal.stderr
    assert "needs Python 3.11, 3.12 or 3.13" in refusal.stderr


def test_no_python_gets_one_clear_error(path):
    assert "found: none" in find(path).stderr


def test_a_missing_venv_module_gets_one_clear_error(path):
    stand_in(path, "python3", "3.12", venv=False)
    refusal = find(path)
    assert (refusal.returncode, refusal.stdout) == (1, "")
    assert refusal.stderr.count("\n") == 1
    assert "python3.12-venv" in refusal.stderr


def test_uv_makes_up_for_a_missing_venv_module(path):
    stand_in(path, "python3", "3.12", venv=False)
    stand_in(path, "uv", "0")
    assert find(path).stdout == "python3\n"


# --- bootstrap.py -----------------------------------------------------------------


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The script as a module that believes to live in an empty course."""
    source = REPOSITORY / "scripts" / "bootstrap.py"
    spec = importlib.util.spec_from_file_location("bootstrap", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "BIN", tmp_path / ".venv" / "bin")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "vae_edu.json")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "requirements.lock").write_text("torch==2\n")
    return module


@pytest.fixture
def installed(bootstrap, monkeypatch) -> list[str]:
    """Make the environments' making and filling a matter of record only."""
    record: list[str] = []

    def make_venv() -> None:
        shutil.rmtree(bootstrap.VENV, ignore_errors=True)
        bootstrap.BIN.mkdir(parents=True)
        (bootstrap.BIN / "python").symlink_to(sys.executable)
        record.append("venv")

    monkeypatch.setattr(bootstrap, "make_venv", make_venv)
    monkeypatch.setattr(bootstrap, "install", record.append)
    return record


def test_the_second_time_nothing_is_installed(bootstrap, installed):
    bootstrap.prepare("course")
    bootstrap.prepare("course")
    assert installed == ["venv", "course"]


def test_more_packages_are_added_and_never_taken_away(bootstrap, installed):
    bootstrap.prepare("course")
    bootstrap.prepare("dev")
    bootstrap.prepare("course")
    assert installed == ["venv", "course", "dev"]
    bootstrap.ROOT.joinpath("requirements.lock").write_text("torch==3\n")
    bootstrap.prepare("course")
    assert installed == ["venv", "course", "dev", "dev"]


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock"])
def test_changed_dependencies_are_installed(bootstrap, installed, name):
    bootstrap.prepare("course")
    bootstrap.ROOT.joinpath(name).write_text("changed")
    bootstrap.prepare("course")
    assert installed == ["venv", "course", "course"]


def test_an_interrupted_installation_does_not_count(bootstrap, installed, monkeypatch):
    def fail(extra: str) -> None:
        raise bootstrap.BootstrapError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "install", fail)
        with pytest.raises(bootstrap.BootstrapError):
            bootstrap.prepare("course")
    bootstrap.prepare("course")
    assert installed == ["venv", "venv", "course"]


def test_an_environment_that_cannot_run_is_made_anew(bootstrap, installed):
    bootstrap.prepare("course")
    (bootstrap.BIN / "python").unlink()
    bootstrap.prepare("course")
    assert installed == ["venv", "course"] * 2


def test_an_environment_made_in_another_folder_is_made_anew(bootstrap, installed):
    bootstrap.prepare("course")
    stamp = json.loads(bootstrap.STAMP.read_text())
    bootstrap.STAMP.write_text(json.dumps(stamp | {"root": "/elsewhere"}))
    bootstrap.prepare("course")
    assert installed == ["venv", "course"] * 2


def test_another_python_asked_for_makes_the_environment_anew(
    bootstrap, installed, monkeypatch
):
    bootstrap.prepare("course")
    monkeypatch.setenv("PYTHON", "python")
    bootstrap.prepare("course")
    assert installed == ["venv", "course"]
    monkeypatch.setattr(bootstrap, "python_version", lambda: "3.99")
    bootstrap.prepare("course")
    assert installed == ["venv", "course"] * 2


def test_pip_takes_over_where_uv_fails(bootstrap, monkeypatch):
    tried = []

    def attempt(command: list[object]) -> bool:
        tried.append([str(word) for word in command])
        return "pip" in tried[-1] and tried[-1][0] != "uv"

    monkeypatch.setattr(bootstrap, "attempt", attempt)
    monkeypatch.setattr(bootstrap, "works", lambda command: command == "uv")
    bootstrap.install("dev")
    assert [command[0] for command in tried] == ["uv", str(bootstrap.BIN / "python")]
    for command in tried:
        assert command[-4:] == [
            "--constraint",
            "requirements.lock",
            "--editable",
            ".[dev]",
        ]


def test_nothing_to_install_with_is_one_clear_error(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "attempt", lambda command: False)
    monkeypatch.setattr(bootstrap, "works", lambda command: False)
    with pytest.raises(bootstrap.BootstrapError, match="Remedy"):
        bootstrap.install("dev")
    with pytest.raises(bootstrap.BootstrapError, match="-venv"):
        bootstrap.make_venv()


def test_the_environment_is_activated(bootstrap, monkeypatch):
    """nbgrader calls `alembic` by its name alone."""
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    environment = bootstrap.activated()
    assert environment["PATH"].split(os.pathsep)[0] == str(bootstrap.BIN)
    assert environment["VIRTUAL_ENV"] == str(bootstrap.VENV)
    assert "PYTHONHOME" not in environment


# --- system packages --------------------------------------------------------------


@pytest.fixture
def machine(bootstrap, monkeypatch) -> types.SimpleNamespace:
    """A machine without chromium and bubblewrap, whose apt-get can be watched."""
    state = types.SimpleNamespace(commands={"apt-get"}, user=0, ran=[], has_lists=True)

    def attempt(command: list[str]) -> bool:
        state.ran.append(" ".join(command))
        if "update" in command:
            state.has_lists = True
        elif "install" in command and state.has_lists:
            state.commands.add({"bubblewrap": "bwrap"}.get(command[-1], command[-1]))
        elif command[0] == "sudo" and command[-1] == "true":
            return state.sudo
        return state.has_lists

    state.sudo = False
    monkeypatch.setattr(bootstrap, "attempt", attempt)
    monkeypatch.setattr(bootstrap.os, "geteuid", lambda: state.user)
    monkeypatch.setattr(
        bootstrap.shutil, "which", lambda name: name if name in state.commands else None
    )
    return state


def test_root_gets_what_is_missing(bootstrap, machine, capsys):
    bootstrap.get_system_packages()
    assert {"chromium", "bwrap"} <= machine.commands
    assert "skipped" not in capsys.readouterr().out


def test_nothing_is_done_where_nothing_is_missing(bootstrap, machine, capsys):
    machine.commands |= {"google-chrome", "bwrap"}
    bootstrap.get_system_packages()
    assert machine.ran == []
    assert capsys.readouterr().out == ""


def test_the_lists_are_fetched_only_where_they_must_be(bootstrap, machine):
    machine.has_lists = False
    machine.commands.add("chromium")
    bootstrap.get_system_packages()
    assert ["update" in line for line in machine.ran] == [False, True, False]
    assert "bwrap" in machine.commands


def test_a_user_who_may_not_install_is_told_what_is_skipped(bootstrap, machine, capsys):
    machine.user = 1000
    bootstrap.get_system_packages()
    shown = capsys.readouterr().out
    assert "the tests in a real browser will be skipped" in shown
    assert "the tests of the sandbox for submissions will be skipped" in shown
    assert "install" not in " ".join(machine.ran)


def test_sudo_without_a_password_will_do(bootstrap, machine):
    machine.user, machine.sudo = 1000, True
    machine.commands.add("sudo")
    bootstrap.get_system_packages()
    assert {"chromium", "bwrap"} <= machine.commands
    assert machine.ran[-1].startswith("sudo -n env")


# --- lab --------------------------------------------------------------------------


def started(bootstrap, monkeypatch, *arguments: str) -> list[str]:
    """The command that `lab` would become."""
    commands: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "prepare", lambda extra: None)
    monkeypatch.setattr(bootstrap, "get_data", lambda: None)
    monkeypatch.setattr(bootstrap, "start", commands.append)
    bootstrap.lab(arguments)
    return commands[0]


def test_lab_opens_the_first_lesson(bootstrap, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    lesson = bootstrap.ROOT / bootstrap.FIRST_LESSON
    assert not any("default_url" in word for word in started(bootstrap, monkeypatch))
    lesson.parent.mkdir(parents=True)
    lesson.write_text("{}")
    command = started(bootstrap, monkeypatch, "--port=9999")
    assert f"--LabApp.default_url=/lab/tree/{bootstrap.FIRST_LESSON}" in command
    assert command[-1] == "--port=9999"
    assert "--no-browser" not in command


def test_lab_opens_no_browser_where_there_is_no_display(bootstrap, monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(bootstrap.sys, "platform", "linux")
    assert started(bootstrap, monkeypatch).count("--no-browser") == 1
    assert started(bootstrap, monkeypatch, "--no-browser").count("--no-browser") == 1


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_lab_allows_root_only_to_root(bootstrap, monkeypatch, user, allowed):
    monkeypatch.setattr(bootstrap.os, "geteuid", lambda: user)
    assert ("--allow-root" in started(bootstrap, monkeypatch)) == allowed


# --- the tests --------------------------------------------------------------------

FAKE = "import sys; print('said', *sys.argv[1:]); sys.exit({})"


@pytest.mark.parametrize("code", [0, 1])
def test_both_halves_run_and_a_failure_of_either_counts(bootstrap, capfd, code):
    course = f"int('tests/course' in sys.argv) * {code}"
    for failing in (course, f"{code} - {course}"):
        fake = [sys.executable, "-c", FAKE.format(failing)]
        assert bool(bootstrap.run_halves(fake)) is bool(code)
        first, second = re.findall("said .*", capfd.readouterr().out)
        assert "tests/course " in first
        assert "tests/package tests/attacks" in second


def test_the_halves_leave_no_test_out_and_run_none_twice(bootstrap, root):
    there = {p.parent.relative_to(root) for p in root.glob("tests/**/test_*.py")}
    lessons = {p.parent.parent for p in root.glob("solutions/**/test_*.py")}
    there |= {p.relative_to(root) for p in lessons}
    words = {word for half in bootstrap.HALVES for word in half}
    assert {str(p) for p in there} < words
    assert f"--ignore={bootstrap.SLOWEST}" in bootstrap.HALVES[0]
    assert bootstrap.SLOWEST in bootstrap.HALVES[1]
    assert (root / bootstrap.SLOWEST).is_file()
