"""Volumes of a real set in memory: read from their files, or from their prepared form, and cut into cases."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path

import numpy as np

from covidseg.data.case import ALL_CLASSES, CONSOLIDATION, GGO, INFECTION_ONLY, Case, infection_of
from covidseg.data.layouts import Volume
from covidseg.errors import UserError
from covidseg.files import read_json
from covidseg.scans.pictures import read_picture
from covidseg.scans.read import read_mask, read_scan
from covidseg.scans.stored import Scan


@dataclass(frozen=True, eq=False)
class Opened:
    """A volume in memory, upright (H, W, D), in the number type of its file; ``numbers`` names slice z."""

    voxels: np.ndarray
    mask: np.ndarray
    lung: np.ndarray | None
    intensity: str
    spacing: tuple[float, float, float]
    numbers: tuple[int, ...]

    @cached_property
    def classes(self) -> str:
        """What this mask tells apart, for sets of which copies differ."""
        return ALL_CLASSES if self.mask.max() > GGO else INFECTION_ONLY

    @property
    def infected(self) -> list[int]:
        """Slices with GGO or consolidation."""
        return [z for z in range(self.mask.shape[2]) if infection_of(self.mask[:, :, z]).any()]


# ------------------------------------------------------------------------------------------------ reading a volume


def open_volume(volume: Volume) -> Opened:
    """Read the files of a volume. Raises UserError naming the file that is missing, damaged or of another shape."""
    scan = read_scan(volume.image)
    if volume.transposed:
        scan = _transposed(scan)
        mask = _picture_labels(volume.mask, scan, soft=volume.classes == INFECTION_ONLY)
    else:
        mask = read_mask(volume.mask, scan)
    if volume.upside_down:
        scan, mask = replace(scan, voxels=scan.voxels[::-1]), mask[::-1]
    lung = None if volume.lung is None else read_mask(volume.lung, scan, lung=True)
    return Opened(scan.voxels, mask, lung, scan.intensity, scan.spacing, _numbers(volume, scan))


def _numbers(volume: Volume, scan: Scan) -> tuple[int, ...]:
    """The number that names each upright slice: its place in the file, or what slices.csv says."""
    depth = scan.shape[2]
    in_file = [scan.axes.file_slice(z, depth) for z in range(depth)]
    if volume.numbers is None:
        return tuple(in_file)
    if len(volume.numbers) != depth:
        raise UserError(f"{scan.path} has {depth} slices, slices.csv lists {len(volume.numbers)} for {volume.name}.")
    return tuple(volume.numbers[place] for place in in_file)


def _transposed(scan: Scan) -> Scan:
    return replace(scan, voxels=scan.voxels.transpose(1, 0, 2))


def _picture_labels(path: Path, scan: Scan, soft: bool) -> np.ndarray:
    """COVID-SemiSeg's mask pictures: palette indices 0..2, or the grey 38 and 75 their colours have; 0 and 255; or a
    ``soft`` pseudo label 0..255, cut at the middle. Raises UserError for other values: they would all read as lesion
    or as none."""
    raw = read_picture(path, labels=True)[0].T
    if raw.shape != scan.shape[:2]:
        raise UserError(f"{path} is {raw.shape}, its picture {scan.path.name} {scan.shape[:2]}: not a pair.")
    values = set(np.unique(raw).tolist())
    if values <= {0, 1, 2, 3}:
        mask = raw
    elif values <= {0, 38, 75}:
        mask = (raw == 38) * GGO + (raw == 75) * CONSOLIDATION
    elif soft or values <= {0, 255}:
        mask = raw > 127
    else:
        shown = ", ".join(f"{value:g}" for value in sorted(values)[:6])
        raise UserError(
            f"{path} is no mask: it holds {shown}{', ...' if len(values) > 6 else ''}, where classes are 0 to 3, greys "
            "0, 38 and 75 (or those colours), or 0 and 255. Was it saved as JPEG, or resized?"
        )
    return mask.astype(np.uint8)[:, :, None]


def infected_numbers(volume: Volume) -> list[tuple[int, int]]:
    """(upright slice, its number in ids) of every slice with infection, from the mask alone: images are big."""
    scan = read_scan(volume.mask, intensity="grey", orientation="affine")
    return [
        (z, number)
        for z, number in enumerate(_numbers(volume, scan))
        if np.isin(scan.voxels[:, :, z], (GGO, CONSOLIDATION, 255)).any()
    ]


class Shelf:
    """The volumes of a set, the last few kept open: going through slices in order reads each file once."""

    def __init__(self, volumes: Iterable[Volume], open_: Callable[[Volume], Opened] = open_volume, keep: int = 3):
        self.volumes = {volume.name: volume for volume in volumes}
        self._open, self._keep, self._opened = open_, keep, OrderedDict()

    def opened(self, name: str) -> Opened:
        if name not in self._opened:
            while len(self._opened) >= self._keep:
                self._opened.popitem(last=False)
            self._opened[name] = self._open(self.volumes[name])
        self._opened.move_to_end(name)
        return self._opened[name]

    def case(self, name: str, z: int | None, case_id: str) -> Case:
        """Slice z of a volume, or all of it for None, as float32."""
        volume, data = self.volumes[name], self.opened(name)
        part = (slice(None), slice(None), slice(None) if z is None else z)
        return Case(
            id=case_id,
            patient=volume.patient,
            image=np.ascontiguousarray(data.voxels[part], dtype=np.float32),
            mask=np.ascontiguousarray(data.mask[part]),
            intensity=data.intensity,
            spacing=data.spacing if z is None else data.spacing[:2],
            lung=None if data.lung is None else np.ascontiguousarray(data.lung[part]),
            classes=volume.classes or data.classes,
        )


# ---------------------------------------------------------------------------------------------------- prepared form
# data/prepared/<set>/index.json and, for each volume, <name>.image.npy, .mask.npy, .lung.npy as (slice, row, column):
# a slice is then one run of bytes in the file, read without the rest.


def save_prepared(folder: Path, volume: Volume, data: Opened) -> dict:
    """Write one volume; return its line of the index."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels = data.voxels
    if voxels.dtype.kind == "f" and (voxels == np.rint(voxels)).all() and abs(voxels).max() < 2**15:
        voxels = voxels.astype(np.int16)
    for kind, array in (("image", voxels), ("mask", data.mask), ("lung", data.lung)):
        if array is not None:
            np.save(folder / f"{volume.name}.{kind}.npy", np.ascontiguousarray(array.transpose(2, 0, 1)))
    return {
        "name": volume.name,
        "patient": volume.patient,
        "classes": volume.classes or data.classes,
        "intensity": data.intensity,
        "spacing": [None if np.isnan(s) else s for s in data.spacing],
        "numbers": list(data.numbers),
        "infected": data.infected,
        "shape": list(data.voxels.shape),
        "type": str(voxels.dtype),
        "lung": data.lung is not None,
    }


