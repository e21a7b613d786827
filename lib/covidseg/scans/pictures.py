"""Pictures as slices: one file, or a folder of numbered ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from covidseg.errors import UserError

__all__ = ["PICTURES", "natural", "read_picture", "stacked"]

PICTURES = (".png", ".jpg", ".jpeg")


def stacked(path: Path, pictures: list[Path], labels: bool) -> np.ndarray:
    """Pictures as the slices of one scan, in the order given: (rows, columns, slices)."""
    slices = [read_picture(p, labels) for p in pictures]
    for picture, array in zip(pictures, slices, strict=True):
        if array.shape != slices[0].shape:
            raise UserError(
                f"{path}: {picture.name} is {array.shape}, {pictures[0].name} {slices[0].shape}; "
                "the slices of a scan have one size. Name a single picture to read it alone."
            )
    return np.stack(slices, axis=2)


def natural(path: Path) -> list:
    """slice_2 before slice_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name.lower())]


def read_picture(path: Path, labels: bool = False) -> np.ndarray:
    """A picture as stored numbers (rows, columns); colours become grey.

    labels : keep a palette's indices, which are class numbers; without, a palette's colours become grey too
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode not in ("1", "L", "P", "I", "I;16", "F") or (picture.mode == "P" and not labels):
                picture = picture.convert("L")
            array = np.array(picture)
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} claims more pixels than any slice has; it was not opened.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error}): copy it again.") from error
    return array.astype(np.uint8) if array.dtype == bool else array
