"""What a zygote can see: the folders that are mounted for it, closed by default.

What belongs here: which files and folders, the bubblewrap command that mounts them, the
environment. What does not: calls that are refused (`calls`), a session's own /tmp
(`enter`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from vae_edu.grading.wall import calls

_PACKAGE = Path(__file__).resolve().parents[2]
# of the package, all that is seen: what a lesson's first cell and the laws need. A new
# module is not, until it stands here: it may be the instructor's, or answer exercises
_SEEN = (
    *("__init__.py", "errors.py", "paths.py", "catalogue.py", "lesson.py", "light.py"),
    *("exercises", "checks", "work.py", "learner", "feedback.py", "aside.py"),
    *("standing.py", "subject.py", "probes.py", "data.py", "mnist.py", "viz.py"),
    *("grading/__init__.py", "grading/wall"),
)
_SYSTEM = (
    *("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/local/lib"),
    *("/etc/ld.so.cache", "/etc/alternatives", "/sys/devices/system/cpu"),
)
_BWRAPS = ("/usr/bin/bwrap", "/usr/local/bin/bwrap")  # the system's
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def bwraps() -> list[str]:
    """Every bubblewrap here, the system's first: one in PATH may be an environment's.

    Such a copy lacks the rights that a system may give to its own alone.
    """
    found = [path for path in _BWRAPS if os.access(path, os.X_OK)]
    return [*dict.fromkeys([*found, *filter(None, [shutil.which("bwrap")])])]


def bubblewrap() -> str:
    """The first bubblewrap that makes its namespaces; where none does, the first."""
    return _first_that_works(tuple(bwraps()))


@cache
def _first_that_works(found: tuple[str, ...]) -> str:
    works = (path for path in found if len(found) == 1 or _makes_namespaces(path))
    return next(works, found[0] if found else "bwrap")


def _makes_namespaces(path: str) -> bool:
    words = [path, *_unshared(), "--ro-bind", "/", "/", "--", path, "--version"]
    try:
        tried = subprocess.run(words, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def environment() -> dict[str, str]:
    """The environment of the zygote: nothing of the judge's but the library path."""
    ones = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    kept = {k: os.environ[k] for k in ("LD_LIBRARY_PATH",) if k in os.environ}
    fixed = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "USER": "learner",
        "CUDA_VISIBLEDEVICES": "",
        "MPLBACKEND": "agg",
        "TORCHDYNAMO_DISABLE": "1",  # a compiled answer is judged as it is written
        "PYTHONHASHSEED": "0",
        # large pages: a fork copies the tables of pages, which takes half the time
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
    folders = {"HOME": "/tmp", "TMPDIR": "/tmp", "VAE_EDU_HOME": "/nowhere"}
    return kept | fixed | ones | folders


def python() -> str:
    """The interpreter itself, whatever virtual environment points to it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def search_path() -> list[str]:
    """Where the zygote imports from: this process's libraries, then the package."""
    allowed = tuple(_libraries())
    seen = [p for p in sys.path if p and (inside(p, allowed) or _is_site(p))]
    return [*dict.fromkeys(seen), str(_PACKAGE.parent)]


def _is_site(path: str) -> bool:
    return Path(path).name in ("site-packages", "dist-packages")


def inside(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of the folders, or below one."""
    return any(path == f or path.startswith(f.rstrip("/") + "/") for f in folders)


def _libraries() -> list[str]:
    """The Python installation's folders of modules and shared libraries."""
    prefixes = dict.fromkeys((sys.base_prefix, sys.prefix, sys.exec_prefix))
    found = [f"{prefix}/{name}" for prefix in prefixes for name in ("lib", "lib64")]
    return [f for f in found if f.startswith("/") and os.path.isdir(f)]


def readable() -> list[str]:
    """Every file and folder outside the package that learners' code may read."""
    loader = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    sites = [p for p in sys.path if _is_site(p)]
    others = [p for p in (*sites, *loader) if not inside(os.path.expanduser("~"), [p])]
    wanted = [*_SYSTEM, *_libraries(), *others, python()]
    return [p for p in dict.fromkeys(wanted) if p[:1] == "/" and os.path.exists(p)]


def package_parts() -> list[str]:
    """The modules of the package that a zygote and a learner's code may read."""
    return [str(_PACKAGE / name) for name in _SEEN if (_PACKAGE / name).exists()]


def exposed() -> list[str]:
    """Parts of the instructor's side that this process can open all the same."""
    found = []
    for name in ("solutions", "tests", "work", "submitted", "gradebook.db"):
        with suppress(OSError):
            os.close(os.open(_PACKAGE.parent / name, os.O_RDONLY))
            found.append(name)
    return found


def command(arguments: list[str], filter_fd: int) -> list[str]:
    """The bubblewrap command around `arguments`; `filter_fd` holds its filter."""
    paths, package = readable(), str(_PACKAGE)
    words = [bubblewrap(), "--die-with-parent", "--new-session", *_unshared()]
    words += ["--proc", "/proc", "--perms", "1777", "--tmpfs", "/tmp", *_system_links()]
    for path in _parents_of([*paths, package, "/dev/shm/x"]):
        words += ["--dir", path]  # or bubblewrap makes it for itself alone
    for path in DEVICES:
        words += ["--dev-bind", path, path]
    for path in paths:
        words += ["--ro-bind", path, path]
    words += ["--tmpfs", package, "--dir", f"{package}/grading"]
    for path in package_parts():
        words += ["--ro-bind", path, path]
    words += ["--remount-ro", package, "--remount-ro", "/", "--chdir", "/tmp"]
    return [*words, "--seccomp", str(filter_fd), "--", *arguments]


def _system_links() -> list[str]:
    """/lib and its like: links where /usr is merged, folders elsewhere."""
    words: list[str] = []
    for path in ("/lib", "/lib64", "/lib32"):
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            words += ["--ro-bind", path, path]
    return words


def _parents_of(paths: list[str]) -> list[str]:
    """The folders above `paths` that are not inside another one, outermost first."""
    above = {str(parent) for path in paths for parent in Path(path).parents}
    return sorted(p for p in above - {"/"} if not inside(p, paths))


def _unshared() -> list[str]:
    """The namespaces. Root needs no user namespace: its zygote becomes another user."""
    if os.geteuid():
        return ["--unshare-all", "--hostname", "sandbox"]
    names = ("ipc", "pid", "net", "uts", "cgroup-try")
    kept = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*(f"--unshare-{n}" for n in names), "--hostname", "sandbox", *kept]


def filter_file() -> int:
    """A descriptor that bubblewrap reads the zygote's seccomp filter from."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(calls.program(calls.ZYGOTE))
        file.seek(0)
        return os.dup(file.fileno())
