"""The text of a file in `work/`: a bundle put into it, all else left as it is.

What belongs here: text in, text out. What does not: files, the learner's notebook.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vae_edu import catalogue
from vae_edu.learner.cells import Bundle, Item
from vae_edu.learner.imports import brings
from vae_edu.learner.statements import lines_of, needs, needs_at_once, statements

IMPORTS = (ast.Import, ast.ImportFrom)


@dataclass
class Chunk:
    """Some lines of a file: a statement, and the blank lines and comments above it.

    Statements that share a line share a chunk.
    """

    lead: str
    body: str
    names: frozenset[str]
    nodes: list[ast.stmt]

    @property
    def text(self) -> str:
        """What stands in the file."""
        return self.lead + self.body

    @property
    def is_import(self) -> bool:
        """True where it only imports."""
        return all(isinstance(n, IMPORTS) for n in self.nodes)


def chunks(text: str) -> tuple[list[Chunk], str]:
    """A file's chunks, and what follows the last one."""
    lines, end = lines_of(text), 0
    found: list[Chunk] = []
    for s in statements(text):
        last = s.node.end_lineno or s.line
        if found and s.line <= end:
            found[-1].body += "".join(lines[end:last])
            found[-1].names |= s.names
            found[-1].nodes.append(s.node)
        else:
            lead = "".join(lines[end : s.line - 1])
            body = "".join(lines[s.line - 1 : last])
            found.append(Chunk(lead, body, s.names, [s.node]))
        end = max(end, last)
    if found and not found[-1].body.endswith("\n"):
        found[-1].body += "\n"
    return found, "".join(lines[end:])


def texts_of(text: str) -> dict[str, str]:
    """What a file says about each name that it sets."""
    found: dict[str, str] = {}
    for chunk in chunks(text)[0]:
        for name in chunk.names:
            found[name] = found.get(name, "") + chunk.body
    return found


def with_bundle(text: str, bundle: Bundle, ours: Mapping[str, str]) -> str:
    """The text with a bundle in it. ours: what was put there before, by name.

    A statement that sets only names of the bundle is replaced where it stands; what
    only was there for an older answer, and nothing uses any more, goes.
    """
    file = _File(*chunks(text))
    file.forget(bundle.builtin, ours)
    for name, lines in sorted(bundle.imports.items(), key=lambda pair: pair[1]):
        file.bring(name, lines, bundle.values)
    for item in bundle.items.values():
        file.put(item, ours, above=bundle.name)
    file.put(Item(bundle.own, frozenset({bundle.name})), ours)
    kept = {*bundle.texts(), *(e.name for e in catalogue.all_exercises())}
    file.drop_unused({n: t for n, t in ours.items() if n not in kept})
    return file.text()


