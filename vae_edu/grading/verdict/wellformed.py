"""A notebook as its format has it, made of whatever cells a file holds.

Editors and scripts leave out what nobody misses (outputs, ids, metadata), and nbgrader
refuses such a file. What belongs here: the form. What does not: what is in the cells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from nbformat.validator import isvalid

_MADE = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def well_formed(
    cells: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any]
) -> NotebookNode:
    """A valid notebook with these cells' texts and metadata, without outputs."""
    made: list[NotebookNode] = []
    ids: set[str] = set()
    for number, cell in enumerate(cells):
        name = str(cell.get("id"))
        if not _ID.fullmatch(name) or "id" not in cell or name in ids:
            name = f"{number}-of-{len(cells)}"
        ids.add(name)
        made.append(_cell(cell, name))
    book: NotebookNode = new_notebook(cells=made)
    book.metadata = from_dict(dict(metadata))
    if not isvalid(book):
        book.metadata = NotebookNode()
    return book


def _cell(cell: Mapping[str, Any], name: str) -> NotebookNode:
    metadata = cell.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    kind = _MADE.get(str(cell.get("cell_type"))) or _made_for(metadata)
    made: NotebookNode = kind(_text(cell), id=name)
    for given in (metadata, _plain(metadata)):
        made.metadata = from_dict(given)
        if isvalid(made, f"{made.cell_type}_cell", 4, 5):
            break
    attached = cell.get("attachments")  # pictures of an answer
    if made.cell_type == "markdown" and isinstance(attached, dict):
        whole = from_dict({**made, "attachments": attached})
        return whole if isvalid(whole, "markdown_cell", 4, 5) else made
    return made


def _text(cell: Mapping[str, Any]) -> str:
    source = cell.get("source") or ""
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Only what grading asks for."""
    tags = metadata.get("tags")
    named = [t for t in tags if isinstance(t, str)] if isinstance(tags, list) else []
    kept = {"tags": [*dict.fromkeys(t for t in named if "," not in t)]}
    return kept | {k: v for k, v in metadata.items() if k == "nbgrader"}


def _made_for(metadata: Mapping[str, Any]) -> Any:
    """What a cell of no known type is: what nbgrader's mark says, if there is one."""
    marks = metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    if name is None:
        return new_raw_cell
    return new_markdown_cell if str(name).startswith("written_") else new_code_cell
