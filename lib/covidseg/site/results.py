"""The papers' tables beside our runs, as the records in ``results/`` have them."""

import html
from itertools import product

from covidseg.data.datasets import SYNTHETIC
from covidseg.lessons.cells import markdown_html
from covidseg.papers import papers
from covidseg.runs.record import find_records
from covidseg.site.book import Page
from covidseg.tables import compare, list_tables, load_table
from covidseg.tables.text import as_markdown

__all__ = ["pages", "records_of"]

LEDE = (
    "Each number of ours is the mean of runs whose records are in the repository; what departs from the paper's way "
    "stands above its table. Short runs on a CPU are called so."
)


def records_of(root) -> list[dict]:
    """The committed records of runs on real data."""
    return [record for record in find_records(root / "results" / "records") if record["data"]["name"] not in SYNTHETIC]


def pages(records: list[dict], only: list[str] | None = None) -> list[Page]:
    """A page for each paper."""
    return [_page(paper, records) for paper in papers() if only is None or paper.name in only]


def _page(paper, records: list[dict]) -> Page:
    own = [name for name in list_tables() if name.startswith(f"{paper.name}/")]
    title = f"Tables of {load_table(own[0]).paper}" if own else paper.cite
    parts = [f"<h1>{html.escape(title)}</h1><p>{LEDE}</p>"]
    for name in own:
        parts.append(f'<h2 id="{name.partition("/")[2]}">{html.escape(load_table(name).title)}</h2>')
        parts.append(f"<p><code>covidseg report {name}</code></p>")
        parts += [f'<div class="table">{markdown_html(text)}</div>' for text in _filled(name, records)] or [
            "<p class='dim'>No run on real data yet.</p>"
        ]
    return Page(f"results/{paper.name}.html", title, "\n".join(parts), menu=True)


def _filled(name: str, records: list[dict]) -> list[str]:
    """The table for each data set and each departure of which there is a record, under the epoch chosen last."""
    table = load_table(name)
    rows = {(row.model, row.variant) for row in table.rows}
    own = [record for record in records if (record["model"], record["variant"]) in rows]
    sets = sorted({record["data"]["name"] for record in own})
    changes = {str(record["changed"]): record["changed"] for record in own}
    made = []
    for data, changed in product(sets, changes.values()):
        comparison = compare(table, own, data=data, changed=changed, selection="last")
        if comparison.records:
            made.append(as_markdown(comparison))
    return made
