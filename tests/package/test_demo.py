"""`make demo`: every submission of the small class ends where it should."""

from __future__ import annotations

import csv

import pytest

from vae_edu import catalogue
from vae_edu.cli import main
from vae_edu.grading.office import demo

WRITTEN = 2.0  # points that wait for a person


@pytest.mark.slow
def test_the_demo_tells_right_partly_right_wrong_and_hostile_apart(tmp_path, capfd):
    course = tmp_path / "course"
    assert main(["demo", "--keep", str(course)]) == 0
    shown = capfd.readouterr().out
    with (course / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    score = {student: float(row["score"]) for student, row in rows.items()}
    of = {float(row["max_score"]) for row in rows.values()}
    points = {e.name: e.card.points for e in catalogue.exercises_of(demo.TOPIC)}
    whole = sum(points.values())
    assert of == {whole + WRITTEN}
    assert score.pop("ada") == whole
    assert whole - points["gaussian_kl"] < score.pop("ben") < whole
    assert (score.pop("empty"), score.pop("torn")) == (0, 0)
    without = {whole - points["gaussian_kl"]}
    assert {v for k, v in score.items() if k.startswith("mistake")} == without
    assert {v for k, v in score.items() if k.startswith("mallory")} == without
    assert len(score) == demo.MISTAKES + len(demo.HOSTILE)
    assert "Standard deviations where the formula has variances" in shown
    for student in ("ada", "ben", "mistake 1", "mallory 1"):
        page = course / "feedback" / student / demo.LESSON / f"{demo.LESSON}.html"
        assert "SOLUTION" not in page.read_text(encoding="utf-8")
    assert (course / "canvas.csv").is_file()


def test_the_demo_overwrites_no_folder(tmp_path, capsys):
    (tmp_path / "mine").write_text("kept")
    assert main(["demo", "--keep", str(tmp_path)]) == 2
    assert "name a new folder" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "kept"
