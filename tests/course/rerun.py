"""Cells of a lesson, run once more: on a data set, with a seed of one's choice.

What belongs here: finding and running them. What does not: what they should show.
"""

from __future__ import annotations

from typing import Any

import pytest

from vae_edu import data, paths
from vae_edu.lesson import find

needs_mnist = pytest.mark.skipif(
    data.load().name != "mnist", reason="MNIST is not here"
)


def cells(folder: str, words: tuple[str, ...]) -> str:
    """The first cell of a lesson that contains each of these, one after the other."""
    source = (paths.course_root() / f"solutions/{folder}/lesson.py").read_text("utf-8")
    parts = [part.partition("\n")[2] for part in source.split("\n# %%")]
    return "\n".join(next(p for p in parts if w in p) for w in words)


def names_after(
    text: str, topics: tuple[str, ...], replaced: dict[str, str], **names: Any
) -> dict[str, Any]:
    """What cells define, given the reference answers to topics and further names."""
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    for topic in topics:
        names |= find(topic).reference
    exec(text, names)
    return names
