"""`vae-edu doctor`: what works on this machine, what does not, and what to do about it.

What belongs here: short looks at the machine that never raise, also without torch.
What does not: mending anything.
"""

from __future__ import annotations

import importlib
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from vae_edu import mnist, paths

__all__ = [
    "Finding",
    "command",
    "course_here",
    "examine",
    "is_healthy",
    "look_at_course",
    "table",
]

PYTHONS = (3, 11), (3, 14)  # from, to before; as pyproject.toml has it
INSTALL = 'pip install -e ".[course]" in the course\'s folder'
CONFIG = "nbgrader_config.py"
TRUSTED = "vae_edu.grading.nbgrader.TrustedGrade"  # by name: learners have no grading
LITTLE_SPACE, TOO_LITTLE_SPACE = 2e9, 2e8  # bytes


@dataclass(frozen=True)
class Finding:
    """One line of the table; only "FAIL" keeps the course from working."""

    name: str
    status: Literal["ok", "warn", "FAIL"]
    seen: str
    remedy: str = ""


Look = Callable[[str], Finding]  # of a name; what belongs elsewhere is given as `more`
NO_MORE: Mapping[str, Look] = {}


def examine(more: Mapping[str, Look] = NO_MORE) -> list[Finding]:
    """Look at everything, and at more; never raises, since each look is guarded."""
    return [_guarded(name, look) for name, look in {**LOOKS, **more}.items()]


def is_healthy(findings: list[Finding]) -> bool:
    """Whether nothing that the course requires fails."""
    return all(finding.status != "FAIL" for finding in findings)


def _guarded(name: str, look: Look) -> Finding:
    try:
        return look(name)
    except Exception as error:
        seen = f"could not be looked at: {_one_line(error)}"
        return Finding(name, "FAIL", seen, f"repair it, or {INSTALL}")


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


# --- Python and PyTorch -----------------------------------------------------------


def _python(name: str) -> Finding:
    seen = f"{platform.python_version()} ({sys.executable})"
    low, high = PYTHONS
    if low <= sys.version_info[:2] < high:
        return Finding(name, "ok", seen)
    return Finding(name, "FAIL", seen, "use Python 3.11, 3.12 or 3.13")


def _torch(name: str) -> Finding:
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # a broken library raises OSError, RuntimeError, ...
        return Finding(name, "FAIL", _one_line(error), INSTALL)
    threads = torch.get_num_threads()
    return Finding(name, "ok", f"{torch.__version__}, {threads} CPU threads")


def _torchvision(name: str) -> Finding:
    try:
        torchvision = importlib.import_module("torchvision")
    except Exception as error:
        remedy = INSTALL
        if "torchvision::nms" in str(error):
            remedy = (
                "torchvision was built for another torch; install both anew in one "
                "command: pip install --force-reinstall torch torchvision"
            )
        return Finding(name, "FAIL", _one_line(error), remedy)
    return Finding(name, "ok", str(torchvision.__version__))


def _device(name: str) -> Finding:
    try:
        torch = importlib.import_module("torch")
    except Exception:
        return Finding(name, "warn", "unknown without torch", "repair torch first")
    if torch.cuda.is_available():
        return Finding(name, "ok", f"cuda: {torch.cuda.get_device_name(0)}")
    if torch.backends.mps.is_available():
        return Finding(name, "ok", "mps (Apple silicon)")
    return Finding(name, "ok", "cpu: enough for each lesson; the full run takes longer")


# --- Jupyter and nbgrader ---------------------------------------------------------


def _jupyter(name: str) -> Finding:
    needed = ("jupyterlab", "ipykernel", "ipywidgets")
    missing = [package for package in needed if _version(package) is None]
    if missing:
        return Finding(name, "FAIL", f"without {', '.join(missing)}", INSTALL)
    seen = ", ".join(f"{package} {_version(package)}" for package in needed)
    return Finding(name, "ok", seen)


def _kernel(name: str) -> Finding:
    try:
        kernelspec = importlib.import_module("jupyter_client.kernelspec")
        spec = kernelspec.KernelSpecManager().get_kernel_spec("python3")
    except Exception as error:
        return Finding(name, "FAIL", _one_line(error), INSTALL)
    program = spec.argv[0]
    found = shutil.which(program) or program
    if program.startswith("python") or _same_environment(found):
        return Finding(name, "ok", f"python3 starts {sys.executable}")
    return Finding(
        name,
        "FAIL",
        f"python3 starts {found}, not this Python",
        "python -m ipykernel install --sys-prefix",
    )


def _same_environment(program: str) -> bool:
    """Whether a program lies in the folder of this Python (its links unresolved)."""
    return Path(program).absolute().parent == Path(sys.executable).absolute().parent


