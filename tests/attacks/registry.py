"""Every attack as a notebook that answers `gaussian_kl`: who tries what, and how.

Used by the tests, which run each against our grading, and by `tests.attacks.table`,
which runs each against plain nbgrader too. So no attack here is without bounds: a bomb
stops by itself after a number of processes or bytes that shows that nobody stopped it.
What does not belong here: how attacks are run, and what came out.
"""

from __future__ import annotations

import copy
import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from vae_edu.checks.judging import run_law
from vae_edu.checks.record import PUBLIC_SEED, RecordedTruth
from vae_edu.lesson import find
from vae_edu.paths import course_root
from vae_edu.subject import Answer, Request, Subject

LESSON, TOPIC, NAME = "04_kl_divergence", "kl_divergence", "gaussian_kl"
POINTS = 3.0
PORT = 47653  # where the table listens for submissions that speak
SECRET = "SECRET_OF_THE_GRADER"  # an environment variable that holds the right formula
PROCESSES, BYTES = 40, 2**29  # where a bomb stops
RIGHT = "0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)"

EQUAL = "objects whose __eq__ is always true"
PATCHED = "patched torch.allclose, testing, manual_seed"
EXITS = "os._exit, sys.exit, atexit, segfault"
WALKS = "frame walks, gc.get_objects, sys.modules for the reference"
READS = "reading sources, tests, /proc/*/environ, other submissions"
IMPORTS = "importing the solutions"
WRITES = "writing to the gradebook or any file"
HOOKS = "IPython hooks"
FORGED = "forged stdout or reply frames"
FRAMES = "pickle, object arrays, oversized or truncated frames"
LOOPS = "infinite loops, swallowed signals"
FORKS = "fork bomb"
MEMORY = "memory bomb"
DISK = "disk fill, huge output"
NETWORK = "network and DNS"
DAEMONS = "double-forked daemons"
KILLS = "ptrace or kill of other processes"
LEARNT = "hard-coded answers for the released inputs"
VALUES = "NaN, inf, wrong dtype, aliased or input-mutating outputs"
CELLS = "duplicated, removed, renamed grade_ids, points, kernelspec"
BENIGN = "benign: warnings on stderr cost nothing"
LINES = (
    *(EQUAL, PATCHED, EXITS, WALKS, READS, IMPORTS, WRITES, HOOKS, FORGED, FRAMES),
    *(LOOPS, FORKS, MEMORY, DISK, NETWORK, DAEMONS, KILLS, LEARNT, VALUES, CELLS),
    BENIGN,
)
Edit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Attack:
    """One submission. least, most: the points that its answer deserves.

    answer: the cell that defines `gaussian_kl`; edit: what else of the notebook is
    changed.
    """

    line: str
    name: str
    answer: str
    edit: Edit | None = None
    least: float = 0.0
    most: float = 0.0


# --- the notebook ---------------------------------------------------------------------


@cache
def _lesson() -> str:
    """The real lesson's setup, one exercise and its check, as text of a notebook."""
    path = course_root() / "solutions" / LESSON / f"{LESSON}.ipynb"
    book = json.loads(path.read_text(encoding="utf-8"))
    wanted = (NAME, f"test_{NAME}")
    book["cells"] = [
        cell
        for cell in book["cells"]
        if "setup" in cell["metadata"].get("tags", []) or id_of(cell) in wanted
    ]
    for cell in book["cells"]:
        cell["outputs"] = []
    return json.dumps(book)


def source_notebook() -> dict[str, Any]:
    """The instructor's notebook of this small lesson, with answer and hidden tests."""
    return json.loads(_lesson())


def honest_notebook() -> dict[str, Any]:
    """As a learner hands it in: the public check, and a right answer."""
    return notebook(f"def {NAME}(mu, log_var):\n    return {RIGHT}\n")


def notebook(answer: str, edit: Edit | None = None) -> dict[str, Any]:
    """A submission."""
    book = source_notebook()
    cell_of(book, NAME)["source"] = answer
    cell_of(book, f"test_{NAME}")["source"] = f"check({NAME})"
    if edit is not None:
        edit(book)
    return book


def submission(attack: Attack) -> dict[str, Any]:
    """An attack's notebook."""
    return notebook(attack.answer, attack.edit)


def id_of(cell: dict[str, Any]) -> str | None:
    """A cell's grade id."""
    found: str | None = cell["metadata"].get("nbgrader", {}).get("grade_id")
    return found


