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
from vae_edu.grading import sandbox
from vae_edu.grading.grade import ExerciseGrade, Finding, Grade

RUN = "run"  # the folder beside the notebook
NAME = "hand_in"
CELL = f"run_{NAME}"
LESSONS = frozenset({"full_mnist_run"})
LARGEST = 250_000_000  # bytes of the whole folder
MEMORY = 6 * 2**30  # bytes to recompute in
SECONDS = 1200  # of processor time; the largest of our reference runs took 12
_KERNELS = {"SIGXCPU": "time", "SIGKILL": "memory"}  # its answers to too much of these


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
    marked = _marked(folder, zlib.crc32(seed.encode()))
    unmet = tuple(Finding(words, "run") for words in marked["unmet"])
    return _outcome(marked["points"], public=unmet, problem=marked["problem"])


def _marked(folder: Path, spot_seed: int) -> dict[str, Any]:
    """What `mark_from_input` says of a folder, in a process of its own."""
    code = f"import sys; sys.path[:] = {sys.path!r}; "
    code += "from vae_edu.grading import run_folder; run_folder.mark_from_input()"
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
    if child.returncode:
        raise RuntimeError(errors[-400:] or f"ended with {child.returncode}")
    found: dict[str, Any] = json.loads(said)
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
            elif sandbox.held(child.pid) > MEMORY:
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


def mark_from_input() -> None:
    """Mark the run folder that standard input names; write the mark as JSON."""
    asked = json.load(sys.stdin)
    if sys.platform.startswith("linux"):
        sandbox.die_with_parent()
    if sys.platform != "win32":
        _end_after(asked["seconds"])
    try:
        marked = handin.mark(Path(asked["folder"]), spot_seed=asked["spot_seed"])
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "alloc" not in str(error):
            raise
        said = _refused("memory")
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
