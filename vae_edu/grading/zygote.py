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
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from importlib import import_module
from typing import Any, NamedTuple

import torch

from vae_edu import work
from vae_edu.grading import sandbox, wire
from vae_edu.grading.light import spare_the_compiler
from vae_edu.subject import Engine, Request, SubjectError


class Walls(NamedTuple):
    """What confines a session."""

    kind: str
    limits: sandbox.Limits


def main(control: socket.socket, kind: str, limits: sandbox.Limits) -> None:
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
    if (tasks := sandbox.tasks()) > 1:
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
    pid = sandbox.enclose(walls.kind)
    if not pid:
        control.close()
        os.close(sink)
        os.close(idle)
        sandbox.confine(*walls)
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
    sandbox.keep(pid, walls.limits, words)


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
        engine = Engine(load(message, lambda i: wire.send(sock, {"at": i})))
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
    if kind == sandbox.BUBBLEWRAP and os.getpid() == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


def _law(session: socket.socket, sock: socket.socket, engine: Engine) -> None:
    session.close()
    _serve(sock, engine)


def load(message: dict[str, Any], at: Callable[[int], None]) -> dict[str, Any]:
    """Run a submission's pieces and return the exercises that it defines.

    at: told the number of each piece before it runs. A piece that raises does not stop
    the next one; an exercise that is missing then raises that error where it is used.
    """
    module = types.ModuleType("answer")
    module.__dict__.update(_customary(), __file__=message["name"])
    sys.modules["answer"] = module
    errors: dict[int, BaseException] = {}
    for i, piece in enumerate(message["pieces"]):
        words = message["left_out"].get(str(i))
        at(i)
        error = RuntimeError(words) if words else _run_piece(i, piece, module)
        if error is not None:
            errors[i] = error
    wanted = {n: module.__dict__[n] for n in message["wanted"] if n in module.__dict__}
    for name in set(message["wanted"]) - set(wanted):
        if errors:
            wanted[name] = _missing(name, message["pieces"], errors)
    return wanted


def _missing(
    name: str, pieces: list[str], errors: dict[int, BaseException]
) -> Callable[..., None]:
    """Stands in for an exercise whose piece failed: raises what that piece raised."""
    own = [i for i in errors if re.search(rf"\b(def|class)\s+{name}\b", pieces[i])]
    error = errors[own[-1] if own else min(errors)]

    def absent(*args: Any, **kwargs: Any) -> None:
        raise error

    return absent


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


def _run_piece(
    index: int, piece: str, module: types.ModuleType
) -> BaseException | None:
    """Run one file or cell by statements, so that an error costs one statement."""
    filename = f"<answer {index}>"
    try:
        tree = ast.parse(piece, filename)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return error
    work.remember_lines(filename, piece)
    future = [n for n in tree.body if _is_future(n)]
    first = None
    for node in tree.body:
        body = [*future, node] if node not in future else [node]
        try:  # `return` or `await` outside a function fails here, not above
            code = compile(ast.Module(body, []), filename, "exec", dont_inherit=True)
            exec(code, module.__dict__)
        except (Exception, SystemExit) as error:
            first = first or error
    return first


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


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
