"""What a training minimises."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from covidseg.losses import cross_entropy, deep_supervision

__all__ = ["MiniSegLoss"]


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
