"""What can be found out about a model and a loss before the first epoch.

A run takes minutes or hours; whatever will stop it, or keep it from being handed in, is
said first, in one sentence. What belongs here: one step that changes nothing, whether
a run folder could hold the model, and what a checkpoint remembers of both. What does
not: training (`train`), recording (`program`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from vae_edu.errors import CourseError, one_line
from vae_edu.models import GIVEN
from vae_edu.operations import ProgramError, learners_line
from vae_edu.program import Program

__all__ = ["TrainError", "expect_data", "probe", "rehearse", "same_probe", "untouched"]

Objective = Callable[[nn.Module, Tensor, Tensor], Any]


class TrainError(CourseError):
    """Training cannot start or go on as asked; nothing half-done remains."""


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Let a model run; its buffers and the random numbers stay as they were."""
    buffers = [b for b in model.buffers() if b.numel()]
    before = [b.detach().clone() for b in buffers]
    on_cuda = {b.device for b in model.parameters() if b.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=list(on_cuda)):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)


def rehearse(model: nn.Module, objective: Objective, x: Tensor, eps: Tensor) -> None:
    """Go through one step without taking it.

    Raises TrainError where the model or the loss fails or is not filled in, where the
    loss is no finite number, or where it depends on no parameter.
    """
    try:
        with untouched(model), torch.enable_grad():
            terms = objective(model, x, eps)
            _expect_terms(terms)
            named = dict(model.named_parameters())
            trained = [value for value in named.values() if value.requires_grad]
            torch.autograd.grad(terms[0], trained, allow_unused=True)
    except TrainError:
        raise
    except NotImplementedError as error:
        raise TrainError(
            f"it is not filled in yet: {one_line(error)}. Remedy: do that exercise, or "
            "train a given network with --model mlp."
        ) from error
    except Exception as error:
        raise TrainError(_why(model, error)) from error


def _why(model: nn.Module, error: Exception) -> str:
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if other := kinds - {torch.float32}:
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in other))
        return (
            f"the model has weights of {names}, and images and noise come as float32. "
            "Remedy: model.float(), and no .double() or .bfloat16() in the model."
        )
    return (
        f"a first step of training fails: {type(error).__name__}: {one_line(error)}"
        f"{learners_line(error)}. Remedy: make model(x, eps) and the loss work for one "
        "batch (the checks of lesson 07 say more)."
    )


def _expect_terms(terms: Any) -> None:
    found = list(terms) if isinstance(terms, tuple | list) else []
    if len(found) != 3 or not all(isinstance(t, Tensor) for t in found):
        raise TrainError(
            "the loss does not give three tensors. Remedy: return (loss, "
            "reconstruction, kl), as lesson 07 asks."
        )
    if shapes := [tuple(t.shape) for t in found if t.numel() != 1]:
        raise TrainError(
            f"the loss gives tensors of shape {shapes[0]}. Remedy: three means over "
            "the batch, of shape ()."
        )
    if not bool(found[0].isfinite()):
        raise TrainError(
            f"the loss is {float(found[0].detach())} before the first step. Remedy: "
            "look for an exp or a log of something unbounded."
        )
    if not found[0].requires_grad:
        raise TrainError(
            "the loss depends on no parameter of the model. Remedy: no .detach(), "
            ".item() or no_grad between the model and the loss."
        )


def expect_data(model: nn.Module, input_dim: int, latent_dim: int) -> None:
    """Raise TrainError for a model that no run folder could hold as plain data."""
    if type(model) in GIVEN.values():
        return
    try:
        with untouched(model):
            Program.trace(model, input_dim, latent_dim)
    except ProgramError as error:
        raise TrainError(
            f"this model could not be handed in, so it is not trained: {error}. "
            f"Remedy: {error.remedy}."
        ) from error


# --- what a checkpoint remembers --------------------------------------------------


def probe(
    model: nn.Module, loss: Callable[..., Any], input_dim: int, latent_dim: int
) -> dict[str, Tensor]:
    """Return what a model and a loss make of inputs that are always the same.

    So a checkpoint knows them by what they do, however they are written.
    """
    like = next(model.parameters())
    generator = Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(like.device)

    x, eps, logits = (
        drawn(3, input_dim).round(),
        drawn(3, latent_dim),
        drawn(3, input_dim),
    )
    mu, log_var = drawn(3, latent_dim), drawn(3, latent_dim)
    was = {part: part.training for part in model.modules()}
    model.eval()
    with untouched(model), torch.no_grad():
        found = {"model": _flat(model(x, eps)), "loss": torch.empty(0)}
        with contextlib.suppress(Exception):  # an objective may do without the loss
            found["loss"] = _flat(loss(x, logits, mu, log_var, 0.7))
    for part, training in was.items():
        part.training = training
    kind = nn.modules.dropout._DropoutNd
    dropped = [float(m.p) for m in model.modules() if isinstance(m, kind)]
    found["model"] = torch.cat([found["model"], torch.tensor(dropped)])
    return found


def _flat(values: Sequence[Tensor]) -> Tensor:
    return torch.cat([v.detach().flatten().float().cpu() for v in values])


def same_probe(mine: Tensor, other: Tensor) -> bool:
    """Whether two probes are of the same thing, on whatever machines."""
    return mine.shape == other.shape and torch.allclose(
        mine, other, rtol=1e-3, atol=1e-4, equal_nan=True
    )
