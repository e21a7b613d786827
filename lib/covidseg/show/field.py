"""Many named points in one picture, by family; and two networks side by side."""

from collections.abc import Mapping, Sequence

import numpy as np

from covidseg.show.furniture import axes_or_current, frame, titled
from covidseg.show.pictures import INK, QUIET, RULE, SERIES

__all__ = ["figure_rgb", "mirrored", "roofline", "scatter"]

SIZE = 7  # of a name, in points
ROOM = [
    (dx, dy) for far in (5, 11, 18, 26) for dx in (1, -1) for dy in (0, far, -far)
]  # where a name may go, nearest first


def scatter(
    points: Mapping[str, tuple[float, float]], groups: Mapping[str, str], *, highlight="", log=True, xlabel="",
    ylabel="", title=None, ax=None,
):  # fmt: skip
    """A dot and a name for each point, a colour for each group.

    points : name -> (x, y), above 0 if log; groups : name -> its group, in the order of the legend; it may know more
    names, so that two figures give a group the same colour. highlight : a name drawn as a star.
    log : True, False, or "x" or "y" for that axis alone. A name stands where it hides no other, if it can.
    """
    ax = axes_or_current(ax)
    titles = list(dict.fromkeys(groups.values()))
    colours = dict(zip(titles, [*SERIES, QUIET, INK], strict=False))
    for group in titles:
        inside = np.array([xy for name, xy in points.items() if groups[name] == group and name != highlight], float)
        if not len(inside) and groups.get(highlight) != group:
            continue
        look = dict(ms=5.5, mec="white", mew=0.6, color=colours[group], zorder=3)
        ax.plot(*inside.reshape(-1, 2).T, "o", label=group, **look)
    if highlight in points:
        ax.plot(*points[highlight], "*", ms=15, mec="white", color=colours[groups[highlight]], zorder=5)
    ax.set_xscale("log" if log in (True, "x") else "linear")
    ax.set_yscale("log" if log in (True, "y") else "linear")
    ax.margins(0.08)
    ax.set_xlabel(xlabel, fontsize=9, color=QUIET)
    ax.set_ylabel(ylabel, fontsize=9, color=QUIET)
    ax.tick_params(labelsize=8, colors=QUIET)
    ax.grid(color=RULE, lw=0.6)
    ax.set_axisbelow(True)
    frame(ax, "left", "bottom")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, handletextpad=0.2)
    titled(ax, title)
    _name(ax, points, {name: colours[group] for name, group in groups.items()}, highlight)
    return ax


def roofline(roof, points: Mapping[str, tuple[float, float]], *, highlight="", title=None, ax=None):
    """What a processor allows, as a line, and what it did, as dots below it.

    roof : `covidseg.roofline.Roof`; points : name -> (MACs a byte, MACs a second), above 0
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax, points = axes_or_current(ax), {name: (x, y / 1e9) for name, (x, y) in points.items()}
    across, up = np.array(list(points.values())).T
    low, high = 0.5 * across.min(), 2 * max(roof.ridge, across.max())
    at = np.array([low, roof.ridge, high])
    ax.plot(at, [roof.at(x) / 1e9 for x in at], color=INK, lw=1.6, zorder=2)
    ax.set(xscale="log", yscale="log", xlim=(low, high))
    ax.set_ylim(0.6 * min(up.min(), roof.at(low) / 1e9), 2 * roof.rate / 1e9)
    words = "left of the bend memory is the limit,\nright of it arithmetic"
    ax.text(0.03, 0.97, words, transform=ax.transAxes, fontsize=8, color=QUIET, va="top")
    for name, xy in points.items():
        star = name == highlight
        dot = dict(ms=13 if star else 6, mec="white", mew=0.6, color=SERIES[1] if star else SERIES[0], zorder=3)
        ax.plot(*xy, "*" if star else "o", **dot)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("MACs for each byte that is read or written", fontsize=9, color=QUIET)
    ax.set_ylabel("thousand million MACs a second", fontsize=9, color=QUIET)
    ax.tick_params(labelsize=8, colors=QUIET)
    ax.grid(color=RULE, lw=0.6)
    ax.set_axisbelow(True)
    frame(ax, "left", "bottom")
    titled(ax, title)
    _name(ax, points, dict.fromkeys(points, INK), highlight)
    return ax


def _name(ax, points, colours, highlight):
    """Write each name beside its dot, at the first place where it covers neither dot nor name."""
    ax.figure.draw_without_rendering()
    point = ax.figure.dpi / 72
    at = {name: ax.transData.transform(xy) for name, xy in points.items()}
    taken = [(x - 3 * point, y - 3 * point, x + 3 * point, y + 3 * point) for x, y in at.values()]
    for name, (x, y) in at.items():
        wide, high = 0.56 * SIZE * len(name) * point, 1.1 * SIZE * point
        boxes = [_box(x, y, 6 * dx * point, dy * point, wide, high) for dx, dy in ROOM]
        free = [k for k, box in enumerate(boxes) if not any(_overlap(box, other) for other in taken)]
        dx, dy = ROOM[free[0] if free else 0]
        taken.append(boxes[free[0] if free else 0])
        bold = "bold" if name == highlight else "normal"
        far = abs(dy) > 11
        ax.annotate(
            name, points[name], (6 * dx, dy), textcoords="offset points", ha="left" if dx > 0 else "right", va="center",
            fontsize=SIZE, color=INK, fontweight=bold, zorder=6,
            arrowprops=dict(arrowstyle="-", color=colours[name], lw=0.6, shrinkA=0, shrinkB=2) if far else None,
        )  # fmt: skip


def _box(x, y, dx, dy, wide, high):
    left = x + dx - (wide if dx < 0 else 0)
    return left, y + dy - high / 2, left + wide, y + dy + high / 2


def _overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def mirrored(
    labels: Sequence[str], left: Sequence[float], right: Sequence[float], *, names, unit="", title=None, ax=None
):
    """Two rows of bars back to back, one pair a label; each bar carries its number. names : of the two sides."""
    ax = axes_or_current(ax)
    at, widest = np.arange(len(labels)), max([*left, *right, 1e-9])
    for values, sign, colour, name in ((left, -1, SERIES[0], names[0]), (right, 1, SERIES[1], names[1])):
        ax.barh(at, sign * np.asarray(values, float), height=0.7, color=colour)
        for y, value in enumerate(values):
            ax.annotate(
                f"{value:,.3g}" if value else "0", (sign * value, y), (4 * sign, 0), textcoords="offset points",
                va="center", ha="left" if sign > 0 else "right", fontsize=8, color=INK,
            )  # fmt: skip
        ax.annotate(
            name, (sign * widest / 2, -0.9), ha="center", va="center", fontsize=9, color=INK, annotation_clip=False
        )
    ax.axvline(0, color=RULE, lw=1)
    ax.set_yticks(at, labels, fontsize=8)
    ax.set_ylim(len(labels) - 0.4, -1.3)
    ax.set_xlim(-1.3 * widest, 1.3 * widest)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.set_xlabel(unit, fontsize=8, color=QUIET)
    frame(ax)
    return titled(ax, title)


def figure_rgb(figure) -> np.ndarray:
    """A figure as a picture for a panel, uint8 (H, W, 3); the figure is closed."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    plt.close(figure)
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
