"""The doctor: it never raises, names what is wrong, and says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from vae_edu import cli, doctor, mnist
from vae_edu.grading.verdict import judge
from vae_edu.grading.wall import enter, mounts, process
from vae_edu.grading.wall.kinds import BUBBLEWRAP, PREFER

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_EDU_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("VAE_EDU_WORK", str(tmp_path / "work"))


def look(name: str) -> doctor.Finding:
    return doctor._guarded(name, doctor.LOOKS[name])


def break_import(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Let the import of one module fail, as a broken installation does."""
    whole = doctor.importlib.import_module

    def fail(wanted: str) -> types.ModuleType:
        if wanted == name:
            raise error
        return whole(wanted)

    monkeypatch.setattr(doctor, "importlib", types.SimpleNamespace(import_module=fail))


def test_this_environment_is_healthy():
    findings = doctor.examine()
    assert [finding.name for finding in findings] == list(doctor.LOOKS)
    assert [finding for finding in findings if finding.status == "FAIL"] == []
    assert doctor.is_healthy(findings)


def test_whatever_is_not_ok_has_a_remedy_and_nothing_else_has():
    for finding in doctor.examine():
        assert bool(finding.remedy) == (finding.status != "ok"), finding


def test_torch_and_torchvision_that_do_not_fit(monkeypatch):
    error = RuntimeError("operator torchvision::nms does not exist")
    break_import(monkeypatch, "torchvision", error)
    finding = look("torchvision")
    assert finding.status == "FAIL"
    assert "another torch" in finding.remedy
    assert "torch torchvision" in finding.remedy


def test_a_torchvision_broken_otherwise_gets_another_remedy(monkeypatch):
    break_import(monkeypatch, "torchvision", ImportError("no libpng"))
    finding = look("torchvision")
    assert finding.status == "FAIL"
    assert "no libpng" in finding.seen
    assert "another torch" not in finding.remedy


def test_a_broken_torch_is_a_finding(monkeypatch):
    break_import(monkeypatch, "torch", OSError("libcudart.so: no such file\nmore"))
    assert look("torch").status == "FAIL"
    assert look("torch").seen == "OSError: libcudart.so: no such file"
    assert look("device").status == "warn"


def test_a_look_that_raises_is_a_finding(monkeypatch):
    def explode(name: str) -> doctor.Finding:
        raise ZeroDivisionError

    monkeypatch.setitem(doctor.LOOKS, "free space", explode)
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["free space"].status == "FAIL"
    assert "ZeroDivisionError" in findings["free space"].seen


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ((3, 10), "FAIL"),
        ((3, 11), "ok"),
        ((3, 13), "ok"),
        ((3, 14), "FAIL"),
    ],
)
def test_python_in_range(monkeypatch, version, status):
    fake = types.SimpleNamespace(version_info=version, executable="python")
    monkeypatch.setattr(doctor, "sys", fake)
    assert look("Python").status == status


