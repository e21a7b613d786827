"""From a patient to the picture of one slice: frame, tissues in the order they are painted, scanner."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from covidseg.phantom import anatomy, surroundings
from covidseg.phantom import lesions as disease_of
from covidseg.phantom.fields import FLOAT, step, texture, upsample
from covidseg.phantom.vessels import draw_tree

COARSE = 120  # cells across the grid on which distances are computed


@dataclass(frozen=True)
class Frame:
    """The picture: centres of its rows and columns in mm, slice thickness, radius of the scanned circle."""

    ys: np.ndarray
    xs: np.ndarray
    thickness: float
    circle: float = np.inf

    @property
    def spacing(self) -> tuple[float, float]:
        return float(self.ys[1] - self.ys[0]), float(self.xs[1] - self.xs[0])

    @property
    def coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """The same field of view in COARSE rows and columns."""
        return tuple(_recentre(v, COARSE) for v in (self.ys, self.xs))


def _recentre(at: np.ndarray, n: int) -> np.ndarray:
    gap = float(at[1] - at[0])
    return (at[0] - 0.5 * gap + (np.arange(n) + 0.5) * gap * len(at) / n).astype(FLOAT)


@dataclass(frozen=True)
class Kernel:
    """What the scanner adds: edge enhancement 0..1 and noise in HU."""

    sharp: float
    noise: float


def draw_kernel(rng) -> Kernel:
    return Kernel(rng.random(), float(3 + rng.gamma(2.2, 7.0)))


def draw_frame(rng, p: anatomy.Patient, z: float, size: int, view: str) -> Frame:
    """Field of view around the trunk ("body", more or less tightly "whole") or the box of the lungs ("lungs").

    That box, at height z, is stretched square.
    """
    thickness = float(rng.choice([1.0, 1.5, 5.0, 7.0]))
    circle = np.inf
    if view == "body":
        fov = rng.uniform(0.78, 1.1) * (2 * (130 * p.width + p.muscle + p.fat) + 40)
        middle, extent = (rng.normal(0, 5), rng.normal(4, 8)), (fov, fov)
        if rng.random() < 0.4:
            circle = 0.5 * fov
    elif view == "whole":
        fov = rng.uniform(0.8, 1.5) * (2 * (130 * p.width + p.muscle + p.fat) + 40)
        middle, extent = (rng.normal(0, 0.04) * fov, rng.normal(0.02, 0.05) * fov), (fov, fov)
        circle = 0.5 * fov if rng.random() < 0.4 else np.inf
    else:
        y, x = np.arange(-140, 140, 4.0), np.arange(-170, 170, 4.0)
        inside = anatomy.lungs(p, x[None], y[:, None], z) < 0
        rows, columns = (np.flatnonzero(inside.any(k)) for k in (1, 0))
        rows, columns = (r if len(r) > 5 else np.array([15, 50]) for r in (rows, columns))
        middle = (0.5 * (x[columns[0]] + x[columns[-1]]), 0.5 * (y[rows[0]] + y[rows[-1]]))
        extent = tuple(v[r[-1]] - v[r[0]] + rng.uniform(8, 40) for v, r in ((x, columns), (y, rows)))
    grid = (np.arange(size) + 0.5) / size - 0.5
    ys, xs = ((middle[k] + grid * extent[k]).astype(FLOAT) for k in (1, 0))
    return Frame(ys, xs, thickness, circle)


class Canvas:
    """One slice in the making."""

    def __init__(self, rng, p: anatomy.Patient, frame: Frame, z: float):
        self.rng, self.p, self.frame, self.z = rng, p, frame, z
        self.size, self.pixel = len(frame.xs), float(np.sqrt(np.prod(frame.spacing)))
        self.fov = self.pixel * self.size
        ys, xs = frame.coarse
        wx, wy = (5.0 * w.plane(xs, ys, z) for w in p.warp)
        self.x, self.y = xs[None, :] + wx, ys[:, None] + wy  # every shape is bent alike, so none come apart
        self.at = (p, self.x, self.y, z)
        self.wall, self.tubes = anatomy.cage(*self.at), anatomy.great_tubes(*self.at)
        self.hu = np.full((self.size, self.size), anatomy.AIR, FLOAT)

    def fine(self, distance) -> np.ndarray:
        return upsample(distance, self.size)

    def cover(self, distance) -> np.ndarray:
        """Share of each pixel inside a shape, from the distance of its middle to the edge."""
        return np.clip(0.5 - distance / FLOAT(self.pixel), 0, 1)

    def paint(self, share, value) -> None:
        self.hu += share * (value - self.hu)

    def texture(self, bump: float) -> np.ndarray:
        """Noise whose bumps are that many mm apart."""
        return texture(self.rng, self.size, self.fov / bump)


def render(rng, p, trees, disease, frame: Frame, z: float, whole: bool = False):
    """True densities of a slice (size, size) float32 HU, labels and lung mask uint8.

    disease : None for a healthy chest; whole : with belly, neck and blankets, and lungs that end
    """
    c = Canvas(rng, p, frame, z)
    paint_couch(c)
    if whole:
        surroundings.paint_blankets(c, rng)
    wall = c.fine(c.wall)
    sheets = paint_trunk(c, wall)
    paint_middle(c, sheets)
    lung = anatomy.lungs(*c.at, c.wall, c.tubes) + 1.1 * p.surface.plane(*frame.coarse[::-1], z)
    if whole:
        surroundings.paint_belly(c)
        lung = lung + surroundings.tapering(p, float(p.level(z)))
    lung = c.fine(lung)
    healthy = healthy_lung(c, wall)
    labels, density = np.zeros(lung.shape, np.uint8), healthy
    if disease is not None:
        density = infect(c, disease, lung, healthy, labels)
    c.paint(c.cover(lung), density)
    paint_fissures(c, c.cover(lung + 1))
    paint_vessels(c, trees, c.cover(lung))
    if disease is not None and any(disease.effusion):
        wet = c.cover(c.fine(disease_of.effusion(disease, *c.at))) * (lung < 1)
        c.paint(wet, anatomy.WATER)
        labels[wet > 0.5] = 3
    if whole:
        surroundings.paint_neck(c)
    paint_bones(c)
    return c.hu, labels, ((lung < 0) & (labels != 3)).astype(np.uint8)


def healthy_lung(c: Canvas, wall) -> np.ndarray:
    """Air, with the weight of the lung pressing on its back and small vessels nobody can tell apart."""
    back = c.frame.ys[:, None]
    hu = c.p.lung_hu + c.p.gravity * back / 180 + 9 * c.texture(40) + 7 * c.texture(6) + 12 * c.texture(2.5)
    if c.p.dependent:
        hu = hu + c.p.dependent * np.exp(np.minimum(wall, 0) / 9) * step(back, 10, 70)
    return hu


def paint_fissures(c: Canvas, share) -> None:
    """The pleura between the lobes: a hair line that a thick slice smears out."""
    faint = 160 / (1 + 0.25 * c.frame.thickness)
    for side, plane in zip((-1, 1), c.p.fissures, strict=True):
        off, tilt, bend = plane
        x, y = c.x * side, c.y
        at = y - off - tilt * c.z - bend * (x - 60) ** 2 / 100
        d = c.fine(np.where(x > 0, np.abs(at) - 0.35, anatomy.FAR))
        line = np.clip(0.8 - d / max(c.pixel, 0.6), 0, 1) * share
        c.paint(line * (c.hu < -500), np.minimum(c.hu + faint, -300))


def infect(c: Canvas, disease, lung, healthy, labels) -> np.ndarray:
    """Write the labels of the infection and return the density of the sick lung."""
    ys, xs = c.frame.coarse
    ggo, solid = (c.fine(d) for d in disease_of.extent(c.p, disease, xs, ys, c.z))
    density, core = disease_of.appearance(c.rng, disease, ggo, solid, healthy, c.size, c.fov)
    inside = lung < 0
    labels[inside & (ggo < 0)] = 1
    labels[inside & (ggo < 0) & (core > 0.5)] = 2
    return density


def paint_couch(c: Canvas) -> None:
    p, x, y = c.p, c.frame.xs[None, :], c.frame.ys[:, None]
    curve = y - (90 * p.depth + 26 + p.muscle + p.fat + p.couch) + (x / 260) ** 2 * 40
    for at, thick, value in ((0, 3.0, -250.0), (14, 11.0, -900.0), (27, 3.0, -250.0)):
        c.paint(c.cover(np.abs(curve - at) - thick / 2), value)


def paint_trunk(c: Canvas, wall) -> np.ndarray:
    """Skin, fat, muscle with the fat between its sheets, and the fat inside; returns the texture of the sheets."""
    skin, muscle = (c.fine(d) for d in anatomy.trunk(*c.at))
    c.paint(c.cover(skin), 20.0)
    c.paint(c.cover(skin + 2.2), anatomy.FAT + 10 * c.texture(12))
    sheets = c.texture(16) + 0.5 * c.texture(6)
    between = step(wall, 10, 26) * step(np.abs(sheets), 0.55, 0.1)
    c.paint(c.cover(muscle), anatomy.MUSCLE - 130 * between + 5 * sheets)
    c.paint(c.cover(wall - 1), anatomy.FAT + 45)
    return sheets


def paint_middle(c: Canvas, sheets) -> None:
    """What lies under the diaphragm, and the heart with the great vessels."""
    for d, liver in zip(anatomy.domes(*c.at), (58, 46), strict=True):
        if d.min() < 2:
            c.paint(c.cover(c.fine(d)), liver + 5 * sheets)
    for name, d in c.tubes.items():
        if d.min() < 2:
            c.paint(c.cover(c.fine(d)), 38.0 if name == "oesophagus" else anatomy.BLOOD + c.p.contrast)


def paint_vessels(c: Canvas, trees, lung_share) -> None:
    """Vessels stand out from sick lung too; airways stay open in it, which shows as air bronchograms."""
    vessels, walls, lumen = (np.zeros_like(c.hu) for _ in range(3))
    at, half = (c.frame.xs, c.frame.ys, c.z), 0.5 * c.frame.thickness
    for tree in trees:
        if tree.airway:
            draw_tree(walls, tree, *at, 0.5 * half, 0.8)
            draw_tree(lumen, tree, *at, 0.5 * half)
        else:
            draw_tree(vessels, tree, *at, half)
    blood = anatomy.BLOOD + c.p.contrast
    c.paint(vessels * (c.hu < blood), blood)
    c.paint(0.8 * walls * lung_share, np.maximum(c.hu, -100.0))
    c.paint(lumen, -960.0)
    windpipe = anatomy.tube(c.p, anatomy.TRACHEA, c.x, c.y, c.z)
    if windpipe.min() < 0:
        d = c.fine(windpipe)
        c.paint(c.cover(d - 1.5), 40.0)
        c.paint(c.cover(d), -985.0)


def paint_bones(c: Canvas) -> None:
    """Each bone is a bright shell around marrow."""
    grain = c.texture(4)
    for d, marrow in anatomy.bones(*c.at, c.wall):
        if d.min() < 0:
            d = c.fine(d)
            c.paint(c.cover(d), 560.0)
            c.paint(c.cover(d + 1.8), marrow + 45 * grain)
    c.paint(c.cover(c.fine(anatomy.spinal_canal(*c.at))), 30.0)


def scan(rng, hu: np.ndarray, frame: Frame, kernel: Kernel) -> np.ndarray:
    """What the scanner makes of the densities: the blur or edges of its kernel, correlated noise, 12-bit range."""
    pixel = float(np.sqrt(np.prod(frame.spacing)))
    blur = max(0.5 / pixel, 0.35)
    hu = ndimage.gaussian_filter(hu, blur, truncate=2.5)
    if kernel.sharp > 0.4:
        hu += 1.8 * (kernel.sharp - 0.4) * (hu - ndimage.gaussian_filter(hu, 2 * blur, truncate=2.5))
    grain = max((0.75 - 0.4 * kernel.sharp) / pixel, 0.3)
    noise = ndimage.gaussian_filter(rng.standard_normal(hu.shape, FLOAT), grain, truncate=2.5)
    hu += noise * FLOAT(kernel.noise / max(float(noise.std()), 1e-6))
    if np.isfinite(frame.circle):
        ys, xs = frame.ys - frame.ys.mean(), frame.xs - frame.xs.mean()
        hu[ys[:, None] ** 2 + xs[None, :] ** 2 > frame.circle**2] = -1024
    return np.clip(hu, -1024, 3071).astype(FLOAT)
