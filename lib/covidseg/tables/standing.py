"""How far each of the papers' tables is filled, and why a row stays empty: its price, or what stands in the way."""

from collections.abc import Iterable
from dataclasses import dataclass

from covidseg.checkout import find_checkout
from covidseg.data.datasets import SYNTHETIC
from covidseg.runs.grids import combinations, read_grid
from covidseg.tables.table import Row, Table, list_tables, load_table

__all__ = ["Standing", "as_lines", "grid_reasons", "standing"]

WAITING = {"pending.json": "waits for a GPU", "short.yaml": "waits for hours of a CPU"}  # grids under results/
PLACE = ("model", "variant", "dataset")


@dataclass(frozen=True)
class Standing:
    """The rows of one table by what stands behind them; a row is in the first group that fits.

    full : a run as long as the paper's, on its data. short : another real run: shorter, or on a set of ``also``.
    empty : of every other row why there is no run, "" where nobody has said.
    """

    table: Table
    full: tuple[str, ...]
    short: tuple[str, ...]
    empty: dict[str, str]

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Rows without a run and without a reason."""
        return tuple(name for name, why in self.empty.items() if not why)


def standing(records: list[dict], reasons: dict[tuple, str], names: Iterable[str] = ()) -> list[Standing]:
    """Every table (by default), or those of ``names``; reasons : see `grid_reasons`. Phantoms fill no row here."""
    real = [r for r in records if r["data"]["name"] not in SYNTHETIC and r["budget"] == "paper"]
    return [_standing(load_table(name), real, reasons) for name in names or list_tables()]


def _standing(table: Table, real: list[dict], reasons: dict[tuple, str]) -> Standing:
    full, short, empty = [], [], {}
    sets = (table.data, *table.also)
    for row in table.rows:
        own = [r for r in real if (r["model"], r["variant"]) == (row.model, row.variant) and r["data"]["name"] in sets]
        if any(r["data"]["name"] == table.data and not r["changed"] for r in own):
            full.append(label(row))
        elif own:
            short.append(label(row))
        else:
            planned = (reasons.get((row.model, row.variant, name)) for name in sets)
            empty[label(row)] = row.unfilled or next(filter(None, planned), table.unfilled)
    return Standing(table, tuple(full), tuple(short), empty)


def label(row: Row) -> str:
    """The variant with its network in front, as far as there are both.

    >>> label(Row("net", "wide", "", {})), label(Row("net", "", "", {})), label(Row("", "Net", "", {}))
    ('net, wide', 'net', 'Net')
    """
    return ", ".join(filter(None, (row.model, row.variant)))


def grid_reasons() -> dict[tuple, str]:
    """(network, variant, data set) of every run of the grids under ``results/`` -> what it waits for, and its price.

    The first grid that holds a run speaks for it; a block that says nothing goes with the one before it.
    """
    root, found = find_checkout(), {}
    for name, waits in WAITING.items() if root else ():
        says = f"results/{name}"
        for block in read_grid(root / "results" / name):
            says = block.get("says", says)
            for run in combinations(block):
                found.setdefault(tuple(run.get(word, "") for word in PLACE), f"{waits}: {says}")
    return found


def as_lines(tables: list[Standing]) -> list[str]:
    """A line per table, below it its empty rows under each reason; at the end the count of those without one."""
    lines = []
    for one in tables:
        counts = (
            (one.full, "as long as the paper's"),
            (one.short, "shorter, or on another set"),
            (one.empty, "without a run"),
        )
        told = ", ".join(f"{len(rows)} {words}" for rows, words in counts if rows)
        lines.append(f"{one.table.name}: {len(one.table.rows)} rows, {told}")
        for why in dict.fromkeys(one.empty.values()):
            rows = [name for name, reason in one.empty.items() if reason == why]
            lines.append(f"  {'; '.join(rows)}")
            lines.append(f"    {why or 'NOBODY HAS SAID WHY'}")
    open_rows = sum(len(one.unanswered) for one in tables)
    every = sum(len(one.table.rows) for one in tables)
    lines.append(f"{every} rows in {len(tables)} tables; {open_rows} without a run and without a reason.")
    return lines
