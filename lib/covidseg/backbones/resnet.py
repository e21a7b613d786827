"""ResNet (He et al., CVPR 2016) as a trunk: five feature maps instead of a class, torchvision's state-dict names.

One trunk serves every depth, the dilated versions (``output_stride``), the ResNet-D stem and shortcut, and
Res2Net, which only brings another block (res2net.py). He et al. put the stride of a bottleneck on its first 1x1
convolution, torchvision (and the "v1b" weights) on the 3x3: ``stride_on``.
"""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from covidseg.backbones._trunk import TORCHVISION, Trunk
from covidseg.errors import unknown_name
from covidseg.nn.layers import pointwise

__all__ = ["DEPTHS", "BasicBlock", "Bottleneck", "ResNet", "conv3x3", "kaiming", "resnet"]

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # Table 1


def conv3x3(c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride, padding=dilation, dilation=dilation, bias=False)


def kaiming(network: nn.Module) -> None:
    """Start values of all trunks before ImageNet: He normal, fan out (ReLU); norms keep weight 1 and bias 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, Figure 5 left: (B, C, H, W) -> (B, planes, H', W')."""

    expansion = 1

    def __init__(self, c_in: int, planes: int, stride: int, dilation: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(c_in, planes, stride, dilation), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv3x3(planes, planes, 1, dilation), nn.BatchNorm2d(planes)
        self.relu, self.downsample = nn.ReLU(inplace=True), downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut, Figure 5 right: (B, C, H, W) -> (B, 4 planes, H', W')."""

    expansion = 4

    def __init__(
        self, c_in: int, planes: int, stride: int, dilation: int, downsample: nn.Module | None, *, stride_on="3x3"
    ):
        super().__init__()
        s1, s2 = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1, self.bn1 = nn.Conv2d(c_in, planes, 1, s1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv3x3(planes, planes, s2, dilation), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = pointwise(planes, 4 * planes), nn.BatchNorm2d(4 * planes)
        self.relu, self.downsample = nn.ReLU(inplace=True), downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))  # B, planes, H, W
        y = self.relu(self.bn2(self.conv2(y)))  # B, planes, H', W'
        y = self.bn3(self.conv3(y))  # B, 4 planes, H', W'
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_5], at strides 2, 4, 8, 16, 32; f_1 is the stem before max-pooling.

    block : builder f(c_in, planes, stride, dilation, downsample); its outputs have expansion * planes channels.
    width : planes of the first stage (64 in every published network). output_stride : 32, 16 or 8; a stage that would
    pass it keeps stride 1 and doubles the dilation instead. first_dilation : of such a stage's first block, "before"
    (that of the stage before, as torchvision and the "v1b" files have it) or "own" (as the DeepLab family had it).
    stem : "7x7" or "deep" (three 3x3, ResNet-D). ceil_pool : max-pooling rounds the sides up.
    shortcut : "conv" (1x1 with stride) or "avg" (average pooling, then 1x1; ResNet-D).
    classes : outputs of an ImageNet classifier, which is carried along and never used; None leaves it out.
    ``channels`` and ``strides`` tell what the five maps are.
    """

    def __init__(
        self, block: Callable[..., nn.Module], depths: Sequence[int], *, expansion=4, in_channels=3, width=64,
        output_stride=32, first_dilation="before", stem="7x7", shortcut="conv", ceil_pool=False,
        classes: int | None = None,
    ):  # fmt: skip
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise unknown_name("output_stride", output_stride, (8, 16, 32))
        if first_dilation not in ("before", "own"):
            raise unknown_name("first_dilation", first_dilation, ("before", "own"))
        if stem not in STEMS:
            raise unknown_name("stem", stem, STEMS)
        if shortcut not in SHORTCUTS:
            raise unknown_name("shortcut", shortcut, SHORTCUTS)
        self.conv1, self.bn1 = STEMS[stem](in_channels, width), nn.BatchNorm2d(width)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1, ceil_mode=ceil_pool)
        self.channels, self.strides = [width], [2]
        c_in, total, dilation = width, 4, 1
        for i, (depth, stride) in enumerate(zip(depths, (1, 2, 2, 2), strict=True)):
            planes, before = width * 2**i, dilation
            if total * stride > output_stride:
                stride, dilation = 1, dilation * stride
            c_out, total = expansion * planes, total * stride
            downsample = SHORTCUTS[shortcut](c_in, c_out, stride) if stride > 1 or c_in != c_out else None
            first = block(c_in, planes, stride, before if first_dilation == "before" else dilation, downsample)
            rest = [block(c_out, planes, 1, dilation, None) for _ in range(depth - 1)]
            self.add_module(f"layer{i + 1}", nn.Sequential(first, *rest))
            c_in = c_out
            self.channels.append(c_out)
            self.strides.append(total)
        self.fc = None if classes is None else nn.Linear(c_in, classes)
        kaiming(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        f = [self.relu(self.bn1(self.conv1(x)))]  # f_1
        y = self.maxpool(f[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            y = layer(y)
            f.append(y)  # f_2 .. f_5
        return f


def resnet(depth: int, *, stride_on: str = "3x3", **options) -> ResNet:
    """ResNet-18, 34, 50, 101 or 152; stride_on : "3x3" or "1x1" of the bottlenecks; ``options`` are ResNet's."""
    if stride_on not in ("3x3", "1x1"):
        raise unknown_name("place for the stride (stride_on)", stride_on, ("3x3", "1x1"))
    block = BasicBlock if depth < 50 else partial(Bottleneck, stride_on=stride_on)
    return ResNet(block, DEPTHS[depth], expansion=1 if depth < 50 else 4, **options)


def _deep_stem(c_in: int, width: int) -> nn.Sequential:
    """Three 3x3 instead of one 7x7 (ResNet-D); indices 0, 1, 3, 4, 6 hold numbers, as in the Res2Net files."""
    half = width // 2
    first = [conv3x3(c_in, half, 2), nn.BatchNorm2d(half), nn.ReLU(inplace=True)]
    second = [conv3x3(half, half), nn.BatchNorm2d(half), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, *second, conv3x3(half, width))


def _conv_shortcut(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))


def _avg_shortcut(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """Averages what the strided 1x1 would skip (ResNet-D); at a ragged border only the pixels that are there."""
    pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, pointwise(c_in, c_out), nn.BatchNorm2d(c_out))


STEMS = {"7x7": lambda c_in, width: nn.Conv2d(c_in, width, 7, 2, padding=3, bias=False), "deep": _deep_stem}
SHORTCUTS = {"conv": _conv_shortcut, "avg": _avg_shortcut}


TRUNKS = {
    "resnet18": Trunk(partial(resnet, 18), TORCHVISION + "resnet18-5c106cde.pth"),
    "resnet50": Trunk(partial(resnet, 50), TORCHVISION + "resnet50-19c8e357.pth"),
    "resnet101": Trunk(partial(resnet, 101), TORCHVISION + "resnet101-5d3b4d8f.pth"),
}
