"""Drawings of the networks, made from the networks themselves, so that picture and code cannot part."""

from covidseg.show.pictures import INK, QUIET, RULE, SERIES

__all__ = ["show_miniseg"]

E_COLOUR, Q_COLOUR, D_COLOUR = SERIES[0], SERIES[1], SERIES[2]


def show_miniseg(model, ax=None):
    """MiniSeg as in Figure 2 of the paper: path E on top, path Q below it, the decoder running back underneath.

    model : a two-path MiniSeg; the boxes are its blocks, one square each. Returns the Axes.
    """
    import matplotlib.pyplot as plt

    ax = plt.gca() if ax is None else ax
    centres, x = [], 0.0
    for i, stage in enumerate(model.stages, 1):
        width = max(len(stage.E_blocks) + 1, 2)
        _stage(ax, x, i, stage)
        centres.append(x + width / 2 - 0.5)
        if i < len(model.stages):
            _join(ax, x + width - 0.35, "concat\nfuse\nsplit" if model.stages[i].fuse is not None else "")
        x += width + 1.5
    _decoder(ax, centres, model)
    ax.set(xlim=(-1.3, x - 0.9), ylim=(-3.9, 2.5), aspect="equal")
    ax.set_axis_off()
    return ax


def _stage(ax, x, i, stage):
    kind = type(stage.E_blocks[-1]).__name__ if len(stage.E_blocks) else type(stage.E_entry).__name__
    for j in range(len(stage.E_blocks) + 1):
        _box(ax, x + j, 1, E_COLOUR, strong=j == 0)
    for j in range(len(stage.Q_blocks) + 1):
        _box(ax, x + j, 0, Q_COLOUR, strong=j == 0)
    channels = stage.E_entry.bn.num_features if hasattr(stage.E_entry, "bn") else stage.E_entry[1].num_features
    ax.text(x - 0.4, 2.15, f"stage {i}", fontsize=9, color=INK, va="center", weight="bold")
    ax.text(x - 0.4, 1.65, f"1/{2**i}, {channels} channels", fontsize=8, color=QUIET, va="center")
    if i == 1:
        ax.text(x - 0.6, 1, "E", fontsize=11, color=E_COLOUR, ha="right", va="center", weight="bold")
        ax.text(x - 0.6, 0, "Q", fontsize=11, color=Q_COLOUR, ha="right", va="center", weight="bold")
    ax.text(x, 1, kind, fontsize=6, color="white", ha="center", va="center")
    ax.text(x, 0, "DB", fontsize=6, color="white", ha="center", va="center")


def _join(ax, x, text):
    for y in (0, 1):
        ax.annotate("", (x + 1.42, y), (x - 0.1, y), arrowprops=dict(arrowstyle="->", color=RULE, lw=1.2))
    ax.text(x + 0.62, 0.5, text, fontsize=6.5, color=QUIET, ha="center", va="center", linespacing=1.1)


def _decoder(ax, centres, model):
    names = ["D_1", "D_2", "D_3", "D_4"]
    for i, x in enumerate(centres):
        ax.annotate("", (x, -1.45), (x, -0.5), arrowprops=dict(arrowstyle="->", color=RULE, lw=1.2))
        _box(ax, x, -1.9, D_COLOUR, strong=True, width=1.9)
        fusion = "1x1" if i == 3 else type(model.steps[2 - i].fusion).__name__
        ax.text(x, -1.9, f"${names[i]}$  {fusion}", fontsize=8, color="white", ha="center", va="center")
        if i < 3:
            arrow = dict(arrowstyle="->", color=D_COLOUR, lw=1.4)
            ax.annotate("", (x + 1.0, -1.9), (centres[i + 1] - 1.0, -1.9), arrowprops=arrow)
            ax.text((x + centres[i + 1]) / 2, -1.72, "x2", fontsize=7, color=QUIET, ha="center")
        style = dict(arrowstyle="->", color=INK if i == 0 else RULE, lw=1.2)
        ax.annotate("", (x, -3.15), (x, -2.4), arrowprops=style)
        ax.text(x, -3.45, f"$P_{i + 1}$" + (" (answer)" if i == 0 else ""), fontsize=9, color=INK, ha="center")


def _box(ax, x, y, colour, *, strong, width=0.84):
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2, y - 0.36)
    style = "round,pad=0.0,rounding_size=0.12"
    ax.add_patch(FancyBboxPatch(corner, width, 0.72, boxstyle=style, fc=colour, ec="none", alpha=1 if strong else 0.55))
