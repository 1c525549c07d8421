"""A lesson as an object: found once, its authored side by path and only when asked."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from vae_edu import catalogue, lesson
from vae_edu.errors import CourseError
from vae_edu.lesson import Lesson, find

TOPIC = "kl_divergence"
PARTS = ("reference", "hidden", "oracle", "mistakes", "variants")


def test_a_lesson_is_found_by_what_one_may_write_and_is_one_object():
    assert {find(text) for text in (TOPIC, "04_kl_divergence", "4", "04")} == {
        find(TOPIC)
    }
    assert find("4") is find(TOPIC)
    with pytest.raises(CourseError, match="Did you mean 'kl_divergence'"):
        find("kl_divergense")
    with pytest.raises(FrozenInstanceError):
        find(TOPIC).topic = "elbo"


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_every_lesson_has_every_part(topic):
    found = find(topic)
    names = {e.name for e in found.exercises}
    assert found.folder == f"{found.number:02d}_{topic}"
    assert (found.laws.topic, found.hidden.topic) == (topic, topic)
    assert set(found.reference) == set(found.recorded["truth"]) == names
    assert {m.exercise for m in found.mistakes} == names
    assert {v.exercise for v in found.variants} == names
    for name in names:
        laws = found.every_law(name)
        assert laws == [*found.laws.of(name), *found.hidden.of(name)]
        assert laws[0].hidden < laws[-1].hidden


def test_a_part_is_loaded_once_under_a_name_of_its_own():
    module = find(TOPIC).authored("hidden")
    assert module is find("4").authored("hidden")
    assert sys.modules[f"{lesson.AUTHORED}.{TOPIC}.hidden"] is module
    assert module.__file__ == str(find(TOPIC).file("hidden"))
    assert "torch.distributions" in inspect.getsource(module)
    wrong = find(TOPIC).mistakes[0].answer
    assert inspect.getsource(wrong).startswith("@mutant(")


@pytest.mark.parametrize("part", PARTS)
def test_a_copy_without_the_authored_side_names_what_is_missing(
    part, tmp_path, monkeypatch
):
    monkeypatch.setenv("VAE_EDU_HOME", str(tmp_path))
    file = {"reference": "exercises", "oracle": "hidden"}.get(part, part)
    with pytest.raises(CourseError, match=rf"04_kl_divergence/{file}\.py"):
        getattr(find(TOPIC), part)
    assert not find(TOPIC).has(file)
    assert find(TOPIC).laws
    assert find(TOPIC).recorded


def test_a_part_that_does_not_run_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_EDU_HOME", str(tmp_path))
    path = find(TOPIC).file("more")
    path.parent.mkdir(parents=True)
    path.write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        find(TOPIC).authored("more")
    assert f"{lesson.AUTHORED}.{TOPIC}.more" not in sys.modules


def test_what_it_imports_of_other_lessons_is_their_reference(tmp_path, monkeypatch):
    right = find("start_here").reference["log_mean_exp"]
    assert find("latent_variable_models").authored("exercises").log_mean_exp is right
    assert "NotImplementedError" not in inspect.getsource(right)


def test_neither_checks_nor_the_engine_import_an_authored_side():
    code = "import sys, vae_edu.feedback, vae_edu.standing, vae_edu.checks.judging; "
    code += f"print(*(m for m in sys.modules if m.startswith({lesson.AUTHORED!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_recorded_values_that_are_missing_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "_RECORDED", tmp_path)
    lesson._recorded.cache_clear()
    with pytest.raises(CourseError, match=r"kl_divergence\.json"):
        _ = Lesson(TOPIC).recorded
    monkeypatch.undo()
    assert Lesson(TOPIC).recorded["truth"]
