"""Each lesson, run and read: the learner's notebook blank, the instructor's under
nbval.

What belongs here: what a notebook does when it runs top to bottom, and the rules that
its cells keep. What does not: how it was built (test_build), what leaks (test_leaks), a
browser.

nbval compares the outputs of every cell with the committed ones, the numbers as
`printed` says. Tags in lesson.py say
where that cannot be: `nbval-ignore-output` (random on purpose, or a clock). What
depends on `data` is compared only where MNIST is: scikit-learn's digits give other
numbers.
"""

from __future__ import annotations

import ast
import html
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import nbformat
import pytest
from nbformat import NotebookNode

from vae_edu import catalogue
from vae_edu.build import course
from vae_edu.catalogue import Exercise, exercises_of, folder_of

LESSONS = course.authored()
CELLS, CODE_LINES, SETUP_LINES = 35, 12, 7
IGNORED = "nbval-ignore-output"

# What differs between runs or machines without being wrong.
SANITIZE = r"""
[picture]
regex: src="data:image/png;base64,[^"]*"
replace: src="PICTURE"

[digits]
regex: (\d\.\d{4})\d+
replace: \1

[address]
regex: 0x[0-9a-f]{6,}
replace: ADDRESS
"""

per_lesson = pytest.mark.parametrize("topic", LESSONS)


def path_of(topic: str, side: str) -> Path:
    folder = folder_of(topic)
    return course.course_root() / side / folder / f"{folder}.ipynb"


@cache
def book(topic: str, side: str) -> NotebookNode:
    return nbformat.read(path_of(topic, side), as_version=4)


def code_cells(topic: str, side: str = "solutions") -> list[NotebookNode]:
    return [c for c in book(topic, side).cells if c.cell_type == "code"]


def is_exercise(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def is_graded(cell: NotebookNode) -> bool:
    return "nbgrader" in cell.metadata


def experiments(topic: str) -> list[NotebookNode]:
    return [c for c in code_cells(topic) if not is_graded(c)]


def prose(cell: NotebookNode) -> str:
    """Markdown without code, formulas, addresses and tags."""
    return re.sub(r"\]\([^)]*\)|https?://\S+|<[^>]*>", " ", without_code(cell))


def without_code(cell: NotebookNode) -> str:
    quoted = r"```.*?```|`[^`]*`|<(code|pre)>.*?</\1>|\$\$.*?\$\$|\$[^$]*\$"
    return re.sub(quoted, " ", cell.source, flags=re.S)


def markdown(topic: str) -> list[NotebookNode]:
    return [c for c in book(topic, "solutions").cells if c.cell_type == "markdown"]


# --- running: the learner's, blank ------------------------------------------------


@pytest.fixture(scope="module")
def blank(request: pytest.FixtureRequest) -> NotebookNode:
    """The learner's notebook, run top to bottom by someone who has done nothing."""
    copy = nbformat.from_dict(book(request.param, "notebooks"))
    copy = nbformat.reads(nbformat.writes(copy), as_version=4)
    course.run(copy, before=catalogue.TOPICS[0], allow_errors=True)  # refuses stderr
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("blank", LESSONS, indirect=True)
def test_a_blank_notebook_complains_only_where_a_stub_is_missing(blank):
    code = [c for c in blank.cells if c.cell_type == "code"]
    waiting = depends_on_a_stub(c.source for c in code)
    for cell, may_fail in zip(code, waiting, strict=True):
        errors = [o for o in cell.outputs if o.output_type == "error"]
        names = {o.ename for o in errors}
        assert names <= {"NotImplementedError"}, f"{cell.source}\n{errors}"
        assert may_fail or not errors, f"needs no answer, but fails:\n{cell.source}"
        assert not is_exercise(cell) or not errors, cell.source
    checks = [c for c in code if c.metadata.get("nbgrader", {}).get("grade")]
    assert all(any(o.output_type == "error" for o in c.outputs) for c in checks)


def depends_on_a_stub(sources: Iterable[str]) -> list[bool]:
    return depends_on({e.name for e in catalogue.all_exercises()}, sources)


def depends_on(names: set[str], sources: Iterable[str]) -> list[bool]:
    """Which cells use one of the names, or a name that a cell made from one."""
    found = []
    for source in sources:
        tree = ast.parse(source)
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        imports = (n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom))
        taken = [a for n in imports for a in n.names if a.name in names]
        found.append(bool(used & names or taken))
        if found[-1]:
            names = names | set(made_in(tree)) | {a.asname or a.name for a in taken}
    return found


def made_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


# --- running: the instructor's, under nbval ---------------------------------------


@pytest.mark.slow
@per_lesson
def test_the_solution_runs_with_the_committed_outputs(topic, tmp_path):
    path = tmp_path / path_of(topic, "solutions").name
    nbformat.write(for_nbval(book(topic, "solutions")), path)
    (tmp_path / "sanitize.cfg").write_text(SANITIZE)
    with course.learner_who_did(topic) as work:
        for _ in range(2):
            done = subprocess.run(
                [*PYTEST, *NBVAL, path.name],
                cwd=tmp_path,
                env=environment(work),
                capture_output=True,
                text=True,
            )
            if "exceeded waiting for output" not in done.stdout:
                break  # nbval's patience is 5 s, without an option for more
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{len(code_cells(topic))} passed" in done.stdout


