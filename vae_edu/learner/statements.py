"""Top-level statements of Python text: where each stands, what it sets, what it needs.

What belongs here: reading text, of a notebook's cells or of a file in `work/`. What
does not: running it, and anything that knows of exercises.
"""

from __future__ import annotations

import ast
import io
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
WHOLE_CELL = ("time", "capture")  # magics that run the cell below them


@dataclass(frozen=True)
class Statement:
    """A top-level statement: its text, its first line, and the names that it sets.

    names: bound by it, or changed in part (`names` of `Helper.scale = 2`: Helper).
    """

    node: ast.stmt
    text: str
    line: int
    names: frozenset[str]

    def changes(self, name: str) -> bool:
        """True where it changes a part of what the name holds, and binds nothing."""
        node = self.node
        if isinstance(node, ast.AugAssign):
            return True
        targets = [t for t in getattr(node, "targets", []) if _root(t) == name]
        return bool(targets) and not any(isinstance(t, ast.Name) for t in targets)


@lru_cache(1024)
def statements(text: str) -> tuple[Statement, ...]:
    """The top-level statements of a text, in their order.

    Raises SyntaxError where it is no Python.
    """
    lines = lines_of(text)
    body = ast.parse(text).body
    starts = [first_line(node) for node in body]
    found: list[Statement] = []
    for i, node in enumerate(body):
        alone = starts[i] not in [n.end_lineno for n in body[:i]] and (
            node.end_lineno not in starts[i + 1 :]
        )
        said = "".join(lines[starts[i] - 1 : node.end_lineno])
        if not alone:
            said = ast.get_source_segment(text, node) or said
        statement = Statement(node, said.rstrip("\n") + "\n", starts[i], sets(node))
        found += _below_magic(node) or [statement]
    return tuple(found)


def lines_of(text: str) -> list[str]:
    """Lines as Python counts them: a form feed or U+2028 ends none."""
    return io.StringIO(text).readlines()


def first_line(node: ast.stmt) -> int:
    """Where a statement begins, with its decorators."""
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _below_magic(node: ast.stmt) -> list[Statement]:
    """The statements of a cell that begins with %%time or %%capture."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or len(call.args) != 3:
        return []
    magic, _, body = [getattr(a, "value", None) for a in call.args]
    if not ast.unparse(call.func).endswith("run_cell_magic") or magic not in WHOLE_CELL:
        return []
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return [*statements(TransformerManager().transform_cell(str(body)))]
    except SyntaxError:
        return []


def sets(node: ast.stmt) -> frozenset[str]:
    """The names that a top-level statement binds, or whose value it changes in part."""
    found: set[str] = set()
    waiting: list[ast.AST] = [node]
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return frozenset()
    while waiting:
        part = waiting.pop()
        if isinstance(part, Definition):
            found.add(part.name)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            names = (a.asname or a.name.partition(".")[0] for a in part.names)
            found.update(names)
        elif not isinstance(part, INNER):
            if isinstance(getattr(part, "ctx", None), ast.Store):
                found.add(_root(part))
            waiting += ast.iter_child_nodes(part)
    return frozenset(found - {""})


def _root(target: ast.AST) -> str:
    """The name at the root of `name.part[0]`; "" where there is none."""
    while isinstance(target, ast.Attribute | ast.Subscript | ast.Starred):
        target = target.value
    return target.id if isinstance(target, ast.Name) else ""


@lru_cache(1024)
def needs(text: str) -> frozenset[str]:
    """The names that a text looks up outside itself, when it runs or later."""
    return frozenset(_looked_up(symtable.symtable(text, "<text>", "exec")))


def _looked_up(table: symtable.SymbolTable) -> Iterator[str]:
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _looked_up(inner)


def needs_at_once(node: ast.AST) -> frozenset[str]:
    """The names that a statement looks up when it runs, not when it is called."""
    if isinstance(node, ast.Name):
        return frozenset({node.id} if isinstance(node.ctx, ast.Load) else ())
    parts: list[ast.AST] = [*ast.iter_child_nodes(node)]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        parts = [node.args, *getattr(node, "decorator_list", [])]
        parts += [r for r in [getattr(node, "returns", None)] if r is not None]
    return frozenset().union(*map(needs_at_once, parts))


def definition_of(text: str, name: str) -> Statement | None:
    """The function or class of that name; of several the last, as in Python."""
    found = [
        s
        for s in statements(text)
        if isinstance(s.node, Definition) and s.node.name == name
    ]
    return found[-1] if found else None
