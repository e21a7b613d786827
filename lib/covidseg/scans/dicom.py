"""One CT series from a folder of DICOM files, sorted by position and in Hounsfield units."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from warnings import catch_warnings, filterwarnings, simplefilter

import numpy as np

from covidseg.errors import UserError
from covidseg.scans.dicom_checks import (
    AIR,
    HIGHEST_HU,
    LPS_TO_RAS,
    doubts,
    guessed,
    numbers,
    padding,
    refuse_what_is_not_ct,
    rescale,
    thickness,
    tilt,
)

_UNEVEN = 0.1  # of the median distance: what a scanner rounds, less than what a lost slice leaves
_SIDEWAYS = 0.5  # mm that a slice may lie beside the line through the first and the last: rounding, not a jump
_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


class Series(NamedTuple):
    """Voxels (columns, rows, slices), the affine to RAS mm, whether they are HU, and what a reader should be told."""

    voxels: np.ndarray
    affine: np.ndarray
    is_hu: bool
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def files_in(folder: Path) -> list[Path]:
    """Its files in order, hidden ones left out. UserError for a link that leads nowhere: a slice may be missing."""
    found = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    for path in found:
        if path.is_symlink() and not path.exists():
            raise UserError(f"{path} is a link that leads nowhere: copy the file, or take the link out of the folder.")
    return [path for path in found if path.is_file()]


def has_dicom(path: Path) -> bool:
    """True for a DICOM file, or a folder with at least one (files without suffix count)."""
    files = files_in(path) if path.is_dir() else [path]
    return any(_is_dicom(file) for file in files)


def read_series(path: Path, series: str | None = None) -> Series:
    """The CT series in a folder, or one file.

    series : part of the series' UID, number or description, where a folder holds several
    Returns HU (columns, rows, slices) as int16, or float32 where the rescale is not whole or does not fit; stored
    numbers, and ``is_hu`` False, where no slice says how they become HU.
    Raises UserError for several series, lost, doubled or unreadable slices, slices that differ in geometry, what is
    not CT.
    """
    headers = _headers(path)
    if not headers:
        raise UserError(f"{path} holds DICOM files but no picture among them.{_where_pictures_are(path)}")
    chosen, left_out = _one_series(path, headers, series)
    refuse_what_is_not_ct(path, chosen)
    ordered, direction = _sorted_by_position(path, chosen)
    scales = rescale(path, ordered)
    affine = _affine(ordered, direction)
    notes = (*left_out, *tilt(affine, direction), *guessed(ordered))
    voxels, padded = _voxels(ordered, scales)
    if padded:
        notes = (*notes, f"{padded:,} pixels of padding were taken as air")
    return Series(voxels, affine, scales is not None, notes, (*_unread(path), *doubts(ordered, scales)))


def _unread(path: Path) -> tuple[str, ...]:
    """What to say of folders in a series' folder: at times they hold the rest of it."""
    inner = [p.name for p in sorted(path.iterdir()) if p.is_dir() and has_dicom(p)] if path.is_dir() else []
    return (f"its folders {', '.join(inner[:3])} hold DICOM files, too, which were not read",) if inner else ()


def _where_pictures_are(path: Path) -> str:
    """The way out from a DICOMDIR, the table of contents of a disc: a folder beside it with pictures."""
    beside = path if path.is_dir() else path.parent
    slices = (p for p in sorted(beside.rglob("*")) if p.parent != beside and p.is_file() and _is_dicom(p))
    first = next(slices, None)
    return "" if first is None else f" Name the folder of the slices, such as {first.parent}."


def _headers(path: Path) -> list:
    """(file, header) of every file with a picture. A file that should have one and cannot be read is named."""
    import pydicom

    found = []
    for file in _dicoms(path):
        try:
            with catch_warnings():
                simplefilter("ignore")  # of odd values, which are refused or do not matter: one line is enough
                header = pydicom.dcmread(file, stop_before_pixels=True)
                is_image = str(header.file_meta.get("MediaStorageSOPClassUID", "")) == _CT_IMAGE
        except Exception as error:  # a damaged header raises whatever pydicom meets first
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{file}: its DICOM header is damaged ({reason}): copy the series again.") from error
        if "Rows" in header:
            found.append((file, header))
        elif is_image:  # a DICOMDIR or a report has no picture, a CT slice must have one
            raise UserError(f"{file} is a CT slice whose header is cut off: copy the series again.")
    return found


