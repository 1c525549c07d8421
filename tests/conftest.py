"""What every test can count on: an empty `work/`, one thread, the same examples in CI.

What belongs here: fixtures that several folders of tests share. What does not: helpers
of one file, and anything that imports torch (the tests of the package's start need
none).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before torch or the exercises are imported: many threads on tiny tensors are slow, and
# importing the exercises loads whatever work/ holds, which must not be a learner's.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["VAE_EDU_WORK"] = tempfile.mkdtemp(prefix="vae_edu_work_")

import pytest
from hypothesis import settings

from vae_edu import catalogue

EMPTY_WORK = Path(os.environ["VAE_EDU_WORK"])
REPOSITORY = Path(__file__).resolve().parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI", "").lower() == "true" else "dev")


def pytest_configure(config: pytest.Config) -> None:
    """Register a marker for each lesson: `-m lesson04`."""
    for topic in catalogue.TOPICS:
        words = f"{_marker(topic)}: whatever is about lesson {topic}"
        config.addinivalue_line("markers", words)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that is about a lesson with it."""
    for item in items:
        for topic in _topics_of(item):
            item.add_marker(getattr(pytest.mark, _marker(topic)))


def _marker(topic: str) -> str:
    return f"lesson{catalogue.number_of(topic):02d}"


def _topics_of(item: pytest.Item) -> set[str]:
    """The lessons in a test's parameters, or whose folder it lies in."""
    call = getattr(item, "callspec", None)
    values = list(call.params.values()) if call else []
    named = [v if isinstance(v, str) else getattr(v, "topic", None) for v in values]
    named += [item.path.parent.name.partition("_")[2]]
    return {topic for topic in catalogue.TOPICS if topic in named}


def pytest_unconfigure() -> None:
    """Take the session's empty `work/` away again."""
    shutil.rmtree(EMPTY_WORK, ignore_errors=True)


@pytest.fixture(scope="session")
def root() -> Path:
    """The course: the folder with `notebooks/` and `solutions/`."""
    return REPOSITORY


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A learner's `work/`, empty; the exercises are stubs before and after."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("VAE_EDU_WORK", str(folder))
    yield folder
    monkeypatch.setenv("VAE_EDU_WORK", str(EMPTY_WORK))
    forget_answers()


def forget_answers() -> None:
    """Put every imported exercise module back to what `work/` holds now."""
    import sys

    from vae_edu.work import refresh

    for topic in catalogue.TOPICS:
        if f"vae_edu.exercises.{topic}" in sys.modules:
            refresh(topic)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's Chromium; what needs one is skipped where it is missing."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip("no Chromium on PATH (Debian, Ubuntu: apt-get install chromium)")
    return found
