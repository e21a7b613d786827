"""COVID-19 in the phantom: ground glass, consolidation, crazy paving, air bronchograms, effusion.

A patient has lesions in space; their place follows the reports of 2020 (peripheral, posterior, bilateral,
more often in the lower lobes). A lesion is an ellipsoid whose surface is roughened by smooth noise; deep
inside it, or where the noise is high, ground glass turns into consolidation.
"""

from dataclasses import dataclass

import numpy as np

from covidseg.phantom.anatomy import FAR, Patient, cage, lungs
from covidseg.phantom.fields import Noise3D, blend, step, texture


@dataclass(frozen=True)
class Lesion:
    """Centre and half axes (along the pleura, into the lung, in height) in mm; inward is a unit vector (x, y)."""

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    inward: tuple[float, float]
    rough: float
    solid: float  # how readily it consolidates; below 0 stays ground glass


@dataclass(frozen=True)
class Disease:
    """The lesions of one patient and what they have in common."""

    lesions: tuple[Lesion, ...]
    coarse: Noise3D
    fine: Noise3D
    ggo_hu: float
    solid_hu: float
    paving: float  # HU of the thickened septa over the glass
    uneven: float  # HU, texture of the glass
    soft: float  # mm over which a border fades
    effusion: tuple[float, float]  # height of the fluid right and left, mm


def draw_disease(p: Patient) -> Disease:
    """Any load from a single nodule of ground glass to both lungs."""
    rng = np.random.default_rng([23, p.seed])
    load = rng.beta(1.0, 1.3)
    count = 1 + rng.poisson(1.5 + 11 * load)
    severe = rng.random()
    sides = (rng.choice([-1, 1]),) if rng.random() < 0.15 else (-1, 1)
    lesions = []
    while not lesions:  # a place outside the lungs gives None
        drawn = (_draw_lesion(p, rng, rng.choice(sides), load, severe) for _ in range(count))
        lesions = [lesion for lesion in drawn if lesion]
    fluid = [rng.uniform(8, 40) if load > 0.35 and rng.random() < 0.09 else 0.0 for _ in "rl"]
    return Disease(
        tuple(lesions),
        Noise3D(rng, rng.uniform(12, 24)),
        Noise3D(rng, rng.uniform(3.5, 7)),
        ggo_hu=rng.normal(-500, 80),
        solid_hu=rng.normal(-70, 60),
        paving=max(0.0, rng.normal(60, 100)),
        uneven=rng.uniform(30, 110),
        soft=rng.uniform(2.5, 12.0),
        effusion=tuple(fluid),
    )


def _draw_lesion(p: Patient, rng, side: int, load: float, severe: float) -> Lesion | None:
    """One lesion on or under the pleura (four in five) or deeper; None where there is no lung to hold it."""
    peripheral = rng.random() < 0.8
    size = rng.uniform(0.7, 1.25) * (0.7 + 1.3 * load)
    z = float(p.z(np.clip(rng.normal(0.42, 0.2), 0.1, 0.93)))
    angle = rng.normal(0.6, 0.6) if rng.random() < 0.8 else rng.uniform(-1.3, 1.3)  # 0 lateral, pi/2 back
    out = np.array([side * np.cos(angle), np.sin(angle)])
    origin = np.array([side * 58 * p.width, 5 * p.depth])
    steps = np.arange(0, 130.0, 2.0)
    points = origin[:, None] + out[:, None] * steps
    inside = np.flatnonzero(lungs(p, *points, z) < 0)
    if not len(inside):
        return None
    reach = steps[inside[-1]]
    if peripheral:
        axes = np.array([rng.uniform(16, 44), rng.uniform(10, 27), rng.uniform(14, 40)]) * size
        reach -= rng.uniform(0.0, 0.7) * axes[1]
    else:
        axes = rng.uniform(8, 26, 3) * size
        reach *= rng.uniform(0.1, 0.95)
    centre = origin + out * reach
    solid = rng.normal(-0.95 + 1.2 * severe, 0.3)
    return Lesion((*centre, z), tuple(axes), tuple(-out), rng.uniform(0.2, 0.5), solid)


