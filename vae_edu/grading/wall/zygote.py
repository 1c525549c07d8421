"""The process that runs learners' code: warmed once, forked for each submission.

It knows no answer, oracle or hidden law. `main` serves one control socket: each message
asks for a session (a process that loads one submission, in the walls of `sandbox`). A
session serves the laws itself or, asked to, forks once more for each law, so that each
sees the state right after loading, and a crash or a hang costs only that law. Between
the zygote and a session stands its keeper.
"""

from __future__ import annotations

import ast
import gc
import os
import re
import signal
import socket
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial, wraps
from importlib import import_module
from typing import Any, NamedTuple

import torch

from vae_edu import work
from vae_edu.grading.wall import enter, keeper, wire
from vae_edu.grading.wall.kinds import BUBBLEWRAP, Limits
from vae_edu.light import spare_the_compiler
from vae_edu.subject import Answer, Engine, Request, SubjectError


class Walls(NamedTuple):
    """What confines a session."""

    kind: str
    limits: Limits


def main(control: socket.socket, kind: str, limits: Limits) -> None:
    """Start a keeper for each socket that arrives; ends when the judge closes."""
    _warm()
    wire.send(control, {"ready": True})
    walls = Walls(kind, limits)
    while (sock := _socket_from(control)) is not None:
        _start_keeper(control, partial(_keeper, walls, control, sock))
        sock.close()


def _warm() -> None:
    """Import what submissions use; no parallel region, so that a fork is safe."""
    torch.set_num_threads(1)
    spare_the_compiler()
    import_module("torch.distributions")
    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()
    torch.zeros(2, 2, device="meta").mean(0)
    forward_mode = "torch._decomp.decompositions_for_jvp"
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        import_module(forward_mode)
    # Looked up once, in /proc and /sys, which a session lacks: the last digits.
    torch.backends.cpu.get_cpu_capability()
    for module in ("feedback", "data", "viz"):  # what a lesson's first cell imports
        import_module(f"vae_edu.{module}")
    _load_without_workers()
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, every page
    if (tasks := enter.tasks()) > 1:
        sys.exit(f"the zygote has {tasks} threads, where a fork needs one")


