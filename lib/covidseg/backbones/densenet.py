"""DenseNet (Huang et al., CVPR 2017, arXiv 1608.06993) as a trunk, with torchvision's state-dict names.

Inside a block every layer reads all maps before it (Eqn 2) and adds ``growth`` channels; between blocks a transition
halves channels and size. torchvision's files are older than its code: they write "norm.1" for "norm1" (see
``modern_key``).
"""

import re
from collections import OrderedDict
from functools import partial

from torch import Tensor, cat, nn, ones, zeros

from covidseg.backbones._trunk import TORCHVISION, Trunk
from covidseg.backbones.resnet import conv3x3, kaiming
from covidseg.errors import unknown_name
from covidseg.nn.layers import pointwise

__all__ = ["DenseNet", "ScaledNorm", "densenet", "modern_key"]

DENSENETS = {  # Table 1, and 161, which is torchvision's k = 48 of Figure 3: growth, layers of the blocks, stem
    121: (32, (6, 12, 24, 16), 64),
    161: (48, (6, 12, 36, 24), 96),
    169: (32, (6, 12, 32, 32), 64),
    201: (32, (6, 12, 48, 32), 64),
}
BOTTLENECK = 4  # the 1x1 of each layer has 4 * growth channels (DenseNet-B)


class ScaledNorm(nn.BatchNorm2d):
    """BatchNorm with a second gain and offset per channel, which start as 1 and 0: (B, C, H, W) -> (B, C, H, W).

    Caffe's BatchNorm has neither and takes a Scale layer behind it; ports of Caffe networks kept that layer although
    their BatchNorm brings its own. It adds parameters and no function.
    """

    def __init__(self, C: int):
        super().__init__(C)
        self.gain, self.offset = nn.Parameter(ones(C)), nn.Parameter(zeros(C))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.gain[:, None, None] + self.offset[:, None, None]


class DenseLayer(nn.Sequential):
    """H of Eqn 2, BN-ReLU-1x1-BN-ReLU-3x3: all maps so far (B, C, H, W) -> ``growth`` new ones."""

    def __init__(self, C: int, growth: int, Norm=nn.BatchNorm2d, dilation: int = 1):
        inner = BOTTLENECK * growth
        first = [("norm1", Norm(C)), ("relu1", nn.ReLU(inplace=True)), ("conv1", pointwise(C, inner))]
        conv2 = conv3x3(inner, growth, dilation=dilation)
        second = [("norm2", Norm(inner)), ("relu2", nn.ReLU(inplace=True)), ("conv2", conv2)]
        super().__init__(OrderedDict(first + second))


class DenseBlock(nn.Module):
    """(B, C, H, W) -> (B, C + layers * growth, H, W)."""

    def __init__(self, C: int, layers: int, growth: int, Norm=nn.BatchNorm2d, dilation: int = 1):
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(C + i * growth, growth, Norm, dilation))

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.children():
            maps.append(layer(cat(maps, 1)))  # (2) x_l = H_l([x_0, ..., x_{l-1}])
        return cat(maps, 1)


class DenseNet(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_5], at strides 2, 4, 8, 16, 32.

    f_1 is the stem before max-pooling, f_2..f_4 are the dense blocks before their transitions (which begin with the
    BatchNorm and ReLU), f_5 is the last block after both. ``channels`` and ``strides`` tell what the five maps are.
    growth, layers, stem : k, layers of each block and channels of the stem. scaled : ``ScaledNorm`` everywhere.
    output_stride : 32, 16 or 8; a transition that would pass it does not pool, and the blocks behind it dilate instead.
    halved : a fourth transition, without pooling, stands before the last norm: f_5 has half the channels (DenseASPP).
    classes : outputs of an ImageNet classifier, which is carried along and never used; None leaves it out.
    """

    def __init__(
        self, growth: int, layers: tuple[int, ...], stem: int, *, in_channels=3, scaled=False, output_stride=32,
        halved=False, classes: int | None = None,
    ):  # fmt: skip
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise unknown_name("output_stride", output_stride, (8, 16, 32))
        Norm = ScaledNorm if scaled else nn.BatchNorm2d
        conv0 = nn.Conv2d(in_channels, stem, 7, 2, padding=3, bias=False)
        norm0, relu0, pool0 = Norm(stem), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)
        self.features = nn.Sequential(OrderedDict(conv0=conv0, norm0=norm0, relu0=relu0, pool0=pool0))
        self.channels, self.strides, C = [stem], [2, 4], stem
        dilation = 1
        for i, depth in enumerate(layers, 1):
            self.features.add_module(f"denseblock{i}", DenseBlock(C, depth, growth, Norm, dilation))
            C += depth * growth
            self.channels.append(C)
            if i < len(layers):
                pools = 2 * self.strides[-1] <= output_stride
                self.features.add_module(f"transition{i}", _transition(C, Norm, pools))
                self.strides.append(self.strides[-1] * (2 if pools else 1))
                dilation, C = dilation * (1 if pools else 2), C // 2
        if halved:
            self.features.add_module("transition4", _transition(C, Norm, pools=False))
            self.channels[-1] = C = C // 2
        self.not_in_files = ("features.transition4.", "features.norm5.") if halved else ()
        self.features.add_module("norm5", Norm(C))
        self.classifier = None if classes is None else nn.Linear(C, classes)
        kaiming(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        parts = dict(self.features.named_children())
        f = [parts["relu0"](parts["norm0"](parts["conv0"](x)))]  # f_1
        y = parts["pool0"](f[0])
        for i in (1, 2, 3):
            f.append(parts[f"denseblock{i}"](y))  # f_2 .. f_4
            y = parts[f"transition{i}"](f[-1])
        y = parts["denseblock4"](y)
        y = parts["transition4"](y) if "transition4" in parts else y
        f.append(parts["norm5"](y).relu())  # f_5
        return f


def densenet(depth: int, **options) -> DenseNet:
    """DenseNet-121, 161, 169 or 201; ``options`` are DenseNet's."""
    if depth not in DENSENETS:
        raise unknown_name("DenseNet", depth, DENSENETS)
    return DenseNet(*DENSENETS[depth], **options)


def modern_key(key: str) -> str:
    """The name of today for a number in torchvision's DenseNet files.

    >>> modern_key("features.denseblock1.denselayer2.norm.1.weight")
    'features.denseblock1.denselayer2.norm1.weight'
    """
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key)


def _transition(C: int, Norm, pools: bool = True) -> nn.Sequential:
    """BN-ReLU-1x1 to half the channels (DenseNet-C, theta = 0.5), then 2x2 averages."""
    norm, relu, conv, pool = Norm(C), nn.ReLU(inplace=True), pointwise(C, C // 2), nn.AvgPool2d(2 if pools else 1)
    return nn.Sequential(OrderedDict(norm=norm, relu=relu, conv=conv, pool=pool))


TRUNKS = {
    "densenet161": Trunk(partial(densenet, 161), TORCHVISION + "densenet161-8d451a50.pth", modern_key),
    "densenet201": Trunk(partial(densenet, 201), TORCHVISION + "densenet201-c1103571.pth", modern_key),
}
