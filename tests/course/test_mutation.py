"""No mutation of a reference answer survives the laws, but those shown equivalent."""

from __future__ import annotations

import pytest

from tests.mutation import EQUIVALENT, mutations, survivors
from vae_edu.catalogue import TOPICS, exercises_of

LESSONS = [t for t in TOPICS if exercises_of(t)]


@pytest.mark.parametrize("topic", LESSONS)
def test_no_mutation_survives(topic):
    count, alive = survivors(topic)
    assert count > 20
    unexplained = [m for m in alive if (m.exercise, m.line) not in EQUIVALENT]
    assert not unexplained, "\n".join(f"{m.exercise}: {m.line}" for m in unexplained)


def test_every_explanation_is_about_a_mutation_that_exists():
    made = {(m.exercise, m.line) for t in LESSONS for m in _of(t)}
    assert not set(EQUIVALENT) - made


def _of(topic):
    wanted = {name for name, _ in EQUIVALENT}
    names = [e.name for e in exercises_of(topic) if e.name in wanted]
    return [m for name in names for m in mutations(topic, name)]
