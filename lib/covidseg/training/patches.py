"""Batches of patches cut from whole volumes, which 3-D networks learn from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from covidseg.data.case import Case, infection_of
from covidseg.data.transforms import LUNG, Preprocessing, Scale, Window
from covidseg.errors import UserError
from covidseg.inference import predict
from covidseg.metrics import segmentation_scores
from covidseg.training.batches import (
    CaseCache,
    Step,
    fit_preprocessing,
    generator_for,
    normalised,
    plan_epoch,
    unpacked,
)
from covidseg.training.feeds import ClassNumbers
from covidseg.training.parts import Loss, Validation
from covidseg.training.recipes import Recipe

__all__ = ["PatchBatches", "Patches", "VolumeCache", "validate_volumes", "whole"]


@dataclass(frozen=True)
class Patches(ClassNumbers):
    """Cubes cut at random from volumes; the recipe's one scale is (side in voxels, 0).

    depth : slices of a patch where they differ from the side, for scans of few slices; None: a cube
    per_volume : patches of each volume in one epoch
    lesions : share of the patches whose middle is a random infected voxel, 0 to 1; the rest lies anywhere
    target : "infection" (0, 1) or "classes" (0 to 3)
    """

    kind: ClassVar[str] = "patches"
    depth: int | None = None
    per_volume: int = 8
    lesions: float = 0.5
    target: str = "infection"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse(self.per_volume < 1, "per_volume", "must be 1 or more")
        self._refuse(not 0 <= self.lesions <= 1, "lesions", "is a share, 0 to 1")
        self._refuse(self.depth is not None and self.depth < 1, "depth", "must be 1 or more slices, or None")

    def shape(self, recipe: Recipe) -> tuple[int, int, int]:
        """(rows, columns, slices) of a patch."""
        side = recipe.scales[0].side
        return side, side, self.depth or side

    def batches(
        self, cases: Sequence[Case], recipe: Recipe, seed: int, channels: int, device: torch.device
    ) -> PatchBatches:
        if len(recipe.scales) > 1:
            raise UserError(f"Recipe {recipe.name!r}: patches have one size, but scales names {len(recipe.scales)}.")
        cache = VolumeCache(cases, recipe.window, self.target, device)
        return PatchBatches(cache, recipe, fit_preprocessing(cases, recipe), seed, channels)

    def validation(
        self, cases: Sequence[Case], recipe: Recipe, batches: PatchBatches, loss: Loss, device: torch.device
    ) -> Validation:
        cache = VolumeCache(cases, batches.preprocessing.window, self.target, device)
        held = PatchBatches(cache, recipe, batches.preprocessing, batches.seed, batches.channels)
        return partial(validate_volumes, cases=cases, held=held, loss=loss)

    def at_side(self, recipe: Recipe, side: int) -> Recipe:
        return replace(recipe, scales=(Scale(side, 0),), val_size=side)


class VolumeCache(CaseCache):
    """Whole volumes in memory, and where infection is in each.

    Memory: 2 or 3 bytes a voxel; a scan of 512 x 512 x 300 takes 0.16 or 0.24 GB. Raises UserError for a slice among
    the cases, and if there is no case.
    """

    nothing = "There is no volume to learn from: the set is empty."

    def __init__(
        self,
        cases: Iterable[Case],
        window: Window = LUNG,
        target: str = "infection",
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(whole(cases), window, target, device)
        self.infected = [np.flatnonzero(mask.cpu().numpy()) for mask in self.masks]  # numbers of the infected voxels

    def patch(self, index: int, corner: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Grey 0..1 (1, *shape) and classes (*shape); beyond a volume thinner than the patch lie air and background."""
        place = tuple(slice(start, start + n) for start, n in zip(corner, shape, strict=True))
        grey, mask = unpacked(self.greys[index][place]), self.masks[index][place]
        ends = [n for have, want in zip(mask.shape[::-1], shape[::-1], strict=True) for n in (0, want - have)]
        return F.pad(grey, ends)[None], F.pad(mask, ends)


