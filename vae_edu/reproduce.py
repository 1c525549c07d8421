"""`vae-edu reproduce burda`: the published table, with what we obtain beside it.

Each row and seed is a run folder; the card is made from the folders that are there, so
rows can be run one at a time, on several machines, and again after an interruption. A
row that nobody ran is called "not measured yet", and a run of fewer epochs than its
setting has is never set beside the published number without saying so.

What belongs here: rows, settings and the card. What does not: training (`train`).
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Generator

from vae_edu import data, models, paths, runs
from vae_edu.errors import CourseError
from vae_edu.evaluate import binarized_test_set, evaluate
from vae_edu.train import TrainConfig, pick_device, train

__all__ = ["ROWS", "Plan", "Row", "card", "command", "config_of", "run_row"]

Setting = Literal["paper", "fast"]
Say = Callable[[str], object]
Model = models.OneLayerVAE | models.TwoLayerVAE

PAPER_IMAGES = 59_600  # the published code keeps the last 400 apart
SOURCE = "Burda, Grosse and Salakhutdinov 2016, table 1 (MNIST, 5,000 samples)"


@dataclass(frozen=True)
class Row:
    """One row of the table: layers, objective, samples, and the published NLL."""

    layers: int
    objective: Literal["vae", "iwae"]
    k: int
    published: float


ROWS: Mapping[str, Row] = {
    "vae-1": Row(1, "vae", 1, 86.76),
    "vae-5": Row(1, "vae", 5, 86.47),
    "vae-50": Row(1, "vae", 50, 86.35),
    "iwae-5": Row(1, "iwae", 5, 85.54),
    "iwae-50": Row(1, "iwae", 50, 84.78),
    "vae-1-two-layers": Row(2, "vae", 1, 85.33),
    "vae-5-two-layers": Row(2, "vae", 5, 85.01),
    "vae-50-two-layers": Row(2, "vae", 50, 84.78),
    "iwae-5-two-layers": Row(2, "iwae", 5, 83.89),
    "iwae-50-two-layers": Row(2, "iwae", 50, 82.90),
}
DEFAULT_ROWS = ("vae-1", "iwae-50", "vae-1-two-layers", "iwae-50-two-layers")

# The published code: batch 20, unshuffled, 3^i epochs at each of eight rates, and an
# Adam whose second moments start at 1.
PAPER = TrainConfig(
    epochs=3280,
    batch_size=20,
    learning_rate=1e-3,
    schedule="burda",
    warmup=0.0,
    shuffle=False,
    adam_betas=(0.99, 0.999),
    adam_eps=1e-4,
    second_moment=1.0,
    matmul="float32",
)
# Ours: a twentieth of the steps, larger ones, with warm-up and a cosine to 0.
FAST = TrainConfig(epochs=2000, batch_size=256, learning_rate=2e-3, warmup=0.02)


@dataclass(frozen=True)
class Plan:
    """What to run. budget: at most so many epochs, and the card will say so."""

    rows: Sequence[str] | None = None
    setting: Setting = "fast"
    seeds: int = 3
    budget: int | None = None
    device: str = "auto"
    test_samples: int = 5000
    test_images: int | None = None


class ReproduceError(CourseError):
    """A plan names what is not in the table."""


def config_of(row: Row, plan: Plan, seed: int) -> TrainConfig:
    """Return the settings of one run.

    The paper's IWAE has the plain gradient; ours of the same bound is DReG's.
    """
    base = PAPER if plan.setting == "paper" else FAST
    bound: Literal["iwae", "dreg"] = "iwae" if plan.setting == "paper" else "dreg"
    return replace(
        base,
        epochs=min(base.epochs, plan.budget or base.epochs),
        objective="elbo" if row.objective == "vae" else bound,
        num_samples=row.k,
        seed=seed,
        device=plan.device,
    )


def build_model(row: Row, input_dim: int, seed: int) -> Model:
    """Return a row's network, its first weights drawn by the seed."""
    generator = Generator().manual_seed(seed)
    kind = models.OneLayerVAE if row.layers == 1 else models.TwoLayerVAE
    return kind(input_dim, generator=generator)


def run_row(
    name: str, plan: Plan, seed: int, folder: Path, images: data.Dataset, say: Say
) -> Path:
    """Train, evaluate and write one run, unless it is there; return its folder."""
    config = config_of(ROWS[name], plan, seed)
    target = folder / f"burda-{name}-{plan.setting}-{config.epochs}-seed-{seed}"
    if runs.is_run(target):
        say(f"{target.name} is there already")
        return target
    runs.expect_free(target)
    used = images.train[:PAPER_IMAGES] if plan.setting == "paper" else images.train
    model = build_model(ROWS[name], used.shape[1], seed)
    models.set_output_bias(model.decoder.out, used)
    checkpoint = target.with_name(f"{target.name}.checkpoint")
    say(f"{target.name}: training")
    rows = train(model, used, config, checkpoint=checkpoint, say=_quiet(config, say))
    test = binarized_test_set(images.test[: plan.test_images])
    found = evaluate(model, test, num_samples=plan.test_samples, say=say)
    runs.write(target, model, images, config, rows, found, title=f"burda {name}")
    checkpoint.unlink(missing_ok=True)
    say(f"{target.name}: nll {found.nll:.2f} nats")
    return target


