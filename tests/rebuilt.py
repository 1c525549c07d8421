"""Wrong answers in other forms: the same mistake, with other layers or other algebra.

A module's mistakes stand on the right classes of its register (`Right...`); another
form is the register read again with these classes changed. A function's are rewritten
term by term. What does not belong here: new mistakes (mistakes.py, unseen.py).

`python -m tests.rebuilt 07` prints, for each exercise, how many are named in other
forms and the largest share of points that one earns.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from tests.audit import names
from vae_edu.build.answers import Mutant
from vae_edu.checks.diagnosis import Misconception, diagnose
from vae_edu.checks.judging import run_public, score
from vae_edu.lesson import find
from vae_edu.subject import local

HEADS = """self.to_mu = nn.Linear(hidden_dim, latent_dim)
        self.to_log_var = nn.Linear(hidden_dim, latent_dim)
"""
ONE_LAYER = """self.heads = nn.Linear(hidden_dim, 2 * latent_dim)
        self.to_mu = Half(self, 0, latent_dim)
        self.to_log_var = Half(self, 1, latent_dim)
"""
DEEPER = """nn.Sequential(
            nn.Linear({0}, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, hidden_dim)
        )"""


class Half:
    """One head of two that share a layer: no module, so that it is saved once."""

    def __init__(self, owner: Any, which: int, size: int) -> None:
        self.owner, self.which, self.size = owner, which, size

    def __call__(self, h: Tensor) -> Tensor:
        return self.owner.heads(h)[..., self.which * self.size :][..., : self.size]


def _deeper(text: str) -> str:
    for size in ("input_dim", "latent_dim"):
        text = text.replace(
            f"self.first = nn.Linear({size}, hidden_dim)",
            f"self.first = {DEEPER.format(size)}",
        )
    more = "nn.ReLU(),\n            nn.Linear(hidden_dim, hidden_dim),\n            "
    return text.replace(
        "nn.ReLU(),\n            nn.Linear", f"{more}nn.ReLU(),\n            nn.Linear"
    )


def _with(function: str, module: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        return text.replace("torch.relu(", f"{function}(").replace("nn.ReLU()", module)

    return change


# what becomes of the text of the right classes; the first form is told below
FORMS: dict[str, Callable[[str], str]] = {
    "layers in another order": lambda text: text,
    "tanh": _with("torch.tanh", "nn.Tanh()"),
    "SiLU": _with("F.silu", "nn.SiLU()"),
    "GELU": _with("F.gelu", "nn.GELU()"),
    "one head split in two": lambda text: text.replace(HEADS, ONE_LAYER),
    "two hidden layers": _deeper,
}


# a second hidden layer brings the nonlinearity that is missing: they are right
MADE_RIGHT = {
    "two hidden layers": (
        "No nonlinearity in the encoder",
        "No nonlinearity in the decoder",
        "No nonlinearity in the model's encoder",
        "No nonlinearity in the model's decoder",
    )
}


@cache
def rebuilt_modules(topic: str, form: str) -> list[Mutant]:
    """The mistakes of a lesson's modules in another form; [] where there is none."""
    module = find(topic).authored("mistakes")
    source = inspect.getsource(module)
    start = source.index("class Right")
    end = source.index("\n@mutant", start)
    right = FORMS[form](source[start:end])
    reordered = form == "layers in another order"
    if right == source[start:end] and not reordered:
        return []
    namespace = {"__name__": module.__name__, "Half": Half}
    exec(compile(source[:start] + right + source[end:], form, "exec"), namespace)
    register: Any = namespace["REGISTER"]
    right_now = MADE_RIGHT.get(form, ())
    wrong = [m for m in register.mutants if m.name not in right_now]
    made = [m for m in wrong if isinstance(m.answer, type)]
    return (
        [replace(m, answer=_reordered(m.answer)) for m in made] if reordered else made
    )


def _reordered(answer: type) -> type:
    """Heads exchanged and decoder first: the parts come in the opposite order."""
    if not issubclass(answer, nn.Module):
        return answer

    class Reordered(answer):  # type: ignore[misc,valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            for part in self.modules():
                if not isinstance(part, nn.Sequential | nn.ModuleList):
                    part._modules = dict(reversed(part._modules.items()))

    return Reordered


