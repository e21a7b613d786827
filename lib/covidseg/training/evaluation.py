"""Scoring a network on a set of cases: at the size of its input, or on each case's own pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.data.case import Case
from covidseg.data.transforms import Preprocessing, resize_image, resize_mask
from covidseg.device import choose_device
from covidseg.errors import UserError
from covidseg.inference import predict, prepare
from covidseg.metrics import Scores, find_protocol, segmentation_scores
from covidseg.nn.layers import input_channels, main_output
from covidseg.progress import progress
from covidseg.training.batches import SliceCache, slices_of
from covidseg.training.parts import Loss

__all__ = ["evaluate", "validate"]


def evaluate(
    model: nn.Module,
    dataset: Sequence[Case],
    preprocessing: Preprocessing | None = None,
    protocol: str = "clean",
    *,
    size: int | None = None,
    device: str | torch.device | None = None,
    **options: Any,
) -> Scores:
    """Predict every case of a set and score the infection; one row per case in the answer.

    preprocessing : by default ``model.preprocessing``
    protocol : "clean", or a paper's (`covidseg.metrics.list_protocols`); options are the protocol's
    size : None scores on each case's own grid, volumes whole, distances in mm where the spacing is known; a number
        scores slices at size x size, distances in pixels, truth resized by nearest neighbour. A paper's protocol may
        take the size of the preprocessing by default, or bring a soft map to the label's own size (`Protocol`).
    device : where to run; by default where the model is. The model is left in eval mode
    Raises UserError for an unknown protocol or device and for an empty set.
    """
    preprocessing = preprocessing or getattr(model, "preprocessing", None) or Preprocessing()
    rules = find_protocol(protocol)
    if rules.at_trained_size and size is None:
        size = preprocessing.size
    if not len(dataset):
        raise UserError("There is no case to score: the set is empty.")
    if size is None and not rules.brings_home:
        return _native(model, dataset, preprocessing, protocol, device, options)
    side = preprocessing.size if size is None else size
    names, preds, truths = [], [], []
    for case in progress(slices_of(dataset), "Scoring"):
        names.append(case.id)
        truth = torch.from_numpy(case.infection.astype(np.uint8))
        if not rules.brings_home:
            preds.append(_mask_at(model, case, preprocessing, side, device))
        else:
            p = _probability(model, case, preprocessing, size or preprocessing.size, device)
            preds.append(p if size else rules.brings_home(p, case.image.shape))
        truths.append((truth if size is None else resize_mask(truth, size)).numpy())
    if not names:
        raise UserError("There is no slice to score: the volumes of the set hold no infection.")
    return segmentation_scores(preds, truths, protocol, ids=names, per="slice", **options)


def _native(
    model: nn.Module,
    dataset: Sequence[Case],
    preprocessing: Preprocessing,
    protocol: str,
    device: str | torch.device | None,
    options: dict[str, Any],
) -> Scores:
    names, preds, truths, spacings = [], [], [], []
    for case in progress(dataset, "Scoring"):
        settings = dict(spacing=case.spacing, device=device, optimize=False)  # scores are kept to the last digit
        mask = predict(model, case.image, preprocessing, case.intensity, **settings)
        names.append(case.id)
        preds.append(_infection(mask))
        truths.append(case.infection.astype(np.uint8))
        spacings.append(case.spacing)
    known = all(np.isfinite(spacing).all() for spacing in spacings)
    per = "slice" if truths[0].ndim == 2 else "volume"
    return segmentation_scores(
        preds, truths, protocol, spacing=spacings if known else None, ids=names, per=per, **options
    )


def _mask_at(
    model: nn.Module, case: Case, preprocessing: Preprocessing, size: int, device: str | torch.device | None
) -> np.ndarray:
    logits = _logits_at(model, case, preprocessing, size, device)
    return _infection(classes_of(logits)[0].cpu().numpy())


def _probability(
    model: nn.Module, case: Case, preprocessing: Preprocessing, size: int, device: str | torch.device | None
) -> np.ndarray:
    """Probability of infection, float32 (size, size)."""
    return infection_probability(_logits_at(model, case, preprocessing, size, device))[0].cpu().numpy()


def _logits_at(
    model: nn.Module, case: Case, preprocessing: Preprocessing, size: int, device: str | torch.device | None
) -> Tensor:
    place = next(model.parameters()).device if device is None else choose_device(device)
    x = prepare(case.image[None], preprocessing, case.intensity)[:, : input_channels(model)].to(place)
    logits = forward(model.to(place), x)
    return logits if logits.shape[-2:] == (size, size) else resize_image(logits, size)


# ------------------------------------------------------------------------------- inside the training


def validate(
    model: nn.Module, cache: SliceCache, normalise: Callable[[Tensor], Tensor], loss: Loss, size: int, batch: int
) -> dict[str, float]:
    """Loss, mIoU (pooled over all pixels, background included) and mean Dice of the slices of a cache, at ``size``.

    Code: after every epoch, at 512 px, with the training loss. model : already on the device; left in eval mode
    """
    preds: list[np.ndarray] = []
    truths: list[np.ndarray] = []
    losses: list[float] = []
    for first in range(0, len(cache), batch):
        pairs = [cache.pair(i, size) for i in range(first, min(first + batch, len(cache)))]
        x = normalise(torch.stack([grey for grey, _ in pairs]))
        target = torch.stack([mask for _, mask in pairs]).long()
        logits = forward(model, x)
        losses += [float(loss(logits, target))] * len(pairs)
        preds += [_infection(mask) for mask in classes_of(logits).cpu().numpy()]
        truths += [_infection(mask) for mask in target.cpu().numpy()]
    scores = segmentation_scores(preds, truths, "clean", per="slice", distances=False)
    return {"val_loss": float(np.mean(losses)), "val_miou": scores["mIoU"], "val_dice": scores.means["dice"]}


def forward(model: nn.Module, x: Tensor) -> Tensor:
    """Main logits of a network in eval mode, without gradients, in float32."""
    model.eval()
    with torch.inference_mode():
        return main_output(model(x)).float()


def infection_probability(logits: Tensor) -> Tensor:
    """(B, K, H, W) -> probability of infection (B, H, W): the sigmoid, or the share of classes 1 and 2."""
    return (logits.sigmoid()[:, 0] if logits.shape[1] == 1 else logits.softmax(1)[:, 1:3].sum(1)).clamp(0, 1)


def classes_of(logits: Tensor) -> Tensor:
    """(B, K, H, W) -> class numbers (B, H, W): the largest logit, or for K = 1 whether it is above 0."""
    return (logits[:, 0] > 0).to(torch.uint8) if logits.shape[1] == 1 else logits.argmax(1)


def _infection(mask: np.ndarray) -> np.ndarray:
    """Classes 1 (GGO, or any infection) and 2 (consolidation)."""
    return ((mask == 1) | (mask == 2)).astype(np.uint8)
