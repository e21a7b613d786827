"""The real sets as their sources distribute them: which files make a volume, and how one is read into cases."""

from __future__ import annotations

import csv
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from covidseg.data.case import ALL_CLASSES, CONSOLIDATION, GGO, INFECTION_ONLY, Case
from covidseg.data.splits import patient_of
from covidseg.errors import UserError
from covidseg.scans.read import read_mask, read_scan
from covidseg.scans.stored import PICTURES, Scan, read_picture

NO_PATIENT = ""  # the set does not say who it shows
AS_DRAWN = ""  # classes: copies of p9 exist with all classes and with infection alone, so the mask decides


@dataclass(frozen=True)
class Volume:
    """One volume (or single picture) of a set, and the files it is made of.

    name : as in slice ids; numbers : number of each file slice in the original volume, where the file holds only some
    transposed : pictures of COVID-SemiSeg are stored so that array.T is upright; upside_down : some of them after that
    """

    name: str
    patient: str
    image: Path
    mask: Path
    lung: Path | None = None
    classes: str = INFECTION_ONLY
    numbers: tuple[int, ...] | None = None
    transposed: bool = False
    upside_down: bool = False


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
        return [z for z in range(self.mask.shape[2]) if np.isin(self.mask[:, :, z], (GGO, CONSOLIDATION)).any()]


# ------------------------------------------------------------------------------------------------- finding the files


def ct100(root: Path) -> list[Volume]:
    """tr_im.nii.gz and tr_mask.nii.gz, 100 slices of unknown patients in one file."""
    image, mask = _nifti(root, "tr_im"), _nifti(root, "tr_mask")
    return [Volume("tr_im", NO_PATIENT, image, mask, classes=ALL_CLASSES)] if image and mask else []


def p9(root: Path) -> list[Volume]:
    """rp_im/N.nii.gz, rp_msk/N.nii.gz, rp_lung_msk/N.nii.gz."""
    masks, lungs = _by_name(root / "rp_msk"), _by_name(root / "rp_lung_msk")
    images = _paired(root, _by_name(root / "rp_im"), masks)
    return [
        Volume(n, patient_of("p9", n), images[n], masks[n], lungs.get(n), AS_DRAWN)
        for n in sorted(images, key=lambda n: (len(n), n))
    ]


def p20(root: Path) -> list[Volume]:
    """COVID-19-CT-Seg_20cases, Infection_Mask, Lung_Mask; slices.csv where only some slices were kept."""
    masks, lungs = _by_name(root / "Infection_Mask"), _by_name(root / "Lung_Mask")
    images = _paired(root, _by_name(root / "COVID-19-CT-Seg_20cases"), masks)
    numbers = _slice_numbers(root / "slices.csv")
    return [
        Volume(n, patient_of("p20", n), images[n], masks[n], lungs.get(n), numbers=numbers.get(n))
        for n in sorted(images)
    ]


def p1110(root: Path) -> list[Volume]:
    """studies/CT-1/study_NNNN.nii.gz with masks/study_NNNN_mask.nii.gz; studies without a mask are left out."""
    masks = {name.removesuffix("_mask"): path for name, path in _by_name(root / "masks").items()}
    images = {name: path for name, path in _by_name(root / "studies").items() if name in masks}
    images = _paired(root, images, masks)
    return [Volume(n, n, images[n], masks[n]) for n in sorted(images)]


def semiseg(root: Path) -> list[Volume]:
    """The 50 + 48 labelled pictures, called tr_im_NNNN after the ct100 slice they were cropped from."""
    found = []
    for part in ("TrainingSet/MultiClassInfection-Train", "TestingSet/MultiClassInfection-Test"):
        folder = root / "Dataset" / part
        images, masks = _by_name(folder / "Imgs"), _by_name(folder / "GT")
        for stem in sorted(_paired(folder, images, masks), key=int):
            name = f"tr_im_{int(stem):04d}"
            found.append(Volume(name, NO_PATIENT, images[stem], masks[stem], classes=ALL_CLASSES, transposed=True))
    return sorted(found, key=lambda volume: volume.name)


