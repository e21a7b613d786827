"""Figures of committed notebooks, in few colours: the same pixels in half of the bytes.

A CT slice is noise to PNG, which keeps 8 bits of it in each of three channels. A palette of 128 colours is closer to
the original than the eye can tell, and a notebook stays small enough to review and to clone.
"""

import base64
import io

import numpy as np

from covidseg.show.pictures import CLASSES, INK, OUTCOMES, SERIES, rgb

MOST_COLOURS = 128
LARGE, FEWER = 30_000, 64  # bytes; a photo-like figure above that is as good to the eye in half of the colours
MEANT = sorted({*OUTCOMES.values(), *(colour for _, colour in CLASSES.values()), *SERIES, INK, "#000000", "#FFFFFF"})


def quantise_figures(notebook):
    """Every PNG output in at most ``MOST_COLOURS`` colours, a large one in ``FEWER``, in place. Returns it."""
    for data in _outputs(notebook):
        old = data["image/png"]
        new = quantise(base64.b64decode(old))
        new = quantise(base64.b64decode(old), FEWER) if len(new) > LARGE else new
        data["image/png"] = base64.b64encode(new).decode() + "\n" * old.endswith("\n")
    return notebook


def figures(cell) -> list[bytes]:
    """The PNG files among a cell's outputs."""
    return [base64.b64decode(data["image/png"]) for data in _outputs({"cells": [cell]})]


def count_colours(png: bytes) -> int:
    """How many colours a picture has. Raises OSError (Pillow's own) for bytes that are no picture."""
    return len(np.unique(_codes(_pixels(_open(png)))))


def quantise(png: bytes, colours: int = MOST_COLOURS) -> bytes:
    """The same picture, pixel by pixel, in a palette of at most ``colours``; a transparent one is laid on white.

    The kit's own colours (hit, missed, a class, a line) are kept exactly, since a legend names them, and so are black
    and white. The rest of the palette fits the picture; a rare colour counts for more than its area there, as its
    weight is the root of its number of pixels. No dithering. A picture of few colours that has a small palette already,
    or would not get smaller, comes back as it is.
    """
    from PIL import Image
    from scipy.spatial import KDTree

    picture = _open(png)
    if picture.mode == "P" and count_colours(png) <= colours:
        return png
    pixels = _pixels(picture)
    codes, inverse, counts = np.unique(_codes(pixels), return_inverse=True, return_counts=True)
    present = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)
    palette = present if len(present) <= colours else _palette(present, counts, colours)
    nearest = KDTree(palette).query(present)[1].astype(np.uint8)
    small = Image.fromarray(nearest[inverse].reshape(pixels.shape[:2]))  # indices; the palette makes it mode P
    small.putpalette(palette.ravel().tolist())
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True, **{key: value for key, value in picture.info.items() if key == "dpi"})
    return file.getvalue() if len(present) > colours else min(png, file.getvalue(), key=len)


def _palette(present, counts, colours: int):
    """At most ``colours`` of uint8 (n, 3) for the colours ``present``, (m, 3), of which there are ``counts`` pixels."""
    from PIL import Image

    kept = present[(present[:, None] == np.array([rgb(colour) for colour in MEANT])).all(-1).any(1)]
    weighted = np.repeat(present, np.ceil(np.sqrt(counts)).astype(int), axis=0)
    fitted = Image.fromarray(weighted[None]).quantize(
        colours - len(kept), method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE
    )
    used = len(fitted.getcolors())
    return np.concatenate([kept, np.array(fitted.getpalette(), np.uint8).reshape(-1, 3)[:used]])


def _outputs(notebook) -> list[dict]:
    """The data of every output that holds a PNG."""
    outputs = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [data for data in outputs if "image/png" in data]


def _open(png: bytes):
    from PIL import Image

    return Image.open(io.BytesIO(png))


def _pixels(picture) -> np.ndarray:
    """uint8 (H, W, 3)."""
    from PIL import Image

    white = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB"))


def _codes(pixels) -> np.ndarray:
    """One number for each pixel's colour, uint32 (H * W,)."""
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    return (red << 16 | green << 8 | blue).ravel()
