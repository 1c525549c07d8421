"""The learner's own answers: saved from notebooks into `work/`, used by every lesson.

`work/<topic>.py` is what later lessons use: a module with the learner's definitions,
edited by `@exercise` or by hand. It holds what was checked, or the learner is told at
once. What does not belong here: reading cells (`cells`), changing the files (`shelf`),
judging, and anything about right or wrong.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import types
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.learner import shelf
from vae_edu.learner.cells import Bundle, gather, is_unfilled
from vae_edu.learner.shelf import (
    borrowed,
    load_module,
    read,
    remember_borrowed,
    remember_lines,
    work_file,
)
from vae_edu.learner.signature import expect_signature
from vae_edu.learner.statements import definition_of
from vae_edu.learner.workfile import texts_of
from vae_edu.lesson import AUTHORED, find

__all__ = [
    "borrowed",
    "current_answers",
    "exercise",
    "is_unfilled",
    "load_module",
    "note",
    "refresh",
    "remember_borrowed",
    "remember_lines",
    "resolve",
    "saving",
    "stub_of",
    "use_own",
    "use_reference",
    "work_file",
]

T = TypeVar("T")

_saving = True  # switched off where a judge runs a learner's cells


def saving(on: bool) -> None:
    """Whether `@exercise` writes to `work/`; a judging process switches it off."""
    global _saving
    _saving = on


def _keeps() -> bool:
    """Nbgrader runs other people's notebooks: nothing of theirs is kept."""
    return _saving and not os.environ.get("NBGRADER_EXECUTION")


# --- from a cell to work/ -------------------------------------------------------------


set_aside: dict[str, str] = {}  # why an exercise's last cell is not what is judged


def exercise(obj: T) -> T:
    """Decorate your answer in a notebook: it is checked against the stub's name and
    signature, saved to `work/`, and used by every later lesson.

    An unfilled stub never replaces a saved answer: the saved one is returned instead.
    Raises CourseError where the name or the signature is not the stub's.
    """
    if not _saving:
        return obj
    entry = catalogue.find(getattr(obj, "__name__", str(obj)))
    set_aside[entry.name] = "refused"
    expect_signature(obj, stub_of(entry), entry.name)
    del set_aside[entry.name]
    bundle = gather(obj, entry.name, entry.topic, sys._getframe(1).f_globals)
    if not _keeps():
        return _held(obj, entry, bundle.own)
    if not bundle.own:
        _say(_UNREAD.format(entry.name, entry.topic))
        return obj
    if is_unfilled(bundle.own):
        return _saved_or(obj, entry, "unfilled")
    return _saved(obj, entry, bundle)


_held_here: dict[str, Any] = {}


def _held(obj: T, entry: catalogue.Exercise, source: str) -> T:
    """An answer as `work/` would have it, in this process alone: no file is touched."""
    if source and is_unfilled(source):
        return _held_here.get(entry.name, obj)
    _held_here[entry.name] = obj
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    setattr(module, entry.name, obj)
    return obj


_UNREAD = (
    "The text of {0} could not be read here, so it was not saved. Define it at the "
    "top level of a cell, or put it into work/{1}.py yourself to keep it."
)


def _saved(obj: T, entry: catalogue.Exercise, bundle: Bundle) -> T:
    """Save an answer; returned is what counts, which may be the file's."""
    outcome = shelf.put(bundle, entry.topic, _beside(entry.topic))
    if outcome.edited:
        return _saved_or(obj, entry, "older")
    if outcome.words:
        _say(outcome.words)
    if outcome.saved:
        module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
        setattr(module, entry.name, obj)
    return obj


def _saved_or(obj: T, entry: catalogue.Exercise, cell: str) -> T:
    """What `work/` or a borrowed reference has, where a cell does not count."""
    refresh(entry.topic)
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    saved = getattr(module, entry.name)
    if saved is module.__stubs__[entry.name]:
        return obj
    set_aside[entry.name] = cell
    _say(_note_of(entry, saved))
    return saved


def note(name: str, answer: Any) -> str:
    """What `check` adds: how far the cell, the file and what was judged agree.

    An answer of this notebook is saved first as it is now: a helper may have been
    mended in a cell of its own. "" where there is nothing to add.
    """
    entry = catalogue.find(name)
    if getattr(answer, "__module__", "") == "__main__" and _keeps():
        return " ".join(filter(None, [_refused(name), _save_again(answer, entry)]))
    return _note_of(entry, answer) if entry.name in set_aside else ""


def _save_again(answer: Any, entry: catalogue.Exercise) -> str:
    bundle = gather(answer, entry.name, entry.topic, _scope(answer))
    if not bundle.own:
        return _UNREAD.format(entry.name, entry.topic)
    if is_unfilled(bundle.own):
        return ""
    try:
        expect_signature(answer, stub_of(entry), entry.name)
    except CourseError as error:
        return f"It was not saved. {error}"
    outcome = shelf.put(bundle, entry.topic, _beside(entry.topic))
    said = [outcome.words, _missing(bundle, entry) if outcome.saved else ""]
    if outcome.edited:
        said = [_EDITED.format(entry.topic)]
    return " ".join(filter(None, said))


_EDITED = (
    "work/{0}.py was edited since this was saved, and later lessons use that version; "
    "what is judged here is this notebook's. Run the cell of your answer again to take "
    "the file's, or change the cell."
)


def _missing(bundle: Bundle, entry: catalogue.Exercise) -> str:
    """What the notebook lacks and the file still has."""
    there = texts_of(read(work_file(entry.topic)))
    names = ", ".join(sorted(bundle.missing & there.keys()))
    if not names:
        return ""
    return (
        f"This notebook does not define {names} now; work/{entry.topic}.py has the "
        "version before, which is not handed in: put it back into a cell."
    )


