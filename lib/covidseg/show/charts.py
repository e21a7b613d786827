"""Bars, curves, strips of runs, paper against ours, what was said against what was found, and dilated kernels."""

from collections.abc import Mapping, Sequence

import numpy as np

from covidseg.show.furniture import axes_or_current, frame, titled
from covidseg.show.pictures import INK, QUIET, RULE, SERIES


def bars(values: Mapping[str, float], *, unit="", form="{:,.0f}", highlight=(), share=False, title=None, ax=None):
    """Horizontal bars in the order given, first on top; each carries its number, so no axis is needed.

    values : name -> number, for example the parameter budget of a network by group
    highlight : names drawn in the accent colour; share : also print each bar's percentage of the sum
    """
    ax = axes_or_current(ax)
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
    frame(ax, "left")
    return titled(ax, title)


def _percent(part):
    return "(<1%)" if 0 < part < 0.005 else f"({part:.0%})"


def curves(series: Mapping[str, Sequence[float]], *, x=None, xlabel="epoch", ylabel="", title=None, ax=None):
    """One line per entry, named at its end in its own colour instead of in a legend.

    series : name -> values; x : shared positions, by default 1, 2, 3, ...; undefined values (NaN) leave a gap
    """
    ax = axes_or_current(ax)
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
    frame(ax, "left", "bottom")
    _name_ends(ax, ends)
    return titled(ax, title)


def pairs(names: Sequence[str], series: Mapping[str, Sequence[float]], *, ylabel="", title=None, ax=None):
    """Upright bars side by side for each name, a colour for each entry of ``series``: name -> numbers, one a bar."""
    ax, at = axes_or_current(ax), np.arange(len(names))
    wide = 0.78 / len(series)
    for k, (name, values) in enumerate(series.items()):
        ax.bar(at + (k - (len(series) - 1) / 2) * wide, values, wide, color=SERIES[k % len(SERIES)], label=name)
    ax.set_xticks(at, names, fontsize=8)
    ax.set_ylabel(ylabel, fontsize=9, color=QUIET)
    ax.tick_params(axis="y", labelsize=8, colors=QUIET)
    ax.tick_params(axis="x", length=0)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(series), frameon=False, fontsize=8)
    frame(ax, "left", "bottom")
    return titled(ax, title, pad=20)


def compare(names, paper, ours, *, labels=("paper", "ours"), unit="", form="{:.1f}", title=None, ax=None):
    """The paper's value and ours for each row, joined by a line: its length is the difference.

    names, paper, ours : equally long; a missing value is NaN and draws no dot
    """
    ax = axes_or_current(ax)
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
    frame(ax, "bottom")
    return titled(ax, title, pad=20)


def _gap(gap, form):
    """' (+0.4)'; a gap that prints as zero has no sign; no paper value, no gap."""
    if not np.isfinite(gap):
        return ""
    size = form.format(abs(gap))
    sign = "" if size == form.format(0.0) else "+" if gap > 0 else "\N{MINUS SIGN}"
    return f" ({sign}{size})"


def strips(
    values: Mapping[str, Sequence[float]], *, paper=None, labels=("paper", "ours"), unit="", title=None, ax=None
):
    """Every value of a row as a dot of its own and their mean as a bar: one sees what one value more could change.

    values : name -> numbers, one per run or per slice; undefined ones (NaN) draw no dot, a row may be empty
    paper : name -> the paper's value, drawn as a ring; labels : the legend, which is there if ``paper`` is
    Dots that would hide each other stand side by side. A line marks 0 where values lie on both sides of it.
    """
    import seaborn

    ax, names = axes_or_current(ax), list(values)
    rows = [name for name in names for _ in values[name]]
    numbers = np.array([value for name in names for value in values[name]], float)
    seaborn.swarmplot(x=numbers, y=rows, order=names, orient="y", size=4.5, color=SERIES[0], zorder=3, ax=ax)
    means = [np.nanmean(values[name]) if np.isfinite(values[name]).any() else np.nan for name in names]
    ax.plot(means, range(len(names)), "|", ms=15, mew=1.8, color=INK, label=f"{labels[1]}, mean", zorder=4)
    if paper is not None:
        rings = [paper.get(name, np.nan) for name in names]
        ax.plot(rings, range(len(names)), "o", ms=8, mfc="none", mec=SERIES[4], mew=1.6, label=labels[0], zorder=5)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)
    low, high = ax.get_xlim()
    if low < 0 < high:
        ax.axvline(0, color=RULE, lw=1.5, zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="x", labelsize=8, colors=QUIET)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(unit, fontsize=9, color=QUIET)
    ax.set_ylabel("")
    frame(ax, "bottom")
    return titled(ax, title, pad=20 if paper is not None else 6)


