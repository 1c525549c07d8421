"""What an answer looks like when names, comments and layout are taken away.

Winnowing (Schleimer, Wilkerson & Aiken 2003, "Winnowing: local algorithms for document
fingerprinting") over the answer's syntax tree in preorder: of every WINDOW runs of
GRAM tokens, the one with the least hash is kept. So whatever two answers have in common
over GRAM + WINDOW - 1 tokens leaves a fingerprint in both.

What belongs here: from a piece of code to its fingerprints, and the words in it that
two people hardly write alike. What does not: submissions, comparisons. Code is parsed,
never run.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import io
import re
import tokenize
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

GRAM = 5  # tokens of one fingerprint
WINDOW = 2  # fingerprints of which one is kept
LONGEST = 100_000  # characters of a piece that is parsed
SHORTEST = 12  # characters of a comment, string or line worth comparing
TOKENS = 20_000  # of one answer

Function = ast.FunctionDef | ast.AsyncFunctionDef
Names = Mapping[str, str]  # what stands for a name
_KNOWN = frozenset(vars(builtins))
_METHODS = "class"  # among names, where no name can be: functions here are methods
_PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)
_ODD_LAYOUT = re.compile(r"\S {2,}[^\s#]|\S[ \t]+$|[(\[] \S|\S [)\],]|^\t")
_LEFT_OUT = (
    *(ast.Import, ast.ImportFrom, ast.Pass, ast.arg, ast.expr_context),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)


@dataclass
class Looks:
    """An answer as it is compared.

    prints: its fingerprints; words: comments, strings and oddly laid out lines.
    """

    prints: set[int] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    def add(self, part: Definition) -> None:
        """Take in what a definition holds."""
        self.prints |= part.prints
        self.words |= part.words


def looks(pieces: Sequence[str], wanted: Collection[str]) -> dict[str, Looks]:
    """How each exercise in `wanted` looks in a notebook's pieces of code.

    An exercise defined twice is looked at twice. Functions of the learner's own that an
    answer calls belong to it.
    """
    found: dict[str, Looks] = {}
    defined = [d for piece in pieces for d in definitions(piece)]
    helpers = {d.name: d for d in defined if d.name not in wanted}
    for definition in defined:
        if definition.name in wanted:
            seen = found.setdefault(definition.name, Looks())
            for part in [definition, *_called(definition, helpers)]:
                seen.add(part)
    return found


@dataclass(frozen=True)
class Definition:
    """A function, class or assignment at the top level of a piece."""

    name: str
    prints: frozenset[int]
    words: frozenset[str]
    uses: frozenset[str]


def _called(definition: Definition, known: Mapping[str, Definition]) -> set[Definition]:
    """The helpers that a definition uses, and those that they use."""
    reached: set[Definition] = set()
    waiting = [definition]
    while waiting:
        used = {known[n] for n in waiting.pop().uses if n in known}
        waiting += used - reached
        reached |= used
    return reached


def definitions(piece: str) -> list[Definition]:
    """What a piece defines at top level; nothing where it is no Python."""
    if len(piece) > LONGEST:
        return []
    try:
        tree = ast.parse(piece)
    except _PARSE_ERRORS:
        return []
    lines = piece.splitlines(keepends=True)
    return [_definition(node, name, lines) for node, name in _named(tree.body)]


def _named(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Definitions with their names, under an `if` or `try` too."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef):
            yield node, node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node, node.targets[0].id
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _named(node.body)


def _definition(node: ast.stmt, name: str, lines: Sequence[str]) -> Definition:
    source = "".join(lines[node.lineno - 1 : node.end_lineno])
    uses = frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
    prints = frozenset(winnowed([*tokens(node)]))
    return Definition(name, prints, frozenset(words(source, node)), uses)


# --- fingerprints ---------------------------------------------------------------------


def winnowed(stream: Sequence[str]) -> set[int]:
    """The fingerprints kept of a stream of tokens; none of one that is too short."""
    grams = [_hash(stream[i : i + GRAM]) for i in range(len(stream) - GRAM + 1)]
    windows = range(max(len(grams) - WINDOW + 1, 1))
    return {min(grams[i : i + WINDOW]) for i in windows} if grams else set()


def _hash(gram: Sequence[str]) -> int:
    """Equal in every run, as Python's own `hash` is not."""
    text = "\0".join(gram).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


def tokens(root: ast.AST) -> Iterator[str]:
    """The syntax tree in preorder, without names, annotations and docstrings.

    Parameters are told apart by their places, since a signature is given; other names
    are all one. Attributes (`.exp`) and keywords (`dim=`) are PyTorch's, so they stay;
    of `self`, they are the learner's.
    """
    waiting: list[tuple[ast.AST, Names]] = [(root, {})]
    count = 0
    while waiting and count < TOKENS:
        node, names = waiting.pop()
        if isinstance(node, _LEFT_OUT) or _is_text(node):
            continue
        count += 1
        yield _token(node, names)
        if isinstance(node, ast.ClassDef):
            names = {**names, _METHODS: "yes"}
        elif isinstance(node, Function | ast.Lambda):
            names = _inside(node.args, names)
        waiting += [(child, names) for child in reversed([*_children(node)])]


def _is_text(node: ast.AST) -> bool:
    """A docstring, or a string that stands for a comment."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return False
    return isinstance(node.value.value, str)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    skipped = {"annotation", "returns", "decorator_list", "type_params"}
    if isinstance(node, ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        if name not in skipped:
            parts = value if isinstance(value, list) else [value]
            yield from (part for part in parts if isinstance(part, ast.AST))


def _inside(arguments: ast.arguments, names: Names) -> Names:
    """What stands for a name inside a function: of a parameter, its place."""
    ordered = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    places = {a.arg: f"${i}" for i, a in enumerate(ordered)}
    if _METHODS in names and ordered:
        places[ordered[0].arg] = "self"
    return {n: s for n, s in names.items() if n != _METHODS} | places


def _token(node: ast.AST, names: Names) -> str:
    kind = type(node).__name__
    match node:
        case ast.Name(name):
            return names.get(name, name if name in _KNOWN else "name")
        case ast.Attribute(ast.Name(name), _) if names.get(name) == "self":
            return "self.name"
        case ast.Attribute(_, name):
            return f".{name}"
        case ast.keyword(name):
            return f"{name}="
        case ast.Constant(value):
            return _value(value)
        case ast.BinOp() | ast.UnaryOp() | ast.BoolOp() | ast.AugAssign():
            return f"{kind} {type(node.op).__name__}"
        case ast.Compare():
            return " ".join([kind, *(type(op).__name__ for op in node.ops)])
    return kind


def _value(value: object) -> str:
    """A number as it is; of texts only that they are texts."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "number"
    plain = isinstance(value, int | float | complex) or value in (None, ...)
    return repr(value) if plain else "text"


# --- words ----------------------------------------------------------------------------


def words(source: str, node: ast.AST) -> Iterator[str]:
    """Comments, strings other than docstrings, and lines with odd blanks in them."""
    for comment in _comments(source):
        yield f"comment {comment}"
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text = " ".join(part.value.split())
            if len(text) >= SHORTEST and part.value.count("\n") == 0:
                yield f"text {text}"
    for line in source.splitlines():
        if len(line.strip()) >= SHORTEST and _ODD_LAYOUT.search(line):
            yield f"line {line}"


def _comments(source: str) -> Iterator[str]:
    read = io.StringIO(source).readline
    with suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(read):
            text = " ".join(token.string.lstrip("#").split()).lower()
            if token.type == tokenize.COMMENT and len(text) >= SHORTEST:
                yield text
