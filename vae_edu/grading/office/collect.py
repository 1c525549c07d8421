"""From an LMS's downloads to an nbgrader course's `submitted/`.

What belongs here: which file is whose, which of several counts, and putting it in its
place. What does not: opening a download (`downloads`), reading notebooks, grading.
"""

from __future__ import annotations

import ast
import csv
import filecmp
import hashlib
import io
import os
import re
import shutil
import tempfile
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading.office import downloads
from vae_edu.grading.office.downloads import Found
from vae_edu.grading.office.store import ASIDE, FOLDER, write_whole
from vae_edu.grading.office.summary import Remarks, say
from vae_edu.grading.verdict import run_folder
from vae_edu.grading.verdict.answers import defined, read_lesson
from vae_edu.grading.verdict.plain import neutral, printable
from vae_edu.grading.verdict.run_folder import RUN
from vae_edu.paths import course_root
from vae_edu.run_files import MANIFEST
from vae_edu.work import is_unfilled

CONFIG = "nbgrader_config.py"
RECORD = "collected.csv"
_COLUMNS = ("student", "lms_id", "late", "file")
_STAGING, _OLD = ".taking-in-", 3600.0  # seconds after which one has been left behind
_CANVAS = re.compile(
    r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+)_(?P<number>\d+)_.*", re.DOTALL
)
_MOODLE = re.compile(
    r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?.*", re.DOTALL
)


def course_folder(named: str | None) -> Path:
    """The nbgrader course: the folder named, else where one stands, else the checkout.

    One stands in a course where there is `submitted/` or a configuration of nbgrader's,
    or below that. Raises CourseError where the named one is no folder.
    """
    if named is not None:
        folder = Path(named).expanduser().resolve()
        if not folder.is_dir():
            raise CourseError(f"There is no folder {named!r} (--course).")
        return folder
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "submitted").is_dir() or (folder / CONFIG).is_file():
            return folder
    return course_root()


@dataclass(frozen=True)
class Whose:
    """Who handed a file in, by its name: the student, the LMS's id, if it is late."""

    student: str
    lms_id: str = ""
    late: bool = False