class _File:
    """A file in parts, while it is changed."""

    def __init__(self, parts: list[Chunk], tail: str) -> None:
        self.chunks, self.tail = parts, tail

    def text(self) -> str:
        return "".join(c.text for c in self.chunks) + self.tail

    def remove(self, chunk: Chunk) -> None:
        """Take a statement out; comments above it stay."""
        at = self.chunks.index(chunk)
        del self.chunks[at]
        if chunk.lead.strip():
            kept = chunk.lead.rstrip("\n") + "\n"
            if at < len(self.chunks):
                self.chunks[at].lead = kept + self.chunks[at].lead
            else:
                self.tail = kept + self.tail

    def about(self, names: frozenset[str], ours: Mapping[str, str]) -> list[Chunk]:
        """The statements that set these names and no others but what we put there."""
        return [
            c
            for c in self.chunks
            if c.names & names
            and (c.names <= names or all(ours.get(n) == c.body for n in c.names))
        ]

    def forget(self, names: set[str], ours: Mapping[str, str]) -> None:
        """Take out what would hide Python's own names."""
        for chunk in self.about(frozenset(names), ours):
            self.remove(chunk)

    def bring(self, name: str, lines: list[str], values: Mapping[str, Any]) -> None:
        """Make sure that an import brings a name, and that nothing below hides it."""
        setting = [c for c in self.chunks if name in c.names]
        present = {line.strip() for c in setting for line in c.body.splitlines()}
        wanted = [line for line in lines if line not in present]
        if setting and setting[-1].is_import and name in values:
            if gives(setting[-1], name, values[name]):
                wanted = [line for line in wanted if line is not lines[0]]
        elif setting and not (setting[-1].is_import and not wanted):
            for chunk in setting:
                if chunk.names == {name}:
                    self.remove(chunk)
            wanted = lines
        for line in wanted:
            self.add_import(line, name)

    def add_import(self, line: str, name: str) -> None:
        """Put an import below those at the head of the file."""
        head = 0
        while head < len(self.chunks) and _in_head(self.chunks[head]):
            head += 1
        node = ast.parse(line).body[0]
        if line.startswith("from __future__"):
            head = int(bool(head) and not self.chunks[0].is_import)
        joined = head > 0 and self.chunks[head - 1].is_import
        lead = "" if joined or not head else "\n"
        self.chunks.insert(head, Chunk(lead, f"{line}\n", frozenset({name}), [node]))

    def put(self, item: Item, ours: Mapping[str, str], above: str = "") -> None:
        """Set names by a text: where they were set, or anew, above another."""
        old = self.about(item.names, ours)
        if old:
            at, lead = self.chunks.index(old[0]), old[0].lead
            old[0].lead = ""
            for chunk in old:
                self.remove(chunk)
        else:
            places = [i for i, c in enumerate(self.chunks) if above in c.names]
            hidden = [i + 1 for i, c in enumerate(self.chunks) if c.names & item.names]
            at = max([*(places[:1] or [len(self.chunks)]), *hidden])
            lead = "\n\n" if at else ""
        nodes = [s.node for s in statements(item.text)]
        self.chunks.insert(at, Chunk(lead, item.text, item.names, nodes))

    def drop_unused(self, ours: Mapping[str, str]) -> None:
        """Take out what was put here for an older answer, and nothing names now."""
        while True:
            unused = [
                c
                for c in self.chunks
                if c.names
                and all(ours.get(n) == c.body for n in c.names)
                and not any(needs(o.body) & c.names for o in self.chunks if o is not c)
            ]
            if not unused:
                return
            self.remove(unused[0])


def _in_head(chunk: Chunk) -> bool:
    value = getattr(chunk.nodes[0], "value", None)
    return chunk.is_import or (not chunk.names and isinstance(value, ast.Constant))


def gives(chunk: Chunk, name: str, value: Any) -> bool:
    """Whether the imports of a chunk bind a name to this very object."""
    node = next(n for n in reversed(chunk.nodes) if _binds(n, name))
    try:
        return brings(node, name) is value
    except Exception:  # the import of something that is not here
        return False


def _binds(node: ast.stmt, name: str) -> bool:
    names = getattr(node, "names", [])
    return any(name == (a.asname or a.name.split(".")[0]) for a in names)


def in_order(text: str) -> str:
    """The text with each statement below those that it needs when it runs.

    Among those that may come next, the one that stood first does.
    """
    parts, tail = chunks(text)
    said = {n: c for c in parts for n in c.names}
    waiting = [*parts]
    sorted_parts: list[Chunk] = []
    while waiting:
        done = frozenset().union(*(c.names for c in sorted_parts))
        blocked = frozenset(n for c in waiting for n in c.names) - done
        ready = [c for c in waiting if not _reached(c, said) & blocked - c.names]
        able = [c for c in waiting if not _at_once(c) & blocked - c.names]
        chosen = [*ready, *able, *waiting][0]
        waiting.remove(chosen)
        sorted_parts.append(chosen)
    return "".join(c.text for c in sorted_parts) + tail


def _at_once(chunk: Chunk) -> frozenset[str]:
    return frozenset().union(*map(needs_at_once, chunk.nodes))


def _reached(chunk: Chunk, said: Mapping[str, Chunk]) -> frozenset[str]:
    """The names that a statement may look up when it runs, in what it calls too."""
    found, waiting = set(), {*_at_once(chunk)}
    while waiting:
        name = waiting.pop()
        found.add(name)
        inner = said.get(name)
        if inner is not None and inner is not chunk:
            waiting |= needs(inner.body) - found
    return frozenset(found)
