"""What a broken law is worth, and what an answer earns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.audit import verdicts
from vae_edu.checks.judging import Verdict, score, worst
from vae_edu.checks.law import ESSENTIAL, FORM, VALUE, Law
from vae_edu.subject import local


def law(name: str, role: str = ESSENTIAL) -> Law:
    return Law("gaussian_kl", name, "it holds", lambda *_: None, role=role)


def judged(*broken: Verdict, held: int = 4) -> list[Verdict]:
    return [*broken, *(Verdict(law(f"law {i}"), True) for i in range(held))]


@pytest.mark.parametrize(
    ("role", "kind", "earned"),
    [
        (VALUE, "value", 0.0),
        (VALUE, "error", 0.0),
        (VALUE, "time", 0.0),
        (VALUE, "digits", 5.0),
        (VALUE, "dtype", 8.0),
        (ESSENTIAL, "value", 4.0),
        (ESSENTIAL, "gradient", 4.0),
        (ESSENTIAL, "undecided", 4.0),
        (ESSENTIAL, "mutated", 8.0),
        (ESSENTIAL, "left grad", 8.0),
        (FORM, "device", 8.0),
        (FORM, "error", 8.0),
    ],
)
def test_what_is_broken_decides_how_much_is_earned(role, kind, earned):
    assert score(judged(Verdict(law("it", role), False, kind)), 10) == earned


def test_form_alone_keeps_half_and_the_essential_half_is_a_bound():
    form = [Verdict(law(f"form {i}", FORM), False, "device") for i in range(9)]
    assert score(judged(*form, held=1), 10) == 5.0
    essential = Verdict(law("it"), False, "value")
    assert score(judged(essential, held=99), 10) == 4.95
    assert score(judged(essential, *form, held=10), 10) == 2.5
    assert score([], 10) == 0.0


def test_an_error_of_bad_form_is_the_same_offence_in_every_law():
    first = Verdict(law("values", VALUE), False, "dtype", "right for float32")
    message = "RuntimeError: mat1 and mat2 must have the same dtype"
    again = Verdict(law("gradients"), False, "error", message)
    other = Verdict(law("gradients"), False, "error", "IndexError: no")
    assert worst([first, again]) == FORM
    assert worst([first, other]) == ESSENTIAL
    assert worst([again]) == ESSENTIAL
    assert worst([Verdict(law("values", VALUE), False, "error", message)]) == VALUE


# --- answers --------------------------------------------------------------------------


def earned(answer) -> float:
    subject = local({"gaussian_kl": answer})
    return score(verdicts("kl_divergence", "gaussian_kl", subject), 1.0)


def right(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


def test_a_right_answer_earns_all():
    assert earned(right) == 1.0


def test_a_dead_gradient_earns_half_at_most():
    def gaussian_kl(mu, log_var):
        return right(mu.detach(), log_var)

    assert 0 < earned(gaussian_kl) <= 0.5


def test_a_coin_flipped_at_each_call_earns_little():
    def gaussian_kl(mu, log_var):
        return right(mu, log_var) * (1 + (torch.rand(()) < 0.5))

    assert earned(gaussian_kl) <= 0.5


def test_another_quantity_earns_nothing():
    def gaussian_kl(mu, log_var):
        return right(mu, 2 * log_var)

    assert earned(gaussian_kl) == 0.0


def test_right_for_float32_alone_keeps_half():
    def gaussian_kl(mu, log_var):
        terms = 0.5 * (mu**2 + log_var.exp() - 1 - log_var)
        return terms @ torch.ones(terms.shape[-1])

    assert 0.5 <= earned(gaussian_kl) < 1.0


def test_wrong_for_float32_too_earns_nothing():
    def gaussian_kl(mu, log_var):
        return (mu**2 + log_var.exp() - 1 - log_var) @ torch.ones(mu.shape[-1])

    assert earned(gaussian_kl) == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.float32])
def test_wrong_values_in_another_dtype_earn_nothing(dtype):
    def gaussian_kl(mu, log_var):
        return (mu.sum(-1) + 0 * log_var.sum(-1)).to(dtype)

    assert earned(gaussian_kl) == 0.0
