"""Drawings of RAIU-Net's blocks, made from the blocks themselves: Figures 4, 7, 9, 10 and 11 of the paper.

Each function takes a block of a network that exists, as ``model.encoder[0]``, and an Axes; it returns the Axes.
"""

from torch import nn

from covidseg.papers.chsnet.spectral import SpectralPool
from covidseg.show.furniture import axes_or_current
from covidseg.show.pencil import HEIGHT, WIDTH, arrow, bend, box, chain, finish, many, sign
from covidseg.show.pictures import INK, QUIET, SERIES

__all__ = ["show_depth_attention", "show_dsc", "show_hybrid_pool", "show_inception", "show_rib",
           "show_spatial_attention"]  # fmt: skip

CONV, POOL, JOIN, GATE, MAP = SERIES[0], SERIES[2], QUIET, SERIES[4], SERIES[3]
STEP = 3.2  # from one box to the next


def show_dsc(dsc, ax=None):
    """Depthwise separable convolution, Eqn 5 and Figure 4, with the weights it has and those a plain one would have."""
    ax = axes_or_current(ax)
    filters, mix = dsc
    f, C, C_out = filters.kernel_size[0], mix.in_channels, mix.out_channels
    here, plain = filters.weight.numel() + mix.weight.numel(), f * f * C * C_out
    box(ax, 0, 0, MAP, "$F_i$", many(C, "channel"))
    box(ax, STEP, 0, CONV, "depthwise", f"{C} filters of {f}x{f}")
    box(ax, 2 * STEP, 0, CONV, "pointwise", f"1x1, {C} to {C_out}")
    box(ax, 3 * STEP, 0, MAP, "DSC", many(C_out, "channel"))
    chain(ax, [0, STEP, 2 * STEP, 3 * STEP])
    said = f"{here:,} weights; a plain {f}x{f} convolution has {plain:,}: a share of {here / plain:.3f}"
    ax.text(1.5 * STEP, -1.0, said, fontsize=8, color=INK, ha="center", va="center")
    return finish(ax, 3 * STEP, -1.4, 0.8)


def show_hybrid_pool(pool, ax=None):
    """Hybrid pooling P_h, section 3.1.1: what is pooled side by side, and the 1x1 convolution that mixes it."""
    ax = axes_or_current(ax)
    halves, C_out = [("max", _max_window(pool.max))], pool.mix.out_channels
    if pool.spectral is not None:
        halves.append(("spectral", _kept(pool)))
    C = pool.mix.in_channels // len(halves)
    rows = [0.7, -0.7] if len(halves) == 2 else [0]
    box(ax, 0, 0, MAP, "$F_i$", many(C, "channel"))
    for (name, what), y in zip(halves, rows, strict=True):
        box(ax, STEP, y, POOL, name, what)
        arrow(ax, (WIDTH / 2, 0), (STEP - WIDTH / 2, y))
        arrow(ax, (STEP + WIDTH / 2, y), (2 * STEP - WIDTH / 2, 0))  # to the concatenation, or to the only 1x1
    if len(halves) == 2:
        box(ax, 2 * STEP, 0, JOIN, "concatenate", f"{pool.mix.in_channels}")
        chain(ax, [2 * STEP, 3 * STEP])
    x = (len(halves) + 1) * STEP
    box(ax, x, 0, CONV, "1x1", f"{pool.mix.in_channels} to {C_out}")
    box(ax, x + STEP, 0, MAP, "$P_h$", many(C_out, "channel") + (", half size" if _halves(pool) else ""))
    chain(ax, [x, x + STEP])
    return finish(ax, x + STEP, -1.4, 1.4)


