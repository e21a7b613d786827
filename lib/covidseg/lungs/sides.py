"""A lung mask looked at as a whole: islands dropped, the right lung told from the left.

All of it happens on a coarse grid of at most GRID rows and columns, so that 300 slices of 512 x 512 take a second.
"""

import numpy as np
from scipy import ndimage

__all__ = [
    "GRID",
    "LEFT",
    "RIGHT",
    "box_of",
    "coarse",
    "finer",
    "finer_box",
    "keep_large",
    "sampled",
    "stride",
    "tell_apart",
]

GRID = 160
RIGHT, LEFT = 1, 2  # of the patient, who lies with the right side at column 0
ISLAND = 0.01  # of all lung voxels; what is smaller and hangs together with nothing is gas elsewhere
LUNG = 0.12  # of all lung voxels that a part must hold to be a lung of its own
PARTING = 8  # erosions after which two lungs that touch are given up as one


def coarse(mask: np.ndarray) -> np.ndarray:
    """Every n-th row and column of a mask (H, W[, D]), the middle one of n, as bool."""
    return sampled(mask) != 0


def sampled(mask: np.ndarray) -> np.ndarray:
    """The same with the values of the mask."""
    n = stride(mask.shape)
    return mask[n // 2 :: n, n // 2 :: n]


def finer(small: np.ndarray, shape: tuple[int, ...], box: tuple[slice, ...] | None = None) -> np.ndarray:
    """One slice of `coarse` (h, w) at the rows and columns of the scan (H, W): each value repeated.

    box : rows and columns of the scan, if only these are wanted
    """
    n = stride(shape)
    for axis, part in enumerate(box or (slice(0, shape[0]), slice(0, shape[1]))):
        small = small.take(np.minimum(np.arange(part.start, part.stop) // n, small.shape[axis] - 1), axis)
    return small


def box_of(mask: np.ndarray, around: int = 0) -> tuple[slice, slice]:
    """Rows and columns of a slice (h, w) from the first to the last with anything in it, and some around it."""
    ends = [np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (1, 0)]
    sides = zip(ends, mask.shape, strict=True)
    return tuple(slice(max(0, int(a) - around), min(side, int(b) + 1 + around)) for (a, b), side in sides)


def finer_box(small: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the scan in which `finer` of a slice has anything."""
    n = stride(shape)
    parts = zip(box_of(small), small.shape, shape[:2], strict=True)
    return tuple(slice(part.start * n, side if part.stop == s else part.stop * n) for part, s, side in parts)


def stride(shape: tuple[int, ...]) -> int:
    """Rows and columns of the scan to one of the coarse grid."""
    return max(1, -(-max(shape[:2]) // GRID))


def keep_large(small: np.ndarray) -> np.ndarray:
    """A coarse mask without its islands."""
    parts, n = ndimage.label(small)
    if n < 2:
        return small
    voxels = np.bincount(parts.ravel())
    voxels[0] = 0
    return (voxels >= ISLAND * voxels.sum())[parts]


def tell_apart(small: np.ndarray) -> tuple[np.ndarray, bool]:
    """A coarse mask as 0, RIGHT, LEFT (all 1 where there are not two lungs to tell apart), and whether they touch.

    The two largest parts are the lungs, by their place; every other part belongs to the nearer one. Lungs that touch
    are eroded until they part, and each voxel goes to the nearer rest.

    >>> tell_apart(np.array([[[1], [0], [1]]]))[0].ravel().tolist()
    [1, 0, 2]
    """
    if (apart := _two(small)) is not None:
        return apart, False
    worn, cross = (
        small,
        ndimage.generate_binary_structure(2, 1)[..., None],
    )  # within slices: the steps between are large
    for _ in range(PARTING):
        worn = ndimage.binary_erosion(worn, cross)
        if (seeds := _two(worn)) is not None:
            break
    else:
        return small.astype(np.uint8), False
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    return np.where(small, seeds[tuple(nearest)], 0).astype(np.uint8), True


def _two(mask: np.ndarray) -> np.ndarray | None:
    """The two largest parts, numbered by side, and every other one as the nearer of them.

    None unless both are large and lie beside each other.
    """
    parts, n = ndimage.label(mask)
    if n < 2:
        return None
    voxels = np.bincount(parts.ravel())[1:]
    first, second = np.argsort(voxels)[:-3:-1] + 1
    if voxels[second - 1] < LUNG * voxels.sum():
        return None
    inside = np.flatnonzero(parts)
    column = inside // np.prod(mask.shape[2:], dtype=int) % mask.shape[1]
    columns = np.bincount(parts.ravel()[inside], weights=column) / np.array([1, *voxels])  # each part's mean
    ends = sorted((columns[first], columns[second]))
    if ends[1] - ends[0] < 0.05 * mask.shape[1]:
        return None
    sides = np.where(columns < np.mean(ends), RIGHT, LEFT).astype(np.uint8)
    sides[0] = 0
    return sides[parts]
