"""Pulmonary vessels and airways: trees grown from the hila to points scattered in the lungs."""

from dataclasses import dataclass

import numpy as np

from covidseg.phantom.anatomy import Patient, lungs

# terminals; then root and first branches of one side: x, y, level
STEMS = {
    "artery": (130, (20, -2, 0.53), (36, 8, 0.50), (46, 18, 0.38), (44, -12, 0.66), (58, -18, 0.44)),
    "vein": (90, (20, -6, 0.45), (34, -8, 0.45), (44, 26, 0.36), (42, -24, 0.60), (52, -34, 0.42)),
}
HILUM = (26.0, 2.0)
PIECES = 3  # straight segments from fork to fork
TERMINAL, MURRAY = 0.42, 2.15  # radius of a terminal vessel in mm; exponent of the calibre at a fork


@dataclass(frozen=True)
class Tree:
    """Segments (n, 3) start and end in mm with their radius (n,)."""

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray
    airway: bool = False


def _targets(p: Patient, rng, side: int, n: int) -> np.ndarray:
    """Points inside one lung, evenly scattered."""
    cand = np.stack([
        side * rng.uniform(12, 128 * p.width, 3 * n), rng.uniform(-92, 92, 3 * n) * p.depth,
        p.z(rng.uniform(0.02, 0.99, 3 * n)),
    ], 1)  # fmt: skip
    return cand[lungs(p, *cand.T) < -5][:n]


def _grow(rng, stem: np.ndarray, targets: np.ndarray, pieces: int = PIECES) -> tuple[np.ndarray, np.ndarray]:
    """Join every target to the nearest part of the tree that leads outward: nodes (m, 3), parent (m,)."""
    root = stem[0]
    far = np.linalg.norm(targets - root, axis=1)
    targets = np.concatenate([stem[1:], targets[np.argsort(far * rng.uniform(0.75, 1.25, len(targets)))]])
    bows = rng.normal(0, 0.07, targets.shape)
    f = np.arange(1, pieces + 1)[:, None] / pieces
    nodes = np.empty((1 + pieces * len(targets), 3))
    outward = np.zeros_like(nodes)  # from the root, unit length
    reach, parent = np.zeros(len(nodes)), np.full(len(nodes), -1)
    nodes[0] = root
    for i, target in enumerate(targets):
        n = 1 + i * pieces
        to = target - nodes[:n]
        length = np.sqrt(np.einsum("ij,ij->i", to, to)) + 1e-6
        cosine = np.einsum("ij,ij->i", to, outward[:n]) / length
        k = int(np.argmin(length * (1.6 - 0.9 * cosine) + 0.12 * reach[:n]))
        new = slice(n, n + pieces)
        nodes[new] = nodes[k] + f * to[k] + 4 * f * (1 - f) * bows[i] * length[k]
        parent[new] = [k, *range(n, n + pieces - 1)]
        away = nodes[new] - root
        reach[new] = np.sqrt((away**2).sum(1))
        outward[new] = away / (reach[new, None] + 1e-6)
    return nodes, parent


def _twigs(p: Patient, rng, side: int, start: np.ndarray) -> Tree:
    """The smallest vessels one can still see, too many to be grown: short, thin, pointing away from the hilum."""
    away = start - np.array([side * HILUM[0] * p.width, HILUM[1], 0.0])
    away = away / np.linalg.norm(away, axis=1, keepdims=True) + rng.normal(0, 0.55, start.shape)
    end = start + away * rng.uniform(2, 9, (len(start), 1))
    return Tree(start, end, rng.uniform(0.3, 0.75, len(start)))


def _calibre(parent: np.ndarray, thick: float) -> np.ndarray:
    """Radius of the segment that ends in each node: by Murray's rule from the terminals it feeds."""
    feeds = np.zeros(len(parent))
    feeds[np.setdiff1d(np.arange(len(parent)), parent)] = 1
    for i in range(len(parent) - 1, 0, -1):  # a parent always stands before its children
        feeds[parent[i]] += feeds[i]
    return thick * TERMINAL * feeds ** (1 / MURRAY)


