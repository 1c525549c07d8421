"""What an answer is made of: the statements of a notebook's cells that it reaches.

`gather` follows the names that an answer looks up, from the text of one statement to
the next, in the order in which the cells were run. What belongs here: finding those
statements, and saying what no statement gives. What does not: writing them to a file.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import inspect
import linecache
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vae_edu import catalogue
from vae_edu.learner.imports import import_line, own_file, starred
from vae_edu.learner.rerun import literal, may_run_again, what_it_gives
from vae_edu.learner.sameness import same, same_code
from vae_edu.learner.statements import (
    Definition,
    Statement,
    lines_of,
    needs,
    statements,
)
from vae_edu.lesson import AUTHORED

COURSE = ("vae_edu_work.", f"{AUTHORED}.", "vae_edu.exercises.")


@dataclass(frozen=True)
class Item:
    """A piece of text to save, and the names that it sets."""

    text: str
    names: frozenset[str]


@dataclass
class Bundle:
    """An answer, and everything of its notebook that it reaches.

    own: the text of the answer, undecorated by `@exercise`; "" where there is none to
    read. items: helpers and constants by name, dependencies first. imports: lines by
    name. values: what the notebook holds under each of these names. builtin, missing:
    names that the notebook does not set. problems: what cannot be saved, in sentences.
    """

    name: str
    own: str = ""
    items: dict[str, Item] = field(default_factory=dict)
    imports: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    builtin: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def texts(self) -> dict[str, str]:
        """The text of each name, the answer's last."""
        return {n: i.text for n, i in self.items.items()} | {self.name: self.own}


def gather(obj: Any, name: str, topic: str, scope: Mapping[str, Any]) -> Bundle:
    """What the answer `obj` to the exercise `name` is made of in its notebook."""
    bundle = Bundle(name, values={name: obj})
    search = _Search(bundle, topic, scope, history(scope, obj))
    found = search.definition(name, obj)
    if found is not None:
        bundle.own = search.undecorated(found, name)
        search.follow(bundle.own)
    if _future(_codes(obj)):
        bundle.imports["annotations"] = ["from __future__ import annotations"]
    return bundle


def history(scope: Mapping[str, Any], obj: Any) -> list[Statement]:
    """Every statement that a notebook has run, in order; of a script, its file's."""
    texts = _cells(scope)
    if texts is None:
        code = next(iter(_codes(obj)), None)
        texts = ["".join(linecache.getlines(code.co_filename))] if code else []
    run = [_parsed(text) for text in texts]
    line = _running_line(scope)
    if run and line is not None:  # of what runs now, the lines below have not run yet
        run[-1] = [s for s in run[-1] if s.line <= line]
    return [s for statements_of_cell in run for s in statements_of_cell]


def _cells(scope: Mapping[str, Any]) -> list[str] | None:
    shell = scope["get_ipython"]() if "get_ipython" in scope else None
    manager = getattr(shell, "history_manager", None)
    if manager is None:
        return None
    kept = [*manager.input_hist_parsed]
    return kept if any(kept) else _compiled(shell)


def _compiled(shell: Any) -> list[str]:
    """The cells that a shell compiled: what has run where it was told to keep no
    history, as nbval 0.11 tells it, and some editors.
    """
    names = [name for name in linecache.cache if shell.compile.format_code_name(name)]
    return ["".join(linecache.getlines(name)) for name in names]


def _parsed(text: str) -> list[Statement]:
    try:
        return [*statements(text)]
    except (SyntaxError, ValueError):  # a cell that did not run
        return []


def _running_line(scope: Mapping[str, Any]) -> int | None:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is scope and frame.f_locals is frame.f_globals:
            return frame.f_lineno
        frame = frame.f_back
    return None


def _codes(obj: Any) -> Iterator[types.CodeType]:
    """The code of a function, or of a class's methods, as far as a text gave it."""
    if isinstance(obj, staticmethod | classmethod | property):
        obj = getattr(obj, "__func__", None) or getattr(obj, "fget", None)
    code = getattr(inspect.unwrap(obj) if callable(obj) else obj, "__code__", None)
    if isinstance(obj, type):
        for part in vars(obj).values():
            if not isinstance(part, type):
                yield from _codes(part)
    elif isinstance(code, types.CodeType) and code.co_filename != "<string>":
        yield code


