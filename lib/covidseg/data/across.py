"""One set trains; what is held out of it and the other sets are scored: what a network knows of scans from elsewhere.

COVID-SegNet's authors tested on ten scans of another country. Here CT100, P9 and P20 take turns. P9 and P20 show some
of the same people, so of the other sets nobody is scored whom the training set shows in any of its folds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from covidseg.data import splits
from covidseg.data.case import CaseDataset
from covidseg.data.sets import DataSet
from covidseg.errors import UserError

__all__ = ["ACROSS", "set_of"]

SETS = ("ct100", "p9", "p20")


def set_of(case_id: str) -> str:
    """Which set a case of an ``across_`` set comes from.

    >>> set_of("p9_2_0003")
    'p9'
    """
    return case_id.partition("_")[0]


def _across(own: str, split, fold, volumes=False, mirror=None) -> CaseDataset:
    """Train on ``own``, score on all three, patients parted; ids are ``SET_ID``.

    split : "train", or "val" and "test" for the scored part: the clean test part of a fold of ``own``, and the others.
    volumes : whole scans, which CT100 has none of; it is left out then. Sets that are not here are named in ``notes``.
    """
    if volumes and own == "ct100":
        raise UserError("ct100 holds single slices, no volumes: take across_p9 or across_p20.")
    others = [name for name in SETS if name != own and not (volumes and name == "ct100")]
    parts = {own: _one(own, volumes, mirror)}
    known, notes = set(parts[own].patients) - {""}, list(parts[own].notes)
    held = set(splits.choose(parts[own].ids, own, "test", fold, "clean"))
    taken = {f"{own}_{i}": (own, i) for i in parts[own].ids if split is None or (i in held) == (split != "train")}
    for name in others if split != "train" else ():
        try:
            parts[name] = _one(name, volumes, mirror)
        except UserError:
            notes.append(f"{name} is not here and not scored")
            continue
        notes += parts[name].notes
        people = zip(parts[name].ids, parts[name].patients, strict=True)
        taken |= {f"{name}_{i}": (name, i) for i, who in people if who not in known}
    if not taken:
        raise UserError(f"across_{own}: split {split!r} of fold {fold or 1} has none of the volumes here.")
    who = {(name, i): p for name, part in parts.items() for i, p in zip(part.ids, part.patients, strict=True)}

    def load(case_id: str):
        name, own_id = taken[case_id]
        return replace(parts[name].case(own_id), id=case_id)

    patients = [who[place] for place in taken.values()]
    return CaseDataset(f"across_{own}", list(taken), patients, load, split=split, fold=fold, notes=notes)


def _one(name: str, volumes: bool, mirror) -> CaseDataset:
    from covidseg.data.datasets import load_dataset

    return load_dataset(name, mirror=mirror, **({"volumes": True} if volumes else {}))


SIZES = {"ct100": (80, 2237), "p9": (300, 700), "p20": (1475, 500)}  # slices that train and are scored, about
HAS = {"ct100": frozenset(), "p9": frozenset({"volumes"}), "p20": frozenset({"volumes"})}
FILES = {own: (own, *(name for name in (*SETS, "semiseg") if name != own)) for own in SETS}  # semiseg: ct100's crops
ACROSS = {
    f"across_{own}": DataSet(partial(_across, own), HAS[own], fold_sizes=SIZES[own], made_of=FILES[own], unseen=True)
    for own in SETS
}
