"""What Inf-Net minimises on all its maps at once (Fan et al., TMI 2020, section III-E)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from covidseg.errors import UserError
from covidseg.papers.infnet.feed import SoftSlices
from covidseg.papers.infnet.losses import edge_bce, structure_loss
from covidseg.training.objective import has_edge_map
from covidseg.training.parts import Feed, Objective

__all__ = ["InfNetLoss", "PlainStructure", "Structure"]


class InfNetLoss:
    """L_seg on every map of the infection and the edge's BCE, each with weight 1 (Inf-Net, Section III-E; code).

    bce : "weighted" (paper) or "plain" (what the published code computes), see `covidseg.papers.infnet.losses`
    edge : whether the last auxiliary output is an edge map (`has_edge_map`); other networks have none

    loss(outputs, target): outputs (S_3, [S_4, S_5, S_g, S_e]) as Inf-Net in train() gives them, fewer where an option
    leaves some out, or one tensor; each (B, 1, H, W), or (B, 2, H, W) with the background first. target (B, 2, H, W):
    soft mask and edge; or (B, H, W) for the maps of a network in eval(), which has no edge map.
    Every image weighs the same, so pieces of a batch count by their number of images, as the loop has it by default.
    Raises UserError for outputs and targets that do not fit, and for a target without edge where there is an edge map.
    """

    def __init__(self, bce: str = "weighted", edge: bool = False):
        self.bce, self.edge = bce, edge

    def __call__(self, outputs, target: Tensor) -> Tensor:
        maps = [outputs] if torch.is_tensor(outputs) else [outputs[0], *outputs[1]]
        maps = [S.float() for S in maps]
        mask, edge = (target[:, :1], target[:, 1:]) if target.ndim == 4 else (target, None)
        total = 0
        if self.edge and len(maps) > 1:
            if edge is None or not edge.shape[1]:
                raise UserError("The edge map has nothing to learn from: the target needs a mask and an edge channel.")
            total = edge_bce(maps.pop(), edge)
        return total + structure_loss(maps, mask, self.bce)


@dataclass(frozen=True)
class Structure(Objective):
    """Weighted BCE + weighted IoU on soft masks, and BCE on their edges: Eqn 4 as the paper has it."""

    kind: ClassVar[str] = "infnet"
    feed: ClassVar[type[Feed]] = SoftSlices
    takes: ClassVar[type[Feed]] = SoftSlices
    fixed: ClassVar[Mapping] = {"class_weights": False, "aux_weights": [1.0] * 5}  # every map weighs 1
    bce: ClassVar[str] = "weighted"

    def loss(self, model, batches, recipe, device) -> InfNetLoss:
        return InfNetLoss(self.bce, has_edge_map(model))


@dataclass(frozen=True)
class PlainStructure(Structure):
    """The same with the plain BCE that the published code computes."""

    kind: ClassVar[str] = "infnet_plain_bce"
    bce: ClassVar[str] = "plain"
