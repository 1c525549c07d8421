"""`vae-edu judge`: answers in files, each judged in a process of its own.

The laws and the true values stay in this process; the answer's process gets tensors and
returns tensors (see `wire` and `zygote`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from vae_edu import catalogue
from vae_edu.checks.judging import score
from vae_edu.doctor import Finding
from vae_edu.errors import CourseError
from vae_edu.grading.verdict.answers import Submission, read
from vae_edu.grading.verdict.verdicts import LAW_SECONDS, Judgement, judge_lesson
from vae_edu.grading.wall import mounts
from vae_edu.grading.wall.kinds import PREFER, REMEDY, REQUIRE
from vae_edu.grading.wall.process import Zygote
from vae_edu.subject import SubjectError


@dataclass
class Result:
    """What came out for one exercise in one file."""

    file: str
    exercise: str | None
    passed: bool = False
    score: float = 0.0
    max_score: float = 0.0
    misconception: str | None = None
    label: str | None = None
    failures: list[dict[str, str]] = field(default_factory=list)
    advice: str = ""

    def as_json(self) -> str:
        """One line of JSON."""
        shown = {k: v for k, v in vars(self).items() if k != "advice"}
        return json.dumps(shown)

    def __str__(self) -> str:
        mark = "passed" if self.passed else "FAILED"
        name = self.exercise or "(no exercise)"
        lines = [f"{mark}  {self.score:g}/{self.max_score:g}  {name}  {self.file}"]
        if self.misconception:
            lines.append(f"        {self.misconception}. {self.advice}")
        lines += [f"        {f['law']}: {f['message']}" for f in self.failures]
        return "\n".join(lines)


# --- judging --------------------------------------------------------------------------


def judge_file(
    zygote: Zygote, path: Path, exercise: str | None, seed: str, seconds: float
) -> list[Result]:
    """Judge every exercise of one file."""
    submission = read(path, exercise)
    if submission.problem:
        unjudged: Sequence[str | None] = submission.wanted or [None]
        return [_unjudged(path, name, submission.problem) for name in unjudged]
    results = []
    for topic in catalogue.TOPICS:
        names = [
            e.name for e in catalogue.exercises_of(topic) if e.name in submission.wanted
        ]
        if names:
            own = Submission(path, submission.pieces, names)
            results += _judge_topic(zygote, own, topic, seed, seconds)
    return results


def _unjudged(path: Path, name: str | None, problem: str, kind: str = "load") -> Result:
    points = float(catalogue.find(name).card.points) if name else 0.0
    failure = {"law": kind, "kind": kind, "message": problem}
    return Result(str(path), name, max_score=points, failures=[failure])


def _judge_topic(
    zygote: Zygote, submission: Submission, topic: str, seed: str, seconds: float
) -> list[Result]:
    try:
        judged = judge_lesson(zygote, submission, topic, seed, seconds)
    except SubjectError as error:
        return [
            _unjudged(submission.path, name, f"{error.kind}: {error.message}")
            for name in submission.wanted
        ]
    return [_result(submission, topic, judgement) for judgement in judged.values()]


def _result(submission: Submission, topic: str, judged: Judgement) -> Result:
    exercise = judged.verdicts[0].law.exercise
    points = float(catalogue.find(exercise, topic).card.points)
    result = Result(str(submission.path), exercise, judged.passed, max_score=points)
    result.score = points if judged.passed else score(judged.verdicts, points)
    result.failures = [
        {"law": v.law.name, "kind": v.kind, "message": v.message}
        for v in judged.verdicts
        if not v.holds
    ]
    if judged.known:
        result.misconception = judged.known.name
        result.label = judged.known.label
        result.advice = judged.known.sentence
    return result


# --- the command ----------------------------------------------------------------------


def files_in(answers: Sequence[str]) -> list[Path]:
    """The answer files named on the command line; folders are searched."""
    found: list[Path] = []
    for answer in answers:
        path = Path(answer)
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if _is_answer(p, path))
        elif path.exists():
            found.append(path)
        else:
            raise CourseError(f"There is no file or folder {answer!r}.")
    if not found:
        raise CourseError(
            f"No .py or .ipynb file in {', '.join(answers)}: nothing to judge."
        )
    return found


def _is_answer(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    hidden = any(p.startswith(".") or p in ("__pycache__", "backup") for p in parts)
    return path.suffix in (".py", ".ipynb") and path.is_file() and not hidden


def command(
    answers: Sequence[str],
    exercise: str | None,
    *,
    as_json: bool,
    seed: str = "judge",
    seconds: float = LAW_SECONDS,
    policy: str = PREFER,
) -> int:
    """Judge, print a line or a paragraph for each exercise, and return the exit status.

    The sandbox in force is said on stderr, since it bears on what a result is worth.
    """
    if exercise is not None:
        catalogue.find(exercise)
    files = files_in(answers)
    passed = True
    with closing(Zygote(policy)) as zygote:
        print(_walls(zygote), file=sys.stderr)
        for path in files:
            for result in judge_file(zygote, path, exercise, seed, seconds):
                print(result.as_json() if as_json else result, flush=True)
                passed = passed and result.passed
    return 0 if passed else 1


def _walls(zygote: Zygote) -> str:
    """One line: which sandbox is in force, and why no better one."""
    why = f" ({'; '.join(zygote.problems)})" if zygote.problems else ""
    open_door = ", submissions run with your own rights"
    return f"sandbox: {zygote.sandbox}{open_door * (zygote.sandbox == 'none')}{why}"


def look_at_sandbox(name: str) -> Finding:
    """For `vae-edu doctor`: start the process that a submission's are forked from."""
    try:
        zygote = Zygote(REQUIRE)
    except CourseError as error:
        seen = str(error).removesuffix(f" {REMEDY}")
        return Finding(name, "warn", seen, f"only grading needs one. {REMEDY}")
    zygote.close()
    if not zygote.problems:
        which = f"{zygote.sandbox} ({mounts.bubblewrap()})"
        return Finding(name, "ok", f"{which}: a submission's process starts")
    seen = f"{zygote.sandbox} alone ({'; '.join(zygote.problems)})"
    return Finding(name, "warn", seen, f"it isolates less. {REMEDY}")
