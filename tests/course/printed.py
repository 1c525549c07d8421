"""How two printed outputs are compared: `pytest --nbval -p tests.course.printed`.

What is printed holds on any processor to one unit of its last decimal: numbers that
come of float32, and more so of a training in it, are rounded elsewhere from processor
to processor, and a rounded number may tip over. Whole numbers and all words are equal.
What does not belong here: which digits a lesson prints.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any

# a number with a decimal point, and the spaces that pad it; not a part of 1.2.3
DECIMAL = re.compile(r" *(?<![\d.])(-?\d[\d,]*\.\d+)(?![\d.]) *")


class Printed(str):
    """An output's text, equal to another one that differs in last decimals alone."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and agree(str(self), str(other))

    def __ne__(self, other: object) -> bool:
        return not self == other


def agree(old: str, new: str) -> bool:
    """Whether two texts differ by no more than one unit of a number's last decimal."""
    if old == new:
        return True
    pairs = zip_longest(_pieces(old), _pieces(new), fillvalue="")
    return all(_same(a, b) for a, b in pairs)


def _pieces(text: str) -> list[str]:
    """Words and decimal numbers in turn."""
    return DECIMAL.split(text)


def _same(old: str, new: str) -> bool:
    if old == new:
        return True
    if not (DECIMAL.fullmatch(old) and DECIMAL.fullmatch(new)):
        return False
    places = [len(n.partition(".")[2]) for n in (old, new)]
    a, b = (round(float(n.replace(",", "")) * 10 ** places[0]) for n in (old, new))
    return places[0] == places[1] and abs(a - b) <= 1


def _as_printed(sanitize: Any) -> Any:
    def sanitized(self: Any, text: Any) -> Any:
        made = sanitize(self, text)
        return Printed(made) if isinstance(made, str) else made

    return sanitized


def pytest_configure() -> None:
    """Have nbval compare what it cleaned as `Printed`."""
    from nbval.plugin import IPyNbCell

    IPyNbCell.sanitize = _as_printed(IPyNbCell.sanitize)
