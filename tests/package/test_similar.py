"""Answers that are alike: copies are found under new names, right answers let be."""

from __future__ import annotations

import ast
import json
import re
import time
from itertools import combinations

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.conftest import REPOSITORY
from vae_edu import catalogue
from vae_edu.cli import main
from vae_edu.grading.office import fingerprints, similar
from vae_edu.grading.office.fingerprints import looks
from vae_edu.lesson import find

LESSON = "04_kl_divergence"
TOPIC = "kl_divergence"
ODD = '''
@exercise
def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """My KL."""
    # half of the spread, which I call s here
    s = torch.exp(log_var / 2)
    ratio = torch.log(s * s) - torch.stack([mu, mu]).mean(0) ** 2
    return -(1 + ratio - s ** 2).sum(dim=-1) / 2
'''
RENAMED = '''
@exercise
def gaussian_kl(m, lv):
    """KL of two normal distributions, in nats."""
    spread = torch.exp(
        lv / 2)
    # the ratio of both
    quotient = torch.log(spread * spread) - torch.stack([m, m]).mean(0) ** 2

    return -(1 + quotient - spread ** 2).sum(dim=-1) / 2
'''
OTHER = """
def gaussian_kl(mu, log_var):
    kl = 0
    for m, v in zip(mu.unbind(-1), log_var.unbind(-1)):
        kl = kl + (m * m + v.exp() - v - 1) / 2
    return kl
"""


def variants(topic: str) -> dict[str, list[str]]:
    """The sources of right answers that were written independently, by exercise."""
    source = find(topic).file("variants").read_text("utf-8")
    found: dict[str, list[str]] = {}
    for node in ast.parse(source).body:
        for call in getattr(node, "decorator_list", []):
            if ast.unparse(call).startswith("variant("):
                name = call.args[0].value
                text = ast.get_source_segment(source, node)
                text = re.sub(r"^(def|class) \w+", rf"\1 {name}", text)
                found.setdefault(name, []).append(text)
    return found


def renamed(source: str) -> str:
    """The same with other names, other docstrings, no comments, other layout."""
    tree = ast.parse(source)
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            own.add(node.arg)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    own -= {"self"}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg in own:
            node.arg = f"my_{node.arg}"
        if isinstance(node, ast.Name) and node.id in own:
            node.id = f"my_{node.id}"
    return ast.unparse(tree)


def submit(folder, student, *pieces, name=LESSON):
    path = folder / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=[new_code_cell(p) for p in pieces]), path)
    return path


def found(folder, capsys, *options):
    options = ["--from", str(folder / "submitted"), "--json", *options]
    assert main(["similar", LESSON, *options]) == 0
    return json.loads(capsys.readouterr().out)


# --- fingerprints ---------------------------------------------------------------------


def prints(source):
    return looks([source], {"gaussian_kl"})["gaussian_kl"].prints


def test_names_comments_docstrings_and_layout_do_not_count():
    assert prints(ODD) == prints(RENAMED)
    assert len(prints(ODD)) > 10


def test_another_way_to_the_same_numbers_does():
    assert len(prints(ODD) & prints(OTHER)) < 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "return mu.exp().sum(-1) + 1 - log_var",
            "return mu.log().sum(-1) + 1 - log_var",
        ),
        (
            "return mu.exp().sum(-1) + 1 - log_var",
            "return log_var.exp().sum(-1) + 1 - mu",
        ),
        (
            "return mu.exp().sum(-1) + 1 - log_var",
            "return mu.exp().sum(-1) + 2 - log_var",
        ),
    ],
)
def test_methods_parameters_and_numbers_do_too(one, other):
    head = "def gaussian_kl(mu, log_var):\n    "
    assert prints(head + one) != prints(head + other)


def test_what_is_common_over_a_few_tokens_leaves_a_fingerprint():
    stream = [f"t{i}" for i in range(100)]
    span = fingerprints.GRAM + fingerprints.WINDOW - 1
    whole = fingerprints.winnowed(stream)
    for i in range(len(stream) - span):
        assert fingerprints.winnowed(stream[i : i + span]) & whole
    assert len(whole) < len(stream)


def test_a_helper_belongs_to_the_answer_that_calls_it():
    helper = ODD.replace("gaussian_kl", "mine").replace("@exercise\n", "")
    moved = "def gaussian_kl(mu, log_var):\n    return mine(mu, log_var)\n"
    assert prints(ODD) <= looks([helper, moved], {"gaussian_kl"})["gaussian_kl"].prints


def test_methods_attributes_can_be_renamed():
    source = """
class Autoencoder:
    def forward(self, x):
        hidden = torch.relu(self.first(x)) * 0.5
        return torch.sigmoid(self.second(hidden)) - hidden.mean()
"""
    other = source.replace("self", "this").replace("first", "a").replace("second", "b")
    wanted = {"Autoencoder"}
    assert looks([source], wanted) == looks([other], wanted)


