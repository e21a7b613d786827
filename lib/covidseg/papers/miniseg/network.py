"""MiniSeg: an extremely minimum network for COVID-19 segmentation (Qiu et al., AAAI 2021, arXiv 2004.09750).

Read this file beside the paper: AHSP is Figure 1 and Eqns 1-8, DB, CB and FFM are Figure 2 (a)-(c), Stage is
Eqns 10-13, the decoder Eqns 14-16 (FFM and Lateral, which rivals borrow, stand in nn/layers.py). Letters are the
paper's: E and Q are the two encoder paths, D the decoder, C_i, N_i and M_i the channels and blocks of stage i. B is the
batch; H' and W' the sides after a stride.

The published code is not quite the published text. Each point where they part is one field of ``Wiring``
(wiring.py): ``wiring="official"`` is what the authors' weights need, ``wiring="paper"`` is the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import gcd

from torch import Tensor, cat, nn

from covidseg.errors import UserError, unknown_name
from covidseg.nn.layers import FFM, Lateral, depthwise, pointwise, resize
from covidseg.nn.layers import activation as make_activation
from covidseg.nn.registry import register
from covidseg.papers.miniseg.wiring import Wiring, choose_wiring


class AHSP(nn.Module):
    """Attentive Hierarchical Spatial Pyramid, Eqns 1-8: (B, C, H, W) -> (B, C', H', W').

    K : number of branches, dilated 1, 2, 4, 8, ...; ``single`` keeps only the first (SB of Table 2).
    hierarchical : Eqns 3-4, average pooling and running sums. attention : Eqns 5-7.
    """

    def __init__(self, C, C_out, stride=1, *, K=4, single=False, hierarchical=True, attention=True, act="prelu"):
        super().__init__()
        inner, self.hierarchical = C_out // K, hierarchical  # C'/K
        dilations = [1] if single else [min(2**k, 8) for k in range(K)]
        groups = gcd(K, C // K) if single else K  # SB has C'/K channels to fuse; code: as many groups as divide C/K
        self.shrink = pointwise(C, inner)
        self.dilated = nn.ModuleList(depthwise(inner, 3, stride=stride, dilation=d) for d in dilations)
        self.pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=True)  # the zeros of the border count
        self.attend = nn.Sequential(pointwise(C_out, K, groups=K), nn.Sigmoid()) if attention else None
        self.fuse = pointwise(inner * len(dilations), C_out, groups=groups)
        self.bn, self.act = nn.BatchNorm2d(C_out), make_activation(act, C_out)

    def forward(self, X: Tensor) -> Tensor:  # B, C, H, W
        S = self.shrink(X)  # (1) B, C'/K, H, W
        F = [conv(S) for conv in self.dilated]  # (2) K x [B, C'/K, H', W']
        if self.hierarchical:
            F_0 = self.pool(S)  # (3)
            F = list(accumulate(F, initial=F_0))[1:]  # (4) small scales flow into large ones
        if self.attend is not None:
            A = self.attend(cat(F, 1))  # (6) B, K, H', W'
            F = [f + f * a for f, a in zip(F, A.split(1, 1), strict=True)]  # (5, 7) each a: B, 1, H', W'
        return self.act(self.bn(self.fuse(cat(F, 1))))  # (8) B, C', H', W'


class DB(nn.Sequential):
    """Downsampler block of path Q, Eqn 9: 1x1 convolution, depthwise 5x5, BatchNorm, PReLU."""

    def __init__(self, C, C_out, stride=1, *, kernel=5, act="prelu"):
        conv = [pointwise(C, C_out), depthwise(C_out, kernel, stride=stride)]  # no activation in between
        super().__init__(*conv, nn.BatchNorm2d(C_out), make_activation(act, C_out))


class CB(nn.Sequential):
    """Convolution block of stage 1, Figure 2 (b): plain 3x3 convolution, BatchNorm, PReLU."""

    def __init__(self, C, C_out, stride=1, *, act="prelu"):
        conv = nn.Conv2d(C, C_out, 3, stride, padding=1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(C_out), make_activation(act, C_out))


class Stage(nn.Module):
    """One encoder stage, Eqns 10-13: maps (E, Q) of the last stage -> (E, Q) at half the size.

    E_block, Q_block : builders f(C, C', stride). N, M : blocks on each path, the entries included.
    two_path=False chains the blocks of E alone, without residuals (Table 2, first three rows); split=False
    leaves out the concat-fuse-split of Eqn 11 (fourth row). The first stage has the image in place of E and Q.
    """

    def __init__(self, C, C_out, N, M, E_block, Q_block, wiring, *, first, two_path, split, stride=2):
        super().__init__()
        self.first, self.two_path, self.concat = first, two_path, wiring.concat
        self.fuse = None
        if two_path and split and not first:
            bn = nn.BatchNorm2d(2 * C) if wiring.fuse_bn else nn.Identity()
            self.fuse = nn.Sequential(pointwise(2 * C, 2 * C), bn)
        self.E_entry = E_block(C, C_out, stride)
        self.E_blocks = nn.ModuleList(E_block(C_out, C_out, 1) for _ in range(N - 1))
        if two_path:
            self.Q_entry = Q_block(C, C_out, stride)
            self.Q_blocks = nn.ModuleList(Q_block(C_out, C_out, 1) for _ in range(M - 1))

    def forward(self, E: Tensor, Q: Tensor | None) -> tuple[Tensor, Tensor | None]:  # B, C, H, W each
        if not self.two_path:
            return nn.Sequential(self.E_entry, *self.E_blocks)(E), None
        E, Q = self.enter(E, Q)  # B, C', H', W'
        for j, E_block in enumerate(self.E_blocks):
            S = E + Q
            E = E_block(S) + E  # (12)
            if j < len(self.Q_blocks):
                Q = self.Q_blocks[j](S) + Q  # (13) S holds the old E
        return E, Q

    def enter(self, E: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
        """The first block of both paths, the one that halves the size."""
        if self.first:
            return self.E_entry(E), self.Q_entry(Q)  # (10) both see the image
        if self.fuse is None:
            return self.E_entry(E), self.Q_entry(E + Q)  # code, Table 2 row 4
        if self.concat == "EQ":  # Eqn 11: Concat, 1x1 convolution, Split back in the same order
            E_half, Q_half = self.fuse(cat([E, Q], 1)).chunk(2, 1)  # (11) B, C, H, W each
        else:
            Q_half, E_half = self.fuse(cat([Q, E], 1)).chunk(2, 1)  # (11) code
        return self.E_entry(E_half + E), self.Q_entry(Q_half + Q)  # (11) B, C', H', W'


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The blocks of one build as builders f(C, C', stride): what the ablations of Tables 2 to 4 exchange."""

    K: int
    scales: str
    attention: bool
    activation: str
    E_activation: str  # of CB and AHSP on path E
    stage1: str
    db_kernel: int
    decoder: str | None

    def ahsp(self, C, C_out, stride=1, act=None) -> AHSP:
        pyramid = dict(single=self.scales == "single", hierarchical=self.scales == "hierarchical")
        return AHSP(C, C_out, stride, K=self.K, attention=self.attention, act=act or self.E_activation, **pyramid)

    def first(self, C, C_out, stride) -> nn.Module:
        """Path E of stage 1."""
        return CB(C, C_out, stride, act=self.E_activation) if self.stage1 == "cb" else self.ahsp(C, C_out, stride)

    def Q(self, C, C_out, stride) -> DB:
        return DB(C, C_out, stride, kernel=self.db_kernel, act=self.activation)

    def fusion(self, C, C_out) -> nn.Module:
        """Of the decoder, Eqn 14."""
        return FFM(C, C_out) if self.decoder == "ffm" else self.ahsp(C, C_out, act=self.activation)


class MiniSeg(nn.Module):
    """MiniSeg, Figure 2: (B, 3, H, W) normalised slices -> logits (B, num_classes, H, W); any H and W.

    In ``train()`` with ``aux`` the answer is (P_1, [P_2, P_3, P_4]), all at the input size, for deep supervision.

    wiring : "official", "paper" or a ``Wiring``. C, N, M : channels and blocks per stage; N=None takes the wiring's.
    K, scales : branches of AHSP, and "single" (SB), "multi" (MB) or "hierarchical"; attention : Eqns 5-7.
    two_path, split : path Q (TP) and concat-fuse-split (CS). activation; E_activation for CB and AHSP alone.
    stage1 : "cb" or "ahsp". db_kernel : 5 or 3. decoder : "ffm", "ahsp" or None (one head on E_4).
    last_stride : 2, or 1 to predict at 1/8. aux : deep supervision. Ready-made rows of Tables 2-4: ``ABLATIONS``.
    """

    def __init__(
        self, num_classes=2, in_channels=3, *, wiring: str | Wiring = "official", C: Sequence[int] = (8, 24, 32, 64),
        N: Sequence[int] | None = None, M: Sequence[int] = (2, 2, 5, 4), K=4, scales="hierarchical", attention=True,
        two_path=True, split=True, activation="prelu", E_activation=None, stage1="cb", db_kernel=5, decoder="ffm",
        last_stride=2, aux=True,
    ):  # fmt: skip
        super().__init__()
        wiring = choose_wiring(wiring, N)
        _check(wiring.N, M, scales, stage1, decoder)
        self.heads_on, self.aux = wiring.heads_on, aux and decoder is not None

        blocks = Blocks(
            K=K, scales=scales, attention=attention, activation=activation, E_activation=E_activation or activation,
            stage1=stage1, db_kernel=db_kernel, decoder=decoder,
        )  # fmt: skip
        entry = [in_channels, *C[:-1]]
        self.stages = nn.ModuleList(
            Stage(
                entry[i], C[i], wiring.N[i], M[i], blocks.ahsp if i else blocks.first, blocks.Q, wiring,
                first=i == 0, two_path=two_path, split=split, stride=last_stride if i == 3 else 2,
            ) for i in range(4)
        )  # fmt: skip
        self.top, self.steps = None, nn.ModuleList()
        if decoder is not None:
            top = [pointwise(C[3], C[3], bias=wiring.lateral_bias), nn.BatchNorm2d(C[3])]
            self.top = nn.Sequential(*top, *([make_activation(activation, C[3])] if wiring.top_activation else []))
            step = dict(fusion=blocks.fusion, bias=wiring.lateral_bias, act=activation)
            self.steps.extend(Lateral(C[i + 1], C[i], **step) for i in (2, 1, 0))
        head_channels = [C[3]] if decoder is None else C if self.aux else C[:1]
        self.heads = nn.ModuleList(_head(c, num_classes, wiring.dropout) for c in head_channels)

    def forward(self, I: Tensor):  # B, 3, H, W
        E, Q, Es = I, I, []
        for stage in self.stages:
            E, Q = stage(E, Q)
            Es.append(E)  # B, C_i, H/2^i, W/2^i
        # logits at the size of D; so few channels are resized faster in the plain memory order
        P = [head(D).contiguous() for head, D in zip(self.heads, self.decode(Es), strict=False)]
        if self.training and self.aux:
            P = [resize(p, I.shape[-2:]) for p in P]  # (16) 4 x [B, num_classes, H, W]
            return P[0], P[1:]
        return resize(P[0], I.shape[-2:])  # (16) B, num_classes, H, W

    def decode(self, Es: list[Tensor]) -> list[Tensor]:
        """What the heads read, finest first: D_1, then U_2..U_4 (code) or D_2..D_4 (paper)."""
        if self.top is None:
            return [Es[-1]]
        D = self.top(Es[3])  # D_4: B, C_4, H/16, W/16
        inputs = []
        for step, E in zip(self.steps, Es[2::-1], strict=True):
            U = resize(D, E.shape[-2:])
            inputs.append(U if self.heads_on == "U" else D)
            D = step(U, E)  # (15) D_3, D_2, D_1
        return [D, *reversed(inputs)]

    def rearranged(self) -> nn.Module:
        """What answers the same with fewer operations: see fast.py."""
        from covidseg.papers.miniseg.fast import FastMiniSeg

        return FastMiniSeg(self)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """Inner maps under the paper's names: module, and which of its outputs (None: it has one)."""
        maps = {f"{path}_{i}": (s, k) for i, s in enumerate(self.stages, 1) for k, path in enumerate("EQ")}
        maps |= {f"D_{i}": (m, None) for i, m in zip((4, 3, 2, 1), [self.top, *self.steps], strict=False) if m}
        for i, stage in enumerate(self.stages, 1):
            for j, block in enumerate([stage.E_entry, *stage.E_blocks], 1):
                if getattr(block, "attend", None) is not None:
                    maps[f"A/E_{i}_{j}"] = (block.attend, None)  # Eqn 6 of block E^i_j: B, K, H', W'
        return maps | {f"P_{i}": (head, None) for i, head in enumerate(self.heads, 1)}


def _head(channels: int, num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout2d(dropout), pointwise(channels, num_classes, bias=True))


def _check(N, M, scales, stage1, decoder) -> None:
    allowed = {
        "scales": (scales, ["single", "multi", "hierarchical"]),
        "stage1": (stage1, ["cb", "ahsp"]),
        "decoder": (decoder, ["ffm", "ahsp", None]),
    }
    for option, (value, choices) in allowed.items():
        if value not in choices:
            raise unknown_name(f"value of MiniSeg's {option}", value, choices)
    if any(m > n for m, n in zip(M, N, strict=True)):
        raise UserError(f"MiniSeg: path Q (M={tuple(M)}) may not have more blocks than path E (N={tuple(N)}).")


@register("miniseg", paper="Qiu et al., AAAI 2021", arxiv="2004.09750", params=82_912)  # Table 5: 82.91K
def miniseg(num_classes: int = 2, in_channels: int = 3, **options) -> MiniSeg:
    return MiniSeg(num_classes, in_channels, **options)
