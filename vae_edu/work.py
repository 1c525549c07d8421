"""The learner's own answers: saved from notebooks into `work/`, used by every lesson.

`work/<topic>.py` is the truth: a module with the learner's definitions, edited by
`@exercise` or by hand. Nothing here ever discards a learner's text: what a new version
replaces is kept in `work/backup/`. What does not belong here: judging, and anything
about right or wrong.
"""

from __future__ import annotations

import ast
import builtins
import dis
import importlib
import inspect
import json
import linecache
import os
import re
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.paths import course_root, work_dir

T = TypeVar("T")

HEADER = (
    '"""Your answers to lesson {folder}. Saved from the notebook; '
    "edit them here if you like.\n\n"
    "This file is what every later lesson uses. "
    'Earlier versions are kept in work/backup.\n"""\n'
)
_saving = True  # switched off where a judge runs a learner's cells


def saving(on: bool) -> None:
    """Whether `@exercise` writes to `work/`; a judging process switches it off."""
    global _saving
    _saving = on


def work_file(topic: str) -> Path:
    """Where the answers to a lesson are kept."""
    return work_dir() / f"{topic}.py"


# --- from a cell to work/ -------------------------------------------------------------


refused: set[str] = set()  # exercises whose last cell had another signature


def exercise(obj: T) -> T:
    """Decorate your answer in a notebook: it is checked against the stub's name and
    signature, saved to `work/`, and used by every later lesson.

    An unfilled stub never replaces a saved answer: the saved one is returned instead.
    Raises CourseError where the name or the signature is not the stub's.
    """
    if not _saving:
        return obj
    entry = catalogue.find(getattr(obj, "__name__", str(obj)))
    refused.add(entry.name)
    _expect_signature(obj, stub_of(entry), entry.name)
    refused.discard(entry.name)
    frame = sys._getframe(1)
    source = _definition_source(frame, entry.name)
    if os.environ.get("NBGRADER_EXECUTION"):  # nbgrader runs other people's notebooks
        return _held(obj, entry, source)
    if source is None:
        _say(
            f"The text of {entry.name} could not be read here, so it was not saved. "
            f"Put it into work/{entry.topic}.py yourself to keep it."
        )
        return obj
    if is_unfilled(source):
        return _saved_or(obj, entry)
    return _save(obj, entry, source, frame.f_globals)


_held_here: dict[str, Any] = {}


def _held(obj: T, entry: catalogue.Exercise, source: str | None) -> T:
    """An answer as `work/` would have it, in this process alone: no file is touched."""
    if source is not None and is_unfilled(source):
        return _held_here.get(entry.name, obj)
    _held_here[entry.name] = obj
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    setattr(module, entry.name, obj)
    return obj


def stub_of(entry: catalogue.Exercise) -> Any:
    """The stub itself, even where the learner's answer has taken its place."""
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    return module.__stubs__[entry.name]


def _expect_signature(obj: Any, stub: Any, name: str) -> None:
    if isinstance(stub, type) != isinstance(obj, type):
        kind = "class" if isinstance(stub, type) else "function"
        raise CourseError(
            f"{name} should be a {kind}. Expected: {_signature_text(stub)}"
        )
    pairs = [(obj, stub, name)]
    if isinstance(stub, type):
        methods = [k for k, v in vars(stub).items() if inspect.isfunction(v)]
        # one that is missing may be a submodule: self.encode = nn.Sequential(...)
        methods = [m for m in methods if hasattr(obj, m)]
        pairs = [(getattr(obj, m), getattr(stub, m), f"{name}.{m}") for m in methods]
    for own, expected, where in pairs:
        if _parameters(own) != _parameters(expected):
            raise CourseError(f"{where}{_difference(own, expected)}")


def _difference(own: Any, expected: Any) -> str:
    """What to change, in words: often one name."""
    mine, wanted = list(_bare(own).parameters), list(_bare(expected).parameters)
    pairs = [(a, b) for a, b in zip(mine, wanted, strict=False) if a != b]
    change = "Keep the names, their order and the defaults"
    if len(mine) == len(wanted) and pairs and not {a for a, _ in pairs} & {*wanted}:
        change = "Rename " + ", ".join(f"{a} to {b}" for a, b in pairs)
    return (
        f" takes {_bare(own)}; expected {_bare(expected)}. {change}: later lessons "
        "call it that way."
    )