def show_inception(block, ax=None):
    """Inception convolution, Eqn 3 and Figure 9: branches of several filter sizes and one of pooling."""
    ax = axes_or_current(ax)
    rows = [1.95, 0.65, -0.65, -1.95]
    fuse, P_h = block.fuse[0], block.pool[0]
    box(ax, 0, 0, MAP, "$F_i$", f"{block.branches[0][0][1].in_channels} channels")
    for K, y in zip(block.branches, rows, strict=False):
        (filters, mix), f = K[0], K[0][0].kernel_size[0]
        box(ax, STEP, y, CONV, f"DSC {f}x{f}", f"{filters.in_channels} to {mix.out_channels}, BN, ReLU")
    name = "hybrid pooling" if P_h.spectral is not None else "max pooling, 1x1"
    box(ax, STEP, rows[3], POOL, name, f"same, {P_h.mix.out_channels}, BN, ReLU")
    for y in rows:
        arrow(ax, (WIDTH / 2, 0), (STEP - WIDTH / 2, y))
        arrow(ax, (STEP + WIDTH / 2, y), (2 * STEP - WIDTH / 2, 0))
    box(ax, 2 * STEP, 0, JOIN, "concatenate", f"{fuse.in_channels}")
    box(ax, 3 * STEP, 0, CONV, "1x1", f"to {fuse.out_channels}, BN, ReLU")
    box(ax, 4 * STEP, 0, MAP, "$IC(F_i)$", many(fuse.out_channels, "channel"))
    chain(ax, [2 * STEP, 3 * STEP, 4 * STEP])
    return finish(ax, 4 * STEP, -2.6, 2.6)


def show_rib(block, ax=None):
    """Residual inception block, Figure 7: two inception convolutions and a shortcut."""
    ax = axes_or_current(ax)
    (filters, mix), f = block.shortcut[0], block.shortcut[0][0].kernel_size[0]
    C, C_out = filters.in_channels, mix.out_channels
    box(ax, 0, 0, MAP, "$F_i$", many(C, "channel"))
    box(ax, STEP, 0, CONV, "$IC_1$", f"{C} to {C_out}")
    box(ax, 2 * STEP, 0, CONV, "$IC_2$", f"{C_out} to {block.IC_2.fuse[0].out_channels}")
    sign(ax, 3 * STEP, 0, "+")
    box(ax, 4 * STEP, 0, MAP, "$F_o$", many(C_out, "channel"))
    box(ax, 1.5 * STEP, -1.7, CONV, f"DSC {f}x{f}", f"{C} to {C_out}, BN")
    chain(ax, [0, STEP, 2 * STEP])
    arrow(ax, (2 * STEP + WIDTH / 2, 0), (3 * STEP - 0.35, 0))
    arrow(ax, (3 * STEP + 0.35, 0), (4 * STEP - WIDTH / 2, 0))
    bend(ax, [(0, -HEIGHT / 2), (0, -1.7), (1.5 * STEP - WIDTH / 2, -1.7)])
    bend(ax, [(1.5 * STEP + WIDTH / 2, -1.7), (3 * STEP, -1.7), (3 * STEP, -0.35)])
    return finish(ax, 4 * STEP, -2.4, 0.8)


def show_depth_attention(depth, ax=None):
    """Spectral depth attention, Eqns 8-9 and Figure 10: one weight per channel from the mean of each."""
    ax = axes_or_current(ax)
    _, shrink, _, grow, gate = depth.descriptor
    C = depth.conv[0].in_channels
    box(ax, 0, 0, MAP, "$F_i$ = $E_k$", many(C, "channel"))
    box(ax, STEP, 1.7, POOL, "$P_{gsp}$", "mean of each")
    box(ax, 2 * STEP, 1.7, CONV, "1x1", f"{shrink.in_channels} to {shrink.out_channels}, ReLU")
    box(ax, 3 * STEP, 1.7, GATE, "1x1", f"{grow.in_channels} to {grow.out_channels}, {_gate_name(gate)}")
    bend(ax, [(0, HEIGHT / 2), (0, 1.7), (STEP - WIDTH / 2, 1.7)])
    chain(ax, [STEP, 2 * STEP, 3 * STEP], 1.7)
    _weighed(ax, depth.conv, ("$A_d$", "$F_d$"), 3 * STEP, 1.7)
    return finish(ax, 5 * STEP, -0.8, 2.5)


