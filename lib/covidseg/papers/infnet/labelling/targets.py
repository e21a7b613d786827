"""Targets of the labelling network: the true ones, and the published ones with what goes wrong in them.

The classes are 0 background, 1 ground-glass opacity (GGO), 2 consolidation, here and everywhere in this package. The
authors' masks are grey pictures, 0, 38 and 75 (the luminance of their colours), and their network answers in the
order GGO, consolidation, background. ``published_*`` repeat what their code does to such a picture, for lessons and
tests; nothing else uses them, except a training that asks for ``targets="published"``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.data.case import BACKGROUND, CONSOLIDATION, EFFUSION, GGO
from covidseg.data.transforms import resize_image
from covidseg.errors import UserError

__all__ = [
    "CLASSES",
    "one_hot",
    "published_decode",
    "published_index",
    "published_one_hot",
    "published_target",
    "three_classes",
]

CLASSES = {"background": BACKGROUND, "GGO": GGO, "consolidation": CONSOLIDATION}
GREYS = (0, 38, 75)  # of background, GGO and consolidation in the authors' masks
ORDER = (GGO, CONSOLIDATION, BACKGROUND)  # class of each channel of the authors' network


def three_classes(mask: np.ndarray) -> np.ndarray:
    """A case's mask as uint8 with the classes 0, 1, 2; pleural effusion (3) lies outside the lung: background."""
    mask = np.asarray(mask)
    if mask.size and (mask.min() < 0 or mask.max() > EFFUSION):
        raise UserError(f"A mask of classes holds {mask.min():g} to {mask.max():g}; its values are 0 to {EFFUSION}.")
    return np.where(mask == EFFUSION, BACKGROUND, mask).astype(np.uint8)


def one_hot(classes: Tensor) -> Tensor:
    """Class numbers (..., H, W) -> float32 (..., 3, H, W): exactly one channel of every pixel is 1.

    Raises UserError for a value other than 0, 1, 2: a mask that was interpolated, or one with other classes.

    >>> one_hot(torch.tensor([[0, 2]]))[:, 0].tolist()  # a background and a consolidation pixel
    [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < len(CLASSES):
        raise UserError(f"A target holds class {int(classes.max())}; the classes are 0, 1 and 2.")
    return nn.functional.one_hot(classes.long(), len(CLASSES)).movedim(-1, -3).float()


# -------------------------------------------------------------------------------------- what the code does instead


def published_one_hot(grey: np.ndarray) -> np.ndarray:
    """The code's one-hot of a grey mask: uint8 (H, W, 3) in its order GGO, consolidation, background.

    grey : uint8 (H, W) with 0, 38, 75, and whatever a resize left in between
    The routine writes a 1 at place 3 p + v - 1 of the flat array, v being 1 for grey 38, 2 for 75, else the grey
    itself. GGO and consolidation land in channels 0 and 1 of pixel p. Background (v = 0) lands in channel 2 of pixel
    p - 1, one to the left (before pixel 0 comes the last one), and an interpolated grey v in pixel p + (v - 1) // 3.
    So pixels end with no 1 or with two. A place behind the last pixel is dropped here; there it would be an error.
    """
    grey = np.asarray(grey, dtype=np.int64)
    labels = np.select([grey == GREYS[GGO], grey == GREYS[CONSOLIDATION]], [1, 2], grey).ravel()
    flat = np.zeros(grey.size * 3, np.uint8)
    places = 3 * np.arange(grey.size) + labels - 1
    flat[places[places < flat.size]] = 1  # place -1 is the last
    return flat.reshape(*grey.shape, 3)


def published_target(classes: np.ndarray, side: int) -> np.ndarray:
    """What the code trains on: uint8 (3, side, side), its channels put into our order background, GGO, consolidation.

    classes : (H, W) of 0, 1, 2. The grey mask is resized with bilinear interpolation, which makes greys that are no
    class, and goes through `published_one_hot`.
    """
    grey = np.asarray(GREYS, np.float32)[classes]
    resized = np.rint(resize_image(torch.from_numpy(grey), side).numpy()).astype(np.uint8)
    return published_one_hot(resized).transpose(2, 0, 1)[np.argsort(ORDER)]


def published_index(classes: np.ndarray) -> np.ndarray:
    """Class numbers -> the code's index map, the arg-max over its channels: 0 GGO, 1 consolidation, 2 background."""
    return np.argsort(ORDER).astype(np.uint8)[classes]


def published_decode(index: np.ndarray) -> np.ndarray:
    """The code's way from an index map (0 GGO, 1 consolidation, 2 background) to masks, as classes uint8 (H, W).

    The writer of the picture stretches the values that are *there* to 0..255; the reader then takes 0 for GGO and 128
    for consolidation. With all three in the map that is right. Without a GGO pixel {1, 2} becomes {0, 255}:
    consolidation is read as GGO. A map of background alone becomes 0 everywhere: all GGO.
    """
    index = np.asarray(index, dtype=np.float64)
    low, high = index.min(), index.max()
    written = np.floor((index - low) * 255 / ((high - low) or 1) + 0.5)  # 8-bit, halves up
    return np.select([written == 0, written == 128], [GGO, CONSOLIDATION], BACKGROUND).astype(np.uint8)
