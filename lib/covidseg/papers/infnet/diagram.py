"""A drawing of Inf-Net, made from the network itself (see `covidseg.papers.miniseg.diagram` for MiniSeg's)."""

from covidseg.show.pictures import INK, QUIET, SERIES

__all__ = ["show_infnet"]

TRUNK, LOCATE, LABEL, EDGE = SERIES[0], SERIES[2], SERIES[4], SERIES[3]
STEP, TOP, MIDDLE, RAIL, LOW, LOWER = 2.6, 4.4, 0.0, 1.2, -1.7, -3.1  # x from f_i to f_i+1; rows
LABELLERS = 2.5  # row of EA and the reverse attention units


def show_infnet(model, ax=None):
    """Inf-Net as in Figure 2 of the paper: the trunk in the middle, the rough locator below, the fine labeller above.

    model : an InfNet; channels, strides and kernels are read off it, and what it was built without is not drawn
    Returns the Axes.
    """
    import matplotlib.pyplot as plt

    ax = plt.gca() if ax is None else ax
    x = [STEP * i for i in range(5)]
    _trunk(ax, x, model.backbone)
    if model.PPD is not None:
        _locator(ax, x)
    _global_map(ax, x, MIDDLE if model.PPD is None else LOWER)
    if model.EA is not None:
        _edge_branch(ax, x, model)
    if model.RA is not None:
        _labellers(ax, x, model)
    ax.set(xlim=(-1.0, x[-1] + 2.8), ylim=(LOWER - 0.6, TOP + 0.4), aspect="equal")
    ax.set_axis_off()
    return ax


def _trunk(ax, x, backbone):
    for i, (at, channels, stride) in enumerate(zip(x, backbone.channels, backbone.strides, strict=True)):
        _box(ax, at, MIDDLE, TRUNK, f"$f_{i + 1}$", f"{channels} at 1/{stride}" if stride > 1 else f"{channels}")
        if i:
            _arrow(ax, (x[i - 1] + 0.95, MIDDLE), (at - 0.95, MIDDLE), QUIET)


def _locator(ax, x):
    """Three receptive field blocks and the parallel partial decoder."""
    ax.text(x[1] + 0.9, (LOW + LOWER) / 2, "locate\nroughly", fontsize=11, color=LOCATE, ha="right", va="center")
    for at in x[2:]:
        _box(ax, at, LOW, LOCATE, "RFB", "to 32")
        _arrow(ax, (at, MIDDLE - 0.5), (at, LOW + 0.5), QUIET)
        _arrow(ax, (at, LOW - 0.5), (at, LOWER + 0.5), QUIET)
    _box(ax, x[3], LOWER, LOCATE, "parallel partial decoder", "", width=2 * STEP + 1.8)


def _global_map(ax, x, row):
    """S_g leaves to the right, from the decoder's row or, without one, from f_5's."""
    right = x[4] + 2.0
    ax.plot([x[4] + 0.9, right, right], [row, row, LABELLERS], color=LOCATE, lw=1.4)
    ax.text(right + 0.15, LOW, "$S_g$", fontsize=10, color=INK, va="center")


def _edge_branch(ax, x, model):
    _box(ax, x[1], LABELLERS, EDGE, "EA", f"{model.EA.channels}")
    _arrow(ax, (x[1], MIDDLE + 0.5), (x[1], LABELLERS - 0.5), QUIET)
    _arrow(ax, (x[1], LABELLERS + 0.5), (x[1], TOP - 0.3), QUIET)
    ax.text(x[1], TOP, "$S_e$ (edge)", fontsize=10, color=INK, ha="center", va="center")
    if model.RA is not None:
        ax.plot([x[1] + 0.45, x[1] + 0.45, x[4] - 0.45], [LABELLERS - 0.5, RAIL, RAIL], color=EDGE, lw=1.2)
        ax.text(x[1] + 0.6, RAIL + 0.25, "$e_{att}$", fontsize=10, color=INK)
        for at in x[2:]:
            _arrow(ax, (at - 0.45, RAIL), (at - 0.45, LABELLERS - 0.5), EDGE)


def _labellers(ax, x, model):
    """R_5, R_4, R_3 from right to left; the first takes S_g, each next one the map before."""
    ax.text(x[0] + 0.9, LABELLERS, "label\nfinely", fontsize=11, color=LABEL, ha="right", va="center")
    for i, R in zip((5, 4, 3), model.RA, strict=True):
        at, conv = x[i - 1], R.convs[0][0]
        _box(ax, at, LABELLERS, LABEL, f"$R_{i}$", f"{len(R.convs)} x {conv.kernel_size[0]}x{conv.kernel_size[1]}")
        _arrow(ax, (at + 0.3, MIDDLE + 0.5), (at + 0.3, LABELLERS - 0.5), QUIET)
        start = at + STEP - 0.95 if i < 5 else at + 2.0
        _arrow(ax, (start, LABELLERS), (at + 0.95, LABELLERS), LABEL if i < 5 else LOCATE)
        _arrow(ax, (at, LABELLERS + 0.5), (at, TOP - 0.3), INK if i == 3 else QUIET)
        ax.text(at, TOP, f"$S_{i}$" + (" (answer)" if i == 3 else ""), fontsize=10, color=INK, ha="center", va="center")


def _box(ax, x, y, colour, name, size, width=1.8):
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0.0,rounding_size=0.15"
    ax.add_patch(FancyBboxPatch((x - width / 2, y - 0.46), width, 0.92, boxstyle=style, fc=colour, ec="none"))
    ax.text(x, y + (0.16 if size else 0), name, fontsize=10, color="white", ha="center", va="center")
    ax.text(x, y - 0.24, size, fontsize=7.5, color="white", ha="center", va="center")


def _arrow(ax, start, end, colour):
    ax.annotate("", end, start, arrowprops=dict(arrowstyle="->", color=colour, lw=1.3, shrinkA=0, shrinkB=0))
