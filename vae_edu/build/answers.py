"""Registers of wrong answers (mutants) and right ones written differently (variants).

A lesson's mistakes.py and variants.py fill one each, by decorating functions or
classes. What does not belong here: any answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from vae_edu.build.formal import formal_answers, signs_of
from vae_edu.checks.signs import SIGNS
from vae_edu.lesson import find

T = TypeVar("T")


@dataclass(frozen=True)
class Mutant:
    """A plausible wrong answer: the misconception's name and words for the learner.

    label: stable, for statistics; that of a sign where the laws compute one for it.
    signs: labels of signs that name it rightly too, in another form of the answer.
    """

    exercise: str
    name: str
    sentence: str
    answer: Any
    signs: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        """What it is about: the first sign's category, else "values"."""
        known = SIGNS.get(self.signs[0]) if self.signs else None
        return known.category if known else "values"

    @property
    def label(self) -> str:
        """The first sign's, else the name's own words."""
        words = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return self.signs[0] if self.signs else words


@dataclass(frozen=True)
class Variant:
    """A right answer, written in another way."""

    exercise: str
    name: str
    answer: Any


@dataclass
class Register:
    """The mutants and variants of one lesson, in the order they are written in."""

    mutants: list[Mutant]
    variants: list[Variant]

    def mutant(
        self, exercise: str, name: str, sentence: str, *signs: str
    ) -> Callable[[T], T]:
        """Declare a wrong answer; the sentence helps to think, gives no answer away.

        signs: labels of `vae_edu.checks.signs` that name the same mistake.
        """

        def keep(answer: T) -> T:
            self.mutants.append(Mutant(exercise, name, sentence, answer, signs))
            return answer

        return keep

    def variant(self, exercise: str, name: str) -> Callable[[T], T]:
        """Declare a right answer."""

        def keep(answer: T) -> T:
            self.variants.append(Variant(exercise, name, answer))
            return answer

        return keep


def register() -> Register:
    """An empty register."""
    return Register([], [])


def all_mutants(topic: str, exercise: str) -> list[Mutant]:
    """The wrong answers to an exercise: written by hand, then those of bad form."""
    written = [m for m in find(topic).mistakes if m.exercise == exercise]
    formal = [
        Mutant(exercise, *rest, signs_of(rest[0]))
        for rest in formal_answers(topic, exercise)
    ]
    return [*written, *formal]
