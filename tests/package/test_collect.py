"""From an LMS's downloads to `submitted/`: each file is its student's, none is lost."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import unicodedata
import zipfile
from pathlib import Path

import pytest

from vae_edu.errors import CourseError
from vae_edu.grading.office import collect

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


# --- whatever is wrong with a file costs that file ------------------------------------


def zipped(files):
    """The bytes of an archive; a name may come twice."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files:
            archive.writestr(name, text)
    return whole.getvalue()


def marked(offset, value):
    """An archive of one member whose heads say something else of it."""
    data = bytearray(zipped([("run/run.json", "{}" * 100)]))
    data[offset] = data[data.index(b"PK\x01\x02") + offset + 2] = value
    return bytes(data)


def flipped():
    """An archive whose one member cannot be inflated."""
    data = bytearray(zipped([("run/run.json", "{}" * 100)]))
    start = 30 + len("run/run.json")
    data[start : start + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


def with_link():
    whole = io.BytesIO()
    link = zipfile.ZipInfo("run/run.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(link, "/etc/hostname")
    return whole.getvalue()


LOCKED, METHOD = 6, 8  # where a member's head has these
BAD = {
    "a bit is flipped": (flipped(), "damaged"),
    "LZMA, and no LZMA": (marked(METHOD, 14), "damaged"),
    "BZIP2, and no BZIP2": (marked(METHOD, 12), "damaged"),
    "an unknown method": (marked(METHOD, 99), "ordinary .zip"),
    "locked": (marked(LOCKED, 1), "password"),
    "cut in the middle": (zipped([("run/a", "a" * 9)])[:60], "damaged"),
    "empty": (b"", "damaged"),
    "text": (b"no archive", "damaged"),
    "many files": (zipped([(f"{i}.ipynb", "") for i in range(10_000)]), "2000 files"),
    "a link": (with_link(), "link"),
}


@pytest.mark.parametrize(("content", "why"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("lesson", [LESSON, TENTH])
def test_a_bad_archive_costs_itself_and_is_named(
    downloads, course, lesson, content, why
):
    put(downloads, {f"a/{lesson}.ipynb": "a", f"z/{lesson}.ipynb": "z"})
    (downloads / "m").mkdir()
    (downloads / "m" / "work.zip").write_bytes(content)
    said = collect.take_in(str(downloads), course, lesson)
    assert books(course, lesson) == {"a": "a", "z": "z"}
    assert len(said.lost) == 1
    assert said.lost[0].startswith("m/work.zip")
    assert why in said.lost[0]


def books(course, lesson=LESSON):
    """Student -> text of the notebook."""
    found = (course / "submitted").glob(f"*/{lesson}/{lesson}.ipynb")
    return {p.parents[1].name: p.read_text() for p in found}


def lost(said):
    """The names of what could not be taken in."""
    return [line.split(": ")[0] for line in said.lost]


def test_a_member_that_is_damaged_costs_itself(downloads, course):
    good = zipped([("first.ipynb", "x"), (f"{LESSON}.ipynb", "y" * 2000)])
    bad = good.replace(b"first.ipynb", b"0" * 11, 1)  # its own head says otherwise
    (downloads / "m").mkdir()
    (downloads / "m" / "work.zip").write_bytes(bad)
    said = collect.take_in(str(downloads), course, "4")
    assert lost(said) == ["m/work.zip/first.ipynb"]
    assert books(course) == {"m": "y" * 2000}


def test_names_too_long_for_the_disk_cost_themselves(downloads, course):
    long = "n" * 240 + ".zip"  # with words behind it, no name for a file any more
    put(downloads, {f"ada/{TENTH}.ipynb": "ada", f"z/{TENTH}.ipynb": "z"})
    (downloads / "ada" / long).write_bytes(b"PK\x03\x04 cut")
    whole = zipped([(f"{'m' * 300}.ipynb", "m"), (f"{'d' * 300}/x.ipynb", "d")])
    (downloads / "z" / "z.zip").write_bytes(whole)
    said = collect.take_in(str(downloads), course, "10")
    assert lost(said) == [f"ada/{long}"]
    assert books(course, TENTH) == {"ada": "ada", "z": "z"}
    (told,) = (course / "submitted/ada" / TENTH / "run").iterdir()
    assert told.name.startswith("nnn")


def test_a_students_name_too_long_for_the_disk_is_told(course, tmp_path):
    whole = zipped([(f"{'d' * 300}/x.ipynb", "d"), (f"ana/{LESSON}.ipynb", "ana")])
    (tmp_path / "all.zip").write_bytes(whole)
    said = collect.take_in(str(tmp_path / "all.zip"), course, "4")
    assert lost(said) == [f"{'d' * 300}/x.ipynb"]
    assert books(course) == {"ana": "ana"}


def test_links_and_pipes_are_named(downloads, course, tmp_path):
    put(downloads, {"ana.ipynb": "ana"})
    (downloads / "eve.ipynb").symlink_to("/etc/hostname")
    (downloads / "mal").symlink_to(tmp_path)
    os.mkfifo(downloads / "pipe.ipynb")
    said = collect.take_in(str(downloads), course, "4")
    assert lost(said) == ["eve.ipynb", "mal", "pipe.ipynb"]


def test_a_folder_that_cannot_be_opened_is_named(downloads, course, monkeypatch):
    put(downloads, {f"ana/{LESSON}.ipynb": "ana", f"ben/{LESSON}.ipynb": "ben"})
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("ben"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        said = collect.take_in(str(downloads), course, "4")
    assert said.lost == ("ben: permission denied",)
    assert books(course) == {"ana": "ana"}


def test_a_link_in_submitted_is_not_written_through(downloads, course, tmp_path):
    outside, others = tmp_path / "outside.ipynb", tmp_path / "others"
    outside.write_text("somebody's")
    others.mkdir()
    for student in ("ana", "ben", "cem"):
        (course / "submitted" / student).mkdir(parents=True)
    (course / "submitted/ana" / LESSON).mkdir()
    (course / "submitted/ana" / LESSON / f"{LESSON}.ipynb").symlink_to(outside)
    (course / "submitted/ben" / LESSON).symlink_to(others)
    (course / "submitted/cem" / LESSON / f"{LESSON}.ipynb").mkdir(parents=True)
    (course / "submitted/dan").symlink_to(others)
    put(downloads, {f"{s}.ipynb": s for s in ("ana", "ben", "cem", "dan", "eve")})
    said = collect.take_in(str(downloads), course, "4")
    assert outside.read_text() == "somebody's"
    assert not [*others.iterdir()]
    assert lost(said) == ["ben.ipynb", "cem.ipynb", "dan.ipynb"]
    for student in ("ana", "eve"):
        path = course / "submitted" / student / LESSON / f"{LESSON}.ipynb"
        assert not path.is_symlink()
        assert path.read_text() == student


def test_a_hard_link_in_submitted_is_not_written_through(downloads, course, tmp_path):
    outside = tmp_path / "outside.ipynb"
    outside.write_text("somebody's")
    path = course / "submitted" / "ana" / LESSON / f"{LESSON}.ipynb"
    path.parent.mkdir(parents=True)
    os.link(outside, path)
    put(downloads, {"ana.ipynb": "new"})
    assert taken(downloads, course) == {"ana": only("new")}
    assert outside.read_text() == "somebody's"


@pytest.mark.parametrize("at", ["copyfile", "replace", "file_digest"])
def test_a_run_that_is_killed_leaves_nothing_half_there(
    downloads, course, monkeypatch, at
):
    put(downloads, {"ana.ipynb": "old"})
    taken(downloads, course)
    put(downloads, {"ana.ipynb": "new" * 1000})

    def killed(*anything, **more):
        raise KeyboardInterrupt

    where = {"copyfile": shutil, "replace": os, "file_digest": hashlib}[at]
    with monkeypatch.context() as patch:
        patch.setattr(where, at, killed)
        with pytest.raises(KeyboardInterrupt):
            collect.take_in(str(downloads), course, "4")
    assert books(course) == {"ana": "old"}
    assert taken(downloads, course) == {"ana": only("new" * 1000)}


def test_what_a_killed_run_left_is_removed(downloads, course):
    left = course / "submitted" / ".taking-in-xyz"
    (left / "unpacked").mkdir(parents=True)
    put(downloads, {"ana.ipynb": "ana"})
    collect.take_in(str(downloads), course, "4")
    assert left.is_dir()  # of a run that may still be at work
    os.utime(left, (1e9, 1e9))
    assert taken(downloads, course) == {"ana": only("ana")}


# --- archives -------------------------------------------------------------------------


def test_the_lms_gives_one_archive(course, tmp_path, capsys):
    files = [
        (f"Jane Doe_77_assignsubmission_file_/{LESSON}.ipynb", "jane"),
        (f"Dan B_79_assignsubmission_file_/{LESSON}.ipynb", "dan"),
        (f"__MACOSX/Dan B_79_assignsubmission_file_/._{LESSON}.ipynb", "junk"),
        ("Eve_80_assignsubmission_file_/e.zip", zipped([(f"{LESSON}.ipynb", "eve")])),
    ]
    (tmp_path / "all.zip").write_bytes(zipped(files))
    said = collect.take_in(str(tmp_path / "all.zip"), course, "4")
    assert str(said) == ""
    assert books(course) == {"Jane Doe_77": "jane", "Dan B_79": "dan", "Eve_80": "eve"}
    assert "took in 3 submissions from 3 files\n" in capsys.readouterr().out


def test_one_is_one(downloads, course, capsys):
    put(downloads, {"ana.ipynb": "ana"})
    collect.take_in(str(downloads), course, "4")
    assert capsys.readouterr().out == "took in 1 submission from 1 file\n"


def test_a_file_that_is_no_archive_is_refused(course, tmp_path):
    (tmp_path / "all.rar").write_bytes(b"Rar!")
    with pytest.raises(CourseError, match=r"neither a folder nor a \.zip"):
        collect.take_in(str(tmp_path / "all.rar"), course, "4")
    assert not (course / "submitted").exists()


def test_names_in_an_archive_lead_nowhere_else(course, tmp_path):
    names = (f"/ana/{LESSON}.ipynb", f"../../ben/{LESSON}.ipynb")
    names += (f"cem\\{LESSON}.ipynb", f"C:/dia/{LESSON}.ipynb", "..", "/")
    (tmp_path / "all.zip").write_bytes(zipped([(n, n) for n in names]))
    before = {*tmp_path.rglob("*")}
    collect.take_in(str(tmp_path / "all.zip"), course, "4")
    made = {*tmp_path.rglob("*")} - before
    assert all(course in p.parents for p in made)
    assert {*books(course)} == {"ana", "ben", "cem", "C:"}


def test_two_entries_of_one_name_and_two_cases(course, tmp_path):
    names = (f"ana/{LESSON}.ipynb", f"ana/{LESSON}.ipynb", f"Ana/{LESSON}.ipynb")
    with pytest.warns(UserWarning, match="Duplicate"):
        whole = zipped([(n, str(i)) for i, n in enumerate(names)])
    (tmp_path / "all.zip").write_bytes(whole)
    said = collect.take_in(str(tmp_path / "all.zip"), course, "4")
    assert books(course) == {"Ana": "2", "ana": "1"}
    assert "capital letters" in str(said)


def test_a_learner_hands_in_an_archive_with_the_notebook_and_the_run(downloads, course):
    inner = zipped([("run.json", "{}")])
    files = [(f"my work/{TENTH}.ipynb", "book"), ("my work/run.zip", inner)]
    (downloads / "doejane_12_345_all.zip").write_bytes(zipped(files))
    (downloads / "ben.zip").write_bytes(
        zipped([(f"{TENTH}.ipynb", "ben"), ("run/run.json", "[]")])
    )
    assert runs(downloads, course) == {
        "doejane_12": {"run.json": "{}"},
        "ben": {"run.json": "[]"},
    }
    assert books(course, TENTH) == {"doejane_12": "book", "ben": "ben"}


def test_an_archive_of_a_notebook_alone_is_no_run(downloads, course):
    (downloads / "ben.zip").write_bytes(zipped([(f"{TENTH}.ipynb", "ben")]))
    assert runs(downloads, course) == {}
    assert books(course, TENTH) == {"ben": "ben"}


def test_archives_in_archives_come_to_an_end(downloads, course):
    whole = zipped([(f"{LESSON}.ipynb", "deep")])
    for _ in range(5):
        whole = zipped([("inner.zip", whole)])
    put(downloads, {"zoe.ipynb": "zoe"})
    (downloads / "ana.zip").write_bytes(whole)
    said = collect.take_in(str(downloads), course, "4")
    assert len(said.lost) == 1
    assert "archives" in said.lost[0]
    assert books(course) == {"zoe": "zoe"}


def test_no_learner_names_another_one(downloads, course):
    """What is in a learner's folder or archive is that learner's, whatever its name."""
    forged = f"doejane_12_999_{LESSON}.ipynb"
    put(downloads, {f"doejane_12_345_{LESSON}.ipynb": "jane"})
    (downloads / "mal.zip").write_bytes(zipped([(forged, "forged")]))
    put(downloads, {f"Mal_66_assignsubmission_file_/{forged}": "forged"})
    collect.take_in(str(downloads), course, "4")
    assert books(course)["doejane_12"] == "jane"


# --- one person is one student --------------------------------------------------------


def moodle(name, number):
    return f"{name}_{number}_assignsubmission_file_/{LESSON}.ipynb"


def test_one_id_under_two_names_is_one_student(downloads, course):
    put(downloads, {moodle("Robin Oak", 55): "old", moodle("Robin Elm", 55): "new"})
    said = collect.take_in(str(downloads), course, "4")
    assert books(course) == {"Robin Elm_55": "new"}
    assert len(said.notes) == 1
    assert "Robin Oak_55" in said.notes[0]


def test_a_changed_name_goes_to_the_folder_that_is_there(downloads, course):
    put(downloads, {f"doejane_222_900_{LESSON}.ipynb": "old"})
    assert taken(downloads, course) == {"doejane_222": only("old")}
    (downloads / f"doejane_222_900_{LESSON}.ipynb").unlink()
    put(downloads, {f"smithjane_222_901_{LESSON}.ipynb": "new"})
    said = collect.take_in(str(downloads), course, "4")
    assert books(course) == {"doejane_222": "new"}
    assert "smithjane_222" in str(said)
    collect.take_in(str(downloads), course, "5")  # another lesson knows it too
    assert [p.name for p in (course / "submitted").iterdir()] == ["doejane_222"]


def test_two_spellings_of_an_accent_are_one_student(downloads, course):
    nfc = unicodedata.normalize("NFC", "Zoë Müller")
    nfd = unicodedata.normalize("NFD", nfc)
    put(downloads, {moodle(nfd, 7): "first", f"{nfd} B.ipynb": "b"})
    collect.take_in(str(downloads), course, "4")
    put(downloads, {moodle(nfc, 7): "second", f"{nfc} B.ipynb": "b 2"})
    for path in downloads.rglob("*.ipynb"):
        if path.read_text() in ("second", "b 2"):
            os.utime(path, (2e9, 2e9))
    collect.take_in(str(downloads), course, "4")
    assert books(course) == {f"{nfc}_7": "second", f"{nfc} B": "b 2"}


def test_a_folder_of_an_earlier_course_keeps_its_spelling(downloads, course):
    nfd = unicodedata.normalize("NFD", "Zoë Müller_7")
    (course / "submitted" / nfd).mkdir(parents=True)
    put(downloads, {moodle("Zoë Müller", 7): "zoë"})
    assert taken(downloads, course) == {nfd: only("zoë")}


def test_a_folder_with_the_same_id_that_no_download_made_is_told(downloads, course):
    (course / "submitted" / "Robin Oak_55").mkdir(parents=True)
    put(downloads, {moodle("Robin Elm", 55): "new"})
    said = collect.take_in(str(downloads), course, "4")
    assert "Robin Oak_55 has the same id" in str(said)
    assert books(course) == {"Robin Elm_55": "new"}


def test_who_is_late_and_whose_id_it_is_are_remembered(downloads, course):
    put(downloads, {f"lidan_LATE_13_346_{LESSON}.ipynb": "dan", "ana.ipynb": "ana"})
    said = collect.take_in(str(downloads), course, "4")
    assert said.notes == ("late, as the LMS says: lidan_13",)
    record = course / "grades" / LESSON / "collected.csv"
    assert record.read_text().splitlines() == [
        "student,lms_id,late,file",
        "ana,,,ana.ipynb",
        f"lidan_13,13,late,lidan_LATE_13_346_{LESSON}.ipynb",
    ]


# --- which of two notebooks -----------------------------------------------------------


def book(answer):
    cells = [{"cell_type": "code", "metadata": {}, "source": answer}]
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": cells})


STUB = book(
    "def gaussian_kl(mu, log_var):\n    raise NotImplementedError('fill it in')"
)
FILLED = book("def gaussian_kl(mu, log_var):\n    return mu.sum(-1)")
OTHER = FILLED.replace("sum(-1)", "sum(-1) + 1")
NAMES = f"{LESSON}.ipynb", f"{LESSON} (1).ipynb"


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
@pytest.mark.parametrize("later", [0, 60])
def test_the_filled_in_one_of_two_counts(downloads, course, names, later):
    """However the program that unpacked them sets their times."""
    put(downloads, {f"sam/{names[0]}": FILLED, f"sam/{names[1]}": STUB})
    os.utime(downloads / "sam" / names[0], (1e9, 1e9))
    os.utime(downloads / "sam" / names[1], (1e9 + later, 1e9 + later))
    said = collect.take_in(str(downloads), course, "4")
    assert books(course) == {"sam": FILLED}
    last = names[1] if later else NAMES[1]
    assert (f"sam/{last} is not filled in" in str(said)) == (last == names[1])


def test_two_that_are_filled_in_at_one_time_are_told(downloads, course):
    put(downloads, {f"sam/{NAMES[0]}": FILLED, f"sam/{NAMES[1]}": OTHER})
    for path in (downloads / "sam").iterdir():
        os.utime(path, (1e9, 1e9))
    said = collect.take_in(str(downloads), course, "4")
    assert books(course) == {"sam": OTHER}
    assert f"of the same time there is sam/{NAMES[0]}" in str(said)


def test_a_later_attempt_that_is_filled_in_counts_without_a_word(downloads, course):
    put(downloads, {"ana.ipynb": FILLED, "ana (1).ipynb": OTHER})
    said = collect.take_in(str(downloads), course, "4")
    assert str(said) == ""
    assert books(course) == {"ana": OTHER}


def test_a_run_that_another_process_places_at_that_moment_is_no_loss(
    downloads, course, monkeypatch
):
    put(downloads, {f"ada/{TENTH}.ipynb": "book", "ada/run/run.json": "{}"})
    rename = os.replace

    def late(source, target):
        if Path(target).name == "run":
            shutil.copytree(source, target)  # the other one was faster
        rename(source, target)

    monkeypatch.setattr(os, "replace", late)
    said = collect.take_in(str(downloads), course, "10")
    assert said.lost == ()
    assert runs(downloads, course) == {"ada": {"run.json": "{}"}}
