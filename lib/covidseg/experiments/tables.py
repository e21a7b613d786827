"""The papers' tables as named grids of runs: ``miniseg/table2`` is rows x folds x seeds.

A paper is one YAML file in this folder and its printed numbers a CSV in ``data/papers``; a further paper adds files
and an entry in ``VARIANTS``, no code.
"""

import csv
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from covidseg.data.catalog import data_file
from covidseg.errors import UserError, unknown_name

FOLDER = Path(__file__).parent
PHANTOM = "phantom"
SEMI = "Semi-Inf-Net"


@dataclass(frozen=True)
class Metric:
    """A column of a paper's table: which score of ours it is, and in which unit and how exactly the paper prints it."""

    column: str
    score: str
    label: str
    factor: float = 1
    lower_is_better: bool = False
    digits: int = 2


@dataclass(frozen=True)
class Row:
    """A row: a network, its ablation, what the ablation changes, and the paper's numbers by CSV column.

    model : "" for a row that no run of ``40_train_one`` can fill; it shows the paper's numbers alone
    """

    model: str
    variant: str
    says: str
    printed: dict = field(hash=False)


@dataclass(frozen=True)
class Table:
    """One table of one paper. ``data``, ``folds``, ``seeds``, ``protocol`` and ``selection`` are the paper's own."""

    name: str
    paper: str
    title: str
    data: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    phantom_folds: tuple[int, ...]
    phantom_seeds: tuple[int, ...]
    protocol: str
    selection: str
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]

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
        folds = folds or (self.phantom_folds if data == PHANTOM else self.folds)
        seeds = seeds or (self.phantom_seeds if data == PHANTOM else self.seeds)
        networks = dict.fromkeys((row.model, row.variant) for row in self.rows if row.model)
        return [
            {"model": model, "variant": variant, "dataset": data, "fold": fold, "seed": seed, "budget": budget}
            for model, variant in networks
            for fold in folds
            for seed in seeds
        ]


def root_folder() -> Path:
    """The checkout. Raises UserError where the package was installed without one."""
    root = FOLDER.parents[2]
    if not (root / "notebooks").is_dir():
        raise UserError("results/ is not here: install covidseg from its repository (`pip install -e .`).")
    return root


def list_tables() -> list[str]:
    """Names of all tables, such as "miniseg/table2"."""
    return [f"{path.stem}/{name}" for path in sorted(FOLDER.glob("*.yaml")) for name in _sheet(path.stem)["tables"]]


def load_table(name: str) -> Table:
    """The table of that name; raises UnknownName with the nearest one."""
    if name not in list_tables():
        raise unknown_name("table", name, list_tables())
    paper, key = name.split("/")
    sheet = _sheet(paper)
    own = sheet | sheet["tables"][key]  # a table may differ from its paper in any of these
    shared = {n: own[n] for n in ("paper", "title", "data", "protocol", "selection")}
    ranges = {n: tuple(own[n]) for n in ("folds", "seeds", "phantom_folds", "phantom_seeds")}
    metrics = tuple(Metric(column, **facts) for column, facts in own["metrics"].items())
    printed = _printed(own["csv"])
    rows = tuple(
        Row(row.get("model", sheet["model"]), row["variant"], row.get("says", ""), _find(printed, row["paper"], name))
        for row in own["rows"]
    )
    return Table(name=name, metrics=metrics, rows=rows, **shared, **ranges)


def _find(printed: list[dict], key: dict, name: str) -> dict:
    """The one line of the CSV whose columns have the values of ``key``."""
    fits = [line for line in printed if all(line.get(column) == str(value) for column, value in key.items())]
    if len(fits) != 1:
        raise ValueError(f"{name}: {key} names {len(fits)} lines of the paper's CSV")
    return fits[0]


@cache
def _sheet(paper: str) -> dict:
    import yaml

    return yaml.safe_load((FOLDER / f"{paper}.yaml").read_text(encoding="utf-8"))


@cache
def _printed(name: str) -> list[dict]:
    with data_file(f"papers/{name}").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def variants(model: str) -> dict[str, dict]:
    """Row name -> constructor options of a network's ablations; the plain network is "".

    Raises UnknownName for a network that does not exist.
    """
    from covidseg.models import card

    card(model)
    return {"": {}} | VARIANTS.get(model, dict)()


def variant_options(model: str, variant: str) -> dict:
    """Constructor options of one ablation; raises UnknownName with the nearest one."""
    known = variants(model)
    if variant not in known:
        raise unknown_name(f"variant of {model}", variant, [name for name in known if name])
    return known[variant]


def _miniseg_variants() -> dict[str, dict]:
    from covidseg.models.miniseg_ablations import ABLATIONS, JOURNAL

    return {name: row.options for name, row in (ABLATIONS | JOURNAL).items()}


def _infnet_variants() -> dict[str, dict]:
    from covidseg.models.infnet import ABLATIONS

    return {"Inf-Net": {}, SEMI: {}} | ABLATIONS


# The rivals of Inf-Net's Table II as it counts them, and with one soft map, which its measures want.
_RIVALS = {
    "unet": "U-Net",
    "attention_unet": "Attention-UNet",
    "gated_unet": "Gated-UNet",
    "dense_unet": "Dense-UNet",
    "unetplusplus": "U-Net++",
}


def _rival_variants(model: str) -> dict[str, dict]:
    return {_RIVALS[model]: {"config": "infnet", "num_classes": 1}}


# The networks of Table III, which name the kind of infection; a guided one reads a map of infection beside the slice.
_PLAIN, _GUIDED = {"num_classes": 3, "in_channels": 3}, {"num_classes": 3, "in_channels": 6}
_LABELLERS = {
    "deeplabv3plus": {f"DeepLabV3+ (stride={n})": _PLAIN | {"output_stride": n} for n in (8, 16)},
    "fcn8s": {"FCN8s": _PLAIN, "Semi-Inf-Net & FCN8s": _GUIDED},
    "multiclass_unet": {
        "Multi-class U-Net": _PLAIN,
        "Semi-Inf-Net & MC": _GUIDED,
        "Multi-class U-Net, width 16": _PLAIN | {"width": 16},  # ours, for a CPU: the paper's has 64
        "Semi-Inf-Net & MC, width 16": _GUIDED | {"width": 16},
    },
}

VARIANTS = {"miniseg": _miniseg_variants, "infnet": _infnet_variants}
VARIANTS |= {model: partial(_rival_variants, model) for model in _RIVALS}
VARIANTS |= {model: partial(dict, rows) for model, rows in _LABELLERS.items()}


def family(model: str, variant: str) -> str:
    """Whose recipe and protocol a run follows: "miniseg", "infnet", or "labelling" (Inf-Net's Table III).

    A network such as U-Net is a rival in more than one paper: as "U-Net", its row in Inf-Net's Table II, it is trained
    and scored as Inf-Net is, as itself ("") as MiniSeg is.
    """
    if variant in _LABELLERS.get(model, {}):
        return "labelling"
    return "infnet" if model.startswith("infnet") or _RIVALS.get(model) == variant else "miniseg"


def is_semi(model: str, variant: str) -> bool:
    """Whether a run learns from pseudo labels first."""
    return family(model, variant) == "infnet" and variant == SEMI


def is_guided(model: str, variant: str) -> bool:
    """Whether a run's network reads a map of infection that another network makes."""
    return family(model, variant) == "labelling" and variant_options(model, variant)["in_channels"] == 6
