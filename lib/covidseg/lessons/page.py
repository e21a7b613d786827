"""The report of a run: one page that links every executed notebook as HTML. Nothing is fetched, ever."""

import html
import shutil
from base64 import b64encode
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from covidseg import __version__
from covidseg.errors import UserError
from covidseg.files import write_text
from covidseg.lesson import in_words
from covidseg.lessons import links, read
from covidseg.lessons.face import Face, face_of
from covidseg.lessons.runner import Outcome

TEMPLATE = Path(__file__).with_name("report.html")
CARDS = Path(__file__).with_name("run.html")
MOST_RESULTS = 6
ON_A_CARD = 3
LONGEST = 60  # letters of a result on a card
GOOD = ("done", "had")  # of a notebook, of a run
WIDGET = "application/vnd.jupyter.widget-view+json"
AT_REST = "A widget: it moves in JupyterLab. The next figure shows it at rest."
SYNONYMS = {
    r"\tfrac": r"\frac",
    r"\cfrac": r"\frac",
    r"\lVert": r"\Vert",
    r"\rVert": r"\Vert",
    r"\lvert": "|",
    r"\rvert": "|",
}
SMOKE = (
    "A run in the smoke budget shows that every cell runs, with little data and next to no training. The text speaks "
    "of the lesson budget: its figures and numbers stand in the notebooks as committed; `make lab` opens them."
)
NO_REQUESTS = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; font-src data:; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
)


def write_report(outcomes: list[Outcome], folder: Path, title: str) -> Path:
    """Write ``folder/index.html`` and beside each executed notebook its HTML. Returns the page."""
    for outcome in outcomes:
        if outcome.executed and (why := write_page(outcome.executed)):
            outcome.error = outcome.error or f"no page of it: {why}"
    return write_text(folder / "index.html", index_html(outcomes, title))


def write_page(executed: Path) -> str:
    """Write an executed notebook's HTML beside it. Returns "", or why there is none: no reason to lose a run."""
    try:
        write_text(executed.with_suffix(".html"), notebook_html(executed))
    except Exception as error:  # whatever nbconvert meets in an odd notebook
        return f"{type(error).__name__}: {error}"
    return ""


def index_html(outcomes: list[Outcome], title: str) -> str:
    """A card for each notebook of a run, as a self-contained page: its question, first picture, result, time.

    Links are relative to the run's folder.
    """
    done = sum(outcome.status == "done" for outcome in outcomes)
    total = sum(outcome.seconds for outcome in outcomes)
    says = f"{done} of {len(outcomes)} notebooks ran to their end, {total:.0f} s together;"
    if any(outcome.executed and _ran_smoke(outcome.executed) for outcome in outcomes):
        says = f"{SMOKE.replace('`', '')} {says}"
    rows = [asdict(outcome) | _on_card(outcome) for outcome in outcomes]
    return _render(CARDS, title=title, says=says, rows=rows)


def _on_card(outcome: Outcome) -> dict:
    """What a card says beside the outcome's own fields."""
    plain = {name: value for name, value in outcome.results.items() if not isinstance(value, list | dict)}
    facts = [(name.replace("_", " "), in_words(value)) for name, value in plain.items()]
    shown = face_of(outcome.executed) if outcome.executed else Face(outcome.name, outcome.name)
    short = [(name, value) for name, value in facts if len(value) <= LONGEST]
    return {"page": _address(outcome), "face": shown, "facts": short[:ON_A_CARD]}


def _ran_smoke(executed: Path) -> bool:
    try:
        return is_smoke(read(executed))
    except UserError:  # a damaged file: its own line of the table says so
        return False


def _address(outcome: Outcome) -> str:
    """Of an outcome's page, seen from the table; "" where there is none. A name may hold # or ?."""
    there = outcome.executed and outcome.executed.with_suffix(".html").is_file()
    return quote(f"{outcome.name}/{outcome.name}.html") if there else ""


def table_html(title: str, says: str, heading: str, rows: list[dict]) -> str:
    """A table of runs as a self-contained page, for batches.

    heading : of the first column; rows : dicts with name, page (its address, "" for none), status, seconds, error,
    results (the first few are shown)
    """
    return _render(TEMPLATE, title=title, says=says, heading=heading, rows=rows, most=MOST_RESULTS)


def _render(template: Path, **about) -> str:
    from jinja2 import Environment

    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    page.filters["in_words"] = in_words
    words = page.from_string(template.read_text(encoding="utf-8"))
    return words.render(about, version=__version__, no_requests=NO_REQUESTS, good=GOOD)


def is_smoke(notebook) -> bool:
    """Does an executed notebook say that it ran in the smoke budget? `lesson.start` prints that at the top."""
    said = [output.get("text", "") for cell in notebook.cells[:5] for output in cell.get("outputs", [])]
    return any(": smoke budget, seed" in text for text in said)


def notebook_html(path: Path) -> str:
    """An executed notebook as one HTML file that makes no request: formulas drawn, no script from elsewhere."""
    from nbconvert import HTMLExporter
    from nbformat.v4 import new_markdown_cell

    exporter = HTMLExporter(embed_images=True)
    for url in ("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url", "mermaid_layout_elk_js_url"):
        setattr(exporter, url, "")
    exporter.widget_renderer_url = exporter.jupyter_widgets_base_url = ""
    notebook = read(path)
    if is_smoke(notebook):
        notebook.cells.insert(1, new_markdown_cell(f"> {SMOKE}"))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = draw_formulas(cell.source)
            if links.TAG in cell.metadata.get("tags", []):
                cell.source = links.for_a_page(cell.source)
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):  # its text is a long repr of no use to a reader
                picture = output.data.get("image/png")
                output.data = {"image/png": picture} if picture else {"text/plain": AT_REST}
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
