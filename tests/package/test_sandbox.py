"""Which sandbox is chosen, what it is made of, what is said where there is none."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vae_edu.errors import CourseError
from vae_edu.grading.verdict import judge
from vae_edu.grading.wall import calls, enter, keeper, mounts, process
from vae_edu.grading.wall.kinds import kinds

PACKAGE = Path(mounts.__file__).parents[2]
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux")
    or platform.machine() not in ("x86_64", "aarch64"),
    reason="the sandbox is of Linux on x86_64 and aarch64",
)


def test_a_policy_names_what_is_tried_best_first():
    assert kinds("require") == ("bubblewrap", "landlock")
    assert kinds("prefer") == ("bubblewrap", "landlock", "none")
    assert kinds("off") == ("none",)
    assert kinds("landlock") == ("landlock",)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(enter.sys, "platform", "darwin")
    assert enter.lacking("bubblewrap") == "needs Linux"
    assert enter.lacking("none") == ""


@linux
def test_a_required_sandbox_that_is_missing_is_refused_with_a_remedy(monkeypatch):
    monkeypatch.setattr(enter, "bwraps", lambda: [])
    monkeypatch.setattr(enter, "landlock_version", lambda: 0)
    with pytest.raises(CourseError, match="apt-get install bubblewrap") as caught:
        process.Zygote("require")
    assert "bwrap is not installed" in str(caught.value)
    assert "no Landlock" in str(caught.value)


def test_a_preferred_one_that_is_missing_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr(enter, "lacking", lambda kind: "missing" * (kind != "none"))
    monkeypatch.setattr(process.Zygote, "_start", lambda self, kind: "")
    line = judge._walls(process.Zygote("prefer"))
    assert line.startswith("sandbox: none, submissions run with your own rights")
    assert "bubblewrap: missing; landlock: missing" in line
    assert "\n" not in line


@linux
def test_a_sandbox_that_does_not_start_says_why(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text(
        "#!/bin/sh\necho 'No permissions to make a namespace' >&2\nexit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setattr(mounts, "command", lambda arguments, fd: [str(broken)])
    with pytest.raises(CourseError, match="No permissions to make a namespace"):
        process.Zygote("bubblewrap")


def bwrap_that(tmp_path, folder, line):
    path = tmp_path / folder / "bwrap"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)


@linux
def test_the_systems_bwrap_goes_first_and_one_that_fails_is_passed_over(
    monkeypatch, tmp_path
):
    good = bwrap_that(tmp_path, "usr", "exit 0")
    bad = bwrap_that(tmp_path, "bad", "exit 1")
    own = bwrap_that(tmp_path, "conda", "exit 0")
    monkeypatch.setenv("PATH", str(Path(own).parent))
    for system, expected in (
        ((good,), good),
        ((bad, good), good),
        ((bad,), own),
        ((str(tmp_path / "none"),), own),
    ):
        monkeypatch.setattr(mounts, "_BWRAPS", system)
        assert mounts.bubblewrap() == expected
        assert mounts.command([], 3)[0] == expected
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mounts, "_BWRAPS", (bad,))
    assert mounts.bubblewrap() == bad  # which says why, when it is started
    monkeypatch.setattr(mounts, "_BWRAPS", ())
    assert enter.lacking("bubblewrap") == "bwrap is not installed"


def test_the_environment_tells_nothing(monkeypatch):
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("VAE_EDU_WORK", "/somewhere")
    inside = mounts.environment()
    assert "SECRET" not in inside
    assert "VAE_EDU_WORK" not in inside
    assert str(Path.home()) not in inside.values()


def test_the_instructors_side_is_not_mounted():
    parts = mounts.package_parts()
    assert str(PACKAGE / "subject.py") in parts
    assert str(PACKAGE / "grading" / "wall") in parts
    withheld = ("build", "cli.py", "grading", "grading/verdict/judge.py")
    assert not {str(PACKAGE / name) for name in withheld} & set(parts)
    for path in mounts.readable():
        assert not Path(path).is_relative_to(PACKAGE.parent / "tests")
        assert not (PACKAGE.parent / "solutions").is_relative_to(path)


def test_a_module_is_hidden_until_somebody_decides_otherwise(tmp_path, monkeypatch):
    before = {Path(part).name for part in mounts.package_parts()}
    package = tmp_path / "vae_edu"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "newcomer.py").touch()
    (package / "grading" / "newcomer.py").touch()
    (package / "guests").mkdir()
    (package / "guests" / "__init__.py").touch()
    monkeypatch.setattr(mounts, "_PACKAGE", package)
    parts = [Path(part).relative_to(package) for part in mounts.package_parts()]
    assert {part.name for part in parts} == before
    assert not {"newcomer.py", "guests", "grading"} & {str(part) for part in parts}


@linux
def test_a_filter_is_whole_instructions_and_every_jump_stays_inside():
    for code in (calls.program(calls.ZYGOTE), enter._strict("landlock")):
        steps = list(struct.iter_unpack("=HBBI", code))
        assert len(steps) < 4096
        for at, (kind, yes, no, _) in enumerate(steps):
            if kind in (0x15, 0x35, 0x45):
                assert at + 1 + max(yes, no) < len(steps)
        assert steps[-1] == (0x06, 0, 0, 0x7FFF0000)


@linux
def test_a_filter_refuses_what_it_names_and_nothing_else():
    code = """
