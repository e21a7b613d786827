"""Two experts drew on the same scans: how far apart they are is a yardstick for every score of a network.

P9 and P20 hold scans of the same people (`covidseg.data.splits.patient_of`), drawn by different radiologists. Where
both sets are at hand their masks are compared slice by slice; the numbers, and no pixel, stand in data/experts.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import torch

from covidseg.data.case import infection_of
from covidseg.data.datasets import open_shelf
from covidseg.data.shelf import Opened
from covidseg.data.transforms import resize_image
from covidseg.errors import UserError
from covidseg.fetch.catalog import data_file
from covidseg.metrics.overlap import count

__all__ = ["TwoExperts", "recorded", "two_experts", "yardstick"]

SETS = ("p9", "p20")
FILE = "experts.json"


@dataclass(frozen=True)
class TwoExperts:
    """One scan in two sets. volumes : its name in each; slices : that both sets have.

    dice : of all their pixels together; areas : what the second expert marked over what the first did
    """

    patient: str
    sets: tuple[str, str]
    volumes: tuple[str, str]
    slices: int
    dice: float
    areas: float


def two_experts(first: str = "p9", second: str = "p20", mirror=None) -> list[TwoExperts]:
    """Every scan that both sets hold, in the second's order. Raises UserError where there is none.

    Slices of equal number are compared on the smaller of the two grids: a pixel is infected where most of it is.
    """
    ours, theirs = (open_shelf(name, mirror)[0] for name in (first, second))
    pairs = [(a, b) for b in theirs.volumes for a in ours.volumes if _patient(ours, a) == _patient(theirs, b)]
    if not pairs:
        raise UserError(f"No scan of {first} is in {second} too, of the volumes that are here.")
    found = []
    for a, b in pairs:
        masks = list(_shared_slices(ours.opened(a), theirs.opened(b)))
        total = count(*(np.stack(side) for side in zip(*masks, strict=True)))
        areas = (total.tp + total.fn) / (total.tp + total.fp)
        found.append(TwoExperts(_patient(ours, a), (first, second), (a, b), len(masks), total.dice, areas))
    return found


def recorded(dataset: str) -> list[TwoExperts]:
    """What data/experts.json holds of a set's scans; empty for a set that no second expert drew on."""
    return [pair for pair in _stored() if dataset in pair.sets]


def yardstick(dataset: str) -> str:
    """One sentence for under a table; empty where no two experts can be compared.

    >>> yardstick("p9")
    'Two experts on the same scans (p9 beside p20, 3 scans): Dice 0.64 to 0.74.'
    >>> yardstick("ct100")
    ''
    """
    pairs = recorded(dataset)
    if not pairs:
        return ""
    low, high = (f"{pick(pair.dice for pair in pairs):.2f}" for pick in (min, max))
    return f"Two experts on the same scans ({' beside '.join(SETS)}, {len(pairs)} scans): Dice {low} to {high}."


def _patient(shelf, volume: str) -> str:
    return shelf.volumes[volume].patient


def _shared_slices(a: Opened, b: Opened) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both masks (h, w), bool, of every slice number that both volumes have."""
    place = {number: z for z, number in enumerate(a.numbers)}
    grid = min(a.mask.shape[:2], b.mask.shape[:2])
    for z, number in enumerate(b.numbers):
        if number in place:
            yield _on_grid(a.mask[:, :, place[number]], grid), _on_grid(b.mask[:, :, z], grid)


def _on_grid(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    share = resize_image(torch.from_numpy(infection_of(mask).astype(np.float32)), grid, antialias=True)
    return (share > 0.5).numpy()


@cache
def _stored() -> tuple[TwoExperts, ...]:
    pairs = json.loads(data_file(FILE).read_text(encoding="utf-8"))["pairs"]
    return tuple(TwoExperts(**pair | {k: tuple(pair[k]) for k in ("sets", "volumes")}) for pair in pairs)


def as_json(pairs: list[TwoExperts], provenance: dict) -> str:
    """What data/experts.json holds."""
    rounded = [asdict(pair) | {"dice": round(pair.dice, 4), "areas": round(pair.areas, 2)} for pair in pairs]
    return json.dumps({"provenance": provenance, "pairs": rounded}, indent=1) + "\n"
