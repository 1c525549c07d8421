"""Lesson 10: what is tried on its exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import Laws
from vae_edu.checks.standard import Case, Cases, add_standard

LAWS = Laws("full_mnist_run")


def two_models(draw: Draw, n: int, shared: float = 8.0) -> tuple[Tensor, Tensor]:
    """NLLs of n images under two models; shared: the spread of what both find hard."""
    hard = 20.0 + shared * draw.normal(n)
    return hard + 1.5 + draw.normal(n), hard + 0.6 * draw.normal(n)


def _plain(draw: Draw) -> Iterator[Case]:
    yield Case(two_models(draw, 7), scale=10)
    yield Case(two_models(draw, 4)[::-1], scale=10, note="b is the worse one")
    yield Case(two_models(draw, 2), scale=10, note="two images")
    yield Case((draw.normal(5), 3 * draw.normal(5)), note="nothing in common")
    a, b = two_models(draw, 6)
    yield Case((a, 40.0 - b), scale=10, note="what one finds easy, the other does not")
    many = draw.integer(101, 180)
    yield Case(two_models(draw, many), scale=10, note=f"{many} images")


def _far_apart(draw: Draw) -> Iterator[Case]:
    a, b = two_models(draw, 9)
    yield Case((a + 1e6, b), note="every image differs by about a million nats")
    yield Case((a, b + 1e6), note="the same, the other way")
    yield Case(two_models(draw, 12, 300.0), note="images from easy to very hard")


CASES = {
    "paired_difference": Cases(
        "paired_difference",
        ("nll_a", "nll_b"),
        _plain,
        extremes=_far_apart,
        gradients=("nll_a", "nll_b"),
        float32_extremes=False,
    )
}

for _cases in CASES.values():
    add_standard(LAWS, _cases)
