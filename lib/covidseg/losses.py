"""Losses on logits: the published ones, and those they are compared with.

Every loss is a function (logits, target, ...) -> scalar tensor, so any of them fits `deep_supervision`; fix
its options with functools.partial. Shapes: logits (B, K, H, W[, D]), target (B, H, W[, D]) class numbers.
K >= 2 is a softmax with the background in channel 0; K = 1 is one sigmoid channel for class 1. Pixels
labelled ``ignore_index`` (255) take no part. Wrong shapes or labels raise UserError.
"""

import torch
from torch import nn

from covidseg.errors import UserError, unknown_name

IGNORE = 255


def cross_entropy(logits, target, weight=None, ignore_index=IGNORE):
    """Cross-entropy, class-weighted: sum of -w_y log p_y over sum of w_y.

    weight : one weight per class (`log_class_weights`) or None. The mean divides by the weights of the
        pixels seen, so a rare class's weight changes its share of the loss, not the loss's size.
    With K = 1 it is the binary cross-entropy. NaN if every pixel is ignored.
    """
    logits, target = _prepare(logits, target, ignore_index)
    return nn.functional.cross_entropy(logits, target, _per_class(weight, logits), ignore_index=ignore_index)


def log_class_weights(fractions):
    """w_c = 1 / ln(1.10 + p_c) from the pixel fractions p_c of the training fold: rare classes weigh more.

    fractions : K numbers that add up to 1, over all training pixels at native resolution
    Returns float32 tensor (K,). The form is that of Paszke et al. (2016), there with 1.02.

    >>> log_class_weights([0.9, 0.1])  # 1 / ln 2.0 and 1 / ln 1.2
    tensor([1.4427, 5.4848])
    """
    fractions = torch.as_tensor(fractions, dtype=torch.float64)
    if fractions.ndim != 1 or (fractions < 0).any() or abs(fractions.sum() - 1) > 1e-4:
        raise UserError(f"class fractions {fractions.tolist()} must be one per class, not negative, and add up to 1.")
    return (1 / torch.log(1.10 + fractions)).float()


def deep_supervision(outputs, target, loss=cross_entropy, weights=(1.0, 0.4, 0.4, 0.4)):
    """Weighted sum of a loss over the main output and the auxiliary ones (the first weight is the main one's).

    outputs : (logits, [aux2, aux3, ...]) as a model in train() returns them, all at the target's size; or
        logits alone (a model in eval(), or built without auxiliary heads): then weights[0] * loss
    loss : function (logits, target) -> scalar
    """
    main, aux = (outputs, []) if torch.is_tensor(outputs) else outputs
    if len(aux) >= len(weights):
        raise UserError(f"the model has {1 + len(aux)} outputs, but there are {len(weights)} deep-supervision weights.")
    return sum(w * loss(logits, target) for w, logits in zip(weights, [main, *aux], strict=False))


def soft_dice(logits, target, *, smooth=1.0, squared=False, reduce="case", ignore_index=IGNORE):
    """1 - soft Dice, (2 sum pg + s) / (sum p + sum g + s), mean over cases and foreground classes.

    smooth : s > 0; two empty masks then score Dice 1, and the smaller s, the dearer a false alarm there
    squared : p^2 and g^2 in the denominator (Milletari et al. 2016; Punn and Agarwal Eq. 14)
    reduce : "case" sums over the pixels of one image, "batch" over the whole batch (patches may hold no lesion)
    """
    p, g = _foreground(logits, target, reduce, ignore_index)
    size = (p**2 + g**2 if squared else p + g).sum(-1)
    return 1 - ((2 * (p * g).sum(-1) + smooth) / (size + smooth)).mean()


