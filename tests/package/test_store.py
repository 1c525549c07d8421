"""Grades on disk: found again by what decides them, whole or not there."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time

import pytest

from vae_edu.errors import CourseError
from vae_edu.grading.office import store as module
from vae_edu.grading.office.store import Store, secret, write_whole
from vae_edu.grading.verdict.answers import read
from vae_edu.grading.verdict.grade import ExerciseGrade, Finding, Grade

TOPIC = "kl_divergence"
CODE = "def gaussian_kl(mu, log_var):\n    return mu"
GRADE = Grade(
    "04_kl_divergence",
    (ExerciseGrade("gaussian_kl", "4.3", 1.5, 3.0, hidden=(Finding("t", "k"),)),),
    "bubblewrap",
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, TOPIC, "require")


def cell(source, kind="code", **more):
    return {"cell_type": kind, "metadata": {}, "source": source} | more


@pytest.fixture
def key(store, tmp_path):
    """The key of a notebook with these cells."""

    def key_of(*cells, store=store, **metadata):
        path = tmp_path / "book.ipynb"
        book = {"nbformat": 4, "metadata": metadata, "cells": cells}
        path.write_text(json.dumps(book))
        return store.key(read(path, None))

    return key_of


# --- what decides ---------------------------------------------------------------------


def test_the_code_decides(key):
    keys = {key(cell(CODE)), key(cell(CODE + " + 1")), key(cell("x = 1"), cell(CODE))}
    assert len(keys) == 3
    assert key(cell("x = 1\n"), cell(CODE)) != key(cell("x = 1\n" + CODE))


def test_outputs_and_prose_and_metadata_do_not(key):
    plain = key(cell(CODE))
    output = {"output_type": "stream", "name": "stdout", "text": "hello"}
    assert plain == key(cell(CODE, outputs=[output], execution_count=7))
    assert plain == key(cell("# Notes", "markdown"), cell(CODE))
    assert plain == key(cell(CODE), kernelspec={"name": "julia"})


def test_lesson_seed_and_policy_decide(key, tmp_path):
    (tmp_path / "other").mkdir()
    stores = [
        Store(tmp_path, TOPIC, "require"),
        Store(tmp_path, "elbo", "require"),
        Store(tmp_path, TOPIC, "off"),
        Store(tmp_path / "other", TOPIC, "require"),
    ]
    assert len({key(cell(CODE), store=s) for s in stores}) == 4


@pytest.mark.parametrize(
    ("file", "decides"),
    [
        ("solutions/04_x/hidden.py", True),
        ("vae_edu/checks/x.json", True),
        ("vae_edu/learner/x.py", True),
        ("vae_edu/grading/wall/x.py", True),
        ("vae_edu/grading/verdict/x.py", True),
        ("vae_edu/grading/office/x.py", False),
        ("vae_edu/cli.py", False),
    ],
)
def test_the_laws_and_the_judge_decide(key, tmp_path, monkeypatch, file, decides):
    course = tmp_path / "course"
    (course / file).parent.mkdir(parents=True)
    monkeypatch.setattr(module, "course_root", lambda: course)
    found = []
    for text in ("", "a", "b"):
        (course / file).write_text(text)
        module.judges.cache_clear()
        found.append(key(cell(CODE)))
    monkeypatch.undo()
    module.judges.cache_clear()
    assert len(set(found)) == (3 if decides else 1)


def test_lone_surrogates_have_a_key(key):
    assert key(cell(CODE + " # \ud800")) != key(cell(CODE + " # \ud801"))


# --- what is kept ---------------------------------------------------------------------


def test_a_grade_comes_back_as_it_was(store):
    assert store.get("ab" * 32) is None
    store.put("ab" * 32, GRADE)
    assert store.get("ab" * 32) == GRADE
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_a_damaged_grade_counts_as_none(store):
    store.put("ab" * 32, GRADE)
    (path,) = store.folder.glob("*/*.json")
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole) - 1, 37)]
    for content in (*damaged, b"null", b"[]", b"3", b'{"exercises": 3}', b"\xff\x00"):
        path.write_bytes(content)
        assert store.get("ab" * 32) is None, content
    path.write_bytes(whole)
    assert store.get("ab" * 32) == GRADE


# --- whole or not at all --------------------------------------------------------------


def test_a_reader_sees_one_text_or_the_other(tmp_path):
    path = tmp_path / "file"
    texts = {str(n) * 200_000 for n in range(2)}
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            if path.exists():
                seen.add(path.read_text())

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(30):
        for text in texts:
            write_whole(path, text)
    done.set()
    thread.join()
    assert seen
    assert seen <= texts
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CourseError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_folder_is_written_too_so_that_a_crash_keeps_the_name(
    tmp_path, monkeypatch
):
    kinds = []

    def noting(handle):
        state = os.fstat(handle)
        kinds.append((stat.S_ISDIR(state.st_mode), (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", noting)
    write_whole(tmp_path / "file", "text")
    assert kinds == [(False, False), (True, True)]


def test_no_folder_to_write_in_is_said_in_words(tmp_path):
    (tmp_path / "grades").write_text("a file")
    with pytest.raises(CourseError, match="cannot be kept"):
        Store(tmp_path, TOPIC, "require")


WRITES = """
import os, signal, sys
from pathlib import Path
from vae_edu.grading.office import store
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
store.write_whole(Path(sys.argv[1]), "half")
"""


def test_what_a_killed_run_was_writing_is_tidied_away(store, tmp_path):
    for place in ("grades/seed", f"grades/{store.folder.name}/summary.csv"):
        subprocess.run([sys.executable, "-c", WRITES, str(tmp_path / place)])
    aside = [*tmp_path.rglob(".*.tmp")]
    assert len(aside) == 2
    store.tidy()
    assert [*tmp_path.rglob(".*.tmp")] == []


def test_what_others_are_writing_stays(store, tmp_path):
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = store.folder / f".abc.{running.pid}@{module.node()}.tmp"
    elsewhere = store.folder / ".abc.1@another.machine.tmp"
    old = store.folder / ".abd.1@another.machine.tmp"
    for path in (here, elsewhere, old):
        path.touch()
    os.utime(old, (time.time() - 2 * module.OLD,) * 2)
    store.tidy()
    assert (here.exists(), elsewhere.exists(), old.exists()) == (True, True, False)
    running.communicate()
    store.tidy()
    assert not here.exists()


# --- the seed -------------------------------------------------------------------------


def test_the_seed_is_drawn_once_and_for_its_owner_alone(tmp_path):
    first = Store(tmp_path, TOPIC, "require").seed
    assert len(first) == 32
    assert Store(tmp_path, "elbo", "off").seed == first
    assert stat.S_IMODE((tmp_path / "grades" / ".seed").stat().st_mode) == 0o600
    assert [*(tmp_path / "grades").glob(".*.tmp")] == []


def test_an_empty_seed_is_refused(tmp_path):
    (tmp_path / "grades").mkdir()
    (tmp_path / "grades" / ".seed").touch()
    with pytest.raises(CourseError, match="seed is empty"):
        Store(tmp_path, TOPIC, "require")


def test_runs_that_start_at_once_have_the_same_seed(tmp_path):
    (tmp_path / "grades").mkdir()
    barrier = threading.Barrier(8)
    seeds = []

    def draw():
        barrier.wait()
        seeds.append(secret(tmp_path))

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seeds) == 8
    assert len({*seeds}) == 1
    assert len(seeds[0]) == 32
