"""Drawings of CHS-Net and RAIU-Net, made from the networks themselves: Figures 5 and 6 (Figure 3 for the base U-Net).

The blocks have drawings of their own in ``diagram_blocks``.
"""

from covidseg.nn.layers import input_channels
from covidseg.papers.chsnet.blocks import HybridPool
from covidseg.papers.chsnet.diagram_blocks import CONV, GATE, JOIN, MAP, POOL
from covidseg.show.furniture import axes_or_current
from covidseg.show.pencil import WIDTH, arrow, bend, box, finish, many
from covidseg.show.pictures import INK, QUIET

__all__ = ["show_chsnet", "show_raiunet"]

DROP, LEFT, MIDDLE, RIGHT = 1.9, 0.0, 5.2, 10.4  # from level to level; columns of encoder, skips and decoder
CONTOURS = {  # what the second network sees, by cascade
    "pred": "slice x hard lung mask",
    "gt": "slice x drawn lung mask",
    "soft": "slice x lung probability",
    "concat": "slice and hard lung mask",
}


def show_chsnet(model, ax=None):
    """CHS-Net as in Figure 5: the lungs' network, the lung contour map, the infection's network. Returns the Axes.

    model : a CHSNet; channels, parameters and the way its two networks are joined are read off it
    """
    ax = axes_or_current(ax)
    wide, step = 3.6, 4.9
    first, contour, second = step, 2 * step, 3 * step
    box(ax, 0, 0, MAP, "CT slice $I$", many(input_channels(model.lungs), "channel"), width=wide)
    for x, part, net in ((first, "(a) lungs", model.lungs), (second, "(b) infection", model.infection)):
        box(ax, x, 0, CONV, part, f"{_name(net)}, {sum(p.numel() for p in net.parameters()):,}", width=wide)
    box(ax, contour, 0, POOL, "lung contour map", CONTOURS[model.cascade], width=wide)
    box(ax, 4 * step, 0, MAP, "infection", f"{many(model.infection.head.out_channels, 'logit')} per pixel", width=wide)
    ends = [x * step for x in range(5)]
    drawn = model.cascade == "gt"  # then the first network takes no part in the second's work
    for left, right in zip(ends[:-1], ends[1:], strict=True):
        if not (drawn and right in (first, contour)):
            arrow(ax, (left + wide / 2, 0), (right - wide / 2, 0))
    bend(ax, [(0, -0.5), (0, -1.5), (contour, -1.5), (contour, -0.5)])  # the slice itself
    if drawn:
        arrow(ax, (contour, 1.3), (contour, 0.5))
        ax.text(contour, 1.5, "drawn mask", fontsize=8, color=INK, ha="center", va="center")
    else:
        said = "p" if model.cascade == "soft" else "p > 1/2"
        ax.text(first + step / 2, 0.25, said, fontsize=8, color=INK, ha="center", va="center")
    if model.inside:
        bend(ax, [(first, 0.5), (first, 1.4), (4 * step, 1.4), (4 * step, 0.5)])
        ax.text(2.5 * step, 1.65, "cut off at the lungs", fontsize=8, color=INK, ha="center", va="center")
    ax.set(xlim=(-wide / 2 - 0.2, 4 * step + wide / 2 + 0.2), ylim=(-2.0, 2.0), aspect="equal")
    ax.set_axis_off()
    return ax


def show_raiunet(model, ax=None):
    """RAIU-Net as in Figure 6, or a row of its ablation: encoder left, skips in the middle, decoder right.

    model : a RAIUNet; channels, blocks, poolings and skips are read off it. Returns the Axes.
    """
    ax = axes_or_current(ax)
    block = "RIB" if hasattr(model.encoder[0], "IC_1") else "two 3x3"
    rows = [-DROP * k for k in range(model.stages + 1)]
    for k, (y, C) in enumerate(zip(rows, model.widths, strict=True), 1):
        at = f"{C} at 1/{2 ** (k - 1)}" if k > 1 else many(C, "channel")
        bottom = k == model.stages + 1
        box(ax, MIDDLE if bottom else LEFT, y, CONV, f"$E_{k}$  {block}", at)
        if not bottom:
            box(ax, RIGHT, y, CONV, f"$D_{k}$  {block}", at)
            _skip(ax, model, k, y)
    _ways(ax, model, rows)
    arrow(ax, (LEFT, 1.35), (LEFT, 0.5))
    ax.text(
        LEFT, 1.6, f"$I$, {many(input_channels(model), 'channel')}", fontsize=9, color=INK, ha="center", va="center"
    )
    arrow(ax, (RIGHT, 0.5), (RIGHT, 1.35), INK)
    norm = ", BN" if model.head_bn is not None else ""
    said = f"1x1 convolution{norm}: {many(model.head.out_channels, 'logit')}"
    ax.text(RIGHT, 1.6, said, fontsize=9, color=INK, ha="center", va="center")
    return finish(ax, RIGHT + 1.2, rows[-1] - 0.8, 2.0)


def _skip(ax, model, k, y):
    """The connection of level k, through its attention, which also reads the next deeper map."""
    ends = (LEFT + WIDTH / 2, RIGHT - WIDTH / 2)
    if model.SSD is None:
        arrow(ax, (ends[0], y), (ends[1], y))
        return
    ssd = model.SSD[k - 1]
    box(ax, MIDDLE, y, GATE, "SSD", f"{'$F_d$ and $F_s$' if ssd.both else '$F_s$'}, {ssd.channels}")
    arrow(ax, (ends[0], y), (MIDDLE - WIDTH / 2, y))
    arrow(ax, (MIDDLE + WIDTH / 2, y), (ends[1], y))
    if k < model.stages:
        arrow(ax, (LEFT + WIDTH / 2, y - DROP + 0.25), (MIDDLE - WIDTH / 2, y - 0.35), GATE)
    else:
        arrow(ax, (MIDDLE, y - DROP + 0.5), (MIDDLE, y - 0.5), GATE)


def _ways(ax, model, rows):
    """Down on the left with each pooling's name, up on the right with each transposed convolution's."""
    last = len(rows) - 1
    for k, (down, up) in enumerate(zip(model.down, model.up, strict=True)):
        name = "hybrid pooling" if isinstance(down, HybridPool) else "max pooling"
        side, stride = up.kernel_size[0], up.stride[0]
        middle = rows[k] - DROP / 2
        if k + 1 < last:
            arrow(ax, (LEFT, rows[k] - 0.5), (LEFT, rows[k + 1] + 0.5), POOL)
            arrow(ax, (RIGHT, rows[k + 1] + 0.5), (RIGHT, rows[k] - 0.5), JOIN)
        else:
            bend(ax, [(LEFT, rows[k] - 0.5), (LEFT, rows[last]), (MIDDLE - WIDTH / 2, rows[last])], POOL)
            bend(ax, [(MIDDLE + WIDTH / 2, rows[last]), (RIGHT, rows[last]), (RIGHT, rows[k] - 0.5)], JOIN)
        ax.text(LEFT - 0.15, middle, name, fontsize=7, color=POOL, ha="right", va="center")
        up_name = f"transposed {side}x{side}, stride {stride}"
        ax.text(RIGHT + 0.15, middle, up_name, fontsize=7, color=QUIET, ha="left", va="center")


def _name(net) -> str:
    return "RAIU-Net" if net.SSD is not None and hasattr(net.encoder[0], "IC_1") else "U-Net"
