"""Make the course's environment, then start something in it; what `make` calls.

    python scripts/bootstrap.py lab [ARGS...]         JupyterLab on the first lesson
    python scripts/bootstrap.py test [ARGS...]        pytest, with all that it needs
    python scripts/bootstrap.py demo [ARGS...]        a small class, graded
    python scripts/bootstrap.py run EXTRA CMD...      a command with an extra's packages

What belongs here: the standard library alone, on Linux and macOS (on Windows, use
environment.yml). What does not: anything that a lesson or a test could need.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / "bin"
STAMP = VENV / "vae_edu.json"
FIRST_LESSON = "notebooks/00_start_here/00_start_here.ipynb"

EXTRAS = ("course", "teach", "dev")  # each contains the one before


class SystemPackage(NamedTuple):
    """A package of the operating system that only some tests need."""

    package: str
    commands: tuple[str, ...]  # any of them will do
    tests: str


SYSTEM_PACKAGES = (
    SystemPackage(
        "chromium",
        ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
        "the tests in a real browser",
    ),
    SystemPackage("bubblewrap", ("bwrap",), "the tests of the sandbox for submissions"),
)


class BootstrapError(Exception):
    """Something the user can put right; its message says what, and how."""


def say(line: str) -> None:
    """Print one plain line at once, also into a pipe."""
    print(line, flush=True)


def attempt(command: Sequence[str | Path]) -> bool:
    """Run a command, its output shown; whether it succeeded."""
    try:
        return subprocess.call([str(word) for word in command], cwd=ROOT) == 0
    except OSError:
        return False


def works(command: str | Path) -> bool:
    """Whether `command --version` runs (a name on PATH may be an empty shim)."""
    try:
        done = subprocess.run([str(command), "--version"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


# --- the environment --------------------------------------------------------------


def digest() -> str:
    """Return a hash of what the environment depends on: if it changes, install anew."""
    seen = hashlib.sha256()
    for name in ("pyproject.toml", "requirements.lock"):
        seen.update((ROOT / name).read_bytes())
    return seen.hexdigest()


def read_stamp() -> dict[str, str]:
    """Return what the environment was made from; empty if it was never finished."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_ready(stamp: dict[str, str], extra: str) -> bool:
    """Whether the environment already has this extra's packages, up to date."""
    if stamp.get("digest") != digest() or not is_usable(stamp):
        return False
    return EXTRAS.index(extra) <= EXTRAS.index(stamp.get("extra", EXTRAS[0]))


def is_usable(stamp: dict[str, str]) -> bool:
    """Whether .venv runs, was made in this folder, and has the Python asked for."""
    if stamp.get("root") != str(ROOT) or not works(BIN / "python"):
        return False
    asked_for = os.environ.get("PYTHON")
    return not asked_for or stamp.get("python") == python_version()


def python_version() -> str:
    """Return the running Python's version as 3.12."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def prepare(extra: str) -> None:
    """Make the environment ready for an extra; at once where it already is."""
    stamp = read_stamp()
    if is_ready(stamp, extra):
        return
    if not is_usable(stamp):
        make_venv()
        stamp = {}
    wanted = max(extra, stamp.get("extra", extra), key=EXTRAS.index)
    say(
        f"installing vae_edu[{wanted}], versions as in requirements.lock "
        "(the first time, PyTorch alone is up to 3 GB to fetch)"
    )
    STAMP.unlink(missing_ok=True)
    install(wanted)
    made = stamp.get("python", python_version())
    stamp = {"extra": wanted, "digest": digest(), "root": str(ROOT), "python": made}
    STAMP.write_text(json.dumps(stamp), encoding="utf-8")


def make_venv() -> None:
    """Create .venv with the running Python, through uv where it is installed."""
    python = Path(getattr(sys, "_base_executable", sys.executable))
    say(f"making .venv with Python {sys.version.split()[0]}")
    if VENV.exists():
        shutil.rmtree(VENV)
    with_uv: list[str | Path] = [
        "uv",
        "venv",
        "--quiet",
        "--seed",
        "--python",
        python,
        VENV,
    ]
    if works("uv") and attempt(with_uv):
        return
    if not attempt([python, "-m", "venv", "--clear", VENV]):
        raise BootstrapError(
            f"{python} cannot make a virtual environment. On Debian or Ubuntu: "
            f"sudo apt-get install python{python_version()}-venv"
        )


def install(extra: str) -> None:
    """Install the package, editable, with an extra; versions from the lock."""
    wanted = ["--constraint", "requirements.lock", "--editable", f".[{extra}]"]
    python = BIN / "python"
    uv = find_uv()
    # as pip does; the tests start many processes, some where Python may not write
    compiled = ["--compile-bytecode"] if extra == "dev" else []
    with_uv: list[str | Path] = [
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        *compiled,
    ]
    if uv and attempt([uv, *with_uv, *wanted]):
        return
    say("uv is not to be had, or did not succeed; now with pip (takes minutes)")
    if not attempt([python, "-m", "pip", "install", "--quiet", *wanted]):
        raise BootstrapError(
            "the packages could not be installed (the reason is above). Remedy: check "
            "the network and the free space (8 GB), and run the same command again."
        )


def find_uv() -> Path | str | None:
    """Return a uv that works, installing one into .venv where there is none."""
    if works("uv"):
        return "uv"
    if not works(BIN / "uv"):
        say("getting uv, which installs many times faster than pip")
        attempt([BIN / "python", "-m", "pip", "install", "--quiet", "uv"])
    return BIN / "uv" if works(BIN / "uv") else None


def activated() -> dict[str, str]:
    """Return the process's environment as an activated .venv has it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONHOME"}
    environment["VIRTUAL_ENV"] = str(VENV)
    environment["PATH"] = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return environment


