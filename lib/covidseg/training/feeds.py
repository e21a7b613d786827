"""Batches of slices with class numbers, which most networks learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor

from covidseg.data.case import Case
from covidseg.data.transforms import Scale
from covidseg.errors import unknown_name
from covidseg.training.batches import SliceBatches, SliceCache, find_augmentation, fit_preprocessing
from covidseg.training.evaluation import validate
from covidseg.training.parts import Batches, Feed, Loss, Validation
from covidseg.training.recipes import Recipe

__all__ = ["ClassNumbers", "Slices", "validation_of_slices"]


class BatchesOfSlices(Batches, Protocol):
    """Batches that bring further slices, held out for validation, to the same mean and deviation."""

    def normalise(self, greys: Tensor, /) -> Tensor: ...


class ClassNumbers(Feed):
    """What feeds have in common whose ``target`` is class numbers: 0 and 1 for "infection", 0 to 3 for "classes".

    targets : name -> number of classes, the background included; a paper's feed may have others
    """

    targets: ClassVar[Mapping[str, int]] = {"infection": 2, "classes": 4}
    target: str

    def __post_init__(self) -> None:
        if self.target not in self.targets:
            raise unknown_name("target of a recipe", self.target, self.targets)

    @property
    def num_classes(self) -> int:
        return self.targets[self.target]


@dataclass(frozen=True)
class Slices(ClassNumbers):
    """Slices scale by scale, each a pass of its own over all cases.

    augment : "none", "wide" (zoom, tilt, mirror, greys; see `augment_wide`), or one that a paper brings
    target : "infection" (0, 1) or "classes" (0 to 3)
    """

    kind: ClassVar[str] = "slices"
    augment: str = "none"
    target: str = "infection"

    @classmethod
    def take(cls, values: dict) -> Self:
        """Raises UnknownName for an augmentation that nobody has; above, a paper may still be loading."""
        feed = super().take(values)
        find_augmentation(feed.augment)
        return feed

    def batches(
        self, cases: Sequence[Case], recipe: Recipe, seed: int, channels: int, device: torch.device
    ) -> SliceBatches:
        cache = SliceCache(cases, recipe.window, self.target, device, recipe.antialias)
        return SliceBatches(cache, recipe, fit_preprocessing(cases, recipe), seed, channels)

    def validation(
        self, cases: Sequence[Case], recipe: Recipe, batches: BatchesOfSlices, loss: Loss, device: torch.device
    ) -> Validation:
        return validation_of_slices(cases, recipe, batches, loss, device, self.target)

    def at_side(self, recipe: Recipe, side: int) -> Recipe:
        return replace(recipe, scales=(Scale(side, side // 32),), val_size=side)


def validation_of_slices(
    cases: Sequence[Case],
    recipe: Recipe,
    batches: BatchesOfSlices,
    loss: Loss,
    device: torch.device,
    target: str = "infection",
) -> Validation:
    """`validate` on the slices of ``cases``, read once, at the recipe's side."""
    preprocessing = batches.preprocessing
    cache = SliceCache(cases, preprocessing.window, target, device, preprocessing.antialias)
    return partial(
        validate, cache=cache, normalise=batches.normalise, loss=loss, size=recipe.val_size, batch=recipe.batch
    )
