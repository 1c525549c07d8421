"""Runs the registry's attacks on our grading: a course to harm, a server to reach.

What belongs here: what the two files of tests share. What does not: the attacks.
"""

from __future__ import annotations

import json
import socket
from itertools import groupby

import pytest

from tests.attacks.conftest import checksum
from tests.attacks.registry import (
    ATTACKS,
    NAME,
    POINTS,
    PORT,
    RIGHT,
    SECRET,
    honest_notebook,
    submission,
)
from vae_edu.grading.verdict import grade as grading
from vae_edu.grading.verdict.answers import read_lesson

HANGING, SECONDS = 1.0, 20.0  # for what deserves nothing, and for all else
BY_LINE = {k: [*v] for k, v in groupby(ATTACKS, lambda attack: attack.line)}


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv(SECRET, RIGHT)


@pytest.fixture(scope="module")
def server():
    """Where submissions would get their answer, if they reached it."""
    with socket.create_server(("127.0.0.1", 0)) as ear:
        ear.settimeout(0)
        yield ear


@pytest.fixture
def course(tmp_path):
    """A gradebook, another's submission, and a place to hand in."""
    folder = tmp_path / "course"
    for student in ("zoe", "mallory"):
        (folder / "submitted" / student / "04").mkdir(parents=True)
    other = folder / "submitted" / "zoe" / "04" / "04.ipynb"
    other.write_text(json.dumps(honest_notebook()))
    for name in ("gradebook.db", "nbgrader_config.py"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture(scope="module")
def before(zygote, tmp_path_factory):
    """What the honest submission gets before anybody attacks."""
    folder = tmp_path_factory.mktemp("honest")
    (folder / "submitted" / "mallory" / "04").mkdir(parents=True)
    return graded(zygote, folder, honest_notebook())


def graded(zygote, folder, book, port=PORT, seconds=SECONDS):
    path = folder / "submitted" / "mallory" / "04" / "04.ipynb"
    path.write_text(json.dumps(book).replace(str(PORT), str(port)))
    made = grading.grade(zygote, *read_lesson(path, "kl_divergence"), "x", seconds)
    return next(e for e in made.exercises if e.name == NAME)


def harmless(zygote, server, course, before, line):
    """Each attack of a line earns what it deserves, and harms nobody."""
    state = checksum(course / "submitted" / "zoe"), checksum_of_files(course)
    for attack in BY_LINE[line]:
        seconds = SECONDS if attack.most else HANGING
        port = server.getsockname()[1]
        found = graded(zygote, course, submission(attack), port, seconds)
        assert attack.least <= found.score <= attack.most, attack.name
        assert found.passed == (attack.least == POINTS), attack.name
    assert state == (checksum(course / "submitted" / "zoe"), checksum_of_files(course))
    with pytest.raises(BlockingIOError):
        server.accept()
    after = graded(zygote, course, honest_notebook())
    assert before.passed
    assert after == before


def checksum_of_files(course):
    names = ("gradebook.db", "nbgrader_config.py")
    return [(course / n).read_text() + str((course / n).stat()) for n in names]
