"""A notebook that was oddly written is made valid, and keeps what is in its cells."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbformat.validator import isvalid

from tests.package.test_nbgrader import LESSON, ODD, named, odd, small
from vae_edu.grading.verdict.answers import book_in, from_cells
from vae_edu.grading.verdict.wellformed import well_formed

TOPIC = "kl_divergence"


@pytest.fixture(scope="module")
def solved(root):
    return small(nbformat.read(root / "solutions" / LESSON / f"{LESSON}.ipynb", 4))


@pytest.mark.parametrize("what", ODD)
def test_it_is_valid_and_the_same_code_runs(solved, tmp_path, what):
    path = tmp_path / "a.ipynb"
    path.write_text(odd(solved, what), encoding="utf-8")
    cells, metadata = book_in(path)
    book = well_formed(cells, metadata)
    assert isvalid(book)
    assert len({cell.id for cell in book.cells}) == len(book.cells) == len(cells)
    pieces = from_cells(cells, TOPIC).pieces
    assert pieces == from_cells(book.cells, TOPIC).pieces
    assert {named(c) for c in solved.cells} <= {named(c) for c in book.cells}


def test_a_picture_in_an_answer_stays():
    picture = {"image.png": {"image/png": "aGk="}}
    cell = {"cell_type": "markdown", "source": "x", "attachments": picture}
    assert well_formed([cell], {}).cells[0].attachments == picture
    (made,) = well_formed([cell | {"attachments": {"image.png": 3}}], {}).cells
    assert "attachments" not in made


def test_what_was_valid_stays_as_it_was(solved):
    cells = json.loads(json.dumps(solved.cells))
    made = well_formed(cells, solved.metadata)
    kept = [(c.id, c.source, c.metadata) for c in made.cells]
    assert kept == [(c.id, c.source, c.metadata) for c in solved.cells]
    assert made.metadata == solved.metadata
