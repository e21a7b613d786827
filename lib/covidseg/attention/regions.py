"""Means of a map in regions that are drawn at another resolution, and the lesions of a mask one by one."""

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from covidseg.errors import UserError

__all__ = ["border_of", "lesions", "mean_in", "radius"]


def mean_in(values: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Mean of each channel of a map in a region: float64 (c,), nan where the region is empty.

    values : (c, h, w), or (c, h, w, d) of a volume; region : not 0 inside, (H, W) or (H, W, D), over the same slice
    A value counts by the share of its patch that lies in the region, so a lesion smaller than a patch counts too.
    Raises UserError where one is flat and the other is not.

    >>> half = np.zeros((4, 4)); half[:, :2] = 1
    >>> mean_in(np.array([[[1.0, 5.0], [3.0, 5.0]]]), half).tolist()
    [2.0]
    """
    if values.ndim - 1 != np.ndim(region):
        raise UserError(f"A map of shape {values.shape} is not spread over a region of shape {np.shape(region)}.")
    inside = torch.from_numpy(np.asarray(region != 0, np.float32))[None, None]
    pool = F.adaptive_avg_pool2d if inside.ndim == 4 else F.adaptive_avg_pool3d
    share = pool(inside, values.shape[1:])[0, 0].double().numpy()
    if not share.any():
        return np.full(len(values), np.nan)
    return (values * share).reshape(len(values), -1).sum(1) / share.sum()


def lesions(mask: np.ndarray, least: int = 1) -> list[np.ndarray]:
    """The connected parts of a mask (H, W), corners joined, each as bool (H, W), largest first; those under ``least``
    pixels are left out."""
    numbered, many = ndimage.label(np.asarray(mask) != 0, np.ones((3, 3)))
    sizes = np.bincount(numbered.ravel(), minlength=many + 1)[1:]
    return [numbered == k + 1 for k in np.argsort(-sizes, kind="stable") if sizes[k] >= least]


def radius(region: np.ndarray) -> float:
    """Radius in pixels of the disc that has a region's area.

    >>> round(radius(np.ones((10, 10))), 3)
    5.642
    """
    return float(np.sqrt(np.count_nonzero(region) / np.pi))


def border_of(mask: np.ndarray, wide: float) -> np.ndarray:
    """The pixels of a mask (H, W) that lie within ``wide`` pixels of its outside: bool (H, W)."""
    mask = np.asarray(mask) != 0
    return mask & (ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1] <= wide)
