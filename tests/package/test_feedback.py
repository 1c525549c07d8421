"""`check`: each kind of mistake gets its own words, and none gives the answer away."""

from __future__ import annotations

import math
import time
from importlib import import_module

import numpy as np
import pytest
import torch

from vae_edu import check
from vae_edu.checks.hints import look
from vae_edu.checks.law import Broken, compare, describe
from vae_edu.errors import CourseError
from vae_edu.feedback import CheckFailed, judge
from vae_edu.subject import Wrong


def answer(function):
    """The function under the exercise's name."""
    function.__name__ = "gaussian_kl"
    return function


def right(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


def text_for(function) -> str:
    return str(judge(answer(function)))


def test_a_right_answer_is_told_so(capsys):
    check(answer(lambda mu, log_var: right(mu, log_var)))
    assert "right. All" in capsys.readouterr().out


def test_an_unfilled_stub_is_kindly_not_implemented():
    def stub(mu, log_var):
        raise NotImplementedError("replace this line")

    with pytest.raises(NotImplementedError, match="not filled in yet") as caught:
        check(answer(stub))
    assert "Replace the line" in str(caught.value)


def test_a_known_mistake_is_called_by_its_name(capsys):
    with pytest.raises(CheckFailed):
        check(
            answer(
                lambda mu, log_var: (
                    0.5 * (mu.square() + torch.sqrt(log_var.exp()) - 1 - log_var)
                ).sum(dim=-1)
            )
        )
    said = capsys.readouterr().out
    assert "Standard deviations where the formula has variances" in said
    assert "exp(log_var) is the variance" in said


def test_an_exception_shows_the_learners_line():
    def broken(mu, log_var):
        return mu.no_such_method()

    said = text_for(broken)
    assert "AttributeError" in said
    assert "no_such_method" in said
    assert "vae_edu" not in said.split("Your code stopped")[1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda mu, log_var: None, "should be a tensor; it is a NoneType"),
        (lambda mu, log_var: 3.0, "should be a tensor; it is 3"),
        (lambda mu, log_var: right(mu, log_var).numpy(), "it is a ndarray"),
        (lambda mu, log_var: list(right(mu, log_var)), "it is a list"),
        (lambda mu, log_var: right(mu, log_var)[:, None], "has shape (4, 1)"),
        (lambda mu, log_var: right(mu, log_var).float(), "dtype float32"),
        (lambda mu, log_var: right(mu, log_var).sum(), "has shape ()"),
    ],
)
def test_type_shape_and_dtype_get_their_own_words(wrong, words):
    assert words in text_for(wrong)


def test_the_device_gets_its_own_words():
    def on_the_cpu(mu, log_var):
        kl = right(mu, log_var)
        return kl + torch.zeros(kl.shape, dtype=kl.dtype)

    said = text_for(on_the_cpu)
    assert "on another device" in said
    assert "device=x.device" in said


def test_a_wrong_number_of_arguments_is_an_error_of_the_learner():
    said = text_for(lambda mu: mu)
    assert "TypeError" in said


def test_what_came_out_and_what_was_expected_are_shown():
    said = text_for(lambda mu, log_var: right(mu, log_var) + 0.123 * mu.sum(-1))
    assert "got " in said
    assert "expected " in said
    assert "gaussian_kl(mu: (4, 3), log_var: (4, 3))" in said


def test_a_value_that_is_not_finite_is_the_one_shown():
    with pytest.raises(Broken, match=r"at index \(2,\): got nan, expected 4\."):
        compare(torch.tensor([0.0, 2.0, math.nan]).double(), VALUES)


def test_an_error_is_told_with_the_call_that_met_it():
    said = text_for(lambda mu, log_var: right(mu, log_var) + 0 * mu.sum(1))
    assert "at gaussian_kl(mu: (5,), log_var: (5,)) with IndexError" in said
    assert "Count dimensions from the end" in said


