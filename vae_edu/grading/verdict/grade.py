"""One submission's grade: every exercise of its lesson, judged, scored, explained.

What belongs here: from a notebook to a `Grade`, and what of the verdicts a learner may
see. What does not: many submissions (`batch`), a gradebook (`nbgrader`), words
(`report`).
"""

from __future__ import annotations

import atexit
import hashlib
import hmac
import json
import math
import os
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vae_edu import catalogue
from vae_edu.checks.judging import Verdict, score, worst, worth
from vae_edu.checks.law import ESSENTIAL, FORM, VALUE
from vae_edu.errors import CourseError
from vae_edu.feedback import Feedback
from vae_edu.grading.verdict.answers import Submission, read_lesson
from vae_edu.grading.verdict.verdicts import SPENT, Judgement, judge_lesson
from vae_edu.grading.wall.kinds import REQUIRE
from vae_edu.grading.wall.process import Zygote
from vae_edu.subject import SubjectError

LAW_SECONDS = 10.0
UNFILLED = "its cell is not filled in, and a file in work/ is not handed in"
ALONE = "grading has the notebook alone, no file beside it"
LACKING = ("ModuleNotFoundError", "ImportError", "FileNotFoundError")


@dataclass(frozen=True)
class Finding:
    """A law that is broken. Of a hidden law, `message` says nothing of its inputs."""

    title: str
    kind: str
    message: str = ""


@dataclass(frozen=True)
class ExerciseGrade:
    """The outcome for one exercise; `problem` says why no law could be tried.

    public: what `check` says of it too; hidden: laws broken at inputs of the grader;
    credit: why it earns a part of the points; label: the misconception's, which stays
    the same over years and in translations.
    """

    name: str
    number: str
    score: float
    max_score: float
    passed: bool = False
    misconception: str | None = None
    advice: str = ""
    public: tuple[Finding, ...] = ()
    hidden: tuple[Finding, ...] = ()
    problem: str = ""
    credit: str = ""
    label: str = ""


@dataclass(frozen=True)
class Grade:
    """The outcome for a submission; `problem` says why nothing could be graded.

    sandbox: what confined the learner's code (see `KINDS`). seconds: that each
    law had.
    """

    lesson: str
    exercises: tuple[ExerciseGrade, ...]
    sandbox: str
    problem: str = ""
    seconds: float = LAW_SECONDS

    @property
    def score(self) -> float:
        """Points earned, of the exercises that are graded by laws."""
        return math.fsum(e.score for e in self.exercises)

    @property
    def max_score(self) -> float:
        """Points that could be earned."""
        return math.fsum(e.max_score for e in self.exercises)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


def grade_of(data: dict[str, Any]) -> Grade:
    """The inverse of `Grade.as_dict`."""
    exercises = []
    for entry in data["exercises"]:
        found = {k: tuple(Finding(**f) for f in entry[k]) for k in ("public", "hidden")}
        exercises.append(ExerciseGrade(**(entry | found)))
    return Grade(**(data | {"exercises": tuple(exercises)}))


def grade_notebook(
    path: str | Path,
    lesson: str | None = None,
    *,
    policy: str = REQUIRE,
    seed: str | None = None,
    seconds: float = LAW_SECONDS,
) -> Grade:
    """Grade a notebook (or a .py file) without a course tree.

    lesson: "04_kl_divergence", "kl_divergence" or "4"; where it is None, the lesson
    whose exercises the file holds. policy: "require" a sandbox, "prefer" one, or "off".
    seed: draws the inputs, other ones for each submission; None draws a new seed a
    process. seconds: for each law; all together may take `verdicts.IN_ALL` times that.
    Raises CourseError where there is no sandbox, no such lesson or no such file; what
    is wrong with the file itself is the grade's `problem`.
    """
    topic = catalogue.topic_of(lesson) if lesson is not None else None
    if not os.path.exists(path):
        raise CourseError(f"There is no file {str(path)!r}.")
    submission, topic = read_lesson(Path(path), topic)
    return grade(warm_zygote(policy), submission, topic, seed or _seed(), seconds)


@cache
def _seed() -> str:
    return secrets.token_hex(16)


_warm = threading.local()  # bubblewrap ends a zygote with the thread that made it


def warm_zygote(policy: str) -> Zygote:
    """The zygote of the calling thread, started when first asked for."""
    known: dict[str, Zygote] = _warm.__dict__
    if policy not in known:
        known[policy] = Zygote(policy)
        atexit.register(known[policy].close)
    return known[policy]


def grade(
    zygote: Zygote, submission: Submission, topic: str, seed: str, seconds: float
) -> Grade:
    """Judge every exercise of a lesson in one submission."""
    lesson = catalogue.folder_of(topic)
    if submission.problem:
        exercises = [_ungraded(e, submission.problem) for e in _exercises(topic)]
        return Grade(
            lesson, tuple(exercises), zygote.sandbox, submission.problem, seconds
        )
    own = _own_seed(seed, submission)
    try:
        judged = judge_lesson(zygote, submission, topic, own, seconds)
    except SubjectError as error:
        judged, problem = {}, _words_of_loading(error)
    else:
        problem = "it is not in the notebook"
    graded = [
        _exercise_grade(e, judged[e.name])
        if e.name in judged
        else _ungraded(e, problem)
        for e in _exercises(topic)
    ]
    return Grade(lesson, tuple(graded), zygote.sandbox, seconds=seconds)


