"""Slices under the reader's own window, with the expert's mask over them."""

from collections.abc import Sequence
from html import escape

import ipywidgets as W
import numpy as np

from covidseg.data import Case
from covidseg.data.transforms import LUNG, WINDOWS, Window
from covidseg.errors import UserError
from covidseg.show.pictures import CLASSES, HIT, labels_rgb, overlay_rgb, slice_rgb
from covidseg.show.widgets.look import as_slices, first_slice
from covidseg.show.widgets.panel import ImagePanel, make_control
from covidseg.show.widgets.render import percent

__all__ = ["SliceExplorer", "slice_caption"]

LEVELS, WIDTHS = (-1000, 1000, 10), (10, 3000, 10)  # HU
INFECTION = {1: ("infection", HIT)}


class SliceExplorer(ImagePanel):
    """Scroll through slices and set the window: what is black, what is white, and what the mask covers.

    cases : 2-D Cases, a CaseDataset, or one volume; window : where level and width start, in HU
    masks : masks to show instead of the cases' own, such as predictions: one (H, W) per slice, or one (H, W, D)

    Controls: slice, preset (lung, mediastinum, bone), level and width in HU, mask. Pictures stored as grey levels
    have no window left to choose, so these three controls are absent then. Raises UserError if there are no cases,
    or another number of masks.

    >>> SliceExplorer(load_dataset("phantom3d", n=1)[0])                  # doctest: +SKIP
    """

    def __init__(self, cases: Sequence[Case] | Case, masks=None, *, window: Window = LUNG):
        self.cases, window = as_slices(cases), Window(*window)
        self.masks = _one_per_slice(masks, len(self.cases))
        controls = {}
        if len(self.cases) > 1:
            controls["slice"] = make_control("slice", range(len(self.cases)), first_slice(self.cases))
        if self.cases[0].intensity == "HU":
            presets = [(name, tuple(preset)) for name, preset in WINDOWS.items()]
            chosen = tuple(window) if tuple(window) in dict(map(reversed, presets)) else None
            controls["preset"] = W.ToggleButtons(options=presets, value=chosen)
            controls["level"] = make_control("level", LEVELS, window.level)
            controls["width"] = make_control("width", WIDTHS, window.width)
        super().__init__(self.picture, controls | {"mask": True}, css="covidseg-slices")

    def picture(self, slice=0, preset=None, level=LUNG.level, width=LUNG.width, mask=True):
        """The picture, uint8 (H, W, 3), and its caption for these control values."""
        case, window = self.cases[slice], Window(level, width)
        labels = np.asarray(case.mask if self.masks is None else self.masks[slice])
        classes = CLASSES if case.classes != "infection" else INFECTION
        words = slice_caption(case, labels if mask else None, classes, window)
        look = dict(intensity=case.intensity, window=window)
        if not mask:
            return slice_rgb(case.image, **look), words
        if classes is INFECTION:
            return overlay_rgb(case.image, labels > 0, **look), words
        return labels_rgb(case.image, labels, **look), words

    def adapt(self, changed: str) -> None:
        """A preset sets level and width; another level or width lights no preset."""
        level, width = (self.controls.get(name) for name in ("level", "width"))
        if changed == "preset" and self.controls["preset"].value is not None:
            level.value, width.value = self.controls["preset"].value
        elif changed in ("level", "width"):
            options = [value for _, value in self.controls["preset"].options]
            own = (level.value, width.value)
            self.controls["preset"].value = own if own in options else None


def slice_caption(case: Case, labels: np.ndarray | None, classes: dict, window: Window) -> str:
    """HTML: which slice, what the window does, and how much each class covers.

    labels : (H, W) of the classes, or None where they are hidden; classes : {value: (name, colour)}. Areas are in
    cm² where the spacing is known, shares are of the lung where its mask is.
    """
    lines = [f"<b>{escape(case.id)}</b>", _window_in_words(case, window)]
    if labels is None:
        return "<br>".join([*lines, "The mask is hidden."])
    regions = {value: labels == value for value in classes if (labels == value).any()}
    for value, region in regions.items():
        name, colour = classes[value]
        lines.append(f'<span style="color:{colour}">■</span> {escape(name)}: {_size(region, case)}')
    return "<br>".join(lines if regions else [*lines, "No lesion is drawn on this slice."])


def _window_in_words(case, window) -> str:
    if case.intensity != "HU":
        return "Stored as grey levels: the window was chosen by whoever exported it."
    return f"Black at {window.low:.0f} HU and below, white at {window.high:.0f} HU and above."


def _size(region, case) -> str:
    known = np.all(np.isfinite(case.spacing[:2]))
    area = f"{region.sum() * case.spacing[0] * case.spacing[1] / 100:.1f} cm²" if known else f"{region.sum():,} pixels"
    lung = None if case.lung is None else case.lung > 0
    if lung is None or not lung.any():
        return area
    return f"{area}, {percent((region & lung).sum() / lung.sum())} of the lung"


def _one_per_slice(masks, n: int):
    if masks is None:
        return None
    if isinstance(masks, np.ndarray) and masks.ndim == 3:
        masks = np.moveaxis(masks, 2, 0)
    if len(masks) != n:
        raise UserError(f"There are {n} slices but {len(masks)} masks; give one mask (H, W) per slice.")
    return masks