def _future(codes: Iterable[types.CodeType]) -> int:
    """The flag of `from __future__ import annotations`, where that was in force."""
    flags = [c.co_flags & __future__.annotations.compiler_flag for c in codes]
    return max(flags, default=0)


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes_in(constant)


def _fits(statement: Statement, obj: Any) -> bool:
    """Whether a definition is the one that made an object."""
    if not isinstance(statement.node, Definition):
        return True
    if not inspect.isfunction(obj) and not isinstance(obj, type):
        return True
    codes = [*_codes(obj)]
    flags = _future(codes)
    whole = compile(statement.text, "<cell>", "exec", flags, dont_inherit=True)
    written = [*_codes_in(whole)]
    made = [c for c in codes if c.co_name in {w.co_name for w in written}]
    return all(any(same_code(c, w) for w in written) for c in made)


class _Search:
    """From name to name through a notebook's statements."""

    def __init__(
        self,
        bundle: Bundle,
        topic: str,
        scope: Mapping[str, Any],
        run: list[Statement],
    ) -> None:
        self.bundle, self.topic, self.scope, self.run = bundle, topic, scope, run
        self.under_way: set[str] = {bundle.name}

    def definition(self, name: str, obj: Any) -> Statement | None:
        """The definition that made an object."""
        for statement in reversed(self.run):
            node = statement.node
            named = isinstance(node, Definition) and node.name == name
            if named and _fits(statement, obj):
                return statement
        return None

    def undecorated(self, statement: Statement, name: str) -> str:
        """A definition's text without `@exercise`, which has to be its first line."""
        decorators = getattr(statement.node, "decorator_list", [])
        ours = [d for d in decorators if _is_exercise(d)]
        if not ours:
            return statement.text
        if ours[0] is not decorators[0]:
            self.bundle.problems.append(
                f"`@exercise` does not see what stands above it: make it the first "
                f"line of {name}."
            )
        lines = lines_of(statement.text)
        first, last = (n - statement.line for n in (ours[0].lineno, ours[0].end_lineno))
        return "".join([*lines[:first], *lines[last + 1 :]])

    def follow(self, text: str) -> None:
        """Find everything that a text needs."""
        for name in sorted(needs(text) - self.under_way):
            self.under_way.add(name)
            if name in self.scope or name == "display":
                self.find(name, self.scope.get(name, getattr(builtins, name, None)))
            elif hasattr(builtins, name):
                self.bundle.builtin.add(name)
            else:
                self.bundle.missing.add(name)

    def find(self, name: str, value: Any) -> None:
        """Where a name of the notebook comes from."""
        home, entry = str(getattr(value, "__module__", "")), self.exercise(value)
        if name == "get_ipython":
            self.problem("A line with % or ! works in a notebook only: take it out.")
        elif home.startswith(COURSE) and entry:
            self.exercise_of_the_course(name, entry)
        elif not isinstance(value, types.ModuleType) and own_file(home):
            self.own_module(name, home)
        else:
            self.look_up(name, value)

    def exercise(self, value: Any) -> catalogue.Exercise | None:
        """The exercise that an object answers, by its name."""
        known = {e.name: e for e in catalogue.all_exercises()}
        known |= {e.name: e for e in catalogue.exercises_of(self.topic)}
        return known.get(str(getattr(value, "__name__", "")))

    def exercise_of_the_course(self, name: str, entry: catalogue.Exercise) -> None:
        """Another exercise; one of this lesson is in the file, or its stub is there."""
        line = import_line(f"vae_edu.exercises.{entry.topic}", entry.name, name)
        if entry.topic != self.topic:
            self.bundle.imports[name] = [line]
        elif name != entry.name:
            self.item(name, f"{name} = {entry.name}\n")
            del self.bundle.values[name]  # whichever the file has

    def own_module(self, name: str, home: str) -> None:
        self.problem(
            f"{name} comes from {own_file(home)}, which is not handed in, and which "
            "later lessons do not find: put it into a cell of this notebook."
        )

    def look_up(self, name: str, value: Any) -> None:
        """Find the statement that gave a name its value."""
        made = self.statements_for(name, value)
        node = made[0].node if made else None
        if isinstance(value, types.ModuleType):
            self.module(name, value)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.imported(name, node)
        elif line := starred(name, value, [s.node for s in self.run]):
            self.bundle.imports[name], self.bundle.values[name] = [line], value
        elif isinstance(node, Definition):
            self.defined(name, value, made)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
            self.assigned(name, value, made)
        else:
            self.no_line(name, value, node)

    def statements_for(self, name: str, value: Any) -> list[Statement]:
        """The last statement that bound a name, and those that changed it since."""
        found: list[Statement] = []
        for statement in reversed(self.run):
            if name in statement.names and _fits(statement, value):
                found.insert(0, statement)
                if not statement.changes(name):
                    return found
        return []

    def module(self, name: str, value: types.ModuleType) -> None:
        if own_file(value.__name__):
            self.own_module(name, value.__name__)
            return
        dotted = {
            f"import {a.name}"
            for s in self.run
            if isinstance(s.node, ast.Import)
            for a in s.node.names
            if a.asname is None and a.name.startswith(f"{value.__name__}.")
        }
        inner = sorted(dotted) if name == value.__name__ else []
        self.bundle.imports[name] = [import_line(value.__name__, "", name), *inner]
        self.bundle.values[name] = value

    def imported(self, name: str, node: ast.Import | ast.ImportFrom) -> None:
        """A thing, not a module, that an import brought."""
        alias = next(a for a in node.names if name == (a.asname or a.name))
        home = getattr(node, "module", None) or alias.name
        if own_file(home):
            self.own_module(name, home)
        elif home == "__future__":
            return
        else:
            self.bundle.imports[name] = [import_line(home, alias.name, name)]
            self.bundle.values[name] = self.scope[name]

    def defined(self, name: str, value: Any, made: list[Statement]) -> None:
        entry = self.exercise(value)
        decorators = getattr(made[0].node, "decorator_list", [])
        if entry and any(map(_is_exercise, decorators)):
            if entry.topic != self.topic:
                self.exercise_of_the_course(name, entry)
                return
            own = self.undecorated(made[0], name)
            if not is_unfilled(own):
                self.item(name, own, value=value)
            return
        self.item(name, "".join(s.text for s in made), value=value)

    def assigned(self, name: str, value: Any, made: list[Statement]) -> None:
        """A constant, a lambda, or what a call gave."""
        text, plain = "".join(s.text for s in made), literal(value)
        names = frozenset().union(*(s.names for s in made))
        again = all(may_run_again(s.node, self.scope, value) for s in made)
        if again and same(what_it_gives(text, name, self.scope), value):
            self.item(name, text, names, value)
        elif plain:
            self.item(name, f"{name} = {plain}\n", value=value)
        else:
            why = "gives another value when it runs again" if again else "is not run"
            self.problem(
                f"{name}, a {type(value).__name__}, comes from a line that {why} "
                f"where the file is loaded: `{_first(text)}`. Make it inside your "
                "function, or write a line that always gives the same."
            )

    def no_line(self, name: str, value: Any, node: ast.stmt | None) -> None:
        """A value that no plain statement of a cell gives."""
        kind, plain = type(value).__name__, literal(value)
        if node is not None and plain:
            self.item(name, f"{name} = {plain}\n", value=value)
        elif node is not None:
            self.problem(
                f"{name}, a {kind}, is made in `{_first(ast.unparse(node))}`, which is "
                f"not saved: give it a line of its own, `{name} = ...`, or make it "
                "inside your function."
            )
        else:
            self.problem(
                f"{name}, a {kind} that only this notebook knows, is set by no line of "
                f"its cells, so it is not handed in: give it a line, `{name} = ...`."
            )

    def item(
        self,
        name: str,
        text: str,
        names: Iterable[str] = (),
        value: Any = None,
    ) -> None:
        """Note a piece of text, after all that it needs."""
        self.follow(text)
        self.bundle.items[name] = Item(text, frozenset({name, *names}))
        self.bundle.values[name] = value

    def problem(self, words: str) -> None:
        """Note what cannot be saved."""
        self.bundle.problems.append(words)


def _first(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 60 else f"{line[:60]} ..."


def _is_exercise(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).rpartition(".")[2] == "exercise"


def is_unfilled(source: str) -> bool:
    """True where all functions of a definition still only raise NotImplementedError."""
    functions = [
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)
    ]
    return bool(functions) and all(_only_raises(f) for f in functions)


def _only_raises(function: ast.FunctionDef) -> bool:
    body = [n for n in function.body if not _is_docstring(n)]
    return (
        len(body) == 1
        and isinstance(body[0], ast.Raise)
        and "NotImplementedError" in ast.dump(body[0])
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
