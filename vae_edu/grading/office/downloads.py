"""What lies in a download of an LMS: its files, and those in archives among them.

What belongs here: walking a folder, opening archives, each file within a border of its
own: whatever is wrong with one costs that one, and is told. What does not: whose a file
is (`collect`), reading notebooks.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from vae_edu.errors import CourseError, one_line
from vae_edu.grading.verdict import run_folder
from vae_edu.grading.verdict.run_folder import RUN

MOST_FILES = 2_000  # that are read of what one learner packed
DEPTH = 2  # a run's archive may lie in a learner's
FEWER = "ask for the notebook itself"


@dataclass(frozen=True)
class Found:
    """A file of a download.

    name: below the download; an archive's name there is like a folder's. at: where the
    content lies. time: of its last change, in seconds. packed: in a learner's archive.
    """

    name: Path
    at: Path
    time: float
    packed: bool = False


@dataclass
class _Room:
    """What may still be unpacked of what one learner handed in."""

    files: float = MOST_FILES
    bytes: float = field(default_factory=lambda: run_folder.LARGEST)

    def take(self, members: Sequence[zipfile.ZipInfo]) -> None:
        """Raises CourseError where they do not fit in."""
        self.files -= len(members)
        self.bytes -= sum(m.file_size for m in members)
        if self.files < 0:
            raise CourseError(f"it holds more than {MOST_FILES} files; {FEWER}")
        if self.bytes < 0:
            raise CourseError(
                f"it holds more than {run_folder.LARGEST / 1e6:.0f} MB; {FEWER}"
            )


@dataclass
class Download:
    """The files of a download, and what could not be read of it, by name.

    aside: an empty folder for what is unpacked; names in it are numbers, so that no
    name in an archive can lead elsewhere, be too long, or be there twice.
    """

    aside: Path
    files: list[Found] = field(default_factory=list)
    problems: dict[Path, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def walk(self, folder: Path) -> None:
        """Every plain file below a folder: no link, nothing hidden."""
        closed: list[OSError] = []
        paths = sorted(_below(folder, closed.append))
        for error in closed:
            self.problems[Path(error.filename).relative_to(folder)] = words_of(error)
        for path in paths:
            name = path.relative_to(folder)
            try:
                self._meet(name, path)
            except Exception as error:
                self.problems[name] = words_of(error)

    def _meet(self, name: Path, path: Path) -> None:
        state = path.lstat()
        if problem := _no_file(state.st_mode):
            self.problems[name] = problem
            return
        self.files.append(Found(name, path, state.st_mtime))
        if path.suffix.lower() == ".zip":
            self._open(self.files[-1], DEPTH, _Room())

    def unpack(self, archive: Path) -> None:
        """Every file of an LMS's archive, as if it were a folder."""
        self._open(Found(Path(), archive, 0.0), DEPTH + 1, None)

    def _open(self, found: Found, depth: int, room: _Room | None) -> None:
        """Unpack an archive; room: None for the LMS's own, of which all is wanted."""
        try:
            with zipfile.ZipFile(found.at) as archive:
                named = {
                    m: found.name / _inside(m.filename) for m in archive.infolist()
                }
                wanted = {
                    m: n for m, n in named.items() if _is_wanted(m, n, found, room)
                }
                if room is not None:
                    room.take([*wanted])
                for member, name in wanted.items():
                    self._unpack(_Entry(archive, member, name), depth, room)
        except Exception as error:
            self.problems[found.name] = words_of(error)

    def _unpack(self, entry: _Entry, depth: int, room: _Room | None) -> None:
        at = self.aside / str(next(self._numbers))
        own = room or _Room()
        try:
            if room is None:
                own.take([entry.member])
            entry.write(at)
        except Exception as error:
            self.problems[entry.name] = words_of(error)
            at.unlink(missing_ok=True)
            return
        changed = _time_of(entry.member)
        self.files.append(Found(entry.name, at, changed, room is not None))
        if entry.name.suffix.lower() == ".zip" and depth > 1:
            self._open(self.files[-1], depth - 1, own)
        elif entry.name.suffix.lower() == ".zip":
            self.problems[entry.name] = f"archives lie within archives there; {FEWER}"


@dataclass(frozen=True)
class _Entry:
    """A file in an archive, and its name below the download."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    name: Path

    def write(self, at: Path) -> None:
        """Its content, no more of it than it is said to have, to a new file."""
        if problem := _no_file(self.member.external_attr >> 16):
            raise CourseError(problem)
        with self.archive.open(self.member) as content, at.open("xb") as to:
            shutil.copyfileobj(content, to)


def expect(source: Path) -> None:
    """Raises CourseError where there is neither a folder nor an archive."""
    if not source.exists():
        raise CourseError(f"There is no folder or archive {str(source)!r} (--from).")
    if not source.is_dir() and not zipfile.is_zipfile(source):
        raise CourseError(
            f"{str(source)!r} is neither a folder nor a .zip archive that can be read: "
            "--from takes an LMS's archive, or the folder that it was unpacked to."
        )


def gather(source: Path, aside: Path) -> Download:
    """A folder of downloads, or the one archive that an LMS gives instead."""
    found = Download(aside)
    if source.is_dir():
        found.walk(source)
    else:
        found.unpack(source)
    return found


def is_hidden(name: Path) -> bool:
    """Whether a name says that nobody handed the file in: a checkpoint, a Mac's."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.parts)


def words_of(error: Exception) -> str:
    """What is wrong with a file, and what to do, for an instructor."""
    if isinstance(error, CourseError):
        return f"{error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror.lower()}"
    if isinstance(error, NotImplementedError):
        return "it is packed in a way that is not read here; ask for an ordinary .zip"
    if isinstance(error, RuntimeError) and "password" in str(error):
        return "it is locked with a password; ask for it without one"
    kind = type(error).__name__
    return (
        f"it is damaged or cut short ({kind}: {one_line(error, 80)}); ask for it again"
    )


def _below(folder: Path, told: Callable[[OSError], None]) -> Iterator[Path]:
    """All that is no folder and not hidden; a link to a folder is none."""
    for above, folders, names in os.walk(folder, onerror=told):
        links = [f for f in folders if os.path.islink(os.path.join(above, f))]
        folders[:] = [f for f in folders if f not in links and not is_hidden(Path(f))]
        for name in [*names, *links]:
            if not is_hidden(Path(name)):
                yield Path(above, name)


def _no_file(mode: int) -> str:
    """Why something is not read, by its mode; "" for a plain file."""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        return "it is a link; ask for the file itself"
    if kind not in (0, stat.S_IFREG):
        return "it is no file but a pipe, a socket or a device"
    return ""


def _inside(name: str) -> Path:
    """The name of an archive's entry, without ways out of it."""
    parts = re.split(r"[/\\]", name.replace("\0", ""))
    return Path(*(p for p in parts if p not in ("", ".", "..")))


def _is_wanted(
    member: zipfile.ZipInfo, name: Path, archive: Found, room: _Room | None
) -> bool:
    """Whether an entry is unpacked: of a learner's archive, what may be graded."""
    inside = name.relative_to(archive.name)
    if member.is_dir() or not inside.parts or is_hidden(inside):
        return False
    graded = name.suffix.lower() in (".ipynb", ".zip") or name.parent.name == RUN
    return room is None or graded or len(inside.parts) == 1


def _time_of(member: zipfile.ZipInfo) -> float:
    try:
        return time.mktime((*member.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0
