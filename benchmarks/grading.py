"""Grading speed: `nbgrader autograde` as it comes, and ours, on the same submissions.

    python -m benchmarks.grading [--rounds 3] [--lesson 04_kl_divergence] [--dask]

Both start from the same nbgrader course, with the same submissions (the lesson solved,
by right variants and known mistakes in turn), each in processes of its own; rounds are
interleaved. A figure is the median over the rounds. The marginal submission is the
slope between a small and a larger class, so that start-up cancels. A round in which
other processes used more than a twentieth of the machine, just before or after it, is
thrown away and repeated.

What belongs here: this comparison. What does not: checks of correctness (tests).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.load import share_at_rest

ROOT = Path(__file__).resolve().parents[1]
FOREIGN = 0.05  # of the machine's time, used by others, above which a round is void
TRIES = 4  # of a void round
OURS = """
from vae_edu.grading.config import configure
c = get_config()
configure(c)
"""


@dataclass
class Class:
    """A course with so many submissions, and the commands that grade it."""

    folder: Path
    lesson: str
    size: int

    def run(self, *words: str) -> float:
        """Wall seconds of a command in the course; it must succeed."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
        return time.perf_counter() - start

    def plain(self) -> float:
        """Seconds of nbgrader as it comes."""
        self._reset("")
        return self.run("nbgrader", "autograde", self.lesson, "--Execute.timeout=300")

    def ours(self, *more: str) -> float:
        """Seconds of `vae-edu grade`, isolation and limits on."""
        self._reset(OURS)
        return self.run("vae_edu.cli", "grade", self.lesson, *more)

    def books(self) -> float:
        """Seconds of nbgrader's own bookkeeping, where our grades are there already."""
        shutil.rmtree(self.folder / "autograded", ignore_errors=True)
        return self.run("nbgrader", "autograde", self.lesson)

    def _reset(self, configuration: str) -> None:
        for name in ("autograded", "grades"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        text = configuration or "c = get_config()\n"
        (self.folder / "nbgrader_config.py").write_text(text)


def make_class(folder: Path, lesson: str, size: int) -> Class:
    """A course whose students have solved the lesson, one mistake in every third."""
    made = Class(folder, lesson, size)
    source = folder / "source" / lesson
    source.mkdir(parents=True)
    solution = ROOT / "solutions" / lesson / f"{lesson}.ipynb"
    shutil.copy(solution, source)
    (folder / "nbgrader_config.py").write_text("c = get_config()\n")
    made.run("nbgrader", "generate_assignment", lesson)
    for i in range(size):
        target = folder / "submitted" / f"student{i:03d}" / lesson
        target.mkdir(parents=True)
        text = _solved(solution, i)
        (target / f"{lesson}.ipynb").write_text(text, encoding="utf-8")
    return made


def _solved(solution: Path, i: int) -> str:
    """A solved notebook; each differs from the others, each third has a mistake."""
    book = json.loads(solution.read_text(encoding="utf-8"))
    answers = [c for c in book["cells"] if _is_answer(c)]
    for number, cell in enumerate(answers):
        text = "".join(cell["source"])
        if i % 3 == 2 and number == i % len(answers):
            text = text.replace("return ", "return 1.01 * ", 1)
        cell["source"] = f"{text}\n# student {i}"
    return json.dumps(book)


def _is_answer(cell: dict) -> bool:
    given = cell["metadata"].get("nbgrader", {})
    return given.get("solution") and cell["cell_type"] == "code"


# --- measuring ------------------------------------------------------------------------


def quiet(measure: Callable[[], float]) -> tuple[float, float]:
    """A measurement, and the larger share that others used just before and after."""
    for _ in range(TRIES):
        before = share_at_rest()
        value = measure()
        share = max(before, share_at_rest())
        if share <= FOREIGN:
            break
    return value, share


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one row a figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lesson", default="04_kl_divergence")
    parser.add_argument("--few", type=int, default=2)
    parser.add_argument("--many", type=int, default=20)
    parser.add_argument("--dask", action="store_true", help="two workers of one thread")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-grading-") as folder:
        sizes = sorted({1, given.few, 5, given.many})
        made = {n: make_class(Path(folder) / str(n), given.lesson, n) for n in sizes}
        report(made, given)


def report(made: dict[int, Class], given: argparse.Namespace) -> None:
    """The rounds, interleaved, and what they come to."""
    few, many, rounds = given.few, given.many, given.rounds
    tasks: dict[str, Callable[[], float]] = {
        "plain 1": made[1].plain,
        f"plain {few}": made[few].plain,
        "plain 5": made[5].plain,
        "ours 5": made[5].ours,
        f"ours {few}": lambda: made[few].ours("--jobs", "1"),
        f"ours {many}": lambda: made[many].ours("--jobs", "1"),
        f"books {few}": made[few].books,
        f"books {many}": made[many].books,
        f"two jobs {few}": lambda: made[few].ours("--jobs", "2"),
        f"two jobs {many}": lambda: made[many].ours("--jobs", "2"),
    }
    if given.dask:
        tasks[f"dask {few}"] = lambda: with_dask(made[few])
        tasks[f"dask {many}"] = lambda: with_dask(made[many])
    seen: dict[str, list[float]] = {name: [] for name in tasks}
    worst = 0.0
    for number in range(rounds):
        for name, task in tasks.items():
            value, share = quiet(task)
            seen[name].append(value)
            worst = max(worst, share)
            print(f"round {number + 1}  {name:14} {value:8.2f} s   others {share:.1%}")
    print(f"\nothers used at most {worst:.1%} of the machine in a counted run")
    rows(seen, few, many, given.dask)


def rows(seen: dict[str, list[float]], few: int, many: int, dask: bool) -> None:
    """Medians of the rounds' own slopes and ratios."""

    def slope(kind: str, a: int, b: int) -> float:
        pairs = zip(seen[f"{kind} {a}"], seen[f"{kind} {b}"], strict=True)
        return median((y - x) / (b - a) for x, y in pairs)

    plain, ours = slope("plain", 1, 5), slope("ours", few, many)
    both, books = slope("two jobs", few, many), slope("books", few, many)
    cold = median(p / o for p, o in zip(seen["plain 5"], seen["ours 5"], strict=True))
    lines = [("ours, one job", ours), ("ours, two jobs", both)]
    lines += [("two Dask workers", slope("dask", few, many))] if dask else []
    print(f"marginal submission, plain nbgrader {plain:8.3f} s")
    for name, cost in lines:
        print(f"marginal submission, {name:16} {cost:8.3f} s {plain / cost:6.1f} x")
    print(f"five, cold {cold:42.1f} x")
    print(f"nbgrader's bookkeeping, a submission {books:7.3f} s")
    for name, cost in (("plain nbgrader", plain), ("ours, two jobs", both + books)):
        hours = 10_000 * cost / 3600
        print(f"10,000 submissions, {name}: {hours:.1f} hours (projected)")


def with_dask(course: Class) -> float:
    """Seconds on a cluster of two workers on this machine, its start not counted."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as here:
        return course.ours("--scheduler", here.scheduler_address)


if __name__ == "__main__":
    main()
