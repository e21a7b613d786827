"""Volumes whose voxels are not cubes, and not alike: the same scan at another spacing, and a mask back on its own grid.

A network in 3-D sees voxels, not millimetres: of slices 6 mm apart and of slices 1 mm apart it sees two anatomies. The
way there blurs before it thins out, the way back is linear; a mask's classes travel as one map each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from covidseg.data.case import Case
from covidseg.errors import UserError

__all__ = ["Spacing", "at_shape", "at_spacing", "check_spacing", "classes_at_shape", "shape_at"]

Spacing = tuple[float | None, float | None, float | None]  # rows, columns, slices in mm; None leaves an axis as it is
LARGEST = 2**31  # voxels: a spacing of micrometres is a mistake


def check_spacing(wanted: Sequence[float | None]) -> Spacing:
    """(rows, columns, slices) in mm. Raises UserError for anything else than three numbers above 0 or None."""
    good = len(wanted) == 3 and all(mm is None or (isfinite(mm) and mm > 0) for mm in wanted)
    if not good:
        raise UserError(f"spacing is {wanted}; give mm for rows, columns and slices, each above 0 or None.")
    rows, columns, slices = (None if mm is None else float(mm) for mm in wanted)
    return rows, columns, slices


def shape_at(shape: Sequence[int], spacing: Sequence[float], wanted: Spacing) -> tuple[int, int, int]:
    """Voxels of a volume seen at ``wanted`` mm. An axis stays where that is None, or its own spacing is unknown (nan).

    >>> shape_at((630, 630, 39), (0.7, 0.7, 6.0), (1.4, 1.4, None))
    (315, 315, 39)
    """
    rows, columns, slices = (
        n if want is None or not isfinite(mm) else max(1, round(n * mm / want))
        for n, mm, want in zip(shape, spacing, wanted, strict=True)
    )
    if rows * columns * slices > LARGEST:
        raise UserError(f"At {wanted} mm this scan of {spacing} mm has {rows} x {columns} x {slices} voxels: too many.")
    return rows, columns, slices


def at_spacing(case: Case, wanted: Spacing) -> Case:
    """The volume at another spacing: the picture linear, its masks nearest. An axis that is unknown stays as it is."""
    shape = shape_at(case.image.shape, case.spacing, wanted)
    if shape == case.image.shape:
        return case
    spacing = tuple(mm * old / new for mm, old, new in zip(case.spacing, case.image.shape, shape, strict=True))
    mask, lung = (None if one is None else _nearest(one, shape) for one in (case.mask, case.lung))
    return replace(case, image=at_shape(case.image, shape), mask=mask, lung=lung, spacing=spacing)


def at_shape(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """(H, W, D) -> float32 of another shape, linear, both with their outer faces on one box.

    Where an axis is thinned out, each voxel first becomes the mean of as many as it stands for.
    """
    x = torch.from_numpy(np.ascontiguousarray(image, np.float32))
    for axis, n in enumerate(shape):
        x = _along(x, axis, n)
    return x.numpy()


def classes_at_shape(classes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Classes uint8 (H, W, D) on another grid: each class as a map of 0 and 1, linear; the largest wins."""
    if classes.shape == tuple(shape):
        return classes
    best = torch.zeros(*shape)
    winner = np.zeros(shape, np.uint8)
    for number in np.unique(classes):
        share = torch.from_numpy((classes == number).astype(np.float32))[None, None]
        share = F.interpolate(share, tuple(shape), mode="trilinear", align_corners=False)[0, 0]
        winner[(share > best).numpy()] = number
        torch.maximum(best, share, out=best)
    return winner


def _along(x: Tensor, axis: int, n: int) -> Tensor:
    """One axis of (H, W, D) with n voxels."""
    old = x.shape[axis]
    if n == old:
        return x
    line = x.movedim(axis, -1)
    rows = line.reshape(-1, 1, 1, old)
    made = F.interpolate(rows, (1, n), mode="bilinear", align_corners=False, antialias=n < old)
    return made.reshape(*line.shape[:-1], n).movedim(-1, axis).contiguous()


def _nearest(mask: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    index = [
        np.minimum((np.arange(n) + 0.5) * old / n, old - 1).astype(int)
        for n, old in zip(shape, mask.shape, strict=True)
    ]
    return np.ascontiguousarray(mask[np.ix_(*index)])
