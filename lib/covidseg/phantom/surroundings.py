"""What a whole scan shows besides the chest: the belly with its gas, the neck, blankets. Drawn for view "whole" alone.

Nets that learn from chests alone take gas in the bowel, the windpipe of the neck and folds of a blanket for lung.
"""

import numpy as np

from covidseg.phantom import anatomy
from covidseg.phantom.fields import ellipse, step

LOWEST, HIGHEST = -0.6, 1.25  # levels that "whole" draws; the lungs lie between about -0.1 and 1.05
BASE, TOP = -0.02, 1.0  # levels from which the lungs taper

# rows of (level, x, y, half axis along, half axis across, angle), as in `anatomy`
STOMACH = np.array([
    (-0.50, 14, -50, 44, 20, 8), (-0.30, 24, -46, 48, 26, 14), (-0.10, 48, -30, 38, 34, 20), (0.08, 52, -14, 28, 32, 0),
])  # fmt: skip
LIVER = np.array([
    (-0.50, -74, 0, 34, 52, 0), (-0.25, -58, -8, 58, 70, 0), (0.0, -48, -10, 72, 82, 0), (0.1, -46, -10, 70, 80, 0),
])  # fmt: skip
SPLEEN = np.array([(-0.28, 88, 24, 16, 30, -20), (-0.1, 86, 26, 24, 44, -20), (0.1, 78, 24, 26, 44, -20)])
KIDNEYS = [np.array([(-0.62, s * 56, 36, 26, 22, 0), (-0.26, s * 54, 38, 24, 24, 0)]) for s in (-1, 1)]


def tapering(p: anatomy.Patient, level: float) -> float:
    """mm to add to the distance to the lungs, so that they end above and below instead of going on for ever."""
    slow = np.random.default_rng([43, p.seed]).uniform(0.35, 1.1)
    return p.height * (slow * max(0.0, BASE - level) + 1.2 * max(0.0, level - TOP))


def draw_height(rng) -> float:
    """A level of a whole scan: one in five below the lungs, one in eight about their apices or above."""
    part = rng.random()
    if part < 0.2:
        return float(rng.uniform(LOWEST, 0.0))
    return float(rng.uniform(0.9, HIGHEST) if part < 0.33 else rng.uniform(-0.08, 1.0))


def paint_belly(c) -> None:
    """Organs under the diaphragm in place of the plain domes: liver, spleen, kidneys; stomach and bowel with gas."""
    p, level = c.p, float(c.p.level(c.z))
    if level > max(p.domes) + 0.02:
        return
    rng = np.random.default_rng([41, p.seed])
    room = np.minimum(*anatomy.domes(*c.at)) + 7
    if level < BASE:
        room = np.minimum(room, c.wall + 4 + 60 * max(0.0, level + 0.12))
    bones_of = ellipse(c.x, c.y, 0, anatomy.spine_centre(p, c.z) + 8, 30, 34)
    room = np.maximum(room, -bones_of)

    def organ(d, value, uneven=6.0):
        c.paint(c.cover(c.fine(np.maximum(d, room))), value + uneven * c.texture(9))

    if level < 0.02:
        organ(np.full_like(c.wall, -anatomy.FAR), anatomy.FAT + 8, 12)
    blood = 0.6 * c.p.contrast
    for table, value in ((LIVER, 58 + blood), (SPLEEN, 48 + blood), *((k, 34 + 1.5 * blood) for k in KIDNEYS)):
        organ(anatomy.tube(p, table, c.x, c.y, c.z), value)
    _hollow(c, rng, organ, anatomy.tube(p, STOMACH, c.x, c.y, c.z, rng.normal(0, 5)))
    for k in range(rng.integers(3, 9)):
        loop = np.random.default_rng([47, p.seed, k])  # its own, so that each slice draws it alike
        _hollow(c, loop, organ, _bowel(c, loop, level))


def _bowel(c, rng, level: float):
    """Distance to a loop of bowel: a short tube across, in front or at the sides."""
    p = c.p
    side, front, radius = rng.uniform(-95, 100) * p.width, rng.uniform(-72, 15) * p.depth, rng.uniform(9, 24)
    high, long, turn = rng.uniform(LOWEST, 0.12 if side > 30 else -0.15), rng.uniform(1.0, 2.4), rng.uniform(-0.7, 0.7)
    off = (level - high) * p.height / (2.2 * radius)
    if abs(off) >= 1:
        return np.full_like(c.wall, anatomy.FAR)
    radius *= float(np.sqrt(1 - off * off))
    return ellipse(c.x, c.y, side, front, long * radius, radius, turn)


def _hollow(c, rng, organ, d) -> None:
    """A stomach or bowel: its wall, what it holds, and gas floating in front of that."""
    holds, gas, crumbs = rng.uniform(-10, 60), rng.random(), rng.random()
    if d.min() > 0:
        return
    organ(d, 40.0)
    organ(d + 2.5, holds, 8 if crumbs < 0.6 else 130)  # what looks like crumbs is mixed with gas
    rows = np.flatnonzero((d < 0).any(1))
    low, high = (float(c.y[row].mean()) for row in rows[[0, -1]])
    surface = c.y - (low + (1.4 * gas - 0.3) * (high - low))  # below 0: no gas; above 1: nothing else
    organ(np.maximum(d + 3.0, surface), -970.0, 5)


def paint_neck(c) -> None:
    """Above the tables of the chest: the windpipe goes on, and muscle takes the place of the fat around it."""
    level = float(c.p.level(c.z))
    if level < 1.0:
        return
    rise = float(step(level, 1.0, 1.12))
    muscle = ellipse(c.x, c.y, 0, 26, 62 * rise + 1, 50 * rise + 1, power=2.3)
    c.paint(c.cover(c.fine(muscle)), anatomy.MUSCLE - 60 * step(np.abs(c.texture(10)), 0.5, 0.1))
    for side in (-1, 1):
        c.paint(c.cover(c.fine(ellipse(c.x, c.y, side * 24, 6, 7, 7))), anatomy.BLOOD + c.p.contrast)
    d = c.fine(ellipse(c.x, c.y, 0, 6, 9, 9.5))
    c.paint(c.cover(d - 1.5), 40.0)
    c.paint(c.cover(d), -985.0)


def paint_blankets(c, rng) -> None:
    """Folds of cloth and cables in the air around the patient: thin, wavy, of any density."""
    skin = c.fine(anatomy.trunk(*c.at)[0])
    for _ in range(rng.integers(0, 4)):
        wave = rng.uniform(3, 30) + rng.uniform(2, 12) * c.texture(rng.uniform(25, 90))
        line = np.abs(skin - wave) - rng.uniform(0.3, 1.1)
        c.paint(c.cover(line) * (skin > 2), rng.uniform(-800, 250))
