"""Lesson 01: the equations printed in the lesson, in numbers on random data."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

PIXELS, CODES, IMAGES = 7, 3, 40


@pytest.fixture
def x() -> Tensor:
    """Correlated images, one a row, float64."""
    made = torch.Generator().manual_seed(1)
    raw = torch.randn(IMAGES, PIXELS, generator=made, dtype=torch.float64)
    mix = torch.randn(PIXELS, PIXELS, generator=made, dtype=torch.float64)
    return raw @ mix + 2.0


def orthonormal(rows: int, seed: int) -> Tensor:
    """Random orthonormal rows."""
    made = torch.Generator().manual_seed(seed)
    draws = torch.randn(PIXELS, rows, generator=made, dtype=torch.float64)
    return torch.linalg.qr(draws).Q.T


def eigen(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variances, largest first, and the principal components as rows."""
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    return values.flip(0), vectors.T.flip(0)


def mean_error(x: Tensor, x_hat: Tensor) -> Tensor:
    return (x - x_hat).square().sum(-1).mean()


@pytest.mark.parametrize("seed", range(3))
def test_best_constant_section_2(x: Tensor, seed: int) -> None:
    """mean |x - c|^2 = mean |x - m|^2 + |m - c|^2."""
    made = torch.Generator().manual_seed(seed)
    c = torch.randn(PIXELS, generator=made, dtype=torch.float64)
    m = x.mean(0)
    left = mean_error(x, c)
    torch.testing.assert_close(left, mean_error(x, m) + (m - c).square().sum())
    assert left > mean_error(x, m)


def test_gradient_in_the_code_section_3(x: Tensor) -> None:
    """grad_z |x - m - C'z|^2 = -2 (C (x - m) - z), zero at z = C (x - m)."""
    c, m = orthonormal(CODES, 0), x.mean(0)
    z = torch.arange(1.0, CODES + 1, dtype=torch.float64, requires_grad=True)
    error = (x[0] - m - z @ c).square().sum()
    (grad,) = torch.autograd.grad(error, z)
    torch.testing.assert_close(grad, -2 * (c @ (x[0] - m) - z.detach()))
    best = c @ (x[0] - m)
    hessian = torch.autograd.functional.hessian(
        lambda v: (x[0] - m - v @ c).square().sum(), best
    )
    torch.testing.assert_close(hessian, 2 * torch.eye(CODES, dtype=torch.float64))


def test_pythagoras_section_3(x: Tensor) -> None:
    """C (x - x_hat) = 0 and |x - m|^2 = |z|^2 + |x - x_hat|^2."""
    c, m = orthonormal(CODES, 1), x.mean(0)
    z = (x - m) @ c.T
    residual = x - (m + z @ c)
    torch.testing.assert_close(residual @ c.T, torch.zeros_like(z))
    sums = [v.square().sum(-1) for v in (x - m, z, residual)]
    torch.testing.assert_close(sums[0], sums[1] + sums[2])


@pytest.mark.parametrize("seed", range(4))
def test_weights_section_4(x: Tensor, seed: int) -> None:
    """tr(C S C') = sum lambda_i w_i with 0 <= w_i <= 1 and sum w_i = k."""
    c = orthonormal(CODES, seed)
    values, vectors = eigen(x)
    s = torch.cov(x.T, correction=0)
    w = (vectors @ c.T).square().sum(-1)
    torch.testing.assert_close(torch.trace(c @ s @ c.T), (values * w).sum())
    torch.testing.assert_close(w.sum(), torch.tensor(float(CODES), dtype=w.dtype))
    assert bool(((w >= -1e-12) & (w <= 1 + 1e-12)).all())
    assert (values * w).sum() < values[:CODES].sum()


@pytest.mark.parametrize("k", [1, 3, 6])
def test_lost_variance_section_4(x: Tensor, k: int) -> None:
    """The mean error of PCA is the sum of the variances left out."""
    values, vectors = eigen(x)
    c, m = vectors[:k], x.mean(0)
    lost = mean_error(x, m + (x - m) @ c.T @ c)
    torch.testing.assert_close(lost, values[k:].sum())


def test_no_linear_autoencoder_beats_pca_section_5(x: Tensor) -> None:
    """Lines 2 and 3: the best encoder for a random decoder stays above PCA's error."""
    values, vectors = eigen(x)
    y = x - x.mean(0)
    made = torch.Generator().manual_seed(2)
    b = torch.randn(CODES, PIXELS, generator=made, dtype=torch.float64)
    best = torch.linalg.lstsq(b.T, y.T).solution.T
    assert mean_error(y, best @ b) > values[CODES:].sum()
    c = vectors[:CODES]
    torch.testing.assert_close(mean_error(y, y @ c.T @ c), values[CODES:].sum())


def test_any_basis_section_5(x: Tensor) -> None:
    """Line 5: (M A, M^-T B) reconstructs as (A, B) does."""
    a, b = orthonormal(CODES, 3), orthonormal(CODES, 4)
    made = torch.Generator().manual_seed(5)
    m = torch.randn(CODES, CODES, generator=made, dtype=torch.float64)
    other = torch.linalg.inv(m).T @ b
    torch.testing.assert_close((m @ a).T @ other, a.T @ b)
    assert not torch.allclose(other, b)


def test_largest_cosine_section_5() -> None:
    """max u.v over unit vectors u, v is the first singular value of Q1 Q2'."""
    q1, q2 = orthonormal(2, 6), orthonormal(2, 7)
    turns = torch.linspace(0, 2 * torch.pi, 721, dtype=torch.float64)
    circle = torch.stack([turns.cos(), turns.sin()], -1)
    found = ((circle @ q1) @ (circle @ q2).T).max()
    first = torch.linalg.svdvals(q1 @ q2.T)[0]
    assert found <= first + 1e-12
    assert found > first - 1e-4


def test_moved_codes_section_7(x: Tensor) -> None:
    """g(h^-1(h(f(x)))) = g(f(x)) for a nonlinear invertible h."""
    f, g = orthonormal(CODES, 8), orthonormal(CODES, 9)
    z = x @ f.T
    moved = torch.sinh(z / 3) * 100 - 7
    back = 3 * torch.asinh((moved + 7) / 100)
    torch.testing.assert_close(torch.tanh(back) @ g, torch.tanh(z) @ g)
    assert (moved.mean(0) - z.mean(0)).abs().min() > 1


def test_noise_is_never_a_digit_section_1() -> None:
    """30 pixels below 0.1, each with probability 0.1: once in 10^30 images."""
    share = (
        torch.rand(100_000, generator=torch.Generator().manual_seed(0)) < 0.1
    ).float()
    assert abs(float(share.mean()) - 0.1) < 0.005
    once = 0.1**30
    assert once == pytest.approx(1e-30)
