"""The slices without labels: what is known of them, in which order they are labelled, and maps of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.data.case import Case
from covidseg.data.transforms import LUNG, Preprocessing, Window, resize_image, to_grey
from covidseg.device import choose_device
from covidseg.errors import UserError
from covidseg.nn.layers import input_channels
from covidseg.training.batches import finite_image, generator_for, normalised, slices_of
from covidseg.training.evaluation import forward, infection_probability

__all__ = ["Group", "Unlabelled", "groups_of", "soft_maps", "unlabelled_slices"]


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """A slice and nothing else. grey : float32 (H, W), 0..1"""

    id: str
    grey: np.ndarray


def unlabelled_slices(cases: Iterable[Case], window: Window = LUNG) -> list[Unlabelled]:
    """Cases without their masks, so that no truth can leak into a pseudo label; of a volume every slice."""
    slices = slices_of(cases, infected_only=False)
    return [Unlabelled(case.id, to_grey(finite_image(case), case.intensity, window)) for case in slices]


@dataclass(frozen=True)
class Group:
    """The slices of one round. number : of the folder they were cut into; ids : in their order"""

    number: int
    ids: tuple[str, ...]


def groups_of(ids: Sequence[str], k: int, seed: int) -> list[Group]:
    """The groups in the order of the rounds: shuffled once, cut into folders of ``k``, the folders shuffled (code).

    Raises UserError for an empty pool, or one in which an id comes twice.
    """
    if not ids or len(set(ids)) != len(ids):
        raise UserError(f"The pool holds {len(ids)} slices under {len(set(ids))} names: each needs a name of its own.")
    shuffled = [ids[i] for i in torch.randperm(len(ids), generator=generator_for(seed, "pool")).tolist()]
    folders = [Group(n, tuple(shuffled[n * k : (n + 1) * k])) for n in range(-(-len(ids) // k))]
    return [folders[i] for i in torch.randperm(len(folders), generator=generator_for(seed, "folders")).tolist()]


def soft_maps(
    model: nn.Module,
    slices: Iterable,
    preprocessing: Preprocessing | None = None,
    *,
    batch: int = 1,
    device: str | torch.device | None = None,
) -> dict[str, np.ndarray]:
    """Probability of infection of every slice: id -> float32 (H, W) on the slice's own grid.

    slices : anything with ``id`` and ``grey`` (`Unlabelled`, `SoftSlice`); batch : slices at a time
    preprocessing : by default ``model.preprocessing``; device : by default where the model is
    Code, at the time of the paper: the logits of S_3 are interpolated to the slice's size, then comes the sigmoid. Of a
    network with several channels, the share of GGO and consolidation. The model is left in eval mode.
    """
    slices = list(slices)
    preprocessing = preprocessing or getattr(model, "preprocessing", None) or Preprocessing()
    place = next(model.parameters()).device if device is None else choose_device(device)
    model, channels, maps = model.to(place), input_channels(model), {}
    for first in range(0, len(slices), batch):
        part = slices[first : first + batch]
        x = torch.stack([_input(s.grey, preprocessing) for s in part])  # b, 1, size, size
        logits = forward(model, normalised(x.to(place), preprocessing, channels))
        maps |= {s.id: _probability(one[None], s.grey.shape) for s, one in zip(part, logits, strict=True)}
    return maps


def _input(grey: np.ndarray, preprocessing: Preprocessing) -> Tensor:
    image, side = torch.from_numpy(np.ascontiguousarray(grey, dtype=np.float32))[None], preprocessing.size
    return image if image.shape[-2:] == (side, side) else resize_image(image, side, antialias=preprocessing.antialias)


def _probability(logits: Tensor, shape: tuple[int, int]) -> np.ndarray:
    logits = logits if logits.shape[-2:] == shape else resize_image(logits, shape)
    return infection_probability(logits)[0].cpu().numpy()
