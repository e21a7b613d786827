"""The evaluation of Inf-Net (Fan et al., TMI 2020): soft maps, 256 thresholds, S- and E-measure, MAE.

The authors' MATLAB tool comes from salient-object detection. It never fixes a threshold: every overlap measure is
the mean over 256 of them, from 1 down to 0, so a soft map scores less than the same map cut at 0.5.
"""

from math import floor, nan

import numpy as np
import torch
from torch.nn.functional import interpolate

from covidseg.errors import UserError, unknown_name
from covidseg.metrics.cases import describe, naming
from covidseg.metrics.masks import NotAMask, as_array, as_mask, same_shape
from covidseg.metrics.scores import summarise
from covidseg.paper import Protocol

EPS = np.finfo(float).eps  # MATLAB's eps
CURVES = ("Dice", "Sen", "Spec", "Prec", "E")
SCORES = ("Dice", "Sen", "Spec", "S", "E", "MAE", "Prec")


def infnet(preds, targets, ids, spacing=None, *, empty_truth="score"):
    """The published evaluation of Inf-Net, Tables II to V.

    preds : soft maps, floats 0..1 or 8-bit greys; each is stretched to fill 0..1, as the tool does (a constant one
        is not). targets : 0/1 masks, or 8-bit labels, where lesion is > 128.
    - Dice, Sen(sitivity), Spec(ificity), Prec(ision), E: per image the mean over 256 thresholds (foreground:
      map >= threshold), then mean over images. At a threshold without any hit the first four are 0, Spec too.
    - S (alpha = 0.5) and MAE: on the soft map. E: "mean E-measure" of the tables.
    - Without lesion in the label Dice, Sen, Spec and Prec are therefore 0, whatever is predicted;
      ``empty_truth="leave out"`` makes such images undefined, as Table III does for consolidation.
    - ``pooled``: "max Dice" and "max E", the best threshold's value of the set's mean curves. The counts tp, fp, fn,
      tn of a case are those at threshold 0.5.
    """
    if spacing is not None:
        raise UserError("the infnet protocol measures no distance: leave spacing out, or use protocol='clean'.")
    if empty_truth not in ("score", "leave out"):
        raise unknown_name("rule for empty_truth", empty_truth, ["score", "leave out"])
    rows, kept = [], []
    for name, pred, target in zip(ids, preds, targets, strict=True):
        with naming(name):
            p, G = _map(pred), _label(target)
            same_shape(p, G)
            curve, counts = curves(p, G)
            scores = {score: float(values.mean()) for score, values in curve.items()}
            scores |= {"S": s_measure(p, G), "MAE": float(np.abs(p - G).mean())}
        if empty_truth == "leave out" and not G.any():
            scores = dict.fromkeys(SCORES, nan)
        else:
            kept.append(curve)
        rows.append({"case": name, **{score: scores[score] for score in SCORES}, **counts})
    best = {f"max {name}": max(np.mean([c[name] for c in kept], axis=0), default=nan) for name in ("Dice", "E")}
    rules = (
        f"Per image ({describe(preds)}), mean over 256 thresholds for Dice, Sen, Spec, Prec and E, then mean over "
        "images; S and MAE on the soft map. No hit at a threshold: Dice, Sen, Spec, Prec 0. No lesion in the label: "
        + ("scored so too." if empty_truth == "score" else "left out, counted as undefined.")
        + " Max: best threshold of the mean curve. Maps stretched to 0..1."
    )
    return summarise("infnet", rules, rows, SCORES, {name: float(value) for name, value in best.items()})


def as_saved(p, shape):
    """A map (h, w) as the authors' script saves it and their tool reads it: float64 of ``shape``, in 255 steps.

    Saved, it is stretched to 0..1; read, it is resized to the label by MATLAB's bicubic, smoothing where it shrinks.
    """
    p = p.astype(float)
    p = (p - p.min()) / np.ptp(p) if np.ptp(p) > 0 else p
    grey = torch.from_numpy(np.round(p * 255))[None, None]
    if grey.shape[-2:] != shape:
        grey = interpolate(grey, size=shape, mode="bicubic", align_corners=False, antialias=True)
    return grey[0, 0].round().clamp(0, 255).numpy() / 255


