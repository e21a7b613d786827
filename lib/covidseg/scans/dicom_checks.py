"""What is asked of a DICOM series before it is a volume: is it CT, of one geometry, and how its numbers become HU."""

from __future__ import annotations

import numpy as np

from covidseg.errors import UserError

__all__ = [
    "AIR",
    "HIGHEST_HU",
    "LPS_TO_RAS",
    "doubts",
    "guessed",
    "numbers",
    "padding",
    "refuse_what_is_not_ct",
    "rescale",
    "thickness",
    "tilt",
]

AIR, HIGHEST_HU = -1024, 3071  # the ends of 12 bits
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_GREY = "MONOCHROME"
_HU = ("HU", "HU_MOD", "US")  # US is "unspecified", which scanners write for HU
_GAP = 1.5  # of the thickness between two slices from which it is told
_TILT = 0.5  # degrees between the stack and the normal of its slices from which it is told


def refuse_what_is_not_ct(path, chosen) -> None:
    """chosen : (file, header) of every slice. UserError where one is no CT slice or they are no volume together."""
    for file, header in chosen:
        _refuse_other_kind(path, file, header)
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        for file, each in chosen:
            if tag not in each or each[tag].value is None:
                raise UserError(f"{file} has no {tag}, so its place is unknown; export the series again.")
    for file, header in chosen:
        if tag := impossible(header):
            raise UserError(f"{file}: its {tag} {short(header[tag].value)} cannot be; export the series again.")
    _refuse_several_people(path, chosen)
    _refuse_several_grids(path, chosen)


def _refuse_other_kind(path, file, header) -> None:
    """UserError for a slice that holds no HU of one CT."""
    kind = header.get("Modality") or ("CT" if header.get("SOPClassUID") in _CT_CLASSES else "")
    if kind != "CT":
        said = f"is {short(kind)}, not CT" if kind else "does not say that it is CT"
        raise UserError(f"{path}: this series {said} ({file.name}); covidseg reads chest CT.")
    if int(header.get("NumberOfFrames", 1) or 1) > 1:
        raise UserError(f"{path}: an enhanced (multi-frame) DICOM file; convert it first, e.g. with `dcm2niix`.")
    if not str(colour := header.get("PhotometricInterpretation", _GREY)).startswith(_GREY):
        raise UserError(f"{file} is a picture in colours ({short(colour)}), not CT numbers.")
    if str(unit := header.get("RescaleType") or "HU").strip() not in _HU:
        raise UserError(f"{file}: its numbers are {short(unit)}, not HU. Choose the series that holds HU.")


def _refuse_several_people(path, chosen) -> None:
    for name in ("PatientID", "FrameOfReferenceUID"):  # not shown: they say who it is
        if len({str(h.get(name)) for _, h in chosen if h.get(name)}) > 1:
            what = "patients" if name == "PatientID" else "positions of the patient (frames of reference)"
            raise UserError(f"{path}: slices of one series are of several {what}: give each kind a folder of its own.")


def _refuse_several_grids(path, chosen) -> None:
    parts = {
        "size": lambda h: (int(h.Rows), int(h.Columns)),
        "direction": lambda h: tuple(float(v) for v in np.round(numbers(h.ImageOrientationPatient), 3)),
        "pixel spacing": lambda h: tuple(float(v) for v in np.round(numbers(h.PixelSpacing), 3)),
    }
    for name, part in parts.items():
        kinds: dict = {}
        for file, header in chosen:
            kinds.setdefault(part(header), file.name)
        if len(kinds) > 1:
            (one, this), (two, that) = list(kinds.items())[:2]
            raise UserError(
                f"{path}: slices of one series differ in {name}: {this} has {one}, {that} {two}. They are no volume: "
                "put each kind in a folder of its own."
            )