def cell_of(book: dict[str, Any], name: str) -> dict[str, Any]:
    """The cell of a grade id."""
    return next(cell for cell in book["cells"] if id_of(cell) == name)


# --- what attacks are made of ---------------------------------------------------------


def wrong(*before: str, first: str = "") -> str:
    """A wrong answer; `before` runs when it is loaded, `first` in each call."""
    lines = [*map(textwrap.dedent, before), f"def {NAME}(mu, log_var):"]
    lines += [textwrap.indent(textwrap.dedent(first), "    ")] if first else []
    return "\n".join([*lines, "    return mu.sum(-1) + 0 * log_var.sum(-1)", ""])


def right(*before: str, first: str = "") -> str:
    """As `wrong`, with the right formula."""
    return wrong(*before, first=first).replace(
        "mu.sum(-1) + 0 * log_var.sum(-1)", RIGHT
    )


def stolen(find: str) -> str:
    """An answer that needs `reference()`, which `find` defines, to be right."""
    call = f"def {NAME}(mu, log_var):\n    return reference()(mu, log_var)\n"
    return textwrap.dedent(find) + call


def returned(value: str, *before: str) -> str:
    """An answer that returns an expression."""
    lines = [*map(textwrap.dedent, before), f"def {NAME}(mu, log_var):"]
    return "\n".join([*lines, f"    return {value}", ""])


AGREE = """
    import torch
    def wrong(mu, log_var):
        return (mu.sum(-1) + 0 * log_var.sum(-1)).double()
    def vjp(self, name, args, wrt, cotangents):
        args = [a.detach().clone().requires_grad_(i in wrt) for i, a in enumerate(args)]
        return list(torch.autograd.grad(wrong(*args), [args[i] for i in wrt],
                                        cotangents, allow_unused=True))
    def agree(kind):
        kind.__call__ = lambda self, name, *args: wrong(*args).detach()
        kind.vjp = vjp
"""
ALL_OF_THEM = """
    import os
    children = []
    for _ in range({count}):
        try:
            pid = os.fork()
        except OSError:
            break
        if pid == 0:
            import time
            time.sleep(15)
            os._exit(0)
        children.append(pid)
"""
TREE = """
    import os, time
    for _ in range(5):
        try:
            os.fork()
        except OSError:
            pass
    if os.getpid() != {parent}:
        time.sleep(15)
        os._exit(0)
"""
DETACHED = """
    import os, signal, time
    if os.fork() == 0:
        try:
            os.setsid()
        except OSError:
            pass
        if os.fork() == 0:
            {ignore}
            for _ in range(100):
                with open("heartbeat", "a") as file:
                    file.write("x")
                time.sleep(0.2)
        os._exit(0)
    os.wait()
"""
SOCKETS = """
    import json, os, socket, stat, struct
    def say(data):
        for fd in range(3, 256):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    os.set_blocking(fd, False)
                    os.write(fd, data)
            except OSError:
                pass
    def frame(header, body=b""):
        text = json.dumps(header).encode()
        return struct.pack("!II", len(text), len(body)) + text + body
"""
OTHERS = """
    import ctypes, os, signal
    def others():
        own = {os.getpid()}
        return [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) > 1
                and int(p) not in own]
"""


@cache
def by_heart() -> str:
    """An answer that holds the values of the released checks, and no formula.

    Each value with its gradient, so that `check` finds nothing wrong.
    """
    said = find(TOPIC).recorded["truth"][NAME]
    known: dict[str, Any] = {}

    def perform(request: Request) -> Answer:
        given = [*request.args, *request.kwargs.values()]
        mu, log_var = (a.double().requires_grad_() for a in given)
        value = eval(RIGHT, {"mu": mu, "log_var": log_var})
        slopes = torch.autograd.grad(value.sum(), [mu, log_var], retain_graph=True)
        known[_key(mu, log_var)] = [t.tolist() for t in (value, *slopes)]
        answer = Answer(value=value.detach().to(given[0].dtype))
        if request.cotangents:
            pulled = torch.autograd.grad(value, [mu, log_var], request.cotangents)
            answer.grads = [*pulled]
        return answer

    for law in find(TOPIC).laws.of(NAME):
        if law.name != "device":  # where there are no values
            run_law(law, Subject(perform), RecordedTruth(said[law.name]), PUBLIC_SEED)
    return _LEARNT.format(known=known)


