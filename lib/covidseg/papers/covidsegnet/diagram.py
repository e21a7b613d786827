"""Drawings of COVID-SegNet, made from the network itself: Figure 2, FV (Figure 3) and PASPP (Figure 4)."""

from torch import nn

from covidseg.nn.layers import input_channels
from covidseg.papers.covidsegnet.blocks import ASPP
from covidseg.show.furniture import axes_or_current
from covidseg.show.pencil import WIDTH, arrow, bend, box, chain, finish, many, sign
from covidseg.show.pictures import INK, QUIET, SERIES

__all__ = ["show_covidsegnet", "show_fv", "show_paspp"]

CONV, MAP, JOIN, GATE = SERIES[0], SERIES[3], QUIET, SERIES[4]
DROP, STEP, RIGHT = 1.9, 3.2, 9.6  # from level to level, from box to box; column of the decoder
NAMES = {"paspp": "PASPP", "resaspp": "ResASPP", "aspp": "ASPP"}


def show_covidsegnet(model, ax=None):
    """COVID-SegNet as in Figure 2, or a row of Table II: encoder left, decoder right, what a layer holds in its order.

    model : a COVIDSegNet; channels, blocks and where FV sits are read off it. Returns the Axes.
    """
    ax = axes_or_current(ax)
    for k, layer in enumerate(model.encoder):
        y = -DROP * k
        _layer(ax, k, layer, y)
        if k:
            arrow(ax, (0, y + DROP - 0.5), (0, y + 0.5))
            ax.text(-0.15, y + DROP / 2, _kernel(layer.down), fontsize=7, color=QUIET, ha="right", va="center")
        if k < 3:
            block = model.decoder[k]
            box(ax, RIGHT, y, CONV, f"$D_{k + 1}$  residual", f"{block.second[0].out_channels} channels")
            arrow(ax, (STEP + WIDTH / 2, y), (RIGHT - WIDTH / 2, y))
            if k:
                arrow(ax, (RIGHT, y + 0.5), (RIGHT, y + DROP - 0.5))
    y = -3 * DROP
    bend(ax, [(STEP + WIDTH / 2, y), (RIGHT, y), (RIGHT, y + DROP - 0.5)])
    up = model.up[0][0]
    ax.text(RIGHT + 0.15, -DROP / 2, f"transposed {_cube(up)}", fontsize=7, color=QUIET, ha="left", va="center")
    arrow(ax, (0, 1.35), (0, 0.5))
    ax.text(0, 1.6, f"patch, {many(input_channels(model), 'channel')}", fontsize=9, color=INK, ha="center", va="center")
    arrow(ax, (RIGHT, 0.5), (RIGHT, 1.35), INK)
    said = f"1x1x1: {many(model.head.out_channels, 'logit')} per voxel"
    ax.text(RIGHT, 1.6, said, fontsize=9, color=INK, ha="center", va="center")
    return finish(ax, RIGHT + 1.2, y - 0.8, 2.0)


def show_fv(fv, ax=None):
    """A feature variation block, Eqns 1-4 and Figure 3, as ``model.encoder[1].fv``: its branches and their sum."""
    ax = axes_or_current(ax)
    C = many(fv.shrink[0].in_channels, "channel")
    box(ax, 0, 0, MAP, "$F^{v_{in}}$", C)
    box(ax, STEP, 0, CONV, "$F^{v_1}$", "1x1x1, BN, ReLU")
    chain(ax, [0, STEP])
    branches = [("identity", "as it is", JOIN, 0.0)]
    if fv.F_g is not None:
        numbers = fv.F_g[3].out_channels
        branches.append(("$F_g$", "one for all" if numbers == 1 else f"{numbers}, one a channel", GATE, 1.5))
    if fv.A is not None:
        branches.append(("$A$", "one per voxel", GATE, -1.5))
    for name, what, colour, y in branches:
        box(ax, 2 * STEP, y, colour, name, what)
        arrow(ax, (STEP + WIDTH / 2, 0), (2 * STEP - WIDTH / 2, y))
        arrow(ax, (2 * STEP + WIDTH / 2, y), (3 * STEP - WIDTH / 2, 0))
    box(ax, 3 * STEP, 0, CONV, "join", f"3x3x3, {fv.fuse[0].in_channels} to {fv.fuse[0].out_channels}")
    sign(ax, 4 * STEP - 0.8, 0, "+")
    box(ax, 5 * STEP - 1.2, 0, MAP, "$F^{v_{out}}$", C)
    arrow(ax, (3 * STEP + WIDTH / 2, 0), (4 * STEP - 1.15, 0))
    arrow(ax, (4 * STEP - 0.45, 0), (5 * STEP - 1.2 - WIDTH / 2, 0))
    bend(ax, [(0, -0.5), (0, -2.5), (4 * STEP - 0.8, -2.5), (4 * STEP - 0.8, -0.35)])
    return finish(ax, 5 * STEP - 1.2, -2.9, 2.2)


