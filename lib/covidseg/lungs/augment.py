"""Greys and frames as real lung pictures have them and phantoms do not, so that a net may rely on neither.

Published volumes come in HU, in 8 bits of a lung window (P9), or with their contrast equalised part by part (P20);
some show only the scanner's circle, and all differ in noise.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from covidseg.data.transforms import augment_wide
from covidseg.training.batches import augmentation

__all__ = ["augment", "equalised"]


@augmentation("lungs")
def augment(image: Tensor, mask: Tensor, bound: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """image : float (1, H, W), grey 0..1; mask : (H, W). Contrast, noise and frame are drawn; then as "wide"."""
    local, strength, cut, lift, rough, blur = torch.rand(6, generator=generator).tolist()
    if local < 0.45:
        image = torch.lerp(image, equalised(image), 0.3 + 0.7 * strength)
    if lift < 0.5:  # air of another window is not black
        image = 0.4 * lift + (1 - 0.4 * lift) * image
    if blur < 0.3:
        image = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    image = image + 0.08 * rough**2 * torch.randn(image.shape, generator=generator).to(image.device)
    if cut < 0.35:
        image = _in_circle(image, 0.85 + 0.5 * cut)
    return augment_wide(image.clamp(0, 1), mask, generator)


def equalised(image: Tensor, tiles: int = 6) -> Tensor:
    """Local contrast made alike: grey minus its mean in the part around, over its deviation there; about 0..1."""
    side = (image.shape[-1] // tiles) | 1
    around = {"kernel_size": side, "stride": 1, "padding": side // 2, "count_include_pad": False}
    mean = F.avg_pool2d(image, **around)
    deviation = (F.avg_pool2d(image * image, **around) - mean * mean).clamp_min(0).sqrt()
    return (0.35 + 0.28 * (image - mean) / (deviation + 0.07)).clamp(0, 1)


def _in_circle(image: Tensor, radius: float) -> Tensor:
    """Black outside a circle in the middle; radius 1 touches the sides."""
    along = torch.linspace(-1, 1, image.shape[-1], device=image.device).square()
    return image * (along[:, None] + along[None] < math.pow(radius, 2))
