"""From cases to batches: decoded once, kept small in memory, resized and augmented as tensors.

The result is that of the usual chain (normalise at native resolution, resize, augment, sample by sample), with three
differences that change rounding only: the three equal channels are resized as one; the statistics are taken off
last, since interpolation weights add up to 1; and a source that is not 8-bit is kept as float16 grey, exact to a
quarter of a thousandth of the window (0.4 HU of 1500).

Randomness is a function of (seed, where we are), not of what was drawn before: sample i of iteration n is augmented
alike in one process, in two, and after a resume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from covidseg.data.case import Case
from covidseg.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LUNG,
    Preprocessing,
    Window,
    augment_wide,
    resize_image,
    resize_mask,
    to_grey,
)
from covidseg.errors import UserError, unknown_name
from covidseg.training.parts import Step
from covidseg.training.recipes import Recipe

__all__ = [
    "AUGMENTATIONS",
    "CaseCache",
    "SliceBatches",
    "SliceCache",
    "Step",
    "augmentation",
    "find_augmentation",
    "finite_image",
    "fit_preprocessing",
    "generator_for",
    "normalised",
    "packed",
    "plan_epoch",
    "slices_of",
    "steps_of_pass",
    "unpacked",
]


# (image (1, H, W), mask (H, W), bound, generator) -> image, mask
Augment = Callable[[Tensor, Tensor, int, torch.Generator], tuple[Tensor, Tensor]]
AUGMENTATIONS: dict[str, Augment] = {
    "none": lambda image, mask, bound, generator: (image, mask),
    "wide": lambda image, mask, bound, generator: augment_wide(image, mask, generator),
}


def augmentation(name: str) -> Callable[[Augment], Augment]:
    """Enter a function (image (1, H, W), mask (H, W), bound, generator) -> both under a name that a feed can give."""

    def enter(function: Augment) -> Augment:
        AUGMENTATIONS[name] = function
        return function

    return enter


def find_augmentation(name: str) -> Augment:
    """The function of that name. Raises UnknownName with the nearest one, after every paper has been asked."""
    if name not in AUGMENTATIONS:
        import_module("covidseg.papers").papers()
    if name not in AUGMENTATIONS:
        raise unknown_name("augment of a recipe", name, AUGMENTATIONS)
    return AUGMENTATIONS[name]


def slices_of(cases: Iterable[Case], infected_only: bool = True) -> Iterator[Case]:
    """Every case as 2-D slices; of a volume the infected ones, which is what the papers train on."""
    for case in cases:
        if case.depth is None:
            yield case
        else:
            yield from case.slices(infected_only=infected_only)


def fit_preprocessing(cases: Iterable[Case], recipe: Recipe) -> Preprocessing:
    """The input statistics the recipe asks for, at the recipe's validation size."""
    options: dict[str, Any] = {"size": recipe.val_size, "window": recipe.window, "antialias": recipe.antialias}
    if recipe.statistics == "fold":
        return Preprocessing.fit(slices_of(cases), **options)
    if recipe.statistics == "imagenet":
        return Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD, **options)
    return Preprocessing(**options)


def generator_for(*place: object) -> torch.Generator:
    """A generator that depends on ``place`` alone, e.g. (seed, "order", epoch, pass)."""
    digest = sha256(repr(place).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class CaseCache:
    """Cases in memory: grey as uint8 where that is exact, else float16; masks as uint8. Shapes may differ.

    target : "infection" (0, 1) or "classes" (0 to 3); device : where the tensors lie, on a GPU whole batches are then
    made there. Raises UserError, in the words of ``nothing``, if there is no case.
    """

    nothing = "There is no case to learn from: the set is empty."

    def __init__(
        self,
        cases: Iterable[Case],
        window: Window = LUNG,
        target: str = "infection",
        device: str | torch.device = "cpu",
    ) -> None:
        self.ids: list[str] = []
        self.greys: list[Tensor] = []
        self.masks: list[Tensor] = []
        for case in cases:
            mask = case.infection if target == "infection" else case.mask
            self.ids.append(case.id)
            self.greys.append(packed(case, window).to(device))
            self.masks.append(torch.from_numpy(mask.astype(np.uint8)).to(device))
        if not self.ids:
            raise UserError(self.nothing)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (*self.greys, *self.masks))

    def class_fractions(self, num_classes: int) -> Tensor:
        """Share of each class among all pixels or voxels at native resolution, float64 (num_classes,)."""
        each = [torch.bincount(mask.flatten().long(), minlength=num_classes) for mask in self.masks]
        counts = torch.stack(each).sum(0).cpu().double()  # Apple GPUs have no float64
        return counts / counts.sum()


class SliceCache(CaseCache):
    """Slices in memory; of a volume those with infection.

    antialias : smooth before a slice is made smaller
    """

    nothing = "There is no slice to learn from: the set is empty, or its volumes hold no infection."

    def __init__(
        self,
        cases: Iterable[Case],
        window: Window = LUNG,
        target: str = "infection",
        device: str | torch.device = "cpu",
        antialias: bool = False,
    ) -> None:
        super().__init__(slices_of(cases), window, target, device)
        self.antialias = antialias

    def pair(self, index: int, side: int) -> tuple[Tensor, Tensor]:
        """Slice ``index`` at side x side: float32 (1, side, side) in 0..1 and uint8 (side, side)."""
        grey, mask = unpacked(self.greys[index]), self.masks[index]
        if grey.shape == (side, side):  # resizing to the same size changes nothing
            return grey[None], mask
        return resize_image(grey[None], side, antialias=self.antialias), resize_mask(mask, side)


