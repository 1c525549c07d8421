"""The run folder that is handed in beside a notebook, as one more graded item.

What belongs here: finding it, telling two apart, its grade. What does not: the rule
(`handin`), and recomputing (`runs`), which executes no code of the folder's.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path

from vae_edu import handin
from vae_edu.grading.grade import ExerciseGrade, Finding, Grade

RUN = "run"  # the folder beside the notebook
NAME = "hand_in"
CELL = f"run_{NAME}"
LESSONS = frozenset({"full_mnist_run"})
LARGEST = 250_000_000  # bytes of the whole folder


def beside(notebook: Path, topic: str) -> Path | None:
    """Where a submission's run folder lies; None for a lesson without one."""
    return notebook.parent / RUN if topic in LESSONS else None


def digest(folder: Path | None) -> str:
    """A hash of all that is in a folder; "" where there is none to grade."""
    if folder is None or _problem(folder):
        return ""
    seen = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if not _strange(p)):
        content = path.read_bytes()
        seen.update(f"{path.name}\0{len(content)}\0".encode("utf-8", "replace"))
        seen.update(content)
    return seen.hexdigest()


def with_run(graded: Grade, folder: Path | None, seed: str) -> Grade:
    """The grade with the run folder's points added; as it was where none is due."""
    if folder is None:
        return graded
    return replace(graded, exercises=(*graded.exercises, grade_run(folder, seed)))


def grade_run(folder: Path, seed: str) -> ExerciseGrade:
    """Judge a run folder; `seed`, the course's own, chooses the images recomputed."""
    if problem := _problem(folder):
        return _outcome(0, problem=problem)
    marked = handin.mark(folder, spot_seed=zlib.crc32(seed.encode()))
    if marked.problem:
        return _outcome(0, problem=marked.problem)
    unmet = tuple(Finding(c.words, "run") for c in marked.criteria if not c.met)
    return _outcome(marked.points, public=unmet)


def _outcome(
    points: int, *, public: tuple[Finding, ...] = (), problem: str = ""
) -> ExerciseGrade:
    most = float(handin.POINTS)
    full = points == handin.POINTS
    return ExerciseGrade(
        NAME,
        "10, the run folder",
        float(points),
        most,
        full,
        public=public,
        problem=problem[:500],
    )


def _problem(folder: Path) -> str:
    """Why nothing of a folder is read, if so."""
    if folder.is_symlink():
        return "run is a link; hand in the folder itself"
    if not folder.is_dir():
        return "there is no folder run/ beside the notebook"
    files = [p for p in folder.iterdir() if not _strange(p)]
    if sum(p.stat().st_size for p in files) > LARGEST:
        return f"run has more than {LARGEST / 1e6:.0f} MB"
    return ""


def _strange(path: Path) -> bool:
    """What is no plain file is never read; `runs.read` refuses the folder for it."""
    return path.is_symlink() or not path.is_file()
