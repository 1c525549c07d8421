"""How long `check` takes a learner: the first of a session, and those after it.

    python -m benchmarks.checks [--beside CHECKOUT] [--rounds 3] [gaussian_kl VAE ...]

Each round starts a process in this checkout and, with `--beside`, one in another, in
turn, so that both meet the same neighbours; the last column is the ratio. Seconds of
the processor. What belongs here: that table. What does not: whether an answer is right.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
TIMED = """
import contextlib, io, json, sys, time
import torch
torch.set_num_threads(1)
from vae_edu import check, use_reference
from vae_edu import catalogue
name = sys.argv[1]
topic = catalogue.find(name).topic
with contextlib.redirect_stdout(io.StringIO()):
    use_reference(topic)
    answer = getattr(__import__(f"vae_edu.exercises.{topic}", fromlist=[name]), name)
    found = []
    for _ in range(4):
        start = time.process_time()
        check(answer)
        found.append(time.process_time() - start)
print(json.dumps([found[0], min(found[1:])]))
"""


def seconds(checkout: Path, exercise: str, work: Path) -> tuple[float, float]:
    """The first check of an exercise's reference in a new process, and a later one."""
    own = {"PYTHONPATH": str(checkout), "VAE_EDU_HOME": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", TIMED, exercise],
        cwd=checkout,
        env={**os.environ, **own, "VAE_EDU_WORK": str(work), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, later = json.loads(done.stdout.splitlines()[-1])
    return first, later


def row(exercise: str, places: list[Path], rounds: int) -> str:
    """One line of the table: medians over the rounds, the places in turn."""
    found: dict[Path, list[tuple[float, float]]] = {place: [] for place in places}
    for _ in range(rounds):
        for place in places:
            with tempfile.TemporaryDirectory() as work:
                found[place].append(seconds(place, exercise, Path(work)))
    halves = [
        [statistics.median(pair[i] for pair in found[p]) for p in places]
        for i in (0, 1)
    ]
    words = [" beside ".join(f"{s:.3f} s" for s in half) for half in halves]
    ratios = [f"{half[1] / half[0]:.1f} times" for half in halves if len(half) == 2]
    return f"{exercise:24s} first {words[0]}   later {words[1]}   {', '.join(ratios)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exercises", nargs="*")
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    places = [HERE, *([asked.beside.resolve()] if asked.beside else [])]
    for exercise in asked.exercises or ["gaussian_kl", "Encoder", "VAE"]:
        print(row(exercise, places, asked.rounds), flush=True)


if __name__ == "__main__":
    main()