def _bare(function: Any) -> inspect.Signature:
    """The signature without annotations."""
    none = inspect.Parameter.empty
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=none) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=none)


def _signature_text(stub: Any) -> str:
    word = "class" if isinstance(stub, type) else "def"
    return f"{word} {stub.__name__}{inspect.signature(stub)}"


def _parameters(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]


def _definition_source(frame: types.FrameType, name: str) -> str | None:
    """The text of the definition being executed in `frame`, without its decorators.

    Read through linecache and ast: `inspect.getsource` fails for classes of a notebook
    before Python 3.13.
    """
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name != name:
            continue
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        if first <= frame.f_lineno <= (node.end_lineno or first):
            return _text(lines, node)
    return None


def _text(lines: list[str], node: ast.FunctionDef | ast.ClassDef) -> str:
    text = "".join(lines[node.lineno - 1 : node.end_lineno])
    return inspect.cleandoc("\n" + text).rstrip() + "\n"


def is_unfilled(source: str) -> bool:
    """True where all functions of a definition still only raise NotImplementedError."""
    functions = [
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)
    ]
    return bool(functions) and all(_only_raises(f) for f in functions)


def _only_raises(function: ast.FunctionDef) -> bool:
    body = [n for n in function.body if not _is_docstring(n)]
    return (
        len(body) == 1
        and isinstance(body[0], ast.Raise)
        and "NotImplementedError" in ast.dump(body[0])
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _saved_or(obj: T, entry: catalogue.Exercise) -> T:
    refresh(entry.topic)
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    saved = getattr(module, entry.name)
    if saved is module.__stubs__[entry.name]:
        return obj
    whose = f"your saved answer from work/{entry.topic}.py"
    if entry.topic in borrowed():
        whose = "the reference (borrowed)"
    _say(f"This cell is not filled in; {entry.name} is {whose}.")
    return saved


def _save(
    obj: T, entry: catalogue.Exercise, source: str, scope: Mapping[str, Any]
) -> T:
    path = work_file(entry.topic)
    current = _read(path)
    try:
        old = definition_in(current, entry.name)
    except SyntaxError as error:
        _say(
            f"work/{entry.topic}.py does not parse (line {error.lineno}: {error.msg}), "
            f"so {entry.name} was not saved. Mend that line and run this cell again."
        )
        return obj
    if old is not None and old != source:
        if _state(entry.topic).get(entry.name) == source:
            _say_edited(entry)
            return _saved_or(obj, entry)
        _back_up(path, entry)
    if old != source:
        _write(path, _with_definition(current, entry, source, scope))
    _remember(entry.topic, entry.name, source)
    module = importlib.import_module(f"vae_edu.exercises.{entry.topic}")
    setattr(module, entry.name, obj)
    return obj


def _say_edited(entry: catalogue.Exercise) -> None:
    _say(
        f"work/{entry.topic}.py was edited since this cell was last saved: "
        f"{entry.name} is the version from the file. To go back to this cell's, change "
        "the cell."
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def definition_in(source: str, name: str) -> str | None:
    """The text of a top-level definition, undecorated; None where there is none."""
    node = _node_in(source, name)
    return None if node is None else _text(source.splitlines(keepends=True), node)


def _node_in(source: str, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    found = None
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            found = node  # the last one wins, as in Python
    return found


def _with_definition(
    current: str, entry: catalogue.Exercise, source: str, scope: Mapping[str, Any]
) -> str:
    text = current or HEADER.format(folder=entry.folder)
    imports, helpers = _needed(source, entry.topic, scope)
    for name, helper in helpers.items():
        text = _put(text, name, helper)
    text = _put(text, entry.name, source)
    return _add_imports(text, imports)


def _put(text: str, name: str, source: str) -> str:
    node = _node_in(text, name)
    if node is None:
        return text.rstrip("\n") + "\n\n\n" + source
    lines = text.splitlines(keepends=True)
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return "".join([*lines[: first - 1], source, *lines[node.end_lineno :]])


def _add_imports(text: str, imports: list[str]) -> str:
    missing = [line for line in imports if line not in text.splitlines()]
    if not missing:
        return text
    tree = ast.parse(text)
    at = 0
    for node in tree.body:
        if _is_docstring(node) or isinstance(node, ast.Import | ast.ImportFrom):
            at = node.end_lineno or at
        else:
            break
    lines = text.splitlines(keepends=True)
    gap = "" if at and "import" in lines[at - 1] else "\n"
    added = gap + "".join(line + "\n" for line in missing)
    return "".join([*lines[:at], added, *lines[at:]])


def _needed(
    source: str, topic: str, scope: Mapping[str, Any]
) -> tuple[list[str], dict[str, str]]:
    """Imports and helpers without which a definition would not run elsewhere."""
    imports: list[str] = []
    helpers: dict[str, str] = {}
    waiting = [source]
    while waiting:
        for name in _global_names(waiting.pop()):
            if name not in scope or name in helpers:
                continue
            line, helper = _origin(name, scope[name], topic)
            if line and line not in imports:
                imports.append(line)
            if helper:
                helpers[name] = helper
                waiting.append(helper)
    return sorted(imports), dict(reversed(helpers.items()))


def _global_names(source: str) -> list[str]:
    code = compile(source, "<answer>", "exec", dont_inherit=True)
    return sorted({n for n in _names_of(code) if not hasattr(builtins, n)})


def _names_of(code: types.CodeType) -> Iterator[str]:
    """Names that code looks up as globals; attributes (torch.where) are none."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_of(constant)


def _origin(name: str, value: Any, topic: str) -> tuple[str, str]:
    """An import line for `name`, or the text of a helper that the notebook defines."""
    if isinstance(value, types.ModuleType):
        return _import_line(value.__name__, name), ""
    known = {e.name: e.topic for e in catalogue.all_exercises()}
    if name in known:
        line = f"from vae_edu.exercises.{known[name]} import {name}"
        return "" if known[name] == topic else line, ""
    home = sys.modules.get(str(getattr(value, "__module__", None)))
    if home and home.__name__ != "__main__" and getattr(home, name, None) is value:
        return f"from {home.__name__} import {name}", ""
    if inspect.isfunction(value) or inspect.isclass(value):
        return "", _helper_source(name, value)
    if isinstance(value, int | float | str | bool):
        return f"{name} = {value!r}", ""
    _say(
        f"Your answer uses {name!r}, a {type(value).__name__} that only this notebook "
        "knows; other lessons will not find it. Define it inside your function."
    )
    return "", ""


def _import_line(module: str, name: str) -> str:
    parent, _, last = module.rpartition(".")
    if module == name:
        return f"import {module}"
    if last == name:
        return f"from {parent} import {name}"
    return f"import {module} as {name}"


def _helper_source(name: str, value: Any) -> str:
    code = getattr(value, "__code__", None) or next(
        (m.__code__ for m in vars(value).values() if inspect.isfunction(m)), None
    )
    lines = linecache.getlines(code.co_filename) if code else []
    return (definition_in("".join(lines), name) or "") if lines else ""


# --- files ----------------------------------------------------------------------------


def _write(path: Path, text: str) -> None:
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


def _back_up(path: Path, entry: catalogue.Exercise) -> None:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    target = path.parent / "backup" / f"{entry.topic}.{entry.name}.{stamp}.py"
    _write(target, _read(path))


def _state(topic: str) -> dict[str, str]:
    return _load_state().get("saved", {}).get(topic, {})


def _state_path() -> Path:
    return work_dir() / ".state.json"


def _load_state() -> dict[str, Any]:
    try:
        return json.loads(_read(_state_path()) or "{}")
    except json.JSONDecodeError:
        return {}  # only remembers what cells held; the answers themselves are in *.py


def _remember(topic: str, name: str, source: str) -> None:
    state = _load_state()
    state.setdefault("saved", {}).setdefault(topic, {})[name] = source
    _write(_state_path(), json.dumps(state, indent=1))


def borrowed() -> list[str]:
    """The lessons whose reference answers the learner uses."""
    return list(_load_state().get("borrowed", []))


def remember_borrowed(topics: list[str]) -> None:
    """Note which lessons use the reference."""
    state = _load_state()
    state["borrowed"] = sorted(topics, key=catalogue.TOPICS.index)
    _write(_state_path(), json.dumps(state, indent=1))


# --- from work/ to every later lesson -------------------------------------------------


def resolve(namespace: dict[str, Any]) -> None:
    """End a stub module: the learner's answers take the stubs' places."""
    topic = namespace["__name__"].rpartition(".")[2]
    names = [e.name for e in catalogue.exercises_of(topic)]
    namespace["__stubs__"] = {n: namespace[n] for n in names}
    namespace["__all__"] = names
    namespace.update(current_answers(topic))


def current_answers(topic: str) -> dict[str, Any]:
    """What `work/` (or a borrowed reference) has for a lesson, loaded afresh.

    A file that does not run is reported in one warning, and the stubs stay.
    """
    answers = reference_answers(topic) if topic in borrowed() else {}
    path = work_file(topic)
    if path.exists():
        try:
            module = load_module(f"vae_edu_work.{topic}", _read(path), str(path))
        except Exception as error:
            warnings.warn(
                f"work/{topic}.py does not run ({type(error).__name__}: {error}). "
                "Mend it, or run the notebook's cells again; until then its exercises "
                "count as unfilled.",
                stacklevel=2,
            )
            return answers
        answers |= _filled_in(topic, module, _read(path))
    return answers


def _filled_in(topic: str, module: types.ModuleType, source: str) -> dict[str, Any]:
    filled = {}
    for entry in catalogue.exercises_of(topic):
        own = getattr(module, entry.name, None)
        text = definition_in(source, entry.name) or "pass"
        if own is not None and not is_unfilled(text):
            filled[entry.name] = own
    return filled


def load_module(name: str, source: str, filename: str) -> types.ModuleType:
    """Run a module's text under a name of its own."""
    module = types.ModuleType(name)
    module.__file__ = filename
    remember_lines(filename, source)
    exec(compile(source, filename, "exec"), module.__dict__)
    return module


def remember_lines(filename: str, source: str) -> None:
    """Let `inspect` and tracebacks find the lines of code that is in no file."""
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)


def refresh(topic: str) -> None:
    """Load `work/` again into the exercise module, for answers edited by hand."""
    module = importlib.import_module(f"vae_edu.exercises.{topic}")
    for name, stub in module.__stubs__.items():
        setattr(module, name, stub)
    for name, answer in current_answers(topic).items():
        setattr(module, name, answer)


# --- the reference, for who is stuck --------------------------------------------------


def reference_file(topic: str) -> Path:
    """Where the reference answers of a lesson are, in a full checkout."""
    return course_root() / "solutions" / catalogue.folder_of(topic) / "exercises.py"


def reference_answers(topic: str) -> dict[str, Any]:
    """The reference answers of a lesson; a CourseError where this copy has none."""
    module = _reference_module(reference_file(topic))
    return {e.name: getattr(module, e.name) for e in catalogue.exercises_of(topic)}


@cache
def _reference_module(path: Path) -> types.ModuleType:
    if not path.exists():
        raise CourseError(
            f"This copy of the course has no reference answers ({path.parent.name}/"
            f"{path.name} is not here). Ask your instructor for them, or use a full "
            "checkout."
        )
    topic = path.parent.name.partition("_")[2]
    return load_on_reference(f"vae_edu_reference.{topic}", _read(path), str(path))


def load_on_reference(name: str, source: str, filename: str) -> types.ModuleType:
    """Run a module's text; what it imports of other lessons is the reference."""
    topics = set(re.findall(r"^from vae_edu\.exercises\.(\w+) import", source, re.M))
    modules = {t: _reference_module(reference_file(t)) for t in topics}
    with exercises_replaced(modules):
        return load_module(name, source, filename)


@contextmanager
def exercises_replaced(modules: Mapping[str, types.ModuleType]) -> Iterator[None]:
    """While this lasts, imports of `vae_edu.exercises.<topic>` find these modules."""
    names = {f"vae_edu.exercises.{topic}": module for topic, module in modules.items()}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def use_reference(lesson: str) -> None:
    """Go on with the reference answers of a lesson where you have none of your own.

    Remembered, shown in `progress()`, and undone by `use_own(lesson)`. Your own saved
    answers keep their place.
    """
    topic = catalogue.topic_of(lesson)
    reference_answers(topic)
    remember_borrowed([*{*borrowed(), topic}])
    _renew(topic)
    _say(
        f"Borrowed the reference for {catalogue.folder_of(topic)}, wherever you have "
        "no answer of your own. Come back to it: filling in a cell replaces what you "
        "borrowed."
    )


def use_own(lesson: str) -> None:
    """Give a borrowed reference back."""
    topic = catalogue.topic_of(lesson)
    remember_borrowed([t for t in borrowed() if t != topic])
    _renew(topic)
    _say(f"Using your own answers to {catalogue.folder_of(topic)} again.")


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
