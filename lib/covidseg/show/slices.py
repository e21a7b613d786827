"""CT slices with masks, classes or attention maps over them."""

import numpy as np

from covidseg.data.transforms import LUNG
from covidseg.show.furniture import axes_or_current, titled
from covidseg.show.pictures import (
    CLASSES,
    HEAT,
    HIT,
    OUTCOMES,
    QUIET,
    attention_rgb,
    labels_rgb,
    overlay_rgb,
    slice_rgb,
)


def show_slice(ct, *, intensity="HU", window=LUNG, spacing=None, sides=False, title=None, ax=None):
    """One slice in grey.

    ct : (H, W), in HU, or 0..255 with intensity="grey"
    window : Window(level, width) in HU, mapped to black..white
    spacing : (row, column) in mm; draws a scale bar of 5 cm and true proportions
    sides : mark the patient's right side with "R"
    """
    return _picture(slice_rgb(ct, intensity=intensity, window=window), spacing, sides, title, ax)


def show_overlay(
    ct, pred, truth=None, *, intensity="HU", window=LUNG, spacing=None, alpha=0.45, legend=True, title=None, ax=None
):
    """A prediction over its slice; with ``truth``: hits sky blue, misses yellow, false alarms vermilion.

    ct, pred, truth : (H, W); pred and truth bool or 0/1 (for classes see show_labels)
    """
    picture = overlay_rgb(ct, pred, truth, intensity=intensity, window=window, alpha=alpha)
    ax = _picture(picture, spacing, False, title, ax)
    if legend:
        _legend(ax, OUTCOMES if truth is not None else {"predicted infection": HIT})
    return ax


def show_labels(ct, labels, *, intensity="HU", window=LUNG, spacing=None, alpha=0.45, legend=True, title=None, ax=None):
    """The classes over their slice: 1 ground-glass opacity, 2 consolidation, 3 pleural effusion.

    ct : (H, W); labels : integers (H, W), 0 is background. Other values raise ValueError.
    """
    picture = labels_rgb(ct, labels, intensity=intensity, window=window, alpha=alpha)
    ax = _picture(picture, spacing, False, title, ax)
    if legend:
        _legend(ax, dict(CLASSES.values()))
    return ax


def show_attention(
    ct,
    attention,
    *,
    intensity="HU",
    window=LUNG,
    alpha=0.6,
    vmin=None,
    vmax=None,
    colourbar=True,
    label="attention",
    title=None,
    ax=None,
):
    """A map (h, w), at any resolution, laid over the slice (H, W) it belongs to.

    vmin, vmax : ends of the colour scale; by default the map's own, printed on the bar (sigmoid maps rarely fill 0..1)
    """
    low = float(np.min(attention)) if vmin is None else vmin
    high = float(np.max(attention)) if vmax is None else vmax
    picture = attention_rgb(ct, attention, intensity=intensity, window=window, alpha=alpha, vmin=low, vmax=high)
    ax = _picture(picture, None, False, title, ax)
    if colourbar:
        _colourbar(ax, low, high, label)
    return ax


def gallery(cases, predictions=None, *, columns=4, width=2.4, axes=None):
    """Slices side by side with their masks; with ``predictions``, hits, misses and false alarms.

    cases : 2-D Cases; predictions : one mask (H, W) per case, or None; width : inches per picture
    Returns the Axes used, an array of len(cases).
    """
    cases = list(cases)
    axes = _grid(len(cases), columns, width) if axes is None else np.ravel(axes)
    for k, (case, ax) in enumerate(zip(cases, axes, strict=False)):
        common = dict(intensity=case.intensity, legend=False, title=case.id, ax=ax)
        if predictions is not None:
            show_overlay(case.image, np.asarray(predictions[k]) > 0, case.infection, **common)
        elif case.classes == "infection":
            show_overlay(case.image, case.infection, **common)
        else:
            show_labels(case.image, case.mask, **common)
    entries = OUTCOMES if predictions is not None else _entries_of(cases)
    for ax in axes[len(cases) :]:
        ax.set_axis_off()
    if len(cases):
        _figure_legend(axes[0].figure, entries)
    return axes[: len(cases)]