@pytest.mark.parametrize(
    "source",
    [
        *("", "def gaussian_kl(", "\x00", "(" * 10_000, "-" * 90_000 + "1"),
        *(
            "x" + ".a" * 40_000,
            "def gaussian_kl():\n" + " return " + "+".join("1" * 30_000),
        ),
        *("a\n" * 60_000, "x = " + "[" * 150 + "]" * 150, "x = 0x" + "f" * 90_000),
        "\ud800 = 1",
    ],
)
def test_no_code_at_all_stops_it(source):
    began = time.monotonic()
    looks([source], {"gaussian_kl"})
    assert time.monotonic() - began < 20


# --- pairs ----------------------------------------------------------------------------


def test_a_copy_is_found_under_other_names(tmp_path, capsys):
    submit(tmp_path, "anna", ODD)
    submit(tmp_path, "bert", RENAMED)
    submit(tmp_path, "cleo", OTHER)
    data = found(tmp_path, capsys)
    assert data["compared"] == 3
    assert [p["students"] for p in data["pairs"]] == [["anna", "bert"]]
    only = data["pairs"][0]["exercises"]
    assert [(e["name"], e["share"], e["others"]) for e in only] == [
        ("gaussian_kl", 1.0, 0)
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    ratio =", "    print(s.shape, flush=True)\n    ratio ="),
        ("    return ", "    ratio = ratio.clone()\n    return 1.0 * "),
        ("s * s", "s ** 2"),
        (
            "    s = torch.exp(log_var / 2)\n",
            "    a = log_var / 2\n    s = torch.exp(a)\n",
        ),
    ],
)
def test_a_copy_is_found_with_a_line_changed(tmp_path, capsys, old, new):
    assert old in ODD
    submit(tmp_path, "anna", ODD)
    submit(tmp_path, "bert", ODD.replace(old, new))
    submit(tmp_path, "cleo", OTHER)
    pairs = found(tmp_path, capsys)["pairs"]
    assert [p["students"] for p in pairs] == [["anna", "bert"]]
    assert 0.5 < pairs[0]["exercises"][0]["share"] < 1


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_right_answers_do_not_come_before_copies(topic):
    """Each variant is a student's; of each one, somebody has a renamed copy."""
    given = similar.known(topic)
    for name, sources in variants(topic).items():
        answers = {}
        for i, source in enumerate(sources):
            for student, text in ((f"{i}", source), (f"{i} copy", renamed(source))):
                seen = looks([text], {name})[name]
                own = seen.prints - given.prints
                answers[student] = fingerprints.Looks(own, set())
        matched = similar.matches(name, answers, len(answers))
        evidence = {m.students: m.evidence for m in matched}
        copies = {(f"{i}", f"{i} copy") for i in range(len(sources))}
        others = [e for pair, e in evidence.items() if pair not in copies]
        big = [p for p in copies if len(answers[p[0]].prints) >= similar.FEWEST]
        assert {*big} <= {*evidence}
        assert len(big) >= len(copies) - 1
        weak = min(evidence[p] for p in big if len(answers[p[0]].prints) > 8)
        assert all(e < weak for e in others)


def test_stub_reference_and_released_code_do_not_count(tmp_path, capsys):
    released = REPOSITORY / "notebooks" / LESSON / f"{LESSON}.ipynb"
    solved = REPOSITORY / "solutions" / LESSON / "exercises.py"
    for student in ("anna", "bert"):
        path = submit(tmp_path, student)
        path.write_bytes(released.read_bytes())
    for student in ("cleo", "dora"):
        submit(tmp_path, student, solved.read_text(encoding="utf-8"))
    assert found(tmp_path, capsys)["pairs"] == []


def test_what_many_have_does_not_count():
    answer = {"gaussian_kl": looks([ODD], {"gaussian_kl"})["gaussian_kl"]}
    few = {f"{i}": answer["gaussian_kl"] for i in range(3)}
    many = {f"{i}": answer["gaussian_kl"] for i in range(30)}
    matched = list(similar.matches("gaussian_kl", few, 100))
    assert [m.students for m in matched] == [*combinations("012", 2)]
    assert {m.others for m in matched} == {1}
    assert list(similar.matches("gaussian_kl", many, 100)) == []


def test_the_rarer_is_the_more_suspicious():
    odd, other = (looks([s], {"gaussian_kl"})["gaussian_kl"] for s in (ODD, OTHER))
    answers = dict.fromkeys("ab", odd) | dict.fromkeys("cdefgh", other)
    assert len(odd.prints) <= len(other.prints) + 4
    pairs = similar.alike(similar.Hall([*"abcdefgh"], {"gaussian_kl": answers}))
    assert pairs[0][0].students == ("a", "b")


def test_equal_comments_strings_and_blanks_are_listed_beside(tmp_path, capsys):
    common = "def gaussian_kl(mu, log_var):\n    # {}\n    return {}  -  1  # mine\n"
    kl = "0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)"
    submit(tmp_path, "anna", common.format("So I tink it is the half", kl))
    submit(tmp_path, "bert", common.format("so I  tink it is the half", kl))
    submit(tmp_path, "cleo", common.format("a comment of one's own", kl))
    pairs = {tuple(p["students"]): p for p in found(tmp_path, capsys)["pairs"]}
    words = pairs["anna", "bert"]["exercises"][0]["same_words"]
    assert "comment so i tink it is the half" in words
    assert any(w.startswith("line ") and "  -  1" in w for w in words)
    first = next(iter(pairs))
    assert first == ("anna", "bert")


