"""Batches of greys 0 to 1, which CHS-Net reads as they are, with the infection or the lungs as target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from covidseg.data.transforms import Preprocessing, Scale
from covidseg.errors import unknown_name
from covidseg.papers.chsnet.data import lungs_of
from covidseg.training.batches import SliceBatches, SliceCache
from covidseg.training.feeds import Slices, validation_of_slices
from covidseg.training.recipes import Recipe

__all__ = ["GreySlices"]

TARGETS = ("infection", "lungs")


@dataclass(frozen=True)
class GreySlices(Slices):
    """Slices whose black is 0 and whose white is 1: what a lung mask multiplies to 0 is then black, the
    window's lower end (in the kit's window -1250 HU, below air's 1/6).

    augment : as for `Slices`; target : "infection" or "lungs", both 0 and 1. The recipe's ``statistics`` are not read.
    """

    kind: ClassVar[str] = "grey_slices"
    num_classes: ClassVar[int] = 2

    def __post_init__(self):
        if self.target not in TARGETS:
            raise unknown_name("target of a recipe", self.target, TARGETS)

    def batches(self, cases, recipe: Recipe, seed: int, channels: int, device) -> SliceBatches:
        """Raises UserError for a case without a lung mask, where lungs are the target."""
        cache = SliceCache(self._aimed(cases), recipe.window, "infection", device, recipe.antialias)
        unchanged = Preprocessing(recipe.val_size, (0.0,) * 3, (1.0,) * 3, recipe.window, recipe.antialias)
        return SliceBatches(cache, recipe, unchanged, seed, channels)

    def validation(self, cases, recipe: Recipe, batches, loss, device) -> Callable[[object], dict]:
        return validation_of_slices(self._aimed(cases), recipe, batches, loss, device)

    def at_side(self, recipe: Recipe, side: int) -> Recipe:
        return replace(recipe, scales=(Scale(side, 0),), val_size=side)

    def _aimed(self, cases):
        return lungs_of(cases) if self.target == "lungs" else cases