def packed(case: Case, window: Window) -> Tensor:
    """A case's grey as uint8 where that is exact, else float16, of the case's shape."""
    image = finite_image(case)
    if case.intensity == "grey":
        eight_bit = np.clip(image, 0, 255).astype(np.uint8)
        if np.array_equal(eight_bit, image):
            return torch.from_numpy(eight_bit)
    return torch.from_numpy(to_grey(image, case.intensity, window)).half()


def unpacked(grey: Tensor) -> Tensor:
    """What `packed` made, as float32 in 0..1."""
    return grey.float().div_(255) if grey.dtype == torch.uint8 else grey.float()


def finite_image(case: Case) -> np.ndarray:
    """The case's image; raises UserError where it holds NaN or infinity."""
    if not np.isfinite(case.image).all():
        raise UserError(f"Case {case.id} holds values that are not numbers (NaN or infinite); repair it first.")
    return case.image


def steps_of_pass(count: int, recipe: Recipe) -> int:
    """Optimiser steps that ``count`` slices make. Raises UserError if they make none."""
    steps = count // recipe.batch if recipe.drop_last else -(-count // recipe.batch)
    if not steps:
        raise UserError(f"batch={recipe.batch} is more than the {count} slices there are: choose a smaller batch.")
    return steps


def plan_epoch(count: int, recipe: Recipe, seed: int, epoch: int, order: str = "pass") -> list[Step]:
    """All steps of an epoch (0-based) over ``count`` slices: a function of its arguments alone.

    order : "pass", one shuffled pass for each scale, one after the other; "batch", one shuffled pass in which every
        mini-batch is seen at all scales before the next one comes
    """
    per_pass, batch = steps_of_pass(count, recipe), recipe.batch

    def shuffled(number: int) -> list[list[int]]:
        order = torch.randperm(count, generator=generator_for(seed, "order", epoch, number)).tolist()
        return [order[first : first + batch] for first in range(0, per_pass * batch, batch)]

    if order == "batch":
        pairs = [(scale, indices) for indices in shuffled(0) for scale in recipe.scales]
    else:
        pairs = [(scale, indices) for number, scale in enumerate(recipe.scales) for indices in shuffled(number)]
    return [Step(epoch * len(pairs) + k, scale, indices) for k, (scale, indices) in enumerate(pairs)]


def normalised(greys: Tensor, preprocessing: Preprocessing, channels: int) -> Tensor:
    """(b, 1, H, W[, D]) in 0..1 -> (b, C, H, W[, D]): minus mean, over std."""
    axes = (-1, *[1] * (greys.ndim - 2))
    mean, std = (
        torch.tensor(values[:channels], device=greys.device).view(axes)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (greys - mean) / std


class _Augmenting(Protocol):
    """A feed that names an augmentation."""

    augment: str


class SliceBatches:
    """The batches of a training on 2-D slices.

    plan(epoch) -> the steps of an epoch; load(step, positions) -> images (b, C, side, side) float32, normalised,
    and targets (b, side, side) int64. `train` takes any object of this kind, see `Batches`.
    """

    def __init__(self, cache: SliceCache, recipe: Recipe, preprocessing: Preprocessing, seed: int, channels: int = 3):
        self.cache, self.recipe, self.preprocessing = cache, recipe, preprocessing
        self.seed, self.channels = seed, channels
        self.augment = find_augmentation(cast(_Augmenting, recipe.feed).augment)
        self.steps_per_pass = steps_of_pass(len(cache), recipe)

    @property
    def steps_per_epoch(self) -> int:
        return self.steps_per_pass * len(self.recipe.scales)

    def plan(self, epoch: int) -> list[Step]:
        """All steps of an epoch (0-based), see `plan_epoch`."""
        return plan_epoch(len(self.cache), self.recipe, self.seed, epoch)

    def load(self, step: Step, positions: Iterable[int] | None = None) -> tuple[Tensor, Tensor]:
        """The samples of a step, or those at some ``positions`` in it (another process has the others)."""
        positions = range(len(step.indices)) if positions is None else positions
        pairs = [self._sample(step, position) for position in positions]
        images = self.normalise(torch.stack([image for image, _ in pairs]))
        return images, torch.stack([mask for _, mask in pairs]).long()

    def normalise(self, greys: Tensor) -> Tensor:
        """(b, 1, H, W) in 0..1 -> (b, C, H, W): minus mean, over std."""
        return normalised(greys, self.preprocessing, self.channels)

    def _sample(self, step: Step, position: int) -> tuple[Tensor, Tensor]:
        image, mask = self.cache.pair(step.indices[position], step.scale.side)
        generator = generator_for(self.seed, "augment", step.iteration, position)
        return self.augment(image, mask, step.scale.bound, generator)
