"""Text of unknown origin, made harmless for a spreadsheet and for a terminal.

What belongs here: plain text. What does not: HTML (`clean`, `report`).
"""

from __future__ import annotations

import re

_SIGNS = "=+@\\-\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
_BLANKS = "\\s\\x00-\\x1f\u200b-\u200f\u2060\ufeff"
_FORMULA = re.compile(rf"(^|[;\t\r\n])(?=[{_BLANKS}]*[{_SIGNS}])|^(?=[\t\r\n])")


def neutral(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; an apostrophe marks it as text.

    Full-width signs, which Excel reads like =, +, - and @, count too, and so does a
    formula after a semicolon or a line's end: a program that splits there, as Excel
    does in many countries, would see a cell of its own.
    """
    return _FORMULA.sub(r"\1'", cell)


def printable(text: str) -> str:
    """One line that no terminal takes for a command and every encoding can hold."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return " " if character in "\n\r\t\u2028\u2029" else ascii(character)[1:-1]
