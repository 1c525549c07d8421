"""`progress`: what is done, what fails, what is borrowed, over all lessons."""

from __future__ import annotations

import html
import importlib
from dataclasses import dataclass

from vae_edu import catalogue, work
from vae_edu.checks.judging import run_public
from vae_edu.lesson import AUTHORED
from vae_edu.subject import local

STATES = ("right", "wrong", "borrowed", "open")


@dataclass(frozen=True)
class Standing:
    """One exercise and how it stands: right, wrong, borrowed or open."""

    exercise: catalogue.Exercise
    state: str
    detail: str = ""


def standings() -> list[Standing]:
    """How every exercise of the course stands, by running its public laws."""
    return [_standing(e) for t in catalogue.TOPICS for e in _refreshed(t)]


def _refreshed(topic: str) -> tuple[catalogue.Exercise, ...]:
    entries = catalogue.exercises_of(topic)
    if entries:
        importlib.import_module(f"vae_edu.exercises.{topic}")
        work.refresh(topic)
    return entries


def _standing(entry: catalogue.Exercise) -> Standing:
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    answer = getattr(module, entry.name)
    if answer is module.__stubs__[entry.name]:
        return Standing(entry, "open")
    if str(answer.__module__).startswith(f"{AUTHORED}."):
        return Standing(entry, "borrowed", "the reference")
    verdicts = run_public(entry.topic, entry.name, local({entry.name: answer}))
    broken = next((v for v in verdicts if not v.holds), None)
    if broken is None:
        return Standing(entry, "right")
    return Standing(entry, "wrong", f"broken: {broken.law.sentence}")


@dataclass(frozen=True)
class Progress:
    """The table of `progress()`; shows itself as text or as a table."""

    rows: list[Standing]

    def summary(self) -> str:
        """One line of counts."""
        counts = {s: sum(r.state == s for r in self.rows) for s in STATES}
        points = sum(r.exercise.card.points for r in self.rows if r.state == "right")
        total = sum(r.exercise.card.points for r in self.rows)
        said = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
        return f"{len(self.rows)} exercises: {said}; {points} of {total} points."

    def __str__(self) -> str:
        """The table as text."""
        width = max((len(r.exercise.name) for r in self.rows), default=0)
        lines = [
            f"{r.exercise.card.number:>5}  {r.exercise.name:<{width}}  "
            f"{r.state:<8}  {r.detail}"
            for r in self.rows
        ]
        return "\n".join([*(line.rstrip() for line in lines), self.summary()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{r.exercise.card.number}</td><td><code>{r.exercise.name}</code></td>"
            f"<td>{r.state}</td><td>{html.escape(r.detail)}</td></tr>"
            for r in self.rows
        )
        head = "<tr><th>No.</th><th>Exercise</th><th>State</th><th></th></tr>"
        return f"<table>{head}{rows}</table><p>{self.summary()}</p>"


def progress() -> Progress:
    """What is right, wrong, borrowed and open in `work/`, over all lessons."""
    return Progress(standings())
