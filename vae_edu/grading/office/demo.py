"""`make demo`: a small class goes through the whole path, and its gradebook is printed.

Released, submitted, graded, fed back and exported in a throw-away course, with the same
commands that an instructor types. Needs a full checkout.
"""

from __future__ import annotations

import ast
import csv
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vae_edu.errors import CourseError
from vae_edu.grading.office.report import table
from vae_edu.lesson import find
from vae_edu.paths import course_root

LESSON, TOPIC = "04_kl_divergence", "kl_divergence"
MISTAKES = 8  # of gaussian_kl, the first ones of the register
MARK = re.compile(r"^[ \t]*### (BEGIN|END) SOLUTION\n?", re.M)
CONFIG = """
from vae_edu.grading.config import configure

c = get_config()
c.CourseDirectory.course_id = "demo"
configure(c)
"""
HOSTILE = {
    "leaves at once": "import os\nos._exit(0)",
    "is equal to everything": """
        class Equal:
            def __getattr__(self, name): return Equal()
            def __call__(self, *a, **k): return Equal()
            def __eq__(self, other): return True
        gaussian_kl = Equal()
    """,
    "looks for the answers": """
        import glob, sys
        found = [open(p).read() for p in glob.glob("/*/*/solutions/*/exercises.py")]
        found += [m for n, m in sys.modules.items() if "hidden" in n or "oracle" in n]
        def gaussian_kl(mu, log_var):
            return found[0]
    """,
    "patches the judge": """
        import torch, vae_edu.checks.law, vae_edu.checks.judging
        torch.allclose = torch.equal = lambda *a, **k: True
        vae_edu.checks.law.compare = lambda *a, **k: None
        vae_edu.checks.judging.score = lambda *a, **k: 100.0
        def gaussian_kl(mu, log_var):
            return mu.sum(-1)
    """,
}


def command(keep: str | None) -> int:
    """Run the demo in a temporary folder, or in a new one to keep; the exit status."""
    with _folder(keep) as course:
        told = _hand_in(course)
        for words in _commands():
            _do(course, words)
        print()
        print(_gradebook(course, told))
        if keep is not None:
            print(f"\nfeedback pages: {course / 'feedback'}")
    return 0


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    """The demo's course, with its source notebook and configuration."""
    if keep is not None and Path(keep).exists():
        raise CourseError(f"{keep!r} is there already: name a new folder.")
    course = Path(keep or tempfile.mkdtemp(prefix="vae-edu-demo-")).resolve()
    try:
        source = course / "source" / LESSON
        source.mkdir(parents=True)
        name = f"{LESSON}.ipynb"
        shutil.copy(course_root() / "solutions" / LESSON / name, source / name)
        (course / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
        yield course
    finally:
        if keep is None:
            shutil.rmtree(course, ignore_errors=True)


def _commands() -> list[list[str]]:
    vae_edu = [sys.executable, "-m", "vae_edu.cli"]
    nbgrader = [sys.executable, "-m", "nbgrader"]
    return [
        [*vae_edu, "release", "--to", "learners"],
        [*nbgrader, "generate_assignment", LESSON],
        [*vae_edu, "grade", LESSON],
        [*nbgrader, "autograde", LESSON],
        [*nbgrader, "generate_feedback", LESSON],
        [*nbgrader, "export", "--exporter=vae_edu.grading.export.Canvas"],
        [*nbgrader, "export", "--to=grades.csv"],
    ]


def _do(course: Path, words: list[str]) -> None:
    """Run a command in the course and show what it prints; nbgrader's log is kept."""
    shown = " ".join(["vae-edu" if "cli" in words[2] else "nbgrader", *words[3:]])
    print(f"\n$ {shown}", flush=True)
    log = course / "nbgrader.log"
    with log.open("a", encoding="utf-8") as quiet:
        out = None if "vae_edu.cli" in words else quiet
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {**os.environ, "PATH": path}  # nbgrader calls `alembic`
        done = subprocess.run(
            words, cwd=course, env=environment, stdout=out, stderr=quiet
        )
    refused = done.returncode and "autograde" not in words and "grade" not in words
    if refused:
        raise CourseError(
            f"`{shown}` failed:\n{log.read_text(encoding='utf-8')[-2000:]}"
        )


# --- the class ------------------------------------------------------------------------


def _hand_in(course: Path) -> dict[str, str]:
    """Everyone's submission; what each of them is, in words."""
    root = course_root()
    solved = _as_a_learner_writes(course / "source" / LESSON / f"{LESSON}.ipynb")
    open_ = (root / "notebooks" / LESSON / f"{LESSON}.ipynb").read_text("utf-8")
    texts = {"ada": json.dumps(solved), "empty": open_, "torn": open_[:3000]}
    told = {
        "ada": "all right",
        "empty": "nothing filled in",
        "torn": "a file cut short",
    }
    partly = "return (-0.5 * (1 + log_var - mu**2 - log_var.exp())).detach().sum(-1)"
    detached = f"def gaussian_kl(mu, log_var):\n    {partly}"
    texts["ben"] = _changed(solved, detached)
    told["ben"] = "right values, gradients cut off"
    for number, (name, code) in enumerate(_mistakes(), 1):
        student = f"mistake {number}"
        texts[student], told[student] = _changed(solved, code), name
    for number, (name, code) in enumerate(HOSTILE.items(), 1):
        student = f"mallory {number}"
        texts[student] = _changed(solved, textwrap.dedent(code))
        told[student] = f"hostile: {name}"
    for student, text in texts.items():
        folder = course / "submitted" / student / LESSON
        folder.mkdir(parents=True)
        (folder / f"{LESSON}.ipynb").write_text(text, encoding="utf-8")
    return told


def _as_a_learner_writes(source: Path) -> dict[str, Any]:
    """The source notebook without the marks around its solutions."""
    book: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    for cell in book["cells"]:
        cell["source"] = MARK.sub("", "".join(cell["source"]))
    return book


def _changed(solved: dict[str, Any], code: str) -> str:
    """The solved notebook with another `gaussian_kl`."""
    book = json.loads(json.dumps(solved))
    for cell in book["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "gaussian_kl":
            cell["source"] = code
    return json.dumps(book)


def _mistakes() -> list[tuple[str, str]]:
    """Famous mistakes of `gaussian_kl`, as learners write them."""
    mine = [m for m in find(TOPIC).mistakes if m.exercise == "gaussian_kl"][:MISTAKES]
    return [(m.name, _source(m.answer)) for m in mine]


def _source(answer: Any) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef):
        raise CourseError("a mistake of the demo is no function")
    function.name, function.decorator_list = "gaussian_kl", []
    return f"LOG_2PI = math.log(2 * math.pi)\n{ast.unparse(function)}\n"


# --- what came out --------------------------------------------------------------------


def _gradebook(course: Path, told: dict[str, str]) -> str:
    """The gradebook, with what each student was beside it."""
    with (course / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    lines = [("student", "score", "of", "who handed in")]
    for row in rows:
        student = row["student_id"]
        lines.append((student, row["score"], row["max_score"], told[student]))
    note = "The written question (2 points) waits for a person in the Formgrader."
    return f"{table(lines)}\n\n{note}"