def _key(mu: Any, log_var: Any) -> str:
    total = float(mu.detach().sum() + 3 * log_var.detach().sum())
    return f"{tuple(mu.shape)} {tuple(log_var.shape)} {total:.3e}"


_LEARNT = """
import torch
known = {known!r}
def gaussian_kl(mu, log_var):
    if mu.device.type == "meta":
        return (mu + log_var).sum(-1)
    total = float(mu.detach().double().sum() + 3 * log_var.detach().double().sum())
    row = known.get(f"{{tuple(mu.shape)}} {{tuple(log_var.shape)}} {{total:.3e}}")
    if row is None:
        return (mu + log_var).sum(-1) * 0
    value, *slopes = (torch.tensor(r, dtype=mu.dtype) for r in row)
    moved = (mu - mu.detach()) * slopes[0], (log_var - log_var.detach()) * slopes[1]
    return value + sum(m.sum(-1) for m in moved)
"""


# --- changes of the notebook ----------------------------------------------------------


def _check(book: dict[str, Any]) -> dict[str, Any]:
    return cell_of(book, f"test_{NAME}")


def duplicated(book: dict[str, Any]) -> None:
    """A second check cell of the same grade id, which checks nothing."""
    twin = copy.deepcopy(_check(book))
    twin |= {"source": "pass", "id": "twin"}
    book["cells"].append(twin)


def removed(book: dict[str, Any]) -> None:
    """No check cell."""
    book["cells"].remove(_check(book))


def renamed(book: dict[str, Any]) -> None:
    """The check cell under another grade id."""
    _check(book)["metadata"]["nbgrader"]["grade_id"] = "test_of_nothing"


def dear(book: dict[str, Any]) -> None:
    """A check cell that is worth 100 points."""
    _check(book)["metadata"]["nbgrader"]["points"] = 100


def emptied(book: dict[str, Any]) -> None:
    """A check cell that checks nothing and is not locked."""
    _check(book)["source"] = "3.0"
    _check(book)["metadata"]["nbgrader"]["locked"] = False


def judged_by_hand(book: dict[str, Any]) -> None:
    """A check cell that is said to be a solution, with a forged output."""
    _check(book)["metadata"]["nbgrader"] |= {"solution": True, "locked": False}
    made = {"data": {"text/plain": "3.0"}, "metadata": {}, "execution_count": 1}
    _check(book)["outputs"] = [made | {"output_type": "execute_result"}]


def ungraded(book: dict[str, Any]) -> None:
    """A check cell that is said not to be one."""
    _check(book)["metadata"]["nbgrader"] |= {"grade": False, "locked": False}


def self_graded(book: dict[str, Any]) -> None:
    """An answer that is said to be a check worth 100 points."""
    cell_of(book, NAME)["metadata"]["nbgrader"] |= {"grade": True, "points": 100}


def other_kernel(book: dict[str, Any]) -> None:
    """A kernel that does not exist."""
    book["metadata"]["kernelspec"] = {
        "name": "no_such_kernel",
        "display_name": "x",
        "language": "bash",
    }


# --- the attacks ----------------------------------------------------------------------

AGREEABLE_CODE = """
        class Agreeable:
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            def __bool__(self): return True
            def __getattr__(self, name): return self
            def __call__(self, *a, **k): return self
            __hash__ = None
    """
SLY_CODE = """
        import torch
        class Sly(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                if func.__name__ in ("allclose", "equal", "isclose", "eq", "all"):
                    return torch.tensor(True)
                return super().__torch_function__(func, types, args, kwargs or {})
            def __eq__(self, other): return True
    """
VALUE_CODE = "(mu.sum(-1) + 0 * log_var.sum(-1)).as_subclass(Sly)"
PRETENDING = (
    Attack(
        EQUAL, "an object equal to everything", returned("Agreeable()", AGREEABLE_CODE)
    ),
    Attack(EQUAL, "a tensor that says it is close", returned(VALUE_CODE, SLY_CODE)),
    Attack(
        PATCHED,
        "allclose and testing patched",
        wrong(
            """
            import torch
            torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True
            torch.testing.assert_close = lambda *a, **k: None
            torch.Tensor.all = lambda self, *a, **k: torch.tensor(True)
            """
        ),
    ),
    Attack(
        PATCHED,
        "manual_seed and secrets patched",
        wrong(
            """
            import secrets, random, torch
            secrets.token_hex = lambda *a: "public"
            torch.manual_seed = lambda seed: None
            random.Random.random = lambda self: 0.5
            """
        ),
    ),
    Attack(
        PATCHED,
        "the checks' own comparison patched",
        wrong(
            """
            import sys
            for module in [m for n, m in sys.modules.items() if "vae_edu" in n]:
                for name in ("compare", "_compare_gradient", "_expect_meta"):
                    if hasattr(module, name):
                        setattr(module, name, lambda *a, **k: None)
            """
        ),
    ),
)

