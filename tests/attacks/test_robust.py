"""Whatever is handed in ends with a grade or a clear reason, and the run goes on.

The same submissions go through `vae-edu grade` and through a real `nbgrader autograde`
with our configuration; what nbgrader itself cannot read costs that submission alone.
"""

from __future__ import annotations

import copy
import csv
import json
import os
import shutil
import socket

import nbformat
import pytest
from nbgrader.api import MissingEntry

from tests.conftest import REPOSITORY
from tests.package.test_nbgrader import LESSON, OURS, Course
from vae_edu.cli import main

pytestmark = pytest.mark.slow

FULL, HALF = 5.0, 2.0  # points; without `gaussian_kl`
REASON = None  # a submission that has no grade, but a reason
WRONG = "def gaussian_kl(mu, log_var):\n    return mu"
MADE = {}  # name -> (what is handed in, points)


def handed_in(points, *words):
    """Register a way to write a submission: `make(solved, path)`.

    It returns a notebook, text or bytes for the file, or writes something itself.
    words: what the note in the summary says, where there are no points.
    """

    def keep(make):
        MADE[make.__name__.strip("_").replace("_", " ")] = make, points, words
        return make

    return keep


# --- no notebook ----------------------------------------------------------------------

EMPTY = handed_in(REASON, "it is empty")
NO_TEXT = handed_in(REASON, "no text in UTF-8")
CUT = handed_in(REASON, "no notebook, or cut short")
NO_NOTEBOOK = handed_in(REASON, "JSON, but no notebook")


@EMPTY
def empty(solved, path):
    return b""


@EMPTY
def blank(solved, path):
    return b" \n\r\n\t"


@EMPTY
def zeros(solved, path):
    return bytes(5000)


@NO_TEXT
def an_archive(solved, path):
    return b"PK\x03\x04\x14\x00\x08\x00\x08\x00\xff\xfe" * 99


@NO_TEXT
def utf_16(solved, path):
    return json.dumps(solved).encode("utf-16")


@CUT
def prose(solved, path):
    return "Dear teacher, my notebook does not open any more."


@CUT
def cut_short(solved, path):
    return json.dumps(solved)[:3000]


@CUT
def an_html_page(solved, path):
    return "<!DOCTYPE html><html><script>alert(1)</script></html>"


@NO_NOTEBOOK
def a_list(solved, path):
    return [solved]


@NO_NOTEBOOK
def a_number(solved, path):
    return "42"


@NO_NOTEBOOK
def without_cells(solved, path):
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}


@NO_NOTEBOOK
def cells_that_are_a_number(solved, path):
    return solved | {"cells": 3}


@NO_NOTEBOOK
def an_endless_integer(solved, path):
    return json.dumps(solved)[:-1] + ', "x": ' + "9" * 10**5 + "}"


@NO_NOTEBOOK
def endless_nesting(solved, path):
    return '{"cells": ' + "[" * 10**5 + "]" * 10**5 + "}"


@NO_NOTEBOOK
def sources_of_wrong_types(solved, path):
    for cell in solved["cells"]:
        cell["source"] = 3
    return solved


@handed_in(REASON, "200 MB, where 20 are read")
def of_200_megabytes(solved, path):
    with path.open("wb") as file:
        file.truncate(200 * 10**6)


@handed_in(REASON, "characters of code")
def of_code_without_end(solved, path):
    solved["cells"][0]["source"] = "x = f'" + "{a}" * 10**6 + "'"
    return solved


@handed_in(REASON, "it defines no exercise")
def a_stranger(solved, path):
    return solved | {"cells": []}


@handed_in(REASON, "it holds the exercises of 03_elbo")
def of_another_lesson(solved, path):
    return (REPOSITORY / "solutions" / "03_elbo" / "03_elbo.ipynb").read_bytes()


# --- no file --------------------------------------------------------------------------


@handed_in(REASON, "cannot be read: Is a directory")
def a_folder(solved, path):
    path.mkdir()


