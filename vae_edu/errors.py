"""Errors meant for the reader of the course, not for a debugger.

What belongs here: the base of every error that a user can put right. What does not:
errors of one module (they subclass this one and live there).
"""

from __future__ import annotations

__all__ = ["CourseError", "one_line"]


class CourseError(Exception):
    """Something the user can put right; its message says what, and how.

    The command line prints the message alone and exits with status 2. A notebook shows
    the message alone too: a traceback through the course's own files would hide it.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def one_line(error: BaseException, most: int = 200) -> str:
    """Return another library's message, often of many lines, in a part of one."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}..."
