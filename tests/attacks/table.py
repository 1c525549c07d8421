"""Each attack once against plain nbgrader and once against ours: `docs/attacks.md`.

`python -m tests.attacks.table` takes about a quarter of an hour, on Linux. Plain
nbgrader runs what it is given, so each of its runs has a course of its own and is shut
into bubblewrap: the machine read-only but for that course, its own processes, no
capability, an end after a minute and a half. Ours grades all attacks in one run, in its
own sandbox alone. What does not belong here: the attacks.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import json
import os
import platform
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

from tests.attacks import registry
from tests.attacks.registry import ATTACKS, LESSON, LINES, POINTS, PORT, RIGHT, Attack
from vae_edu.grading.wall.keeper import descendants
from vae_edu.paths import course_root

OUTER = 90  # seconds for one run of plain nbgrader
LAW_SECONDS = 3
PLAIN = """
c = get_config()
c.CourseDirectory.course_id = "plain"
"""
OURS = f"""
from vae_edu.grading.config import configure

c = get_config()
c.CourseDirectory.course_id = "ours"
c.TrustedGrade.seconds = {LAW_SECONDS}
configure(c)
"""
NBGRADER = [sys.executable, "-m", "nbgrader"]
HEAD = """
# Attacks, measured

{date}, {versions}; written by `python -m tests.attacks.table`.

Every attack is one submission to exercise 4.3, worth {points} points, and was run once.
*Plain nbgrader* is `nbgrader autograde` in its default configuration; its check cell
calls the public check and, in a hidden test region, our hidden laws, both in the
learner's kernel. It ran each attack in a course of its own, beside an honest submission
(zoe's) that had been graded, shut into a jail of ours that protects the machine, not
the course. *Ours* is `nbgrader autograde` with `vae_edu.grading.config.configure`; it
graded all attacks and the honest submission in one run, {seconds} seconds for a law.

Bombs stop by themselves after {processes} processes or {megabytes} MB, so that none had
to be left out; the tests in `tests/attacks` set off unbounded ones against our limits.
What was not tried is not in the table.

How to read it:

- A submission that deserves 0 and gets none from plain nbgrader has gained nothing, but
  waits for a person, and where the grader was killed or hung, so does the class.
- Plain nbgrader is right where our checks are: the first line, values learnt by heart,
  NaN. Its points are all or nothing, so it gives 0 for a right answer in bad form.
- Not shown, and not prevented by ours: an answer with the right values can lie about
  its form (that it left its input alone), for it is asked in its own process. And in a
  later lesson's sandbox the reference answers to earlier lessons can be read.
"""
# Runs in the jail: what is left after nbgrader has ended, and what it took.
INSIDE = """
import json, os, resource, subprocess, sys, time
began = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=open("log", "w"),
                      stderr=subprocess.STDOUT).returncode