def extent(p: Patient, disease: Disease, xs, ys, z: float):
    """Ground glass and consolidation on the grid: distances (h, w) in mm, negative inside."""
    x, y = xs[None, :], ys[:, None]
    coarse, fine = disease.coarse.plane(xs, ys, z), disease.fine.plane(xs, ys, z)
    ggo = np.full((len(ys), len(xs)), FAR, np.float32)
    solid = ggo.copy()
    for lesion in disease.lesions:
        (cx, cy, cz), (along, deep, tall) = (tuple(map(float, v)) for v in (lesion.centre, lesion.axes))
        if abs(z - cz) > 1.8 * tall:
            continue
        nx, ny = map(float, lesion.inward)
        u, v = (x - cx) * ny - (y - cy) * nx, (x - cx) * nx + (y - cy) * ny
        f = np.sqrt((u / along) ** 2 + (v / deep) ** 2 + ((z - cz) / tall) ** 2)
        scale = min(along, deep)
        d = (f - 1 + lesion.rough * coarse) * scale + 2.6 * fine
        ggo = blend(ggo, d, 4.0)
        solid = np.minimum(solid, d + scale * (0.5 - 0.7 * lesion.solid) + (0.2 * scale + 2) * (0.5 * coarse + fine))
    return ggo, solid


def infected_area(p: Patient, disease: Disease, z: float) -> float:
    """About how much of a slice is infected, mm2, from a grid so coarse that it costs next to nothing."""
    xs, ys = np.arange(-130, 131, 6.5, dtype=np.float32), np.arange(-100, 101, 6.5, dtype=np.float32)
    ggo, _ = extent(p, disease, xs, ys, z)
    return 6.5**2 * float(((ggo < 0) & (lungs(p, xs[None, :], ys[:, None], z) < -2)).sum())


def effusion(disease: Disease, p: Patient, x, y, z: float):
    """Fluid gathers at the back of the pleural space: a crescent that thins toward the head."""
    d = np.full(np.broadcast(x, y).shape, FAR, np.float32)
    for side, height in zip((-1, 1), disease.effusion, strict=True):
        depth = height * float(step(0.75 - p.level(z), 0.0, 0.6))
        if depth < 2:
            continue
        floated = cage(p, x, y + depth, z)  # the lung floats up by `depth`
        d = np.minimum(d, np.maximum(-floated, 8 - side * x))
    return d


def appearance(rng, disease: Disease, ggo, solid, healthy, size: int, fov: float):
    """Density of the lung with its lesions, before vessels: (size, size) HU, and the share of consolidation.

    ggo, solid : distances in mm at full size; healthy : density of the lung without lesions
    """
    soft = disease.soft
    glass = 0.75 * step(-ggo, -0.5 * soft, 0.5 * soft) + 0.25 * step(-ggo, 0, 12)  # denser toward the middle
    uneven = 0.45 * texture(rng, size, fov / 8) + 0.7 * texture(rng, size, fov / 2.4)
    density = disease.ggo_hu + 30 + disease.uneven * uneven
    # thickened septa make a net of bright lines: crazy paving where it is strong
    cells = texture(rng, size, fov / 5) / 0.25
    net = np.exp(-cells * cells)
    density = density + disease.paving * net
    hu = healthy + glass * np.maximum(density - healthy, -30)
    core = step(-solid, -5.0, 6.0)
    streaks = texture(rng, size, fov / 3.5)
    packed = disease.solid_hu + 70 * np.minimum(streaks, 1.0) + 60 * texture(rng, size, fov / 1.8) + 70 * net
    hu = hu + core * np.maximum(packed - hu, 0)
    return hu, core
