"""The static twin of the AttentionExplorer: a figure that GitHub, nbviewer and a printer can show."""

from collections.abc import Sequence
from textwrap import fill

from covidseg.show import show_overlay
from covidseg.show.pictures import HEAT, INK, OUTCOMES, QUIET
from covidseg.show.widgets.look import Look
from covidseg.show.widgets.maps import MapInfo
from covidseg.show.widgets.render import number, render

COLUMNS = 4  # where every map has one channel only, maps fill rows of four
MOST = 8  # channels shown of a map that has many
LETTERS, LINE = 15, 0.16  # of the words below the figure: letters per inch, inches per line


def montage(explorer, look: Look, infos: Sequence[MapInfo], *, blend: float, width: float, words: str = ""):
    """Figure of one slice: the slice with the prediction, then the maps, a row per block and a column per channel.

    explorer : AttentionExplorer; look : what is shown; infos : its maps; words : said below the figure
    blend, width : as AttentionExplorer.static
    """
    import matplotlib.pyplot as plt

    single = all(len(info.channels) == 1 for info in infos)
    rows = _grid(infos) if single else [[(info, k) for k in range(len(info.channels))][:MOST] for info in infos]
    columns = 1 + max(map(len, rows))
    across = columns * width + 0.7
    words = fill(words, int(LETTERS * across))
    below = LINE * (words.count("\n") + 2) if words else 0
    size = (across, len(rows) * width * (1.15 if single else 1.03) + 0.75 + below)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    _show_slice(look.case, look.predicted, axes[0, 0])
    above = None
    for axes_row, row in zip(axes[:, 1:], rows, strict=True):
        for ax, (info, channel) in zip(axes_row, row, strict=False):
            limits = explorer.limits(look, info, channel, "block")
            _show_map(ax, explorer, look, info, channel, (0.0, 1.0) if info.unit else limits, blend)
            if single:
                _name(ax, f"{_of(info)}, {info.size}", limits)
            elif above is None or info.channels != above.channels:
                ax.set_title(f"{info.channel_word} {info.channels[channel]}", fontsize=8, color=INK)
        if not single:
            _name_row(axes_row[0], info, limits)
            above = info
    _furnish(figure, axes, _scale(infos, single))
    if words:
        figure.supxlabel(words, fontsize=8, color=INK)
    plt.close(figure)  # shown once, as the value of its cell, and not a second time by the backend
    return figure


def _grid(infos):
    return [[(info, 0) for info in infos[k : k + COLUMNS]] for k in range(0, len(infos), COLUMNS)]


def _show_slice(case, predicted, ax):
    show_overlay(case.image, predicted, case.infection, intensity=case.intensity, legend=False, ax=ax)
    ax.set_title("slice and prediction", fontsize=8, color=INK)


def _show_map(ax, explorer, look, info, channel, limits, blend):
    case, window = look.case, explorer.preprocessing.window
    options = dict(intensity=case.intensity, window=window, blend=blend, limits=limits, legend=False, side=256)
    ax.imshow(render(case.image, look.plane(info.name)[channel], **options))


def _math(info: MapInfo) -> str:
    """'E²₁' set as the paper sets it; names without digits stay text."""
    return f"${info.math}$" if info.math else info.symbol


def _of(info: MapInfo) -> str:
    return f"{info.kind} of {_math(info)}" if "/" in info.name else _math(info)


def _name(ax, text, limits):
    ax.set_title(f"{text}\n{number(limits[0])} to {number(limits[1])}", fontsize=8, color=INK)


def _name_row(ax, info, limits):
    text = f"{_of(info)}, {info.size}\n{number(limits[0])} to {number(limits[1])}"
    ax.text(-0.06, 0.5, text, transform=ax.transAxes, rotation=90, ha="right", va="center", fontsize=8, color=INK)


def _scale(infos, single) -> tuple[str, str]:
    """What the two ends of the colours are."""
    if all(info.unit for info in infos):
        return "0", "1"
    return "lowest", f"highest of the {'map' if single else 'block'}"


def _furnish(figure, axes, ends):
    """Below everything: the colours of the slice, and their scale, which each block fills anew unless it is 0 to 1."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Patch

    bar = figure.colorbar(
        ScalarMappable(cmap=HEAT), ax=axes[:, 1:], location="bottom", fraction=0.03, aspect=45, pad=0.02
    )
    bar.set_ticks([0, 1], labels=ends, fontsize=7, color=QUIET)
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    handles = [Patch(fc=colour, label=name) for name, colour in OUTCOMES.items()]
    legend = dict(frameon=False, fontsize=8, handlelength=1.0, handleheight=1.0)
    below = axes[1, 0] if len(axes) > 1 else axes[0, 0]
    place = dict(loc="upper left") if len(axes) > 1 else dict(loc="upper center", bbox_to_anchor=(0.5, 0.0))
    below.legend(handles=handles, **place, **legend)
