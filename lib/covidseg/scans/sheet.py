"""One picture with the most affected slices of a scan. Drawn with PIL, which starts sooner than matplotlib."""

from pathlib import Path

import numpy as np

from covidseg.scans.panels import Result, key, panels
from covidseg.text import one_line

PAPER, WORDS, DIM = (16, 18, 22), (236, 238, 242), (150, 156, 166)  # nearly black: CT is read on dark ground
TIGHT, GAP, MARGIN = 4, 22, 24  # pixels: between panels of one slice, between slices, around all
WIDTH = {2: 340, 3: 280}  # of a panel, by panels of a slice
HEAD, LINE, FOOT = 92, 44, 40


def write_sheet(path: Path, result: Result, *, title: str, footer: str) -> None:
    """Each slice plain beside painted, with a truth three times, as one PNG; see `covidseg.scans.panels`."""
    from PIL import Image

    many = 2 if result.truth is None else 3
    shown = panels(result, WIDTH[many])
    sheet = _sheet(shown, many, key(result), title, footer)
    Image.fromarray(sheet).save(path, format="PNG", compress_level=2)


def _sheet(shown, many, meanings, title, footer):
    from PIL import Image, ImageDraw, ImageFont

    big, small = ImageFont.load_default(19), ImageFont.load_default(14)
    across = min(2, len(shown))
    group = many * WIDTH[many] + (many - 1) * TIGHT
    height = max(len(picture) for one in shown for _, picture in one.panels)
    width = 2 * MARGIN + across * group + (across - 1) * GAP
    sheet = Image.new("RGB", (width, HEAD + -(-len(shown) // across) * (height + LINE) + FOOT), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 20), _fitting(pen, title, width - 2 * MARGIN, big), fill=WORDS, font=big)
    _key(pen, meanings, small)
    for k, one in enumerate(shown):
        x, y = MARGIN + (k % across) * (group + GAP), HEAD + (k // across) * (height + LINE)
        for n, (name, picture) in enumerate(one.panels):
            left = x + n * (WIDTH[many] + TIGHT)
            at = left + (WIDTH[many] - picture.shape[1]) // 2, y + (height - len(picture)) // 2
            sheet.paste(Image.fromarray(picture), at)
            _word(pen, (at[0] + 8, at[1] + 12), name, small)
            _word(pen, (at[0] + 8, y + height // 2), "R", small)  # the patient's right, as radiologists look at it
        pen.text((x, y + height + 7), one.name, fill=WORDS, font=small)
        pen.text((x + group, y + height + 7), one.says, fill=DIM, font=small, anchor="ra")
    footer = _fitting(pen, footer, width - 2 * MARGIN, small)
    pen.text((MARGIN, sheet.height - 32), footer, fill=DIM, font=small)
    return np.asarray(sheet)


def _key(pen, meanings, font):
    """What the colours mean, in a line under the title."""
    x = MARGIN
    for colour, meaning in meanings:
        pen.rectangle((x, 56, x + 13, 69), fill=colour)
        pen.text((x + 21, 55), meaning, fill=DIM, font=font)
        x += 21 + pen.textlength(meaning, font=font) + 24


def _word(pen, at, text, font):
    """On a picture, so with a dark rim."""
    pen.text(at, text, fill=WORDS, font=font, anchor="lm", stroke_width=2, stroke_fill=PAPER)


def _fitting(pen, text, width, font):
    """The text, or as much of its beginning as fits."""
    text = one_line(text)
    if pen.textlength(text, font=font) <= width:
        return text
    while text and pen.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."