def semiseg_unlabelled(root: Path) -> list[Volume]:
    """The 1,600 slices of P20's volumes; their masks are a network's pseudo labels, drawn by no expert."""
    folder = root / "Dataset/TrainingSet/LungInfection-Train/Pseudo-label"
    images, masks = _by_name(folder / "Imgs"), _by_name(folder / "GT")
    found = []
    for stem in sorted(_paired(folder, images, masks)):
        patient = patient_of("p20", semiseg_source(stem)[0])
        turned = stored_upside_down(stem)
        found.append(Volume(stem, patient, images[stem], masks[stem], transposed=True, upside_down=turned))
    return found


def stored_upside_down(stem: str) -> bool:
    """Whether an unlabelled slice of COVID-SemiSeg lies upside down: the 1,119 of coronacases do (seen)."""
    return "coronacases" in stem


def semiseg_source(stem: str) -> tuple[str, int]:
    """Volume of P20, and number within COVID-SemiSeg's slices of it, from the name of an unlabelled slice.

    >>> semiseg_source("Data-1_radiopaedia_org_covid-19-pneumonia-10_85902_1-dcm_3")
    ('radiopaedia_10_85902_1', 3)
    """
    volume, _, number = stem.partition("_")[2].rpartition("_")
    return volume.replace("_org_", "_").removesuffix("-dcm").replace("covid-19-pneumonia-", ""), int(number)


LAYOUTS: dict[str, Callable[[Path], list[Volume]]] = {
    "ct100": ct100,
    "p9": p9,
    "p20": p20,
    "p1110": p1110,
    "semiseg": semiseg,
    "semiseg-unlabelled": semiseg_unlabelled,
}
WHOLE = {"ct100": 1, "p9": 9, "p20": 20, "p1110": 50, "semiseg": 98, "semiseg-unlabelled": 1600}  # volumes or pictures


def _nifti(folder: Path, stem: str) -> Path | None:
    return next((p for p in (folder / f"{stem}.nii.gz", folder / f"{stem}.nii") if p.is_file()), None)


def _by_name(folder: Path) -> dict[str, Path]:
    """Stem -> file, at any depth: archives differ in whether they hold a folder of their own."""
    files = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        suffix = next((s for s in (".nii.gz", ".nii", *PICTURES) if path.name.lower().endswith(s)), None)
        if suffix and not path.name.startswith("."):
            files[path.name[: -len(suffix)]] = path
    return files


def _paired(root: Path, images: dict[str, Path], masks: dict[str, Path]) -> dict[str, Path]:
    for name in images:
        if name not in masks:
            raise UserError(f"{images[name]} has no mask of the same name under {root}: fetch the set again.")
    return images


def _slice_numbers(table: Path) -> dict[str, tuple[int, ...]]:
    """volume -> original slice number of each slice in its file, from slices.csv; {} where there is none."""
    if not table.is_file():
        return {}
    numbers: dict[str, dict[int, int]] = {}
    with open(table, newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            numbers.setdefault(row["volume"], {})[int(row["index_in_file"])] = int(row["slice_in_original_volume"])
    return {volume: tuple(found[z] for z in sorted(found)) for volume, found in numbers.items()}


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
    raw = read_picture(path, labels=True).T
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
    """The index of a prepared set, or None. Raises UserError if it is damaged."""
    path = folder / "index.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete {folder} and prepare the set again.") from error


def prepared_shelf(folder: Path, index: dict) -> Shelf:
    """The volumes of a prepared set; arrays stay on disk until a slice is asked for."""
    lines = {line["name"]: line for line in index["volumes"]}

    def open_prepared(volume: Volume) -> Opened:
        line = lines[volume.name]
        arrays = [_upright_map(folder / f"{volume.name}.{kind}.npy") for kind in ("image", "mask")]
        lung = _upright_map(folder / f"{volume.name}.lung.npy") if line["lung"] else None
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
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged: prepare the set again with `covidseg data prepare`.") from error
