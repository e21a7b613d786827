"""What ``covidseg report`` does, as functions."""

from pathlib import Path

from covidseg.checkout import checkout
from covidseg.errors import UserError
from covidseg.runs.record import find_records
from covidseg.tables import compare, estimate, find_all_records, left_out, load_table
from covidseg.tables.committed import adopt as adopt_records
from covidseg.tables.committed import rewrite as rewrite_tables
from covidseg.tables.standing import as_lines, grid_reasons, standing
from covidseg.tables.text import as_csv, as_text
from covidseg.text import say


def report(name: str, folder: Path | None, data, budget, selection, csv: bool, changed: dict) -> str:
    """A table as text or CSV; changed : see `compare`. UserError for a wrong name or a folder that is not there."""
    table = load_table(name)
    records = _records(folder)
    comparison = compare(table, records, data=data, budget=budget, selection=selection, changed=changed)
    if csv:
        return as_csv(comparison)
    return as_text(comparison, [estimate(run, records) for run in comparison.missing])


def missing(name: str | None, folder: Path | None) -> list[str]:
    """Which rows of a table, or of all, have no run, and why, in lines. Raises as `report`."""
    return as_lines(standing(_records(folder), grid_reasons(), [name] if name else ()))


def _records(folder: Path | None) -> list[dict]:
    if folder is None:
        return find_all_records()
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")
    return find_records(folder, odd=left_out)


def adopt(folder: Path) -> None:
    """Copy a batch's records into results/ and say which."""
    for path in adopt_records(folder, checkout()):
        say(path)


def rewrite(check: bool) -> bool:
    """Write the committed tables, or only compare; False if one was out of date and may not be written."""
    stale = rewrite_tables(checkout(), check=check)
    for path in stale:
        say(f"{path} {'is out of date; run `covidseg report --write`' if check else 'is written'}.")
    if not stale:
        say("The committed tables are up to date.")
    return not (check and stale)
