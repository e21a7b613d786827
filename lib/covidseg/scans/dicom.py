"""One CT series from a folder of DICOM files, sorted by position and in Hounsfield units."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from covidseg.errors import UserError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNEVEN = 0.1  # of the median distance: what a scanner rounds, less than what a lost slice leaves


def has_dicom(path: Path) -> bool:
    """True for a DICOM file, or a folder with at least one (files without suffix count)."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    return any(_is_dicom(file) for file in files)


def read_series(path: Path, series: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of the CT series in a folder, or of one file.

    series : part of the series' UID, number or description, where a folder holds several
    Returns HU (columns, rows, slices) as int16, or float32 where the rescale is not whole, and the affine to RAS mm.
    Raises UserError for several series, lost or doubled slices, slices of different geometry, what is not CT.
    """
    import pydicom

    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    headers = [(file, pydicom.dcmread(file, stop_before_pixels=True)) for file in files if _is_dicom(file)]
    headers = [(f, h) for f, h in headers if "Rows" in h]  # a DICOMDIR or a report has no picture
    if not headers:
        raise UserError(f"{path} holds DICOM files but no picture among them.")
    chosen = _one_series(path, headers, series)
    _refuse_what_is_not_ct(path, chosen)
    ordered, direction = _sorted_by_position(path, chosen)
    return _voxels(path, ordered), _affine(ordered, direction)


def _is_dicom(file: Path) -> bool:
    try:
        with open(file, "rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _one_series(path, headers, wanted):
    groups = {}
    for file, header in headers:
        groups.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((file, header))
    names = {uid: _series_name(uid, group) for uid, group in groups.items()}
    if wanted is not None:
        groups = {uid: group for uid, group in groups.items() if wanted in f"{uid} {names[uid]}"}
        if not groups:
            raise UserError(f"{path}: no series matches {wanted!r}. There are: {'; '.join(names.values())}.")
    if len(groups) > 1:
        listed = "; ".join(names[uid] for uid in groups)
        raise UserError(f"{path} holds {len(groups)} series: {listed}. Choose one with series='<part of its name>'.")
    return next(iter(groups.values()))


def _series_name(uid, group) -> str:
    header = group[0][1]
    return f"number {header.get('SeriesNumber', '?')}, {header.get('SeriesDescription', '') or uid}, {len(group)} files"


def _refuse_what_is_not_ct(path, chosen) -> None:
    header = chosen[0][1]
    if header.get("Modality", "CT") != "CT":
        raise UserError(f"{path}: this series is {header.Modality}, not CT; covidseg reads chest CT.")
    if int(header.get("NumberOfFrames", 1) or 1) > 1:
        raise UserError(f"{path}: an enhanced (multi-frame) DICOM file; convert it first, e.g. with `dcm2niix`.")
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        for file, each in chosen:
            if tag not in each or each[tag].value is None:
                raise UserError(f"{file} has no {tag}, so its place is unknown; export the series again.")
    shapes = {(h.Rows, h.Columns, tuple(np.round(_numbers(h.ImageOrientationPatient), 3))) for _, h in chosen}
    if len(shapes) > 1:
        raise UserError(f"{path}: slices of one series differ in size or direction ({len(shapes)} kinds); split them.")


def _sorted_by_position(path, chosen):
    across, down = np.split(_numbers(chosen[0][1].ImageOrientationPatient), 2)
    normal = np.cross(across, down)
    place = {file: float(normal @ _numbers(h.ImagePositionPatient)) for file, h in chosen}
    ordered = sorted(chosen, key=lambda item: place[item[0]])
    gaps = np.diff([place[file] for file, _ in ordered])
    if len(gaps):
        usual = float(np.median(gaps))
        names = [file.name for file, _ in ordered]
        if (gaps < 1e-3).any():
            k = int(np.argmax(gaps < 1e-3))
            raise UserError(f"{path}: {names[k]} and {names[k + 1]} lie at the same place; remove the double.")
        if (abs(gaps - usual) > _UNEVEN * usual).any():
            k = int(np.argmax(abs(gaps - usual)))
            raise UserError(
                f"{path}: slices are missing: {names[k]} and {names[k + 1]} lie {gaps[k]:.2f} mm apart, "
                f"the others {usual:.2f} mm. Copy the whole series."
            )
    return ordered, normal


def _voxels(path, ordered) -> np.ndarray:
    import pydicom

    scales = [(float(h.get("RescaleSlope", 1)), float(h.get("RescaleIntercept", 0))) for _, h in ordered]
    whole = all(slope == 1 and intercept == int(intercept) for slope, intercept in scales)
    first = ordered[0][1]
    voxels = np.empty((len(ordered), first.Rows, first.Columns), np.int16 if whole else np.float32)
    for k, (file, _) in enumerate(ordered):
        try:
            stored = pydicom.dcmread(file).pixel_array
        except Exception as error:  # pydicom raises many kinds: no decoder, cut-off pixels, odd syntax
            reason = " ".join(str(error).split())
            raise UserError(f"{file}: its pixels cannot be read ({reason}).") from error
        slope, intercept = scales[k]
        voxels[k] = stored * slope + intercept
    return voxels.transpose(2, 1, 0)


def _affine(ordered, normal) -> np.ndarray:
    """DICOM gives mm in LPS: columns step along the first direction cosine, rows along the second."""
    first, last = ordered[0][1], ordered[-1][1]
    across, down = np.split(_numbers(first.ImageOrientationPatient), 2)
    row_step, column_step = _numbers(first.PixelSpacing)
    start, end = _numbers(first.ImagePositionPatient), _numbers(last.ImagePositionPatient)
    if len(ordered) > 1:
        slice_step = (end - start) / (len(ordered) - 1)
    else:
        slice_step = normal * float(first.get("SliceThickness") or 1)
    affine = np.eye(4)
    affine[:3] = np.column_stack([across * column_step, down * row_step, slice_step, start])
    return _LPS_TO_RAS @ affine


def _numbers(values) -> np.ndarray:
    return np.array([float(v) for v in values])
