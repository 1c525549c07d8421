"""`vae-edu build`: every built file of the course, from the authored ones.

Built: `vae_edu/exercises/*.py`, `vae_edu/checks/recorded/*.json`, `solutions/*/*.ipynb`
(executed) and `notebooks/*/*.ipynb`. Building into an empty folder gives the same
bytes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from vae_edu import catalogue
from vae_edu.build.keep import keep
from vae_edu.build.new import FOLDER, refuse_unwritten
from vae_edu.build.notebook import notebook, released
from vae_edu.build.source import read_exercises, stub_module
from vae_edu.errors import CourseError
from vae_edu.lesson import find
from vae_edu.paths import course_root

CELL_SECONDS = 120


def sources() -> dict[str, Path]:
    """The authored folder of each topic in solutions/, in the order of the numbers."""
    found = sorted((course_root() / "solutions").glob("*/lesson.py"))
    named = [(FOLDER.fullmatch(p.parent.name), p.parent) for p in found]
    ordered = sorted((int(m[1]), m[2], folder) for m, folder in named if m)
    return {topic: folder for _, topic, folder in ordered}


def lesson_folder(topic: str) -> Path:
    """A lesson's authored folder, also of one that was never built."""
    known = sources()
    return known[topic] if topic in known else find(topic).file("lesson").parent


def authored() -> list[str]:
    """The topics that have sources and are built, in order."""
    known = sources()
    return [topic for topic in catalogue.TOPICS if topic in known]


def build(topics: Iterable[str], target: Path, *, execute: bool = True) -> list[Path]:
    """Build the lessons into `target` (the course root, or an empty folder).

    The stubs first, since notebooks and numbers are built with them. execute: run the
    instructor's notebooks and keep their outputs; otherwise they keep those they have.
    """
    topics = list(topics)
    for topic in topics:
        checks = course_root() / "vae_edu" / "checks" / f"{topic}.py"
        refuse_unwritten(lesson_folder(topic), checks)
    written = [build_stub(t, target) for t in topics]
    _expect_stubs(topics)
    written += [build_numbers(t, target) for t in topics]
    for topic in topics:
        written += build_notebooks(topic, target, execute=execute)
    return written


def command(lessons: list[str], target: str | None, *, execute: bool) -> int:
    """`vae-edu build`: say what is written."""
    topics = [*map(_topic_of, lessons)] or [*sources()]
    root = Path(target) if target else course_root()
    for path in build(topics, root, execute=execute):
        print(f"built {path.relative_to(root)}")
    return 0


def _topic_of(lesson: str) -> str:
    """As `catalogue.topic_of`, of lessons that were never built, too."""
    for topic, folder in sources().items():
        number = int(folder.name.partition("_")[0])
        if lesson.strip() in catalogue.spellings(number, topic):
            return topic
    return catalogue.topic_of(lesson)


def _expect_stubs(topics: Iterable[str]) -> None:
    """The numbers are made with the stubs that this package has."""
    for topic in topics:
        if topic not in catalogue.TOPICS:
            name = lesson_folder(topic).name
            raise CourseError(
                f"{name} is new: build it in the checkout first (vae-edu build {name})."
            )


def build_stub(topic: str, target: Path) -> Path:
    """`vae_edu/exercises/<topic>.py`."""
    text = stub_module(read_exercises(lesson_folder(topic)), lesson_folder(topic).name)
    path = _put(target / "vae_edu" / "exercises" / f"{topic}.py", text)
    catalogue.forget()
    return path


def build_numbers(topic: str, target: Path) -> Path:
    """`vae_edu/checks/recorded/<topic>.json`; as it is, where the new one agrees."""
    from vae_edu.build.drift import agree
    from vae_edu.build.numbers import record

    path = target / "vae_edu" / "checks" / "recorded" / f"{topic}.json"
    text = record(topic)
    if path.exists():
        old = path.read_text(encoding="utf-8")
        if agree(json.loads(old), json.loads(text)):
            return path  # another processor's last digits
    return _put(path, text)


def build_notebooks(topic: str, target: Path, *, execute: bool) -> list[Path]:
    """The instructor's notebook and the learner's."""
    folder = lesson_folder(topic).name
    book = notebook(lesson_folder(topic))
    solution = target / "solutions" / folder / f"{folder}.ipynb"
    learner = target / "notebooks" / folder / f"{folder}.ipynb"
    release = released(nbformat.from_dict(book), _nbgrader_config())
    if execute:
        run(book, before=topic)
    else:
        _keep_outputs(book, lesson_folder(topic) / f"{folder}.ipynb")
    text = _text(release)
    if learner.exists() and learner.read_text(encoding="utf-8") != text:
        kept = keep(learner)
        if kept:
            print(f"{learner.name} had been worked in: kept as {kept}")
    return [_put(solution, _text(book)), _put(learner, text)]


def _text(book: NotebookNode) -> str:
    return nbformat.writes(book, version=4) + "\n"


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8", newline="\n")
    return path


def _nbgrader_config() -> Any:
    from traitlets.config.loader import PyFileConfigLoader

    path = course_root() / "nbgrader_config.py"
    return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()


def run(book: NotebookNode, *, before: str, allow_errors: bool = False) -> None:
    """Execute a notebook as someone would who has done all lessons before this one."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    with learner_who_did(before) as work:
        own = {"VAE_EDU_WORK": str(work), "VAE_EDU_RUNS": str(work / "runs")}
        small = {"VAE_EDU_SCALE": "seconds", "OMP_NUM_THREADS": "2"}
        environment = {**os.environ, **own, **small}
        client = _client(book, allow_errors)
        with client.setup_kernel(env=environment):
            for index, cell in enumerate(book.cells):
                try:
                    client.execute_cell(cell, index)
                except (CellExecutionError, CellTimeoutError) as error:
                    raise CourseError(f"{before}: a cell stops. {error}") from None
    clean(book)


def _client(book: NotebookNode, allow_errors: bool) -> Any:
    from nbclient import NotebookClient

    return NotebookClient(
        book,
        timeout=CELL_SECONDS,
        startup_timeout=CELL_SECONDS,
        iopub_timeout=CELL_SECONDS,  # else what comes late would be left out
        raise_on_iopub_timeout=True,
        kernel_name="python3",
        allow_errors=allow_errors,
        record_timing=False,
        coalesce_streams=True,  # else how prints are grouped depends on timing
        resources={"metadata": {"path": str(course_root() / "notebooks")}},
    )


@contextmanager
def learner_who_did(before: str) -> Any:
    """A temporary `work/` with the reference answers of all lessons before this one."""
    with tempfile.TemporaryDirectory() as folder:
        for topic in catalogue.TOPICS[: catalogue.TOPICS.index(before)]:
            path = lesson_folder(topic) / "exercises.py"
            if path.exists():
                text = path.read_text(encoding="utf-8")
                Path(folder, f"{topic}.py").write_text(text, encoding="utf-8")
        yield Path(folder)


def clean(book: NotebookNode) -> None:
    """Take out of an executed notebook what depends on the machine or the clock."""
    book.metadata["language_info"] = {"name": "python"}
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            if output.output_type == "stream" and output.name == "stderr":
                raise CourseError(f"a cell writes to stderr: {output.text[:300]}")


def _keep_outputs(book: NotebookNode, path: Path) -> None:
    if not path.exists():
        return
    old = {c.id: c for c in nbformat.read(path, as_version=4).cells}
    for cell in book.cells:
        known = old.get(cell.id)
        if known and cell.cell_type == "code" and known.source == cell.source:
            cell.outputs, cell.execution_count = known.outputs, known.execution_count
