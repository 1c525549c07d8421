"""Data: what arrives is whole or refused, and what is loaded is what it says."""

from __future__ import annotations

import ast
import contextlib
import gzip
import hashlib
import http.client
import io
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from vae_edu import cli, data, mnist

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY.parent / "shared" / "data" / "mnist"
needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="the real MNIST is not in ../shared/data/mnist"
)
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def small_contents() -> dict[str, bytes]:
    """Four small files in MNIST's format: 5 images to train on, 3 to test on."""
    contents = {}
    for stem, n in (("train", 5), ("t10k", 3)):
        pixels = bytes((7 * i + n) % 256 for i in range(n * 784))
        contents[f"{stem}-images-idx3-ubyte"] = bytes(16) + pixels
        contents[f"{stem}-labels-idx1-ubyte"] = bytes(8) + bytes(range(n))
    return contents


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A registry of small files in place of MNIST's."""
    contents = small_contents()
    registry = tuple(
        mnist.DataFile(
            name,
            len(content),
            hashlib.md5(content).hexdigest(),
            hashlib.sha256(content).hexdigest(),
            hashlib.md5(packed(content)).hexdigest(),
        )
        for name, content in contents.items()
    )
    monkeypatch.setattr(mnist, "files", lambda: registry)
    return contents


