"""A lesson as one object: `find("04")`, then its exercises, laws and recorded numbers.

What an author writes stands in one folder, `solutions/NN_topic/`; what of it a copy of
the course has is loaded when it is asked for, by path, once. What belongs here: which
parts a lesson has, and where each is. What does not: running a law or an answer.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.paths import course_root

if TYPE_CHECKING:
    from vae_edu.checks.law import Law, Laws, OracleTruth

__all__ = ["AUTHORED", "Lesson", "find", "on_reference"]

AUTHORED = "vae_edu_authored"  # begins the names of modules from a lesson's folder
_RECORDED = Path(__file__).parent / "checks" / "recorded"
_EXERCISES = re.compile(r"^from vae_edu\.exercises\.(\w+) import", re.M)


def find(lesson: str) -> Lesson:
    """The lesson for what one may write: `kl_divergence`, `04_kl_divergence`, `4`."""
    return _lesson(catalogue.topic_of(lesson))


@dataclass(frozen=True)
class Lesson:
    """A lesson, by its topic; all else is found when it is asked for.

    Of `reference`, `hidden`, `oracle`, `mistakes` and `variants` a learner's copy has
    nothing: there they raise a CourseError that names the missing file.
    """

    topic: str

    # --- what every copy of the course has --------------------------------------------

    @property
    def number(self) -> int:
        """4 for lesson 04."""
        return catalogue.number_of(self.topic)

    @property
    def folder(self) -> str:
        """The name of its folder, `04_kl_divergence`."""
        return catalogue.folder_of(self.topic)

    @property
    def exercises(self) -> tuple[catalogue.Exercise, ...]:
        """Its exercises in their order."""
        return catalogue.exercises_of(self.topic)

    @property
    def checks(self) -> ModuleType:
        """The module of its public checks."""
        return import_module(f"vae_edu.checks.{self.topic}")

    @property
    def laws(self) -> Laws:
        """Its public laws."""
        return self.checks.LAWS

    @property
    def cases(self) -> Mapping[str, Any]:
        """The standard cases of its exercises, of those that have any."""
        return getattr(self.checks, "CASES", {})

    @property
    def recorded(self) -> dict[str, Any]:
        """Its recorded numbers: {"truth": ..., "misconceptions": ...}."""
        return _recorded(self.topic)

    # --- the authored side ------------------------------------------------------------

    def file(self, part: str) -> Path:
        """Where a part is written: `file("hidden")` is solutions/NN_topic/hidden.py."""
        return course_root() / "solutions" / self.folder / f"{part}.py"

    def has(self, part: str) -> bool:
        """Whether this copy of the course has a part of the authored side."""
        return self.file(part).is_file()

    def authored(self, part: str) -> ModuleType:
        """A part of the authored side as a module."""
        return _loaded(f"{AUTHORED}.{self.topic}.{part}", self.file(part))

    @property
    def reference(self) -> dict[str, Any]:
        """The reference answers, by the names of the exercises."""
        module = self.authored("exercises")
        return {e.name: getattr(module, e.name) for e in self.exercises}

    @property
    def hidden(self) -> Laws:
        """The laws that only a judge tries."""
        return self.authored("hidden").LAWS

    @property
    def oracle(self) -> OracleTruth:
        """The independent code that knows the true values."""
        from vae_edu.checks.law import OracleTruth
        from vae_edu.subject import local

        return OracleTruth(local(self.authored("hidden").ORACLES))

    @property
    def mistakes(self) -> list[Any]:
        """The wrong answers that were written by hand (`build.answers.Mutant`)."""
        return self.authored("mistakes").REGISTER.mutants

    @property
    def variants(self) -> list[Any]:
        """Right answers in other words (`build.answers.Variant`)."""
        return self.authored("variants").REGISTER.variants

    def every_law(self, exercise: str) -> list[Law]:
        """The laws of an exercise: public ones, then hidden ones."""
        return [*self.laws.of(exercise), *self.hidden.of(exercise)]


@cache
def _lesson(topic: str) -> Lesson:
    return Lesson(topic)


@cache
def _recorded(topic: str) -> dict[str, Any]:
    path = _RECORDED / f"{topic}.json"
    if not path.exists():
        raise CourseError(
            f"The recorded values of lesson {topic!r} are missing ({path.name} in "
            "vae_edu/checks/recorded). In a checkout, `make build` writes them; "
            "otherwise install vae_edu again."
        )
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def _loaded(name: str, path: Path) -> ModuleType:
    """A module by its path, registered under a name of its own as long as it works."""
    spec = spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise CourseError(
            f"This copy of the course does not have {path.parent.name}/{path.name}, "
            "a part of the instructor's side. Ask your instructor for it, or use a "
            "full checkout."
        )
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        with on_reference(path.read_text(encoding="utf-8")):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@contextmanager
def on_reference(source: str) -> Iterator[None]:
    """While this lasts, what a text imports of other lessons is their reference."""
    topics = set(_EXERCISES.findall(source))
    modules = {f"vae_edu.exercises.{t}": find(t).authored("exercises") for t in topics}
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
