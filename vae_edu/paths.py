"""Where the course, its data and the learner's own work lie.

What belongs here: the answer to "which folder?", and the environment variables that
change it. What does not: reading or making any of those folders.
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path

__all__ = ["course_root", "data_dir", "runs_dir", "work_dir"]

_PACKAGE = Path(__file__).resolve().parent


def course_root() -> Path:
    """Return the folder that holds `notebooks/` and `vae_edu/`.

    In this order: the environment's VAE_EDU_HOME; the checkout this package lies in;
    the nearest folder with `notebooks/` in it, from the current one upwards; the
    current folder.
    """
    named = os.environ.get("VAE_EDU_HOME")
    if named:
        return _absolute(named)
    if _is_checkout(_PACKAGE.parent):
        return _PACKAGE.parent
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir():
            return folder
    return here


def data_dir() -> Path:
    """Return the folder for data: VAE_EDU_DATA, else `data/` in the course."""
    named = os.environ.get("VAE_EDU_DATA")
    return _absolute(named) if named else course_root() / "data"


def work_dir() -> Path:
    """Return the learner's own folder: VAE_EDU_WORK, else `work/` in the course."""
    named = os.environ.get("VAE_EDU_WORK")
    return _absolute(named) if named else course_root() / "work"


def runs_dir() -> Path:
    """Return the folder for run folders: VAE_EDU_RUNS, else `runs/` in the course."""
    named = os.environ.get("VAE_EDU_RUNS")
    return _absolute(named) if named else course_root() / "runs"


def _absolute(name: str) -> Path:
    return Path(name).expanduser().resolve()


@cache  # it parses TOML, and is asked for each submission
def _is_checkout(folder: Path) -> bool:
    """Whether `folder` has a pyproject.toml that declares this package."""
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
        declared = tomllib.loads(text).get("project", {}).get("name", "")
    except (OSError, ValueError):
        return False
    return bool(declared.replace("-", "_") == "vae_edu")
