"""From an LMS's downloads to `submitted/`: each file is its student's, none is lost."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from vae_edu.errors import CourseError
from vae_edu.grading import collect

LESSON = "04_kl_divergence"


@pytest.fixture
def downloads(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "course"
    folder.mkdir()
    return folder


def put(folder, files):
    """Files by name; each is a second younger than the one before."""
    for number, (name, text) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1e9 + number, 1e9 + number))


def taken(downloads, course):
    """Student -> {file: text}, after the downloads were taken in."""
    collect.take_in(str(downloads), course, "4")
    return {
        folder.name: {p.name: p.read_text() for p in (folder / LESSON).iterdir()}
        for folder in (course / "submitted").iterdir()
    }


def only(text):
    return {f"{LESSON}.ipynb": text}


def test_canvas_names(downloads, course):
    files = {
        f"doejane_12_345_{LESSON}.ipynb": "jane",
        f"lidan_LATE_13_346_{LESSON}.ipynb": "dan",
        f"lidan_14_347_{LESSON}-1.ipynb": "another dan",
    }
    put(downloads, files)
    assert taken(downloads, course) == {
        "doejane_12": only("jane"),
        "lidan_13": only("dan"),
        "lidan_14": only("another dan"),
    }


def test_moodle_names_as_folders_and_as_files(downloads, course):
    files = {
        f"Jane Doe_77_assignsubmission_file/{LESSON}.ipynb": "jane",
        f"Zoë O'Hara, Jr._78_assignsubmission_file_/my notes/{LESSON}.ipynb": "zoë",
        f"Dan_B_79_assignsubmission_file_{LESSON}.ipynb": "dan",
        "Dan_B_79_assignsubmission_onlinetext/onlinetext.html": "see my file",
    }
    put(downloads, files)
    assert taken(downloads, course) == {
        "Jane Doe_77": only("jane"),
        "Zoë O'Hara, Jr._78": only("zoë"),
        "Dan_B_79": only("dan"),
    }


def test_plain_names_as_folders_and_as_files(downloads, course):
    files = {
        f"ana/{LESSON}.ipynb": "ana",
        f"ben/deeper/{LESSON}.ipynb": "ben",
        f"cem_{LESSON}.ipynb": "cem",
        f"{LESSON} dia.ipynb": "dia",
        "eve (1).ipynb": "eve",
    }
    put(downloads, files)
    found = taken(downloads, course)
    assert found == {s: only(s) for s in ("ana", "ben", "cem", "dia", "eve")}


def test_the_latest_attempt_counts(downloads, course):
    files = {
        f"doejane_12_900_{LESSON}.ipynb": "third by its number",
        f"doejane_12_345_{LESSON}.ipynb": "first",
        f"doejane_12_346_{LESSON}.ipynb": "second",
        "ana.ipynb": "first",
        "ana (1).ipynb": "second",
        "ana (2).ipynb": "third",
    }
    put(downloads, files)
    expected = {"doejane_12": only("third by its number"), "ana": only("third")}
    assert taken(downloads, course) == expected


def test_a_notebook_of_the_lesson_goes_before_younger_files(downloads, course):
    files = {
        f"ana/{LESSON}.ipynb": "this lesson",
        "ana/03_elbo.ipynb": "another lesson",
        "ana/readme.txt": "thanks",
        "ben/solution.ipynb": "named freely",
        "ben/notes.pdf": "notes",
    }
    put(downloads, files)
    expected = {"ana": only("this lesson"), "ben": only("named freely")}
    assert taken(downloads, course) == expected


def test_names_that_nbgrader_cannot_find_again_are_changed(downloads, course):
    put(
        downloads,
        {"a[b]*?.ipynb": "ab", "two\nlines/x.ipynb": "two", "ż+=1.ipynb": "ż"},
    )
    found = taken(downloads, course)
    assert found == {"a_b___": only("ab"), "two_lines": only("two"), "ż+=1": only("ż")}


def test_a_file_of_another_kind_keeps_its_name(downloads, course):
    put(downloads, {"ana/answer.pdf": "pdf"})
    assert taken(downloads, course) == {"ana": {"answer.pdf": "pdf"}}


def test_what_is_replaced_is_kept(downloads, course):
    for text in ("first", "second", "second", "first"):
        put(downloads, {"ana.ipynb": text})
        assert taken(downloads, course) == {"ana": only(text)}
    kept = [*(course / "grades" / LESSON / "replaced" / "ana").iterdir()]
    assert sorted(p.read_text() for p in kept) == ["first", "second"]


def test_links_hidden_files_and_pipes_are_left_alone(downloads, course, tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_text("not theirs")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "x.ipynb").write_text("not theirs")
    put(downloads, {"ana.ipynb": "ana", "__MACOSX/b.ipynb": "", ".c.ipynb": ""})
    (downloads / "eve.ipynb").symlink_to(secret)
    (downloads / "mal").symlink_to(tmp_path / "others")
    os.mkfifo(downloads / "pipe.ipynb")
    assert taken(downloads, course) == {"ana": only("ana")}


def test_nothing_to_take_in_is_said(downloads, course):
    with pytest.raises(CourseError, match="no file in"):
        collect.take_in(str(downloads), course, "4")
    with pytest.raises(CourseError, match=r"no folder .*gone"):
        collect.take_in(str(downloads / "gone"), course, "4")


def test_the_course_is_named_or_where_one_is(course, monkeypatch, root):
    assert collect.course_folder(str(course)) == course
    monkeypatch.chdir(course)
    assert collect.course_folder(None) == root
    (course / "nbgrader_config.py").touch()
    assert collect.course_folder(None) == Path.cwd()
    (course / "nbgrader_config.py").unlink()
    (course / "submitted").mkdir()
    assert collect.course_folder(None) == Path.cwd()
    monkeypatch.chdir(course / "submitted")
    assert collect.course_folder(None) == Path.cwd().parent
    with pytest.raises(CourseError, match="--course"):
        collect.course_folder(str(course / "gone"))


# --- run folders of lesson 10 ---------------------------------------------------------

TENTH = "10_full_mnist_run"


def runs(downloads, course):
    """Student -> {file: text} of the run folder, after the downloads were taken in."""
    collect.take_in(str(downloads), course, "10")
    return {
        folder.name: {p.name: p.read_text() for p in (folder / TENTH / "run").iterdir()}
        for folder in (course / "submitted").iterdir()
        if (folder / TENTH / "run").is_dir()
    }


def packed(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def test_a_run_folder_comes_along(downloads, course):
    put(
        downloads,
        {
            f"ada/{TENTH}.ipynb": "book",
            "ada/run/run.json": "{}",
            "ada/run/card.md": "card",
            f"bob/{TENTH}.ipynb": "book",
            f"Carl Li_7_assignsubmission_file/{TENTH}.ipynb": "book",
            "Carl Li_7_assignsubmission_file/run/run.json": "carl's",
        },
    )
    assert runs(downloads, course) == {
        "ada": {"run.json": "{}", "card.md": "card"},
        "Carl Li_7": {"run.json": "carl's"},
    }


@pytest.mark.parametrize("above", ["run/", "mine/run/", ""])
def test_so_does_one_that_was_packed(downloads, course, above):
    put(downloads, {f"doejane_12_345_{TENTH}.ipynb": "book"})
    files = {f"{above}run.json": "{}", f"{above}card.md": "card"}
    packed(downloads / "doejane_12_346_run.zip", files)
    assert runs(downloads, course) == {
        "doejane_12": {"run.json": "{}", "card.md": "card"}
    }


def test_the_newest_run_counts_and_what_it_replaces_is_kept(downloads, course):
    put(downloads, {f"ada/{TENTH}.ipynb": "book", "ada/run/run.json": "old"})
    assert runs(downloads, course) == {"ada": {"run.json": "old"}}
    put(downloads, {"ada/run/run.json": "new"})
    assert runs(downloads, course) == {"ada": {"run.json": "new"}}
    assert runs(downloads, course) == {"ada": {"run.json": "new"}}
    kept = [*(course / "grades" / TENTH / "replaced" / "ada").iterdir()]
    assert [(p / "run.json").read_text() for p in kept] == ["old"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_an_archive_that_cannot_be_unpacked_is_told(downloads, course, content):
    put(downloads, {f"ada/{TENTH}.ipynb": "book"})
    (downloads / "ada" / "run.zip").write_bytes(content)
    assert runs(downloads, course) == {"ada": {"run.zip could not be unpacked": ""}}


def test_an_archive_writes_nowhere_else(downloads, course):
    put(downloads, {f"ada/{TENTH}.ipynb": "book"})
    files = {"../../run/evil.txt": "evil", "/run/also.txt": "evil", "run/ok.txt": "ok"}
    packed(downloads / "ada" / "run.zip", files)
    before = {*course.parent.rglob("*.txt")}
    assert set(runs(downloads, course)["ada"]) == {"evil.txt", "also.txt", "ok.txt"}
    written = {*course.parent.rglob("*.txt")} - before
    assert {p.parent for p in written} == {course / "submitted/ada" / TENTH / "run"}


def test_an_archive_that_grows_is_not_unpacked(downloads, course, monkeypatch):
    monkeypatch.setattr(collect.run_folder, "LARGEST", 1000)
    put(downloads, {f"ada/{TENTH}.ipynb": "book"})
    packed(downloads / "ada" / "run.zip", {"run/run.json": "0" * 1001})
    assert runs(downloads, course) == {"ada": {"run.zip could not be unpacked": ""}}


def test_other_lessons_take_no_run_folder_in(downloads, course):
    put(downloads, {f"ada/{LESSON}.ipynb": "book", "ada/run/run.json": "{}"})
    assert taken(downloads, course) == {"ada": only("book")}
