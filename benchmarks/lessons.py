"""How long each lesson takes to execute, beside a fixed piece of work on this machine.

    python -m benchmarks.lessons [05 10 ...]

A lesson has 60 s on two cores (CONTRIBUTING.md). Machines differ, so each row also says
how many yardsticks that is: one is a fixed number of matrix products and softplus, as
the lessons' networks compute them, tried just before. What belongs here: that table.
What does not: a test, whose verdict must not hang on who else uses the machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from typing import Any

import nbclient
import nbformat
import torch

from benchmarks.load import foreign_share, jiffies
from vae_edu import catalogue
from vae_edu.build import course

ROUNDS = 60  # of the yardstick


def yardstick() -> float:
    """Seconds that a fixed piece of work takes, as the lessons' networks do it."""
    torch.set_num_threads(2)
    x, weight = torch.ones(1000, 500), torch.ones(784, 500)
    start = time.monotonic()
    for _ in range(ROUNDS):
        torch.nn.functional.softplus(x @ weight.T).sum()
    return time.monotonic() - start


def executed(topic: str) -> tuple[float, float, list[tuple[float, str]]]:
    """Run a lesson's solution as a learner who did all before: seconds, CPU, cells."""
    folder = catalogue.folder_of(topic)
    path = course.course_root() / "solutions" / folder / f"{folder}.ipynb"
    book = nbformat.read(path, as_version=4)
    with course.learner_who_did(topic) as work:
        os.environ |= {"VAE_EDU_WORK": str(work), "VAE_EDU_RUNS": str(work / "runs")}
        os.environ |= {"VAE_EDU_SCALE": "seconds", "OMP_NUM_THREADS": "2"}
        start, cpu = time.monotonic(), cpu_of_children()
        cells = timed(book, str(work))
        return time.monotonic() - start, cpu_of_children() - cpu, cells


def timed(book: Any, folder: str) -> list[tuple[float, str]]:
    """Seconds of each code cell, and its first line."""
    where = {"metadata": {"path": folder}}
    client = nbclient.NotebookClient(book, timeout=600, resources=where)
    cells = []
    with client.setup_kernel():
        for at, cell in enumerate(book.cells):
            if cell.cell_type == "code":
                start = time.monotonic()
                client.execute_cell(cell, at)
                cells.append((time.monotonic() - start, cell.source.splitlines()[0]))
    return cells


def cpu_of_children() -> float:
    """CPU seconds of every child that has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(topic: str) -> str:
    """One line of the table, and one for each cell of five seconds or more."""
    before, unit = jiffies(), yardstick()
    wall, cpu, cells = executed(topic)
    others = foreign_share(before, jiffies(), cpu + 2 * unit)
    lines = [
        f"{catalogue.folder_of(topic):28s} {wall:6.1f} s  CPU {cpu:6.1f} s  "
        f"{wall / unit:5.1f} yardsticks  others {others:.0%}"
    ]
    lines += [f"    {s:6.1f} s  {text[:60]}" for s, text in cells if s >= 5]
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*")
    asked = parser.parse_args().lessons
    for topic in map(catalogue.topic_of, asked or course.authored()):
        print(row(topic), flush=True)


if __name__ == "__main__":
    main()
