"""A notebook that a learner has worked in is never lost to a build."""

from __future__ import annotations

import nbformat
import pytest

from vae_edu.build.keep import keep, worked_in
from vae_edu.paths import course_root

LESSON = "04_kl_divergence"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A fresh learner's notebook."""
    monkeypatch.setenv("VAE_EDU_WORK", str(tmp_path / "work"))
    path = tmp_path / "lesson.ipynb"
    path.write_bytes(
        (course_root() / "notebooks" / LESSON / f"{LESSON}.ipynb").read_bytes()
    )
    return path


def edit(path, change):
    book = nbformat.read(path, as_version=4)
    change(book.cells)
    nbformat.write(book, path)


def test_a_fresh_notebook_is_nobodys(copy):
    assert not worked_in(copy)
    assert keep(copy) is None


def _solution(cells):
    return next(c for c in cells if c.metadata.get("nbgrader", {}).get("solution"))


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells.append(nbformat.v4.new_markdown_cell("a note")),
        lambda cells: cells[0].update(source=cells[0].source + " my words"),
        lambda cells: cells[1].update(execution_count=1),
        lambda cells: _solution(cells).update(source="@exercise\ndef f(): return 1"),
    ],
)
def test_whatever_a_learner_did_is_kept(copy, change):
    edit(copy, change)
    text = copy.read_bytes()
    kept = keep(copy)
    assert kept is not None
    assert kept.read_bytes() == text


def test_a_file_that_cannot_be_read_is_kept(copy):
    copy.write_text("half a noteb")
    assert keep(copy) is not None
