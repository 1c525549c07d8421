"""Whether a run folder will be accepted, and for how many points: lesson 10's hand-in.

The grader's rule and the learner's are this one. What belongs here: criteria, bars, and
`check_run`. What does not: reading and recomputing a folder (`runs`), gradebooks
(`grading.run_folder`).
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vae_edu import paths, runs
from vae_edu.data import DataError, Dataset
from vae_edu.errors import CourseError
from vae_edu.feedback import CheckFailed, not_yet, show

__all__ = ["BARS", "Criterion", "POINTS", "RunMark", "check_run", "mark"]

WHOLE, REACHED, GOOD = 2, 2, 1
POINTS = WHOLE + REACHED + GOOD
# nats: lesson 10 in its seconds reached 104.0 to 105.9 and 23.2 with ReLU or GELU,
# 107.8 with ELU, 112.2 with tanh; with two latents 155 to 163 and 24.5
BARS: Mapping[str, tuple[float, float]] = {
    "mnist": (125.0, 115.0),
    "digits": (27.0, 24.0),
}
FEWEST_IMAGES, FEWEST_SAMPLES = 200, 1000
SPOT = 300  # images: of 20, other noise would refuse one honest run in five


@dataclass(frozen=True)
class Criterion:
    """One thing that earns points."""

    met: bool
    points: int
    words: str


@dataclass(frozen=True, repr=False)
class RunMark:
    """The outcome for a run folder; `problem` says why it is refused."""

    criteria: tuple[Criterion, ...] = ()
    problem: str = ""

    @property
    def points(self) -> int:
        """Points earned."""
        return sum(c.points for c in self.criteria if c.met)

    def __str__(self) -> str:
        """Each criterion in a line, or the reason of a refusal."""
        if self.problem:
            return f"Not accepted: {self.problem}"
        lines = [f"Accepted: {self.points} of {POINTS} points."]
        marks = {True: "met", False: "not met"}
        lines += [f"  {marks[c.met]:<7}  {c.words}" for c in self.criteria]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = "#D55E00" if self.problem else "#009E73"
        style = f"border-left:5px solid {colour};padding:.4em 1em;white-space:pre-wrap"
        return (
            f'<div class="vae-edu-check" style="{style}">{html.escape(str(self))}</div>'
        )


def mark(
    folder: Path,
    *,
    images: Dataset | None = None,
    spot: int = SPOT,
    spot_seed: int = 0,
    progress: bool = True,
) -> RunMark:
    """Recompute a run's claims on `spot` of its images, and give its points.

    folder: or a .zip of one. No code of the run's is executed. spot_seed: which images;
    a grader keeps it to itself. The claimed NLL counts only where the weights support
    it. Raises DataError where the images are not here, which is no fault of the run's.
    """
    try:
        runs.verify(
            folder, images=images, spot=spot, spot_seed=spot_seed, progress=progress
        )
        return RunMark(_criteria(runs.read(folder)))
    except DataError:
        raise
    except CourseError as error:
        return RunMark(problem=str(error))


def _criteria(run: runs.Run) -> tuple[Criterion, ...]:
    n, k = int(run.claims["n"]), int(run.claims["num_samples"])
    nll = float(run.per_image.double().mean())
    told = f"nll {nll:.1f} nats on {n:,} test images with {k:,} samples"
    enough = n >= FEWEST_IMAGES and k >= FEWEST_SAMPLES
    least = f"at least {FEWEST_IMAGES} images, {FEWEST_SAMPLES:,} samples"
    reach, good = BARS.get(str(run.config["data"]["name"]), (0.0, 0.0))
    return (
        Criterion(True, WHOLE, f"whole, and its weights support its claims: {told}"),
        Criterion(enough and nll <= reach, REACHED, f"nll {reach:g} or less ({least})"),
        Criterion(enough and nll <= good, GOOD, f"nll {good:g} or less ({least})"),
    )


def check_run(name: str) -> None:
    """Say whether the run folder of that name will be accepted, and for which points.

    name: of a folder, or a .zip of one, among the runs or where the notebook is.
    Raises NotImplementedError where there is none yet, and an AssertionError for one
    that is refused, so that a notebook run from top to bottom notices.
    """
    folder = paths.runs_dir() / name
    if not folder.exists() and Path(name).exists():
        folder = Path(name)
    if not folder.exists():
        there = ", ".join(f.name for f in runs.runs_in(folder.parent)) or "none"
        raise not_yet(
            f"there is no run called {name} yet: run the cells above, which write it. "
            f"(Runs that are there: {there}.)"
        )
    marked = mark(folder)
    show(marked)
    if marked.problem:
        raise CheckFailed(f"the run {name} would not be accepted.")
