"""Gradescope: an autograder to upload, and `results.json` from a grade.

    vae-edu gradescope LESSON --to FILE.zip

Gradescope unpacks the file to /autograder/source, runs its setup.sh once, and for each
submission its run_autograder, which reads /autograder/submission and must leave
/autograder/results/results.json ("Autograder Specifications" in its documentation).

What belongs here: that layout, and what of a grade goes into which field. What does
not: grading. Every text is plain (`output_format`), so nothing of a submission's is
ever markup; a submission that cannot be graded gets 0 and the reason, never a crash.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vae_edu import catalogue, handin, mnist
from vae_edu.errors import CourseError
from vae_edu.grading.office.report import heading
from vae_edu.grading.verdict import run_folder
from vae_edu.grading.verdict.grade import ExerciseGrade, Finding, Grade, grade_notebook
from vae_edu.grading.wall.kinds import REQUIRE
from vae_edu.lesson import find
from vae_edu.paths import course_root
from vae_edu.run_files import MANIFEST

SETTINGS = "autograder.json"
LONGEST = 20_000  # characters of one text
NOT_YOURS = "This is no fault of your submission. Please tell your instructor."

SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, as root, on an Ubuntu with a network.
set -euo pipefail
root=${VAE_EDU_AUTOGRADER:-/autograder}
course=$root/source/course

apt-get update
apt-get install -y --no-install-recommends bubblewrap python3 python3-venv

# uv brings a Python where the system's is too old, and a PyTorch without CUDA.
export UV_PYTHON_INSTALL_DIR=/opt/python
python3 -m venv "$root/uv"
"$root/uv/bin/python" -m pip install --quiet uv
"$root/uv/bin/uv" venv --python '>=3.11,<3.14' "$root/venv"
install() {
    "$root/uv/bin/uv" pip install --quiet --python "$root/venv/bin/python" \\
        --constraint "$course/requirements.lock" --editable "$course" nbformat "$@"
}
install --torch-backend cpu || install
"""

# Where a run folder is graded too: the images, from the zip or from the network.
SETUP_OF_RUNS = """
install scikit-learn
export VAE_EDU_HOME=$course
"$root/venv/bin/vae-edu" data
"$root/venv/bin/vae-edu" data --verify
"""

RUN = """\
#!/bin/sh
# Gradescope runs this for each submission. Python writes the results; where it could
# not even start, or was killed, the last lines do.
root=${VAE_EDU_AUTOGRADER:-/autograder}
python=${VAE_EDU_PYTHON:-$root/venv/bin/python}
results=$root/results/results.json
export VAE_EDU_HOME="$root/source/course" PYTHONPATH="$root/source/course"
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1

mkdir -p "$root/results"
rm -f "$results"
"$python" -P -m vae_edu.grading.office.gradescope "$root" || echo "exit status $?"
[ -s "$results" ] || cat >"$results" <<'END'
{"score": 0, "output_format": "text", "stdout_visibility": "hidden",
 "output": "The autograder did not come to an end. @NOT_YOURS@"}
END
""".replace("@NOT_YOURS@", NOT_YOURS)


# --- results.json ---------------------------------------------------------------------


def results(grade: Grade) -> dict[str, Any]:
    """What Gradescope reads: the score, words for all of it, one test an exercise."""
    right = sum(e.passed for e in grade.exercises)
    words = f"{right} of {len(grade.exercises)} exercises are right."
    if grade.problem:
        words = f"Nothing could be graded: {grade.problem}."
    made = _results(grade.score, words)
    made["extra_data"] = {"lesson": grade.lesson, "sandbox": grade.sandbox}
    made["tests"] = [_test(exercise) for exercise in grade.exercises]
    return made


def _results(score: float, words: str) -> dict[str, Any]:
    return {
        "score": score,
        "output": _safe(words),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
    }


def _test(exercise: ExerciseGrade) -> dict[str, Any]:
    return {
        "name": exercise.name,
        "number": exercise.number,
        "score": exercise.score,
        "max_score": exercise.max_score,
        "status": "passed" if exercise.passed else "failed",
        "output": _safe(plain(exercise)),
        "output_format": "text",
        "visibility": "visible",
    }