def doubts(ordered, scales) -> tuple[str, ...]:
    """What a series lets one doubt that is one volume: lost slices, gaps between them, several ways to HU."""
    told = _lost_numbers(ordered)
    places = [numbers(h.ImagePositionPatient) for _, h in ordered]
    apart = float(np.linalg.norm(places[-1] - places[0])) / max(1, len(places) - 1)
    thick = thickness(ordered[0][1])
    if thick and apart > _GAP * thick:
        told.append(f"slices {thick:.3g} mm thick lie {apart:.3g} mm apart: what is between them, nobody has seen")
    if scales and len(kinds := sorted(set(scales))) > 1:
        (a, b), (c, d) = kinds[0], kinds[-1]
        told.append(f"its slices become HU in several ways, as {a:g} x + {b:g} and as {c:g} x + {d:g}")
    if any({"MIP", "MINIP"} & {str(part).upper() for part in h.get("ImageType") or []} for _, h in ordered):
        told.append("its slices are projections of several (MIP): lungs look brighter or darker in them than they are")
    return tuple(told)


def _lost_numbers(ordered) -> list[str]:
    """What to say where the slices' own numbers have gaps."""
    counted = [h.get("InstanceNumber") or None for _, h in ordered]
    if None in counted or len(set(counted)) < len(counted):
        return []
    lost = sorted(set(range(int(min(counted)), int(max(counted)))) - {int(n) for n in counted})
    shown = ", ".join(map(str, lost[:4])) + (", ..." if len(lost) > 4 else "")
    return (
        [f"of its slices {min(counted)} to {max(counted)}, {len(lost)} are not there (number {shown})"] if lost else []
    )


def impossible(header) -> str:
    """The tag that says where the slice lies and cannot be true, or ""."""
    axes, place, steps = (
        numbers(header[tag].value) for tag in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
    )
    if axes.shape != (6,) or not np.allclose(axes.reshape(2, 3) @ axes.reshape(2, 3).T, np.eye(2), atol=0.01):
        return "ImageOrientationPatient"
    if place.shape != (3,) or not np.isfinite(place).all():
        return "ImagePositionPatient"
    return "" if steps.shape == (2,) and np.isfinite(steps).all() and (steps > 0).all() else "PixelSpacing"


def short(value) -> str:
    return " ".join(str(value).split())[:60]


def tilt(affine, normal) -> tuple[str, ...]:
    """What to say of slices that are stacked aslant, as a tilted gantry makes them."""
    step = (LPS_TO_RAS[:3, :3] @ affine[:3, 2]) / np.linalg.norm(affine[:3, 2])
    angle = float(np.degrees(np.arccos(min(1.0, abs(float(step @ normal))))))
    return (f"the gantry was tilted: slices are stacked {angle:.1f} degrees aslant",) if angle > _TILT else ()


def guessed(ordered) -> tuple[str, ...]:
    """What to say of a single slice that does not tell how thick it is."""
    alone = len(ordered) == 1 and not thickness(ordered[0][1])
    return ("one slice that does not say how thick it is: volumes are of 1 mm",) if alone else ()


def thickness(header) -> float:
    """mm, 0 where it is not known."""
    found = numbers([header.get("SliceThickness") or 0])
    return float(found[0]) if len(found) and np.isfinite(found[0]) and found[0] > 0 else 0.0


def rescale(path, ordered):
    """(slope, intercept) of each slice, or None where no slice has them; UserError where only some do."""
    given = [[h.get(tag) for tag in ("RescaleSlope", "RescaleIntercept")] for _, h in ordered]
    known = [None not in pair and "" not in pair for pair in given]
    if not any(known):
        return None
    if not all(known):
        name = ordered[known.index(False)][0]
        raise UserError(f"{name} has no rescale slope and intercept, though other slices do: export the series again.")
    scales = [(float(slope), float(intercept)) for slope, intercept in given]
    if not np.isfinite(scales).all() or any(slope == 0 for slope, _ in scales):
        raise UserError(f"{path}: a rescale slope is zero or no number: export the series again.")
    return scales


def padding(header, stored: np.ndarray) -> np.ndarray:
    """bool, where the stored numbers are those that the header names for pixels outside of what was scanned."""
    ends = [header.get(tag) for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    first, last = (numbers([end]) for end in ends)
    if not len(first):
        return np.zeros(stored.shape, bool)
    low, high = sorted([float(first[0]), float(last[0] if len(last) else first[0])])
    return (stored >= low) & (stored <= high)


def numbers(values) -> np.ndarray:
    """Of a tag; empty where it holds no list of numbers."""
    try:
        return np.array([float(v) for v in values])
    except (TypeError, ValueError):
        return np.empty(0)
