"""VGG16 (Simonyan and Zisserman, ICLR 2015, configuration D) as a trunk with torchvision's state-dict names."""

from functools import partial

from torch import Tensor, nn

from covidseg.backbones._trunk import TORCHVISION, Trunk
from covidseg.backbones.resnet import kaiming
from covidseg.errors import unknown_name

__all__ = ["VGG16"]

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and 3x3 convolutions, Table 1, column D
POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


class VGG16(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_5], at strides 1, 2, 4, 8, 16; the last pooling is left out.

    norm : BatchNorm after every convolution (torchvision's vgg16_bn). pool : "max", or "avg" as in Inf-Net's code.
    output_stride : 16, or 8: then the fourth pooling moves by one pixel (its window stays 2x2, so f_5 has one row and
    column less than f_4) and the last three convolutions have dilation 2.
    """

    def __init__(self, *, in_channels: int = 3, norm: bool = False, pool: str = "max", output_stride: int = 16):
        super().__init__()
        if pool not in POOLS:
            raise unknown_name("pool", pool, POOLS)
        if output_stride not in (8, 16):
            raise unknown_name("output_stride", output_stride, (8, 16))
        layers, self.starts = [], []
        for stage, (channels, convs) in enumerate(STAGES):
            dense = stage == 4 and output_stride == 8
            self.starts.append(len(layers))
            layers += [POOLS[pool](2, 1 if dense else 2)] if stage else []
            d = 2 if dense else 1
            for _ in range(convs):
                layers += [
                    nn.Conv2d(in_channels, channels, 3, padding=d, dilation=d),
                    *([nn.BatchNorm2d(channels)] if norm else []),
                ]
                layers += [nn.ReLU(inplace=True)]
                in_channels = channels
        self.features = nn.Sequential(*layers)
        self.channels, self.strides = [channels for channels, _ in STAGES], [1, 2, 4, 8, output_stride]
        kaiming(self)

    def stage(self, i: int) -> nn.Sequential:
        """The layers between f_{i-1} and f_i, i = 1..5."""
        return self.features[slice(self.starts[i - 1], [*self.starts, None][i])]

    def forward(self, x: Tensor) -> list[Tensor]:
        f = [self.stage(1)(x)]
        for i in (2, 3, 4, 5):
            f.append(self.stage(i)(f[-1]))
        return f


TRUNKS = {
    "vgg16": Trunk(VGG16, TORCHVISION + "vgg16-397923af.pth"),
    "vgg16_bn": Trunk(partial(VGG16, norm=True), TORCHVISION + "vgg16_bn-6c64b313.pth"),
}
