"""The set that grows: the doctors' slices and, round by round, the pseudo-labelled ones."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import count, islice

import torch
from torch import nn

from covidseg.data.transforms import Preprocessing
from covidseg.papers.infnet.feed import SoftBatches, SoftSlice
from covidseg.training.batches import Step, fit_preprocessing, plan_epoch, steps_of_pass
from covidseg.training.recipes import Recipe

__all__ = ["HybridBatches", "preprocessing_for"]


def preprocessing_for(model: nn.Module, recipe: Recipe) -> Preprocessing:
    """What the model was trained with; for an untrained one, what the recipe asks for."""
    return getattr(model, "preprocessing", None) or fit_preprocessing((), recipe)


class HybridBatches(SoftBatches):
    """`SoftBatches` to which slices can be added, and of which an epoch may be a fixed number of steps.

    Each slice is resized once, when it joins. steps : of one epoch, taken from as many shuffled passes as it needs;
    None: one pass
    """

    steps: int | None = None

    def make_room(self, more: int) -> None:
        """Memory for so many further slices at once, instead of a new copy of all for every round."""
        room = torch.empty((len(self) + more, *self.packed.shape[1:]), dtype=torch.uint8)
        room[: len(self)] = self.packed
        self.packed = room

    def add(self, slices: Iterable[SoftSlice]) -> None:
        """Slices that join the set; `make_room` for them first."""
        for soft in slices:
            self.packed[len(self)] = self._packed(soft)
            self.ids.append(soft.id)
        self.steps_per_pass = steps_of_pass(len(self), self.recipe)

    @property
    def steps_per_epoch(self) -> int:
        return self.steps or super().steps_per_epoch

    def plan(self, epoch: int) -> list[Step]:
        """All steps of an epoch (0-based)."""
        if self.steps is None:
            return super().plan(epoch)
        order = self.recipe.feed.order
        passes = (s for n in count() for s in plan_epoch(len(self), self.recipe, self.seed, n, order))
        first = epoch * self.steps
        return [step._replace(iteration=n) for n, step in enumerate(islice(passes, first, first + self.steps), first)]

    def fingerprint(self) -> str:
        """sha256 (hex) over names and pixels: tells a resumed run whether it still learns from the same slices."""
        digest = sha256(repr(self.ids).encode())
        digest.update(self.packed[: len(self)].cpu().numpy().tobytes())
        return digest.hexdigest()
