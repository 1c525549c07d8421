"""No answer, hidden law, oracle, mutant or variant is in anything that a learner
receives.

What a learner receives: `notebooks/` and `vae_edu/` without `build/` and `grading/`. A
secret is an expression of the instructor's side, compared after `ast.unparse` and
without white space, so that neither a line break nor a quote hides it, in code as in
prose, in JSON as in a docstring.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from vae_edu.build.course import authored
from vae_edu.build.source import REGION
from vae_edu.catalogue import folder_of
from vae_edu.grading.wall import mounts

LESSONS = authored()
KINDS = ("solutions", "hidden", "mistakes", "variants")
NOT_RELEASED = ("build", "grading")

# Shorter ones (`mu + eps`, `x.exp()`, `return mu`) are ordinary words of the language,
# which a lesson needs; a learner who finds one has found nothing.
SHORTEST = 20
# A law is put together from the words of vae_edu/checks (`compare(subject.call(...`).
SHORTEST_IN_A_LAW = 60

# What a learner may see, with the reason: (file, secret without white space).
ALLOWED: dict[tuple[str, str], str] = {
    (
        "vae_edu/checks/reparameterization.py",
        "mu.detach().clone().requires_grad_()",
    ): "how anyone makes a leaf to differentiate at",
    (
        "notebooks/00_start_here/00_start_here.ipynb",
        "log_values.exp().mean(dim).log()",
    ): "the formula as it stands, whose overflow is what the lesson is about",
    (
        "notebooks/07_building_the_vae/07_building_the_vae.ipynb",
        "torch.zeros_like(mu)",
    ): "noise that is left out, to compare with",
    (
        "notebooks/01_autoencoders/01_autoencoders.ipynb",
        "nn.Linear(input_dim,hidden_dim)",
    ): "a layer, as in every network; what is asked for is the whole module",
}
_TRAINED = ("05_reparameterization", "06_likelihoods", "07_building_the_vae")
_TRAINED += ("08_training", "09_importance_weighting")
ALLOWED |= {
    (f"notebooks/{n}/{n}.ipynb", "optimizer.zero_grad()"): "a call of torch's, as in "
    "every training loop; what 08 asks for is the whole step"
    for n in _TRAINED
}
# The given engine: networks, a loop and bounds that published numbers are reproduced
# with, as any library has them. A sandbox holds none of it: no answer can import one.
ENGINE = ("models", "train", "evaluate", "program")
FOLDED = re.compile(r"<details.*?</details>", re.S)

per_lesson = pytest.mark.parametrize("topic", LESSONS)


@dataclass(frozen=True)
class Secret:
    """A piece of the instructor's side: where it stands, and its text squeezed."""

    origin: str
    text: str


# --- what is secret ---------------------------------------------------------------


def secrets(topic: str, root: Path) -> set[Secret]:
    """Every expression of some length on the instructor's side of a lesson."""
    answers = root / "solutions" / folder_of(topic) / "exercises.py"
    found = set(_in_regions(answers))
    for kind in KINDS[1:]:
        path = answers.with_name(f"{kind}.py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            if kind == "mistakes":
                found |= set(_whole(function, f"{kind}/{path.name}"))
                continue
            shortest = SHORTEST_IN_A_LAW if _is_law(function) else SHORTEST
            found |= set(_said_in(function.body, f"{kind}/{path.name}", shortest))
    return found


def _whole(function: ast.FunctionDef, origin: str) -> Iterator[Secret]:
    """A wrong answer as a whole: its parts are often right, or everyday words."""
    body = function.body[ast.get_docstring(function) is not None :]
    text = squeezed(ast.unparse(body)).removeprefix("return")
    if len(text) >= SHORTEST:
        yield Secret(origin, text)


def _is_law(function: ast.FunctionDef) -> bool:
    return any(a.arg in ("subject", "draw") for a in function.args.args)


def _in_regions(path: Path) -> Iterator[Secret]:
    source = path.read_text(encoding="utf-8")
    lines = {
        number
        for match in REGION.finditer(source)
        for number in range(_line(source, match.start()), _line(source, match.end()))
    }
    assert lines, f"{path} has no solution region"
    inside = [
        n
        for n in ast.walk(ast.parse(source))
        if isinstance(n, ast.stmt) and n.lineno in lines
    ]
    yield from _said_in(inside, f"solutions/{path.parent.name}", SHORTEST)


def _line(source: str, offset: int) -> int:
    return source.count("\n", 0, offset) + 1


def _said_in(
    statements: Iterable[ast.stmt], origin: str, shortest: int
) -> Iterator[Secret]:
    for node in (n for s in statements for n in ast.walk(s)):
        value = getattr(node, "value", None) if isinstance(node, ast.stmt) else None
        if value is not None and not isinstance(value, ast.Constant):
            text = squeezed(ast.unparse(value))
            if len(text) >= shortest and not _is_plain_call(value):
                yield Secret(origin, text)


def _is_plain_call(value: ast.expr) -> bool:
    """Calling an exercise, `gaussian_kl(mu, log_var)`, is what exercises are for."""
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and all(isinstance(a, ast.Name) for a in value.args)
        and not value.keywords
    )


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


