"""Scans as people have them (NIfTI, a DICOM folder, pictures, NumPy files), brought upright; masks written back."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from covidseg.data.transforms import LUNG
from covidseg.errors import UserError, unknown_name
from covidseg.scans import upright
from covidseg.scans.doubts import odd_air, odd_steps
from covidseg.scans.grid import on_grid
from covidseg.scans.pictures import PICTURES, values_of
from covidseg.scans.stored import NIFTI, NO_RESCALE, Scan, quiet_nibabel, read_stored, suffix_of
from covidseg.scans.upright import axes_from_code

__all__ = ["INTENSITIES", "PICTURES", "Scan", "read_mask", "read_scan", "write_mask"]

INTENSITIES = ("HU", "grey", "HU+1024")
POSSIBLE = {"HU": (-(2**15), 2**15 - 1), "grey": (0, 255), "HU+1024": (-(2**15) + 1024, 2**15 + 1023)}
DARK = 64  # grey levels of a whole CT picture pass this: tissue is 200 in the lung window
LUNG_PARTS = 12  # values a lung mask may have: background, five lobes, and what programs add
# what mask files look like when they are opened as a picture: class numbers 0..3 would all look black
PALETTE = [0, 0, 0, 230, 159, 0, 213, 94, 0, 86, 180, 233]


def read_scan(
    path: str | Path,
    *,
    intensity: str | None = None,
    orientation: str = "auto",
    series: str | None = None,
    fill: float | None = None,
) -> Scan:
    """Read a scan: .nii, .nii.gz, a folder with one DICOM series, .png/.jpg/.npy, or a folder of numbered pictures.

    intensity : None decides by these rules, in this order. DICOM CT is HU. Smallest value below -200: HU (air is
        -1000, grey levels are never negative). Fractions within 0..1: grey, times 255. All within 0..255: grey.
        Anything else is ambiguous and refused: say "HU", "grey", or "HU+1024" (CT numbers stored plus 1024)
    orientation : "auto" trusts the affine, unless it is a bare diagonal, which programs write that lost the
        orientation: then the picture decides (couch and spine are behind). Or three letters such as "LPS"
    series : part of the name of a DICOM series; fill : value for voxels that are NaN or infinite, e.g. -1024
    Pictures and .npy files (rows, columns[, slices]) are taken as upright already.
    Raises UserError, one line naming the file and the way out.
    """
    path = Path(path).expanduser()
    if intensity is not None and intensity not in INTENSITIES:
        raise unknown_name("intensity", intensity, INTENSITIES)
    if fill is not None and not np.isfinite(fill):
        raise UserError(f"--fill {fill} is no number; give one, e.g. -1024 (air).")
    scan = read_stored(path, series)
    if 0 in scan.voxels.shape:
        raise UserError(f"{path} holds no voxel: its shape is {scan.file_shape}.")
    scan = _with_finitevalues_of(scan, fill)
    scan = _with_intensity(scan, intensity)
    return _turned_upright(scan, orientation)


def read_mask(
    path: str | Path, like: Scan, *, lung: bool = False, resample: bool = False, notes: list[str] | None = None
) -> np.ndarray:
    """A mask for ``like``: uint8 (H, W, D), upright as the scan is.

    Values 0..3 are classes (0 background, 1 GGO or infection, 2 consolidation, 3 effusion); a mask of 0 and 255
    becomes 0 and 1; lung=True keeps only "inside or not" and accepts any few whole numbers, such as those of lobes.
    resample : see `covidseg.scans.grid.on_grid`, which decides how the mask lies; notes : gets what was assumed there
    Raises UserError if it does not lie on the scan's grid or there are other values.
    """
    path = Path(path).expanduser()
    raw = read_stored(path, labels=True)
    voxels, assumed = on_grid(raw, like, resample)
    if notes is not None:
        notes.extend(assumed)
    if lung:
        return _inside(path, voxels, resample)
    values = values_of(voxels)
    if values.tolist() in ([0, 255], [255]):
        return np.ascontiguousarray(voxels == 255, dtype=np.uint8)
    if not np.isin(values, (0, 1, 2, 3)).all():
        shown = ", ".join(f"{v:g}" for v in values[:6]) + (", ..." if len(values) > 6 else "")
        raise UserError(f"{path} is no mask of classes 0..3 (or 0 and 255): it holds {shown}.")
    return np.ascontiguousarray(voxels, dtype=np.uint8)


def _inside(path: Path, voxels: np.ndarray, resampled: bool) -> np.ndarray:
    """A lung mask as 0 and 1; UserError where it is empty or what no mask is: NaN, fractions, many values."""
    values = values_of(voxels)
    shown = ", ".join(f"{v:g}" for v in values[:6]) + (", ..." if len(values) > 6 else "")
    if len(values) > LUNG_PARTS or not np.isfinite(values).all() or (values % 1 != 0).any() or values[0] < 0:
        lossy = " Save the picture as PNG: JPEG changes values." if suffix_of(path) in (".jpg", ".jpeg") else ""
        raise UserError(f"{path} is no lung mask: it holds {shown}, not 0 and a few whole numbers.{lossy}")
    if not values.any():
        where = "marks nothing where the scan lies" if resampled else "is 0 everywhere: it marks no lung"
        raise UserError(f"{path} {where}. Is it the right file?")
    return np.ascontiguousarray(voxels != 0, dtype=np.uint8)


def write_mask(path: str | Path, mask: np.ndarray, scan: Scan) -> Path:
    """Write an upright mask back into the scan's own orientation, so that it lies on the original file.

    mask : integers 0..255, scan.shape, or (H, W) for a single slice
    .nii, .nii.gz keep shape, affine and geometry of the file (a DICOM series gets its NIfTI geometry);
    .png (one slice) holds the class numbers with a palette that shows them; .npy holds the upright array.
    Returns the path. Raises UserError for another shape or suffix, or where it cannot be written.
    """
    path, mask = Path(path).expanduser(), np.asarray(mask)
    if mask.ndim == 2:
        mask = mask[:, :, None]
    if mask.shape != scan.shape:
        raise UserError(f"The mask is {mask.shape}, the scan {scan.path.name} is {scan.shape}: nothing was written.")
    if mask.size and (mask.min() < 0 or mask.max() > 255):
        raise UserError(f"The mask holds {mask.min():g}..{mask.max():g}, not 0..255: nothing was written.")
    mask = mask.astype(np.uint8, copy=False)
    suffix = suffix_of(path)
    if suffix not in (*NIFTI, ".png", ".npy"):
        raise UserError(f"{path}: a mask is written as .nii.gz, .nii, .png or .npy.")
    if suffix == ".png" and mask.shape[2] > 1:
        raise UserError(f"{path}: a PNG holds one slice, this mask has {mask.shape[2]}: write .nii.gz instead.")
    scratch = path.with_name(f".{os.getpid()}.part{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[suffix](scratch, mask, scan)
        os.replace(scratch, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # already renamed, or never begun
            scratch.unlink()
    return path


# ------------------------------------------------------------------------------------- values, units, orientation


def _with_finitevalues_of(scan: Scan, fill: float | None) -> Scan:
    if scan.voxels.dtype.kind != "f":
        return scan
    bad = ~np.isfinite(scan.voxels)
    count = int(bad.sum())
    if count == 0:
        return scan
    if fill is None:
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise UserError(
            f"{scan.path}: {count:,} of {bad.size:,} voxels are NaN or infinite, the first at {where}. If they are "
            "padding, give --fill -1024 (air)."
        )
    return replace(scan, voxels=np.where(bad, np.float32(fill), scan.voxels), notes=(*scan.notes, f"{count:,} filled"))


def _with_intensity(scan: Scan, asked: str | None) -> Scan:
    low, high = float(scan.voxels.min()), float(scan.voxels.max())
    decided = asked or scan.intensity or _decide(scan, low, high)
    least, most = POSSIBLE[decided]
    if low < least or high > most:
        raise UserError(f"{scan.path} holds {low:g}..{high:g}, which is not {decided} ({least} to {most}).")
    voxels, notes, warnings = scan.voxels, list(scan.notes), list(scan.warnings)
    if asked is None and scan.intensity == "":
        notes.append(f"values {low:g}..{high:g} taken as {decided}")
    if decided == "HU+1024":
        voxels, decided = (voxels.astype(np.int32) - 1024).astype(np.int16), "HU"
    if decided == "grey" and _ends_at_one(voxels, low, high):
        voxels = voxels * np.float32(255)
        notes.append("grey 0..1 times 255")
    if asked is not None and NO_RESCALE in warnings:
        warnings.remove(NO_RESCALE)  # the user has said what the files do not
    if decided == "HU":
        warnings += odd_air(voxels[::2, ::2], asked)
    return replace(scan, voxels=voxels, intensity=decided, notes=tuple(notes), warnings=tuple(warnings))


def _ends_at_one(voxels: np.ndarray, low: float, high: float) -> bool:
    """Whether grey is written as fractions, 0 to 1."""
    return voxels.dtype.kind == "f" and low >= 0 and 0 < high <= 1


def _decide(scan: Scan, low: float, high: float) -> str:
    if low < -200:
        return "HU"
    if low >= 0 and high <= 255:
        _refuse_what_is_no_picture(scan, high)
        return "grey"
    raise UserError(
        f"{scan.path} holds {low:g}..{high:g}: neither CT numbers (air is -1000) nor grey 0..255. Say what it is with "
        "--intensity HU+1024 (CT numbers stored plus 1024), HU or grey; other images than CT cannot be segmented."
    )


def _refuse_what_is_no_picture(scan: Scan, high: float) -> None:
    """UserError for numbers within 0..255 that are no grey levels: a mask, or a scan of another kind such as PET."""
    if scan.voxels.size < 1000:  # too few to tell
        return
    fractions = scan.voxels.dtype.kind == "f" and bool((scan.voxels % 1 != 0).any())
    if not fractions and (high <= 3 or len(np.unique(scan.voxels)) <= 2):
        raise UserError(f"{scan.path} holds {_shown(scan.voxels)} alone: that is a mask, not a scan. Name the scan.")
    if high < DARK and not (fractions and high <= 1):
        raise UserError(
            f"{scan.path} holds 0..{high:g}: neither CT numbers nor grey levels, which reach 255. If it is a dark CT "
            "picture give --intensity grey; other images than CT, such as PET, cannot be segmented."
        )


def _shown(voxels: np.ndarray) -> str:
    return " and ".join(f"{value:g}" for value in np.unique(voxels)[:4])


def _turned_upright(scan: Scan, wanted: str) -> Scan:
    notes = list(scan.notes)
    code = wanted if wanted not in ("auto", "affine") else upright.code_of_affine(scan.affine)
    if code is None or (wanted == "auto" and _orientation_is_lost(scan)):
        code = _code_from_picture(scan, notes)
    axes = axes_from_code(code)
    spacing = tuple(scan.spacing[axis] for axis in axes.order)
    doubts = (*scan.warnings, *odd_steps(spacing))
    how = dict(axes=axes, spacing=spacing, notes=tuple(notes), warnings=doubts)
    return replace(scan, voxels=axes.upright(scan.voxels), **how)


def _orientation_is_lost(scan: Scan) -> bool:
    """A bare diagonal, or a NIfTI header in which both forms are switched off."""
    if scan.header is None:  # DICOM, whose own tags placed it: a patient who lies on the belly is a bare diagonal, too
        return False
    off = not (int(scan.header["qform_code"]) or int(scan.header["sform_code"]))
    return off or upright.is_plain(scan.affine)


def _code_from_picture(scan: Scan, notes: list[str]) -> str:
    """LPS, which is how most CT arrays lie when their affine was lost, or RAS, which a bare diagonal claims."""
    low, high = (LUNG.low, LUNG.high) if scan.intensity == "HU" else (0, 255)
    for code in ("LPS", "RAS"):
        if upright.looks_upright(axes_from_code(code).upright(scan.voxels), low, high) > 0:
            notes.append(f"the file's orientation is lost; by couch and spine its axes are {code}")
            return code
    notes.append("the file's orientation is lost and the picture does not tell; its axes are taken as LPS")
    return "LPS"


# -------------------------------------------------------------------------------------------------------- writing


def _write_nifti(path: Path, mask: np.ndarray, scan: Scan) -> None:
    import nibabel

    stored = scan.axes.original(mask)
    header = None
    affine = scan.affine if np.isfinite(scan.affine).all() else np.eye(4)  # a place that is none cannot be written
    if scan.header is not None:
        header = scan.header.copy()
        stored = stored.reshape(scan.file_shape)
        header.set_data_dtype(np.uint8)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        for text in {"descrip", "aux_file", "intent_name", "db_name"} & set(header):  # at times a patient's name
            header[text] = b""
        header.extensions.clear()
    with quiet_nibabel():
        image = nibabel.Nifti1Image(np.asfortranarray(stored), affine, header)
    if scan.header is not None:  # the constructor rewrites both forms where the affine and the header disagree
        image.header["qform_code"], image.header["sform_code"] = scan.header["qform_code"], scan.header["sform_code"]
    nibabel.save(image, path)


def _write_png(path: Path, mask: np.ndarray, scan: Scan) -> None:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(mask[:, :, 0]))
    picture.putpalette(PALETTE)  # turns grey into palette mode; the stored bytes stay the class numbers
    picture.save(path)


def _write_npy(path: Path, mask: np.ndarray, scan: Scan) -> None:
    np.save(path, mask.reshape(scan.file_shape) if scan.header is None and len(scan.file_shape) == 2 else mask)


_WRITERS = {".nii": _write_nifti, ".nii.gz": _write_nifti, ".png": _write_png, ".npy": _write_npy}
