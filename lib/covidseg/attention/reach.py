"""How far a network looks: the field that moves one pixel of its answer, and the places that its answer rests on."""

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.attention.cam import predicted_region
from covidseg.attention.maps import input_gradient
from covidseg.errors import UserError
from covidseg.nn.layers import main_output

__all__ = ["effective_receptive_field", "occlusion", "reach"]


def effective_receptive_field(model: nn.Module, inputs: Tensor, *, channel: int | None = None) -> np.ndarray:
    """How much each input pixel moves the logit in the middle, averaged over inputs: float32 (H, W), largest value 1.

    inputs : (N, C, H, W), normalised; channel : the class, by default infection: 1, or 0 of logits with one channel
    A field that is 0 everywhere stays so. Source: Luo et al., NeurIPS 2016, section 2, with real inputs for random.
    Raises UserError for volumes; `input_gradient` answers for one.
    """
    if inputs.ndim != 4:
        raise UserError(f"effective_receptive_field wants slices (N, C, H, W); got shape {tuple(inputs.shape)}.")
    channel = _infection(model, inputs[:1]) if channel is None else channel
    middle = inputs.shape[2] // 2, inputs.shape[3] // 2
    field = np.mean([input_gradient(model, x[None], *middle, channel) for x in inputs], axis=0)
    return field / field.max() if field.max() > 0 else field


def reach(field: np.ndarray, share: float = 0.5) -> float:
    """Half the side, in pixels, of the smallest square around the middle that holds ``share`` of a field's sum.

    field : (H, W), not negative, not all 0; of even sides the middle is the pixel right below it

    >>> spot = np.zeros((9, 9)); spot[4, 4] = spot[4, 7] = 1
    >>> reach(spot), reach(spot, 0.9)
    (0.5, 3.5)
    """
    rows, columns = (np.abs(np.arange(n) - n // 2) for n in field.shape)
    ring = np.maximum(rows[:, None], columns[None])  # 0 in the middle, 1 in the eight pixels around it
    held = np.cumsum(np.bincount(ring.ravel(), field.ravel())) / field.sum()
    return int(np.argmax(held >= share - 1e-9)) + 0.5


@torch.no_grad()
def occlusion(
    model: nn.Module,
    x: Tensor,
    *,
    side: int = 32,
    stride: int = 16,
    fill: float | None = None,
    region: np.ndarray | None = None,
    class_index: int | None = None,
    batch: int = 8,
) -> np.ndarray:
    """How far the score falls when a square of the slice is covered: float32 (rows, columns), one value per place.

    x : (1, C, H, W), normalised; side, stride : of the square and of its steps, in pixels of the input. The square of
        value [i, j] has its upper left corner at row i * stride, column j * stride, and lies in the slice whole
    fill : what covers it; by default the mean of each channel, as plain as a square can be
    region : bool (H, W), the pixels whose logits are averaged to the score; by default where the network predicts the
        class, and the whole slice where it predicts none. class_index : by default infection, as for `grad_cam`
    Positive where the network needs what it sees there. Source: Zeiler and Fergus, ECCV 2014, section 4.2.
    Raises UserError for a volume, several slices, or a square that does not fit.
    """
    if x.ndim != 4 or len(x) != 1:
        raise UserError(f"occlusion wants one slice (1, C, H, W); got shape {tuple(x.shape)}.")
    H, W = x.shape[2:]
    if not 1 <= side <= min(H, W) or stride < 1:
        raise UserError(f"A square of side {side} at stride {stride} does not fit a slice of {H} x {W}: give less.")
    k = _infection(model, x) if class_index is None else class_index
    cover = x.mean((2, 3), keepdim=True) if fill is None else torch.full_like(x[:, :, :1, :1], fill)
    whole = _logits(model, x)
    wanted = predicted_region(whole, k) if region is None else torch.as_tensor(region, device=whole.device)[None] > 0
    wanted = wanted if wanted.any() else torch.ones_like(wanted)
    places = [(r, c) for r in range(0, H - side + 1, stride) for c in range(0, W - side + 1, stride)]
    scores: list[float] = []
    for first in range(0, len(places), batch):
        covered = x.repeat(len(places[first : first + batch]), 1, 1, 1)
        for one, (r, c) in zip(covered, places[first:], strict=False):
            one[:, r : r + side, c : c + side] = cover[0]
        scores += _logits(model, covered)[:, k][:, wanted[0]].mean(1).tolist()
    columns = (W - side) // stride + 1
    return (float(whole[0, k][wanted[0]].mean()) - np.array(scores, np.float32)).reshape(-1, columns)


def _infection(model: nn.Module, x: Tensor) -> int:
    with torch.no_grad():
        return min(1, _logits(model, x).shape[1] - 1)


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    """Of a network in eval mode; its mode is left as it was."""
    training = model.training
    try:
        return main_output(model.eval()(x)).float()
    finally:
        model.train(training)
