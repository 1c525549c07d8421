"""The run folder that is handed in beside a notebook, as one more graded item.

What belongs here: finding it, telling two apart, its grade. What does not: the rule
(`handin`), and recomputing (`runs`), which executes no code of the folder's. How much
there is to recompute is the learner's choice, though: a process of its own does it,
with bounds.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from vae_edu import handin
from vae_edu.data import DataError
from vae_edu.grading.verdict.grade import ExerciseGrade, Finding, Grade
from vae_edu.grading.wall import calls, keeper

RUN = "run"  # the folder beside the notebook, or run.zip
NAME = "hand_in"
CELL = f"run_{NAME}"
LESSONS = frozenset({"full_mnist_run"})
LARGEST = 250_000_000  # bytes of the whole folder
MEMORY = 6 * 2**30  # bytes to recompute in
NOT_JUDGED = "the run could not be judged here"
SECONDS = 1200  # of processor time; the largest of our reference runs took 12
_KERNELS = {"SIGXCPU": "time", "SIGKILL": "memory"}  # its answers to too much of these


def beside(notebook: Path, topic: str) -> Path | None:
    """Where a submission's run folder lies; None for a lesson without one.

    The folder `run`; where there is none, run.zip, or the only .zip there is.
    """
    if topic not in LESSONS:
        return None
    folder = notebook.parent / RUN
    if folder.exists() or folder.is_symlink():
        return folder
    packed = sorted(notebook.parent.glob("*.zip"))
    named = [p for p in packed if p.name == f"{RUN}.zip"]
    return (named or packed)[0] if named or len(packed) == 1 else folder


def digest(folder: Path | None) -> str:
    """A hash of all that is in a run; "" where there is none to grade."""
    try:
        return "" if folder is None or _problem(folder) else _digest(folder)
    except OSError as error:
        return f"not to be read: {error.strerror}"


def _digest(folder: Path) -> str:
    if folder.is_file():
        with folder.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
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
    """Judge a run folder; `seed`, the course's own, chooses the images recomputed.

    Never raises for what it holds: a run costs its own points, no others.
    """
    try:
        if problem := _problem(folder):
            return _outcome(0, problem=problem)
    except OSError as error:
        return _outcome(0, problem=f"run cannot be read ({error.strerror})")
    marked = _marked(folder, zlib.crc32(seed.encode()))
    unmet = tuple(Finding(words, "run") for words in marked["unmet"])
    return _outcome(marked["points"], public=unmet, problem=marked["problem"])


def _marked(folder: Path, spot_seed: int) -> dict[str, Any]:
    """What `mark_from_input` says of a folder, in a process of its own."""
    code = f"import sys; sys.path[:] = {sys.path!r}; "
    code += "from vae_edu.grading.verdict import run_folder as marker; "
    code += "marker.mark_from_input()"
    asked = {"folder": str(folder), "spot_seed": spot_seed, "seconds": SECONDS}
    with subprocess.Popen(
        [sys.executable, "-B", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        said, errors, much = _watched(child, json.dumps(asked))
    if much:
        return _refused(much)
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError:
        why = (errors.strip().splitlines() or [""])[-1]
        return _not_judged(why or f"its process ended with {child.returncode}")
    return found


def _watched(child: subprocess.Popen[str], asked: str) -> tuple[str, str, str]:
    """Its output, its errors, and what it took too much of, if so.

    Memory is bounded from outside: within a limit of the kernel's on its addresses, a
    library that is just being imported reports it as anything, or waits for ever.
    """
    until, much, given = time.monotonic() + 6 * SECONDS, "", asked
    try:
        while True:
            try:
                said, errors = child.communicate(given or None, timeout=0.1)
            except subprocess.TimeoutExpired:
                given = ""
            else:
                return said, errors, much or _ended_for(child.returncode)
            if time.monotonic() > until:
                much = "time"
            elif keeper.held(child.pid) > MEMORY:
                much = "memory"
            if much:
                child.kill()
    finally:
        child.kill()  # where waiting was interrupted


def _ended_for(returncode: int) -> str:
    """Which bound the kernel ended a process for, if one."""
    name = signal.Signals(-returncode).name if returncode < 0 else ""
    return _KERNELS.get(name, "")


def _refused(what: str) -> dict[str, Any]:
    most = {
        "time": f"{SECONDS // 60} minutes of a processor",
        "memory": f"{MEMORY / 2**30:g} GiB of memory",
    }
    words = (
        f"computing its numbers again takes more than {most[what]}: evaluate it with "
        f"fewer samples ({handin.FEWEST_SAMPLES:,} are enough), or hand in a smaller "
        "network"
    )
    return {"points": 0, "unmet": [], "problem": words}


def _not_judged(why: str) -> dict[str, Any]:
    """What came to no end costs the run's points, until it is graded again."""
    words = f"{NOT_JUDGED} ({why[:300]}); your instructor can have it graded again"
    return {"points": 0, "unmet": [], "problem": words}


def is_judged(graded: Grade) -> bool:
    """Whether a grade's run, if it has one, was judged to an end."""
    return not any(
        e.name == NAME and e.problem.startswith(NOT_JUDGED) for e in graded.exercises
    )


def mark_from_input() -> None:
    """Mark the run folder that standard input names; write the mark as JSON."""
    asked = json.load(sys.stdin)
    if sys.platform.startswith("linux"):
        calls.die_with_parent()
    if sys.platform != "win32":
        _end_after(asked["seconds"])
    folder, seed = Path(asked["folder"]), asked["spot_seed"]
    try:
        marked = handin.mark(folder, spot_seed=seed, progress=False)
    except MemoryError:
        said = _refused("memory")
    except DataError as error:  # no fault of the run's
        said = _not_judged(str(error))
    else:
        unmet = [c.words for c in marked.criteria if not c.met]
        said = {"points": marked.points, "unmet": unmet, "problem": marked.problem}
    json.dump(said, sys.stdout)


def _end_after(seconds: int) -> None:
    """Be ended by SIGXCPU after so much processor time."""
    import resource  # not on Windows, where this module is still imported

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = seconds if hard == resource.RLIM_INFINITY else min(seconds, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


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
        problem=_plain(problem)[:500],
    )


def _plain(text: str) -> str:
    """What every gradebook can hold: names may be any bytes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


def _problem(folder: Path) -> str:
    """Why nothing of a run is read, if so."""
    if folder.is_symlink():
        return "run is a link; hand in the folder itself"
    if not folder.is_dir() and not folder.is_file():
        return "there is no folder run/ (and no run.zip) beside the notebook"
    inside = [folder] if folder.is_file() else folder.iterdir()
    files = [p for p in inside if not _strange(p)]
    if sum(p.stat().st_size for p in files) > LARGEST:
        return f"run has more than {LARGEST / 1e6:.0f} MB"
    return ""


def _strange(path: Path) -> bool:
    """What is no plain file is never read; `runs.read` refuses the folder for it."""
    return path.is_symlink() or not path.is_file()
