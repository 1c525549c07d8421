"""`fill_in`: the answer that `work/` holds, back into a notebook's cell.

What belongs here: the text of such a cell, and handing it to the front end. The
notebook's file is never touched: JupyterLab has it open.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.learner.cells import is_unfilled
from vae_edu.learner.shelf import reached, read, work_file
from vae_edu.learner.statements import Definition, definition_of, statements
from vae_edu.learner.workfile import Chunk, chunks, gives, texts_of


def fill_in(name: str) -> None:
    """Put the answer that `work/` holds into a cell: `fill_in("gaussian_kl")`.

    A cell that holds nothing but this line, and perhaps the empty exercise, becomes the
    answer; from any other cell it goes into a new one below. Printed where no notebook
    is open. Raises CourseError where there is no saved answer.
    """
    entry = catalogue.find(name)
    shell = _shell()
    text = cell_for(entry, {} if shell is None else shell.user_ns)
    if not hasattr(shell, "kernel"):
        print(text)
        return
    here = _stands_alone(shell.history_manager.input_hist_parsed[-1], name)
    shell.set_next_input(text, replace=here)
    where = "This cell" if here else "The next cell"
    print(
        f"{where} holds {name} from work/{entry.topic}.py now: run it. What is handed "
        "in is the notebook, once it is saved."
    )


def _shell() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def cell_for(entry: catalogue.Exercise, scope: Mapping[str, Any]) -> str:
    """A cell with a saved answer, and with what it needs and the notebook lacks.

    Raises CourseError where there is none, or the file does not parse.
    """
    try:
        text = read(work_file(entry.topic))
        own = definition_of(text, entry.name)
    except (SyntaxError, ValueError) as error:
        raise CourseError(f"work/{entry.topic}.py does not parse: {error}") from None
    if own is None or is_unfilled(own.text):
        raise CourseError(f"work/{entry.topic}.py has no answer to {entry.name} yet.")
    texts, others = texts_of(text), _other_exercises(entry)
    used = reached(entry.name, {n: t for n, t in texts.items() if n not in others})
    parts = [c for c in chunks(text)[0] if c.names & used and entry.name not in c.names]
    lines = [c.body for c in parts if c.is_import and not _known(c, used, scope)]
    if "exercise" not in scope:
        lines.append("from vae_edu import exercise\n")
    helpers = [c.text.lstrip("\n") for c in parts if not c.is_import]
    pieces = ["".join(lines), *helpers, f"@exercise\n{own.text}"]
    return "\n\n".join(piece for piece in pieces if piece)


def _other_exercises(entry: catalogue.Exercise) -> set[str]:
    """The lesson's other exercises have cells of their own."""
    return {e.name for e in catalogue.exercises_of(entry.topic)} - {entry.name}


def _known(chunk: Chunk, used: set[str], scope: Mapping[str, Any]) -> bool:
    """Whether the notebook has what an import brings."""
    return all(n in scope and gives(chunk, n, scope[n]) for n in chunk.names & used)


def _stands_alone(cell: str, name: str) -> bool:
    """Whether a cell holds nothing that would be lost."""
    return all(_may_go(s.node, s.text, name) for s in statements(cell))


def _may_go(node: ast.stmt, text: str, name: str) -> bool:
    if isinstance(node, Definition):
        return node.name == name and is_unfilled(text)
    call = node.value if isinstance(node, ast.Expr) else None
    ours = isinstance(call, ast.Call) and ast.unparse(call.func).endswith("fill_in")
    return ours or (isinstance(node, ast.ImportFrom) and "fill_in" in text)
