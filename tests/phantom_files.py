"""Phantoms on disk in the folder layouts of the real sets, so that the same readers, tests and lessons run on them.

Their habits are kept: P20 mixes HU volumes with 8-bit ones,
COVID-SemiSeg is cropped to the lungs, 8-bit and transposed, and volumes do not all face the same way.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from covidseg.errors import UserError, unknown_name
from covidseg.lessons.your_files import write_nifti as _save
from covidseg.phantom.chest import Phantom, phantom_slice, phantom_volume

# HU shown as black .. white. The first is how P20's Radiopaedia volumes were published (Ma et al. 2020); the second
# is measured on COVID-SemiSeg: healthy lung at grey 42 of 255, soft tissue at 207.
RADIOPAEDIA, SEMISEG = (-1250, 250), (-1100, 300)


def write_phantoms(
    root: str | Path, layout: str = "ct100", *, n: int = 6, size: int = 128, slices: int = 16, seed: int = 0
) -> Path:
    """Write `n` phantoms under `root` as a real set would lie there; returns `root`.

    layout : "ct100"    tr_im, tr_mask and val_im.nii.gz, each a stack of n slices (val_im: a tenth)
             "p9"       rp_im, rp_lung_msk and rp_msk/{1..n}.nii.gz
             "p20"      COVID-19-CT-Seg_20cases, Lung_Mask, Infection_Mask, Lung_and_Infection_Mask/*.nii.gz
             "p1110"    studies/CT-1/study_NNNN.nii.gz and masks/study_NNNN_mask.nii.gz
             "semiseg"  Dataset/TrainingSet and Dataset/TestingSet of Inf-Net: n training, n test, n unlabelled slices
    size : pixels to a side; slices : per volume; seed : first seed, the others follow it
    Raises UnknownName for another layout, UserError for n or slices below 1.
    """
    if layout not in _LAYOUTS:
        raise unknown_name("phantom layout", layout, _LAYOUTS)
    if n < 1 or slices < 1:
        raise UserError(f"n={n}, slices={slices}: phantoms need at least 1 of each.")
    root = Path(root)
    _LAYOUTS[layout](root, n, size, slices, seed)
    return root


def _grey(hu: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    low, high = window
    return np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _infection(phantom: Phantom) -> np.ndarray:
    return ((phantom.labels == 1) | (phantom.labels == 2)).astype(np.uint8)


def _ct100(root, n, size, slices, seed):
    for name, count, first in (("tr", n, seed), ("val", -(-n // 10), seed + n)):
        # about 45 patients gave the 100 slices: every other slice shares its patient with the one before
        stack = [phantom_slice(first + i, size, patient=first + i - i % 2, view="body") for i in range(count)]
        spacing = (1.0, 1.0, 1.0)  # slices of different scanners: no spacing is true
        _save(root / f"{name}_im.nii.gz", np.stack([s.hu for s in stack], -1), spacing)
        if name == "tr":
            _save(root / "tr_mask.nii.gz", np.stack([s.labels for s in stack], -1), spacing)


def _p9(root, n, size, slices, seed):
    for i in range(n):
        scan = phantom_volume(seed + i, (size, size, slices))
        for folder, data in (("rp_im", scan.hu), ("rp_lung_msk", scan.lung), ("rp_msk", scan.labels)):
            _save(root / folder / f"{i + 1}.nii.gz", data, scan.spacing)


def _p20(root, n, size, slices, seed):
    for i in range(n):
        scan = phantom_volume(seed + i, (size, size, slices))
        corona = i < -(-n // 2)
        name = f"coronacases_{i + 1:03d}.nii.gz" if corona else f"radiopaedia_{i + 1}_{85000 + i}_0.nii.gz"
        image = scan.hu if corona else _grey(scan.hu, RADIOPAEDIA)
        infection = _infection(scan)
        left = np.arange(size)[None, :, None] >= size / 2
        both = np.where(infection, 3, np.where(left, 1, 2) * scan.lung).astype(np.uint8)  # 1 left, 2 right lung
        for folder, data in (
            ("COVID-19-CT-Seg_20cases", image), ("Lung_Mask", np.where(left, 1, 2).astype(np.uint8) * scan.lung),
            ("Infection_Mask", infection), ("Lung_and_Infection_Mask", both),
        ):  # fmt: skip
            _save(root / folder / name, data, scan.spacing, "LAS" if corona else "LPS")


def _p1110(root, n, size, slices, seed):
    for i in range(n):
        scan = phantom_volume(seed + i, (size, size, slices))
        study = f"study_{255 + i:04d}"  # the 50 studies with masks are 0255 to 0304
        _save(root / "studies" / "CT-1" / f"{study}.nii.gz", scan.hu, scan.spacing, "RAS")
        _save(root / "masks" / f"{study}_mask.nii.gz", _infection(scan), scan.spacing, "RAS")


def _semiseg(root, n, size, slices, seed):
    train, test = (root / "Dataset" / name for name in ("TrainingSet", "TestingSet"))
    for i in range(3 * n):
        image, labels = _crop(phantom_slice(seed + i, size, view="body"))
        infection = 255 * (labels > 0).astype(np.uint8)
        edge = infection - ndimage.binary_erosion(infection).astype(np.uint8) * 255
        if i < n or i >= 2 * n:
            kind, name = ("Doctor-label", f"{i}") if i < n else ("Pseudo-label", f"Data-1_phantom_{i:03d}_1")
            folder = train / "LungInfection-Train" / kind
            _picture(folder / "Imgs" / f"{name}.jpg", image)
            _picture(folder / "GT" / f"{name}.png", infection)
            _picture(folder / "Edge" / f"{name}.png", edge)
        if i < n:
            folder = train / "MultiClassInfection-Train"
            _picture(folder / "Prior" / f"{i}.png", infection)
        elif i < 2 * n:
            _picture(test / "LungInfection-Test" / "Imgs" / f"{i}.jpg", image)
            _picture(test / "LungInfection-Test" / "GT" / f"{i}.png", infection)
            folder = test / "MultiClassInfection-Test"
            for k in (1, 2):
                _picture(folder / f"GT-{k}" / f"{i}.png", labels == k)
        if i < 2 * n:
            _picture(folder / "Imgs" / f"{i}.jpg", image)
            _picture(folder / "GT" / f"{i}.png", labels, palette=True)


def _crop(phantom: Phantom) -> tuple[np.ndarray, np.ndarray]:
    """Grey image and labels 0..2, cut to the box of the lungs."""
    box = ndimage.find_objects((phantom.lung | (phantom.labels > 0)).astype(np.uint8))[0]
    margin = max(2, phantom.hu.shape[0] // 40)
    box = tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)
    labels = np.where(phantom.labels == 3, 0, phantom.labels).astype(np.uint8)
    return _grey(phantom.hu, SEMISEG)[box], labels[box]


def _picture(path: Path, upright: np.ndarray, palette: bool = False) -> None:
    """Save transposed, as COVID-SemiSeg is; bool masks with one bit, `palette` for class numbers with colours."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.ascontiguousarray(upright.T))
    if palette:
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])  # switches mode L to P without touching the numbers
    picture.save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


_LAYOUTS: dict[str, Callable] = {"ct100": _ct100, "p9": _p9, "p20": _p20, "p1110": _p1110, "semiseg": _semiseg}
