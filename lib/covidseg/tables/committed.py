"""The tables in the repository, rewritten from the records in it: a number without a run behind it cannot stay.

``results/PAPER_TABLE.csv`` belongs to the table PAPER/TABLE. In the README and in notebooks' text a table stands
between two comments, which name its source:

    <!-- results: PAPER/TABLE data=ct100 budget=paper selection=last -->
    ...
    <!-- /results -->

metrics=dice,mae shows some columns of the paper's table instead of all. Any further NAME=VALUE is a parameter that
those runs changed, such as recipe=short.
"""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

from covidseg.data.datasets import SYNTHETIC
from covidseg.errors import UserError
from covidseg.files import write_text
from covidseg.runs.record import SELECTIONS, find_records, oldest_first, save_record
from covidseg.tables.compare import LARGEST_FIRST, compare, in_words, read_changed
from covidseg.tables.table import Table, list_tables, load_table
from covidseg.tables.text import as_csv, as_markdown

BLOCK = re.compile(r"(<!-- results: (?P<source>[^>]*?) -->\n)(?P<body>.*?)(<!-- /results -->)", re.S)
CHOICES = ("data", "budget", "selection")


def rewrite(root: Path, *, check: bool = False) -> list[str]:
    """Write every committed table anew; with ``check`` only compare. Returns the files that changed (would change).

    root : of the repository. Raises UserError for a table that names no source, or one that has no record at all.
    """
    records = find_records(root / "results")
    stale = []
    for path in [*sorted((root / "results").glob("*.csv")), *_texts(root)]:
        old = path.read_text(encoding="utf-8")
        new = _csv(path, records) if path.suffix == ".csv" else update_blocks(old, records, path.name)
        if new != old:
            stale.append(path.relative_to(root).as_posix())
            if not check:
                write_text(path, new)
    return stale


def adopt(folder: Path, root: Path) -> list[str]:
    """Copy the run records under ``folder`` into ``results/``; a run that is there already is replaced.

    Real data go to ``results/records``, phantoms to ``results/phantom``. Returns the files written, from ``root``.
    Raises UserError if there is no record.
    """
    written = []
    for record in oldest_first(find_records(folder)):
        run = [record["model"], record["variant"], record["data"]["name"], f"fold{record['data']['fold']}"]
        words = [*run, f"seed{record['seed']}", record["budget"], *(f"{n}={v}" for n, v in record["changed"].items())]
        name = "-".join("".join(c if c.isalnum() or c in "+=" else "_" for c in word) for word in words if word)
        home = root / "results" / ("phantom" if record["data"]["name"] in SYNTHETIC else "records")
        save_record({key: value for key, value in record.items() if key != "file"}, home / f"{name}.json")
        written.append((home / f"{name}.json").relative_to(root).as_posix())
    if not written:
        raise UserError(f"{folder} holds no run record.")
    return written


def update_blocks(text: str, records: list[dict], where: str) -> str:
    """``text`` with the inside of every results block made anew."""

    def one(match: re.Match) -> str:
        table, choices = _source(match["source"], where)
        comparison = compare(table, records, **choices)
        if not comparison.records:
            raise UserError(f"{where}: the block {match['source']!r} has no record behind it.")
        return f"{match[1]}{as_markdown(comparison)}\n{match[4]}"

    return BLOCK.sub(one, text)


def _source(text: str, where: str) -> tuple[Table, dict]:
    name, *assignments = text.split()
    choices = dict(word.partition("=")[::2] for word in assignments)
    table = load_table(name)
    if "metrics" in choices:
        table = replace(table, metrics=tuple(map(table.metric, choices.pop("metrics").split(","))))
    changed = {word: choices.pop(word) for word in list(choices) if word not in CHOICES}
    try:
        return table, choices | {"changed": read_changed(changed)}
    except UserError as error:
        raise UserError(f"{where}: a results block knows {', '.join(CHOICES)}, metrics; else, {error}") from None


def _csv(path: Path, records: list[dict]) -> str:
    """A CSV holds every data set and budget for which the table has records, under both selections."""
    name = path.stem.replace("_", "/", 1)
    if name not in list_tables():
        raise UserError(f"{path.name}: no table {name} is known, so nothing stands behind its numbers.")
    table = load_table(name)
    parts = []
    changes = list({in_words(record["changed"]): record["changed"] for record in records}.values())
    for data in sorted({record["data"]["name"] for record in records}):
        for budget, changed, selection in product(LARGEST_FIRST, changes, SELECTIONS):
            comparison = compare(table, records, data=data, budget=budget, selection=selection, changed=changed)
            if comparison.records:
                parts.append(as_csv(comparison).split("\n", 1))
    if not parts:
        raise UserError(f"{path.name}: no record under results/ belongs to {name}.")
    return parts[0][0] + "\n" + "".join(body for _, body in parts)


def _texts(root: Path) -> list[Path]:
    """Files with prose that may hold a results block. Notebooks show tables in outputs, computed when they run."""
    return [path for path in (root / "README.md", *sorted((root / "results").glob("*.md"))) if path.is_file()]
