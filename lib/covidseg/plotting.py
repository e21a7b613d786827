"""Figures of the kit: every function draws arrays on an Axes and returns it.

Nothing here loads data, runs a network, sets a global style or calls ``show``. Pixels and colours come from
`covidseg.pictures`; arrays are upright, row 0 the breastbone, column 0 the patient's right side.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from covidseg.data.transforms import LUNG
from covidseg.pictures import (
    CLASSES,
    HEAT,
    HIT,
    INK,
    OUTCOMES,
    QUIET,
    RULE,
    SERIES,
    attention_rgb,
    labels_rgb,
    overlay_rgb,
    slice_rgb,
)

# --------------------------------------------------------------------------------------------------- slices


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


def _entries_of(cases):
    if all(case.classes == "infection" for case in cases):
        return {"infection": HIT}
    shown = set().union(*(np.unique(case.mask).tolist() for case in cases))
    return {name: colour for value, (name, colour) in CLASSES.items() if value in shown}


# ------------------------------------------------------------------------------------------- bars and curves


def bars(values: Mapping[str, float], *, unit="", form="{:,.0f}", highlight=(), share=False, title=None, ax=None):
    """Horizontal bars in the order given, first on top; each carries its number, so no axis is needed.

    values : name -> number, for example the parameter budget of a network by group
    highlight : names drawn in the accent colour; share : also print each bar's percentage of the sum
    """
    ax = _axes(ax)
    names, numbers = list(values), np.array(list(values.values()), float)
    chosen = {highlight} if isinstance(highlight, str) else set(highlight)
    colours = [SERIES[1] if name in chosen else SERIES[0] for name in names]
    at = np.arange(len(names))
    ax.barh(at, numbers, height=0.72, color=colours)
    total = numbers.sum() or 1.0
    for y, number in zip(at, numbers, strict=True):
        text = form.format(number) + (f"  {_percent(number / total)}" if share else "")
        ax.annotate(text, (number, y), (4, 0), textcoords="offset points", va="center", fontsize=8, color=INK)
    ax.set_yticks(at, names, fontsize=8)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, 1.22 * max(numbers.max(initial=0), 1e-9))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.set_xlabel(unit, fontsize=8, color=QUIET)
    _frame(ax, "left")
    return _title(ax, title)


def _percent(part):
    return "(<1%)" if 0 < part < 0.005 else f"({part:.0%})"


def curves(series: Mapping[str, Sequence[float]], *, x=None, xlabel="epoch", ylabel="", title=None, ax=None):
    """One line per entry, named at its end in its own colour instead of in a legend.

    series : name -> values; x : shared positions, by default 1, 2, 3, ...; undefined values (NaN) leave a gap
    """
    ax = _axes(ax)
    ends = []
    for k, (name, values) in enumerate(series.items()):
        values = np.asarray(values, float)
        at = np.arange(1, len(values) + 1) if x is None else np.asarray(x)[: len(values)]
        colour = SERIES[k % len(SERIES)]
        ax.plot(at, values, color=colour, lw=1.8, marker="o" if len(values) < 12 else None, ms=3.5)
        defined = np.flatnonzero(np.isfinite(values))
        if defined.size:
            ends.append((values[defined[-1]], at[defined[-1]], name, colour))
    ax.set_xlabel(xlabel, fontsize=9, color=QUIET)
    ax.set_ylabel(ylabel, fontsize=9, color=QUIET)
    ax.tick_params(labelsize=8, colors=QUIET)
    ax.grid(axis="y", color=RULE, lw=0.7)
    ax.set_axisbelow(True)
    _whole_numbers(ax, x)
    _frame(ax, "left", "bottom")
    _name_ends(ax, ends)
    return _title(ax, title)


def compare(names, paper, ours, *, labels=("paper", "ours"), unit="", form="{:.1f}", title=None, ax=None):
    """The paper's value and ours for each row, joined by a line: its length is the difference.

    names, paper, ours : equally long; a missing value is NaN and draws no dot
    """
    ax = _axes(ax)
    at = np.arange(len(names))
    paper, ours = np.asarray(paper, float), np.asarray(ours, float)
    ax.hlines(at, np.fmin(paper, ours), np.fmax(paper, ours), color=RULE, lw=3, zorder=1)
    ax.plot(paper, at, "o", ms=7, mfc="white", mec=QUIET, mew=1.6, ls="", label=labels[0], zorder=2)
    ax.plot(ours, at, "o", ms=7, color=SERIES[0], ls="", label=labels[1], zorder=3)
    for y, (theirs, our) in enumerate(zip(paper, ours, strict=True)):
        if np.isfinite(our):
            text, right = form.format(our) + _gap(our - theirs, form), np.nanmax([theirs, our])
            ax.annotate(text, (right, y), (8, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(at, names, fontsize=8)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.margins(x=0.18)
    ax.tick_params(axis="x", labelsize=8, colors=QUIET)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(unit, fontsize=9, color=QUIET)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8, handletextpad=0.2)
    _frame(ax, "bottom")
    return _title(ax, title, pad=20)


def _gap(gap, form):
    """' (+0.4)'; a gap that prints as zero has no sign; no paper value, no gap."""
    if not np.isfinite(gap):
        return ""
    size = form.format(abs(gap))
    sign = "" if size == form.format(0.0) else "+" if gap > 0 else "\N{MINUS SIGN}"
    return f" ({sign}{size})"


def show_receptive_field(dilations=(1, 2, 4, 8), *, kernel=3, legend=True, title=None, ax=None):
    """The pixels that each dilated kernel reads around one output pixel, and the field it spans.

    dilations : one per branch, MiniSeg's AHSP by default (Eqn 2); kernel : odd side of the kernel
    A kernel of side k with dilation d spans d(k - 1) + 1 pixels.
    """
    from matplotlib.patches import Rectangle

    ax = _axes(ax)
    arm, handles = kernel // 2, []
    reach = arm * max(dilations)
    for k, d in reversed(list(enumerate(dilations))):
        colour, side = SERIES[k % len(SERIES)], 2 * arm * d + 1
        ax.add_patch(Rectangle((-side / 2, -side / 2), side, side, fc=colour, alpha=0.08, ec="none", zorder=1))
        ax.add_patch(Rectangle((-side / 2, -side / 2), side, side, fc="none", ec=colour, lw=1.6, zorder=6))
        for row in range(-arm, arm + 1):
            for column in range(-arm, arm + 1):
                if row or column:
                    ax.add_patch(
                        Rectangle((column * d - 0.5, row * d - 0.5), 1, 1, fc=colour, ec="white", lw=0.8, zorder=4)
                    )
        handles.append((Rectangle((0, 0), 1, 1, fc=colour), f"dilation {d}: {side} x {side}"))
    ax.add_patch(Rectangle((-0.5, -0.5), 1, 1, fc=INK, ec="white", zorder=5))
    ax.set(xlim=(-reach - 1, reach + 1), ylim=(reach + 1, -reach - 1), aspect="equal", xticks=[], yticks=[])
    lines = np.arange(-reach - 0.5, reach + 1)
    ax.hlines(lines, lines[0], lines[-1], color=RULE, lw=0.5, zorder=0)
    ax.vlines(lines, lines[0], lines[-1], color=RULE, lw=0.5, zorder=0)
    _frame(ax)
    if legend:
        handles.append((Rectangle((0, 0), 1, 1, fc=INK), "centre, read by all"))
        order = [*handles[-2::-1], handles[-1]]
        place = dict(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
        ax.legend(*zip(*order, strict=True), **place, handlelength=1.0, handleheight=1.0)
    return _title(ax, title)


# --------------------------------------------------------------------------------------------------- furniture


def _axes(ax):
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.gca()


def _grid(n, columns, width):
    import matplotlib.pyplot as plt

    columns = max(1, min(columns, n))
    rows = max(1, -(-n // columns))
    size = (columns * width, rows * width * 1.1 + 0.3)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1].ravel()


def _picture(picture, spacing, sides, title, ax):
    ax = _axes(ax)
    known = spacing is not None and np.all(np.isfinite(spacing[:2]))  # pictures without a header have spacing nan
    ax.imshow(picture, interpolation="bilinear", aspect=spacing[0] / spacing[1] if known else "equal")
    ax.set_axis_off()
    if known:
        _scale_bar(ax, picture.shape, spacing)
    if sides:
        ax.annotate("R", (0.02, 0.5), xycoords="axes fraction", color="white", fontsize=9, weight="bold", va="center")
    return _title(ax, title)


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


def _title(ax, title, pad=6):
    if title:
        ax.set_title(title, fontsize=9, color=INK, pad=pad)
    return ax


def _frame(ax, *sides):
    """Keep only the named sides of the box, thin and grey."""
    for name, spine in ax.spines.items():
        spine.set_visible(name in sides)
        spine.set_color(RULE)


def _whole_numbers(ax, x):
    """Epochs are whole: no tick at 2.5."""
    from matplotlib.ticker import MaxNLocator

    if x is None:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _name_ends(ax, ends):
    """Write each line's name at its end, pushed apart where lines meet."""
    low, high = ax.get_ylim()
    gap, last = 0.06 * (high - low), -np.inf
    for value, at, name, colour in sorted(ends, key=lambda end: end[0]):
        last = max(value, last + gap)
        ax.annotate(
            name,
            (at, last),
            (6, 0),
            textcoords="offset points",
            color=colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
        )
