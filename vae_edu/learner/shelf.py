"""The files of `work/`: read, changed with proof, written whole, kept in a backup.

`put` is the only way in: an answer is written where the file, loaded afresh, holds what
the notebook holds, and is not written otherwise. What belongs here: the files and what
is remembered about them. What does not: notebooks, judging.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import tempfile
import types
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vae_edu import catalogue
from vae_edu.learner.cells import Bundle
from vae_edu.learner.rerun import randomness_kept
from vae_edu.learner.sameness import same
from vae_edu.learner.statements import needs
from vae_edu.learner.workfile import in_order, texts_of, with_bundle
from vae_edu.paths import work_dir

HEADER = (
    '"""Your answers to lesson {folder}. Saved from the notebook; '
    "edit them here if you like.\n\n"
    "This file is what every later lesson uses. "
    'Earlier versions are kept in work/backup.\n"""\n'
)


@dataclass
class Outcome:
    """What became of an answer: saved, or edited in the file since; and what to say."""

    saved: bool = False
    edited: bool = False
    words: str = ""


def work_file(topic: str) -> Path:
    """Where the answers to a lesson are kept."""
    return work_dir() / f"{topic}.py"


def put(bundle: Bundle, topic: str, names: Mapping[str, Any]) -> Outcome:
    """Save an answer with all that it reaches, where the file can hold it.

    names: what the file finds without defining it, the lesson's other exercises.
    """
    if bundle.problems:
        return Outcome(words=_not_saved(bundle, topic, " ".join(bundle.problems)))
    try:
        return _put_into(read(work_file(topic)), bundle, topic, names)
    except (SyntaxError, ValueError) as error:
        return Outcome(words=_not_saved(bundle, topic, _unreadable(topic, error)))
    except OSError as error:
        why = f"It cannot be read or written: {error.strerror}."
        return Outcome(words=_not_saved(bundle, topic, why))


def _put_into(
    current: str, bundle: Bundle, topic: str, names: Mapping[str, Any]
) -> Outcome:
    old, there = texts_of(current), _put(topic)
    by_hand = _edited(old, bundle, there)
    if by_hand and bundle.name in old and _as_saved(bundle, topic):
        return Outcome(edited=True)
    start = current or HEADER.format(folder=catalogue.folder_of(topic))
    text = with_bundle(start, bundle, there)
    wrong = prove(text, bundle, topic, names)
    if wrong and not prove(in_order(text), bundle, topic, names):
        text, wrong = in_order(text), ""
    if wrong:
        return Outcome(words=_not_saved(bundle, topic, wrong))
    if text != current:
        _replace(work_file(topic), text, bundle, current)
    _remember(topic, bundle, texts_of(text))
    said = [_told_of_edits(by_hand, topic), _told_of_others(bundle, topic, old, text)]
    return Outcome(saved=True, words=" ".join(filter(None, said)))


def _not_saved(bundle: Bundle, topic: str, why: str) -> str:
    return f"{bundle.name} was not saved to work/{topic}.py. {why}"


def _unreadable(topic: str, error: Exception) -> str:
    where = (
        f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else ""
    )
    return (
        f"work/{topic}.py does not parse ({where or error}). Mend that line and run "
        "the cell of your answer again."
    )


def _edited(
    old: Mapping[str, str], bundle: Bundle, there: Mapping[str, str]
) -> list[str]:
    """The names whose text in the file is neither the notebook's nor what was put."""
    return [
        name
        for name, text in bundle.texts().items()
        if name in old and old[name] not in (text, there.get(name, old[name]))
    ]


def _as_saved(bundle: Bundle, topic: str) -> bool:
    """Whether the notebook's texts are those that it was saved with last."""
    before = _load_state().get("uses", {}).get(topic, {}).get(bundle.name)
    own = _state(topic).get(bundle.name) == bundle.own
    helpers = bundle.texts().items() - {(bundle.name, bundle.own)}
    return own and (before is None or helpers <= before.items())


def _told_of_edits(names: list[str], topic: str) -> str:
    """That a changed cell has taken the place of an edit by hand."""
    if not names:
        return ""
    return (
        f"{', '.join(names)} had been edited in work/{topic}.py: this notebook's "
        "version has taken its place, and the edited file is in work/backup."
    )


def prove(text: str, bundle: Bundle, topic: str, names: Mapping[str, Any]) -> str:
    """Why a file's text does not give what the notebook holds; "" where it does."""
    try:
        with randomness_kept():
            name, where = f"vae_edu_work.{topic}", f"<work/{topic}.py, tried>"
            module = load_module(name, text, where, names)
    except Exception as error:
        return (
            f"work/{topic}.py would not run ({type(error).__name__}: {error}). Mend "
            "what it names, in the file or in your cells, and run the cell of your "
            "answer again."
        )
    wrong = [
        name
        for name, value in bundle.values.items()
        if name not in vars(module) or not same(vars(module)[name], value)
    ]
    shadowed = [n for n in bundle.builtin if n in vars(module)]
    if not [*wrong, *shadowed]:
        return ""
    name = [*wrong, *shadowed][-1]
    return (
        f"The text of your cells, run again, does not give {name} as this notebook "
        "holds it: what it is made of was changed since, or it gives something else "
        f"each time. Run the cell of {name} again, then that of your answer."
    )


