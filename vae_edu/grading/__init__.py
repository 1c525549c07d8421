"""The instructor's side: judging answers in processes that know no answer.

For use from Python: `from vae_edu.grading import grade_notebook`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_edu.grading.verdict.grade import grade_notebook

__all__ = ["grade_notebook"]


def __getattr__(name: str) -> Any:
    """`grade_notebook`, imported when it is asked for: a sandbox lacks its module."""
    if name in __all__:
        from vae_edu.grading.verdict import grade

        return getattr(grade, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
