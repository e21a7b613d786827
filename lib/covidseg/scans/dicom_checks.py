"""What is asked of a DICOM series before it is a volume: is it CT, of one geometry, and how its numbers become HU."""

from __future__ import annotations

import numpy as np

from covidseg.errors import UserError

__all__ = ["LPS_TO_RAS", "guessed", "numbers", "refuse_what_is_not_ct", "rescale", "thickness", "tilt"]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TILT = 0.5  # degrees between the stack and the normal of its slices from which it is told


def refuse_what_is_not_ct(path, chosen) -> None:
    header = chosen[0][1]
    if header.get("Modality", "CT") != "CT":
        raise UserError(f"{path}: this series is {header.Modality}, not CT; covidseg reads chest CT.")
    if int(header.get("NumberOfFrames", 1) or 1) > 1:
        raise UserError(f"{path}: an enhanced (multi-frame) DICOM file; convert it first, e.g. with `dcm2niix`.")
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        for file, each in chosen:
            if tag not in each or each[tag].value is None:
                raise UserError(f"{file} has no {tag}, so its place is unknown; export the series again.")
    for file, header in chosen:
        if tag := impossible(header):
            raise UserError(f"{file}: its {tag} {short(header[tag].value)} cannot be; export the series again.")
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


def numbers(values) -> np.ndarray:
    """Of a tag; empty where it holds no list of numbers."""
    try:
        return np.array([float(v) for v in values])
    except (TypeError, ValueError):
        return np.empty(0)
