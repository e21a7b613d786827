"""Which notebooks show a widget, and the browser to try it in."""

import os
import shutil
from pathlib import Path

from covidseg.lessons import read

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
WIDGETS = ("AttentionExplorer(", "SliceExplorer(", "interactive_image(")


def with_widgets() -> list[str]:
    """Names of the notebooks that show a widget of the kit."""
    found = []
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        if any(word in cell.source for cell in read(path).cells if cell.cell_type == "code" for word in WIDGETS):
            found.append(path.stem)
    return found


def chromium() -> str | None:
    """The browser: what CHROMIUM names, else one on the path."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
