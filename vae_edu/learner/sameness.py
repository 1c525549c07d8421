"""Whether two objects hold the same code and the same values, however they were made.

What belongs here: the comparison of an object of the notebook with the one that its
saved text gives. What does not: finding that text, and anything about right or wrong.
"""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterable
from typing import Any

from torch import Tensor

KINDS = 0x2FF  # of the flags of code: its arguments, generators, coroutines
SKIPPED = {  # of a class: where it was made, not what it does
    *("__module__", "__dict__", "__weakref__", "__doc__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__annotate__", "__annotate_func__"),
    *("__annotations_cache__", "_abc_impl", "__dataclass_fields__", "__qualname__"),
    "__slotnames__",  # what pickling leaves behind
}
_PARTS = {  # of what wraps other things
    types.MethodType: ("__func__", "__self__"),
    types.CellType: ("cell_contents",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.partial: ("func", "args", "keywords"),
}


def same(one: Any, other: Any) -> bool:
    """True where two objects are made of the same code and equal values.

    What can be neither compared nor taken apart counts as different.
    """
    try:
        return _Pairs().same(one, other)
    except Exception:  # an object's own comparison, or one without end
        return False


def same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """True where two functions do the same, wherever their lines stand."""
    names = ("co_names", "co_varnames", "co_freevars", "co_cellvars")
    counts = ("co_name", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount")
    alike = all(getattr(one, n) == getattr(other, n) for n in (*names, *counts))
    flags = one.co_flags & KINDS == other.co_flags & KINDS
    ones, others = _constants(one), _constants(other)
    pairs = zip(ones, others, strict=False)
    constants = len(ones) == len(others) and all(_same_constant(*p) for p in pairs)
    return alike and flags and constants and _steps(one) == _steps(other)


def _constants(code: types.CodeType) -> list[Any]:
    """The constants; from Python 3.13 on a class notes its first line among them."""
    line = code.co_firstlineno if "__firstlineno__" in code.co_names else None
    return [None if c is not None and c == line else c for c in code.co_consts]


def _steps(code: types.CodeType) -> list[tuple[str, Any]]:
    """The instructions, without what depends on the imports of the same text.

    Python calls an attribute of a name as a function where the text imports that name,
    and as a method elsewhere.
    """
    number: dict[int, int] = {}
    kept: list[dis.Instruction] = []
    for step in dis.get_instructions(code):
        number[step.offset] = len(kept)
        if step.opname not in ("PUSH_NULL", "EXTENDED_ARG"):  # a long jump has one
            kept.append(step)
    found = []
    for s in kept:
        jumps = s.opcode in (*dis.hasjrel, *dis.hasjabs)
        value = number.get(s.argval) if jumps else s.argval
        name = "LOAD_ATTR" if s.opname == "LOAD_METHOD" else s.opname
        found.append((name, s.arg if s.opcode in dis.hasconst else value))
    return found


def _same_constant(one: Any, other: Any) -> bool:
    if isinstance(one, types.CodeType) and isinstance(other, types.CodeType):
        return same_code(one, other)
    if isinstance(one, frozenset):
        return type(one) is type(other) and one == other
    return repr(one) == repr(other)  # 1, 1.0 and True, 0.0 and -0.0 are not alike


class _Pairs:
    """A comparison under way: pairs that were met before count as the same."""

    def __init__(self) -> None:
        self.met: dict[tuple[int, int], tuple[Any, Any]] = {}

    def same(self, one: Any, other: Any) -> bool:
        """Compare two objects of any kind."""
        if one is other or (id(one), id(other)) in self.met:
            return True
        if type(one) is not type(other) and not self.same(type(one), type(other)):
            return False
        self.met[id(one), id(other)] = one, other  # kept alive: an id is used again
        return self._same(one, other)

    def _same(self, one: Any, other: Any) -> bool:
        if isinstance(one, types.FunctionType):
            return self._functions(one, other)
        if isinstance(one, type):
            return self._classes(one, other)
        if isinstance(one, types.ModuleType | types.BuiltinFunctionType):
            return bool(one == other)
        if isinstance(one, Tensor):
            return _tensors(one, other)
        if isinstance(one, int | float | complex | str | bytes | slice):
            return repr(one) == repr(other)
        if isinstance(one, list | tuple):
            return self.all(one, other)
        if isinstance(one, dict):
            return list(one) == list(other) and self.all(one.values(), other.values())
        if isinstance(one, set | frozenset):
            return bool(one == other)
        return self._objects(one, other)

    def all(self, ones: Iterable[Any], others: Iterable[Any]) -> bool:
        """Compare element by element."""
        ones, others = list(ones), list(others)
        pairs = zip(ones, others, strict=False)
        return len(ones) == len(others) and all(self.same(a, b) for a, b in pairs)

    def _functions(self, one: Any, other: Any) -> bool:
        if not same_code(one.__code__, other.__code__):
            return False
        parts = ("__defaults__", "__kwdefaults__", "__closure__", "__dict__")
        return all(self.same(getattr(one, p), getattr(other, p)) for p in parts)

    def _classes(self, one: type, other: type) -> bool:
        if one.__name__ != other.__name__ or not self.all(
            one.__bases__, other.__bases__
        ):
            return False
        mine, theirs = (
            {k: v for k, v in vars(c).items() if k not in SKIPPED and not _slot(v)}
            for c in (one, other)
        )
        return mine.keys() == theirs.keys() and all(
            self.same(mine[k], theirs[k]) for k in mine
        )

    def _objects(self, one: Any, other: Any) -> bool:
        if hasattr(one, "cache_parameters"):  # functools.lru_cache
            parameters = one.cache_parameters() == other.cache_parameters()
            return parameters and self.same(one.__wrapped__, other.__wrapped__)
        names = next((p for kind, p in _PARTS.items() if isinstance(one, kind)), ())
        if names:
            return all(self.same(getattr(one, n), getattr(other, n)) for n in names)
        return self.same(_taken_apart(one), _taken_apart(other))


def _slot(value: Any) -> bool:
    kinds = (types.MemberDescriptorType, types.GetSetDescriptorType)
    return isinstance(value, kinds)


def _tensors(one: Tensor, other: Tensor) -> bool:
    names = ("dtype", "shape", "device", "requires_grad")
    if any(getattr(one, n) != getattr(other, n) for n in names):
        return False
    different = (one != other) & ~((one != one) & (other != other))  # nan is nan
    return not bool(different.any())


def _taken_apart(value: Any) -> Any:
    """What an object is made of, as it would be pickled; raises where it cannot be."""
    parts = value.__reduce_ex__(2)
    if isinstance(parts, str):  # the name under which its module has it
        return parts
    return [
        list(p) if i in (3, 4) and p is not None else p for i, p in enumerate(parts)
    ]
