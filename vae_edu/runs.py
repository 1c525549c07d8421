"""The run folder: a training run as it is handed in, and recomputed by who doubts it.

    config.json          the model's form, the settings, versions, the data's checksums
    metrics.csv          one row an epoch
    model.safetensors    the weights, by name
    evaluation.json      the numbers claimed; nll.safetensors: the same for each image
    *.png, card.md       pictures, and all of it for a reader
    run.json             the size and SHA-256 of every other file, written last

A claimed number counts for nothing: `verify` computes those of evaluation.json again
from the weights, on the same binarised test set, and the card again from the other
files. The rows of the epochs, and the pictures, are protected by their checksums alone.
It never runs the code of who wrote the folder: a given network is built from its sizes,
anyone else's from its program (see `program`).

What belongs here: writing, reading and refusing run folders. What does not: training.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Generator, Tensor, nn

from vae_edu import data, run_card
from vae_edu.errors import CourseError, one_line
from vae_edu.evaluate import (
    BOUNDS,
    Evaluation,
    binarized_test_set,
    checksum,
    evaluate,
)
from vae_edu.models import GIVEN, ModelError, build, latent_dim_of
from vae_edu.program import Program, ProgramError
from vae_edu.run_files import (
    AS_WRITTEN,
    FORMAT,
    MANIFEST,
    REQUIRED,
    RunError,
    checked_files,
    is_run,
    run_name,
    sums,
)
from vae_edu.train import EpochRow, TrainConfig, device_name, pick_device

__all__ = [
    "REQUIRED",
    "Run",
    "RunError",
    "as_json",
    "expect_free",
    "is_run",
    "read",
    "verify",
    "write",
    "write_file",
]

MOST_LAYERS = 16
MOST_SAMPLES = 50_000
SLACK = 0.01  # nats: float32 on another machine
MOST_SPREAD = 1.5  # nats between two estimates of one image, by other noise
FEW = 10  # images from which no spread can be told


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder as read: whole, but its numbers still to be recomputed."""

    folder: Path
    config: dict[str, Any]
    claims: dict[str, Any]
    weights: dict[str, Tensor]
    per_image: Tensor
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The folder's name, or its zip's."""
        return run_name(self.folder)


# --- writing ----------------------------------------------------------------------


def expect_free(folder: Path) -> None:
    """Raise RunError where something is in the way (ask before training)."""
    if folder.exists() or folder.is_symlink():
        raise RunError(
            f"{folder.name} is there already, and a run is never overwritten. Remedy: "
            "another name, or move the old folder away."
        )


def write(
    folder: Path,
    model: nn.Module,
    images: data.Dataset,
    config: TrainConfig,
    rows: Sequence[EpochRow],
    evaluation: Evaluation,
    *,
    title: str = "A variational autoencoder",
) -> Path:
    """Write a run folder; it is there whole, or not at all.

    images: what `data.load` gave. Raises RunError where the folder exists or cannot be
    written, and for weights that are not finite.
    """
    expect_free(folder)
    form, runnable = _form_of(model, images.train.shape[1])
    weights = _weights_of(runnable if isinstance(runnable, Program) else model)
    stated = _config(form, images, config, evaluation, title)
    files = {
        "config.json": as_json(
            stated | {"seconds": round(sum(row.seconds for row in rows), 2)}
        ),
        "metrics.csv": _metrics(rows),
        "model.safetensors": tensor_bytes(weights),
        "evaluation.json": as_json(evaluation.numbers()),
        "nll.safetensors": tensor_bytes({"nll": evaluation.per_image}),
    }
    pictures = run_card.draw(runnable, images)
    files |= {f"{name}.png": picture.png for name, picture in pictures.items()}
    files["card.md"] = run_card.card(files)
    files[MANIFEST] = as_json({"format": FORMAT, "files": sums(files)})
    _write_folder(folder, files)
    return folder


def _weights_of(model: nn.Module | Program) -> dict[str, Tensor]:
    kept = model.weights if isinstance(model, Program) else model.state_dict()
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in kept.items()}
    bad = _not_finite(weights)
    if bad:
        raise RunError(f"the weights {bad} are not finite: this is no trained model.")
    return weights


def _not_finite(weights: Mapping[str, Tensor]) -> str:
    return ", ".join(k for k, v in weights.items() if not bool(v.isfinite().all()))


def _config(
    form: Mapping[str, Any],
    images: data.Dataset,
    config: TrainConfig,
    evaluation: Evaluation,
    title: str,
) -> dict[str, Any]:
    return {
        "title": title,
        "model": form,
        "train": asdict(config),
        "seed": config.seed,
        "data": {
            "name": images.name,
            "train": checksum(images.train),
            "test": checksum(images.test),
            "binarized_test": evaluation.test_set,
        },
        "versions": versions(),
        "device": device_name(pick_device(config.device)),  # not where it is by now
    }


def _form_of(
    model: nn.Module, input_dim: int
) -> tuple[dict[str, Any], nn.Module | Program | None]:
    """Return a model's form as plain data, and what pictures can be drawn with.

    "given": one of `models`, by name and sizes. "program": anything whose steps the
    table of `operations` has. "code": anything else, which only its own classes can
    run.
    """
    for name, kind in GIVEN.items():
        if type(model) is kind:
            return {"form": "given", "name": name, "sizes": model.sizes}, model
    latent_dim = latent_dim_of(model, input_dim)
    try:
        program = Program.trace(model, input_dim, latent_dim)
        return {"form": "program", **program.to_json()}, program
    except ProgramError as error:
        why = {"form": "code", "why": str(error), "class": type(model).__name__}
        return why | {"input_dim": input_dim, "latent_dim": latent_dim}, None


def versions() -> dict[str, str]:
    """Return what the numbers may depend on, without any name of this machine."""
    names = ("vae_edu", "torch", "numpy", "safetensors")
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _metrics(rows: Sequence[EpochRow]) -> bytes:
    out = io.StringIO()
    names = list(EpochRow.__dataclass_fields__)
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return out.getvalue().encode("ascii")


def as_json(value: Any) -> bytes:
    """Return a value as the files of a run have it."""
    return (json.dumps(value, indent=2) + "\n").encode("utf-8")


def write_file(path: Path, content: bytes) -> None:
    """Write a file beside run folders, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise RunError(
            f"{path.name} cannot be written ({error.strerror or error}). Remedy: free "
            "some space, and run the same command again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write beside the folder's name, then rename: the manifest last, all on the disk.

    What an interrupted process leaves has another name and no manifest.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        partial.mkdir(parents=True)
        for name, content in files.items():
            with (partial / name).open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        partial.rename(folder)
    except OSError as error:
        raise RunError(
            f"the run {folder.name} cannot be written ({error.strerror or error}); "
            "nothing of it was kept. Remedy: free some space, and write it again."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


# --- reading ----------------------------------------------------------------------


def read(folder: Path) -> Run:
    """Read a run folder, or a zip of one; every file is checked before any is used.

    Raises RunError for a folder that is none, a file missing, altered, truncated or
    foreign, and for weights that are not finite.
    """
    files = checked_files(folder)
    config, claims = (_parse(files, f) for f in ("config.json", "evaluation.json"))
    weights = _tensors(files, "model.safetensors")
    bad = _not_finite(weights)
    if bad:
        raise RunError(f"{run_name(folder)}: the weights {bad} are not finite numbers.")
    floats = {w.dtype for w in weights.values() if w.is_floating_point()}
    if floats != {torch.float32}:
        raise RunError(f"{run_name(folder)}: model.safetensors is not all float32.")
    per_image = _tensors(files, "nll.safetensors").get("nll", torch.empty(0))
    run = Run(folder, config, claims, weights, per_image.float(), files)
    _expect_claims(run)
    return run


def _parse(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        value = json.loads(files[name])
    except (ValueError, RecursionError) as error:
        raise RunError(f"{name} is no JSON ({one_line(error)}).") from error
    if not isinstance(value, dict):
        raise RunError(f"{name} is no JSON object.")
    return value


def _tensors(files: Mapping[str, bytes], name: str) -> dict[str, Tensor]:
    try:
        return read_tensors(files[name])
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise RunError(f"{name} is no safetensors file ({one_line(error)}).") from error


WHOLE = ("n", "num_samples", "active_units", "units", "seed")
REAL = ("nll", "elbo")


def _expect_claims(run: Run) -> None:
    """The claims must be complete, finite, and agree with each other."""
    claims = run.claims
    whole = [claims.get(name) for name in WHOLE]
    bounds = claims.get("bounds")
    real = [claims.get(name) for name in REAL]
    real += list(bounds.values()) if isinstance(bounds, dict) else [None]
    if not all(type(v) is int for v in whole) or not all(
        type(v) in (int, float) for v in real
    ):
        raise RunError("evaluation.json lacks a number, or one is of another kind.")
    if not _agree(claims, run.per_image):
        raise RunError(
            f"{run.name}: evaluation.json contradicts itself or nll.safetensors."
        )


def _agree(claims: Mapping[str, Any], per_image: Tensor) -> bool:
    n, k, mean = len(per_image), claims["num_samples"], per_image.double().mean()
    if n > 1:
        spread = float(per_image.double().std()) / math.sqrt(n)
        error = claims.get("standard_error")
        if not isinstance(error, float) or not abs(spread - error) < 1e-3:
            return False
    return (
        n == claims["n"] >= 1
        and 1 <= k <= MOST_SAMPLES
        and abs(claims["seed"]) < 2**63
        and bool(per_image.isfinite().all())
        and all(map(math.isfinite, [claims["elbo"], *claims["bounds"].values()]))
        and abs(float(mean) - claims["nll"]) < 1e-3
        and 0 <= claims["active_units"] <= claims["units"]
        and set(claims["bounds"]) == {str(b) for b in BOUNDS if b <= k}
    )


# --- recomputing ------------------------------------------------------------------


def restore(run: Run, device: torch.device | None = None) -> Any:
    """Build the model of a run from plain data and its weights; no code of the run's.

    Raises RunError where the weights are not of the form that config.json states, or
    the form is "code".
    """
    weights = {k: v.to(device or "cpu") for k, v in run.weights.items()}
    form = run.config.get("model")
    form = form if isinstance(form, dict) else {}
    if form.get("form") == "program":
        try:
            return Program.from_json(form, weights)
        except ProgramError as error:
            raise RunError(f"{run.name}: config.json's model: {error}.") from error
    if form.get("form") == "given":
        return _given(run.name, form, weights)
    raise RunError(
        f"{run.name}: its model is not plain data ({form.get('why', 'unknown form')}): "
        "its own classes alone could recompute its numbers. Remedy: build encoder and "
        "decoder of linear layers and elementwise functions, or pass model=..."
    )


def _given(name: str, form: Mapping[str, Any], weights: dict[str, Tensor]) -> nn.Module:
    try:
        depth = len(json.dumps(form["sizes"]).split(","))
        if depth > MOST_LAYERS:
            raise RunError(f"{name}: config.json names a network of {depth} sizes.")
        with torch.device("meta"):  # shapes alone: sizes may be anything
            model = build(form["name"], form["sizes"])
        model.load_state_dict(weights, assign=True)
    except (ModelError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{name}: the weights are not those of the network that config.json "
            f"names ({one_line(error)})."
        ) from error
    return model.eval().requires_grad_(False)


@dataclass(frozen=True)
class _How:
    """The options of `verify`."""

    images: data.Dataset | None
    model: nn.Module | None
    spot: int | None
    spot_seed: int
    device: torch.device | None
    progress: bool


def verify(
    folder: Path,
    *,
    images: data.Dataset | None = None,
    model: nn.Module | None = None,
    spot: int | None = None,
    spot_seed: int = 0,
    device: torch.device | None = None,
    progress: bool = True,
) -> Evaluation:
    """Recompute a run's numbers from its weights; return them.

    spot: on that many test images only, drawn by spot_seed, against the claims for
    those images: minutes become seconds, and nobody knows in advance which.
    model: your own, for a run whose form is "code"; it gets the run's weights.
    Raises RunError for all that `read` refuses, for another test set, for a claim that
    the weights do not support, and for a card that says other than the files do.
    """
    try:
        return _verified(
            read(folder), _How(images, model, spot, spot_seed, device, progress)
        )
    except (CourseError, MemoryError):
        raise
    except Exception as error:  # whatever a foreign file makes of this
        if isinstance(error, RuntimeError) and "alloc" in str(error):
            raise MemoryError(str(error)) from error
        raise RunError(
            f"{run_name(folder)}: its numbers cannot be computed again "
            f"({type(error).__name__}: {one_line(error)}). {AS_WRITTEN}"
        ) from error


def _verified(run: Run, how: _How) -> Evaluation:
    device = how.device or torch.device("cpu")
    subject = restore(run, device) if how.model is None else _own(run, how.model)
    x = _test_set(run, how.images)
    chosen = torch.arange(len(x))
    if how.spot is not None and how.spot < len(x):
        generator = Generator().manual_seed(how.spot_seed)
        chosen = torch.randperm(len(x), generator=generator)[: how.spot]
    found = evaluate(
        subject,
        x[chosen].to(device),
        num_samples=run.claims["num_samples"],
        seed=run.claims["seed"],
        progress=how.progress,
    )
    _expect_supported(run, found, chosen)
    _expect_history(run)
    _expect_card(run)
    return found


def _own(run: Run, model: nn.Module) -> nn.Module:
    try:
        own = model.state_dict().keys()  # a run may hold constants beside them
        model.load_state_dict({k: v for k, v in run.weights.items() if k in own})
    except RuntimeError as error:
        raise RunError(
            f"{run.name}: not the weights of this model ({one_line(error)})."
        ) from error
    return model


def _test_set(run: Run, images: data.Dataset | None) -> Tensor:
    """Return the run's binarised test images; RunError where they are others."""
    stated = run.config.get("data")
    stated = stated if isinstance(stated, dict) else {}
    if images is None:
        name = stated.get("name")
        if name not in ("mnist", "digits"):
            raise RunError(f"{run.name} is on {name!r}: pass its images=... yourself.")
        images = data.load(name)
    x = binarized_test_set(images.test[: int(run.claims["n"])])
    sums = {key: checksum(getattr(images, key)) for key in ("train", "test")}
    sums["binarized_test"] = checksum(x)
    others = [key for key, value in sums.items() if stated.get(key) != value]
    if others:
        raise RunError(
            f"{run.name}: the checksums of {', '.join(others)} in config.json are not "
            f"those of {images.name} here: its numbers are of other images."
        )
    if checksum(x) != run.claims.get("test_set"):
        raise RunError(
            f"{run.name} was evaluated on other images than the binarised test set of "
            f"{images.name} here: its numbers cannot be compared."
        )
    return x


def _expect_supported(run: Run, found: Evaluation, chosen: Tensor) -> None:
    """Compare claims with what the weights give; noise may differ between devices."""
    allowed = _allowed(found.per_image - run.per_image[chosen])
    pairs = {"nll": (float(run.per_image[chosen].double().mean()), found.nll)}
    if len(chosen) == len(run.per_image):
        pairs["elbo"] = (float(run.claims["elbo"]), found.elbo)
        for k, value in found.bounds.items():
            claimed = run.claims["bounds"].get(str(k), math.nan)
            pairs[f"bound with k = {k}"] = (float(claimed), value)
        _expect_units(run, found)
    for name, (claimed, value) in pairs.items():
        if not abs(claimed - value) <= allowed:
            raise RunError(
                f"{run.name} claims {name} {claimed:.3f} nats; its weights give "
                f"{value:.3f}: a difference of {abs(claimed - value):.3f}; on these "
                f"{len(chosen):,} images {allowed:.3f} is allowed."
            )


def _allowed(difference: Tensor) -> float:
    """How far an honest mean may be off: five standard errors of its images' noise.

    A claim that is noise on purpose gains nothing: no more than MOST_SPREAD counts.
    """
    n = len(difference)
    spread = float(difference.double().std()) if n >= FEW else MOST_SPREAD
    return SLACK + 5 * min(spread, MOST_SPREAD) / math.sqrt(n)


def _expect_units(run: Run, found: Evaluation) -> None:
    claimed = int(run.claims["active_units"])
    units = int(run.claims["units"])
    if abs(claimed - found.active_units) > 1 or units != found.units:
        raise RunError(
            f"{run.name} claims {claimed} active units of {units}; its weights give "
            f"{found.active_units} of {found.units}."
        )


def _expect_history(run: Run) -> None:
    """What is said of the training, which cannot be recomputed, must agree."""
    lines = run.files["metrics.csv"].decode("ascii", "replace").splitlines()
    stated = run.config.get("train")
    stated = stated if isinstance(stated, dict) else {}
    if stated.get("epochs") != len(lines) - 1:
        raise RunError(
            f"{run.name}: config.json names {stated.get('epochs')} epochs; metrics.csv "
            f"has {len(lines) - 1}."
        )
    if stated.get("seed") != run.config.get("seed"):
        raise RunError(f"{run.name}: config.json names two seeds.")


def _expect_card(run: Run) -> None:
    """The card must be the one that the other files make, to the byte."""
    try:
        made = run_card.card(run.files)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{run.name}: no card can be made of its files ({one_line(error)})."
        ) from error
    if made != run.files["card.md"]:
        raise RunError(
            f"{run.name}: card.md says something else than config.json, metrics.csv "
            "and evaluation.json do. Remedy: hand in the folder as it was written (by "
            "lesson 10 or `vae-edu train`)."
        )


def runs_in(folder: Path) -> Iterator[Path]:
    """Yield the run folders in a folder, by name."""
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if is_run(path))


def command(
    folder: str, spot: int | None, device: str, say: Callable[[str], object] = print
) -> int:
    """`vae-edu evaluate RUN`: recompute its numbers and print them."""
    found = verify(Path(folder), spot=spot, device=pick_device(device))
    for line in run_card.table(found.numbers()):
        say(line)
    say(f"{run_name(Path(folder))}: every claim is what its weights give")
    return 0
