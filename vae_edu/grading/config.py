"""Makes a course's nbgrader grade with our scores: `configure(c)`, and no more.

Read at every nbgrader command, so it imports nothing.
"""

from __future__ import annotations

from typing import Any

SANITIZE = (
    "vae_edu.grading.nbgrader.Mend",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "vae_edu.grading.nbgrader.RestoreCells",
    "nbgrader.preprocessors.CheckCellMetadata",
)
AUTOGRADE = (
    "vae_edu.grading.nbgrader.TrustedGrade",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
)


ANSWERS = (  # the authored sources, beside a notebook
    *("lesson.py", "exercises.py", "hidden.py", "mistakes.py", "variants.py"),
    *("unseen.py", "unseen_modules.py", "test_equations.py"),
)
STUB = "# YOUR CODE HERE\nraise NotImplementedError('replace this line by your answer')"


def configure(c: Any) -> None:
    """Make a course's nbgrader grade with the laws, outside the learner's process."""
    c.CourseDirectory.ignore.extend(ANSWERS)  # or nbgrader copies them to the learners
    c.ClearSolutions.setdefault("code_stub", {"python": STUB})
    c.Autograde.exporter_class = "vae_edu.grading.nbgrader.Reader"
    c.Autograde.pre_convert_hook = "vae_edu.grading.nbgrader.only_files"
    c.Autograde.sanitize_preprocessors = [*SANITIZE]
    c.Autograde.autograde_preprocessors = [*AUTOGRADE]
    # feedback and the Formgrader's pages are opened in a browser
    c.HTMLExporter.sanitize_html = True
    ours = "vae_edu.grading.office.clean"
    c.HTMLExporter.filters = {
        "clean_html": f"{ours}.clean",
        "markdown2html": f"{ours}.markdown",
        "strip_files_prefix": f"{ours}.unprefixed",
    }
