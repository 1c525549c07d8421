"""What a submitted file holds: the code that is run, the exercises that it defines.

Read as text and never run here.
"""

from __future__ import annotations

import ast
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading.verdict.reached import LONG, reached, taken, tree_of

LARGEST = 20 * 10**6  # bytes of a file that is read; outputs with pictures are large
GIVEN = ("experiment", "data", "nbval-ignore-output")  # tags of the lesson's own code
NO_EXERCISE = "it defines no exercise of the course"
TEXTS = 512  # cells that are remembered
MOST_CODE = 200_000  # characters; a lesson has 20,000, and parsing may be quadratic


@dataclass
class Submission:
    """A file's code: pieces to run in order, and the exercises that it defines."""

    path: Path
    pieces: list[str]
    wanted: list[str]
    problem: str = ""


def read(path: Path, exercise: str | None) -> Submission:
    """A file as a submission; what cannot be read becomes its `problem`."""
    try:
        pieces = _pieces(path)
    except _Unreadable as error:
        return Submission(path, [], [exercise] if exercise else [], str(error)[:500])
    wanted = [exercise] if exercise else defined(pieces)
    problem = "" if wanted else NO_EXERCISE
    return Submission(path, pieces, wanted, problem)


class _Unreadable(Exception):  # noqa: N818
    """A file that holds no code to run; the message says what is wrong with it."""


def _pieces(path: Path) -> list[str]:
    """The code of a file."""
    with _told():
        text = _text(path)
        return cells_of(text) if path.suffix == ".ipynb" else _bounded([text])


