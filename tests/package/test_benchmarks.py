"""The benchmarks: fair rounds, honest words; never the timings themselves."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Generator

from benchmarks import gpu, load, loops, training
from vae_edu import data, models, paths
from vae_edu.evaluate import binarized_test_set, evaluate

needs_mnist = pytest.mark.skipif(
    data.load().name != "mnist", reason="MNIST is not here"
)


def test_foreign_load_is_what_others_took():
    before, after = (1000, 2000), (1150, 2200)  # 150 of 200 ticks busy
    assert load.foreign_share(before, after, own=1.0) == pytest.approx(0.25)
    assert load.foreign_share(before, after, own=9.0) == 0.0
    assert load.foreign_share((0, 0), (0, 0), own=1.0) == 0.0


def test_the_machines_time_grows():
    busy, total = load.jiffies()
    assert 0 <= busy <= total


def rounds_with(loads: list[float], monkeypatch: pytest.MonkeyPatch, count: int = 2):
    shares = iter(loads)
    monkeypatch.setattr(training, "foreign_share", lambda *_, **__: next(shares))
    size = training.Size(attempts=2)

    def pair(number: int):
        return lambda: lambda: 1.0, lambda: lambda: 2.0

    return training.rounds("NLL", "nll", pair, count, size)


def test_a_loud_round_is_thrown_away_and_repeated(monkeypatch):
    result = rounds_with([0.5, 0.01, 0.2, 0.02], monkeypatch)
    assert [r.foreign for r in result.rounds] == [0.01, 0.02]
    assert result.thrown_away == 2


def test_a_machine_that_is_never_quiet_gives_no_number(monkeypatch):
    result = rounds_with([0.5] * 4, monkeypatch)
    assert (result.rounds, result.ratio) == ([], None)
    assert "not measured" in training.line(result)


def made_up(name: str, ratio: float, obtained=(1.0, 1.0)) -> training.RowResult:
    times = [training.Round(ratio, 1.0, obtained, 0.0)] * 3
    return training.RowResult(name, "nats", times, 0)


def test_a_missed_target_is_called_missed():
    assert "2.9 (missed)" in training.line(made_up("NLL", 2.9))
    assert "missed" not in training.line(made_up("NLL", 3.0))


def test_a_worse_elbo_gives_no_ratio():
    words = "ours is worse: no ratio counts"
    assert words in training.line(made_up("equal ELBO", 50.0, (105.0, 105.1)))
    assert words not in training.line(made_up("equal ELBO", 50.0, (105.0, 105.0)))


def test_the_median_of_the_pairs_counts():
    times = [training.Round(t, 1.0, (0.0, 0.0), 0.0) for t in (1.0, 9.0, 3.0)]
    assert training.RowResult("NLL", "nll", times, 0).ratio == 3.0


def test_the_naive_loop_gives_the_same_nll():
    """Other noise, the same estimate, where weights vary little (q near the prior)."""
    model = models.OneLayerVAE(16, (9,), 3, generator=Generator().manual_seed(0))
    with torch.no_grad():
        model.encoder.mu.weight *= 0.1
        model.encoder.log_var.weight *= 0.1
    x = torch.randint(0, 2, (20, 16), generator=Generator().manual_seed(1)).float()
    torch.manual_seed(0)
    found = evaluate(model, x, num_samples=5000).nll
    assert loops.nll(model, x, 5000) == pytest.approx(found, abs=0.02)


def test_both_networks_have_the_same_size_and_elbo():
    theirs, ours = loops.PlainVAE(), models.mlp_400_20()
    count = [sum(p.numel() for p in m.parameters()) for m in (theirs, ours)]
    assert count[0] == count[1]
    own = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.load_state_dict(own)
    test = torch.randint(0, 256, (30, 784), dtype=torch.uint8)
    assert training.plain_elbo(theirs, test) == pytest.approx(
        training.own_elbo(ours, test), rel=1e-4
    )


@needs_mnist
def test_a_quick_round_runs_and_claims_nothing(tmp_path, capsys):
    assert training.main(["--quick", "--json", str(tmp_path / "rows.json")]) == 0
    printed = capsys.readouterr().out
    assert "A quick round: it shows that this runs, and no more." in printed
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["name"] for row in rows} == set(training.TARGETS)
    assert all(row["ratio"] > 0 for row in rows)


@needs_mnist
def test_the_gpu_benchmark_runs_on_the_cpu_at_a_small_scale():
    cpu = torch.device("cpu")
    images = data.load("mnist")
    test = binarized_test_set(images.test[:10])
    model = models.burda_one_layer()
    seconds = gpu.evaluation_seconds(model, test, 5, cpu)
    assert len(seconds) == 3
    assert 0 < seconds[0] <= seconds[-1]
    few = {"target": 1e3, "num_samples": 5}
    own = gpu.ours(images.train[:512], test, cpu, budgets=(1, 2), **few)
    assert (own.is_there, own.epochs) == (True, 1)
    batches = loops.loader(paths.data_dir(), first=256)
    loop = gpu.theirs(batches, test, cpu, every=1, minutes=0, **few | {"target": 0.0})
    assert (loop.is_there, loop.epochs) == (False, 1)
    assert "at least" in gpu.report(own, loop, seconds, cpu)
    assert "not reached" in gpu.report(loop, loop, seconds, cpu)
