"""The same verdict on any processor: the comparisons, made again on a simpler one.

Three variables turn this machine's vector units down, which moves the last digits of
float32 as another processor would (docs/processors.md). What belongs here: the drift of
recorded numbers, names and right answers there, and two trained lessons' outputs. What
does not: what is compared (test_build, test_answers, test_notebooks).
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from tests.course.printed import agree

TURNED_DOWN = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
turned_down = all(os.environ.get(name) == TURNED_DOWN[name] for name in TURNED_DOWN)

only_once = pytest.mark.skipif(turned_down, reason="this is the run within the run")
on_x86 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="the variables are for x86",
)

NUMBERS = (
    "recorded_numbers or called_by_their_names or the_reference_passes "
    "or no_right_answer or units_are_turned_down"
)
LESSONS = ("building_the_vae",)  # trained, and read in half a minute


def again(*arguments: str) -> str:
    """What pytest says of some tests, with the vector units turned down."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    kept = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        [*command, *arguments],
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
        env={**kept, **TURNED_DOWN},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@only_once
@on_x86
def test_numbers_names_and_right_answers_are_those_of_a_simpler_processor():
    files = [f"tests/course/test_{name}.py" for name in ("processors", "build")]
    said = again(*files, "tests/course/test_answers.py", "-k", NUMBERS)
    assert "passed" in said
    assert "skipped" not in said


@pytest.mark.slow
@only_once
@on_x86
@pytest.mark.parametrize("topic", LESSONS)
def test_a_trained_lesson_prints_the_same_on_a_simpler_processor(topic):
    name = f"the_solution_runs and {topic}"
    assert "1 passed" in again("tests/course/test_notebooks.py", "-k", name)


@pytest.mark.skipif(not turned_down, reason="for the run within the run")
def test_the_units_are_turned_down():
    assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"


# --- what is compared -------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss 128.2 nats", "loss 128.3 nats"),
        ("from  9.9 to 1,000.0", "from 10.0 to 999.9"),
        ("[[ 0.11, -0.99]]", "[[0.12, -1.00]]"),
        ("a word", "a word"),
    ],
)
def test_a_last_decimal_may_tip_over(old, new):
    assert agree(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss 128.2 nats", "loss 128.4 nats"),
        ("loss 128.2 nats", "loss 128.2"),
        ("loss 128.2", "loss 128.20"),
        ("7 of 8 laws", "8 of 8 laws"),
        ("torch 2.6.0", "torch 2.6.1"),
        ("sum 0.1", "sum -0.1"),
    ],
)
def test_words_whole_numbers_and_more_than_that_are_seen(old, new):
    assert not agree(old, new)
