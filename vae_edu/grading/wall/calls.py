"""Which system calls a process may make: named sets, and the filters made of them.

Each set is one reason (docs/threats.md has them as a table). What belongs here: the
numbers, the sets, the seccomp filter, and calls to the kernel that Python lacks. What
does not: files (`mounts`, `landlock`), the order of the steps (`enter`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

# By name: the numbers on x86_64 and on aarch64; 0: not there.
CHANNELS = {  # ways to talk to another process, or to leave it something
    "socket": (41, 198),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
}
OTHERS = {  # looking into another process
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
}
MACHINE = {  # the machine itself: its clock, its swap, its ports
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
}
KERNEL = {  # the kernel's code, its quotas, its keys
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
}
PAGES = {  # what the machine measures of others
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "perf_event_open": (298, 241),
}
FILE_CACHE = {  # who opens a file, what of it is in memory: ways to leave word
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "inotify_init": (253, 0),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "mincore": (27, 232),
    "cachestat": (451, 451),
    "preadv2": (327, 286),
    "fadvise64": (221, 223),
}
HANDLES = {  # files without a path, programs inside the kernel, faults
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
}
UNSEEN = {  # memory and work that no limit counts
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
MOUNTS = {  # the file system and the namespaces
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
}
NODES = {  # devices and pipes with a name
    "mknod": (133, 0),
    "mknodat": (259, 33),
}
PROGRAMS = {  # another program
    "execve": (59, 221),
    "execveat": (322, 281),
}
GROUPS = {  # a share of the processor of its own; locks that others see
    "setsid": (112, 157),
    "flock": (73, 32),
    "setsockopt": (54, 208),
}
MARKS = {  # marks on files and processes that outlive a session
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
}
SIGNALS = {  # signals to processes that are not its own
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
ON_ITSELF = {  # limits and scheduling: of itself alone
    "prlimit64": (302, 261),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setaffinity": (203, 122),
}
KNOWN = {  # refused in part, or used here: their numbers
    "clone": (56, 220),
    "clone3": (435, 435),
    "seccomp": (317, 277),
    "capset": (126, 91),
    "fcntl": (72, 25),
}

ZYGOTE = (*CHANNELS, *OTHERS, *MACHINE, *KERNEL, *PAGES, *FILE_CACHE, *HANDLES, *UNSEEN)
SESSION = (*ZYGOTE, *MOUNTS, *NODES, *PROGRAMS, *GROUPS)
SHARED = (*SESSION, *MARKS)  # a session without a pid namespace
SILENT = (*SHARED, *SIGNALS)  # one whose signals have no bounds either
_SETS: tuple[dict[str, tuple[int, int]], ...] = (
    *(CHANNELS, OTHERS, MACHINE, KERNEL, PAGES, FILE_CACHE, HANDLES, UNSEEN, MOUNTS),
    *(NODES, PROGRAMS, GROUPS, MARKS, SIGNALS, ON_ITSELF, KNOWN),
)
_NUMBERS = {name: numbers for names in _SETS for name, numbers in names.items()}
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
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
    architecture = ARCHITECTURES[platform.machine()][1]
    refuse = (_GIVE, 0, 0, _REFUSE | errno.EPERM)
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_GIVE, 0, 0, _KILL)]
    steps += [(_LOAD, 0, 0, 0), (_AT_LEAST, 0, 1, 0x40000000), refuse]  # x32
    for code in filter(None, map(number_of, names)):
        steps += [(_EQUAL, 0, 1, code), refuse]
    # clone3 hides its flags in memory; where it does not exist, libraries use clone
    missing = (_GIVE, 0, 0, _REFUSE | errno.ENOSYS)
    steps += [(_EQUAL, 0, 1, number_of("clone3")), missing]
    if not namespaces:
        over = 2 * len(_SIGNS) + 2
        steps += [(_EQUAL, 0, over, number_of("fcntl")), (_LOAD, 0, 0, 24)]
        for sign in _SIGNS:
            steps += [(_EQUAL, 0, 1, sign), refuse]
        steps.append((_LOAD, 0, 0, 0))
        steps += [(_EQUAL, 0, 3, number_of("clone")), (_LOAD, 0, 0, 16)]
        steps += [(_ANY_BIT, 0, 1, _NAMESPACES), refuse]
    for name in on_itself:
        steps += [(_LOAD, 0, 0, 0), (_EQUAL, 0, 3, number_of(name)), (_LOAD, 0, 0, 16)]
        steps += [(_EQUAL, 1, 0, 0), refuse]
    steps.append((_GIVE, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def number_of(name: str) -> int:
    """A system call's number on this machine; 0 where there is none."""
    return _NUMBERS[name][ARCHITECTURES[platform.machine()][0]]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(function: str, *arguments: int | bytes | None) -> int:
    """A function of the C library; raises OSError where it fails."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = getattr(_libc(), function)(*given)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


_SET_PDEATHSIG, SET_DUMPABLE, _DROP_BOUND, SET_SUBREAPER = 1, 4, 24, 36
NO_NEW_PRIVS, _AMBIENT, _AMBIENT_CLEAR = 38, 47, 4


def control(option: int, value: int = 0) -> None:
    """Set an option of this process (prctl)."""
    call("prctl", option, value, 0, 0, 0)


def filter_calls(code: bytes) -> None:
    """Install a seccomp filter, for good, in this process and all that it forks."""
    control(NO_NEW_PRIVS, 1)
    steps = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(steps))
    call("syscall", number_of("seccomp"), 1, 0, head)


def drop_capabilities() -> None:
    """Give up every capability, and the way to any."""
    call("prctl", _AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    for number in range(64):
        with suppress(OSError):  # numbers that this kernel lacks, or no right to drop
            control(_DROP_BOUND, number)
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    call("syscall", number_of("capset"), header, none)


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends. Linux."""
    control(_SET_PDEATHSIG, signal.SIGKILL)