@dataclass
class Collection:
    """A download that is being taken in: of a lesson, into a course."""

    course: Path
    topic: str
    staging: Path
    problems: dict[Path, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def lesson(self) -> str:
        """The lesson's folder."""
        return catalogue.folder_of(self.topic)

    def folder(self, student: str) -> Path:
        """Where nbgrader looks for a student's submission; a CourseError at a link."""
        folder = self.course / "submitted" / student / self.lesson
        for path in (folder.parent, folder):
            if path.is_symlink():
                raise CourseError(f"{path} is a link; remove it")
        return folder

    def kept(self, student: str) -> Path:
        """Where what is replaced is kept."""
        return self.course / FOLDER / self.lesson / "replaced" / student

    def lose(self, name: Path | str, why: str) -> None:
        """Say that something could not be taken in."""
        self.lost.append(f"{name}: {why}")


def take_in(source: str, course: Path, lesson: str) -> Remarks:
    """Copy each student's notebook from a download into `submitted/`.

    source: a folder, or the archive that an LMS gives. A student is told by the file's
    name as Canvas or Moodle writes it, else by its folder, else by its name. What is
    replaced is kept under `grades/`. Of a lesson with a run folder, that comes along:
    as the folder `run`, or packed as a .zip. A file that cannot be taken in costs only
    itself, and is named in what is returned. Raises CourseError where there is nothing.
    """
    place = Path(source).expanduser()
    topic = catalogue.topic_of(lesson)
    downloads.expect(place)
    with _staging(course) as staging:
        (staging / "unpacked").mkdir()
        download = downloads.gather(place, staging / "unpacked")
        own = Collection(course, topic, staging, download.problems)
        for name, problem in download.problems.items():
            own.lose(place.name if name == Path() else name, problem)
        _take_all(own, download.files, source)
    return Remarks(tuple(own.lost), tuple(own.notes))


def _take_all(own: Collection, files: Sequence[Found], source: str) -> None:
    if not files and not own.lost:
        raise CourseError(f"There is no file in {source!r}.")
    students = _by_student(own, files)
    taken = [s for s, theirs in students.items() if _take(own, s, theirs)]
    plain = sum(not f.packed for f in files)
    say(f"took in {_many(len(taken), 'submission')} from {_many(plain, 'file')}")
    if own.topic in run_folder.LESSONS:
        runs = [s for s, theirs in students.items() if _take_run(own, s, theirs)]
        say(f"took in {_many(len(runs), 'run folder')}")
    _remember(own)
    if not taken and own.lost:
        said = "; ".join(map(printable, own.lost[:5]))
        raise CourseError(f"Nothing could be taken in from {source!r}: {said}.")


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


class _staging(tempfile.TemporaryDirectory[str]):  # noqa: N801
    """A folder on the disk of `submitted/`, from where files are renamed into it.

    So that a file is there whole or not at all. What a killed run left is removed.
    """

    def __init__(self, course: Path) -> None:
        folder = course / "submitted"
        folder.mkdir(exist_ok=True)
        for left in folder.glob(f"{_STAGING}*"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > _OLD:
                    shutil.rmtree(left)
        super().__init__(prefix=_STAGING, dir=folder)

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


# --- whose a file is ------------------------------------------------------------------


def student_of(path: Path, lesson: str) -> str:
    """Who handed in a file; `path` is relative to the downloads."""
    return _whose(path, lesson).student


def _whose(path: Path, lesson: str) -> Whose:
    """As the LMS says it in the outermost folder or file; a learner names the rest.

    nbgrader looks for folders by patterns, and by expressions that end with a line: it
    would skip a student, or stop, for the few characters that are replaced here. A
    name's accents are written in one of two ways, by the program that unpacked it.
    """
    found = _named_by_lms(path) or Whose(_plain_student(path, lesson))
    name = re.sub(r"[][*?\x00-\x1f\x7f]", "_", found.student)
    return Whose(unicodedata.normalize("NFC", name), found.lms_id, found.late)


def _named_by_lms(path: Path) -> Whose | None:
    for part in path.parts:
        for pattern in (_MOODLE, _CANVAS):
            if found := pattern.fullmatch(part):
                late = bool(found.groupdict().get("late"))
                return Whose(f"{found['name']}_{found['id']}", found["id"], late)
        if part.lower().endswith(".zip"):
            return None
    return None


def _plain_student(path: Path, lesson: str) -> str:
    first = Path(path.parts[0])
    if len(path.parts) > 1 and first.suffix.lower() != ".zip":
        return first.name
    stem = re.sub(r"\s*\(\d+\)$", "", first.stem)
    return re.sub(rf"[ _-]*{re.escape(lesson)}[ _-]*", "", stem) or stem


def _by_student(own: Collection, files: Sequence[Found]) -> dict[str, list[Found]]:
    """Each student's files, in the order of their names; one id is one student."""
    groups: dict[str, list[tuple[str, Found]]] = defaultdict(list)
    for found in sorted(files, key=lambda f: f.name):
        whose = _whose(found.name, own.lesson)
        groups[whose.lms_id or f"/{whose.student}"].append((whose.student, found))
    known, there = _known(own.course), _folders(own.course)
    students: dict[str, list[Found]] = defaultdict(list)
    for key, group in groups.items():
        student = _one_name(own, key, group, known, there)
        students[student] += [found for _, found in group]
    _note_cases(own, students)
    return dict(sorted(students.items()))


def _note_cases(own: Collection, students: Iterable[str]) -> None:
    alike: dict[str, list[str]] = defaultdict(list)
    for student in sorted(students):
        alike[student.casefold()].append(student)
    for names in alike.values():
        if len(names) > 1:
            own.notes.append(
                f"{', '.join(names)}: they differ in capital letters alone, and were "
                "taken in as different students"
            )


def _one_name(
    own: Collection,
    key: str,
    group: Sequence[tuple[str, Found]],
    known: dict[str, str],
    there: dict[str, str],
) -> str:
    """The folder of one person: the one that is there already, else the newest name."""
    newest = max(group, key=lambda pair: _order(pair[1], own.lesson))[0]
    chosen = known.get(key) or there.get(newest, newest)
    spelled = unicodedata.normalize("NFC", chosen)
    if others := sorted({name for name, _ in group} - {spelled}):
        own.notes.append(
            f"{', '.join(others)}: the LMS's id {key} is that of {chosen}, so it was "
            "taken in there, as one student"
        )
    twins = [s for n, s in there.items() if n.endswith(f"_{key}") and s != chosen]
    if twins and key not in known:
        own.notes.append(
            f"{chosen}: {' and '.join(twins)} has the same id; if they are one person, "
            "keep one of the folders in submitted/"
        )
    return chosen


def _folders(course: Path) -> dict[str, str]:
    """The students that are there, by their names in one spelling."""
    folders = [p.name for p in (course / "submitted").glob("[!.]*") if p.is_dir()]
    return {unicodedata.normalize("NFC", name): name for name in folders}


# --- which of several files counts ----------------------------------------------------


def _take(own: Collection, student: str, files: Sequence[Found]) -> bool:
    """Take in one student's file; what goes wrong is told, and costs nobody else."""
    outside = [f for f in files if not f.packed]
    books = [f for f in files if f.name.suffix == ".ipynb"]
    best = None
    try:
        best = _best(own, student, books or outside)
        _place(own, best, student)
    except Exception as error:
        name = best.name if best else student
        own.lose(name, f"it was not taken in: {downloads.words_of(error)}")
        return False
    whose = _whose(best.name, own.lesson)
    late = "late" if whose.late else ""
    own.rows[student] = (student, whose.lms_id, late, str(best.name))
    return True


def _best(own: Collection, student: str, files: Sequence[Found]) -> Found:
    """The last is taken, and a notebook that is filled in before any that is not."""
    files = sorted(files, key=lambda f: _order(f, own.lesson))
    last, equals = (
        files[-1],
        [f for f in files if _rank(f, own) == _rank(files[-1], own)],
    )
    if len(equals) == 1 or not _rank(last, own)[0]:
        return last
    filled = [f for f in equals if is_filled(f.at, own.topic)]
    best = filled[-1] if filled else last
    if best is not last:
        own.notes.append(
            f"{student}: {last.name} is not filled in; {best.name} is, and counts"
        )
    if same := [f for f in filled if _when(f) == _when(best) and _differ(f, best)]:
        named = ", ".join(str(f.name) for f in same)
        own.notes.append(
            f"{student}: {best.name} counts; of the same time there is {named}"
        )
    return best


def is_filled(path: Path, topic: str) -> bool:
    """Whether a notebook defines an exercise of the lesson, and not as it was given."""
    submission, _ = read_lesson(path, topic)
    return any(
        not _is_given(piece, name)
        for piece in submission.pieces
        for name in defined([piece])
        if name in submission.wanted
    )


def _is_given(piece: str, name: str) -> bool:
    """Whether a definition is the stub; code that is no Python is somebody's own."""
    try:
        tree = ast.parse(piece)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    kinds = ast.FunctionDef | ast.ClassDef
    own = [n for n in tree.body if isinstance(n, kinds) and n.name == name]
    return bool(own) and all(is_unfilled(ast.unparse(node)) for node in own)


def _rank(found: Found, own: Collection) -> tuple[bool, bool]:
    """A notebook goes before other files, and one of this lesson by its name."""
    return _order(found, own.lesson)[:2]


def _when(found: Found) -> tuple[int, float]:
    return _number(found.name), found.time


def _differ(one: Found, other: Found) -> bool:
    return one is not other and not filecmp.cmp(one.at, other.at, shallow=False)


def _order(found: Found, lesson: str) -> tuple[bool, bool, int, float, int]:
    """The last is taken: a notebook, of this lesson by its name, the latest attempt.

    Attempts are told by Canvas's number, else by the file's time, else by a copy's.
    """
    copies = re.search(r"\((\d+)\)$|-Copy(\d+)$", found.name.stem)
    copy = int(copies[1] or copies[2]) if copies else 0
    book, own = found.name.suffix == ".ipynb", lesson in found.name.name
    return book, own, _number(found.name), found.time, copy


def _number(name: Path) -> int:
    """Canvas's number of an attempt; 0 where there is none."""
    numbers = (_CANVAS.fullmatch(part) for part in name.parts)
    return next((int(found["number"]) for found in numbers if found), 0)


# --- into its place -------------------------------------------------------------------


def _place(own: Collection, found: Found, student: str) -> None:
    """Put a file where nbgrader looks for it; a file of another kind keeps its name."""
    book = found.name.suffix == ".ipynb"
    target = own.folder(student) / (f"{own.lesson}.ipynb" if book else found.name.name)
    if (size := found.at.stat().st_size) > run_folder.LARGEST:
        raise CourseError(
            f"it has {size / 1e6:.0f} MB, more than {run_folder.LARGEST / 1e6:.0f}"
        )
    whole = own.staging / "whole"
    shutil.copyfile(found.at, whole)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        raise CourseError(f"{target} is a folder; remove it")
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        if filecmp.cmp(whole, target, shallow=False):
            return
        _set_aside(own, target, student)
    os.replace(whole, target)


def _set_aside(own: Collection, path: Path, student: str) -> None:
    """Keep a copy of what is replaced; whole, or not at all."""
    folder = own.kept(student)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    handle, part = tempfile.mkstemp(ASIDE, ".", folder)
    os.close(handle)
    shutil.copyfile(path, part)
    os.replace(part, folder / f"{name}{path.suffix}")


# --- run folders ----------------------------------------------------------------------


def _take_run(own: Collection, student: str, files: Sequence[Found]) -> bool:
    """Take in a student's newest run: a folder `run`, or an archive that holds one."""
    try:
        whole = own.staging / RUN
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        if runs := _runs(files):
            _copy_run(max(runs, key=_run_order), whole)
        elif broken := _broken(own, files):
            (whole / f"{_cut(broken)} could not be unpacked").touch()
        else:
            return False
        _place_run(whole, own.folder(student) / RUN, own.kept(student))
    except Exception as error:
        own.lose(f"{student}'s run folder", downloads.words_of(error))
        return False
    return True


def _runs(files: Sequence[Found]) -> list[list[Found]]:
    """The files of each folder `run`, and of archives that hold a run without one."""
    folders: dict[Path, list[Found]] = defaultdict(list)
    for found in files:
        folders[found.name.parent].append(found)
    runs = [inside for folder, inside in folders.items() if folder.name == RUN]
    for folder, inside in folders.items():
        archive = folder.suffix.lower() == ".zip" and inside[0].packed
        holds = any(f.name.name == MANIFEST for f in inside) or RUN in folder.stem
        within = any(folder in run[0].name.parents for run in runs)
        if archive and holds and not within:
            runs.append(inside)
    return runs


def _run_order(run: Sequence[Found]) -> tuple[int, float]:
    """As `_order`: Canvas's number, else the time of the youngest file."""
    return max(_when(found) for found in run)


def _broken(own: Collection, files: Sequence[Found]) -> str:
    """An archive that could not be opened, which the grade then tells; "" without."""
    archives = [f.name.name for f in files if f.name in own.problems]
    return archives[-1] if archives else ""


def _cut(name: str) -> str:
    """A name that leaves room for words in a file's name."""
    return name.encode("utf-8", "replace")[:150].decode("utf-8", "ignore")


def _copy_run(run: Sequence[Found], target: Path) -> None:
    if sum(found.at.stat().st_size for found in run) > run_folder.LARGEST:
        raise CourseError(f"it has more than {run_folder.LARGEST / 1e6:.0f} MB")
    for found in run:
        shutil.copyfile(found.at, target / found.name.name)


def _place_run(whole: Path, target: Path, replaced: Path) -> None:
    """Put a run where the grader looks for it; what it replaces is kept."""
    if target.is_symlink():
        target.unlink()
    elif target.is_dir():
        if run_folder.digest(target) == run_folder.digest(whole):
            return
        kept = replaced / f"{RUN}-{run_folder.digest(target)[:12] or 'strange'}"
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if kept.exists():
            shutil.rmtree(target)
        else:
            shutil.move(target, kept)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(whole, target)
    except OSError:  # of two runs that take it in at once, one comes first
        if run_folder.digest(target) != run_folder.digest(whole):
            raise


# --- what is remembered ---------------------------------------------------------------


def _known(course: Path) -> dict[str, str]:
    """The student of each id of the LMS, as earlier downloads had it."""
    known: dict[str, str] = {}
    for path in sorted((course / FOLDER).glob(f"*/{RECORD}")):
        for row in _rows(path):
            if row["lms_id"] and (course / "submitted" / row["student"]).is_dir():
                known.setdefault(row["lms_id"], row["student"])
    return known


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        if tuple(reader.fieldnames or ()) == _COLUMNS:
            yield from (row for row in reader if {*row} == {*_COLUMNS})
    except (OSError, ValueError, csv.Error):
        return


def _remember(own: Collection) -> None:
    """Whose each file was, in a table: for the next download, and to look at."""
    path = own.course / FOLDER / own.lesson / RECORD
    before = {row["student"]: tuple(row.values()) for row in _rows(path)}
    after = {s: tuple(map(_cell, row)) for s, row in own.rows.items()}
    rows = before | {row[0]: row for row in after.values()}
    text = io.StringIO()
    csv.writer(text).writerows([_COLUMNS, *(rows[s] for s in sorted(rows))])
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, text.getvalue())
    late = [s for s, row in own.rows.items() if row[2]]
    if late:
        own.notes.append(f"late, as the LMS says: {', '.join(late)}")


def _cell(text: str) -> str:
    """What a spreadsheet takes for text, and UTF-8 can hold."""
    return neutral(text).encode("utf-8", "backslashreplace").decode()