@handed_in(REASON, "pipe")
def a_pipe(solved, path):
    os.mkfifo(path)


@handed_in(REASON, "a socket")
def a_socket(solved, path):
    with socket.socket(socket.AF_UNIX) as end:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's name is 108 bytes long at most
        try:
            end.bind(path.name)
        finally:
            os.chdir(here)


@handed_in(REASON, "is a link")
def a_link_to_a_file_of_the_system(solved, path):
    path.symlink_to("/etc/passwd")


@handed_in(REASON, "is a link")
def a_link_to_another_submission(solved, path):
    path.symlink_to(path.parents[2] / "as it is" / LESSON / path.name)


@handed_in(REASON, "is a link")
def a_link_to_nowhere(solved, path):
    path.symlink_to("/nowhere/at/all")


@handed_in(REASON, "is a link")
def a_link_to_itself(solved, path):
    path.symlink_to(path)


@handed_in(REASON, "is a link")
def a_folder_that_is_a_link(solved, path):
    path.parent.rmdir()
    path.parent.symlink_to(path.parents[2] / "as it is" / LESSON)


@handed_in(REASON, "the folder is empty")
def nothing(solved, path):
    pass


@handed_in(REASON, "the folder holds homework (1).ipynb, notes.txt")
def another_name(solved, path):
    path.with_name("notes.txt").write_text("hello")
    path.with_name("homework (1).ipynb").write_text(json.dumps(solved))


@handed_in(FULL if os.geteuid() == 0 else REASON, "Permission denied")
def not_readable(solved, path):
    path.write_text(json.dumps(solved))
    path.chmod(0)


# --- notebooks of odd form ------------------------------------------------------------

GOOD = handed_in(FULL)


@GOOD
def as_it_is(solved, path):
    return solved


@GOOD
def with_a_byte_order_mark(solved, path):
    return b"\xef\xbb\xbf" + json.dumps(solved).encode()


@GOOD
def with_windows_lines(solved, path):
    for cell in solved["cells"]:
        cell["source"] = cell["source"].replace("\n", "\r\n")
    return json.dumps(solved, indent=1).replace("\n", "\r\n").encode()