@pytest.mark.parametrize(
    ("free", "status"), [(5e9, "ok"), (1e9, "warn"), (1e7, "FAIL")]
)
def test_free_space(monkeypatch, free, status):
    usage = types.SimpleNamespace(free=free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    assert look("free space").status == status


def test_no_mnist_is_a_warning_and_names_the_digits():
    assert look("data").status == "warn"
    assert "digits" in look("data").seen
    assert "vae-edu data" in look("data").remedy


def test_damaged_mnist_fails_and_names_the_file():
    folder = mnist.raw_dir()
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte").write_bytes(b"half")
    finding = look("data")
    assert finding.status == "FAIL"
    assert "train-images-idx3-ubyte" in finding.seen


def test_a_folder_that_cannot_be_written_fails(monkeypatch):
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    finding = look("write work/")
    assert finding.status == "FAIL"
    assert "VAE_EDU_WORK" in finding.remedy
    assert "VAE_EDU_DATA" in look("write data/").remedy


def test_looking_makes_no_folder(tmp_path):
    doctor.examine()
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_of_another_python_fails(tmp_path, monkeypatch):
    other = tmp_path / "elsewhere" / "bin" / "python3"
    spec = types.SimpleNamespace(argv=[str(other), "-m", "ipykernel_launcher"])
    manager = types.SimpleNamespace(get_kernel_spec=lambda name: spec)
    fake = types.SimpleNamespace(KernelSpecManager=lambda: manager)
    imports = types.SimpleNamespace(import_module=lambda name: fake)
    monkeypatch.setattr(doctor, "importlib", imports)
    assert look("kernel").status == "FAIL"
    spec.argv[0] = sys.executable
    assert look("kernel").status == "ok"


def test_nbgrader_without_alembic_on_path_is_a_warning(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda program: None)
    assert look("nbgrader").status == "warn"
    assert "alembic" in look("nbgrader").seen
    assert look("chromium").status == "warn"


OURS = "from vae_edu.grading.config import configure\nconfigure(get_config())\n"


@pytest.mark.parametrize(
    ("text", "status"), [(OURS, "ok"), ("c = get_config()\n", "warn"), ("1 +", "FAIL")]
)
def test_the_course_that_one_stands_in_is_looked_at(
    tmp_path, monkeypatch, capsys, text, status
):
    monkeypatch.setattr(judge, "look_at_sandbox", lambda n: doctor.Finding(n, "ok", ""))
    (tmp_path / "nbgrader_config.py").write_text(text)
    (tmp_path / "submitted").mkdir()
    monkeypatch.chdir(tmp_path / "submitted")
    cli.main(["doctor", "--json"])
    found = {f["name"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert found["course"]["status"] == status
    assert ("configure(c)" in found["course"]["remedy"]) == (status == "warn")


def test_outside_a_course_nothing_is_said_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctor.course_here() is None


def test_no_folder_for_temporary_files_is_told(monkeypatch, capsys):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/x']")

    monkeypatch.setattr(doctor.tempfile, "gettempdir", none)
    assert look("scratch").status == "FAIL"
    assert "TMPDIR" in look("scratch").remedy
    monkeypatch.setattr(doctor, "command", lambda **more: none())
    assert cli.main(["doctor"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vae-edu: No usable temporary directory found in ['/x'].")
    assert "TMPDIR" in said


def test_the_sandbox_is_tried_and_not_only_looked_for(tmp_path, monkeypatch):
    zygote = process.Zygote(PREFER)
    zygote.close()
    finding = judge.look_at_sandbox("sandbox")
    whole = zygote.sandbox == BUBBLEWRAP
    assert (finding.status == "ok") == whole
    assert (mounts.bubblewrap() in finding.seen) == whole
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'no permissions' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    monkeypatch.setattr(mounts, "_BWRAPS", (str(bwrap),))
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = judge.look_at_sandbox("sandbox")
    assert finding.status == "warn"
    assert "no permissions" in finding.seen


def test_a_machine_without_any_sandbox_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(enter, "lacking", lambda kind: f"no {kind} today")
    finding = judge.look_at_sandbox("sandbox")
    assert finding.status == "warn"
    assert "no bubblewrap today" in finding.seen
    assert "no landlock today" in finding.seen
    assert "apt-get install bubblewrap" not in finding.seen
    assert "apt-get install bubblewrap" in finding.remedy


def test_the_command_looks_at_the_sandbox_too(capsys, monkeypatch):
    monkeypatch.setattr(
        judge, "look_at_sandbox", lambda name: doctor.Finding(name, "ok", "!")
    )
    assert cli.main(["doctor"]) == 0
    assert "ok    sandbox      !" in capsys.readouterr().out


def test_a_copy_without_grading_says_nothing_of_a_sandbox(capsys, monkeypatch):
    for name in ("vae_edu.grading", "vae_edu.grading.verdict"):
        monkeypatch.setitem(sys.modules, name, None)
    assert cli.main(["doctor"]) == 0
    assert "sandbox" not in capsys.readouterr().out


# --- showing ----------------------------------------------------------------------

SOME = [
    doctor.Finding("a", "ok", "here"),
    doctor.Finding("longer", "FAIL", "gone", "bring it back"),
    doctor.Finding("b", "warn", "old", "renew it"),
]


def test_the_table_is_aligned():
    assert doctor.table(SOME).splitlines() == [
        "ok    a       here",
        "FAIL  longer  gone",
        "              -> bring it back",
        "warn  b       old",
        "              -> renew it",
    ]


@pytest.mark.parametrize(("findings", "status"), [(SOME, 1), (SOME[::2], 0)])
def test_the_exit_status_is_1_only_for_what_is_required(
    monkeypatch, capsys, findings, status
):
    monkeypatch.setattr(doctor, "examine", lambda more: findings)
    assert cli.main(["doctor"]) == status
    assert doctor.table(findings) in capsys.readouterr().out
    assert cli.main(["doctor", "--json"]) == status
    shown = json.loads(capsys.readouterr().out)
    assert shown["ok"] == (status == 0)
    assert [row["name"] for row in shown["findings"]] == [f.name for f in findings]


def test_it_works_without_any_package():
    """-S leaves out all that was installed: torch, Jupyter, nbgrader, ..."""
    command = [sys.executable, "-S", "-m", "vae_edu.cli", "doctor", "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    status = {row["name"]: row["status"] for row in json.loads(done.stdout)["findings"]}
    assert status["Python"] == "ok"
    assert status["torch"] == status["Jupyter"] == status["nbgrader"] == "FAIL"
