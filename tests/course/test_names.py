"""A known mistake has one name: `judge` and `grade` say what `check` says.

What belongs here: the same wrong answers, asked as a learner's notebook asks them and
as the judge's process does. What does not: which mistakes are named (test_answers).
"""

from __future__ import annotations

import inspect
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread
from typing import Any

import pytest

from vae_edu.build.answers import Mutant, all_mutants
from vae_edu.build.course import authored
from vae_edu.build.numbers import outcomes
from vae_edu.catalogue import exercises_of
from vae_edu.checks.diagnosis import diagnose
from vae_edu.grading.verdict import verdicts
from vae_edu.grading.wall.process import Budget, Fork
from vae_edu.grading.wall.zygote import _serve
from vae_edu.subject import Engine, local

SAMPLE = 6  # of the functions' mistakes, every sixth
EXERCISES = [entry for topic in authored() for entry in exercises_of(topic)]


class InThisProcess:
    """Stands in for `Sessions`: a thread serves the answer, over the same wire."""

    def __init__(self, mutant: Mutant) -> None:
        self.objects = {mutant.exercise: mutant.answer}
        self.budget = Budget()

    @contextmanager
    def process(self) -> Iterator[Fork]:
        ours, theirs = socket.socketpair()
        serving = Thread(target=_serve, args=(theirs, Engine(self.objects)))
        serving.start()
        with closing(theirs), closing(ours):
            yield Fork(ours)
            ours.shutdown(socket.SHUT_RDWR)
            serving.join()


def as_judged(topic: str, mutant: Mutant) -> str | None:
    sessions: Any = InThisProcess(mutant)
    public = verdicts._public(sessions, topic, mutant.exercise, seconds=60)
    known = verdicts._known(sessions, topic, mutant.exercise, public, seconds=60)
    return known.name if known else None


def sampled(topic: str, exercise: str) -> Iterator[tuple[Mutant, str | None]]:
    """Mistakes, made anew, with what `check` calls them."""
    checked = outcomes(topic, exercise)
    anew = all_mutants(topic, exercise)
    modules = any(inspect.isclass(mutant.answer) for mutant in anew)
    pairs = list(zip(anew, checked, strict=True))
    for mutant, (asked, public) in pairs[:: 1 if modules else SAMPLE]:
        known = diagnose(topic, exercise, public, local({exercise: asked.answer}))
        yield mutant, known.name if known else None


@pytest.mark.parametrize("entry", EXERCISES, ids=lambda e: e.name)
def test_a_mistake_is_named_in_grading_as_it_is_in_check(entry):
    names = [
        (mutant.name, checked, as_judged(entry.topic, mutant))
        for mutant, checked in sampled(entry.topic, entry.name)
    ]
    assert [row for row in names if row[1] != row[2]] == []
    assert any(checked for _, checked, _ in names)