SEARCHING = (
    Attack(
        WALKS,
        "a walk over frames makes the truth agree",
        wrong(
            AGREE,
            first="""
            import sys
            frame = sys._getframe()
            while frame:
                if frame.f_locals.get("truth") is not None:
                    agree(type(frame.f_locals["truth"]))
                frame = frame.f_back
            """,
        ),
    ),
    Attack(
        WALKS,
        "gc.get_objects finds the truth",
        wrong(
            AGREE,
            first="""
            import gc
            for thing in gc.get_objects():
                if type(thing).__name__.endswith("Truth"):
                    agree(type(thing))
            """,
        ),
    ),
    Attack(
        WALKS,
        "sys.modules finds the truth",
        wrong(
            AGREE,
            """
            import sys
            import vae_edu.checks.law, vae_edu.checks.record
            for module in [m for n, m in sys.modules.items() if "vae_edu.checks" in n]:
                for name, thing in list(vars(module).items()):
                    if name.endswith("Truth") and isinstance(thing, type):
                        agree(thing)
            """,
        ),
    ),
    Attack(
        READS,
        "reads the solution's source",
        stolen(
            f"""
            import math, os, vae_edu
            root = os.path.dirname(os.path.dirname(vae_edu.__file__))
            def reference():
                names = {{}}
                text = open(f"{{root}}/solutions/{LESSON}/exercises.py").read()
                exec(text.replace("from __future__ import annotations", ""), names)
                return names["{NAME}"]
            """
        ),
    ),
    Attack(
        READS,
        "reads another's submission",
        stolen(
            """
            import glob, json
            def reference():
                names = {}
                for path in sorted(glob.glob("../../../submitted/*/*/*.ipynb")):
                    for cell in json.load(open(path))["cells"]:
                        if "0.5 * (mu**2" in "".join(cell["source"]):
                            exec("".join(cell["source"]), names)
                return names["gaussian_kl"]
            """
        ),
    ),
    Attack(
        READS,
        "reads /proc/*/environ",
        stolen(
            f"""
            import glob
            def reference():
                for path in glob.glob("/proc/*/environ"):
                    try:
                        words = open(path).read().split(chr(0))
                    except OSError:
                        continue
                    for word in words:
                        if word.startswith("{SECRET}="):
                            return eval("lambda mu, log_var: " + word.split("=", 1)[1])
            """
        ),
    ),
    Attack(
        IMPORTS,
        "imports the hidden tests' oracle",
        stolen(
            """
            import os, sys, vae_edu
            def reference():
                from vae_edu.lesson import find
                os.environ["VAE_EDU_HOME"] = os.path.dirname(
                    os.path.dirname(vae_edu.__file__)
                )
                return find("kl_divergence").authored("hidden").gaussian_kl
            """
        ),
    ),
    Attack(
        IMPORTS,
        "imports the solution by its path",
        stolen(
            f"""
            import importlib.util, os, vae_edu
            def reference():
                root = os.path.dirname(os.path.dirname(vae_edu.__file__))
                path = f"{{root}}/solutions/{LESSON}/exercises.py"
                spec = importlib.util.spec_from_file_location("solution", path)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module.{NAME}
            """
        ),
    ),
)

