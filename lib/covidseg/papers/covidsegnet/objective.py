"""What COVID-SegNet minimises, "0.5 * L_d + 0.5 * L_c", and how its learning rate falls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from covidseg.losses import bce_dice, deep_supervision
from covidseg.papers.covidsegnet.feed import ScanPatches
from covidseg.training.parts import Feed, Objective, Schedule
from covidseg.training.patches import PatchBatches
from covidseg.training.recipes import Recipe

__all__ = ["DiceAndCrossEntropy", "HalfAndHalf", "InverseTime"]

SMOOTH = 1e-5  # ours: a patch may hold no lesion


class HalfAndHalf:
    """(1 - w) * cross-entropy + w * (1 - Dice) of the whole batch, in float32; added up over several outputs.

    Dice is the mean over the foreground classes, its sums over all voxels of the batch. A piece of a batch counts by
    its number of patches.
    """

    def __init__(self, dice_weight: float) -> None:
        self.one = partial(bce_dice, dice_weight=dice_weight, smooth=SMOOTH, reduce="batch")

    def __call__(self, outputs, target: Tensor) -> Tensor:
        main, more = (outputs, []) if torch.is_tensor(outputs) else outputs
        heads = main.float(), [logits.float() for logits in more]
        return deep_supervision(heads, target, self.one, (1.0,) * (1 + len(more)))


@dataclass(frozen=True)
class DiceAndCrossEntropy(Objective):
    """dice_weight : w, the paper's 0.5."""

    kind: ClassVar[str] = "dice_and_cross_entropy"
    feed: ClassVar[type[Feed]] = ScanPatches
    takes: ClassVar[type[Feed]] = ScanPatches
    dice_weight: float = 0.5

    def __post_init__(self) -> None:
        self._refuse(not 0 <= self.dice_weight <= 1, "dice_weight", "must be a share, 0 to 1")

    def loss(self, model: nn.Module, batches: PatchBatches, recipe: Recipe, device: torch.device) -> HalfAndHalf:
        return HalfAndHalf(self.dice_weight)


@dataclass(frozen=True)
class InverseTime(Schedule):
    """lr / (1 + decay * it): "the learning rate decay of 1e-6" as Keras has it, 4 % less after 40,000 steps.

    >>> InverseTime(1e-6).rate(1e-4, iteration=40_000, steps_per_epoch=100, epochs=400)
    9.615384615384616e-05
    """

    kind: ClassVar[str] = "inverse_time"
    decay: float = 1e-6

    def __post_init__(self) -> None:
        self._refuse(self.decay < 0, "decay", "must not be negative")

    def rate(self, lr: float, iteration: int, steps_per_epoch: int, epochs: int) -> float:
        return lr / (1 + self.decay * iteration)
