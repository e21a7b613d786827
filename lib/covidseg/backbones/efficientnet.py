"""EfficientNet-B0 (Tan and Le, ICML 2019, arXiv 1905.11946) as a trunk, in the form of MiniSeg's benchmark.

Read beside Table 1: inverted residuals (Figure 3 of MobileNetV2) whose channels are weighed by what the whole map
holds. Code: h-swish in place of swish, a gate a quarter as wide as the block's inside (the paper: as its input), and
output stride 8: the paper halves the size with its stages 5 and 6 (80 and 192 channels), the code with neither.
"""

from torch import Tensor, nn

from covidseg.backbones._trunk import Trunk
from covidseg.backbones.resnet import kaiming
from covidseg.nn.layers import pointwise

__all__ = ["Gate", "EfficientNet", "MBConv"]

STEM, LAST = 32, 1280  # channels of the first convolution, and of the last, which only the classifier has
LAYERS = (  # rows of Table 1: expansion, kernel, channels, repeats, stride and dilation of the first of them
    ((1, 3, 16, 1, 1, 1),), ((6, 3, 24, 2, 2, 1),), ((6, 5, 40, 2, 2, 1), (6, 3, 80, 3, 1, 1)),
    ((6, 5, 112, 3, 1, 2),), ((6, 5, 192, 4, 1, 2),), ((6, 3, 320, 1, 1, 1),),
)  # fmt: skip


class ConvBNHSwish(nn.Sequential):
    """Convolution, BatchNorm, h-swish x * relu6(x + 3) / 6: (B, C, H, W) -> (B, C', H', W')."""

    def __init__(self, C: int, C_out: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1):
        conv = nn.Conv2d(C, C_out, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(C_out), nn.Hardswish(inplace=True))


class Gate(nn.Module):
    """Squeeze and excitation (Hu et al., CVPR 2018): one weight of 0 to 1 a channel, from the means of all channels."""

    def __init__(self, C: int):
        super().__init__()
        layers = pointwise(C, C // 4), nn.SiLU(inplace=True), pointwise(C // 4, C), nn.Sigmoid()
        self.weigh = nn.Sequential(nn.AdaptiveAvgPool2d(1), *layers)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x)  # B, C, H, W


class MBConv(nn.Module):
    """Expand by t, depthwise k x k, gate, project (linear): (B, C, H, W) -> (B, C', H/s, W/s).

    With equal ends (stride 1, C = C') the input is added.
    """

    def __init__(self, C: int, C_out: int, t: int, kernel: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        inner, self.shortcut = t * C, (stride, C_out) == (1, C)
        expand = [ConvBNHSwish(C, inner, 1)] if t > 1 else []
        filters = ConvBNHSwish(inner, inner, kernel, stride, dilation, groups=inner)
        self.conv = nn.Sequential(*expand, filters, Gate(inner), pointwise(inner, C_out), nn.BatchNorm2d(C_out))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


class EfficientNet(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_6], at strides 2, 4, 8, 8, 8, 8; any size.

    Six maps, one for each of the code's layers: f_1 is stage 2 of Table 1, f_6 stage 8. ``channels`` and ``strides``
    tell what they are. classes : outputs of an ImageNet classifier, carried along and never used; None leaves it out.
    """

    def __init__(self, *, in_channels: int = 3, classes: int | None = None):
        super().__init__()
        self.conv1, C = ConvBNHSwish(in_channels, STEM, 3, 2), STEM
        self.channels, self.strides = [], [2, 4, 8, 8, 8, 8]
        self.layers = nn.ModuleList()
        for rows in LAYERS:
            layer = nn.Sequential()
            for t, kernel, c, n, s, d in rows:
                for i in range(n):
                    layer.append(MBConv(C, c, t, kernel, *((s, d) if i == 0 else (1, 1))))
                    C = c
            self.layers.append(layer)
            self.channels.append(C)
        self.classifier = None
        if classes is not None:
            self.classifier = nn.Sequential(ConvBNHSwish(C, LAST, 1), pointwise(LAST, classes, bias=True))
        kaiming(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        f = [self.conv1(x)]
        for layer in self.layers:
            f.append(layer(f[-1]))
        return f[1:]


TRUNKS = {"efficientnet": Trunk(EfficientNet, None)}
