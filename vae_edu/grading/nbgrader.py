"""nbgrader's autograding with our scores: no cell of a submission is executed.

Where `vae-edu grade` has been run, `TrustedGrade` finds the grade; where it has not, as
after a click in the Formgrader, it makes it on the spot.

What belongs here: nbgrader's preprocessors. What does not: judging, configuration.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import api, utils
from nbgrader.api import Gradebook, MissingEntry, Notebook, SourceCell
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.preprocessors import NbGraderPreprocessor, OverwriteCells
from traitlets import Bool, Float

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading.office.report import markdown
from vae_edu.grading.office.store import Store
from vae_edu.grading.verdict import run_folder
from vae_edu.grading.verdict.answers import book_in, from_cells, unopened
from vae_edu.grading.verdict.grade import (
    LAW_SECONDS,
    ExerciseGrade,
    Grade,
    grade,
    warm_zygote,
)
from vae_edu.grading.verdict.plain import printable
from vae_edu.grading.verdict.wellformed import well_formed
from vae_edu.grading.wall.kinds import OFF, REQUIRE


class TrustedGrade(NbGraderPreprocessor):
    """Writes each exercise's feedback and score into its check cell."""

    seconds = Float(LAW_SECONDS, help="time for each law").tag(config=True)
    unsafe_no_sandbox = Bool(
        False, help="run submissions with your own rights where there is no sandbox"
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Grade the notebook; every cell's output is ours, or empty."""
        graded = self._grade(nb, resources["nbgrader"])
        own = {run_folder.NAME: run_folder.CELL}
        by_cell = {own.get(e.name, f"test_{e.name}"): e for e in graded.exercises}
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if utils.is_grade(cell) and not utils.is_solution(cell):
                _write(cell, by_cell.get(cell.metadata.nbgrader.get("grade_id")))
        return nb, resources

    def _grade(self, nb: NotebookNode, given: dict[str, str]) -> Grade:
        topic = catalogue.topic_of(given["assignment"])
        policy = OFF if self.unsafe_no_sandbox else REQUIRE
        store = Store(Path.cwd(), topic, policy)  # nbgrader runs in the course's root
        submission = from_cells(nb.cells, topic)
        # nbgrader keeps what was handed in there, and runs in the course's root
        place = Path("submitted", given["student"], given["assignment"], "notebook")
        folder = run_folder.beside(place, topic)
        key = store.key(submission, run_folder.digest(folder))
        if (found := store.get(key)) is not None:
            return found
        zygote = warm_zygote(policy)
        made = grade(zygote, submission, topic, store.seed, self.seconds)
        made = run_folder.with_run(made, folder, store.seed)
        store.put(key, made)
        return made


def _write(cell: NotebookNode, graded: ExerciseGrade | None) -> None:
    """Fill in a check cell: words to read, and the score in nbgrader's way.

    Raises CourseError for a cell that no exercise belongs to: without an output,
    nbgrader would give it full marks.
    """
    name = cell.metadata.nbgrader.get("grade_id")
    if graded is None or cell.cell_type != "code":
        raise CourseError(f"The graded cell {name!r} belongs to no exercise.")
    worth = float(cell.metadata.nbgrader["points"])
    share = graded.score / graded.max_score if graded.max_score else 0.0
    score = min(max(round(share * worth, 2), 0.0), worth)
    words, number = markdown(graded), f"{score:.2f}"
    shown = new_output("display_data", {"text/markdown": words, "text/plain": words})
    given = new_output("execute_result", {"text/plain": number}, execution_count=None)
    cell.outputs = [shown, given]


def only_files(*, assignment: str, student: str, notebooks: list[str]) -> None:
    """A hook before a submission is converted: leaves out what is no plain file.

    nbgrader would wait for a pipe for ever, follow a link to another's submission, and
    read a file of any size. Without a notebook left, it reports that submission.
    """
    share_engines()
    for name in [*notebooks]:
        if problem := unopened(Path(name)):
            notebooks.remove(name)
            logging.getLogger(__name__).error("%s: %s", printable(name), problem)


def share_engines() -> None:
    """Let gradebooks of one database share an engine, with what it has compiled.

    nbgrader opens eleven gradebooks a submission: a quarter of its bookkeeping.
    """
    if not hasattr(api.create_engine, "cache_info"):
        vars(api)["create_engine"] = lru_cache(maxsize=8)(api.create_engine)


class Reader(NotebookExporter):
    """Reads a submission as `vae-edu grade` does, so that both know the same ones.

    nbgrader's own reader stumbles over what editors and scripts leave behind: a byte
    order mark, a cell without outputs or with an id that is none.
    """

    def from_filename(self, filename: str, resources: Any = None, **how: Any) -> Any:
        """Convert a file; a CourseError where it has no grade, and then gets none."""
        given = resources["nbgrader"]
        try:
            cells, metadata = book_in(Path(filename))
            topic = catalogue.topic_of(given["assignment"])
            if problem := from_cells(cells, topic).problem:
                raise CourseError(problem)
        except CourseError as error:
            _take_back(given)
            raise CourseError(f"no grade: {error}") from None
        book: Any = well_formed(cells, metadata)
        export: Any = self.from_notebook_node
        return export(book, resources=resources, **how)


def _take_back(given: dict[str, str]) -> None:
    """No points stay in the gradebook for what an earlier attempt held."""
    where = (given["notebook"], given["assignment"], given["student"])
    with Gradebook(given["db_url"]) as gradebook, suppress(MissingEntry):
        for entry in gradebook.find_submission_notebook(*where).grades:
            entry.auto_score = None
        gradebook.db.commit()


class Mend(NbGraderPreprocessor):
    """Takes away what nbgrader stumbles over, and what no file in UTF-8 can hold."""

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Metadata of nbgrader without a name, and lone surrogates."""
        for cell in nb.cells:
            given = cell.metadata.get("nbgrader")
            if not (isinstance(given, dict) and isinstance(given.get("grade_id"), str)):
                cell.metadata.pop("nbgrader", None)
            cell.source = cell.source.encode("utf-8", "replace").decode()
        return nb, resources


class RestoreCells(OverwriteCells):
    """nbgrader's OverwriteCells, which also gives back cells that a learner removed.

    nbgrader's own way of adding a graded cell fails where the cell before it is missing
    too, and so does a cell of another lesson: each would cost the whole submission.
    """

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Drop foreign grade ids, mark and overwrite cells as released, add missing."""
        given = resources["nbgrader"]
        with Gradebook(given["db_url"]) as gradebook:
            source = gradebook.find_notebook(given["notebook"], given["assignment"])
            marks = {cell.name: _marks(source, cell) for cell in source.source_cells}
        for cell in nb.cells:
            if (name := _id(cell)) in marks:
                cell.metadata["nbgrader"].update(marks[name])
            else:
                cell.metadata.pop("nbgrader", None)
        nb, resources = super().preprocess(nb, resources)
        with Gradebook(given["db_url"]) as self.gradebook:
            self._restore(nb)
        return nb, resources

    def _restore(self, nb: NotebookNode) -> None:
        source = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        graded = {cell.name: cell for cell in source.grade_cells}
        solutions = {cell.name for cell in source.solution_cells}
        before = None
        for entry in source.source_cells:
            missing = entry.name not in {_id(cell) for cell in nb.cells}
            if missing and entry.name in graded:
                worth = graded[entry.name].max_score
                prose = entry.name in solutions
                made = self.missing_cell_transform(entry, worth, prose)
                nb.cells.insert(_after(nb, before), made)
            before = entry.name


def _marks(source: Notebook, cell: SourceCell) -> dict[str, Any]:
    """What a released cell is, whatever a learner made of it."""
    worth = {c.name: c.max_score for c in (*source.grade_cells, *source.task_cells)}
    marks: dict[str, Any] = {
        "schema_version": MetadataValidator.schema_version,
        "grade": cell.name in {c.name for c in source.grade_cells},
        "solution": cell.name in {c.name for c in source.solution_cells},
        "task": cell.name in {c.name for c in source.task_cells},
        "locked": bool(cell.locked),
    }
    return marks | ({"points": worth[cell.name]} if cell.name in worth else {})


def _id(cell: NotebookNode) -> str | None:
    found = cell.metadata.get("nbgrader")
    return found.get("grade_id") if isinstance(found, dict) else None


def _after(nb: NotebookNode, name: str | None) -> int:
    """The place after a cell; the end where it is not there."""
    places = [i for i, cell in enumerate(nb.cells) if name and _id(cell) == name]
    return places[0] + 1 if places else len(nb.cells)