def test_laws_at_which_the_code_stops_are_not_called_broken():
    def stops(mu, log_var):
        raise ValueError("two sizes do not meet")

    feedback = judge(answer(stops))
    assert set(feedback.states()) <= {"stops", "open"}
    assert "<details>" in feedback._repr_html_()
    wrong = judge(answer(lambda mu, log_var: 2 * right(mu, log_var)))
    assert wrong.states()[0] == "BROKEN"
    assert "<details open>" in wrong._repr_html_()


def test_a_check_after_a_refused_cell_says_which_version_it_is_about(monkeypatch):
    monkeypatch.setattr("vae_edu.work.set_aside", {"gaussian_kl": "refused"})
    assert "here is the version before" in text_for(right)


def test_values_are_described_as_they_are():
    assert describe(Wrong("int")) == "an int"
    assert describe(torch.tensor(6.5)) == "6.5, a tensor of shape ()"
    assert describe(torch.tensor([6.5])) == "[6.5] of shape (1,)"
    with pytest.raises(Broken, match=r"f\(x\), result 2, is 3; expected 4\."):
        compare((1.0, 3.0), (1.0, 4.0), what="f(x)")


def test_the_frames_shown_are_the_learners():
    def tied(mu, log_var):
        return torch.autograd.grad(right(mu, log_var).sum(), mu)[0]

    said = text_for(tied)
    assert "in tied" in said
    assert "site-packages" not in said
    assert "make a leaf of your own" in said


def test_noise_drawn_inside_is_noticed_by_a_second_call():
    said = text_for(lambda mu, log_var: right(mu, log_var) + torch.randn(()))
    assert "The same call gives another result each time" in said
    said = text_for(lambda mu, log_var: right(mu, log_var) + 0.123 * mu.sum(-1))
    assert "another result" not in said


def test_html_is_escaped():
    def hostile(mu, log_var):
        raise ValueError("<script>alert(1)</script>")

    shown = judge(answer(hostile))._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_something_that_is_no_exercise_is_refused_with_the_nearest_name():
    with pytest.raises(CourseError, match="no exercise called 'array'"):
        check(np.array)
    with pytest.raises(CourseError, match="Did you mean 'gaussian_kl'"):
        check("gausian_kl")


def test_a_check_takes_less_than_half_a_second():
    judge(answer(lambda mu, log_var: right(mu, log_var)))
    began = time.process_time()  # of this process: other load does not count
    judge(answer(lambda mu, log_var: right(mu, log_var)))
    assert time.process_time() - began < 0.5


def test_a_check_leaves_the_learners_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    judge(answer(lambda mu, log_var: right(mu, log_var)))
    assert torch.equal(torch.rand(3), expected)


VALUES = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (-VALUES, "negative"),
        (2 * VALUES, "twice"),
        (0.5 * VALUES, "half"),
        (VALUES / math.log(2), "bits and nats"),
        (3 * VALUES, "times 3"),
        (VALUES + 1, "same amount"),
        (VALUES.sum(), "without `dim`"),
        (VALUES[:, None], "A dimension of size 1"),
        (VALUES.expand(3, 3), "(3, 1) and (3,), together, broadcast to (3, 3)"),
        (VALUES.expand(2, 3), "One dimension too many"),
        (Wrong("NoneType"), "`return`"),
        (VALUES * math.nan, "NaN"),
        (VALUES * (1 + 1e-8), "float64 has sixteen"),
        (VALUES + torch.tensor([0, 0, 2e-7]), "float64 has sixteen"),
        (VALUES.float() * (1 + 3e-7), ""),
        (VALUES**2 + 1, ""),
    ],
)
def test_how_a_wrong_value_looks(got, words):
    said = look(got, VALUES)
    assert words in said
    assert bool(said) == bool(words)


def test_an_answer_that_waits_for_another_exercise_names_that_one():
    stubs = import_module("vae_edu.exercises.kl_divergence").__stubs__

    def gaussian_kl(mu, log_var):
        return stubs["expected_log_q"](log_var) - mu.sum(-1)

    with pytest.raises(NotImplementedError) as caught:
        check(gaussian_kl)
    said = str(caught.value)
    assert "gaussian_kl: waits for another exercise" in said
    assert "Exercise 4.1: " in said
