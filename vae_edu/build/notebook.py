"""From `lesson.py` to notebooks: cells, nbgrader metadata, the learner's release.

Deterministic: ids come from the text, nothing from the clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vae_edu import catalogue
from vae_edu.build.keep import built_id
from vae_edu.build.source import definitions, solution_cell
from vae_edu.catalogue import Exercise
from vae_edu.errors import CourseError
from vae_edu.handin import POINTS as RUN_POINTS

CARD = re.compile(r"\{\{card:(\w+)\}\}")
# nbgrader takes it out of the release, and puts it back to grade
HIDDEN = """
### BEGIN HIDDEN TESTS
from vae_edu.grading.kernel import check_hidden
check_hidden({name})
### END HIDDEN TESTS"""


@dataclass
class Context:
    """What the cells of a lesson are filled from."""

    folder: Path
    exercises: dict[str, Exercise]
    texts: dict[str, str]
    used: set[str] = field(default_factory=set)


def context(folder: Path) -> Context:
    """Read a lesson's exercises."""
    topic = folder.name.partition("_")[2]
    source = (folder / "exercises.py").read_text(encoding="utf-8")
    entries = {e.name: e for e in catalogue.cards_in(source, topic)}
    texts = {d.name: solution_cell(d) for d in definitions(source)}
    return Context(folder, entries, texts)


def notebook(folder: Path) -> NotebookNode:
    """The instructor's notebook of a lesson, not executed."""
    known = context(folder)
    text = (folder / "lesson.py").read_text(encoding="utf-8")
    written = jupytext.reads(text, fmt="py:percent").cells
    cells = [_cell(cell, known) for cell in written]
    missing = [n for n in known.exercises if f"test_{n}" not in known.used]
    if missing:
        raise CourseError(f"{folder.name}/lesson.py has no check for {missing[0]}")
    _number(cells)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return new_notebook(cells=cells, metadata=metadata)


def _cell(written: NotebookNode, known: Context) -> NotebookNode:
    tags = written.metadata.get("tags", [])
    special = next((t for t in tags if ":" in t), "")
    kind, _, rest = special.partition(":")
    if kind == "exercise":
        return _exercise(rest, known)
    if kind == "check":
        return _check(rest, written.source, known)
    if kind == "run":
        return _run_check(rest, written.source, known)
    if written.cell_type == "markdown":
        return _markdown(written.source, known, rest if kind == "written" else "")
    cell = new_code_cell(written.source)
    cell.metadata["tags"] = tags or ["experiment"]
    return cell


def _exercise(name: str, known: Context) -> NotebookNode:
    if name not in known.texts:
        raise CourseError(f"{known.folder.name}: there is no exercise {name!r}")
    cell = new_code_cell(known.texts[name])
    _grading(cell, known, name, solution=True)
    return cell


def _check(name: str, body: str, known: Context) -> NotebookNode:
    points = known.exercises[name].card.points
    cell = new_code_cell((body or f"check({name})") + HIDDEN.format(name=name))
    _grading(cell, known, f"test_{name}", grade=True, locked=True, points=points)
    return cell


def _run_check(name: str, body: str, known: Context) -> NotebookNode:
    """A check of a run folder that is handed in beside the notebook."""
    cell = new_code_cell(body)
    _grading(cell, known, f"run_{name}", grade=True, locked=True, points=RUN_POINTS)
    return cell


def _markdown(body: str, known: Context, written: str) -> NotebookNode:
    text = CARD.sub(lambda m: _card(known.exercises[m.group(1)]), body)
    cell = new_markdown_cell(text)
    if written:
        name, _, points = written.partition(":")
        grade_id = f"written_{name}"
        _grading(cell, known, grade_id, grade=True, solution=True, points=int(points))
    return cell


def _card(exercise: Exercise) -> str:
    card = exercise.card
    points = f"{card.points} point{'s' * (card.points != 1)}"
    return (
        f"**Exercise {card.number}** · `{exercise.name}` · about {card.minutes} "
        f"minutes · {points}  \n"
        f"*Difficulty:* {card.difficulty}. *Needed for:* {card.needed_for}."
    )


def _grading(cell: NotebookNode, known: Context, grade_id: str, **flags: Any) -> None:
    if grade_id in known.used:
        raise CourseError(f"{known.folder.name}: {grade_id} occurs twice")
    known.used.add(grade_id)
    base = {"grade": False, "locked": False, "solution": False, "task": False}
    named = {"schema_version": 3, "grade_id": grade_id}
    cell.metadata["nbgrader"] = {**base, **named, **flags}


def _number(cells: list[NotebookNode]) -> None:
    seen: dict[str, int] = {}
    for cell in cells:
        name = built_id(cell)
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"


def released(book: NotebookNode, config: Any) -> NotebookNode:
    """The learner's notebook, by nbgrader's preprocessors (all but the database's)."""
    from nbgrader import preprocessors as steps

    resources: dict[str, Any] = {}
    names = (
        "LockCells ClearSolutions ClearOutput CheckCellMetadata ComputeChecksums "
        "ClearHiddenTests ClearMarkScheme ComputeChecksums CheckCellMetadata"
    )
    for name in names.split():
        step = getattr(steps, name)(config=config)
        book, resources = step.preprocess(book, resources)
    return book
