"""A comparison as text for the terminal, CSV for a spreadsheet, Markdown for the README."""

from covidseg.data.datasets import SYNTHETIC
from covidseg.data.experts import yardstick
from covidseg.runs.costs import Cost, in_time, total
from covidseg.runs.record import HELD_OUT, SELECTIONS, chosen_by
from covidseg.runs.source import version_of
from covidseg.tables.compare import Cell, Comparison, in_words
from covidseg.tables.table import Row
from covidseg.text import csv_text

WARNING = "Phantoms are computed, not patients: compare the order of the rows, not the numbers; no difference is taken."


def as_text(comparison: Comparison, costs: list[Cost] | None = None) -> str:
    """Title, the table with paper | ours | difference per metric, and what is missing with its cost.

    costs : of ``comparison.missing``, in that order
    """
    each = columns(comparison)
    groups = ["", "", *(text for m in comparison.table.metrics for text in (m.label, *[""] * (len(each) - 1)))]
    heads = ["row", "runs", *each * len(comparison.table.metrics)]
    grid = [groups, heads, *(cells(comparison, line) for line in comparison.lines)]
    widths = [max(len(row[k]) for row in grid) for k in range(len(heads))]
    table = ["  ".join(_padded(row, widths, len(each))).rstrip() for row in grid]
    return "\n".join([*caption(comparison), "", *table, "", *below(comparison, costs)])


def below(comparison: Comparison, costs: list[Cost] | None = None) -> list[str]:
    """What stands below a table: where records of other runs are, and which runs are missing."""
    return [*_elsewhere(comparison), *_missing(comparison, costs or [])]


def columns(comparison: Comparison) -> list[str]:
    """Heads of a metric's columns; ours bears the data's name: no number of a phantom passes for a patient's."""
    return ["paper", comparison.data, *["diff"] * comparison.same_data]


def _padded(row: list[str], widths: list[int], each: int) -> list[str]:
    """The first column to the left; a wider gap before each metric of ``each`` columns."""
    gaps = [" " * 2 * (k > 1 and (k - 2) % each == 0) for k in range(len(row))]
    return [
        f"{gap}{text:{'>' if k else '<'}{w}}" for k, (gap, text, w) in enumerate(zip(gaps, row, widths, strict=True))
    ]


def caption(comparison: Comparison) -> list[str]:
    """Where both sides' numbers come from, in lines."""
    table, chosen = comparison.table, comparison.selection
    ours = {chosen_by(chosen, record["data"]): None for record in comparison.records} or {SELECTIONS[chosen]: None}
    theirs = HELD_OUT if table.held_out and table.selection == "best" else SELECTIONS[table.selection]
    lines = [
        f"{table.paper}, {table.title}",
        f"paper: {table.printed_on}, {_folds(table.folds)}, {theirs}",
        f"ours: {comparison.data}, {comparison.budget} budget, mean of the runs, {'; or '.join(ours)}",
    ]
    if comparison.changed:
        lines.append(f"These runs depart from that budget: {in_words(comparison.changed)}.")
    if comparison.data in SYNTHETIC:
        lines.append(WARNING)
    elif not comparison.same_data:
        lines.append(
            f"Other data than the paper's ({comparison.data}, not {table.printed_on}): no difference is taken."
        )
    if comparison.same_data:
        lines += comparison.other_pixels
    if said := yardstick(comparison.data):
        lines.append(said)
    versions = {version_of(record) for record in comparison.records}
    if len(versions) > 1:
        lines.append(
            f"The runs come from {len(versions)} versions of the code; run them again before you rely on a rank."
        )
    if comparison.left_out:
        lines.append(f"Left out: {comparison.left_out} records of another recipe.")
    if comparison.older:
        lines.append(f"Left out, since the runs were done again later: {comparison.older}.")
    return lines


def as_csv(comparison: Comparison) -> str:
    """One line per row and metric."""
    return csv_text(comparison.facts())


def as_markdown(comparison: Comparison) -> str:
    """The table with its caption, for a README."""
    head = _head(comparison)
    rows = [cells(comparison, line) for line in comparison.lines]
    ruler = ["---", *["---:"] * (len(head) - 1)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in (head, ruler, *rows))
    return "  \n".join(caption(comparison)) + f"\n\n{table}"


