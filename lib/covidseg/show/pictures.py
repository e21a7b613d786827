"""Slices, masks and maps as pixels: uint8 pictures for figures, widgets and files. And the kit's colours.

The colours are, or are close to, the colour-blind safe set of Okabe and Ito (2008); a test looks at them with the
two common kinds of colour blindness. (A paper's figure paints hits red and misses green, the pair most often
confused.) Arrays are upright: row 0 is the breastbone, column 0 the patient's right side, the left of the picture.
"""

import numpy as np
import torch

from covidseg.data.case import CLASS_NAMES
from covidseg.data.transforms import LUNG, resize_image, to_grey

# Meaning -> colour. Sky blue, yellow and vermilion differ in hue for every common kind of colour vision and in
# lightness for everyone, so a grey print of the figure still works.
HIT, MISS, FALSE_ALARM = "#56B4E9", "#F0E442", "#D55E00"
OUTCOMES = {"hit": HIT, "missed": MISS, "false alarm": FALSE_ALARM}
AS_PRINTED = {"hit": "#FF0000", "missed": "#00FF00", "false alarm": "#0000FF"}  # as the benchmark prints them
CLASSES = {value: (CLASS_NAMES[value], colour) for value, colour in ((1, "#00C8FF"), (2, "#E69F00"), (3, "#7B6FE8"))}
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")  # lines and bars, in this order
INK, QUIET, RULE = "#222222", "#6B7280", "#D8DBE0"  # text, secondary text, thin lines
HEAT = "inferno"  # lightness rises with the value, also in grey


def rgb(colour: str) -> np.ndarray:
    """'#RRGGBB' as float32 (3,), each 0..255."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)


def slice_rgb(ct, *, intensity="HU", window=LUNG) -> np.ndarray:
    """A slice (H, W) as a grey picture: uint8 (H, W, 3)."""
    grey = np.asarray(to_grey(_plane(ct, "ct"), intensity, window))
    return np.repeat(np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def paint(picture, regions, *, alpha=0.45) -> np.ndarray:
    """Lay coloured regions over a picture: a veil inside, an opaque rim one pixel wide.

    picture : uint8 (H, W, 3); regions : iterable of (bool (H, W), '#RRGGBB'); alpha : 0 clear .. 1 opaque.
    Returns a new uint8 (H, W, 3). The veil keeps the CT visible, the rim keeps the border exact.
    """
    out = np.asarray(picture, np.float32).copy()
    for region, colour in regions:
        region = np.asarray(region, bool)
        out[region] += alpha * (rgb(colour) - out[region])
        out[region & ~shrink(region)] = rgb(colour)
    return np.rint(out).astype(np.uint8)


def overlay_rgb(ct, pred, truth=None, *, intensity="HU", window=LUNG, alpha=0.45, colours=OUTCOMES) -> np.ndarray:
    """Prediction over the slice: uint8 (H, W, 3). With ``truth``, hits, misses and false alarms apart.

    colours : of these three, OUTCOMES or AS_PRINTED
    """
    pred = _binary(pred, "pred", ct)
    picture = slice_rgb(ct, intensity=intensity, window=window)
    if truth is None:
        return paint(picture, [(pred, colours["hit"])], alpha=alpha)
    truth = _binary(truth, "truth", ct)
    regions = (pred & truth, truth & ~pred, pred & ~truth)
    return paint(picture, zip(regions, (colours[name] for name in OUTCOMES), strict=True), alpha=alpha)


def labels_rgb(ct, labels, *, intensity="HU", window=LUNG, alpha=0.45) -> np.ndarray:
    """Classes over the slice, each in its colour: uint8 (H, W, 3).

    labels : integers (H, W), 0 background, 1 GGO, 2 consolidation, 3 effusion; other values raise ValueError
    """
    labels = _plane(labels, "labels")
    unknown = sorted(set(np.unique(labels).tolist()) - {0, *CLASSES})
    if unknown:
        raise ValueError(f"labels hold {unknown}; known are 0 (background) and {list(CLASSES)}.")
    regions = [(labels == value, colour) for value, (_, colour) in CLASSES.items()]
    return paint(slice_rgb(ct, intensity=intensity, window=window), regions, alpha=alpha)


def attention_rgb(ct, attention, *, intensity="HU", window=LUNG, alpha=0.6, vmin=None, vmax=None) -> np.ndarray:
    """A map (h, w) of any resolution, brought to the slice's size and laid over it: uint8 (H, W, 3).

    vmin, vmax : the values of the darkest and the brightest colour; by default the map's own extremes.
    """
    from matplotlib import colormaps

    picture = slice_rgb(ct, intensity=intensity, window=window).astype(np.float32)
    heat = _unit(resized(_plane(attention, "attention"), picture.shape[:2]), vmin, vmax)
    colours = 255 * colormaps[HEAT](heat)[..., :3]
    veil = alpha * np.sqrt(heat)[..., None]  # where the map is low, the CT shows through
    return np.rint(picture + veil * (colours - picture)).astype(np.uint8)


def shrink(region: np.ndarray) -> np.ndarray:
    """A region, bool (H, W), without its pixels beside the outside; beyond the picture's border is no outside."""
    inner = region.copy()
    inner[1:] &= region[:-1]
    inner[:-1] &= region[1:]
    inner[:, 1:] &= region[:, :-1]
    inner[:, :-1] &= region[:, 1:]
    return inner


def resized(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A plane (h, w) as float32 of ``shape``: bilinear with half-pixel centres, as the networks resize.

    Each value stays where the network saw it; a plane that shrinks is smoothed on the way.
    """
    plane = torch.from_numpy(np.array(plane, np.float32))
    shrinks = shape[0] < plane.shape[0]
    return (plane if tuple(plane.shape) == shape else resize_image(plane, shape, antialias=shrinks)).numpy()


def _unit(values, vmin, vmax):
    low = float(values.min()) if vmin is None else vmin
    high = float(values.max()) if vmax is None else vmax
    return np.clip((values - low) / (high - low if high > low else 1.0), 0, 1)


def _plane(array, name):
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError(
            f"{name} must be one slice (H, W), got shape {array.shape}; index a volume as volume[:, :, k]."
        )
    return array


def _binary(mask, name, ct):
    mask = _plane(mask, name)
    if mask.shape != np.shape(ct):
        raise ValueError(f"{name} has shape {mask.shape}, the slice {np.shape(ct)}; they must be equal.")
    if mask.dtype != bool and mask.size and mask.max() > 1:
        raise ValueError(f"{name} holds class {mask.max()}; pass case.infection here, or draw classes by show_labels.")
    return mask.astype(bool)
