"""A paper's table beside the runs we have: paper, ours, difference, data, number of runs, spread, what is missing."""

import json
from collections import Counter
from dataclasses import dataclass
from math import nan
from statistics import mean, stdev

from covidseg.data import data_set
from covidseg.data.datasets import SYNTHETIC
from covidseg.errors import UserError, unknown_name
from covidseg.lesson import BUDGETS
from covidseg.runs.record import SELECTIONS, oldest_first, score
from covidseg.tables.table import Metric, Row, Table

# parameters of 40_train_one beside those that place a run in a table
CHANGEABLE = ("recipe", "epochs", "size", "backbone_weights")
TEXTS = ("recipe", "backbone_weights")
LARGEST_FIRST = tuple(reversed(BUDGETS))  # the most telling
LESSON_FIRST = ("lesson", "paper", "smoke")  # a table of phantoms is a lesson


@dataclass(frozen=True)
class Cell:
    """One number of the paper and ours. ``spread`` : sample standard deviation over the runs, nan below two.

    alike : both were measured on the same data and, for a distance in pixels, on pixels of the same size
    """

    paper: float
    ours: float
    spread: float
    n: int
    alike: bool = True

    @property
    def difference(self) -> float:
        """Ours minus the paper's; nan where the two were not measured alike."""
        return self.ours - self.paper if self.alike else nan


@dataclass(frozen=True)
class Line:
    """One row of the table: a Cell by metric column, the records behind it, the runs not there yet."""

    row: Row
    cells: dict[str, Cell]
    records: list[dict]
    missing: list[dict]


@dataclass(frozen=True)
class Comparison:
    """What `compare` answers.

    left_out : number of records of another recipe, which would not compare; older : of runs that were done again later
    changed : parameters in which these runs depart from their budget's standard, such as {"recipe": "short"}
    elsewhere : options of ``covidseg report`` -> number of this table's records that they would show
    """

    table: Table
    data: str
    budget: str
    selection: str
    changed: dict
    lines: list[Line]
    left_out: int
    older: int
    elsewhere: dict[str, int]

    @property
    def missing(self) -> list[dict]:
        """Every run still to do, once, though it may serve several rows."""
        runs = {_place(run): run for line in self.lines for run in line.missing}
        return list(runs.values())

    @property
    def records(self) -> list[dict]:
        found = {json.dumps(_identity(record)): record for line in self.lines for record in line.records}
        return list(found.values())

    @property
    def same_data(self) -> bool:
        """Do the paper's numbers and ours come from one data set?"""
        return self.data == self.table.printed_on

    @property
    def other_pixels(self) -> list[str]:
        """A line for each distance in pixels whose pixels are not the paper's."""
        sides = sorted({_side(record) for record in self.records})
        ours = " and ".join(map(str, sides))
        return [
            f"No difference of {m.label} is taken: scored at a side of {ours} pixels, in the paper at {m.side}."
            for m in self.table.metrics
            if m.side and sides not in ([], [m.side])
        ]

    def facts(self) -> list[dict]:
        """One dict per row and metric, for CSV; undefined numbers are empty."""
        return [self._fact(line, metric) for line in self.lines for metric in self.table.metrics]

    def _fact(self, line: Line, metric: Metric) -> dict:
        cell = line.cells[metric.column]
        numbers = {n: _decimals(getattr(cell, n), metric.digits) for n in ("paper", "ours", "difference", "spread")}
        return {
            "table": self.table.name,
            "row": line.row.variant,
            "metric": metric.column,
            **numbers,
            "paper data": self.table.printed_on,
            "our data": self.data,
            "budget": self.budget,
            "changed": in_words(self.changed),
            "selection": self.selection,
            "runs": cell.n,
            "runs missing": len(line.missing),
        }


def compare(table: Table, records: list[dict], *, data=None, budget=None, selection=None, changed=None) -> Comparison:
    """Put the records that belong to a table beside the paper's numbers.

    data : by default the paper's own set, or phantoms where there are only those; budget : by default the largest
    with records; selection : by default the paper's. changed : parameters such as {"recipe": "short"} in which the
    runs depart from their budget's standard; by default none, and runs that do stay out. Raises UserError for a
    wrong data set, budget or selection.
    """
    rows = {(row.model, row.variant) for row in table.rows}
    records = [r for r in oldest_first(records) if (r["model"], r["variant"]) in rows]  # the later of two runs counts
    choice = _choice(table, records, data, budget, selection, dict(changed or {}))
    chosen = [record for record in records if choice.holds(record)]
    alike = _of_one_recipe(chosen)
    expected = [run | choice.changed for run in table.runs(choice.data, budget=choice.budget)]
    lines = [_line(table, row, alike, expected, choice) for row in table.rows]
    older = len(alike) - len({_place(_identity(record)) for record in alike})
    others = Counter(_options(record) for record in records if not choice.holds(record))
    left_out = len(chosen) - len(alike)
    return Comparison(table, **vars(choice), lines=lines, left_out=left_out, older=older, elsewhere=dict(others))


