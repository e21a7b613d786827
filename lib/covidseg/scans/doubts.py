"""What a scan's numbers let one doubt: told as warnings beside every result, never mended in silence."""

from __future__ import annotations

import numpy as np

__all__ = ["odd_air", "odd_header", "odd_steps", "slices_first"]

BELOW_AIR = (-1100, 0.4)  # HU, and the share of voxels from which it is told; what lies outside a round picture is 0.2
WHITE = (3071, 0.02)  # HU, and the share of voxels from which it is told; metal is less
NO_AIR = -300  # HU; lung is below -600, fat above -150
STEPS, THICK = (0.1, 10.0), 60.0  # mm between pixels, and at most between slices: no chest CT has others
OBLONG = 2.0  # of a pixel's sides from which it is told: networks learned from square ones
APART = 0.1  # of a step by which two sizes of it may differ in a header
TURNED = 0.7  # cosine between two placements of an axis: 45 degrees, more than a gantry tilts


def odd_air(voxels: np.ndarray, asked: str | None) -> list[str]:
    """What HU without air, or with too much of it, let one doubt."""
    doubts = []
    if not (voxels < NO_AIR).any():
        doubts.append(f"no voxel lies below {NO_AIR} HU: there is no air, so no lung. Is this CT of a chest, in HU?")
    if (white := float((voxels > WHITE[0]).mean())) > WHITE[1]:
        doubts.append(f"{white:.0%} of it lies above {WHITE[0]} HU, more than bone: if it is padding, make it -1024")
    if (voxels < BELOW_AIR[0]).mean() > BELOW_AIR[1]:
        doubts.append(f"most voxels lie below {BELOW_AIR[0]} HU, less than air. Is the scan {asked or 'CT'}?")
    return doubts


def odd_steps(spacing: tuple[float, float, float]) -> list[str]:
    """What a step (row, column, slice) in mm that no scanner takes lets one doubt; unknown ones (nan) none."""
    steps = np.array(spacing, float)
    shown = " x ".join(f"{step:.3g}" for step in steps)
    low, high = STEPS
    if (steps[:2] < low).any() or (steps[:2] > high).any() or steps[2] < low or steps[2] > THICK:
        return [f"its steps are {shown} mm, which no chest CT has; areas and volumes follow them. Is it another unit?"]
    if steps[:2].max() > OBLONG * steps[:2].min():
        return [f"its steps are {shown} mm: pixels of its slices are oblong, and networks learned from square ones"]
    return []


def slices_first(shape: tuple[int, ...]) -> list[str]:
    """What the shape of an array lets one doubt, which has no header to say what its axes are.

    >>> slices_first((40, 512, 512))
    ['its shape is 40 x 512 x 512: are its slices first? They are taken as last (rows, columns, slices)']
    >>> slices_first((512, 512, 40))
    []
    """
    if len(shape) == 3 and 1 < shape[0] < shape[1] == shape[2]:
        shown = " x ".join(map(str, shape))
        return [f"its shape is {shown}: are its slices first? They are taken as last (rows, columns, slices)"]
    return []


def odd_header(raw, affine: np.ndarray) -> list[str]:
    """What a NIfTI header that says a thing twice, and not the same, lets one doubt.

    raw : as it stands in the file; affine : the one that is used
    """
    stated, doubts = np.array(raw["pixdim"][1:4], float), []
    if (stated < 0).any():
        doubts.append("its header names negative steps; their sign was left out")
    used = np.linalg.norm(affine[:3, :3], axis=0)
    stated = abs(stated)
    if _usable(stated) and _usable(used) and (abs(stated - used) > APART * used).any():
        one, two = (" x ".join(f"{step:.3g}" for step in steps) for steps in (stated, used))
        doubts.append(f"its header names two sizes of a voxel, {one} and {two} mm; the second, of its affine, is used")
    if int(raw["sform_code"]) > 0 and (other := _qform(raw)) is not None:
        cosines = (other * affine[:3, :3]).sum(0) / (np.linalg.norm(other, axis=0) * used).clip(1e-12)
        if np.isfinite(cosines).all() and cosines.min() < TURNED:
            doubts.append("its two placements (qform, sform) turn it differently; sform is used: check right and left")
    return doubts


def _qform(raw) -> np.ndarray | None:
    """The header's other placement, (3, 3); None where it has none that can be."""
    from nibabel.spatialimages import HeaderDataError

    try:
        placed = raw.get_qform(coded=True)[0]
    except HeaderDataError:
        return None
    return None if placed is None else placed[:3, :3]


def _usable(steps: np.ndarray) -> bool:
    return bool(np.isfinite(steps).all() and (steps > 0).all())
