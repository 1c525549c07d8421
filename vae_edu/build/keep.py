"""Keeps a notebook that a learner has worked in, before a built one replaces it."""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from vae_edu.paths import work_dir

STUBS = ("raise NotImplementedError", "YOUR ANSWER HERE")


def keep(path: Path) -> Path | None:
    """Copy a worked-in notebook to `work/backup/notebooks`; where to, or None."""
    if not path.exists() or not worked_in(path):
        return None
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    target = work_dir() / "backup" / "notebooks" / f"{path.stem}.{stamp}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)
    return target


def worked_in(path: Path) -> bool:
    """True where a notebook holds anything that the build did not put there."""
    try:
        book = nbformat.read(path, as_version=4)
    except Exception:
        return True  # whatever it is, it is somebody's
    return any(map(_touched, book.cells))


def _touched(cell: NotebookNode) -> bool:
    if cell.get("outputs") or cell.get("execution_count"):
        return True
    graded = cell.metadata.get("nbgrader", {})
    if graded.get("solution"):
        return not any(stub in cell.source for stub in STUBS)
    return not cell.get("id", "").startswith(built_id(cell))


def built_id(cell: NotebookNode) -> str:
    """The id that the build gives a cell: the grade_id, else a digest of its text."""
    digest = hashlib.sha256(cell.source.encode()).hexdigest()[:10]
    grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
    return grade_id or f"{cell.cell_type}-{digest}"
