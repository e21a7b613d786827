"""The blocks of COVID-SegNet: sections III.B and III.C of the paper, Eqns 1 to 9, Figures 3 and 4.

Letters are the paper's: F_in, F_1 and F_out are F^{v_in}, F^{v_1} and F^{v_out} of a feature variation block, F_g its
one number, A its attention map; F_p and F_d the inputs and outputs of the dilated convolutions. C counts channels.
Axes are rows, columns, slices. "Each convolutional layer is followed by batch normalization and ReLU": CBR.
"""

from torch import Tensor, cat, nn

from covidseg.papers.covidsegnet.wiring import Wiring

__all__ = ["ASPP", "CBR", "DILATIONS", "FV", "Res", "down", "grown", "up"]

DILATIONS = (1, 2, 4, 8)  # Eqn 6, d = 2^(t-1)
FEWER = 4  # ours: the hidden layer of Eqn 2 has C / 4 channels


class CBR(nn.Sequential):
    """Convolution, BatchNorm, ReLU: (B, C, H, W, D) -> (B, C_out, ...), the size kept at stride 1 and odd kernels."""

    def __init__(self, C: int, C_out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, bias: bool = False):
        conv = nn.Conv3d(C, C_out, kernel, stride, dilation * (kernel - 1) // 2, dilation, bias=bias)
        super().__init__(conv, nn.BatchNorm3d(C_out), nn.ReLU(inplace=True))


class Res(nn.Module):
    """Residual block: "adds input features and the result of two convolutional layers"; C -> C_out channels.

    Ours: where the channels change, a 1x1x1 convolution with BatchNorm is the shortcut.
    """

    def __init__(self, C: int, C_out: int):
        super().__init__()
        self.first = CBR(C, C_out)
        self.second = nn.Sequential(nn.Conv3d(C_out, C_out, 3, padding=1, bias=False), nn.BatchNorm3d(C_out))
        skip = nn.Sequential(nn.Conv3d(C, C_out, 1, bias=False), nn.BatchNorm3d(C_out))
        self.shortcut = nn.Identity() if C_out == C else skip

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x)) + self.shortcut(x)).relu()


def down(C: int, C_out: int, wiring: Wiring) -> nn.Module:
    """Half the size: (B, C, H, W, D) -> (B, C_out, H/2, W/2, D/2)."""
    if wiring.down == "maxpool":
        return nn.Sequential(nn.MaxPool3d(2), CBR(C, C_out, 1))
    return CBR(C, C_out, int(wiring.down[-1]), stride=2)


def up(C: int, C_out: int, wiring: Wiring) -> nn.Module:
    """Deconvolution "with a stride of 1/2": (B, C, H, W, D) -> (B, C_out, 2H, 2W, 2D)."""
    more = {"padding": 1, "output_padding": 1} if wiring.up == "conv3" else {}
    conv = nn.ConvTranspose3d(C, C_out, int(wiring.up[-1]), stride=2, bias=False, **more)
    return nn.Sequential(conv, nn.BatchNorm3d(C_out), nn.ReLU(inplace=True))


class FV(nn.Module):
    """Feature variation, Eqns 1-4 and Figure 3: (B, C, H, W, D) -> the same shape.

    contrast : "scalar" (Eqn 2: "one weight for all the features", as one moves the window of a picture), "channels"
        (one weight each, the row CAB of Table II) or "" for none
    position : whether there is the attention map of Eqn 4
    No BatchNorm stands between the two small layers of Eqn 2: on one voxel it would refuse a batch of one. The first
    is 3x3x3 in print; on one voxel its middle alone ever meets a number, so it is 1x1x1 here.
    """

    def __init__(self, C: int, *, contrast: str = "scalar", position: bool = True):
        super().__init__()
        self.shrink = CBR(C, C, 1)
        self.F_g = _small(C, 1 if contrast == "scalar" else C) if contrast else None
        look = nn.Sequential(CBR(C, C), nn.Conv3d(C, C, 3, padding=1), nn.Sigmoid())
        self.A = look if position else None
        self.fuse = CBR((1 + bool(contrast) + position) * C, C)

    def forward(self, F_in: Tensor) -> Tensor:
        F_1 = self.shrink(F_in)  # B, C, H, W, D
        F = [F_1]
        if self.A is not None:
            F.insert(0, self.A(F_1) * F_1)  # (4) F_P; A has a value for each channel and voxel
        if self.F_g is not None:
            F.insert(0, self.F_g(F_1) * F_1)  # (2, 3) F_C; F_g is B, 1, 1, 1, 1
        return F_in + self.fuse(cat(F, 1))  # (1) B, C, H, W, D


def _small(C: int, C_out: int) -> nn.Sequential:
    """Eqn 2: mean of each channel, two small layers, a number of 0 to 1: (B, C, H, W, D) -> (B, C_out, 1, 1, 1)."""
    hidden = max(1, C // FEWER)
    layers = nn.Conv3d(C, hidden, 1), nn.ReLU(inplace=True), nn.Conv3d(hidden, C_out, 1), nn.Sigmoid()
    return nn.Sequential(nn.AdaptiveAvgPool3d(1), *layers)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling, Eqns 6-9 and Figure 4: (B, C, H, W, D) -> the same shape.

    kind : "paspp", pairs first and then all (Eqns 8, 9); "resaspp", the sums of Eqn 7 and all at once; "aspp", neither
    adds : what Eqn 7 adds to a branch, the pair's "inputs" F_p or its "outputs" F_d
    Where a map is no longer than a dilation, the outer taps meet padding only: of 16 x 16 x 8 voxels, E4's of the
    paper's patch, dilation 8 sees one slice.
    """

    def __init__(self, C: int, kind: str = "paspp", adds: str = "inputs"):
        super().__init__()
        self.kind, self.adds = kind, adds
        self.squeeze = nn.ModuleList(CBR(C, C // 4, 1) for _ in DILATIONS)
        self.dilated = nn.ModuleList(CBR(C // 4, C // 4, dilation=d) for d in DILATIONS)
        self.pairs = nn.ModuleList(CBR(C // 2, C // 2, 1) for _ in range(2)) if kind == "paspp" else None
        self.fuse = CBR(C, C, 1)

    def forward(self, F_in: Tensor) -> Tensor:
        F_p = [conv(F_in) for conv in self.squeeze]  # 4 x [B, C/4, H, W, D]
        F_d = [conv(F) for conv, F in zip(self.dilated, F_p, strict=True)]  # (6) 4 x [B, C/4, H, W, D]
        if self.kind != "aspp":
            sums = F_p if self.adds == "inputs" else F_d
            low, high = sums[0] + sums[1], sums[2] + sums[3]
            F_d = [F + more for F, more in zip(F_d, (low, low, high, high), strict=True)]  # (7)
        if self.pairs is not None:
            F_d = [pair(cat(F_d[2 * k : 2 * k + 2], 1)) for k, pair in enumerate(self.pairs)]  # (8) 2 x [B, C/2, ...]
        return self.fuse(cat(F_d, 1))  # (9) B, C, H, W, D


def grown(x: Tensor, multiple: int) -> Tensor:
    """(B, C, H, W, D), its sides made multiples of ``multiple`` by repeating the last row, column and slice."""
    ends = [end for side in x.shape[:1:-1] for end in (0, -side % multiple)]
    return nn.functional.pad(x, ends, mode="replicate") if any(ends) else x
