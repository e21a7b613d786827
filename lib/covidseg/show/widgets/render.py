"""Pure functions from arrays to what a reader sees: the picture of a map over its slice, and its caption.

No widget, no network, no state: each can be tested, or used for a figure, on its own.
"""

from collections.abc import Iterable
from functools import lru_cache
from html import escape

import numpy as np
import torch

from covidseg.data.transforms import LUNG, resize_mask
from covidseg.show.pictures import HEAT, HIT, resized, rgb, shrink, slice_rgb

__all__ = ["PREDICTION", "TRUTH", "Outline", "caption", "compare_regions", "render", "screen_shape"]

SIDE = 512  # longest side of the slice on the screen
STRIP = 30  # height of the legend below it
PREDICTION, TRUTH = HIT, "#FFFFFF"
Outline = tuple[str, np.ndarray, str]  # name in the legend, mask (H, W), '#RRGGBB'
_DARK, _PALE = (17, 17, 17), (214, 214, 214)


def render(
    ct: np.ndarray,
    values: np.ndarray,
    *,
    intensity: str = "HU",
    window=LUNG,
    blend: float = 0.6,
    limits: tuple[float, float] | None = None,
    outlines: Iterable[Outline] = (),
    legend: bool = True,
    side: int = SIDE,
) -> np.ndarray:
    """A map laid over the slice it was computed from: uint8 (h', w', 3), upright, longest side ``side``.

    ct : (H, W) in HU, or 0..255 with intensity="grey"; values : (h, w), any resolution, spread over the whole slice
    blend : 0 shows the CT alone, 1 the map alone
    limits : values of the darkest and the brightest colour; by default the map's own extremes
    outlines : (name, mask (H, W), colour), drawn as lines of two pixels
    legend : adds a strip of 30 rows below: the colour scale with its limits, and the names of the outlines
    """
    shape = screen_shape(ct.shape, side)
    low, high = limits or (float(values.min()), float(values.max()))
    grey = resized(slice_rgb(ct, intensity=intensity, window=window)[..., 0], shape)  # h', w'
    picture = _mix(grey, _to_index(resized(values, shape), low, high), blend)
    drawn = [(name, colour) for name, mask, colour in outlines if _draw_outline(picture, mask, colour)]
    return np.concatenate([picture, _strip(shape[1], low, high, drawn)]) if legend else picture


def screen_shape(shape: tuple[int, int], side: int = SIDE) -> tuple[int, int]:
    """(rows, columns) of a slice on the screen: the longer side becomes ``side``, proportions stay."""
    scale = side / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _mix(grey, index, blend) -> np.ndarray:
    """Grey (h', w') and steps of the colour map (h', w') -> uint8 (h', w', 3).

    Between the two ends of ``blend`` high values cover more than low ones, so the CT stays readable where the map
    has little to say. Everything that depends on the step alone is a table of 256 entries.
    """
    step = np.linspace(0, 1, 256, dtype=np.float32)
    cover = np.float32(np.clip(blend, 0, 1)) ** (2 - 1.5 * step)  # 0 at blend 0, 1 at blend 1, for every step
    keep, colour = 1 - cover, _heat_colours() * cover[:, None] + np.float32(0.5)
    picture, grey = np.empty((*grey.shape, 3), np.uint8), grey * keep[index]
    for c in range(3):  # faster than one look-up of triples
        picture[..., c] = grey + colour[:, c][index]
    return picture


