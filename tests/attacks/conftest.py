"""A warm sandbox, an honest submission's clean result, a folder not to be touched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.attacks.common import HONEST, LIMITS, judged
from tests.sandboxes import do_without
from vae_edu.errors import CourseError
from vae_edu.grading.wall import process


def pytest_generate_tests(metafunc):
    """Every attack meets bubblewrap; those of `test_reach` meet Landlock as well."""
    if "kind" in metafunc.fixturenames:
        both = "test_reach" in metafunc.module.__name__
        kinds = ["bubblewrap", "landlock"] if both else ["bubblewrap"]
        metafunc.parametrize("kind", kinds, scope="package", indirect=True)


@pytest.fixture(scope="package")
def kind(request):
    return request.param


@pytest.fixture(scope="package")
def zygote(kind):
    try:
        warm = process.Zygote(kind, LIMITS)
    except CourseError as error:
        do_without(kind, error)
    yield warm
    warm.close()


@pytest.fixture(scope="package")
def clean(zygote, tmp_path_factory):
    """What the honest submission gets before anybody attacks."""
    return judged(zygote, tmp_path_factory.mktemp("clean"), HONEST)


@pytest.fixture
def watched(tmp_path) -> Path:
    """A gradebook and another learner's submission, outside the sandbox."""
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "gradebook.db").write_text("the gradebook")
    (folder / "other.py").write_text(HONEST)
    return folder


@pytest.fixture
def attack(zygote, clean, watched, tmp_path):
    """Judge a hostile source; afterwards all else must be as if it had never come."""
    results = []

    def run(source: str, seconds: float = 6.0):
        before = checksum(watched)
        results.append(judged(zygote, tmp_path, source, seconds=seconds))
        assert checksum(watched) == before
        return results[-1]

    yield run
    assert results
    honest = judged(zygote, tmp_path, HONEST, name=Path(clean.file).name)
    honest.file = clean.file
    assert clean.passed
    assert honest.as_json() == clean.as_json()


def checksum(folder: Path) -> str:
    """Names, modes, times and contents of all that a folder holds."""
    digest = hashlib.sha256()
    for path in sorted([folder, *folder.rglob("*")]):
        state = path.stat()
        digest.update(f"{path} {state.st_mode} {state.st_mtime_ns} ".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()
