"""Batches with soft targets at several scales, as Inf-Net is trained (Fan et al., TMI 2020; details: their code).

Every slice is resized once to the base side, mask and edge by the same smoothing resize as the picture, so that a
target is a share of lesion between 0 and 1; from there each step resizes its batch to one of the scales.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from covidseg.data.case import Case
from covidseg.data.transforms import LUNG, Preprocessing, Scale, Window, resize_image, to_grey
from covidseg.errors import UserError, unknown_name
from covidseg.papers.infnet.edges import edge_map
from covidseg.training.batches import (
    Step,
    finite_image,
    fit_preprocessing,
    normalised,
    plan_epoch,
    slices_of,
    steps_of_pass,
)
from covidseg.training.feeds import validation_of_slices
from covidseg.training.parts import Feed
from covidseg.training.recipes import Recipe

__all__ = ["SoftBatches", "SoftSlice", "SoftSlices", "is_soft", "soft_slices"]

ORDERS = ("pass", "batch")


def is_soft(recipe: Recipe) -> bool:
    """Whether a recipe's targets are soft masks with their edges instead of class numbers."""
    return isinstance(recipe.feed, SoftSlices)


@dataclass(frozen=True, eq=False)
class SoftSlice:
    """One slice to learn from: float32 (H, W) each, all within 0..1.

    grey : the picture; mask : how much of a pixel is infection, a doctor's 0 or 1 or a network's probability;
    edge : how much of it is edge, see `edge_map`
    Raises UserError, naming the slice, for other shapes or values.
    """

    id: str
    grey: np.ndarray
    mask: np.ndarray
    edge: np.ndarray

    def __post_init__(self):
        for name in ("grey", "mask", "edge"):
            array = np.asarray(getattr(self, name), dtype=np.float32)
            if array.ndim != 2 or array.shape != np.shape(self.grey):
                raise UserError(f"Slice {self.id}: the {name} is {array.shape}, the picture {np.shape(self.grey)}.")
            if not (array.min() >= 0 and array.max() <= 1):  # so written, NaN is refused too
                raise UserError(
                    f"Slice {self.id}: the {name} holds {array.min():.3g} to {array.max():.3g}, not 0 to 1."
                )
            object.__setattr__(self, name, array)


def soft_slices(
    cases: Iterable[Case], window: Window = LUNG, edges: Mapping[str, np.ndarray] | None = None
) -> list[SoftSlice]:
    """Cases as slices with soft targets: the infection as 0 and 1, and its edge. Of a volume the infected slices.

    edges : edge maps by case id (`semiseg_edges`); None computes them with `edge_map`, which gives the same pixels
    Raises UserError for a case without an edge in ``edges``, or with one of another shape.
    """
    return [_soft_slice(case, window, edges) for case in slices_of(cases)]


def _soft_slice(case: Case, window: Window, edges) -> SoftSlice:
    mask = case.infection
    if edges is not None and case.id not in edges:
        raise UserError(f"Case {case.id} has no edge among the {len(edges)} given: leave edges out to compute them.")
    edge = edge_map(mask) if edges is None else edges[case.id]
    return SoftSlice(case.id, to_grey(finite_image(case), case.intensity, window), mask, edge)