QUIETLY = ["-q", "-p", "no:cacheprovider", "-c", os.devnull]
QUIETLY += ["-p", "tests.course.printed"]
PYTEST = [sys.executable, "-m", "pytest", *QUIETLY]
NBVAL = (
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=300",
    "--nbval-sanitize-with=sanitize.cfg",
)


def environment(work: Path) -> dict[str, str]:
    root = str(course.course_root())
    own = {"VAE_EDU_WORK": str(work), "VAE_EDU_HOME": root, "PYTHONPATH": root}
    own |= {"VAE_EDU_RUNS": str(work / "runs"), "VAE_EDU_SCALE": "seconds"}
    kept = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}
    return {**kept, **own, "OMP_NUM_THREADS": "2"}


def for_nbval(original: NotebookNode) -> NotebookNode:
    """A copy in which nothing that comes from images is compared where MNIST is not."""
    from vae_edu.mnist import is_absent

    copy = nbformat.reads(nbformat.writes(original), as_version=4)
    code = [c for c in copy.cells if c.cell_type == "code"]
    from_images = depends_on({"data"}, (c.source for c in code))
    for cell in (c for c, images in zip(code, from_images, strict=True) if images):
        if is_absent():
            cell.metadata.tags = [*cell.metadata.get("tags", []), IGNORED]
    return copy


@per_lesson
def test_most_outputs_are_compared(topic):
    cells = experiments(topic)
    ignored = [c for c in cells if IGNORED in c.metadata.get("tags", [])]
    assert len(ignored) <= len(cells) / 4


@per_lesson
def test_the_committed_outputs_are_of_one_clean_run(topic):
    cells = code_cells(topic)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    for output in (o for c in cells for o in c.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"


# --- budgets ----------------------------------------------------------------------


@per_lesson
def test_a_lesson_keeps_its_budget_of_cells_and_lines(topic):
    own = [c for c in book(topic, "solutions").cells if not is_graded(c)]
    assert len(own) <= CELLS
    long = [c.source for c in experiments(topic) if lines(c) > CODE_LINES]
    assert long == []


def lines(cell: NotebookNode) -> int:
    return len(cell.source.splitlines())


@per_lesson
def test_the_first_code_cell_is_short_and_plain(topic):
    first = code_cells(topic)[0]
    assert "setup" in first.metadata.get("tags", [])
    assert lines(first) <= SETUP_LINES
    for cell in code_cells(topic):
        assert not re.search(r"sys\.path|^\s*[!%]", cell.source, re.M), cell.source


@per_lesson
def test_every_experiment_shows_something(topic):
    silent = [
        c.source
        for c in experiments(topic)
        if not c.outputs and "setup" not in c.metadata.get("tags", [])
    ]
    assert silent == []


@per_lesson
def test_there_is_about_as_much_prose_as_code(topic):
    words = sum(len(prose(c).split()) for c in markdown(topic))
    code = sum(len(c.source.split()) for c in code_cells(topic))
    assert 0.5 * code <= words <= 6 * code


# --- exercises --------------------------------------------------------------------


@per_lesson
def test_every_exercise_has_its_card_its_hints_one_cell_and_one_check(topic):
    cells = book(topic, "solutions").cells
    ids = [c.metadata.get("nbgrader", {}).get("grade_id") for c in cells]
    for entry in exercises_of(topic):
        assert ids.count(entry.name) == 1
        assert ids.count(f"test_{entry.name}") == 1
        at, check = ids.index(entry.name), ids.index(f"test_{entry.name}")
        assert at < check
        before = "\n".join(said_before(cells, at))
        assert card_of(entry) in before, f"no card before {entry.name}"
        assert before.count("<details") >= 1, f"no hint before {entry.name}"
        assert before.index(card_of(entry)) < before.rindex("<details"), entry.name


def said_before(cells: list[NotebookNode], at: int) -> list[str]:
    """The markdown between the exercise or check before and this exercise."""
    since = [i for i, c in enumerate(cells[:at]) if is_graded(c)]
    start = since[-1] + 1 if since else 0
    return [c.source for c in cells[start:at] if c.cell_type == "markdown"]


def card_of(entry: Exercise) -> str:
    return f"**Exercise {entry.card.number}** · `{entry.name}`"


@per_lesson
def test_folded_parts_are_closed_and_hold_no_markdown_that_stays_plain(topic):
    for cell in markdown(topic):
        assert cell.source.count("<details") == cell.source.count("</details>")
        for block in HTML_BLOCK.findall(cell.source):
            text = re.sub(r"<(code|pre)>.*?</\1>", "", block, flags=re.S)
            assert not MARKDOWN.search(text), text


# inside a block of HTML, up to the next empty line, markdown is not rendered
HTML_BLOCK = re.compile(r"</summary>(.*?)(?:\n[ \t]*\n|</details>)", re.S)
MARKDOWN = re.compile(r"`|\*\*|^[-*] |\]\(", re.M)


# --- reading ----------------------------------------------------------------------


@per_lesson
def test_every_image_has_alt_text(topic):
    for text in [*texts_of_outputs(topic), *(c.source for c in markdown(topic))]:
        for tag in re.findall(r"<img\b[^>]*>", text):
            alt = re.search(r'\balt="([^"]*)"', tag)
            assert alt, tag[:80]
            assert len(html.unescape(alt.group(1)).strip()) >= 20, tag[:80]
        assert not re.search(r"!\[\s*\]\(", text), "an image without alt text"
    for output in (o for c in code_cells(topic) for o in c.outputs):
        data = output.get("data", {})
        assert "image/png" not in data, "show figures by viz.show, which has alt text"


def texts_of_outputs(topic: str) -> Iterator[str]:
    for output in (o for c in code_cells(topic) for o in c.outputs):
        yield output.get("text", "")
        yield from (
            v for k, v in output.get("data", {}).items() if k.startswith("text")
        )


@per_lesson
def test_links_lead_somewhere(topic):
    here = path_of(topic, "notebooks")
    for cell in markdown(topic):
        for target in LINK.findall(without_code(cell)):
            assert resolves(target, here), target


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)[^)]*\)")