def tversky(logits, target, *, alpha=0.3, beta=0.7, smooth=1.0, reduce="case", ignore_index=IGNORE):
    """1 - TP / (TP + alpha FP + beta FN), softly counted; beta > alpha makes a miss dearer than a false alarm.

    alpha = beta = 0.5 is `soft_dice` (with half its smooth). Source: Salehi et al., MLMI 2017.
    """
    p, g = _foreground(logits, target, reduce, ignore_index)
    tp, fp, fn = (p * g).sum(-1), (p * (1 - g)).sum(-1), ((1 - p) * g).sum(-1)
    return 1 - ((tp + smooth) / (tp + alpha * fp + beta * fn + smooth)).mean()


def bce_dice(logits, target, *, dice_weight=0.5, ignore_index=IGNORE, **dice_options):
    """(1 - w) * cross-entropy + w * `soft_dice`: pixels one by one, and the region as a whole.

    dice_weight : w; 0.5 in Punn and Agarwal (2020, Eq. 15, with squared=True)
    """
    pixels = cross_entropy(logits, target, ignore_index=ignore_index)
    region = soft_dice(logits, target, ignore_index=ignore_index, **dice_options)
    return (1 - dice_weight) * pixels + dice_weight * region


def focal(logits, target, *, gamma=2.0, alpha=None, ignore_index=IGNORE):
    """Mean of -alpha_y (1 - p_y)^gamma log p_y: pixels already right weigh little.

    alpha : one weight per class (background first) or None; gamma = 0 without alpha is the cross-entropy
    Source: Lin et al., ICCV 2017, Eq. 5 (they divide by the number of objects, we by the pixels).
    """
    logits, target = _prepare(logits, target, ignore_index)
    surprise = nn.functional.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")  # -log p_y
    seen = target != ignore_index
    value = (1 - torch.exp(-surprise)) ** gamma * surprise
    if alpha is not None:
        value = value * _per_class(alpha, logits)[target.where(seen, 0)]
    return value[seen].mean()


def _foreground(logits, target, reduce, ignore_index):
    """Probabilities p and one-hot truth g of the foreground classes: (B, K-1, pixels), or (K-1, pixels)."""
    logits, target = _prepare(logits, target, ignore_index)
    seen = (target != ignore_index).unsqueeze(1)  # B, 1, H, W
    p = logits.softmax(1)[:, 1:] * seen
    g = nn.functional.one_hot(target.where(seen[:, 0], 0), logits.shape[1]).movedim(-1, 1)[:, 1:].to(p.dtype)
    if reduce == "case":
        return p.flatten(2), g.flatten(2)
    if reduce == "batch":
        return p.transpose(0, 1).flatten(1), g.transpose(0, 1).flatten(1)
    raise unknown_name("reduction", reduce, ["case", "batch"])


def _prepare(logits, target, ignore_index):
    """Checked logits with a channel for every class, and the target as int64."""
    if target.is_floating_point():
        raise UserError(f"target holds {target.dtype}, not class numbers: give whole numbers (uint8, int64) or bool.")
    if logits.ndim < 3 or target.shape != logits.shape[:1] + logits.shape[2:]:
        raise UserError(
            f"target {tuple(target.shape)} does not fit logits {tuple(logits.shape)}: "
            f"expected {tuple(logits.shape[:1] + logits.shape[2:])}, one class number per pixel."
        )
    if logits.shape[1] == 1:  # a sigmoid is the softmax of (0, z)
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    target = target.long()
    top = int(target.max())
    if top >= logits.shape[1]:  # rarely: only then is it worth leaving the ignored pixels out
        top = int(target.where(target != ignore_index, 0).max())
    if top >= logits.shape[1]:
        raise UserError(f"target holds class {top}, but the logits have classes 0 to {logits.shape[1] - 1}.")
    return logits, target


def _per_class(weight, logits):
    if weight is None:
        return None
    weight = torch.as_tensor(weight, dtype=logits.dtype, device=logits.device)
    if weight.shape != logits.shape[1:2]:
        raise UserError(f"class weights {tuple(weight.shape)} for {logits.shape[1]} classes: give one for each.")
    return weight