def show_spatial_attention(spatial, ax=None):
    """Spectral spatial attention, Eqns 10-12 and Figure 11: one weight per pixel from this level and the next."""
    ax = axes_or_current(ax)
    gate, last = spatial.descriptor[1], spatial.descriptor[0]
    box(ax, 0, 0, MAP, "$F_d$", f"{spatial.stride.in_channels}, of level k")
    box(ax, 0, 3.2, MAP, "$E_{k+1}$", f"{spatial.deep.in_channels}, half size")
    k, s = spatial.stride.kernel_size[0], spatial.stride.stride[0]
    box(ax, STEP, 1.6, CONV, f"{k}x{k} by {s}", f"{spatial.stride.in_channels} to {spatial.stride.out_channels}")
    box(ax, STEP, 3.2, CONV, "1x1", f"{spatial.deep.in_channels} to {spatial.deep.out_channels}")
    sum_x, x = 1.7 * STEP, [(k + 2.4) * STEP for k in range(3)]
    sign(ax, sum_x, 2.4, "+")
    box(ax, x[0], 2.4, CONV, r"$\gamma$", f"{spatial.norm[0].num_features}, BN, ReLU")
    box(ax, x[1], 2.4, GATE, "1x1", f"to {last.out_channels}, {_gate_name(gate)}")
    box(ax, x[2], 2.4, JOIN, "up by 2", spatial.up.mode)
    bend(ax, [(0, HEIGHT / 2), (0, 1.6), (STEP - WIDTH / 2, 1.6)])
    arrow(ax, (WIDTH / 2, 3.2), (STEP - WIDTH / 2, 3.2))
    for y in (1.6, 3.2):
        arrow(ax, (STEP + WIDTH / 2, y), (sum_x - 0.33, 2.4 + (y - 2.4) / 4))
    arrow(ax, (sum_x + 0.4, 2.4), (x[0] - WIDTH / 2, 2.4))
    chain(ax, x, 2.4)
    _weighed(ax, spatial.conv, ("$A_s$", "$F_s$"), x[2], 2.4)
    return finish(ax, x[2] + 2 * STEP, -0.8, 4.0)


def _weighed(ax, conv, names, x, high):
    """The lower row of both attentions: the descriptor comes down, multiplies, and a 1x1 convolution follows."""
    descriptor, answer = names
    arrow(ax, (x, high - HEIGHT / 2), (x, 0.4))
    ax.text(x + 0.15, high / 2 - 0.05, descriptor, fontsize=9, color=INK, va="center")
    arrow(ax, (WIDTH / 2, 0), (x - 0.4, 0))
    sign(ax, x, 0, r"$\odot$")
    arrow(ax, (x + 0.4, 0), (x + STEP - WIDTH / 2, 0))
    tail = "BN, ReLU" if len(conv) == 3 else "BN"
    box(ax, x + STEP, 0, CONV, "1x1", f"to {conv[0].out_channels}, {tail}")
    box(ax, x + 2 * STEP, 0, MAP, answer, many(conv[0].out_channels, "channel"))
    chain(ax, [x + STEP, x + 2 * STEP])


def _halves(pool) -> bool:
    return isinstance(pool.spectral, SpectralPool) or isinstance(pool.max, nn.MaxPool2d)


def _kept(pool) -> str:
    if _halves(pool):
        return "low frequencies"
    return "same size: identity" if pool.spectral.keep == 1 else f"same size: {pool.spectral.keep:g} kept"


def _max_window(pool) -> str:
    side = pool.kernel_size if isinstance(pool, nn.MaxPool2d) else pool.window
    return f"{side}x{side}, stride {pool.stride if isinstance(pool, nn.MaxPool2d) else 1}"


def _gate_name(gate) -> str:
    return "sigmoid" if isinstance(gate, nn.Sigmoid) else "ReLU"
