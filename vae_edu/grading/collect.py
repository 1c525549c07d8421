"""From an LMS's downloads to an nbgrader course's `submitted/`.

What belongs here: which file is whose. What does not: reading notebooks, grading.
"""

from __future__ import annotations

import filecmp
import hashlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading import run_folder
from vae_edu.grading.run_folder import RUN
from vae_edu.grading.store import FOLDER
from vae_edu.paths import course_root

CONFIG = "nbgrader_config.py"
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_(?P<number>\d+)_.*")
_MOODLE = re.compile(
    r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?.*"
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


def take_in(source: str, course: Path, lesson: str) -> None:
    """Copy each student's notebook from a folder of downloads into `submitted/`.

    A student is told by the file's name as Canvas or Moodle writes it, else by its
    folder, else by its name. What is replaced is kept under `grades/`. Of a lesson with
    a run folder, that comes along: as the folder `run`, or packed as a .zip.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise CourseError(f"There is no folder {source!r} (--from).")
    name = catalogue.folder_of(catalogue.topic_of(lesson))
    files = sorted(p for p in folder.rglob("*") if _is_handed_in(p, folder))
    newest: dict[str, Path] = {}
    for path in sorted(files, key=lambda p: _order(p, name)):
        newest[student_of(path.relative_to(folder), name)] = path
    if not newest:
        raise CourseError(f"There is no file in {source!r}.")
    for student, path in newest.items():
        _place(path, course, student, name)
    print(f"took in {len(newest)} submissions from {len(files)} files in {folder}")
    if catalogue.topic_of(lesson) in run_folder.LESSONS:
        _take_in_runs([p.relative_to(folder) for p in files], folder, course, name)


# --- run folders ----------------------------------------------------------------------


def _take_in_runs(
    files: Sequence[Path], folder: Path, course: Path, lesson: str
) -> None:
    """Each student's newest run: a folder `run`, or an archive that holds one."""
    runs: dict[str, Path] = {}
    found = {p.parent if p.parent.name == RUN else p for p in files if _is_of_run(p)}
    for path in sorted(found, key=lambda p: _run_order(folder / p)):
        runs[student_of(path / "any", lesson)] = path
    for student, path in runs.items():
        target = course / "submitted" / student / lesson / RUN
        with tempfile.TemporaryDirectory(dir=course) as aside:
            whole = Path(aside, RUN)
            whole.mkdir()
            _read_run(folder / path, whole)
            _place_run(whole, target, course / FOLDER / lesson / "replaced" / student)
    print(f"took in {len(runs)} run folders")


def _is_of_run(path: Path) -> bool:
    return path.parent.name == RUN or path.suffix == ".zip"


def _run_order(path: Path) -> tuple[int, float]:
    """As `_order`: Canvas's number, else the time of the youngest file."""
    found = _CANVAS.fullmatch(path.name)
    files = [*path.iterdir()] if path.is_dir() else [path]
    return int(found["number"]) if found else 0, max(p.stat().st_mtime for p in files)


def _read_run(source: Path, target: Path) -> None:
    """Copy the plain files of a folder, or of the archive's outermost `run`.

    What is wrong with an archive becomes a file's name, which the grade then tells.
    """
    if source.is_dir():
        for path in sorted(source.iterdir()):
            if path.is_file() and not path.is_symlink():
                shutil.copyfile(path, target / path.name)
        return
    try:
        with zipfile.ZipFile(source) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            kept = [m for m in members if Path(m.filename).parent.name == RUN]
            kept = kept or [m for m in members if "/" not in m.filename]
            if sum(m.file_size for m in kept) > run_folder.LARGEST:
                raise zipfile.BadZipFile
            for member in kept:
                name = Path(member.filename).name
                with archive.open(member) as content, (target / name).open("wb") as to:
                    shutil.copyfileobj(content, to)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, OSError):
        (target / f"{source.name} could not be unpacked").touch()


def _place_run(whole: Path, target: Path, replaced: Path) -> None:
    """Put a run where the grader looks for it; what it replaces is kept."""
    if target.is_dir():
        if run_folder.digest(target) == run_folder.digest(whole):
            return
        kept = replaced / f"{RUN}-{run_folder.digest(target)[:12] or 'strange'}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        if kept.exists():
            shutil.rmtree(target)
        else:
            shutil.move(target, kept)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(whole, target)


def _is_handed_in(path: Path, folder: Path) -> bool:
    """A file, no link to one: an archive may hold links to anywhere."""
    parts = path.relative_to(folder).parts
    hidden = any(p.startswith(".") or p == "__MACOSX" for p in parts)
    above = (p for p in path.parents if folder in p.parents)
    linked = any(p.is_symlink() for p in (path, *above))
    return path.is_file() and not hidden and not linked


def _order(path: Path, lesson: str) -> tuple[bool, bool, int, float]:
    """The last is taken: a notebook, of this lesson by its name, the latest attempt.

    Attempts are told by Canvas's number, else by the file's time.
    """
    found = _CANVAS.fullmatch(path.name)
    number = int(found["number"]) if found else 0
    own = lesson in path.name
    return path.suffix == ".ipynb", own, number, path.stat().st_mtime


def student_of(path: Path, lesson: str) -> str:
    """Who handed in a file; `path` is relative to the downloads.

    nbgrader looks for folders by patterns, and by expressions that end with a line: it
    would skip a student, or stop, for the few characters that are replaced here.
    """
    return re.sub(r"[][*?\x00-\x1f\x7f]", "_", _student_of(path, lesson))


def _student_of(path: Path, lesson: str) -> str:
    for text in (path.parts[0], path.name):
        for pattern in (_MOODLE, _CANVAS):
            if found := pattern.fullmatch(text):
                return f"{found['name']}_{found['id']}"
    if len(path.parts) > 1:
        return path.parts[0]
    stem = re.sub(r"\s*\(\d+\)$", "", path.stem)
    return re.sub(rf"[ _-]*{re.escape(lesson)}[ _-]*", "", stem) or stem


def _place(path: Path, course: Path, student: str, lesson: str) -> None:
    """Put a file where nbgrader looks for it; a file of another kind keeps its name."""
    target = course / "submitted" / student / lesson / f"{lesson}.ipynb"
    if path.suffix != ".ipynb":
        target = target.with_name(path.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        if filecmp.cmp(path, target, shallow=False):
            return
        _set_aside(target, course / FOLDER / lesson / "replaced" / student)
    shutil.copyfile(path, target)


def _set_aside(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    shutil.copyfile(path, folder / f"{name}{path.suffix}")
