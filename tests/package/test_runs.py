"""The run folder: written whole, refused when touched, never believed."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import shutil
import struct
import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Generator, nn

from vae_edu import cli, data, evaluate, launch, models, runs, train
from vae_edu.errors import CourseError
from vae_edu.runs import RunError
from vae_edu.train import TrainConfig

CONFIG = TrainConfig(epochs=2, batch_size=128, device="cpu", matmul="float32")
N, K = 40, 60


class VAE(nn.Module):
    """A learner's own, with the constructor of the contract."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(input_dim, hidden_dim), nn.ReLU())
        self.heads = nn.Linear(hidden_dim, 2 * latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, input_dim),
        )

    def forward(self, x, eps):
        mu, log_var = self.heads(self.encoder(x)).chunk(2, dim=-1)
        z = mu + (0.5 * log_var).exp() * eps
        return self.decoder(z), mu, log_var, z

    def sample(self, z):
        return torch.sigmoid(self.decoder(z))


class Opaque(VAE):
    """One that is no plain data: a spectrum is not in the table."""

    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return torch.fft.irfft(torch.fft.rfft(logits), 64), mu, log_var, z


def make(kind: str) -> nn.Module:
    generator = Generator().manual_seed(0)
    if kind == "one layer":
        return models.OneLayerVAE(64, (16,), 4, generator=generator)
    if kind == "two layers":
        return models.TwoLayerVAE(64, ((16,), (12,)), (6, 3), generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (Opaque if kind == "opaque" else VAE)(64, 16, 2)


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def trained(kind: str, images: data.Dataset):
    model = make(kind)
    quiet = {"say": lambda line: None, "as_data": False}
    rows = train.train(model, images.train, CONFIG, **quiet)
    test = evaluate.binarized_test_set(images.test[:N])
    return model, rows, evaluate.evaluate(model, test, num_samples=K)


@pytest.fixture(scope="module")
def written(digits, tmp_path_factory) -> dict[str, Path]:
    """One run folder of each kind, not to be touched."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for kind in ("own", "one layer", "two layers", "opaque"):
        model, rows, found_numbers = trained(kind, digits)
        found[kind] = runs.write(
            folder / kind.replace(" ", "-"), model, digits, CONFIG, rows, found_numbers
        )
    return found


@pytest.fixture
def own(written, tmp_path) -> Path:
    """A copy of the learner's run, to be spoilt."""
    return Path(shutil.copytree(written["own"], tmp_path / "own"))


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Change a file as somebody would who also corrects the manifest."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "run.json").read_text())
    sums = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest["files"][name] = sums
    (folder / "run.json").write_text(json.dumps(manifest))


def claim(folder: Path, **numbers) -> None:
    claims = json.loads((folder / "evaluation.json").read_text()) | numbers
    rewrite(folder, "evaluation.json", json.dumps(claims).encode())


# --- what is written --------------------------------------------------------------


def test_a_run_has_all_its_parts(written):
    folder = written["own"]
    pictures = {"samples", "reconstructions", "interpolations", "latent_map"}
    assert {path.name for path in folder.iterdir()} == {
        *runs.REQUIRED,
        "run.json",
        *(f"{name}.png" for name in pictures),
    }
    assert (folder / "samples.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "config.json").read_text())
    assert config["seed"] == 0
    assert config["train"]["batch_size"] == 128
    assert config["versions"]["torch"] == torch.__version__.split("+")[0]
    assert len(config["data"]["train"]) == 64
    rows = list(csv.DictReader(io.StringIO((folder / "metrics.csv").read_text())))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


def test_the_card_states_the_numbers_and_describes_the_pictures(written):
    card = (written["own"] / "card.md").read_text()
    claims = json.loads((written["own"] / "evaluation.json").read_text())
    assert f"{claims['nll']:.2f}" in card
    assert "standard error" in card
    assert "![100 images decoded from codes of N(0, I)](samples.png)" in card


def test_no_path_of_this_machine_is_in_a_run(written):
    for path in written["own"].iterdir():
        content = path.read_bytes()
        assert str(written["own"].parent).encode() not in content
        assert str(Path(__file__).parents[2]).encode() not in content


def test_forms(written):
    forms = {
        kind: json.loads((folder / "config.json").read_text())["model"]["form"]
        for kind, folder in written.items()
    }
    assert forms == {
        "own": "program",
        "one layer": "given",
        "two layers": "given",
        "opaque": "code",
    }


def test_a_two_dimensional_map_only_where_there_are_two(written):
    assert not (written["one layer"] / "latent_map.png").exists()


# --- what is recomputed -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["own", "one layer", "two layers"])
def test_every_number_is_recomputed_from_the_weights(written, kind):
    claims = json.loads((written[kind] / "evaluation.json").read_text())
    found = runs.verify(written[kind])
    assert found.nll == pytest.approx(claims["nll"], abs=1e-4)
    assert found.elbo == pytest.approx(claims["elbo"], abs=1e-4)
    assert found.active_units == claims["active_units"]


def test_nobodys_code_runs(written, monkeypatch):
    """The learner's class is never looked for: the folder is enough."""
    monkeypatch.setattr(VAE, "__init__", None)
    monkeypatch.setattr(VAE, "forward", None)
    runs.verify(written["own"])


def test_a_spot_check_takes_seconds_and_still_sees_a_claim(own):
    assert runs.verify(own, spot=20).n == 20
    lie(own)
    with pytest.raises(RunError, match="its weights give"):
        runs.verify(own, spot=20)


def test_a_spot_check_draws_other_images_each_time(own):
    drawn = {float(runs.verify(own, spot=5, spot_seed=s).nll) for s in range(3)}
    assert len(drawn) == 3


def test_other_noise_is_no_lie(own):
    """As on another kind of device: the same weights, other random numbers."""
    claim(own, seed=123)
    runs.verify(own)


@pytest.mark.parametrize("n", [1, 2, 5, 10, 20, 300, 10_000])
def test_honest_noise_is_within_what_is_allowed_however_few_the_images(n):
    """0.8 nats an image: a trained 784-200-200-50 with 5,000 samples, two seeds."""
    generator = torch.Generator().manual_seed(n)
    for _ in range(200):
        noise = 0.8 * torch.randn(n, generator=generator)
        assert abs(float(noise.mean())) <= runs._allowed(noise)


def test_noise_on_purpose_allows_no_lie():
    lie = -1 + 100 * torch.randn(300, generator=torch.Generator().manual_seed(0))
    assert runs._allowed(lie) < 0.5
    assert runs._allowed(torch.full((300,), -1.0)) == pytest.approx(runs.SLACK)


def test_a_model_that_is_no_plain_data_needs_its_own_class(written):
    with pytest.raises(RunError, match="not plain data"):
        runs.verify(written["opaque"])
    found = runs.verify(written["opaque"], model=Opaque(64, 16, 2))
    claims = json.loads((written["opaque"] / "evaluation.json").read_text())
    assert found.nll == pytest.approx(claims["nll"], abs=1e-3)
    with pytest.raises(RunError, match="not the weights"):
        runs.verify(written["opaque"], model=Opaque(64, 17, 2))


# --- what is refused --------------------------------------------------------------


def lie(folder: Path) -> None:
    """Claim two nats less, consistently for each image."""
    better = load((folder / "nll.safetensors").read_bytes())["nll"] - 2
    rewrite(folder, "nll.safetensors", save({"nll": better}))
    claim(folder, nll=float(better.double().mean()))


def change_claim(**numbers):
    return lambda folder: claim(folder, **numbers)


def alter(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def truncate(name: str, keep: int = -10):
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return spoil


def edit(name: str, old: str, new: str):
    """Edit a text file, and correct the manifest."""

    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        rewrite(folder, name, text.replace(old, new).encode())

    return spoil


def drop_an_epoch(folder: Path) -> None:
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    rewrite(folder, "metrics.csv", "".join(lines[:-1]).encode())


def cut_tensors(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    rewrite(folder, "model.safetensors", content[:-8])


def change_weights(change):
    def spoil(folder: Path) -> None:
        weights = load((folder / "model.safetensors").read_bytes())
        rewrite(folder, "model.safetensors", save(change(weights)))

    return spoil


def not_a_number(weights):
    weights["heads.bias"][1] = math.nan
    return weights


def link_out(folder: Path) -> None:
    (folder / "card.md").unlink()
    (folder / "card.md").symlink_to("config.json")


def huge_header(folder: Path) -> None:
    rewrite(folder, "model.safetensors", struct.pack("<Q", 1 << 60) + b"{}")


def change_config(change):
    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        rewrite(folder, "config.json", json.dumps(config).encode())

    return spoil


def add_foreign(folder: Path) -> None:
    (folder / "notes.txt").write_text("not of this run")


REFUSED = {
    "no manifest": (lambda f: (f / "run.json").unlink(), "no run folder"),
    "an empty manifest": (lambda f: (f / "run.json").write_text(""), "cannot be read"),
    "a manifest of text": (lambda f: (f / "run.json").write_text('"x"'), "be read"),
    "a missing file": (lambda f: (f / "metrics.csv").unlink(), "missing"),
    "a foreign file": (add_foreign, "foreign"),
    "a foreign folder": (lambda f: (f / "more").mkdir(), "foreign"),
    "a link": (link_out, "no plain file"),
    "an altered weight": (alter, "altered"),
    "truncated weights": (truncate("model.safetensors"), "cut or edited"),
    "truncated metrics": (truncate("metrics.csv", 5), "cut or edited"),
    "an empty card": (truncate("card.md", 0), "has 0 bytes where the run wrote"),
    "a longer card": (
        lambda f: (f / "card.md").write_text((f / "card.md").read_text() + "Good."),
        "cut or edited",
    ),
    "a card that flatters": (edit("card.md", "| nats |", "| bits |"), r"card\.md says"),
    "faster epochs": (edit("metrics.csv", ",seconds\n", ",s\n"), "no card can be made"),
    "an epoch left out": (drop_an_epoch, r"metrics\.csv has 1"),
    "epochs that were not": (
        change_config(lambda c: c["train"].__setitem__("epochs", 20_000)),
        "20000 epochs",
    ),
    "another seed": (change_config(lambda c: c.__setitem__("seed", 7)), "two seeds"),
    "no settings": (change_config(lambda c: c.pop("train")), "None epochs"),
    "weights cut, manifest corrected": (cut_tensors, "no safetensors file"),
    "a huge header": (huge_header, "no safetensors file"),
    "NaN weights": (change_weights(not_a_number), r"heads\.bias are not finite"),
    "other precision": (
        change_weights(lambda w: {k: v.half() for k, v in w.items()}),
        "not all float32",
    ),
    "no weights": (change_weights(lambda w: {}), "float32"),
    "a weight too few": (
        change_weights(lambda w: {k: v for k, v in w.items() if "heads" not in k}),
        "no program",
    ),
    "weights of another size": (
        change_weights(lambda w: {k: v[:-1].contiguous() for k, v in w.items()}),
        "no program",
    ),
    "other weights": (
        change_weights(lambda w: {k: -v for k, v in w.items()}),
        "its weights give",
    ),
    "a lie": (lie, "its weights give"),
    "a lie about the mean alone": (change_claim(nll=20.0), "contradicts"),
    "a lie about the ELBO": (change_claim(elbo=20.0), "claims elbo"),
    "a lie about a bound": (
        change_claim(bounds={"1": 20.0, "5": 20.0, "50": 20.0}),
        "claims bound with k = 1",
    ),
    "a bound left out": (change_claim(bounds={}), "contradicts"),
    "a bound more": (
        change_claim(bounds={"1": 20.0, "5": 20.0, "50": 20.0, "500": 12.34}),
        "contradicts",
    ),
    "more units": (change_claim(units=400), "of 400; its weights give"),
    "more active units than units": (change_claim(active_units=3), "contradicts"),
    "a lie about the error": (change_claim(standard_error=0.01), "contradicts"),
    "a lie about units": (change_claim(active_units=50, units=50), "active units"),
    "a claim that is no number": (change_claim(nll="low"), "lacks a number"),
    "a claim that is NaN": (change_claim(elbo=math.nan), "contradicts"),
    "bounds that are text": (change_claim(bounds="low"), "lacks a number"),
    "fewer images than claimed": (change_claim(n=1000), "contradicts"),
    "endless samples": (change_claim(num_samples=10**9), "contradicts"),
    "another test set": (change_claim(test_set="0" * 64), "other images"),
    "another form": (
        change_config(lambda c: c["model"].__setitem__("form", "pickle")),
        "not plain data",
    ),
    "no model": (change_config(lambda c: c.pop("model")), "not plain data"),
    "other images to train on": (
        change_config(lambda c: c["data"].__setitem__("train", "0" * 64)),
        "checksums of train in",
    ),
    "other images to test on": (
        change_config(lambda c: c["data"].update(test="", binarized_test=None)),
        "checksums of test, binarized_test in",
    ),
    "no data": (change_config(lambda c: c.pop("data")), "pass its images"),
    "unknown data": (
        change_config(lambda c: c["data"].__setitem__("name", "../../etc")),
        "pass its images",
    ),
    "an operation of one's own": (
        change_config(lambda c: c["model"]["steps"][0].__setitem__(0, "system")),
        "not in the table",
    ),
    "a config that is a list": (
        lambda f: rewrite(f, "config.json", b"[]"),
        "no JSON object",
    ),
    "a config nested without end": (
        lambda f: rewrite(f, "config.json", b"[" * 100_000),
        "no JSON",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_spoilt_run_is_refused(own, spoil, words):
    spoil(own)
    with pytest.raises(RunError, match=words) as refusal:
        runs.verify(own)
    assert str(own.parent) not in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


GIVEN_REFUSED = {
    "another network": {"form": "given", "name": "three", "sizes": {}},
    "a method": {"form": "given", "name": "__init__", "sizes": {}},
    "endless sizes": {
        "form": "given",
        "name": "one_layer",
        "sizes": {"input_dim": 64, "hidden": [10**9], "latent_dim": 4},
    },
    "endless layers": {
        "form": "given",
        "name": "one_layer",
        "sizes": {"input_dim": 64, "hidden": [1] * 10**5, "latent_dim": 4},
    },
    "sizes that are text": {"form": "given", "name": "one_layer", "sizes": "big"},
    "no sizes": {"form": "given", "name": "one_layer"},
}


@pytest.mark.parametrize("form", GIVEN_REFUSED.values(), ids=GIVEN_REFUSED.keys())
def test_a_given_network_that_is_not_the_weights_is_refused(written, tmp_path, form):
    folder = Path(shutil.copytree(written["one layer"], tmp_path / "run"))
    change_config(lambda c: c.__setitem__("model", form))(folder)
    with pytest.raises(RunError):
        runs.verify(folder)


# What may stand in a JSON file in place of a number or a name.
ODD = (
    *(math.nan, math.inf, -math.inf, 2**70, -(2**70), 1e308, -1, 0, 0.5, 10**400),
    *(True, None, "", "x", "\ud800", [], {}, [1], {"a": 1}, "1" * 1000),
)
PLACES = (
    *(("evaluation.json", (name,)) for name in ("n", "num_samples", "seed", "nll")),
    *(("evaluation.json", (name,)) for name in ("elbo", "units", "active_units")),
    *(("evaluation.json", (name,)) for name in ("standard_error", "test_set")),
    *(("evaluation.json", path) for path in (("bounds",), ("bounds", "1"))),
    *(("config.json", (name,)) for name in ("title", "model", "train", "seed", "data")),
    *(("config.json", (name,)) for name in ("device", "versions", "seconds")),
    *(("config.json", ("data", name)) for name in ("name", "train", "binarized_test")),
    *(("config.json", ("train", name)) for name in ("epochs", "seed", "device")),
    *(("config.json", ("model", name)) for name in ("form", "steps", "outputs")),
    *(("config.json", ("model", name)) for name in ("input_dim", "latent_dim")),
    *(("config.json", ("model", "steps", 2, i)) for i in range(4)),
    *(("config.json", ("model", "outputs", i)) for i in range(4)),
    *(("run.json", (name,)) for name in ("format", "files")),
    *(("run.json", ("files", "card.md")), ("run.json", ("files", "card.md", "bytes"))),
)


@pytest.mark.parametrize(("name", "place"), PLACES, ids=str)
def test_nothing_that_stands_in_a_run_is_a_crash(
    written, tmp_path, digits, name, place
):
    """Each odd value is refused as a run, or harmless; nothing else is ever raised."""
    folder = Path(shutil.copytree(written["own"], tmp_path / "run"))
    before = (folder / name).read_text()
    for odd in (*ODD, KeyError):
        value = target = json.loads(before)
        for step in place[:-1]:
            target = target[step]
        if odd is KeyError:
            del target[place[-1]]
        else:
            target[place[-1]] = odd
        if name == "run.json":
            (folder / name).write_text(json.dumps(value))
        else:
            rewrite(folder, name, json.dumps(value).encode())
        with contextlib.suppress(RunError):
            runs.verify(folder, images=digits, spot=2, progress=False)


def test_a_shape_for_some_images_only_is_refused(own):
    """Recorded steps may be edited: what fails in the middle is the run's fault."""

    def three_images(config) -> None:
        model = config["model"]
        model["steps"].insert(0, ["reshape", [{"value": 0}, 3, -1], {}, [999]])
        model["steps"].append(
            ["reshape", [{"value": 999}, model["latent_dim"]], {}, [998]]
        )
        model["outputs"][1] = 998

    change_config(three_images)(own)
    with pytest.raises(RunError):
        runs.verify(own)


def test_what_nobody_thought_of_is_a_refusal_too(own, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a fault deep inside")

    monkeypatch.setattr(runs, "evaluate", fail)
    with pytest.raises(RunError, match=r"cannot be computed again \(RuntimeError"):
        runs.verify(own)


# --- packed -----------------------------------------------------------------------


def packed(folder: Path, target: Path, how: str) -> Path:
    """A .zip as it comes: of the files, of their folder, or as a Mac packs it."""
    top = {"files": "", "folder": f"{folder.name}/", "mac": "run/"}[how]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, f"{top}{path.name}")
        if how == "mac":
            archive.writestr("__MACOSX/run/._run.json", b"\0")
            archive.writestr("run/.DS_Store", b"\0")
    return target


@pytest.mark.parametrize("how", ["files", "folder", "mac"])
def test_a_zip_is_a_run_folder(written, tmp_path, monkeypatch, how, capsys):
    path = packed(written["own"], tmp_path / "run.zip", how)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "run.zip", "--device", "cpu"]) == 0
    assert "run: every claim is what its weights give" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["run.zip"]
    assert runs.read(path).files == runs.read(written["own"]).files


def test_what_a_system_leaves_in_a_folder_is_passed_over(own):
    (own / ".DS_Store").write_bytes(b"\0")
    (own / ".ipynb_checkpoints").mkdir()
    runs.verify(own)


def of_two_runs(own: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for top in ("a", "b"):
            for file in own.iterdir():
                archive.write(file, f"{top}/{file.name}")


def with_a_foreign_file(own: Path, path: Path) -> None:
    packed(own, path, "folder")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("own/more/notes.txt", "x")


def bit_flipped(own: Path, path: Path) -> None:
    content = bytearray(packed(own, path, "files").read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def cut(own: Path, path: Path) -> None:
    path.write_bytes(packed(own, path, "files").read_bytes()[:-200])


def without_a_run(own: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")


BAD_ZIPS = {
    of_two_runs: "more than one run",
    with_a_foreign_file: "foreign",
    bit_flipped: "cannot be read",
    cut: "no run folder",
    without_a_run: "no run folder",
    lambda own, path: path.write_bytes(b""): "no run folder",
}


@pytest.mark.parametrize(("spoil", "words"), BAD_ZIPS.items())
def test_a_bad_zip_is_refused(own, tmp_path, spoil, words):
    spoil(own, tmp_path / "run.zip")
    with pytest.raises(RunError, match=words):
        runs.verify(tmp_path / "run.zip")


def test_a_file_is_no_run(tmp_path):
    (tmp_path / "run").write_text("")
    for path in (tmp_path / "run", tmp_path / "nothing", tmp_path):
        with pytest.raises(RunError, match="no run folder"):
            runs.verify(path)


# --- writing ----------------------------------------------------------------------


def write_again(folder: Path, digits: data.Dataset, change=None) -> Path:
    model, rows, found = trained("own", digits)
    if change is not None:
        change(model)
    return runs.write(folder, model, digits, CONFIG, rows, found)


def test_a_run_is_never_overwritten(own, digits):
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    with pytest.raises(RunError, match="is there already"):
        write_again(own, digits)
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before


@pytest.mark.parametrize("fails_at", [1, 3, 11])
def test_a_full_disk_leaves_nothing(digits, tmp_path, monkeypatch, fails_at):
    calls = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) >= fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.os, "fsync", fail)
    with pytest.raises(RunError, match=r"No space left.*nothing of it was kept") as bad:
        write_again(tmp_path / "deep" / "run", digits)
    assert list((tmp_path / "deep").iterdir()) == []
    assert len(str(bad.value).splitlines()) == 1


def test_a_killed_process_leaves_nothing_that_counts(digits, tmp_path, monkeypatch):
    """Without any chance to clean up: what is there is no run by its name."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.Path, "rename", killed)
    monkeypatch.setattr(runs.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        write_again(tmp_path / "run", digits)
    (left,) = tmp_path.iterdir()
    assert (left / "run.json").is_file()
    assert left.name.endswith(".tmp")
    assert list(runs.runs_in(tmp_path)) == []
    with pytest.raises(RunError, match="no run folder"):
        runs.verify(left)


def test_weights_that_are_not_finite_are_not_written(digits, tmp_path):
    def spoil(model: nn.Module) -> None:
        with torch.no_grad():
            model.heads.bias[0] = math.inf

    with pytest.raises(RunError, match=r"heads\.bias are not finite"):
        write_again(tmp_path / "run", digits, spoil)
    assert list(tmp_path.iterdir()) == []


def test_only_whole_runs_are_listed(written, tmp_path):
    assert list(runs.runs_in(tmp_path / "none")) == []
    folders = set(runs.runs_in(written["own"].parent))
    assert folders == set(written.values())


# --- the verbs --------------------------------------------------------------------


@pytest.fixture
def runs_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("VAE_EDU_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


QUICK = (
    *("--data", "digits", "--epochs", "2", "--device", "cpu", "--hidden-dim", "16"),
    *("--latent-dim", "2", "--test-samples", "20", "--test-images", "30"),
)


def test_train_then_evaluate(runs_folder, capsys):
    assert cli.main(["train", "mine", "--model", "mlp", *QUICK]) == 0
    assert [path.name for path in runs_folder.iterdir()] == ["mine"]
    printed = capsys.readouterr().out
    assert all(words in printed for words in ("epoch", "nats", "nll"))
    folder = str(runs_folder / "mine")
    assert cli.main(["evaluate", folder, "--device", "cpu"]) == 0
    assert "every claim is what its weights give" in capsys.readouterr().out
    assert cli.main(["train", "mine", "--model", "mlp", *QUICK]) == cli.USER_ERROR
    assert "is there already" in capsys.readouterr().err


def test_a_learners_own_model_and_loss_are_trained(runs_folder, monkeypatch):
    calls = []

    def negative_elbo(x, logits, mu, log_var, beta=1.0):
        calls.append(beta)
        return train.negative_elbo(x, logits, mu, log_var, beta)

    answers = types.ModuleType(launch.OWN)
    answers.VAE, answers.negative_elbo = VAE, negative_elbo
    monkeypatch.setitem(sys.modules, launch.OWN, answers)
    assert cli.main(["train", "mine", "--beta", "0.5", *QUICK]) == 0
    assert set(calls) == {0.5, 0.7}  # 0.7: what the checkpoint knows the loss by
    assert (
        json.loads((runs_folder / "mine/config.json").read_text())["model"]["form"]
        == "program"
    )


def test_an_unfilled_loss_is_one_line_and_no_folder(runs_folder, monkeypatch, capsys):
    answers = types.ModuleType(launch.OWN)

    def negative_elbo(x, logits, mu, log_var, beta=1.0):
        raise NotImplementedError("Exercise 7.4: fill it in in notebooks/07")

    answers.VAE, answers.negative_elbo = VAE, negative_elbo
    monkeypatch.setitem(sys.modules, launch.OWN, answers)
    assert cli.main(["train", "mine", *QUICK]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert "not filled in yet: Exercise 7.4" in said
    assert len(said.splitlines()) == 1
    assert not runs_folder.exists()


def test_a_vae_that_cannot_be_made_is_one_line(runs_folder, monkeypatch, capsys):
    answers = types.ModuleType(launch.OWN)

    def broken(*_: object) -> None:
        return [][1]

    answers.VAE = broken
    monkeypatch.setitem(sys.modules, launch.OWN, answers)
    assert cli.main(["train", "mine", *QUICK]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert "IndexError: list index out of range (in `return [][1]`)" in said
    assert len(said.splitlines()) == 1


def test_without_lesson_07_one_is_sent_there(runs_folder, monkeypatch, capsys):
    answers = types.ModuleType(launch.OWN)

    def unfilled(*_: object) -> None:
        raise NotImplementedError("Exercise 7.3")

    answers.VAE = unfilled
    monkeypatch.setitem(sys.modules, launch.OWN, answers)
    assert cli.main(["train", "mine", *QUICK]) == cli.USER_ERROR
    assert "lesson 07" in capsys.readouterr().err
    assert not runs_folder.exists()


def test_an_interrupted_verb_goes_on(runs_folder, monkeypatch, digits):
    """Stopped after an epoch and started again, it ends with an unbroken run's bits."""
    request = launch.Request("a", "mlp", 16, 2, "digits", 30, 20)
    config = replace(CONFIG, epochs=3)
    launch.command(request, config, say=lambda line: None)
    save_checkpoint = train.save_checkpoint

    def save_and_stop(state, path):
        save_checkpoint(state, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "save_checkpoint", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            launch.command(replace(request, name="b"), config)
    assert not runs.is_run(runs_folder / "b")
    launch.command(replace(request, name="b"), config, say=lambda line: None)
    first, second = (runs_folder / name / "model.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in runs_folder.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "../x", "--model", "mlp", *QUICK], "plain name"),
        (
            ["train", "x", "--model", "mlp", *QUICK, "--latent-dim", "0"],
            "latent_dim is 0",
        ),
        (["train", "x", *QUICK, "--latent-dim", "0"], "latent_dim is 0"),
        (["train", "x", *QUICK, "--latent-dim", "-2"], "latent_dim is -2"),
        (["train", "x", *QUICK, "--hidden-dim", "0"], "hidden_dim is 0"),
        (["train", "x", *QUICK, "--test-images", "-1"], "test_images is -1"),
        (["train", "x", *QUICK, "--test-samples", "0"], "test_samples is 0"),
        (["train", "x", "--model", "mlp", *QUICK, "--device", "tpu"], "is not here"),
        (
            ["train", "x", "--model", "mlp", *QUICK, "--batch-size", "9999"],
            "a batch of",
        ),
        (["evaluate", "nothing"], "no run folder"),
    ],
)
def test_bad_input_is_one_line_and_no_folder(runs_folder, capsys, arguments, words):
    assert cli.main(arguments) == cli.USER_ERROR
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not list(runs.runs_in(runs_folder))


def test_errors_are_the_courses():
    assert issubclass(RunError, CourseError)