def show_paspp(block, ax=None):
    """PASPP, Eqns 6-9 and Figure 4, as ``model.encoder[3].body``, or a row of Table II with less of it."""
    ax = axes_or_current(ax)
    rows, last = [2.1, 0.7, -0.7, -2.1], 3 if block.pairs is not None else 2
    box(ax, -STEP, 0, MAP, "$F^{p_{in}}$", many(block.fuse[0].in_channels, "channel"))
    for t, (squeeze, dilated, y) in enumerate(zip(block.squeeze, block.dilated, rows, strict=True), 1):
        box(ax, 0, y, CONV, f"$F^{{p_{t}}}$  1x1x1", many(squeeze[0].out_channels, "channel"))
        box(ax, STEP, y, CONV, f"$F^{{d_{t}}}$  3x3x3", f"dilation {dilated[0].dilation[0]}")
        arrow(ax, (-STEP + WIDTH / 2, 0), (-WIDTH / 2, y))
        chain(ax, [0, STEP], y)
        target = (2 * STEP, 1.4 if t < 3 else -1.4) if block.pairs is not None else (2 * STEP, 0)
        arrow(ax, (STEP + WIDTH / 2, y), (target[0] - WIDTH / 2, target[1]))
    for k, pair in enumerate(block.pairs or ()):
        y = 1.4 if not k else -1.4
        box(ax, 2 * STEP, y, JOIN, f"$F^{{d''_{k + 1}}}$", f"1x1x1, {pair[0].out_channels}")
        arrow(ax, (2 * STEP + WIDTH / 2, y), (3 * STEP - WIDTH / 2, 0))
    box(ax, last * STEP, 0, JOIN, "join", f"1x1x1, {block.fuse[0].out_channels}")
    if block.kind != "aspp":
        of = "inputs" if block.adds == "inputs" else "outputs"
        ax.text(STEP, -3.1, f"to each, the {of} of both of its pair", fontsize=8, color=INK, ha="center", va="center")
    ax.set(xlim=(-STEP - WIDTH / 2 - 0.2, last * STEP + WIDTH / 2 + 0.2), ylim=(-3.5, 2.8), aspect="equal")
    ax.set_axis_off()
    return ax


def _layer(ax, k: int, layer, y: float) -> None:
    """E_k's two boxes in the order in which the layer runs them, or its one."""
    body = NAMES[layer.body.kind] if isinstance(layer.body, ASPP) else "residual"
    C = layer.body.fuse[0].out_channels if isinstance(layer.body, ASPP) else layer.body.second[0].out_channels
    at = f" at 1/{2**k}" if k else ""
    boxes = [(CONV, body, f"{C}{at}" if k else many(C, "channel"))]
    if layer.fv is not None:
        boxes.insert(0 if layer.fv_at == "pre" else 1, (GATE, "FV", f"{layer.fv.fuse[0].out_channels}{at}"))
    for (colour, name, size), x in zip(boxes, (0, STEP), strict=False):
        box(ax, x, y, colour, name if x else f"$E_{k + 1}$  {name}", size)
    if len(boxes) == 2:
        chain(ax, [0, STEP], y)
    else:
        ax.plot([WIDTH / 2, STEP + WIDTH / 2], [y, y], color=QUIET, lw=1.2)


def _kernel(down) -> str:
    return "max, 1x1x1" if isinstance(down[0], nn.MaxPool3d) else f"{_cube(down[0])}, stride 2"


def _cube(conv) -> str:
    return "x".join(map(str, conv.kernel_size))
