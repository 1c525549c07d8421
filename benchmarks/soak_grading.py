"""Soak: one `vae-edu grade` of many submissions; is anything growing, or left behind?

    python benchmarks/soak_grading.py [--count 1000] [--jobs 2] [--lesson 04_...]

The class is made of right answers, known mistakes, empty and broken files and light
hostile ones, all different, so that each is judged. Printed, from outside the command:
memory and open files of the coordinator, memory of all processes below it, at each
quarter of the way; then what is left: processes, temporary files. Exits with 1 where
something is left, a grade is missing, or the coordinator has grown. Linux.

What belongs here: endurance. What does not: speed beside nbgrader (`grading`).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from vae_edu import catalogue
from vae_edu.grading.office.report import table
from vae_edu.grading.wall.keeper import descendants
from vae_edu.paths import course_root

SUBREAPER = 36  # of prctl: what a dead process leaves behind becomes ours
GROWN = 1.1  # of the memory at a quarter of the way
HOSTILE = (
    "import os; os._exit(0)",
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "print('x' * 10**7)",
    "import os\nif os.fork() == 0:\n    os.setsid()\n    while True: pass",
    "open('/tmp/left', 'wb').write(bytes(10**7))",
    "kept = bytearray(10**8)",
    "raise SystemExit('x' * 10**5)",
)


class Sample(NamedTuple):
    """What there was at a moment: seconds, grades, megabytes, counts."""

    seconds: float
    grades: int
    coordinator: float
    below: float
    files: int
    processes: int


# --- the class ------------------------------------------------------------------------


def hand_in(course: Path, lesson: str, count: int) -> int:
    """Write so many submissions; the number of those that can be graded."""
    root = course_root()
    solved = json.loads((root / "solutions" / lesson / f"{lesson}.ipynb").read_text())
    empty = json.loads((root / "notebooks" / lesson / f"{lesson}.ipynb").read_text())
    graded = 0
    for number in range(count):
        folder = course / "submitted" / f"student {number:05}" / lesson
        folder.mkdir(parents=True)
        text = submission(solved, empty, number)
        (folder / f"{lesson}.ipynb").write_text(text, encoding="utf-8")
        graded += text.endswith("}")
    return graded


def submission(solved: dict[str, Any], empty: dict[str, Any], number: int) -> str:
    """The text of the submission with that number: each tenth is of the same kind."""
    kind = number % 10
    if kind == 9:
        return json.dumps(solved)[: 100 + number]
    book = json.loads(json.dumps(empty if kind == 8 else solved))
    if kind in (4, 5, 6):
        break_answers(book, kind)
    note = f"# submission {number}"
    if kind == 7:
        note += "\n" + HOSTILE[number // 10 % len(HOSTILE)]
    cell = {"cell_type": "code", "metadata": {}, "source": note, "outputs": []}
    book["cells"].insert(1, cell | {"execution_count": None, "id": "soak"})
    return json.dumps(book)


def break_answers(book: dict[str, Any], kind: int) -> None:
    """Make each answer wrong in one way: a sign, a gradient, an exception."""
    way = {4: ("return ", "return -"), 5: (".sum(", ".detach().sum(")}
    old, new = way.get(kind, ("return ", "return 1 / 0 + "))
    names = {e.name for e in catalogue.all_exercises()}
    for cell in book["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") in names:
            source = cell["source"]
            text = source if isinstance(source, str) else "".join(source)
            cell["source"] = text.replace(old, new)


# --- the run --------------------------------------------------------------------------


def watch(course: Path, lesson: str, jobs: int, expected: int) -> list[Sample]:
    """Grade, and look at the processes at the start and at each quarter of the way."""
    (course / "tmp").mkdir()
    words = ["grade", lesson, "--course", str(course), "--jobs", str(jobs)]
    with (course / "said.txt").open("wb") as said:
        run = subprocess.Popen(
            [sys.executable, "-m", "vae_edu.cli", *words],
            env={**os.environ, "TMPDIR": str(course / "tmp"), "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
        )
    began, seen = time.monotonic(), list[Sample]()
    due = [max(1, expected * quarter // 4) for quarter in range(4)] + [expected]
    while run.poll() is None:
        grades = count_grades(course, lesson)
        if len(seen) < len(due) and grades >= due[len(seen)]:
            with suppress(OSError):  # it has just ended
                seen.append(sample(run.pid, time.monotonic() - began, grades))
        time.sleep(0.2)
    if run.returncode not in (0, 1):
        sys.exit((course / "said.txt").read_text(errors="replace")[-3000:])
    return seen


def count_grades(course: Path, lesson: str) -> int:
    """The grades in the store."""
    return sum(1 for _ in (course / "grades").glob(f"{lesson}/??/*.json"))


def sample(pid: int, seconds: float, grades: int) -> Sample:
    """Look at a process and at those below it."""
    family = descendants(pid)
    below = sum(memory(p, "Pss") for p in family)
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return Sample(seconds, grades, memory(pid, "Anonymous"), below, files, len(family))


def memory(pid: int, kind: str) -> float:
    """Megabytes: "Anonymous", all but files; "Pss", files too, by its share of them."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(x for x in lines if x.startswith(f"{kind}:")).split()[1]) / 1024
    return 0.0


# --- what came out --------------------------------------------------------------------


def left_running(seconds: float) -> list[int]:
    """Processes of a run that has ended; those that ended too are reaped."""
    until = time.monotonic() + seconds
    while (found := descendants(os.getpid())) and time.monotonic() < until:
        for pid in found:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.1)
    return found


def faults(
    course: Path, lesson: str, samples: list[Sample], expected: int
) -> list[str]:
    """What is not as it should be."""
    left = left_running(10)
    temporary = [*course.rglob(".*.tmp"), *(course / "tmp").iterdir()]
    found = [f"{len(left)} processes left"] if left else []
    found += [f"{len(temporary)} temporary files left"] if temporary else []
    if (grades := count_grades(course, lesson)) != expected:
        found.append(f"{grades} grades, where {expected} are due")
    if len(samples) > 2 and samples[-1].coordinator > GROWN * samples[1].coordinator:
        found.append("the coordinator has grown")
    return found


def show(samples: list[Sample]) -> str:
    """The samples as a table."""
    head = ("s", "grades", "coordinator MB", "below MB", "open files", "processes")
    rows = [
        (f"{s.seconds:.0f}", f"{s.grades}", f"{s.coordinator:.1f}", f"{s.below:.0f}",
         f"{s.files}", f"{s.processes}")
        for s in samples
    ]  # fmt: skip
    return table([head, *rows])


def main() -> int:
    """Run the soak; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--lesson", default="04_kl_divergence")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="vae-edu-soak-") as name:
        course = Path(name)
        expected = hand_in(course, options.lesson, options.count)
        began = time.monotonic()
        samples = watch(course, options.lesson, options.jobs, expected)
        seconds = time.monotonic() - began
        wrong = faults(course, options.lesson, samples, expected)
        said = (course / "said.txt").read_bytes().decode(errors="replace")
        print(said.split("\r")[-1].partition("\n")[2])
    print(show(samples))
    print(f"{seconds:.0f} s, {seconds / options.count:.2f} s a submission")
    print("; ".join(wrong) or "nothing left behind, nothing grown")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
