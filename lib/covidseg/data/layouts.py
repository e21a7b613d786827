"""The real sets as their sources distribute them: which files make a volume, and what it is called.

How a volume is read into cases stands in ``shelf.py``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from covidseg.data.case import ALL_CLASSES, INFECTION_ONLY
from covidseg.data.splits import patient_of
from covidseg.errors import UserError
from covidseg.scans.pictures import PICTURES

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
