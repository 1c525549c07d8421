"""Many submissions: found, graded side by side, resumable at any moment.

`vae-edu grade LESSON`. Each finished grade is on the disk before it counts (`store`),
so a run that is killed and started again loses none and repeats none. The engine is any
executor in the manner of `concurrent.futures`; Dask's is one.

What belongs here: the run. What does not: how one submission is judged (`grade`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading.office.collect import is_filled
from vae_edu.grading.office.store import Store
from vae_edu.grading.office.summary import NO_REMARKS, Outcome, Remarks, conclude
from vae_edu.grading.verdict import run_folder
from vae_edu.grading.verdict.answers import Submission, read_lesson, unopened
from vae_edu.grading.verdict.grade import (
    ALONE,
    LAW_SECONDS,
    UNFILLED,
    ExerciseGrade,
    Finding,
    Grade,
    grade,
    warm_zygote,
)
from vae_edu.grading.verdict.verdicts import SPENT
from vae_edu.grading.wall import calls, enter
from vae_edu.grading.wall.kinds import NONE, OFF, REMEDY, REQUIRE, kinds

EACH = 25  # submissions a job, for its start (seconds) to pay
AHEAD = 4  # tasks a job that wait in the executor: memory stays flat
STOPPED = 130  # as a shell says it of Ctrl-C
DIED = "not graded: the grading process died twice"


@dataclass(frozen=True)
class Task:
    """One submission to grade; plain data, for other processes and machines."""

    student: str
    path: str
    topic: str
    course: str
    policy: str = REQUIRE
    seconds: float = LAW_SECONDS
    again: bool = False


def grade_task(task: Task) -> Outcome:
    """Grade one submission, or find its grade; never raises for what it holds."""
    try:
        if isinstance(found := _found(task), Outcome):
            return found
        submission, store, key, folder = found
        made = grade(
            warm_zygote(task.policy), submission, task.topic, store.seed, task.seconds
        )
        made = run_folder.with_run(made, folder, store.seed)
        store.put(key, made)
        return _outcome(task, made)
    except CourseError as error:
        return Outcome(task.student, None, 0.0, f"not graded: {error}")
    except Exception as error:  # a fault of ours: the run goes on
        note = f"not graded: {type(error).__name__}: {error}"[:500]
        return Outcome(task.student, None, 0.0, note)


def known(task: Task) -> Outcome | None:
    """What can be said without judging: an earlier run's grade, or no readable file."""
    found = _found(task)
    return found if isinstance(found, Outcome) else None


def _found(task: Task) -> Outcome | tuple[Submission, Store, str, Path | None]:
    """What can be said without judging; else what it takes to judge."""
    if problem := _about_file(Path(task.path)):
        return Outcome(task.student, None, 0.0, f"no grade: {problem}")
    submission, _ = read_lesson(Path(task.path), task.topic)
    if submission.problem:
        return Outcome(task.student, None, 0.0, f"no grade: {submission.problem}")
    store = Store(Path(task.course), task.topic, task.policy)
    folder = run_folder.beside(Path(task.path), task.topic)
    key = store.key(submission, run_folder.digest(folder))
    made = None if task.again else store.get(key)
    if made is not None and not run_folder.is_judged(made):
        made = None  # what the machine lacked then, it may have now
    if made is not None and not (made.seconds < task.seconds and _late(made)):
        return _outcome(task, made, known=True)
    return submission, store, key, folder


def _about_file(path: Path) -> str:
    """What is wrong where the notebook is not there under its name."""
    if path.exists() or path.is_symlink() or path.parent.is_symlink():
        return unopened(path)
    others = sorted(p.name for p in path.parent.glob("*") if p.name != "timestamp.txt")
    there = f"the folder holds {', '.join(others)}" if others else "the folder is empty"
    return f"there is no {path.name}; {there}"


def _outcome(task: Task, made: Grade, *, known: bool = False) -> Outcome:
    points = tuple((e.name, e.score) for e in made.exercises)
    words = [_note(made), "" if made.score else _filled_beside(task)]
    note = "; ".join(filter(None, words))
    return Outcome(task.student, made.score, made.max_score, note, known, points)


