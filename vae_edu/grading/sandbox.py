"""What a learner's code can reach: namespaces, mounts, system calls, limits. Linux.

What belongs here: the ways to confine a process (bubblewrap with namespaces, else
Landlock), which of them a machine has, and the steps a zygote and its sessions take to
enter one. What does not: torch, laws, scores. Both sides of the wall import this, so it
holds no secret.

    judge ── bwrap ── zygote ─┬─ keeper ── session (process 1 of its own namespaces)
                              │              └─ one process a law, or itself
                              └─ keeper of the next session ...

bubblewrap gives the zygote a read-only, allow-listed file system without network. A
keeper makes a user and a pid namespace for one session; the session mounts its own
empty /tmp, /dev/shm and /proc, gives up every capability and takes a second, stricter
system call filter. The keeper runs no learner's code, and ends a session that holds too
much.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BUBBLEWRAP, LANDLOCK, NONE = KINDS = ("bubblewrap", "landlock", "none")
REQUIRE, PREFER, OFF = "require", "prefer", "off"
POLICIES = {REQUIRE: KINDS[:2], PREFER: KINDS, OFF: (NONE,)}
REMEDY = (
    "Install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap) and allow user "
    "namespaces, or use a kernel with Landlock (5.13 or later); in a container, allow "
    "them there. --unsafe-no-sandbox runs learners' code with your own rights."
)


@dataclass(frozen=True)
class Limits:
    """What one session may use: bytes, processes, seconds, open files.

    memory: address space each process may add, and private memory of all its processes
    together; disk: its /tmp; file: one file.
    """

    memory: int = 4 * 2**30
    disk: int = 64 * 2**20
    file: int = 16 * 2**20
    processes: int = 32
    cpu: int = 900
    files: int = 64


LIMITS = Limits()
_NOBODY = 65534
_PACKAGE = Path(__file__).resolve().parents[1]
# of the package, all that is seen: what a lesson's first cell and the laws need. A new
# module is not, until it stands here: it may be the instructor's, or answer exercises
_SEEN = (
    *("__init__.py", "errors.py", "paths.py", "catalogue.py", "lesson.py"),
    *("exercises", "checks", "work.py", "learner", "feedback.py", "aside.py"),
    *("standing.py", "subject.py", "probes.py", "data.py", "mnist.py", "viz.py"),
    *("grading/__init__.py", "grading/light.py", "grading/sandbox.py"),
    *("grading/wire.py", "grading/zygote.py"),
)
_SYSTEM = (
    *("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/local/lib"),
    *("/etc/ld.so.cache", "/etc/alternatives", "/sys/devices/system/cpu"),
)
_BWRAPS = ("/usr/bin/bwrap", "/usr/local/bin/bwrap")  # the system's
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def kinds(policy: str) -> tuple[str, ...]:
    """The kinds of sandbox to try under a policy, best first; a kind names itself."""
    return (policy,) if policy in KINDS else POLICIES[policy]


def lacking(kind: str) -> str:
    """What this machine lacks for a kind, as far as can be told without starting it."""
    if kind == NONE:
        return ""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if platform.machine() not in _ARCHITECTURES:
        return f"knows no system calls of {platform.machine()}"
    if kind == BUBBLEWRAP and not bwraps():
        return "bwrap is not installed"
    if kind == LANDLOCK and landlock_version() < 1:
        return "this kernel has no Landlock, or it is switched off"
    return ""


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


# --- what is mounted ------------------------------------------------------------------


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
        "CUDA_VISIBLE_DEVICES": "",
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
    seen = [p for p in sys.path if p and (_inside(p, allowed) or _is_site(p))]
    return [*dict.fromkeys(seen), str(_PACKAGE.parent)]


def _is_site(path: str) -> bool:
    return Path(path).name in ("site-packages", "dist-packages")


def _inside(path: str, folders: Iterable[str]) -> bool:
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
    others = [p for p in (*sites, *loader) if not _inside(os.path.expanduser("~"), [p])]
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
    for path in _DEVICES:
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
    return sorted(p for p in above - {"/"} if not _inside(p, paths))


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
        file.write(program(_NEVER))
        file.seek(0)
        return os.dup(file.fileno())


# --- system calls ---------------------------------------------------------------------

# By name: the numbers on x86_64 and on aarch64; 0: not there. Some ask what the machine
# has read of a file, drop it from memory, or watch who opens it: ways for one session
# to leave word for another one.
_CALLS = {
    "socket": (41, 198),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "personality": (135, 92),
    "syslog": (103, 116),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "iopl": (172, 0),
    "ioperm": (173, 0),
    "modify_ldt": (154, 0),
    "uselib": (134, 0),
    "vhangup": (153, 58),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "inotify_init": (253, 0),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "mincore": (27, 232),
    "cachestat": (451, 451),
    "preadv2": (327, 286),
    "fadvise64": (221, 223),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mknod": (133, 0),
    "mknodat": (259, 33),
    "execve": (59, 221),
    "execveat": (322, 281),
    "setsid": (112, 157),
    "flock": (73, 32),
    "setsockopt": (54, 208),
    "setpriority": (141, 140),
    "truncate": (76, 45),
    "chmod": (90, 0),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, 0),
    "fchown": (93, 55),
    "lchown": (94, 0),
    "fchownat": (260, 54),
    "utime": (132, 0),
    "utimes": (235, 0),
    "futimesat": (261, 0),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "ioprio_set": (251, 30),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setaffinity": (203, 122),
    "clone": (56, 220),
    "clone3": (435, 435),
    "seccomp": (317, 277),
    "capset": (126, 91),
    "fcntl": (72, 25),
}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_NAMES = tuple(_CALLS)
_NEVER = _NAMES[: _NAMES.index("mount")]  # neither in a zygote nor in a session
_CONFINED = _NAMES[: _NAMES.index("setpriority")]  # in a session
_SHARED = _NAMES[: _NAMES.index("kill")]  # in a session without a pid namespace
_SILENT = _NAMES[
    : _NAMES.index("prlimit64")
]  # in one whose signals have no bounds either
_ON_ITSELF = _NAMES[
    _NAMES.index("prlimit64") : _NAMES.index("clone")
]  # there: pid 0 only
_NAMESPACES = (
    0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
)
# fcntl: locks, leases, watches, which are signs on files that all sessions read
_SIGNS = (5, 6, 7, 36, 37, 38, 1024, 1026)
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _GIVE = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions


def program(
    names: Iterable[str], *, on_itself: Iterable[str] = (), namespaces: bool = True
) -> bytes:
    """A seccomp filter (classic BPF): `names` give EPERM, other calls pass.

    A call of another architecture kills. Without `namespaces` none can be made;
    the calls `on_itself` pass with 0 (the caller) as their pid.
    """
    architecture = _ARCHITECTURES[platform.machine()][1]
    refuse = (_GIVE, 0, 0, _REFUSE | errno.EPERM)
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_GIVE, 0, 0, _KILL)]
    steps += [(_LOAD, 0, 0, 0), (_AT_LEAST, 0, 1, 0x40000000), refuse]  # x32
    for number in filter(None, map(_number, names)):
        steps += [(_EQUAL, 0, 1, number), refuse]
    # clone3 hides its flags in memory; where it does not exist, libraries use clone
    missing = (_GIVE, 0, 0, _REFUSE | errno.ENOSYS)
    steps += [(_EQUAL, 0, 1, _number("clone3")), missing]
    if not namespaces:
        over = 2 * len(_SIGNS) + 2
        steps += [(_EQUAL, 0, over, _number("fcntl")), (_LOAD, 0, 0, 24)]
        for sign in _SIGNS:
            steps += [(_EQUAL, 0, 1, sign), refuse]
        steps.append((_LOAD, 0, 0, 0))
        steps += [(_EQUAL, 0, 3, _number("clone")), (_LOAD, 0, 0, 16)]
        steps += [(_ANY_BIT, 0, 1, _NAMESPACES), refuse]
    for name in on_itself:
        steps += [(_LOAD, 0, 0, 0), (_EQUAL, 0, 3, _number(name)), (_LOAD, 0, 0, 16)]
        steps += [(_EQUAL, 1, 0, 0), refuse]
    steps.append((_GIVE, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _strict(kind: str) -> bytes:
    """The filter of a session."""
    if kind == BUBBLEWRAP:
        return program(_CONFINED, namespaces=False)
    names = _SHARED if landlock_version() >= 6 else _SILENT
    return program(names, on_itself=_ON_ITSELF, namespaces=False)


def _number(name: str) -> int:
    """A system call's number on this machine; 0 where there is none."""
    return _CALLS[name][_ARCHITECTURES[platform.machine()][0]]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: int | bytes | None) -> int:
    """A function of the C library; raises OSError where it fails."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = getattr(_libc(), function)(*given)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


_SET_PDEATHSIG, _SET_DUMPABLE, _DROP_BOUND, _SET_SUBREAPER = 1, 4, 24, 36
_NO_NEW_PRIVS, _AMBIENT, _AMBIENT_CLEAR = 38, 47, 4


def _control(option: int, value: int = 0) -> None:
    _call("prctl", option, value, 0, 0, 0)


def filter_calls(code: bytes) -> None:
    """Install a seccomp filter, for good, in this process and all that it forks."""
    _control(_NO_NEW_PRIVS, 1)
    steps = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(steps))
    _call("syscall", _number("seccomp"), 1, 0, head)


def drop_capabilities() -> None:
    """Give up every capability, and the way to any."""
    _call("prctl", _AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    for number in range(64):
        with suppress(OSError):  # numbers that this kernel lacks, or no right to drop
            _control(_DROP_BOUND, number)
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _call("syscall", _number("capset"), header, none)


# --- Landlock -------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_A_FOLDER, _READ_A_FILE = 0b1101, 0b0101  # execute, read files, list
_WRITE_A_FILE = 0b0110


def landlock_version() -> int:
    """The version of Landlock's interface; 0 where the kernel has none."""
    try:
        return _call("syscall", _CREATE_RULESET, None, 0, 1)
    except (OSError, AttributeError):
        return 0


