"""Sessions: made in advance, replaced where they died, loaded, kept, and ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.sandboxes import do_without
from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading.verdict import judge
from vae_edu.grading.verdict.answers import Submission
from vae_edu.grading.verdict.verdicts import judge_lesson
from vae_edu.grading.wall import keeper, process
from vae_edu.grading.wall.kinds import LIMITS, Limits
from vae_edu.grading.wall.process import Budget, Sessions
from vae_edu.lesson import find

SECONDS = 120
TOPIC = "kl_divergence"
HONEST = """
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""


def started(limits: Limits = LIMITS) -> Iterator[process.Zygote]:
    try:
        warm = process.Zygote("bubblewrap", limits)
    except CourseError as error:
        do_without("bubblewrap", error)
    yield warm
    warm.close()


@pytest.fixture(scope="module")
def zygote() -> Iterator[process.Zygote]:
    yield from started()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def processes(zygote: process.Zygote) -> list[int]:
    """All that live below the one that was started, parents first."""
    return [p for p in keeper.descendants(zygote.process.pid) if is_alive(p)]


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
    fork = zygote.fork(TOPIC)
    first = pid_of(fork)
    fork.kill()
    found: list[int] = []

    def is_left() -> bool:  # bwrap, the zygote, a keeper, it: each below the one before
        found[:] = processes(zygote)
        linked = all(b in keeper.descendants(a) for a, b in pairwise(found))
        return len(found) == 4 and linked and first not in found

    wait_until(is_left)
    return found[-1]


def test_the_next_session_is_made_while_one_is_at_work(zygote):
    waiting = make_one_wait(zygote)
    fork = zygote.fork(TOPIC)
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
    for _ in range(10):  # at first it makes itself ready
        before = ticks(keeper), ticks(waiting)
        time.sleep(2)
        if (ticks(keeper), ticks(waiting)) == before:
            return
    pytest.fail("it is never still")


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
        fork = bare.fork(TOPIC)
        fork.kill()
        wait_until(lambda: len(processes(bare)) <= alone)
    finally:
        bare.close()


# --- what a session is made for -------------------------------------------------------


def submission(code: str = HONEST, name: str = "gaussian_kl") -> Submission:
    return Submission(Path("answer.py"), [code], [name])


def passes(zygote: process.Zygote, one: Submission, topic: str = TOPIC) -> bool:
    judged = judge_lesson(zygote, one, topic, "seed", 20.0)
    return judged[one.wanted[0]].passed


def test_one_made_for_another_lesson_is_not_taken(zygote):
    assert passes(zygote, submission())
    solved = find("elbo").file("exercises").read_text()
    assert passes(zygote, submission(solved, "discrete_elbo"), "elbo")
    assert passes(zygote, submission())


def test_it_holds_the_lessons_before_and_not_its_own(zygote):
    source = """
import torch
from vae_edu.exercises import elbo, kl_divergence
table = torch.tensor([[0.1, 0.4]])
elbo.discrete_elbo(table.log(), torch.tensor([[0.5, 0.5]]))
try:
    kl_divergence.gaussian_kl(table, table)
    here = True
except NotImplementedError:
    here = False
"""
    there = source + "if not here:" + HONEST.replace("\n", "\n    ")
    assert passes(zygote, submission(there))


