"""From whatever the caller holds (one mask, a stack, a list) to a list with one array per case."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covidseg.errors import UserError, unknown_name

AXES = {"slice": 2, "volume": 3}
Spacing = Sequence[float] | None  # (row, column[, slice]) in mm; None measures in pixels
Spacings = Spacing | Sequence[Sequence[float]]  # one for all cases, or one for each


def split_cases(values: Any, name: str, per: str | None = None, spacing: Spacings = None) -> list[ArrayLike]:
    """One array per case: slices (H, W) or volumes (H, W, D).

    A list gives its items. An array of 2 axes is one slice, of 4 axes (N, H, W, D) N volumes. One of 3 axes
    is N slices or one volume: ``per``, or else the length of ``spacing``, says which; a guess could be wrong
    without anyone noticing, so without either it raises UserError.
    """
    if per not in (None, *AXES):
        raise unknown_name("case", per, AXES)
    axes = _axes(spacing) if per is None else AXES[per]
    cases = _listed(values) if isinstance(values, list | tuple) else _unstacked(values, name, axes)
    for i, case in enumerate(cases):
        if np.ndim(case) not in ((axes,) if axes else (2, 3)):
            kinds: dict[int | None, str] = {2: "a slice (H, W)", 3: "a volume (H, W, D)"}
            wanted = kinds.get(axes, "a slice (H, W) or a volume (H, W, D)")
            raise UserError(f"{name} of case {i} has shape {np.shape(case)}, not that of {wanted}.")
    return cases


def _listed(values: Sequence[ArrayLike]) -> list[ArrayLike]:
    if not values:
        raise UserError("there is no case to score: the list is empty.")
    nested = not hasattr(values[0], "shape") and np.ndim(values[0]) < 2  # [[0, 1], [1, 1]] is one written-out mask
    return [np.asarray(values)] if nested else list(values)


def _unstacked(array: Any, name: str, axes: int | None) -> list[ArrayLike]:
    ndim, shape = np.ndim(array), tuple(np.shape(array))
    if ndim == 4 and shape[1] == 1:
        raise UserError(f"{name} has shape {shape}: drop the channel axis, {name}[:, 0].")
    if ndim == 3 and axes is None:
        raise UserError(
            f"{name} has shape {shape}: one volume, or {shape[0]} slices? Say per='volume' or per='slice', "
            "give the spacing, or a list with one array per case."
        )
    return [array] if ndim == (axes or 2) or ndim < 3 else list(array)


def spacing_per_case(spacing: Any, n: int) -> list[Spacing]:
    """One spacing for each of n cases, from one for all or a list of n."""
    if not _is_list_of_spacings(spacing):
        return [spacing] * n
    if len(spacing) != n:
        raise UserError(f"spacing has {len(spacing)} entries, but there are {n} cases.")
    return list(spacing)


def _is_list_of_spacings(spacing: Any) -> bool:
    return isinstance(spacing, list | tuple | np.ndarray) and len(spacing) > 0 and np.ndim(spacing[0]) > 0


def _axes(spacing: Any) -> int | None:
    if _is_list_of_spacings(spacing):
        spacing = spacing[0]
    return len(spacing) if isinstance(spacing, list | tuple | np.ndarray) else None


def describe(cases: Sequence[ArrayLike]) -> str:
    """What was scored, for the protocol text: "20 slices of 512 x 512"."""
    shapes = {tuple(np.shape(case)) for case in cases}
    kinds = {len(shape) for shape in shapes}
    kind = {2: "slice", 3: "volume"}[kinds.pop()] if len(kinds) == 1 else "case"
    size = " x ".join(map(str, shapes.pop())) if len(shapes) == 1 else "various sizes"
    return f"{len(cases)} {kind}{'s' if len(cases) > 1 else ''} of {size}"


@contextmanager
def naming(case: str) -> Iterator[None]:
    """Put the case's name in front of a UserError raised inside."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"case {case}: {error}") from None
