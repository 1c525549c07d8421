"""What the laws say of an exercise that lives in another process.

What belongs here: which laws are tried, in which processes, and the diagnosis. What
does not: files, scores in a gradebook, words for a learner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any

from vae_edu.checks.diagnosis import Misconception, diagnose
from vae_edu.checks.judging import Verdict, worth
from vae_edu.checks.judging import run_law as _run_law
from vae_edu.checks.law import VALUE, Law, Truth
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth
from vae_edu.errors import CourseError
from vae_edu.grading.verdict.ahead import Line, Script, script_of
from vae_edu.grading.verdict.answers import Submission
from vae_edu.grading.verdict.truth import RememberedTruth
from vae_edu.grading.wall.process import GONE_SECONDS, Budget, Sessions, Zygote
from vae_edu.lesson import find
from vae_edu.subject import SubjectError

LAW_SECONDS = 20.0
PATIENCE = 2  # laws that may run out of time before the others are not tried
IN_ALL = 12.0  # times a law's seconds: what a submission's code may take
TO_EXPLAIN = 3.0  # and once more, where it is wrong
SPENT = "the time of the whole submission was used up"


@dataclass
class Judgement:
    """Every law's verdict on one exercise.

    verdicts: public and hidden laws at inputs drawn from the judge's seed; public: the
    public laws at the inputs that `check` uses, tried only where a law is broken, with
    the known mistake that they show.
    """

    verdicts: list[Verdict]
    public: list[Verdict] = field(default_factory=list)
    known: Misconception | None = None

    @property
    def passed(self) -> bool:
        """True where there is a law, and every law was tried and holds."""
        return bool(self.verdicts) and all(v.holds for v in self.verdicts)

    @property
    def explicable(self) -> bool:
        """Whether a law is broken for a reason that the public laws may show."""
        late = any(v.kind in ("unfinished", "time") for v in self.verdicts)
        return not self.passed and not late


def judge_lesson(
    zygote: Zygote, submission: Submission, topic: str, seed: str, seconds: float
) -> dict[str, Judgement]:
    """The exercises of a lesson that a submission holds.

    Raises SubjectError where its code does not come to an end. What its code takes in
    all is bounded, too: the laws that are left then are out of time.
    """
    again = _seeds.get(topic) == seed  # to ask ahead pays from the second time on
    _seeds[topic] = seed
    budget = Budget(IN_ALL * seconds)
    with closing(Sessions(zygote, submission, topic, seconds, budget)) as sessions:
        sessions.begin()
        trial = Trial(sessions, topic, truth_of(topic), seed, seconds, again, budget)
        judged = judge_exercises(trial, submission.wanted)
        broken = {name: j for name, j in judged.items() if j.explicable}
        if broken:  # what is explained may say nothing of hidden inputs
            sessions.close(GONE_SECONDS)
    if broken:
        more = Budget(TO_EXPLAIN * seconds)
        explain(sessions.anew(more), topic, broken, seconds)
    return judged


_seeds: dict[str, str] = {}  # of each lesson, the last one in this process


@dataclass
class Trial:
    """What the laws are tried on, and with: sessions, true values, a seed, a time.

    ahead: ask ahead what the laws are going to ask. budget: of the whole submission.
    """

    sessions: Sessions
    topic: str
    truth: Truth
    seed: str
    seconds: float
    ahead: bool = True
    budget: Budget = field(default_factory=Budget)

    def laws(self, exercise: str) -> list[Law]:
        """Every law of an exercise; a CourseError where there is none."""
        if not (laws := find(self.topic).every_law(exercise)):
            raise CourseError(f"The exercise {exercise!r} has no laws to judge it by.")
        return laws


def judge_exercises(trial: Trial, names: Sequence[str]) -> dict[str, Judgement]:
    """Every law, public and hidden, of some exercises, on inputs drawn from a seed."""
    judged: dict[str, Judgement] = {}
    while len(judged) < len(names):
        for name, verdicts in _together(trial, names[len(judged) :]).items():
            whole = verdicts[-1].holds
            judged[name] = (
                Judgement(verdicts) if whole else _judge_apart(trial, name, verdicts)
            )
    return judged


def _judge_apart(trial: Trial, exercise: str, tried: Sequence[Verdict]) -> Judgement:
    """An exercise with a broken law, the last that was tried.

    No verdict about an answer is taken back: code that is asked again can tell, and
    would be given a second guess.
    """
    laws, broken = trial.laws(exercise), tried[-1]
    first = [*tried[:1]] if _answered(tried[0]) else []
    wrong = worth(broken) == VALUE and broken.kind != "undecided"
    if broken in first and wrong:
        return Judgement(first)  # the others cannot earn a point
    verdicts = _apart(trial, laws, first)
    if _answered(broken):
        verdicts[laws.index(broken.law)] = broken  # it remembers what came before
    return Judgement(verdicts)


def _answered(verdict: Verdict) -> bool:
    """Whether a verdict is about an answer, not about a process that gave none."""
    return verdict.kind not in ("time", "died")


def explain(
    sessions: Sessions, topic: str, broken: Mapping[str, Judgement], seconds: float
) -> None:
    """Add the public laws and the diagnosis, in words that a learner may read.

    sessions: that no input of the judge's seed has reached. What the code says there
    (an exception, a value) is shown, and might carry such an input out.
    """
    with closing(sessions), suppress(SubjectError):
        sessions.begin()
        for name, judgement in broken.items():
            judgement.public = _public(sessions, topic, name, seconds)
            judgement.known = _known(sessions, topic, name, judgement.public, seconds)


def _together(trial: Trial, names: Sequence[str]) -> dict[str, list[Verdict]]:
    """The laws of exercises in one process, up to the first that is broken.

    A process takes longer than most laws; and so a notebook does: what one answer
    leaves behind, the next one finds. A law that finds another state than the one after
    loading is harder to keep, but for one thing: what goes wrong in the very first call
    alone is seen by the first law only. Where all hold, that is the verdict.
    """
    tried: dict[str, list[Verdict]] = {}
    while len(tried) < len(names):
        rest = [*names[len(tried) :]]
        if trial.budget.spent:
            return tried | {rest[0]: [_spent(law) for law in trial.laws(rest[0])[:1]]}
        laws = {name: trial.laws(name) for name in rest}
        scripts = [_script(trial, law) for name in rest for law in laws[name]]
        try:
            with trial.sessions.process() as own:
                line = Line(own, scripts)
                for name in rest:
                    verdicts = _until_broken(trial, line, laws[name])
                    if line.strayed:
                        break
                    tried[name] = verdicts
                    if not verdicts[-1].holds:
                        return tried
        except SubjectError:  # there is none any more
            return tried | {rest[0]: [_died(law) for law in laws[rest[0]][:1]]}
    return tried


def _until_broken(trial: Trial, line: Line, laws: Sequence[Law]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for law in laws:
        spent = trial.budget.spent
        verdicts.append(_spent(law) if spent else _tried(trial, line, law))
        if not verdicts[-1].holds:
            break
    return verdicts


def _tried(trial: Trial, line: Line, law: Law) -> Verdict:
    subject = line.begin(trial.seconds, trial.budget)
    return _run_law(law, subject, trial.truth, trial.seed, noted=False)


def _script(trial: Trial, law: Law) -> Script:
    if not trial.ahead:
        return Script()
    return script_of(trial.topic, law, trial.truth, trial.seed)


def _apart(
    trial: Trial, laws: Sequence[Law], first: Sequence[Verdict]
) -> list[Verdict]:
    """Each law in a process of its own, as it was right after loading.

    first: the first law's verdict, if it stands: another attempt would reward code that
    answers differently when it is asked again.
    """
    verdicts = [*first]
    for law in laws[len(first) :]:
        verdicts.append(_try(trial, law, verdicts))
    return verdicts


def _public(
    sessions: Sessions, topic: str, exercise: str, seconds: float
) -> list[Verdict]:
    """The public laws as `check` tries them: what a learner may be shown.

    One after the other in one process, as there; in a new one after a crash or a hang.
    """
    lesson = find(topic)
    said = lesson.recorded["truth"].get(exercise, {})
    laws = lesson.laws.of(exercise)
    verdicts: list[Verdict] = []
    with ExitStack() as stack:
        line: Line | None = None
        for law in laws:
            if sessions.budget.spent:
                break
            if skipped := _not_tried(law, verdicts):
                verdicts.append(skipped)
                continue
            if line is None:
                stack.close()
                line = _plain_line(stack, sessions, len(laws))
            if line is None:
                verdicts.append(_died(law))
                continue
            truth = RecordedTruth(said.get(law.name, ()))
            subject = line.begin(seconds, sessions.budget)
            verdicts.append(_run_law(law, subject, truth, PUBLIC_SEED))
            if not _answered(verdicts[-1]):
                line = None
    return verdicts


def _known(
    sessions: Sessions,
    topic: str,
    exercise: str,
    public: Sequence[Verdict],
    seconds: float,
) -> Misconception | None:
    """The mistake's name; a process of its own is there to be examined."""
    with ExitStack() as stack:
        line = _plain_line(stack, sessions, 1)
        if line is None:
            return None
        return diagnose(topic, exercise, public, line.begin(seconds, sessions.budget))