# --- what a learner receives ------------------------------------------------------


def received(root: Path) -> dict[str, str]:
    """Each file a learner receives, as one squeezed text, code also unparsed."""
    package = [
        p
        for p in (root / "vae_edu").rglob("*")
        if p.suffix in (".py", ".json", ".md", ".css", ".js")
        and p.relative_to(root / "vae_edu").parts[0] not in NOT_RELEASED
    ]
    books = [p for p in (root / "notebooks").rglob("*") if p.is_file()]
    return {p.relative_to(root).as_posix(): _soup(p) for p in [*package, *books]}


def _soup(path: Path) -> str:
    raw = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".ipynb":
        parts = ["".join(c["source"]) for c in json.loads(raw)["cells"]]
    elif path.suffix == ".json":
        parts = list(_strings(json.loads(raw)))
    else:
        parts = [raw]
    fenced = [m for p in parts for m in re.findall(r"```\w*\n(.*?)```", p, re.S)]
    return "\n".join(squeezed(p) for p in [*parts, *map(_unparsed, [*parts, *fenced])])


def _unparsed(text: str) -> str:
    try:
        return ast.unparse(ast.parse(text))
    except (SyntaxError, ValueError):
        return ""


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def leaks(topic: str, root: Path, files: dict[str, str]) -> list[tuple[str, str, str]]:
    """(file, secret, where it comes from) for every secret found."""
    known = sorted(secrets(topic, root), key=lambda s: (s.text, s.origin))
    return [
        (name, secret.text, secret.origin)
        for name, text in files.items()
        if name not in {f"vae_edu/{part}.py" for part in ENGINE}
        for secret in known
        if secret.text in text
        and (name, secret.text) not in ALLOWED
        and not _is_hint(name, text, secret.text, root)
    ]


def _is_hint(name: str, text: str, secret: str, root: Path) -> bool:
    """A line of a longer answer may stand in a folded hint, then or later."""
    lesson = Path(name).parent.name
    if not name.startswith("notebooks/") or secret in FOLDED.sub("", text):
        return False
    answers = sorted((root / "solutions").glob("*/exercises.py"))
    return any(secret in _lines(p) for p in answers if p.parent.name <= lesson)


@cache
def _lines(answers: Path) -> set[str]:
    """The single lines of answers that have more than one."""
    found = set()
    for region in REGION.finditer(answers.read_text(encoding="utf-8")):
        inside = "".join(region.group(0).splitlines(keepends=True)[1:-1])
        tree = ast.parse(textwrap.dedent(inside))
        if sum(isinstance(n, ast.stmt) for n in ast.walk(tree)) > 1:
            found |= {secret.text for secret in _said_in(tree.body, "", 0)}
    return found


# --- the tests --------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(root: Path) -> dict[str, str]:
    return received(root)


@per_lesson
def test_nothing_of_the_instructors_side_is_released(topic, root, files):
    assert leaks(topic, root, files) == []


def test_no_sandbox_holds_the_engine():
    parts = [Path(part) for part in mounts.package_parts()]
    held = {p.stem for part in parts for p in (part, *part.rglob("*.py"))}
    assert {"work", "feedback", "zygote"} <= held
    assert held.isdisjoint({*ENGINE, "runs", "launch", "reproduce", "handin"})