@GOOD
def sources_as_lists(solved, path):
    for cell in solved["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    return solved


@GOOD
def cells_that_are_none(solved, path):
    solved["cells"][2:2] = [1, "x", None, [], {}]
    return solved


@GOOD
def metadata_of_wrong_types(solved, path):
    for cell, odd in zip(solved["cells"], ([], "x", None, 3, True), strict=False):
        cell["metadata"] = odd
    return solved | {"metadata": []}


@GOOD
def nbgrader_metadata_of_wrong_types(solved, path):
    odd = ([], "x", {"grade_id": ["x"], "solution": True}, {"grade": {}}, 3)
    for cell, value in zip(solved["cells"], odd, strict=False):
        cell["metadata"]["nbgrader"] = value
    return solved


@GOOD
def deep_metadata(solved, path):
    deep = {}
    for _ in range(200):
        deep = {"a": deep}
    solved["cells"][0]["metadata"]["deep"] = deep
    return solved


@GOOD
def another_kernel(solved, path):
    solved["metadata"] = {"kernelspec": {"name": "julia", "display_name": "Julia"}}
    return solved


@GOOD
def without_a_kernel(solved, path):
    return solved | {"metadata": {}}


@GOOD
def of_the_third_format(solved, path):
    return nbformat.writes(nbformat.convert(nbformat.from_dict(solved), 3), 3)


@NO_NOTEBOOK
def of_the_third_format_and_broken(solved, path):
    return {"nbformat": 3, "worksheets": [[], {"cells": 3}]}


@GOOD
def of_a_fifth_format(solved, path):
    return solved | {"nbformat": 5, "nbformat_minor": 0}


@GOOD
def of_a_format_in_words(solved, path):
    return solved | {"nbformat": "four"}


@GOOD
def of_no_format(solved, path):
    del solved["nbformat"], solved["nbformat_minor"]
    return solved


@GOOD
def with_pictures(solved, path):
    shown = {"image/png": "iVBORw0KGgo" * 300_000}
    output = {"output_type": "display_data", "data": shown, "metadata": {}}
    solved["cells"][0]["outputs"] = [output]
    return solved


@GOOD
def of_many_cells(solved, path):
    note = {"cell_type": "markdown", "metadata": {}, "source": "note"}
    solved["cells"] += [note | {"id": f"c{n}"} for n in range(2000)]
    return solved


@GOOD
def not_a_number(solved, path):
    return solved | {"metadata": {"x": float("nan"), "y": float("-inf")}}


# --- cells that were edited -----------------------------------------------------------


@handed_in(HALF)
def a_zero_byte_in_an_answer(solved, path):
    cell_of(solved, "gaussian_kl")["source"] += "\n# \0"
    return solved


@GOOD
def a_zero_byte_beside(solved, path):
    solved["cells"].insert(0, code("x = 1 # \0"))
    return solved


@GOOD
def a_lone_surrogate_beside(solved, path):
    solved["cells"].insert(0, code("x = '\ud800'"))
    return solved


@GOOD
def no_python_beside(solved, path):
    solved["cells"].insert(0, code("this is (no Python"))
    return solved


@handed_in(HALF)
def an_answer_of_no_python(solved, path):
    cell_of(solved, "gaussian_kl")["source"] = "def gaussian_kl(mu, log_var:"
    return solved


@handed_in(FULL)
def an_answer_twice(solved, path):
    """What counts is the answer as it stood at its check."""
    again = copy.deepcopy(cell_of(solved, "gaussian_kl"))
    solved["cells"].append(again | {"source": WRONG, "id": "again"})
    return solved


@GOOD
def checks_twice(solved, path):
    again = copy.deepcopy(cell_of(solved, "test_gaussian_kl"))
    solved["cells"] += [again | {"id": "again"}]
    return solved


@handed_in(HALF)
def without_an_answer(solved, path):
    solved["cells"].remove(cell_of(solved, "gaussian_kl"))
    return solved


@GOOD
def without_checks(solved, path):
    keep = [c for c in solved["cells"] if not (named(c) or "").startswith("test_")]
    return solved | {"cells": keep}


@GOOD
def without_metadata(solved, path):
    for cell in solved["cells"]:
        cell["metadata"] = {}
    return solved


@GOOD
def renamed(solved, path):
    for name in ("gaussian_kl", "test_gaussian_kl"):
        cell_of(solved, name)["metadata"]["nbgrader"]["grade_id"] = f"my {name}"
    return solved


@GOOD
def exchanged(solved, path):
    one, other = (cell_of(solved, f"test_{n}") for n in ("gaussian_kl", OTHER))
    names = [c["metadata"]["nbgrader"] for c in (one, other)]
    one["metadata"]["nbgrader"], other["metadata"]["nbgrader"] = names[::-1]
    return solved


OTHER = "expected_log_q"


@GOOD
def worth_more(solved, path):
    cell_of(solved, "test_gaussian_kl")["metadata"]["nbgrader"]["points"] = 1000
    return solved


@GOOD
def checks_that_do_nothing(solved, path):
    cell_of(solved, "test_gaussian_kl")["source"] = "pass"
    return solved


@GOOD
def an_answer_marked_as_a_check(solved, path):
    given = cell_of(solved, "gaussian_kl")["metadata"]["nbgrader"]
    given |= {"grade": True, "solution": False, "locked": True, "points": 9}
    return solved


@GOOD
def an_answer_made_text(solved, path):
    cell = cell_of(solved, "gaussian_kl")
    cell["cell_type"] = "markdown"
    for key in ("outputs", "execution_count"):
        cell.pop(key, None)
    return solved


@GOOD
def a_check_made_text(solved, path):
    cell = cell_of(solved, "test_gaussian_kl")
    cell["cell_type"] = "raw"
    for key in ("outputs", "execution_count"):
        cell.pop(key, None)
    return solved


@GOOD
def of_a_newer_schema(solved, path):
    for cell in solved["cells"]:
        cell["metadata"].get("nbgrader", {})["schema_version"] = 99
    return solved


@GOOD
def of_an_older_schema(solved, path):
    for cell in solved["cells"]:
        cell["metadata"].get("nbgrader", {})["schema_version"] = 1
    return solved


def code(source):
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "id": "inserted"}
    return blank | {"execution_count": None, "source": source}


