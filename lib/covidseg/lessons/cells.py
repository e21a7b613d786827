"""The cells of a notebook as plain HTML, for pages of our own: no script, no style, nothing that is fetched."""

import html
import re
from functools import cache

from covidseg.lessons.page import AT_REST, WIDGET, draw_formulas

__all__ = ["cell_html", "highlighted", "markdown_html"]

RICHEST = ("image/svg+xml", "image/png", "image/jpeg", "text/html", "text/markdown", "text/plain")  # the first counts
ACTIVE = re.compile(
    r"<script.*?</script>|<style[^>]*>.*?</style>|<link[^>]*>|\son\w+=(\"[^\"]*\"|'[^']*')", re.S | re.I
)
BOXES = re.compile(r"<li>\s*\[([ x])\]\s")


def cell_html(cell, *, code: str = "shown") -> str:
    """One cell. code : "shown", "folded" or "none".

    Formulas are drawn, widgets named, scripts and styles of an output left out.
    """
    if cell.cell_type == "markdown":
        return f'<section class="words">{markdown_html(cell.source)}</section>'
    if cell.cell_type != "code":
        return ""
    parts = []
    if cell.source.strip() and code != "none":
        block = f'<div class="code">{highlighted(cell.source)}</div>'
        parts.append(f"<details><summary>Code</summary>{block}</details>" if code == "folded" else block)
    parts += [_output_html(output, cell) for output in cell.get("outputs", [])]
    return f'<section class="cell">{"".join(parts)}</section>'


def markdown_html(text: str) -> str:
    """Markdown as HTML; the pilcrows that nbconvert puts beside headings are left out."""
    from nbconvert.filters import markdown2html

    made = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", markdown2html(draw_formulas(text)))
    return BOXES.sub(lambda box: "<li>\N{BALLOT BOX WITH CHECK} " if box[1] == "x" else "<li>\N{BALLOT BOX} ", made)


def highlighted(code: str) -> str:
    """Python as HTML with classes for its colours."""
    return _highlighter()(code)


@cache
def _highlighter():
    from nbconvert.filters import Highlight2HTML

    return Highlight2HTML(pygments_lexer="python")


def _output_html(output, cell) -> str:
    if output.output_type == "stream":
        kind = "problem" if output.name == "stderr" else "said"
        return f'<pre class="{kind}">{_terminal(output.text)}</pre>'
    if output.output_type == "error":
        return f'<pre class="problem">{html.escape(f"{output.ename}: {output.evalue}")}</pre>'
    data = output.get("data", {})
    if WIDGET in data and "image/png" not in data:  # newer ones bring their picture
        return f'<p class="widget">{AT_REST}</p>'
    kind = next((kind for kind in RICHEST if kind in data), None)
    if kind is None:
        return ""
    if kind.startswith("image/"):
        return _picture(kind, data[kind], cell)
    if kind == "text/html":
        return f'<div class="table">{ACTIVE.sub("", data[kind])}</div>'
    if kind == "text/markdown":
        return f'<div class="table">{markdown_html(data[kind])}</div>'
    return f'<pre class="said">{_terminal(data[kind])}</pre>'


def _picture(kind: str, content: str, cell) -> str:
    from base64 import b64encode

    coded = b64encode(content.encode()).decode() if kind == "image/svg+xml" else "".join(content.split())
    said = html.escape(f"Figure that cell {cell.execution_count or ''} draws".replace("  ", " "))
    return f'<img class="figure" alt="{said}" loading="lazy" src="data:{kind};base64,{coded}">'


def _terminal(text: str) -> str:
    from nbconvert.filters import ansi2html

    return str(ansi2html(text))