def plain(exercise: ExerciseGrade) -> str:
    """The feedback to one exercise as plain text; of hidden laws only what they say."""
    parts = ["Right."] if exercise.passed else []
    if exercise.problem:
        parts.append(f"Not judged: {exercise.problem}.")
    if exercise.misconception:
        parts.append(f"{exercise.misconception}. {exercise.advice}")
    if exercise.public:
        parts.append(_listed(heading(exercise.public), exercise.public))
    parts += [f.message for f in exercise.public if f.message]
    if exercise.hidden:
        more = "Nor" if exercise.public else "Not true"
        head = f"{more} at inputs that only the grader knows:"
        parts.append(_listed(head, exercise.hidden))
    return "\n\n".join(parts)


def _listed(head: str, findings: Sequence[Finding]) -> str:
    return "\n".join([head, *(f"- {f.title}" for f in findings)])


def _safe(text: str) -> str:
    """Valid UTF-8 without control characters, and not without end."""
    shown = (c if c.isprintable() or c in "\n\t" else " " for c in text[:LONGEST])
    return "".join(shown).encode("utf-8", "replace").decode("utf-8")


# --- one submission -------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Grade what lies in ROOT/submission; ROOT/results/results.json is always written.

    A traceback goes to the standard output, which only instructors see.
    """
    root = Path(arguments[0])
    try:
        made = graded(root)
    except CourseError as error:
        print(error)
        made = _results(0.0, f"The autograder cannot work here. {NOT_YOURS}")
    except Exception:
        traceback.print_exc(file=sys.stdout)
        made = _results(0.0, f"The autograder failed. {NOT_YOURS}")
    folder = root / "results"
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "results.json.tmp"
    aside.write_text(json.dumps(made, indent=1, allow_nan=False), encoding="utf-8")
    aside.replace(folder / "results.json")
    return 0


def graded(root: Path) -> dict[str, Any]:
    """The results of what lies in ROOT/submission."""
    text = (root / "source" / SETTINGS).read_text(encoding="utf-8")
    settings = json.loads(text)
    lesson = str(settings["lesson"])
    path, problem = submitted(root / "submission", lesson)
    if path is None:
        return _results(0.0, problem)
    policy, seed = settings["policy"], settings["seed"]
    made = grade_notebook(path, lesson, policy=policy, seed=seed)
    with tempfile.TemporaryDirectory() as aside:
        run = submitted_run(root / "submission", lesson, Path(aside))
        return results(run_folder.with_run(made, run, seed))


def submitted(folder: Path, lesson: str) -> tuple[Path | None, str]:
    """The notebook in a submission, else None and what to tell the learner.

    Of several, the one under the lesson's own name. A link is none: it could lead out.
    """
    files = [p for p in sorted(folder.rglob("*")) if _visible(p, folder)]
    notebooks = [p for p in files if p.suffix == ".ipynb"]
    named = [p for p in notebooks if p.name == f"{lesson}.ipynb"]
    for found in (notebooks, named):
        if len(found) == 1:
            return found[0], ""
    what = "more than one notebook" if notebooks else "no notebook"
    names = ", ".join(str(p.relative_to(folder)) for p in (notebooks or files)[:10])
    there = f" ({names})" if names else ""
    return None, f"There is {what} in it{there}. Please submit {lesson}.ipynb alone."


def submitted_run(folder: Path, lesson: str, aside: Path) -> Path | None:
    """The run in a submission, a folder or a .zip; None for a lesson without one.

    Gradescope unpacks what it can, and puts single files side by side: the run is where
    its manifest lies. Where a notebook lies there too, the run's own files are copied
    to `aside`. Of several, the one under the name `run`.
    """
    if catalogue.topic_of(lesson) not in run_folder.LESSONS:
        return None
    files = [p for p in sorted(folder.rglob("*")) if _visible(p, folder)]
    found = [p.parent for p in files if p.name == MANIFEST]
    found = found or [p for p in files if p.suffix == ".zip"]
    named = [p for p in found if p.stem == run_folder.RUN]
    for runs in (found, named):
        if len(runs) == 1:
            return _alone(runs[0], aside) if runs[0] == folder else runs[0]
    return folder / run_folder.RUN


def _alone(folder: Path, aside: Path) -> Path:
    """A copy of the files that a manifest names, without what lies beside them."""
    whole = aside / run_folder.RUN
    whole.mkdir()
    names = {MANIFEST}
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        names |= set(json.loads((folder / MANIFEST).read_bytes())["files"])
    for path in folder.iterdir():
        if path.name in names and _visible(path, folder):
            shutil.copyfile(path, whole / path.name)
    return whole


def _visible(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    if any(p.startswith(".") or p == "__MACOSX" for p in parts):
        return False
    return path.is_file() and not path.is_symlink()


# --- the autograder -------------------------------------------------------------------


def command(lesson: str, target: str, policy: str = REQUIRE) -> int:
    """Write the file to upload, say what else to set; the exit status."""
    topic = catalogue.topic_of(lesson)
    exercises = catalogue.exercises_of(topic)
    if not exercises:
        raise CourseError(f"Lesson {catalogue.folder_of(topic)} has no exercises.")
    path = Path(target).expanduser()
    try:
        package(topic, path, policy)
    except OSError as error:
        raise CourseError(f"{target} could not be written: {error.strerror}.") from None
    points = sum(e.card.points for e in exercises)
    points += handin.POINTS if topic in run_folder.LESSONS else 0
    print(f"wrote {path}, which holds hidden laws and answers: for instructors only")
    print(f"in Gradescope: a programming assignment of {points} autograder points;")
    print("base image Ubuntu 22.04 or later; then try it with a submission of your own")
    return 0


def package(topic: str, path: Path, policy: str) -> None:
    """Write the zip for a lesson; it is seen whole or not at all."""
    settings = {"lesson": catalogue.folder_of(topic), "policy": policy}
    settings["seed"] = secrets.token_hex(16)
    handle, aside = tempfile.mkstemp(".tmp", f".{path.name}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as made:
            _add(made, "setup.sh", _setup(topic).encode(), 0o755)
            _add(made, "run_autograder", RUN.encode(), 0o755)
            _add(made, SETTINGS, json.dumps(settings).encode())
            for name in needed(topic):
                _add(made, f"course/{name}", _content(name))
            for name, content in _images(topic):
                _add(made, f"course/data/MNIST/raw/{name}", content)
        os.replace(aside, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(aside)


def _add(made: zipfile.ZipFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = mode << 16
    made.writestr(entry, content)


def _content(name: str) -> bytes:
    path = course_root() / name
    if not path.is_file():
        raise CourseError(f"{name} is missing: this needs a full checkout.")
    return path.read_bytes()


def _setup(topic: str) -> str:
    return SETUP + (SETUP_OF_RUNS if topic in run_folder.LESSONS else "")


def _images(topic: str) -> Iterator[tuple[str, bytes]]:
    """MNIST, where runs are graded and it is here; else setup.sh gets it."""
    if topic in run_folder.LESSONS and not mnist.is_absent():
        for file in mnist.files():
            yield file.name, mnist.read_verified(file.name)


def needed(topic: str) -> Iterator[str]:
    """The checkout's files that grading a lesson takes: this lesson's laws, no answer
    of it, and the answers of earlier lessons, on which it builds.
    """
    yield from ("pyproject.toml", "requirements.lock", "README.md", "LICENSE")
    if topic in run_folder.LESSONS:
        yield "data/checksums.json"
    root = course_root()
    for path in sorted((root / "vae_edu").rglob("*")):
        name = path.relative_to(root).as_posix()
        hidden = "__pycache__" in name or "/." in name
        if path.is_file() and not hidden and not name.startswith("vae_edu/build/"):
            yield name
    authored = [find(topic).file("hidden")]
    for earlier in catalogue.TOPICS[: catalogue.TOPICS.index(topic)]:
        authored.append(find(earlier).file("exercises"))
    yield from (path.relative_to(root).as_posix() for path in authored)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
