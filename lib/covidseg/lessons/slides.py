"""A notebook as slides: one HTML file that asks for nothing, from the outputs as they were last run."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from covidseg import __version__
from covidseg.files import make_folder, write_text
from covidseg.lessons import read, resolve
from covidseg.lessons.cells import cell_html, markdown_html
from covidseg.lessons.page import NO_REQUESTS

__all__ = ["Slide", "slides", "write_slides"]

TEMPLATE = Path(__file__).with_name("slides.html")
MOST_WORDS = 110  # of text on one slide: more than that is read, not shown
FEW_LINES = 6
NOT_SHOWN = {"parameters", "exercise", "check", "solution", "result"}
SKIPPED = ("skip", "notes")  # what JupyterLab's own metadata may say of a cell
HEADING = re.compile(r"^(#{1,4}) +(.+)$")


@dataclass
class Slide:
    """head : the last heading, small above the slide; parts : HTML."""

    head: str
    parts: list[str] = field(default_factory=list)


def slides(notebook) -> list[Slide]:
    """A slide for each heading, for each stretch of at most MOST_WORDS of text, and for each cell that shows something.

    A few printed lines stand below the text before them. Left out: parameters, set-up, stubs, checks and solutions, and
    what JupyterLab's slide type says to skip.
    """
    made, head = [], ""
    for cell in notebook.cells:
        if _left_out(cell):
            continue
        if cell.cell_type == "markdown":
            for title, words in _stretches(cell.source):
                head = title or head
                made.append(Slide("" if title else head, [markdown_html(words)]))
        elif cell.cell_type == "code" and cell.get("outputs"):
            shown = cell_html(cell, code="folded")
            if made and len(made[-1].parts) == 1 and _is_short(cell) and len(made[-1].parts[0].split()) < MOST_WORDS:
                made[-1].parts.append(shown)  # a few lines below the words that lead to them
            else:
                made.append(Slide(head, [shown]))
    return made


def write_slides(names: list[str], folder: Path) -> list[Path]:
    """Slides of the named notebooks, ``folder/NAME.html`` each. Raises UserError for a name that is none."""
    sources = resolve(names)
    make_folder(folder)
    return [write_text(folder / f"{path.stem}.html", slides_html(read(path), path.stem)) for path in sources]


def slides_html(notebook, name: str) -> str:
    """The page with all slides of a notebook."""
    from jinja2 import Environment

    plain = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    page = plain.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return page.render(slides=slides(notebook), name=name, version=__version__, no_requests=NO_REQUESTS)


def _is_short(cell) -> bool:
    """Does it print a few lines, and no more?"""
    texts = [output.get("text") for output in cell.outputs]
    return all(isinstance(text, str) for text in texts) and "".join(texts).count("\n") <= FEW_LINES


def _left_out(cell) -> bool:
    tags = cell.metadata.get("tags", [])
    kind = cell.metadata.get("slideshow", {}).get("slide_type", "")
    return bool(NOT_SHOWN & set(tags)) or kind in SKIPPED or "lesson.start(" in cell.source


def _stretches(text: str) -> Iterator[tuple[str, str]]:
    """(heading or "", Markdown) for each slide of a text: it ends at a heading, or where one paragraph is too many."""
    title, kept = "", []
    for block in _blocks(text):
        found = HEADING.match(block)
        full = len(" ".join([*kept, block]).split()) > MOST_WORDS
        if kept and (found or (full and not (len(kept) == 1 and HEADING.match(kept[0])))):
            yield title, "\n\n".join(kept)
            title, kept = "", []
        if found:
            title = html.unescape(found[2])
        kept.append(block)
    if kept:
        yield title, "\n\n".join(kept)


def _blocks(text: str) -> list[str]:
    """Paragraphs, a heading by itself, code and formulas whole."""
    blocks, inside = [""], False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
        if not inside and HEADING.match(line):
            blocks += [line, ""]
        elif inside or line.strip():
            blocks[-1] += f"\n{line}" if blocks[-1] else line
        else:
            blocks.append("")
    return [block for block in blocks if block.strip()]
