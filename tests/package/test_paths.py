"""Where the course looks for itself, its data and the learner's work."""

from __future__ import annotations

from pathlib import Path

import pytest

from vae_edu import paths

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAE_EDU_HOME", "VAE_EDU_DATA", "VAE_EDU_WORK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that lies in no checkout, and a current folder of its own."""
    site_packages = tmp_path / "site-packages"
    site_packages.mkdir()
    monkeypatch.setattr(paths, "_PACKAGE", site_packages / "vae_edu")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here.resolve()


def test_checkout_wins_over_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    assert paths.course_root() == REPOSITORY


def test_home_wins_over_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_EDU_HOME", str(tmp_path))
    assert paths.course_root() == tmp_path.resolve()
    assert paths.data_dir() == tmp_path.resolve() / "data"
    assert paths.work_dir() == tmp_path.resolve() / "work"


def test_nearest_parent_with_notebooks(elsewhere, monkeypatch):
    lesson = elsewhere / "notebooks" / "00_start_here"
    lesson.mkdir(parents=True)
    monkeypatch.chdir(lesson)
    assert paths.course_root() == elsewhere


def test_current_folder_as_the_last_resort(elsewhere):
    assert paths.course_root() == elsewhere


@pytest.mark.parametrize(
    ("pyproject", "is_checkout"),
    [
        ('[project]\nname = "vae_edu"\n', True),
        ('[project]\nname = "vae-edu"\n', True),
        ('[project]\nname = "another"\n', False),
        ("no toml at all [", False),
    ],
)
def test_only_its_own_pyproject_makes_a_checkout(elsewhere, pyproject, is_checkout):
    checkout = paths._PACKAGE.parent
    (checkout / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    assert (paths.course_root() == checkout) == is_checkout


def test_data_and_work_can_lie_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_EDU_DATA", str(tmp_path / "d"))
    monkeypatch.setenv("VAE_EDU_WORK", str(tmp_path / "w"))
    assert paths.data_dir() == tmp_path.resolve() / "d"
    assert paths.work_dir() == tmp_path.resolve() / "w"
    assert paths.course_root() == REPOSITORY