class SoftBatches:
    """The batches of a training with soft targets; `train` takes it in place of a training set.

    plan(epoch) -> the steps of an epoch. With ``order="batch"`` a mini-batch takes consecutive steps at all scales, as
    in the published loop; with "pass" each scale is a pass of its own.
    load(step, positions) -> images (b, C, side, side) float32, normalised, and targets (b, 2, side, side) float32:
    mask and edge. The cache is 8-bit, as the pictures that PIL resizes are.
    Raises UserError if there is no slice, or fewer than a batch where the last one is dropped.
    """

    def __init__(
        self,
        slices: Iterable[SoftSlice],
        recipe: Recipe,
        preprocessing: Preprocessing,
        seed: int,
        channels: int = 3,
        device="cpu",
    ):
        self.recipe, self.preprocessing, self.seed, self.channels = recipe, preprocessing, seed, channels
        if not is_soft(recipe):
            raise UserError(f"Recipe {recipe.name!r} has no soft targets: take one of Inf-Net's, e.g. infnet_lesson.")
        self.side = recipe.feed.base_side
        self.ids, packed = [], []
        for soft in slices:
            self.ids.append(soft.id)
            packed.append(self._packed(soft).to(device))
        if not packed:
            raise UserError("There is no slice to learn from: the set is empty, or its volumes hold no infection.")
        self.packed = torch.stack(packed)  # N, 3, base side, base side: grey, mask, edge
        self.steps_per_pass = steps_of_pass(len(self.ids), recipe)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def steps_per_epoch(self) -> int:
        return self.steps_per_pass * len(self.recipe.scales)

    def fingerprint(self) -> str:
        """sha256 (hex) over ids, pictures and targets: a run goes on only with the targets it began with."""
        digest = sha256("\0".join(self.ids).encode())
        digest.update(self.packed.cpu().numpy().data)
        return digest.hexdigest()

    def plan(self, epoch: int) -> list[Step]:
        """All steps of an epoch (0-based)."""
        return plan_epoch(len(self), self.recipe, self.seed, epoch, self.recipe.feed.order)

    def load(self, step: Step, positions: Iterable[int] | None = None) -> tuple[Tensor, Tensor]:
        """The samples of a step, or those at some ``positions`` in it."""
        indices = step.indices if positions is None else [step.indices[p] for p in positions]
        layers = self.packed[torch.tensor(indices, device=self.packed.device)].float().div_(255)
        if step.scale.side != self.side:
            layers = F.interpolate(layers, size=(step.scale.side,) * 2, mode="bilinear", align_corners=True)
        return self.normalise(layers[:, :1]), layers[:, 1:].contiguous()

    def normalise(self, greys: Tensor) -> Tensor:
        """(b, 1, H, W) in 0..1 -> (b, C, H, W): minus mean, over std."""
        return normalised(greys, self.preprocessing, self.channels)

    def _packed(self, soft: SoftSlice) -> Tensor:
        """uint8 (3, base side, base side)."""
        layers = torch.from_numpy(np.stack([soft.grey, soft.mask, soft.edge]))
        if layers.shape[-2:] != (self.side, self.side):
            layers = resize_image(layers, self.side, antialias=self.recipe.antialias)
        return layers.mul(255).round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class SoftSlices(Feed):
    """Slices with soft masks and their edges, all at one base side first (`SoftBatches`).

    base_side : pixels, to which slices are resized first and once, then to the recipe's scales
    order : "batch", every mini-batch at all scales before the next; "pass", the scales one after the other
    """

    kind: ClassVar[str] = "soft_slices"
    fixed: ClassVar[Mapping] = {"augment": "none", "target": "infection"}
    base_side: int = 352
    order: str = "pass"

    def __post_init__(self):
        no_side = not (isinstance(self.base_side, int) and self.base_side > 0)
        self._refuse(no_side, "base_side", "must be a side in pixels")
        if self.order not in ORDERS:
            raise unknown_name("order of a recipe", self.order, ORDERS)

    def batches(self, cases, recipe: Recipe, seed: int, channels: int, device) -> SoftBatches:
        slices = (_soft_slice(case, recipe.window, None) for case in slices_of(cases))
        return SoftBatches(slices, recipe, fit_preprocessing(cases, recipe), seed, channels, device)

    def validation(self, cases, recipe: Recipe, batches, loss, device) -> Callable[[nn.Module], dict]:
        return validation_of_slices(cases, recipe, batches, loss, device)

    def at_side(self, recipe: Recipe, side: int) -> Recipe:
        return replace(recipe, feed=replace(self, base_side=side), scales=(Scale(side, 0),), val_size=side)