def read_index(folder: Path) -> dict | None:
    """The index of a prepared set, or None. Raises UserError if it is damaged, or a part of it is of another kind."""
    path = folder / "index.json"
    way_out = f"delete {folder} and prepare the set again"
    try:
        index = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')}: {way_out}.") from error
    if not isinstance(index, dict):
        raise UserError(f"{path} is damaged, it is no mapping: {way_out}.")
    rules = {"root": _is_text, "volumes": lambda value: isinstance(value, list)}
    rules |= {"fingerprint": _is_text} if "fingerprint" in index else {}
    bad = [name for name, rule in rules.items() if not rule(index.get(name))]
    for number, line in enumerate([] if bad else index["volumes"], 1):
        line = line if isinstance(line, dict) else {}
        bad += [f"{name} of volume {number}" for name, rule in LINE.items() if not rule(line.get(name))]
        bad += [f"infected of volume {number}"] * (not bad and max(line["infected"], default=0) >= len(line["numbers"]))
    if bad:
        raise UserError(f"{path} is damaged, its {bad[0]} is not what was written: {way_out}.")
    return index


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _is_spacing(value: object) -> bool:
    known = isinstance(value, list) and len(value) == 3
    return known and all(s is None or (type(s) in (int, float) and isfinite(s) and s > 0) for s in value)


LINE = {  # of the index: what `save_prepared` writes; a name is a file's, in this folder
    "name": lambda value: _is_text(value) and value == Path(value).name != "",
    "patient": _is_text,
    "classes": lambda value: value in (ALL_CLASSES, INFECTION_ONLY),
    "intensity": lambda value: value in ("HU", "grey"),
    "spacing": _is_spacing,
    "numbers": _is_counts,
    "infected": _is_counts,
    "lung": lambda value: isinstance(value, bool),
}


def prepared_shelf(folder: Path, index: dict) -> Shelf:
    """The volumes of a prepared set; arrays stay on disk until a slice is asked for."""
    lines = {line["name"]: line for line in index["volumes"]}

    def open_prepared(volume: Volume) -> Opened:
        line = lines[volume.name]
        arrays = [_upright_map(folder / f"{volume.name}.{kind}.npy") for kind in ("image", "mask")]
        lung = _upright_map(folder / f"{volume.name}.lung.npy") if line["lung"] else None
        if len({a.shape for a in (*arrays, arrays[0] if lung is None else lung)}) > 1 or arrays[0].shape[2] != len(
            line["numbers"]
        ):
            raise UserError(f"{folder}: the arrays of {volume.name} differ in shape: prepare the set again.")
        spacing = tuple(float("nan") if s is None else s for s in line["spacing"])
        return Opened(*arrays, lung, line["intensity"], spacing, tuple(line["numbers"]))

    volumes = [
        Volume(n, line["patient"], folder / f"{n}.image.npy", folder / f"{n}.mask.npy", classes=line["classes"])
        for n, line in lines.items()
    ]
    return Shelf(volumes, open_prepared, keep=64)


def _upright_map(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r").transpose(1, 2, 0)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is missing or damaged: prepare the set again with `covidseg data prepare`.") from error
