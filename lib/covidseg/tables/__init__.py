"""The papers' tables of results: which runs fill them, what these cost, and how ours compare.

``PAPER/TABLE`` names one; tables are data (``tables.yaml`` of the paper, the printed numbers in ``data/papers``).
"""

from pathlib import Path

from covidseg.checkout import checkout
from covidseg.runs.costs import estimate
from covidseg.runs.record import find_records
from covidseg.tables.compare import Comparison, compare
from covidseg.tables.table import Table, list_tables, load_table
from covidseg.text import say

__all__ = [
    "Comparison",
    "Table",
    "compare",
    "estimate",
    "find_all_records",
    "left_out",
    "list_tables",
    "load_table",
]


def find_all_records(*folders: Path) -> list[dict]:
    """The records under ``results/`` and ``runs/`` of this checkout, and those of ``folders``, each once.

    One that is damaged is told on stderr and left out: it is no reason to show nothing.
    """
    root = checkout()
    seen = {}
    for record in find_records(root / "results", root / "runs", *folders, odd=left_out):
        seen[str(Path(record["file"]).resolve())] = record
    return list(seen.values())


def left_out(why: str) -> None:
    """Tell on stderr of a record that is not taken."""
    say(f"Left out: {why}", error=True)