@dataclass(frozen=True)
class _Choice:
    """Which runs are compared, and which epoch of each."""

    data: str
    budget: str
    selection: str
    changed: dict

    def holds(self, record: dict) -> bool:
        wanted = (self.data, self.budget, self.changed)
        return (record["data"]["name"], record["budget"], record["changed"]) == wanted


def _choice(table: Table, records: list[dict], data, budget, selection, changed: dict) -> _Choice:
    """What was asked for, and for what was not the best of what ``records`` have; see `compare`."""
    if selection not in (None, *SELECTIONS):
        raise UserError(f"selection is {selection!r}; choose {' or '.join(SELECTIONS)}.")
    if budget not in (None, *BUDGETS):
        raise unknown_name("budget", budget, BUDGETS)
    there = [(r["data"]["name"], r["budget"]) for r in records if r["changed"] == changed]
    data = data or _first([table.data, *SYNTHETIC], {name for name, _ in there})
    wishes = LESSON_FIRST if data_set(data).synthetic else LARGEST_FIRST
    budget = budget or _first(wishes, {size for name, size in there if name == data})
    return _Choice(data, budget, selection or table.selection, changed)


def read_changed(texts: dict[str, str]) -> dict:
    """Changed parameters from words: {"recipe": "short", "epochs": "20"} -> {"recipe": "short", "epochs": 20}.

    Raises UnknownName for a parameter that a run cannot change, and for a recipe that does not exist; UserError for an
    ``epochs`` or ``size`` that is no whole number above 0.
    """
    from covidseg.papers import recipes  # torch, which a table does without

    for name, value in texts.items():
        if name not in CHANGEABLE:
            raise unknown_name("parameter to change", name, CHANGEABLE)
        if name == "recipe" and value not in recipes():
            raise unknown_name("recipe", value, recipes())
        if name not in TEXTS and not (value.isdigit() and int(value)):
            raise UserError(f"{name}={value}: give a whole number above 0.")
    return {name: value if name in TEXTS else int(value) for name, value in texts.items()}


def in_words(changed: dict) -> str:
    """
    >>> in_words({"recipe": "short", "epochs": 20})
    'recipe=short epochs=20'
    """
    return " ".join(f"{name}={value}" for name, value in changed.items())


def _line(table: Table, row: Row, records: list[dict], expected: list[dict], choice: _Choice) -> Line:
    wanted = [run for run in expected if (run["model"], run["variant"]) == (row.model, row.variant)]
    newest = {_place(_identity(r)): r for r in records if (r["model"], r["variant"]) == (row.model, row.variant)}
    missing = [run for run in wanted if _place(run) not in newest]
    own = list(newest.values())
    cells = {metric.column: _cell(table, row, metric, own, choice) for metric in table.metrics}
    return Line(row, cells, own, missing)


def _cell(table: Table, row: Row, metric: Metric, records: list[dict], choice: _Choice) -> Cell:
    found = ([score(r, metric.score, protocol=p, selection=choice.selection) for p in table.protocols] for r in records)
    values = [mean(parts) * metric.factor for parts in found if None not in parts]
    ours = mean(values) if values else nan
    spread = stdev(values) if len(values) > 1 else nan
    alike = choice.data == table.printed_on and (not metric.side or all(_side(r) == metric.side for r in records))
    return Cell(_number(row.printed.get(metric.column)), ours, spread, len(values), alike)


def _side(record: dict) -> int:
    """Of the pictures that were scored, in pixels."""
    return record["recipe"].get("val_size") or 0


def _number(text: str | None) -> float:
    """A printed number; an empty cell is nan."""
    return float(text) if text else nan


def _identity(record: dict) -> dict:
    """A record's run, as parameters of 40_train_one."""
    names = {name: record[name] for name in ("model", "variant", "seed", "budget")}
    return names | {"dataset": record["data"]["name"], "fold": record["data"]["fold"]}


def _options(record: dict) -> str:
    """The words that make ``covidseg report`` show a record."""
    changed = "".join(f" -p {name}={value}" for name, value in record["changed"].items())
    return f"--data {record['data']['name']} --budget {record['budget']}{changed}"


def _place(run: dict) -> tuple:
    return tuple(run[name] for name in ("model", "variant", "dataset", "fold", "seed", "budget"))


def _of_one_recipe(records: list[dict]) -> list[dict]:
    """The largest group of records trained alike: after a change of the recipe old runs do not compare with new."""

    def recipe(record):
        own = record["recipe"] | {"precision": None}  # a row's own where its network cannot do with less
        return json.dumps([own, record["data"]["options"]], sort_keys=True)

    if not records:
        return []
    counts = Counter(map(recipe, reversed(records)))  # of equal groups, the later one
    return [record for record in records if recipe(record) == counts.most_common(1)[0][0]]


def _first(wishes, present):
    return next((wish for wish in wishes if wish in present), wishes[0])


def _decimals(value: float, digits: int) -> str:
    return "" if value != value else f"{value:.{digits}f}"
