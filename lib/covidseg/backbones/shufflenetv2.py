"""ShuffleNet V2 (Ma et al., ECCV 2018, arXiv 1807.11164), 1.0x, as a trunk, with torchvision's state-dict names.

Read beside Figure 3 (c) and (d) and Table 5: a unit splits its channels, convolves one half, leaves the other as it is,
and shuffles both, so that the halves mix from unit to unit without an addition.
"""

from torch import Tensor, cat, nn

from covidseg.backbones._trunk import TORCHVISION, Trunk
from covidseg.backbones.resnet import kaiming
from covidseg.nn.layers import ConvBNReLU, depthwise

__all__ = ["ShuffleNetV2", "Unit"]

STEM, LAST = 24, 1024
STAGES = ((116, 4), (232, 8), (464, 4))  # Table 5, 1x: channels and units of stages 2 to 4


class Unit(nn.Module):
    """Figure 3: (c) with stride 1, (d) with stride 2: (B, C, H, W) -> (B, C', H/s, W/s).

    (c) passes the first half of the channels on; (d) convolves the whole map in both branches, half of C' each.
    """

    def __init__(self, C: int, C_out: int, stride: int):
        super().__init__()
        half, self.splits = C_out // 2, stride == 1
        first = [depthwise(C, 3, stride=2), nn.BatchNorm2d(C), *ConvBNReLU(C, half, 1)]
        self.branch1 = nn.Sequential(*([] if self.splits else first))
        filters = [depthwise(half, 3, stride=stride), nn.BatchNorm2d(half)]  # no activation here
        self.branch2 = nn.Sequential(
            *ConvBNReLU(half if self.splits else C, half, 1), *filters, *ConvBNReLU(half, half, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1) if self.splits else (x, x)
        return nn.functional.channel_shuffle(cat([self.branch1(left), self.branch2(right)], 1), 2)


class ShuffleNetV2(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_5], at strides 2, 4, 8, 16, 32; any size.

    f_1 is the first convolution, f_2 its max-pooling, f_3 and f_4 are stages 2 and 3, f_5 is stage 4 with the last 1x1
    convolution (1024 channels). ``channels`` and ``strides`` tell what the five maps are.
    """

    def __init__(self, *, in_channels: int = 3):
        super().__init__()
        self.conv1, self.maxpool = ConvBNReLU(in_channels, STEM, stride=2), nn.MaxPool2d(3, 2, padding=1)
        C = STEM
        for i, (c, n) in enumerate(STAGES, 2):
            self.add_module(f"stage{i}", nn.Sequential(Unit(C, c, 2), *(Unit(c, c, 1) for _ in range(n - 1))))
            C = c
        self.conv5 = ConvBNReLU(C, LAST, 1)
        self.channels, self.strides = [STEM, STEM, *(c for c, _ in STAGES[:2]), LAST], [2, 4, 8, 16, 32]
        kaiming(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        f = [self.conv1(x)]  # f_1
        for layer in (self.maxpool, self.stage2, self.stage3, self.stage4):
            f.append(layer(f[-1]))
        return [*f[:4], self.conv5(f[4])]  # f_5


TRUNKS = {"shufflenetv2": Trunk(ShuffleNetV2, TORCHVISION + "shufflenetv2_x1-5666bf0f80.pth")}
