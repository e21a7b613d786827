"""Grad-CAM and Grad-CAM++ for segmentation: where a map of any network speaks for a class, as one picture.

Both weigh the channels A^k of a map by what they do to a score S, and keep what speaks for it, with g = dS/dA^k:

    L = relu(sum_k w_k A^k)
    Grad-CAM     w_k = mean_ij g_ij                                   Selvaraju et al., ICCV 2017, Eqns 1 and 2
    Grad-CAM++   w_k = sum_ij alpha_ij relu(g_ij)                     Chattopadhay et al., WACV 2018, Eqn 5
                 alpha_ij = g_ij^2 / (2 g_ij^2 + g_ij^3 sum_ab A_ab)  the same, Eqn 19

S is the logit of a class, summed over a region of pixels: Seg-Grad-CAM (Vinogradova et al., AAAI 2020, arXiv
2002.11434), which we take for Grad-CAM++ as well. Grad-CAM++ (arXiv 1710.11063) has second and third derivatives of
the class score Y in alpha (Eqn 10). We use Eqn 19, which follows from it for Y = exp(S) where S is piecewise linear in
A: the derivatives are then exp(S) g^2 and exp(S) g^3. The factor exp(S) that is left in w_k is the same for all
channels, and goes when L is divided by its maximum.

Ours: the sum in alpha takes |A|. Behind a ReLU, as in the paper, nothing changes. In other maps sums are negative too:
the printed denominator then passes through zero, and cut off at 2 it lets the channels that speak against the class
outweigh all others. With |A| alpha stays within 0..1/2, and the scale of a channel does not matter.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.attention.maps import find_map
from covidseg.errors import UserError
from covidseg.nn.layers import main_output

__all__ = ["NoGradient", "grad_cam", "predicted_region"]


class NoGradient(UserError):
    """A map that does not lead to the answer, or whose part of the network runs without gradients."""


def grad_cam(
    model: nn.Module,
    x: Tensor,
    name: str,
    *,
    class_index: int | None = None,
    region: np.ndarray | Tensor | None = None,
    plus_plus: bool = True,
) -> np.ndarray:
    """Where the map ``name`` speaks for a class: Grad-CAM++, or Grad-CAM with ``plus_plus=False``.

    x : (B, in_channels, H, W), or (B, in_channels, H, W, D) for a 3-D network, normalised as the network wants it.
    name : one of `map_names`, a map on the way from input to answer, such as E_4 or D_1; (B, C, h, w) or (.., d).
    class_index : channel of the logits; by default infection: 1, or 0 where the logits have one channel (sigmoid).
    region : bool (H, W) or (B, H, W), in 3-D with D: pixels whose logits are summed. By default where the network
        predicts the class (`predicted_region`), and the whole slice or volume of a case where it predicts none.
    Returns float32 (B, h, w) or (B, h, w, d), 0..1: each case is divided by its maximum; what is 0 everywhere (nothing
    speaks for the class, or the region is empty) stays 0.

    Runs in eval mode, also under ``torch.no_grad`` and with frozen weights; mode and weights' gradients are left as
    they were. Raises UnknownName for a name the network does not have; NoGradient for a map that no gradient reaches;
    UserError for one that is no (B, C, h, w), a class or region that does not fit, and values that are not finite.
    """
    module, index = find_map(model, name)
    _refuse_not_finite(x, "The input")
    with torch.inference_mode(False), torch.enable_grad(), _watched(model, module, index) as kept:
        logits = main_output(model(x.detach().clone().requires_grad_())).float()  # B, K, H, W
        _refuse_not_finite(logits, "The answer of the network")
        A = kept[-1] if kept else None  # B, C, h, w
        k = _class(logits, class_index)
        score = logits[:, k].where(_region(logits, k, region), 0).sum()  # each case moves its own pixels only
        A, g = _gradient(score, A, name)
    if A.ndim != x.ndim:
        raise UserError(f"Map {name!r} has shape {tuple(A.shape)}: Grad-CAM wants channels that are pictures.")
    A, g = A.detach().float(), g.float()
    w = _plus_plus(A, g) if plus_plus else _means(g)  # B, C, 1, 1
    L = (w * A).sum(1).relu()  # B, h, w
    largest = L.flatten(1).amax(1).view(-1, *[1] * (L.ndim - 1))
    return (L / largest.where(largest > 0, 1)).cpu().numpy()


def predicted_region(logits: Tensor, class_index: int) -> Tensor:
    """Where a class is predicted: logits (B, K, H, W) or (.., D) -> bool (B, H, W) or (.., D).

    K = 1: where the logit is above 0; else where the logit of the class is the largest.
    """
    return logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1) == class_index


def _means(g: Tensor) -> Tensor:
    return g.flatten(2).mean(2).view(*g.shape[:2], *[1] * (g.ndim - 2))


def _plus_plus(A: Tensor, g: Tensor) -> Tensor:
    """w_k, (B, C, 1, 1): alpha of Eqn 19, with g^2 cancelled, since a small g has a square of 0 in float32."""
    sums = A.abs().flatten(2).sum(2).view(*g.shape[:2], *[1] * (g.ndim - 2))
    g = g.relu()  # alpha counts where g > 0 only
    return (g / (2 + g * sums)).flatten(2).sum(2).view_as(sums)


@contextmanager
def _watched(model: nn.Module, module: nn.Module, index: int | None) -> Iterator[list[Tensor]]:
    """eval(), with the outputs of a module kept as they leave it; then every part is as it was."""
    kept: list[Tensor] = []

    def hook(_module, _inputs, output):
        value = output if index is None else output[index]
        if value is None:  # a part that this build was made without
            return None
        kept.append(value)
        copy = value.clone()  # what comes next may write into it
        if index is None:
            return copy
        return type(output)([*output[:index], copy, *output[index + 1 :]])

    training = [part for part in model.modules() if part.training]
    handle = module.register_forward_hook(hook)
    model.eval()
    try:
        yield kept
    finally:
        handle.remove()
        for part in training:
            part.training = True


def _gradient(score: Tensor, A: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    if A is not None and A.requires_grad and score.requires_grad:
        (g,) = torch.autograd.grad(score, A, allow_unused=True)
        if g is not None:
            return A, g
    raise NoGradient(
        f"No gradient of the answer reaches map {name!r}: its part of the network runs without gradients, or the "
        "answer does not follow from it. Choose a map on the way from the input to the answer."
    )


def _class(logits: Tensor, class_index: int | None) -> int:
    classes = logits.shape[1]
    k = min(1, classes - 1) if class_index is None else class_index
    if k not in range(classes):
        raise UserError(f"class_index is {class_index!r}; the logits have the classes 0 to {classes - 1}.")
    return k


def _region(logits: Tensor, k: int, region: np.ndarray | Tensor | None) -> Tensor:
    """bool (B, H, W): the pixels whose logits are summed."""
    size = logits.shape[2:]
    if region is None:
        found = predicted_region(logits, k)
        return found | ~found.flatten(1).any(1).view(-1, *[1] * len(size))
    given = torch.as_tensor(region, device=logits.device) > 0
    if given.shape not in (size, (len(logits), *size)):
        raise UserError(f"region has shape {tuple(given.shape)}; these logits want {tuple(size)}, or one per case.")
    return given.expand(len(logits), *size)


def _refuse_not_finite(values: Tensor, what: str) -> None:
    if not torch.isfinite(values).all():
        raise UserError(f"{what} holds values that are not numbers (NaN or infinite); repair it first.")
