"""Cross-entropy on class numbers, on every head: what a training minimises unless its paper says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from covidseg.errors import UserError
from covidseg.losses import cross_entropy, deep_supervision, log_class_weights
from covidseg.training.batches import SliceBatches
from covidseg.training.feeds import ClassNumbers, Slices
from covidseg.training.parts import Feed, Objective
from covidseg.training.patches import PatchBatches
from covidseg.training.recipes import Recipe

__all__ = ["CrossEntropy", "SupervisedHeads", "has_edge_map"]


class SupervisedHeads:
    """Class-weighted cross-entropy on every head, added up by deep supervision.

    weight : one per class, or None; aux_weights : main output first
    """

    def __init__(self, weight: Tensor | None, aux_weights: Sequence[float]) -> None:
        self.weight, self.aux_weights = weight, tuple(aux_weights)

    def __call__(self, outputs: Any, target: Tensor) -> Tensor:
        outputs = outputs.float() if torch.is_tensor(outputs) else (outputs[0].float(), [a.float() for a in outputs[1]])
        return deep_supervision(outputs, target, partial(cross_entropy, weight=self.weight), self.aux_weights)

    def mass(self, target: Tensor) -> Tensor:
        """What the mean divides by: the class weights of the pixels. A piece of a batch counts by its share of it."""
        if self.weight is None:
            return torch.tensor(float(target.numel()), device=target.device)
        return self.weight.to(target.device)[target].sum()


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """class_weights : weigh classes by 1 / ln(1.10 + p_c), see `log_class_weights`; aux_weights : main output first."""

    kind: ClassVar[str] = "cross_entropy"
    feed: ClassVar[type[Feed]] = Slices
    takes: ClassVar[type[Feed]] = ClassNumbers
    class_weights: bool = True
    aux_weights: tuple[float, ...] = (1.0, 0.4, 0.4, 0.4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "aux_weights", tuple(float(w) for w in self.aux_weights))  # JSON gives lists

    def loss(
        self, model: nn.Module, batches: SliceBatches | PatchBatches, recipe: Recipe, device: torch.device
    ) -> SupervisedHeads:
        """Raises UserError for a network with an edge map: its last output would learn the mask."""
        if has_edge_map(model):
            raise UserError(
                f"Recipe {recipe.name!r} teaches every output the mask, but this network's last one is an edge map: "
                "take one of its own paper's recipes, or build it with ea=False."
            )
        weight = None
        if self.class_weights:
            weight = log_class_weights(batches.cache.class_fractions(recipe.feed.num_classes)).to(device)
        return SupervisedHeads(weight, self.aux_weights)


def has_edge_map(model: nn.Module) -> bool:
    """Whether a network's last auxiliary output in train() is an edge map."""
    named_maps = getattr(model, "named_maps", None)
    return named_maps is not None and "S_e" in named_maps()
