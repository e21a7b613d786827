"""The report of a scan: one HTML file to send to a colleague. It holds its pictures and asks no one for anything."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from covidseg import __version__
from covidseg.scans.panels import Result, key, panels
from covidseg.scans.severity import DEFINITION, LIMITS, Severity
from covidseg.text import one_line

__all__ = ["About", "page_html", "write_page"]

TEMPLATE = Path(__file__).with_name("report.html")
WIDTH = 400  # pixels of a panel


@dataclass(frozen=True)
class About:
    """What is said beside the pictures, in words of ours: nothing of the scan's header but its numbers.

    made : name -> value, how the result was made; agreement : of several networks, "" for one
    """

    title: str
    summary: str
    notice: str
    made: Mapping[str, str]
    warnings: Sequence[str] = ()
    severity: Severity | None = None
    agreement: str = ""


def write_page(path: Path, result: Result, about: About) -> None:
    """`page_html` as a file."""
    path.write_text(page_html(result, about), encoding="utf-8")


def page_html(result: Result, about: About) -> str:
    """The page as text. Every value is escaped; line ends and terminal codes of file names become "?"."""
    from jinja2 import Environment

    plain = dict(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    page = Environment(
        autoescape=True, finalize=lambda value: one_line(value) if type(value) is str else value, **plain
    )
    page.filters |= {"data_uri": data_uri, "ml": _ml}
    rows = _rows(result)
    found = result.findings
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        about=about,
        lungs=found.lungs,
        version=__version__,
        tiles=_tiles(result, about),
        infected=bool(found.infected),
        key=key(result),
        shown=panels(result, WIDTH),
        many=2 if result.truth is None else 3,
        rows=rows,
        most=max(rows, key=lambda row: row["height"])["area"],
        definition=DEFINITION,
        limits=LIMITS,
        compared=result.compared,
    )


def data_uri(picture: np.ndarray) -> str:
    """uint8 (H, W, 3) as the address of itself; JPEG with full colour, a fifth of a PNG's size."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=92, subsampling=0)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def _tiles(result: Result, about: About) -> list[tuple[str, str]]:
    """The numbers that come first, each with its meaning."""
    found = result.findings
    tiles = [(f"{len(found.infected)} of {len(found.slices)}", "slices with infection")]
    if len(found.slices) == 1:
        tiles = [(f"{found.slices[0].pixels:,}", "pixels with infection")]
    if found.volume_ml is not None:
        tiles.append((f"{_ml(found.volume_ml)} ml", "predicted infection"))
    if about.severity is not None:
        tiles.append((f"{about.severity.share:.1%}", "of the lungs"))
        tiles.append((about.severity.grade, "grade by that share, see below"))
    if result.compared is not None and result.compared.dice is not None:
        tiles.append((f"{result.compared.dice:.3f}", "Dice against the truth"))
    return tiles


def _rows(result: Result) -> list[dict]:
    found = result.findings.slices
    most = max(1, *(s.pixels for s in found)) if found else 1
    dice = {} if result.compared is None else result.compared.slices
    return [
        {
            "index": s.index,
            "area": f"{s.pixels:,} pixels" if s.area_mm2 is None else f"{s.area_mm2:,.0f} mm\N{SUPERSCRIPT TWO}",
            "height": 100 * s.pixels / most,
            "share": "" if s.lung_share is None else f"{s.lung_share:.1%}",
            "dice": "" if dice.get(s.index) is None else f"{dice[s.index]:.3f}",
        }
        for s in found
    ]


def _ml(value: float | None) -> str:
    return "?" if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