def _filled_beside(task: Task) -> str:
    """A notebook that is filled in, beside the one that is graded and is not."""
    path = Path(task.path)
    if is_filled(path, task.topic):
        return ""
    others = sorted(p for p in path.parent.glob("*.ipynb") if p != path)
    filled = [p.name for p in others if not unopened(p) and is_filled(p, task.topic)]
    named = f"{', '.join(filled)} beside it is: rename it to be graded"
    return f"{path.name} is not filled in; {named}" if filled else ""


def _note(made: Grade) -> str:
    """What an instructor would want to know at a glance."""
    missing = [e.name for e in made.exercises if "not in the notebook" in e.problem]
    words = [f"missing: {', '.join(missing)}"] if missing else []
    unfilled = [e.name for e in made.exercises if e.problem == UNFILLED]
    words += [f"not filled in: {', '.join(unfilled)}"] if unfilled else []
    words += [f"{e.name}: {e.problem}" for e in made.exercises if ALONE in e.problem]
    stopped = {e.problem for e in made.exercises if "own code" in e.problem}
    words += [*stopped]
    late = [] if stopped else _late(made)
    words += [f"out of time: {', '.join(late)}"] if late else []
    spent = any(SPENT in e.problem for e in made.exercises)
    words += ["the whole submission used its time up"] if spent else []
    died = [e.name for e in made.exercises if any(map(_is_death, _findings(e)))]
    words += [f"its process died: {', '.join(died)}"] if died else []
    words += _undecided(made)
    words += [
        e.problem for e in made.exercises if e.name == run_folder.NAME and e.problem
    ]
    unsafe = made.sandbox == NONE
    return "; ".join([*words, *(["graded without a sandbox"] if unsafe else [])])


def _late(made: Grade) -> list[str]:
    """Exercises that more time might serve."""
    return [e.name for e in made.exercises if "in time" in e.problem]


def _findings(exercise: ExerciseGrade) -> tuple[Finding, ...]:
    return (*exercise.public, *exercise.hidden)


def _is_death(finding: Finding) -> bool:
    return finding.kind == "died"


def _undecided(made: Grade) -> list[str]:
    """Laws that stumbled: over a strange answer, or by a fault of the judge's side."""
    found = [
        e.name
        for e in made.exercises
        if any(f.kind == "undecided" for f in _findings(e))
    ]
    return [f"a law could not be decided: {', '.join(found)}"] if found else []


# --- what is to be graded -------------------------------------------------------------


def submitted(course: Path, topic: str) -> list[tuple[str, Path]]:
    """Each student who has handed in a lesson, and the file (which may be missing)."""
    lesson = catalogue.folder_of(topic)
    folders = sorted((course / "submitted").glob(f"*/{lesson}"))
    return [(f.parent.name, f / f"{lesson}.ipynb") for f in folders if f.is_dir()]


def of_shard(
    found: Iterable[tuple[str, Path]], shard: str | None
) -> list[tuple[str, Path]]:
    """The students of shard "i/N", i from 1: always the same ones."""
    if shard is None:
        return [*found]
    number, slash, count = shard.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise CourseError(f"--shard is i/N, for example 2/8; got {shard!r}.")
    i, n = int(number), int(count)
    if not 1 <= i <= n:
        raise CourseError(f"--shard {shard}: the first number is 1 to {n}.")
    return [(s, p) for s, p in found if zlib.crc32(s.encode()) % n == i - 1]


def chosen(
    found: Sequence[tuple[str, Path]], students: Sequence[str]
) -> list[tuple[str, Path]]:
    """Those students alone; all where none is named."""
    known = {student for student, _ in found}
    if missing := [s for s in students if s not in known]:
        raise CourseError(f"No submission of {', '.join(missing)} for this lesson.")
    return [(s, p) for s, p in found if not students or s in students]


# --- the run --------------------------------------------------------------------------