def whole(cases: Iterable[Case]) -> Iterator[Case]:
    """The cases; raises UserError when one of them is a slice."""
    for case in cases:
        if case.depth is None:
            raise UserError(f"Case {case.id} is one slice; patches are cut from volumes: load whole ones.")
        yield case


class PatchBatches:
    """The batches of a training on patches: plan(epoch), load(step, positions) as `SliceBatches` has them.

    load -> images (b, C, rows, columns, slices) float32, normalised, and targets (b, rows, columns, slices) int64.
    Which patch is cut is a function of (seed, step, position), so a resumed run cuts the same.
    """

    def __init__(self, cache: VolumeCache, recipe: Recipe, preprocessing: Preprocessing, seed: int, channels: int = 1):
        self.cache, self.recipe, self.preprocessing = cache, recipe, preprocessing
        self.seed, self.channels, self.feed = seed, channels, cast(Patches, recipe.feed)
        self.steps_per_epoch = len(self.plan(0))

    def plan(self, epoch: int) -> list[Step]:
        """All steps of an epoch (0-based): every volume ``per_volume`` times, shuffled."""
        steps = plan_epoch(len(self.cache) * self.feed.per_volume, self.recipe, self.seed, epoch)
        return [step._replace(indices=[i % len(self.cache) for i in step.indices]) for step in steps]

    def load(self, step: Step, positions: Iterable[int] | None = None) -> tuple[Tensor, Tensor]:
        """The patches of a step, or those at some ``positions`` in it."""
        positions = range(len(step.indices)) if positions is None else positions
        pairs = [self._sample(step, position) for position in positions]
        return self.normalise(torch.stack([grey for grey, _ in pairs])), torch.stack([m for _, m in pairs]).long()

    def normalise(self, greys: Tensor) -> Tensor:
        """(b, 1, rows, columns, slices) in 0..1 -> (b, C, ...): minus mean, over std."""
        return normalised(greys, self.preprocessing, self.channels)

    def _sample(self, step: Step, position: int) -> tuple[Tensor, Tensor]:
        generator = generator_for(self.seed, "patch", step.iteration, position)
        index, shape = step.indices[position], self.feed.shape(self.recipe)
        return self.cache.patch(index, self._corner(index, shape, generator), shape)

    def _corner(self, index: int, shape: tuple[int, ...], generator: torch.Generator) -> tuple[int, ...]:
        """First voxel of a patch that stays in the volume if it can; around a lesion as often as the feed wants."""
        sides, infected = self.cache.masks[index].shape, self.cache.infected[index]
        free = [max(side - n, 0) for side, n in zip(sides, shape, strict=True)]
        if len(infected) and float(torch.rand((), generator=generator)) < self.feed.lesions:
            voxel = infected[int(torch.randint(len(infected), (), generator=generator))]
            middle = np.unravel_index(voxel, sides)
            return tuple(int(min(max(m - n // 2, 0), f)) for m, n, f in zip(middle, shape, free, strict=True))
        return tuple(int(torch.randint(f + 1, (), generator=generator)) for f in free)


def validate_volumes(model: nn.Module, cases: Sequence[Case], held: PatchBatches, loss: Loss) -> dict[str, float]:
    """mIoU (pooled over all voxels, background included) and mean Dice of whole volumes; loss on one patch of each.

    held : batches of the same cases
    """
    shape = held.feed.shape(held.recipe)
    losses, preds, truths = [], [], []
    model.eval()
    for index, case in enumerate(cases):
        corner = held._corner(index, shape, generator_for(held.seed, "validation", index))
        grey, mask = held.cache.patch(index, corner, shape)
        with torch.inference_mode():
            losses.append(float(loss(model(held.normalise(grey[None])), mask[None].long())))
        drawn = predict(model, case.image, held.preprocessing, case.intensity, spacing=case.spacing, optimize=False)
        preds.append(infection_of(drawn).astype(np.uint8))
        truths.append(case.infection.astype(np.uint8))
    scores = segmentation_scores(preds, truths, "clean", per="volume", distances=False)
    return {"val_loss": float(np.mean(losses)), "val_miou": scores["mIoU"], "val_dice": scores.means["dice"]}
