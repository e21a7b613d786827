"""Inf-Net's losses on soft masks (Fan et al., TMI 2020, Eqn 4): weighted BCE, weighted IoU, and the BCE of the edge.

logits (B, 1, H, W), or (B, 2, H, W) of which the difference counts; target (B, 1, H, W) or (B, H, W), the share of
lesion in each pixel, 0..1; class numbers and bool will do. Every loss is the mean over images, a scalar. Wrong shapes
or values raise UserError. Nothing is left out: a slice without lesion is a slice to learn from.
"""

from functools import partial

import torch
from torch import nn

from covidseg.errors import UserError, unknown_name

WINDOW = 31  # pixels: a border pixel weighs more than one deep inside or far outside
BCES = ("weighted", "plain")


def boundary_weight(G):
    """w = 1 + 5 |mean of G over 31 x 31 - G|: near the lesion's border up to 6 (code; from F3Net, AAAI 2020).

    G : (B, 1, H, W), soft mask. The padding counts as background, so lesion at the rim weighs more too.
    """
    reach = WINDOW // 2
    rows = nn.functional.avg_pool2d(G, (1, WINDOW), stride=1, padding=(0, reach))  # a mean of means: 62 terms, not 961
    around = nn.functional.avg_pool2d(rows, (WINDOW, 1), stride=1, padding=(reach, 0))
    return 1 + 5 * (around - G).abs()


def weighted_bce(logits, target):
    """Binary cross-entropy with every pixel weighed by `boundary_weight`: sum(w bce) / sum(w) per image (paper)."""
    z, G = _pair(logits, target)
    return _weighted_bce(z, G, boundary_weight(G))


def plain_bce(logits, target):
    """Mean binary cross-entropy. It is what the published loss computes, although it multiplies by the weights.

    Code: the BCE is asked for with ``reduce="none"``, where any text means "yes, average". What is then weighed is one
    number, and sum(w * number) / sum(w) is that number.
    """
    return nn.functional.binary_cross_entropy_with_logits(*_pair(logits, target))


def weighted_iou(logits, target):
    """1 - (I + 1) / (U - I + 1) per image, with I = sum(w p G), U = sum(w (p + G)), p = sigmoid(logits)."""
    z, G = _pair(logits, target)
    return _weighted_iou(z, G, boundary_weight(G))


def structure_loss(logits, target, bce="weighted"):
    """L_seg = L_IoU + L_BCE (Eqn 4, lambda = 1): the region as a whole, and pixels one by one.

    logits : one map, or a list of maps whose losses add up: they share the target's weights
    bce : "weighted" as the paper has it, "plain" as the published code computes it
    """
    if bce not in BCES:
        raise unknown_name("form of the BCE", bce, BCES)
    maps = [logits] if torch.is_tensor(logits) else list(logits)
    _, G = _pair(maps[0], target)
    w = boundary_weight(G)
    pixels = partial(_weighted_bce, w=w) if bce == "weighted" else nn.functional.binary_cross_entropy_with_logits
    return sum(_weighted_iou(z, G, w) + pixels(z, G) for z in (_infection_logit(z, G) for z in maps))


def edge_bce(logits, edge):
    """L_edge of Eqn 1: mean binary cross-entropy (code; the text sums over the pixels)."""
    return plain_bce(logits, edge)


def _pair(logits, target):
    """Logits and target both as float (B, 1, H, W). Raises UserError for a target that is not within 0 to 1."""
    G = (target.unsqueeze(1) if target.ndim == 3 else target).to(logits.dtype)
    z = _infection_logit(logits, G)
    low, high = torch.aminmax(G)
    if not (low >= 0 and high <= 1):
        raise UserError(f"target holds {float(low):.3g} to {float(high):.3g}; a soft mask lies within 0 to 1.")
    return z, G


def _infection_logit(logits, G):
    """The one logit per pixel (B, 1, H, W) whose sigmoid is the probability of infection, checked against G's shape."""
    if logits.ndim != 4 or logits.shape[1] not in (1, 2):
        raise UserError(
            f"logits {tuple(logits.shape)} are no map of infection: Inf-Net's losses take (B, 1, H, W), or (B, 2, H, W)"
            " with the background first."
        )
    z = logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]  # softmax of two is sigmoid of the difference
    if G.shape != z.shape:
        raise UserError(
            f"target {tuple(G.shape)} does not fit logits {tuple(logits.shape)}: expected {tuple(z.shape)}, one share "
            "of lesion per pixel."
        )
    return z


def _weighted_bce(z, G, w):
    bce = nn.functional.binary_cross_entropy_with_logits(z, G, reduction="none")
    return ((w * bce).sum((1, 2, 3)) / w.sum((1, 2, 3))).mean()


def _weighted_iou(z, G, w):
    p = z.sigmoid()
    both, sizes = (w * p * G).sum((1, 2, 3)), (w * (p + G)).sum((1, 2, 3))
    return (1 - (both + 1) / (sizes - both + 1)).mean()