def curves(p, G):
    """Dice, Sen, Spec, Prec and E at the 256 thresholds 1, 254/255, ..., 0, and the counts at threshold 0.5.

    p : map 0..1 (H, W); G : bool (H, W). Integer levels are compared, so that rounding moves no pixel.
    """
    level = np.floor(p * 255 + 1e-9).astype(int)
    # pixels at or above each threshold, from the strictest one on: lesion, and background
    tp, fp = (np.bincount(level[part], minlength=256)[::-1].cumsum().astype(float) for part in (G, ~G))
    fn, tn = G.sum() - tp, (~G).sum() - fp
    hit = tp > 0
    value = {
        "Dice": np.divide(2 * tp, 2 * tp + fp + fn, out=np.zeros(256), where=hit),
        "Sen": np.divide(tp, tp + fn, out=np.zeros(256), where=hit),
        "Spec": np.divide(tn, tn + fp, out=np.where(hit, nan, 0.0), where=hit & (tn + fp > 0)),
        "Prec": np.divide(tp, tp + fp, out=np.zeros(256), where=hit),
        "E": e_measure(tp, fp, fn, tn),
    }
    half = 255 - 128  # levels 128 and above
    return value, {
        name: int(count[half]) for name, count in zip(("tp", "fp", "fn", "tn"), (tp, fp, fn, tn), strict=True)
    }


def e_measure(tp, fp, fn, tn):
    """Enhanced-alignment measure of binary maps from their counts (Fan et al., IJCAI 2018).

    Every pixel has xi = 2ab / (a^2 + b^2), a and b its map and label values less their means, and counts
    (1 + xi)^2 / 4. Four kinds of pixel, four values. An empty label scores the share of background, a full one that
    of foreground. The tool divides by N - 1.
    """
    n = tp + fp + fn + tn
    share_map, share_label = (tp + fp) / n, (tp + fn) / n

    def aligned(in_map, in_label):
        a, b = in_map - share_map, in_label - share_label
        return (1 + 2 * a * b / (a * a + b * b + EPS)) ** 2 / 4

    total = tp * aligned(1, 1) + fp * aligned(1, 0) + fn * aligned(0, 1) + tn * aligned(0, 0)
    total = np.where(tp + fn == 0, tn, np.where(fp + tn == 0, tp, total))
    return total / (n - 1 + EPS)


def s_measure(p, G, alpha=0.5):
    """Structure measure alpha S_o + (1 - alpha) S_r, at least 0 (Fan et al., ICCV 2017): objects and four regions."""
    if not G.any():
        return float(1 - p.mean())
    if G.all():
        return float(p.mean())
    share = G.mean()
    S_o = share * _object(p[G]) + (1 - share) * _object(1 - p[~G])
    return max(0.0, float(alpha * S_o + (1 - alpha) * _regions(p, G)))


def _object(values):
    mean, sd = values.mean(), values.std(ddof=1) if values.size > 1 else 0.0
    return 2 * mean / (mean * mean + 1 + sd + EPS)


def _regions(p, G):
    """The four quadrants around the lesion's centroid, weighted by area."""
    row, column = (floor(places.mean() + 1 + 0.5) for places in np.nonzero(G))  # 1-based, halves up, as in MATLAB
    quadrants = [(r, c) for r in (slice(row), slice(row, None)) for c in (slice(column), slice(column, None))]
    return sum(G[q].size / G.size * _similarity(p[q], G[q].astype(float)) for q in quadrants if G[q].size)


def _similarity(p, g):
    """4 x y s_xy / ((x^2 + y^2)(s_x^2 + s_y^2)), means x, y and (co)variances over N - 1."""
    x, y, n = p.mean(), g.mean(), p.size - 1 + EPS
    s_xx, s_yy, s_xy = ((p - x) ** 2).sum() / n, ((g - y) ** 2).sum() / n, ((p - x) * (g - y)).sum() / n
    above, below = 4 * x * y * s_xy, (x * x + y * y) * (s_xx + s_yy)
    if above != 0:
        return above / (below + EPS)
    return 1.0 if below == 0 else 0.0


def _map(values):
    """As float in 0..1, stretched. Whole numbers are 8-bit greys, unless they are 0 and 1 alone: then a mask, as
    `predict` answers. Stretched, both readings of such a map are one; where all of it is 1, it is a full mask."""
    array = as_array(values, "pred")
    p = array.astype(float) / (255 if array.dtype.kind in "ui" and array.max() > 1 else 1)
    if p.min() < 0 or p.max() > 1:
        raise NotAMask(
            f"pred holds {array.min():.3g} to {array.max():.3g}; the infnet protocol takes maps 0..1 (the sigmoid of "
            "the logits) or 8-bit greys."
        )
    return (p - p.min()) / np.ptp(p) if np.ptp(p) > 0 else p


def _label(values):
    array = as_array(values, "target")
    if array.dtype.kind in "ui" and array.min() >= 0 and 10 < array.max() <= 255:
        return array > 128
    return as_mask(array, "target")


PROTOCOL = Protocol(name="infnet", score=infnet, brings_home=as_saved)
