"""EDANet: efficient dense modules of asymmetric convolution (Lo et al., ACM MM Asia 2019, arXiv 1809.06323).

Read beside the figures of the network and of the EDA module: DenseNet's idea with cheap, dilated layers. Each module
looks at all maps before it through 3x1 and 1x3 filters and adds 40 channels; there is no decoder.
"""

from torch import Tensor, cat, nn
from torch.nn import functional as F

from covidseg.nn.layers import corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

GROWTH = 40
BLOCK_1, BLOCK_2 = (1, 1, 1, 2, 2), (2, 2, 4, 4, 8, 8, 16, 16)  # dilations of the modules
WIDTHS = (15, 60, 130)  # channels after each halving


class Down(nn.Module):
    """(B, C, H, W) -> (B, C', H/2, W/2): a convolution, beside max-pooling where the channels grow."""

    def __init__(self, C: int, C_out: int):
        super().__init__()
        self.grows = C_out > C
        self.conv = nn.Conv2d(C, C_out - C if self.grows else C_out, 3, 2, padding=1)
        self.bn = nn.BatchNorm2d(C_out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.grows:
            y = cat([y, F.max_pool2d(x, 2, ceil_mode=True)], 1)  # odd sides are rounded up, as by the convolution
        return self.bn(y).relu()


def asymmetric(C: int, dilation: int = 1) -> nn.Sequential:
    """3x3 of a dilation as 3x1 and 1x3, then BatchNorm and ReLU."""
    d = dilation
    column = nn.Conv2d(C, C, (3, 1), padding=(d, 0), dilation=(d, 1))
    row = nn.Conv2d(C, C, (1, 3), padding=(0, d), dilation=(1, d))
    return nn.Sequential(column, row, nn.BatchNorm2d(C), nn.ReLU())


class EDA(nn.Module):
    """EDA module: (B, C, H, W) -> (B, 40 + C, H, W), the new channels first."""

    def __init__(self, C: int, dilation: int, dropout: float):
        super().__init__()
        shrink = pointwise(C, GROWTH, bias=True), nn.BatchNorm2d(GROWTH), nn.ReLU()
        self.new = nn.Sequential(*shrink, *asymmetric(GROWTH), *asymmetric(GROWTH, dilation), nn.Dropout2d(dropout))

    def forward(self, x: Tensor) -> Tensor:
        return cat([self.new(x), x], 1)


class EDANet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size. dropout : of each module's new channels."""

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, dropout: float = 0.02):
        super().__init__()
        C_1, C_2, C_3 = WIDTHS
        self.down_1, self.down_2 = Down(in_channels, C_1), Down(C_1, C_2)
        self.block_1 = nn.Sequential(*(EDA(C_2 + GROWTH * k, d, dropout) for k, d in enumerate(BLOCK_1)))
        self.down_3 = Down(C_2 + GROWTH * len(BLOCK_1), C_3)
        self.block_2 = nn.Sequential(*(EDA(C_3 + GROWTH * k, d, dropout) for k, d in enumerate(BLOCK_2)))
        self.head = pointwise(C_3 + GROWTH * len(BLOCK_2), num_classes, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block_1(self.down_2(self.down_1(x)))  # B, 260, H/4, W/4
        y = self.block_2(self.down_3(y))  # B, 450, H/8, W/8
        return corner_resize(self.head(y), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_3 after the halvings; EDA_1_1.. and EDA_2_1.., the 40 channels that each module adds; P_3."""
        maps: dict[str, tuple[nn.Module, int | None]] = {"f_1": (self.down_1, None), "f_2": (self.down_2, None)}
        maps |= {f"EDA_1_{k}": (module.new, None) for k, module in enumerate(self.block_1, 1)} | {
            "f_3": (self.down_3, None)
        }
        maps |= {f"EDA_2_{k}": (module.new, None) for k, module in enumerate(self.block_2, 1)}
        return maps | {"P_3": (self.head, None)}


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 681,818 parameters with 2 classes; MiniSeg Table 5: 0.68M


@register(
    "edanet", paper="Lo et al., ACM MM Asia 2019", arxiv="1809.06323", params=681_818,
    notes=("dense blocks of cheap dilated 3x1 and 1x3 filters at a quarter and an eighth of the size, no decoder",),
)  # fmt: skip
def edanet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> EDANet:
    return EDANet(num_classes, in_channels, **configured("edanet", CONFIGS, config, options))
