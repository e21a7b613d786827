"""What a paper declares: one `Paper` object, in ``papers/NAME/paper.py``, is all that the rest of the kit asks.

Nothing here knows a paper, and nothing here is heavy: the declarations hold functions and classes of the paper's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

__all__ = ["Budget", "MapKind", "Paper", "Protocol", "Row", "Shown", "Weights"]


@dataclass(frozen=True)
class Budget:
    """How large a run is in one budget. ``phantom_size`` : side in pixels of the phantoms themselves.

    train_cases, val_cases : of phantoms so many are made; of a real set at most so many are used
    """

    recipe: str
    train_cases: int
    val_cases: int
    phantom_size: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network with the options of one row of a table, and the task by which it is trained and scored.

    variant : the row's name, "" for the network as published; task : a key of ``Paper.tasks``
    aliases : earlier (network, variant) of this row, as old records have it
    largest_rate : where the kit's own rates would throw this network's first weights out of reach
    float32 : it learns so whatever the recipe says
    """

    network: str
    variant: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    task: str = "infection"
    aliases: tuple[tuple[str, str], ...] = ()
    largest_rate: float | None = None
    float32: bool = False


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """An evaluation. ``score`` : function (preds, targets, ids, spacing, **options) -> Scores.

    per : "slice" where it sees pictures only; None where a case may be a volume
    at_trained_size : masks are compared at the size of the network's input, not on each case's own grid
    brings_home : given where predictions are soft maps: (map (h, w), 0..1, shape of the label) -> map of that shape
    fold_digits : decimals to which a fold's pooled value is rounded before folds are averaged; None keeps all
    """

    name: str
    score: Callable
    per: str | None = "slice"
    at_trained_size: bool = False
    brings_home: Callable | None = None
    fold_digits: int | None = None


@dataclass(frozen=True)
class MapKind:
    """What a paper says of all maps of its networks whose name fits ``pattern``."""

    pattern: str
    word: str  # what its channels are
    note: str = ""  # the paper's use of the map; {low}, {high}, {gain_low}, {gain_high} are filled in
    unit: bool = False  # values are shares: maps of such kinds are compared on one scale, 0 to 1
    logits: bool = False  # shown as probabilities, because a logit of 3 says little and one of 9 hardly more

    def fits(self, name: str) -> bool:
        return fnmatch(name, self.pattern)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Trained weights that come with a paper.

    names : what a user types; load : name -> LoadedWeights; official : (data set, fold) -> the authors' network
    default : (view, intensity) -> (name, reason), the ones to take for such a scan where nobody chose, of those on
        this machine; see `covidseg.scans.view`
    """

    names: Collection[str]
    load: Callable
    official: Callable | None = None
    default: Callable[[str, str], tuple[str, str]] | None = None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A small trained network that comes with a paper: it learned from phantoms alone, so it may be shipped.

    name : what a user types; label : one phrase for people
    file : its weights in the paper's folder, written by ``make weights`` (`covidseg.runs.shipped`); they hold network,
        options, preprocessing and label
    row : network, options, and the task that teaches it; recipe : of the paper, by name
    dataset : of phantoms, as `covidseg.data.load_dataset` has it; learns, held_out : its options for the cases, joined
    learn : seed -> (network, facts for the file) where a task is not enough; recipe and learns are then not read
    flat : model -> `covidseg.nn.flat.FlatNetwork`, where it can run outside Python too
    """

    name: str
    file: str
    label: str
    row: Row
    recipe: str = ""
    dataset: str = "phantom"
    learns: tuple[Mapping[str, Any], ...] = ()
    held_out: tuple[Mapping[str, Any], ...] = ({"n": 60},)
    learn: Callable | None = None
    flat: Callable | None = None


@dataclass(frozen=True, kw_only=True)
class Paper:
    """One paper. ``name`` : its folder, and the first half of the name of each of its tables.

    networks : names under which its own networks are registered; those of rivals are rows only
    rows : everything that can be run; tasks : name -> class, see `covidseg.training.task.Task`
    recipes : unique over all papers; protocols, data sets : those that only this paper has
    maps : captions for the maps of its own networks; diagram : "module:function" that draws the network
    cams : where it shows "Grad-CAM" or "Grad-CAM++", for the captions of these
    shown : small networks trained on phantoms, one for each of its own networks that is worth a look
    benchmark : file in data/papers of its table of sizes and speeds of rivals, for `covidseg profile --table5`
    """

    name: str
    cite: str
    arxiv: str | None = None
    networks: tuple[str, ...]
    rows: tuple[Row, ...]
    tasks: Mapping[str, type]
    recipes: tuple
    protocols: tuple[Protocol, ...] = ()
    datasets: tuple = ()
    maps: tuple[MapKind, ...] = ()
    cams: Mapping[str, str] = field(default_factory=dict, hash=False)
    weights: Weights | None = None
    shown: tuple[Shown, ...] = ()
    diagram: str | None = None
    benchmark: str | None = None
