"""Feedback pages of hostile submissions, opened in Chromium: nothing of theirs runs.

What belongs here: pages. What does not: scores.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys

import pytest
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from tests.attacks import registry
from tests.attacks.registry import LESSON, NAME, notebook, wrong
from vae_edu.grading.office.report import markdown
from vae_edu.grading.verdict.grade import ExerciseGrade

pytest.importorskip("playwright", reason="the browser's driver: pip install -e .[dev]")

from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.browser

CONFIG = """
from vae_edu.grading.config import configure

c = get_config()
configure(c)
"""
OWN = "window.owned=(window.owned||[]).concat('{}')"
ELSEWHERE = "http://tracker.example"
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
)
MARKUP = {
    "script": "<script>{js}</script>",
    "error": '<img src=x onerror="{js}">',
    "svg": '<svg onload="{js}"><script>{js}</script></svg>',
    "frame": '<iframe srcdoc="<script>parent.{js}</script>"></iframe>',
    "toggle": '<details open ontoggle="{js}"><summary>x</summary></details>',
    "focus": '<input autofocus onfocus="{js}"><a tabindex=1 autofocus onfocus={js}>x',
    "style": "<style>@import '{away}/style.css';</style>"
    '<p style="background:url({away}/p)">x</p>',
    "picture": '<img src="{away}/pixel" srcset="{away}/set"> ![x]({away}/md)',
    "object": '<object data="javascript:{js}"></object><embed src="javascript:{js}">',
    "base": '<base href="{away}/"><meta http-equiv=refresh content="0;{away}/meta">',
    "link": '<a class=own href="javascript:{js}">x</a> [y](javascript:{js})',
    "spaced link": '<a href=" java\tscript:{js}">x</a><a href="&#106;avascript:{js}">x',
    "files link": '<a href="/files/javascript:{js}">x</a> [y](/files/javascript:{js})'
    " <a href='files/files/javascript:{js}'>z</a>",
    "data link": '<a href="data:text/html,<script>{js}</script>">x</a>',
    "mutation": '<noscript><p title="</noscript><img src=x onerror={js}>">',
    "nested": "<svg><style><img src=x onerror={js}></style></svg>"
    "<math><mtext><table><mglyph><style><img src=x onerror={js}>",
    "comment": "<!--><img src=x onerror={js}>--> <![CDATA[<img src=x onerror={js}>]]>",
    "torn": "<img src=x onerror={js} <p \n\n<scr<script>ipt>{js}</scr</script>ipt>",
    "math": "$\\href{{javascript:{js}}}{{x}}$ $$\\text{{<img src=x onerror={js}>}}$$",
    "fence": "```\n</code></pre><img src=x onerror={js}>\n```",
    "fence name": '```"><img/src=x/onerror={js}>\nx\n```',
    "attachment": "![x](attachment:a.png) ![y](attachment:b.png)",
    "form": '<form action="javascript:{js}"><button>x</button></form>',
    "title": '[x](http://a.example "\\"onmouseover={js} ")',
}
SAID = {
    "said": "raise ValueError({text!r})",
    "named": "raise type({text!r}, (Exception,), {{}})('x')",
    "typed": "return type({text!r}, (), {{}})()",
    "in a tuple": "return (type({text!r}, (), {{}})(), {text!r})",
    "not filled in": "raise NotImplementedError({text!r})",
}


def js(name: str) -> str:
    return OWN.format(name.replace(" ", "-"))


def markup(name: str) -> str:
    return MARKUP[name].format(js=js(name), away=ELSEWHERE)


def all_of_it() -> str:
    return "\n\n".join(markup(name) for name in ("script", "error", "link", "svg"))


def hostile() -> dict:
    """Something in every place of a notebook that a page is made from."""
    book = notebook(wrong("# </pre></div><script>window.owned=['code']</script>"))
    book["metadata"] |= {
        "title": f"</title>{markup('script')}",
        "widgets": {
            "application/vnd.jupyter.widget-state+json": {
                "state": {"x": f"</script>{markup('script')}"}
            }
        },
    }
    book["metadata"]["language_info"]["pygments_lexer"] = f"'\">{markup('error')}"
    book["metadata"]["kernelspec"]["display_name"] = markup("script")
    for number, name in enumerate(MARKUP):
        cell = {"cell_type": "markdown", "id": f"m{number}", "metadata": {}}
        book["cells"].append(cell | {"source": markup(name)})
    book["cells"][-1]["metadata"]["tags"] = [f'"><img src=x onerror={js("tag")}>']
    attached = next(c for c in book["cells"] if "attachment:" in c["source"])
    attached["attachments"] = {
        "a.png": {f'image/png" onerror="{js("mime")}': PICTURE},
        "b.png": {"image/svg+xml": PICTURE, "image/png": f'" onerror="{js("b")}'},
    }
    for number, mime in enumerate(("text/html", "", None)):
        cell = {"cell_type": "raw", "id": f"r{number}", "source": all_of_it()}
        fields = {} if mime is None else {"raw_mimetype": mime}
        book["cells"].append(cell | {"metadata": fields})
    shown = {"output_type": "display_data", "metadata": {}}
    kinds = ("text/html", "text/markdown", "image/svg+xml", "application/javascript")
    data = {kind: all_of_it() for kind in kinds}
    code = {"cell_type": "code", "id": "out", "metadata": {}, "execution_count": 1}
    code["metadata"] = {"magics_language": f"'>{markup('error')}"}
    book["cells"].append(
        code | {"source": "1 + 1", "outputs": [shown | {"data": data}]}
    )
    return book


def saying(body: str) -> dict:
    """A submission whose code says it, where the judge quotes code."""
    text = all_of_it() + "\n \n\t\n# A heading\n\n**right, 3 of 3 points**"
    line = body.format(text=text)
    return notebook(f"def {NAME}(mu, log_var):\n    {line}\n")


def stopped() -> dict:
    """Code that ends the loading itself, with words."""
    return notebook(f"import sys\nsys.exit({all_of_it()!r})\n" + wrong())


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The feedback pages, by student."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "nbgrader_config.py").write_text(CONFIG)
    put(folder / "source" / LESSON, registry.source_notebook())
    books = {"hostile": hostile(), "stopped": stopped()}
    books |= {name.replace(" ", "_"): saying(body) for name, body in SAID.items()}
    for student, book in books.items():
        put(folder / "submitted" / student / LESSON, copy.deepcopy(book))
    for words in (["generate_assignment"], ["autograde"], ["generate_feedback"]):
        command = [sys.executable, "-m", "nbgrader", *words, LESSON]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    return {s: folder / "feedback" / s / LESSON / f"{LESSON}.html" for s in books}


def put(folder, book):
    folder.mkdir(parents=True)
    (folder / f"{LESSON}.ipynb").write_text(json.dumps(book))


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu"],
            timeout=120_000,
        )
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """What a page does when it is opened and every link on it is followed."""

    def look(path):
        page, asked = browser.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.route("**/*", at_home)
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        protocols = page.eval_on_selector_all(
            "a[href]", "links => links.map(a => a.protocol)"
        )
        page.wait_for_timeout(300)
        found = {
            "owned": page.evaluate("window.owned || []"),
            "title": page.title(),
            "protocols": set(protocols),
            "asked": [url for url in asked if "tracker" in url],
            "text": page.inner_text("body"),
            "headings": page.eval_on_selector_all(
                ".output_markdown h1", "all => all.length"
            ),
            "handlers": page.evaluate(HANDLERS),
            "decoys": page.eval_on_selector_all(DECOYS, "all => all.length"),
        }
        page.close()
        return found

    return look


DECOYS = ".rendered_html .full-credit, .rendered_html .tabbable, "
DECOYS += ".rendered_html .nbgrader_cell, .rendered_html [id]"  # the Formgrader's own
HANDLERS = """() => [...document.body.querySelectorAll('*')].flatMap(e =>
    [...e.attributes].map(a => a.name).filter(n => n.startsWith('on')))"""


def at_home(route):
    """Nothing is fetched from elsewhere."""
    if route.request.url.startswith("file:"):
        route.continue_()
    else:
        route.abort()


@pytest.mark.parametrize(
    "student", ["hostile", "stopped", *(name.replace(" ", "_") for name in SAID)]
)
def test_nothing_of_a_submission_runs_in_its_page(pages, visit, student):
    found = visit(pages[student])
    assert found["owned"] == []
    assert found["title"] == LESSON
    assert found["protocols"] <= {"http:", "https:", "mailto:", "file:"}
    assert found["asked"] == []
    assert found["handlers"] == []
    assert found["decoys"] == 0


@pytest.mark.parametrize("student", [n.replace(" ", "_") for n in SAID])
def test_words_of_a_submission_are_shown_as_words(pages, visit, student):
    """No heading, no bold "right" of its own: it cannot dress up as the feedback."""
    found = visit(pages[student])
    assert found["headings"] == 0
    assert "0 of 3 points" in found["text"]


def test_the_browser_would_run_such_a_page(tmp_path, visit):
    """Without our filters: the same markup, as it stands."""
    path = tmp_path / "page.html"
    path.write_text(f"<title>{LESSON}</title><body>{all_of_it()}")
    found = visit(path)
    assert found["owned"]
    assert "javascript:" in found["protocols"]


def test_what_stopped_a_notebook_is_one_line_of_words():
    """The submission may have sent it itself, as its last frame."""
    text = all_of_it() + "\n\n# A heading\n\n**right** [x](http://a.example) $x$"
    made = ExerciseGrade(NAME, "4.3", 0.0, 3.0, problem=text)
    renderer = IPythonRenderer(escape=False)
    page = MarkdownWithMath(renderer=renderer).render(markdown(made))
    assert not re.search(r"<(h1|a|script|img|svg)\b", page)
    assert page.count("<strong>") == 1
    assert page.count("<code>") == 2  # the exercise's name, and where TeX may be
