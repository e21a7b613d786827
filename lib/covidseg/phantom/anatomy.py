"""A patient: shapes of the chest in space, drawn once per patient seed and cut by every slice.

Heights are given as a level: 0 at the lung bases, 1 at the apices. The tables hold the shape of an
average adult chest in mm at those levels; a patient stretches, bends and shifts it.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from covidseg.phantom.fields import Noise3D, blend, capsule, carve, ellipse, step

HALF_WIDTH, HALF_DEPTH = 130.0, 90.0  # the average rib cage inside, at its widest

# level, half width, half depth, centre (row) of the rib cage inside
CAGE = np.array([
    (-0.10, 122, 84, 0), (0.00, 125, 88, 0), (0.20, 130, 92, 0), (0.40, 130, 91, 0), (0.60, 122, 84, 2),
    (0.75, 108, 74, 6), (0.88, 86, 58, 12), (0.96, 66, 42, 18), (1.03, 40, 16, 22),
])  # fmt: skip

# name: rows of (level, x, y, half axis along, half axis across, angle in degrees)
SOFT_TUBES = {
    "heart": [(0.04, 30, -36, 40, 22, -28), (0.12, 28, -34, 60, 40, -30), (0.22, 22, -31, 64, 46, -32),
              (0.32, 17, -28, 59, 46, -36), (0.40, 12, -26, 50, 42, -42), (0.46, 8, -24, 42, 34, -50),
              (0.52, 2, -22, 30, 26, -50)],
    "ascending aorta": [(0.40, -8, -26, 17, 17, 0), (0.50, -12, -28, 17, 17, 0), (0.62, -12, -26, 17, 17, 0),
                        (0.68, -6, -18, 17, 15, 0)],
    "aortic arch": [(0.655, 4, -4, 30, 14, 52), (0.72, 5, -4, 26, 11, 52)],
    "descending aorta": [(-0.15, 4, 30, 11, 11, 0), (0.10, 10, 28, 12, 12, 0), (0.30, 18, 26, 12.5, 12.5, 0),
                         (0.50, 23, 24, 13, 13, 0), (0.68, 20, 16, 14, 13, 0)],
    "pulmonary trunk": [(0.44, 14, -36, 15, 15, 0), (0.52, 16, -34, 15, 14, 0), (0.57, 18, -26, 20, 13, 40)],
    "right pulmonary artery": [(0.50, -16, -6, 27, 9, 8), (0.56, -14, -6, 27, 10, 8)],
    "vena cava": [(0.36, -26, -16, 13, 13, 0), (0.50, -27, -20, 10, 11, 0), (0.72, -25, -22, 9, 9, 0),
                  (0.95, -26, -14, 7, 8, 0)],
    "oesophagus": [(-0.1, 10, 16, 8, 7, 0), (0.30, 6, 18, 8, 6, 0), (0.60, 5, 17, 8, 6, 0), (1.1, 4, 22, 8, 6, 0)],
    "brachiocephalic": [(0.69, -6, -20, 8, 7, 0), (0.85, -14, -12, 7, 7, 0), (1.0, -24, -8, 6, 6, 0)],
    "left carotid": [(0.70, 8, -10, 5, 5, 0), (1.0, 16, -4, 4.5, 4.5, 0)],
    "left subclavian": [(0.70, 18, 2, 6, 6, 0), (0.86, 22, 6, 6, 6, 0), (1.0, 34, 0, 6, 6, 0)],
    "left brachiocephalic vein": [(0.70, -2, -30, 22, 6, -8), (0.78, 6, -30, 24, 6, -16), (0.84, 20, -24, 10, 7, -20)],
}  # fmt: skip
SOFT_TUBES = {name: np.array(rows) for name, rows in SOFT_TUBES.items()}
TRACHEA = np.array(
    [(0.585, 0, 2, 9, 8, 0), (0.62, -1, 2, 9.5, 8.5, 0), (0.8, -1, 6, 9, 9.5, 0), (1.1, 0, 8, 8.5, 9, 0)]
)
MEDIASTINUM = np.array([  # the fat between the lungs behind the breast bone
    (0.0, 8, -64, 34, 20, 0), (0.20, 8, -64, 30, 20, 0), (0.40, 2, -60, 22, 30, 0), (0.55, 2, -48, 16, 40, 0),
    (0.68, -2, -44, 20, 34, 0), (0.80, -2, -26, 30, 30, 0), (0.92, 0, -10, 38, 34, 0), (1.05, 0, 0, 52, 48, 0),
])  # fmt: skip

FAR = 60.0  # mm: the distance to something that is not in the slice
BLOOD, MUSCLE, FAT, WATER, AIR = 42.0, 52.0, -102.0, 8.0, -1000.0


@dataclass
class Patient:
    """What is the same in every slice of one patient. Lengths in mm, densities in HU."""

    seed: int
    height: float = 0.0  # lungs, base to apex
    width: float = 0.0  # of the chest over the average one
    depth: float = 0.0
    fat: float = 0.0  # subcutaneous
    muscle: float = 0.0
    breast: float = 0.0  # 0 for none
    arms_down: bool = False
    lung_hu: float = 0.0
    gravity: float = 0.0  # HU from front to back
    contrast: float = 0.0  # HU added to blood
    heart: float = 1.0
    domes: tuple[float, float] = (0.2, 0.15)  # levels of the right and left diaphragm
    rib_phase: float = 0.0
    couch: float = 0.0
    power: float = 2.1  # 2 for an oval chest, more for a boxy one
    dependent: float = 0.0  # HU added along the back wall, where every lying lung is dense
    fissures: tuple = ()  # oblique fissure right and left: row at mid height, slope, bow
    warp: tuple[Noise3D, ...] = ()
    surface: Noise3D | None = None
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def level(self, z):
        """Height in mm to level."""
        return z / self.height + 0.5

    def z(self, level):
        """Level to height in mm; 0 is the middle of the lungs."""
        return (level - 0.5) * self.height


def draw_patient(seed: int) -> Patient:
    """A patient of any build, all chances in one place."""
    rng = np.random.default_rng([19, seed])
    female = rng.random() < 0.45
    width = rng.normal(0.93 if female else 1.02, 0.06)
    p = Patient(
        seed=seed,
        height=rng.normal(215 if female else 240, 18),
        width=width,
        depth=width * rng.normal(1.03, 0.09),
        fat=float(np.clip(rng.gamma(3.2, 5.5), 4, 42)),
        muscle=rng.uniform(8, 15),
        breast=rng.uniform(0.5, 1.2) if female else 0.0,
        arms_down=rng.random() < 0.12,
        lung_hu=rng.normal(-855, 28),
        gravity=rng.uniform(15, 90),
        contrast=rng.uniform(60, 190) if rng.random() < 0.25 else rng.uniform(-8, 8),
        heart=rng.normal(1.0, 0.09),
        domes=(d := rng.normal(0.17, 0.04), d - rng.uniform(0.0, 0.08)),
        rib_phase=rng.random(),
        dependent=max(0.0, rng.normal(30, 55)),
        couch=rng.uniform(2, 18),
        power=rng.uniform(1.95, 2.3),
        rng=rng,
    )
    p.fissures = tuple((rng.normal(12, 8), rng.uniform(0.5, 0.9), rng.normal(0, 0.5)) for _ in "rl")
    p.warp = tuple(Noise3D(rng, 90.0) for _ in "xy")
    p.surface = Noise3D(rng, 22.0)
    return p


def _row(table, level):
    """Columns of a table at a level, or at an array of levels; held constant beyond its ends."""
    at = table[:, 0]
    i = np.clip(np.searchsorted(at, level) - 1, 0, len(at) - 2)
    f = np.clip((level - at[i]) / (at[i + 1] - at[i]), 0, 1)
    rows = table[i, 1:] + f[..., None] * (table[i + 1, 1:] - table[i, 1:])
    # plain floats where the level is one: NumPy's own scalars would turn float32 arrays into float64
    return list(np.moveaxis(rows, -1, 0)) if rows.ndim > 1 else rows.tolist()


def tube(p: Patient, table, x, y, z, grow: float = 0.0):
    """Distance to a structure of the tables; its ends are round."""
    level = p.level(z)
    cx, cy, a, b, angle = _row(table, level)
    lo, hi = table[0][0], table[-1][0]
    grow = grow + (20 * (p.heart - 1) if table is SOFT_TUBES["heart"] else 0)
    a, b = a + grow, b + grow
    past = np.maximum(np.maximum(lo - level, level - hi), 0) * p.height  # mm past the end
    if np.ndim(level) == 0 and past > min(a, b):
        return np.full(np.broadcast(x, y).shape, FAR, np.float32)
    closed = np.sqrt(np.clip(1 - (past / np.minimum(a, b)) ** 2, 0.01, 1))
    if np.ndim(level) == 0:
        closed = float(closed)
    d = ellipse(x, y, cx * p.width, cy * p.depth, a * closed, b * closed, angle * math.pi / 180)
    return d if np.ndim(level) == 0 else np.where(past > np.minimum(a, b), FAR, d)


def cage(p: Patient, x, y, z, grow: float = 0.0):
    """Inner face of the rib cage; `grow` mm outside it for the layers of the wall."""
    level = p.level(z)
    w, d, cy = _row(CAGE, level)
    w, d, cy = w * p.width + grow, d * p.depth + grow, cy * p.depth
    whole = ellipse(x, y, 0, cy, w, d, power=p.power)
    for s in (-1, 1):  # the lungs reach back on either side of the spine
        whole = blend(whole, ellipse(x, y, s * 0.5 * w, cy + 0.26 * d, 0.44 * w, 0.8 * d), 20)
    apart = np.minimum(*(ellipse(x, y, s * 0.55 * w, cy, 0.45 * w, 0.95 * d) for s in (-1, 1)))
    top = step(level, 0.78, 0.97)
    top = top if np.ndim(level) else float(top)
    return whole * (1 - top) + apart * top


def spine_centre(p: Patient, z):
    """Row of the middle of the vertebral body."""
    _, d, cy = _row(CAGE, np.clip(p.level(z), 0, 0.75))
    return cy * p.depth + 0.5 * d * p.depth


def great_tubes(p: Patient, x, y, z) -> dict:
    """Distance to heart, vessels and oesophagus by name, without those that are not at this height."""
    tubes = {name: tube(p, table, x, y, z) for name, table in SOFT_TUBES.items()}
    return {name: d for name, d in tubes.items() if d.min() < 0.5 * FAR}


def mediastinum(p: Patient, x, y, z, tubes=None):
    """Everything soft between the lungs, with the fat that joins it."""
    yv = spine_centre(p, z)
    parts = ellipse(x, y, 0, yv + 14, 22, 32)
    parts = blend(parts, ellipse(x, y, 0, yv + 50, 34, 28), 12)
    for d in (great_tubes(p, x, y, z) if tubes is None else tubes).values():
        parts = blend(parts, d - 3.5, 10)
    parts = blend(parts, tube(p, TRACHEA, x, y, z, 4), 10)
    cx, cy, a, b, _ = _row(MEDIASTINUM, p.level(z))
    return blend(parts, ellipse(x, y, cx * p.width, cy * p.depth, a, b), 12)


def domes(p: Patient, x, y, z):
    """The two halves of the diaphragm and what lies under them: (right, left)."""
    result, c = [], 70.0
    for side, top, a in ((-1, p.domes[0], 62), (1, p.domes[1], 58)):
        zc = p.z(top) - c
        shrink = np.sqrt(np.clip(1 - (np.maximum(z - zc, 0) / c) ** 2, 1e-3, 1))
        shrink = shrink if np.ndim(z) else float(shrink)
        d = ellipse(x, y, side * 60 * p.width, -10 * p.depth, a * 1.25 * p.width * shrink, 92 * p.depth * shrink)
        result.append(
            np.where(z - zc > c, FAR, d).astype(np.float32) if np.ndim(z) == 0 else np.where(z - zc > c, FAR, d)
        )
    return result


def lungs(p: Patient, x, y, z, wall=None, tubes=None):
    """Distance to the lungs (without the warp of the patient): rib cage less mediastinum less diaphragm."""
    right, left = domes(p, x, y, z)
    below = np.minimum(right, left)
    d = carve(cage(p, x, y, z) if wall is None else wall, mediastinum(p, x, y, z, tubes), 9.0)
    return carve(d, below, 6.0)


def bones(p: Patient, x, y, z, wall) -> list:
    """(distance, HU of the marrow) of spine, ribs, breast bone and shoulders. wall : distance from `cage`."""
    vertebra = 0.5 + 0.5 * math.cos(2 * math.pi * (z / 25 + p.rib_phase))  # 1 in a vertebra, 0 in a disc
    return [
        (_spine(p, x, y, z), 60 + 120 * vertebra),
        (_ribs(p, x, y, z, wall), 230.0),
        (_sternum(p, x, y, z), 130.0),
        (np.maximum(_shoulders(p, x, y, z), 14 - wall), 260.0),
    ]


def spinal_canal(p: Patient, x, y, z):
    return ellipse(x, y, 0, spine_centre(p, z) + 22, 9, 8)


def _spine(p: Patient, x, y, z):
    """Vertebral body, arch, transverse and spinous processes."""
    yv = spine_centre(p, z)
    body = ellipse(x, y, 0, yv, 18, 14.5, power=2.3)
    arch = np.maximum(ellipse(x, y, 0, yv + 23, 15, 13), -spinal_canal(p, x, y, z))
    arch = np.minimum(arch, capsule(x, y, 0, yv + 34, 0, yv + 52, 2.6))
    for s in (-1, 1):
        arch = np.minimum(arch, capsule(x, y, s * 11, yv + 24, s * 32, yv + 30, 4.2))
    return np.minimum(body, arch)


def _ribs(p: Patient, x, y, z, wall):
    """They fall from back to front, so an axial slice cuts each of several once, on the slant."""
    along = np.arctan2(y, np.abs(x))  # -pi/2 at the front, pi/2 at the back
    fallen = 118 * (np.pi / 2 - along) / np.pi
    number = (z + fallen) / 24 + p.rib_phase + 0.1 * np.sign(x)
    off = np.abs(number - np.round(number)) * 24  # mm below or above the nearest rib
    ribs = np.sqrt((off * 0.75) ** 2 + (np.abs(wall - 6.5) * 1.3) ** 2) - 4.6
    return np.maximum(ribs, np.where(y < 0, 16, 20).astype(np.float32) - np.abs(x))


def _sternum(p: Patient, x, y, z):
    level = float(p.level(z))
    if not 0.22 < level < 0.84:
        return np.full(np.broadcast(x, y).shape, FAR, np.float32)
    _, d, cy = _row(CAGE, min(max(level, 0.25), 0.8))
    return ellipse(x, y, 0, (cy - d) * p.depth - 8, 26 if level > 0.66 else 18, 6.5, power=3.0)


def _shoulders(p: Patient, x, y, z):
    """Shoulder blades with spine and joint in the upper half; the humeri where the arms lie beside the chest."""
    level, d = float(p.level(z)), np.full(np.broadcast(x, y).shape, FAR, np.float32)
    w = float(np.interp(level, [0.4, 1.0], [118, 92])) * p.width
    for s in (-1, 1):
        if 0.5 < level < 1.1:
            d = np.minimum(d, capsule(x, y, s * (w + 30), 30, s * (w - 30), 74 * p.depth, 3.2))
        if 0.72 < level < 1.1:
            d = np.minimum(d, capsule(x, y, s * (w + 12), 44, s * (w + 26), 74, 3.0))
        if 0.84 < level < 1.1:
            d = np.minimum(d, ellipse(x, y, s * (w + 52), 14, 20, 19))
        if p.arms_down:
            d = np.minimum(d, ellipse(x, y, s * _arm(p, level), 28, 11, 11))
    return d


def _arm(p: Patient, level: float) -> float:
    """Distance of a hanging arm from the middle."""
    return _row(CAGE, min(max(level, 0.2), 0.7))[0] * p.width + 68


def trunk(p: Patient, x, y, z):
    """Distances to the skin and to the muscle layer under the fat."""
    level = float(p.level(z))
    w, d, cy = _row(CAGE, min(max(level, -0.1), 0.72))
    shoulder = float(step(level, 0.55, 1.0))
    w = w * p.width + 10 + p.muscle + 34 * shoulder
    d = d * p.depth + 11 + 0.6 * p.muscle + 4 * shoulder
    cy = cy * p.depth + 6 - 3 * shoulder
    muscle = ellipse(x, y, 0, cy, w, d, power=p.power + 0.15)
    fat_side, fat_front = p.fat * (1.15 - 0.4 * shoulder), p.fat * 0.8
    skin = ellipse(x, y, 0, cy + 2, w + fat_side + 2, d + fat_front + 2, power=p.power + 0.1)
    if p.breast and 0.05 < level < 0.75:
        swell = p.breast * math.sin(math.pi * (level - 0.05) / 0.7)
        for s in (-1, 1):  # lying on the back they spread to the sides
            breast = ellipse(x, y, s * 88 * p.width, cy - 0.62 * d, 66 * p.width, 12 + 34 * swell, s * 0.45)
            skin = blend(skin, breast, 34)
    if p.arms_down:
        for s in (-1, 1):
            arm = s * _arm(p, level)
            skin = np.minimum(skin, ellipse(x, y, arm, 28, 42 + 0.4 * p.fat, 44 + 0.4 * p.fat))
            muscle = np.minimum(muscle, ellipse(x, y, arm, 28, 37, 38))
    return skin, muscle
