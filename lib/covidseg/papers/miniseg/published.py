"""The benchmark's own maps, published by its authors, laid over the labels at hand: their line without any training.

A published map is 512 x 512, upright. Labels of P9 and P20 are brought to that size, as the authors do; CT100's come as
lung crops of COVID-SemiSeg, and each is laid where it covers most of its map, which flatters the map a little.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import label
from scipy.signal import fftconvolve

from covidseg.checkout import checkout
from covidseg.data import Case, load_dataset
from covidseg.data.transforms import resize_mask
from covidseg.errors import UserError, unknown_name
from covidseg.fetch.catalog import source
from covidseg.fetch.sources import roots
from covidseg.files import make_folder, write_text
from covidseg.metrics import segmentation_scores
from covidseg.text import csv_text

__all__ = [
    "SETS",
    "WHOLE",
    "Published",
    "best_window",
    "examples",
    "lesions",
    "lines",
    "own_line",
    "published",
    "read_lines",
]

WHOLE = {"ct100": 99, "p9": 268, "p20": 1844}  # slices that the printed line is about, all that the folds score
SETS = tuple(WHOLE)
SIDE = 512
MEANS = ("SEN", "SPC", "DSC", "HD")
FLIPPED = "coronacases"  # these volumes of P20 lie upside down in their files, and the authors left them so
STORED = Path("results") / "published" / "miniseg_maps.csv"  # numbers alone: pictures of patients stay where they are


@dataclass(frozen=True)
class Published:
    """One published map on its label. pred, truth : bool, of one shape; fold : 1..5, whose network drew the map."""

    case: Case
    fold: int
    pred: np.ndarray
    truth: np.ndarray


def published(name: str) -> Iterator[Published]:
    """The maps of "ct100", "p9" or "p20" whose labels are on this machine, in the set's order.

    Raises UnknownName for another set, UserError where labels or maps are not here.
    """
    if name not in SETS:
        raise unknown_name("set with published maps", name, SETS)
    cases, files = load_dataset(name), _files(name)
    for case_id in cases.ids:
        if case_id in files:
            yield _laid(cases.case(case_id), files[case_id], crop=name == "ct100")


def examples(name: str, many: int = 4) -> tuple[list[Case], list[np.ndarray]]:
    """Slices from poor to good with their published maps, bool at the slice's own size: cases and maps.

    Chosen by the stored Dice, evenly along its order. Raises UserError where labels or maps are not here.
    """
    cases, files = load_dataset(name), _files(name)
    order = sorted((row for row in read_lines(name) if row["case"] in cases.ids), key=lambda row: row["DSC"])
    ids = [order[k * (len(order) - 1) // many]["case"] for k in range(1, many + 1)]
    chosen = [_laid(cases.case(case_id), files[case_id], crop=name == "ct100") for case_id in ids]
    return [one.case for one in chosen], [_shrunk(one.pred, one.case.image.shape) for one in chosen]


def _shrunk(pred: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """By nearest neighbour, each side for itself."""
    rows, columns = ((np.arange(n) + 0.5) * m / n for n, m in zip(shape, pred.shape, strict=True))
    return pred[np.ix_(rows.astype(int), columns.astype(int))]


@cache
def _files(name: str) -> dict[str, Path]:
    home = source("miniseg-maps")
    found: dict[str, Path] = {}
    for root in roots(home.folder):
        for path in sorted(root.glob(f"SegMaps/COVID-19-{name.upper()}/CrossVal[1-5]/*.png")):
            found.setdefault(path.stem, path)
    if not found:
        raise UserError(f"The published maps of {name} are not on this machine: `covidseg data fetch miniseg-maps`.")
    return found


def _laid(case: Case, path: Path, crop: bool) -> Published:
    from PIL import Image

    drawn = np.asarray(Image.open(path)) != 0
    drawn = drawn[::-1] if case.id.startswith(FLIPPED) else drawn
    truth = case.infection
    if crop:
        pred = drawn[best_window(drawn, truth)]
    else:
        pred, truth = drawn, resize_mask(torch.from_numpy(truth.astype(np.uint8)), SIDE).numpy() != 0
    return Published(case, int(path.parent.name[-1]), pred, truth)


def best_window(drawn: np.ndarray, truth: np.ndarray) -> tuple[slice, slice]:
    """Where a crop's mask (h, w) covers most of a map (H, W): the rows and columns of the map that are the crop.

    >>> best_window(np.eye(4, k=1) > 0, np.eye(3) > 0)
    (slice(0, 3, None), slice(1, 4, None))
    """
    overlap = fftconvolve(drawn.astype(np.float32), truth[::-1, ::-1].astype(np.float32), mode="valid")
    row, column = np.unravel_index(overlap.argmax(), overlap.shape)
    return slice(int(row), int(row) + truth.shape[0]), slice(int(column), int(column) + truth.shape[1])


def lesions(truth: np.ndarray) -> int:
    """Number of lesions of a slice: regions of infection that touch at sides or corners, bool (H, W).

    >>> lesions(np.eye(3) > 0), lesions(np.array([[1, 0, 1]]) > 0)
    (1, 2)
    """
    return int(label(truth, np.ones((3, 3)))[1])


def lines(name: str) -> list[dict]:
    """What is kept of each map: where it is from, the infected area (share of 512 x 512), lesions, the four scores."""
    return [_line(name, one) for one in published(name)]


def _line(name: str, one: Published) -> dict:
    (row,) = segmentation_scores([one.pred], [one.truth], "miniseg", ids=[one.case.id], empty_truth="count").cases
    area = float(one.truth.sum()) / SIDE**2
    return {"set": name, "fold": one.fold, "area": area, "lesions": lesions(one.truth), **row}


def read_lines(name: str = "") -> list[dict]:
    """`lines` as stored in the repository, of one set or of all. Raises UserError outside a checkout."""
    path = checkout() / STORED
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = ("set", "case")
    return [
        {key: value if key in texts else float(value) for key, value in row.items()}
        for row in rows
        if name in ("", row["set"])
    ]


def own_line(rows: Sequence[dict]) -> dict[str, float]:
    """A line of the benchmark's Table 6 from `lines` of one set: folds averaged, each over its own slices.

    mIoU is that of the pooled pixels; the others are means of slices. Fractions, HD in pixels.
    """
    folds: dict[float, list[dict]] = {}
    for row in rows:
        folds.setdefault(row["fold"], []).append(row)
    means = [_of_fold(fold) for _, fold in sorted(folds.items())]
    return {score: float(np.mean([one[score] for one in means])) for score in means[0]}


def _of_fold(rows: Sequence[dict]) -> dict[str, float]:
    tp, fp, fn, tn = (sum(row[count] for row in rows) for count in ("tp", "fp", "fn", "tn"))
    iou = (tp / (tp + fp + fn) + tn / (tn + fp + fn)) / 2
    return {"mIoU": iou} | {
        score: float(np.mean([row[score] for row in rows])) for score in ("SEN", "SPC", "DSC", "HD")
    }


def main(arguments: list[str] | None = None) -> None:
    """Score every published map whose label is here and store the numbers."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("-o", "--output", type=Path, default=checkout() / STORED)
    path = parser.parse_args(arguments).output
    make_folder(path.parent)
    rows = [row for name in SETS for row in lines(name)]
    write_text(path, csv_text([{k: _short(v) for k, v in row.items()} for row in rows]))
    print(f"{path}: {len(rows)} maps")


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


if __name__ == "__main__":
    main()
