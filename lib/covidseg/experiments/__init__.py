"""The papers' tables of results: which runs fill them, what these cost, and how ours compare.

``miniseg/table2`` and its kin are data (``miniseg.yaml`` here, the printed numbers in ``data/papers``).
"""

from pathlib import Path

from covidseg.experiments.compare import Comparison, compare
from covidseg.experiments.costs import estimate
from covidseg.experiments.networks import variant_options, variants
from covidseg.experiments.settings import settings
from covidseg.experiments.tables import Table, list_tables, load_table, root_folder
from covidseg.results import find_records

__all__ = [
    "Comparison",
    "Table",
    "compare",
    "estimate",
    "find_all_records",
    "list_tables",
    "load_table",
    "settings",
    "variant_options",
    "variants",
]


def find_all_records(*folders: Path) -> list[dict]:
    """The records under ``results/`` and ``runs/`` of this checkout, and those of ``folders``, each once."""
    root = root_folder()
    seen = {}
    for record in find_records(root / "results", root / "runs", *folders):
        seen[str(Path(record["file"]).resolve())] = record
    return list(seen.values())
