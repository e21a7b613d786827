"""What CHS-Net minimises: half cross-entropy, half Dice (Punn and Agarwal 2020, Eqns 13 to 15)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from covidseg.errors import UserError
from covidseg.losses import bce_dice, deep_supervision
from covidseg.training.feeds import ClassNumbers, Slices
from covidseg.training.objective import has_edge_map
from covidseg.training.parts import Feed, Objective

__all__ = ["HalfDice", "HalfDiceLoss"]


class HalfDiceLoss:
    """(1 - w) * cross-entropy + w * Dice, in float32; on every output of a network that has more than one, added up.

    Each image weighs the same, so pieces of a batch count by their number of images, as the loop has it by default.
    """

    def __init__(self, dice_weight: float, reduce: str):
        self.one = partial(bce_dice, dice_weight=dice_weight, squared=True, smooth=1.0, reduce=reduce)

    def __call__(self, outputs, target: Tensor) -> Tensor:
        main, more = (outputs, []) if torch.is_tensor(outputs) else outputs
        heads = main.float(), [logits.float() for logits in more]
        return deep_supervision(heads, target, self.one, (1.0,) * (1 + len(more)))


@dataclass(frozen=True)
class HalfDice(Objective):
    """Eqn 15, w = 1/2. Cross-entropy is the mean over pixels: Eqn 13's sum over 65,536 would leave Dice no say.

    reduce : Dice of each "case" (Eqn 14), or of the "batch" (as in the authors' other code)
    """

    kind: ClassVar[str] = "half_dice"
    feed: ClassVar[type[Feed]] = Slices
    takes: ClassVar[type[Feed]] = ClassNumbers
    dice_weight: float = 0.5
    reduce: str = "case"

    def __post_init__(self):
        self._refuse(not 0 <= self.dice_weight <= 1, "dice_weight", "must be a share, 0 to 1")
        self._refuse(self.reduce not in ("case", "batch"), "reduce", "must be 'case' or 'batch'")

    def loss(self, model, batches, recipe, device) -> HalfDiceLoss:
        """Raises UserError for a network with an edge map: its last output would learn the mask."""
        if has_edge_map(model):
            raise UserError(
                f"Recipe {recipe.name!r} teaches every output the mask, but this network's last one is an edge map: "
                "build it with ea=False."
            )
        return HalfDiceLoss(self.dice_weight, self.reduce)