def run(
    tasks: Sequence[Task], make: Callable[[], AbstractContextManager[Any]], ahead: int
) -> Iterator[Outcome]:
    """Outcomes as they come, from the executor that `make` gives.

    An executor whose processes die is made anew. What they were at is tried again, one
    at a time; a submission whose process dies then too is left ungraded.
    """
    waiting, suspects = [*reversed(tasks)], list[Task]()
    while waiting or suspects:
        lost: list[Task] = []
        alone = bool(suspects)
        with make() as executor:
            if alone:
                yield from _until_broken(executor, suspects, 1, lost)
            else:
                yield from _until_broken(executor, waiting, ahead, lost)
        if alone:
            yield from (Outcome(t.student, None, 0.0, DIED) for t in lost)
        else:
            suspects = [*reversed(lost)]


def _until_broken(
    executor: Executor, waiting: list[Task], ahead: int, lost: list[Task]
) -> Iterator[Outcome]:
    """Outcomes of what is waiting, until a process dies with what is then `lost`."""
    running: dict[Future[Outcome], Task] = {}
    with _given_up_together(running):
        while (waiting or running) and not lost:
            try:
                while waiting and len(running) < ahead:
                    future = executor.submit(grade_task, waiting[-1])
                    running[future] = waiting.pop()
            except BrokenExecutor:  # what is running will tell
                if not running:
                    return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                if (outcome := _result(future)) is None:
                    lost.append(task)
                else:
                    yield outcome
    lost += running.values()


@contextmanager
def _given_up_together(running: Iterable[Future[Outcome]]) -> Iterator[None]:
    """At Ctrl-C, what has not begun is not waited for."""
    try:
        yield
    except BaseException:
        for future in running:
            future.cancel()
        raise


def _result(future: Future[Outcome]) -> Outcome | None:
    """The outcome; None where the process that made it has died."""
    try:
        return future.result()
    except Exception:  # the executor's: `grade_task` raises none
        return None


class Here(Executor):
    """An executor in this very process: one job, nothing to start."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _begin_worker() -> None:
    """A worker ends with the run, even where that is killed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's to handle
    _hear_interrupts(True)
    if sys.platform.startswith("linux"):
        calls.die_with_parent()
    run = multiprocessing.parent_process()
    if run is not None and not run.is_alive():  # it was killed while this one started
        os._exit(1)


def _hear_interrupts(yes: bool) -> None:
    if hasattr(signal, "pthread_sigmask"):
        how = signal.SIG_UNBLOCK if yes else signal.SIG_BLOCK
        signal.pthread_sigmask(how, {signal.SIGINT})


class _Workers(ProcessPoolExecutor):
    """Processes that do not hear a Ctrl-C, which is the run's, while they start either.

    They inherit that from this process, which hears it a moment later.
    """

    def __init__(self, jobs: int) -> None:
        context = multiprocessing.get_context("spawn")
        super().__init__(jobs, context, _begin_worker)

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """As its base, which starts the processes here."""
        _hear_interrupts(False)
        try:
            return super().submit(*args, **kwargs)
        finally:
            _hear_interrupts(True)


def engine(jobs: int, scheduler: str | None) -> Callable[[], Any]:
    """What makes the executor: here, so many processes, or a Dask cluster."""
    if scheduler is not None:
        return lambda: _dask(scheduler)
    if jobs == 1:
        return lambda: nullcontext(Here())
    return lambda: _Workers(jobs)


def _dask(scheduler: str) -> Any:
    return _DaskExecutor(_client(scheduler))


def _client(scheduler: str) -> Any:
    """A Dask client; a CourseError where there is no Dask, or nobody answers."""
    try:
        from distributed import Client
    except ImportError:
        raise CourseError(
            "--scheduler needs Dask: pip install 'vae_edu[scale]', here and in the "
            "cluster's environment."
        ) from None
    try:
        return Client(scheduler, timeout=60)
    except (OSError, ValueError) as error:
        raise CourseError(
            f"No Dask scheduler answers at {scheduler}: {error}"
        ) from None