def _scope(answer: Any) -> Mapping[str, Any]:
    """The names of the notebook that an answer was defined in."""
    parts = [answer, *vars(answer).values()] if isinstance(answer, type) else [answer]
    found = (getattr(inspect.unwrap(p), "__globals__", {}) for p in parts)
    own = (names for names in found if names.get("__name__") == "__main__")
    return next(own, vars(sys.modules["__main__"]))


def _refused(name: str) -> str:
    if set_aside.get(name) != "refused":
        return ""
    return (
        f"The last cell that defined {name} was refused, and says why below it. What "
        "is judged here is the version before."
    )


def _note_of(entry: catalogue.Exercise, answer: Any) -> str:
    """What is handed in, where that is not what is judged."""
    cell, name, file = set_aside[entry.name], entry.name, f"work/{entry.topic}.py"
    if cell == "refused":
        return _refused(name)
    if str(getattr(answer, "__module__", "")).startswith(f"{AUTHORED}."):
        return (
            f"The cell of {name} is not filled in; {name} is the reference (borrowed). "
            "What is handed in is the cell, which is still empty."
        )
    if cell == "unfilled":
        said = f"The cell of {name} is not filled in; {name} is your saved answer from "
        said += f"{file}. What is handed in is the cell, which is still empty"
    else:
        said = f"{file} was edited since the cell of {name} was saved; {name} is the "
        said += "version from the file. What is handed in is the cell, which holds "
        said += "another"
    return (
        f"{said}. To put the file's there, run this line in that cell, in place of "
        f'what it holds: from vae_edu import fill_in; fill_in("{name}")'
    )


def _beside(topic: str) -> dict[str, Any]:
    """What a file in `work/` finds undefined: the lesson's other exercises."""
    module = importlib.import_module(f"vae_edu.exercises.{topic}")
    return _seeds(topic, module.__stubs__)


def _seeds(topic: str, stubs: Mapping[str, Any]) -> dict[str, Any]:
    return {**stubs, **(find(topic).reference if topic in borrowed() else {})}


def stub_of(entry: catalogue.Exercise) -> Any:
    """The stub itself, even where the learner's answer has taken its place."""
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    return module.__stubs__[entry.name]


# --- from work/ to every later lesson -------------------------------------------------


def resolve(namespace: dict[str, Any]) -> None:
    """End a stub module: the learner's answers take the stubs' places."""
    topic = namespace["__name__"].rpartition(".")[2]
    names = [e.name for e in catalogue.exercises_of(topic)]
    namespace["__stubs__"] = {n: namespace[n] for n in names}
    namespace["__all__"] = names
    namespace.update(current_answers(topic, namespace["__stubs__"]))


def current_answers(topic: str, stubs: Mapping[str, Any]) -> dict[str, Any]:
    """What `work/` (or a borrowed reference) has for a lesson, loaded afresh.

    A file that does not run is reported in one warning, and the stubs stay.
    """
    answers = find(topic).reference if topic in borrowed() else {}
    path = work_file(topic)
    if path.exists():
        try:
            names = _seeds(topic, stubs)
            text = read(path)
            module = load_module(f"vae_edu_work.{topic}", text, str(path), names)
        except Exception as error:
            warnings.warn(
                f"work/{topic}.py does not run ({type(error).__name__}: {error}). "
                "Mend it, or run the notebook's cells again; until then its exercises "
                "count as unfilled.",
                stacklevel=2,
            )
            return answers
        answers |= _filled_in(topic, module, text, names)
    return answers


def _filled_in(
    topic: str, module: types.ModuleType, source: str, names: Mapping[str, Any]
) -> dict[str, Any]:
    filled = {}
    for entry in catalogue.exercises_of(topic):
        own = getattr(module, entry.name, None)
        text = definition_of(source, entry.name)
        unfilled = text is not None and is_unfilled(text.text)
        if own is not names.get(entry.name) and not unfilled:
            filled[entry.name] = own
    return filled


def refresh(topic: str) -> None:
    """Load `work/` again into the exercise module, for answers edited by hand."""
    module = importlib.import_module(f"vae_edu.exercises.{topic}")
    for name, stub in module.__stubs__.items():
        setattr(module, name, stub)
    for name, answer in current_answers(topic, module.__stubs__).items():
        setattr(module, name, answer)


# --- the reference, for who is stuck --------------------------------------------------


def use_reference(lesson: str) -> None:
    """Go on with the reference answers of a lesson where you have none of your own.

    Remembered, shown in `progress()`, and undone by `use_own(lesson)`. Your own saved
    answers keep their place.
    """
    found = find(lesson)
    _ = found.reference  # raises where this copy has none
    remember_borrowed([*{*borrowed(), found.topic}])
    _renew(found.topic)
    _say(
        f"Borrowed the reference for {found.folder}, wherever you have "
        "no answer of your own. Come back to it: filling in a cell replaces what you "
        "borrowed."
    )


def use_own(lesson: str) -> None:
    """Give a borrowed reference back."""
    found = find(lesson)
    remember_borrowed([t for t in borrowed() if t != found.topic])
    _renew(found.topic)
    _say(f"Using your own answers to {found.folder} again.")


def _renew(topic: str) -> None:
    """Renew the exercise module and the names that a notebook already holds."""
    module = importlib.import_module(f"vae_edu.exercises.{topic}")
    refresh(topic)
    scope = getattr(sys.modules.get("__main__"), "__dict__", {})
    if "get_ipython" in scope:
        held = {n: getattr(module, n) for n in module.__stubs__ if n in scope}
        scope.update(held)


def _say(text: str) -> None:
    print(text)
