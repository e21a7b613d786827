"""How good is a mask? The measures, the rules around them, and the papers' own protocols.

>>> from covidseg.metrics import segmentation_scores
>>> truth = [[0, 1, 1, 1]]
>>> pred = [[0, 0, 1, 1]]
>>> segmentation_scores(pred, truth)["dice"]  # 2 hits; 2 and 3 pixels: 4 / 5
0.8

`segmentation_scores` is the door. Behind it: ``masks`` (what counts as a mask), ``cases`` (one array
per case), ``overlap`` (Dice, IoU and the like), ``surface`` (Hausdorff and the like), ``protocols`` (per case or
pooled, what an empty mask scores) and ``scores`` (the result, with every undefined case counted).
"""

from covidseg.metrics.folds import mean_over_folds
from covidseg.metrics.masks import NotAMask, as_mask
from covidseg.metrics.overlap import (
    Counts,
    confusion_matrix,
    count,
    dice,
    iou,
    iou_per_class,
    mean_iou,
    precision,
    sensitivity,
    specificity,
)
from covidseg.metrics.protocols import find_protocol, list_protocols, segmentation_scores
from covidseg.metrics.scores import Scores
from covidseg.metrics.surface import average_surface_distance, boundary, hausdorff, hausdorff95, surface_dice

__all__ = [
    "Counts",
    "NotAMask",
    "Scores",
    "as_mask",
    "average_surface_distance",
    "boundary",
    "confusion_matrix",
    "count",
    "dice",
    "find_protocol",
    "hausdorff",
    "hausdorff95",
    "iou",
    "iou_per_class",
    "list_protocols",
    "mean_iou",
    "mean_over_folds",
    "precision",
    "segmentation_scores",
    "sensitivity",
    "specificity",
    "surface_dice",
]
