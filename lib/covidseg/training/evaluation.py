"""Scoring a network on a set of cases: at the authors' 512 px, or on each case's own pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from covidseg.data.case import Case
from covidseg.data.transforms import Preprocessing, resize_image, resize_mask
from covidseg.errors import UserError
from covidseg.inference import choose_device, predict, prepare
from covidseg.metrics import Scores, segmentation_scores
from covidseg.progress import progress
from covidseg.training.batches import SliceCache, slices_of

__all__ = ["evaluate", "input_channels", "validate"]


def evaluate(
    model: nn.Module,
    dataset: Sequence[Case],
    preprocessing: Preprocessing | None = None,
    protocol: str = "clean",
    *,
    size: int | None = None,
    device=None,
    **options,
) -> Scores:
    """Predict every case of a set and score the infection; one row per case in the answer.

    preprocessing : by default ``model.preprocessing``
    protocol : "clean", "miniseg" or "infnet" (see `covidseg.metrics`); options are the protocol's
    size : None scores on each case's own grid, volumes whole, distances in mm where the spacing is known; a number
        scores slices at size x size, distances in pixels, truth resized by nearest neighbour. By default "clean"
        is native; "miniseg" uses the size of the preprocessing (512), as its authors do; "infnet" predicts at that size
        and brings the map, as 8-bit greys, to the label's own size, as its authors' tool does.
    device : where to run; by default where the model is. The model is left in eval mode
    Raises UserError for an unknown protocol or device and for an empty set.
    """
    preprocessing = preprocessing or getattr(model, "preprocessing", None) or Preprocessing()
    if protocol == "miniseg" and size is None:
        size = preprocessing.size
    if not len(dataset):
        raise UserError("There is no case to score: the set is empty.")
    if size is None and protocol != "infnet":
        return _native(model, dataset, preprocessing, protocol, device, options)
    names, preds, truths = [], [], []
    for case in progress(slices_of(dataset), "Scoring"):
        names.append(case.id)
        truth = torch.from_numpy(case.infection.astype(np.uint8))
        if protocol != "infnet":
            preds.append(_mask_at(model, case, preprocessing, size, device))
        elif size is None:
            preds.append(_saved_map(model, case, preprocessing, device))
        else:
            preds.append(_probability(model, case, preprocessing, size, device))
        truths.append((truth if size is None else resize_mask(truth, size)).numpy())
    if not names:
        raise UserError("There is no slice to score: the volumes of the set hold no infection.")
    return segmentation_scores(preds, truths, protocol, ids=names, per="slice", **options)


def _native(model, dataset, preprocessing, protocol, device, options) -> Scores:
    names, preds, truths, spacings = [], [], [], []
    for case in progress(dataset, "Scoring"):
        mask = predict(model, case.image, preprocessing, case.intensity, device=device)
        names.append(case.id)
        preds.append(_infection(mask))
        truths.append(case.infection.astype(np.uint8))
        spacings.append(case.spacing)
    known = all(np.isfinite(spacing).all() for spacing in spacings)
    per = "slice" if truths[0].ndim == 2 else "volume"
    return segmentation_scores(
        preds, truths, protocol, spacing=spacings if known else None, ids=names, per=per, **options
    )


def _mask_at(model, case, preprocessing, size, device) -> np.ndarray:
    logits = _logits_at(model, case, preprocessing, size, device)
    return _infection(classes_of(logits)[0].cpu().numpy())


def _probability(model, case, preprocessing, size, device) -> np.ndarray:
    """Probability of infection, float32 (size, size)."""
    logits = _logits_at(model, case, preprocessing, size, device)
    p = logits.sigmoid()[0, 0] if logits.shape[1] == 1 else logits.softmax(1)[0, 1:3].sum(0)
    return p.cpu().numpy().clip(0, 1)


def _saved_map(model, case, preprocessing, device) -> np.ndarray:
    """The map as Inf-Net's script saves it, stretched to 0..1 in 255 steps, at the case's own size: float64 (H, W).

    Their tool resizes the saved picture to the label by MATLAB's bicubic, smoothing where it shrinks.
    """
    p = _probability(model, case, preprocessing, preprocessing.size, device).astype(float)
    p = (p - p.min()) / np.ptp(p) if np.ptp(p) > 0 else p
    grey = torch.from_numpy(np.round(p * 255))[None, None]
    if grey.shape[-2:] != case.image.shape:
        grey = interpolate(grey, size=case.image.shape, mode="bicubic", align_corners=False, antialias=True)
    return grey[0, 0].round().clamp(0, 255).numpy() / 255


def _logits_at(model, case, preprocessing, size, device) -> Tensor:
    place = next(model.parameters()).device if device is None else choose_device(device)
    x = prepare(case.image[None], preprocessing, case.intensity)[:, : input_channels(model)].to(place)
    logits = forward(model.to(place), x)
    return logits if logits.shape[-2:] == (size, size) else resize_image(logits, size)


# ------------------------------------------------------------------------------- inside the training


def validate(model: nn.Module, cache: SliceCache, normalise, loss, size: int, batch: int) -> dict[str, float]:
    """Loss, mIoU (pooled over all pixels, background included) and mean Dice of the slices of a cache, at ``size``.

    Code: after every epoch, at 512 px, with the training loss. model : already on the device; left in eval mode
    """
    preds, truths, losses = [], [], []
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
        out = model(x)
    return (out[0] if isinstance(out, tuple | list) else out).float()


def classes_of(logits: Tensor) -> Tensor:
    """(B, K, H, W) -> class numbers (B, H, W): the largest logit, or for K = 1 whether it is above 0."""
    return (logits[:, 0] > 0).to(torch.uint8) if logits.shape[1] == 1 else logits.argmax(1)


def _infection(mask: np.ndarray) -> np.ndarray:
    """Classes 1 (GGO, or any infection) and 2 (consolidation)."""
    return ((mask == 1) | (mask == 2)).astype(np.uint8)


def input_channels(model: nn.Module) -> int:
    """Channels the first convolution takes: 3, or 1."""
    return next((p.shape[1] for p in model.parameters() if p.ndim >= 4), 3)
