"""The papers, a folder each, and the finder of what they declare.

A paper is a folder with ``paper.py`` (see `covidseg.paper`), and a name in NAMES. The functions here are how the rest
of the kit asks for rows, recipes and weights; nobody else knows which papers there are.
"""

from functools import cache
from importlib import import_module
from pathlib import Path

from covidseg.errors import UserError, unknown_name
from covidseg.paper import Paper, Row, Shown

__all__ = [
    "NAMES",
    "default_weights",
    "find_row",
    "folder",
    "load_official",
    "paper_of_model",
    "paper_of_network",
    "papers",
    "recipe",
    "recipes",
    "shown",
    "shown_networks",
    "variant_options",
    "variants",
    "weight_names",
    "weights",
]

NAMES = ("miniseg", "infnet", "chsnet", "covidsegnet")


def folder(name: str) -> Path:
    """Where a paper lies."""
    return Path(__file__).parent / name


@cache
def papers() -> tuple[Paper, ...]:
    """Every paper's declaration; imports their networks, so not before somebody asks."""
    return tuple(import_module(f"covidseg.papers.{name}.paper").PAPER for name in NAMES)


def paper_of_network(name: str) -> Paper | None:
    """The paper whose own network this is; None for a rival."""
    return next((paper for paper in papers() if name in paper.networks), None)


def paper_of_model(model) -> Paper | None:
    """The paper in whose folder a network's class stands; None for a rival's or a stranger's."""
    inside = type(model).__module__.split(".")[:3]
    return next((paper for paper in papers() if inside == ["covidseg", "papers", paper.name]), None)


# ------------------------------------------------------------------------------------------------------- rows


@cache
def _rows() -> dict[tuple[str, str], tuple[Paper, Row]]:
    found: dict[tuple[str, str], tuple[Paper, Row]] = {}
    for paper in papers():
        for row in paper.rows:
            for place in ((row.network, row.variant), *row.aliases):
                if place in found:
                    raise ValueError(f"Two rows want {place}: one in {found[place][0].name}, one in {paper.name}.")
                found[place] = paper, row
    return found


def find_row(model: str, variant: str = "") -> tuple[Paper, Row]:
    """Whose row that is, and the row. Raises UnknownName, for a misspelt model or variant, with the nearest one."""
    from covidseg.nn import card

    card(model)
    if (model, variant) not in _rows():
        raise unknown_name(f"variant of {model}", variant, [name for name in variants(model) if name])
    return _rows()[model, variant]


def variants(model: str) -> dict[str, Row]:
    """Rows of a network by name; raises UnknownName for a network that does not exist."""
    from covidseg.nn import card

    card(model)
    return {variant: row for (network, variant), (_, row) in _rows().items() if network == model}


def variant_options(model: str, variant: str) -> dict:
    """What `create_model` is given for a row."""
    return dict(find_row(model, variant)[1].options)


# ---------------------------------------------------------------------------------------------------- recipes


@cache
def recipes() -> dict:
    """Every recipe that some run may name."""
    found = {}
    for paper in papers():
        for one in paper.recipes:
            if found.setdefault(one.name, one) is not one:
                raise ValueError(f"Two recipes want the name {one.name!r}.")
    return found


def recipe(name: str, **changes):
    """The recipe of that name with some settings changed. Raises UnknownName for a wrong name or setting.

    >>> recipe("quick", epochs=3).epochs
    3
    """
    if name not in recipes():
        raise unknown_name("recipe", name, recipes())
    chosen = recipes()[name]
    return type(chosen).from_dict(chosen.to_dict() | changes) if changes else chosen


# ---------------------------------------------------------------------------------------------------- weights


def weight_names() -> list[str]:
    """Names of trained weights that come with a paper."""
    named = (name for paper in papers() if paper.weights for name in paper.weights.names)
    return list(dict.fromkeys([*named, *shown()]))


def weights(name: str):
    """`LoadedWeights` by the name a user types, or from a file or a run folder. Raises UnknownName with the nearest
    name, UserError for a file that holds no weights."""
    from covidseg.nn.weights import load_weights

    if name in shown():
        paper, one = shown()[name]
        return load_weights(folder(paper.name) / one.file)
    for paper in papers():
        if paper.weights and name in paper.weights.names:
            return paper.weights.load(name)
    if Path(name).suffix or len(Path(name).parts) > 1 or Path(name).exists():
        return load_weights(name)
    raise unknown_name("set of weights", name, weight_names())


def shown_networks() -> list[tuple[Path, Shown]]:
    """The small trained networks that come with the papers: each one's file of weights, and its declaration."""
    return [(folder(paper.name) / one.file, one) for paper in papers() for one in paper.shown]


def shown() -> dict[str, tuple[Paper, Shown]]:
    """The same by the name that a user types: the paper, and its declaration."""
    return {one.name: (paper, one) for paper in papers() for one in paper.shown}


def default_weights(view: str, intensity: str) -> tuple[str, str]:
    """Name of the weights to take for a scan where nobody chose, and why these.

    view : WHOLE or LUNGS, see `covidseg.scans.view`; intensity : "HU" or "grey"
    """
    for paper in papers():
        if paper.weights and paper.weights.default:
            return paper.weights.default(view, intensity)
    raise UserError("No weights come with this kit: name a file of trained ones.")


def load_official(name: str = NAMES[0], dataset: str = "CT100", fold: int = 1):
    """The authors' network for one data set and fold (1..5), in eval mode, with ``.preprocessing``; sha256-checked.

    From the mirror (COVIDSEG_MIRROR), the download folder, or the authors' repository. Raises UnknownName for a wrong
    name, UserError where the file cannot be had.
    """
    able = {n: p.weights.official for p in papers() if p.weights and p.weights.official for n in p.networks}
    if name not in able:
        raise unknown_name("model with published weights", name, able)
    return able[name](dataset, fold)
