"""Your own scans as a data set: looked over file by file, parted by patients, read by the shelf of the papers' sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import numpy as np

from covidseg.data.case import CaseDataset, infection_of
from covidseg.data.layouts import Volume
from covidseg.data.own_files import OwnData, Trouble, find_pairs
from covidseg.data.shelf import Opened, Shelf
from covidseg.errors import UserError
from covidseg.progress import progress
from covidseg.scans.dicom import has_dicom
from covidseg.scans.read import read_mask, read_scan
from covidseg.scans.stored import Scan, read_stored

__all__ = ["Look", "deal", "look_over", "own_sets"]

FOLDS = 5
AIR = -950  # HU; no infected tissue is that thin
MOSTLY_AIR = 0.5  # of the marked voxels, from which a mask must be turned, mirrored or another scan's


@dataclass(frozen=True)
class Look:
    """What looking over own data found: pairs that can be used, with their infected slices, and every trouble.

    facts : name of a scan -> its patient, shape, units, spacing and infected slices, in words, for a table
    infected : name -> places of the upright slices with infection; numbers : name -> number of every slice in the file
    """

    volumes: dict[str, Volume]
    facts: dict[str, dict[str, str]]
    infected: dict[str, list[int]]
    numbers: dict[str, tuple[int, ...]]
    troubles: tuple[Trouble, ...]

    @property
    def fatal(self) -> list[Trouble]:
        """Those with which nothing can be learned."""
        return [trouble for trouble in self.troubles if trouble.fatal]


def look_over(own: OwnData) -> Look:
    """Read every file once and list all that is wrong with layout, geometry and labels, not just the first."""
    found = find_pairs(own)
    troubles, facts, infected, numbers = list(found.troubles), {}, {}, {}
    for volume in progress(found.volumes, "Looking over the scans"):
        scan, mask = _read(own, volume, troubles)
        if scan is None or mask is None:
            facts[volume.name] = {"patient": volume.patient} | ({} if scan is None else _words(scan))
            continue
        opened = _opened(scan, mask)
        infected[volume.name], numbers[volume.name] = opened.infected, opened.numbers
        slices = f"{len(opened.infected)} of {scan.shape[2]}"
        facts[volume.name] = {"patient": volume.patient} | _words(scan) | {"infected slices": slices}
        troubles += [Trouble(str(volume.mask), says, False) for says in _doubts(opened)]
    return Look({v.name: v for v in found.volumes}, facts, infected, numbers, tuple(troubles))


def _read(own: OwnData, volume: Volume, troubles: list[Trouble]) -> tuple[Scan | None, np.ndarray | None]:
    """Scan and mask; what cannot be read is None and has its line among the troubles, each with all it suffers from."""
    scan = mask = None
    notes: list[str] = []
    try:
        scan = _scan(own, volume)
        told = [note for note in scan.notes if " taken as " not in note]  # the table has the units
        troubles += [Trouble(str(volume.image), says, False) for says in (*told, *scan.warnings)]
    except UserError as error:
        troubles.append(_of(volume.image, error))
    try:
        if scan is None:  # its mask can still be looked at alone
            read_mask(volume.mask, read_stored(volume.mask, labels=True))
        else:
            mask = read_mask(volume.mask, scan, resample=own.resample_mask, notes=notes)
    except UserError as error:
        troubles.append(_of(volume.mask, error))
        troubles += _labels_too(volume, error)
    troubles += [Trouble(str(volume.mask), says, False) for says in notes]
    return scan, mask


def _labels_too(volume: Volume, first: UserError) -> list[Trouble]:
    """A mask that lies wrong may hold wrong labels as well: told at once, not after the first is mended."""
    try:
        read_mask(volume.mask, read_stored(volume.mask, labels=True))
    except UserError as error:
        return [] if str(error) == str(first) else [_of(volume.mask, error)]
    return []


def _of(path, error: UserError) -> Trouble:
    """The error's line without the file's name, which stands before it."""
    return Trouble(str(path), str(error).removeprefix(str(path)).lstrip(": "))


def _words(scan: Scan) -> dict[str, str]:
    steps = " x ".join("?" if np.isnan(mm) else f"{mm:.2f}" for mm in scan.spacing)
    return {"shape": " x ".join(map(str, scan.shape)), "units": scan.intensity, "mm": steps}


def _doubts(opened: Opened) -> list[str]:
    """What makes one ask whether a mask is the right one."""
    doubts = []
    if not opened.infected:
        doubts.append("marks no infection (1 or 2): nothing of this scan is learned, unless with --all-slices.")
    marked = opened.voxels[infection_of(opened.mask)]
    if opened.intensity == "HU" and marked.size and (share := float((marked < AIR).mean())) > MOSTLY_AIR:
        doubts.append(f"{share:.0%} of what it marks is air: is it turned, mirrored, or another scan's?")
    return doubts


# ------------------------------------------------------------------------------------------------ cases


def own_sets(
    own: OwnData, fold: int = 1, *, volumes: bool = False, all_slices: bool = False
) -> tuple[CaseDataset, CaseDataset]:
    """(training, validation) cases of one fold; no patient is in both.

    fold : 1..5, or to the number of patients if they are fewer; volumes : whole scans instead of slices
    all_slices : also those without infection, which the papers leave out
    Raises UserError, one line, where any file is in trouble or fewer than two patients are there.
    """
    look = look_over(own)
    if bad := look.fatal:
        more = f" ({len(bad)} troubles in all: `covidseg data check {own.options()}`)" if len(bad) > 1 else ""
        raise UserError(f"{bad[0].file} {bad[0].says}{more}")
    taken = {name: list(range(len(look.numbers[name]))) if all_slices else look.infected[name] for name in look.volumes}
    held_out = _held_out(own, look, taken, fold)
    shelf = Shelf(look.volumes.values(), partial(_open, own))

    def part(split: str, held: bool) -> CaseDataset:
        names = [n for n, slices in taken.items() if slices and (look.volumes[n].patient in held_out) == held]
        places: dict = {n: (n, None) for n in names}
        if not volumes:
            places = {f"{n}_{look.numbers[n][z]:04d}": (n, z) for n in names for z in taken[n]}
        return _set(shelf, places, split, fold)

    return part("train", False), part("val", True)


def _held_out(own: OwnData, look: Look, taken: Mapping[str, list[int]], fold: int) -> set[str]:
    """The patients of one fold, of those with any slice to learn from."""
    weights: dict[str, int] = {}
    for name, slices in taken.items():
        if slices:
            patient = look.volumes[name].patient
            weights[patient] = weights.get(patient, 0) + len(slices)
    folds = deal(weights)
    if len(folds) < 2:
        raise UserError(
            f"{own.images} has slices to learn from of {len(folds)} patient(s); at least 2 are needed, one of them to "
            "validate on."
        )
    if not 1 <= fold <= len(folds):
        raise UserError(f"fold={fold}: {len(weights)} patients make folds 1 to {len(folds)}.")
    return set(folds[fold - 1])


def _set(shelf: Shelf, places: Mapping[str, tuple[str, int | None]], split: str, fold: int) -> CaseDataset:
    patients = [shelf.volumes[name].patient for name, _ in places.values()]
    return CaseDataset("own", list(places), patients, lambda i: shelf.case(*places[i], i), split=split, fold=fold)


def deal(weights: Mapping[str, int], folds: int = FOLDS) -> list[list[str]]:
    """Patients dealt to folds of about equal weight, the heaviest first, each to the lightest fold.

    weights : patient -> slices. Decided by names and weights alone, in whatever order they come.

    >>> deal({"a": 5, "b": 4, "c": 3, "d": 2}, folds=2)
    [['a', 'd'], ['b', 'c']]
    """
    dealt: list[list[str]] = [[] for _ in range(min(folds, len(weights)))]
    sums = [0] * len(dealt)
    for patient in sorted(weights, key=lambda p: (-weights[p], sha256(p.encode()).hexdigest())):
        lightest = sums.index(min(sums))
        dealt[lightest].append(patient)
        sums[lightest] += weights[patient]
    return [sorted(fold) for fold in dealt]


def _scan(own: OwnData, volume: Volume) -> Scan:
    series = own.series if has_dicom(volume.image) else None  # of DICOM folders alone; other files may lie beside them
    return read_scan(volume.image, intensity=own.intensity, series=series, fill=own.fill)


def _open(own: OwnData, volume: Volume) -> Opened:
    scan = _scan(own, volume)
    return _opened(scan, read_mask(volume.mask, scan, resample=own.resample_mask))


def _opened(scan: Scan, mask: np.ndarray) -> Opened:
    depth = scan.shape[2]
    numbers = tuple(scan.axes.file_slice(z, depth) for z in range(depth))
    return Opened(scan.voxels, mask, None, scan.intensity, scan.spacing, numbers)


def table_lines(facts: Mapping[str, Mapping[str, str]], columns: Iterable[str] = ()) -> list[str]:
    """The facts as lines of equal columns, the name of the scan first."""
    columns = list(columns) or list(dict.fromkeys(key for row in facts.values() for key in row))
    rows = [["scan", *columns], *([name, *(row.get(c, "") for c in columns)] for name, row in facts.items())]
    widths = [max(len(row[k]) for row in rows) for k in range(len(columns) + 1)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
