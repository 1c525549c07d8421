"""Landlock: which files a process can open, where there are no mounts of its own.

What belongs here: the rules, for the paths of `mounts`. What does not: system calls
that are refused (`calls`).
"""

from __future__ import annotations

import os
import struct

from vae_edu.grading.wall.calls import NO_NEW_PRIVS, call, control
from vae_edu.grading.wall.mounts import DEVICES, package_parts, readable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_A_FOLDER, _READ_A_FILE = 0b1101, 0b0101  # execute, read files, list
_WRITE_A_FILE = 0b0110


def landlock_version() -> int:
    """The version of Landlock's interface; 0 where the kernel has none."""
    try:
        return call("syscall", _CREATE_RULESET, None, 0, 1)
    except (OSError, AttributeError):
        return 0


def restrict_files() -> None:
    """Leave only the readable paths to this process, and /dev/null to write to."""
    version = landlock_version()
    known = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    network, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    attributes = struct.pack("=QQQ", (1 << known) - 1, network, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = call("syscall", _CREATE_RULESET, attributes, size, 0)
    for path in [*readable(), *package_parts(), *DEVICES]:
        rights = _READ_A_FOLDER if os.path.isdir(path) else _READ_A_FILE
        _allow(rules, path, rights | (_WRITE_A_FILE if path == "/dev/null" else 0))
    control(NO_NEW_PRIVS, 1)
    call("syscall", _RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    where = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    try:
        call("syscall", _ADD_RULE, rules, 1, struct.pack("=Qi", rights, where), 0)
    finally:
        os.close(where)
