"""One door to every data set: `load_dataset(name, split, fold, **options)` returns a CaseDataset."""

from __future__ import annotations

import inspect
from contextlib import suppress
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path

from covidseg.data import splits
from covidseg.data.across import across_sets
from covidseg.data.case import CaseDataset
from covidseg.data.phantoms import phantom, phantom3d
from covidseg.data.sets import DataSet
from covidseg.errors import UserError, unknown_name
from covidseg.progress import progress


def list_datasets() -> list[str]:
    """Names that load_dataset knows."""
    return list(_all_sets())


def load_dataset(name: str, split: str | None = None, fold: int | None = None, **options) -> CaseDataset:
    """The cases of a data set, or of one split of one fold.

    name : "phantom" and "phantom3d" need no download; "ct100", "semiseg", "p9", "p20", "p1110" are real CT
    split : "train", "val", "test" or None for all; fold : 1..5, None means 1 where a split needs one
    options of phantoms : n, size, seed, lesions; for "phantom" also view ("body", "lungs" or "any") and per_patient
    "across_ct100", "across_p9" and "across_p20" train on one of the three and score all three, see `data.across`
    options of real sets : protocol="paper" (the authors' folds; "test" is "val" again) or "clean" (patient-wise,
        three parts); mirror=DIR; for p9, p20, p1110 also volumes=True (whole volumes, not infected slices) and
        infected_only=False; for semiseg part="unlabelled" (1,600 slices with pseudo labels)
    Raises UnknownName (a LookupError) for a wrong name, split, fold or option, with the nearest right one, and
    UserError with the way out where a real set is not on this machine.

    >>> [case.id for case in load_dataset("phantom", split="val", n=2, size=64)]
    ['phantom_s0_val_0000', 'phantom_s0_val_0001']
    """
    loader = data_set(name).load
    splits.check_names(split, fold, options.get("protocol", "paper"))
    known = list(inspect.signature(loader).parameters)[2:]  # after split and fold
    for option in options:
        if option not in known:
            raise unknown_name(f"option of data set {name!r}", option, known)
    return loader(split, fold, **options)


# -------------------------------------------------------------------------------------------------------- real sets


def prepared_folder(name: str) -> Path:
    """Where `covidseg data prepare` puts a set."""
    from covidseg.fetch.sources import data_home

    return data_home() / "prepared" / name


def find_volumes(name: str, mirror=None) -> tuple[Path, list]:
    """The folder that holds a set and its volumes. Raises UserError with the way out where it is not here."""
    from covidseg.data.layouts import LAYOUTS
    from covidseg.fetch.sources import data_home, roots

    folder = name.removesuffix("-unlabelled")
    for root in roots(folder, mirror):
        if volumes := LAYOUTS[name](root):
            return root, volumes
    from covidseg.fetch.catalog import source

    entry = source(folder)
    way = entry.steps if entry.manual else f"`covidseg data fetch {folder}` downloads it"
    raise UserError(
        f"{name} is not on this machine (looked for {data_home() / 'raw' / folder} and a mirror). {way.rstrip('.')}; "
        f"or set COVIDSEG_MIRROR to a folder that has {folder}/; 'phantom' always works."
    )


def volumes_here(name: str) -> tuple[int, int] | None:
    """Volumes of a set on this machine, and all it has; None for a computed set, and where none is here.

    Of a set made of others: of theirs together.
    """
    from covidseg.data.layouts import WHOLE

    sets, here = [name] if name in WHOLE else data_set(name).made_of, 0
    for one in sets:
        with suppress(UserError):
            here += len(find_volumes(one)[1])
    return (here, sum(WHOLE[one] for one in sets)) if here else None


def open_shelf(name: str, mirror=None):
    """(shelf of the volumes, {volume: [(slice, number), ...] with infection}, root): prepared if it fits, else raw."""
    from covidseg.data.shelf import Shelf, prepared_shelf, read_index

    index = read_index(prepared_folder(name))
    try:
        root, volumes = find_volumes(name, mirror)
    except UserError:
        if index is None:
            raise
        root, volumes = Path(index["root"]), []
    if index is not None and (not volumes or str(root) == index["root"]):
        infected = {v["name"]: [(z, v["numbers"][z]) for z in v["infected"]] for v in index["volumes"]}
        return prepared_shelf(prepared_folder(name), index), infected, root
    waiting = progress(volumes, f"Looking for infected slices of {name}")
    return Shelf(volumes), {v.name: _infected(v, v.mask.stat().st_mtime_ns) for v in waiting}, root


@lru_cache(maxsize=2048)
def _infected(volume, changed: int) -> list[tuple[int, int]]:
    """infected_numbers, read once for each state of the mask file."""
    from covidseg.data.shelf import infected_numbers

    return infected_numbers(volume)


def _volume_set(name, split, fold, protocol, volumes, infected_only, mirror) -> CaseDataset:
    """p9, p20, p1110: slices with infection as the papers use them, or whole volumes."""
    from covidseg.data.layouts import WHOLE

    shelf, infected, root = open_shelf(name, mirror)
    places: dict[str, tuple[str, int | None]] = {}
    for volume in shelf.volumes:
        if volumes:
            places[volume] = (volume, None)
        elif infected_only:
            places.update({f"{volume}_{number:04d}": (volume, z) for z, number in infected[volume]})
        else:
            numbers = shelf.opened(volume).numbers
            places.update({f"{volume}_{number:04d}": (volume, z) for z, number in enumerate(numbers)})
    ids = list(places)
    if split is not None:
        ids = splits.choose(ids, name, split, fold, protocol)
        if not ids:
            raise _nothing_left(name, split, fold or 1, protocol, shelf.volumes, root)
    have, whole = len(shelf.volumes), WHOLE[name]
    notes = () if have == whole else (f"{have} of {whole} volumes are here",)
    patients = [shelf.volumes[places[i][0]].patient for i in ids]
    return CaseDataset(
        name, ids, patients, lambda i: shelf.case(*places[i], i), split=split, fold=_fold(split, fold), notes=notes
    )