def resolves(target: str, here: Path) -> bool:
    address = urlparse(target)
    if address.scheme:
        return address.scheme == "https" and "." in address.netloc
    path = (here.parent / address.path).resolve() if address.path else here
    if not path.exists():
        return False
    return not address.fragment or address.fragment in anchors(path)


@cache
def anchors(path: Path) -> set[str]:
    """The ids of headings (spaces become hyphens in JupyterLab), and written ones."""
    cells: list[Any] = nbformat.read(path, as_version=4).cells
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    headings = re.findall(r"^#{1,6}\s+(.+?)\s*$", text, re.M)
    plain = {re.sub(r"[`*$]", "", h).replace(" ", "-") for h in headings}
    return plain | set(re.findall(r'\bid="([^"]+)"', text))


EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u2712\u2719-\u27bf\ufe0f]")
MACHINE = re.compile(
    r"(?<![\w.~/])/(home|root|work|tmp|Users|opt|var|mnt)/|[A-Z]:\\\\?(Users|Temp)"
)


@per_lesson
def test_prose_has_no_emoji_and_no_exclamation_marks(topic):
    for cell in markdown(topic):
        assert not EMOJI.search(cell.source), cell.source
        without_titles = re.sub(r"\*[^*\n]+\*|!\[", " ", prose(cell))
        assert "!" not in without_titles, cell.source


@per_lesson
def test_no_path_of_a_machine_is_in_a_notebook(topic):
    shown = [c.source for c in book(topic, "solutions").cells]
    for text in [*shown, *texts_of_outputs(topic)]:
        without = re.sub(r"base64,[^\"]*", "", text)
        assert not MACHINE.search(without), MACHINE.search(without)
        assert not re.search(r" at 0x[0-9a-f]+>", without), text[:200]


@per_lesson
def test_no_placeholder_is_left(topic):
    for cell in book(topic, "notebooks").cells:
        assert not re.search(r"\{\{|\}\}\s*$|\bTODO\b|\bFIXME\b|\bTBD\b", cell.source)


# --- that it can fail -------------------------------------------------------------


def test_what_depends_on_a_stub_is_followed_through_names():
    cells = [
        "import torch",
        "from vae_edu.exercises.kl_divergence import gaussian_kl as kl",
        "x = torch.ones(2)",
        "value = kl(x, x)",
        "value.sum()",
        "x.sum()",
    ]
    assert depends_on_a_stub(cells) == [False, True, False, True, True, False]
    assert depends_on_a_stub(["y = gaussian_kl(1, 2)", "y", "z"]) == [True, True, False]


def test_links_that_lead_nowhere_are_seen(tmp_path):
    text = '# A title here\n<a id="own"></a>'
    cells = [nbformat.v4.new_markdown_cell(text)]
    here = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), here)
    for good in ("#A-title-here", "#own", "a.ipynb#own", "https://arxiv.org/abs/1"):
        assert resolves(good, here), good
    for bad in ("#other", "b.ipynb", "a.ipynb#other", "http://arxiv.org", "https://x"):
        assert not resolves(bad, here), bad


def test_emoji_and_paths_are_seen():
    assert EMOJI.search("well done \U0001f389")
    assert not EMOJI.search("✓ ✗ → ‖ ²")
    assert MACHINE.search("saved in /home/someone/x")
    assert MACHINE.search("/opt/somewhere/vae_edu")
    assert not MACHINE.search("see work/kl_divergence.py and notebooks/tmp/")
