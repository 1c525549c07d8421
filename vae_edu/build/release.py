"""`vae-edu release`: a folder with what learners get, and nothing else.

An allow-list: a file that is not named here is not released. The folder is made aside
and renamed, so that it is whole or not there.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.paths import course_root

FILES = (
    *("LICENSE", "README.md", "Makefile", "environment.yml", "pyproject.toml"),
    *("requirements.lock", ".gitignore", "data/README.md", "data/checksums.json"),
    *("scripts/bootstrap.py", "scripts/find_python.sh"),
)
WITHHELD = ("build", "grading")  # of the package: the instructor's side
TARGETS = ("help", "lab", "data")  # of the Makefile
INSTRUCTORS = re.compile(r"<!-- instructors -->.*?<!-- /instructors -->\n", re.S)
TEST_LINE = re.compile(r"^make test .*\n", re.M)


def command(target: str) -> int:
    """Write the release into a new or empty folder; the exit status."""
    folder = Path(target).expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CourseError(
            f"{target!r} is there already. A release goes into a new or empty folder, "
            "so that no learner's file is ever overwritten."
        )
    count = release(course_root(), folder)
    print(f"{count} files released to {folder}")
    return 0


def release(root: Path, folder: Path) -> int:
    """Copy what learners get from a checkout; the number of files.

    Raises CourseError where a notebook holds an answer or the checkout is not whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".release-", dir=folder.parent))
    try:
        paths = [*released(root)]
        for path in paths:
            _copy(root / path, aside / path)
        aside.chmod(0o755)
        aside.replace(folder)
    except OSError as error:
        raise CourseError(f"The release could not be written: {error}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return len(paths)


def released(root: Path) -> Iterator[str]:
    """The files of a release, relative to the checkout."""
    yield from FILES
    for topic in catalogue.TOPICS:
        name = catalogue.folder_of(topic)
        if (root / "solutions" / name).is_dir():
            yield f"notebooks/{name}/{name}.ipynb"
    package = root / "vae_edu"
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        hidden = any(p.startswith(".") or p == "__pycache__" for p in inside.parts)
        if path.is_file() and not hidden and inside.parts[0] not in WITHHELD:
            yield path.relative_to(root).as_posix()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_file():
        raise CourseError(f"{source.name} is missing: release from a whole checkout.")
    if source.suffix == ".ipynb":
        _refuse_answers(source)
    if source.name == "README.md" and source.parent.name != "data":
        target.write_text(for_learners(source.read_text("utf-8")), encoding="utf-8")
    elif source.name == "Makefile":
        target.write_text(makefile(source.read_text("utf-8")), encoding="utf-8")
    else:
        shutil.copy(source, target)


def _refuse_answers(path: Path) -> None:
    """A learner's notebook has no output, and no answer's marker."""
    book = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps(book["cells"])
    if "BEGIN SOLUTION" in text or any(c.get("outputs") for c in book["cells"]):
        raise CourseError(
            f"{path.name} in notebooks/ holds answers or outputs. Run `vae-edu build`."
        )


def for_learners(readme: str) -> str:
    """The README without the instructor's parts."""
    return TEST_LINE.sub("", INSTRUCTORS.sub("", readme))


def makefile(text: str) -> str:
    """The Makefile with the learner's targets alone."""
    head, *rules = re.split(r"^(?=[\w-]+: ##)", text, flags=re.M)
    kept = [r for r in rules if r.partition(":")[0] in TARGETS]
    head = re.sub(r"^\.PHONY:.*$", f".PHONY: {' '.join(TARGETS)}", head, flags=re.M)
    head = re.sub(r"^# `make lab`.*?\n(?=\n)", "", head, flags=re.M | re.S)
    return (head + "".join(kept)).strip() + "\n"