def named(cell):
    return cell["metadata"].get("nbgrader", {}).get("grade_id")


def cell_of(book, name):
    return next(c for c in book["cells"] if named(c) == name)


# --- names ----------------------------------------------------------------------------

NAMES = (
    *("Ann, Maria", '"Q" O\'Neil', "=1+1", "-7;@SUM(A1)", "50% & <b> $(id) #"),
    *("Żółć 李 \U0001f600", "\x1b[31m", "[x]*?", "two\nlines"),
)
for name in NAMES:
    MADE[name] = as_it_is, FULL, ()


# --- the class ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course(tmp_path_factory, root):
    """An nbgrader course in which everybody has handed in."""
    folder = tmp_path_factory.mktemp("robust") / "course"
    solution = root / "solutions" / LESSON / f"{LESSON}.ipynb"
    made = Course(folder, solution, OURS)
    for student, (make, *_) in MADE.items():
        path = folder / "submitted" / student / LESSON / f"{LESSON}.ipynb"
        path.parent.mkdir(parents=True)
        content = make(json.loads(json.dumps(made.solved)), path)
        if content is not None:
            path.write_bytes(_bytes(content))
    return made


def _bytes(content):
    if isinstance(content, bytes):
        return content
    text = content if isinstance(content, str) else json.dumps(content)
    return text.encode()


@pytest.fixture(scope="module")
def summary(course):
    """The summary's rows after `vae-edu grade`, by student."""
    words = ["grade", LESSON, "--course", str(course.folder), "--jobs", "1"]
    assert main(words) == 1
    path = course.folder / "grades" / LESSON / "summary.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == len(MADE)
    return {row["student"].replace("'", ""): row for row in rows}


@pytest.mark.parametrize("student", MADE)
def test_a_grade_or_a_reason(summary, student):
    _, points, words = MADE[student]
    row = summary[student.replace("'", "")]
    assert row["score"] == ("" if points is None else f"{points:g}"), row["note"]
    assert points is not None or all(word in row["note"] for word in words), row["note"]
    assert row["note"].isprintable()


def test_nothing_of_a_linked_file_is_in_the_table(summary):
    assert "root" not in json.dumps(summary)


# What nbgrader cannot look for, and `vae-edu grade` can.
NOT_FOR_NBGRADER = {"[x]*?"}


@pytest.fixture(scope="module")
def autograded(course, summary):
    """The scores in the gradebook after one `nbgrader autograde` of the whole class."""
    shutil.rmtree(course.folder / "submitted" / "two\nlines")  # it ends nbgrader
    done = course.nbgrader("autograde", LESSON)
    assert done.returncode == 1
    assert "is a link; hand in the file itself" in done.stderr
    assert "pipe, a socket or a device" in done.stderr
    with course.gradebook() as book:
        return {student: _score(book, student) for student in MADE}


def _score(book, student):
    try:
        found = book.find_submission_notebook(LESSON, LESSON, student)
    except MissingEntry:
        return None
    return sum(g.auto_score or 0.0 for g in found.grades)


@pytest.mark.parametrize("student", [s for s in MADE if s != "two\nlines"])
def test_nbgrader_gives_the_same_grade_or_none(autograded, student):
    points = MADE[student][1]
    if points is None or student in NOT_FOR_NBGRADER:
        assert not autograded[student]
    else:
        assert autograded[student] == points
