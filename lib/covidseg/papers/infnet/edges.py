"""The edge of a mask, which Inf-Net's edge attention learns: by gradient, as in the doctors' labels, or by Canny.

Fan et al. (TMI 2020) write only "the gradient of the ground-truth". Which gradient, their files tell: all 50 pictures
in COVID-SemiSeg's Doctor-label/Edge are, pixel for pixel, `edge_map(mask)`; the 1,600 of Pseudo-label/Edge, which their
published script makes with OpenCV's Canny(10, 150), are `edge_map(mask, "canny")`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from covidseg.data.layouts import stored_upside_down
from covidseg.errors import UserError, unknown_name

__all__ = ["METHODS", "edge_map", "semiseg_edges"]

STRONG = 150  # Canny's upper threshold; at the steps of a 0/255 mask nothing lies between it and the lower one


def edge_map(mask: np.ndarray, method: str = "gradient") -> np.ndarray:
    """Edge pixels of a mask, bool (H, W). A mask without lesion, or all lesion, has none.

    mask : (H, W); bool or class numbers (foreground: not 0), 0..255 greys or floats 0..1 (foreground: above 128/255)
    method : "gradient" marks a pixel whose two neighbours along a row or a column differ: both sides of the border, two
        pixels wide; identical to the 50 shipped doctors' edges in 100 % of the pixels. "canny" keeps the strongest of
        them, one pixel wide: what the published script makes of pseudo labels (identical in all 1,600). The usual
        one-pixel boundary inside the mask agrees with the doctors' edges in 98.8 % of the pixels, Sobel in 99.1 %
    Raises UserError for another shape or method.

    >>> edge_map(np.array([[0, 0, 1, 1, 1]] * 2)).astype(int)[0].tolist()
    [0, 1, 1, 0, 0]
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or min(mask.shape) < 2:
        raise UserError(f"An edge needs one slice (H, W) of 2 x 2 pixels or more; this mask is {mask.shape}.")
    if method not in METHODS:
        raise unknown_name("edge method", method, METHODS)
    return METHODS[method](_inside(mask))


def _inside(mask: np.ndarray) -> np.ndarray:
    """The published threshold: above 128 of 255. Class numbers are told by their type and size."""
    if mask.dtype.kind == "f":
        return mask * 255 > 128
    return mask > 128 if mask.dtype.kind in "ui" and mask.max() > 3 else mask != 0


def _gradient(inside: np.ndarray) -> np.ndarray:
    """Central differences, one-sided at the rim, as MATLAB's ``gradient``."""
    down, right = np.gradient(inside.astype(np.float32))
    return (down != 0) | (right != 0)


def _canny(inside: np.ndarray) -> np.ndarray:
    """OpenCV's Canny on a 0/255 mask, in NumPy: 3 x 3 Sobel, |x| + |y|, the strongest of three along the gradient."""
    from scipy import ndimage

    grey = inside * 255.0
    x, y = (ndimage.sobel(grey, axis, mode="nearest") for axis in (1, 0))
    strength = np.abs(x) + np.abs(y)
    rim = np.pad(strength, 1)

    def beside(rows: int, columns: int) -> np.ndarray:
        return rim[1 + rows : rim.shape[0] - 1 + rows, 1 + columns : rim.shape[1] - 1 + columns]

    flat = np.abs(y) < np.tan(np.pi / 8) * np.abs(x)  # the gradient points along the row
    steep = np.abs(y) > np.tan(3 * np.pi / 8) * np.abs(x)
    falling, rising = ~flat & ~steep & (x * y >= 0), ~flat & ~steep & (x * y < 0)
    keep = flat & (strength > beside(0, -1)) & (strength >= beside(0, 1))  # of two equals, the first
    keep |= steep & (strength > beside(-1, 0)) & (strength >= beside(1, 0))
    keep |= falling & (strength > beside(-1, -1)) & (strength > beside(1, 1))
    keep |= rising & (strength > beside(-1, 1)) & (strength > beside(1, -1))
    return keep & (strength > STRONG)


METHODS = {"gradient": _gradient, "canny": _canny}


def semiseg_edges(part: str = "labelled", mirror=None) -> dict[str, np.ndarray]:
    """COVID-SemiSeg's own edge pictures: case id -> bool (H, W), upright. Only training slices have one.

    part : "labelled" (the doctors' 50) or "unlabelled" (the 1,600 pseudo labels)
    Raises UserError, with the way out, where the set or its Edge folder is not here, and for a damaged picture.
    """
    from covidseg.data.datasets import find_volumes
    from covidseg.scans.pictures import PICTURES, read_picture

    folders = {"labelled": "Doctor-label", "unlabelled": "Pseudo-label"}
    if part not in folders:
        raise unknown_name("part of semiseg", part, folders)
    root, _ = find_volumes("semiseg" if part == "labelled" else "semiseg-unlabelled", mirror)
    folder = root / "Dataset/TrainingSet/LungInfection-Train" / folders[part] / "Edge"
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURES)
    if not files:
        raise UserError(f"{folder} holds no edge picture: fetch the set again, or leave edges out to compute them.")
    return {_case_id(path, part): _upright(path.stem, read_picture(path)[0].T > 128) for path in files}


def _upright(stem: str, edge: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(edge[::-1]) if stored_upside_down(stem) else edge


def _case_id(path: Path, part: str) -> str:
    return f"tr_im_{int(path.stem):04d}" if part == "labelled" else path.stem
