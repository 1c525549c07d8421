"""Whether an answer has the signature of its stub, and what to change where not.

What belongs here: names, kinds and defaults of parameters. What does not: saving.
"""

from __future__ import annotations

import inspect
from typing import Any

from vae_edu.errors import CourseError


def expect_signature(obj: Any, stub: Any, name: str) -> None:
    """Raise CourseError where an answer cannot be called as its stub is."""
    if isinstance(stub, type) != isinstance(obj, type):
        kind = "class" if isinstance(stub, type) else "function"
        raise CourseError(
            f"{name} should be a {kind}. Expected: {_signature_text(stub)}"
        )
    pairs = [(obj, stub, name)]
    if isinstance(stub, type):
        methods = [k for k, v in vars(stub).items() if inspect.isfunction(v)]
        # one that is missing may be a submodule: self.encode = nn.Sequential(...)
        methods = [m for m in methods if hasattr(obj, m)]
        pairs = [(getattr(obj, m), getattr(stub, m), f"{name}.{m}") for m in methods]
    for own, expected, where in pairs:
        if _parameters(own) != _parameters(expected):
            raise CourseError(f"{where}{_difference(own, expected)}")


def _difference(own: Any, expected: Any) -> str:
    """What to change, in words: often one name."""
    mine, wanted = list(_bare(own).parameters), list(_bare(expected).parameters)
    pairs = [(a, b) for a, b in zip(mine, wanted, strict=False) if a != b]
    change = "Keep the names, their order and the defaults"
    if len(mine) == len(wanted) and pairs and not {a for a, _ in pairs} & {*wanted}:
        change = "Rename " + ", ".join(f"{a} to {b}" for a, b in pairs)
    return (
        f" takes {_bare(own)}; expected {_bare(expected)}. {change}: later lessons "
        "call it that way."
    )


def _bare(function: Any) -> inspect.Signature:
    """The signature without annotations."""
    none = inspect.Parameter.empty
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=none) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=none)


def _signature_text(stub: Any) -> str:
    word = "class" if isinstance(stub, type) else "def"
    return f"{word} {stub.__name__}{inspect.signature(stub)}"


def _parameters(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]
