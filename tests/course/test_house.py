"""The laws of the house: who may import whom, what may be named, how long a function
is.

What belongs here: rules that hold for every module of the package, read from its
source. What does not: format, names and types (ruff and mypy check those).
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "vae_edu"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((REPOSITORY / "scripts").rglob("*.py"))
ANSWERS = sorted((REPOSITORY / "solutions").glob("*/exercises.py"))

GIVEN = (
    *("train", "evaluate", "models", "program", "runs", "reproduce"),
    *("operations", "recording", "rehearsal", "run_card", "run_files"),
    *("viz", "data", "mnist", "explore"),
)
JUDGING = ("exercises", "check", "checks", "feedback", "standing", "grading", "work")
JUDGING += ("learner", "lesson")
LONGEST_FUNCTION = 25  # lines of its body, without the docstring
AT_IMPORT = {  # calls that are the purpose of a module
    "exercises": ("resolve",),
    "checks": ("add_", "LAWS."),
}
HEAVY = {"torch", "numpy", "matplotlib", "IPython", "nbgrader", "nbformat", "sklearn"}


def name_of(path: Path) -> str:
    """vae_edu/checks/law.py -> checks.law; the package itself is ''."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module imported anywhere, functions and import_module("...") included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            "import_module"
        ):
            yield ast.unparse(node.args[0]).lstrip("f").strip("'\"")


def of_the_package(path: Path) -> set[str]:
    """What a module imports of this package: {'checks.law.Law'}."""
    names = imported(tree_of(path))
    return {n.partition(".")[2] for n in names if n.split(".")[0] == "vae_edu"}


def heads(path: Path) -> set[str]:
    return {n.split(".")[0] for n in of_the_package(path)}


per_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


# --- imports ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [p for p in MODULES if name_of(p).split(".")[0] in GIVEN], ids=name_of
)
def test_given_code_never_imports_an_exercise_or_a_judge(path):
    assert heads(path).isdisjoint(JUDGING)


@per_module
def test_only_the_command_line_imports_build_and_grading(path):
    room = name_of(path).split(".")[0]
    if room != "cli":
        assert heads(path) & {"build", "grading"} <= {room}


