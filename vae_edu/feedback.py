"""`check`: what a learner runs under an exercise; the words and card that come back.

What belongs here: turning verdicts into feedback. What does not: laws, and true values.
"""

from __future__ import annotations

import html
import importlib
import inspect
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vae_edu import catalogue, work
from vae_edu.aside import caught
from vae_edu.checks.diagnosis import Misconception, diagnose
from vae_edu.checks.hints import look
from vae_edu.checks.judging import Verdict, run_public, worth
from vae_edu.checks.law import VALUE
from vae_edu.checks.recipe import recipe
from vae_edu.checks.standard import spelled
from vae_edu.light import spare_the_compiler
from vae_edu.subject import local

_THINK = {
    "type": "Look at the type that the signature promises.",
    "shape": "Follow the shapes line by line: where does a dimension come in, and "
    "where does one go?",
    "dtype": "A constant tensor or a cast inside fixes the dtype; "
    "derive it from the inputs.",
    "device": "A tensor made inside should be made on the inputs' device: "
    "torch.zeros_like(x), x.new_tensor(...), device=x.device.",
    "overflow": "Which intermediate value is too large or too small for a float? "
    "Rewrite the formula so that it never appears.",
    "gradient": "",
    "mutated": "",
    "left grad": "",
}


@dataclass(repr=False)
class Feedback:
    """What came out of checking one exercise; shows itself as text or as a card."""

    exercise: catalogue.Exercise
    verdicts: Sequence[Verdict]
    known: Misconception | None
    note: str = ""

    @property
    def passed(self) -> bool:
        """True where every law holds."""
        return all(v.holds for v in self.verdicts)

    @property
    def unfinished(self) -> bool:
        """True where the exercise is not filled in yet."""
        return any(v.kind == "unfinished" for v in self.verdicts)

    @property
    def needs(self) -> str:
        """What the stub of another exercise says, where that is the one left open."""
        said = next((v.message for v in self.verdicts if v.kind == "unfinished"), "")
        found = re.search(r"Exercise (\d+\.\d+): .*", said)
        return found[0] if found and found[1] != self.exercise.card.number else ""

    def title(self) -> str:
        """One line: the exercise and how many laws hold."""
        name, number = self.exercise.name, self.exercise.card.number
        if self.unfinished:
            state = "waits for another exercise" if self.needs else "not filled in yet"
            return f"Exercise {number} · {name}: {state}"
        held = sum(v.holds for v in self.verdicts)
        count = len(self.verdicts)
        if self.passed:
            return f"Exercise {number} · {name}: right. All {count} laws hold."
        return f"Exercise {number} · {name}: {held} of {count} laws hold."

    def paragraphs(self) -> list[str]:
        """The first broken law in words, and the known mistake or a way to think."""
        note = [self.note] if self.note else []
        return [*note, *self._said()]

    def _said(self) -> list[str]:
        broken = next((v for v in self.verdicts if not v.holds), None)
        if broken is None:
            return []
        if self.needs:
            return [f"Your answer uses an exercise that is still open. {self.needs}"]
        if broken.kind == "unfinished":
            return [
                "Replace the line `raise NotImplementedError(...)` by your answer, run "
                "the cell, then run this check again. The hints above open one at a "
                "time."
            ]
        should = f"What should hold and does not: {broken.law.sentence}."
        said = [should, *_words(broken)]
        return [*said, *([_hint(broken)] if _hint(broken) and not self.known else [])]

    def recipe(self) -> str:
        """The call at which the first law broke, as code to paste; "" without one."""
        broken = next((v for v in self.verdicts if not v.holds), None)
        if broken is None or broken.last is None or self.unfinished:
            return ""
        if broken.last.op not in ("call", "method") or broken.law.hidden:
            return ""
        return recipe(broken.last, _params(broken), broken.built)

    def states(self) -> list[str]:
        """For each law: holds, BROKEN, stops (the code did, as at the first), or open.

        Open: not judged while the values are wrong.
        """
        wrong = any(not v.holds and worth(v) == VALUE for v in self.verdicts)
        first = next((v for v in self.verdicts if not v.holds), None)
        return [_state(v, first, wrong) for v in self.verdicts]

    def __str__(self) -> str:
        """The feedback as plain text."""
        lines = [self.title()]
        if not self.unfinished and not self.passed:
            rows = zip(self.states(), self.verdicts, strict=True)
            lines += [f"  {state:<6} {v.law.sentence}" for state, v in rows]
        lines += [p.rstrip() for p in self.paragraphs()]
        if self.known:
            lines.append(f"{self.known.name}. {self.known.sentence}")
        if code := self.recipe():
            lines += ["To see it for yourself, in a cell:", code]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = "#009E73" if self.passed else "#999" if self.unfinished else "#D55E00"
        states = zip(self.states(), self.verdicts, strict=True)
        rows = "" if self.unfinished else "".join(_row(s, v) for s, v in states)
        said = "".join(_paragraph(html.escape(p)) for p in self.paragraphs())
        if self.known:
            name, sentence = map(html.escape, (self.known.name, self.known.sentence))
            said += _paragraph(f"<strong>{name}.</strong> {sentence}")
        title = f"<strong>{html.escape(self.title())}</strong>"
        card = f'<div class="vae-edu-check" style="border-left:5px solid {colour};'
        if not rows:
            return f'{card}padding:.4em 1em">{title}{said}</div>'
        if code := self.recipe():
            shown = f'<pre style="overflow-x:auto">{html.escape(code)}</pre>'
            said += f"<details><summary>This call, to paste</summary>{shown}</details>"
        opened = " open" if "BROKEN" in self.states() else ""
        return (
            f'{card}padding:.4em 1em;margin:.3em 0">{title}'
            f"{said}<details{opened}><summary>Laws tried</summary>"
            f'<ul style="list-style:none;padding-left:.5em">{rows}</ul></details></div>'
        )


