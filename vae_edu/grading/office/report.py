"""What a learner reads of a grade, as Markdown; an instructor's table, as text.

Every word that a submission had a part in is escaped: feedback pages show Markdown and
raw HTML alike.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from vae_edu.grading.verdict.grade import ExerciseGrade, Finding

STOPPED = "Your code stopped in grading, at what `check` tries too:"


def markdown(grade: ExerciseGrade) -> str:
    """The feedback to one exercise."""
    lines = [f"**Exercise {grade.number} · `{grade.name}`: {_verdict(grade)}**"]
    if grade.problem:
        lines.append(f"Not judged: {_words(grade.problem)}.")
    elif grade.credit and not grade.passed:
        lines.append(grade.credit)
    if grade.misconception:
        name, advice = html.escape(grade.misconception), html.escape(grade.advice)
        lines.append(f"*{name}.* {advice}")
    lines += _broken(grade)
    return "\n\n".join(lines)


def _verdict(grade: ExerciseGrade) -> str:
    points = f"{grade.score:g} of {grade.max_score:g} points"
    return f"right, {points}" if grade.passed else points


def _broken(grade: ExerciseGrade) -> list[str]:
    lines: list[str] = []
    if grade.public:
        lines.append(heading(grade.public))
        lines.append("\n".join(f"- {html.escape(f.title)}" for f in grade.public))
    lines += [_block(f.message) for f in grade.public if f.message]
    if grade.hidden:
        lines.append("Not true at inputs that only the grader knows:")
        lines.append("\n".join(f"- {html.escape(f.title)}" for f in grade.hidden))
    return lines


def heading(public: Sequence[Finding]) -> str:
    """What is said of broken public laws.

    That `check` says the same is certain of values; what stops may have lacked
    something that a learner's machine has.
    """
    stopped = public[0].kind in ("error", "time", "died")
    return STOPPED if stopped else "Not true yet, as `check` says too:"


def _words(text: str) -> str:
    """Text within a line, of which nothing is Markdown, HTML or TeX."""
    line = " ".join(text.split())
    said = "".join(c if c.isalnum() or c in " ,'" else f"&#{ord(c)};" for c in line)
    return f"<code>{said}</code>" if "$" in line or "\\" in line else said


def _block(text: str) -> str:
    """Text as it stands. A blank line would end the block, and let Markdown in."""
    lines = [html.escape(line) or "&nbsp;" for line in text.splitlines()]
    body = "\n".join(lines).replace("$", "&#36;").replace("`", "&#96;")
    return f'<pre style="white-space:pre-wrap">{body}</pre>'


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of text in columns; the last column is not padded."""
    body = [[*row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    return "\n".join(
        "  ".join(
            [
                *(cell.ljust(w) for cell, w in zip(row, widths[:-1], strict=False)),
                row[-1],
            ]
        ).rstrip()
        for row in body
    )
