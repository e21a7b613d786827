"""What became of a batch: ``summary.csv`` for a spreadsheet, ``index.html`` for people, lines for the terminal."""

from pathlib import Path
from urllib.parse import quote

from covidseg.errors import UserError
from covidseg.files import write_text
from covidseg.lesson import in_words
from covidseg.lessons.page import GOOD, table_html
from covidseg.runs.costs import in_time
from covidseg.text import csv_text

COLUMNS = ("name", "status", "seconds", "error")
MOST_SCORES = 4


def refuse_foreign(folder: Path) -> None:
    """Raises UserError where the folder holds a page or a table of these names that is not a batch's."""
    for name, sign in (("summary.csv", ",".join(COLUMNS)), ("index.html", "covidseg")):
        try:
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if text.strip() and sign not in text:
            raise UserError(f"{folder / name} is no batch's and would be overwritten: choose another folder (-o).")


def write_summary(outcomes: list[dict], folder: Path, title: str) -> Path:
    """Write both files, each by renaming a whole one into place. Returns the page."""
    write_text(folder / "summary.csv", summary_csv(outcomes))
    return write_text(folder / "index.html", summary_html(outcomes, title))


def summary_csv(outcomes: list[dict]) -> str:
    """One line per run: name, status, seconds, error, then parameters and the results that are one value."""
    rows = [
        {name: outcome.get(name, "") for name in COLUMNS}
        | outcome.get("parameters", {})
        | {f"result {name}": value for name, value in _short(outcome).items()}
        for outcome in outcomes
    ]
    return csv_text(rows, COLUMNS)


def summary_html(outcomes: list[dict], title: str) -> str:
    """The table as a self-contained page, failures first; links are relative to the batch's folder."""
    ordered = sorted(outcomes, key=lambda outcome: outcome["status"] in GOOD)
    rows = [
        {"seconds": 0.0, "error": ""} | outcome | {"results": _short(outcome), "page": _page(outcome)}
        for outcome in ordered
    ]
    return table_html(title, verdict(outcomes), "run", rows)


def _page(outcome: dict) -> str:
    if not outcome.get("notebook"):
        return ""
    home = outcome["name"] + ("" if outcome["status"] in GOOD else ".failed")
    return quote(f"{home}/{Path(outcome['notebook']).stem}.html")


def _short(outcome: dict) -> dict:
    return {name: value for name, value in outcome.get("results", {}).items() if not isinstance(value, dict | list)}


def verdict(outcomes: list[dict]) -> str:
    """How many were done, were there already, failed.

    >>> verdict([{"status": "done"}, {"status": "had"}])
    '2 runs: 1 done, 1 done before.'
    """
    counts = {"done": 0, "had": 0, "failed": 0}
    for outcome in outcomes:
        counts[outcome["status"] if outcome["status"] in GOOD else "failed"] += 1
    words = {"done": "done", "had": "done before", "failed": "failed"}
    parts = [f"{n} {words[status]}" for status, n in counts.items() if n]
    return f"{len(outcomes)} run{'' if len(outcomes) == 1 else 's'}: {', '.join(parts) or 'nothing to do'}."


def line(outcome: dict, number: int, total: int, left: float | None = None) -> str:
    """One line of the live report: how far, what, how long, how well, and about how much longer."""
    seconds = outcome.get("seconds", 0)
    text = f"[{number:>{len(str(total))}}/{total}] {outcome['status']:<7} {seconds:7.1f} s  {outcome['name']}"
    scores = [f"{n} {in_words(v)}" for n, v in _short(outcome).items() if isinstance(v, float)][:MOST_SCORES]
    said = outcome.get("error") or ", ".join(scores)
    return text + (f": {said}" if said else "") + (f"  (about {in_time(left)} left)" if left else "")