class _DaskExecutor:
    """Dask's executor, which closes its client with it."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __enter__(self) -> Any:
        return self.client.get_executor(pure=False, retries=1)

    def __exit__(self, *raised: object) -> None:
        self.client.close()


# --- the command ----------------------------------------------------------------------


def command(
    lesson: str,
    *,
    course: Path,
    students: Sequence[str] = (),
    jobs: int | None = None,
    shard: str | None = None,
    scheduler: str | None = None,
    again: bool = False,
    seconds: float = LAW_SECONDS,
    policy: str = REQUIRE,
    remarks: Remarks = NO_REMARKS,
) -> int:
    """Grade a lesson's submissions, show progress, print a summary; the exit status.

    0 where every submission has a grade, 1 where one has none, 130 at Ctrl-C. remarks:
    of a download that was taken in before, for the summary.
    """
    _refuse(jobs, seconds, policy if scheduler is None else OFF)
    topic = catalogue.topic_of(lesson)
    found = of_shard(chosen(_handed_in(course, topic), students), shard)
    tasks = [
        Task(s, str(p), topic, str(course), policy, seconds, again) for s, p in found
    ]
    Store(course, topic, policy).tidy()
    shown = tqdm(
        _all(tasks, jobs, scheduler), "grading", len(tasks), unit=" submission"
    )
    try:
        with _heeding_interrupts() as asked:
            outcomes = [*_until(asked, shown)]
        return conclude(
            course, topic, outcomes, shard=shard, some=bool(students), remarks=remarks
        )
    except KeyboardInterrupt:
        print("\nStopped. Grades are kept: the same command goes on from here.")
        return STOPPED


@contextmanager
def _heeding_interrupts() -> Iterator[threading.Event]:
    """An event that a Ctrl-C sets for good, beside its exception.

    The exception is lost where it is raised in a callback or a finalizer.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def heed(number: int, frame: Any) -> None:
        asked.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, heed)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _until(asked: threading.Event, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        yield outcome
        if asked.is_set():
            raise KeyboardInterrupt


def _handed_in(course: Path, topic: str) -> list[tuple[str, Path]]:
    """As `submitted`; a CourseError where there is nothing."""
    found = submitted(course, topic)
    if not found:
        where = f"submitted/*/{catalogue.folder_of(topic)}"
        raise CourseError(
            f"There is no submission {where} in {course}. Collect them first "
            "(nbgrader collect, nbgrader zip_collect), or name a folder with --from."
        )
    return found


def _refuse(jobs: int | None, seconds: float, policy: str) -> None:
    """CourseErrors that are better said once than for each submission."""
    if jobs is not None and jobs < 1:
        raise CourseError(f"--jobs is a number of processes, from 1; got {jobs}.")
    if not 0 < seconds < 86400:
        raise CourseError(f"--seconds is a time for each law; got {seconds:g}.")
    lacks = {kind: enter.lacking(kind) for kind in kinds(policy)}
    if all(lacks.values()):
        said = "; ".join(f"{kind}: {why}" for kind, why in lacks.items())
        raise CourseError(f"There is no sandbox here ({said}). {REMEDY}")


def _all(
    tasks: Sequence[Task], jobs: int | None, scheduler: str | None
) -> Iterator[Outcome]:
    """Outcomes that are known already, then those of the rest."""
    rest = [*tasks]
    if tasks and Store.holds_any(Path(tasks[0].course), tasks[0].topic):
        rest = []
        for task in tasks:
            found = None
            with suppress(Exception):  # which `grade_task` meets again, and tells
                found = known(task)
            if found is None:
                rest.append(task)
            else:
                yield found
    if rest:
        jobs = _workers(jobs, scheduler, len(rest))
        yield from run(rest, engine(jobs, scheduler), AHEAD * jobs)


def _workers(jobs: int | None, scheduler: str | None, count: int) -> int:
    """How many submissions are graded at a time."""
    if scheduler is not None:
        with _client(scheduler) as client:
            return max(1, sum(client.nthreads().values()))
    most = jobs or min(os.cpu_count() or 1, 1 + count // EACH)
    return min(most, count)
