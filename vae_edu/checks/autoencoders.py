"""Lesson 01: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, Laws, Truth, compare
from vae_edu.checks.modules import (
    Method,
    ModuleCases,
    add_module_laws,
    ignored_input,
)
from vae_edu.checks.signs import Sign, sign
from vae_edu.checks.standard import (
    Case,
    Cases,
    add_standard,
    instead,
    otherwise,
    tried,
)
from vae_edu.subject import Subject

LAWS = Laws("autoencoders")


# --- squared_error ----------------------------------------------------------


def _images(draw: Draw) -> Iterator[Case]:
    yield Case((draw.uniform(4, 6), draw.uniform(4, 6)), scale=4)
    yield Case(
        (draw.normal(3, 3), draw.normal(3, 3)), scale=10, note="as many as pixels"
    )
    yield Case((draw.uniform(1, 5), draw.normal(1, 5)), scale=10, note="a single image")
    yield Case((draw.normal(6, 1), draw.normal(6, 1)), scale=10, note="a single pixel")
    yield Case((draw.normal(2, 30), draw.normal(2, 30)), scale=10, note="many pixels")


def _far_off(draw: Draw) -> Iterator[Case]:
    x, far = draw.uniform(4, 6), 10 ** draw.integer(3, 6)
    x_hat = far * draw.sign(4, 6)
    yield Case((x, x_hat), scale=far**2, note="a reconstruction that is far off")
    near = x + 1e-3 * draw.sign(4, 6)
    yield Case((x, near), scale=1e-2, note="a reconstruction that is nearly perfect")


def _perfect(draw: Draw) -> Iterator[Case]:
    x, x_hat = draw.uniform(4, 6), draw.uniform(4, 6)
    x_hat[1] = x[1]
    yield Case((x, x_hat), scale=4, note="image 1 is reconstructed perfectly")


# --- pca_reconstruction -----------------------------------------------------


def orthonormal_rows(draw: Draw, rows: int, size: int) -> Tensor:
    """Rows of an orthogonal matrix, as a product of reflections."""
    basis = torch.eye(size, dtype=torch.float64)
    for _ in range(3):
        v = draw.normal(size)
        basis = basis - 2 * torch.outer(basis @ v, v) / (v @ v)
    return basis[:rows]


SIZES = ((4, 6, 2), (5, 4, 3), (3, 5, 1), (1, 4, 2), (2, 3, 3), (3, 16, 12))


def _projections(draw: Draw) -> Iterator[Case]:
    for batch, size, latent in SIZES:
        rows = orthonormal_rows(draw, latent, size)
        x, mean = draw.normal(batch, size), 2 * draw.normal(size)
        yield Case((x, mean, rows), scale=10, note=f"{latent} components")


def _far_out(draw: Draw) -> Iterator[Case]:
    rows, far = orthonormal_rows(draw, 2, 6), 10 ** draw.integer(3, 5)
    x, mean = far * draw.normal(4, 6), draw.normal(6)
    yield Case((x, mean, rows), scale=10 * far, note="images far from the mean")
    x, mean = draw.normal(4, 6), far * draw.normal(6)
    yield Case((x, mean, rows), scale=10 * far, note="a mean far from 0")


# --- subspace_cosines -------------------------------------------------------


def _bases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.normal(2, 6), draw.normal(2, 6)), note="two planes")
    yield Case((draw.normal(3, 7), draw.normal(2, 7)), note="three rows and two")
    yield Case((draw.normal(1, 5), draw.normal(3, 5)), note="one row and three")
    yield Case((draw.normal(12, 30), draw.normal(11, 30)), note="many rows")
    yield Case(
        (orthonormal_rows(draw, 2, 5), orthonormal_rows(draw, 2, 5)), note="orthonormal"
    )


def _stretched(draw: Draw) -> Iterator[Case]:
    """Bases whose largest and smallest singular values are far apart, and lengths."""
    first, second = draw.normal(2, 6), draw.normal(3, 6)
    yield Case((1e5 * first, 1e-5 * second), note="long rows and short ones")
    rows = orthonormal_rows(draw, 4, 7)
    first, second = rows[:2], rows[2:] + torch.stack([rows[3], rows[2]]) / 2
    yield Case((first, second), note="orthogonal planes")
    sizes = 10.0 ** torch.tensor([0.0, 3.0, -3.0], dtype=torch.float64)
    lengths = sizes.roll(draw.integer(0, 2)) * draw.uniform(3, low=1.0, high=9.0)
    first, second = lengths[:, None] * draw.normal(3, 7), draw.normal(2, 7)
    yield Case((first, second), note="one row a million times as long as another")
    yield Case((second, first), note="the same, in the second basis")
    for close in (1e-1, 1e-2, 1e-3):
        rows, apart = draw.normal(2, 6), close * draw.uniform(low=0.3, high=1.0)
        first = torch.stack([rows[0], rows[0] + apart * rows[1]])
        yield Case((first, draw.normal(3, 6)), note="two rows nearly parallel")


CASES = {
    c.exercise: c
    for c in (
        Cases(
            "squared_error",
            ("x", "x_hat"),
            _images,
            extremes=_far_off,
            gradients=("x", "x_hat"),
            steep=_perfect,
        ),
        Cases(
            "pca_reconstruction",
            ("x", "mean", "components"),
            _projections,
            extremes=_far_out,
            gradients=("x", "mean"),
        ),
        Cases(
            "subspace_cosines",
            ("first", "second"),
            _bases,
        ),
    )
}
for _cases in CASES.values():
    add_standard(LAWS, _cases)


@LAWS.law(
    "subspace_cosines",
    "same subspace",
    "another basis of the same subspace gives cosines of 1",
)
def _same_subspace(subject: Subject, truth: Truth, draw: Draw) -> None:
    basis = draw.normal(2, 6)
    mixed = torch.stack([basis[0] + 0.4 * basis[1], 3 * basis[1] - basis[0]])
    compare(
        subject.call("subspace_cosines", basis, mixed),
        torch.ones(2, dtype=torch.float64),
        what="for two bases of one plane, subspace_cosines",
        rtol=LOOSE,
    )


@LAWS.law(
    "subspace_cosines",
    "independent rows",
    "independent rows span their subspace, however long or nearly parallel they are",
)
def _independent(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _stretched(draw):
        expected = truth("subspace_cosines", *case.args)
        got = subject.call("subspace_cosines", *case.args)
        what = tried(CASES["subspace_cosines"], case)
        with instead(sign("directions-dropped")):
            compare(got, expected, what=what, rtol=LOOSE)


# --- Autoencoder ------------------------------------------------------------

AUTOENCODER = ModuleCases(
    "Autoencoder",
    ("input_dim", "hidden_dim", "latent_dim"),
    (
        Method("encode", {"x": "batch input_dim"}, "batch latent_dim"),
        Method("decode", {"z": "batch latent_dim"}, "batch input_dim"),
        Method("", {"x": "batch input_dim"}, ("batch input_dim", "batch latent_dim")),
    ),
    curved=("encode", "decode"),
)
add_module_laws(LAWS, AUTOENCODER)


@LAWS.law(
    "Autoencoder",
    "parts",
    "forward(x) is (decode(encode(x)), encode(x))",
)
def _parts(subject: Subject, truth: Truth, draw: Draw) -> None:
    for sizes in AUTOENCODER.sizes[:3]:
        model = AUTOENCODER.ready(subject, sizes, draw)
        x = draw.normal(sizes["batch"], sizes["input_dim"])
        whole = model.call(x)
        z = model.call(x, method="encode")
        expected = (model.call(z, method="decode"), z)
        what = AUTOENCODER.tried(sizes, AUTOENCODER.method(""))
        with otherwise(sign("parts-disagree")):
            compare(whole, expected, what=what, scale=10, rtol=LOOSE)


@LAWS.examination("Autoencoder")
def _ignores(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    return ignored_input(AUTOENCODER, subject, draw)