def book_in(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A notebook file's cells and metadata, however oddly it was written.

    Raises CourseError for what is no notebook, in the words of a `problem`.
    """
    try:
        with _told():
            book = json.loads(_text(path))
            return _cells(book), _dictionary(book, "metadata")
    except _Unreadable as error:
        raise CourseError(str(error)) from None


@contextmanager
def _told() -> Iterator[None]:
    """Whatever a file does to its reader, in words."""
    try:
        yield
    except UnicodeDecodeError:
        raise _Unreadable("it is no text in UTF-8, so no notebook") from None
    except json.JSONDecodeError as error:
        words = f"it is no notebook, or cut short: {error}"
        raise _Unreadable(words) from None
    except OSError as error:
        raise _Unreadable(f"it cannot be read: {error.strerror}") from None
    except _Unreadable:
        raise
    except Exception:  # JSON of any shape, and what nbformat makes of it
        raise _Unreadable("it is JSON, but no notebook") from None


def _text(path: Path) -> str:
    """A file's text."""
    if problem := _not_read(os.stat(path)):
        raise _Unreadable(problem)
    with path.open("rb") as file:
        text = file.read(LARGEST + 1).decode("utf-8-sig")
    if not text.strip("\0 \t\r\n"):
        raise _Unreadable("it is empty")
    return text


def _not_read(state: os.stat_result) -> str:
    """Why a file is not opened: a pipe or a device might never end."""
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
        return "it is no file but a pipe, a socket or a device"
    if state.st_size > LARGEST:
        most, size = LARGEST / 1e6, state.st_size / 1e6
        return f"it has {size:.0f} MB, where {most:.0f} are read"
    return ""


def unopened(path: Path) -> str:
    """Why a file that was handed in is not opened; "" where it can be.

    A link is not followed: it might lead to another's submission, or to any file.
    """
    if path.is_symlink() or path.parent.is_symlink():
        return f"{path.name} is a link; hand in the file itself"
    try:
        return _not_read(os.stat(path))
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def _bounded(texts: list[str]) -> list[str]:
    """The texts, where there is not more of them than can be parsed in good time."""
    if (length := sum(map(len, texts))) > MOST_CODE:
        raise _Unreadable(
            f"it holds {length} characters of code, where {MOST_CODE} are read"
        )
    return texts


def read_lesson(path: Path, topic: str | None) -> tuple[Submission, str]:
    """A file as a submission to a lesson; the lesson is found where none is named.

    Raises CourseError where no lesson is named and none can be told from the file.
    """
    submission = read(path, None)
    if topic is None:
        held = _lessons_of(submission)
        if not held:
            raise CourseError(f"{path.name}: {submission.problem}")
        topic = held.most_common(1)[0][0]
    return _narrowed(submission, topic), topic


def from_cells(cells: Sequence[dict[str, Any]], topic: str) -> Submission:
    """A notebook's cells as a submission to a lesson."""
    path = Path("notebook.ipynb")
    try:
        with _told():
            pieces = _codes(cells)
    except _Unreadable as error:
        return Submission(path, [], [], str(error))
    wanted = defined(pieces)
    problem = "" if wanted else NO_EXERCISE
    return _narrowed(Submission(path, pieces, wanted, problem), topic)


def _lessons_of(submission: Submission) -> Counter[str]:
    """How many exercises of each lesson a submission holds, by their names."""
    wanted = set(submission.wanted)
    return Counter(e.topic for e in catalogue.all_exercises() if e.name in wanted)


def _narrowed(submission: Submission, topic: str) -> Submission:
    """Only the exercises of a lesson are wanted; a problem where all are another's."""
    held = _lessons_of(submission)
    if held and not held[topic]:
        other = catalogue.folder_of(held.most_common(1)[0][0])
        submission.problem = f"it holds the exercises of {other}"
    names = {e.name for e in catalogue.exercises_of(topic)}
    submission.wanted = [name for name in submission.wanted if name in names]
    return submission


def cells_of(text: str) -> list[str]:
    """What of a notebook is run, in its order: all code but that of the lesson itself.

    Of the lesson's experiments only what an answer needs is run, and a check is no more
    than a mark: what its answer is there counts.
    """
    return _codes(_cells(json.loads(text)))


def _codes(cells: Sequence[dict[str, Any]]) -> list[str]:
    """What is run of some cells."""
    run = [*_sources(cells)]
    _bounded([source for source, _ in run])  # before anything is parsed
    codes = [(_plain_python(source), given) for source, given in run if source]
    needed = reached([code for code, _ in codes], _names())
    parts = [taken(code, needed) if given else code for code, given in codes]
    return [code for code in parts if code]


def _sources(cells: Sequence[dict[str, Any]]) -> Iterator[tuple[str, bool]]:
    """The text of each cell, and whether it is given.

    A check that was removed is where nbgrader puts it back: below its answer.
    """
    ids = {_grade_id(cell) for cell in cells}
    for cell in cells:
        yield _source(cell), _is_given(cell)
        name = _grade_id(cell)
        if name in _names() and f"test_{name}" not in ids:
            yield f"check({name})", False


def _cells(book: Any) -> list[dict[str, Any]]:
    """A notebook's cells, of an old format too."""
    if not isinstance(book, dict):
        raise ValueError("not a notebook")
    version = book.get("nbformat")
    if isinstance(version, int) and version < 4:
        import nbformat  # takes a while to import

        book = nbformat.convert(nbformat.from_dict(book), 4)
    return [cell for cell in book["cells"] if isinstance(cell, dict)]


def _source(cell: dict[str, Any]) -> str:
    """A cell's text, if anything of it is run; of a check, what it is about.

    An answer that was made a text cell, or marked as a check, is still one.
    """
    name = _grade_id(cell)
    about = name.removeprefix("test_")
    if about in _names() and about != name:
        return f"check({about})"
    if name not in _names():
        graded = _dictionary(_dictionary(cell, "metadata"), "nbgrader")
        check = graded.get("grade") and not graded.get("solution")
        if check or cell.get("cell_type") != "code":
            return ""
    return text_of(cell)


def text_of(cell: dict[str, Any]) -> str:
    """A cell's text, which may be a list of lines, or missing."""
    source = cell.get("source") or ""
    return source if isinstance(source, str) else "".join(source)


def _grade_id(cell: dict[str, Any]) -> str:
    graded = _dictionary(_dictionary(cell, "metadata"), "nbgrader")
    return str(graded.get("grade_id"))


def _is_given(cell: dict[str, Any]) -> bool:
    """Whether a cell is one of the lesson's experiments, maybe altered."""
    metadata = _dictionary(cell, "metadata")
    tags = metadata.get("tags")
    known = isinstance(tags, list) and any(tag in GIVEN for tag in tags)
    return known and not metadata.get("nbgrader")


def _dictionary(parent: dict[str, Any], key: str) -> dict[str, Any]:
    found = parent.get(key)
    return found if isinstance(found, dict) else {}


@cache
def _names() -> frozenset[str]:
    return frozenset(e.name for e in catalogue.all_exercises())


def _plain_python(text: str) -> str:
    """Code without IPython's magic lines; Python that has none stays as it is."""
    known = _known_plain if len(text) < LONG else _without_magic
    return known(text)


def _without_magic(text: str) -> str:
    """Code without IPython's magic lines; Python that has none stays as it is."""
    lines = re.split(r"\r\n|\r|\n", text)  # not at a form feed or U+2028, as Python
    if lines[0].startswith("%%"):
        lines = lines[1:] if re.match(r"%%(time|timeit|capture)\b", lines[0]) else []
    code = "\n".join(lines)
    if (
        tree_of(code) is not None
    ):  # a line that begins with % may go on with the last one
        return code
    magic = re.compile(r"^(\s*)([%!?].*|[\w.]+\?{1,2}\s*)$")
    return "\n".join(magic.sub(r"\1pass", line) for line in lines)


_known_plain = lru_cache(TEXTS)(_without_magic)  # most cells are alike in a whole class


def defined(pieces: Iterable[str]) -> list[str]:
    """The exercises that the pieces define at top level, in the order of the course."""
    names = {
        name
        for piece in pieces
        for name in (_known_names if len(piece) < LONG else _defined_names)(piece)
    }
    known = (e.name for e in catalogue.all_exercises() if e.name in names)
    return [*dict.fromkeys(known)]


def _defined_names(piece: str) -> set[str]:
    tree = tree_of(piece)
    if tree is None:
        return set(re.findall(r"^(?:def|class)\s+(\w+)", piece, re.M))
    names: set[str] = set()
    waiting: list[ast.stmt] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)
            }
        else:
            waiting += [
                n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)
            ]
    return names


_known_names = lru_cache(TEXTS)(_defined_names)
