"""The lungs of a scan by the kit's own network, or a line that says why its answer is not used."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from covidseg.inference import predict
from covidseg.lungs.greys import as_in_the_lung_window
from covidseg.lungs.sides import (
    LEFT,
    RIGHT,
    box_of,
    coarse,
    finer,
    finer_box,
    keep_large,
    sampled,
    stride,
    tell_apart,
)
from covidseg.nn.weights import LoadedWeights, load_weights

__all__ = ["BUNDLED", "Lungs", "find_lungs", "lungs_of", "shipped"]

BUNDLED = Path(__file__).with_name("lungs_phantom.pt")
CLOSING = 8.0  # mm: dents of the border that are narrower than twice this are lung; larger ones may be heart
CLOSING_SHARE = 0.022  # of the picture's width, where nobody knows its millimetres
ROOM, ROOM_SHARE = 20.0, 0.055  # how far around the mask a finding may reach
HOLE, HOLE_SHARE = 4.0, 0.0025  # cm2, or share of the picture: larger holes are left
LEAST, MOST = 15.0, 500.0  # cm2 of lung in the slice that shows most of it: smaller is no chest, larger no human one
LEAST_SHARE, MOST_SHARE = 0.01, 0.8  # the same as shares of the picture; a crop to the lungs is half lung
MOST_LITRES = 12.0


@dataclass(frozen=True)
class Lungs:
    """mask : uint8 (H, W, D), 0, RIGHT, LEFT, or 0 and 1 where the sides are not told apart; None if not to be used.
    room : the same and some way around it, where a network may look for infection: see `settle`
    """

    mask: np.ndarray | None
    room: np.ndarray | None = None
    touching: bool = False
    source: str = "the kit's own network"
    problem: str = ""  # why there is no mask

    @property
    def told_apart(self) -> bool:
        return self.mask is not None and bool((self.mask == LEFT).any())

    def settle(self, found: np.ndarray) -> None:
        """What a network marked in the room, (H, W, D), in place: a finding, connected within its slice, stays whole
        where at least half of it lies in the lungs, and what it covers becomes lung; of others the part in the lungs
        stays.
        """
        if self.mask is None or self.room is self.mask:
            return
        for z in range(found.shape[2]):
            if not found[:, :, z].any():
                continue
            box = box_of(found[:, :, z])
            here, lung = found[*box, z], self.mask[*box, z]
            parts, n = ndimage.label(here)
            whole = 2 * np.bincount(parts[lung != 0], minlength=n + 1) >= np.bincount(parts.ravel())
            stays = (here != 0) & (whole[parts] | (lung != 0))
            here[~stays] = 0
            lung[stays] = self.room[*box, z][stays]


def find_lungs(
    volume: np.ndarray, intensity: str, spacing: tuple[float, ...] = (), device: str | torch.device | None = None
) -> Lungs:
    """volume : (H, W, D), upright, as `covidseg.scans.read.read_scan` gives it; spacing in mm, nan where unknown.

    The network's mask, slice by slice, without islands and small holes, and with its dents closed (CLOSING). A
    consolidation at the pleura is as bright as the chest wall, and a large one is missing in that mask; so infection is
    looked for up to ROOM around it, and `Lungs.settle` says what stays.
    """
    weights = shipped()
    volume = as_in_the_lung_window(volume, intensity)
    mask = predict(weights.model, volume, weights.preprocessing, intensity, device=device)
    _tidy(mask, spacing)
    if problem := _problem(mask, spacing):
        return Lungs(None, problem=problem)
    touching = _numbered(mask)
    return Lungs(mask, _room(mask, _pixels(ROOM, ROOM_SHARE, mask.shape, spacing)), touching)


def lungs_of(mask: np.ndarray, source: str) -> Lungs:
    """Somebody's lung mask with its sides told apart, in place; it is taken at its word, so the room is the mask."""
    return Lungs(mask, mask, _numbered(mask), source)


def _numbered(mask: np.ndarray) -> bool:
    """Write the sides into a mask; returns whether the lungs touch."""
    small, touching = tell_apart(coarse(mask))
    if (small == LEFT).any():
        for z in range(mask.shape[2]):
            _number(mask[:, :, z], small[:, :, z])
    return touching


def _room(mask: np.ndarray, radius: float) -> np.ndarray:
    """The mask grown by ``radius`` (of the coarse grid) within each slice, with the number of the nearer lung."""
    room = mask.copy(order="K")  # slices stay whole in memory
    for z in range(mask.shape[2]):
        small = sampled(mask[:, :, z])
        if small.any():
            far, nearest = ndimage.distance_transform_edt(small == 0, return_indices=True)
            near = np.where(far <= radius, small[tuple(nearest)], 0)
            box = finer_box(near, mask.shape)
            here = room[*box, z]
            np.copyto(here, finer(near, mask.shape, box), where=here == 0)
    return room


