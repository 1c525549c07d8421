"""The four files of MNIST: fetched, imported, checked, byte for byte.

What belongs here: files, sums and downloads, without torch (so that it also works, and
starts at once, where torch is missing). What does not: tensors; see `data`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import queue
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from vae_edu import paths
from vae_edu.errors import CourseError

__all__ = [
    "DataError",
    "DataFile",
    "ensure_data",
    "fetch_mnist",
    "files",
    "import_mnist",
    "is_absent",
    "mirrors",
    "raw_dir",
    "read_verified",
    "verify_mnist",
]

Say = Callable[[str], object]

ANSWER_SECONDS = 5.0  # until a mirror answers; an offline machine waits no longer
STALL_SECONDS = 30.0  # between two pieces of a download

REMEDY_HERE = "`vae-edu data` puts a good copy in its place"
REMEDY_SOURCE = "copy that file anew from where you had it, or run `vae-edu data`"
REMEDY_FETCH = (
    "try again later, or get the four files yourself and run `vae-edu data --from DIR`"
)


class DataError(CourseError):
    """A data file is missing, truncated or altered, or could not be fetched."""


@dataclass(frozen=True)
class DataFile:
    """One file of the registry: its size and sums unpacked, and gzipped upstream."""

    name: str
    bytes: int
    md5: str
    sha256: str
    gz_md5: str


@cache
def files() -> tuple[DataFile, ...]:
    """Return the four files of MNIST as the registry `data/checksums.json` has them."""
    return tuple(DataFile(**entry) for entry in _registry()["files"])


def mirrors() -> list[str]:
    """Return torchvision's addresses of MNIST (the registry's copy needs no torch)."""
    return list(_registry()["mirrors"])


@cache
def _registry() -> dict[str, Any]:
    beside_package = Path(__file__).resolve().parents[1] / "data"
    for folder in (beside_package, paths.course_root() / "data"):
        path = folder / "checksums.json"
        if path.is_file():
            mnist: dict[str, Any] = json.loads(path.read_text("utf-8"))["mnist"]
            return mnist
    raise DataError(
        f"{beside_package / 'checksums.json'} is missing, so no data can be checked. "
        "Remedy: `git checkout data/checksums.json` in the course's folder."
    )


def raw_dir(root: Path | None = None) -> Path:
    """Return the folder of the four files: torchvision's layout in the data folder."""
    return (paths.data_dir() if root is None else Path(root)) / "MNIST" / "raw"


# --- checking ---------------------------------------------------------------------


def read_verified(name: str, root: Path | None = None) -> bytes:
    """Return the content of the unpacked file `name`, its size and MD5 checked.

    Raises DataError for a missing, truncated or altered file.
    """
    (file,) = (file for file in files() if file.name == name)
    path = raw_dir(root) / name
    content = _read(path, file, REMEDY_HERE)
    _check(path, file, content, REMEDY_HERE)
    return content


def verify_mnist(root: Path | None = None) -> None:
    """Check the size and MD5 of all four files; DataError names the first bad one."""
    for file in files():
        read_verified(file.name, root)


def is_absent(root: Path | None = None) -> bool:
    """Whether none of the four files is there (a part of them is damage instead)."""
    return not any((raw_dir(root) / file.name).exists() for file in files())


