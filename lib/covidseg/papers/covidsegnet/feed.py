"""Batches of patches of greys 0 to 1, with infection, lungs or both as target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from covidseg.data.case import Case, lungs_of
from covidseg.data.resample import at_spacing, check_spacing
from covidseg.data.transforms import Preprocessing
from covidseg.papers.covidsegnet.predictor import INFECTED, OUTPUTS
from covidseg.training.batches import generator_for
from covidseg.training.parts import Loss, Step, Validation
from covidseg.training.patches import PatchBatches, Patches, validate_volumes, whole
from covidseg.training.recipes import Recipe

__all__ = ["MirroredPatches", "ScanPatches", "joint_of"]


@dataclass(frozen=True)
class ScanPatches(Patches):
    """Patches whose black is 0 and whose white is 1, the window's ends; the recipe's one scale is (side, 0).

    depth : slices of a patch; None: half the side, as the paper's 128 x 128 x 64
    per_volume, lesions : as for `Patches`; 0 lesions are the paper's words: "we randomly crop"
    target : "infection" or "lungs", both 0 and 1; or "joint": 1 lung without infection, 2 infection
    mirror : left and right change places in half of the patches
    spacing : (rows, columns, slices) in mm at which volumes are seen, None for an axis as it is; None: all as they are
    The recipe's ``statistics`` are not read.
    """

    kind: ClassVar[str] = "scan_patches"
    targets: ClassVar[dict[str, int]] = dict(zip(OUTPUTS, (2, 2, 3), strict=True))
    mirror: bool = False
    spacing: tuple[float | None, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spacing is not None:
            object.__setattr__(self, "spacing", check_spacing(self.spacing))  # JSON gives lists

    def shape(self, recipe: Recipe) -> tuple[int, int, int]:
        side = recipe.scales[0].side
        return side, side, self.depth or max(1, side // 2)

    def batches(
        self, cases: Sequence[Case], recipe: Recipe, seed: int, channels: int, device: torch.device
    ) -> MirroredPatches:
        """Raises UserError for a case without a lung mask, where lungs are in the target."""
        made = super().batches(self._aimed(cases), recipe, seed, channels, device)  # type: ignore[arg-type]  # read once
        if self.target == "joint":  # a lesion-aware patch is one around a lesion, not around a lung
            made.cache.infected = [np.flatnonzero(mask.cpu().numpy() == INFECTED) for mask in made.cache.masks]
        unchanged = Preprocessing(recipe.val_size, (0.0,) * 3, (1.0,) * 3, recipe.window, spacing=self.spacing)
        return MirroredPatches(made.cache, recipe, unchanged, seed, channels)

    def validation(
        self, cases: Sequence[Case], recipe: Recipe, batches: PatchBatches, loss: Loss, device: torch.device
    ) -> Validation:
        """Of a joint target mIoU and Dice are the infection's."""
        truth = lungs_of(cases) if self.target == "lungs" else cases
        still = replace(recipe, feed=replace(self, mirror=False))
        held = self.batches(cases, still, batches.seed, batches.channels, device)
        return partial(validate_volumes, cases=truth, held=held, loss=loss)

    def _aimed(self, cases: Sequence[Case]) -> Iterator[Case]:
        for case in whole(cases):
            if self.target != "infection":
                case = joint_of(case) if self.target == "joint" else lungs_of([case])[0]
            yield case if self.spacing is None else at_spacing(case, self.spacing)


def joint_of(case: Case) -> Case:
    """The case with background 0, lung 1 and infection 2 (wherever it is drawn) as its mask.

    Raises UserError for a case without a lung mask.
    """
    lung = lungs_of([case])[0].mask
    return replace(case, mask=np.where(case.infection, np.uint8(INFECTED), lung))


class MirroredPatches(PatchBatches):
    """`PatchBatches`, half of the patches with left and right changed over where the feed says so."""

    def _sample(self, step: Step, position: int) -> tuple[Tensor, Tensor]:
        grey, mask = super()._sample(step, position)
        toss = torch.rand((), generator=generator_for(self.seed, "mirror", step.iteration, position))
        return (grey.flip(2), mask.flip(1)) if self.feed.mirror and toss < 0.5 else (grey, mask)
