"""What counts as a mask: every measure refuses logits, greys and label maps instead of scoring them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidseg.errors import UserError


class NotAMask(UserError, TypeError):
    """Logits, probabilities, grey values or class labels where a mask of 0 and 1 was asked for."""


def as_array(values: Any, name: str = "mask") -> np.ndarray:
    """A NumPy array from an array, a nested list or a torch tensor on any device."""
    if hasattr(values, "detach"):  # a torch tensor, recognised without importing torch
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except ValueError:
        raise UserError(f"{name} is a ragged list: give one array per case, each a full rectangle.") from None
    if array.dtype.kind not in "buif":
        raise NotAMask(f"{name} holds {array.dtype} values; a mask is bool, or numbers 0 and 1.")
    if array.size == 0:
        raise UserError(f"{name} has shape {array.shape}: there is no pixel in it.")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise UserError(f"{name} has NaN in {int(np.isnan(array).sum())} of {array.size} values.")
    return array


def as_mask(values: ArrayLike, name: str = "mask") -> NDArray[np.bool_]:
    """The bool array behind a mask given as bool, 0/1 integers or 0.0/1.0 floats.

    Raises NotAMask (a UserError and a TypeError) for logits, probabilities, 0..255 greys and label maps,
    UserError for NaN, no pixels, or a ragged list.

    >>> as_mask([[0, 1], [1, 0]]).sum()
    np.int64(2)
    """
    array = as_array(values, name)
    if array.dtype == bool:
        return array
    mask = array == 1
    if np.all(mask | (array == 0)):
        return mask
    raise NotAMask(f"{name} is not a mask: {_what_it_is(array, name)}")


def _what_it_is(array: np.ndarray, name: str) -> str:
    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and np.any(array != np.round(array)):
        if low >= 0 and high <= 1:
            return f"it holds probabilities from {low:.3g} to {high:.3g}. Choose a threshold, e.g. {name} > 0.5."
        return f"it holds logits from {low:.3g} to {high:.3g}. Take the argmax over classes, or {name} > 0."
    if low >= 0 and high <= 10:
        return f"it holds class labels 0 to {high:g}. Choose a class, e.g. np.isin({name}, (1, 2)) for infection."
    return f"it holds values from {low:g} to {high:g}. For an 8-bit mask file write {name} == 255."


def same_shape(pred: np.ndarray, target: np.ndarray, name: str = "pred") -> None:
    """Raise a UserError that says both shapes, if they differ."""
    if pred.shape != target.shape:
        raise UserError(
            f"{name} has shape {pred.shape} but its target {target.shape}. Bring the label to the grid of the "
            "prediction first (covidseg.data.transforms.resize_mask), or the prediction back to the scan's."
        )


def as_pair(pred: ArrayLike, target: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two masks as bool arrays of one shape."""
    pred, target = as_mask(pred, "pred"), as_mask(target, "target")
    same_shape(pred, target)
    return pred, target
