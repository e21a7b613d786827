"""A point of the slice that the reader puts a cross on, what lies there, and how near it is looked at."""

from dataclasses import dataclass

import numpy as np

from covidseg.data import Case
from covidseg.show.pictures import resized, rgb
from covidseg.show.widgets.render import number

__all__ = ["ZOOMS", "Pointer"]

ZOOMS = {"1 x": 1, "2 x": 2, "4 x": 4, "8 x": 8}
ARM, GAP = 14, 4  # of the cross, in pixels of the screen
COLOUR, AROUND = "#FFFFFF", "#000000"


@dataclass(frozen=True)
class Pointer:
    """row, column : 0..1, from the upper left corner; zoom : the part seen has 1 / zoom of the rows and columns.

    The part lies around the point, and within the slice where the point is near an edge.
    """

    row: float = 0.5
    column: float = 0.5
    zoom: int = 1

    def pixel(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Row and column of the point in a plane (h, w), whatever its resolution."""
        return min(int(self.row * shape[0]), shape[0] - 1), min(int(self.column * shape[1]), shape[1] - 1)

    def part(self, plane: np.ndarray) -> np.ndarray:
        """The part of a plane (H, W) that is seen, (H / zoom, W / zoom), a view."""
        (top, rows), (left, columns) = self._sides(plane.shape)
        return plane[top : top + rows, left : left + columns]

    def part_of_map(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """The same part of a map (h, w) that is spread over a slice of ``shape``."""
        return self.part(resized(values, shape)) if self.zoom > 1 else values

    def mark(self, picture: np.ndarray, shape: tuple[int, int], below: int = 0) -> np.ndarray:
        """A cross with an open middle on the point, in place. picture : uint8 (h, w, 3) of the part of a slice of
        ``shape``; below : rows at its lower end that show no slice."""
        h, w = picture.shape[0] - below, picture.shape[1]
        (top, rows), (left, columns) = self._sides(shape)
        r, c = (int((at + 0.5 - start) / n * side) for at, start, n, side in zip(
            self.pixel(shape), (top, left), (rows, columns), (h, w), strict=True))  # fmt: skip
        for wide, colour in ((1, AROUND), (0, COLOUR)):
            for a, b in ((-ARM, -GAP), (GAP, ARM)):
                down = slice(max(0, r + a - wide), max(0, min(h, r + b + 1 + wide)))
                along = slice(max(0, c + a - wide), max(0, min(w, c + b + 1 + wide)))
                picture[down, max(0, c - wide) : c + 1 + wide] = rgb(colour)
                picture[max(0, r - wide) : min(h, r + 1 + wide), along] = rgb(colour)
        return picture

    def words(self, case: Case, values: np.ndarray) -> str:
        """What lies under the cross: 'Under the cross (row 80, column 31): map 0.43, CT -612 HU.'"""
        r, c = self.pixel(case.image.shape)
        unit = " HU" if case.intensity == "HU" else " of 255"
        value = number(float(values[self.pixel(values.shape)]))
        return f"Under the cross (row {r}, column {c}): map {value}, CT {case.image[r, c]:.0f}{unit}."

    def _sides(self, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
        """(first, number) of the rows that are seen, and of the columns."""
        found = []
        for at, n in zip(self.pixel(shape), shape, strict=True):
            many = max(1, n // self.zoom)
            found.append((int(np.clip(at - many // 2, 0, n - many)), many))
        return found[0], found[1]