def _to_index(values, low, high):
    scale = np.float32(255 / (high - low)) if high > low else np.float32(0)
    return np.clip((values - np.float32(low)) * scale, 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _heat_colours() -> np.ndarray:
    """The kit's colour map as a table, float32 (256, 3). Lightness rises evenly with the value."""
    from matplotlib import colormaps  # slow to import: once, on the first map

    return np.rint(255 * colormaps[HEAT](np.arange(256))[:, :3]).astype(np.float32)


def _draw_outline(picture, mask, colour) -> bool:
    """Two pixels of colour inside the border of the mask and a dark one outside: visible on every colour of the map."""
    mask = np.asarray(mask) > 0
    if mask.shape != picture.shape[:2]:
        mask = resize_mask(torch.from_numpy(mask), picture.shape[:2]).numpy()
    if not mask.any():
        return False
    inner = shrink(shrink(mask))
    picture[~mask & ~shrink(~mask)] //= 3
    picture[mask & ~inner] = rgb(colour)
    return True


def _strip(width, low, high, names) -> np.ndarray:
    """The legend: 0.44 [dark .. bright] 0.60   -- prediction  -- truth. uint8 (30, width, 3)."""
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (width, STRIP), _DARK)
    draw, font, middle = ImageDraw.Draw(strip), _font(), STRIP // 2
    left = 8 + draw.textlength(number(low), font)
    bar = _heat_colours()[np.linspace(0, 255, max(width // 3, 16)).astype(np.uint8)].astype(np.uint8)
    draw.text((4, middle), number(low), _PALE, font, anchor="lm")
    strip.paste(Image.fromarray(np.tile(bar, (10, 1, 1))), (int(left), middle - 5))
    draw.text((left + len(bar) + 4, middle), number(high), _PALE, font, anchor="lm")
    x = width - 4
    for name, colour in reversed(names):
        x -= draw.textlength(name, font)
        draw.text((x, middle), name, _PALE, font, anchor="lm")
        draw.line((x - 22, middle, x - 6, middle), tuple(int(v) for v in rgb(colour)), 2)
        x -= 34
    return np.asarray(strip)


@lru_cache(maxsize=1)
def _font():
    from PIL import ImageFont

    return ImageFont.load_default(13)


def number(value: float) -> str:
    """Three significant figures, at least two decimals: 0.44, 12.3, -0.01."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def compare_regions(values: np.ndarray, region: np.ndarray) -> dict[str, np.ndarray]:
    """The values of a map inside and outside a region given at another resolution.

    values : (h, w); region : bool (H, W). A value belongs to the region if at least half of its patch does.
    Returns {"inside": 1-D, "outside": 1-D}, either may be empty.
    """
    share = torch.nn.functional.adaptive_avg_pool2d(
        torch.from_numpy(np.asarray(region, np.float32))[None, None], values.shape
    )
    inside = share[0, 0].numpy() >= 0.5
    return {"inside": values[inside], "outside": values[~inside]}


def caption(
    title: str,
    values: np.ndarray,
    region: np.ndarray,
    *,
    details: Iterable[str] = (),
    region_name="predicted infection",
) -> str:
    """What is shown and what to notice, as HTML: title, details, and the map inside against outside of ``region``.

    values : (h, w); region : bool (H, W)
    """
    parts = compare_regions(values, region)
    rows = [(region_name, parts["inside"]), ("elsewhere", parts["outside"])]
    cells = "".join(_row(name, part, values.size) for name, part in rows)
    lines = [f"<b>{escape(title)}</b>", *map(escape, details)]
    return (
        "<br>".join(lines)
        + '<table class="covidseg-facts"><tr><td></td><th>area</th><th>min</th><th>mean</th><th>max</th></tr>'
        + f"{cells}</table>{escape(_difference(parts, region_name))}"
    )


def _row(name, part, total) -> str:
    numbers = [f"{v:.3f}" for v in (part.min(), part.mean(), part.max())] if part.size else ["-"] * 3
    cells = "".join(f"<td>{text}</td>" for text in [percent(part.size / total), *numbers])
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"


def percent(share: float) -> str:
    """A share of 1 as HTML; a little is not nothing, and nearly all is not all: '&lt;1 %', '12 %', '&gt;99 %'."""
    if 0 < share < 0.01:
        text = "&lt;1"
    elif 0.99 < share < 1:
        text = "&gt;99"
    else:
        text = f"{100 * share:.0f}"
    return f"{text}&nbsp;%"


def _difference(parts, region_name) -> str:
    """The one sentence a reader should take away."""
    inside, outside = parts["inside"], parts["outside"]
    if not inside.size:
        return f"No value of this map lies in {region_name}."
    if not outside.size:
        return f"All of this map lies in {region_name}."
    spread = float(np.concatenate([inside, outside]).std())
    gap = float(inside.mean() - outside.mean())
    if spread == 0 or abs(gap) < 0.1 * spread:
        return f"The map hardly tells {region_name} from the rest (the means differ by {abs(gap):.3f})."
    side = "higher" if gap > 0 else "lower"
    return (
        f"In {region_name} the mean is {abs(gap):.3f} {side}: {abs(gap) / spread:.1f} standard deviations of the map."
    )
