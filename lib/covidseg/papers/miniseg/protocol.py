"""How MiniSeg's authors score: one confusion matrix for mIoU, the rest per image, distances in pixels of 512 x 512."""

from covidseg.errors import UserError, unknown_name
from covidseg.metrics.cases import describe, naming
from covidseg.metrics.masks import as_array, as_mask, same_shape
from covidseg.metrics.overlap import Counts, count, iou_per_class, mean_iou
from covidseg.metrics.protocols import matrix
from covidseg.metrics.scores import summarise
from covidseg.metrics.surface import hausdorff
from covidseg.paper import Protocol

__all__ = ["PROTOCOL", "miniseg"]


def miniseg(preds, targets, ids, spacing=None, *, empty_truth="raise", distances=True):
    """The published evaluation of MiniSeg (Qiu et al., AAAI 2021; test.py and evaluate.py), case by case.

    - Foreground: any non-zero pixel of the prediction; exactly 255 in an 8-bit label (1 in a 0/1 mask).
    - mIoU: one confusion matrix over all pixels of the fold, IoU_c = TP / (row + column - TP + 1e-8), mean of
      background and lesion. Stands under ``pooled``.
    - SEN, SPC, DSC (0..1) and HD (all foreground pixels, unit pixels) per image, then mean over the images.
    - Empty prediction: SEN = SPC = DSC = 0 and HD = 0, which is the *best* distance.
    - No lesion in the label, but a prediction: the published tool stops there. So do we, with a UserError;
      ``empty_truth="count"`` goes on with DSC 0, SEN and HD undefined.

    The paper works at 512 x 512, labels resized by nearest neighbour; HD depends on that grid. Tables print
    percent (mIoU, SEN, SPC, DSC times 100) and the mean of five folds (`mean_over_folds`).
    """
    if spacing is not None:
        raise UserError("the miniseg protocol measures HD in pixels: leave spacing out, or use protocol='clean'.")
    if empty_truth not in ("raise", "count"):
        raise unknown_name("rule for empty_truth", empty_truth, ["raise", "count"])
    rows, total = [], Counts(0, 0, 0, 0)
    for name, pred, target in zip(ids, preds, targets, strict=True):
        with naming(name):
            pred, target = _foreground(pred, "pred"), _foreground(target, "target")
            same_shape(pred, target)
            counts = count(pred, target)
            if counts.predicted and not counts.true and empty_truth == "raise":
                raise UserError(
                    "the label has no lesion; MiniSeg's evaluation stops at such an image. Leave it out, use "
                    "protocol='clean', or pass empty_truth='count'."
                )
            scores = _row(pred, target, counts, distances)
        rows.append({"case": name, **scores, **vars(counts)})
        total += counts
    background, lesion = iou_per_class(matrix(total)).tolist()
    pooled = {"mIoU": mean_iou(matrix(total)), "IoU background": background, "IoU lesion": lesion}
    rules = (
        f"mIoU: one confusion matrix over all pixels, background included. SEN, SPC, DSC, HD: per image "
        f"({describe(preds)}; the paper: 512 x 512), then mean. Empty prediction: all four 0, HD too. "
        "HD in pixels, all foreground pixels. Masks as given (the paper: argmax)."
    )
    return summarise("miniseg", rules, rows, ["SEN", "SPC", "DSC", *(["HD"] if distances else [])], pooled)


def _row(pred, target, counts, distances):
    if not counts.predicted:  # the script's arrays start at zero and such an image is skipped
        return {"SEN": 0.0, "SPC": 0.0, "DSC": 0.0} | ({"HD": 0.0} if distances else {})
    row = {"SEN": counts.sensitivity, "SPC": counts.specificity, "DSC": counts.dice}
    return row | {"HD": hausdorff(pred, target, points="all")} if distances else row


def _foreground(values, name):
    """Bool mask from a 0/1 mask or from an 8-bit file: pred non-zero, label exactly 255."""
    array = as_array(values, name)
    if array.dtype.kind in "ui" and array.min() >= 0 and 10 < array.max() <= 255:
        return array != 0 if name == "pred" else array == 255
    return as_mask(array, name)


PROTOCOL = Protocol(name="miniseg", score=miniseg, at_trained_size=True, fold_digits=4)
