"""What pseudo labels do right and wrong, where an expert's masks are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isnan, nan

import numpy as np

from covidseg.errors import UserError
from covidseg.metrics import dice

__all__ = ["Comparison", "compare_with_truth"]


@dataclass(frozen=True)
class Comparison:
    """rows : one dict per label: "source", "round" (None if unknown), "lesion" (the truth has any), "dice" (at 128 of
    255; NaN without lesion), "false_share" (pixels called infection that are none, of all pixels), "alarm" (no lesion,
    but infection found), "raised" (put there by stretching alone)
    """

    rows: list[dict]

    def summary(self, rows: list[dict] | None = None) -> dict:
        """Means over the labels: "labels", "with_lesion", "dice" over these; "lesion_free", "alarms" (share of these
        with a false alarm), "false_share" over these; NaN where there is no such slice.
        """
        rows = self.rows if rows is None else rows
        free = [row for row in rows if not row["lesion"]]
        return {
            "labels": len(rows),
            "with_lesion": len(rows) - len(free),
            "dice": _mean([row["dice"] for row in rows if row["lesion"]]),
            "lesion_free": len(free),
            "alarms": _mean([row["alarm"] for row in free]),
            "false_share": _mean([row["false_share"] for row in free]),
        }

    def by_round(self) -> list[dict]:
        """A `summary` for each round, with its number, in order; labels of no known round are left out."""
        numbers = sorted({row["round"] for row in self.rows if row["round"] is not None})
        return [{"round": n, **self.summary([row for row in self.rows if row["round"] == n])} for n in numbers]


def compare_with_truth(labels: Iterable, truths: Mapping[str, np.ndarray]) -> Comparison:
    """Score labels (`PseudoLabel` or `SoftSlice`) against masks by the id of their slice.

    truths : id -> (H, W), bool or 0 and 1, on the label's grid. Labels without a truth are left out
    A label is cut at 128 of 255, as the published script cuts it to draw edges. Phantoms come with their truth; for the
    slices of COVID-SemiSeg see `expert_masks`.
    Raises UserError where no label has a truth, and for shapes that differ.
    """
    rows = []
    for label in labels:
        source = getattr(label, "source", None) or label.id
        if source in truths:
            rows.append(_row(source, label, np.asarray(truths[source]) != 0))
    if not rows:
        raise UserError(f"None of the labels has a truth: the {len(truths)} masks given are of other slices.")
    return Comparison(rows)


def _row(source: str, label, truth: np.ndarray) -> dict:
    mask = np.asarray(label.mask)
    if mask.shape != truth.shape:
        raise UserError(f"Slice {source}: the label is {mask.shape}, its truth {truth.shape}.")
    found = np.rint(mask * 255) > 128 if mask.dtype.kind == "f" else mask > 128
    lesion = bool(truth.any())
    return {
        "source": source,
        "round": getattr(label, "round", None),
        "lesion": lesion,
        "dice": dice(found, truth) if lesion else nan,
        "false_share": float((found & ~truth).mean()),
        "alarm": bool(found.any()) and not lesion,
        "raised": bool(getattr(label, "raised", False)),
    }


def _mean(values: list) -> float:
    values = [float(value) for value in values if not isnan(value)]
    return sum(values) / len(values) if values else nan
