"""The pictures of a run, and the card that says all of it for a reader.

What belongs here: drawing with a model, and card.md, which the other files make and
nothing else. What does not: writing and reading them (`runs`).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from vae_edu import data, viz
from vae_edu.evaluate import binarized_test_set
from vae_edu.program import Program

__all__ = ["ALTS", "card", "draw", "table"]


ALTS = {
    "samples": "100 images decoded from codes of N(0, I)",
    "reconstructions": "test images, and below each row their reconstructions from the "
    "mean code",
    "interpolations": "each row goes in equal steps from one test image's mean code to "
    "another's",
    "latent_map": "images of codes on a grid: z1 to the right, z2 upwards, -3 to 3 "
    "each",
}


def draw(model: Any, images: data.Dataset, seed: int = 0) -> dict[str, viz.Picture]:
    """Return samples, reconstructions, interpolations and, in 2-d, the latent map."""
    if model is None:
        return {}
    device = _device_of(model)
    x = binarized_test_set(images.test[:20]).float().to(device)
    with torch.no_grad():
        grids = _grids(model, x, Generator().manual_seed(seed))
    return {
        name: _picture(grid.cpu(), images.shape, columns, ALTS[name])
        for name, (grid, columns) in grids.items()
    }


def _device_of(model: Any) -> torch.device:
    if isinstance(model, Program):
        return next(iter(model.weights.values())).device
    return next(iter(model.parameters())).device


def _grids(
    model: Any, x: Tensor, generator: Generator
) -> dict[str, tuple[Tensor, int]]:
    z = torch.randn(100, model.latent_dim, generator=generator).to(x.device)
    mu = model.encode(x)[0]
    again = model.decode(mu).sigmoid()
    pairs = torch.stack([x[:10], again[:10], x[10:20], again[10:20]]).flatten(0, 1)
    share = torch.linspace(0, 1, 10, device=x.device)[:, None]
    lines = [torch.lerp(mu[2 * i], mu[2 * i + 1], share) for i in range(len(x) // 2)]
    found = {
        "samples": (model.sample(z), 10),
        "reconstructions": (pairs, min(10, len(x[:10]))),
        "interpolations": (model.decode(torch.cat(lines)).sigmoid(), 10),
    }
    if model.latent_dim == 2:
        found["latent_map"] = (model.sample(_plane(x.device)), 20)
    return found


def _plane(device: torch.device) -> Tensor:
    axis = torch.linspace(-3, 3, 20, device=device)
    second, first = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    return torch.stack([first, second], -1).view(-1, 2)


def _picture(
    grid: Tensor, shape: tuple[int, int], columns: int, alt: str
) -> viz.Picture:
    figure, panel = viz.axes(size=(5.0, 5.0 * math.ceil(len(grid) / columns) / columns))
    viz.image_grid(panel, grid, shape, columns)
    return viz.show(figure, alt)


def card(files: Mapping[str, bytes]) -> bytes:
    """Return card.md, made of the other files and nothing else."""
    config, claims = (json.loads(files[f"{f}.json"]) for f in ("config", "evaluation"))
    rows = list(csv.DictReader(io.StringIO(files["metrics.csv"].decode("ascii"))))
    settings = ", ".join(f"{k} {v}" for k, v in config["train"].items())
    seconds = sum(float(row["seconds"]) for row in rows)
    lines = [
        f"# {config['title']}",
        "",
        f"On {config['data']['name']}, seed {config['seed']}: {len(rows)} epochs in "
        f"{seconds:.0f} s ({config['device']}). All numbers in nats per image, lower "
        "is better.",
        "",
        *table(claims),
        "",
        f"Trained with {settings}.",
        "",
        *(f"![{ALTS[n]}]({n}.png)\n" for n in ALTS if f"{n}.png" in files),
        "`vae-edu evaluate` on this folder recomputes the table from the weights. The "
        "number of epochs and their seconds are those of metrics.csv, which nobody can "
        "recompute.",
    ]
    return ("\n".join(lines) + "\n").encode("utf-8")


def table(claims: Mapping[str, Any]) -> list[str]:
    """Return the lines of the card's table: claims as `Evaluation.numbers` has them."""
    nll, error = claims["nll"], claims["standard_error"]
    return [
        f"| {claims['n']:,} binarised test images | nats |",
        "| --- | --- |",
        f"| negative log-likelihood, {claims['num_samples']:,} samples | {nll:.2f} "
        f"(standard error over images {error:.2f}) |",
        *(f"| bound with k = {k} | {v:.2f} |" for k, v in claims["bounds"].items()),
        f"| active units | {claims['active_units']} of {claims['units']} |",
    ]
