"""Attacks on what is judged and how: each earns what its answer deserves."""

from __future__ import annotations

import os

import pytest

from tests.attacks.registered import (
    BY_LINE,
    before,
    course,
    harmless,
    secret,
    server,
)
from tests.attacks.registry import ATTACKS, LINES, LOOPS, NAME, RIGHT, SECRET, by_heart
from vae_edu.checks.judging import run_public
from vae_edu.lesson import find
from vae_edu.subject import local

__all__ = ["before", "course", "secret", "server"]  # fixtures


@pytest.mark.parametrize("line", LINES[: LINES.index(LOOPS)])
def test_each_attack_earns_what_it_deserves(zygote, server, course, before, line):
    harmless(zygote, server, course, before, line)


def test_each_line_is_attacked_in_two_ways_or_more():
    assert {line: len(found) < 2 for line, found in BY_LINE.items()} == dict.fromkeys(
        LINES, False
    )
    assert len({a.name for a in ATTACKS}) == len(ATTACKS)


def test_what_the_attacks_look_for_is_there(course):
    """Without a sandbox each thief finds its answer: its failure is the sandbox's."""
    for name in ("reads the solution's source", "imports the hidden tests' oracle"):
        attack = next(a for a in ATTACKS if a.name == name)
        names = {"__name__": "answer"}
        exec(attack.answer, names)
        assert callable(names["reference"]()), name
    assert os.environ[SECRET] == RIGHT
    assert find("kl_divergence").has("hidden")


def test_the_values_learnt_by_heart_satisfy_the_released_checks():
    """So it is the hidden laws that refuse them."""
    names = {}
    exec(by_heart(), names)
    verdicts = run_public("kl_divergence", NAME, local({NAME: names[NAME]}))
    assert [v.law.name for v in verdicts if not v.holds] == []
