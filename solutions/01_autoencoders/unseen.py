"""Lesson 01, its functions: wrong answers that no mutant and no sign was made from."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from tests.unseen import register

UNSEEN, unseen = register()


# --- squared_error --------------------------------------------------------------------


@unseen("squared_error", "A mean over the pixels", "mean-for-sum")
def mse_mean(x: Tensor, x_hat: Tensor) -> Tensor:
    return F.mse_loss(x_hat, x, reduction="none").mean(dim=1)


@unseen("squared_error", "One number for the whole batch", "summed-over-the-batch")
def mse_sum(x: Tensor, x_hat: Tensor) -> Tensor:
    return F.mse_loss(x_hat, x, reduction="sum")


@unseen("squared_error", "averaged-over-the-batch")
def batch_mean(x: Tensor, x_hat: Tensor) -> Tensor:
    return torch.mean(torch.sum((x - x_hat) ** 2, dim=1))


@unseen("squared_error", "A mean over pixels and images")
def default_mse(x: Tensor, x_hat: Tensor) -> Tensor:
    return F.mse_loss(x, x_hat)


@unseen("squared_error", "The distance, not its square", "root")
def norm(x: Tensor, x_hat: Tensor) -> Tensor:
    return torch.linalg.norm(x - x_hat, dim=-1)


@unseen("squared_error", "Absolute values in place of squares")
def l1(x: Tensor, x_hat: Tensor) -> Tensor:
    return F.l1_loss(x, x_hat, reduction="none").sum(1)


@unseen("squared_error", "A sum over the images, not over the pixels", "wrong-axis")
def first_axis(x: Tensor, x_hat: Tensor) -> Tensor:
    return torch.einsum("bi,bi->i", x - x_hat, x - x_hat)


@unseen("squared_error", "not-summed")
def unreduced(x: Tensor, x_hat: Tensor) -> Tensor:
    return (x - x_hat).pow(2)


@unseen("squared_error", "Half the squared error", "half-too-many")
def half(x: Tensor, x_hat: Tensor) -> Tensor:
    return 0.5 * F.mse_loss(x_hat, x, reduction="none").sum(-1)


@unseen("squared_error", "squeezed")
def squeezes(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).sum(-1).squeeze()


@unseen("squared_error", "argument-detached")
def target_detached(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x.detach() - x_hat) ** 2).sum(-1)


@unseen("squared_error", "turned-sign")
def minus(x: Tensor, x_hat: Tensor) -> Tensor:
    return -((x - x_hat) ** 2).sum(-1)


@unseen("squared_error", "The number of pixels is written into the code")
def for_784_pixels(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).mean(-1) * 784


@unseen("squared_error", "in-place")
def in_place(x: Tensor, x_hat: Tensor) -> Tensor:
    with torch.no_grad():
        x -= x_hat
    return (x**2).sum(-1)


@unseen("squared_error")
def python_list(x: Tensor, x_hat: Tensor) -> list[float]:
    return [float(((a - b) ** 2).sum()) for a, b in zip(x, x_hat, strict=True)]


# --- pca_reconstruction ---------------------------------------------------------------


@unseen("pca_reconstruction", "The mean is not subtracted before the projection")
def uncentred(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return F.linear(F.linear(x, components), components.T) + mean


@unseen("pca_reconstruction", "The mean is not added back")
def centred_out(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    z = torch.einsum("bi,ki->bk", x - mean, components)
    return torch.einsum("bk,ki->bi", z, components)


@unseen("pca_reconstruction", "The mean of this batch, not the mean that was given")
def own_mean(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    centred = x - x.mean(dim=0, keepdim=True)
    return x.mean(dim=0, keepdim=True) + centred @ components.T @ components


@unseen(
    "pca_reconstruction", "The mean of this batch is subtracted, the given one added"
)
def own_mean_to_centre(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return mean + (x - x.mean(0)) @ components.T @ components


@unseen("pca_reconstruction", "The mean is added before, and subtracted afterwards")
def mean_with_the_wrong_sign(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return (x + mean) @ components.T @ components - mean


@unseen(
    "pca_reconstruction", "sizes-do-not-meet", "The components are taken for columns"
)
def columns(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    z = (x - mean) @ components
    return mean + z @ components.T


@unseen("pca_reconstruction", "The codes are returned, not the images")
def codes(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return torch.matmul(components, (x - mean).T).T


@unseen("pca_reconstruction", "part-too-many")
def both(x: Tensor, mean: Tensor, components: Tensor) -> tuple[Tensor, Tensor]:
    z = (x - mean) @ components.T
    return mean + z @ components, z


@unseen("pca_reconstruction", "exchanged-dimensions")
def transposed(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    z = components @ (x - mean).T
    return mean[:, None] + components.T @ z


@unseen("pca_reconstruction", "What is lost is returned, not what is kept")
def residual(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    c = x - mean
    return c - (c @ components.mT) @ components


@unseen("pca_reconstruction", "What is lost is returned, not what is kept")
def mean_added_to_what_is_lost(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    c = x - mean
    return x - mean + mean - (c @ components.mT) @ components


@unseen("pca_reconstruction", "The components of this batch, not those that were given")
def refits(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    own = torch.linalg.svd(x - mean, full_matrices=False).Vh[: len(components)]
    return mean + (x - mean) @ own.T @ own


@unseen("pca_reconstruction", "through-numpy", "argument-detached")
def by_numpy(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    a, m, c = x.numpy(force=True), mean.numpy(force=True), components.numpy(force=True)
    return torch.from_numpy(np.asarray(m + (a - m) @ c.T @ c))


@unseen("pca_reconstruction", "argument-detached")
def mean_detached(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return mean.detach() + (x - mean.detach()) @ components.T @ components


# --- subspace_cosines -----------------------------------------------------------------


@unseen("subspace_cosines", "The bases are not orthonormalised")
def plain_products(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svd(first @ second.T).S


@unseen("subspace_cosines", "The rows are scaled to length 1, but are not orthogonal")
def normalised_rows(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(
        F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    )


@unseen("subspace_cosines", "The columns are orthonormalised, not the rows")
def qr_of_the_rows(first: Tensor, second: Tensor) -> Tensor:
    q1, _ = torch.linalg.qr(first)
    q2, _ = torch.linalg.qr(second)
    return torch.linalg.svdvals(q1.T @ q2)


@unseen("subspace_cosines", "The squares of the cosines", "square")
def eigenvalues_of_projectors(first: Tensor, second: Tensor) -> Tensor:
    q1 = torch.linalg.qr(first.T)[0]
    q2 = torch.linalg.qr(second.T)[0]
    m = q1.T @ q2 @ q2.T @ q1
    values = torch.linalg.eigvalsh(m).flip(0)
    return values[: min(len(first), len(second))]


@unseen("subspace_cosines", "The angles, not their cosines")
def angles(first: Tensor, second: Tensor) -> Tensor:
    q1, q2 = (torch.linalg.qr(m.T).Q for m in (first, second))
    return torch.acos(torch.linalg.svdvals(q1.T @ q2).clamp(-1, 1))


@unseen("subspace_cosines", "One cosine for each pixel")
def projector_singular_values(first: Tensor, second: Tensor) -> Tensor:
    q1, q2 = (torch.linalg.qr(m.T).Q for m in (first, second))
    return torch.linalg.svdvals(q1 @ q1.T @ q2 @ q2.T)


@unseen("subspace_cosines", "The cosines of the angles between rows in pairs")
def cosine_similarity(first: Tensor, second: Tensor) -> Tensor:
    n = min(len(first), len(second))
    found = F.cosine_similarity(first[:n], second[:n], dim=1).abs()
    return found.sort(descending=True).values


@unseen("subspace_cosines", "Smallest first")
def ascending(first: Tensor, second: Tensor) -> Tensor:
    q1, q2 = (torch.linalg.svd(m, full_matrices=False).Vh for m in (first, second))
    return torch.linalg.svdvals(q1 @ q2.T).sort().values


@unseen(
    "subspace_cosines",
    "directions-dropped",
    "Singular values below a thousandth of the largest are dropped",
)
def rank_by_a_threshold(first: Tensor, second: Tensor) -> Tensor:
    def basis(m: Tensor) -> Tensor:
        s, v = torch.linalg.svd(m, full_matrices=False)[1:]
        return v[s > 1e-3 * s.max()]

    return torch.linalg.svdvals(basis(first) @ basis(second).T)


@unseen("subspace_cosines", "Only one of the bases is orthonormalised")
def one_basis(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(torch.linalg.qr(first.T).Q.T @ second.T)


@unseen("subspace_cosines", "The product of the bases, not its singular values")
def product(first: Tensor, second: Tensor) -> Tensor:
    q1, q2 = (torch.linalg.qr(m.T).Q for m in (first, second))
    return q1.T @ q2


@unseen("subspace_cosines", "The rows are made orthogonal and not scaled to length 1")
def unnormalised_gram_schmidt(first: Tensor, second: Tensor) -> Tensor:
    def basis(m: Tensor) -> Tensor:
        rows: list[Tensor] = []
        for row in m:
            for r in rows:
                row = row - (row @ r) / (r @ r) * r
            rows.append(row)
        return torch.stack(rows)

    return torch.linalg.svdvals(basis(first) @ basis(second).T)


@unseen("subspace_cosines", "The bases are centred first")
def centred_bases(first: Tensor, second: Tensor) -> Tensor:
    q1, q2 = (torch.linalg.qr((m - m.mean(0)).T).Q for m in (first, second))
    return torch.linalg.svdvals(q1.T @ q2)
