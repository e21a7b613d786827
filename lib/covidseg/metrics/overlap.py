"""Overlap of two masks, all from the four counts of the 2 x 2 table: Dice, IoU and the like.

A ratio 0 / 0 has no value. Each function then answers ``empty``, NaN unless you choose otherwise: whether
two empty masks agree perfectly or say nothing is a decision, and it moves a mean over slices.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidseg.errors import UserError
from covidseg.metrics.masks import NotAMask, as_array, as_pair, same_shape


@dataclass(frozen=True)
class Counts:
    """Pixels (or voxels) of one case, or of many added up.

    >>> Counts(tp=2, fp=0, fn=1, tn=1).dice  # 2 * 2 / (2 * 2 + 0 + 1)
    0.8
    """

    tp: int  # lesion in both
    fp: int  # false alarm: predicted, not there
    fn: int  # missed: there, not predicted
    tn: int  # background in both

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def predicted(self) -> int:
        return self.tp + self.fp

    @property
    def true(self) -> int:
        return self.tp + self.fn

    @property
    def dice(self) -> float:
        return _ratio(2 * self.tp, self.predicted + self.true)

    @property
    def iou(self) -> float:
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> float:
        return _ratio(self.tp, self.true)

    @property
    def specificity(self) -> float:
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> float:
        return _ratio(self.tp, self.predicted)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else nan


def count(pred: ArrayLike, target: ArrayLike) -> Counts:
    """The four counts of two masks of one shape (any number of axes).

    Raises NotAMask if either is no mask, UserError if the shapes differ.
    """
    pred, target = as_pair(pred, target)
    tp = int(np.count_nonzero(pred & target))
    predicted, true = int(np.count_nonzero(pred)), int(np.count_nonzero(target))
    return Counts(tp, predicted - tp, true - tp, pred.size - predicted - true + tp)


def dice(pred: ArrayLike, target: ArrayLike, *, empty: float = nan) -> float:
    """Dice coefficient 2 |P and G| / (|P| + |G|), the F1 score of the pixels.

    pred, target : masks of one shape, bool or 0/1; logits and 0..255 greys raise NotAMask (a TypeError)
    empty : value if both masks are empty (0 / 0)
    Returns float 0..1. One empty mask gives 0. Source: Dice, Ecology 1945.

    >>> dice([0, 1, 1, 1], [0, 0, 1, 1])  # 2 * 2 / (3 + 2)
    0.8
    """
    return _or(count(pred, target).dice, empty)


def iou(pred: ArrayLike, target: ArrayLike, *, empty: float = nan) -> float:
    """Intersection over union |P and G| / |P or G|, the Jaccard index; dice = 2 iou / (1 + iou).

    Arguments and errors as `dice`. Source: Jaccard 1912.

    >>> iou([0, 1, 1, 1], [0, 0, 1, 1])  # 2 of the 3 pixels that either mask holds
    0.6666666666666666
    """
    return _or(count(pred, target).iou, empty)


def sensitivity(pred: ArrayLike, target: ArrayLike, *, empty: float = nan) -> float:
    """Share of the lesion that was found, TP / (TP + FN); also recall. ``empty``: value without a lesion.

    >>> sensitivity([0, 1, 0, 0], [0, 1, 1, 0])
    0.5
    """
    return _or(count(pred, target).sensitivity, empty)


def specificity(pred: ArrayLike, target: ArrayLike, *, empty: float = nan) -> float:
    """Share of the background left alone, TN / (TN + FP). ``empty``: value without any background.

    In a CT slice nearly everything is background, so nearly every prediction scores above 0.95 here.

    >>> specificity([0, 1, 1, 0], [0, 1, 0, 0])  # 2 of 3 background pixels
    0.6666666666666666
    """
    return _or(count(pred, target).specificity, empty)


def precision(pred: ArrayLike, target: ArrayLike, *, empty: float = nan) -> float:
    """Share of the prediction that is lesion, TP / (TP + FP). ``empty``: value of an empty prediction.

    >>> precision([0, 1, 1, 0], [0, 1, 0, 0])
    0.5
    """
    return _or(count(pred, target).precision, empty)


def _or(value: float, empty: float) -> float:
    return empty if value != value else value  # NaN is the only number unequal to itself


def confusion_matrix(pred: ArrayLike, target: ArrayLike, num_classes: int = 2) -> NDArray[np.int64]:
    """Pixels by true class (row) and predicted class (column): add the matrices of a whole set, then `mean_iou`.

    pred, target : integer labels 0..num_classes-1, one shape; a bool mask is labels 0 and 1
    Returns int64 (num_classes, num_classes). Raises UserError for other labels or unequal shapes.

    >>> confusion_matrix([0, 1, 1, 1], [0, 0, 1, 1])
    array([[1, 1],
           [0, 2]])
    """
    pred, target = _labels(pred, "pred", num_classes), _labels(target, "target", num_classes)
    same_shape(pred, target)
    cells = np.bincount((target * num_classes + pred).ravel(), minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def _labels(values: ArrayLike, name: str, num_classes: int) -> NDArray[np.int64]:
    array = as_array(values, name)
    if array.dtype.kind == "f" and np.any(array != np.round(array)):
        raise NotAMask(f"{name} holds real numbers, not labels: take the argmax over the classes first.")
    if array.min() < 0 or array.max() >= num_classes:
        raise UserError(f"{name} holds labels {array.min():g} to {array.max():g}; allowed are 0 to {num_classes - 1}.")
    return array.astype(np.int64)


def iou_per_class(matrix: ArrayLike) -> NDArray[np.float64]:
    """IoU of every class from a confusion matrix, background first: TP / (row + column - TP + 1e-8).

    The 1e-8 is that of a published evaluation: a class that occurs nowhere scores 0, not NaN.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    hits = np.diag(matrix)
    return hits / (matrix.sum(0) + matrix.sum(1) - hits + 1e-8)


def mean_iou(matrix: ArrayLike) -> float:
    """Mean over the classes of `iou_per_class`, background included.

    >>> round(mean_iou([[1, 1], [0, 2]]), 4)  # background 1/2, lesion 2/3
    0.5833
    """
    return float(iou_per_class(matrix).mean())