def _own_seed(secret: str, submission: Submission) -> str:
    """The seed of one submission's inputs: equal for equal code, and nobody else's.

    Whatever code might carry away of its inputs is worth nothing to another submission.
    """
    code = json.dumps([submission.wanted, submission.pieces])
    return hmac.new(secret.encode(), code.encode(), hashlib.sha256).hexdigest()


def _exercises(topic: str) -> Sequence[catalogue.Exercise]:
    found = catalogue.exercises_of(topic)
    if not found:
        raise CourseError(f"Lesson {catalogue.folder_of(topic)} has no exercises.")
    return found


def _words_of_loading(error: SubjectError) -> str:
    if error.gone == "time":
        return "the notebook's own code did not come to an end in time"
    return f"the notebook's own code stopped: {error.message}"[:500]


def _ungraded(exercise: catalogue.Exercise, problem: str) -> ExerciseGrade:
    points = float(exercise.card.points)
    return ExerciseGrade(
        exercise.name, exercise.card.number, 0.0, points, problem=problem
    )


def _exercise_grade(exercise: catalogue.Exercise, judged: Judgement) -> ExerciseGrade:
    points = float(exercise.card.points)
    earned = points if judged.passed else score(judged.verdicts, points)
    known = judged.known
    lacking = "" if earned else _lacking(judged)
    return ExerciseGrade(
        exercise.name,
        exercise.card.number,
        _clamped(earned, points),
        points,
        judged.passed,
        known.name if known else None,
        known.sentence if known else "",
        () if lacking else _shown(exercise, judged),
        () if lacking else _kept_back(judged),
        lacking or _unfinished(exercise, judged),
        _CREDIT.get(worst(judged.verdicts), ""),
        known.label if known else "",
    )


_CREDIT = {
    VALUE: "The values are those of another quantity, so that nothing else counts.",
    ESSENTIAL: "What the exercise is about does not hold yet: half of the points at "
    "most, and of these the share of the laws that hold.",
    FORM: "Right, but for its form: at least half of the points.",
}


def _clamped(earned: float, points: float) -> float:
    return min(max(earned, 0.0), points) if math.isfinite(earned) else 0.0


def _unfinished(exercise: catalogue.Exercise, judged: Judgement) -> str:
    if unfinished := next((v for v in judged.verdicts if v.kind == "unfinished"), None):
        others = {e.name for e in catalogue.all_exercises()} - {exercise.name}
        raised_in = re.findall(r", in (\w+)\n", unfinished.trace)[-1:]
        if others.intersection(raised_in):
            return f"it uses {raised_in[0]}, which is not filled in"
        return UNFILLED
    if any(v.message == f"not tried: {SPENT}" for v in judged.verdicts):
        return f"it did not come to an end in time: {SPENT}"
    late = any(v.kind == "time" for v in judged.verdicts)
    return "it did not come to an end in time" if late else ""


def _lacking(judged: Judgement) -> str:
    """What an answer needs that is not handed in: no law is then about the answer."""
    for verdict in judged.public:
        kind, _, said = verdict.message.partition(": ")
        if verdict.kind == "error" and kind in LACKING:
            return f"{said[:200]} ({ALONE})"
    return ""


def _shown(exercise: catalogue.Exercise, judged: Judgement) -> tuple[Finding, ...]:
    """Broken public laws at public inputs: word for word what `check` says.

    The first broken one in words, the others by what they say; where the values are
    wrong the others are open, as there.
    """
    broken = [v for v in judged.public if not v.holds]
    if broken and worth(broken[0]) == VALUE:
        broken = broken[:1]
    words = Feedback(exercise, judged.public, judged.known).paragraphs()[1:]
    told = "\n".join(words)[:4000]
    return tuple(
        Finding(v.law.sentence, v.kind, told if i == 0 else "")
        for i, v in enumerate(broken)
    )


def _kept_back(judged: Judgement) -> tuple[Finding, ...]:
    """Laws broken at the grader's inputs alone: their names, nothing of the inputs.

    What the code said is kept back as well: an exception may carry its inputs.
    """
    broken = [v for v in judged.public if not v.holds]
    said, wrong = {v.law.name for v in broken}, any(worth(v) == VALUE for v in broken)
    return tuple(
        Finding(_sentence(v), v.kind)
        for v in judged.verdicts
        if not v.holds and v.law.name not in said and v.kind != "unfinished"
    )[: 1 if wrong else None]


def _sentence(verdict: Verdict) -> str:
    how = {
        "error": " (your code raised an exception)",
        "time": " (out of time)",
        "died": " (the process that ran your code ended)",
        "undecided": " (it could not be decided)",
    }
    return verdict.law.sentence + how.get(verdict.kind, "")
