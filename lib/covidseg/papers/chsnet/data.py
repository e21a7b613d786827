"""P9 and P20 as one set of slices, with lungs and infection, as CHS-Net's authors fused them; and two ways to part it.

The paper draws 30 % of the slices at random to test (section 4.2), so neighbours of a tested slice, a millimetre away,
are learned from. ``protocol="clean"`` parts people instead. Seven of P9's nine volumes are scans of people that P20
shows too (`covidseg.data.splits.patient_of`), so both sets are parted together.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from random import Random

import numpy as np
import torch

from covidseg.data.case import Case, CaseDataset, lungs_of
from covidseg.data.datasets import open_shelf
from covidseg.data.layouts import WHOLE, Volume
from covidseg.data.sets import DataSet
from covidseg.data.shelf import open_volume
from covidseg.data.splits import FOLDS
from covidseg.data.transforms import resize_image, resize_mask
from covidseg.errors import UserError, unknown_name

__all__ = ["DATASETS", "PARTS", "at_size", "fold_of_patient", "fold_of_slices", "fused", "lungs_of", "set_of"]

PARTS = ("p9", "p20")
SIZE = 256  # paper: every slice has 256 x 256 pixels
TESTED = 0  # the number of the tested 30 %, beside the folds 1 to 5 of the other 70 %

# Ours: who is tested, and which fold validates whom. In slices with infection 29 % of P20 and 32 % of P9 are tested.
# Radiopaedia's case 29 stands twice in P20 under two study numbers, which look like one person: one group.
PATIENTS = {
    0: ("coronacases_004", "coronacases_007", "coronacases_008", "radiopaedia_27", "radiopaedia_40", "p9_6"),
    1: ("coronacases_001", "radiopaedia_14"),
    2: ("coronacases_003", "coronacases_005", "p9_1"),
    3: ("coronacases_006", "coronacases_010"),
    4: ("radiopaedia_10", "radiopaedia_29", "radiopaedia_7"),
    5: ("coronacases_002", "coronacases_009", "radiopaedia_36", "radiopaedia_4"),
}


def fused(split, fold, protocol="paper", only=None, size=SIZE, mirror=None) -> CaseDataset:
    """Every slice of P9 and P20 that shows lungs, called ``SET_VOLUME_NUMBER``; infected or not.

    split, fold : 30 % are tested ("test"), in every fold the same. With fold 1..5 the others are parted into "train"
        (four fifths) and "val"; without a fold "train" is all of them, and there is no "val"
    protocol : "paper" parts slices, "clean" people
    only : "p9" or "p20", for the slices of one set alone; size : side in pixels, None leaves each slice its own
    Volumes that are not on this machine are counted in ``notes``; raises UserError where a whole set is missing.
    """
    return _parted("chsnet_fused", split, fold, protocol, only, size, mirror)


def fused_patients(split, fold, only=None, size=SIZE, mirror=None) -> CaseDataset:
    """`fused`, parted by people: a set of its own, so that a run can name it."""
    return _parted("chsnet_patients", split, fold, "clean", only, size, mirror)


def _parted(fused_as: str, split, fold, protocol, only, size, mirror) -> CaseDataset:
    if only not in (None, *PARTS):
        raise unknown_name(f"part of {fused_as}", only, PARTS)
    if split == "val" and fold is None:
        raise UserError(f"{fused_as} has validation slices only in a fold: give fold=1 to 5.")
    places, patients, notes = {}, [], []
    for name in PARTS if only is None else (only,):
        shelf, _, _ = open_shelf(name, mirror)
        have, whole = len(shelf.volumes), WHOLE[name]
        notes += [] if have == whole else [f"{have} of {whole} volumes of {name} are here"]
        for volume in shelf.volumes:
            shown, outside = _seen(shelf, volume)
            notes += [f"{outside} slices of {name} {volume} have infection but no lungs: left out"] if outside else []
            folds = _folds(shelf.volumes[volume].patient, [number for _, number in shown], volume, protocol)
            for z, number in shown:
                if _belongs(folds[number], split, fold):
                    places[f"{name}_{volume}_{number:04d}"] = (shelf, volume, z)
                    patients.append(shelf.volumes[volume].patient)
    if not places:
        raise UserError(f"{fused_as}: split {split!r} of fold {fold} ({protocol}) has none of the volumes here.")

    def load(case_id: str) -> Case:
        shelf, volume, z = places[case_id]
        case = shelf.case(volume, z, case_id)
        return case if size is None else at_size(case, size)

    return CaseDataset(fused_as, list(places), patients, load, split=split, fold=fold, notes=notes)


def set_of(case_id: str) -> str:
    """Which of the two sets a slice comes from.

    >>> set_of("p9_2_0003")
    'p9'
    """
    return case_id.partition("_")[0]


def fold_of_patient(patient: str) -> int:
    """0 where that person is tested, else the fold 1..5 that validates; someone nobody parted always trains: -1.

    >>> fold_of_patient("radiopaedia_29_86491"), fold_of_patient("coronacases_008")
    (4, 0)
    """
    group = "_".join(patient.split("_")[:2])
    return next((number for number, groups in PATIENTS.items() if group in groups), -1)


def fold_of_slices(numbers: list[int], volume: str) -> dict[int, int]:
    """Slice number -> 0 where it is tested, else fold 1..5: chance, but in every volume 30 % and four times 14 %.

    Ours: drawn within each volume, so that a volume that is missing moves no other slice.

    >>> sorted(fold_of_slices(list(range(10)), "2").values())
    [0, 0, 0, 1, 1, 2, 2, 3, 4, 5]
    """
    mixed = sorted(numbers)
    Random(f"chsnet {volume}").shuffle(mixed)
    tested = round(0.3 * len(mixed))
    return dict.fromkeys(mixed[:tested], TESTED) | {z: k % len(FOLDS) + 1 for k, z in enumerate(mixed[tested:])}


def _folds(patient: str, numbers: list[int], volume: str, protocol: str) -> dict[int, int]:
    return dict.fromkeys(numbers, fold_of_patient(patient)) if protocol == "clean" else fold_of_slices(numbers, volume)


def _belongs(number: int, split: str | None, fold: int | None) -> bool:
    """Whether a slice of fold ``number`` is in a split."""
    if split is None:
        return True
    part = "test" if number == TESTED else "val" if fold is not None and number == fold else "train"
    return part == split


@cache
def _lungs_seen(volume: Volume, changed: int) -> tuple:
    return _of_masks(open_volume(volume))


def _seen(shelf, name: str) -> tuple[list[tuple[int, int]], int]:
    """(slice, its number) of every slice with lungs, and how many have infection but none."""
    volume = shelf.volumes[name]
    if volume.lung is None:  # a prepared set: its masks are read in no time
        return _of_masks(shelf.opened(name))
    return _lungs_seen(volume, Path(volume.lung).stat().st_mtime_ns)


def _of_masks(data) -> tuple[list[tuple[int, int]], int]:
    if data.lung is None:
        return [], len(data.infected)
    shown = [z for z in range(len(data.numbers)) if data.lung[:, :, z].any()]
    return [(z, data.numbers[z]) for z in shown], len(set(data.infected) - set(shown))


# ---------------------------------------------------------------------------------------------- cases, seen otherwise


def at_size(case: Case, size: int) -> Case:
    """A slice at size x size pixels: the picture bilinear, its masks by nearest neighbour."""
    if case.image.shape == (size, size):
        return case
    rows, columns = case.image.shape
    image = resize_image(torch.from_numpy(case.image), size).numpy()
    mask, lung = (
        None if values is None else resize_mask(torch.from_numpy(np.ascontiguousarray(values)), size).numpy()
        for values in (case.mask, case.lung)
    )
    spacing = (case.spacing[0] * rows / size, case.spacing[1] * columns / size)
    return replace(case, image=image, mask=mask, lung=lung, spacing=spacing)


FUSED = partial(
    DataSet, has=frozenset({"lung"}), made_of=PARTS, fold_sizes=(1994, 498), own_split=(2492, 1068)
)  # paper: 3560 slices, 30 % of them tested
DATASETS = (("chsnet_fused", FUSED(fused)), ("chsnet_patients", FUSED(fused_patients)))
