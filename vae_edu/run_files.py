"""The files of a run, whole and unaltered: from its folder, or from the zip of it.

`run.zip` is a run folder everywhere: it is read where it lies, and nothing of it is
ever unpacked. What belongs here: the files by name, and the manifest that lists them.
What does not: what is in them (`runs`).
"""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from vae_edu.errors import CourseError, one_line

__all__ = [
    "FORMAT",
    "MANIFEST",
    "RunError",
    "checked_files",
    "is_run",
    "run_name",
    "sums",
]

FORMAT = 1
MANIFEST = "run.json"
REQUIRED = (
    *("config.json", "metrics.csv", "model.safetensors", "evaluation.json"),
    *("nll.safetensors", "card.md"),
)
MOST_BYTES = 200_000_000  # of one file
ASIDE = frozenset(
    {"Thumbs.db", "desktop.ini", "__MACOSX"}
)  # and what begins with a dot
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError),
    *(NotImplementedError, ValueError, OSError),
)
AS_WRITTEN = (
    "Remedy: hand in the folder as it was written (by lesson 10 or `vae-edu train`)."
)


class RunError(CourseError):
    """A run folder cannot be written, or what is there does not count as a run."""


def is_run(folder: Path) -> bool:
    """Whether a folder claims to be a run (`runs.read` says whether it is one).

    One that is being written begins with a dot, and never does.
    """
    return not folder.name.startswith(".") and (folder / MANIFEST).is_file()


def run_name(path: Path) -> str:
    """What to call a run: its folder's name, or its zip's without the ending."""
    return path.name.removesuffix(".zip")


def sums(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Return the size and SHA-256 of each file, as the manifest has them."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    }


class Source(Protocol):
    """Where files lie: their names, and the content of each."""

    name: str

    def names(self) -> set[str]:
        """All names, but what an operating system leaves lying about."""

    def read(self, name: str) -> bytes:
        """A file's content; RunError where it is no plain file or too large."""


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path, self.name = path, run_name(path)
        if not is_run(path):
            raise _no_run(self.name)

    def names(self) -> set[str]:
        return {p.name for p in self.path.iterdir() if not _is_aside(p.name)}

    def read(self, name: str) -> bytes:
        path = self.path / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise RunError(f"{name} is no plain file of a run.")
        return path.read_bytes()


class _Zip:
    """The archive's one folder that holds a manifest, or its outermost level."""

    def __init__(self, path: Path) -> None:
        self.name = run_name(path)
        self.archive = zipfile.ZipFile(path)
        members = [m for m in self.archive.infolist() if not m.is_dir()]
        parts = {PurePosixPath(m.filename): m for m in members}
        kept = [p for p in parts if not any(map(_is_aside, p.parts))]
        roots = sorted({p.parent for p in kept if p.name == MANIFEST}, key=_depth)
        if not roots:
            raise _no_run(self.name)
        if len(roots) > 1 and _depth(roots[1]) == _depth(roots[0]):
            both = " and ".join(f"{root}/" for root in roots[:2])
            raise RunError(
                f"{path.name} holds more than one run, {both}: pack one of them alone."
            )
        self.members = {p.name: parts[p] for p in kept if p.parent == roots[0]}
        inner = [p for p in kept if roots[0] in p.parents and p.parent != roots[0]]
        self.deeper = {p.relative_to(roots[0]).parts[0] for p in inner}

    def names(self) -> set[str]:
        return set(self.members) | self.deeper

    def read(self, name: str) -> bytes:
        member = self.members.get(name)
        if member is None or member.file_size > MOST_BYTES:
            raise RunError(f"{name} is no plain file of a run.")
        with self.archive.open(member) as file:
            content = file.read(MOST_BYTES + 1)  # what it states need not be true
        if len(content) > MOST_BYTES:
            raise RunError(f"{name} is no plain file of a run.")
        return content


def checked_files(path: Path) -> dict[str, bytes]:
    """Return a run's files by name, every one checked against the manifest.

    path: a run folder, or a .zip of one. Raises RunError for what is no run, and for a
    file that is missing, altered, truncated or foreign.
    """
    name = run_name(path)
    try:
        is_zip = path.is_file() and zipfile.is_zipfile(path)
        source: Source = _Zip(path) if is_zip else _Folder(path)
        manifest = json.loads(source.read(MANIFEST))
        listed: dict[str, dict[str, Any]] = manifest["files"]
        if manifest["format"] != FORMAT:
            raise RunError(f"{name} has the format {manifest['format']}.")
        _expect_names(name, set(listed), source.names() - {MANIFEST})
        return {f: _checked(f, source.read(f), listed[f]) for f in listed}
    except (KeyError, TypeError, AttributeError, RecursionError, *BROKEN) as error:
        raise RunError(
            f"{name}/{MANIFEST} cannot be read ({one_line(error)})."
        ) from error


def _expect_names(run: str, listed: set[str], there: set[str]) -> None:
    faults = {
        "missing": (listed | set(REQUIRED)) - there,
        "foreign, not of this run": there - listed,
    }
    for fault, names in faults.items():
        if names:
            some = ", ".join(sorted(names)[:10])
            raise RunError(f"{run}: {some} is {fault}. {AS_WRITTEN}")


def _checked(name: str, content: bytes, listed: Mapping[str, Any]) -> bytes:
    if len(content) != listed["bytes"]:
        fault = (
            f"has {len(content):,} bytes where the run wrote {listed['bytes']:,}: it "
            "was cut or edited"
        )
    elif hashlib.sha256(content).hexdigest() != listed["sha256"]:
        fault = "is altered: its SHA-256 is not that of the run"
    else:
        return content
    raise RunError(f"{name} {fault}. {AS_WRITTEN}")


def _depth(path: PurePosixPath) -> int:
    return len(path.parts)


def _is_aside(name: str) -> bool:
    return name.startswith(".") or name in ASIDE


def _no_run(name: str) -> RunError:
    return RunError(
        f"{name} is no run folder: it has no {MANIFEST}. Remedy: the folder that "
        "lesson 10 or `vae-edu train` named when it was written, or the .zip of it."
    )