def _quiet(config: TrainConfig, say: Say) -> Say:
    """Print some twenty rows of a long run, not thousands."""
    every, seen = max(1, config.epochs // 20), [0]

    def say_some(line: str) -> None:
        seen[0] += 1
        if seen[0] % every == 0:
            say(line)

    return say_some


# --- the card ---------------------------------------------------------------------


def card(folder: Path) -> dict[str, Any]:
    """Return what the run folders here obtained, beside what was published.

    Runs are told apart by setting, epochs, and how they were evaluated; a damaged run
    folder raises RunError.
    """
    read = [runs.read(path) for path in runs.runs_in(folder)]
    found = [run for run in read if str(run.config.get("title")).startswith("burda ")]
    entries = [_entry(name, row, found) for name, row in ROWS.items()]
    return {"source": SOURCE, "rows": [e for group in entries for e in group]}


def _entry(name: str, row: Row, found: list[runs.Run]) -> list[dict[str, Any]]:
    """One entry for each way in which a row was run; one for none."""
    ways: dict[str, list[runs.Run]] = {}
    for run in found:
        if run.config["title"] == f"burda {name}":
            ways.setdefault(_way(run), []).append(run)
    published = {"row": name, **asdict(row)}
    if not ways:
        return [published | {"status": "not measured yet"}]
    return [published | _obtained(group) for group in ways.values()]


def _way(run: runs.Run) -> str:
    train = {
        k: v for k, v in run.config["train"].items() if k not in ("seed", "device")
    }
    images = run.config["data"]["name"]
    test = [run.claims[key] for key in ("n", "num_samples", "test_set")]
    kind = run.config["device"].split(",")[0]  # however many threads a CPU had
    return json.dumps([train, images, test, kind])


def _obtained(group: list[runs.Run]) -> dict[str, Any]:
    nll = [float(run.claims["nll"]) for run in group]
    first = group[0]
    return {
        "status": _status(first),
        "nll": statistics.mean(nll),
        "spread": statistics.stdev(nll) if len(nll) > 1 else None,
        "standard_error": max(run.claims["standard_error"] for run in group),
        "seeds": [run.config["seed"] for run in group],
        "runs": [run.name for run in group],
        "epochs": first.config["train"]["epochs"],
        "active_units": [run.claims["active_units"] for run in group],
        "test_images": first.claims["n"],
        "test_samples": first.claims["num_samples"],
        "seconds_per_run": statistics.mean(run.config["seconds"] for run in group),
        "device": first.config["device"],
    }


def _status(run: runs.Run) -> str:
    """Whether a run may be set beside the published number, and if not, why."""
    train, claims = run.config["train"], run.claims
    full = PAPER if train["schedule"] == "burda" else FAST
    less = [f"{key} {train.get(key)}" for key in _differing(train, full)]
    if train["epochs"] < full.epochs:
        less.append(f"{train['epochs']:,} of {full.epochs:,} epochs")
    if claims["num_samples"] < 5000:
        less.append(f"{claims['num_samples']:,} of 5,000 samples")
    if run.config["data"]["name"] != "mnist" or claims["n"] < 10_000:
        less.append(f"{claims['n']:,} images of {run.config['data']['name']}")
    setting = "the paper's setting" if full is PAPER else "our faster setting"
    return f"not comparable: {', '.join(less)}" if less else f"measured in {setting}"


def _differing(train: Mapping[str, Any], full: TrainConfig) -> list[str]:
    """Return the settings, beyond a row's own, that are not the setting's."""
    rows_own = ("epochs", "objective", "num_samples", "seed", "device")
    expected = json.loads(json.dumps(asdict(full)))
    return [k for k, v in expected.items() if k not in rows_own and train.get(k) != v]


def card_text(found: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    errors = [e["standard_error"] for e in found["rows"] if "standard_error" in e]
    over = f"; the standard error over the test images is {max(errors, default=0):.2f}"
    lines = [
        "# Obtained beside published",
        "",
        f"Negative log-likelihood in nats, lower is better. Published: {SOURCE}. "
        f"Obtained: mean over seeds, with the standard deviation between them"
        f"{over if errors else ''}.",
        "",
        "| row | published | obtained | seeds | epochs | time a run, device | status |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_line(entry) for entry in found["rows"]),
    ]
    return "\n".join(lines) + "\n"


def _line(entry: Mapping[str, Any]) -> str:
    start = f"| {entry['row']} | {entry['published']:.2f} "
    if "nll" not in entry:
        return f"{start}| | | | | {entry['status']} |"
    spread = "" if entry["spread"] is None else f" ± {entry['spread']:.2f}"
    return (
        f"{start}| {entry['nll']:.2f}{spread} | {len(entry['seeds'])} "
        f"| {entry['epochs']:,} | {entry['seconds_per_run']:,.0f} s, {entry['device']} "
        f"| {entry['status']} |"
    )


def command(
    plan: Plan,
    to: str | None = None,
    *,
    images: data.Dataset | None = None,
    say: Say = print,
) -> int:
    """Run a plan and write burda.md and burda.json beside its run folders."""
    names = list(plan.rows or DEFAULT_ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown or plan.seeds < 1 or (plan.budget is not None and plan.budget < 1):
        raise ReproduceError(
            f"rows {unknown}, seeds {plan.seeds}, budget {plan.budget}: expected rows "
            f"of {', '.join(ROWS)}, and whole numbers of 1 or more."
        )
    pick_device(plan.device)
    images = images or data.load("mnist")
    folder = Path(to) if to else paths.runs_dir()
    for name in names:
        for seed in range(plan.seeds):
            run_row(name, plan, seed, folder, images, say)
    found = card(folder)
    runs.write_file(folder / "burda.json", runs.as_json(found))
    runs.write_file(folder / "burda.md", card_text(found).encode("utf-8"))
    say(card_text(found))
    return 0