def _plain_line(stack: ExitStack, sessions: Sessions, count: int) -> Line | None:
    """A new process that serves so many laws, asked one by one; None without one."""
    with suppress(SubjectError):
        return Line(stack.enter_context(sessions.process()), [Script()] * count)
    return None


def _not_tried(law: Law, before: Sequence[Verdict]) -> Verdict | None:
    """The verdict on a law that is not tried, after what came before.

    It does not hold: else an answer could choose those that count.
    """
    if any(v.kind == "unfinished" for v in before):
        return Verdict(law, False, "unfinished", "not tried: the answer is unfinished")
    if sum(v.kind == "time" for v in before) >= PATIENCE:
        return Verdict(law, False, "time", "not tried: other laws ran out of time")
    return None


def _try(trial: Trial, law: Law, before: Sequence[Verdict]) -> Verdict:
    """One law in a process of its own."""
    if skipped := _not_tried(law, before):
        return skipped
    if trial.budget.spent:
        return _spent(law)
    try:
        with trial.sessions.process() as own:
            return _tried(trial, Line(own, [Script()]), law)
    except SubjectError:
        return _died(law)


def _spent(law: Law) -> Verdict:
    return Verdict(law, False, "time", f"not tried: {SPENT}")


def _died(law: Law) -> Verdict:
    return Verdict(law, False, "died", "not tried: the answer's process has died")


def truth_of(topic: str) -> Truth:
    """The independent oracles of a lesson, asked once for each question."""
    oracles = find(topic).authored("hidden").ORACLES
    return _remembered(topic, tuple(sorted(oracles.items(), key=itemgetter(0))))


@cache
def _remembered(topic: str, oracles: tuple[tuple[str, Any], ...]) -> Truth:
    return RememberedTruth(find(topic).oracle)
