"""torch.compile's machinery stays away until somebody asks for it."""

from __future__ import annotations

import subprocess
import sys

PART = "torch._dynamo.config"
SPARED = f"""
import sys, torch
from vae_edu.grading.wall.light import spare_the_compiler
spare_the_compiler()
weight = torch.ones(3, requires_grad=True)
optimizer = torch.optim.Adam([weight], lr=0.5)
weight.sum().backward()
optimizer.step()
torch.zeros(2, 2, device="meta").mean(0)
assert {PART!r} not in sys.modules, "imported"
assert torch.allclose(weight, torch.full((3,), 0.5)), weight
import torch._dynamo
assert torch._dynamo.config.__name__ == {PART!r}
assert {PART!r} in sys.modules, "not imported when asked for"
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_an_optimizer_and_meta_do_without_and_who_asks_gets_it():
    done = run(SPARED)
    assert done.returncode == 0, done.stderr


def test_without_it_they_would_not():
    done = run(SPARED.replace("spare_the_compiler()\nw", "w"))
    assert "AssertionError: imported" in done.stderr