def banded(points, band, *, colour=SERIES[0], dots=True, xlabel="", ylabel="", title=None, ax=None):
    """Points, and over them a line with the band of its confidence.

    points : (x, y); band : (n, 4) as `covidseg.tables.trust.band` answers: x, mean, lower and upper end
    """
    ax, band = axes_or_current(ax), np.asarray(band, float)
    if dots:
        ax.plot(*points, "o", ms=2.2, color=colour, alpha=0.35, mec="none", zorder=2)
    ax.fill_between(band[:, 0], band[:, 2], band[:, 3], color=colour, alpha=0.22, lw=0, zorder=3)
    ax.plot(band[:, 0], band[:, 1], color=colour, lw=1.8, marker="o", ms=3.5, zorder=4)
    ax.set_xlabel(xlabel, fontsize=9, color=QUIET)
    ax.set_ylabel(ylabel, fontsize=9, color=QUIET)
    ax.tick_params(labelsize=8, colors=QUIET)
    ax.grid(axis="y", color=RULE, lw=0.7)
    ax.set_axisbelow(True)
    frame(ax, "left", "bottom")
    return titled(ax, title)


def shares(table, *, title=None, ax=None):
    """A row for each name, a column for each rank, the share written where it is 1 % or more.

    table : name -> shares (ranks,), as `covidseg.tables.trust.rank_shares` answers
    """
    ax, values = axes_or_current(ax), np.array(list(table.values()), float)
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if value >= 0.01:
            ink = "white" if value > 0.55 else INK
            ax.text(x, y, f"{value:.0%}", ha="center", va="center", fontsize=7.5, color=ink)
    ax.set_yticks(range(len(table)), list(table), fontsize=8)
    ax.set_xticks(range(values.shape[1]), [str(k + 1) for k in range(values.shape[1])], fontsize=8)
    ax.set_xlabel("rank", fontsize=9, color=QUIET)
    ax.tick_params(length=0)
    frame(ax)
    return titled(ax, title)


def calibration(series, *, most=None, title=None, ax=None):
    """Reliability curves: what was said against what was found, and the diagonal on which a probability keeps its word.

    series : name -> `covidseg.attention.Reliability`; the error stands behind the name. A dot grows with the pixels
        of its bin; most : the largest area in points, 120 by default
    """
    ax, most = axes_or_current(ax), most or 120
    ax.plot([0, 1], [0, 1], color=RULE, lw=1.5, zorder=0)
    for k, (name, r) in enumerate(series.items()):
        colour, there = SERIES[k % len(SERIES)], r.count > 0
        label = f"{name}: error {r.error:.3f}"
        ax.plot(r.said[there], r.found[there], color=colour, lw=1.6, label=label, zorder=2)
        ax.scatter(r.said[there], r.found[there], most * np.sqrt(r.count[there] / r.count.max()), colour, zorder=3)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set_xlabel("probability of infection, as said", fontsize=9, color=QUIET)
    ax.set_ylabel("share infected, as found", fontsize=9, color=QUIET)
    ax.tick_params(labelsize=8, colors=QUIET)
    ax.legend(loc="lower right", frameon=False, fontsize=8)
    frame(ax, "left", "bottom")
    return titled(ax, title)


def show_receptive_field(dilations=(1, 2, 4, 8), *, kernel=3, legend=True, title=None, ax=None):
    """The pixels that each dilated kernel reads around one output pixel, and the field it spans.

    dilations : one per branch; kernel : odd side of the kernel
    A kernel of side k with dilation d spans d(k - 1) + 1 pixels.
    """
    from matplotlib.patches import Rectangle

    ax = axes_or_current(ax)
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
    frame(ax)
    if legend:
        handles.append((Rectangle((0, 0), 1, 1, fc=INK), "centre, read by all"))
        order = [*handles[-2::-1], handles[-1]]
        place = dict(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
        ax.legend(*zip(*order, strict=True), **place, handlelength=1.0, handleheight=1.0)
    return titled(ax, title)


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