def restrict_files() -> None:
    """Leave only the readable paths to this process, and /dev/null to write to."""
    version = landlock_version()
    known = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    network, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    attributes = struct.pack("=QQQ", (1 << known) - 1, network, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = _call("syscall", _CREATE_RULESET, attributes, size, 0)
    for path in [*readable(), *package_parts(), *_DEVICES]:
        rights = _READ_A_FOLDER if os.path.isdir(path) else _READ_A_FILE
        _allow(rules, path, rights | (_WRITE_A_FILE if path == "/dev/null" else 0))
    _control(_NO_NEW_PRIVS, 1)
    _call("syscall", _RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    where = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    try:
        _call("syscall", _ADD_RULE, rules, 1, struct.pack("=Qi", rights, where), 0)
    finally:
        os.close(where)


# --- entering: the zygote -------------------------------------------------------------


def begin(control: int, kind: str, *limits: int) -> None:
    """The zygote's first step: become harmless, try a session out, then serve."""
    import socket

    try:
        _settle(kind)
        _try_out(kind)
    except OSError as error:
        sys.exit(f"{error}")
    from vae_edu.grading import zygote

    zygote.main(socket.socket(fileno=control), kind, Limits(*limits))


def _settle(kind: str) -> None:
    if sys.platform.startswith("linux"):
        if os.geteuid() == 0 and (kind == BUBBLEWRAP or _nobody_can_read(kind)):
            become_nobody()
        _control(_SET_DUMPABLE, 0)


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


# --- entering: a session --------------------------------------------------------------


def enclose(kind: str) -> int:
    """Fork a keeper's session into its own pid namespace; returns as `os.fork`."""
    if kind == BUBBLEWRAP:
        user, group = os.geteuid(), os.getegid()
        _control(_SET_DUMPABLE, 1)  # else /proc/self would not be ours to write
        new_user, new_pid = 0x10000000, 0x20000000
        _call("unshare", new_user | new_pid)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        _control(_SET_DUMPABLE, 0)
    elif sys.platform.startswith("linux"):
        _control(_SET_SUBREAPER, 1)  # what a session leaves behind becomes the keeper's
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
        _control(_SET_DUMPABLE, 0)
        filter_calls(_strict(kind))


def _die_first() -> None:
    """Die with the keeper, and before any other process where memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    die_with_parent()


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends. Linux."""
    _control(_SET_PDEATHSIG, signal.SIGKILL)


def _mount_own(limits: Limits) -> None:
    """An empty /tmp and /dev/shm of its own, and no /proc at all."""
    new_mounts, read_only, no_suid, no_dev, no_exec = 0x20000, 1, 2, 4, 8
    flags = no_suid | no_dev | no_exec
    _call("unshare", new_mounts)
    size = f"size={limits.disk},nr_inodes=4096,mode=0700".encode()
    small = f"size={limits.disk // 4},nr_inodes=256,mode=0700".encode()
    imported = [p for p in dict.fromkeys(sys.path) if _inside(p, ["/tmp"])]
    imported = [p for p in imported if os.path.isdir(p)]
    covered = os.open("/tmp", os.O_PATH)
    _call("mount", b"tmpfs", b"/tmp", b"tmpfs", flags, size)
    _uncover(covered, imported)
    _call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", flags, small)
    _call("mount", b"tmpfs", b"/proc", b"tmpfs", flags | read_only, b"size=4k")
    os.chdir("/tmp")


def _uncover(covered: int, imported: list[str]) -> None:
    """Bring back what is imported from below /tmp, where a checkout may lie."""
    bind, with_all_below = 0x1000, 0x4000
    for path in imported:
        os.makedirs(path, exist_ok=True)
        source = f"/proc/self/fd/{covered}/{os.path.relpath(path, '/tmp')}".encode()
        _call("mount", source, path.encode(), b"none", bind | with_all_below, b"")
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


# --- the keeper -----------------------------------------------------------------------


def keep(session: int, limits: Limits, words: int) -> None:
    """Wait for a session's end; end it where it holds too much, or the zygote has gone.

    words: a descriptor to say there what was too much. What the session leaves behind
    is ended too: by its pid namespace or, without one, here.
    """
    zygote, shared = os.getppid(), held(os.getpid())  # what every fork has from it
    said = False
    try:
        while not _has_ended(session, 0.1):
            family = descendants(os.getpid())
            much = _too_much(family, shared, limits)
            if much or os.getppid() != zygote:
                if not said:  # once: the dying may take a while
                    with suppress(OSError):  # nobody listens any more
                        os.write(words, much.encode())
                said = True
                os.kill(session, signal.SIGKILL)
    finally:
        _bury()  # the session, too, where watching it failed


def _too_much(family: list[int], shared: int, limits: Limits) -> str:
    """What processes hold together beyond the limits, in words; "" where nothing."""
    if sum(_own(p, shared) for p in family) > limits.memory:
        return f"it used more than {limits.memory / 2**30:.3g} GiB of memory"
    if len(family) > 2 * limits.processes:
        return f"it started more than {limits.processes} processes"
    return ""


def _own(pid: int, shared: int) -> int:
    """What a process holds and no other does, or a little more.

    It has `shared` from the zygote, until it writes there: a fault for each page.
    """
    much = held(pid)
    return max(much - shared, min(much, _faults(pid) * os.sysconf("SC_PAGE_SIZE")))


def _faults(pid: int) -> int:
    """How many pages a process has touched first, or made its own by writing."""
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
        return int(after_name.split()[7])
    return 0


def _has_ended(pid: int, seconds: float) -> bool:
    """Wait so long at most for a child of this process."""
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [], seconds)
        os.close(descriptor)
    else:
        time.sleep(seconds)
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def descendants(pid: int) -> list[int]:
    """Every process below `pid`; [] where the kernel does not say."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for children in _children_by_task(waiting.pop()):
            waiting += children
            found += children
    return found


def _children_by_task(pid: int) -> Iterator[list[int]]:
    """Processes that each thread of `pid` started; any may have ended meanwhile."""
    tasks = Path(f"/proc/{pid}/task")
    with suppress(OSError):
        for task in os.listdir(tasks):
            with suppress(OSError):
                words = (tasks / task / "children").read_text().split()
                yield [int(word) for word in words]


def held(pid: int) -> int:
    """Bytes of memory that are a process's own or shared memory: no files, no code.

    Asked of each thread: the first one may have ended, and then has no memory to show.
    """
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                if found := _anonymous(Path(f"/proc/{pid}/task/{task}/status")):
                    return found
    return 0


def _anonymous(status: Path) -> int:
    """As bytes: a process chooses its own name, which need not be text."""
    pairs = (line.partition(b":") for line in status.read_bytes().split(b"\n"))
    fields = {name: value for name, _, value in pairs}
    kinds = (b"RssAnon", b"RssShmem")
    return sum(int(fields[k].split()[0]) * 1024 for k in kinds if k in fields)


def _bury() -> None:
    """End and reap whatever has become a child of this process."""
    while True:
        for pid in descendants(os.getpid()):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)  # then look again: one that was born meanwhile was not listed
