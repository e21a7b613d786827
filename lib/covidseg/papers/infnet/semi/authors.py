"""COVID-SemiSeg's 1,600 slices: the authors' own pseudo labels, and what experts say of some of them.

The slices are cut from the 20 volumes of P20 (`covidseg.data.layouts.semiseg_unlabelled`), renumbered from 1, cropped
to the lungs and stored in 8 bits. Measured here, not written anywhere:
- Number k of a volume is slice k + ``FIRST[volume]`` of P20. Of the 386 crops in seven volumes whose slice we have,
  each correlates better with that one than with the two before and the two after (0.75 or more, median 0.89).
- Crops keep the pixels of the original volume: 512 x 512 for coronacases, 630 x 630 for Radiopaedia.
- The 1,119 coronacases slices are stored upside down against all others, the labelled ones included, and in another
  window (their lungs are nearly black). Inf-Net labelled and Semi-Inf-Net learned them so.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from covidseg.data.layouts import stored_upside_down
from covidseg.data.transforms import resize_image, resize_mask, to_grey
from covidseg.errors import UserError
from covidseg.papers.infnet.edges import edge_map
from covidseg.papers.infnet.feed import SoftSlice
from covidseg.papers.infnet.semi.labels import LazySlices
from covidseg.papers.infnet.semi.pool import Unlabelled

__all__ = ["FIRST", "authors_pool", "authors_pseudo_labels", "expert_masks", "locate"]

FIRST = {  # volume of P20 -> what to add to a number
    "coronacases_001": 117,
    "coronacases_003": 76,
    "coronacases_004": 54,
    "coronacases_006": 75,
    "radiopaedia_27_86410_0": 17,
    "radiopaedia_36_86526_0": 3,
    "radiopaedia_4_85506_1": 16,
}
SIDES = {"coronacases": 512, "radiopaedia": 630}  # of the original slices
LEAST = 0.6  # correlation below which a crop does not count as found


def authors_pseudo_labels(mirror=None, *, ids: Iterable[str] | None = None, upright: bool = False) -> LazySlices:
    """The pseudo labels that the authors ship, as soft as they made them (`load_dataset` cuts them to masks).

    ids : some of them, in this order; None: all 1,600. upright : turn the coronacases slices over, as all others lie;
        False leaves every slice as Semi-Inf-Net saw it beside the others
    A sequence of `SoftSlice`, read when asked for. The edges are drawn as the authors drew them, by Canny.
    Raises UserError where the set is not on this machine, for an id that is not in it, and for a damaged picture.
    """
    volumes = _volumes(mirror)

    def load(name: str) -> SoftSlice:
        mask = _picture(volumes[name].mask, labels=True)
        edge = edge_map(mask, "canny")
        arrays = (_picture(volumes[name].image), mask / np.float32(255), edge)
        if arrays[0].shape != mask.shape:
            raise UserError(f"{volumes[name].mask} is {mask.shape}, its picture {arrays[0].shape}: not a pair.")
        grey, mask, edge = (_turned(name, array) if upright else array for array in arrays)
        return SoftSlice(name, grey / np.float32(255), mask, edge)

    return LazySlices(_known(volumes, ids), load)


def authors_pool(mirror=None, *, ids: Iterable[str] | None = None, upright: bool = False) -> list[Unlabelled]:
    """The same slices without labels, for `label_pool`."""
    volumes = _volumes(mirror)
    greys = ((name, _picture(volumes[name].image)) for name in _known(volumes, ids))
    return [Unlabelled(n, (_turned(n, grey) if upright else grey) / np.float32(255)) for n, grey in greys]


def expert_masks(
    mirror=None, *, ids: Iterable[str] | None = None, upright: bool = False, least: float = LEAST
) -> dict[str, np.ndarray]:
    """What P20's experts drew on the slices of `authors_pseudo_labels`: id -> bool (H, W), on the same grid.

    Only slices of the volumes in `FIRST` that are on this machine are there. Where in its P20 slice a crop lies, says
    `locate`; crops that correlate less than ``least`` are left out. A reduced copy of P20 (256 pixels a side) gives
    masks true to about two of the crop's pixels, so Dice of small lesions reads a little low; and one that holds only
    infected slices says nothing of false alarms.
    Raises UserError where one of the two sets is not on this machine.
    """
    from covidseg.data.datasets import load_dataset
    from covidseg.data.layouts import semiseg_source

    p20 = load_dataset("p20", infected_only=False, mirror=mirror)
    here, volumes, found = set(p20.ids), _volumes(mirror), {}
    for name in _known(volumes, ids):
        volume, number = semiseg_source(name)
        case_id = f"{volume}_{number + FIRST.get(volume, 0):04d}"
        if volume not in FIRST or case_id not in here:
            continue
        case, side = p20.case(case_id), SIDES[volume.partition("_")[0]]
        picture = resize_image(torch.from_numpy(to_grey(case.image, case.intensity)), side).numpy()
        crop = _turned(name, _picture(volumes[name].image))
        row, column, correlation = locate(picture, crop)
        if correlation >= least:
            mask = resize_mask(torch.from_numpy(case.infection), side).numpy()
            mask = mask[row : row + crop.shape[0], column : column + crop.shape[1]]
            found[name] = mask if upright else _turned(name, mask)
    return found


def locate(picture: np.ndarray, crop: np.ndarray) -> tuple[int, int, float]:
    """Where in a picture a crop fits best: (row, column) of its first pixel, and the correlation there, -1 to 1.

    Normalised cross-correlation, so brightness and contrast may differ. Raises UserError if the crop is the larger.
    """
    from scipy.signal import fftconvolve

    picture, crop = np.asarray(picture, float), np.asarray(crop, float) - np.mean(crop)
    if any(c > p for c, p in zip(crop.shape, picture.shape, strict=True)):
        raise UserError(f"A crop of {crop.shape} cannot lie in a picture of {picture.shape}.")
    ones = np.ones_like(crop)
    sums, squares = (fftconvolve(values, ones, mode="valid") for values in (picture, picture**2))
    spread = np.sqrt(np.maximum(squares - sums**2 / crop.size, 1e-9) * max((crop**2).sum(), 1e-9))
    fit = fftconvolve(picture, crop[::-1, ::-1], mode="valid") / spread
    row, column = np.unravel_index(fit.argmax(), fit.shape)
    return int(row), int(column), float(fit[row, column])


def _volumes(mirror) -> dict:
    from covidseg.data.datasets import find_volumes

    return {volume.name: volume for volume in find_volumes("semiseg-unlabelled", mirror)[1]}


def _known(volumes: dict, ids: Iterable[str] | None) -> list[str]:
    ids = list(volumes) if ids is None else list(ids)
    for name in ids:
        if name not in volumes:
            raise UserError(f"COVID-SemiSeg has no unlabelled slice called {name!r} (of {len(volumes)}).")
    return ids


def _picture(path: Path, labels: bool = False) -> np.ndarray:
    from covidseg.scans.pictures import read_picture

    return np.ascontiguousarray(read_picture(path, labels=labels)[0].T)


def _turned(name: str, array: np.ndarray) -> np.ndarray:
    """Upside down if it is one of the slices that are stored so, else as it is. Twice is nothing."""
    return np.ascontiguousarray(array[::-1]) if stored_upside_down(name) else array
