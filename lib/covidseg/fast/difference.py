"""How far two networks' answers to one input are apart."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["EXACT", "Difference", "difference"]

EXACT = 1e-4  # of the largest logit: float32 rounds ten to a hundred times finer


@dataclass(frozen=True)
class Difference:
    """logits : largest difference, as a share of the largest logit (of 1 where all are smaller)

    changed : pixels whose class changes; pixels : all of them
    """

    logits: float
    changed: int
    pixels: int

    @property
    def exact(self) -> bool:
        """Rounding, and no more: the mask is the same. Logits that are not numbers are never exact."""
        return self.logits <= EXACT and not self.changed

    def __str__(self) -> str:
        return f"logits {self.logits:.1e} apart (of the largest), {self.changed} of {self.pixels} mask pixels changed"


def difference(wanted: Tensor, got: Tensor) -> Difference:
    """Two maps of logits (B, K, H, W), or (B, K, H, W, D), compared; one logit says 1 where it is above 0.

    Raises ValueError for other shapes than each other's.
    """
    if wanted.shape != got.shape:
        raise ValueError(f"logits of {tuple(wanted.shape)} and {tuple(got.shape)} cannot be compared")
    wanted, got = wanted.detach().float().cpu(), got.detach().float().cpu()
    apart = float((wanted - got).abs().max()) / max(1.0, float(wanted.abs().max()))
    masks = [logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1) for logits in (wanted, got)]
    return Difference(apart, int(torch.count_nonzero(masks[0] != masks[1])), masks[0].numel())
