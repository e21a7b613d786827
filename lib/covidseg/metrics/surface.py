"""Distances between two masks: Hausdorff, its 95th percentile, average surface distance; 2-D and 3-D.

Two choices hide behind one name. *Which points?* All pixels of the masks (``points="all"``: Huttenlocher's
sets, and what some papers' scripts measure) or their boundaries (``"boundary"``: MONAI, medpy). The two differ
where one mask covers a hole, or the gap between two lesions, of the other. *Which unit?* Millimetres where
``spacing`` is given, else pixels. Percentiles and averages use the boundary: over all pixels, the overlap
would fill them with zeros.
"""

from collections.abc import Callable
from math import isfinite, nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from covidseg.errors import UserError, unknown_name
from covidseg.metrics.cases import Spacing
from covidseg.metrics.masks import as_pair

SUMMARIES: dict[str, Callable] = {  # of the distances there and back
    "hausdorff": lambda there, back: max(there.max(), back.max()),
    "hd95": lambda there, back: max(np.percentile(there, 95), np.percentile(back, 95)),
    "asd": lambda there, back: np.concatenate([there, back]).mean(),
}
QUERY, ENTRY = 30, 5  # pixels of a distance transform in the time that a tree takes for one point, sought or entered


def hausdorff(
    pred: ArrayLike, target: ArrayLike, *, spacing: Spacing = None, points: str = "all", empty: float = nan
) -> float:
    """Farthest any pixel of one mask lies from the other mask.

    pred, target : masks (H, W) or (H, W, D), bool or 0/1; logits and 0..255 greys raise NotAMask (a TypeError)
    spacing : (row, column[, slice]) in mm; None answers in pixels
    points : "all" pixels of the masks, or their "boundary"
    empty : value if exactly one mask is empty; one published script gives an empty prediction 0, the best
    Returns float, 0.0 if both are empty. Source: Huttenlocher et al., PAMI 1993.

    >>> hausdorff([[1, 0, 0, 0]], [[0, 0, 0, 1]])
    3.0
    >>> hausdorff([[1, 0, 0, 0]], [[0, 0, 0, 1]], spacing=(1.0, 0.7))
    2.0999999999999996
    """
    return _measure(SUMMARIES["hausdorff"], pred, target, spacing, points, empty)


def hausdorff95(
    pred: ArrayLike, target: ArrayLike, *, spacing: Spacing = None, points: str = "boundary", empty: float = nan
) -> float:
    """HD95: as `hausdorff`, with the 95th percentile of the distances in place of the farthest one.

    The larger of the two directed percentiles (MONAI), interpolated linearly; medpy takes one percentile of
    both directions thrown together, and answers less where the masks differ in size.
    """
    return _measure(SUMMARIES["hd95"], pred, target, spacing, points, empty)


def average_surface_distance(
    pred: ArrayLike, target: ArrayLike, *, spacing: Spacing = None, points: str = "boundary", empty: float = nan
) -> float:
    """ASSD: mean distance from the boundary pixels of either mask to the other mask's boundary.

    Arguments, unit and empty masks as `hausdorff`. All pixels of both boundaries weigh the same.

    >>> average_surface_distance([[1, 0, 0, 0]], [[0, 0, 0, 1]])
    3.0
    """
    return _measure(SUMMARIES["asd"], pred, target, spacing, points, empty)


def surface_dice(pred: ArrayLike, target: ArrayLike, *, tolerance: float, spacing: Spacing = None) -> float:
    """NSD: share of the boundary pixels of both masks that lie within ``tolerance`` of the other mask's boundary.

    pred, target, spacing : as `hausdorff`; tolerance : in the unit of the spacing
    Returns float: 1.0 if both masks are empty, 0.0 if exactly one is. All boundary pixels weigh the same (MONAI); the
    script of Nikolov et al. (2018), whose measure this is, weighs them by the area of surface that each stands for.

    >>> surface_dice([[1, 1, 0, 0, 0]], [[1, 1, 1, 1, 0]], tolerance=1)  # of six pixels the last is two away
    0.8333333333333334
    """
    if not np.isfinite(tolerance) or tolerance < 0:
        raise UserError(f"tolerance is {tolerance}; give a distance of 0 or more.")
    pred, target = as_pair(pred, target)
    if not pred.any() and not target.any():
        return 1.0

    def share(there: np.ndarray, back: np.ndarray) -> float:
        return float((np.concatenate([there, back]) <= tolerance).mean())

    return _measure(share, pred, target, spacing, "boundary", empty=0.0)


