"""`vae-edu grade`: whose submissions, in which processes, and the table at the end."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import pytest

from vae_edu.cli import main
from vae_edu.errors import CourseError
from vae_edu.grading.office import batch, summary
from vae_edu.grading.office.batch import Task
from vae_edu.grading.office.summary import Outcome, as_csv
from vae_edu.grading.verdict import verdicts
from vae_edu.grading.wall import enter

LESSON, TOPIC = "04_kl_divergence", "kl_divergence"
RIGHT = """
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""
WRONG = RIGHT.replace("- log_var)", "+ log_var)")
NASTY = (
    *("ann, maria", '"q"', "it's", "=1+1", "+49", "-7", "@SUM(A1)", "\uff1d1"),
    *("李 小龍 \U0001f600", "two\nlines", "tab\t=1", "\x1b[31mred", "a;=1", " "),
)


def notebook(source):
    cell = {"cell_type": "code", "metadata": {}, "source": source}
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": [cell]})


def hand_in(course, student, text):
    folder = course / "submitted" / student / LESSON
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{LESSON}.ipynb").write_text(text, encoding="utf-8")


def kept(course):
    """The grades in the store, by when they were written."""
    files = (course / "grades").glob(f"{LESSON}/??/*.json")
    return {p.name: p.stat().st_mtime_ns for p in files}


def rows(course, name="summary.csv"):
    path = course / "grades" / LESSON / name
    with path.open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


STUB = "def gaussian_kl(mu, log_var):\n    raise NotImplementedError"


@pytest.fixture
def course(tmp_path):
    for number, student in enumerate(("ana", "ben", "cem", "dia")):
        hand_in(tmp_path, student, notebook(RIGHT + f"# {number}"))
    hand_in(tmp_path, "eve", notebook(WRONG))
    return tmp_path


@pytest.fixture
def grade(course):
    """`vae-edu grade` in this process."""

    def run(*more):
        return main(["grade", LESSON, "--course", str(course), "--jobs", "1", *more])

    return run


# --- whose ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_shards_are_a_partition(count):
    class_ = [(f"student {n}", Path()) for n in range(100)]
    parts = [batch.of_shard(class_, f"{i + 1}/{count}") for i in range(count)]
    assert sorted(s for part in parts for s, _ in part) == sorted(s for s, _ in class_)
    assert all(parts)
    fewer = batch.of_shard(class_[:50], f"1/{count}")
    assert fewer == [entry for entry in parts[0] if entry in class_[:50]]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "²/3", "/"])
def test_a_shard_that_is_none_is_refused(shard):
    with pytest.raises(CourseError, match="--shard"):
        batch.of_shard([], shard)


