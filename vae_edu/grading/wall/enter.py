"""Going into the sandbox: the steps of a zygote, then those of each of its sessions.

    judge ── bwrap ── zygote ─┬─ keeper ── session (process 1 of its own namespaces)
                              │              └─ one process a law, or itself
                              └─ keeper of the next session ...

bubblewrap gives the zygote a read-only, allow-listed file system without network
(`mounts`). A keeper makes a user and a pid namespace for one session; the session
mounts its own empty /tmp, /dev/shm and /proc, gives up every capability and takes a
second, stricter system call filter (`calls`). The keeper ends a session that holds too
much (`keeper`). Without bubblewrap, Landlock closes the files (`landlock`).

What belongs here: these steps, in their order, and what a machine lacks for them. What
does not: torch, laws, scores. Both sides of the wall import this: it has no secret.
"""

from __future__ import annotations

import os
import platform
import stat
import sys
from contextlib import suppress
from pathlib import Path

from vae_edu.grading.wall import calls
from vae_edu.grading.wall.calls import (
    SET_DUMPABLE,
    SET_SUBREAPER,
    call,
    control,
    die_with_parent,
    drop_capabilities,
    filter_calls,
)
from vae_edu.grading.wall.kinds import BUBBLEWRAP, LANDLOCK, LIMITS, NONE, Limits
from vae_edu.grading.wall.landlock import landlock_version, restrict_files
from vae_edu.grading.wall.mounts import bwraps, exposed, inside, python, search_path

_NOBODY = 65534


def lacking(kind: str) -> str:
    """What this machine lacks for a kind, as far as can be told without starting it."""
    if kind == NONE:
        return ""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if platform.machine() not in calls.ARCHITECTURES:
        return f"knows no system calls of {platform.machine()}"
    if kind == BUBBLEWRAP and not bwraps():
        return "bwrap is not installed"
    if kind == LANDLOCK and landlock_version() < 1:
        return "this kernel has no Landlock, or it is switched off"
    return ""


# --- the zygote -----------------------------------------------------------------------


def begin(control: int, kind: str, *limits: int) -> None:
    """The zygote's first step: become harmless, try a session out, then serve."""
    import socket

    try:
        _settle(kind)
        _try_out(kind)
    except OSError as error:
        sys.exit(f"{error}")
    from vae_edu.grading.wall import zygote

    zygote.main(socket.socket(fileno=control), kind, Limits(*limits))


def _settle(kind: str) -> None:
    if sys.platform.startswith("linux"):
        if os.geteuid() == 0 and (kind == BUBBLEWRAP or _nobody_can_read(kind)):
            become_nobody()
        control(SET_DUMPABLE, 0)


def tasks() -> int:
    """Threads of this process; 1 where the system does not say."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _nobody_can_read(kind: str) -> bool:
    """Whether the libraries lie where another user can read them."""
    if kind == NONE:
        return False
    paths = [*search_path(), python()]
    above = {str(parent) for path in paths for parent in Path(path).parents}
    needed = stat.S_IROTH | stat.S_IXOTH
    modes = [os.stat(p).st_mode for p in above | set(paths) if os.path.exists(p)]
    return all(mode & needed == needed for mode in modes)


def become_nobody() -> None:
    """Root only: take a user id that owns no file; limits count, and modes hold."""
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _try_out(kind: str) -> None:
    """Enter a session's sandbox in a process of its own; OSError says what fails."""
    source, sink = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        try:
            session = enclose(kind)
            if session:
                os.waitpid(session, 0)
            else:
                confine(kind, LIMITS)
                seen = exposed() if kind != NONE else []
                os.write(
                    sink, f"{', '.join(seen)} can be read".encode() if seen else b"ok"
                )
        except BaseException as error:
            os.write(sink, str(error).encode()[:500])
        finally:
            os._exit(0)
    os.close(sink)
    os.waitpid(keeper, 0)
    said = os.read(source, 1000)
    os.close(source)
    if said != b"ok":
        raise OSError(said.decode(errors="replace") or "its first session died")


# --- a session ------------------------------------------------------------------------


