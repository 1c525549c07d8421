"""Lesson 08's gallery: each patient has the symptoms that its diagnosis names.

The lesson's own cells train it, with the reference answers; what is asserted are the
sentences of the diagnoses, on other seeds than the one that is shown, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch

from tests.course.rerun import cells, names_after, needs_mnist
from vae_edu import data, gallery, viz

CELLS = ("digits = data.load(", "def train(", "def patient(")
RUNS = [
    ("digits", 1),
    ("digits", 2),
    ("digits", 3),
    pytest.param(("mnist", 1), marks=needs_mnist),
]


@dataclass(frozen=True)
class Case:
    """What the lesson prints of one run, and what it is measured by."""

    loss: float
    reconstruction: float
    kl: float
    start: float
    peak: float
    held_out: float
    active: int
    sigma: float
    spread: tuple[float, float]


def lesson(name: str, seed: int) -> dict[str, Any]:
    """The lesson's names, once its cells have run on a data set, with a seed."""
    replaced = {"data.load()": f"data.load({name!r})", "seed=0):": f"seed={seed}):"}
    replaced |= {"torch.manual_seed(1)": f"torch.manual_seed({seed})"}
    modules = {"data": data, "gallery": gallery, "viz": viz, "torch": torch}
    return names_after(
        cells("08_training", CELLS),
        ("building_the_vae", "training"),
        replaced,
        math=math,
        cache=cache,
        Tensor=torch.Tensor,
        **modules,
    )


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: f"{run[0]}-{run[1]}")
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    return lesson(*request.param)


@pytest.fixture(scope="module")
def seen(run: dict[str, Any]) -> Callable[[str], Case]:
    @cache
    def look(name: str) -> Case:
        curve, birth, mu, sigma, loss = run["patient"](name)
        means = curve[-20:].mean(0).tolist()
        peak, active = curve[:, 0].max().item(), int((mu.var(0) > 0.01).sum())
        spread = birth.std(0).mean().item(), mu.std(0).mean().item()
        start = curve[0, 0].item()
        return Case(*means, start, peak, loss, active, sigma.mean().item(), spread)

    return look


def test_the_healthy_run_falls_past_the_line_with_live_codes(run, seen):
    healthy = seen("healthy")
    assert healthy.reconstruction < 0.9 * run["silent"]
    assert healthy.kl > 3
    assert healthy.active >= 5
    low, high = (23.5, 24.5) if run["pixels"] == 64 else (137, 143)
    assert low < healthy.loss < high


def test_patient_a_is_better_in_training_and_far_worse_held_out(seen):
    a, healthy = seen("A"), seen("healthy")
    assert a.loss < healthy.loss
    assert a.kl < healthy.kl
    assert a.sigma == pytest.approx(1, abs=0.05)
    assert a.held_out > 1.25 * healthy.held_out


def test_patient_b_is_flat_at_the_line_and_was_never_alive(run, seen):
    b = seen("B")
    assert b.spread == (0, 0)
    assert b.active == 0
    assert b.kl < 0.1
    late = run["patient"]("B")[0][100:, 1]
    assert late.mean().item() == pytest.approx(run["silent"], rel=0.02)


def test_patient_c_peaks_then_stays_at_the_line_though_it_was_alive(run, seen):
    c = seen("C")
    assert c.peak > 10 * c.start
    assert c.spread[0] > 0.01
    assert c.active <= 6
    assert c.reconstruction > 0.94 * run["silent"]


def test_patient_d_pays_a_large_kl_for_a_very_good_reconstruction(seen):
    d, healthy = seen("D"), seen("healthy")
    assert d.reconstruction < 0.95 * healthy.reconstruction
    assert d.kl > 5 * healthy.kl
    assert d.sigma < 0.3
    assert d.loss == pytest.approx(d.reconstruction + d.kl / 100, abs=0.01)


def test_patient_e_reconstructs_without_codes(run, seen):
    e, healthy = seen("E"), seen("healthy")
    assert e.peak < 1.2 * e.start
    assert e.spread[0] > 0.01
    assert e.kl < 1.5
    assert e.kl < healthy.kl / 3
    assert e.reconstruction < 0.95 * run["silent"]


def test_a_warm_up_leaves_patient_e_its_loss_and_gives_it_more_code(run):
    found = []
    for steps in (0, 200):
        torch.manual_seed(1)
        healthy = run["VAE"](run["pixels"], 128, 10)
        model = gallery.model("E", healthy, run["pixels"])
        run["train"](model, beta=lambda t, steps=steps: run["kl_warmup"](t, steps))
        found.append(run["evaluate"](model, run["held_out"], run["noise"]))
    (loss, _, kl), (warm_loss, _, warm_kl) = found
    assert warm_loss == pytest.approx(loss, rel=0.01)
    assert warm_kl > (9 if run["pixels"] == 64 else 1.5) * kl


def test_three_of_the_five_have_a_better_training_loss_than_the_healthy_run(seen):
    better = [p for p in "ABCDE" if seen(p).loss < seen("healthy").loss]
    assert better == ["A", "D", "E"]
