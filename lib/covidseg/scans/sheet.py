"""One picture with the most affected slices of a scan. Drawn with PIL, which starts sooner than matplotlib."""

from pathlib import Path

import numpy as np

from covidseg.scans.findings import Findings, describe
from covidseg.show.pictures import HIT, overlay_rgb, slice_rgb
from covidseg.text import one_line

PAPER, WORDS, DIM = (16, 18, 22), (236, 238, 242), (150, 156, 166)  # nearly black: CT is read on dark ground
PANEL, GAP, MARGIN = 360, 14, 24  # pixels


def write_sheet(
    path: Path, volume, mask, findings: Findings, *, title, footer, intensity, window, spacing, places=None
):
    """Up to six most affected slices in the order of the scan, infection in sky blue, as one PNG.

    volume, mask : (H, W, D), upright; spacing : (row, column[, slice]) in mm
    places : slice number in the file -> its place in ``volume``, by default the same
    A single image is shown twice, plain and painted. Without infection: three slices, so that one sees what was read.
    """
    from PIL import Image

    chosen = _chosen(findings)
    shown = [s.index if places is None else places[s.index] for s in chosen]
    box = crop(volume, mask, shown, intensity, window)
    tall = spacing[0] / spacing[1] if np.all(np.isfinite(spacing[:2])) and min(spacing[:2]) > 0 else 1.0
    panels, captions = [], []
    for found, z in zip(chosen, shown, strict=True):
        ct, red = volume[*box, z], mask[*box, z]
        single = len(findings.slices) == 1
        if single:
            panels.append(_panel(slice_rgb(ct, intensity=intensity, window=window), tall))
            captions.append(("as read", ""))
        painted = overlay_rgb(ct, red != 0, intensity=intensity, window=window, alpha=0.38)
        panels.append(_panel(painted, tall))
        name = "with the prediction" if single else f"slice {found.index}"
        captions.append((name, describe(found) if found.pixels else "no infection predicted"))
    sheet = _sheet(panels, captions, title, footer)
    Image.fromarray(sheet).save(path, format="PNG", compress_level=2)


def _chosen(findings, most=6):
    if findings.infected:
        return sorted(findings.worst[:most], key=lambda s: s.index)
    n = len(findings.slices)
    return [findings.slices[k] for k in sorted({n // 4, n // 2, (3 * n) // 4})] if n > 3 else list(findings.slices)


def crop(volume, mask, places, intensity, window) -> tuple[slice, slice]:
    """Rows and columns to show of the chosen slices: the patient, and whatever ``mask`` marks, wherever it lies."""
    marked = np.any([mask[:, :, z] != 0 for z in places], axis=0)
    body = _body(volume, places, intensity, window)
    return tuple(_with(part, marked.any(axis)) for part, axis in zip(body, (1, 0), strict=True))


def _with(part: slice, marked: np.ndarray) -> slice:
    """A stretch of rows or columns, made long enough for every marked one."""
    ends = np.flatnonzero(marked)
    if not len(ends) or part == slice(None):
        return part
    return slice(min(part.start, int(ends[0])), max(part.stop, int(ends[-1]) + 1))


def _body(volume, places, intensity, window, step=4):
    """Rows and columns of the largest dense object in the chosen slices, the patient, with a little air around."""
    from scipy.ndimage import find_objects, label

    from covidseg.data.transforms import to_grey

    coarse = np.max([to_grey(volume[::step, ::step, z], intensity, window) for z in places], axis=0)
    objects, n = label(coarse > 0.6)
    if not n:
        return slice(None), slice(None)
    rows, columns = find_objects(objects)[np.argmax(np.bincount(objects.ravel())[1:])]
    pad = 2
    return tuple(slice(max(0, s.start - pad) * step, (s.stop + pad) * step) for s in (rows, columns))


def _panel(picture, tall):
    """Resized to the width of a panel with the true proportions of the body."""
    from PIL import Image

    height = max(1, round(PANEL * picture.shape[0] / picture.shape[1] * tall))
    scale = min(1.0, 1.25 * PANEL / height)  # nothing gets much taller than wide
    size = max(1, round(PANEL * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _sheet(panels, captions, title, footer):
    from PIL import Image, ImageDraw, ImageFont

    big, small = ImageFont.load_default(19), ImageFont.load_default(14)
    columns = min(3, max(2, len(panels)))
    rows = -(-len(panels) // columns)
    height = max(len(p) for p in panels)
    head, line, foot = 62, 46, 40
    width = 2 * MARGIN + columns * PANEL + (columns - 1) * GAP
    sheet = Image.new("RGB", (width, head + rows * (height + line) + foot), PAPER)
    pen = ImageDraw.Draw(sheet)
    left = _key(pen, width, small)
    pen.text((MARGIN, 22), _fitting(pen, title, left - 2 * MARGIN, big), fill=WORDS, font=big)
    for k, (panel, (name, found)) in enumerate(zip(panels, captions, strict=True)):
        x = MARGIN + (k % columns) * (PANEL + GAP)
        y = head + (k // columns) * (height + line)
        sheet.paste(Image.fromarray(panel), (x + (PANEL - panel.shape[1]) // 2, y + (height - len(panel)) // 2))
        _side(pen, (x + 8, y + height // 2), small)
        pen.text((x, y + height + 7), name, fill=WORDS, font=small)
        pen.text((x + PANEL, y + height + 7), found, fill=DIM, font=small, anchor="ra")
    footer = _fitting(pen, footer, width - 2 * MARGIN, small)
    pen.text((MARGIN, sheet.height - 32), footer, fill=DIM, font=small)
    return np.asarray(sheet)


def _key(pen, width, font):
    """What sky blue means, at the right end of the title's line; returns where it begins."""
    text = "predicted infection"
    x = width - MARGIN - pen.textlength(text, font=font)
    pen.text((x, 26), text, fill=DIM, font=font)
    pen.rectangle((x - 22, 27, x - 9, 40), fill=HIT)
    return x - 22


def _side(pen, at, font):
    """R: the patient's right, on the left of the picture, as radiologists look at it."""
    pen.text(at, "R", fill=WORDS, font=font, anchor="lm", stroke_width=2, stroke_fill=PAPER)


def _fitting(pen, text, width, font):
    """The text, or as much of its beginning as fits."""
    text = one_line(text)
    if pen.textlength(text, font=font) <= width:
        return text
    while text and pen.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."