wall = time.monotonic() - began
time.sleep(0.5)
left = [p for p in os.listdir("/proc") if p.isdigit() and int(p) > 2]
left = [p for p in left if int(p) != os.getpid()]
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"code": code, "wall": wall, "left": len(left), "peak": peak / 1024}))
"""


@dataclass
class Outcome:
    """What came of an attack: points (None without a grade), and what else happened."""

    points: float | None
    words: str = ""
    damage: list[str] = field(default_factory=list)


# --- courses --------------------------------------------------------------------------


def course(folder: Path, config: str, students: dict[str, dict]) -> Path:
    """A course with the small lesson released, and these submissions."""
    _put(folder / "source" / LESSON, registry.source_notebook())
    (folder / "nbgrader_config.py").write_text(config, encoding="utf-8")
    _do(folder, "generate_assignment", LESSON)
    for student, book in students.items():
        _put(folder / "submitted" / student / LESSON, book)
    return folder


def _put(folder: Path, book: dict) -> None:
    folder.mkdir(parents=True)
    (folder / f"{LESSON}.ipynb").write_text(json.dumps(book), encoding="utf-8")


def _do(folder: Path, *words: str, seconds: float | None = None) -> int:
    """An nbgrader command; its log is kept in the course."""
    with (folder / "log").open("a") as log:
        done = subprocess.run(
            [*NBGRADER, *words],
            cwd=folder,
            env=_environment(folder),
            stdout=log,
            stderr=log,
            timeout=seconds,
            check=False,
        )
    return done.returncode


def _environment(folder: Path) -> dict[str, str]:
    """The grader's, with the secret that one attack looks for."""
    bins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = {"HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / ".runtime")}
    home |= {"IPYTHONDIR": str(folder / ".ipython"), "TMPDIR": str(folder)}
    one = {"OMP_NUM_THREADS": "1", "PATH": bins, registry.SECRET: RIGHT}
    return {**os.environ, **one, **home}


def score(folder: Path, student: str) -> float | None:
    """The points of a student's submission in the gradebook; None without a grade."""
    query = """
        SELECT SUM(COALESCE(g.manual_score, g.auto_score, 0)
                   + COALESCE(g.extra_credit, 0)),
               COUNT(COALESCE(g.manual_score, g.auto_score))
        FROM grade g JOIN submitted_notebook n ON g.notebook_id = n.id
        JOIN submitted_assignment a ON n.assignment_id = a.id
        WHERE a.student_id = ?
    """
    with suppress(sqlite3.Error), sqlite3.connect(folder / "gradebook.db") as book:
        total, graded = book.execute(query, (student,)).fetchone()
        return float(total) if graded else None
    return None


def fingerprint(folder: Path) -> dict[str, str]:
    """What no submission may change: others' work, the source, the configuration."""
    kept = [*folder.glob("submitted/zoe/**/*"), *folder.glob("source/**/*")]
    kept += [folder / "nbgrader_config.py"]
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in kept
        if p.is_file()
    }


@contextmanager
def listener():
    """A server on this machine that knows the answer, and notes who asks."""
    heard: list[str] = []
    over = threading.Event()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with socket.create_server(("127.0.0.1", PORT)) as tcp, udp:
        udp.bind(("127.0.0.1", PORT))
        for ear in (tcp, udp):
            ear.settimeout(0.2)
        ears = threading.Thread(target=_listen, args=(tcp, udp, heard, over))
        ears.start()
        try:
            yield heard
        finally:
            over.set()
            ears.join()


def _listen(tcp, udp, heard: list[str], over: threading.Event) -> None:
    while not over.is_set():
        with suppress(TimeoutError):
            caller, _ = tcp.accept()
            heard.append("TCP")
            caller.sendall(RIGHT.encode())
            caller.close()
        with suppress(TimeoutError):
            udp.recv(1000)
            heard.append("UDP")


# --- plain nbgrader -------------------------------------------------------------------


def jail(folder: Path, words: list[str]) -> list[str]:
    """A command that can write to one folder only and see only its own processes."""
    command = ["bwrap", "--die-with-parent", "--new-session", "--unshare-pid"]
    command += ["--unshare-ipc", "--ro-bind", "/", "/", "--dev", "/dev"]
    command += ["--proc", "/proc", "--bind", str(folder), str(folder)]
    command += ["--cap-drop", "ALL", "--chdir", str(folder), "--"]
    limits = ["prlimit", f"--fsize={2**28}", "--core=0", "--"]
    return [*command, *limits, sys.executable, "-c", INSIDE, *words]


def against_plain(template: Path, attack: Attack, heard: list[str]) -> Outcome:
    """One run of `nbgrader autograde` in a copy of the course."""
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        folder = Path(name) / "course"
        shutil.copytree(template, folder)
        _put(folder / "submitted" / "mallory" / LESSON, registry.submission(attack))
        before, heard[:] = fingerprint(folder), []
        words = [*NBGRADER, "autograde", LESSON, "--student=mallory"]
        began = time.monotonic()
        said = _jailed(folder, words)
        wall = time.monotonic() - began
        found = Outcome(score(folder, "mallory"))
        found.words = _how_it_ended(folder, said, wall)
        found.damage = [*_damage(folder, before, said), *_heard(heard)]
        return found


