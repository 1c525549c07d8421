"""Which lines may run a second time, when a saved file is loaded, and what they give.

A file in `work/` is loaded at every import: a line that trains, reads or asks does not
belong there. What belongs here: telling such lines from plain ones, from their text.
What does not: whether two values are the same (see `sameness`).
"""

from __future__ import annotations

import ast
import builtins
import random
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

PLAIN = (int, float, complex, str, bytes, bool, type(None))
LIBRARIES = {  # what they make is made at once, but for NEVER
    *("builtins", "math", "cmath", "operator", "functools", "itertools", "re"),
    *("collections", "typing", "dataclasses", "enum", "fractions", "decimal"),
    *("statistics", "types", "string", "torch", "numpy"),
}
NEVER = {
    *("open", "input", "exec", "eval", "compile", "print", "load", "loadtxt", "hub"),
    *("fromfile", "memmap", "genfromtxt", "save", "from_file", "breakpoint"),
}
LONGEST = 10_000  # characters of a value that is written out


def may_run_again(node: ast.stmt, scope: Mapping[str, Any], value: Any) -> bool:
    """True where a line may run at each import: what it calls is quick and silent.

    A call of the notebook's own functions counts where it makes a function or a class,
    as a factory does; one that makes data may have trained for it.
    """
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    waits = any(isinstance(n, ast.Await | ast.Yield) for n in ast.walk(node))
    factory = callable(value) and not isinstance(value, nn.Module)
    return not waits and all(_quick(c.func, scope, factory) for c in calls)


def _quick(function: ast.expr, scope: Mapping[str, Any], factory: bool) -> bool:
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return not NEVER & {*parts}  # a method of what another expression gives
    parts.append(function.id)
    root = scope.get(function.id, getattr(builtins, function.id, None))
    return not NEVER & {*parts} and _of_a_library(root, factory)


def _of_a_library(root: Any, factory: bool) -> bool:
    if isinstance(root, types.ModuleType):
        return root.__name__.partition(".")[0] in LIBRARIES
    if isinstance(root, types.FunctionType):
        return factory or root.__module__.partition(".")[0] in LIBRARIES
    if isinstance(root, type | types.BuiltinFunctionType):
        return True
    home = type(root).__module__.partition(".")[0]  # a method of a value of its own
    return home in LIBRARIES and not isinstance(root, nn.Module)


def what_it_gives(text: str, name: str, scope: Mapping[str, Any]) -> Any:
    """The value of a name after a text has run again, beside the notebook's names."""
    own = dict(scope)
    own.pop(name, None)
    try:
        with randomness_kept():
            exec(compile(text, "<again>", "exec", dont_inherit=True), own)
    except Exception as error:
        return error
    return own.get(name)


@contextmanager
def randomness_kept() -> Iterator[None]:
    """What is drawn inside leaves the notebook's own draws as they would have been."""
    state, numpy = random.getstate(), sys.modules.get("numpy")
    drawn = numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(drawn)


def literal(value: Any) -> str:
    """A plain value as Python writes it; "" for one that it cannot write."""
    if isinstance(value, float) and value - value != 0:  # nan, inf: only by a call
        return f"float({str(value)!r})" if type(value) is float else ""
    text = repr(value) if _is_plain(value) else ""
    return text if len(text) <= LONGEST else ""


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple, set, frozenset):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    return type(value) in PLAIN and not (type(value) is float and value - value != 0)
