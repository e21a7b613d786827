"""The most affected slices of a result as small pictures: plain, with the prediction, with the truth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from covidseg.data.transforms import LUNG, Window
from covidseg.scans.findings import Findings, SliceFinding, describe
from covidseg.scans.truth import Comparison
from covidseg.show.pictures import FALSE_ALARM, HIT, MISS, paint, rgb, slice_rgb

__all__ = ["OUTLINE", "Result", "Shown", "crop", "key", "panels"]

OUTLINE = "#7B2FBE"  # of the lungs: dark violet, apart from the three of the infection in hue and in lightness
MOST = 6  # slices
VEIL = 0.38


@dataclass(frozen=True)
class Result:
    """What there is to see; all arrays (H, W, D), upright.

    intensity : "HU" or "grey"; window : for HU; spacing : (row, column[, slice]) in mm, nan where unknown
    places : number of a slice in the file -> its place in ``voxels``, by default the same
    truth : an expert's infection, lung : where the lungs are, compared : what `truth.compare` says; each may be None
    """

    voxels: np.ndarray
    mask: np.ndarray
    findings: Findings
    spacing: tuple[float, ...]
    intensity: str = "HU"
    window: Window = LUNG
    places: Mapping[int, int] | None = None
    truth: np.ndarray | None = None
    lung: np.ndarray | None = None
    compared: Comparison | None = None

    def place(self, finding: SliceFinding) -> int:
        return finding.index if self.places is None else self.places[finding.index]


@dataclass(frozen=True)
class Shown:
    """One slice: its name, what is found on it, and its panels, (name, uint8 (h, w, 3)) each."""

    name: str
    says: str
    panels: tuple[tuple[str, np.ndarray], ...]


def key(result: Result) -> list[tuple[str, str]]:
    """(colour, meaning) of all that is painted."""
    painted = [(HIT, "predicted infection")]
    if result.truth is not None:
        painted = [(HIT, "predicted and true"), (FALSE_ALARM, "predicted only"), (MISS, "true only")]
    return painted + [(OUTLINE, "outline of the lungs")] * (result.lung is not None)


def panels(result: Result, width: int) -> list[Shown]:
    """Up to six most affected slices in the order of the scan; without infection three, to see what was read.

    width : of a panel, in pixels. Each slice is shown as read and with the prediction, with a truth a third time.
    """
    chosen = _chosen(result)
    box = crop(result, [result.place(s) for s in chosen])
    steps = result.spacing[:2]
    tall = steps[0] / steps[1] if np.all(np.isfinite(steps)) and min(steps) > 0 else 1.0
    single = len(result.findings.slices) == 1
    return [_shown(result, found, box, width, tall, single) for found in chosen]


def _chosen(result: Result) -> list[SliceFinding]:
    """The slices with most infection, predicted or true."""
    marked = {s: s.pixels + _true_pixels(result, s) for s in result.findings.slices}
    infected = sorted((s for s in marked if marked[s]), key=lambda s: (-marked[s], s.index))
    if infected:
        return sorted(infected[:MOST], key=lambda s: s.index)
    every = result.findings.slices
    n = len(every)
    return [every[k] for k in sorted({n // 4, n // 2, (3 * n) // 4})] if n > 3 else list(every)


def _true_pixels(result: Result, finding: SliceFinding) -> int:
    return 0 if result.truth is None else int(np.count_nonzero(result.truth[:, :, result.place(finding)]))


# ------------------------------------------------------------------------------------------------ what is shown


def crop(result: Result, places: list[int]) -> tuple[slice, slice]:
    """Rows and columns to show: the patient, and whatever is predicted or true on these slices, wherever it lies."""
    masks = [mask for mask in (result.mask, result.truth) if mask is not None]
    marked = np.any([mask[:, :, z] != 0 for mask in masks for z in places], axis=0)
    body = _body(result, places)
    return tuple(_with(part, marked.any(axis)) for part, axis in zip(body, (1, 0), strict=True))


def _with(part: slice, marked: np.ndarray) -> slice:
    """A stretch of rows or columns, made long enough for every marked one."""
    ends = np.flatnonzero(marked)
    if not len(ends) or part == slice(None):
        return part
    return slice(min(part.start, int(ends[0])), max(part.stop, int(ends[-1]) + 1))


def _body(result, places, step=4):
    """Rows and columns of the largest dense object in the chosen slices, the patient, with a little air around."""
    from scipy.ndimage import find_objects, label

    from covidseg.data.transforms import to_grey

    coarse = [to_grey(result.voxels[::step, ::step, z], result.intensity, result.window) for z in places]
    objects, n = label(np.max(coarse, axis=0) > 0.6)
    if not n:
        return slice(None), slice(None)
    rows, columns = find_objects(objects)[np.argmax(np.bincount(objects.ravel())[1:])]
    pad = 2
    return tuple(slice(max(0, s.start - pad) * step, (s.stop + pad) * step) for s in (rows, columns))


# ------------------------------------------------------------------------------------------------ painting


def _shown(result, found, box, width, tall, single) -> Shown:
    z = result.place(found)
    ct = result.voxels[*box, z]
    plain = _resized(slice_rgb(ct, intensity=result.intensity, window=result.window), width, tall)
    shape = plain.shape[:2]
    pred = at_least(result.mask[*box, z] != 0, shape)
    ground = plain if result.lung is None else outlined(plain, _nearest(result.lung[*box, z] != 0, shape))
    pictures = [("as read", plain)]
    if result.truth is None:
        pictures.append(("prediction", paint(ground, [(pred, HIT)], alpha=VEIL)))
    else:
        true = at_least(result.truth[*box, z] != 0, shape)
        both = pred & true
        predicted = [(both, HIT), (pred & ~true, FALSE_ALARM)]
        pictures.append(("prediction", paint(ground, predicted, alpha=VEIL)))
        pictures.append(("truth", paint(ground, [(both, HIT), (true & ~pred, MISS)], alpha=VEIL)))
    says = describe(found) if found.pixels else "no infection predicted"
    if result.compared is not None and (dice := result.compared.slices.get(found.index)) is not None:
        says += f", Dice {dice:.2f}"
    return Shown("the image" if single else f"slice {found.index}", says, tuple(pictures))


def _resized(picture, width, tall):
    """Of the width of a panel, with the true proportions of the body."""
    from PIL import Image

    height = max(1, round(width * picture.shape[0] / picture.shape[1] * tall))
    scale = min(1.0, 1.25 * width / height)  # nothing gets much taller than wide
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _nearest(region: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A region, bool (H, W), at another size."""
    rows, columns = ((np.arange(n) * m) // n for n, m in zip(shape, region.shape, strict=True))
    return region[rows[:, None], columns[None]]


def at_least(region: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """As `_nearest`, but no marked pixel is lost where the picture shrinks: a small lesion stays to be seen."""
    out = _nearest(region, shape)
    rows, columns = (at * n // m for at, n, m in zip(np.nonzero(region), shape, region.shape, strict=True))
    out[rows, columns] = True
    return out


def outlined(picture: np.ndarray, lung: np.ndarray) -> np.ndarray:
    """A line around the lungs, bool (H, W), on the tissue beside them, so that it hides nothing of the lung."""
    from scipy.ndimage import binary_dilation

    out = picture.copy()
    out[binary_dilation(lung, np.ones((3, 3))) & ~lung] = rgb(OUTLINE).astype(np.uint8)
    return out
