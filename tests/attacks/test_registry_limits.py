"""Attacks on the machine, the cells and the limits: each earns what it deserves."""

from __future__ import annotations

import pytest

from tests.attacks.registered import before, course, harmless, secret, server
from tests.attacks.registry import LINES, LOOPS

__all__ = ["before", "course", "secret", "server"]  # fixtures


@pytest.mark.parametrize("line", LINES[LINES.index(LOOPS) :])
def test_each_attack_earns_what_it_deserves(zygote, server, course, before, line):
    harmless(zygote, server, course, before, line)
