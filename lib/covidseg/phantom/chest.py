"""Chest-CT phantoms: seeded slices and volumes in Hounsfield units, with lung and lesion masks.

A phantom is no copy of anyone's scan. It is drawn from tables of the average chest (`phantom_anatomy`), grown
vessels (`phantom_vessels`) and lesions (`phantom_lesions`), then blurred and made noisy as a scanner would
(`phantom_render`). Upright convention: row 0 is anterior, column 0 the patient's right, slice 0 the lowest.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from covidseg.errors import UserError, unknown_name
from covidseg.phantom.anatomy import draw_patient
from covidseg.phantom.lesions import draw_disease, infected_area
from covidseg.phantom.render import Frame, draw_frame, draw_kernel, render, scan
from covidseg.phantom.surroundings import HIGHEST, LOWEST, draw_height
from covidseg.phantom.vessels import grow_vessels

DRAWN = ("body", "lungs")  # what "any" chooses from
VIEWS = ("any", *DRAWN, "whole")
LEAST_INFECTION = 600.0  # mm2; a slice drawn for its lesions shows more than this where its patient has it


@dataclass(frozen=True, eq=False)
class Phantom:
    """A slice (H, W) or a volume (H, W, D)."""

    hu: np.ndarray  # float32 in a slice, int16 in a volume
    labels: np.ndarray  # uint8: 0 none, 1 ground glass, 2 consolidation, 3 pleural effusion
    lung: np.ndarray  # uint8: 1 in the lungs, lesions included, effusion not
    patient: str
    spacing: tuple[float, ...]  # mm: row, column[, slice]


PhantomSlice = PhantomVolume = Phantom


@lru_cache(maxsize=8)
def _patient(seed: int):
    p = draw_patient(seed)
    return p, tuple(grow_vessels(p)), draw_disease(p)


def phantom_slice(
    seed: int,
    size: int = 512,
    lesions: bool = True,
    *,
    patient: int | None = None,
    level: float | None = None,
    view: str = "any",
) -> Phantom:
    """One axial slice.

    seed : chooses the height, the frame and the noise, and the patient too if `patient` is not given
    size : pixels to a side; the slice is drawn at that size, not shrunk to it
    lesions : False gives a slice without any label; True one with at least a little infection
    patient : slices with the same patient share one anatomy and one disease
    level : 0 at the lung bases .. 1 at the apices; by default drawn where the lesions are
    view : "body" shows the trunk and the couch; "lungs" is cut to the lungs and stretched square, as a resized
        COVID-SemiSeg slice is; "any" draws one of the two; "whole" is a slice of any height, from the belly to
        the neck, in a wider or narrower frame: many show little lung or none

    Returns Phantom with hu float32 (size, size), labels and lung uint8. The same arguments give the same slice.
    Raises UserError for a size below 32 or an unknown view.

    >>> phantom_slice(7, size=64).hu.shape
    (64, 64)
    """
    if size < 32:
        raise UserError(f"size={size} is too small for a chest: use 32 pixels or more.")
    if view not in VIEWS:
        raise unknown_name("view", view, VIEWS)
    number = int(seed if patient is None else patient)
    p, trees, disease = _patient(number)
    rng = np.random.default_rng([29, int(seed), number])
    if level is None:
        level = draw_height(rng) if view == "whole" else draw_level(rng, p, disease, lesions)
    z = float(p.z(level))
    shown = rng.choice(DRAWN, p=[0.65, 0.35]) if view == "any" else view
    frame = draw_frame(rng, p, z, size, shown)
    hu, labels, lung = render(rng, p, trees, disease if lesions else None, frame, z, view == "whole")
    hu = scan(rng, hu, frame, draw_kernel(rng))
    return Phantom(hu, labels, lung, f"phantom-{number:04d}", frame.spacing)


def draw_level(rng, p, disease, lesions: bool) -> float:
    """Near a lesion, drawn by its area, or anywhere in the lungs."""
    if not lesions:
        return float(rng.uniform(0.08, 0.93))
    area = np.array([lesion.axes[0] * lesion.axes[1] for lesion in disease.lesions])
    best, most = 0.4, 0.0
    for pick in rng.choice(len(area), 6, p=area / area.sum()):
        centre, axes = disease.lesions[pick].centre, disease.lesions[pick].axes
        at = float(p.level(centre[2] + rng.normal(0, 0.3) * axes[2]))
        if (found := infected_area(p, disease, p.z(at))) > most:
            best, most = at, found
        if most > LEAST_INFECTION:
            break
    return best


def phantom_volume(
    seed: int, shape: tuple[int, int, int] = (256, 256, 40), lesions: bool = True, *, view: str = "body"
) -> Phantom:
    """A whole scan of patient `seed`, from just below the lungs to just above; view "whole": from belly to neck.

    shape : (H, W, D), H = W. It is drawn slice by slice: 512 x 512 x 300 takes about 0.35 GB.
    Returns Phantom with hu int16, labels and lung uint8, all (H, W, D). Raises UserError for another shape.
    """
    if len(shape) != 3 or shape[0] != shape[1] or shape[0] < 32 or shape[2] < 1:
        raise UserError(f"shape={shape} is no volume: give (H, W, D) with H = W >= 32 and D >= 1.")
    size, _, slices = shape
    p, trees, disease = _patient(int(seed))
    rng = np.random.default_rng([31, int(seed)])
    low, high = (0.5 * LOWEST, HIGHEST) if view == "whole" else (-0.04, 1.04)
    levels = np.linspace(low, high, slices) if slices > 1 else np.array([0.4])
    gap = (high - low) * p.height / max(slices - 1, 1)
    frame = draw_frame(rng, p, 0.0, size, view if view in ("lungs", "whole") else "body")
    frame, kernel = Frame(frame.ys, frame.xs, gap, frame.circle), draw_kernel(rng)
    hu, labels, lung = np.empty(shape, np.int16), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    for k, level in enumerate(levels):
        tissue = np.random.default_rng([37, int(seed)])  # one texture through all slices
        one, labels[..., k], lung[..., k] = render(
            tissue, p, trees, disease if lesions else None, frame, float(p.z(level)), view == "whole"
        )
        hu[..., k] = np.rint(scan(rng, one, frame, kernel))
    return Phantom(hu, labels, lung, f"phantom-{seed:04d}", (*frame.spacing, gap))
