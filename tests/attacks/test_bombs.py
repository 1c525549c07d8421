"""Bombs, hangs and daemons: limits hold them, a session takes them along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.attacks.common import HONEST, LIMITS, WRONG, judged, reached, ways
from vae_edu.grading.wall.keeper import descendants

HANGS = {
    "a loop": "while True: pass",
    "a loop that swallows": """
        while True:
            try:
                while True: pass
            except BaseException: pass""",
    "signals swallowed": """
        import signal
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        while True: signal.pause()""",
}
FORKS = """
@attempt
def forks():
    children = []
    try:
        for _ in range(200):
            children.append(os.fork())
            if children[-1] == 0:
                time.sleep(30)
                os._exit(0)
        return len(children)
    finally:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
"""
THREADS = """
import threading
@attempt
def threads():
    done = threading.Event()
    try:
        for _ in range(200):
            threading.Thread(target=done.wait, daemon=True).start()
        return 200
    finally:
        done.set()
        time.sleep(0.2)
"""
MEMORY = """
import mmap
@attempt
def private():
    return len(bytearray(3 * 2**30))

@attempt
def shared():
    memory = mmap.mmap(-1, 3 * 2**30)
    for at in range(0, len(memory), 4096):
        memory[at] = 1
    return len(memory)

@attempt
def tensors():
    import torch
    return torch.ones(3 * 2**28).numel()

@attempt
def anonymous_file():
    return os.memfd_create("bomb")
"""
DISK = """
def fill(folder):
    def way():
        written = 0
        for number in range(100):
            with open(f"{folder}/{number}", "wb") as file:
                written += file.write(bytes(2**19))
        return written
    return way

attempt(fill("/tmp"))
attempt(fill("/dev/shm"))

@attempt
def one_file():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("/tmp/big", "wb") as file:
        return file.write(bytes(2**22)) == 2**22

@attempt
def many_files():
    for number in range(10000):
        open(f"/tmp/small{number}", "w").close()
    return number
"""


@pytest.mark.parametrize("name", HANGS)
def test_a_hang_costs_its_time_and_no_more(attack, name):
    lines = HANGS[name].strip().replace("\n        ", "\n    ")
    began = time.monotonic()
    result = attack(f"def gaussian_kl(mu, log_var):\n    {lines}\n", seconds=0.7)
    assert result.score == 0
    assert "in time" in result.failures[0]["message"]
    assert time.monotonic() - began < 120


def test_a_hang_at_load_ends(attack):
    result = attack("while True: pass", seconds=0.5)
    assert "in time" in result.failures[0]["message"]


@pytest.mark.parametrize("bomb", [FORKS, THREADS])
def test_processes_are_counted(attack, bomb):
    assert reached(attack(ways(bomb)))[0] == "[]"


def test_a_fork_bomb_ends_with_its_session(attack, settled):
    result = attack(
        """
        import os
        def gaussian_kl(mu, log_var):
            while True:
                try: os.fork()
                except OSError: pass
        """,
        seconds=0.7,
    )
    assert result.score == 0
    assert settled()


def test_memory_is_bounded(attack):
    assert reached(attack(ways(MEMORY), seconds=20))[0] == "[]"


def test_memory_of_all_processes_together_is_bounded(attack):
    result = attack(
        f"""
        import os, time
        def gaussian_kl(mu, log_var):
            for _ in range(6):
                if os.fork() == 0:
                    kept = bytearray({LIMITS.memory // 2})
                    kept[::4096] = b"x" * len(kept[::4096])
                    time.sleep(600)
            time.sleep(600)
        """,
        seconds=60,  # a busy machine takes long to give out 3 GiB
    )
    assert result.score == 0
    assert "used more than 1 GiB of memory" in result.failures[0]["message"]


def test_disk_is_bounded(attack):
    assert reached(attack(ways(DISK)))[0] == "[]"


@pytest.mark.parametrize(
    "line",
    ["print('x' * 2**24)", "os.write(1, b'x' * 2**24); os.write(2, b'x' * 2**24)"],
)
def test_output_goes_nowhere(attack, line, capfd):
    source = f"import os\n{line}\n" + WRONG.replace("return", f"{line}; return")
    assert attack(source, seconds=10).score == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("at_load", [True, False])
def test_daemons_die_with_the_session(attack, settled, at_load):
    daemon = """
import os, signal, time
def leave():
    if os.fork() == 0:
        try: os.setsid()
        except OSError: pass  # refused; a daemon need not insist
        if os.fork() == 0:
            for number in range(1, 32):
                try: signal.signal(number, signal.SIG_IGN)
                except OSError: pass
            while True: time.sleep(0.05)
        os._exit(0)
    os.wait()
"""
    source = daemon + ("leave()\n" if at_load else "")
    source += "" if at_load else WRONG.replace("return", "leave(); return")
    assert attack(source).score == 0
    assert settled()


@pytest.fixture
def settled(zygote):
    """Whether the zygote's processes come down again to those of the start."""
    # its own init, the zygote, the keeper of the next session, and that
    few = 4 if zygote.sandbox == "bubblewrap" else 0

    def wait(seconds=60.0):
        until = time.monotonic() + seconds
        while sum(map(_alive, descendants(zygote.process.pid))) > few:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    return wait


def test_a_killed_judge_leaves_no_process(tmp_path):
    """SIGKILL to the judge, while an answer hangs, takes the whole sandbox with it."""
    path = tmp_path / "answer.py"
    path.write_text("while True: pass")
    code = "import sys; from vae_edu.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "judge", str(path), "--exercise"]
    command += ["gaussian_kl", "--seconds", "60"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("sandbox: ")
    time.sleep(1.0)
    family = descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 60
    while any(_alive(pid) for pid in family) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(family) >= 3
    assert not any(_alive(pid) for pid in family)


def _alive(pid):
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def test_a_zygote_that_dies_is_started_again(zygote, clean, tmp_path):
    zygote.process.kill()
    zygote.process.wait()
    again = judged(zygote, tmp_path, HONEST)
    again.file = clean.file
    assert again.as_json() == clean.as_json()
