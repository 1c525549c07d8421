"""Wrong answers in forms of their own are refused, and called by true names.

What belongs here: how often, over every lesson's unseen.py. What does not: the answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from tests.audit import verdicts
from tests.unseen import Unseen
from vae_edu.build.course import authored
from vae_edu.checks.diagnosis import Misconception, diagnose
from vae_edu.checks.judging import run_public, score
from vae_edu.checks.signs import SIGNS
from vae_edu.lesson import find
from vae_edu.subject import local

PARTS = [(t, p) for t in authored() for p in ("unseen", "unseen_modules")]
WRITTEN = [(topic, part) for topic, part in PARTS if find(topic).has(part)]
NAMED, EACH = 0.8, 5
WRONGLY = 0.1  # the aim is none; not measured anew since signs were mended

per_part = pytest.mark.parametrize(("topic", "part"), WRITTEN)


class Judged(NamedTuple):
    """What became of an answer: its share of the points, and its name."""

    wrong: Unseen
    refused: bool
    share: float
    known: Misconception | None

    @property
    def named(self) -> bool:
        """Whether it got a name that is true."""
        allowed = self.wrong.names
        return self.known is not None and (
            self.known.name in allowed or self.known.label in allowed
        )

    def __str__(self) -> str:
        said = self.known and f"{self.known.name} [{self.known.label}]"
        place = self.wrong.answer.__code__.co_firstlineno if self.is_function else ""
        return f"{self.wrong.exercise} line {place}: {said}, {self.share:.2f} of 1"

    @property
    def is_function(self) -> bool:
        """Whether it is a function, which knows its line."""
        return hasattr(self.wrong.answer, "__code__")


@cache
def judged(topic: str, part: str) -> list[Judged]:
    """Every answer of one file of a lesson, under every law."""
    return list(_each(topic, find(topic).authored(part).UNSEEN))


def _each(topic: str, answers: list[Unseen]) -> Iterator[Judged]:
    for wrong in answers:
        subject = local({wrong.exercise: wrong.answer})
        public = run_public(topic, wrong.exercise, subject)
        known = diagnose(topic, wrong.exercise, public, subject)
        every = verdicts(topic, wrong.exercise, subject)
        refused = not all(v.holds for v in every)
        yield Judged(wrong, refused, score(every, 1.0), known)


@per_part
def test_all_are_refused(topic, part):
    assert [str(j) for j in judged(topic, part) if not j.refused] == []


@per_part
def test_few_are_called_by_a_wrong_name(topic, part):
    wrongly = [str(j) for j in judged(topic, part) if j.known and not j.named]
    assert len(wrongly) <= WRONGLY * len(judged(topic, part)), wrongly


@per_part
def test_most_are_called_by_a_true_one(topic, part):
    unnamed = [str(j) for j in judged(topic, part) if not j.named]
    assert len(unnamed) <= (1 - NAMED) * len(judged(topic, part)), unnamed


@per_part
def test_none_earns_more_than_half_unless_for_form(topic, part):
    dear = [j for j in judged(topic, part) if j.share > 0.5 and not of_form(j.wrong)]
    assert [str(j) for j in dear] == []


def of_form(wrong: Unseen) -> bool:
    """Whether its first name is a sign of bad form."""
    first = SIGNS.get(wrong.names[0]) if wrong.names else None
    return first is not None and first.category == "form"


@per_part
def test_there_are_enough(topic, part):
    counted = [j.wrong.exercise for j in judged(topic, part)]
    assert min(counted.count(name) for name in set(counted)) >= EACH