def _pixels(mm: float, share: float, shape, spacing) -> float:
    """A length in columns of the coarse grid; a share of the picture's width where millimetres are not known."""
    return (mm / spacing[1] if _known(spacing) else share * shape[1]) / stride(shape)


def _known(spacing) -> bool:
    return len(spacing) > 1 and bool(np.isfinite(spacing[:2]).all()) and min(spacing[:2]) > 0


def _number(mask: np.ndarray, sides: np.ndarray) -> None:
    """Voxels of a slice between two coarse ones take the number of the nearest that has one."""
    if not mask.any():
        return
    if not sides.any():
        sides = np.where(np.arange(sides.shape[1]) < sides.shape[1] / 2, RIGHT, LEFT) * np.ones_like(sides)
    nearest = ndimage.distance_transform_edt(sides == 0, return_distances=False, return_indices=True)
    box = box_of(mask)
    mask[box] = np.where(mask[box] != 0, finer(sides[tuple(nearest)], mask.shape, box), 0)


@cache
def shipped() -> LoadedWeights:
    """The lung network that comes with the kit."""
    return load_weights(BUNDLED)


def _tidy(mask: np.ndarray, spacing) -> None:
    """In place: islands dropped, dents closed, small holes filled."""
    keep = keep_large(coarse(mask))
    radius = _pixels(CLOSING, CLOSING_SHARE, mask.shape, spacing)
    hole = HOLE * 100 / (spacing[0] * spacing[1]) if _known(spacing) else HOLE_SHARE * mask[:, :, 0].size
    for z in range(mask.shape[2]):
        if not keep[:, :, z].any():
            mask[:, :, z] = 0
            continue
        near = ndimage.binary_dilation(keep[:, :, z], iterations=2)
        added = _closed(keep[:, :, z], radius) & ~keep[:, :, z]
        box = finer_box(near | added, mask.shape)
        one = (mask[*box, z] != 0) & finer(near, mask.shape, box)
        one |= finer(added, mask.shape, box)
        mask[:, :, z] = 0
        mask[*box, z] = one
        if one.any():
            _fill(mask[:, :, z], hole)


def _fill(mask: np.ndarray, most: float) -> None:
    """The holes of a slice up to ``most`` pixels, in place: vessels. A large one is the dome of the diaphragm."""
    mask = mask[box_of(mask, around=1)]  # what reaches the border of this box reaches that of the picture
    parts, n = ndimage.label(mask == 0)
    if n < 2:
        return
    small = np.bincount(parts.ravel()) <= most
    small[0] = True  # the mask itself
    for edge in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        small[edge[edge > 0]] = False
    mask[...] = small[parts]


def _closed(mask: np.ndarray, radius: float) -> np.ndarray:
    """Closing by a disc (radius in pixels), each part of a slice for itself: lung and lung must not grow together."""
    parts, _ = ndimage.label(mask)
    pad = int(radius) + 2
    result = mask.copy()
    for k, box in enumerate(ndimage.find_objects(parts), 1):
        one = np.pad(parts[box] == k, pad)
        grown = ndimage.distance_transform_edt(~one) <= radius
        result[box] |= (ndimage.distance_transform_edt(grown) > radius)[pad:-pad, pad:-pad]
    return result


def _problem(mask: np.ndarray, spacing) -> str:
    """ "" if the mask may be lungs."""
    pixels = np.array([np.count_nonzero(mask[:, :, z]) for z in range(mask.shape[2])])
    if not pixels.any():
        return "no lungs were found"
    steps = np.asarray(spacing, float)
    share = pixels.max() / mask[:, :, 0].size
    if not LEAST_SHARE <= share <= MOST_SHARE:
        return f"what looks like lung fills {share:.1%} of the fullest slice, which lungs do not"
    if _known(spacing):
        cm2 = pixels.max() * steps[0] * steps[1] / 100
        if not LEAST <= cm2 <= MOST:
            return f"what looks like lung has {cm2:.0f} cm2 in the fullest slice, lungs {LEAST:.0f} to {MOST:.0f}"
    if len(steps) > 2 and np.isfinite(steps).all() and steps.min() > 0:
        litres = pixels.sum() * steps.prod() / 1e6
        if litres > MOST_LITRES:
            return f"what looks like lung has {litres:.0f} litres, more than anyone's lungs"
    return ""
