"""One set trains; what is held out of it and the other sets are scored: what a network knows of scans from elsewhere.

One paper's authors tested on ten scans of another country. Here CT100, P9 and P20 take turns. P9 and P20 show some
of the same people, so of the other sets nobody is scored whom the training set shows in any of its folds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from covidseg.data import splits
from covidseg.data.case import Case, CaseDataset
from covidseg.data.sets import DataSet
from covidseg.errors import UserError

__all__ = ["SETS", "across_sets", "set_of"]

SETS = ("ct100", "p9", "p20")
SIZES = {"ct100": (80, 2237), "p9": (300, 700), "p20": (1475, 500)}  # slices that train and are scored, about
HAS = {"ct100": frozenset(), "p9": frozenset({"volumes"}), "p20": frozenset({"volumes"})}
FILES = {own: (own, *(name for name in (*SETS, "semiseg") if name != own)) for own in SETS}  # semiseg: ct100's crops


def set_of(case_id: str) -> str:
    """Which set a case of an ``across_`` set comes from.

    >>> set_of("p9_2_0003")
    'p9'
    """
    return case_id.partition("_")[0]


def across_sets(load: Callable[..., CaseDataset]) -> dict[str, DataSet]:
    """``across_NAME`` of each of the three. load : `covidseg.data.load_dataset`"""
    return {
        f"across_{own}": DataSet(
            partial(_across, load, own), HAS[own], fold_sizes=SIZES[own], made_of=FILES[own], unseen=True
        )
        for own in SETS
    }


def _across(load, own: str, split, fold, volumes=False, mirror=None) -> CaseDataset:
    """Train on ``own``, score on all three, patients parted; ids are ``SET_ID``.

    split : "train", or "val" and "test" for the scored part: the clean test part of a fold of ``own``, and the others.
    volumes : whole scans, which CT100 has none of; it is left out then. Sets that are not here are named in ``notes``.
    """
    if volumes and own == "ct100":
        raise UserError("ct100 holds single slices, no volumes: take across_p9 or across_p20.")
    options = {"mirror": mirror} | ({"volumes": True} if volumes else {})
    home = load(own, **options)
    held = set(splits.choose(home.ids, own, "test", fold, "clean"))
    places = [(home, i) for i in home.ids if split is None or (i in held) == (split != "train")]
    notes = list(home.notes)
    if split != "train":
        guests, missing = _guests(load, home, [n for n in SETS if n != own and not (volumes and n == "ct100")], options)
        places, notes = places + guests, notes + missing
    if not places:
        raise UserError(f"across_{own}: split {split!r} of fold {fold or 1} has none of the volumes here.")
    taken = {f"{part.name}_{i}": (part, i) for part, i in places}

    def read(case_id: str) -> Case:
        part, own_id = taken[case_id]
        return replace(part.case(own_id), id=case_id)

    patients = [_patient(part, i) for part, i in places]
    return CaseDataset(f"across_{own}", list(taken), patients, read, split=split, fold=fold, notes=notes)


def _guests(load, home: CaseDataset, names: list[str], options: dict) -> tuple[list, list[str]]:
    """Cases of the other sets, without the people of ``home``; and what is to be said of them."""
    known, found, notes = set(home.patients) - {""}, [], []
    for name in names:
        try:
            part = load(name, **options)
        except UserError:
            notes.append(f"{name} is not here and not scored")
            continue
        notes += part.notes
        found += [(part, i) for i in part.ids if _patient(part, i) not in known]
    return found, notes


def _patient(part: CaseDataset, case_id: str) -> str:
    return part.patients[part.ids.index(case_id)]