def _fold(split, fold) -> int | None:
    return fold if split is None else fold or 1


def _nothing_left(name, split, fold, protocol, here, root) -> UserError:
    wanted = splits.volumes_of(name, split, fold, protocol)
    return UserError(
        f"{name}: split {split!r} of fold {fold} ({protocol}) needs volume {', '.join(wanted)}, which {root} does not "
        f"have (it has {', '.join(here)}). Choose another fold, or fetch the whole set."
    )


def _p9(split, fold, protocol="paper", volumes=False, infected_only=True, mirror=None) -> CaseDataset:
    return _volume_set("p9", split, fold, protocol, volumes, infected_only, mirror)


def _p20(split, fold, protocol="paper", volumes=False, infected_only=True, mirror=None) -> CaseDataset:
    return _volume_set("p20", split, fold, protocol, volumes, infected_only, mirror)


def _p1110(split, fold, protocol="paper", volumes=False, infected_only=True, mirror=None) -> CaseDataset:
    return _volume_set("p1110", split, fold, protocol, volumes, infected_only, mirror)


def _ct100(split, fold, protocol="paper", mirror=None) -> CaseDataset:
    """The 100 slices; where only COVID-SemiSeg's crops of 98 of them are here, those."""
    try:
        shelf, _, _ = open_shelf("ct100", mirror)
    except UserError as absent:
        try:
            crops = _semiseg(None, None, mirror=mirror)
        except UserError:
            raise absent from None
        ids = list(crops.ids) if split is None else splits.choose(crops.ids, "ct100", split, fold, protocol)
        notes = ("COVID-SemiSeg's lung crops stand in for the whole slices: 98 of 100",)
        return CaseDataset("ct100", ids, [""] * len(ids), crops.case, split=split, fold=_fold(split, fold), notes=notes)
    numbers = shelf.opened("tr_im").numbers
    places = {f"tr_im_{number:04d}": z for z, number in enumerate(numbers)}
    ids = sorted(places)
    if split is not None:
        ids = splits.choose(ids, "ct100", split, fold, protocol)
    return CaseDataset(
        "ct100", ids, [""] * len(ids), lambda i: shelf.case("tr_im", places[i], i), split=split, fold=_fold(split, fold)
    )


def _semiseg(split, fold, protocol="paper", part="labelled", mirror=None) -> CaseDataset:
    """fold None: the set's own split of the 98 labelled crops; fold 1..5: the published folds of the same slices."""
    if part not in ("labelled", "unlabelled"):
        raise unknown_name("part of semiseg", part, ("labelled", "unlabelled"))
    shelf, _, _ = open_shelf("semiseg" if part == "labelled" else "semiseg-unlabelled", mirror)
    ids = list(shelf.volumes)
    if part == "unlabelled" and split not in (None, "train"):
        raise UserError(f"semiseg: the unlabelled part has no split {split!r}; it only ever trains.")
    if split is not None and part == "labelled":
        if fold is None:
            ids = splits.choose_own(ids, split, protocol)
        else:
            ids = splits.choose(ids, "ct100", split, fold, protocol)
    patients = [shelf.volumes[i].patient for i in ids]
    return CaseDataset("semiseg", ids, patients, lambda i: shelf.case(i, 0, i), split=split, fold=fold)


_SETS = {
    "phantom": DataSet(phantom, frozenset({"kinds", "lung", "pool"}), own_split=(), synthetic=True),
    "phantom3d": DataSet(phantom3d, frozenset({"kinds", "lung", "volumes"}), own_split=(), synthetic=True),
    "ct100": DataSet(_ct100, fold_sizes=(79, 20), made_of=("semiseg",)),
    "semiseg": DataSet(_semiseg, frozenset({"kinds", "pool"}), fold_sizes=(79, 20), own_split=(50, 48)),
    "p9": DataSet(_p9, frozenset({"lung", "volumes"}), fold_sizes=(319, 54)),
    "p20": DataSet(_p20, frozenset({"lung", "volumes"}), fold_sizes=(1475, 369)),
    "p1110": DataSet(_p1110, frozenset({"volumes"}), fold_sizes=(628, 157)),
} | across_sets(load_dataset)

SYNTHETIC = tuple(name for name, one in _SETS.items() if one.synthetic)  # the kit's own; papers bring real sets


@cache
def _all_sets() -> dict[str, DataSet]:
    """The kit's own sets and those that a paper brings."""
    return _SETS | {name: one for paper in import_module("covidseg.papers").papers() for name, one in paper.datasets}


def data_set(name: str) -> DataSet:
    """What is known of a set before it is read. Raises UnknownName with the nearest name."""
    if name in _SETS:
        return _SETS[name]
    if name not in _all_sets():
        raise unknown_name("data set", name, _all_sets())
    return _all_sets()[name]


def parts(name: str, fold: int) -> tuple[str, str]:
    """Names of the splits that train and that are scored: of a fold 1..5, or for 0 the set's own train and test part.

    Raises UserError for a set that has no such part.
    """
    if fold:
        return "train", "val"
    if data_set(name).own_split is None:
        raise UserError(f"fold=0 is a set's own train and test part, which {name} does not have: give 1 to 5.")
    return "train", "test"
