"""What a training minimises."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from covidseg.errors import UserError
from covidseg.losses import class_weights_miniseg, cross_entropy, deep_supervision
from covidseg.losses_soft import edge_bce, structure_loss
from covidseg.training.recipes import Recipe

__all__ = ["InfNetLoss", "MiniSegLoss", "has_edge_map", "loss_for"]


class MiniSegLoss:
    """Class-weighted cross-entropy on every head, added up by deep supervision (MiniSeg's code).

    weight : one per class, or None; aux_weights : main output first
    """

    def __init__(self, weight: Tensor | None, aux_weights: Sequence[float]):
        self.weight, self.aux_weights = weight, tuple(aux_weights)

    def __call__(self, outputs, target: Tensor) -> Tensor:
        outputs = outputs.float() if torch.is_tensor(outputs) else (outputs[0].float(), [a.float() for a in outputs[1]])
        return deep_supervision(outputs, target, partial(cross_entropy, weight=self.weight), self.aux_weights)

    def mass(self, target: Tensor) -> Tensor:
        """What the mean divides by: the class weights of the pixels. A piece of a batch counts by its share of it."""
        if self.weight is None:
            return torch.tensor(float(target.numel()), device=target.device)
        return self.weight.to(target.device)[target].sum()


class InfNetLoss:
    """L_seg on every map of the infection and the edge's BCE, each with weight 1 (Inf-Net, Section III-E; code).

    bce : "weighted" (paper) or "plain" (what the published code computes), see `covidseg.losses_soft`
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


def has_edge_map(model: nn.Module) -> bool:
    """Whether a network's last auxiliary output in train() is an edge map."""
    return "S_e" in model.named_maps() if hasattr(model, "named_maps") else False


def loss_for(recipe: Recipe, model: nn.Module, batches, device) -> MiniSegLoss | InfNetLoss:
    """The loss a recipe asks for. Raises UserError for MiniSeg's on a network with an edge map: it would learn lesions.

    batches : of the training, for the class weights of the fold
    """
    if recipe.soft:
        return InfNetLoss("weighted" if recipe.loss == "infnet" else "plain", has_edge_map(model))
    if has_edge_map(model):
        raise UserError(
            f"Recipe {recipe.name!r} teaches every output the mask, but this network's last one is an edge map: take "
            "one of Inf-Net's recipes, e.g. infnet_lesson, or a network with ea=False."
        )
    weight = None
    if recipe.class_weights:
        weight = class_weights_miniseg(batches.cache.class_fractions(recipe.num_classes)).to(device)
    return MiniSegLoss(weight, recipe.aux_weights)
