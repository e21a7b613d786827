"""Where a mask lies on its scan: decided by both affines, one rule for every image and mask."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy import ndimage

from covidseg.errors import UserError
from covidseg.scans import upright
from covidseg.scans.stored import Scan
from covidseg.scans.upright import Axes, axes_from_code

_OFF = 0.1  # voxels by which a corner may lie beside the grid: headers round their numbers


def on_grid(mask: Scan, scan: Scan, resample: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Voxels (H, W, D) of a stored mask as they lie on an upright scan, and what had to be assumed.

    inv(scan.affine) @ mask.affine must turn the mask's axes into the scan's and cover its grid, voxel by voxel.
    A picture or an array says nothing of its place and is taken as upright, as `write_mask` writes them.
    resample : take the nearest voxel where the grids differ. Raises UserError for a mask of another grid.
    """
    if not mask.has_place:
        if mask.voxels.shape != scan.shape:
            raise _other_shape(mask, scan)
        return mask.voxels, ()
    axes = _between(mask, scan)
    if axes is not None:
        return scan.axes.upright(axes.upright(mask.voxels)), ()
    if not scan.has_place:
        return _by_letters(mask, scan)
    if mask.voxels.shape == _stored_shape(scan) and _has_lost_its_place(mask, scan):
        note = f"{mask.path.name} has lost its orientation: it was laid on the scan as it is stored"
        return scan.axes.upright(mask.voxels), (note,)
    if resample:
        return _resampled(mask, scan), (f"{mask.path.name} was resampled to the scan's grid (nearest voxel)",)
    if sorted(mask.voxels.shape) != sorted(scan.shape):
        raise _other_shape(mask, scan)
    raise UserError(
        f"{mask.path} does not lie on the grid of its scan {scan.path.name}: {_difference(mask, scan)}. "
        "Is it another scan's? --resample-mask takes the nearest voxels."
    )


def _between(mask: Scan, scan: Scan) -> Axes | None:
    """How the mask's file axes become the scan's; None where no turning of axes brings one grid onto the other."""
    if np.array_equal(mask.affine, scan.affine) and mask.voxels.shape == _stored_shape(scan):
        return Axes((0, 1, 2), (False, False, False))  # even where the matrix cannot be inverted
    matrix = _to_scan(mask, scan)
    if matrix is None:
        return None
    turn = np.rint(matrix[:3, :3])
    if not ((abs(turn).sum(0) == 1).all() and (abs(turn).sum(1) == 1).all()):
        return None
    order = tuple(int(axis) for axis in abs(turn).argmax(axis=1))
    axes = Axes(order, tuple(bool(turn[i, axis] < 0) for i, axis in enumerate(order)))
    shape = _stored_shape(scan)
    if tuple(mask.voxels.shape[axis] for axis in order) != shape:
        return None
    for corner in product(*((0, n - 1) for n in mask.voxels.shape)):
        here = matrix[:3, :3] @ corner + matrix[:3, 3]
        due = [shape[i] - 1 - corner[a] if f else corner[a] for i, (a, f) in enumerate(zip(*axes, strict=True))]
        if np.abs(here - due).max() > _OFF:
            return None
    return axes


def _to_scan(mask: Scan, scan: Scan) -> np.ndarray | None:
    """Mask index -> scan index, both of the file; None where an affine says nothing."""
    for affine in (mask.affine, scan.affine):
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            return None
    return np.linalg.inv(scan.affine) @ mask.affine


def _has_lost_its_place(mask: Scan, scan: Scan) -> bool:
    """A bare diagonal or switched-off header, with the scan's steps or steps of 1: its axes cannot be known."""
    off = mask.header is not None and not (int(mask.header["qform_code"]) or int(mask.header["sform_code"]))
    if not (off or upright.is_plain(mask.affine) or _to_scan(mask, scan) is None):
        return False
    steps = np.array([scan.spacing[scan.axes.order.index(axis)] for axis in range(3)])
    return any(np.allclose(mask.spacing, due, rtol=0.01, equal_nan=True) for due in (steps, np.ones(3)))


def _by_letters(mask: Scan, scan: Scan) -> tuple[np.ndarray, tuple[str, ...]]:
    """A mask with a place on pictures without one: each is turned upright for itself."""
    code = upright.code_of_affine(mask.affine)
    plain = code is None or upright.is_plain(mask.affine)
    voxels = scan.axes.upright(mask.voxels) if plain else axes_from_code(code).upright(mask.voxels)
    if voxels.shape != scan.shape:
        raise _other_shape(mask, scan)
    return voxels, (f"{scan.path.name} does not say where it lies; {mask.path.name} was laid on it upright",)


def _resampled(mask: Scan, scan: Scan) -> np.ndarray:
    matrix = _to_scan(scan, mask)
    if matrix is None:
        raise UserError(f"{mask.path} or its scan does not say where it lies, so it cannot be resampled.")
    stored = ndimage.affine_transform(
        mask.voxels, matrix[:3, :3], matrix[:3, 3], output_shape=_stored_shape(scan), order=0, mode="grid-constant"
    )
    return scan.axes.upright(stored)


def _stored_shape(scan: Scan) -> tuple[int, ...]:
    return scan.axes.original(scan.voxels).shape


def _other_shape(mask: Scan, scan: Scan) -> UserError:
    return UserError(
        f"{mask.path} is {mask.file_shape}, but its scan {scan.path.name} is {scan.file_shape}: "
        "they do not belong together, or one was resampled."
    )


def _difference(mask: Scan, scan: Scan) -> str:
    """Steps where they differ, else how far apart the middles lie."""
    own, due = sorted(mask.spacing), sorted(scan.spacing)
    if not np.allclose(own, due, rtol=0.01, equal_nan=True):
        return "its steps are {} mm, the scan's {} mm".format(*(" x ".join(f"{v:.2f}" for v in s) for s in (own, due)))
    middles = [a[:3, :3] @ ((np.array(n) - 1) / 2) + a[:3, 3] for a, n in (
        (mask.affine, mask.voxels.shape), (scan.affine, _stored_shape(scan)))]  # fmt: skip
    apart = float(np.linalg.norm(middles[0] - middles[1]))
    return f"it lies {apart:.1f} mm away" if apart > 0.05 else "its axes are turned"
