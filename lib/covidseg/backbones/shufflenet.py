"""ShuffleNet (Zhang et al., CVPR 2018, arXiv 1707.01083), 1x with three groups, as a trunk.

Read beside Figure 2 (b) and (c) and Table 1: the 1x1 convolutions work in groups, and a shuffle deals the channels of
each group out to all groups of the next one. Code: convolutions keep a bias before their BatchNorm, and the first one
has neither BatchNorm nor ReLU, as in the public program for PyTorch whose ImageNet weights have three groups.
"""

from torch import Tensor, cat, nn

from covidseg.backbones._trunk import Trunk
from covidseg.backbones.resnet import kaiming
from covidseg.nn.layers import pointwise

__all__ = ["ShuffleNet", "Unit"]

STEM, GROUPS = 24, 3
STAGES = ((240, 4), (480, 8), (960, 4))  # Table 1, g = 3: channels and units of stages 2 to 4


class Unit(nn.Module):
    """Figure 2: (b) with stride 1 adds, (c) with stride 2 concatenates: (B, C, H, W) -> (B, C', H/s, W/s).

    Inside are C'/4 channels. groups : of the first 1x1 convolution, 1 where the stem's few channels come in.
    """

    def __init__(self, C: int, C_out: int, stride: int, groups: int = GROUPS):
        super().__init__()
        inner, new = C_out // 4, C_out - C if stride == 2 else C_out
        self.shrink = nn.Sequential(
            pointwise(C, inner, groups=groups, bias=True), nn.BatchNorm2d(inner), nn.ReLU(inplace=True)
        )
        filters = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner)
        self.filters = nn.Sequential(filters, nn.BatchNorm2d(inner))  # no activation here
        self.grow = nn.Sequential(pointwise(inner, new, groups=GROUPS, bias=True), nn.BatchNorm2d(new))
        self.pool = nn.AvgPool2d(3, 2, padding=1) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.channel_shuffle(self.shrink(x), GROUPS)  # B, C'/4, H, W
        y = self.grow(self.filters(y))
        y = x + y if self.pool is None else cat([self.pool(x), y], 1)  # B, C', H/s, W/s
        return y.relu()


class ShuffleNet(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_5], at strides 2, 4, 8, 16, 32; any size.

    f_1 is the first convolution, f_2 its max-pooling, f_3 to f_5 are stages 2 to 4. ``channels`` and ``strides`` tell
    what the five maps are.
    """

    def __init__(self, *, in_channels: int = 3):
        super().__init__()
        self.conv1, self.maxpool = nn.Conv2d(in_channels, STEM, 3, 2, padding=1), nn.MaxPool2d(3, 2, padding=1)
        self.stages, C = nn.ModuleList(), STEM
        for c, n in STAGES:
            entry = Unit(C, c, 2, 1 if C == STEM else GROUPS)
            self.stages.append(nn.Sequential(entry, *(Unit(c, c, 1) for _ in range(n - 1))))
            C = c
        self.channels, self.strides = [STEM, STEM, *(c for c, _ in STAGES)], [2, 4, 8, 16, 32]
        kaiming(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        f = [self.conv1(x)]  # f_1
        for layer in (self.maxpool, *self.stages):
            f.append(layer(f[-1]))
        return f


TRUNKS = {"shufflenet": Trunk(ShuffleNet, None)}
