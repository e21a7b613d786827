"""What became of a batch: ``summary.csv`` for a spreadsheet, ``index.html`` for people, lines for the terminal."""

import csv
import html
import io
from pathlib import Path

from covidseg import __version__
from covidseg.files import write_text
from covidseg.lesson import in_words
from covidseg.lessons.page import NO_REQUESTS, STYLE
from covidseg.runs.costs import in_time

GOOD = ("done", "had")
MOST_RESULTS = 6


def write_summary(outcomes: list[dict], folder: Path, title: str) -> Path:
    """Write both files, each by renaming a whole one into place. Returns the page."""
    write_text(folder / "summary.csv", summary_csv(outcomes))
    return write_text(folder / "index.html", summary_html(outcomes, title))


def summary_csv(outcomes: list[dict]) -> str:
    """One line per run: name, status, seconds, error, then parameters and the results that are one value."""
    rows = [
        {name: told.get(name, "") for name in ("name", "status", "seconds", "error")}
        | told.get("parameters", {})
        | {f"result {name}": value for name, value in _short(told.get("results", {})).items()}
        for told in outcomes
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def summary_html(outcomes: list[dict], title: str) -> str:
    """The table as a self-contained page; links are relative to the batch's folder."""
    rows = "\n".join(_row(told) for told in sorted(outcomes, key=lambda told: told["status"] in GOOD))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">{NO_REQUESTS}<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head>
<body><h1>{html.escape(title)}</h1>
<p class="sub">{html.escape(verdict(outcomes))} covidseg {__version__}.</p>
<table><thead><tr><th>run</th><th>status</th><th>seconds</th><th>results</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def _row(told: dict) -> str:
    name = html.escape(told["name"])
    good = told["status"] in GOOD
    page = Path(told.get("notebook", "")).with_suffix(".html").name if told.get("notebook") else ""
    link = f'<a href="{name}{"" if good else ".failed"}/{html.escape(page)}">{name}</a>' if page else name
    shown = list(_short(told.get("results", {})).items())[:MOST_RESULTS]
    facts = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(in_words(value))}</dd>" for key, value in shown)
    trouble = f"<code>{html.escape(told['error'])}</code>" if told.get("error") else ""
    return (
        f'<tr><td>{link}</td><td class="{"done" if good else "failed"}">{told["status"]}</td>'
        f'<td class="n">{told.get("seconds", 0):.1f}</td><td>{trouble}<dl>{facts}</dl></td></tr>'
    )


def _short(results: dict) -> dict:
    return {name: value for name, value in results.items() if not isinstance(value, dict | list)}


def verdict(outcomes: list[dict]) -> str:
    """How many were done, were there already, failed.

    >>> verdict([{"status": "done"}, {"status": "had"}])
    '2 runs: 1 done, 1 done before.'
    """
    counts = {"done": 0, "had": 0, "failed": 0}
    for told in outcomes:
        counts[told["status"] if told["status"] in GOOD else "failed"] += 1
    words = {"done": "done", "had": "done before", "failed": "failed"}
    parts = [f"{n} {words[status]}" for status, n in counts.items() if n]
    return f"{len(outcomes)} run{'' if len(outcomes) == 1 else 's'}: {', '.join(parts) or 'nothing to do'}."


def line(told: dict, number: int, total: int, left: float | None) -> str:
    """One line of the live report: how far, what, how long, and about how much longer."""
    text = f"[{number:>{len(str(total))}}/{total}] {told['status']:<7} {told.get('seconds', 0):7.1f} s  {told['name']}"
    text += f": {told['error']}" if told.get("error") else ""
    return text + (f"  (about {in_time(left)} left)" if left else "")
