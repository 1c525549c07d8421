"""The pages for engineers name what is there: files, tests, sets of system calls.

What belongs here: docs/architecture.md and docs/threats.md against the code. What does
not: whether a promise holds (tests/attacks).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vae_edu.grading.wall import calls

PAGES = ("architecture.md", "threats.md")
GROUNDS = ("", "vae_edu", "vae_edu/grading", "tests/attacks", "tests/package")


def quoted(root: Path, page: str) -> list[str]:
    text = (root / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"`([^`\n]+)`", text)


def is_there(root: Path, name: str) -> bool:
    places = [root / ground / name for ground in GROUNDS]
    return any(p.exists() or p.with_suffix(".py").exists() for p in places)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page, root):
    paths = [q for q in quoted(root, page) if re.fullmatch(r"[\w/]+(/|\.py|/\w+)", q)]
    assert len(paths) > 15
    placeholders = ("topic", "NN_", "submitted/")
    lost = [
        path
        for path in paths
        if not is_there(root, path) and not any(p in path for p in placeholders)
    ]
    assert lost == []


def test_every_test_that_the_threats_name_is_there(root):
    named = [q.split("::") for q in quoted(root, "threats.md") if "::" in q]
    assert named
    for file, test in named:
        path = next((root / "tests").rglob(file))
        assert f"def {test}(" in path.read_text(encoding="utf-8")


def test_the_table_of_system_calls_is_the_policy(root):
    text = (root / "docs" / "threats.md").read_text(encoding="utf-8")
    columns = r"([^|]*)\|" * 4
    rows = re.findall(rf"^\| `([A-Z_]+)` \|{columns}", text, re.M)
    assert len(rows) == 15
    for name, _, zygote, session, landlock in rows:
        own = getattr(calls, name)
        assert (zygote.strip() == "refused") == (set(own) <= set(calls.ZYGOTE)), name
        assert (session.strip() == "refused") == (set(own) <= set(calls.SESSION)), name
        assert (landlock.strip() == "refused") == (set(own) <= set(calls.SHARED)), name
