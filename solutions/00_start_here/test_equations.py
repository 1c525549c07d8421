"""The equations printed in lesson 00, with exact arithmetic or in high precision."""

from __future__ import annotations

import math

import mpmath
import pytest
import sympy as sp
import torch

from vae_edu.checks.draw import Draw

mpmath.mp.dps = 60


def exact(values: list[float]) -> mpmath.mpf:
    """Equation 1 in 60 digits, where nothing overflows."""
    total = mpmath.fsum(mpmath.exp(mpmath.mpf(a)) for a in values)
    return mpmath.log(total / len(values))


def shifted(values: list[float], m: float) -> float:
    """The right-hand side of equation 2, in ordinary floats."""
    total = math.fsum(math.exp(a - m) for a in values)
    return m + math.log(total / len(values))


def drawn(seed: str, shift: float = 0.0, scale: float = 3.0) -> list[float]:
    return [v + shift for v in Draw(seed).normal(7, scale=scale).tolist()]


def test_equation_2_holds_for_every_m() -> None:
    a, b, m = sp.symbols("a b m", real=True)
    left = (sp.exp(a) + sp.exp(b)) / 2
    right = sp.exp(m) * (sp.exp(a - m) + sp.exp(b - m)) / 2
    assert sp.simplify(left - right) == 0
    values = drawn("any m")
    for shift in (-50.0, 0.0, 3.0, 400.0):
        assert shifted(values, shift) == pytest.approx(float(exact(values)))


@pytest.mark.parametrize("size", [0.0, 700.0, -750.0, 1e4, -1e4])
def test_equation_2_with_the_maximum_is_finite_and_true(size: float) -> None:
    values = drawn("extremes", size)
    truth = float(exact(values))
    assert shifted(values, max(values)) == pytest.approx(truth, rel=1e-15, abs=1e-14)


@pytest.mark.parametrize("scale", [0.0, 0.1, 3.0, 500.0])
def test_equation_3_the_band(scale: float) -> None:
    values = drawn("band", scale=scale)
    value, top = exact(values), max(values)
    assert top - mpmath.log(len(values)) <= value + mpmath.mpf("1e-50")
    assert value <= top + mpmath.mpf("1e-50")


def test_equation_3_both_ends_are_reached() -> None:
    assert float(exact([2.0] * 5)) == pytest.approx(2.0)
    alone = exact([2.0, *[-1e5] * 4])
    assert float(alone) == pytest.approx(2.0 - math.log(5))


@pytest.mark.parametrize("size", [30.0, 1e3, 1e4])
def test_equation_4_bounds_the_error_in_float32(size: float) -> None:
    draw, room = Draw("rounding"), 2 * size * 2**-24 + 3e-7
    values = draw.normal(200, 5) - size
    low = torch.logsumexp(values.float(), 1) - math.log(5)
    error = (low.double() - torch.logsumexp(values, 1) + math.log(5)).abs().max()
    assert room / 20 < error.item() < 1.01 * room


def test_equation_5_is_the_derivative_of_1() -> None:
    a = sp.symbols("a:3", real=True)
    value = sp.log(sum(map(sp.exp, a)) / 3)
    for k in range(3):
        printed = sp.exp(a[k]) / sum(map(sp.exp, a))
        assert sp.simplify(sp.diff(value, a[k]) - printed) == 0


def test_limits_of_floating_point_quoted_in_the_prose() -> None:
    assert math.log(torch.finfo(torch.float32).max) == pytest.approx(88.7, abs=0.03)
    half_of_the_smallest = {torch.float32: 2.0**-150, torch.float64: None}
    assert math.log(half_of_the_smallest[torch.float32]) == pytest.approx(
        -104, abs=0.05
    )
    assert -1075 * math.log(2) == pytest.approx(-745, abs=0.2)
    at_ten_thousand = torch.tensor(1e4, dtype=torch.float32)
    step = torch.nextafter(at_ten_thousand, at_ten_thousand + 1) - at_ten_thousand
    assert step.item() == pytest.approx(0.001, abs=5e-5)


def test_the_model_answer_of_the_written_question() -> None:
    values = torch.tensor([0.0, 0.0, 0.0, 4000.0], dtype=torch.float64)
    shift = values.mean()
    assert math.isinf((shift + (values - shift).exp().mean().log()).item())
    truth = float(exact(values.tolist()))
    assert truth == pytest.approx(4000 - math.log(4))
