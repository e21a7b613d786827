"""Batches of slices with class numbers, which most networks learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from covidseg.data.transforms import Scale
from covidseg.errors import unknown_name
from covidseg.training.batches import SliceBatches, SliceCache, find_augmentation, fit_preprocessing
from covidseg.training.evaluation import validate
from covidseg.training.parts import Feed
from covidseg.training.recipes import Recipe

__all__ = ["ClassNumbers", "Slices", "validation_of_slices"]

TARGETS = {"infection": 2, "classes": 4}  # classes, the background included


class ClassNumbers(Feed):
    """What feeds have in common whose ``target`` is class numbers: 0 and 1 for "infection", 0 to 3 for "classes"."""

    target: str

    def __post_init__(self):
        if self.target not in TARGETS:
            raise unknown_name("target of a recipe", self.target, TARGETS)

    @property
    def num_classes(self) -> int:
        return TARGETS[self.target]


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
    def take(cls, values: dict) -> Slices:
        """Raises UnknownName for an augmentation that nobody has; above, a paper may still be loading."""
        feed = super().take(values)
        find_augmentation(feed.augment)
        return feed

    def batches(self, cases, recipe: Recipe, seed: int, channels: int, device) -> SliceBatches:
        cache = SliceCache(cases, recipe.window, self.target, device, recipe.antialias)
        return SliceBatches(cache, recipe, fit_preprocessing(cases, recipe), seed, channels)

    def validation(self, cases, recipe: Recipe, batches, loss, device) -> Callable[[object], dict]:
        return validation_of_slices(cases, recipe, batches, loss, device, self.target)

    def at_side(self, recipe: Recipe, side: int) -> Recipe:
        return replace(recipe, scales=(Scale(side, side // 32),), val_size=side)


def validation_of_slices(cases, recipe: Recipe, batches, loss, device, target: str = "infection"):
    """`validate` on the slices of ``cases``, read once, at the recipe's side."""
    preprocessing = batches.preprocessing
    cache = SliceCache(cases, preprocessing.window, target, device, preprocessing.antialias)
    settings = {"normalise": batches.normalise, "loss": loss, "size": recipe.val_size, "batch": recipe.batch}
    return partial(validate, cache=cache, **settings)
