"""Import lines: written for a name, compared by what they bring, and whose file it is.

What belongs here: what an import brings. What does not: where the line stands.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

INSTALLED = {"site-packages", "dist-packages"}


def import_line(module: str, attribute: str, name: str) -> str:
    """The line that brings a module, or an attribute of it, under a name."""
    parent, _, last = module.rpartition(".")
    if attribute:
        line, last = f"from {module} import {attribute}", attribute
    elif parent and last == name:
        line = f"from {parent} import {name}"
    else:
        line, last = f"import {module}", module
    return line if last == name else f"{line} as {name}"


def brings(node: ast.stmt, name: str) -> Any:
    """What an import statement binds to a name; raises as the import would."""
    assert isinstance(node, ast.Import | ast.ImportFrom)
    alias = next(a for a in node.names if name == (a.asname or a.name.split(".")[0]))
    if isinstance(node, ast.Import):
        module = importlib.import_module(alias.name)
        return module if alias.asname else sys.modules[alias.name.split(".")[0]]
    module = importlib.import_module(str(node.module))
    if hasattr(module, alias.name):
        return getattr(module, alias.name)
    return importlib.import_module(f"{node.module}.{alias.name}")


def own_file(module: str) -> str:
    """The file of a module that is neither installed nor Python's: "" for others."""
    root = module.partition(".")[0]
    found = sys.modules.get(root)
    paths = [getattr(found, "__file__", None), *getattr(found, "__path__", [])]
    path = next(filter(None, paths), None)
    known = root in sys.stdlib_module_names or root in ("__main__", "vae_edu")
    if path is None or known or INSTALLED & {*Path(path).parts}:
        return ""
    return Path(path).name if Path(path).stem != "__init__" else root


def starred(name: str, value: Any, nodes: Iterable[ast.stmt]) -> str:
    """The import line of what `from module import *` or IPython itself has brought."""
    homes = [
        str(n.module)
        for n in nodes
        if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"
    ]
    if str(getattr(value, "__module__", "")).startswith("IPython."):
        homes.append("IPython.display")
    for home in reversed(homes):
        module = sys.modules.get(home)
        if not own_file(home) and getattr(module, name, home) is value:
            return import_line(home, name, name)
    return ""
