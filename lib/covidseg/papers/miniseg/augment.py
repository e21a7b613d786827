"""MiniSeg's four-scale augmentation (Qiu et al., AAAI 2021: "standard cropping and random flipping").

Where the paper is silent, the authors' published training script: sizes, crop bounds, order of the steps and the
direction of the flip.
"""

import torch

from covidseg.data.transforms import Scale, resize_image, resize_mask
from covidseg.training.batches import augmentation

__all__ = ["MINISEG_SCALES", "augment", "symmetric_crop", "training_sample"]

# Code: one "epoch" is these four passes over the training list, in this order, so "80 epochs" are 320 passes.
# The bounds are int(100 / 1024 * 512) = 50 and int(32 / 1024 * 512) = 16 and do not scale with the side.
MINISEG_SCALES = (Scale(768, 50), Scale(640, 50), Scale(384, 16), Scale(512, 16))


def symmetric_crop(image: torch.Tensor, mask: torch.Tensor, x1: int, y1: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut y1 rows from top and bottom and x1 columns from left and right, then resize back.

    image : float (C, H, W); mask : (H, W). The cut is the same on opposite sides, so the centre stays: it zooms in.
    """
    rows, columns = mask.shape[-2:]
    inner = (..., slice(y1, rows - y1), slice(x1, columns - x1))
    return resize_image(image[inner], (rows, columns)), resize_mask(mask[inner], (rows, columns))


@augmentation("miniseg")
def augment(image, mask, bound: int, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """MiniSeg's augmentation at the training size: with p = 0.5 a symmetric crop, with p = 0.5 upside down.

    image : float (C, H, W), mask : (H, W); bound : largest margin in pixels, inclusive
    generator : torch.Generator or numpy.random.Generator; nothing else is random
    Code: the flip is vertical (cv2 flip code 0), which no standing patient shows; there is no left-right flip.
    """
    if _uniform(generator) < 0.5:
        x1, y1 = _integer(generator, bound), _integer(generator, bound)
        image, mask = symmetric_crop(image, mask, x1, y1)
    if _uniform(generator) < 0.5:
        image, mask = image.flip(-2), mask.flip(-2)
    return image, mask


def training_sample(image, mask, scale: Scale, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One training pair as the authors' code makes it: resize to ``scale.side``, then augment.

    image : float (3, H, W), already normalised at native resolution; mask : (H, W) of class numbers
    Returns float32 (3, side, side) and int64 (side, side).
    """
    image, mask = resize_image(image, scale.side), resize_mask(mask, scale.side)
    image, mask = augment(image, mask, scale.bound, generator)
    return image.contiguous(), mask.long().contiguous()


def _uniform(generator) -> float:
    if isinstance(generator, torch.Generator):
        return float(torch.rand((), generator=generator))
    return float(generator.random())


def _integer(generator, bound: int) -> int:
    """Uniform on 0..bound, both ends included."""
    if isinstance(generator, torch.Generator):
        return int(torch.randint(0, bound + 1, (), generator=generator))
    return int(generator.integers(0, bound, endpoint=True))
