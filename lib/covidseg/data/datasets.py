"""One door to every data set: `load_dataset(name, split, fold, **options)` returns a CaseDataset."""

from __future__ import annotations

import inspect
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np

from covidseg.data import splits
from covidseg.data.case import ALL_CLASSES, Case, CaseDataset
from covidseg.data.sets import DataSet
from covidseg.errors import UserError, unknown_name
from covidseg.progress import progress

_SEEDS_PER_SPLIT = 10_000


def list_datasets() -> list[str]:
    """Names that load_dataset knows."""
    return list(_all_sets())


def load_dataset(name: str, split: str | None = None, fold: int | None = None, **options) -> CaseDataset:
    """The cases of a data set, or of one split of one fold.

    name : "phantom" and "phantom3d" need no download; "ct100", "semiseg", "p9", "p20", "p1110" are real CT
    split : "train", "val", "test" or None for all; fold : 1..5, None means 1 where a split needs one
    options of phantoms : n, size, seed, lesions; for "phantom" also view ("body", "lungs" or "any") and per_patient
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


# --------------------------------------------------------------------------------------------------------- phantoms


def phantom_seeds(split: str | None, fold: int | None, n: int, seed: int) -> list[int]:
    """Seeds of the ``n`` phantoms of one split: no two of (seed, fold, split) ever share one.

    Phantoms are unlimited, so a split is a range of seeds instead of a share of a finite pool.
    """
    if not 1 <= n <= _SEEDS_PER_SPLIT:
        raise UserError(f"Phantoms: n is {n}; give 1 to {_SEEDS_PER_SPLIT} cases.")
    if seed < 0:
        raise UserError(f"Phantoms: seed is {seed}; give 0 or more.")
    place = (None, *splits.SPLITS).index(split)
    block = (int(seed) * (len(splits.FOLDS) + 1) + (fold or 0)) * (len(splits.SPLITS) + 1) + place
    return [block * _SEEDS_PER_SPLIT + i for i in range(n)]


def _phantom_set(name, split, fold, n, seed, make, per_patient=1) -> CaseDataset:
    """make(seed of the case, seed of its patient) -> Phantom."""
    where = f"s{seed}" + (f"f{fold}" if fold else "") + (f"_{split}" if split else "")
    seeds = phantom_seeds(split, fold, n, seed)
    ids = [f"{name}_{where}_{i:04d}" for i in range(n)]
    first = [i - i % per_patient for i in range(n)]  # the case whose seed draws the patient, and names it
    place = {case_id: i for i, case_id in enumerate(ids)}

    def load(case_id: str) -> Case:
        i = place[case_id]
        made = make(seeds[i], seeds[first[i]])
        return Case(
            id=case_id,
            patient=ids[first[i]],
            image=made.hu.astype(np.float32, copy=False),
            mask=made.labels.astype(np.uint8, copy=False),
            intensity="HU",
            spacing=tuple(float(v) for v in made.spacing),
            lung=made.lung.astype(np.uint8, copy=False),
            classes=ALL_CLASSES,
        )

    return CaseDataset(name, ids, [ids[f] for f in first], load, split=split, fold=fold)


def _phantom(
    split,
    fold,
    n: int = 16,
    size: int = 512,
    seed: int = 0,
    lesions: bool = True,
    view: str = "any",
    per_patient: int = 1,
) -> CaseDataset:
    """view : "any", "body" or "lungs", see phantom_slice; per_patient : slices of one patient that follow each other"""
    from covidseg.phantom.chest import phantom_slice

    if per_patient < 1:
        raise UserError(f"Phantoms: per_patient is {per_patient}; give 1 or more.")

    def make(case_seed, patient):
        return phantom_slice(case_seed, size, lesions, patient=patient, view=view)

    return _phantom_set("phantom", split, fold, n, seed, make, per_patient)


def _phantom3d(split, fold, n: int = 4, size=(128, 128, 48), seed: int = 0, lesions: bool = True) -> CaseDataset:
    """size : (rows, columns, slices), or one number for a square slice with three eighths as many slices."""
    from covidseg.phantom.chest import phantom_volume

    shape = (size, size, max(1, size * 3 // 8)) if isinstance(size, int) else tuple(size)
    return _phantom_set("phantom3d", split, fold, n, seed, lambda s, _: phantom_volume(s, shape=shape, lesions=lesions))


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


def open_shelf(name: str, mirror=None):
    """(shelf of the volumes, {volume: [(slice, number), ...] with infection}, root): prepared if it fits, else raw."""
    from covidseg.data.layouts import Shelf, prepared_shelf, read_index

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
    from covidseg.data.layouts import infected_numbers

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
    "phantom": DataSet(_phantom, frozenset({"kinds", "lung", "pool"}), own_split=(), synthetic=True),
    "phantom3d": DataSet(_phantom3d, frozenset({"kinds", "lung", "volumes"}), own_split=(), synthetic=True),
    "ct100": DataSet(_ct100, fold_sizes=(79, 20), made_of=("semiseg",)),
    "semiseg": DataSet(_semiseg, frozenset({"kinds", "pool"}), fold_sizes=(79, 20), own_split=(50, 48)),
    "p9": DataSet(_p9, frozenset({"lung", "volumes"}), fold_sizes=(319, 54)),
    "p20": DataSet(_p20, frozenset({"lung", "volumes"}), fold_sizes=(1475, 369)),
    "p1110": DataSet(_p1110, frozenset({"volumes"}), fold_sizes=(628, 157)),
}

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
