"""Figures of the kit: every function draws arrays on an Axes and returns it.

Nothing here loads data, runs a network, sets a global style or calls ``show``. Pixels and colours come from
`covidseg.show.pictures`; arrays are upright, row 0 the breastbone, column 0 the patient's right side. ``slices`` holds
pictures of CT, ``charts`` bars, curves and the like, ``field`` many networks or two.
"""

from covidseg.show.charts import banded, bars, calibration, compare, curves, pairs, shares, show_receptive_field, strips
from covidseg.show.field import figure_rgb, mirrored, roofline, scatter
from covidseg.show.pictures import attention_rgb, labels_rgb, overlay_rgb, slice_rgb
from covidseg.show.slices import gallery, show_attention, show_labels, show_overlay, show_slice, side_by_side

__all__ = [
    "attention_rgb",
    "banded",
    "bars",
    "calibration",
    "compare",
    "curves",
    "figure_rgb",
    "gallery",
    "labels_rgb",
    "mirrored",
    "overlay_rgb",
    "pairs",
    "roofline",
    "scatter",
    "shares",
    "show_attention",
    "show_labels",
    "show_overlay",
    "show_receptive_field",
    "show_slice",
    "side_by_side",
    "slice_rgb",
    "strips",
]