def _read(path: Path, file: DataFile, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        fault = "is missing"
    except OSError as error:
        fault = f"cannot be read ({error.strerror or error})"
    raise DataError(
        f"{path} {fault}; expected {file.bytes:,} bytes, MD5 {file.md5}. "
        f"Remedy: {remedy}."
    )


def _check(
    where: object, file: DataFile, content: bytes, remedy: str, *, note: str = ""
) -> None:
    """Compare MD5 and size of the unpacked content with the registry."""
    got = _md5(content)
    if got == file.md5 and len(content) == file.bytes and not note:
        return
    fault = "is truncated" if note or len(content) < file.bytes else "is altered"
    raise DataError(
        f"{where} {fault}{note}: unpacked it has {len(content):,} bytes, MD5 {got}; "
        f"expected {file.bytes:,} bytes, MD5 {file.md5}. Remedy: {remedy}."
    )


def _check_arrival(where: object, file: DataFile, packed: bytes, remedy: str) -> bytes:
    """Unpack what came from outside, check all its sums, return the content."""
    content, note = _unpack(packed, limit=file.bytes)
    _check(where, file, content, remedy, note=note)
    got = hashlib.sha256(content).hexdigest()
    if got != file.sha256:
        raise DataError(
            f"{where} is altered: SHA-256 {got}; expected {file.sha256}. "
            f"Remedy: {remedy}."
        )
    return content


def _unpack(packed: bytes, limit: int) -> tuple[bytes, str]:
    """Gunzip as much as is sound, `limit` and a little at most; say what stopped it.

    Like gzip itself it passes over what stands behind the end: the sums are of what is
    unpacked.
    """
    if not packed.startswith(b"\x1f\x8b"):
        return packed, ""
    content, rest, note = bytearray(), packed, ""
    try:
        while rest.startswith(b"\x1f\x8b") and len(content) <= limit:
            stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            content += stream.decompress(rest, limit + 1)
            if not stream.eof and len(content) <= limit:
                note = " (it ends before the end-of-stream mark)"
            rest = stream.unused_data
    except zlib.error as error:
        note = f" ({error})"
    return bytes(content), note


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


# --- importing and fetching -------------------------------------------------------


def import_mnist(source_dir: Path, root: Path | None = None) -> None:
    """Copy the four IDX files, gzipped or not, from a folder, checked by content.

    All four are checked before the first is written, so a bad folder changes nothing.
    Raises DataError for a missing, truncated or altered file.
    """
    source_dir = Path(source_dir).expanduser()
    _expect_folder(source_dir)
    contents = {file.name: _from_folder(source_dir, file) for file in files()}
    for name, content in contents.items():
        _write(raw_dir(root) / name, content)


def _from_folder(source_dir: Path, file: DataFile) -> bytes:
    """Find one file in a folder, however it was packed, and check it."""
    for path in _places(source_dir, file):
        if path.is_file():
            packed = _read(path, file, REMEDY_SOURCE)
            return _check_arrival(path, file, packed, REMEDY_SOURCE)
    raise DataError(
        f"{source_dir / file.name} (or .gz) is missing; expected {file.bytes:,} bytes, "
        f"MD5 {file.md5} unpacked. Remedy: {REMEDY_SOURCE}."
    )


def _places(source_dir: Path, file: DataFile) -> Iterator[Path]:
    """Where a file may lie: also in torchvision's layout, under Kaggle's name with a
    dot, and in a folder of its own name, as Kaggle's archive unpacks.
    """
    dotted = file.name.replace("-idx", ".idx")
    for folder in (source_dir, source_dir / "MNIST" / "raw"):
        for name in (file.name, dotted):
            yield from (folder / name, folder / f"{name}.gz")
            yield from (folder / name / inner for inner in (file.name, dotted))


def _expect_folder(source_dir: Path) -> None:
    if source_dir.is_dir():
        return
    what = "is a file" if source_dir.exists() else "is not there"
    raise DataError(
        f"{source_dir} {what}: expected a folder with the four files of MNIST, gzipped "
        "or not. Remedy: name that folder; unpack an archive first."
    )


def fetch_mnist(root: Path | None = None, say: Say = print) -> None:
    """Download what is missing or bad from torchvision's mirrors, and check it.

    A file appears under its name only whole and checked; a broken download leaves
    nothing. Raises DataError when no mirror gives a file.
    """
    for file in files():
        try:
            read_verified(file.name, root)
        except DataError:
            _write(raw_dir(root) / file.name, _download(file, say))


def _download(file: DataFile, say: Say) -> bytes:
    """Return the checked content of one file from the first mirror that gives it."""
    faults = []
    for mirror in mirrors():
        url = f"{mirror}{file.name}.gz"
        say(f"fetching {url}")
        try:
            with _open(url) as response:
                packed = response.read()
            return _check_download(url, file, packed)
        except (OSError, http.client.HTTPException, DataError) as error:
            faults.append(str(error) or type(error).__name__)
    raise DataError(
        f"{file.name}.gz could not be fetched ({'; '.join(faults)}); "
        f"expected MD5 {file.gz_md5}. Remedy: {REMEDY_FETCH}."
    )


def _check_download(url: str, file: DataFile, packed: bytes) -> bytes:
    got = _md5(packed)
    if got != file.gz_md5:
        raise DataError(f"{len(packed):,} bytes came, MD5 {got}")
    return _check_arrival(url, file, packed, REMEDY_FETCH)


def _open(url: str) -> IO[bytes]:
    """Open an address; give up after ANSWER_SECONDS, a hanging name look-up included.

    urlopen's own timeout does not cover the look-up, so it waits in a thread.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=STALL_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer in {ANSWER_SECONDS:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    response: IO[bytes] = answer
    return response


def _write(path: Path, content: bytes) -> None:
    """Write a file so that its name never stands for a part of it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}). Remedy: free some "
            "space, or name another folder in the environment as VAE_EDU_DATA."
        ) from error
    finally:
        _remove(partial)


def _remove(partial: Path) -> None:
    with contextlib.suppress(OSError):  # what remains is named .tmp and never read
        partial.unlink(missing_ok=True)


# --- whatever works here ----------------------------------------------------------


def ensure_data(root: Path | None = None, say: Say = print) -> str:
    """Get MNIST from the first place that has it; return "mnist" or "digits".

    In this order: the data folder, $VAE_EDU_MNIST_FROM, `../shared/data/mnist`, the
    mirrors. Where none of them serves, scikit-learn's digits remain, and it says so.
    Raises DataError for a folder named in the environment, or files already here, that
    are bad and could not be replaced.
    """
    try:
        verify_mnist(root)
        say(f"data: MNIST is here and whole ({raw_dir(root)})")
        return "mnist"
    except DataError as error:
        damage = None if is_absent(root) else error
    if damage is not None:
        say(f"data: {damage}")
    if _import_nearby(root, say):
        return "mnist"
    return _fetch_or_digits(root, say, damage)


def _import_nearby(root: Path | None, say: Say) -> bool:
    named = os.environ.get("VAE_EDU_MNIST_FROM")
    if named:
        import_mnist(Path(named), root)
        say(f"data: MNIST imported from {named} and checked")
        return True
    shared = paths.course_root().parent / "shared" / "data" / "mnist"
    if not shared.is_dir():
        return False
    try:
        import_mnist(shared, root)
    except DataError as error:
        say(f"data: {error}")
        return False
    say("data: MNIST imported from ../shared/data/mnist and checked")
    return True


def _fetch_or_digits(root: Path | None, say: Say, damage: DataError | None) -> str:
    try:
        fetch_mnist(root, say)
    except DataError as error:
        if damage is not None:
            raise DataError(
                f"{damage}\nIt could not be replaced here: give a folder with the four "
                "files (`vae-edu data --from DIR`), or delete the bad file's folder to "
                "go on with scikit-learn's digits."
            ) from error
        say(f"data: {error}")
        say("data: until then the lessons use scikit-learn's digits (8×8), and say so")
        return "digits"
    say(f"data: MNIST fetched and checked ({raw_dir(root)})")
    return "mnist"
