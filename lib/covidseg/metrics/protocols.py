"""The one door to the metrics, and the rules behind it: ours ("clean") and the papers' own.

A protocol scores by a function (preds, targets, ids, spacing, **options) -> Scores, where preds and targets are lists
with one array per case. It says what a foreground pixel is, what an empty mask scores, and what is averaged over what.
"""

from collections.abc import Iterable, Sequence
from importlib import import_module
from inspect import signature
from math import nan
from typing import Any

from numpy.typing import ArrayLike

from covidseg.errors import UserError, unknown_name
from covidseg.metrics.cases import Spacings, describe, naming, spacing_per_case, split_cases
from covidseg.metrics.masks import as_pair
from covidseg.metrics.overlap import Counts, count, mean_iou
from covidseg.metrics.scores import Scores, summarise
from covidseg.metrics.surface import all_distances
from covidseg.paper import Paper, Protocol

CLEAN = "clean"
OVERLAPS = ("dice", "iou", "sensitivity", "specificity", "precision")
DISTANCES = ("hausdorff", "hd95", "asd")


def segmentation_scores(
    pred: ArrayLike | Sequence[ArrayLike],
    target: ArrayLike | Sequence[ArrayLike],
    protocol: str = "clean",
    spacing: Spacings = None,
    *,
    ids: Iterable[object] | str | None = None,
    per: str | None = None,
    **options: Any,
) -> Scores:
    """Score one case or a set of cases by a named protocol.

    pred, target : one mask (H, W), a list with one mask per case, slices (H, W) or volumes (H, W, D), or an array
        of slices (N, H, W) or volumes (N, H, W, D); NumPy or torch. Shapes may differ between the cases of a list.
    protocol : "clean" (`clean`), or one that a paper brings (`list_protocols`); some want soft maps instead of masks
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
    rules = find_protocol(protocol)
    score = rules.score
    for option in options:
        known = list(signature(score).parameters)[4:]
        if option not in known:
            raise unknown_name(f"option of the {protocol} protocol", option, known)
    per = rules.per if per is None else per  # the papers' tools see pictures only
    preds = split_cases(pred, "pred", per, spacing)
    targets = split_cases(target, "target", per, spacing)
    if len(preds) != len(targets):
        raise UserError(f"pred has {len(preds)} cases but target {len(targets)}.")
    ids = [str(name) for name in (range(len(preds)) if ids is None else [ids] if isinstance(ids, str) else ids)]
    if len(ids) != len(preds):
        raise UserError(f"ids names {len(ids)} cases, but pred has {len(preds)}.")
    return score(preds, targets, ids, spacing, **options)


def find_protocol(name: str) -> Protocol:
    """The protocol of that name, ours or a paper's; raises UnknownName."""
    if name == CLEAN:
        return Protocol(name=CLEAN, score=clean, per=None)
    known = {protocol.name: protocol for paper in _papers() for protocol in paper.protocols}
    if name not in known:
        raise unknown_name("protocol", name, [CLEAN, *known])
    return known[name]


def list_protocols() -> list[str]:
    """Names that `segmentation_scores` knows."""
    return [CLEAN, *(protocol.name for paper in _papers() for protocol in paper.protocols)]


def _papers() -> tuple[Paper, ...]:
    return import_module("covidseg.papers").papers()


def clean(
    preds: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    ids: Sequence[str],
    spacing: Spacings = None,
    *,
    both_empty: str = "undefined",
    distances: bool = True,
) -> Scores:
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
                row |= all_distances(pred, target, spacing=mm)
        if not counts.predicted and not counts.true:
            row |= _both_empty_row(row, both_empty)
        rows.append(row | vars(counts))
        total += counts
    scored = [*OVERLAPS, *(DISTANCES if distances else ())]
    pooled = {score: getattr(total, score) for score in OVERLAPS} | {"mIoU": mean_iou(matrix(total))}
    unit = "pixels" if spacing is None else "mm"
    rules = (
        f"Per case ({describe(preds)}), then mean over the cases with a value; lesion class only, masks as given. "
        f"Missed lesion or false alarm: Dice 0, distances undefined. Both empty: "
        + ("undefined" if both_empty == "undefined" else "Dice 1, distances 0")
        + (f". Distances in {unit}, between boundaries." if distances else ".")
        + " Pooled: all pixels at once; mIoU with background."
    )
    return summarise("clean", rules, rows, scored, pooled)


def _both_empty_row(row: dict[str, Any], both_empty: str) -> dict[str, float]:
    agree, apart = (1.0, 0.0) if both_empty == "agree" else (nan, nan)
    return {"dice": agree, "iou": agree} | {name: apart for name in DISTANCES if name in row}


def matrix(total: Counts) -> list[list[int]]:
    return [[total.tn, total.fp], [total.fn, total.tp]]