def rows_as_markdown(title: str, rows: list[dict]) -> str:
    """Rows of texts and whole numbers as a table under its title, numbers to the right; no row is a line that says so.

    >>> print(rows_as_markdown("Two", [{"a": "x", "n": 1}]))
    **Two**
    <BLANKLINE>
    | a | n |
    |---|---:|
    | x | 1 |
    """
    if not rows:
        return f"**{title}:** there is no row yet."
    ruler = "".join(f"{'---' if k == 0 else '---:'}|" for k in range(len(rows[0])))
    lines = [" | ".join(map(str, cells)) for cells in (rows[0], *(row.values() for row in rows))]
    return "\n".join([f"**{title}**", "", f"| {lines[0]} |", f"|{ruler}", *(f"| {line} |" for line in lines[1:])])


def _head(comparison: Comparison) -> list[str]:
    paper, ours, *diff = columns(comparison)
    heads = [text for m in comparison.table.metrics for text in (f"{m.label} {paper}", f"ours: {ours}", *diff)]
    return ["row", "runs", *heads]


def cells(comparison: Comparison, line) -> list[str]:
    """A row as texts: its name, its runs, then each metric's paper, ours and, on the paper's data, the difference."""
    runs = f"{len(line.records)}/{len(line.records) + len(line.missing)}"
    each = len(columns(comparison))
    numbers = [text for m in comparison.table.metrics for text in _triple(line.cells[m.column], m.digits)[:each]]
    return [_name(comparison, line.row), runs, *numbers]


def _name(comparison: Comparison, row: Row) -> str:
    """The variant; with its network in front where two rows of the table share it."""
    alike = {line.row.model for line in comparison.lines if line.row.variant == row.variant}
    return f"{row.model}, {row.variant}" if row.variant and len(alike) > 1 else row.variant or row.model


def _triple(cell: Cell, digits: int) -> tuple[str, str, str]:
    spread = "" if cell.spread != cell.spread else f" ±{cell.spread:.{digits}f}"
    return _number(cell.paper, digits), _number(cell.ours, digits) + spread, _number(cell.difference, digits, "+")


def _number(value: float, digits: int, sign: str = "") -> str:
    return "-" if value != value else f"{value:{sign}.{digits}f}"


def _elsewhere(comparison: Comparison) -> list[str]:
    """Of a table without any run: where records of its rows are, and how to see them."""
    if comparison.records or not comparison.elsewhere:
        return []
    most = sorted(comparison.elsewhere.items(), key=lambda item: -item[1])
    ways = [f"  `covidseg report {comparison.table.name} {options}`: {count}" for options, count in most]
    return ["No record is of these runs; of others there are:", *ways, ""]


def _missing(comparison: Comparison, costs: list[Cost]) -> list[str]:
    """Names of the runs that are not there, one line per row, and the price of all."""
    missing = comparison.missing
    if not missing:
        return ["No run is missing."]
    by_row: dict[str, list[tuple]] = {}
    for run in missing:
        by_row.setdefault(run["variant"] or run["model"], []).append((run["fold"], run["seed"]))
    lines = [f"  {name}: {_places(pairs)}" for name, pairs in by_row.items()]
    price = total(costs) if costs else None
    cost = f", {in_time(price.seconds)} one after the other ({price.basis})" if price else ""
    parameters = {"dataset": comparison.data, "budget": comparison.budget} | comparison.changed
    order = " ".join([f"covidseg batch {comparison.table.name}", *(f"-p {n}={v}" for n, v in parameters.items())])
    return [f"{len(missing)} runs missing{cost}:", *lines, f"`{order}` does them."]


def _places(pairs: list[tuple]) -> str:
    """
    >>> _places([(1, 0), (2, 0)]), _places([(1, 0), (2, 1)])
    ('fold 1 2, seed 0', 'fold 1 seed 0, fold 2 seed 1')
    """
    folds, seeds = dict.fromkeys(fold for fold, _ in pairs), dict.fromkeys(seed for _, seed in pairs)
    if len(pairs) == len(folds) * len(seeds):
        return f"fold {' '.join(map(str, folds))}, seed {' '.join(map(str, seeds))}"
    return ", ".join(f"fold {fold} seed {seed}" for fold, seed in pairs)


def _folds(folds: tuple[int, ...]) -> str:
    """
    >>> _folds((1, 2, 3)), _folds((4,)), _folds((0,))
    ('mean of folds 1-3', 'fold 4', "the set's own test part")
    """
    if len(folds) > 1:
        return f"mean of folds {folds[0]}-{folds[-1]}"
    return f"fold {folds[0]}" if folds[0] else "the set's own test part"
