"""`vae-edu train`: from a line of the shell to a run folder.

What belongs here: choosing the model (the learner's own, or a given one), and the order
of training, evaluating and writing. What does not: any of the three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, nn

from vae_edu import data, models, paths, runs
from vae_edu.errors import CourseError, one_line
from vae_edu.evaluate import binarized_test_set, evaluate
from vae_edu.operations import learners_line
from vae_edu.train import TrainConfig, TrainError, negative_elbo, pick_device, train

__all__ = ["Request", "command", "own_model"]

OWN = "vae_edu.exercises.building_the_vae"
Chosen = tuple[nn.Module, Callable[..., Any]]


@dataclass(frozen=True)
class Request:
    """What to train, and how far to evaluate it.

    model: "own" (the learner's VAE and loss), or a given one. hidden_dim, latent_dim:
    of "own" and "mlp". test_images: the first so many; None for all.
    """

    name: str
    model: Literal["own", "mlp", "one_layer", "two_layers"] = "own"
    hidden_dim: int = 400
    latent_dim: int = 20
    dataset: Literal["auto", "mnist", "digits"] = "auto"
    test_images: int | None = None
    test_samples: int = 5000
    log_dir: str | None = None


def command(
    request: Request, config: TrainConfig, say: Callable[[str], object] = print
) -> int:
    """Train, evaluate and write a run folder; go on where it was interrupted."""
    _expect_sizes(request)
    folder = paths.runs_dir() / _plain(request.name)
    runs.expect_free(folder)
    pick_device(config.device)
    images = data.load(request.dataset)
    say(f"data: {images.label}")
    model, loss = choose(request, images, config)
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    rows = train(
        model,
        images.train,
        config,
        loss=loss,
        latent_dim=_latent_dim(request),
        checkpoint=checkpoint,
        log_dir=Path(request.log_dir) if request.log_dir else None,
    )
    test = binarized_test_set(images.test[: request.test_images])
    say(f"evaluating on {len(test):,} images with {request.test_samples:,} samples")
    found = evaluate(model, test, num_samples=request.test_samples, say=say)
    runs.write(folder, model, images, config, rows, found, title=request.name)
    checkpoint.unlink(missing_ok=True)
    say(f"nll {found.nll:.2f} nats (standard error {found.standard_error:.2f})")
    say(f"the run is in {folder}")
    return 0


def _expect_sizes(request: Request) -> None:
    """Before anything is trained."""
    names = ("hidden_dim", "latent_dim", "test_samples", "test_images")
    sizes = {name: getattr(request, name) for name in names}
    if wrong := {k: v for k, v in sizes.items() if v is not None and v < 1}:
        said = ", ".join(f"{name} is {value}" for name, value in wrong.items())
        raise TrainError(f"{said}: expected 1 or more.")


def _plain(name: str) -> str:
    if not name or name.startswith(".") or Path(name).name != name:
        raise TrainError(f'a run cannot be named "{name}": expected a plain name.')
    return name


def _latent_dim(request: Request) -> int | None:
    return request.latent_dim if request.model == "own" else None


def choose(request: Request, images: data.Dataset, config: TrainConfig) -> Chosen:
    """Return the model, its first weights drawn by the seed, and its loss."""
    input_dim, generator = images.train.shape[1], Generator().manual_seed(config.seed)
    if request.model == "own":
        sizes = (input_dim, request.hidden_dim, request.latent_dim)
        return own_model(*sizes, seed=config.seed)
    model: nn.Module
    if request.model == "two_layers":
        model = models.TwoLayerVAE(input_dim, generator=generator)
    elif request.model == "one_layer":
        model = models.OneLayerVAE(input_dim, generator=generator)
    else:
        hidden = (request.hidden_dim,)
        model = models.OneLayerVAE(
            input_dim, hidden, request.latent_dim, "relu", generator
        )
    models.set_output_bias(model.decoder.out, images.train)
    return model, negative_elbo


def own_model(
    input_dim: int, hidden_dim: int, latent_dim: int, *, seed: int = 0
) -> Chosen:
    """Return the learner's own VAE and negative_elbo, of lesson 07, unchanged.

    Its first weights come from torch's own generator, seeded for them alone.
    Raises CourseError where they are not written yet.
    """
    try:
        answers = import_module(OWN)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = answers.VAE(input_dim, hidden_dim, latent_dim)
    except (ImportError, NotImplementedError) as error:
        raise CourseError(
            "your own VAE is not there yet: lesson 07 builds it. Remedy: do lesson 07, "
            "or train a given network with --model mlp."
        ) from error
    except Exception as error:
        raise CourseError(
            f"your VAE({input_dim}, {hidden_dim}, {latent_dim}) cannot be made: "
            f"{type(error).__name__}: {one_line(error)}{learners_line(error)}. Remedy: "
            "mend it in lesson 07, whose checks say more."
        ) from error
    return model, answers.negative_elbo