def test_wrong_calls_are_refused_in_a_line(grade, course, capsys, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    assert main(["grade", LESSON, "--course", str(empty)]) == 2
    assert main(["grade", "99", "--course", str(course)]) == 2
    assert grade("--student", "zoë") == 2
    assert grade("--jobs", "0") == 2
    assert grade("--seconds", "nan") == 2
    assert grade("--seconds", "-1") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6
    assert all(line.startswith("vae-edu: ") for line in said)
    assert not kept(course)


def test_no_sandbox_is_said_once_and_nothing_is_run(grade, course, capsys, monkeypatch):
    monkeypatch.setattr(enter, "lacking", lambda kind: "not today")
    assert grade() == 2
    assert "no sandbox" in capsys.readouterr().err
    assert not kept(course)


# --- what is judged, and how often ----------------------------------------------------


def test_a_second_run_judges_nothing_anew(grade, course, capsys):
    assert grade() == 0
    first = kept(course)
    assert len(first) == 5
    assert rows(course)["ana"]["score"] == "3"
    assert rows(course)["eve"]["score"] == "0"
    assert grade() == 0
    assert kept(course) == first
    assert "5 of them by an earlier run" in capsys.readouterr().out
    assert not [*course.rglob(".*.tmp")]


def test_what_nbgrader_would_pass_over_is_said(grade, course, capsys):
    grade()
    assert f"nbgrader autograde {LESSON}   (reads" in capsys.readouterr().out
    for student in ("ana", "ben"):
        folder = course / "autograded" / student / LESSON
        folder.mkdir(parents=True)
        (folder / f"{LESSON}.ipynb").touch()
    grade()
    assert "--force" not in capsys.readouterr().out
    hand_in(course, "ana", notebook(WRONG + "# a later attempt"))
    grade()
    assert "of which 1 changed: ana" in capsys.readouterr().out


def test_one_that_ran_out_of_time_is_judged_again_with_more(grade, course, capsys):
    sleeps = "    time.sleep(sleeps.pop() if sleeps else 0)\n    return"
    slow = "import time\nsleeps = [5]\n" + RIGHT.replace("    return", sleeps, 1)
    hand_in(course, "dia", notebook(slow))
    assert grade("--seconds", "1.5") == 0
    assert "out of time" in rows(course)["dia"]["note"]
    before = kept(course)
    assert grade("--seconds", "1.5") == 0
    assert kept(course) == before
    capsys.readouterr()
    assert grade("--seconds", "60", "--student", "dia") == 0
    assert rows(course)["dia"]["score"] == "3"
    now = kept(course)
    assert sum(now[name] != before[name] for name in now) == 1


def test_a_submission_that_used_its_time_up_is_told_so(grade, course, monkeypatch):
    monkeypatch.setattr(verdicts, "IN_ALL", 0.5)
    slow = "import time" + RIGHT.replace("return", "time.sleep(0.5); return")
    hand_in(course, "ana", notebook(slow))
    grade("--student", "ana", "--seconds", "6")
    assert rows(course)["ana"]["note"].endswith(
        "out of time: gaussian_kl; the whole submission used its time up"
    )
    monkeypatch.setattr(verdicts, "IN_ALL", 12.0)
    hand_in(course, "ana", notebook(RIGHT))
    grade("--student", "ana")
    assert "time" not in rows(course)["ana"]["note"]


def test_one_whose_process_died_is_named_in_the_summary(grade, course):
    dies = "import os\n" + RIGHT.replace("    return", "    os._exit(0)\n    return", 1)
    hand_in(course, "dia", notebook(dies))
    assert grade("--student", "dia") == 0
    assert "its process died: gaussian_kl" in rows(course)["dia"]["note"]


def test_a_filled_notebook_beside_an_empty_one_is_told(grade, course):
    folder = course / "submitted" / "ana" / LESSON
    hand_in(course, "ana", notebook(STUB))
    (folder / f"{LESSON}-Copy1.ipynb").write_text(notebook(RIGHT))
    (folder / "notes.ipynb").write_text(notebook("x = 1"))
    (folder.parents[1] / "ben" / LESSON / "old.ipynb").write_text(notebook(WRONG))
    grade()
    assert rows(course)["ana"]["note"].endswith(
        f"{LESSON}.ipynb is not filled in; {LESSON}-Copy1.ipynb beside it is: rename "
        "it to be graded"
    )
    assert "beside" not in rows(course)["ben"]["note"]


def test_what_a_download_lost_is_in_the_summary(grade, course, tmp_path, capsys):
    downloads = tmp_path / "dl"
    downloads.mkdir()
    (downloads / "ana.ipynb").write_text(notebook(RIGHT))
    assert grade("--from", str(downloads), "--student", "ana") == 0
    (downloads / "zoe.zip").write_bytes(b"PK cut")
    capsys.readouterr()
    assert grade("--from", str(downloads)) == 1
    said = capsys.readouterr().out
    assert "not taken in:\n  zoe.zip: it is damaged or cut short" in said
    assert "the folder holds zoe.zip" in rows(course)["zoe"]["note"]


def test_a_damaged_grade_is_judged_again(grade, course):
    grade()
    before = kept(course)
    damaged = next((course / "grades").glob(f"{LESSON}/??/*.json"))
    whole = damaged.read_text()
    damaged.write_text(whole[: len(whole) // 2])
    assert grade() == 0
    assert json.loads(damaged.read_text()) == json.loads(whole)
    changed = {n for n, when in kept(course).items() if before[n] != when}
    assert changed == {damaged.name}


def test_one_student_is_regraded_and_the_table_keeps_the_others(grade, course):
    grade()
    before, table = kept(course), rows(course)
    assert grade("--student", "ana", "--regrade") == 0
    assert sum(before[n] != when for n, when in kept(course).items()) == 1
    assert rows(course) == table
    hand_in(course, "ben", notebook(WRONG + "# ben"))
    assert grade("--student", "ben", "--student", "ana") == 0
    assert rows(course) == table | {"ben": table["ben"] | rows(course)["ben"]}
    assert rows(course)["ben"]["score"] == "0"
    assert len(kept(course)) == 6


def test_shards_have_tables_of_their_own(grade, course):
    assert grade("--shard", "1/2") == grade("--shard", "2/2") == 0
    one, two = rows(course, "summary-1-of-2.csv"), rows(course, "summary-2-of-2.csv")
    assert {*one} | {*two} == {"ana", "ben", "cem", "dia", "eve"}
    assert not {*one} & {*two}
    assert not (course / "grades" / LESSON / "summary.csv").exists()


def test_a_fault_of_the_grader_costs_one_submission(grade, course, monkeypatch, capsys):
    real = batch.read_lesson

    def faulty(path, topic):
        if "ben" in str(path):
            raise ZeroDivisionError("\x1b[2J oops \ud800")
        return real(path, topic)

    monkeypatch.setattr(batch, "read_lesson", faulty)
    assert grade() == 1
    table = rows(course)
    assert "not graded: ZeroDivisionError" in table["ben"]["note"]
    assert {s for s, row in table.items() if row["score"]} == {*table} - {"ben"}
    assert "\x1b" not in capsys.readouterr().out


# --- processes that die ---------------------------------------------------------------


def mortal(task):
    """In place of `grade_task`: "once" dies at the first attempt, "always" at each."""
    mark = Path(task.course) / task.student
    again = mark.exists()
    mark.touch()
    if task.student == "always" or (task.student.startswith("once") and not again):
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(task.student, 1.0, 1.0)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("fatal", [("once",), ("always",), ("once a", "always")])
def test_a_process_that_dies_costs_its_own_submission(
    tmp_path, monkeypatch, fatal, jobs
):
    monkeypatch.setattr(batch, "grade_task", mortal)
    students = [f"s{n}" for n in range(12)]
    students[3:3] = fatal
    tasks = [Task(s, "", TOPIC, str(tmp_path)) for s in students]
    fork = multiprocessing.get_context("fork")
    made = [*batch.run(tasks, lambda: ProcessPoolExecutor(jobs, fork), 4 * jobs)]
    assert sorted(o.student for o in made) == sorted(students)
    assert [o.student for o in made if o.score is None] == ["always"][
        : "always" in fatal
    ]
    assert {o.note for o in made} <= {"", batch.DIED}


def test_an_executor_that_is_broken_already_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "grade_task", mortal)
    fork = multiprocessing.get_context("fork")
    pools = [ProcessPoolExecutor(1, fork) for _ in range(2)]
    with pytest.raises(BrokenProcessPool):
        pools[0].submit(os._exit, 1).result()
    tasks = [Task("ana", "", TOPIC, str(tmp_path))]
    made = [*batch.run(tasks, lambda: pools.pop(0), 1)]
    assert [o.student for o in made] == ["ana"]
    assert not pools


@pytest.mark.slow
def test_a_cluster_gives_the_grades_of_one_job(grade, course):
    distributed = pytest.importorskip("distributed")
    assert grade() == 0
    alone = rows(course)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        words = ["grade", LESSON, "--course", str(course), "--scheduler", address]
        before = kept(course)
        assert main([*words, "--regrade"]) == 0
    now = kept(course)
    assert now.keys() == before.keys()
    assert all(now[name] > written for name, written in before.items())
    assert rows(course) == alone


def test_a_cluster_that_is_not_there_is_said_in_a_line(grade, monkeypatch, capsys):
    distributed = pytest.importorskip("distributed")

    def nobody(*_: object, **__: object):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", nobody)
    assert grade("--scheduler", "tcp://127.0.0.1:1") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("vae-edu: No Dask scheduler answers at tcp://127.0.0.1:1: ")


# --- the table ------------------------------------------------------------------------


def test_names_survive_and_no_cell_is_a_formula():
    outcomes = [Outcome(s, 1.0, 2.0, f"={s}") for s in NASTY]
    text = as_csv(TOPIC, outcomes)
    found = [*csv.reader(text.splitlines(keepends=True))][1:]
    assert len(found) == len(NASTY)
    assert {row[0].replace("'", "") for row in found} == {
        s.replace("'", "") for s in NASTY
    }
    for row in found:
        assert row[-1].startswith("'=")
        starts = [piece.lstrip()[:1] for piece in row[0].split(";")]
        assert not {*starts} & {*"=+-@\uff1d"}


def test_the_printed_table_has_a_line_a_student_and_no_control_characters():
    text = summary.summary(TOPIC, [Outcome(s, 1.0, 2.0, s) for s in NASTY])
    assert len(text.splitlines()) == len(NASTY) + 3
    assert all(c.isprintable() or c == "\n" for c in text)


def test_names_that_no_encoding_holds_are_written_out(tmp_path, capsys):
    outcomes = [Outcome("\udcff\udc80", 1.0, 2.0), Outcome("ana", None, 0.0, "\ud800")]
    (tmp_path / "grades" / LESSON).mkdir(parents=True)
    assert summary.conclude(tmp_path, TOPIC, outcomes) == 1
    assert "\\udcff\\udc80" in rows(tmp_path)
    assert "ana  " in capsys.readouterr().out


def test_a_terminal_without_the_letters_still_shows_the_table(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    summary.say("zoë")
    terminal.flush()
    assert terminal.buffer.getvalue() == b"zo\\xeb\n"


def test_a_table_of_another_course_is_not_merged():
    before = [["student", "score"], ["old", "1"]]
    assert "old" not in as_csv(TOPIC, [Outcome("ana", 1.0, 2.0)], before)


def test_an_interrupt_whose_exception_was_lost_is_heeded_at_the_next_outcome():
    with batch._heeding_interrupts() as asked:
        seen = batch._until(asked, iter([1, 2]))
        assert next(seen) == 1
        with suppress(KeyboardInterrupt):  # as where a callback swallows it
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            next(seen)