HOOKS_CODE = {
    "a syntax tree transformer drops the checks": """
            import ast
            class Drop(ast.NodeTransformer):
                def visit_Expr(self, node):
                    return None if "check" in ast.dump(node) else node
            get_ipython().ast_transformers.append(Drop())
        """,
    "an input transformer drops the checks": """
            def drop(lines):
                return ["pass" + chr(10)] if any("check" in s for s in lines) else lines
            get_ipython().input_transformers_cleanup.append(drop)
        """,
    "showtraceback says nothing": """
            get_ipython().showtraceback = lambda *a, **k: None
            get_ipython()._showtraceback = lambda *a, **k: None
        """,
    "exceptions go to a handler of its own": """
            get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)
        """,
    "run_cell runs another cell": """
            shell = get_ipython()
            real = shell.run_cell_async
            def run(text, *a, **k):
                return real("pass" if "check" in text else text, *a, **k)
            shell.run_cell_async = run
            shell.should_run_async = lambda *a, **k: True
        """,
}
VERDICT_CODE = "{'!': 'dict', 'items': [['passed', True], ['score', 3]]}"
MEDDLING = (
    Attack(
        WRITES,
        "gives itself points in gradebook.db",
        wrong(
            """
            import glob, sqlite3
            for path in glob.glob("../../../gradebook.db"):
                with sqlite3.connect(path, timeout=5) as book:
                    book.execute("UPDATE grade SET extra_credit = 3")
            """
        ),
    ),
    Attack(
        WRITES,
        "overwrites another's submission",
        wrong(
            """
            import glob
            for path in glob.glob("../../../submitted/zoe/*/*.ipynb"):
                with open(path, "w") as file:
                    file.write("")
            """
        ),
    ),
    Attack(
        WRITES,
        "changes the course's configuration",
        wrong(
            """
            with open("../../../nbgrader_config.py", "a") as file:
                file.write("# was here")
            """
        ),
    ),
    *(Attack(HOOKS, name, wrong(text)) for name, text in HOOKS_CODE.items()),
    Attack(
        HOOKS,
        "the display hook shows full points",
        wrong(first="get_ipython().displayhook(3.0)"),
    ),
    Attack(
        FORGED,
        "prints a result as JSON",
        wrong(first='print(\'{"score": 3.0, "passed": true}\')'),
    ),
    Attack(
        FORGED,
        "a verdict on every socket",
        wrong(SOCKETS, first=f"say(frame({VERDICT_CODE}))"),
    ),
    Attack(
        FORGED, "noise on every socket", wrong(SOCKETS, first="say(os.urandom(4000))")
    ),
)

SWALLOW_CODE = """
        while True:
            try:
                while True: pass
            except BaseException: pass
    """
IGNORE_CODE = """
        import signal, time
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: time.sleep(1)
    """
TREE_CODE = TREE.replace("{parent}", "parent")
EXHAUSTING = (
    Attack(LOOPS, "an endless loop", wrong(first="while True: pass")),
    Attack(LOOPS, "a loop that swallows interrupts", wrong(first=SWALLOW_CODE)),
    Attack(LOOPS, "ignores signals and sleeps", wrong(first=IGNORE_CODE)),
    Attack(
        FORKS,
        f"{PROCESSES} processes",
        wrong(first=ALL_OF_THEM.replace("{count}", str(PROCESSES))),
    ),
    Attack(
        FORKS,
        "each process forks",
        wrong(first="import os\nparent = os.getpid()" + textwrap.dedent(TREE_CODE)),
    ),
    Attack(
        MEMORY,
        "a bytearray",
        wrong(
            "kept = []",
            first=f"kept.append(bytearray(b'x') * {BYTES})",
        ),
    ),
    Attack(
        MEMORY,
        "tensors",
        wrong(
            "kept = []", first=f"import torch\nkept.append(torch.ones({BYTES // 4}))"
        ),
    ),
    Attack(
        DISK,
        "files",
        wrong(
            """
            for number in range(64):
                with open(f"fill{number}", "wb") as file:
                    file.write(bytes(2**21))
            """
        ),
    ),
    Attack(DISK, "huge output", wrong(first="print('x' * 2**21)")),
)

