"""The repository root is an nbgrader course.

For example: `nbgrader generate_assignment 04_kl_divergence`.
"""

from vae_edu.grading.config import configure

c = get_config()  # noqa: F821  (nbgrader provides it)

c.CourseDirectory.course_id = "vae_edu"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "notebooks"
# the authored sources hold the answers: nbgrader would copy them into the release
c.CourseDirectory.ignore = [
    ".ipynb_checkpoints",
    "*.pyc",
    "__pycache__",
    "feedback",
    "lesson.py",
    "exercises.py",
]
c.ClearSolutions.code_stub = {
    "python": "# YOUR CODE HERE\n"
    "raise NotImplementedError('replace this line by your answer')"
}

configure(c)
