"""Grades on disk, found again by their content: what makes a run resumable.

A grade is kept under a hash of all that decides it: the code that is run, the lesson,
the laws, the package that judges, the seed, the sandbox. So nothing is ever stale, two
equal submissions are judged once, and a run that was killed goes on where it stopped.
Files appear whole (written aside, then renamed) or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from platform import node

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading.verdict.answers import Submission
from vae_edu.grading.verdict.grade import Grade, grade_of
from vae_edu.paths import course_root

FOLDER = "grades"
ASIDE = ".tmp"  # ends the name of a file that is being written
OLD = 3600.0  # seconds after which one of another machine has been left behind
# what judges; a word that changes in the command line or in a report re-grades nobody
_JUDGES = (
    *("vae_edu/checks/**/*.py", "vae_edu/checks/**/*.json", "vae_edu/exercises/*.py"),
    *("vae_edu/learner/*.py", "vae_edu/*.py"),  # what is an answer; what a run is
    *("vae_edu/grading/wall/*.py", "vae_edu/grading/verdict/*.py"),
    *("solutions/*/hidden.py", "solutions/*/exercises.py"),
)
_FACES = ("cli.py", "doctor.py")


class Store:
    """The grades of one lesson in a course's folder."""

    def __init__(self, course: Path, topic: str, policy: str) -> None:
        self.topic, self.policy = topic, policy
        self.folder = course / FOLDER / catalogue.folder_of(topic)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.seed = secret(course)
        except OSError as error:
            raise CourseError(
                f"Grades cannot be kept in {self.folder}: {error.strerror}. "
                "Give write access to it, or another folder with --course."
            ) from None

    @staticmethod
    def holds_any(course: Path, topic: str) -> bool:
        """Whether a grade of a lesson may be kept in a course."""
        return any((course / FOLDER / catalogue.folder_of(topic)).glob("*/*.json"))

    def key(self, submission: Submission, beside: str = "") -> str:
        """A hash of all that decides a submission's grade; beside: of other files'."""
        parts = [self.topic, self.policy, self.seed, judges(), submission.problem]
        parts += [*submission.wanted, "", *submission.pieces]
        parts += ["beside", beside] if beside else []
        text = json.dumps(parts).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()

    def get(self, key: str) -> Grade | None:
        """The grade kept under a key; None where there is none, or not whole."""
        try:
            text = self._path(key).read_text(encoding="utf-8")
            return grade_of(json.loads(text))
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def put(self, key: str, grade: Grade) -> None:
        """Keep a grade; whatever is killed after this, it is found."""
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, json.dumps(grade.as_dict(), indent=1))

    def tidy(self) -> None:
        """Remove what killed runs were writing."""
        found = [self.folder.parent.glob(f".*{ASIDE}")]
        found += [self.folder.rglob(f".*{ASIDE}")]
        for path in chain(*found):
            with suppress(OSError):
                if _is_left_behind(path):
                    path.unlink()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def _aside(path: Path) -> tuple[int, str]:
    """A new file beside `path`, open to write; its name tells whose it is."""
    return tempfile.mkstemp(f".{os.getpid()}@{node()}{ASIDE}", ".", path.parent)


def _is_left_behind(aside: Path) -> bool:
    """Whether its writer has died; of one on another machine, whether it is old."""
    owner = aside.name.removesuffix(ASIDE).split(".", 2)[-1]
    pid, _, machine = owner.partition("@")
    if machine != node() or not pid.isdecimal():
        return time.time() - aside.stat().st_mtime > OLD
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    return int(pid) == os.getpid()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is seen whole or not at all, and survives a crash."""
    try:
        handle, aside = _aside(path)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
            _sync(path.parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(aside)
            raise
    except OSError as error:
        raise CourseError(f"{path} could not be written: {error.strerror}.") from None


def _sync(folder: Path) -> None:
    """Have a folder's entries survive a crash; some systems cannot, or need not."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def secret(course: Path) -> str:
    """What a course's inputs are drawn from, made once; only its owner can read it.

    With a submission's code it is that submission's seed (see `grade`), so that a
    regrade gives the same grade.
    """
    path = course / FOLDER / ".seed"
    if not path.exists():
        handle, aside = _aside(path)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(16))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)  # of two runs that start at once, one wins
        os.unlink(aside)
        _sync(path.parent)
    if seed := path.read_text().strip():
        return seed
    raise CourseError(
        f"{path} is empty: the inputs of the hidden laws would be known to all. Remove "
        "it for a new one; what was graded with the old one is then graded again."
    )


@cache
def judges() -> str:
    """A hash of everything that could change a verdict on the same code."""
    digest = hashlib.sha256(f"{sys.version_info[:3]} {version('torch')}".encode())
    found = {p for g in _JUDGES for p in course_root().glob(g)}
    for path in sorted(p for p in found if p.name not in _FACES):
        digest.update(f"{path.relative_to(course_root())}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
