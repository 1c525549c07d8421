"""`vae-edu build --new 11_latent_space`: the files of a lesson, to be filled.

Every file says what belongs into it and fails until that is done: the build refuses a
lesson in which `TO BE WRITTEN` stands. What does not belong here: building.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.paths import course_root

MARK = "TO BE WRITTEN"
FOLDER = re.compile(r"(\d{2,3})_([a-z][a-z0-9_]*)")

_EXERCISES = f'''"""Lesson @NN, reference answers: {MARK}."""

from torch import Tensor

from vae_edu.catalogue import declare


@declare(
    "@N.1",
    points=3,
    minutes=15,
    difficulty="{MARK}",
    needed_for="{MARK}",
)
def first_answer(x: Tensor) -> Tensor:
    r"""The contract that a learner sees, an equation first: {MARK}.

    x: (..., D)  ->  (...)
    """
    ### BEGIN SOLUTION
    raise NotImplementedError("{MARK}")
    ### END SOLUTION
'''
_LESSON = f"""# %% [markdown]
# # @NN · {MARK}
#
# **After this lesson you can** ...
#
# **You need** ... **Time:** about ... minutes.

# %% tags=["setup"]
import torch
from torch import Tensor
from vae_edu import check, exercise, viz
_ = torch.manual_seed(@N)

# %% [markdown]
# {{{{card:first_answer}}}}

# %% tags=["exercise:first_answer"]

# %% tags=["check:first_answer"]
"""
_CHECKS = f'''"""Lesson @NN: what is tried on its exercises: {MARK}.

No true values and no answers are here.
"""

from __future__ import annotations

from collections.abc import Iterator

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import Laws
from vae_edu.checks.standard import Case, Cases, add_standard

LAWS = Laws("@TOPIC")


def _plain(draw: Draw) -> Iterator[Case]:
    yield Case((draw.normal(4, 3),))


CASES = {{"first_answer": Cases("first_answer", ("x",), _plain)}}

for _cases in CASES.values():
    add_standard(LAWS, _cases)
'''
_HIDDEN = f'''"""Lesson @NN: oracles by another way, and the hidden laws."""

from __future__ import annotations

from torch import Tensor

from vae_edu.checks.@TOPIC import CASES
from vae_edu.checks.law import Laws
from vae_edu.checks.standard import add_fresh

LAWS = Laws("@TOPIC")


def first_answer(x: Tensor) -> Tensor:
    """How it is known independently of the reference."""
    raise NotImplementedError("{MARK}")


ORACLES = {{"first_answer": first_answer}}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)
'''
_MISTAKES = f'''"""Lesson @NN: what learners write when something is misunderstood."""

from __future__ import annotations

from torch import Tensor

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant


@mutant(
    "first_answer",
    "The misconception, by a name: {MARK}",
    "A sentence that helps to think and does not give the answer away.",
)
def _(x: Tensor) -> Tensor:
    return x.sum(-1)
'''
_VARIANTS = f'''"""Lesson @NN: right answers, written differently."""

from __future__ import annotations

from torch import Tensor

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


@variant("first_answer", "how it differs from the reference: {MARK}")
def _(x: Tensor) -> Tensor:
    return x.sum(-1)
'''
_EQUATIONS = f'''"""The equations printed in lesson @NN, by numbers or by sympy."""

from __future__ import annotations

import pytest


def test_equation_1():
    pytest.fail("the equations of lesson @NN: {MARK}")
'''
PARTS = {
    "lesson": _LESSON,
    "exercises": _EXERCISES,
    "hidden": _HIDDEN,
    "mistakes": _MISTAKES,
    "variants": _VARIANTS,
    "test_equations": _EQUATIONS,
}


def command(name: str) -> int:
    """Write the files of a new lesson, and say which; the exit status."""
    root = course_root()
    for path, text in skeleton(root, name).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"new {path.relative_to(root)}")
    print(f"Fill them (CONTRIBUTING.md says how), then: vae-edu build {name}")
    return 0


def skeleton(root: Path, name: str) -> dict[Path, str]:
    """The files of a new lesson; a CourseError where its name cannot be taken."""
    parts = FOLDER.fullmatch(name)
    if parts is None or keyword.iskeyword(parts[2]):
        raise CourseError(
            f"{name!r} names no lesson: write its number and its topic, like "
            "11_latent_space (small letters, digits and _)."
        )
    number, topic = int(parts[1]), parts[2]
    folder, checks = root / "solutions" / name, root / "vae_edu" / "checks"
    _refuse_what_is_taken(folder, checks / f"{topic}.py", number, topic)
    files = {folder / f"{part}.py": text for part, text in PARTS.items()}
    files[checks / f"{topic}.py"] = _CHECKS
    written = {"@NN": f"{number:02d}", "@N": str(number), "@TOPIC": topic}
    return {path: _filled(text, written) for path, text in files.items()}


def _refuse_what_is_taken(folder: Path, checks: Path, number: int, topic: str) -> None:
    if folder.exists():
        raise CourseError(f"solutions/{folder.name} is there already.")
    others = [p.name for p in sorted(folder.parent.glob("*_*")) if p.is_dir()]
    others += map(catalogue.folder_of, catalogue.TOPICS)
    for other in others:
        taken, _, known = other.partition("_")
        if taken.isdigit() and int(taken) == number:
            raise CourseError(f"The number {number} is that of {other}: take another.")
        if known == topic:
            raise CourseError(f"The topic {topic} is that of {other}: take another.")
    if checks.exists():
        raise CourseError(
            f"vae_edu/checks/{checks.name} is there already: take another topic."
        )


def _filled(text: str, written: dict[str, str]) -> str:
    for mark, value in written.items():
        text = text.replace(mark, value)
    return text


def refuse_unwritten(folder: Path, checks: Path) -> None:
    """A CourseError that names what of a lesson is still to be written, or missing."""
    for path in (*(folder / f"{part}.py" for part in PARTS), checks):
        place = f"{path.parent.name}/{path.name}"
        if not path.is_file():
            raise CourseError(f"{folder.name} cannot be built: {place} is missing.")
        lines = path.read_text(encoding="utf-8").splitlines()
        number = next((n for n, line in enumerate(lines, 1) if MARK in line), None)
        if number is not None:
            raise CourseError(
                f"{folder.name} cannot be built: {place} is not written yet "
                f"(line {number}: {lines[number - 1].strip()})."
            )
