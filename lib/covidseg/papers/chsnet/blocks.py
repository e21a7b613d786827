"""The blocks of RAIU-Net: CHS-Net's section 3.1, Eqns 3-5, Figures 4, 7 and 9.

Letters are the paper's: F_i is a block's input with C channels (the paper's d), r its number of filters, here C_out;
K* is ReLU(BN(DSC)) of Eqn 4, P_h hybrid pooling. "Same" keeps the size, "valid" halves it.
"""

from torch import Tensor, cat, nn

from covidseg.nn.layers import ConvBNReLU, depthwise, pointwise
from covidseg.papers.chsnet.spectral import SameSpectralPool, SpectralPool
from covidseg.papers.chsnet.wiring import Wiring

__all__ = ["DSC", "IC", "RIB", "HybridPool", "K", "SameMaxPool"]


class DSC(nn.Sequential):
    """Depthwise separable convolution, Eqn 5 and Figure 4: (B, C, H, W) -> (B, C_out, H, W).

    One f x f filter per channel, then 1x1 across channels. For f = 1 the first is one number per channel.
    """

    def __init__(self, C: int, C_out: int, f: int):
        super().__init__(depthwise(C, f), pointwise(C, C_out, bias=True))


class K(nn.Sequential):
    """K_{f x r} * F of Eqn 4: depthwise separable convolution, BatchNorm, ReLU."""

    def __init__(self, C: int, C_out: int, f: int):
        super().__init__(DSC(C, C_out, f), nn.BatchNorm2d(C_out), nn.ReLU(inplace=True))


class SameMaxPool(nn.Module):
    """Max pooling that keeps the size: a 2x2 window that begins at its pixel, or a 3x3 window around it."""

    def __init__(self, wiring: Wiring):
        super().__init__()
        self.window = int(wiring.same_max[0])

    def forward(self, x: Tensor) -> Tensor:
        if self.window == 3:
            return nn.functional.max_pool2d(x, 3, stride=1, padding=1)
        return nn.functional.max_pool2d(nn.functional.pad(x, (0, 1, 0, 1), value=-float("inf")), 2, stride=1)


class HybridPool(nn.Module):
    """P_h, section 3.1.1: max and spectral pooling side by side, mixed by a 1x1 convolution.

    "valid": (B, C, H, W) -> (B, C_out, H // 2, W // 2); "same": the size stays. ``spectral=False`` leaves max pooling
    and the 1x1 convolution, for the row BU+RIB of Tables 4 and 5.
    """

    def __init__(self, C: int, C_out: int, padding: str, wiring: Wiring, *, spectral: bool = True):
        super().__init__()
        self.max = SameMaxPool(wiring) if padding == "same" else nn.MaxPool2d(2)
        self.spectral = None
        if spectral:
            self.spectral = SameSpectralPool(wiring) if padding == "same" else SpectralPool(wiring)
        self.mix = pointwise(C * (2 if spectral else 1), C_out, bias=True)

    def forward(self, F_i: Tensor) -> Tensor:
        pooled = [self.max(F_i)] if self.spectral is None else [self.max(F_i), self.spectral(F_i)]
        return self.mix(cat(pooled, 1))


class IC(nn.Module):
    """Inception convolution, Eqn 3 and Figure 9: (B, C, H, W) -> (B, C_out, H, W).

    pool : "hybrid", or "max" for the row BU+RIB.
    """

    def __init__(self, C: int, C_out: int, wiring: Wiring, *, pool: str = "hybrid"):
        super().__init__()
        C_pool = C if wiring.pool_branch == "input" else C_out
        self.branches = nn.ModuleList(K(C, C_out, f) for f in (1, 3, 5))
        P_h = HybridPool(C, C_pool, "same", wiring, spectral=pool == "hybrid")
        self.pool = nn.Sequential(P_h, nn.BatchNorm2d(C_pool), nn.ReLU(inplace=True))
        self.fuse = ConvBNReLU(3 * C_out + C_pool, C_out, 1, bias=True)

    def forward(self, F_i: Tensor) -> Tensor:
        branches = [K(F_i) for K in self.branches]  # (4) 3 x [B, C_out, H, W]
        return self.fuse(cat([*branches, self.pool(F_i)], 1))  # (3) B, C_out, H, W


class RIB(nn.Module):
    """Residual inception block, Figure 7: (B, C, H, W) -> (B, C_out, H, W); nothing follows the sum."""

    def __init__(self, C: int, C_out: int, wiring: Wiring, *, pool: str = "hybrid"):
        super().__init__()
        self.IC_1, self.IC_2 = IC(C, C_out, wiring, pool=pool), IC(C_out, C_out, wiring, pool=pool)
        self.shortcut = nn.Sequential(DSC(C, C_out, 3), nn.BatchNorm2d(C_out))

    def forward(self, F_i: Tensor) -> Tensor:
        return self.IC_2(self.IC_1(F_i)) + self.shortcut(F_i)