@pytest.fixture
def source(contents: dict[str, bytes], tmp_path: Path) -> Path:
    """A folder with the four files, two of them gzipped."""
    folder = tmp_path / "source"
    folder.mkdir()
    for i, (name, content) in enumerate(contents.items()):
        if i % 2:
            (folder / name).write_bytes(content)
        else:
            (folder / f"{name}.gz").write_bytes(packed(content))
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, a course far from any shared data, and no network."""
    root = tmp_path / "data"
    monkeypatch.setenv("VAE_EDU_DATA", str(root))
    monkeypatch.setenv("VAE_EDU_HOME", str(tmp_path / "course" / "main"))
    monkeypatch.delenv("VAE_EDU_MNIST_FROM", raising=False)
    monkeypatch.setattr(mnist, "_open", refuse)
    return root


def refuse(url: str) -> contextlib.AbstractContextManager[io.BytesIO]:
    raise OSError("no network in this test")


def everything_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


# --- importing --------------------------------------------------------------------


def test_import_takes_gzipped_and_plain_files(source, root, contents):
    mnist.import_mnist(source)
    mnist.verify_mnist()
    for name, content in contents.items():
        assert (root / "MNIST" / "raw" / name).read_bytes() == content


def test_import_takes_torchvisions_layout(source, root, tmp_path):
    other = tmp_path / "other"
    (other / "MNIST").mkdir(parents=True)
    source.rename(other / "MNIST" / "raw")
    mnist.import_mnist(other)
    mnist.verify_mnist()


@pytest.mark.parametrize("kind", ["folders", "dots", "folders of dots", "gzipped dots"])
def test_import_takes_kaggles_layouts(contents, root, tmp_path, kind):
    """Its archive unpacks to a folder for each file, and has other names beside."""
    for name, content in contents.items():
        dotted = name.replace("-idx", ".idx") if "dots" in kind else name
        path = tmp_path / "k" / (dotted if "folders" in kind else "") / dotted
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "gzipped dots":
            path, content = path.with_name(f"{path.name}.gz"), packed(content)
        path.write_bytes(content)
    mnist.import_mnist(tmp_path / "k")
    mnist.verify_mnist()


@pytest.mark.parametrize("behind", [b"xx", b"\0" * 512, packed(b"")])
def test_import_takes_a_gzip_with_bytes_behind_its_end(source, root, behind):
    with (source / f"{NAMES[0]}.gz").open("ab") as file:
        file.write(behind)
    mnist.import_mnist(source)
    mnist.verify_mnist()


def test_import_from_what_is_no_folder_says_so(source, tmp_path):
    with pytest.raises(mnist.DataError, match="is not there: expected a folder"):
        mnist.import_mnist(tmp_path / "none")
    with pytest.raises(mnist.DataError, match="is a file: expected a folder"):
        mnist.import_mnist(source / f"{NAMES[0]}.gz")


def assert_refused(source: Path, root: Path, name: str, *also: str) -> None:
    """A bad folder: the message names file, sum and remedy, and nothing is written."""
    md5 = {file.name: file.md5 for file in mnist.files()}[name]
    with pytest.raises(mnist.DataError) as refusal:
        mnist.import_mnist(source)
    for words in (name, md5, "Remedy: ", *also):
        assert words in str(refusal.value)
    assert everything_in(root) == []


@pytest.mark.parametrize("name", NAMES)
def test_import_refuses_a_missing_file(source, root, name):
    for path in source.glob(f"{name}*"):
        path.unlink()
    assert_refused(source, root, name, "missing")


@pytest.mark.parametrize("kept", [2, 0.5, 0.99, -1])
def test_import_refuses_a_truncated_gzip(source, root, kept):
    path = source / f"{NAMES[0]}.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else kept])
    assert_refused(source, root, NAMES[0], "truncated", "before the end-of-stream")


@pytest.mark.parametrize("kept", [0, -1])
def test_import_refuses_a_truncated_plain_file(source, root, kept):
    path = source / NAMES[1]
    path.write_bytes(path.read_bytes()[:kept])
    got = hashlib.md5(path.read_bytes()).hexdigest()
    assert_refused(source, root, NAMES[1], "truncated", got)


def test_import_refuses_one_altered_byte(source, root, contents):
    altered = bytearray(contents[NAMES[2]])
    altered[-1] ^= 1
    (source / f"{NAMES[2]}.gz").write_bytes(packed(bytes(altered)))
    got = hashlib.md5(altered).hexdigest()
    assert_refused(source, root, NAMES[2], "altered", got)


def test_import_refuses_more_than_the_file(source, root, contents):
    (source / f"{NAMES[0]}.gz").write_bytes(packed(contents[NAMES[0]] + b"\0"))
    assert_refused(source, root, NAMES[0], "altered")


def test_import_does_not_unpack_without_end(source, root, contents):
    bomb = packed(contents[NAMES[0]] + bytes(1 << 24))
    (source / f"{NAMES[0]}.gz").write_bytes(bomb)
    with pytest.raises(mnist.DataError, match="altered") as refusal:
        mnist.import_mnist(source)
    size = re.search(r"it has ([\d,]+) bytes", str(refusal.value))[1]
    assert int(size.replace(",", "")) < len(contents[NAMES[0]]) + (1 << 17)


def test_import_refuses_a_collision_of_md5(source, root, monkeypatch):
    """The second sum is really compared, not only written down."""
    first, *rest = mnist.files()
    wrong = mnist.DataFile(first.name, first.bytes, first.md5, "0" * 64, first.gz_md5)
    monkeypatch.setattr(mnist, "files", lambda: (wrong, *rest))
    with pytest.raises(mnist.DataError, match="SHA-256"):
        mnist.import_mnist(source)
    assert everything_in(root) == []


def test_a_full_disk_leaves_no_part_of_a_file(source, root, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mnist.os, "fsync", fail)
    with pytest.raises(mnist.DataError, match="No space left"):
        mnist.import_mnist(source)
    assert everything_in(root) == []


# --- fetching ---------------------------------------------------------------------


class Broken(io.BytesIO):
    """A response that dies half way."""

    def read(self, size: int | None = -1) -> bytes:
        raise http.client.IncompleteRead(b"nine only", 20)


def test_fetch_checks_and_unpacks(root, contents, monkeypatch):
    asked = []

    def give(url: str) -> io.BytesIO:
        asked.append(url)
        name = url.rsplit("/", 1)[1].removesuffix(".gz")
        return io.BytesIO(packed(contents[name]))

    monkeypatch.setattr(mnist, "_open", give)
    mnist.fetch_mnist()
    mnist.verify_mnist()
    assert everything_in(root) == sorted(NAMES)
    assert asked == [f"{mnist.mirrors()[0]}{name}.gz" for name in NAMES]
    mnist.fetch_mnist()
    assert len(asked) == 4  # what is here and whole is not fetched again


def test_fetch_goes_on_to_the_next_mirror(root, contents, monkeypatch):
    first, second = mnist.mirrors()

    def give(url: str) -> io.BytesIO:
        if url.startswith(first):
            return io.BytesIO(b"<html>please log in to this network</html>")
        name = url.removeprefix(second).removesuffix(".gz")
        return io.BytesIO(packed(contents[name]))

    monkeypatch.setattr(mnist, "_open", give)
    mnist.fetch_mnist()
    mnist.verify_mnist()


@pytest.mark.parametrize(
    ("how", "reason"),
    [("dies", "9 bytes read"), ("short", "bytes came"), ("empty", "0 bytes came")],
)
def test_a_broken_download_leaves_nothing_that_counts(
    root, contents, monkeypatch, how, reason
):
    def give(url: str) -> io.BytesIO:
        name = url.rsplit("/", 1)[1].removesuffix(".gz")
        whole = packed(contents[name])
        if name == NAMES[0]:
            return io.BytesIO(whole)
        return {
            "dies": Broken(),
            "short": io.BytesIO(whole[: len(whole) // 2]),
            "empty": io.BytesIO(b""),
        }[how]

    monkeypatch.setattr(mnist, "_open", give)
    with pytest.raises(mnist.DataError) as refusal:
        mnist.fetch_mnist()
    assert reason in str(refusal.value)
    assert f"{NAMES[1]}.gz" in str(refusal.value)
    assert mnist.files()[1].gz_md5 in str(refusal.value)
    assert everything_in(root) == [NAMES[0]]
    with pytest.raises(mnist.DataError, match=NAMES[1]):
        mnist.verify_mnist()


def test_a_hanging_look_up_is_given_up(monkeypatch):
    never = threading.Event()
    answer = []
    monkeypatch.setattr(mnist, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(
        mnist.urllib.request, "urlopen", lambda *a, **k: answer.append(never.wait(60))
    )
    with pytest.raises(TimeoutError):
        mnist._open("http://nowhere.invalid/")
    assert not answer
    never.set()


# --- whatever works here ----------------------------------------------------------


def test_ensure_imports_from_the_shared_folder(source, root, tmp_path):
    shared = tmp_path / "course" / "shared" / "data"
    shared.mkdir(parents=True)
    source.rename(shared / "mnist")
    said: list[str] = []
    assert mnist.ensure_data(say=said.append) == "mnist"
    assert "../shared/data/mnist" in said[-1]
    assert mnist.ensure_data(say=said.append) == "mnist"
    assert "is here and whole" in said[-1]


def test_ensure_imports_from_the_folder_named(source, root, monkeypatch):
    monkeypatch.setenv("VAE_EDU_MNIST_FROM", str(source))
    assert mnist.ensure_data(say=lambda line: None) == "mnist"
    mnist.verify_mnist()


def test_ensure_does_not_pass_over_a_bad_folder_named(root, contents, monkeypatch):
    monkeypatch.setenv("VAE_EDU_MNIST_FROM", str(root / "nowhere"))
    with pytest.raises(mnist.DataError, match="nowhere"):
        mnist.ensure_data(say=lambda line: None)


def test_ensure_goes_on_offline_with_digits(root, contents):
    said: list[str] = []
    assert mnist.ensure_data(say=said.append) == "digits"
    assert "no network in this test" in "\n".join(said)
    assert "scikit-learn's digits" in said[-1]
    assert everything_in(root) == []


def test_ensure_repairs_a_damaged_file(source, root, monkeypatch):
    mnist.import_mnist(source)
    (mnist.raw_dir() / NAMES[3]).write_bytes(b"damaged")
    monkeypatch.setenv("VAE_EDU_MNIST_FROM", str(source))
    assert mnist.ensure_data(say=lambda line: None) == "mnist"
    mnist.verify_mnist()


def test_ensure_does_not_hide_damage_offline(source, root):
    mnist.import_mnist(source)
    (mnist.raw_dir() / NAMES[3]).write_bytes(b"damaged")
    with pytest.raises(mnist.DataError, match=NAMES[3]):
        mnist.ensure_data(say=lambda line: None)


# --- loading ----------------------------------------------------------------------


def test_load_mnist_gives_the_pixels_of_the_file(source, root, contents):
    mnist.import_mnist(source)
    images, labels = data.load_mnist("test")
    assert images.shape == (3, 784)
    assert images.dtype == torch.uint8
    assert bytes(images.flatten().tolist()) == contents[NAMES[2]][16:]
    assert labels.tolist() == [0, 1, 2]
    assert labels.dtype == torch.int64
    assert len(data.load_mnist("train")[0]) == 5


def test_each_load_notices_a_change(source, root):
    mnist.import_mnist(source)
    data.load_mnist("train")
    path = mnist.raw_dir() / NAMES[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(mnist.DataError, match=r"altered.*Remedy"):
        data.load_mnist("train")
    path.write_bytes(content[:-1])
    with pytest.raises(mnist.DataError, match=r"truncated.*Remedy"):
        data.load_mnist("train")


def test_loaded_images_may_be_changed_without_harm(source, root):
    mnist.import_mnist(source)
    images, _ = data.load_mnist("train")
    before = images.clone()
    images.zero_()
    assert torch.equal(data.load_mnist("train")[0], before)


def test_auto_is_mnist_where_it_is(source, root):
    mnist.import_mnist(source)
    dataset = data.load()
    assert dataset.name == "mnist"
    assert dataset.label == "MNIST (5 + 3 images of 28×28)"
    assert dataset.shape == (28, 28)


def test_auto_says_so_when_it_takes_the_digits(root, contents):
    dataset = data.load()
    assert dataset.name == "digits"
    assert dataset.label == (
        "scikit-learn's digits (1,437 + 360 images of 8×8), since MNIST is not here: "
        "run `vae-edu data`"
    )
    assert "since" not in data.load("digits").label


@pytest.mark.parametrize("name", ["auto", "mnist"])
def test_a_part_of_mnist_is_damage_not_absence(source, root, name):
    mnist.import_mnist(source)
    (mnist.raw_dir() / NAMES[1]).unlink()
    with pytest.raises(mnist.DataError, match=NAMES[1]):
        data.load(name)


def test_mnist_asked_for_and_absent_is_an_error(root, contents):
    with pytest.raises(mnist.DataError, match=r"missing.*vae-edu data"):
        data.load("mnist")


def test_an_unknown_dataset_is_refused():
    with pytest.raises(mnist.DataError, match="cifar"):
        data.load("cifar")  # type: ignore[arg-type]


def test_digits_split_is_fixed_disjoint_and_whole():
    from sklearn.datasets import load_digits

    train, train_labels = data.load_digits("train")
    test, test_labels = data.load_digits("test")
    assert (train.shape, test.shape) == ((1437, 64), (360, 64))
    assert train.dtype == test.dtype == torch.uint8
    assert int(train.max()) == 255
    grey, labels = load_digits(return_X_y=True)
    whole = torch.cat([train, test]).double() * 16 / 255
    original = torch.from_numpy(grey)
    # each image once, since the originals are all different
    assert torch.equal(whole.round().unique(dim=0), original.round().unique(dim=0))
    assert torch.cat([train_labels, test_labels]).sum() == labels.sum()
    assert test_labels[:10].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5]
    assert torch.bincount(test_labels).min() > 20


def test_to_unit_is_pixel_over_255():
    pixels = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    unit = data.to_unit(pixels)
    assert unit.dtype == torch.float32
    torch.testing.assert_close(unit, torch.tensor([[0.0, 0.2, 1.0]]))
    with pytest.raises(TypeError, match="uint8"):
        data.to_unit(unit)
    dataset = data.load("digits")
    scaled = dataset.to_unit()
    assert (float(scaled.train.max()), float(scaled.test.min())) == (1.0, 0.0)
    assert scaled.label == dataset.label
    assert dataset.train.dtype == torch.uint8


# --- binarising and splitting -----------------------------------------------------


@pytest.mark.parametrize("pixel", [1, 64, 128, 191, 254])
def test_binarize_is_unbiased(pixel):
    """p = pixel / 255 within 4 standard errors; pixel / 256 lies outside for most."""
    n = 4_000_000
    images = torch.full((n,), pixel, dtype=torch.uint8)
    sampled = data.binarize_images(images, torch.Generator().manual_seed(pixel))
    p = pixel / 255
    error = 4 * (p * (1 - p) / n) ** 0.5
    assert abs(float(sampled.double().mean()) - p) < error
    if pixel >= 64:
        assert abs(pixel / 256 - p) > error


def test_binarize_leaves_black_black_and_white_white():
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(100_000, 1)
    sampled = data.binarize_images(images, torch.Generator().manual_seed(0))
    assert sampled.dtype == torch.float32
    assert torch.equal(sampled, images.float() / 255)


def test_binarize_draws_each_pixel_by_itself_and_is_reproducible():
    images = torch.full((400, 784), 128, dtype=torch.uint8)

    def sample(seed: int) -> torch.Tensor:
        return data.binarize_images(images, torch.Generator().manual_seed(seed))

    assert torch.equal(sample(1), sample(1))
    assert not torch.equal(sample(1), sample(2))
    assert set(sample(1).unique().tolist()) == {0.0, 1.0}
    rows = sample(1).double()
    assert rows.mean(1).std() < 0.03  # about 1 / (2 * 28) if pixels are independent
    assert rows.mean(0).std() < 0.04


def test_binarize_refuses_scaled_images():
    with pytest.raises(TypeError, match="uint8"):
        data.binarize_images(torch.rand(3), torch.Generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_binarize_works_on_the_images_device():
    images = torch.full((10,), 255, dtype=torch.uint8, device="cuda")
    generator = torch.Generator("cuda").manual_seed(0)
    assert data.binarize_images(images, generator).device.type == "cuda"


def test_train_validation_split_is_a_partition():
    images, labels = torch.arange(100).view(50, 2), torch.arange(50)
    (train, train_labels), (held_out, held_out_labels) = data.train_validation_split(
        images, labels, 13, torch.Generator().manual_seed(3)
    )
    assert (len(train), len(held_out)) == (37, 13)
    together = torch.cat([train_labels, held_out_labels])
    assert sorted(together.tolist()) == list(range(50))
    assert torch.equal(train, images[train_labels])
    assert torch.equal(held_out, images[held_out_labels])
    assert held_out_labels.tolist() not in (list(range(13)), list(range(37, 50)))


@pytest.mark.parametrize("n_validation", [0, 50, -1])
def test_train_validation_split_refuses_an_empty_part(n_validation):
    images, labels = torch.zeros(50, 2), torch.zeros(50)
    with pytest.raises(ValueError, match=f"cannot take {n_validation} of 50"):
        data.train_validation_split(images, labels, n_validation, torch.Generator())


# --- the command line and the house -----------------------------------------------


def test_the_verb_imports_and_verifies(source, root, capsys):
    assert cli.main(["data", "--from", str(source)]) == 0
    assert cli.main(["data", "--verify"]) == 0
    assert str(root) in capsys.readouterr().out


def test_the_verb_prints_one_clear_message_and_exits_with_2(root, contents, capsys):
    assert cli.main(["data", "--verify"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("vae-edu: ")
    assert shown.err.count("\n") == 1
    assert NAMES[0] in shown.err


def test_data_never_imports_exercises_checks_or_grading():
    forbidden = {"exercises", "check", "checks", "grading", "build"}
    for module in (data, mnist):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                assert not forbidden & set(name.split(".")), name


def test_files_are_looked_after_without_torch():
    code = "import sys, vae_edu.data; sys.exit('torch' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", code], cwd=REPOSITORY) == 0


# --- the real thing ---------------------------------------------------------------


def test_the_registry_agrees_with_torchvision():
    from torchvision.datasets import MNIST

    known = {file.name: file.gz_md5 for file in mnist.files()}
    assert {f"{name}.gz": md5 for name, md5 in known.items()} == dict(MNIST.resources)
    assert mnist.mirrors() == MNIST.mirrors


@needs_real
def test_the_real_mnist(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_EDU_DATA", str(tmp_path))
    mnist.import_mnist(REAL)
    dataset = data.load()
    assert dataset.label == "MNIST (60,000 + 10,000 images of 28×28)"
    assert dataset.train.shape == (60_000, 784)
    assert dataset.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    # the mean and deviation that half the world normalises with
    unit = data.to_unit(dataset.train).double()
    assert float(unit.mean()) == pytest.approx(0.1307, abs=5e-5)
    assert float(unit.std()) == pytest.approx(0.3081, abs=5e-5)


@needs_real
def test_torchvision_reads_the_same_folder(tmp_path):
    from torchvision.datasets import MNIST

    mnist.import_mnist(REAL, tmp_path)
    theirs = MNIST(str(tmp_path), train=False, download=False)
    images, labels = data.load_mnist("test", tmp_path)
    assert torch.equal(theirs.data.view(-1, 784), images)
    assert torch.equal(theirs.targets, labels)
