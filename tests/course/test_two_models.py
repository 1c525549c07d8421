"""Lesson 09, section 7: the order of two models depends on k, whoever trains them."""

from __future__ import annotations

import pytest
import torch

from tests.course.rerun import cells, names_after, needs_mnist
from vae_edu import data, viz

CELLS = ("digits = data.load(", "def trained(", "def test_weights(")
TOPICS = ("building_the_vae", "likelihoods", "importance_weighting")


@pytest.mark.parametrize(
    ("name", "seed", "first", "last"),
    [
        ("digits", 0, (23.5, 24, 24.9, 26), (22.9, 23.3, 22.5, 22.9)),
        ("digits", 3, (23.5, 24, 24.9, 26), (22.9, 23.3, 22.5, 22.9)),
        pytest.param(
            *("mnist", 1, (114, 117, 116, 120), (106, 109, 104, 106)),
            marks=needs_mnist,
        ),
    ],
)
def test_by_the_elbo_the_first_is_better_by_log_p_the_second(name, seed, first, last):
    replaced = {"data.load()": f"data.load({name!r})"}
    replaced |= {"torch.manual_seed(0), VAE": f"torch.manual_seed({seed}), VAE"}
    given = {"data": data, "viz": viz, "torch": torch, "Tensor": torch.Tensor}
    text = cells("09_importance_weighting", CELLS)
    text = text.replace("from vae_edu.exercises.building_the_vae import VAE\n", "")
    lesson = names_after(text, TOPICS, replaced, **given)
    nll = {k: -lesson["test_weights"](k).mean().item() for k in (1, 10)}
    bound = {k: lesson["estimates"](k, 5000).item() for k in (1, 10)}
    assert nll[10] > nll[1] + 1
    assert bound[10] < bound[1] - 0.3
    for found, (low, high, low_10, high_10) in ((nll, first), (bound, last)):
        assert low < found[1] < high
        assert low_10 < found[10] < high_10
