"""Phantoms as data sets: without limit in number, and no two splits share one."""

from __future__ import annotations

import numpy as np

from covidseg.data import splits
from covidseg.data.case import ALL_CLASSES, Case, CaseDataset
from covidseg.errors import UserError

_SEEDS_PER_SPLIT = 10_000


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


def phantom(
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


def phantom3d(split, fold, n: int = 4, size=(128, 128, 48), seed: int = 0, lesions: bool = True) -> CaseDataset:
    """size : (rows, columns, slices), or one number for a square slice with three eighths as many slices."""
    from covidseg.phantom.chest import phantom_volume

    shape = (size, size, max(1, size * 3 // 8)) if isinstance(size, int) else tuple(size)
    return _phantom_set("phantom3d", split, fold, n, seed, lambda s, _: phantom_volume(s, shape=shape, lesions=lesions))