@per_module
def test_relative_imports_and_stars_are_not_used(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, ast.unparse(node)
            assert all(alias.name != "*" for alias in node.names), ast.unparse(node)


AUTHORED = sorted((REPOSITORY / "solutions").glob("*/*.py"))
MAY_IMPORT_TESTS = re.compile(r"(test_equations|unseen\w*)\.py")  # not of the product


@pytest.mark.parametrize(
    "path",
    [*MODULES, *SCRIPTS, *AUTHORED],
    ids=lambda p: str(p.relative_to(REPOSITORY)),
)
def test_the_product_imports_no_test(path):
    if not MAY_IMPORT_TESTS.fullmatch(path.name):
        names = imported(tree_of(path))
        assert [n for n in names if n.split(".")[0] == "tests"] == []


JUDGED_BY = [p for p in AUTHORED if p.name in ("hidden.py", "exercises.py")]


@pytest.mark.parametrize("path", JUDGED_BY, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_what_a_judge_needs_of_a_lesson_does_without_the_build(path):
    """Where Gradescope judges, the build is left out."""
    assert "build" not in heads(path)


def test_no_modules_import_each_other_in_a_circle():
    assert circle({name_of(p): needed(tree_of(p)) for p in MODULES}) == []


# docs/architecture.md, from below; of a module in none of these, the engine
FLOORS = {
    "ground": (
        *("catalogue", "errors", "paths", "data", "mnist", "viz"),
        *("light", "aside", "doctor"),
    ),
    "checks": ("checks", "subject", "probes", "lesson"),
    "engine": (),
    "learner": ("work", "learner", "feedback", "standing", "handin", "exercises"),
    "build": ("build",),
    "wall": ("grading.wall",),
    "verdict": ("grading.verdict",),
    "office": ("grading",),
    "face": ("cli", ""),
}


def floor_of(module: str) -> str:
    """The floor that names a module, or the nearest folder above it."""
    parts = module.split(".")
    above = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    homes = {name: floor for floor, names in FLOORS.items() for name in names}
    return next((homes[name] for name in above if name in homes), "engine")


@per_module
def test_a_module_needs_no_floor_above_its_own(path):
    order = [*FLOORS]
    own = floor_of(name_of(path))
    needs = {n: floor_of(n) for n in needed(tree_of(path)) if n}
    higher = {n: f for n, f in needs.items() if order.index(f) > order.index(own)}
    assert higher == {}


def needed(tree: ast.Module) -> set[str]:
    """The modules of the package that one needs when it is imported itself."""
    top = ast.Module(list(at_import(tree.body)), [])
    names = {n.partition(".")[2] for n in imported(top) if n.startswith("vae_edu.")}
    known = {name_of(p) for p in MODULES}
    return {n if n in known else n.rpartition(".")[0] for n in names}


def at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The imports among statements, those of `if TYPE_CHECKING` apart."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_import(node.orelse)
        elif isinstance(node, ast.If | ast.Try):
            yield from at_import([*node.body, *node.orelse])


def circle(needs: dict[str, set[str]]) -> list[str]:
    """Modules that stand in a circle, or need one that does; [] where none do."""
    left = dict(needs)
    while free := [name for name, other in left.items() if not other & left.keys()]:
        left = {name: left[name] for name in left if name not in free}
    return sorted(left)


# --- what is named ----------------------------------------------------------------

INSTRUCTORS = re.compile(r"(^|[\s/\"'`])(solutions|tests)([./]|$)")
MAY_NAME = {"lesson"}  # where the authored side is, in a full checkout


@per_module
def test_only_the_instructors_side_names_solutions_or_tests(path):
    room = name_of(path).split(".")[0]
    if room in {"build", "grading", *MAY_NAME}:
        return
    named = [text for text in strings(tree_of(path)) if INSTRUCTORS.search(text)]
    assert named == []


def strings(tree: ast.Module) -> list[str]:
    """The string constants of a module, docstrings apart."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(n.body[0].value)
        for n in ast.walk(tree)
        if isinstance(n, kinds) and ast.get_docstring(n) is not None
    }
    constants = (n for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return [
        c.value for c in constants if isinstance(c.value, str) and id(c) not in docs
    ]


def test_in_a_lesson_its_files_alone_reach_the_solutions():
    tree = tree_of(PACKAGE / "lesson.py")
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    named = [f.name for f in functions if names_solutions(f)]
    assert named == ["file"]


def names_solutions(function: ast.FunctionDef) -> bool:
    module = ast.Module([function], [])
    return any(INSTRUCTORS.search(text) for text in strings(module))


# --- work at import ---------------------------------------------------------------


@per_module
def test_importing_a_module_does_no_work(path):
    allowed = AT_IMPORT.get(name_of(path).split(".")[0], ())
    done = list(work_at_import(tree_of(path).body))
    assert [call for call in done if not call.startswith(allowed)] == []


def work_at_import(body: list[ast.stmt]) -> Iterator[str]:
    """What statements do when a module is imported, beyond defining names."""
    for node in body:
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.If | ast.For | ast.Try):
            yield from work_at_import([*node.body, *node.orelse])
        elif isinstance(node, ast.With | ast.While):
            yield ast.unparse(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield ast.unparse(node.value.func)
        elif isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            yield ast.unparse(node)


@pytest.mark.parametrize(
    "module",
    ["vae_edu", "vae_edu.cli", "vae_edu.catalogue", "vae_edu.lesson", "vae_edu.paths"],
)
def test_a_light_import_stays_light(module):
    code = f"import sys, {module}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


# --- size and names ---------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [*MODULES, *SCRIPTS, *ANSWERS], ids=lambda p: str(p.relative_to(REPOSITORY))
)
def test_no_function_is_long(path):
    long = {
        node.name: lines
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := length(node)) > LONGEST_FUNCTION
    }
    assert long == {}


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


@per_module
def test_a_module_says_what_it_is_for_and_has_a_telling_name(path):
    assert ast.get_docstring(tree_of(path))
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}


# --- that it can fail -------------------------------------------------------------

WORKING = """
import torch
for name in "ab":
    print(name)
if __name__ == "__main__":
    main()
with open("x") as f:
    pass
"""


def test_work_at_import_is_seen():
    assert list(work_at_import(ast.parse(WORKING).body)) == [
        "print",
        "with open('x') as f:\n    pass",
    ]


def test_imports_are_seen_wherever_they_stand():
    code = """
def f():
    from vae_edu.grading.verdict import judge
    import vae_edu.build.course
    importlib.import_module(f"vae_edu.checks.{topic}")
"""
    assert set(imported(ast.parse(code))) == {
        "vae_edu.grading.verdict.judge",
        "vae_edu.build.course",
        "vae_edu.checks.{topic}",
    }


def test_circles_are_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["a", "b", "c"]
    later = "def f():\n    import vae_edu.work\nimport vae_edu.errors"
    assert needed(ast.parse(later)) == {"errors"}


def test_paths_to_the_instructors_side_are_seen():
    for text in ("solutions", "tests/audit", "tests.unseen", "see solutions/04"):
        assert INSTRUCTORS.search(text), text
    for text in ("two solutions of it", "it tests nothing", "contests/"):
        assert not INSTRUCTORS.search(text), text
