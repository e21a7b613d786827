"""How a 3-D network of this paper is asked about a scan, and what its classes mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import nn

from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError, unknown_name
from covidseg.inference import Patches

__all__ = ["INFECTED", "OUTPUTS", "PATCH", "PatchesAsTrained", "asked", "patch_of"]

OUTPUTS = ("infection", "lungs", "joint")  # joint: 0 outside, 1 lung without infection, 2 infection
INFECTED = 2  # of a joint network
PATCH = (128, 128, 64)  # paper; the largest that is used here
HALVED = 8
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class PatchesAsTrained:
    """The `Predictor` of this paper's networks: overlapping patches of the size at which the weights were trained.

    outputs : what the network's classes are, one of `OUTPUTS`
    wants : of a "joint" network "infection" (class 2 becomes 1, lungs 0), or "classes" as they are
    overlap, blend : see `covidseg.sliding_window.windows`
    The preprocessing's ``size`` is the patch's side in the plane, half of it its slices. Memory: as for
    `covidseg.inference.Patches`.
    """

    outputs: str = "infection"
    wants: str = "infection"
    overlap: float = 0.5
    blend: str = "gaussian"

    whole: ClassVar[bool] = True

    def masks(
        self,
        model: nn.Module,
        volume: np.ndarray,
        preprocessing: Preprocessing,
        intensity: str,
        *,
        batch: int | None,
        device: torch.device,
    ) -> Iterator[tuple[int, np.ndarray]]:
        window = Patches(patch_of(preprocessing.size, volume.shape), self.overlap, self.blend)
        for first, classes in window.masks(model, volume, preprocessing, intensity, batch=batch, device=device):
            yield first, self._meant(classes)

    def _meant(self, classes: np.ndarray) -> np.ndarray:
        merged = (self.outputs, self.wants) == ("joint", "infection")
        return (classes == INFECTED).astype(np.uint8) if merged else classes


def patch_of(side: int, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(rows, columns, slices) of the patches of a scan: those of training, at most `PATCH`, cut to a smaller scan.

    >>> patch_of(128, (512, 512, 40)), patch_of(64, (512, 512, 300))
    ((128, 128, 40), (64, 64, 32))
    """
    trained = (side, side, max(1, side // 2))
    rows, columns, slices = (
        min(wanted, largest, -(-n // HALVED) * HALVED) for wanted, largest, n in zip(trained, PATCH, shape, strict=True)
    )
    return rows, columns, slices


def asked(network: Network, outputs: str, num_classes: int) -> Network:
    """The network, carrying its predictor. Raises UnknownName for other outputs, UserError for "joint" without three
    classes."""
    if outputs not in OUTPUTS:
        raise unknown_name("kind of outputs", outputs, OUTPUTS)
    if outputs == "joint" and num_classes != 3:
        raise UserError(f"outputs='joint' are background, lung and infection: num_classes is {num_classes}, give 3.")
    network.predictor = PatchesAsTrained(outputs)  # type: ignore[assignment]  # torch's types know tensors and modules
    return network