def _state(verdict: Verdict, first: Verdict | None, wrong: bool) -> str:
    if verdict.holds:
        return "holds"
    stopped = first is not None and first.kind == verdict.kind == "error"
    if first is not None and stopped and verdict.message == first.message:
        return "stops"
    return "open" if wrong and verdict.law.role != VALUE else "BROKEN"


_MARKS = {
    "holds": "&#10003; holds",
    "BROKEN": "&#10007; <strong>broken</strong>",
    "open": "&#8943; open until the values are right",
    "stops": "&#8943; not judged, the code stops",
}


def _row(state: str, verdict: Verdict) -> str:
    return f"<li>{_MARKS[state]}: {html.escape(verdict.law.sentence)}</li>"


def _paragraph(markup: str) -> str:
    return f'<p style="margin:.4em 0;white-space:pre-wrap">{markup}</p>'


def _words(broken: Verdict) -> list[str]:
    if broken.kind == "error":
        at = _call(broken)
        return [f"Your code stopped{at} with {broken.message}", broken.trace.rstrip()]
    return [_capital(broken.message)]


def _call(broken: Verdict) -> str:
    """At which call an answer stopped, in words; "" where the stub does not say."""
    asked, params = broken.last, _params(broken)
    if asked is None or not params:
        return ""
    name = broken.law.exercise
    if asked.op == "method":
        name = f"{name}.{asked.name or 'forward'}"
    args = [*asked.args, *(asked.kwargs[p] for p in params if p in asked.kwargs)]
    return f" at {spelled(name, params, args)}"


def _params(broken: Verdict) -> list[str]:
    """The parameters of what was asked last, as the stub names them."""
    asked = broken.last
    if asked is None or asked.op not in ("call", "method"):
        return []
    stub: Any = work.stub_of(catalogue.find(broken.law.exercise))
    if asked.op == "method":
        stub = getattr(stub, asked.name or "forward", None)
    if stub is None:
        return []
    return [p for p in inspect.signature(stub).parameters if p != "self"]


def _capital(text: str) -> str:
    starts_with_name = text.split("(")[0].isidentifier()
    return text if starts_with_name else text[:1].upper() + text[1:]


def _hint(broken: Verdict) -> str:
    if broken.kind == "error":
        return ""
    seen = "" if broken.kind == "dtype" else look(broken.got, broken.expected)
    return seen or _THINK.get(broken.kind, "")


class CheckFailed(AssertionError):  # noqa: N818
    """A law is broken. In a notebook it shows one line, below the card."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def judge(answer: Any) -> Feedback:
    """Run the public laws on an answer (a function, a class, or an exercise's name)."""
    name = answer if isinstance(answer, str) else getattr(answer, "__name__", "")
    entry = catalogue.find(name)
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    if isinstance(answer, str) or _from_work(answer):
        work.refresh(entry.topic)
        answer = getattr(module, name)
    spare_the_compiler()  # the first check need not wait for it
    note = work.note(name, answer)
    with caught() as aside:  # of a case with one image: its verdict says more
        warnings.filterwarnings("ignore", r"(var|std)\w*\(\): degrees of freedom")
        verdicts = run_public(entry.topic, name, local({name: answer}))
        known = diagnose(entry.topic, name, verdicts, local({name: answer}))
    said = [note, _ASIDE.format(aside) if str(aside) else ""]
    return Feedback(entry, verdicts, known, "\n".join(filter(None, said)))


_ASIDE = "Said beside the result, which costs nothing: {}"


def _from_work(answer: Any) -> bool:
    """An answer that was loaded from `work/` may have been edited there since."""
    return str(getattr(answer, "__module__", "")).startswith("vae_edu_work.")


def check(answer: Any) -> None:
    """Check your answer to an exercise: `check(gaussian_kl)`.

    Shows what was tried, what came out, what was expected, and the name of a known
    mistake. Raises NotImplementedError for an unfilled exercise and an AssertionError
    for a wrong one, so that a notebook run from top to bottom, and nbgrader, notice.
    """
    feedback = judge(answer)
    if feedback.unfinished:
        raise not_yet(str(feedback))
    show(feedback)
    if not feedback.passed:
        raise CheckFailed(feedback.title())


def not_yet(text: str) -> NotImplementedError:
    """What says that there is nothing to judge yet; a notebook shows the text alone."""
    error = NotImplementedError(text)
    error._render_traceback_ = lambda: [text]  # type: ignore[attr-defined]
    return error


def show(feedback: object) -> None:
    """Display in a notebook, print elsewhere."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(feedback)
        return
    if get_ipython() is None:
        print(feedback)
    else:
        display(feedback)
