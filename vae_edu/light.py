"""Keeps torch.compile's machinery away from who does not compile.

torch imports it (seconds, 80 MB, copied by each fork) at the first step of an optimizer
or the first operation on `meta`, only to ask that these be left out when compiling. So
a learner's first check, or first step of training, would wait for it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

NAME = "torch._dynamo"


def spare_the_compiler() -> None:
    """Put it off until this process asks for more than to be left alone by it."""
    if NAME not in sys.modules:
        sys.modules[NAME] = _Later(NAME)
        vars(torch)["_dynamo"] = sys.modules[NAME]


class _Later(types.ModuleType):
    """Stands in for the machinery; becomes the real one when that is asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._left_out: list[Callable[..., Any]] = []

    def disable(self, function: Callable[..., Any], *how: Any, **more: Any) -> Any:
        """Nothing is compiled yet, so that nothing is to be left out yet."""
        self._left_out.append(function)
        return function

    @staticmethod
    def graph_break() -> None:
        """Nothing is compiled here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # the import system looks
            raise AttributeError(name)
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
            vars(torch).pop("_dynamo", None)
            for function in self._left_out:  # where torch remembers it: it asks again
                vars(function).pop("__dynamo_disable", None)
        return getattr(import_module(NAME), name)
