"""The repository root is an nbgrader course.

For example: `nbgrader generate_assignment 04_kl_divergence`.
"""

from vae_edu.grading.config import configure

c = get_config()  # noqa: F821  (nbgrader provides it)

c.CourseDirectory.course_id = "vae_edu"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "notebooks"

configure(c)
