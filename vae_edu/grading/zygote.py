"""The process that runs learners' code: warmed once, forked for each submission and each law.

It knows no answer, oracle or hidden law. `main` serves one control socket: each message asks
for a session (a fork that loads one submission); a session, asked, forks once more for each
law, so that a law sees the state right after loading, and a crash or a hang costs only that law.
"""

from __future__ import annotations

import ast
import os
import resource
import signal
import socket
import sys
import tempfile
import types
from importlib import import_module
from typing import Any

import torch

from vae_edu import work
from vae_edu.grading import wire
from vae_edu.subject import Engine, SubjectError

MEMORY = 4 * 2**30  # bytes of private memory a submission may use
FILE_SIZE = 16 * 2**20


def main(control: socket.socket) -> None:
    """Fork a session for each socket that arrives; ends when the judge closes."""
    _warm()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    wire.send(control, {"ready": True})
    while True:
        pid = _fork_for(control, _session)
        if pid is None:
            return
        wire.send(control, {"pid": pid})


def _warm() -> None:
    """Import what submissions use; no parallel region, so that a fork is safe."""
    torch.set_num_threads(1)
    import_module("torch.distributions")
    optim = import_module("torch.optim")
    optim.Adam([torch.zeros(1, requires_grad=True)])


def _fork_for(sock: socket.socket, serve: Any) -> int | None:
    """Wait for a message with a socket in it, and fork a process that serves it."""
    data, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
    if not data or not descriptors:
        return None
    pid = os.fork()
    if pid:
        os.close(descriptors[0])
        return pid
    status = 1
    try:
        sock.close()
        serve(socket.socket(fileno=descriptors[0]))
        status = 0
    finally:
        os._exit(status)


def _session(sock: socket.socket) -> None:
    """Load a submission, then fork for each law."""
    os.setsid()
    _confine()
    message = wire.receive(sock)
    try:
        engine = Engine(load(message))
        wire.send(sock, {"loaded": sorted(engine.objects)})
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}"
        wire.send(sock, {"failed": text[:2000]})
        return
    while True:
        pid = _fork_for(sock, lambda law: _serve(law, engine))
        if pid is None:
            return
        wire.send(sock, {"pid": pid})


def _confine() -> None:
    """Limits, no terminal, an empty folder to stand in."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.chdir(tempfile.gettempdir())


def load(message: dict[str, Any]) -> dict[str, Any]:
    """Run a submission's pieces and return the names it defines.

    A piece that raises does not stop the next one; where nothing at all could be run, the first
    error is raised.
    """
    work.saving(False)
    _install_earlier(message["earlier"])
    module = types.ModuleType("answer")
    module.__dict__.update(_customary(), __file__=message["name"])
    sys.modules["answer"] = module
    errors = [_run_piece(i, p, module) for i, p in enumerate(message["pieces"])]
    raised = [e for e in errors if e is not None]
    wanted = {n: module.__dict__[n] for n in message["wanted"] if n in module.__dict__}
    if raised and len(wanted) < len(message["wanted"]):
        raise raised[0]
    return wanted


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


def _run_piece(index: int, piece: str, module: types.ModuleType) -> BaseException | None:
    """Run one file or cell statement by statement, so that an error costs one statement."""
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
        code = compile(ast.Module(body, []), filename, "exec", dont_inherit=True)
        try:
            exec(code, module.__dict__)
        except (Exception, SystemExit) as error:
            first = first or error
    return first


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _serve(sock: socket.socket, engine: Engine) -> None:
    """Perform requests until the judge has no more."""
    while True:
        try:
            request = wire.request_of(wire.receive(sock))
        except wire.WireError:
            return
        try:
            message = wire.answer_message(engine.perform(request))
        except SubjectError as error:
            message = wire.error_message(error)
        wire.send(sock, message)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