# --- notebooks ------------------------------------------------------------------------


def test_hostile_notebooks_are_left_out_and_counted(tmp_path, capsys):
    submit(tmp_path, "anna", ODD)
    submit(tmp_path, "bert", RENAMED)
    submit(tmp_path, "no json").write_text("{", encoding="utf-8")
    submit(tmp_path, "bytes").write_bytes(b"\xff\xfe\x00\x01")
    submit(tmp_path, "list").write_text("[]", encoding="utf-8")
    submit(tmp_path, "nested").write_text("[" * 200_000, encoding="utf-8")
    submit(tmp_path, "empty").write_text("", encoding="utf-8")
    with submit(tmp_path, "sparse").open("r+b") as file:
        file.truncate(200 * 10**6)
    submit(tmp_path, "code", "x = 1\n" * 300_000)
    link = submit(tmp_path, "link")
    link.unlink()
    link.symlink_to(tmp_path / "submitted" / "anna" / LESSON / f"{LESSON}.ipynb")
    submit(tmp_path, "bell\x07 \u202e=1", "def gaussian_kl(:")
    data = found(tmp_path, capsys)
    assert [p["students"] for p in data["pairs"]] == [["anna", "bert"]]
    hostile = {"no json", "bytes", "list", "nested", "empty", "sparse", "code", "link"}
    assert {*data["left_out"]} == hostile
    assert data["compared"] == 3


def test_the_table_is_for_people(tmp_path, capsys):
    submit(tmp_path, "Żółć, O'Neil 李", ODD)
    submit(tmp_path, "bell\x07 \u202egnp", RENAMED)
    submit(tmp_path, "torn").write_text("{", encoding="utf-8")
    assert main(["similar", "4", "--from", str(tmp_path / "submitted")]) == 0
    said = capsys.readouterr().out
    assert "Żółć, O'Neil 李" in said
    assert not {"\x07", "\u202e"} & {*said}
    assert re.search(r"4\.3 gaussian_kl +100%", said)
    assert "1 left out: torn (it is no notebook" in said
    assert "2 students compared" in said
    assert not re.search(r"\bpoints?\b|cheat|guilty", said)


def test_submissions_are_looked_for_in_the_course(tmp_path, capsys, monkeypatch):
    (tmp_path / "nbgrader_config.py").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["similar", LESSON]) == 2
    assert "no notebook of this lesson" in capsys.readouterr().err
    submit(tmp_path, "anna", ODD)
    submit(tmp_path, "bert", RENAMED)
    submit(tmp_path, "cleo", ODD, name="03_elbo")
    assert main(["similar", LESSON, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["compared"], len(data["pairs"])) == (2, 1)
    monkeypatch.chdir("/")
    assert main(["similar", LESSON, "--json", "--course", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == data


def test_downloads_of_an_lms_are_taken_as_they_are(tmp_path, capsys):
    folder = tmp_path / "submitted"
    folder.mkdir()
    for name, source in (
        ("anna_11_101_KL.ipynb", ODD),
        ("anna_11_102_KL.ipynb", ODD),
        ("bert_12_103_KL.ipynb", RENAMED),
    ):
        nbformat.write(new_notebook(cells=[new_code_cell(source)]), folder / name)
    submit(tmp_path, "cleo", OTHER, name="03_elbo")
    data = found(tmp_path, capsys)
    assert data["compared"] == 2
    assert [p["students"] for p in data["pairs"]] == [["anna_11", "bert_12"]]


def test_only_as_many_pairs_as_asked_for(tmp_path, capsys):
    for student in "abcde":
        submit(tmp_path, student, ODD)
    assert len(found(tmp_path, capsys)["pairs"]) == 10
    assert len(found(tmp_path, capsys, "--top", "3")["pairs"]) == 3


def test_nothing_of_a_submission_is_run(tmp_path, capsys):
    mark = tmp_path / "ran"
    source = f"open({str(mark)!r}, 'w').close()\n" + ODD
    submit(tmp_path, "anna", source)
    submit(tmp_path, "bert", source)
    assert len(found(tmp_path, capsys)["pairs"]) == 1
    assert not mark.exists()


@pytest.mark.slow
def test_a_large_class_takes_less_than_a_minute():
    """1,000 students and 6 exercises: comparing alone, on answers that all differ."""
    hall = similar.Hall([f"{i}" for i in range(1000)])
    for e in range(6):
        answers = {
            f"{i}": fingerprints.Looks(
                {(i * 7 + e * 13 + j * j) % 4000 for j in range(40)}
            )
            for i in range(1000)
        }
        hall.answers[f"{e}"] = answers
    began = time.monotonic()
    similar.alike(hall)
    assert time.monotonic() - began < 60
