"""HTML of a submission, made harmless before an instructor or a learner opens it.

nbconvert's own filter knows no paragraph, heading or picture, and would show the tags
of a lesson as text; this one knows what lessons are written in, and nothing that runs.
"""

from __future__ import annotations

import re
from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from jinja2 import pass_context
from nbconvert.filters import strip_files_prefix
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

TAGS = frozenset(
    (
        *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div"),
        *("dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("hr", "i", "img", "ins", "kbd", "li", "ol", "p", "pre", "s", "small", "span"),
        *("strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th"),
        *("thead", "tr", "u", "ul", "var"),
    )
)
ATTRIBUTES = {
    "*": ["style", "title"],
    "a": ["href", "name"],
    "details": ["open"],
    "img": ["src", "alt", "width", "height"],
    "ol": ["start"],
    "td": ["align", "colspan", "rowspan"],
    "th": ["align", "colspan", "rowspan"],
}
STYLES = (
    *("border-left", "color", "font-weight", "list-style", "margin", "padding"),
    *("padding-left", "text-align", "white-space", "width"),
)
PROTOCOLS = ("http", "https", "mailto", "data")
_CLASS = re.compile(r"highlight|hl-\w+|anchor-link|[a-z]{1,3}\d?")  # of code, links
# MathJax makes links and styles of these, after everything here
_MACROS = re.compile(r"\\(href|require|class|cssId|style)(?![a-zA-Z])")


def clean(markup: str | bytes) -> str:
    """Markup without scripts, frames, forms, event handlers or foreign styles."""
    text = markup.decode() if isinstance(markup, bytes) else str(markup)
    text = _MACROS.sub(r"\\text{\1}", text)
    return str(
        bleach.clean(
            text,
            tags=TAGS,
            attributes=_allowed,
            protocols=PROTOCOLS,
            css_sanitizer=CSSSanitizer(allowed_css_properties=STYLES),
        )
    )


@pass_context
def markdown(context: Any, source: str) -> str:
    """Markdown as nbconvert renders it, made harmless; nbgrader's pages take it raw."""
    cell = context.get("cell", {})
    renderer = IPythonRenderer(escape=False, attachments=cell.get("attachments", {}))
    return clean(MarkdownWithMath(renderer=renderer).render(source))


def unprefixed(markup: str) -> str:
    """As `strip_files_prefix`, which can turn a harmless link into another one."""
    return clean(strip_files_prefix(markup))


def _allowed(tag: str, name: str, value: str) -> bool:
    """Attributes by tag. A picture is data, so that opening a page fetches nothing."""
    if name == "src":
        return value.startswith("data:image/") and "svg" not in value[:30]
    if name == "class":  # the Formgrader finds its buttons and scores by class and id
        return all(_CLASS.fullmatch(word) for word in value.split())
    if name == "href" and value.strip().lower().startswith("data"):
        return False
    return name in (*ATTRIBUTES["*"], *ATTRIBUTES.get(tag, ()))
