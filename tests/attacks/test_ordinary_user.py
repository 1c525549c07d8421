"""The tests are often run as root; here one part of them runs as an ordinary user."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = "65534"
HERE = Path(__file__).parent
NEEDED = [Path(sys.base_prefix), Path(sys.prefix), HERE.parents[1]]


def as_nobody() -> list[str]:
    """A command before a command: as a user without any right, with a /tmp of its own.

    What Python needs stays readable, also where it lies in a folder that is root's.
    """
    temporary = Path("/tmp")
    covered = {q for p in NEEDED for q in p.parents if is_closed(q)} | {temporary}
    command = ["bwrap", "--dev-bind", "/", "/", "--perms", "1777", "--tmpfs", "/tmp"]
    for folder in sorted(covered - {temporary}):
        command += ["--perms", "0755", "--tmpfs", str(folder)]
    for path in sorted({*NEEDED}):  # one that lies in another comes after it
        for folder in reversed(path.parents):
            if covered & {*folder.parents}:
                command += ["--perms", "0755", "--dir", str(folder)]
        command += ["--ro-bind", str(path), str(path)]
    for name in ("SETUID", "SETGID", "SETPCAP"):
        command += ["--cap-add", f"CAP_{name}"]
    command += ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
    return [*command, "--inh-caps=-all", "--bounding-set=-all", "--"]


def is_closed(folder: Path) -> bool:
    return not folder.stat().st_mode & stat.S_IXOTH


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("bwrap"),
    reason="only root can become another user; who is none is ordinary already",
)
def test_an_ordinary_user_judges_as_safely():
    tried = subprocess.run([*as_nobody(), "id", "-u"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine's root may not change users: {tried.stderr}")
    assert tried.stdout.split() == [NOBODY]
    files = [str(HERE / name) for name in ("test_reach.py", "test_bombs.py")]
    pytest_here = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*as_nobody(), *pytest_here, "-q", "-rs", *files],
        cwd=HERE.parents[1],
        env={**os.environ, "HOME": "/tmp"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout
