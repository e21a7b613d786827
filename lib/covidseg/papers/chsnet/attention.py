"""Spectral spatial and depth attention (SSD): CHS-Net's section 3.2, Eqns 8-12, Figures 10 and 11.

One SSD stands in each skip connection k of RAIU-Net. It reads two encoder maps, E_k (the paper's F^{l-1}, p/2 channels,
2m x 2n) and the next deeper E_{k+1} (F^l, p channels, m x n), and nothing of the decoder. Here C is p/2.
"""

from torch import Tensor, cat, nn

from covidseg.nn.layers import ConvBNReLU, nearest_resize, pointwise, resize
from covidseg.papers.chsnet.spectral import GlobalSpectralPool
from covidseg.papers.chsnet.wiring import Wiring

__all__ = ["SSD", "SpectralDepth", "SpectralSpatial"]


class SpectralDepth(nn.Module):
    """Which channels count, Eqns 8-9 and Figure 10: (B, C, H, W) -> F_d of the same shape.

    The two small layers of Eqn 8 have no BatchNorm although K* has one: on 1 x 1 maps it would refuse a batch of one.
    """

    def __init__(self, C: int, wiring: Wiring):
        super().__init__()
        shrink, grow = pointwise(C, C // 2, bias=True), pointwise(C // 2, C, bias=True)
        gate = _gate(wiring.depth_gate)
        self.descriptor = nn.Sequential(GlobalSpectralPool(wiring), shrink, nn.ReLU(inplace=True), grow, gate)
        self.conv = ConvBNReLU(C, C, 1, bias=True)

    def forward(self, E: Tensor) -> Tensor:
        A_d = self.descriptor(E)  # (8) B, C, 1, 1
        return self.conv(A_d * E)  # (9) B, C, H, W


class Up(nn.Module):
    """Up of Eqn 11: a map (B, 1, m, n) at the size of ``like``."""

    def __init__(self, wiring: Wiring):
        super().__init__()
        self.mode = wiring.upsample

    def forward(self, A: Tensor, like: Tensor) -> Tensor:
        return nearest_resize(A, like) if self.mode == "nearest" else resize(A, like.shape[-2:])


class SpectralSpatial(nn.Module):
    """Which pixels count, Eqns 10-12 and Figure 11: F_d (B, C, 2m, 2n) and E_{k+1} (B, C', m, n) -> F_s as F_d.

    Eqn 11's kernel has p filters in print; a descriptor of depth 1, as the text has it, needs one.
    """

    def __init__(self, C: int, C_deep: int, wiring: Wiring):
        super().__init__()
        self.stride = nn.Conv2d(C, C_deep, 2, stride=2)
        self.deep = pointwise(C_deep, C_deep, bias=True)
        self.norm = nn.Sequential(nn.BatchNorm2d(C_deep), nn.ReLU(inplace=True))
        self.descriptor = nn.Sequential(pointwise(C_deep, 1, bias=True), _gate(wiring.spatial_gate))
        self.up = Up(wiring)
        K = ConvBNReLU(C, C, 1, bias=True)
        self.conv = K if wiring.F_s_relu else nn.Sequential(K[0], K[1])

    def forward(self, F_d: Tensor, E_deep: Tensor) -> Tensor:
        gamma = self.norm(self.stride(F_d) + self.deep(E_deep))  # (10) B, C', m, n
        A_s = self.up(self.descriptor(gamma), F_d)  # (11) B, 1, 2m, 2n
        return self.conv(A_s * F_d)  # (12) B, C, 2m, 2n


class SSD(nn.Module):
    """Both in a row: E_k (B, C, 2m, 2n), E_{k+1} (B, C', m, n) -> the refined skip, (B, C, 2m, 2n).

    channels : of the answer, C; 2 C where the wiring hands on F_d beside F_s.
    """

    def __init__(self, C: int, C_deep: int, wiring: Wiring):
        super().__init__()
        self.depth, self.spatial = SpectralDepth(C, wiring), SpectralSpatial(C, C_deep, wiring)
        self.both = wiring.ssd_output == "F_d and F_s"
        self.channels = 2 * C if self.both else C

    def forward(self, E: Tensor, E_deep: Tensor) -> Tensor:
        F_d = self.depth(E)
        F_s = self.spatial(F_d, E_deep)
        return cat([F_d, F_s], 1) if self.both else F_s


def _gate(kind: str) -> nn.Module:
    return nn.Sigmoid() if kind == "sigmoid" else nn.ReLU()