import os, socket
from vae_edu.grading.wall import calls
calls.filter_calls(calls.program(["socket", "kill"], namespaces=False))
for way in (socket.socket, lambda: os.kill(os.getpid(), 0)):
    try:
        way()
    except PermissionError:
        print("refused")
a, b = socket.socketpair()
if os.fork() == 0:
    os._exit(0)
print(os.wait()[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["refused", "refused", "0"], done.stderr


ASKING = """
import ctypes, errno, fcntl, os, platform, sys
from vae_edu.grading.wall import calls, enter
from vae_edu.grading.wall.kinds import BUBBLEWRAP
libc = ctypes.CDLL(None, use_errno=True)
names = "mincore cachestat preadv2 fadvise64 inotify_init1 inotify_add_watch"
names = names.split() + ["fanotify_init", "fanotify_mark"]
place = os.open("/", os.O_RDONLY)
calls.filter_calls(enter._strict(BUBBLEWRAP))
for name in names:
    ctypes.set_errno(0)
    assert libc.syscall(calls.number_of(name), 0, 0, 0, 0, 0, 0) == -1, name
    assert ctypes.get_errno() == errno.EPERM, name
for sign in (fcntl.F_NOTIFY, fcntl.F_SETLEASE, fcntl.F_SETLK):
    try:
        fcntl.fcntl(place, sign, 0)
    except PermissionError:
        continue
    sys.exit(f"{sign} is not refused")
import torch
from torch import nn
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
loss = model(torch.ones(2, 3)).sum()
loss.backward()
torch.optim.Adam(model.parameters()).step()
torch.save(model.state_dict(), "w.pt")
assert len(torch.load("w.pt")) == 4
print("all refused")
"""


@linux
def test_nobody_can_ask_what_others_have_read_or_watch_it(tmp_path):
    """A session could leave word there for a later one; torch needs none of it."""
    command = [sys.executable, "-c", ASKING]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "all refused\n", done.stderr


@linux
def test_descendants_are_found_and_their_memory_counted():
    child = subprocess.Popen(
        [sys.executable, "-c", "x = b'1' * 2**26; print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    assert child.pid in keeper.descendants(os.getpid())
    assert 2**26 < keeper.held(child.pid) < 2**28
    child.communicate(b"\n")


@linux
def test_processes_that_come_and_go_do_not_stop_the_search():
    code = """
import os
while True:
    if os.fork() == 0:
        os.fork()
        os._exit(0)
    os.wait()
"""
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert {p.pid for p in busy} <= {*keeper.descendants(os.getpid())}
    finally:
        for process in busy:
            process.kill()
            process.wait()


HIDING = {
    "by a name that is no text": """
ctypes.CDLL(None).prctl(15, b"\\xff\\xfe", 0, 0, 0)
kept = bytearray(b"1") * 2**26
say()
time.sleep(60)
""",
    "by the end of its first thread": """
def hold():
    kept = bytearray(b"1") * 2**26
    time.sleep(1)
    say()
    time.sleep(60)
threading.Thread(target=hold).start()
ctypes.CDLL(None).syscall(60 if platform.machine() == "x86_64" else 93, 0)
""",
}


@linux
@pytest.mark.parametrize("how", HIDING)
def test_memory_that_hides_is_counted(how):
    code = "import ctypes, os, platform, threading, time\n"
    code += "def say(): os.write(1, b'.')\n" + HIDING[how]
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert child.stdout.read(1) == b"."
        assert 2**26 < keeper.held(child.pid) < 2**28
    finally:
        child.kill()
        child.communicate()


@linux
def test_memory_that_was_shared_and_is_written_to_counts():
    """Then it is a fork's own, though the fork has no more than before."""
    code = """
import os, time
from vae_edu.grading.wall.kinds import BUBBLEWRAP, LIMITS, kinds
from vae_edu.grading.wall import calls, enter, keeper, mounts
kept = bytearray(b"1") * 2**27
shared = keeper.held(os.getpid())
for written in (0, len(kept)):
    source, sink = os.pipe()
    if (pid := os.fork()) == 0:
        kept[:written:4096] = b"2" * len(kept[:written:4096])
        os.write(sink, b".")
        time.sleep(60)
    os.read(source, 1)
    print(keeper._own(pid, shared) >> 20)
    os.kill(pid, 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    untouched, written = map(int, done.stdout.split())
    assert untouched < 30
    assert 120 < written < 160


@linux
def test_a_keeper_that_fails_takes_its_session_along():
    code = """
import os, signal, time
from vae_edu.grading.wall.kinds import BUBBLEWRAP, LIMITS, kinds
from vae_edu.grading.wall import calls, enter, keeper, mounts
session = os.fork()
if session == 0:
    time.sleep(60)
keeper.held = lambda pid: 1 // 0 if pid == session else 0
try:
    keeper.keep(session, LIMITS, os.open("/dev/null", os.O_WRONLY))
except ZeroDivisionError:
    print(keeper.descendants(os.getpid()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["[]"], done.stderr