def side_by_side(cases, predictions, *, colours=OUTCOMES, alpha=0.45, width=1.15, crop=True):
    """A row for each slice, a column for each network, the truth first: the Axes, (rows, columns).

    cases : 2-D Cases; predictions : network -> one mask (H, W) per case, or None where it has none
    colours : OUTCOMES, or AS_PRINTED as in the paper; crop : cut the pictures to the lungs and all that is marked
    """
    import matplotlib.pyplot as plt

    cases, columns = list(cases), {"truth": [case.infection for case in cases], **predictions}
    size = (width * len(columns), width * len(cases) + 0.5)
    axes = plt.subplots(len(cases), len(columns), figsize=size, squeeze=False, layout="constrained")[1]
    axes[0, 0].figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    for k, case in enumerate(cases):
        window = _window(case, [masks[k] for masks in columns.values()]) if crop else np.s_[:, :]
        for ax, (name, masks) in zip(axes[k], columns.items(), strict=True):
            truth = None if masks is columns["truth"] else case.infection[window]
            title = name if k == 0 else None
            if masks[k] is None:
                titled(ax, title).set_axis_off()
                continue
            pred = np.asarray(masks[k], bool)[window]
            look = dict(intensity=case.intensity, alpha=alpha, colours=colours)
            _picture(overlay_rgb(case.image[window], pred, truth, **look), None, False, title, ax)
    _figure_legend(axes[0, 0].figure, colours)
    return axes


def _window(case, masks, margin=12):
    """Rows and columns that hold everything marked, and a margin."""
    marked = np.any([np.asarray(mask, bool) for mask in masks if mask is not None], axis=0)
    marked = marked | (case.lung > 0) if case.lung is not None else marked
    if not marked.any():
        return np.s_[:, :]
    ends = [np.flatnonzero(marked.any(axis)) for axis in (1, 0)]
    return tuple(slice(max(at[0] - margin, 0), at[-1] + margin + 1) for at in ends)


def _entries_of(cases):
    if all(case.classes == "infection" for case in cases):
        return {"infection": HIT}
    shown = set().union(*(np.unique(case.mask).tolist() for case in cases))
    return {name: colour for value, (name, colour) in CLASSES.items() if value in shown}


def _grid(n, columns, width):
    import matplotlib.pyplot as plt

    columns = max(1, min(columns, n))
    rows = max(1, -(-n // columns))
    size = (columns * width, rows * width * 1.1 + 0.3)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1].ravel()


def _picture(picture, spacing, sides, title, ax):
    ax = axes_or_current(ax)
    known = spacing is not None and np.all(np.isfinite(spacing[:2]))  # pictures without a header have spacing nan
    ax.imshow(picture, interpolation="bilinear", aspect=spacing[0] / spacing[1] if known else "equal")
    ax.set_axis_off()
    if known:
        _scale_bar(ax, picture.shape, spacing)
    if sides:
        ax.annotate("R", (0.02, 0.5), xycoords="axes fraction", color="white", fontsize=9, weight="bold", va="center")
    return titled(ax, title)


def _scale_bar(ax, shape, spacing, length=50.0):
    """50 mm in the lower right corner, white on a dark seam, so that it can be read on air and on tissue."""
    from matplotlib.patheffects import withStroke

    right, y, pixels = shape[1] * 0.96, shape[0] * 0.955, length / spacing[1]
    seam = dict(color="white", path_effects=[withStroke(linewidth=3, foreground="#00000099")])
    ax.plot([right - pixels, right], [y, y], lw=2, solid_capstyle="butt", scalex=False, scaley=False, **seam)
    place = dict(xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=7.5)
    ax.annotate("5 cm", (right - pixels / 2, y), **place, **seam)


def _legend(ax, entries):
    """Below the picture, never on it."""
    handles, style = _patches(entries)
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), **style)


def _figure_legend(figure, entries):
    handles, style = _patches(entries)
    figure.legend(handles=handles, loc="outside lower center", **style)


def _patches(entries):
    from matplotlib.patches import Patch

    handles = [Patch(fc=colour, label=name) for name, colour in entries.items()]
    style = dict(ncols=max(1, len(handles)), frameon=False, fontsize=8, handlelength=1.0, handleheight=1.0)
    return handles, style | dict(columnspacing=1.0, handletextpad=0.4)


def _colourbar(ax, low, high, label):
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = ax.figure.colorbar(ScalarMappable(Normalize(low, high), HEAT), ax=ax, fraction=0.046, pad=0.03, aspect=22)
    bar.set_label(label, fontsize=8, color=QUIET)
    bar.ax.tick_params(labelsize=7, colors=QUIET)
    bar.outline.set_visible(False)
