"""The report of a run: one page that links every executed notebook as HTML. Nothing is fetched, ever."""

import html
import shutil
from base64 import b64encode
from io import BytesIO
from pathlib import Path

from covidseg import __version__
from covidseg.lesson import in_words
from covidseg.lessons import read
from covidseg.lessons.runner import Outcome

MOST_RESULTS = 6
WIDGET = "application/vnd.jupyter.widget-view+json"
SYNONYMS = {
    r"\tfrac": r"\frac",
    r"\cfrac": r"\frac",
    r"\lVert": r"\Vert",
    r"\rVert": r"\Vert",
    r"\lvert": "|",
    r"\rvert": "|",
}
NO_REQUESTS = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; font-src data:; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
)
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; --good: #1a7f37; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #ff7b72; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 3rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin: 0; } p.sub { color: var(--soft); margin: .2rem 0 2rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .85rem; }
th, td { padding: .55rem .8rem .55rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.done { color: var(--good); } td.failed, td.timeout { color: var(--bad); font-weight: 600; }
dl { margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
a { text-decoration: none; font-weight: 600; } a:hover { text-decoration: underline; }
code { font-size: .85rem; overflow-wrap: anywhere; }
"""


def write_report(outcomes: list[Outcome], folder: Path, title: str) -> Path:
    """Write ``folder/index.html`` and beside each executed notebook its HTML. Returns the page."""
    for outcome in outcomes:
        if outcome.executed:
            outcome.executed.with_suffix(".html").write_text(notebook_html(outcome.executed), encoding="utf-8")
    page = folder / "index.html"
    page.write_text(index_html(outcomes, title), encoding="utf-8")
    return page


def index_html(outcomes: list[Outcome], title: str) -> str:
    """The table of a run as a self-contained page; links are relative to the run's folder."""
    done = sum(outcome.status == "done" for outcome in outcomes)
    total = sum(outcome.seconds for outcome in outcomes)
    rows = "\n".join(_row(outcome) for outcome in outcomes)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">{NO_REQUESTS}<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head>
<body><h1>{html.escape(title)}</h1>
<p class="sub">{done} of {len(outcomes)} notebooks ran to their end, {total:.0f} s together; covidseg {__version__}.</p>
<table><thead><tr><th>notebook</th><th>status</th><th class="n">seconds</th><th>results</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def _row(outcome: Outcome) -> str:
    name = html.escape(outcome.name)
    link = f'<a href="{name}/{name}.html">{name}</a>' if outcome.executed else name
    shown = list(outcome.results.items())[:MOST_RESULTS]
    facts = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(in_words(value))}</dd>" for key, value in shown)
    facts = f"<dl>{facts}</dl>" if facts else ""
    trouble = f"<code>{html.escape(outcome.error)}</code>" if outcome.error else ""
    return (
        f'<tr><td>{link}</td><td class="{outcome.status}">{outcome.status}</td>'
        f'<td class="n">{outcome.seconds:.1f}</td><td>{trouble}{facts}</td></tr>'
    )


def notebook_html(path: Path) -> str:
    """An executed notebook as one HTML file that makes no request: formulas drawn, no script from elsewhere."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True)
    for url in ("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url", "mermaid_layout_elk_js_url"):
        setattr(exporter, url, "")
    exporter.widget_renderer_url = exporter.jupyter_widgets_base_url = ""
    notebook = read(path)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = draw_formulas(cell.source)
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):  # its text is a long repr of no use to a reader
                output.data = {"text/plain": "A widget: it moves in JupyterLab. The next figure shows it at rest."}
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": path.stem}})
    return body.replace("<head>", f'<head>{NO_REQUESTS}<link rel="icon" href="data:,">', 1)


def draw_formulas(markdown: str) -> str:
    """Replace ``$...$`` and ``$$...$$`` outside code by pictures; one that cannot be drawn stays as text in code."""
    from covidseg.lessons.formulas import replace_formulas

    return replace_formulas(markdown, _picture)


def _picture(latex: str, display: bool) -> str:
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    buffer, known = BytesIO(), latex
    for name, synonym in SYNONYMS.items():
        known = known.replace(name, synonym)
    try:
        font = FontProperties(size=12 if display else 10.5, math_fontfamily="stix")
        depth = math_to_image(f"${known}$", buffer, format="svg", dpi=72, prop=font)
    except (ValueError, RuntimeError):  # mathtext knows a part of LaTeX
        return f"<code>{html.escape(latex)}</code>"
    picture = b64encode(buffer.getvalue()).decode()
    style = "display:block;margin:.8em auto" if display else f"vertical-align:-{depth:.1f}pt"
    return f'<img alt="{html.escape(latex)}" style="{style}" src="data:image/svg+xml;base64,{picture}">'


def point_latest(folder: Path) -> Path:
    """Make ``latest`` beside ``folder`` name it: a link, or a copy where links are not allowed."""
    latest = folder.parent / "latest"
    if latest.is_symlink() or latest.is_file():
        latest.unlink()
    elif latest.is_dir():
        shutil.rmtree(latest)
    try:
        latest.symlink_to(folder.name, target_is_directory=True)
    except OSError:
        shutil.copytree(folder, latest)
    return latest
