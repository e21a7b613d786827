"""Which notebooks show a widget, and whether this machine has a browser to try it in."""

import os
import shutil
from importlib.util import find_spec
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


def tried_in_a_browser() -> list[str]:
    """Names of the notebooks that tests/browser runs on this machine."""
    return with_widgets() if chromium() and find_spec("playwright") else []