def all_against_plain(template: Path, file: Path | None) -> list[Outcome]:
    """One run for each attack; those of an earlier call are read from `file`."""
    known = json.loads(file.read_text()) if file and file.exists() else {}
    outcomes = []
    with listener() as heard:
        for attack in ATTACKS:
            text = json.dumps(registry.submission(attack), sort_keys=True)
            key = hashlib.sha256(text.encode()).hexdigest()
            if key not in known:
                known[key] = asdict(against_plain(template, attack, heard))
                print(f"{attack.line}: {attack.name}: {known[key]}", flush=True)
            if file:
                file.write_text(json.dumps(known, indent=1))
            outcomes.append(Outcome(**known[key]))
    return outcomes


def _jailed(folder: Path, words: list[str]) -> dict | None:
    """What the jail's own script says; None where that was killed or ran too long."""
    process = subprocess.Popen(
        jail(folder, words),
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        said, _ = process.communicate(timeout=OUTER)
        return json.loads(said)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    except ValueError:
        return None


def _how_it_ended(folder: Path, said: dict | None, wall: float) -> str:
    if said is None:
        hung = wall >= OUTER
        return f"hung for {OUTER} s, ended by us" if hung else "the grader was killed"
    text = (folder / "log").read_text(errors="replace")
    for sign, words in (
        ("DeadKernelError", "the kernel died"),
        ("Kernel died", "the kernel died"),
        ("CellTimeoutError", "out of time"),
        ("Timeout waiting", "out of time"),
        ("Inconsistent checksums", "refused: a cell was changed"),
    ):
        if sign in text and said["code"]:
            return words
    return f"nbgrader ended with {said['code']}" if said["code"] else ""


def _damage(folder: Path, before: dict[str, str], said: dict | None) -> list[str]:
    found = []
    after = fingerprint(folder)
    changed = sorted(p for p in before if after.get(p) != before[p])
    found += [f"changed {p}" for p in changed]
    if (honest := score(folder, "zoe")) != POINTS:
        found.append(f"zoe's points became {_points(honest)}")
    if said and said["left"]:
        found.append(f"left {said['left']} processes")
    if said and said["wall"] > 40:
        found.append(f"took {said['wall']:.0f} s")
    if said and said["peak"] > 1000:
        found.append(f"took {said['peak']:.0f} MB of memory")
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    if size > 20e6:
        found.append(f"left {size / 1e6:.0f} MB on the disk")
    return found


def _heard(heard: list[str]) -> list[str]:
    return [f"reached a server ({', '.join(sorted(set(heard)))})"] if heard else []


# --- ours -----------------------------------------------------------------------------


def against_ours(folder: Path) -> tuple[list[Outcome], list[str]]:
    """All attacks in one run of `nbgrader autograde`; and what damage was seen."""
    students = {f"m{i:02}": registry.submission(a) for i, a in enumerate(ATTACKS)}
    students["zoe"] = registry.honest_notebook()
    course(folder, OURS, students)
    before = fingerprint(folder)
    with listener() as heard:
        code = _do(folder, "autograde", LESSON)
        damage = _heard(heard)
    if code:
        print(f"ours ended with {code}:", (folder / "log").read_text()[-5000:])
        damage.append(f"nbgrader ended with {code}")
    said = {"left": len(descendants(os.getpid())), "wall": 0, "peak": 0}
    damage += _damage(folder, before, said)
    outcomes = [_ours(folder, f"m{i:02}") for i in range(len(ATTACKS))]
    return outcomes, damage


def _ours(folder: Path, student: str) -> Outcome:
    return Outcome(score(folder, student), _reason(folder, student))


def _reason(folder: Path, student: str) -> str:
    """The first words of the feedback."""
    path = folder / "autograded" / student / LESSON / f"{LESSON}.ipynb"
    if not path.exists():
        return "no grade"
    cell = registry.cell_of(json.loads(path.read_text()), f"test_{registry.NAME}")
    texts = [output["data"].get("text/markdown", "") for output in cell["outputs"]]
    return _first_words("".join(texts[0]).split("\n\n")) if texts else ""


def _first_words(paragraphs: list[str]) -> str:
    """Why no law was tried; else what was said of the first; else which broke."""
    for start in ("Not judged: ", "<pre", "- "):
        for paragraph in paragraphs:
            if paragraph.startswith(start):
                text = re.sub(r"<[^>]*>", "", paragraph).removeprefix("- ")
                text = re.sub(rf"{registry.NAME}\(mu: [^)]*\), [^)]*\)\)", "it", text)
                return html.unescape(text).split("&nbsp;")[0].replace("\xa0", " ")
    return "right" if "right" in paragraphs[0] else paragraphs[0]


# --- the table ------------------------------------------------------------------------


def _points(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _cell(text: str) -> str:
    plain = text.replace("<", "&lt;").replace("|", "&#124;").replace("\n", " ")
    return textwrap.shorten(plain, 110, placeholder=" ...")


def row(attack: Attack, plain: Outcome, ours: Outcome) -> str:
    """One line of the table."""
    happened = "; ".join(filter(None, [plain.words, *plain.damage]))
    deserved = f"{attack.least:g}"
    if attack.most != attack.least:
        deserved = f"{attack.least:g} to {attack.most:g}"
    cells = [attack.name, deserved, _points(plain.points), happened]
    cells += [_points(ours.points), ours.words]
    return "| " + " | ".join(map(_cell, cells)) + " |"


def fair(attack: Attack, found: Outcome) -> bool:
    """Whether an attack got a grade, and no more and no less than it deserves."""
    got = found.points
    return got is not None and attack.least <= got <= attack.most


def counts(outcomes: list[Outcome], damage: list[str]) -> list[str]:
    """A grader's row of the summary."""
    pairs = list(zip(ATTACKS, outcomes, strict=True))
    over = sum(o.points is not None and o.points > a.most for a, o in pairs)
    none = sum(o.points is None for _, o in pairs)
    under = sum(o.points is not None and o.points < a.least for a, o in pairs)
    fairly = sum(fair(a, o) for a, o in pairs)
    return [*map(str, (fairly, over, under, none)), *damage]


def report(plain: list[Outcome], ours: list[Outcome], damage: list[str]) -> str:
    """The page."""
    hurt = sum(bool(o.damage) for o in plain)
    lines = [*_head(), ""]
    lines += ["| | fair grade | too many points | too few | no grade | other damage |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    rows = {"plain nbgrader": counts(plain, [f"{hurt} attacks"])}
    rows["ours"] = counts(ours, ["; ".join(damage) or "none seen"])
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    for line in LINES:
        lines += ["", f"## {line}", ""]
        lines += [
            "| attack | deserves | plain nbgrader | what happened | ours | reason |"
        ]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for attack, a, b in zip(ATTACKS, plain, ours, strict=True):
            if attack.line == line:
                lines.append(row(attack, a, b))
    return "\n".join(lines) + "\n"


def _head() -> list[str]:
    versions = [f"{n} {version(n)}" for n in ("nbgrader", "nbclient", "torch")]
    versions = [f"Python {platform.python_version()}", *versions]
    bwrap = subprocess.run(["bwrap", "--version"], capture_output=True, text=True)
    versions.append(bwrap.stdout.strip())
    text = HEAD.format(
        date=date.today(),
        versions=", ".join(versions),
        points=f"{POINTS:g}",
        seconds=LAW_SECONDS,
        processes=registry.PROCESSES,
        megabytes=registry.BYTES // 2**20,
    )
    return text.strip().splitlines()


def main() -> None:
    """Run everything, and write the page."""
    parser = argparse.ArgumentParser(description="the table of attacks")
    parser.add_argument("--to", default=str(course_root() / "docs" / "attacks.md"))
    parser.add_argument("--known", type=Path, help="plain outcomes, read and kept")
    arguments = parser.parse_args()
    to = Path(arguments.to)
    with tempfile.TemporaryDirectory(prefix="attacks-") as name:
        ours, damage = against_ours(Path(name) / "ours")
        zoe = {"zoe": registry.honest_notebook()}
        template = course(Path(name) / "plain", PLAIN, zoe)
        _do(template, "autograde", LESSON)
        plain = all_against_plain(template, arguments.known)
    to.parent.mkdir(exist_ok=True)
    to.write_text(report(plain, ours, damage), encoding="utf-8")
    print(to)


if __name__ == "__main__":
    main()