# --- functions ------------------------------------------------------------------------

_METHODS = {"exp", "log", "sqrt", "sum", "mean"}


class _OtherAlgebra(ast.NodeTransformer):
    """The same value by other terms."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(node.op, ast.Sub):  # a - b  ->  -(b - a)
            return ast.UnaryOp(ast.USub(), ast.BinOp(right, ast.Sub(), left))
        number = right.value if isinstance(right, ast.Constant) else None
        if isinstance(node.op, ast.Pow) and number == 2:
            return ast.BinOp(left, ast.Mult(), left)
        half = isinstance(left, ast.Constant) and left.value == 0.5
        if isinstance(node.op, ast.Mult) and half:
            return ast.BinOp(right, ast.Div(), ast.Constant(2))
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = node.func
        if not isinstance(called, ast.Attribute) or called.attr not in _METHODS:
            return node
        if isinstance(called.value, ast.Name) and called.value.id in ("torch", "math"):
            return node
        function = ast.Attribute(ast.Name("torch", ast.Load()), called.attr, ast.Load())
        return ast.Call(function, [called.value, *node.args], node.keywords)


def rebuilt_function(mutant: Mutant) -> Mutant | None:
    """A function's mistake by other algebra; None where nothing can be changed."""
    if not isinstance(mutant.answer, FunctionType):
        return None
    tree = ast.parse(textwrap.dedent(inspect.getsource(mutant.answer)))
    before = ast.dump(tree)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    changed = ast.fix_missing_locations(_OtherAlgebra().visit(tree))
    if ast.dump(changed) == before:
        return None
    scope = {**mutant.answer.__globals__, "torch": torch}
    exec(compile(changed, mutant.name, "exec"), scope)
    return replace(mutant, answer=scope[definition.name])


# --- what is said of them -------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What `check` makes of one mistake in one form."""

    mutant: Mutant
    form: str
    fails: bool
    known: Misconception | None
    share: float

    @property
    def named(self) -> bool:
        """By its own name, or by a sign that it shows."""
        return names(self.known, self.mutant)

    def __str__(self) -> str:
        said = self.known.name if self.known else None
        where = f"{self.mutant.exercise}: {self.mutant.name}"
        return f"{where} ({self.form}) -> {said}, {self.share:g}"


def outcome(topic: str, mutant: Mutant, form: str) -> Outcome:
    """Judge a mistake as `check` does."""
    subject = local({mutant.exercise: mutant.answer})
    judged = run_public(topic, mutant.exercise, subject)
    known = diagnose(topic, mutant.exercise, judged, subject)
    fails = any(not v.holds for v in judged)
    return Outcome(mutant, form, fails, known, score(judged, 1.0))


def all_rebuilt(topic: str) -> Iterator[tuple[Mutant, str]]:
    """Every mistake of a lesson in every other form."""
    for mutant in find(topic).mistakes:
        if made := rebuilt_function(mutant):
            yield made, "other algebra"
    if any(isinstance(m.answer, type) for m in find(topic).mistakes):
        for form in FORMS:
            for mutant in rebuilt_modules(topic, form):
                yield mutant, form


def report(topic: str) -> Iterator[str]:
    """The outcome for each exercise, then each mistake that has not its own name."""
    found = [outcome(topic, mutant, form) for mutant, form in all_rebuilt(topic)]
    for entry in find(topic).exercises:
        own = [o for o in found if o.mutant.exercise == entry.name]
        if own:
            dear = max(o.share for o in own if o.mutant.category != "form")
            named = sum(o.named for o in own)
            wrongly = sum(o.known is not None and not o.named for o in own)
            counts = f"{named} of {len(own)} named, {wrongly} otherwise"
            yield f"{entry.name}: {counts}, at most {dear:g} of the points"
    yield from (f"    {o}" for o in found if not o.named or not o.fails)


if __name__ == "__main__":
    for line in report(find(sys.argv[1]).topic):
        print(line, flush=True)
