"""From `exercises.py`, the one truth: stubs to import, solution cells for notebooks."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from vae_edu import catalogue
from vae_edu.errors import CourseError

REGION = re.compile(
    r"^(?P<indent>[ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION\n", re.M | re.S
)


@dataclass(frozen=True)
class Definition:
    """One exercise in its source: the declaration's text and the definition's."""

    name: str
    declaration: str
    text: str


def definitions(source: str) -> list[Definition]:
    """The declared exercises of a module, in order; undeclared ones are an error."""
    lines = source.splitlines(keepends=True)
    found: list[Definition] = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if not node.decorator_list:
            raise CourseError(
                f"{node.name} in exercises.py is not declared: its text would be lost "
                "in the stubs. Put helpers inside the exercise."
            )
        if any(node.name == known.name for known in found):
            raise CourseError(f"exercises.py has two exercises called {node.name!r}.")
        first = node.decorator_list[0].lineno - 1
        declaration = "".join(lines[first : node.lineno - 1])
        text = "".join(lines[node.lineno - 1 : node.end_lineno])
        text = _with_region_end(lines, text, node.end_lineno or 0)
        found.append(Definition(node.name, declaration, text))
    return found


def _with_region_end(lines: list[str], text: str, end: int) -> str:
    """The last `### END SOLUTION` is a comment, which ast leaves outside the node."""
    while text.count("### BEGIN SOLUTION") > text.count("### END SOLUTION"):
        text += lines[end]
        end += 1
    return text


def stubbed(text: str, message: str) -> str:
    """The text with each solution region replaced by a NotImplementedError."""
    if not REGION.search(text):
        raise CourseError("an exercise has no ### BEGIN SOLUTION region")
    return REGION.sub(rf'\g<indent>raise NotImplementedError("{message}")\n', text)


def stub_module(source: str, folder: str) -> str:
    """The module `vae_edu/exercises/<topic>.py` of the lesson in a folder."""
    lesson, _, topic = folder.partition("_")
    cards = {e.name: e.card for e in catalogue.cards_in(source, topic)}
    parts = []
    for item in definitions(source):
        _expect_number(item.name, cards[item.name], folder)
        number = cards[item.name].number
        message = f"Exercise {number}: fill it in in notebooks/{folder}"
        parts.append(item.declaration + stubbed(item.text, message).rstrip("\n") + "\n")
    doc = (
        f'"""Lesson {lesson}: the stubs of its exercises, '
        "built from the instructor's source.\n\n"
        "Your own answers, in work/, take their places when this is imported.\n"
        '"""\n'
    )
    body = "\n\n".join(["\n" + p for p in parts])
    return f"{doc}\n{_imports(source)}{body}\n\nresolve(globals())\n"


def _expect_number(name: str, card: catalogue.Card, folder: str) -> None:
    number = int(folder.partition("_")[0])
    if card.number.partition(".")[0] != str(number):
        raise CourseError(
            f"{folder}/exercises.py: the card of {name} says {card.number}, which is "
            f"no exercise of lesson {number}."
        )


def _imports(source: str) -> str:
    nodes = [
        n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    lines = [
        ast.unparse(n)
        for n in nodes
        if not (isinstance(n, ast.ImportFrom) and "exercises" in (n.module or ""))
    ]
    return "\n".join([*lines, "from vae_edu.work import resolve"]) + "\n"


def solution_cell(item: Definition) -> str:
    """The notebook cell with the answer in it; nbgrader clears it for learners."""
    return "@exercise\n" + item.text.rstrip("\n")


def read_exercises(folder: Path) -> str:
    """The text of a lesson's exercises.py."""
    return (folder / "exercises.py").read_text(encoding="utf-8")
