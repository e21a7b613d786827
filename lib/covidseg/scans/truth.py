"""A predicted mask beside one that an expert drew: Dice of every slice and of the whole scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from covidseg.metrics.overlap import Counts, count

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """Dice 0..1, None where neither mask marks anything; volumes in ml, None where the voxel's size is unknown.

    slices : number of the slice in the scan's file -> its Dice
    """

    dice: float | None
    slices: dict[int, float | None]
    true_ml: float | None
    missed_ml: float | None
    false_alarm_ml: float | None

    def line(self) -> str:
        """For people."""
        if self.dice is None:
            return "neither the prediction nor the truth marks anything"
        if self.true_ml is None:
            return f"Dice {self.dice:.3f} against the truth"
        return (
            f"Dice {self.dice:.3f} against the truth ({self.true_ml:.1f} ml; missed {self.missed_ml:.1f} ml, "
            f"false alarm {self.false_alarm_ml:.1f} ml)"
        )


def compare(mask: np.ndarray, truth: np.ndarray, indices: Sequence[int], voxel_mm3: float) -> Comparison:
    """mask, truth : (H, W, D), whatever is not 0 is infection; indices : number of each slice in the file

    >>> compare(np.ones((1, 4, 1)), np.array([[[0], [0], [1], [1]]]), [7], 1000.0).slices  # 2 * 2 / (4 + 2)
    {7: 0.6666666666666666}
    """
    counts = [count(mask[:, :, z] != 0, truth[:, :, z] != 0) for z in range(mask.shape[2])]
    whole = sum(counts, Counts(0, 0, 0, 0))
    ml = voxel_mm3 / 1000 if isfinite(voxel_mm3) and voxel_mm3 > 0 else None
    volumes = (None if ml is None else float(n * ml) for n in (whole.true, whole.fn, whole.fp))
    slices = dict(zip(map(int, indices), (_known(c.dice) for c in counts), strict=True))
    return Comparison(_known(whole.dice), slices, *volumes)


def _known(value: float) -> float | None:
    return float(value) if isfinite(value) else None
