"""`vae-edu grade`, killed at any moment and started again: no grade lost or repeated.

The test is the reaper of every orphan, so that no process of a killed run can hide.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from vae_edu.grading.wall.keeper import descendants

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]

LESSON = "04_kl_divergence"
ANSWER = """
import time
time.sleep(0.3)
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1) + 0 * {number}
"""
SET_SUBREAPER = 36
COUNT = 8


@pytest.fixture(scope="module")
def judge(tmp_path_factory, root):
    """A copy of what decides a grade: an edit in the checkout would change the keys."""
    copy = tmp_path_factory.mktemp("judge")
    for name in ("vae_edu", "solutions"):
        without = shutil.ignore_patterns("__pycache__", "*.ipynb")
        shutil.copytree(root / name, copy / name, ignore=without)
    shutil.copy(root / "pyproject.toml", copy)
    return copy


@pytest.fixture
def course(tmp_path, judge, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(judge))
    for number in range(COUNT):
        source = ANSWER.replace("{number}", str(number))
        cell = {"cell_type": "code", "metadata": {}, "source": source}
        folder = tmp_path / "submitted" / f"student {number}" / LESSON
        folder.mkdir(parents=True)
        book = {"nbformat": 4, "metadata": {}, "cells": [cell]}
        (folder / f"{LESSON}.ipynb").write_text(json.dumps(book))
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def left():
    """What runs below this test that did not before it, zombies reaped."""
    control = ctypes.CDLL(None).prctl
    control(SET_SUBREAPER, 1, 0, 0, 0)
    before = {*descendants(os.getpid())}

    def now(seconds=60.0):
        until = time.monotonic() + seconds
        while True:
            found = {*descendants(os.getpid())} - before
            for pid in found:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            found &= {*descendants(os.getpid())}
            if not found or time.monotonic() > until:
                return [*map(words_of, found)]
            time.sleep(0.05)

    yield now
    control(SET_SUBREAPER, 0, 0, 0, 0)


def words_of(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return f"{pid}, gone meanwhile"


@pytest.fixture
def lasting(course):
    """The course, so that its run is still at work when the test has seen a grade."""
    for number in (COUNT - 2, COUNT - 1):
        folder = course / "submitted" / f"student {number}" / LESSON
        path = folder / f"{LESSON}.ipynb"
        path.write_text(path.read_text().replace("sleep(0.3)", "sleep(5)"))
    return course


def start(course, jobs=2, **more):
    command = [sys.executable, "-m", "vae_edu.cli", "grade", LESSON]
    return subprocess.Popen(
        [*command, "--jobs", str(jobs), "--course", str(course)],
        env={**os.environ, "TMPDIR": str(course / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **more,
    )


def kept(course):
    """The grades in the store: which file, written when."""
    files = (course / "grades").glob(f"{LESSON}/??/*.json")
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in files}


def until_grades(course, count, run):
    """Wait until so many grades are there, or the run has ended."""
    while len(kept(course)) < count and run.poll() is None:
        time.sleep(0.005)


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_and_started_again(course, left, jobs):
    found = {}
    for moment in (0, 1, COUNT // 2):
        run = start(course, jobs)
        if moment:
            until_grades(course, len(found) + 1 if moment == 1 else moment, run)
        else:
            time.sleep(random.uniform(0.5, 6))  # of importing, and starting workers
        time.sleep(random.uniform(0, 0.4))
        run.kill()
        run.communicate()
        assert left() == []
        now = kept(course)
        assert found.items() <= now.items()
        found = now
    last = start(course, jobs)
    said, _ = last.communicate(timeout=240)
    assert last.returncode == 0, said
    assert found.items() <= kept(course).items()
    assert len(kept(course)) == COUNT
    assert f"{COUNT} graded ({len(found)} of them by an earlier run)" in said
    assert left() == []
    assert [*course.rglob(".*.tmp"), *(course / "tmp").iterdir()] == []


def test_a_worker_that_is_killed_is_replaced(lasting, left):
    run = start(lasting)
    until_grades(lasting, 1, run)
    os.kill(next(p for p in descendants(run.pid) if is_worker(p)), signal.SIGKILL)
    said, _ = run.communicate(timeout=240)
    assert run.returncode == 0, said
    assert f"{COUNT} graded" in said
    assert len(kept(lasting)) == COUNT
    assert left() == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_control_c_stops_in_a_line_and_the_same_command_goes_on(lasting, left, jobs):
    run = start(lasting, jobs, start_new_session=True)
    until_grades(lasting, 1, run)
    os.killpg(run.pid, signal.SIGINT)
    said, _ = run.communicate(timeout=240)
    assert run.returncode == 130
    assert said.splitlines()[-1].startswith("Stopped. Grades are kept")
    assert "Traceback" not in said
    assert 0 < len(kept(lasting)) < COUNT
    assert left() == []


@pytest.mark.parametrize("after", [0.2, 0.6])  # seconds
def test_control_c_while_workers_start_says_nothing_more(course, left, after):
    run = start(course, 3, start_new_session=True)
    while run.poll() is None and not any(map(is_worker, descendants(run.pid))):
        time.sleep(0.01)
    time.sleep(after)
    os.killpg(run.pid, signal.SIGINT)
    said, _ = run.communicate(timeout=240)
    assert run.returncode == 130
    assert "Traceback" not in said
    assert left() == []


def is_worker(pid):
    return "spawn_main" in words_of(pid)
