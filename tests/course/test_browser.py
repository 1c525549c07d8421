"""A learner's first half hour in a real JupyterLab, in headless Chromium.

What belongs here: what only a browser can show: the card, the work after a restart,
nbgrader's button. What does not: what `check` says (tests/package), what cells compute
(test_notebooks). Screenshots of each step are left in the test's temporary folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor

from vae_edu.catalogue import folder_of
from vae_edu.checks.diagnosis import diagnose
from vae_edu.checks.judging import run_public
from vae_edu.subject import local

pytest.importorskip("playwright", reason="the browser's driver: pip install -e .[dev]")

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOPIC, NAME = "kl_divergence", "gaussian_kl"
WRONG = "return 0.5 * (mu**2 + (0.5 * log_var).exp() - 1 - log_var).sum(-1)"
RIGHT = "return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)"
TOKEN = "a-test"
SECONDS = 120  # for any one thing to happen; a busy machine takes long for each
expect.set_options(timeout=1000 * SECONDS)

QUIET = {  # no questions at a first start; all cells in the page, in sight or not
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "notebook-extension/tracker": {"windowingMode": "none"},
}
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


# --- JupyterLab -------------------------------------------------------------------


@dataclass
class Lab:
    """A running JupyterLab: its address, its course folder and the learner's work."""

    address: str
    course: Path
    work: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Lab]:
    """JupyterLab on a copy of the learner's side, with a home of its own."""
    home = tmp_path_factory.mktemp("home")
    course, work = home / "course", home / "work"
    lesson = Path("notebooks") / folder_of(TOPIC)
    shutil.copytree(root / lesson, course / lesson)
    for name, values in QUIET.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    port = free_port()
    log = (home / "lab.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options(port, course)],
        cwd=course,
        env=surroundings(home, work, root),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, home / "lab.log")
        yield Lab(f"http://127.0.0.1:{port}", course, work)
    finally:
        stop(server)
        log.close()


def options(port: int, course: Path) -> list[str]:
    return [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={course}",
    ]


def surroundings(home: Path, work: Path, root: Path) -> dict[str, str]:
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    own = {f"JUPYTER_{name}": str(home / name.lower()) for name in names}
    own |= {"HOME": str(home), "IPYTHONDIR": str(home / "ipython")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    own |= {"VAE_EDU_WORK": str(work), "PYTHONPATH": str(root)}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


def stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


# --- Chromium ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=chromium, args=CHROMIUM_FLAGS, timeout=1000 * SECONDS
        )
        yield opened
        opened.close()


@dataclass
class Notebook:
    """The lesson's page, and what a learner does on it."""

    page: Page
    pictures: Path

    def cell(self, text: str) -> Locator:
        """The code cell whose source holds `text`."""
        source = self.page.locator(".cm-content", has_text=re.compile(text))
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(has=source)

    def menu(self, name: str, entry: str) -> None:
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.page.get_by_role("menuitem", name=entry).first.click()

    def idle(self) -> None:
        """Wait until there is a kernel, and it has nothing to do.

        The bar below tells the one; the notebook's own sign, idle from the start, the
        other.
        """
        bar = self.page.get_by_role("button", name="Python 3 (ipykernel) | Idle")
        expect(bar).to_be_visible()
        indicator = self.page.locator(".jp-Notebook-ExecutionIndicator").first
        expect(indicator).to_have_attribute("data-status", "idle")

    def replace_line(self, cell: Locator, old: str, new: str) -> None:
        """Click on a line of a cell, and type another in its place."""
        cell.locator(".cm-line", has_text=old).click()
        self.page.keyboard.press("Home")
        self.page.keyboard.press("Shift+End")
        self.page.keyboard.type(new)

    def run(self, cell: Locator) -> None:
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")

    def picture(self, name: str, of: Locator | None = None) -> None:
        if of is not None:
            of.scroll_into_view_if_needed()
        self.page.screenshot(path=self.pictures / f"{name}.png")


