"""The one door to the metrics, and the rules behind it: ours ("clean") and the papers' own.

A protocol is a row of `PROTOCOLS`: a function (preds, targets, ids, spacing, **options) -> Scores, where preds
and targets are lists with one array per case. It says what a foreground pixel is, what an empty mask scores,
and what is averaged over what.
"""

from inspect import signature
from math import nan

from covidseg.errors import UserError, unknown_name
from covidseg.metrics.cases import describe, naming, spacing_per_case, split_cases
from covidseg.metrics.infnet import infnet
from covidseg.metrics.masks import as_array, as_mask, as_pair, same_shape
from covidseg.metrics.overlap import Counts, count, iou_per_class, mean_iou
from covidseg.metrics.scores import summarise
from covidseg.metrics.surface import average_surface_distance, hausdorff, hausdorff95

OVERLAPS = ("dice", "iou", "sensitivity", "specificity", "precision")
DISTANCES = {"hausdorff": hausdorff, "hd95": hausdorff95, "asd": average_surface_distance}


def segmentation_scores(pred, target, protocol="clean", spacing=None, *, ids=None, per=None, **options):
    """Score one case or a set of cases by a named protocol.

    pred, target : one mask (H, W), a list with one mask per case, slices (H, W) or volumes (H, W, D), or an array
        of slices (N, H, W) or volumes (N, H, W, D); NumPy or torch. Shapes may differ between the cases of a list.
    protocol : "clean" (`clean`), "miniseg" (`miniseg`) or "infnet" (`infnet`: soft maps instead of masks in pred)
    spacing : (row, column[, slice]) in mm, or a list with one such tuple per case; None measures in pixels
    ids : names of the cases for the table; numbers if None
    per : "slice" or "volume", to say what a single 3-D array is when neither spacing nor protocol does
    options : the protocol's own, see its function

    Returns `Scores`. Raises UserError (NotAMask for logits or greys) in one line that names the case.

    >>> s = segmentation_scores([[[1, 1, 0]], [[0, 0, 0]]], [[[0, 1, 0]], [[0, 1, 0]]], per="slice")
    >>> s["dice"], s.counts["missed"]  # (2/3 + 0) / 2: the miss counts
    (0.3333333333333333, 1)
    >>> s["hausdorff"], s.n["hausdorff"], s.undefined["hausdorff"]  # a miss has no distance, but is counted
    (1.0, 1, 1)
    """
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    score = PROTOCOLS[protocol]
    for option in options:
        known = list(signature(score).parameters)[4:]
        if option not in known:
            raise unknown_name(f"option of the {protocol} protocol", option, known)
    if per is None and protocol != "clean":
        per = "slice"  # the papers' tools see pictures only
    preds = split_cases(pred, "pred", per, spacing)
    targets = split_cases(target, "target", per, spacing)
    if len(preds) != len(targets):
        raise UserError(f"pred has {len(preds)} cases but target {len(targets)}.")
    ids = [str(name) for name in (range(len(preds)) if ids is None else [ids] if isinstance(ids, str) else ids)]
    if len(ids) != len(preds):
        raise UserError(f"ids names {len(ids)} cases, but pred has {len(preds)}.")
    return score(preds, targets, ids, spacing, **options)


def clean(preds, targets, ids, spacing=None, *, both_empty="undefined", distances=True):
    """Our protocol: per case, nothing dropped in silence.

    - A missed lesion (empty prediction): Dice, IoU, sensitivity 0; precision and distances undefined, and counted.
    - A false alarm (no lesion): Dice, IoU, precision 0; sensitivity and distances undefined, and counted.
    - Both empty: Dice, IoU and distances undefined and counted; or with ``both_empty="agree"`` Dice and IoU 1,
      distances 0, as some papers have it. Which, changes a mean over slices more than most networks do.
    - Distances between boundaries, in mm where ``spacing`` is given; ``distances=False`` skips them (faster).
    - Pooled: all pixels (voxels) of the set in one table; mIoU is the mean of lesion and background IoU.
    """
    if both_empty not in ("undefined", "agree"):
        raise unknown_name("rule for both_empty", both_empty, ["undefined", "agree"])
    spacings = spacing_per_case(spacing, len(preds))
    rows, total = [], Counts(0, 0, 0, 0)
    for name, pred, target, mm in zip(ids, preds, targets, spacings, strict=True):
        with naming(name):
            pred, target = as_pair(pred, target)
            counts = count(pred, target)
            row = {"case": name, **{score: getattr(counts, score) for score in OVERLAPS}}
            if distances:
                row |= {s: f(pred, target, spacing=mm, points="boundary") for s, f in DISTANCES.items()}
        if not counts.predicted and not counts.true:
            row |= _both_empty_row(row, both_empty)
        rows.append(row | vars(counts))
        total += counts
    scored = [*OVERLAPS, *(DISTANCES if distances else ())]
    pooled = {score: getattr(total, score) for score in OVERLAPS} | {"mIoU": mean_iou(_matrix(total))}
    unit = "pixels" if spacing is None else "mm"
    rules = (
        f"Per case ({describe(preds)}), then mean over the cases with a value; lesion class only, masks as given. "
        f"Missed lesion or false alarm: Dice 0, distances undefined. Both empty: "
        + ("undefined" if both_empty == "undefined" else "Dice 1, distances 0")
        + (f". Distances in {unit}, between boundaries." if distances else ".")
        + " Pooled: all pixels at once; mIoU with background."
    )
    return summarise("clean", rules, rows, scored, pooled)


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
            scores = _miniseg_row(pred, target, counts, distances)
        rows.append({"case": name, **scores, **vars(counts)})
        total += counts
    background, lesion = iou_per_class(_matrix(total)).tolist()
    pooled = {"mIoU": mean_iou(_matrix(total)), "IoU background": background, "IoU lesion": lesion}
    rules = (
        f"mIoU: one confusion matrix over all pixels, background included. SEN, SPC, DSC, HD: per image "
        f"({describe(preds)}; the paper: 512 x 512), then mean. Empty prediction: all four 0, HD too. "
        "HD in pixels, all foreground pixels. Masks as given (the paper: argmax)."
    )
    return summarise("miniseg", rules, rows, ["SEN", "SPC", "DSC", *(["HD"] if distances else [])], pooled)


PROTOCOLS = {"clean": clean, "miniseg": miniseg, "infnet": infnet}


def _both_empty_row(row, both_empty):
    agree, apart = (1.0, 0.0) if both_empty == "agree" else (nan, nan)
    return {"dice": agree, "iou": agree} | {name: apart for name in DISTANCES if name in row}


def _miniseg_row(pred, target, counts, distances):
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


def _matrix(total):
    return [[total.tn, total.fp], [total.fn, total.tp]]