def _load_without_workers() -> None:
    """A DataLoader's workers send tensors through sockets: here one waits for ever.

    So it loads in its own process, which gives the same batches.
    """
    from torch.utils.data import DataLoader

    begin = DataLoader.__init__

    @wraps(begin)
    def without(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self.num_workers = self.timeout = 0

    DataLoader.__init__ = without  # type: ignore[method-assign]


def _socket_from(sock: socket.socket) -> socket.socket | None:
    """The socket in the next message; None where the other side has closed."""
    data, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
    if not data or not descriptors:
        return None
    return socket.socket(fileno=descriptors[0])


def _fork(work_of_child: Callable[[], None]) -> int:
    """Fork a process that does one thing and never returns from here."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work_of_child()
        status = 0
    finally:
        os._exit(status)


def _start_keeper(control: socket.socket, keeper: Callable[[int], None]) -> None:
    """Fork a keeper and wait until it has told the judge of its session."""
    source, sink = os.pipe()

    def begin() -> None:
        os.close(source)
        keeper(sink)

    pid = _fork(begin)
    os.close(sink)
    if not os.read(source, 1):
        control.sendall(b"-")
        os.waitpid(pid, 0)
    os.close(source)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # the keepers of sessions that have ended


def _keeper(
    walls: Walls, control: socket.socket, sock: socket.socket, sink: int
) -> None:
    """Fork the session, hand its pid to the judge, and watch over it."""
    idle, busy = os.pipe()
    pid = enter.enclose(walls.kind)
    if not pid:
        control.close()
        os.close(sink)
        os.close(idle)
        enter.confine(*walls)
        _session(sock, walls.kind, busy)
        os._exit(0)
    os.close(busy)
    why, words = os.pipe()  # after the fork: what is said there, no learner's code says
    _announce(control, pid, why)
    control.close()
    os.write(sink, b"+")
    os.close(sink)
    sock.close()
    os.read(idle, 1)  # until the session has work, or has ended
    os.close(idle)
    keeper.keep(pid, walls.limits, words)


def _announce(control: socket.socket, pid: int, why: int) -> None:
    """Say which process the session is, and where its keeper will say why it ended it.

    As descriptors, where there is one of a process.
    """
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(pid)
        socket.send_fds(control, [b"+"], [descriptor, why])
        os.close(descriptor)
    else:
        control.sendall(b"+")
    os.close(why)
    wire.send(control, {"pid": pid})


def _session(sock: socket.socket, kind: str, busy: int) -> None:
    """Load a submission, then serve laws here, or fork for each, one at a time.

    What the lesson builds on is made ready before the submission comes. busy: closed
    before anything of the submission runs, for the keeper to watch.
    """
    with suppress(wire.WireError, OSError):  # nobody needs it
        _make_ready(wire.receive(sock)["earlier"])
        message = wire.receive(sock)
        os.close(busy)
        _load_and_serve(sock, kind, message)


def _make_ready(earlier: dict[str, str]) -> None:
    work.saving(False)
    _install_earlier(earlier)


def _load_and_serve(sock: socket.socket, kind: str, message: dict[str, Any]) -> None:
    try:
        engine = load(message, lambda i: wire.send(sock, {"at": i}))
        threaded = threading.active_count() > 1 or torch.get_num_threads() > 1
        wire.send(sock, {"loaded": sorted(engine.objects), "threaded": threaded})
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}"
        wire.send(sock, {"failed": text[:2000]})
        return
    law = 0
    while True:
        data, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
        if not descriptors:
            if data:
                _serve(sock, engine)
            return
        own = socket.socket(fileno=descriptors[0])
        _end(law, kind)
        law = _fork(partial(_law, sock, own, engine))
        own.close()
        wire.send(sock, {"forked": True})


def _end(law: int, kind: str) -> None:
    """End a law's process and, where the session has its own pids, all that it left."""
    if not law:
        return
    # Old Landlock: its keeper ends it, with the session. Or it was reaped already.
    with suppress(PermissionError, ProcessLookupError, ChildProcessError):
        os.kill(law, signal.SIGKILL)
        os.waitpid(law, 0)
    if kind == BUBBLEWRAP and os.getpid() == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


def _law(session: socket.socket, sock: socket.socket, engine: Engine) -> None:
    session.close()
    _serve(sock, engine)


def load(message: dict[str, Any], at: Callable[[int], None]) -> Engine:
    """Run a submission's pieces; what performs requests on the exercises they define.

    at: told the number of each piece before it runs. A piece that raises does not stop
    the next one; an exercise that is missing then raises that error where it is used.
    """
    loading = Loading(message["name"], message["topic"], message["wanted"])
    for i, piece in enumerate(message["pieces"]):
        words = message["left_out"].get(str(i))
        at(i)
        if words:
            loading.errors[i] = RuntimeError(words)
        else:
            loading.run(i, piece)
    return loading.engine(message["pieces"])


class Loading:
    """A submission's module while its pieces run, from top to bottom as in a notebook.

    As there, a stub does not take the place of an answer, and what `check(answer)` is
    about are the names as they are at that place: those that are used again further
    below change nothing. errors: by the number of the piece.
    """

    def __init__(self, filename: str, topic: str, wanted: Sequence[str]) -> None:
        module = types.ModuleType("answer")
        module.__dict__.update(_customary(), __file__=filename)
        sys.modules["answer"] = module
        self.errors: dict[int, BaseException] = {}
        self._topic, self._wanted, self._names = topic, wanted, module.__dict__
        self._checked: dict[str, dict[str, Any]] = {}  # all names, at its last check
        self._stubs: list[Any] = []
        self._left_out: dict[str, BaseException] = {}  # names that a failure cost

    def run(self, index: int, piece: str) -> None:
        """Run one file or cell by statements, so that an error costs one statement."""
        filename = f"<answer {index}>"
        try:
            tree = ast.parse(piece, filename)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.errors[index] = error
            return
        work.remember_lines(filename, piece)
        future = [n for n in tree.body if _is_future(n)]
        for node in tree.body:
            body = [node] if node in future else [*future, node]
            try:
                self._run_statement(node, ast.Module(body, []), filename)
            except (Exception, SystemExit) as error:
                self.errors.setdefault(index, error)
                self._left_out |= dict.fromkeys(_bound_by(node), self._cause(error))

    def _run_statement(self, node: ast.stmt, code: ast.Module, filename: str) -> None:
        if (checked := _checked_by(node)) in self._wanted:
            if self._is_answered(checked):
                self._checked[checked] = dict(self._names)
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._share_if_named(ast.dump(node))
        stub = self._name_of_stub(node)
        if stub and self._is_answered(stub):
            return
        # `return` or `await` outside a function fails here, not in `ast.parse`
        exec(compile(code, filename, "exec", dont_inherit=True), self._names)
        if stub:
            self._stubs.append(self._names[stub])

    def _name_of_stub(self, node: ast.stmt) -> str:
        """The exercise that a statement defines as it was given out; or none."""
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            return ""
        if node.name not in self._wanted or not _raises(node):
            return ""
        return node.name if work.is_unfilled(ast.unparse(node)) else ""

    def _is_answered(self, name: str) -> bool:
        found = self._names.get(name)
        return found is not None and not any(found is stub for stub in self._stubs)

    def _share_if_named(self, code: str) -> None:
        """What imports this lesson's exercises finds the answers so far, as at home."""
        if "exercises" not in code or self._topic not in code:
            return
        module = import_module(f"vae_edu.exercises.{self._topic}")
        self._stubs += module.__stubs__.values()
        for name in self._wanted:
            if self._is_answered(name):
                setattr(module, name, self._names[name])

    def _cause(self, error: BaseException) -> BaseException:
        """The error of the statement that was to bind a name, where that is missing."""
        if not isinstance(error, NameError):
            return error
        unnamed = self._left_out.get("*", error)
        return self._left_out.get(error.name or "*", unnamed)

    def engine(self, pieces: Sequence[str]) -> Engine:
        """What performs requests on the exercises, after all pieces have run."""
        for piece in pieces:
            self._share_if_named(piece)  # for what imports them when it is called
        states = {n: self._names | self._checked.get(n, {}) for n in self._wanted}
        objects = {n: names[n] for n, names in states.items() if n in names}
        if self.errors:
            absent = [n for n in self._wanted if n not in objects]
            objects |= {n: self._missing(n, pieces) for n in absent}
        return Answers(objects, self._names, states, self._cause)

    def _missing(self, name: str, pieces: Sequence[str]) -> Callable[..., None]:
        """Stands in for an exercise whose piece failed: raises what that raised."""
        defines = re.compile(rf"\b(def|class)\s+{name}\b")
        own = [i for i in self.errors if defines.search(pieces[i])]
        error = self._cause(self.errors[own[-1] if own else min(self.errors)])

        def absent(*args: Any, **kwargs: Any) -> None:
            raise error

        return absent


class Answers(Engine):
    """Performs requests on exercises, each among the names that it was checked with.

    names: the module's; states: what to bind there, all of them, for each exercise;
    why: the reason for an error, where an earlier one has led to it.
    """

    def __init__(
        self,
        objects: Mapping[str, Any],
        names: dict[str, Any],
        states: Mapping[str, Mapping[str, Any]],
        why: Callable[[BaseException], BaseException],
    ) -> None:
        super().__init__(objects)
        self._names, self._states, self._why = names, states, why
        self._at = ""  # the exercise whose names are bound
        self._built: dict[int, str] = {}  # exercises, by handle

    def perform(self, request: Request) -> Answer:
        """See `Engine`."""
        named = request.op in ("call", "build")
        self._enter(request.name if named else self._built.get(request.handle, ""))
        answer = super().perform(request)
        if request.op == "build":
            self._built[len(self.modules) - 1] = request.name
        return answer

    def cause(self, error: BaseException) -> BaseException:
        """See `Engine`."""
        return self._why(error)

    def _enter(self, exercise: str) -> None:
        if exercise in self._states and exercise != self._at:
            self._names.update(self._states[exercise])
            self._at = exercise


def _checked_by(node: ast.stmt) -> str:
    """The answer that a statement checks, as every lesson does: `check(answer)`."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or len(call.args) != 1:
        return ""
    if not isinstance(call.func, ast.Name) or call.func.id != "check":
        return ""
    said = call.args[0]
    return said.id if isinstance(said, ast.Name) else str(getattr(said, "value", ""))


def _raises(node: ast.stmt) -> bool:
    return any(isinstance(n, ast.Raise) for n in ast.walk(node))


def _bound_by(node: ast.stmt) -> Iterator[str]:
    """The names that a statement would have bound; "*" where it does not say."""
    for part in ast.walk(node):
        if isinstance(part, ast.alias):
            yield part.asname or part.name.partition(".")[0]
        elif isinstance(part, ast.FunctionDef | ast.ClassDef):
            yield part.name
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _install_earlier(sources: dict[str, str]) -> None:
    """Earlier lessons' exercises are the reference; this lesson's are stubs."""
    for topic, source in sources.items():
        name = f"vae_edu.exercises.{topic}"
        module = work.load_module(name, source, f"<{topic}>")
        sys.modules[name] = module


def _customary() -> dict[str, Any]:
    """The names that a lesson's first cell imports."""
    import math

    import torch.nn.functional as functional

    names: dict[str, Any] = {"torch": torch, "math": math, "nn": torch.nn}
    return names | {
        "F": functional,
        "Tensor": torch.Tensor,
        "exercise": work.exercise,
        "check": lambda answer: None,
        "display": lambda *things: None,
    }


def _serve(sock: socket.socket, engine: Engine) -> None:
    """Perform requests until the judge has no more."""
    reader = wire.Reader(sock)
    with suppress(OSError, wire.WireError):
        while True:
            request = wire.request_of(reader.receive())
            try:
                wire.send(sock, _performed(engine, request), wire.REPLY_LIMIT)
            except wire.TooLargeError:
                error = SubjectError("TooLarge", wire.TOO_LARGE)
                wire.send(sock, wire.error_message(error))


def _performed(engine: Engine, request: Request) -> dict[str, Any]:
    try:
        return wire.answer_message(engine.perform(request))
    except SubjectError as error:
        return wire.error_message(error)
    except Exception as error:  # an answer that looks like one, and cannot be sent
        return wire.error_message(SubjectError(type(error).__name__, f"{error}"))
