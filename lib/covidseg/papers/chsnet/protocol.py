"""What CHS-Net's tables print: accuracy, precision, specificity, recall, Dice and Jaccard of all pixels at once.

Its two last columns do not fit together. Of one foreground, Jaccard is Dice / (2 - Dice), so below Dice; every row of
Tables 2 to 5 has it above. Means over lesion and background are the one family of readings that can exceed Dice, and
the mean of the two Jaccard indices comes nearest (two rows exactly, ten of 17 within 0.03). Both stand side by side.
"""

from __future__ import annotations

from math import nan

from covidseg.errors import UserError
from covidseg.metrics import Scores
from covidseg.metrics.cases import describe, naming
from covidseg.metrics.overlap import Counts, count
from covidseg.metrics.scores import summarise
from covidseg.paper import Protocol

__all__ = ["PER_SLICE", "POOLED", "PROTOCOL", "chsnet", "of_counts", "part_of"]

POOLED = ("Acc", "Pre", "Spe", "Rec", "DC", "JI", "mean JI")
PER_SLICE = ("DC per slice", "JI per slice", "DC per infected slice", "JI per infected slice")


def chsnet(preds, targets, ids, spacing=None):
    """The evaluation of CHS-Net (Punn and Agarwal, 2020), whose code is not public: our reading, see the file's top.

    - ``pooled``, one table of all pixels of the set: Acc = (TP + TN) / all, Pre, Spe, Rec, DC = 2TP / (2TP + FP + FN);
      "JI" = TP / (TP + FP + FN) of the foreground, and "mean JI", its mean with TN / (TN + FP + FN). Where a divisor
      is 0 (no foreground drawn, or none predicted), the score is undefined.
    - per slice: Dice (2 TP + 1) / (P + G + 1) and Jaccard (TP + 1) / (union + 1), so a slice without foreground that is
      left alone scores 1; their mean over all slices, and over those with foreground in the truth alone.
    """
    if spacing is not None:
        raise UserError("the chsnet protocol measures no distance: leave spacing out, or use protocol='clean'.")
    counted = {}
    for name, pred, target in zip(ids, preds, targets, strict=True):
        with naming(name):
            counted[name] = count(pred, target)
    return of_counts(counted, describe(preds))


def of_counts(counted: dict[str, Counts], what: str) -> Scores:
    """Scores of slices whose pixels are counted. counted : by case; what : the cases in words."""
    rows = [{"case": name, **_slice(counts), **vars(counts)} for name, counts in counted.items()]
    rules = (
        f"All pixels in one table ({what}; the paper: 256 x 256), foreground against the rest. JI: of the foreground; "
        "mean JI: its mean with the background's. Without a divisor undefined. Per slice: one pixel is added above and "
        "below, so both empty scores 1."
    )
    return summarise("chsnet", rules, rows, PER_SLICE, _pooled(sum(counted.values(), Counts(0, 0, 0, 0))))


def part_of(scores: Scores, keep) -> Scores:
    """The scores of some of the cases. keep : case id -> bool; raises UserError if it keeps none."""
    kept = {
        row["case"]: Counts(*(row[k] for k in ("tp", "fp", "fn", "tn"))) for row in scores.cases if keep(row["case"])
    }
    if not kept:
        raise UserError("There is no case to score: none of them is kept.")
    return of_counts(kept, f"{len(kept)} of {len(scores.cases)} slices")


def _pooled(c: Counts) -> dict[str, float]:
    wrong, pixels = c.fp + c.fn, c.tp + c.fp + c.fn + c.tn
    background = c.tn / (c.tn + wrong) if c.tn + wrong else nan
    values = (
        (c.tp + c.tn) / pixels if pixels else nan,
        *(c.precision, c.specificity, c.sensitivity, c.dice, c.iou),
        (c.iou + background) / 2,
    )
    return dict(zip(POOLED, values, strict=True))


def _slice(c: Counts) -> dict[str, float]:
    both = (2 * c.tp + 1) / (c.predicted + c.true + 1), (c.tp + 1) / (c.tp + c.fp + c.fn + 1)
    return dict(zip(PER_SLICE, (*both, *(both if c.true else (nan, nan))), strict=True))


PROTOCOL = Protocol(name="chsnet", score=chsnet, at_trained_size=True)