def grow_vessels(p: Patient) -> list[Tree]:
    """Arteries with their airways, and veins, of both lungs."""
    trees, rng = [], p.rng
    thick = rng.uniform(0.9, 1.2)
    for side in (-1, 1):
        places = _targets(p, rng, side, 1300)
        for kind, (count, *stem) in STEMS.items():
            stem = np.array([(side * x * p.width, y * p.depth, p.z(level)) for x, y, level in stem])
            targets, places = np.split(places, [int(count * rng.uniform(0.75, 1.25))])
            nodes, parent = _grow(rng, stem, targets)
            radius = np.minimum(_calibre(parent, thick), 7.5)
            first = slice(1, 1 + PIECES * (len(stem) - 1))
            radius[first] = np.maximum(radius[first], np.linspace(6.0, 3.6, radius[first].size))
            ends, starts = nodes[1:], nodes[parent[1:]]
            trees.append(Tree(starts, ends, radius[1:]))
            if kind == "artery":
                big = radius[1:] > 1.7
                shift = np.array([-side * 0.6, 0.75, 0.0])
                off = shift * radius[1:][big, None] * 1.75
                trees.append(Tree(starts[big] + off, ends[big] + off, 0.72 * radius[1:][big], airway=True))
        trees.append(_twigs(p, rng, side, places))
    carina = np.array([0, 2 * p.depth, p.z(0.585)])
    for side in (-1, 1):
        hilum = np.array([side * (HILUM[0] + 2) * p.width, 8 * p.depth, p.z(0.50 if side < 0 else 0.515)])
        lower = np.array([side * 42 * p.width, 24 * p.depth, p.z(0.36)])
        trees.append(Tree(np.array([carina, hilum]), np.array([hilum, lower]), np.array([6.2, 3.6]), airway=True))
    return trees


def draw_tree(image: np.ndarray, tree: Tree, xs: np.ndarray, ys: np.ndarray, z: float, half: float, grow: float = 0.0):
    """Raise `image` (h, w) to the share of each voxel that lies in the tree.

    xs, ys : centres of columns and rows, mm (in the straight frame of the tables); half : half the slice thickness
    """
    px, py = xs[1] - xs[0], ys[1] - ys[0]
    edge = 0.5 * (px + py)
    a, b, r = tree.start, tree.end, tree.radius + grow
    low, high = np.minimum(a[:, 2], b[:, 2]), np.maximum(a[:, 2], b[:, 2])
    for i in np.flatnonzero((low - r < z + half) & (high + r > z - half)):
        p0, p1, ri = a[i], b[i], r[i]
        dz = p1[2] - p0[2]
        f = np.array([0.0, 1.0])
        if abs(dz) > 1e-3:  # the part of the segment inside the slab
            f = np.clip(np.sort((z + np.array([-1, 1]) * (half + 0.5 * ri) - p0[2]) / dz), 0, 1)
        q0, q1 = p0 + f[0] * (p1 - p0), p0 + f[1] * (p1 - p0)
        off = max(abs(0.5 * (q0[2] + q1[2]) - z) - half, 0)
        if off >= ri:
            continue
        rad = np.sqrt(ri * ri - off * off)
        weight = min(1.0, 1.6 * rad / half)  # a thin vessel fills only part of a thick slice
        m = rad + edge
        c0, c1 = np.searchsorted(xs, [min(q0[0], q1[0]) - m, max(q0[0], q1[0]) + m])
        r0, r1 = np.searchsorted(ys, [min(q0[1], q1[1]) - m, max(q0[1], q1[1]) + m])
        if c0 >= c1 or r0 >= r1:
            continue
        x, y = xs[None, c0:c1], ys[r0:r1, None]
        e = q1 - q0
        h = np.clip(((x - q0[0]) * e[0] + (y - q0[1]) * e[1]) / (e[0] ** 2 + e[1] ** 2 + 1e-6), 0, 1)
        d = np.sqrt((x - q0[0] - h * e[0]) ** 2 + (y - q0[1] - h * e[1]) ** 2) - rad
        box = image[r0:r1, c0:c1]
        np.maximum(box, weight * np.clip(0.5 - d / edge, 0, 1), out=box)
