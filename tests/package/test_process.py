"""Sessions made in advance: they wait, are replaced where they died, and end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vae_edu.errors import CourseError
from vae_edu.grading import judge, process, sandbox

SECONDS = 30
HONEST = """
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""


@pytest.fixture
def zygote() -> Iterator[process.Zygote]:
    try:
        warm = process.Zygote("bubblewrap")
    except CourseError as error:
        pytest.skip(str(error))
    yield warm
    warm.close()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def processes(zygote: process.Zygote) -> list[int]:
    """All that live below the one that was started, parents first."""
    return [p for p in sandbox.descendants(zygote.process.pid) if is_alive(p)]


def is_alive(pid: int) -> bool:
    """Whether it is there, and no zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def score(zygote: process.Zygote, folder: Path) -> float:
    answer = folder / "answer.py"
    answer.write_text(HONEST)
    (result,) = judge.judge_file(zygote, answer, "gaussian_kl", "seed", 20.0)
    assert result.passed, result
    return result.score


def pid_of(fork: process.Fork) -> int:
    """A session's pid as this process sees it, by its descriptor."""
    text = Path(f"/proc/self/fdinfo/{fork.handle}").read_text()
    return int(text.partition("Pid:")[2].split()[0])


def make_one_wait(zygote: process.Zygote) -> int:
    """End a session; the one that was made meanwhile is left, and waits."""
    fork = zygote.fork()
    first = pid_of(fork)
    fork.kill()
    wait_until(
        lambda: (
            not is_alive(first)
            and len(processes(zygote)) == 4  # bwrap, the zygote, a keeper, it
            and len(leaves(zygote)) == 1
        )
    )
    return leaves(zygote)[0]


def leaves(zygote: process.Zygote) -> list[int]:
    """Those below which nothing lives."""
    everything = {*processes(zygote)}
    return [p for p in everything if not everything & {*sandbox.descendants(p)}]


def test_the_next_session_is_made_while_one_is_at_work(zygote):
    waiting = make_one_wait(zygote)
    fork = zygote.fork()
    assert pid_of(fork) == waiting
    fork.kill()


def test_one_that_died_while_it_waited_is_replaced(zygote, tmp_path):
    whole = score(zygote, tmp_path)
    waiting = make_one_wait(zygote)
    os.kill(waiting, signal.SIGKILL)
    wait_until(lambda: not is_alive(waiting))
    assert score(zygote, tmp_path) == whole


def test_a_zygote_that_died_is_started_again(zygote, tmp_path):
    whole = score(zygote, tmp_path)
    everything = [zygote.process.pid, *processes(zygote)]
    zygote.process.kill()
    wait_until(lambda: not any(map(is_alive, everything)))
    assert score(zygote, tmp_path) == whole


def test_one_that_waits_takes_no_time(zygote):
    waiting = make_one_wait(zygote)
    keeper = int(
        Path(f"/proc/{waiting}/stat").read_text().rpartition(")")[2].split()[1]
    )
    time.sleep(0.3)
    before = ticks(keeper), ticks(waiting)
    time.sleep(2)
    assert (ticks(keeper), ticks(waiting)) == before


def ticks(pid: int) -> list[str]:
    """How often it was given the processor or gave it up."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in lines if "ctxt_switches" in line]


def test_nothing_is_left_after_the_end(zygote):
    waiting = make_one_wait(zygote)
    everything = [zygote.process.pid, *processes(zygote)]
    assert waiting in everything
    zygote.close()
    wait_until(lambda: not any(map(is_alive, everything)))


def test_without_namespaces_none_is_made_in_advance():
    bare = process.Zygote("none")
    try:
        alone = len(processes(bare))
        fork = bare.fork()
        fork.kill()
        wait_until(lambda: len(processes(bare)) <= alone)
    finally:
        bare.close()