def load_module(
    name: str, source: str, filename: str, names: Mapping[str, Any] | None = None
) -> types.ModuleType:
    """Run a module's text under a name of its own; names: what it may use undefined."""
    module = types.ModuleType(name)
    module.__file__ = filename
    module.__dict__.update(names or {})
    remember_lines(filename, source)
    with _registered(name, module):
        exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    return module


@contextmanager
def _registered(name: str, module: types.ModuleType) -> Any:
    """While a module runs, its classes find it by name: a dataclass asks for it."""
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before


def remember_lines(filename: str, source: str) -> None:
    """Let `inspect` and tracebacks find the lines of code that is in no file."""
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)


def _told_of_others(
    bundle: Bundle, topic: str, old: Mapping[str, str], text: str
) -> str:
    """That another answer uses what has changed under it."""
    new = texts_of(text)
    changed = {n for n in bundle.items if n in old and old[n] != new.get(n)}
    names = {e.name for e in catalogue.exercises_of(topic)} & new.keys()
    told = [
        f"{helper} has changed for {name} too, which uses it: check({name}) again."
        for name in sorted(names - {bundle.name} - bundle.items.keys())
        for helper in sorted(changed & reached(name, new))
    ]
    return " ".join(told)


def reached(name: str, texts: Mapping[str, str]) -> set[str]:
    """The names in a file that one of them uses, directly or through others."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        text = texts.get(waiting.pop(), "")
        new = (needs(text) & texts.keys()) - found
        found |= new
        waiting |= new
    return found


# --- files ----------------------------------------------------------------------------


def read(path: Path) -> str:
    """A file's text; "" where there is none."""
    return path.read_text(encoding="utf-8-sig") if path.exists() else ""


def write(path: Path, text: str) -> None:
    """Replace a file at once: a crash leaves the old text or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _replace(path: Path, text: str, bundle: Bundle, current: str) -> None:
    """Write a file; where lines of the old one go, it is kept."""
    left = set(current.splitlines()) - set(text.splitlines())
    if left or len(text) < len(current):
        _back_up(path, bundle.name, current)
    write(path, text)


def _back_up(path: Path, name: str, current: str) -> None:
    folder = path.parent / "backup"
    if any(read(p) == current for p in folder.glob(f"{path.stem}.*.py")):
        return
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    write(folder / f"{path.stem}.{name}.{stamp}.py", current)


# --- what is remembered ---------------------------------------------------------------


def _put(topic: str) -> dict[str, str]:
    """What was put into a lesson's file last, by name; what differs was edited."""
    state = _load_state()
    return {**_state(topic), **state.get("put", {}).get(topic, {})}


def _state(topic: str) -> dict[str, str]:
    """What the cells of a lesson's answers held when they were saved."""
    return _load_state().get("saved", {}).get(topic, {})


def _state_path() -> Path:
    return work_dir() / ".state.json"


def _load_state() -> dict[str, Any]:
    try:
        state = json.loads(read(_state_path()) or "{}")
    except ValueError:
        return {}  # only remembers what cells held; the answers themselves are in *.py
    return state if isinstance(state, dict) else {}


def _remember(topic: str, bundle: Bundle, texts: Mapping[str, str]) -> None:
    state = _load_state()
    own = bundle.texts()
    helpers = {n: t for n, t in own.items() if n != bundle.name}
    state.setdefault("saved", {}).setdefault(topic, {})[bundle.name] = bundle.own
    state.setdefault("uses", {}).setdefault(topic, {})[bundle.name] = helpers
    there = state.setdefault("put", {}).setdefault(topic, {})
    there.update({n: texts[n] for n in own if n in texts})
    state["put"][topic] = {n: t for n, t in there.items() if n in texts}
    _write_state(state)


def _write_state(state: Mapping[str, Any]) -> None:
    text = json.dumps(state, indent=1)
    if text != read(_state_path()):
        write(_state_path(), text)


def borrowed() -> list[str]:
    """The lessons whose reference answers the learner uses."""
    return list(_load_state().get("borrowed", []))


def remember_borrowed(topics: list[str]) -> None:
    """Note which lessons use the reference."""
    state = _load_state()
    state["borrowed"] = sorted(topics, key=catalogue.TOPICS.index)
    _write_state(state)
