"""Which lessons and exercises there are: read from the built stubs without an import.

A lesson is here as soon as its stubs are: the numbers on their cards ("4.1") are its
place. What belongs here: the order of the lessons, the card of an exercise (`declare`),
look-ups by name. What does not: anything that runs an exercise or knows an answer.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vae_edu.errors import CourseError

T = TypeVar("T", bound=Callable[..., Any])

TOPICS: tuple[str, ...]  # in their order, found when first asked for
_STUBS = Path(__file__).parent / "exercises"
_NUMBER = re.compile(r"^@declare\(\s*[\"'](\d+)\.", re.M)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> tuple[str, ...]:
        """`TOPICS`: after `forget`, with the lessons that were built since."""
        if name != "TOPICS":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return tuple(_numbers())


@dataclass(frozen=True)
class Card:
    """What a learner is told about an exercise before starting it."""

    number: str
    points: int
    minutes: int
    difficulty: str
    needed_for: str


@dataclass(frozen=True)
class Exercise:
    """One exercise: its name, its lesson and its card."""

    name: str
    topic: str
    card: Card

    @property
    def folder(self) -> str:
        """The lesson's folder, for example `04_kl_divergence`."""
        return folder_of(self.topic)


def declare(
    number: str, *, points: int, minutes: int, difficulty: str, needed_for: str
) -> Callable[[T], T]:
    """Attach an exercise's card to its reference or stub, otherwise unchanged."""
    card = Card(number, points, minutes, difficulty, needed_for)

    def attach(obj: T) -> T:
        obj.__card__ = card  # type: ignore[attr-defined]
        return obj

    return attach


@cache
def _numbers() -> dict[str, int]:
    """The number of each lesson, in their order; some may be missing."""
    found: dict[str, int] = {}
    for path in sorted(_STUBS.glob("*.py")):
        if card := _NUMBER.search(path.read_text(encoding="utf-8")):
            found[path.stem] = int(card[1])
    ordered = sorted(found, key=lambda topic: found[topic])
    for one, other in pairwise(ordered):
        if found[one] == found[other]:
            raise CourseError(
                f"Two lessons have the number {found[one]}: {one} and {other}. Give "
                "one of them another, in its folder's name and on its cards."
            )
    return {topic: found[topic] for topic in ordered}


@cache
def _spellings() -> dict[str, str]:
    """What one may write for a lesson, and its topic."""
    known = {}
    for topic, number in _numbers().items():
        known.update(dict.fromkeys(spellings(number, topic), topic))
    return known


def spellings(number: int, topic: str) -> tuple[str, ...]:
    """What one may write for a lesson: its topic, its folder, its number."""
    return topic, folder_name(number, topic), str(number), f"{number:02d}"


def forget() -> None:
    """Look anew at the next question: a stub was built."""
    for found in (_numbers, _spellings, exercises_of):
        found.cache_clear()


def number_of(topic: str) -> int:
    """`kl_divergence` -> 4."""
    return _numbers()[topic_of(topic)]


def folder_of(topic: str) -> str:
    """`kl_divergence` -> `04_kl_divergence`."""
    return folder_name(number_of(topic), topic)


def folder_name(number: int, topic: str) -> str:
    """The name of the folder of a lesson with this number."""
    return f"{number:02d}_{topic}"


def topic_of(lesson: str) -> str:
    """The topic for what one may write: `kl_divergence`, `04_kl_divergence`, `4`."""
    text = str(lesson).strip()
    if text in _spellings():
        return _spellings()[text]
    topics = tuple(_numbers())
    near = difflib.get_close_matches(text, topics, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise CourseError(
        f"There is no lesson {lesson!r}.{hint} Lessons: {', '.join(topics)}."
    )


def cards_in(source: str, topic: str) -> list[Exercise]:
    """The exercises declared in a module's source, in order."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            call = next(filter(None, map(_declaration, node.decorator_list)), None)
            if call is not None:
                found.append(Exercise(node.name, topic, _card(call)))
    return found


def _declaration(node: ast.expr) -> ast.Call | None:
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return node if named and node.func.id == "declare" else None  # type: ignore


def _card(call: ast.Call) -> Card:
    values = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
    return Card(ast.literal_eval(call.args[0]), **values)


@cache
def exercises_of(topic: str) -> tuple[Exercise, ...]:
    """The exercises of a lesson in their order; empty for a lesson without any."""
    path = _STUBS / f"{topic}.py"
    if not path.exists():
        return ()
    return tuple(cards_in(path.read_text(encoding="utf-8"), topic))


def all_exercises() -> tuple[Exercise, ...]:
    """Every exercise of the course, in order."""
    return tuple(e for topic in _numbers() for e in exercises_of(topic))


def find(name: str, topic: str | None = None) -> Exercise:
    """The exercise called `name`; a CourseError with the nearest name otherwise.

    topic: the lesson that is meant, where more than one has an exercise of this name.
    """
    named = [e for e in all_exercises() if e.name == name]
    own = [e for e in named if e.topic == topic]
    if len(own or named) == 1:
        return (own or named)[0]
    if named:
        lessons = " and ".join(e.folder for e in named)
        raise CourseError(
            f"{name!r} is an exercise of {lessons}: say which lesson is meant."
        )
    near = difflib.get_close_matches(name, {e.name for e in all_exercises()}, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise CourseError(f"There is no exercise called {name!r}.{hint}")
