"""ESPNet: efficient spatial pyramid of dilated convolutions (Mehta et al., ECCV 2018, arXiv 1803.06815).

Read beside Figures 1 and 4: an ESP block reduces the channels, looks through parallel filters of dilations 1 to 16,
and adds each answer to the next larger one before it puts them side by side. The decoder works on scores only.
"""

from itertools import accumulate

from torch import Tensor, cat, nn

from covidseg.nn.layers import pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._light import EPS, BNAct, ConvBNAct, halving

DILATIONS = (1, 2, 4, 8, 16)


class ESP(nn.Module):
    """Figure 1: (B, C, H, W) -> (B, C', H, W), or (B, C', H/2, W/2) with ``stride`` 2.

    residual : add the input, of the same shape, before BatchNorm. Ours: fewer than five channels make as many branches.
    By the paper's rule each has a fifth of the channels, which leaves none to the decoder's block for two classes. What
    MiniSeg's code does there is unknown: its count (0.3456M) leaves room for 92 parameters, of which this takes 28.
    """

    def __init__(self, C: int, C_out: int, *, stride: int = 1, residual: bool = False):
        super().__init__()
        dilations = DILATIONS[:C_out]
        d = C_out // len(dilations)
        first = C_out - d * (len(dilations) - 1)  # the channels that five does not divide go to dilation 1
        self.residual = residual
        self.reduce = pointwise(C, d) if stride == 1 else nn.Conv2d(C, d, 3, 2, padding=1, bias=False)
        self.branches = nn.ModuleList(
            nn.Conv2d(d, first if r == 1 else d, 3, padding=r, dilation=r, bias=False) for r in dilations
        )
        self.act = BNAct(C_out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce(x)  # B, d, H', W'
        one, *others = (branch(y) for branch in self.branches)
        y = cat([one, *accumulate(others)], 1)  # hierarchical feature fusion, from dilation 2 on
        return self.act(x + y if self.residual else y)


class Up2(nn.ConvTranspose2d):
    """Learned doubling of K scores, cut to the size of ``like``."""

    def __init__(self, K: int):
        super().__init__(K, K, 2, 2, bias=False)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:  # type: ignore[override]
        H, W = like.shape[-2:]
        return super().forward(x)[..., :H, :W]


class ESPNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    p, q : ESP blocks at a quarter and an eighth of the size (alpha_2 and alpha_3 in Figure 4).
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, p: int = 2, q: int = 8):
        super().__init__()
        K = num_classes
        self.halve = halving()
        self.level_1 = ConvBNAct(in_channels, 16, 3, stride=2)
        self.act_1 = BNAct(16 + in_channels)
        self.down_2 = ESP(16 + in_channels, 64, stride=2)
        self.level_2 = nn.Sequential(*(ESP(64, 64, residual=True) for _ in range(p)))
        self.act_2 = BNAct(128 + in_channels)
        self.down_3 = ESP(128 + in_channels, 128, stride=2)
        self.level_3 = nn.Sequential(*(ESP(128, 128, residual=True) for _ in range(q)))
        self.act_3 = BNAct(256)
        self.score_3 = pointwise(256, K)
        self.score_2, self.bn = pointwise(128 + in_channels, K), nn.BatchNorm2d(K, EPS)
        self.refine_1 = ConvBNAct(16 + in_channels + K, K, 3)
        self.up_3 = Up2(K)
        self.refine_2 = nn.Sequential(BNAct(2 * K), ESP(2 * K, K))
        self.up_2, self.up_2_act = Up2(K), BNAct(K)
        self.up_1 = Up2(K)

    def forward(self, x: Tensor) -> Tensor:
        x_2 = self.halve(x)  # the image at H/2, W/2
        x_4 = self.halve(x_2)
        f_1 = self.act_1(cat([self.level_1(x), x_2], 1))  # B, 16 + in_channels, H/2, W/2
        first = self.down_2(f_1)  # B, 64, H/4, W/4
        f_2 = self.act_2(cat([self.level_2(first), first, x_4], 1))  # B, 128 + in_channels, H/4, W/4
        first = self.down_3(f_2)  # B, 128, H/8, W/8
        f_3 = self.act_3(cat([first, self.level_3(first)], 1))  # B, 256, H/8, W/8
        P_3 = self.up_3(self.bn(self.score_3(f_3)), f_2)  # B, K, H/4, W/4
        P_2 = self.refine_2(cat([self.score_2(f_2), P_3], 1))  # B, K, H/4, W/4
        P_2 = self.up_2_act(self.up_2(P_2, f_1))  # B, K, H/2, W/2
        return self.up_1(self.refine_1(cat([P_2, f_1], 1)), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_3 of the levels, image included; ESP/1..ESP/16 of the last block, before they are summed; P_3..P_1."""
        maps: dict[str, tuple[nn.Module, int | None]] = {f"f_{i}": (getattr(self, f"act_{i}"), None) for i in (1, 2)}
        maps |= {f"ESP/{branch.dilation[0]}": (branch, None) for branch in self.level_3[-1].branches}
        maps |= {"f_3": (self.act_3, None), "P_3": (self.score_3, None), "P_2": (self.refine_2, None)}
        return maps | {"P_1": (self.up_1, None)}


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 345,585 parameters with 2 classes; MiniSeg Table 5: 0.35M


@register(
    "espnet", paper="Mehta et al., ECCV 2018", arxiv="1803.06815", params=345_585,
    notes=(
        "parallel filters of dilations 1 to 16, each added to the next larger one; the decoder sees scores only",
        "the decoder's ESP block has as many branches as classes, five at most: ours, for the paper's rule needs five",
    ),
)  # fmt: skip
def espnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> ESPNet:
    return ESPNet(num_classes, in_channels, **configured("espnet", CONFIGS, config, options))
