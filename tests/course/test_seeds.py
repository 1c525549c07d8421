"""No right answer's grade depends on what is drawn.

Each month other seeds are drawn, the same ones on every machine; seeds that once
refused a right answer are kept. VAE_EDU_SEEDS=300 tries so many for each answer.
"""

from __future__ import annotations

import hashlib
import os
from datetime import date
from typing import Any

import pytest

from tests.unusual import unusual
from vae_edu.build.course import authored
from vae_edu.checks.judging import run_law
from vae_edu.lesson import find
from vae_edu.subject import local

SEEDS = int(os.environ.get("VAE_EDU_SEEDS", "1"))
FEW = 1 if SEEDS > 1 else 3  # one of so many answers is tried a day

# what refused a right answer once: (exercise, what is unusual, seed)
KEPT = (
    ("Encoder", "hardsigmoid", "seed11"),
    ("VAE", "hardsigmoid", "seed11"),
    ("Autoencoder", "relu at the end", "judge"),
)


def seeds(what: str) -> list[str]:
    """This month's seeds for an answer."""
    month = date.today().strftime("%Y-%m")
    return [f"{month}/{what}/{i}" for i in range(SEEDS)]


def refusals(topic: str, exercise: str, answer: Any, seed: str) -> list[str]:
    """The laws that an answer breaks for a seed."""
    subject, lesson = local({exercise: answer}), find(topic)
    truth, laws = lesson.oracle, lesson.every_law(exercise)
    judged = [run_law(x, subject, truth, seed) for x in laws]
    words = f"{exercise}, seed {seed!r}"
    return [f"{words}: {v.law.name}: {v.message}" for v in judged if not v.holds]


def drawn(what: str) -> bool:
    """Whether an answer is tried this month."""
    key = f"{date.today():%Y-%m}/{what}".encode()
    return int(hashlib.sha256(key).hexdigest(), 16) % FEW == 0


def kept(exercise: str, what: str) -> list[str]:
    """The seeds that once refused an answer."""
    return [seed for name, how, seed in KEPT if (name, how) == (exercise, what)]


TRIED = [
    pytest.param(*u, id=f"{u[1]}-{u[2]}")
    for u in unusual()
    if drawn(f"{u[1]} {u[2]}") or kept(u[1], u[2])
]


@pytest.mark.parametrize(("topic", "exercise", "what", "answer"), TRIED)
def test_a_right_module_passes_for_every_seed(topic, exercise, what, answer):
    for seed in [*kept(exercise, what), *seeds(f"{exercise} {what}")]:
        assert refusals(topic, exercise, answer, seed) == []


@pytest.mark.parametrize("topic", authored())
def test_a_right_answer_passes_for_every_seed(topic):
    for variant in find(topic).variants:
        what = f"{variant.exercise} {variant.name}"
        for seed in seeds(what) if drawn(what) else []:
            assert refusals(topic, variant.exercise, variant.answer, seed) == []


def test_kept_seeds_are_of_answers_that_are_there():
    there = {(exercise, what) for _, exercise, what, _ in unusual()}
    assert {(exercise, what) for exercise, what, _ in KEPT} <= there
