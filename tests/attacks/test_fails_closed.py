"""The judge's own side broken on purpose: the law is lost, no point is given away."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.attacks.common import HONEST, WRONG, judged
from vae_edu import lesson as lessons
from vae_edu.checks import kl_divergence as checks
from vae_edu.errors import CourseError
from vae_edu.grading.verdict import verdicts
from vae_edu.lesson import Lesson, find

LAWS = find("kl_divergence").every_law("gaussian_kl")
hidden = find("kl_divergence").authored("hidden")
TRUE = hidden.gaussian_kl


def raises(mu, log_var):
    raise ZeroDivisionError("the oracle's own fault")


def unfinished(mu, log_var):
    raise NotImplementedError


ORACLES = {
    "raises": raises,
    "is not written": unfinished,
    "exits": lambda mu, log_var: exit(0),
    "gives NaN": lambda mu, log_var: TRUE(mu, log_var) * float("nan"),
    "gives one NaN": lambda mu, log_var: TRUE(mu, log_var).index_fill(
        -1, torch.tensor([0]), float("nan")
    ),
    "gives None": lambda mu, log_var: None,
    "gives a string": lambda mu, log_var: "0.5",
}
ANSWERS = {
    "honest": HONEST,
    "wrong": WRONG,
    "NaN": "def gaussian_kl(mu, log_var):\n    return mu.sum(-1) * float('nan')",
    "None": "def gaussian_kl(mu, log_var):\n    return None",
    "a float": "def gaussian_kl(mu, log_var):\n    return float('nan')",
}


def kinds(result):
    return {f["law"]: f["kind"] for f in result.failures}


@pytest.fixture
def oracle(monkeypatch):
    return lambda body: monkeypatch.setitem(hidden.ORACLES, "gaussian_kl", body)


@pytest.mark.parametrize("name", ORACLES)
def test_without_a_truth_every_law_is_undecided(zygote, tmp_path, oracle, name):
    oracle(ORACLES[name])
    result = judged(zygote, tmp_path, HONEST)
    assert (result.passed, result.score) == (False, 0)
    assert kinds(result) == {law.name: "undecided" for law in LAWS}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("name", ["gives NaN", "gives None"])
def test_no_answer_profits_from_a_broken_truth(zygote, tmp_path, oracle, name, answer):
    oracle(ORACLES[name])
    result = judged(zygote, tmp_path, ANSWERS[answer])
    assert (result.passed, result.score) == (False, 0)


@pytest.mark.parametrize("name", ["raises", "is not written", "gives NaN"])
def test_a_truth_that_lacks_some_values_costs_one_law(zygote, tmp_path, oracle, name):
    def body(mu, log_var):
        far = log_var.abs().max() > 20  # asked by the law of extremes alone
        return (ORACLES[name] if far else TRUE)(mu, log_var)

    oracle(body)
    result = judged(zygote, tmp_path, HONEST)
    assert kinds(result) == {"extremes": "undecided"}
    share = (len(LAWS) - 1) / len(LAWS)
    # what is not shown to hold counts as what the exercise is about: half at most
    assert result.score == pytest.approx(share * result.max_score / 2, abs=0.01)


@pytest.mark.parametrize(
    ("law", "error"),
    [
        ("values", TypeError("no")),
        ("gradients", StopIteration()),
        ("fresh inputs", RecursionError()),
    ],
)
def test_a_law_that_stumbles_costs_itself(zygote, tmp_path, monkeypatch, law, error):
    def body(subject, truth, draw):
        raise error

    laws = checks.LAWS if law != "fresh inputs" else hidden.LAWS
    broken = [
        replace(entry, body=body)
        if (entry.exercise, entry.name) == ("gaussian_kl", law)
        else entry
        for entry in laws.laws
    ]
    monkeypatch.setattr(laws, "laws", broken)
    result = judged(zygote, tmp_path, HONEST)
    assert kinds(result) == {law: "undecided"}
    assert 0 <= result.score < result.max_score


def test_an_exercise_without_laws_is_not_graded(zygote, tmp_path, monkeypatch):
    monkeypatch.setattr(Lesson, "every_law", lambda lesson, exercise: [])
    with pytest.raises(CourseError, match="no laws"):
        judged(zygote, tmp_path, HONEST)
    assert not verdicts.Judgement([]).passed


def test_recorded_values_that_are_gone_leave_the_score(zygote, tmp_path, monkeypatch):
    """They serve the words for a learner; no score comes from them."""
    known = HONEST.replace("log_var.exp()", "(log_var / 2).exp()")
    before = judged(zygote, tmp_path, known)
    empty = {"truth": {}, "misconceptions": {}}
    monkeypatch.setattr(Lesson, "recorded", empty)
    after = judged(zygote, tmp_path, known)
    assert (after.score, kinds(after)) == (before.score, kinds(before))
    assert (before.misconception is None, after.misconception) == (False, None)


def test_a_file_of_recorded_values_that_is_gone_is_said(zygote, tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "_RECORDED", tmp_path)
    lessons._recorded.cache_clear()
    try:
        with pytest.raises(CourseError, match="recorded values"):
            judged(zygote, tmp_path, WRONG)
    finally:
        lessons._recorded.cache_clear()


def test_only_laws_that_were_tried_and_hold_count(zygote, tmp_path):
    """An answer that calls itself unfinished half-way has not fewer laws to keep."""
    stop = "if mu.dim() != 2: raise NotImplementedError"
    half = HONEST.replace("return", f"{stop}\n    return")
    result = judged(zygote, tmp_path, half)
    assert not result.passed
    assert result.score == 0
