"""The published table, quoted exactly; nothing beside it that does not belong there."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Generator

from vae_edu import cli, data, evaluate, models, reproduce, runs
from vae_edu.reproduce import Plan

PUBLISHED = {
    ("vae", 1): {1: 86.76, 5: 86.47, 50: 86.35},
    ("iwae", 1): {5: 85.54, 50: 84.78},
    ("vae", 2): {1: 85.33, 5: 85.01, 50: 84.78},
    ("iwae", 2): {5: 83.89, 50: 82.90},
}
TINY = Plan(
    rows=["vae-1", "iwae-5-two-layers"],
    seeds=2,
    budget=1,
    device="cpu",
    test_samples=20,
    test_images=30,
)


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    images = data.load("digits")
    return replace(images, train=images.train[:520], train_labels=images.train_labels)


@pytest.fixture(scope="module")
def done(digits, tmp_path_factory):
    """A tiny plan, run once in each setting: the folder, and what was printed."""
    folder, lines = tmp_path_factory.mktemp("burda"), []
    reproduce.command(TINY, str(folder), images=digits, say=lines.append)
    paper = replace(TINY, rows=["iwae-5"], setting="paper", seeds=1)
    reproduce.command(paper, str(folder), images=digits, say=lines.append)
    return folder, lines


def test_the_published_numbers_are_the_papers():
    found: dict = {}
    for row in reproduce.ROWS.values():
        found.setdefault((row.objective, row.layers), {})[row.k] = row.published
    assert found == PUBLISHED


def test_the_papers_setting_is_the_published_code():
    config = reproduce.config_of(reproduce.ROWS["iwae-50"], Plan(setting="paper"), 3)
    assert (config.epochs, config.batch_size, config.schedule) == (3280, 20, "burda")
    assert (config.adam_betas, config.adam_eps) == ((0.99, 0.999), 1e-4)
    assert (config.second_moment, config.shuffle) == (1.0, False)
    assert (config.objective, config.num_samples, config.seed) == ("iwae", 50, 3)
    assert config.epochs * (reproduce.PAPER_IMAGES // 20) == 9_774_400


def test_the_networks_are_the_papers():
    for row in reproduce.ROWS.values():
        model = reproduce.build_model(row, 784, 0)
        expected = [models.burda_one_layer, models.burda_two_layers][row.layers - 1]()
        shapes = [[p.shape for p in m.parameters()] for m in (model, expected)]
        assert shapes[0] == shapes[1]


def test_each_seed_is_a_run_that_holds(done, digits):
    folder, _ = done
    names = {path.name for path in runs.runs_in(folder)}
    assert names == {
        *(f"burda-vae-1-fast-1-seed-{seed}" for seed in range(2)),
        *(f"burda-iwae-5-two-layers-fast-1-seed-{seed}" for seed in range(2)),
        "burda-iwae-5-paper-1-seed-0",
    }
    for path in runs.runs_in(folder):
        runs.verify(path, images=digits)


def test_the_card_has_obtained_beside_published(done):
    folder, lines = done
    found = json.loads((folder / "burda.json").read_text())
    entries = {entry["row"]: entry for entry in found["rows"]}
    assert list(entries) == list(reproduce.ROWS)
    entry = entries["vae-1"]
    claims = [
        json.loads((path / "evaluation.json").read_text())["nll"]
        for path in runs.runs_in(folder)
        if "vae-1-fast" in path.name
    ]
    assert entry["nll"] == pytest.approx(sum(claims) / 2)
    assert entry["spread"] == pytest.approx(abs(claims[0] - claims[1]) / 2**0.5)
    assert (entry["published"], entry["seeds"]) == (86.76, [0, 1])
    text = (folder / "burda.md").read_text()
    assert f"| vae-1 | 86.76 | {entry['nll']:.2f} ± {entry['spread']:.2f} | 2 |" in text
    assert lines[-1] == text


def test_a_row_that_nobody_ran_is_not_measured(done):
    folder, _ = done
    text = (folder / "burda.md").read_text()
    assert "| iwae-50 | 84.78 | | | | | not measured yet |" in text
    entries = reproduce.card(folder / "empty")["rows"]
    assert {entry["status"] for entry in entries} == {"not measured yet"}
    assert not any("nll" in entry for entry in entries)


def test_a_smaller_run_is_not_comparable(done):
    folder, _ = done
    entries = {e["row"]: e["status"] for e in reproduce.card(folder)["rows"]}
    for row, epochs in (("vae-1", "1 of 2,000"), ("iwae-5", "1 of 3,280")):
        assert entries[row].startswith(f"not comparable: {epochs} epochs")
        assert "20 of 5,000 samples" in entries[row]
        assert "30 images of digits" in entries[row]


def full_run(**change) -> runs.Run:
    config = {
        "title": "burda vae-1",
        "train": json.loads(json.dumps(asdict(reproduce.FAST))) | change,
        "data": {"name": "mnist"},
    }
    claims = {"num_samples": 5000, "n": 10_000}
    return runs.Run(
        folder=None, config=config, claims=claims, weights={}, per_image=None
    )


def test_only_a_full_run_counts_as_measured():
    assert reproduce._status(full_run()) == "measured in our faster setting"
    other = reproduce._status(full_run(learning_rate=0.1))
    assert other == "not comparable: learning_rate 0.1"


def test_a_second_call_trains_nothing(done, digits, monkeypatch):
    folder, _ = done

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(reproduce, "train", fail)
    assert reproduce.command(TINY, str(folder), images=digits, say=list) == 0


def test_the_first_bias_is_the_datas_mean(digits, tmp_path, monkeypatch):
    seen = []

    def look(model, images, config, **_):
        seen.append(model.decoder.out.bias.detach().sigmoid().mean())
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce, "train", look)
    with pytest.raises(KeyboardInterrupt):
        reproduce.run_row("vae-1", TINY, 0, tmp_path, digits, list)
    mean = (digits.train / 255).mean(0).clamp(0.001, 0.999).mean()
    torch.testing.assert_close(seen[0], mean)


def test_a_damaged_run_stops_the_card(done, tmp_path):
    import shutil

    folder, _ = done
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "burda-vae-1-fast-1-seed-0" / "model.safetensors").write_bytes(b"")
    with pytest.raises(runs.RunError, match="cut or edited"):
        reproduce.card(copy)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--row", "vae-7"], "vae-7"),
        (["--seeds", "0"], "seeds 0"),
        (["--budget", "0"], "budget 0"),
        (["--device", "tpu"], "is not here"),
    ],
)
def test_a_plan_that_does_not_do_is_one_clear_error(arguments, words, capsys):
    assert cli.main(["reproduce", "burda", *arguments]) == cli.USER_ERROR
    assert words in capsys.readouterr().err


def test_paper_and_fast_exclude_each_other(capsys):
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "burda", "--paper", "--fast"])
    capsys.readouterr()


# --- the committed runs -----------------------------------------------------------

COMMITTED = Path(__file__).parents[2] / "data" / "reference_runs"
FOLDERS = sorted(path.name for path in runs.runs_in(COMMITTED))


def test_the_committed_table_is_made_of_the_committed_runs():
    assert FOLDERS
    found = reproduce.card(COMMITTED)
    assert json.loads((COMMITTED / "burda.json").read_text()) == found
    assert (COMMITTED / "burda.md").read_text("utf-8") == reproduce.card_text(found)


def test_the_readme_quotes_the_committed_table():
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    measured = [e for e in reproduce.card(COMMITTED)["rows"] if "nll" in e]
    assert measured
    for entry in measured:
        (line,) = [w for w in readme.splitlines() if w.startswith(f"| {entry['row']} ")]
        assert f"| {entry['published']:.2f} | {entry['nll']:.2f}" in line


@pytest.mark.parametrize("name", FOLDERS)
def test_a_committed_run_is_whole_and_small(name):
    run = runs.read(COMMITTED / name)
    assert sum(map(len, run.files.values())) < 4e6
    assert run.claims["num_samples"] >= 5000


@pytest.mark.skipif(data.load().name != "mnist", reason="MNIST is not here")
@pytest.mark.parametrize("name", FOLDERS)
def test_a_committed_runs_numbers_come_from_its_weights(name):
    assert runs.verify(COMMITTED / name, spot=60, spot_seed=1).n == 60


@pytest.mark.skipif(data.load().name != "mnist", reason="MNIST is not here")
@pytest.mark.parametrize("name", FOLDERS)
def test_the_fast_nll_is_the_naive_loops_on_trained_weights(name):
    """Image by image and sample by sample in float64, within 1e-4 nats."""
    model = runs.restore(runs.read(COMMITTED / name))
    x = evaluate.binarized_test_set(data.load("mnist").test[:8]).float()
    eps = torch.randn(500, 8, model.latent_dim, generator=Generator().manual_seed(0))
    with torch.no_grad():
        fast = evaluate._prepared(model, x)(eps).double()
        model.double()
        naive = torch.stack(
            [evaluate.readable_log_weights(model, x.double(), e.double()) for e in eps]
        )
    assert float((fast.logsumexp(0) - naive.logsumexp(0)).abs().max()) < 1e-4
