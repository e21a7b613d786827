"""MobileNet (Howard et al. 2017, arXiv 1704.04861), the first, as a trunk.

Read beside Figure 2 and Table 1: all convolutions but the first are taken apart into a filter for each channel and a
1x1 mixture of channels, which costs an eighth to a ninth of the plain 3x3.
"""

from itertools import pairwise

from torch import Tensor, nn

from covidseg.backbones._trunk import Trunk
from covidseg.backbones.resnet import kaiming
from covidseg.nn.layers import ConvBNReLU, depthwise

__all__ = ["MobileNet", "separable"]

STEM = 32
STAGES = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))  # Table 1, by stride: channels of each pair


def separable(C: int, C_out: int, stride: int = 1) -> nn.Sequential:
    """Figure 2 right: depthwise 3x3, then 1x1, each with BatchNorm and ReLU: (B, C, H, W) -> (B, C', H/s, W/s)."""
    filters = depthwise(C, 3, stride=stride), nn.BatchNorm2d(C), nn.ReLU(inplace=True)
    return nn.Sequential(*filters, *ConvBNReLU(C, C_out, 1))


class MobileNet(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_5], at strides 2, 4, 8, 16, 32; any size.

    f_i is the last map of its stride. Table 1 prints stride 2 for the last pair too, at an unchanged size: it is 1.
    ``channels`` and ``strides`` tell what the five maps are.
    """

    def __init__(self, *, in_channels: int = 3):
        super().__init__()
        self.stages = nn.ModuleList([nn.Sequential(ConvBNReLU(in_channels, STEM, stride=2), separable(STEM, 64))])
        for (*_, C), widths in pairwise(STAGES):
            pairs = [separable(c, c_out, 2 if i == 0 else 1) for i, (c, c_out) in enumerate(pairwise((C, *widths)))]
            self.stages.append(nn.Sequential(*pairs))
        self.channels, self.strides = [widths[-1] for widths in STAGES], [2, 4, 8, 16, 32]
        kaiming(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        f = [x]
        for stage in self.stages:
            f.append(stage(f[-1]))
        return f[1:]


TRUNKS = {"mobilenet": Trunk(MobileNet, None)}
