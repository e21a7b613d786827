"""Real volumes for COVID-SegNet, whose own 861 patients are private: P9 and P20 in one set, and the folds of Ma et al.

Nothing here is looked at before the last scores: no epoch is chosen on what is scored.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from covidseg.data.case import CaseDataset
from covidseg.data.datasets import load_dataset
from covidseg.data.sets import DataSet
from covidseg.errors import UserError

__all__ = ["DATASETS", "MA_FOLDS", "TESTED"]

# Ours: whom the set tests; the same people as chsnet_patients tests, so that both papers' runs can be compared.
TESTED = frozenset(
    ("coronacases_004", "coronacases_007", "coronacases_008", "radiopaedia_27_86410", "radiopaedia_40_86625", "p9_6")
)
# Ma et al., Medical Physics 2021: four volumes train and sixteen are tested, or the other way round.
MA_FOLDS = {
    1: ("coronacases_007", "coronacases_008", "radiopaedia_4_85506_1", "radiopaedia_36_86526_0"),
    2: ("coronacases_004", "coronacases_009", "radiopaedia_7_85703_0", "radiopaedia_14_85914_0"),
    3: ("coronacases_001", "coronacases_010", "radiopaedia_10_85902_1", "radiopaedia_29_86491_1"),
    4: ("coronacases_003", "coronacases_005", "radiopaedia_27_86410_0", "radiopaedia_40_86625_0"),
    5: ("coronacases_002", "coronacases_006", "radiopaedia_10_85902_3", "radiopaedia_29_86490_1"),
}


def _patients(split, fold, volumes=True, mirror=None) -> CaseDataset:
    """Whole volumes of P9 and P20, called ``SET_VOLUME``, parted by people: "train" and "test", no folds."""
    parts = {name: load_dataset(name, volumes=True, mirror=mirror) for name in ("p9", "p20")}
    people = {f"{name}_{i}": who for name, p in parts.items() for i, who in zip(p.ids, p.patients, strict=True)}
    ids = [i for i, who in people.items() if split is None or (who in TESTED) == (split == "test")]
    if split == "val" or not ids:
        raise UserError(f"covidsegnet_patients has no volume here for split {split!r}; it has 'train' and 'test'.")

    def load(case_id: str):
        name, _, own = case_id.partition("_")
        return replace(parts[name].case(own), id=case_id)

    notes = [note for part in parts.values() for note in part.notes]
    return CaseDataset("covidsegnet_patients", ids, [people[i] for i in ids], load, split=split, fold=fold, notes=notes)


def _ma(few: bool, split, fold, volumes=True, mirror=None) -> CaseDataset:
    """P20 in Ma's folds 1 to 5. Their pairs of one patient (10_85902, 29_8649) lie in different folds, as published."""
    whole = load_dataset("p20", volumes=True, mirror=mirror)
    group = MA_FOLDS[fold or 1]
    ids = [i for i in whole.ids if split is None or ((i in group) == few) == (split == "train")]
    if not ids:
        raise UserError(f"Split {split!r} of Ma's fold {fold or 1} needs {', '.join(group)}, of which none is here.")
    part = whole.subset(ids)
    name = "p20_ma_4_16" if few else "p20_ma_16_4"
    return CaseDataset(name, part.ids, part.patients, part.case, split=split, fold=fold or 1, notes=whole.notes)


KNOWN = partial(DataSet, has=frozenset({"lung", "volumes"}), unseen=True)
DATASETS = (
    ("covidsegnet_patients", KNOWN(_patients, own_split=(22, 7), made_of=("p9", "p20"))),
    ("p20_ma_4_16", KNOWN(partial(_ma, True), fold_sizes=(4, 16), made_of=("p20",))),
    ("p20_ma_16_4", KNOWN(partial(_ma, False), fold_sizes=(16, 4), made_of=("p20",))),
)
