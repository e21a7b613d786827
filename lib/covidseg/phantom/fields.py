"""Fields on a grid: the small vocabulary in which the phantom is written.

A shape is a signed distance in mm, negative inside. Distances are smooth, so they are computed on a
coarse grid and interpolated to the pixels by two matrix products; only then are they cut at zero.
A texture is a cubic B-spline with random coefficients. Lengths are mm; x points to the patient's left,
y to the back, z to the head.
"""

from functools import lru_cache

import numpy as np

FLOAT = np.float32
SPLINE_STD = np.sqrt(151 / 315)  # of a cubic B-spline with unit normal coefficients, per axis


def _cubic_weights(f: np.ndarray, spline: bool) -> np.ndarray:
    """Weights (n, 4) of the four neighbours at fraction f: B-spline (smooths) or Catmull-Rom (interpolates)."""
    g = 1 - f
    if spline:
        return np.stack([g**3, 3 * f**3 - 6 * f**2 + 4, 3 * g**3 - 6 * g**2 + 4, f**3], -1) / 6
    return np.stack([-f * g**2, 2 - 5 * f**2 + 3 * f**3, 2 - 5 * g**2 + 3 * g**3, -g * f**2], -1) / 2


@lru_cache(maxsize=64)
def resampler(n_out: int, n_in: int, spline: bool = False) -> np.ndarray:
    """Matrix (n_out, n_in) that takes n_in cell centres over an interval to n_out cell centres over the same."""
    at = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    left = np.floor(at).astype(int)
    weights = _cubic_weights(at - left, spline)
    matrix = np.zeros((n_out, n_in), FLOAT)
    for k in range(4):
        np.add.at(matrix, (np.arange(n_out), np.clip(left + k - 1, 0, n_in - 1)), weights[:, k])
    return matrix


def upsample(field: np.ndarray, size: int) -> np.ndarray:
    """(n, n) -> (size, size), interpolating."""
    u = resampler(size, field.shape[0])
    return u @ np.ascontiguousarray(field, FLOAT) @ u.T


def texture(rng: np.random.Generator, size: int, cells: float) -> np.ndarray:
    """Smooth noise (size, size), mean 0, standard deviation about 1, `cells` bumps across the picture."""
    n = int(np.clip(round(cells), 2, size)) + 3
    u = resampler(size, n, True)
    return (u @ rng.standard_normal((n, n), FLOAT) @ u.T) / FLOAT(SPLINE_STD**2)


class Noise3D:
    """Smooth noise in space, mean 0 and standard deviation about 1, that every slice of a patient shares.

    Bumps are `scale` mm apart and repeat after N of them, farther than anyone will notice.
    """

    N = 32

    def __init__(self, rng: np.random.Generator, scale: float):
        self.scale = scale
        self.coefficients = rng.standard_normal((self.N, self.N, self.N), FLOAT)

    def _along(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.asarray(at, float) / self.scale
        left = np.floor(at).astype(int)
        return (left[:, None] + np.arange(4)) % self.N, _cubic_weights(at - left, True)

    def plane(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """On the grid of columns x (w,) and rows y (h,) at height z: (h, w)."""
        k, weight = self._along(np.array([z]))
        sheet = np.tensordot(weight[0], self.coefficients[k[0]], 1)  # y, x
        rows, columns = (self._matrix(axis) for axis in (y, x))
        return (rows @ sheet @ columns.T / SPLINE_STD**3).astype(FLOAT)

    def _matrix(self, at: np.ndarray) -> np.ndarray:
        cells, weights = self._along(at)
        matrix = np.zeros((len(at), self.N))
        np.put_along_axis(matrix, cells, weights, 1)
        return matrix


def ellipse(x, y, cx, cy, a, b, angle=0.0, power=2.0):
    """Distance, measured along the ray from the centre, to a (super)ellipse with half axes a, b."""
    c, s = np.cos(angle), np.sin(angle)
    if np.ndim(angle) == 0:
        c, s = float(c), float(s)  # NumPy's own scalars would turn float32 arrays into float64
    dx, dy = x - cx, y - cy
    u, v = np.abs(c * dx + s * dy) / a, np.abs(c * dy - s * dx) / b
    f = np.sqrt(u * u + v * v) if power == 2 else (u**power + v**power) ** (1 / power)
    r = np.sqrt(dx * dx + dy * dy) + 1e-3
    return r - r / np.maximum(f, 1e-5)


def capsule(x, y, x0, y0, x1, y1, radius):
    """Distance to a stroke of the given radius from (x0, y0) to (x1, y1)."""
    ex, ey = x1 - x0, y1 - y0
    h = np.clip(((x - x0) * ex + (y - y0) * ey) / (ex * ex + ey * ey + 1e-6), 0, 1)
    return np.sqrt((x - x0 - h * ex) ** 2 + (y - y0 - h * ey) ** 2) - radius


def blend(a, b, k: float):
    """Union of two distances whose seam is rounded over k mm."""
    h = np.maximum(k - np.abs(a - b), 0) / k
    return np.minimum(a, b) - h * h * k / 4


def carve(a, b, k: float):
    """`a` without `b`, the edge rounded over k mm."""
    return -blend(-a, b, k)


def step(x, low: float, high: float):
    """0 below low, 1 above high, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
