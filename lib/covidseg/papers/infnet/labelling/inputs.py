"""What the labelling network reads: a slice and, beside it, a map of where infection is (Inf-Net, Figure 6).

Code: both are read as colour pictures, so the input has six channels, three equal ones for each. The order is
OpenCV's, blue first, while ImageNet's statistics are given red first; as the three are equal, only the names change.
The prior is normalised as if it were a picture. Ours may also be four channels (the slice thrice, the prior once) or
two: copies tell a network nothing new, but six lets first weights made for colour be used for both halves. The
networks of Table III that nobody guides read the slice alone: there the prior is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.data.case import Case
from covidseg.data.transforms import LUNG, Preprocessing, Window, resize_image, resize_mask, to_grey
from covidseg.errors import UserError, unknown_name
from covidseg.papers.infnet.labelling.targets import CLASSES, published_target, three_classes
from covidseg.papers.infnet.semi.labels import stretched
from covidseg.papers.infnet.semi.pool import soft_maps, unlabelled_slices
from covidseg.training.batches import SliceBatches, finite_image, normalised, slices_of
from covidseg.training.recipes import Recipe

__all__ = [
    "CHANNELS",
    "GuidedSlice",
    "MultiClassBatches",
    "assemble",
    "check_prior",
    "guided_slices",
    "plain_slices",
    "predicted_priors",
]

CHANNELS = {6: (3, 3), 4: (3, 1), 2: (1, 1)}  # input channels -> of the slice, of the prior
TARGETS = ("true", "published")


@dataclass(frozen=True, eq=False)
class GuidedSlice:
    """One slice to learn from, arrays of one shape (H, W).

    grey : float32 0..1; classes : uint8, 0 background, 1 GGO, 2 consolidation; prior : float32 0..1, infection or not,
    or None for a network that is not guided
    Raises UserError, naming the slice, for other shapes or values.
    """

    id: str
    grey: np.ndarray
    classes: np.ndarray
    prior: np.ndarray | None

    def __post_init__(self):
        for name in ("classes", "prior") if self.prior is not None else ("classes",):
            if np.shape(getattr(self, name)) != np.shape(self.grey):
                shape = np.shape(getattr(self, name))
                raise UserError(f"Slice {self.id}: the {name} is {shape}, the picture {np.shape(self.grey)}.")
        if np.max(self.classes) >= len(CLASSES):
            raise UserError(f"Slice {self.id}: class {np.max(self.classes)} is none of 0, 1, 2.")
        if self.prior is not None:
            check_prior(self.prior, f"Slice {self.id}")


def check_prior(prior: np.ndarray, whose: str) -> None:
    if not (np.min(prior) >= 0 and np.max(prior) <= 1):  # so written, NaN is refused too
        raise UserError(
            f"{whose}: the prior holds {np.min(prior):.3g} to {np.max(prior):.3g}; it is a probability, 0 to 1."
        )


def guided_slices(
    cases: Iterable[Case], priors: Mapping[str, np.ndarray] | None = None, window: Window = LUNG
) -> list[GuidedSlice]:
    """Cases with the prior beside them; of a volume the infected slices. Effusion counts as background.

    priors : soft maps 0..1 by case id, on the case's own grid (`predicted_priors`). None takes the true mask, as the
        code does to train (it tests with predicted maps, which is another input). Training on predicted ones too is
        the clean way.
    Raises UserError for a case without a prior, or with one of another shape or range.
    """
    found = []
    for case in slices_of(cases):
        if priors is not None and case.id not in priors:
            raise UserError(f"Case {case.id} has no prior among the {len(priors)} given.")
        prior = case.infection if priors is None else priors[case.id]
        found.append(_slice(case, window, np.asarray(prior, np.float32)))
    return found


def plain_slices(cases: Iterable[Case], window: Window = LUNG) -> list[GuidedSlice]:
    """Cases without any prior, for a network with three input channels that nobody guides; else as `guided_slices`."""
    return [_slice(case, window, None) for case in slices_of(cases)]


def _slice(case: Case, window: Window, prior: np.ndarray | None) -> GuidedSlice:
    return GuidedSlice(case.id, to_grey(finite_image(case), case.intensity, window), three_classes(case.mask), prior)


def predicted_priors(
    model: nn.Module, cases: Iterable[Case], window: Window = LUNG, *, stretch: bool = True, **options
) -> dict[str, np.ndarray]:
    """What a trained network says of infection, as priors for `guided_slices`: case id -> float32 (H, W).

    stretch : every map is stretched to fill 0..1, as the saved maps are with which the code tests. False: it is left
    options : as for `covidseg.papers.infnet.semi.soft_maps` (preprocessing, batch, device)
    """
    maps = soft_maps(model, unlabelled_slices(cases, window), **options)
    return {name: stretched(p) for name, p in maps.items()} if stretch else maps


def assemble(greys: Tensor, priors: Tensor | None, preprocessing: Preprocessing, channels: int = 6) -> Tensor:
    """(b, 1, H, W) slices and priors, both 0..1 -> the input (b, channels, H, W), each minus mean, over std.

    channels : 6 (code), 4 or 2; without priors 3 or 1. The prior is normalised as the slice is. Raises UserError for
    another number.
    """
    of_slice, of_prior = _shares(channels, priors is not None)
    if priors is None:
        return normalised(greys, preprocessing, of_slice)
    parts = ((greys, of_slice), (priors, of_prior))
    return torch.cat([normalised(part, preprocessing, count) for part, count in parts], 1)


def _shares(channels: int, guided: bool) -> tuple[int, int]:
    if guided and channels not in CHANNELS:
        raise UserError(
            f"A labelling network has 6 input channels (slice and prior, three each), 4 or 2; this one has {channels}. "
            "Build it with in_channels=6."
        )
    if not guided and channels not in (3, 1):
        raise UserError(f"This network has {channels} input channels, so it wants a prior beside the slice: give one.")
    return CHANNELS[channels] if guided else (channels, 0)


class _Cache:
    """Slices with their priors (0 where there is none), resized when asked for. ``pair`` is what `SliceBatches` calls.

    guided : whether the slices have priors
    """

    def __init__(self, slices: Iterable[GuidedSlice], targets: str, antialias: bool, device):
        if targets not in TARGETS:
            raise unknown_name("kind of target", targets, TARGETS)
        self.antialias, self.published = antialias, targets == "published"
        self.slices = list(slices)
        if not self.slices:
            raise UserError("There is no slice to learn from: the set is empty.")
        self.guided = self.slices[0].prior is not None
        if any((s.prior is not None) != self.guided for s in self.slices):
            raise UserError("Some slices have a prior and some have none: give all of them one, or none.")
        priors = [s.prior if self.guided else np.zeros_like(s.grey) for s in self.slices]
        pairs = [np.stack([s.grey, p]).astype(np.float32) for s, p in zip(self.slices, priors, strict=True)]
        self.inputs = [torch.from_numpy(pair).to(device) for pair in pairs]

    def __len__(self) -> int:
        return len(self.slices)

    def pair(self, index: int, side: int) -> tuple[Tensor, Tensor]:
        """Slice and prior, float32 (2, side, side); classes, uint8 (side, side), or the published (3, side, side)."""
        inputs, classes = self.inputs[index], self.slices[index].classes
        if inputs.shape[-2:] != (side, side):
            inputs = resize_image(inputs, side, antialias=self.antialias)
        if self.published:
            target = torch.from_numpy(published_target(classes, side))
        else:
            target = resize_mask(torch.from_numpy(classes), side)  # nearest: no new class can appear
        return inputs, target.to(inputs.device)

    def class_fractions(self) -> Tensor:
        """Share of each class among all pixels at native resolution, (3,)."""
        counts = sum(np.bincount(s.classes.ravel(), minlength=len(CLASSES)) for s in self.slices)
        return torch.from_numpy(counts / counts.sum())


class MultiClassBatches(SliceBatches):
    """The batches of a labelling training; `train` takes it in place of a training set.

    load(step, positions) -> inputs (b, channels, side, side) float32 and classes (b, side, side) int64, or with
    ``targets="published"`` the code's one-hot (b, 3, side, side), see `covidseg.papers.infnet.labelling.targets`
    Raises UserError for "published" with augmentation: the code has none.
    """

    def __init__(
        self,
        slices: Iterable[GuidedSlice],
        recipe: Recipe,
        preprocessing: Preprocessing,
        seed: int,
        channels: int = 6,
        *,
        targets: str = "true",
        device="cpu",
    ):
        augment = recipe.feed.augment
        if augment == "wide" or (targets == "published" and augment != "none"):
            raise UserError(f"Recipe {recipe.name!r}: augment={augment!r} does not fit labelling: use 'none'.")
        super().__init__(_Cache(slices, targets, recipe.antialias, device), recipe, preprocessing, seed, channels)
        _shares(channels, self.cache.guided)

    def fingerprint(self) -> str:
        """sha256 (hex) over ids, slices, priors and classes: a run goes on only with what it began with."""
        digest = sha256("\0".join(s.id for s in self.cache.slices).encode())
        for layers, one in zip(self.cache.inputs, self.cache.slices, strict=True):
            digest.update(layers.cpu().numpy().tobytes() + one.classes.tobytes())
        return digest.hexdigest()

    def normalise(self, pairs: Tensor) -> Tensor:
        """(b, 2, H, W), slice and prior -> the input (b, channels, H, W)."""
        priors = pairs[:, 1:] if self.cache.guided else None
        return assemble(pairs[:, :1], priors, self.preprocessing, self.channels)