def all_distances(pred: ArrayLike, target: ArrayLike, *, spacing: Spacing = None) -> dict[str, float]:
    """`hausdorff`, `hausdorff95` and `average_surface_distance` of the boundaries, measured once.

    >>> all_distances([[1, 0, 0, 0]], [[0, 0, 0, 1]])
    {'hausdorff': 3.0, 'hd95': 3.0, 'asd': 3.0}
    """
    pred, target = as_pair(pred, target)
    spacing = check_spacing(spacing, pred.ndim)
    if not pred.any() or not target.any():
        return dict.fromkeys(SUMMARIES, 0.0 if not pred.any() and not target.any() else nan)
    found = directed_distances(pred, target, spacing, "boundary")
    return {name: float(summary(*found)) for name, summary in SUMMARIES.items()}


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask with at least one of 4 (3-D: 6) neighbours outside it; beyond the picture is outside."""
    inside = mask.copy()
    for axis in range(mask.ndim):
        line, here = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        line[1:] &= here[:-1]
        line[:-1] &= here[1:]
        line[[0, -1]] = False
    return mask & ~inside


def _measure(
    summary: Callable[[np.ndarray, np.ndarray], float],
    pred: ArrayLike,
    target: ArrayLike,
    spacing: Spacing,
    points: str,
    empty: float,
) -> float:
    pred, target = as_pair(pred, target)
    spacing = check_spacing(spacing, pred.ndim)
    if points not in ("all", "boundary"):
        raise unknown_name("choice of points", points, ["all", "boundary"])
    if not pred.any() and not target.any():
        return 0.0
    if not pred.any() or not target.any():
        return empty
    return float(summary(*directed_distances(pred, target, spacing, points)))


def directed_distances(
    pred: NDArray[np.bool_], target: NDArray[np.bool_], spacing: tuple[float, ...], points: str
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every pred point to the nearest target point, and the other way round; both not empty.

    Exact, on the bounding box of both masks: no nearest point lies outside.
    """
    box = _bounding_box(pred | target)
    pred, target = pred[box], target[box]
    if points == "boundary":
        pred, target = boundary(pred), boundary(target)
    return _distances(pred, target, spacing), _distances(target, pred, spacing)


def _distances(points: NDArray[np.bool_], others: NDArray[np.bool_], spacing: tuple[float, ...]) -> np.ndarray:
    """Of every point to the nearest other, row by row. A point that is one of the others is 0 away; the rest is sought.

    By a tree of the others where it takes less than the Euclidean distance transform of the picture: in volumes, whose
    points are few among millions of voxels, and in slices measured in pixels. There the squares are whole numbers, so
    both ways give the same last digit; in mm they could differ, where two others are equally near.
    """
    apart = points & ~others
    found = np.zeros(np.count_nonzero(points))
    here = _places(apart)
    if not len(here):
        return found
    search = _in_slice if points.ndim == 2 else _in_volume
    found[apart[points]] = search(here, others, spacing)
    return found


def _in_slice(here: np.ndarray, others: NDArray[np.bool_], spacing: tuple[float, ...]) -> np.ndarray:
    if spacing == (1.0, 1.0):
        there = _places(boundary(others))  # from outside of a set, the nearest of it lies on its boundary
        if QUERY * len(here) + ENTRY * len(there) < others.size:
            return _tree(there, compact_nodes=False, balanced_tree=False).query(here)[0]
    nearest = distance_transform_edt(~others, sampling=spacing, return_distances=False, return_indices=True)
    return _length(here - nearest[:, here[:, 0], here[:, 1]].T, spacing)


def _in_volume(here: np.ndarray, others: NDArray[np.bool_], spacing: tuple[float, ...]) -> np.ndarray:
    """What the distance transform gives, of whole steps along the axes, so that a tolerance cuts at the same voxel."""
    there = _places(others)
    nearest = _tree(there * np.asarray(spacing)).query(here * np.asarray(spacing))[1]
    return _length(here - there[nearest], spacing)


def _tree(places: np.ndarray, **settings: Any) -> Any:
    from scipy.spatial import KDTree  # a fifth of a second that a prediction does not need

    return KDTree(places, **settings)


def _places(mask: NDArray[np.bool_]) -> np.ndarray:
    """`np.argwhere`, which is slow on masks of more than one axis."""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), axis=1)


def _length(steps: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    return np.sqrt(((steps * np.asarray(spacing)) ** 2).sum(1))


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    axes = range(mask.ndim)
    hit = [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    return tuple(slice(places[0], places[-1] + 1) for places in hit)


def check_spacing(spacing: Spacing, ndim: int) -> tuple[float, ...]:
    """Pixel edge lengths as floats, ones for None; UserError unless there are ``ndim`` positive numbers."""
    if ndim not in (2, 3):
        raise UserError(f"distances are measured in slices (H, W) or volumes (H, W, D), not in {ndim} axes.")
    if spacing is None:
        return (1.0,) * ndim
    try:
        sizes = tuple(float(s) for s in spacing)
    except (TypeError, ValueError):
        raise UserError(f"spacing {spacing!r} is not a row of numbers in mm, such as (0.7, 0.7).") from None
    if len(sizes) != ndim or not all(isfinite(s) and s > 0 for s in sizes):
        raise UserError(
            f"spacing {spacing!r} must be {ndim} positive numbers in mm, one per axis; without it the unit is pixels."
        )
    return sizes