@per_lesson
def test_there_are_secrets_of_each_kind_to_look_for(topic, root):
    kinds = {secret.origin.split("/")[0] for secret in secrets(topic, root)}
    assert kinds == set(KINDS)


def test_what_is_allowed_is_still_there(files):
    for name, text in ALLOWED:
        assert text in files[name], f"{name} no longer shows {text}"


def test_the_stubs_and_the_recorded_numbers_are_looked_through(files):
    for topic in LESSONS:
        folder = folder_of(topic)
        assert {
            f"vae_edu/exercises/{topic}.py",
            f"vae_edu/checks/{topic}.py",
            f"vae_edu/checks/recorded/{topic}.json",
            f"notebooks/{folder}/{folder}.ipynb",
        } <= set(files)


@per_lesson
def test_a_learners_folder_holds_the_notebook_alone_without_outputs(topic, root):
    folder = root / "notebooks" / folder_of(topic)
    own = [p for p in folder.iterdir() if p.name != ".ipynb_checkpoints"]
    assert own == [folder / f"{folder.name}.ipynb"]
    text = own[0].read_text(encoding="utf-8")
    assert not re.search("BEGIN SOLUTION|HIDDEN|MARK SCHEME", text)
    code = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in code)


def test_the_package_names_no_hidden_or_borrowed_module(files):
    for name, text in files.items():
        assert not re.search(r"(from|import) (tests|solutions)\b", text), name


# --- that it can fail -------------------------------------------------------------


def _in_a_markdown_cell(copy: Path, text: str) -> None:
    _add_cell(copy, {"cell_type": "markdown", "source": f"Think:\n`{text}`"})


def _in_a_code_cell(copy: Path, text: str) -> None:
    source = text.replace("(", "(\n    ").replace("'", '"')
    _add_cell(copy, {"cell_type": "code", "source": f"answer = (\n{source}\n)"})


def _in_the_recorded_numbers(copy: Path, text: str) -> None:
    path = next((copy / "vae_edu/checks/recorded").glob("*.json"))
    table = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**table, "note": [text]}), encoding="utf-8")


def _in_a_docstring(copy: Path, text: str) -> None:
    path = next((copy / "vae_edu" / "exercises").glob("[a-z]*.py"))
    old = path.read_text(encoding="utf-8")
    path.write_text(f'"""First:\n    {text}\n"""\n{old}', encoding="utf-8")


def _in_a_file_beside_the_notebook(copy: Path, text: str) -> None:
    (next((copy / "notebooks").iterdir()) / "notes.txt").write_text(text)


def _add_cell(copy: Path, cell: dict[str, str]) -> None:
    path = next((copy / "notebooks").rglob("*.ipynb"))
    book = json.loads(path.read_text(encoding="utf-8"))
    book["cells"].append(cell)
    path.write_text(json.dumps(book), encoding="utf-8")


PLACES = (
    _in_a_markdown_cell,
    _in_a_code_cell,
    _in_the_recorded_numbers,
    _in_a_docstring,
    _in_a_file_beside_the_notebook,
)


@pytest.fixture
def copy(tmp_path: Path, root: Path) -> Path:
    """What a learner receives, to plant something in."""
    without = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("vae_edu", "notebooks"):
        shutil.copytree(root / name, tmp_path / name, ignore=without)
    return tmp_path


PLANTED = [("solutions", p) for p in PLACES] + [(k, PLACES[0]) for k in KINDS[1:]]


@pytest.mark.parametrize(("kind", "plant"), PLANTED)
def test_a_planted_leak_is_found(kind, plant, copy, root, files):
    topic = LESSONS[-1]
    some = (s.text for s in secrets(topic, root) if s.origin.startswith(kind))
    unseen = [text for text in some if not any(text in f for f in files.values())]
    text = max(unseen, key=lambda t: (len(t), t))
    plant(copy, text)
    assert [found for found in leaks(topic, root, received(copy)) if text in found]


def test_build_and_grading_are_not_what_a_learner_receives(files):
    assert not [n for n in files if re.match(r"vae_edu/(build|grading)/", n)]
    assert "vae_edu/feedback.py" in files