def _nbgrader(name: str) -> Finding:
    version = _version("nbgrader")
    if version is None:
        return Finding(name, "FAIL", "not installed", INSTALL)
    if shutil.which("alembic") is None:
        remedy = "activate the environment; instructors need it, learners do not"
        return Finding(name, "warn", f"{version}, but no alembic on PATH", remedy)
    return Finding(name, "ok", version)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# --- data, space and rights -------------------------------------------------------


def _data(name: str) -> Finding:
    if not mnist.is_absent():
        try:
            mnist.verify_mnist()
        except mnist.DataError as error:
            return Finding(name, "FAIL", str(error), "vae-edu data")
        return Finding(name, "ok", f"MNIST, sums checked ({mnist.raw_dir()})")
    if _version("scikit-learn") is None:
        return Finding(name, "FAIL", "neither MNIST nor scikit-learn's digits", INSTALL)
    seen = "no MNIST; the lessons use scikit-learn's digits"
    return Finding(name, "warn", seen, "vae-edu data, or vae-edu data --from DIR")


def _space(name: str) -> Finding:
    folder = paths.course_root()
    free = shutil.disk_usage(folder).free
    seen = f"{free / 1e9:.1f} GB in {folder}"
    if free >= LITTLE_SPACE:
        return Finding(name, "ok", seen)
    status: Literal["warn", "FAIL"] = "warn" if free >= TOO_LITTLE_SPACE else "FAIL"
    return Finding(name, status, seen, "free some space: data and runs take 1 GB")


def _writable(folder: Path, variable: str) -> Look:
    def look(name: str) -> Finding:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            remedy = f"allow it, or name another folder in {variable}"
            return Finding(name, "FAIL", f"{folder}: {error.strerror}", remedy)
        return Finding(name, "ok", str(folder))

    return look


def _temporary(name: str) -> Finding:
    try:
        return Finding(name, "ok", tempfile.gettempdir())
    except OSError as error:
        remedy = "free some space there, or name a folder in TMPDIR"
        return Finding(name, "FAIL", str(error.strerror), remedy)


# --- for the tests and for grading ------------------------------------------------


def _chromium(name: str) -> Finding:
    for program in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(program)
        if found:
            return Finding(name, "ok", found)
    remedy = "only the browser tests need it: apt-get install chromium"
    return Finding(name, "warn", "not installed", remedy)


def course_here() -> Path | None:
    """The nbgrader course that one stands in, if any: a folder with a configuration."""
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / CONFIG).is_file()), None)


def look_at_course(name: str) -> Finding:
    """Whether the course that one stands in grades with our laws, in our sandbox."""
    folder = course_here() or Path.cwd()
    loader = importlib.import_module("traitlets.config.loader")
    config = loader.PyFileConfigLoader(CONFIG, str(folder)).load_config()
    if TRUSTED in config.Autograde.get("autograde_preprocessors", ()):
        return Finding(name, "ok", f"{folder}: nbgrader records our grades")
    seen = f"{folder}: `nbgrader autograde` would run submissions with your own rights"
    remedy = (
        f"add to {CONFIG}: from vae_edu.grading.config import configure; configure(c)"
    )
    return Finding(name, "warn", seen, remedy)


def _look_at_work(name: str) -> Finding:
    return _writable(paths.work_dir(), "VAE_EDU_WORK")(name)


def _look_at_data_dir(name: str) -> Finding:
    return _writable(paths.data_dir(), "VAE_EDU_DATA")(name)


LOOKS: dict[str, Look] = {
    "Python": _python,
    "torch": _torch,
    "torchvision": _torchvision,
    "device": _device,
    "Jupyter": _jupyter,
    "kernel": _kernel,
    "nbgrader": _nbgrader,
    "data": _data,
    "free space": _space,
    "write work/": _look_at_work,
    "write data/": _look_at_data_dir,
    "scratch": _temporary,
    "chromium": _chromium,
}


# --- showing ----------------------------------------------------------------------


def table(findings: list[Finding]) -> str:
    """Return the findings as aligned plain text, a remedy under what needs one."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:<4}  {finding.name:<{width}}  {finding.seen}")
        if finding.remedy:
            lines.append(f"{'':<4}  {'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def command(*, as_json: bool = False, more: Mapping[str, Look] = NO_MORE) -> int:
    """Print the table, or JSON; return 1 if something required fails, else 0."""
    findings = examine(more)
    healthy = is_healthy(findings)
    if as_json:
        rows = [asdict(finding) for finding in findings]
        print(json.dumps({"ok": healthy, "findings": rows}, indent=2))
        return 0 if healthy else 1
    print(table(findings))
    worst = "all that the course requires works" if healthy else "see FAIL above"
    print(f"\n{worst}")
    return 0 if healthy else 1
