"""The kinds of sandbox, the policies that choose one, and what a session may use."""

from __future__ import annotations

from dataclasses import dataclass

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


def kinds(policy: str) -> tuple[str, ...]:
    """The kinds of sandbox to try under a policy, best first; a kind names itself."""
    return (policy,) if policy in KINDS else POLICIES[policy]