def _dicoms(path: Path) -> list[Path]:
    """The DICOM files in order. UserError for one beside them that should be one, by its name, and is not."""
    files = files_in(path) if path.is_dir() else [path]
    dicoms = {file: None for file in files if _is_dicom(file)}  # in order, and quick to ask
    endings = {file.suffix.lower() for file in dicoms}
    for file in files:
        foreign = file.suffix[1:].isalpha() and file.suffix.lower() not in endings  # README.txt, not 1.2.840.12
        if file not in dicoms and not foreign:
            state = "is empty" if file.stat().st_size == 0 else "is no DICOM file, though others there are"
            raise UserError(f"{file} {state}: copy the series again, or take the file out of the folder.")
    return list(dicoms)


def _is_dicom(file: Path) -> bool:
    try:
        with open(file, "rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except PermissionError as error:
        raise UserError(f"{file} may not be read: {error.strerror}.") from error
    except OSError:
        return False


def _one_series(path, headers, wanted):
    groups = {}
    for file, header in headers:
        groups.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((file, header))
    left_out = ()
    if wanted is None:
        groups, left_out = _without_localizers(path, groups)
    elif not wanted.strip():
        raise UserError("--series is empty: give a part of a series' number, name or UID, or leave it out.")
    names = {uid: _series_name(uid, group) for uid, group in groups.items()}
    if len(set(names.values())) < len(names):
        names = {uid: f"{name}, {uid}" for uid, name in names.items()}
    if wanted in groups:  # the whole UID, which may be the beginning of another
        groups = {wanted: groups[wanted]}
    elif wanted is not None:
        groups = {uid: group for uid, group in groups.items() if wanted in f"{uid} {names[uid]}"}
        if not groups:
            raise UserError(f"{path}: no series matches {wanted!r}. There are: {'; '.join(names.values())}.")
    if len(groups) > 1:
        listed = "; ".join(names[uid] for uid in groups)
        raise UserError(f"{path} holds {len(groups)} series: {listed}. Choose one: --series 'part of its name'.")
    return next(iter(groups.values())), left_out


def _without_localizers(path, groups):
    """The series without their overview pictures, and what to say of these. UserError where nothing else is there."""
    slices = {uid: [(file, h) for file, h in group if not _is_localizer(h)] for uid, group in groups.items()}
    slices = {uid: group for uid, group in slices.items() if group}
    if not slices:
        raise UserError(f"{path} holds localizers alone, overview pictures of the scanner: copy the series of slices.")
    count = sum(map(len, groups.values())) - sum(map(len, slices.values()))
    return slices, (f"{count} localizer image(s) left out",) if count else ()


def _is_localizer(header) -> bool:
    return "LOCALIZER" in [str(part).upper() for part in header.get("ImageType", None) or []]


def _series_name(uid, group) -> str:
    header = group[0][1]
    return f"number {header.get('SeriesNumber', '?')}, {header.get('SeriesDescription', '') or uid}, {len(group)} files"


def _sorted_by_position(path, chosen):
    across, down = np.split(numbers(chosen[0][1].ImageOrientationPatient), 2)
    normal = np.cross(across, down)
    place = {file: float(normal @ numbers(h.ImagePositionPatient)) for file, h in chosen}
    ordered = sorted(chosen, key=lambda item: place[item[0]])
    gaps = np.diff([place[file] for file, _ in ordered])
    if len(gaps):
        usual = float(np.median(gaps))
        names = [file.name for file, _ in ordered]
        if (gaps < 1e-3).any():
            k = int(np.argmax(gaps < 1e-3))
            phases = "keep one of the phases" if (gaps < 1e-3).mean() > 0.4 else "remove the double"
            raise UserError(f"{path}: {names[k]} and {names[k + 1]} lie at the same place; {phases}.")
        if (abs(gaps - usual) > _UNEVEN * usual).any():
            k = int(np.argmax(abs(gaps - usual)))
            raise UserError(
                f"{path}: slices are missing: {names[k]} and {names[k + 1]} lie {gaps[k]:.2f} mm apart, "
                f"the others {usual:.2f} mm. Copy the whole series."
            )
    _refuse_sideways(path, ordered)
    return ordered, normal


def _refuse_sideways(path, ordered) -> None:
    """UserError where slices do not lie on one straight line; a tilted gantry moves all of them alike."""
    places = np.array([numbers(h.ImagePositionPatient) for _, h in ordered])
    if len(places) < 3:
        return
    line = places[0] + np.linspace(0, 1, len(places))[:, None] * (places[-1] - places[0])
    off = np.linalg.norm(places - line, axis=1)
    step = np.linalg.norm(places[-1] - places[0]) / (len(places) - 1)
    if off.max() > max(_SIDEWAYS, _UNEVEN * step):
        k = int(np.argmax(np.linalg.norm(np.diff(places, axis=0) - np.diff(line, axis=0), axis=1)))
        raise UserError(
            f"{path}: the stack jumps sideways between {ordered[k][0].name} and {ordered[k + 1][0].name}: slices lie "
            f"up to {off.max():.1f} mm off the line. Two scans in one series? Put each in a folder of its own."
        )


def _voxels(ordered, known_scales) -> tuple[np.ndarray, int]:
    """The numbers, (columns, rows, slices), and how many of them are bright padding, which became air."""
    import pydicom

    scales, padded = known_scales or [(1.0, 0.0)] * len(ordered), 0
    whole = all(slope == 1 and intercept == int(intercept) for slope, intercept in scales)
    first = ordered[0][1]
    voxels = np.empty((len(ordered), first.Rows, first.Columns), np.int16 if whole else np.float32)
    for k, (file, _) in enumerate(ordered):
        try:
            with catch_warnings():
                simplefilter("ignore")
                filterwarnings("error", "End of file reached")  # half of a packed picture would be decoded in silence
                stored = pydicom.dcmread(file).pixel_array
        except Exception as error:  # pydicom raises many kinds: no decoder, cut-off pixels, odd syntax
            reason = " ".join(str(error).split())
            if "missing dependencies" in reason:
                packed = ordered[k][1].file_meta.TransferSyntaxUID.name
                reason = f"packed as {packed}, for which `pip install python-gdcm` brings a decoder"
            raise UserError(f"{file}: its pixels cannot be read ({reason[:300]}).") from error
        slope, intercept = scales[k]
        values = stored * slope + intercept
        if (bright := padding(ordered[k][1], stored) & (values > HIGHEST_HU)).any():
            padded += int(bright.sum())
            values[bright] = AIR if known_scales or bright.all() else values[~bright].min()
        if voxels.dtype == np.int16 and (values.min() < -(2**15) or values.max() >= 2**15):
            voxels = voxels.astype(np.float32)  # 16 bits would wrap round
        voxels[k] = values
    return voxels.transpose(2, 1, 0), padded


def _affine(ordered, normal) -> np.ndarray:
    """DICOM gives mm in LPS: columns step along the first direction cosine, rows along the second."""
    first, last = ordered[0][1], ordered[-1][1]
    across, down = np.split(numbers(first.ImageOrientationPatient), 2)
    row_step, column_step = numbers(first.PixelSpacing)
    start, end = numbers(first.ImagePositionPatient), numbers(last.ImagePositionPatient)
    many = len(ordered) - 1
    slice_step = (end - start) / many if many else normal * (thickness(first) or 1)
    affine = np.eye(4)
    affine[:3] = np.column_stack([across * column_step, down * row_step, slice_step, start])
    return LPS_TO_RAS @ affine
