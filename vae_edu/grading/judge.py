"""`vae-edu judge`: answers in files, each judged in a process of its own.

The laws and the true values stay in this process; the answer's process gets tensors and
returns tensors (see `wire` and `zygote`).
"""

from __future__ import annotations

import ast
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from vae_edu import catalogue
from vae_edu.checks.judging import (
    Verdict,
    laws_of,
    misconception,
    run_law,
    score,
)
from vae_edu.checks.law import Law, OracleTruth, Truth
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth, table
from vae_edu.errors import CourseError
from vae_edu.grading import sandbox, wire
from vae_edu.paths import course_root
from vae_edu.subject import Answer, Request, Subject, SubjectError, local
from vae_edu.work import reference_file

LAW_SECONDS = 20.0
START_SECONDS = 120.0  # patience with a zygote on a busy machine
PATIENCE = 2  # laws that may run out of time before the others are not tried


@dataclass
class Result:
    """What came out for one exercise in one file."""

    file: str
    exercise: str | None
    passed: bool = False
    score: float = 0.0
    max_score: float = 0.0
    misconception: str | None = None
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


class Zygote:
    """The warm process from which every answer's process is forked, inside a sandbox.

    policy: "require" a sandbox, "prefer" one, "off"; or one of `sandbox.KINDS` by name.
    Afterwards `sandbox` is the kind in force, `problems` say why it is no better one.
    bubblewrap ends it with the thread that made it, so make it in one that lasts.
    """

    def __init__(
        self, policy: str = sandbox.PREFER, limits: sandbox.Limits = sandbox.LIMITS
    ) -> None:
        if not hasattr(os, "fork"):
            raise CourseError(
                "Judging forks processes, which this system cannot do. "
                "Use Linux, macOS or WSL."
            )
        self.limits = limits
        self.problems: list[str] = []
        for kind in sandbox.kinds(policy):
            problem = sandbox.lacking(kind) or self._start(kind)
            if not problem:
                self.sandbox = kind
                return
            self.problems.append(f"{kind}: {problem}")
        said = "; ".join(self.problems)
        if policy == sandbox.OFF or policy == sandbox.NONE:
            raise CourseError(f"The judging process did not start ({said}).")
        raise CourseError(f"There is no sandbox here ({said}). {sandbox.REMEDY}")

    def _start(self, kind: str) -> str:
        """Start it; the problem, if it did not start."""
        self.control, other = socket.socketpair()
        with other, tempfile.TemporaryFile() as said:
            self.process = _popen(kind, self.limits, other.fileno(), said)
            other.close()
            with suppress(wire.WireError, OSError):
                wire.receive(self.control, time.monotonic() + START_SECONDS)
                return ""
            self.close()
            said.seek(0)
            words = said.read().decode(errors="replace").strip()
        return words.splitlines()[-1][:300] if words else "it did not start"

    def fork(self) -> Fork:
        """A new session; the zygote is started again where it has died."""
        try:
            return self._fork()
        except (wire.WireError, OSError):
            self.close()
            if problem := self._start(self.sandbox):
                raise CourseError(f"The judging process died: {problem}") from None
            return self._fork()

    def _fork(self) -> Fork:
        own = _socket_through(self.control, START_SECONDS)
        try:
            sign, descriptors = _sign(self.control, time.monotonic() + START_SECONDS)
            if sign != b"+":
                raise wire.WireError("no session could be made")
            message = wire.receive(self.control, time.monotonic() + START_SECONDS)
            return Fork(own, int(message["pid"]), *descriptors)
        except BaseException:
            own.close()
            raise

    def close(self) -> None:
        """End it."""
        self.control.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _popen(
    kind: str, limits: sandbox.Limits, control: int, said: Any
) -> subprocess.Popen[bytes]:
    """The zygote's process, with nothing of ours but its socket."""
    code = f"import sys; sys.path[:] = {sandbox.search_path()!r}; "
    code += "from vae_edu.grading import sandbox; "
    code += f"sandbox.begin({control}, {kind!r}, *{astuple(limits)})"
    command, passed = [sandbox.python(), "-P", "-s", "-B", "-c", code], [control]
    if kind == sandbox.BUBBLEWRAP:
        passed.append(sandbox.filter_file())
        command = sandbox.command(command, passed[-1])
    try:
        return subprocess.Popen(
            command,
            pass_fds=passed,
            env=sandbox.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    finally:
        for descriptor in passed[1:]:
            os.close(descriptor)


@dataclass
class Fork:
    """A forked process: its socket and, of a session, the pid and a descriptor of it.

    Both come from the zygote. A session ends its laws' processes, and its own end ends
    them all: what it might say about their pids is not believed.
    """

    sock: socket.socket
    pid: int = 0
    handle: int = -1

    def kill(self) -> None:
        """End it; a session takes its laws' processes with it."""
        self.sock.close()
        with suppress(ProcessLookupError, PermissionError):
            if self.handle >= 0:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            elif self.pid > 0:
                os.kill(self.pid, signal.SIGKILL)
        if self.handle >= 0:
            os.close(self.handle)
        self.pid, self.handle = 0, -1


def _socket_through(parent: socket.socket, seconds: float) -> socket.socket:
    """Hand over one end of a pair of sockets; the other, which never waits longer."""
    own, other = socket.socketpair()
    own.settimeout(seconds)
    with other:
        try:
            socket.send_fds(parent, [b"f"], [other.fileno()])
        except BaseException:
            own.close()
            raise
    return own


def _sign(sock: socket.socket, deadline: float) -> tuple[bytes, list[int]]:
    """One byte, and the descriptor that may come with it."""
    if not select.select([sock], [], [], max(0.0, deadline - time.monotonic()))[0]:
        raise TimeoutError
    data, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
    return data, list(descriptors)


def fork_law(session: Fork, seconds: float) -> Fork:
    """Ask a session for a fork that serves one law."""
    own = _socket_through(session.sock, seconds)
    try:
        wire.receive(session.sock, time.monotonic() + seconds)
        return Fork(own)
    except BaseException:
        own.close()
        raise


@contextmanager
def session(
    zygote: Zygote, submission: Submission, topic: str, seconds: float
) -> Iterator[Fork]:
    """A process that has loaded a submission; SubjectError where that fails."""
    fork = zygote.fork()
    try:
        message = {
            "name": submission.path.name,
            "pieces": submission.pieces,
            "wanted": submission.wanted,
            "earlier": earlier_sources(topic),
        }
        _hand_over(fork, message)
        reply = _reply(fork, time.monotonic() + 2 * seconds)
        if "failed" in reply:
            raise SubjectError("LoadError", str(reply["failed"]))
        fork.sock.settimeout(seconds)
        yield fork
    finally:
        fork.kill()


def _hand_over(fork: Fork, message: dict[str, Any]) -> None:
    """Send a message to a process that may have died, or not listen."""
    try:
        wire.send(fork.sock, message)
    except wire.WireError as error:
        raise SubjectError("TooLarge", f"{error}") from None
    except TimeoutError:
        raise SubjectError("Timeout", "the code did not finish in time") from None
    except OSError:
        raise SubjectError("Died", "the process that ran it died") from None


def earlier_sources(topic: str) -> dict[str, str]:
    """The reference answers of the lessons before this one, as text, in order."""
    before = catalogue.TOPICS[: catalogue.TOPICS.index(topic)]
    files = {t: reference_file(t) for t in before}
    return {t: f.read_text(encoding="utf-8") for t, f in files.items() if f.exists()}


def _reply(fork: Fork, deadline: float) -> dict[str, Any]:
    """A message from a process that may hang, die or talk nonsense."""
    try:
        return wire.receive(fork.sock, deadline)
    except TimeoutError:
        raise SubjectError("Timeout", "the code did not finish in time") from None
    except (wire.WireError, OSError) as error:
        raise SubjectError("Died", f"the process that ran it died: {error}") from None


def remote(fork: Fork, seconds: float) -> Subject:
    """A subject in another process, which may keep us waiting so long in all.

    The judge's own time (an oracle's first import, a quadrature) does not count.
    """
    left = seconds

    def perform(request: Request) -> Answer:
        nonlocal left
        asked = time.monotonic()
        try:
            _hand_over(fork, wire.request_message(request))
            reply = _reply(fork, asked + left)
        finally:
            left -= time.monotonic() - asked
        try:
            return wire.answer_of(reply)
        except (wire.WireError, KeyError, TypeError, ValueError, AttributeError):
            raise SubjectError("Died", "its process sent no valid answer") from None

    return Subject(perform)


# --- what a file holds ----------------------------------------------------------------


@dataclass
class Submission:
    """A file's code: pieces to run in order, and the exercises that it defines."""

    path: Path
    pieces: list[str]
    wanted: list[str]
    problem: str = ""


def read(path: Path, exercise: str | None) -> Submission:
    """A file as a submission; what cannot be read becomes its `problem`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        pieces = cells_of(text) if path.suffix == ".ipynb" else [text]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        words = f"the file cannot be read: {type(error).__name__}: {error}"
        return Submission(path, [], [exercise] if exercise else [], words[:500])
    wanted = [exercise] if exercise else defined(pieces)
    problem = "" if wanted else "the file defines no exercise of the course"
    return Submission(path, pieces, wanted, problem)


def cells_of(text: str) -> list[str]:
    """The cells of a notebook that are run: all code but experiments and checks.

    Of an experiment only its imports are run, since an answer may use them.
    """
    book = json.loads(text)
    return [
        code
        for cell in book["cells"]
        if cell.get("cell_type") == "code"
        for code in [_cell_code(cell)]
        if code
    ]


def _cell_code(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    text = _without_magic(source if isinstance(source, str) else "".join(source))
    metadata = cell.get("metadata", {})
    graded = metadata.get("nbgrader", {})
    if graded.get("grade") and not graded.get("solution"):
        return ""
    if "experiment" in metadata.get("tags", []) and not graded:
        return _imports_of(text)
    return text


def _without_magic(text: str) -> str:
    lines = text.splitlines()
    if lines and lines[0].startswith("%%"):
        lines = lines[1:] if re.match(r"%%(time|timeit|capture)\b", lines[0]) else []
    return "\n".join(re.sub(r"^(\s*)[%!?].*$", r"\1pass", line) for line in lines)


def _imports_of(text: str) -> str:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ""
    kept = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(n) for n in kept)


def defined(pieces: Iterable[str]) -> list[str]:
    """The exercises that the pieces define at top level, in the order of the course."""
    names = {name for piece in pieces for name in _defined_names(piece)}
    return [e.name for e in catalogue.all_exercises() if e.name in names]


def _defined_names(piece: str) -> set[str]:
    try:
        tree = ast.parse(piece)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(re.findall(r"^(?:def|class)\s+(\w+)", piece, re.M))
    names: set[str] = set()
    waiting: list[ast.stmt] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)
            }
        else:
            waiting += [
                n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)
            ]
    return names


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
        with session(zygote, submission, topic, seconds) as fork:
            return [
                judge_exercise(fork, submission.path, topic, name, seed, seconds)
                for name in submission.wanted
            ]
    except SubjectError as error:
        return [
            _unjudged(submission.path, name, f"{error.kind}: {error.message}")
            for name in submission.wanted
        ]


def judge_exercise(
    fork: Fork, path: Path, topic: str, exercise: str, seed: str, seconds: float
) -> Result:
    """Every law, public and hidden, on inputs drawn from `seed`; then the diagnosis."""
    truth = oracle_of(topic)
    verdicts: list[Verdict] = []
    for law in every_law(topic, exercise):
        verdicts.append(_try(fork, law, truth, seed, seconds, verdicts))
        if verdicts[-1].kind == "unfinished":
            break
    points = float(catalogue.find(exercise).card.points)
    result = Result(str(path), exercise, max_score=points)
    result.passed = all(v.holds for v in verdicts)
    result.score = points if result.passed else score(verdicts, points)
    result.failures = [
        {"law": v.law.name, "kind": v.kind, "message": v.message}
        for v in verdicts
        if not v.holds
    ]
    if not result.passed and not _hopeless(verdicts):
        known = _diagnosis(fork, topic, exercise, seconds)
        result.misconception = known.name if known else None
        result.advice = known.sentence if known else ""
    return result


def _hopeless(verdicts: Sequence[Verdict]) -> bool:
    return any(v.kind in ("unfinished", "time") for v in verdicts)


def _try(
    fork: Fork,
    law: Law,
    truth: Truth,
    seed: str,
    seconds: float,
    before: Sequence[Verdict] = (),
) -> Verdict:
    """One law in a process of its own, forked from the session."""
    if sum(v.kind == "time" for v in before) >= PATIENCE:
        return Verdict(law, False, "time", "not tried: other laws ran out of time")
    try:
        own = fork_law(fork, seconds)
    except (wire.WireError, OSError, TimeoutError):
        return Verdict(law, False, "died", "not tried: the answer's process has died")
    try:
        verdict = run_law(law, remote(own, seconds), truth, seed)
    finally:
        own.kill()
    if verdict.message.startswith("Timeout: "):
        verdict.kind = "time"
    return verdict


def _diagnosis(fork: Fork, topic: str, exercise: str, seconds: float) -> Any:
    said = table(topic)["truth"].get(exercise, {})
    public = [
        _try(fork, law, RecordedTruth(said.get(law.name, ())), PUBLIC_SEED, seconds)
        for law in laws_of(topic).of(exercise)
    ]
    return misconception(topic, exercise, public)


def every_law(topic: str, exercise: str) -> list[Law]:
    """Public laws, then hidden ones."""
    return [*laws_of(topic).of(exercise), *_hidden(topic).LAWS.of(exercise)]


def oracle_of(topic: str) -> OracleTruth:
    """The independent oracles of a lesson."""
    return OracleTruth(local(_hidden(topic).ORACLES))


def _hidden(topic: str) -> Any:
    root = str(course_root())
    if not (course_root() / "tests" / "hidden").is_dir():
        raise CourseError(
            "Judging needs the instructor's side of the course (tests/hidden), which "
            "this copy does not have. Use a full checkout."
        )
    if root not in sys.path:
        sys.path.insert(0, root)
    return import_module(f"tests.hidden.{topic}")


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
    policy: str = sandbox.PREFER,
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
