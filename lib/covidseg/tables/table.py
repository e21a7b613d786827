"""The papers' tables as named grids of runs: ``PAPER/TABLE`` is rows x folds x seeds.

Which they are stands in ``tables.yaml`` of the paper's folder, the printed numbers in ``data/papers``.
"""

import csv
from dataclasses import dataclass, field
from functools import cache

from covidseg import papers
from covidseg.data.datasets import SYNTHETIC
from covidseg.errors import unknown_name
from covidseg.fetch.catalog import data_file


@dataclass(frozen=True)
class Metric:
    """A column of a paper's table: which score of ours it is, and in which unit and how exactly the paper prints it.

    side : of the paper's pictures, for a distance in pixels: at another side a pixel is another length
    """

    column: str
    score: str
    label: str
    factor: float = 1
    lower_is_better: bool = False
    digits: int = 2
    side: int | None = None


@dataclass(frozen=True)
class Row:
    """A row: a network, its ablation, what the ablation changes, and the paper's numbers by CSV column.

    model : "" for a row that no run of ``40_train_one`` can fill; it shows the paper's numbers alone
    unfilled : why no run fills it, or what stands for one
    """

    model: str
    variant: str
    says: str
    printed: dict = field(hash=False)
    unfilled: str = ""


@dataclass(frozen=True)
class Table:
    """One table of one paper. ``data``, ``folds``, ``seeds``, ``protocols`` and ``selection`` are the paper's own.

    protocols : whose score a cell is; of several, as under "Average", the mean
    printed_on : the data behind the paper's numbers; other than ``data`` where those are private
    held_out : the paper's "best" epoch was chosen on cases that were neither learned from nor scored
    unfilled : why its empty rows have no run; also : further sets on which a run of ours answers the same question
    """

    name: str
    paper: str
    title: str
    data: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    phantom_folds: tuple[int, ...]
    phantom_seeds: tuple[int, ...]
    protocols: tuple[str, ...]
    selection: str
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    printed_on: str = ""
    held_out: bool = False
    unfilled: str = ""
    also: tuple[str, ...] = ()

    def metric(self, name: str) -> Metric:
        """The metric of that column; raises UnknownName."""
        known = {metric.column: metric for metric in self.metrics}
        if name not in known:
            raise unknown_name(f"metric of {self.name}", name, known)
        return known[name]

    def runs(self, data: str | None = None, *, budget: str = "paper", folds=None, seeds=None) -> list[dict]:
        """The runs that fill this table, as parameters of ``40_train_one``; a row that occurs twice is run once.

        data : the paper's own set by default; on phantoms the folds are one and the seeds several. fold 0 : the set's
        own train and test part
        """
        data = data or self.data
        folds = folds or (self.phantom_folds if data in SYNTHETIC else self.folds)
        seeds = seeds or (self.phantom_seeds if data in SYNTHETIC else self.seeds)
        networks = dict.fromkeys((row.model, row.variant) for row in self.rows if row.model)
        return [
            {"model": model, "variant": variant, "dataset": data, "fold": fold, "seed": seed, "budget": budget}
            for model, variant in networks
            for fold in folds
            for seed in seeds
        ]


def list_tables() -> list[str]:
    """Names of all tables: "PAPER/TABLE"."""
    return [f"{paper}/{name}" for paper in papers.NAMES for name in _sheet(paper)["tables"]]


def load_table(name: str) -> Table:
    """The table of that name; raises UnknownName with the nearest one."""
    if name not in list_tables():
        raise unknown_name("table", name, list_tables())
    paper, key = name.split("/")
    sheet = _sheet(paper)
    own = sheet | sheet["tables"][key]  # a table may differ from its paper in any of these
    shared = {n: own[n] for n in ("paper", "title", "data", "selection")}
    ranges = {n: tuple(own[n]) for n in ("folds", "seeds", "phantom_folds", "phantom_seeds")}
    metrics = tuple(Metric(column, **facts) for column, facts in own["metrics"].items())
    printed = printed_rows(own["csv"])
    rows = tuple(
        Row(
            row.get("model", sheet["model"]),
            row["variant"],
            row.get("says", ""),
            _find(printed, row["paper"], name),
            row.get("unfilled", ""),
        )
        for row in own["rows"]
    )
    protocols = own["protocol"] if isinstance(own["protocol"], list) else [own["protocol"]]
    more = {
        "protocols": tuple(protocols),
        "printed_on": own.get("printed_on", own["data"]),
        "held_out": own.get("held_out", False),
        "unfilled": own.get("unfilled", ""),
        "also": tuple(own.get("also", ())),
    }
    return Table(name=name, metrics=metrics, rows=rows, **more, **shared, **ranges)


def _find(printed: list[dict], key: dict, name: str) -> dict:
    """The one line of the CSV whose columns have the values of ``key``."""
    fits = [line for line in printed if all(line.get(column) == str(value) for column, value in key.items())]
    if len(fits) != 1:
        raise ValueError(f"{name}: {key} names {len(fits)} lines of the paper's CSV")
    return fits[0]


@cache
def _sheet(paper: str) -> dict:
    import yaml

    return yaml.safe_load((papers.folder(paper) / "tables.yaml").read_text(encoding="utf-8"))


@cache
def printed_rows(name: str) -> list[dict]:
    """The lines of a file of ``data/papers``, by column, as printed."""
    with data_file(f"papers/{name}").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
