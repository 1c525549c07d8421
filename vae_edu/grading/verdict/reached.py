"""Which names the answers of a notebook reach, and the statements that bind them.

A lesson's experiments are not run in grading, but an answer may use a name that one of
them binds. Only that statement is then run of it.

What belongs here: names and statements of code that is read, never run. What does not:
which cells are whose (`answers`).
"""

from __future__ import annotations

import ast
import symtable
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

NOTEBOOK = 64  # cells
CELLS, LONG = 512, 10_000  # that are remembered, as most are alike; none longer


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a cell: its text, the names it binds, those it uses.

    brings: it imports something.
    """

    text: str
    binds: frozenset[str]
    uses: frozenset[str]
    brings: bool


def tree_of(code: str) -> ast.Module | None:
    """Python's syntax tree; None where it is not Python, or too deep to tell."""
    return (_known_tree if len(code) < LONG else _parsed)(code)


def _parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


_known_tree = lru_cache(NOTEBOOK)(_parsed)  # each is asked for three times


def statements(code: str) -> tuple[Statement, ...]:
    """The statements of a cell; none where it is no Python."""
    return (_known if len(code) < LONG else _read)(code)


def _read(code: str) -> tuple[Statement, ...]:
    tree = tree_of(code)
    try:
        return tuple(_statement(text) for text in _texts(code, tree)) if tree else ()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()


_known = lru_cache(CELLS)(_read)


def reached(cells: Iterable[str], names: Iterable[str]) -> frozenset[str]:
    """The names that it takes to bind some names, by whatever statements do it."""
    binding: dict[str, list[Statement]] = defaultdict(list)
    for code in cells:
        for statement in statements(code):
            for name in statement.binds:
                binding[name].append(statement)
    found, waiting = set[str](), [*names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [use for s in binding.get(name, ()) for use in s.uses]
    return frozenset(found)


def taken(code: str, names: frozenset[str]) -> str:
    """What of a cell is run where not all of it is: imports, and what binds names."""
    kept = [s.text for s in statements(code) if s.brings or s.binds & names]
    return "\n".join(kept)


def _texts(code: str, tree: ast.Module) -> Iterator[str]:
    """The text of each statement; what shares a line stays together."""
    lines = code.split("\n")
    start = end = 0
    for node in tree.body:
        marks = getattr(node, "decorator_list", ())
        first = min([node.lineno, *(mark.lineno for mark in marks)])
        if first > end:
            yield from _slice(lines, start, end)
            start = first
        end = node.end_lineno or first
    yield from _slice(lines, start, end)


def _slice(lines: list[str], first: int, last: int) -> Iterator[str]:
    if last:
        yield "\n".join(lines[first - 1 : last])


def _statement(text: str) -> Statement:
    table = symtable.symtable(text, "<cell>", "exec")
    symbols = table.get_symbols()
    bound = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in symbols if s.is_referenced()}
    for inner in table.get_children():
        used |= _globals_of(inner)
    brings = any(s.is_imported() for s in symbols) or " import *" in text
    return Statement(text, frozenset(bound), frozenset(used), brings)


def _globals_of(table: symtable.SymbolTable) -> set[str]:
    """The names that a function or a class looks up outside itself."""
    found = {s.get_name() for s in table.get_symbols() if s.is_global()}
    return found.union(*map(_globals_of, table.get_children()))
