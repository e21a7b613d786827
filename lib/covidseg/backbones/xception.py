"""Modified aligned Xception (Chen et al., ECCV 2018, arXiv 1802.02611, section 3.2 and Figure 4): DeepLabv3+'s trunk.

Xception (Chollet, CVPR 2017) with a deeper middle flow (16 blocks) and strided separable convolutions in place of
max-pooling, so that any map can be had at any stride. Figure 4 puts BatchNorm and ReLU also between the two halves of a
separable convolution; MiniSeg's code, whose counts these are, does not.
"""

from torch import Tensor, nn

from covidseg.backbones._trunk import Trunk
from covidseg.backbones.resnet import kaiming
from covidseg.errors import unknown_name
from covidseg.nn.layers import ConvBNReLU, depthwise, pointwise

__all__ = ["Xception"]

MIDDLE = 16  # blocks of the middle flow


def separable(C: int, C_out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Depthwise 3x3, then pointwise."""
    return nn.Sequential(depthwise(C, 3, stride=stride, dilation=dilation), pointwise(C, C_out))


class Block(nn.Module):
    """ReLU, separable convolution, BatchNorm for each of ``widths``, and a shortcut: (B, C, H, W) -> (B, C', H', W').

    The last convolution carries the stride. first_relu : the network's first block starts without one. Code: there is
    no BatchNorm after the last convolution of a block that changes channels.
    as_coded : the first ReLU writes into x, so the shortcut reads ReLU(x) as well; and where channels change, none is
    before the last convolution
    """

    def __init__(self, C: int, widths: tuple[int, ...], stride=1, dilation=1, *, first_relu=True, as_coded=False):
        super().__init__()
        self.rectified = as_coded and first_relu  # x has been through the ReLU for everybody
        layers, c, C_out = [], C, widths[-1]
        for k, c_out in enumerate(widths, 1):
            last = k == len(widths)
            dry = (k == 1 and not first_relu) or (as_coded and last and C_out != C)
            layers += [] if dry else [nn.ReLU()]  # not in place: the shortcut reads x too
            layers += [separable(c, c_out, stride if last else 1, dilation)]
            layers += [nn.BatchNorm2d(c_out)] if not last or C_out == C else []
            c = c_out
        self.rep = nn.Sequential(*layers)
        shortcut = nn.Conv2d(C, C_out, 1, stride, bias=False), nn.BatchNorm2d(C_out)
        self.skip = nn.Identity() if C_out == C else nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu() if self.rectified else x  # as if written into x; whoever else reads x sees to it himself
        return self.rep(x) + self.skip(x)


class Xception(nn.Module):
    """(B, in_channels, H, W) -> [f_1, ..., f_5], at strides 2, 4, 8, 16, 16; any size.

    f_1 is the stem, f_2 and f_3 the first two blocks of the entry flow, f_4 the middle flow, f_5 the exit flow.
    output_stride : 16, or 8: then the entry flow's last block keeps stride 1 and all after it dilate twice as far.
    as_coded : MiniSeg's code, in which a block's first ReLU writes into its input, so that shortcuts and f_2 to f_4 are
    seen after it, and no ReLU stands before the last convolution of a block that changes channels
    """

    def __init__(self, *, in_channels: int = 3, output_stride: int = 16, as_coded: bool = False):
        super().__init__()
        self.as_coded = as_coded
        if output_stride not in (8, 16):
            raise unknown_name("output_stride", output_stride, (8, 16))
        d = 16 // output_stride
        self.stem = nn.Sequential(ConvBNReLU(in_channels, 32, stride=2), ConvBNReLU(32, 64))
        self.block1 = Block(64, (128, 128, 128), 2, first_relu=False, as_coded=as_coded)
        self.block2 = Block(128, (256, 256, 256), 2, as_coded=as_coded)
        self.block3 = Block(256, (728, 728, 728), 2 // d, as_coded=as_coded)
        middle = [Block(728, (728, 728, 728), dilation=d, as_coded=as_coded) for _ in range(MIDDLE)]
        self.middle = nn.Sequential(*middle)
        # Figure 4 halves the size here; code: it does not, and the three convolutions below dilate instead
        self.block20 = Block(728, (728, 1024, 1024), dilation=d, as_coded=as_coded)
        layers = []
        for c, c_out in ((1024, 1536), (1536, 1536), (1536, 2048)):
            layers += [separable(c, c_out, dilation=2 * d), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
        self.exit = nn.Sequential(*layers)
        self.channels, self.strides = [64, 128, 256, 728, 2048], [2, 4, 8, output_stride, output_stride]
        kaiming(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        seen = Tensor.relu if self.as_coded else nn.Identity()  # what the next block's first ReLU leaves to everybody
        f_1 = self.stem(x)
        f_2 = seen(self.block1(f_1))
        f_3 = seen(self.block2(f_2))
        f_4 = seen(self.middle(self.block3(f_3)))
        return [f_1, f_2, f_3, f_4, self.exit(self.block20(f_4))]


TRUNKS = {"xception": Trunk(Xception, None)}
