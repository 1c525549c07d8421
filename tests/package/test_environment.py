"""One list of dependencies: every other file that speaks of them agrees with it."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from vae_edu import doctor

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = {
    "linux": ("posix", "Linux", "x86_64"),
    "darwin": ("posix", "Darwin", "arm64"),
    "win32": ("nt", "Windows", "AMD64"),
}


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


PYPROJECT = tomllib.loads(text("pyproject.toml"))
PROJECT = PYPROJECT["project"]
LOCK = [line for line in text("requirements.lock").splitlines() if line.strip()]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> Iterator[Requirement]:
    """All that pyproject.toml asks for: the core, and every extra."""
    extras = PROJECT["optional-dependencies"].values()
    for lines in (PROJECT["dependencies"], *extras):
        for line in lines:
            requirement = Requirement(line)
            if canonical(requirement.name) != "vae-edu":
                yield requirement


def locked(python: str, platform: str) -> dict[str, str]:
    """The lock's versions for one Python on one platform."""
    os_name, system, machine = PLATFORMS[platform]
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "os_name": os_name,
        "platform_system": system,
        "platform_machine": machine,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    pins: dict[str, str] = {}
    for line in LOCK:
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonical(pin.name)
            assert name not in pins, f"{name} is pinned twice on {python}, {platform}"
            (exact,) = pin.specifier
            pins[name] = exact.version
    return pins


# --- requirements.lock ------------------------------------------------------------


def test_the_lock_holds_pins_and_nothing_else():
    assert len(LOCK) > 100
    for line in LOCK:
        pin = Requirement(line)
        assert pin.url is None, line
        assert [part.operator for part in pin.specifier] == ["=="], line
        assert not re.search(r"://|@|--|\.(org|com|io|net)\b", line), line


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_satisfies_pyproject_in_every_extra(python, platform):
    pins = locked(python, platform)
    for requirement in requirements():
        assert canonical(requirement.name) in pins, requirement
        assert requirement.specifier.contains(pins[canonical(requirement.name)])


def test_the_lock_leaves_out_what_pyproject_excludes():
    excluded = PYPROJECT["tool"]["uv"]["exclude-dependencies"]
    assert excluded == ["rfc3987-syntax"]
    assert not set(excluded) & set(locked("3.12", "linux"))


def test_teach_contains_course_and_dev_contains_teach():
    extras = PROJECT["optional-dependencies"]
    assert "vae_edu[course]" in extras["teach"]
    assert "vae_edu[teach]" in extras["dev"]


def test_no_package_is_listed_twice():
    names = [canonical(requirement.name) for requirement in requirements()]
    assert sorted(names) == sorted(set(names))


# --- which Python -----------------------------------------------------------------


def test_every_file_means_the_same_pythons():
    asked = SpecifierSet(PROJECT["requires-python"])
    candidates = [f"3.{minor}" for minor in range(8, 20)]
    assert tuple(asked.filter(candidates)) == PYTHONS
    low, high = doctor.PYTHONS
    assert [v for v in candidates if low <= Version(v).release[:2] < high] == [*PYTHONS]
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    assert workflow["jobs"]["package"]["strategy"]["matrix"]["python"] == [*PYTHONS]
    assert f"{' | '.join(PYTHONS)})" in text("scripts/find_python.sh")


# --- environment.yml --------------------------------------------------------------


def test_environment_yml_names_no_dependency_a_second_time():
    environment = yaml.safe_load(text("environment.yml"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python, pip, from_pip = environment["dependencies"]
    assert python == f"python {PROJECT['requires-python']}"
    assert pip == "pip"
    assert from_pip == {"pip": ['-e ".[course]"']}
    assert "course" in PROJECT["optional-dependencies"]


# --- Makefile and CI --------------------------------------------------------------


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", text("Makefile"), flags=re.MULTILINE))


def test_every_target_is_phony_and_explained():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text("Makefile"), flags=re.MULTILINE)
    assert set(phony.split()) == targets()
    done = subprocess.run(
        ["make", "-s", "help"], cwd=REPOSITORY, capture_output=True, text=True
    )
    shown = re.findall(r"^  make ([a-z-]+) ", done.stdout, flags=re.MULTILINE)
    assert set(shown) == targets()


def test_what_the_readme_tells_to_make_can_be_made():
    if not (REPOSITORY / "README.md").exists():
        pytest.skip("there is no README.md yet")
    code = re.findall(r"`[^`]*`|^```.*?^```", text("README.md"), re.DOTALL | re.M)
    named = set(re.findall(r"(?<![\w-])make ([a-z-]+)", "\n".join(code)))
    assert named
    assert named <= targets()


def test_ci_runs_make_test():
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").rstrip().endswith("exec make test")


def test_the_workflow_runs_the_same_and_only_targets_that_exist():
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    commands = [
        step["run"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    assert ".ci/run" in commands
    named = {target for c in commands for target in re.findall(r"^make ([a-z]+)", c)}
    assert named <= targets()


def test_git_ignores_what_a_learner_makes():
    made = ("work/kl_divergence.py", "data/MNIST/raw/x", ".venv/x", "gradebook.db")
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no git checkout")
    for name in made:
        ignored = subprocess.call(["git", "check-ignore", "-q", name], cwd=REPOSITORY)
        assert ignored == 0, name
    kept = ("data/README.md", "data/checksums.json", "vae_edu/build/x.py", "tests/work")
    for name in (*kept, "solutions/11_x/mistakes.py"):
        ignored = subprocess.call(["git", "check-ignore", "-q", name], cwd=REPOSITORY)
        assert ignored == 1, name
