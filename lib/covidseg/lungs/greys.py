"""Grey pictures brought to the lung window, which the lung network learned from and never leaves by itself.

A published picture is grey 0..255 of a window that nobody names, at times with its contrast equalised. Fat, the spleen
and the heart then look as grey as sick lung does in the lung window, and the network takes them for it.
"""

import numpy as np

from covidseg.data.transforms import to_grey
from covidseg.lungs.sides import sampled

__all__ = ["as_in_the_lung_window", "tissue_of"]

FAT, TISSUE, BLOOD = to_grey(np.array([-100.0, 40.0, 150.0]), "HU").tolist()  # in the lung window: 0.77, 0.86, 0.93
MOST = 2.0  # times that the logarithm of a grey grows or shrinks: what needs more is no picture of a chest


def as_in_the_lung_window(volume: np.ndarray, intensity: str) -> np.ndarray:
    """Grey levels (H, W, D) raised to the one power that makes soft tissue as bright as the lung window does.

    Black and white stay. A picture whose tissue lies between fat and contrasted blood of that window comes back as it
    is, as HU do. Returns uint8 (H, W, D) where greys have changed.
    """
    if intensity != "grey":
        return volume
    levels = volume if volume.dtype == np.uint8 else np.rint(np.clip(volume, 0, 255)).astype(np.uint8)
    tissue = tissue_of(levels)
    if tissue is None or FAT <= tissue <= BLOOD:
        return volume
    power = np.clip(np.log(TISSUE) / np.log(tissue), 1 / MOST, MOST)
    curve = 255 * (np.arange(256) / 255) ** power
    return np.rint(curve).astype(np.uint8)[levels]


def tissue_of(volume: np.ndarray) -> float | None:
    """Grey of soft tissue in 0..1: the median of what is bright, parted from the dark where the two differ most (Otsu).

    volume : uint8 (H, W, D). None where there is one grey alone.

    >>> picture = np.full((4, 4, 1), 20, np.uint8)
    >>> picture[1:3, 1:3] = 204
    >>> tissue_of(picture)
    0.8
    """
    count = np.bincount(sampled(volume).ravel(), minlength=256).astype(float)
    dark, light = np.cumsum(count)[:-1], np.cumsum(count[::-1])[-2::-1]  # voxels up to a grey, and above it
    below = np.cumsum(count * np.arange(256))
    both = (dark > 0) & (light > 0)
    if not both.any():
        return None
    dark_mean = below[:-1] / np.maximum(dark, 1)
    light_mean = (below[-1] - below[:-1]) / np.maximum(light, 1)
    best = int(np.argmax(np.where(both, dark * light * (light_mean - dark_mean) ** 2, -1)))
    bright = np.cumsum(count[best + 1 :])
    tissue = best + 1 + int(np.searchsorted(bright, bright[-1] / 2))
    return min(tissue, 254) / 255
