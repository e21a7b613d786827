"""Res2Net-50 v1b, 26w x 4s (Gao et al., TPAMI 2021, arXiv 1904.01169): the trunk of Inf-Net.

A ResNet-50 whose 3x3 convolution is a small hierarchy: four groups of channels, each of the first three convolved
and handed on to the next, so one block sees several scales. "v1b" is ResNet-D's stem and shortcut. State-dict names
are the authors', so that their ``res2net50_v1b_26w_4s-3cf99910.pth`` loads.
"""

from torch import Tensor, cat, nn

from covidseg.backbones._trunk import Trunk
from covidseg.backbones.resnet import DEPTHS, ResNet, conv3x3
from covidseg.nn.layers import pointwise

__all__ = ["Bottle2neck", "res2net50"]


class Bottle2neck(nn.Module):
    """1x1, the hierarchy of Figure 2 (b), 1x1 and a shortcut: (B, C, H, W) -> (B, 4 planes, H', W').

    A block with ``downsample`` opens a stage. Code: there the groups are not added to each other and the last one,
    which has no convolution, is average-pooled (also at stride 1; the zeros of the border count).
    """

    def __init__(
        self, c_in: int, planes: int, stride: int, dilation: int, downsample: nn.Module | None,
        *, base_width=26, scale=4,
    ):  # fmt: skip
        super().__init__()
        w = planes * base_width // 64  # channels of one group: 26, 52, 104, 208
        self.w, self.opens_stage = w, downsample is not None
        self.conv1, self.bn1 = pointwise(c_in, scale * w), nn.BatchNorm2d(scale * w)
        self.convs = nn.ModuleList(conv3x3(w, w, stride, dilation) for _ in range(scale - 1))
        self.bns = nn.ModuleList(nn.BatchNorm2d(w) for _ in range(scale - 1))
        self.pool = nn.AvgPool2d(3, stride, padding=1) if self.opens_stage else nn.Identity()
        self.conv3, self.bn3 = pointwise(scale * w, 4 * planes), nn.BatchNorm2d(4 * planes)
        self.relu, self.downsample = nn.ReLU(inplace=True), downsample

    def forward(self, x: Tensor) -> Tensor:
        groups = self.relu(self.bn1(self.conv1(x))).split(self.w, 1)  # x_1 .. x_4, each B, w, H, W
        y = []
        for i, (conv, bn) in enumerate(zip(self.convs, self.bns, strict=True)):
            x_i = groups[i] if i == 0 or self.opens_stage else groups[i] + y[-1]
            y.append(self.relu(bn(conv(x_i))))  # (1) of Res2Net; code: the group without convolution is the last
        y.append(self.pool(groups[-1]))
        z = self.bn3(self.conv3(cat(y, 1)))  # B, 4 planes, H', W'
        return self.relu(z + (x if self.downsample is None else self.downsample(x)))


def res2net50(*, classes: int | None = None, **options) -> ResNet:
    """Res2Net-50 v1b 26w x 4s; 23,669,352 numbers in the trunk. ``options`` are ResNet's."""
    return ResNet(Bottle2neck, DEPTHS[50], stem="deep", shortcut="avg", classes=classes, **options)


_AUTHORS = "https://shanghuagao.oss-cn-beijing.aliyuncs.com/res2net/"
TRUNKS = {"res2net50": Trunk(res2net50, _AUTHORS + "res2net50_v1b_26w_4s-3cf99910.pth")}
