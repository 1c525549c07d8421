"""What the attacks share: an honest answer, a wrong one, a report of reach."""

from __future__ import annotations

import textwrap

from vae_edu.grading.verdict import judge
from vae_edu.grading.wall.kinds import Limits

LIMITS = Limits(memory=2**30, disk=8 * 2**20, file=2**20, processes=12, cpu=60)
HONEST = """
import torch
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""
WRONG = """
import torch
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 + log_var).sum(-1)
"""
REACH = """
import ctypes, gc, glob, io, os, pathlib, signal, socket, struct, subprocess, sys, time
reached, refused = [], []
libc = ctypes.CDLL(None, use_errno=True)

def attempt(way):
    try:
        result = way()
    except BaseException as error:
        refused.append(f"{way.__name__}: {type(error).__name__}")
    else:
        if result:
            reached.append(f"{way.__name__}: {str(result)[:160]}")
        else:
            refused.append(f"{way.__name__}: nothing")
    return way
"""
REPORT = """
def gaussian_kl(mu, log_var):
    raise RuntimeError(f"reached {reached} refused {len(refused)}")
"""


def judged(zygote, folder, source, seconds=20.0, name="answer.py"):
    """The one result of a file that answers `gaussian_kl`."""
    path = folder / name
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    (result,) = judge.judge_file(zygote, path, "gaussian_kl", "attack", seconds)
    return result


def ways(source: str) -> str:
    """A submission that tries every function of `source` that is marked `@attempt`."""
    return REACH + textwrap.dedent(source) + REPORT


def reached(result) -> tuple[str, int]:
    """What such a submission says: what it reached, and how often it did not."""
    said = result.failures[0]["message"]
    assert said.startswith("RuntimeError: reached "), said
    found, _, count = said.removeprefix("RuntimeError: reached ").rpartition(
        " refused "
    )
    return found, int(count)
