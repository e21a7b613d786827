"""Pictures as slices: one file, or a folder of numbered ones."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from covidseg.errors import UserError

__all__ = ["PICTURES", "natural", "read_picture", "stacked", "values_of"]

COLOURED = (40, 0.001)  # grey levels between two channels, and share of the pixels that have it: more than JPEG makes
FEW = 4  # values of a mask of classes
PICTURES = (".png", ".jpg", ".jpeg")


def stacked(path: Path, pictures: list[Path], labels: bool) -> tuple[np.ndarray, list[str]]:
    """Pictures as the slices of one scan, in the order given: (rows, columns, slices); and what to doubt."""
    _refuse_doubles(path, pictures)
    slices, doubts = [], []
    for picture in pictures:
        array, odd = read_picture(picture, labels)
        slices.append(array)
        doubts += odd
        if array.shape != slices[0].shape:
            raise UserError(
                f"{path}: {picture.name} is {array.shape}, {pictures[0].name} {slices[0].shape}; "
                "the slices of a scan have one size. Name a single picture to read it alone."
            )
    if not labels:
        _refuse_mask_among(path, pictures, slices)
    counted = Counter(doubts).items()
    return np.stack(slices, axis=2), [f"of {times} of its {len(slices)} pictures: {odd}" for odd, times in counted]


def _refuse_doubles(path: Path, pictures: list[Path]) -> None:
    """UserError for 1.png beside 1.jpg: one slice twice."""
    seen: dict[str, Path] = {}
    for picture in pictures:
        other = seen.setdefault(picture.stem.lower(), picture)
        if other is not picture:
            raise UserError(f"{path}: {other.name} and {picture.name} are pictures of one name; remove one.")


def _refuse_mask_among(path: Path, pictures: list[Path], slices: list[np.ndarray]) -> None:
    """UserError for a picture of a few values, as masks are, between others of many. An empty slice has one value."""
    values = [len(values_of(array)) for array in slices]
    if max(values) <= 4 * FEW:
        return
    for picture, array, count in zip(pictures, slices, values, strict=True):
        if 2 <= count <= FEW:
            shown = ", ".join(map(str, values_of(array).tolist()))
            raise UserError(f"{path}: {picture.name} holds {shown} alone, a mask among slices; take it out.")


def values_of(array: np.ndarray) -> np.ndarray:
    """Different values, sorted; counting bytes is ten times faster than sorting them."""
    if array.dtype == np.uint8:
        return np.flatnonzero(np.bincount(array.ravel(), minlength=256))
    return np.unique(array)


def natural(path: Path) -> list:
    """slice_2 before slice_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name.lower())]


def read_picture(path: Path, labels: bool = False) -> tuple[np.ndarray, list[str]]:
    """A picture as stored numbers (rows, columns), and what to doubt; colours become grey, what is transparent black.

    labels : keep a palette's indices, which are class numbers; without, a palette's colours become grey too
    A picture is turned as its camera noted it (EXIF), because every viewer shows it so.
    Raises UserError for what is no picture, or several in one file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    doubts: list[str] = []
    try:
        with Image.open(path) as picture:
            if (frames := getattr(picture, "n_frames", 1)) > 1:
                raise UserError(f"{path} holds {frames} pictures: save each slice as a file of its own, in one folder.")
            if picture.getexif().get(0x0112, 1) not in (0, 1):  # orientation
                picture = ImageOps.exif_transpose(picture)
                doubts.append("it was turned as its camera noted (EXIF)")
            array = np.array(_grey(picture, labels, doubts))
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} claims more pixels than any slice has; it was not opened.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error}): copy it again.") from error
    return (array.astype(np.uint8) if array.dtype == bool else array), doubts


def _grey(picture, labels: bool, doubts: list[str]):
    """The picture in one channel; ``doubts`` gets what was lost."""
    from PIL import Image

    if picture.mode in ("1", "L", "I", "I;16", "F") or (picture.mode == "P" and labels):
        return picture
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        if picture.getextrema()[3][0] < 255:
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
            doubts.append("what is transparent was taken as black")
    colours = np.asarray(picture.convert("RGB")).astype(np.int16)
    if (np.ptp(colours, axis=2) > COLOURED[0]).mean() > COLOURED[1] and not labels:
        doubts.append("it has colours, which became grey: marks painted on a CT, or a colour map, mislead a network")
    return picture.convert("L")