HOSTILE = {
    "hangs": "while True: pass",
    "dies": "import os\nos._exit(0)",
    "bombs": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_piece_that_ends_its_process_is_left_out(zygote, name):
    hostile = submission()
    hostile.pieces.insert(0, HOSTILE[name])
    judged = judge_lesson(zygote, hostile, TOPIC, "seed", 4.0)
    assert judged["gaussian_kl"].passed
    assert passes(zygote, submission())


def test_a_session_that_dies_before_the_submission_runs_is_not_its_fault(
    zygote, monkeypatch
):
    fork, forks = zygote.fork, []

    def first_dies(topic: str) -> process.Fork:
        forks.append(fork(topic))
        if len(forks) == 1:
            os.kill(pid_of(forks[0]), signal.SIGKILL)
            wait_until(forks[0].has_ended)
        return forks[-1]

    monkeypatch.setattr(zygote, "fork", first_dies)
    assert passes(zygote, submission())
    assert len(forks) == 2


def test_sessions_are_waited_for_where_others_must_not_meet_them(zygote):
    large = submission("kept = bytearray(b'1') * 2**29\n" + HONEST)
    sessions = Sessions(zygote, large, TOPIC, 20.0)
    sessions.begin()
    with sessions.process() as own:
        first = pid_of(own)
    sessions.close(SECONDS)
    assert not is_alive(first)


def test_a_piece_that_hangs_is_waited_for_once(zygote, monkeypatch):
    """Though a wrong answer takes further processes, loaded anew."""
    lost = []
    leave_out = Sessions._leave_out
    monkeypatch.setattr(
        Sessions, "_leave_out", lambda *a: lost.append(a) or leave_out(*a)
    )
    slow = submission(HONEST.replace("- 1", "- 2"))
    slow.pieces.insert(0, HOSTILE["hangs"])
    judged = judge_lesson(zygote, slow, TOPIC, "seed", 4.0)
    assert judged["gaussian_kl"].public
    assert len(lost) == 1


@pytest.mark.parametrize("body", ["return mu", "raise ValueError", "os._exit(0)"])
def test_a_submission_is_loaded_a_few_times_whatever_is_broken(
    zygote, body, monkeypatch
):
    loads = []
    load = Sessions._load
    monkeypatch.setattr(Sessions, "_load", lambda *a: loads.append(a) or load(*a))
    names = [e.name for e in catalogue.exercises_of(TOPIC)]
    code = "import os\n" + "".join(f"def {n}(mu, *a):\n    {body}\n" for n in names)
    judged = judge_lesson(
        zygote, Submission(Path("answer.py"), [code], names), TOPIC, "seed", 5.0
    )
    assert not any(j.passed for j in judged.values())
    assert all(j.public for j in judged.values())
    assert len(loads) <= 4


# --- keepers --------------------------------------------------------------------------

GREEDY = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        kept = bytearray(60 * 2**20)
        kept[::4096] = b"x" * len(kept[::4096])
        time.sleep(600)
time.sleep(600)
"""


@pytest.fixture
def narrow() -> Iterator[process.Zygote]:
    yield from started(Limits(memory=100 * 2**20))


def test_a_keeper_that_missed_the_beginning_ends_what_holds_too_much(narrow):
    session = narrow.fork(TOPIC)
    stat = Path(f"/proc/{pid_of(session)}/stat").read_text()
    keeper = int(stat.rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGSTOP)
    sessions = Sessions(narrow, submission(GREEDY), TOPIC, SECONDS)
    threading.Timer(2.0, os.kill, (keeper, signal.SIGCONT)).start()
    with pytest.raises(process._Lost) as lost:
        sessions._load(session)
    session.kill()
    assert lost.value.error.message == "it used more than 0.0977 GiB of memory"


def test_too_many_processes_are_said():
    limits = Limits(processes=12)
    family = [*range(2 * limits.processes + 1)]
    assert "12 processes" in keeper._too_much(family, 2**60, limits)
    assert not keeper._too_much(family[1:], 2**60, limits)


def test_a_budget_counts_what_is_waited_and_never_gives_more_than_is_left():
    budget = Budget(10.0)
    assert budget.of(3.0) == 3.0
    assert budget.of(30.0) == 10.0
    with budget.counted():
        time.sleep(0.01)
    assert 0 < budget.left < 10.0
    budget.left = -1.0
    assert budget.spent
    assert budget.of(3.0) == 0.0
    assert not Budget().spent
    assert Budget().of(3.0) == 3.0