def start(command: Sequence[str]) -> NoReturn:
    """Become a command of the activated environment."""
    os.chdir(ROOT)
    sys.stdout.flush()
    program = shutil.which(command[0], path=activated()["PATH"])
    if program is None:
        raise BootstrapError(f"{command[0]} is not installed in .venv")
    os.execve(program, list(command), activated())


def get_data() -> None:
    """Get MNIST, or say that the embedded digits take its place."""
    command = [str(BIN / "python"), "-m", "vae_edu.cli", "data"]
    if subprocess.call(command, cwd=ROOT, env=activated()) != 0:
        raise BootstrapError("the data is not in order (the reason is above)")


# --- the tests' system packages ---------------------------------------------------


def is_present(package: SystemPackage) -> bool:
    """Whether one of a package's commands is on PATH."""
    return any(shutil.which(command) for command in package.commands)


def get_system_packages(names: Sequence[str] = ("chromium", "bubblewrap")) -> None:
    """Install what is missing where apt-get may be used; else say what is skipped."""
    wanted = [package for package in SYSTEM_PACKAGES if package.package in names]
    missing = [package for package in wanted if not is_present(package)]
    apt_get = apt_get_command() if missing else None
    for package in missing:
        if apt_get is not None:
            say(f"installing {package.package} with apt-get")
            apt_install(apt_get, package.package)
        if not is_present(package):
            say(
                f"{package.tests} will be skipped: {package.package} is not "
                "installed, and could not be from here"
            )


def apt_get_command() -> list[str] | None:
    """Return how apt-get is called with the needed rights, or None."""
    if shutil.which("apt-get") is None:
        return None
    apt_get = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    if os.geteuid() == 0:
        return apt_get
    if shutil.which("sudo") and attempt(["sudo", "-n", "true"]):
        return ["sudo", "-n", *apt_get]
    return None


def apt_install(apt_get: list[str], package: str) -> None:
    """Install one package, with fresh lists only where the old ones do not do."""
    install = [*apt_get, "install", "-qq", "-y", "--no-install-recommends", package]
    if not attempt(install) and attempt([*apt_get, "update", "-qq"]):
        attempt(install)


# --- the targets ------------------------------------------------------------------


def lab(arguments: Sequence[str]) -> NoReturn:
    """Open JupyterLab on the first lesson."""
    prepare("course")
    get_data()
    flags = [f"--ServerApp.root_dir={ROOT}"]
    if (ROOT / FIRST_LESSON).is_file():
        flags.append(f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}")
    if os.geteuid() == 0:
        flags.append("--allow-root")
    if not has_display() and "--no-browser" not in arguments:
        flags.append("--no-browser")
    say(f"opening JupyterLab on {FIRST_LESSON}; Ctrl-C ends it. The address, with")
    say("its token, is printed below, in case that no browser opens by itself:")
    start(["jupyter", "lab", *flags, *arguments])


def has_display() -> bool:
    """Whether a browser has somewhere to open (else a text browser might take over)."""
    if sys.platform == "darwin":
        return True
    return any(os.environ.get(v) for v in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


# every test, in two processes at once: on two cores in little more than half the time
SLOWEST = "tests/course/test_processors.py"
HALVES = (
    ("tests/course", "solutions", f"--ignore={SLOWEST}"),
    ("tests/package", "tests/attacks", SLOWEST),
)


def test(arguments: Sequence[str]) -> NoReturn:
    """Run every test, or what the arguments ask of pytest."""
    prepare("dev")
    get_system_packages()
    get_data()
    if arguments:
        start(["python", "-m", "pytest", *arguments])
    sys.exit(run_halves(["python", "-m", "pytest"]))


def run_halves(pytest: Sequence[str]) -> int:
    """Run both halves of the tests; what the second says is shown after the first."""
    program = shutil.which(pytest[0], path=activated()["PATH"]) or pytest[0]
    command = [program, *pytest[1:]]
    say("the tests run in two processes; what the second says comes at the end")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        second = subprocess.Popen(
            [*command, *HALVES[1]],
            cwd=ROOT,
            env=activated(),
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            first = subprocess.call([*command, *HALVES[0]], cwd=ROOT, env=activated())
            code = second.wait()
        finally:
            second.kill()
            said.seek(0)
            shutil.copyfileobj(said, sys.stdout)
            sys.stdout.flush()
    return first or code


def run(arguments: Sequence[str]) -> NoReturn:
    """Run a command with the packages of an extra."""
    extra, *command = arguments
    prepare(extra)
    start(command)


def demo(arguments: Sequence[str]) -> NoReturn:
    """Grade a small class, in the sandbox that grading needs."""
    prepare("dev")
    get_system_packages(["bubblewrap"])
    start(["vae-edu", "demo", *arguments])


TARGETS = {"lab": lab, "test": test, "run": run, "demo": demo}


def main(arguments: Sequence[str]) -> int:
    """Do what `make` asked for; return only with an error's status."""
    target, *rest = arguments
    try:
        TARGETS[target](rest)
    except BootstrapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
