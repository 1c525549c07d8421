"""Lesson 01: oracles written another way, and the hidden laws."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.autoencoders import AUTOENCODER, CASES
from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, Laws, Truth, compare, expect_like
from vae_edu.checks.standard import add_fresh
from vae_edu.subject import Subject

LAWS = Laws("autoencoders")


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """One pixel at a time."""
    total = torch.zeros_like(x[:, 0])
    for a, b in zip(x.unbind(1), x_hat.unbind(1), strict=True):
        total = total + (a - b) * (a - b)
    return total


def pca_reconstruction(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    """The nearest point by least squares: no use is made of orthonormal rows."""
    c = components.detach()
    z = torch.linalg.solve(c @ c.mT, c @ (x - mean).mT)
    return mean + (c.mT @ z).mT


def subspace_cosines(first: Tensor, second: Tensor) -> Tensor:
    """Square roots of the eigenvalues of one projector restricted to the other."""
    rows = (m / m.norm(dim=1, keepdim=True) for m in (first, second))
    small, large = sorted(rows, key=len)
    chol = torch.linalg.cholesky(small @ small.mT)
    basis = torch.linalg.solve_triangular(chol, small, upper=False)  # orthonormal rows
    gram = torch.linalg.solve(large @ large.mT, large @ basis.mT)
    squares = torch.linalg.eigvalsh(basis @ large.mT @ gram)
    return squares.clamp(0, 1).sqrt().flip(0)


ORACLES = {f.__name__: f for f in (squared_error, pca_reconstruction, subspace_cosines)}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)


@LAWS.law(
    "Autoencoder",
    "image sizes",
    "everything holds at the sizes of images, and where all sizes are equal",
    hidden=True,
)
def _image_sizes(subject: Subject, truth: Truth, draw: Draw) -> None:
    for pixels, hidden, latent, batch in (
        (784, 32, 2, 3),
        (64, 16, 20, 4),
        (8, 8, 8, 8),
    ):
        sizes = {"input_dim": pixels, "hidden_dim": hidden, "latent_dim": latent}
        model = AUTOENCODER.ready(subject, sizes, draw)
        x = draw.uniform(batch, pixels)
        x_hat, z = expect_pair(model.call(x), x, torch.empty(batch, latent))
        what = f"{AUTOENCODER.tried(sizes)} on x: {tuple(x.shape)}"
        compare(model.call(x, method="encode"), z, what=what, scale=10, rtol=LOOSE)
        compare(model.call(z, method="decode"), x_hat, what=what, scale=10, rtol=LOOSE)
        last = model.call(x[-1:])
        compare(last, (x_hat[-1:], z[-1:]), what=what, scale=10, rtol=LOOSE)


def expect_pair(value: Any, *like: Tensor) -> tuple[Tensor, ...]:
    """A tuple of tensors of these shapes."""
    expect_like(value, like, "forward(x)")
    return value  # type: ignore[no-any-return]