@pytest.fixture
def notebook(lab: Lab, browser: Browser, tmp_path: Path) -> Iterator[Notebook]:
    """Lesson 04, open, its kernel ready."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(1000 * SECONDS)
    folder = folder_of(TOPIC)
    path = f"notebooks/{folder}/{folder}.ipynb"
    page.goto(f"{lab.address}/lab/tree/{path}?token={TOKEN}&reset")
    opened = Notebook(page, tmp_path)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    opened.idle()
    yield opened
    opened.picture("99_last")
    page.close()


def known_mistake() -> str:
    """The name that the wrong answer should get."""

    def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
        return 0.5 * (mu**2 + (0.5 * log_var).exp() - 1 - log_var).sum(-1)

    answer = local({NAME: gaussian_kl})
    known = diagnose(TOPIC, NAME, run_public(TOPIC, NAME, answer), answer)
    assert known is not None
    return known.name


# --- the tests --------------------------------------------------------------------


def test_a_learner_errs_mends_it_and_finds_it_after_a_restart(notebook, lab):
    run_the_lesson(notebook)
    err(notebook)
    mend(notebook)
    restart(notebook)
    use_it_again(notebook)
    come_back_tomorrow(notebook, lab)


def run_the_lesson(notebook: Notebook) -> None:
    """Run all: it stops, kindly, at the first exercise."""
    notebook.picture("1_opened")
    notebook.menu("Run", "Run All Cells")
    first = notebook.page.locator(".jp-OutputArea-output", has_text="not filled in yet")
    expect(first.first).to_be_visible()
    notebook.idle()
    expect(
        notebook.page.locator(".jp-OutputArea-output", has_text="Traceback")
    ).to_have_count(0)
    notebook.picture("2_ran", first.first)


def err(notebook: Notebook) -> None:
    """A wrong answer: the card names the mistake."""
    answer = notebook.cell(rf"def {NAME}\(mu")
    answer.scroll_into_view_if_needed()
    notebook.replace_line(answer, "raise NotImplementedError", WRONG)
    notebook.run(answer)
    notebook.idle()
    check = notebook.cell(rf"^check\({NAME}\)")
    notebook.run(check)
    card = check.locator(".vae-edu-check")
    expect(card).to_contain_text(known_mistake())
    expect(card).to_contain_text("What should hold and does not:")
    notebook.idle()
    notebook.picture("3_wrong", check)


def mend(notebook: Notebook) -> None:
    """The right answer: the card says so."""
    answer = notebook.cell(rf"def {NAME}\(mu")
    notebook.replace_line(answer, "return 0.5", RIGHT)
    notebook.run(answer)
    notebook.idle()
    check = notebook.cell(rf"^check\({NAME}\)")
    notebook.run(check)
    expect(check.locator(".vae-edu-check")).to_contain_text("right. All")
    expect(check.locator(".vae-edu-check")).not_to_contain_text(known_mistake())
    notebook.idle()
    notebook.picture("4_right", check)


def restart(notebook: Notebook) -> None:
    notebook.menu("Kernel", "Restart Kernel…")
    notebook.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(notebook.page.locator(".jp-Dialog")).to_have_count(0)
    notebook.idle()


def use_it_again(notebook: Notebook) -> None:
    """A fresh kernel finds the answer in `work/`; the notebook still holds its text."""
    check = notebook.cell(rf"^check\({NAME}\)")
    check.locator(".cm-content").click()
    notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.press("b")
    notebook.page.keyboard.press("Enter")
    notebook.page.keyboard.insert_text(
        f"import torch\nfrom vae_edu.exercises.{TOPIC} import {NAME}\n"
        f"print('still here:', {NAME}(torch.ones(2), torch.zeros(2)).item())"
    )
    notebook.page.keyboard.press("Control+Enter")
    shown = notebook.page.locator(".jp-OutputArea-output", has_text="still here: 1.0")
    expect(shown).to_be_visible()
    notebook.idle()
    notebook.picture("5_restarted", shown)


def come_back_tomorrow(notebook: Notebook, lab: Lab) -> None:
    """Saved and reloaded, the page has the answer; so has `work/`."""
    notebook.menu("File", "Save Notebook")
    folder = folder_of(TOPIC)
    saved = lab.course / "notebooks" / folder / f"{folder}.ipynb"
    wait_until(lambda: RIGHT in saved.read_text(encoding="utf-8"))
    notebook.page.reload()
    expect(notebook.cell(rf"def {NAME}\(mu")).to_contain_text(RIGHT)
    assert RIGHT in (lab.work / f"{TOPIC}.py").read_text(encoding="utf-8")
    assert WRONG not in (lab.work / f"{TOPIC}.py").read_text(encoding="utf-8")


def wait_until(true) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_nbgraders_validate_button_says_what_is_missing(notebook):
    """It runs the whole notebook in a kernel of its own, so it may take its time."""
    page = notebook.page
    page.get_by_role("button", name="Validate").first.click()
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_be_visible(timeout=3000 * SECONDS)
    notebook.picture("6_validate")
    expect(dialog).to_contain_text("Validation Results")
    expect(dialog).to_contain_text("not filled in yet")
    expect(dialog).not_to_contain_text("Traceback")
