"""Two panels side by side, such as two networks on one slice: what they have in common moves together."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO

import ipywidgets as W
import numpy as np

from covidseg.errors import UserError
from covidseg.show.widgets.panel import ImagePanel, png

__all__ = ["SHARED", "Beside"]

SHARED = ("slice", "row", "column", "zoom", "blend", "outlines")  # names of controls


class Beside(W.HBox):
    """Panels whose shared controls are one: the first panel shows them, all others follow.

    panels : two or more, such as an `AttentionExplorer` for each of two networks, over the same cases
    shared : names of the controls to join, of those that all panels have; all others stay each panel's own
    Raises UserError for fewer than two panels, and where a shared control offers not the same to all.

    >>> Beside(AttentionExplorer(one, cases), AttentionExplorer(other, cases))             # doctest: +SKIP
    """

    def __init__(self, *panels: ImagePanel, shared: Sequence[str] = SHARED):
        if len(panels) < 2:
            raise UserError("Beside joins two panels or more; give at least two.")
        self.panels = panels
        first, *others = panels
        for name in [name for name in shared if all(name in panel.controls for panel in panels)]:
            leader = first.controls[name]
            for panel in others:
                follower = panel.controls[name]
                if _offers(follower) != _offers(leader):
                    raise UserError(f"The panels offer not the same at {name!r}: give all of them the same cases.")
                W.link((leader, "value"), (follower, "value"))
                follower.layout.display = "none"
        for panel in panels:
            panel.layout.flex, panel.layout.width = "1 1 360px", "auto"
        super().__init__(panels, layout=W.Layout(flex_flow="row wrap", align_items="flex-start"))

    def __repr__(self) -> str:
        return " Beside it: ".join(map(repr, self.panels))

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        return bundle | {"image/png": b64encode(_together(self.panels)).decode()}


def _offers(control: W.Widget) -> tuple:
    """What a control lets a reader choose."""
    return tuple(getattr(control, name, None) for name in ("options", "min", "max", "step"))


def _together(panels: Sequence[ImagePanel]) -> bytes:
    """The panels' pictures in one row, as PNG."""
    from PIL import Image

    pictures = [np.asarray(Image.open(BytesIO(panel.image.value)).convert("RGB")) for panel in panels]
    high = max(picture.shape[0] for picture in pictures)
    grown = [np.pad(one, ((0, high - one.shape[0]), (0, 8), (0, 0)), constant_values=255) for one in pictures]
    return png(np.concatenate(grown, 1)[:, :-8])
