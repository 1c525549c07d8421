"""Which lessons and exercises there are: read from the built stubs without an import.

What belongs here: the order of the lessons, the card of an exercise (`declare`),
look-ups by name. What does not: anything that runs an exercise or knows an answer.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from vae_edu.errors import CourseError

T = TypeVar("T", bound=Callable[..., Any])

TOPICS = (
    "start_here",
    "autoencoders",
    "latent_variable_models",
    "elbo",
    "kl_divergence",
    "reparameterization",
    "likelihoods",
    "building_the_vae",
    "training",
    "importance_weighting",
    "full_mnist_run",
)


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


def folder_of(topic: str) -> str:
    """`kl_divergence` -> `04_kl_divergence`."""
    return f"{TOPICS.index(topic):02d}_{topic}"


def topic_of(lesson: str) -> str:
    """The topic for what one may write: `kl_divergence`, `04_kl_divergence`, `4`."""
    text = str(lesson).strip()
    for number, topic in enumerate(TOPICS):
        if text in (topic, folder_of(topic), str(number), f"{number:02d}"):
            return topic
    near = difflib.get_close_matches(text, TOPICS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise CourseError(
        f"There is no lesson {lesson!r}.{hint} Lessons: {', '.join(TOPICS)}."
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
    path = Path(__file__).parent / "exercises" / f"{topic}.py"
    if not path.exists():
        return ()
    return tuple(cards_in(path.read_text(encoding="utf-8"), topic))


def all_exercises() -> tuple[Exercise, ...]:
    """Every exercise of the course, in order."""
    return tuple(e for topic in TOPICS for e in exercises_of(topic))


def find(name: str) -> Exercise:
    """The exercise called `name`; a CourseError with the nearest name otherwise."""
    known = {e.name: e for e in all_exercises()}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise CourseError(f"There is no exercise called {name!r}.{hint}")
