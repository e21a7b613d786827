"""MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381) as a trunk, with torchvision's state-dict names.

Its idea is the inverted residual, Figure 3 (b) and Table 1: a block widens its thin input, filters each channel by
itself, and narrows it again without an activation, so that the shortcut joins the thin ends.
"""

from itertools import pairwise

from torch import Tensor, nn

from covidseg.backbones._trunk import TORCHVISION, Trunk
from covidseg.backbones.resnet import kaiming

__all__ = ["InvertedResidual", "MobileNetV2"]

STEM, LAST = 32, 1280  # channels of the first and of the last convolution
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# Table 2: t, c, n, s: expansion, channels, repeats, stride of the first of them


class ConvBNReLU6(nn.Sequential):
    """Convolution, BatchNorm, ReLU6 (section 4: it bears low precision): (B, C, H, W) -> (B, C', H', W')."""

    def __init__(self, C: int, C_out: int, kernel: int, stride: int = 1, groups: int = 1):
        conv = nn.Conv2d(C, C_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(C_out), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand by t, depthwise 3x3, project (linear), Table 1: (B, C, H, W) -> (B, C', H/s, W/s).

    With equal ends (stride 1, C = C') the input is added.
    """

    def __init__(self, C: int, C_out: int, stride: int, t: int):
        super().__init__()
        self.shortcut = stride == 1 and C_out == C
        expand = [ConvBNReLU6(C, t * C, 1)] if t > 1 else []
        filters = ConvBNReLU6(t * C, t * C, 3, stride, groups=t * C)
        self.conv = nn.Sequential(*expand, filters, nn.Conv2d(t * C, C_out, 1, bias=False), nn.BatchNorm2d(C_out))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_5], at strides 2, 4, 8, 16, 32; any size.

    f_i is the last map of its stride; f_5 has passed the last 1x1 convolution (1280 channels). ``channels`` and
    ``strides`` tell what the five maps are.
    """

    def __init__(self, *, in_channels: int = 3):
        super().__init__()
        layers: list[nn.Module] = [ConvBNReLU6(in_channels, STEM, 3, 2)]
        self.channels, self.strides, self.ends, C = [], [2, 4, 8, 16, 32], [], STEM
        for t, c, n, s in BLOCKS:
            if s == 2:  # the stride before ends here
                self.channels.append(C)
                self.ends.append(len(layers))
            for i in range(n):
                layers.append(InvertedResidual(C, c, s if i == 0 else 1, t))
                C = c
        layers.append(ConvBNReLU6(C, LAST, 1))
        self.channels.append(LAST)
        self.ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        kaiming(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        f = [x]
        for start, end in pairwise([0, *self.ends]):
            f.append(self.features[start:end](f[-1]))
        return f[1:]


TRUNKS = {"mobilenetv2": Trunk(MobileNetV2, TORCHVISION + "mobilenet_v2-b0353104.pth")}
