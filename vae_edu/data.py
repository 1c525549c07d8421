"""The images of the course as tensors: MNIST, or scikit-learn's embedded digits.

What belongs here: loading, scaling, binarising and splitting images, and the verb
`vae-edu data`. What does not: files, sums and downloads (see `mnist`); models.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vae_edu.mnist import (
    DataError,
    ensure_data,
    fetch_mnist,
    import_mnist,
    is_absent,
    raw_dir,
    read_verified,
    verify_mnist,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = [
    "DataError",
    "Dataset",
    "binarize_images",
    "ensure_data",
    "fetch_mnist",
    "import_mnist",
    "load",
    "load_digits",
    "load_mnist",
    "to_unit",
    "train_validation_split",
    "verify_mnist",
]

Split = Literal["train", "test"]

DIGITS_TEST = 360  # of 1,797


@dataclass(frozen=True, eq=False)
class Dataset:
    """Flat images with their labels, for training and for testing.

    name: "mnist" or "digits"; label: the same in words, with counts, for a reader.
    train, test: (n, height × width), uint8 in 0..255 as loaded, or see `to_unit`.
    train_labels, test_labels: (n,), int64 in 0..9.  shape: (height, width).
    """

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor
    test_labels: Tensor
    shape: tuple[int, int]
    label: str

    def to_unit(self) -> Dataset:
        """Return the same with images as float32 in [0, 1] (four times the memory)."""
        return replace(self, train=to_unit(self.train), test=to_unit(self.test))


def load(name: Literal["auto", "mnist", "digits"] = "auto") -> Dataset:
    """Return a dataset; "auto" is MNIST where it is, else scikit-learn's digits.

    `.label` says which. Raises DataError when MNIST is asked for and missing, or when
    its files are damaged (they are never silently passed over).
    """
    if name not in ("auto", "mnist", "digits"):
        raise DataError(f'no dataset is named {name!r}: "auto", "mnist" or "digits"')
    if name == "mnist" or (name == "auto" and not is_absent()):
        return _dataset("mnist", load_mnist("train"), load_mnist("test"))
    since = ", since MNIST is not here: run `vae-edu data`" if name == "auto" else ""
    return _dataset("digits", load_digits("train"), load_digits("test"), since)


def load_mnist(split: Split, root: Path | None = None) -> tuple[Tensor, Tensor]:
    """Return MNIST's images, uint8 (n, 784), and labels, int64 (n,).

    n is 60,000 ("train") or 10,000 ("test"). Size and MD5 are checked at every load.
    Raises DataError for a missing, truncated or altered file.
    """
    stem = {"train": "train", "test": "t10k"}[split]
    images = _idx(read_verified(f"{stem}-images-idx3-ubyte", root), header=16)
    labels = _idx(read_verified(f"{stem}-labels-idx1-ubyte", root), header=8)
    return images.view(-1, 28 * 28), labels.long()


def load_digits(split: Split) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 8×8 digits: images, uint8 (n, 64), and labels, int64 (n,).

    n is 1,437 ("train") or 360 ("test"). Their grey values 0..16 become 0..255; the
    split is the same on every machine. Raises DataError without scikit-learn.
    """
    import numpy as np
    import torch

    try:
        from sklearn import datasets
    except ImportError as error:
        raise DataError(
            f"the embedded digits need scikit-learn, which does not import ({error}). "
            'Remedy: `pip install -e ".[course]"`, or get MNIST: `vae-edu data`.'
        ) from error
    images, labels = datasets.load_digits(return_X_y=True)
    # RandomState's stream is frozen for good, unlike default_rng's.
    order = np.random.RandomState(0).permutation(len(images))
    chosen = {"test": order[:DIGITS_TEST], "train": order[DIGITS_TEST:]}[split]
    grey = np.rint(images[chosen] * (255 / 16)).astype(np.uint8)
    return torch.from_numpy(grey), torch.from_numpy(labels[chosen]).long()


def to_unit(images: Tensor) -> Tensor:
    """Return uint8 grey values 0..255 as float32 in [0, 1]: pixel / 255."""
    import torch

    if images.dtype != torch.uint8:
        raise TypeError(f"to_unit takes uint8 images in 0..255, not {images.dtype}")
    return images.float().div_(255)


def binarize_images(images: Tensor, generator: Generator) -> Tensor:
    r"""Sample each pixel as Bernoulli(pixel / 255); float32 zeros and ones.

    $$b = [p > u], \quad u \sim \mathcal U\{0, \dots, 254\}, \quad
      P(b = 1) = p / 255$$

    (With u among 0..255, a random byte, the chance would be p / 256: white pixels
    would come out black once in 256.) images: uint8, any shape, on the generator's
    device. Salakhutdinov & Murray 2008, sec. 5.
    """
    import torch

    if images.dtype != torch.uint8:
        raise TypeError(f"binarize_images takes uint8 in 0..255, not {images.dtype}")
    u = torch.randint(
        0,
        255,
        images.shape,
        dtype=torch.uint8,
        device=images.device,
        generator=generator,
    )
    return (images > u).float()


def train_validation_split(
    images: Tensor, labels: Tensor, n_validation: int, generator: Generator
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return (images, labels) to train on and, disjoint from them, to validate on.

    The n_validation examples are drawn without replacement; both parts keep the order
    of the originals. Raises ValueError unless 0 < n_validation < n.
    """
    import torch

    n = len(images)
    if not 0 < n_validation < n or len(labels) != n:
        raise ValueError(
            f"cannot take {n_validation} of {n} images with {len(labels)} labels: "
            f"expected 0 < n_validation < {n}, and a label for each image"
        )
    order = torch.randperm(n, generator=generator, device=generator.device)
    held_out = torch.zeros(n, dtype=torch.bool, device=images.device)
    held_out[order[:n_validation].to(images.device)] = True
    train = images[~held_out], labels[~held_out]
    return train, (images[held_out], labels[held_out])


def _idx(content: bytes, header: int) -> Tensor:
    """Return what follows an IDX file's header (checked with the rest by its sum)."""
    import torch

    # a bytearray, since a tensor on immutable bytes would be writable all the same
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header)


def _dataset(
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    since: str = "",
) -> Dataset:
    words = {"mnist": "MNIST", "digits": "scikit-learn's digits"}[name]
    side = {784: 28, 64: 8}[train[0].shape[1]]
    counts = f"{len(train[0]):,} + {len(test[0]):,} images of {side}×{side}"
    label = f"{words} ({counts}){since}"
    return Dataset(name, train[0], test[0], train[1], test[1], (side, side), label)


def command(source: str | None, *, fetch: bool, verify: bool) -> int:
    """`vae-edu data`: get MNIST in the way asked for, and say what is here."""
    if source is not None:
        import_mnist(Path(source))
        print(f"data: MNIST imported from {source} and checked ({raw_dir()})")
    elif fetch:
        fetch_mnist()
        print(f"data: MNIST is here and whole ({raw_dir()})")
    elif verify:
        verify_mnist()
        print(f"data: MNIST is here and whole ({raw_dir()})")
    else:
        ensure_data()
    return 0
