"""What COVID-SegNet's tables print: Dice, sensitivity and precision of each patient's volume, then their means.

Beside them stands NSD, the surface Dice of Ma et al. (Medical Physics 2021), by which the public twenty volumes are
scored: 3 mm for infection, 1 mm for lungs.
"""

from __future__ import annotations

from math import nan

from covidseg.metrics.cases import describe, naming, spacing_per_case
from covidseg.metrics.masks import as_pair
from covidseg.metrics.overlap import Counts, count
from covidseg.metrics.scores import summarise
from covidseg.metrics.surface import surface_dice
from covidseg.paper import Protocol

__all__ = ["LUNG_MM", "PROTOCOL", "covidsegnet"]

SCORED = ("Dice", "Sen", "Prec", "NSD")
LESION_MM, LUNG_MM = 3.0, 1.0  # Ma et al.


def covidsegnet(preds, targets, ids, spacing=None, *, tolerance: float = LESION_MM):
    """The evaluation of COVID-SegNet (Yan et al. 2020, Eqn 10): "the average across all test data", by patient.

    - Dice 2 |A n B| / (|A| + |B|), Sen and Prec of each volume, then the mean. Both masks empty: Dice and NSD 1, Sen
      and Prec undefined. One empty: Dice and NSD 0; of nothing drawn Prec is undefined, of no lesion Sen.
    - NSD: share of both boundaries within ``tolerance`` of each other, in mm, without ``spacing`` in voxels.
    - pooled: Dice, Sen and Prec of all voxels of the set at once.
    """
    rows, total = [], Counts(0, 0, 0, 0)
    for name, pred, target, mm in zip(ids, preds, targets, spacing_per_case(spacing, len(preds)), strict=True):
        with naming(name):
            pred, target = as_pair(pred, target)
            counts = count(pred, target)
            nsd = surface_dice(pred, target, tolerance=tolerance, spacing=mm)
        empty = not counts.predicted and not counts.true
        values = (1.0 if empty else counts.dice, *_shares(counts), nsd)
        rows.append({"case": name, **dict(zip(SCORED, values, strict=True)), **vars(counts)})
        total += counts
    rules = (
        f"Per patient ({describe(preds)}), then the mean. Both empty: Dice and NSD 1. NSD: boundary voxels within "
        f"{tolerance:g} {'voxels' if spacing is None else 'mm'} of the other boundary."
    )
    return summarise("covidsegnet", rules, rows, SCORED, _pooled(total))


def _shares(c: Counts) -> tuple[float, float]:
    return c.tp / c.true if c.true else nan, c.tp / c.predicted if c.predicted else nan


def _pooled(c: Counts) -> dict[str, float]:
    values = (c.dice, *_shares(c))
    return {f"{name}, all voxels": value for name, value in zip(SCORED, values, strict=False)}


PROTOCOL = Protocol(name="covidsegnet", score=covidsegnet, per="volume")