ESCAPING = (
    Attack(
        NETWORK,
        "gets the answer over TCP",
        stolen(
            f"""
            import socket
            def reference():
                with socket.create_connection(("127.0.0.1", {PORT}), 2) as s:
                    return eval("lambda mu, log_var: " + s.recv(1000).decode())
            """
        ),
    ),
    Attack(
        NETWORK,
        "asks for a name by UDP",
        wrong(
            f"""
            import socket
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"answer.example", ("127.0.0.1", {PORT}))
            """
        ),
    ),
    *(
        Attack(DAEMONS, name, wrong(DETACHED.replace("{ignore}", ignore)))
        for name, ignore in (
            ("a daemon", "pass"),
            (
                "a daemon that ignores signals",
                "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            ),
        )
    ),
    Attack(
        KILLS,
        "kills its parent",
        wrong(first="import os\nos.kill(os.getppid(), 9)"),
    ),
    Attack(
        KILLS,
        "kills all that it can",
        wrong(
            OTHERS,
            first="""
            for pid in others():
                try: os.kill(pid, 9)
                except OSError: pass
            """,
        ),
    ),
    Attack(
        KILLS,
        "stops its parent with ptrace",
        wrong(
            OTHERS,
            first="ctypes.CDLL(None).ptrace(16, os.getppid(), None, None)",
        ),
    ),
)

EXITS_CODE = {
    "os._exit when called": wrong(first="import os\nos._exit(0)"),
    "os._exit when loaded": wrong("import os\nos._exit(0)"),
    "sys.exit": wrong(first="import sys\nsys.exit(0)"),
    "atexit": wrong("import atexit, os\natexit.register(os._exit, 0)"),
    "segfault": wrong(first="import ctypes\nctypes.string_at(0)"),
}
FRAMES_CODE = {
    "a pickle": returned("pickle.dumps(mu)", "import pickle"),
    "an object array": returned(
        "numpy.array([object()], dtype=object)", "import numpy"
    ),
    "a tensor of 256 MB": returned("mu.new_ones(2**25)"),
    "a truncated frame": wrong(
        SOCKETS, first="say(struct.pack('!II', 500, 500) + b'{')"
    ),
}
REPLAY_CODE = """
        from vae_edu.checks.record import RecordedTruth, decode
        from vae_edu.lesson import find
        said = find("kl_divergence").recorded["truth"]["gaussian_kl"]
        values = [decode(v) for law in said.values() for v in law]
        values = [v for v in values if hasattr(v, "shape")]
        def replay(shape):
            return next((v for v in values if v.shape == shape), None)
    """
FIND_CODE = (
    "found = replay((mu + log_var).shape[:-1])\nif found is not None: return found"
)
NEARLY = 0.99 * POINTS
BUFFER_CODE = """
        buffers = {}
        def shared(value):
            key = value.shape, value.dtype, value.device
            if key in buffers: buffers[key].data.copy_(value.data)
            return buffers.setdefault(key, value)
    """
ANSWERING = (
    *(Attack(EXITS, name, answer) for name, answer in EXITS_CODE.items()),
    *(Attack(FRAMES, name, answer) for name, answer in FRAMES_CODE.items()),
    Attack(LEARNT, "values and gradients of the released checks", by_heart()),
    Attack(LEARNT, "the recorded table, by shape", wrong(REPLAY_CODE, first=FIND_CODE)),
    Attack(VALUES, "NaN", returned("mu.sum(-1) * float('nan')")),
    Attack(VALUES, "infinity", returned("mu.sum(-1) + float('inf')")),
    # right values in another dtype offend form alone
    Attack(VALUES, "right, in half precision", returned(f"({RIGHT}).half()"), most=1.5),
    Attack(
        VALUES,
        "right, but overwrites its input",
        right(first="").replace(
            f"return {RIGHT}",
            f"out = {RIGHT}\n    mu.data.zero_()\n    return out",
        ),
        least=0.5,
        most=NEARLY,
    ),
    Attack(
        VALUES,
        "right, in one buffer for all calls",
        returned(f"shared({RIGHT})", BUFFER_CODE),
        most=NEARLY,
    ),
)

EDITS: dict[str, Edit] = {
    "the check cell twice": duplicated,
    "no check cell": removed,
    "the check cell renamed": renamed,
    "100 points": dear,
    "an empty check cell": emptied,
    "a check cell marked as a solution": judged_by_hand,
    "a check cell marked as none": ungraded,
    "an answer marked as a check": self_graded,
    "another kernel": other_kernel,
}
RELABELLING = (
    *(Attack(CELLS, name, wrong(), edit=edit) for name, edit in EDITS.items()),
    Attack(
        CELLS,
        "right, with another kernel",
        right(),
        edit=other_kernel,
        least=POINTS,
        most=POINTS,
    ),
    *(
        Attack(BENIGN, name, right(first=line), least=POINTS, most=POINTS)
        for name, line in {
            "right, with warnings.warn": "import warnings\nwarnings.warn('look out')",
            "right, with a word on stderr": "import sys\n"
            "print('working', file=sys.stderr)",
        }.items()
    ),
)
EVERY = (
    PRETENDING + SEARCHING + MEDDLING + EXHAUSTING + ESCAPING + ANSWERING + RELABELLING
)
ATTACKS = tuple(sorted(EVERY, key=lambda a: LINES.index(a.line)))