def enclose(kind: str) -> int:
    """Fork a keeper's session into its own pid namespace; returns as `os.fork`."""
    if kind == BUBBLEWRAP:
        user, group = os.geteuid(), os.getegid()
        control(SET_DUMPABLE, 1)  # else /proc/self would not be ours to write
        new_user, new_pid = 0x10000000, 0x20000000
        call("unshare", new_user | new_pid)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        control(SET_DUMPABLE, 0)
    elif sys.platform.startswith("linux"):
        control(SET_SUBREAPER, 1)  # what a session leaves behind becomes the keeper's
    return os.fork()


def confine(kind: str, limits: Limits) -> None:
    """A session's steps before it runs anything of a learner's: no way back."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    os.chdir({LANDLOCK: "/"}.get(kind, "/tmp"))
    if sys.platform.startswith("linux"):
        _die_first()
    bounds = _bounds(kind, limits)
    if kind == BUBBLEWRAP:
        _mount_own(limits)
    for name, value in bounds.items():
        _set_limit(name, value)
    if kind == LANDLOCK:
        restrict_files()
    if kind != NONE:
        drop_capabilities()
        control(SET_DUMPABLE, 0)
        filter_calls(_strict(kind))


def _die_first() -> None:
    """Die with the keeper, and before any other process where memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    die_with_parent()


def _strict(kind: str) -> bytes:
    """The filter of a session."""
    if kind == BUBBLEWRAP:
        return calls.program(calls.SESSION, namespaces=False)
    names = calls.SHARED if landlock_version() >= 6 else calls.SILENT
    return calls.program(names, on_itself=calls.ON_ITSELF, namespaces=False)


def _mount_own(limits: Limits) -> None:
    """An empty /tmp and /dev/shm of its own, and no /proc at all."""
    new_mounts, read_only, no_suid, no_dev, no_exec = 0x20000, 1, 2, 4, 8
    flags = no_suid | no_dev | no_exec
    call("unshare", new_mounts)
    size = f"size={limits.disk},nr_inodes=4096,mode=0700".encode()
    small = f"size={limits.disk // 4},nr_inodes=256,mode=0700".encode()
    imported = [p for p in dict.fromkeys(sys.path) if inside(p, ["/tmp"])]
    imported = [p for p in imported if os.path.isdir(p)]
    covered = os.open("/tmp", os.O_PATH)
    call("mount", b"tmpfs", b"/tmp", b"tmpfs", flags, size)
    _uncover(covered, imported)
    call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", flags, small)
    call("mount", b"tmpfs", b"/proc", b"tmpfs", flags | read_only, b"size=4k")
    os.chdir("/tmp")


def _uncover(covered: int, imported: list[str]) -> None:
    """Bring back what is imported from below /tmp, where a checkout may lie."""
    bind, with_all_below = 0x1000, 0x4000
    for path in imported:
        os.makedirs(path, exist_ok=True)
        source = f"/proc/self/fd/{covered}/{os.path.relpath(path, '/tmp')}".encode()
        call("mount", source, path.encode(), b"none", bind | with_all_below, b"")
    os.close(covered)


def _bounds(kind: str, limits: Limits) -> dict[str, int]:
    """Resource limits by name; of memory and tasks, on top of what there is."""
    shared = kind != BUBBLEWRAP  # the user's other tasks count
    bounds = {
        "FSIZE": limits.file,
        "CORE": 0,
        "CPU": limits.cpu,
        "NOFILE": limits.files,
        "MSGQUEUE": 0,
        "MEMLOCK": 0,
    }
    if sys.platform.startswith("linux"):
        pages = [int(word) for word in Path("/proc/self/statm").read_text().split()]
        page = os.sysconf("SC_PAGE_SIZE")
        bounds["AS"] = pages[0] * page + limits.memory
        bounds["DATA"] = pages[5] * page + limits.memory
        others = _tasks_of_user() if shared else 0  # and other sessions may begin
        others += limits.processes * (os.cpu_count() or 1) if shared else 0
        bounds["NPROC"] = limits.processes + others
    return bounds


def _set_limit(name: str, value: int) -> None:
    import resource  # not on Windows, where this module is still imported

    which = getattr(resource, f"RLIMIT_{name}", None)
    if which is not None:
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def _tasks_of_user() -> int:
    """Threads of this user on the whole machine."""
    count, user = 0, os.geteuid()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == user:
                count += len(os.listdir(process / "task"))
    return count
