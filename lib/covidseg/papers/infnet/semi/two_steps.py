"""Semi-Inf-Net: trained on pseudo labels first, on the doctors' slices last (Inf-Net, section III-D)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from covidseg.data.case import Case
from covidseg.nn.layers import input_channels
from covidseg.papers.infnet.feed import SoftSlice
from covidseg.papers.infnet.recipes import INFNET_RELEASED
from covidseg.papers.infnet.semi.hybrid import HybridBatches
from covidseg.training.batches import fit_preprocessing
from covidseg.training.history import History
from covidseg.training.loop import train
from covidseg.training.recipes import Recipe

__all__ = ["SemiHistories", "train_semi"]


class SemiHistories(NamedTuple):
    """What each of the two trainings left."""

    pseudo: History
    labelled: History


def train_semi(
    model: nn.Module,
    pseudo: Iterable[SoftSlice],
    labelled: Iterable[SoftSlice],
    scored: Sequence[Case] | None = None,
    *,
    first: Recipe = INFNET_RELEASED,
    second: Recipe = INFNET_RELEASED,
    seed: int = 0,
    out: str | Path | None = None,
    **options,
) -> SemiHistories:
    """Train ``model`` in place on pseudo labels by recipe ``first``, then on the doctors' slices by ``second``.

    model : with ImageNet's weights in its trunk, as Inf-Net starts; the network that made the labels is not used again
    pseudo : `load_pseudo_labels`, `authors_pseudo_labels` or any soft slices; labelled : the doctors', `soft_slices`
    scored : cases to score after every epoch of the second step
    first, second : the released recipe; the paper prints batch 24 for the first and 16 for the second, the code has 24
    out : folder with one run folder for each step; a killed run goes on in the step in which it was
    options : as for `covidseg.training.train`, for both steps (device, precision, validation, name, ...)
    """
    histories = []
    for number, (slices, recipe, held) in enumerate(((pseudo, first, None), (labelled, second, scored)), 1):
        batches = HybridBatches(slices, recipe, fit_preprocessing((), recipe), seed, input_channels(model))
        folder = Path(out) / f"step_{number}" if out else None
        histories.append(train(model, batches, held, recipe, seed=seed, out=folder, **options))
    return SemiHistories(*histories)
