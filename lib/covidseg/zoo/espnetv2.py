"""ESPNetv2: a light-weight, power efficient convolutional network (Mehta et al., CVPR 2019, arXiv 1811.11431).

Read beside Figures 1 and 2: the EESP unit looks through four depthwise filters of growing dilation and adds each answer
to that of the next larger one; the strided unit halves the map and mixes in the image again. For segmentation a pyramid
stands on top, and a light decoder.
"""

from itertools import accumulate

from torch import Tensor, cat, nn

from covidseg.nn.layers import activation, corner_resize, depthwise, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._light import BNAct, ConvBNAct, halving

K = 4  # branches of a unit, and groups of its 1x1 convolutions
EPS = 1e-5
SMALL, LARGE = (1, 1, 2, 3), (1, 2, 3, 4)  # dilations: where 9x9 would outgrow the map, 3x3 is taken twice


class EESP(nn.Module):
    """Figure 1 (c): (B, C, H, W) -> (B, C', H, W); with stride 2 a part of the strided unit, (B, C', H/2, W/2)."""

    def __init__(self, C: int, C_out: int, dilations: tuple[int, ...] = SMALL, *, stride: int = 1):
        super().__init__()
        d = C_out // K
        self.stride = stride
        self.reduce = ConvBNAct(C, d, groups=K, eps=EPS)
        self.branches = nn.ModuleList(depthwise(d, 3, stride=stride, dilation=r) for r in dilations)
        self.expand = nn.Sequential(pointwise(C_out, C_out, groups=K), nn.BatchNorm2d(C_out))
        self.merge = BNAct(C_out, eps=EPS)
        self.act = activation("prelu", C_out)  # code: the strided unit has one too and leaves it out

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce(x)  # B, C'/4, H, W
        maps = accumulate(branch(y) for branch in self.branches)  # hierarchical feature fusion
        y = self.expand(self.merge(cat([*maps], 1)))  # B, C', H', W'
        if self.stride == 2:
            return y
        return self.act(y + x if y.shape == x.shape else y)


class Down(nn.Module):
    """Strided EESP with the image mixed in, Figure 2: (B, C, H, W), image (B, C_0, h, w) -> (B, C', H/2, W/2).

    The image is given at the size of the answer.
    """

    def __init__(self, C: int, C_out: int, C_image: int):
        super().__init__()
        self.eesp, self.halve = EESP(C, C_out - C, LARGE, stride=2), halving()
        mix = pointwise(C_image, C_out), nn.BatchNorm2d(C_out)
        self.image = nn.Sequential(ConvBNAct(C_image, C_image, 3, eps=EPS), *mix)
        self.act = activation("prelu", C_out)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        return self.act(cat([self.halve(x), self.eesp(x)], 1) + self.image(image))


class Pyramid(nn.Module):
    """The map beside four of its own averages, each at half the size before: (B, C, H, W) -> the same shape."""

    def __init__(self, C: int):
        super().__init__()
        self.halve = halving()
        self.stages = nn.ModuleList(depthwise(C, 3) for _ in range(4))
        self.project = ConvBNAct(5 * C, C, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        maps, small = [x], x
        for stage in self.stages:
            small = self.halve(small)
            maps.append(corner_resize(stage(small), x))
        return self.project(cat(maps, 1))


class ESPNetv2(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    ``train()`` answers (logits, [those of level 3]), both at the input size.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3):
        super().__init__()
        n = num_classes
        self.level_1 = ConvBNAct(in_channels, 32, 3, stride=2, eps=EPS)
        self.down_2 = Down(32, 64, in_channels)
        self.down_3 = Down(64, 128, in_channels)
        self.level_3 = nn.Sequential(*(EESP(128, 128, LARGE) for _ in range(3)))
        self.down_4 = Down(128, 256, in_channels)
        self.level_4 = nn.Sequential(*(EESP(256, 256) for _ in range(7)))
        self.halve = halving()
        self.project_4 = ConvBNAct(256, 128, eps=EPS)
        self.pyramid = nn.Sequential(EESP(256, 128), Pyramid(128))
        self.head_3, self.act_3 = nn.Sequential(nn.Dropout2d(0.2), pointwise(128, n)), BNAct(n, eps=EPS)
        self.project_2 = ConvBNAct(64 + n, n, eps=EPS)
        self.head = nn.Sequential(nn.Dropout2d(0.2), pointwise(32 + n, n))

    def forward(self, x: Tensor):
        images = [*accumulate(range(4), lambda image, _: self.halve(image), initial=x)]  # at strides 1, 2, 4, 8, 16
        f_1 = self.level_1(x)  # B, 32, H/2, W/2
        f_2 = self.down_2(f_1, images[2])  # B, 64, H/4, W/4
        f_3 = self.level_3(self.down_3(f_2, images[3]))  # B, 128, H/8, W/8
        f_4 = self.level_4(self.down_4(f_3, images[4]))  # B, 256, H/16, W/16
        y = self.pyramid(cat([f_3, corner_resize(self.project_4(f_4), f_3)], 1))  # B, 128, H/8, W/8
        P_3 = self.head_3(y)  # B, K, H/8, W/8
        y = self.project_2(cat([f_2, corner_resize(self.act_3(P_3), f_2)], 1))  # B, K, H/4, W/4
        P_1 = corner_resize(self.head(cat([f_1, corner_resize(y, f_1)], 1)), x)
        if not self.training:
            return P_1
        for size in (f_2, f_1, x):  # code: three steps of two, which is not one of eight
            P_3 = corner_resize(P_3, size)
        return P_1, [P_3]

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_4 of the levels; the branches of the last unit by dilation, before they are summed; P_3 and P_1."""
        maps: dict[str, tuple[nn.Module, int | None]] = {"f_1": (self.level_1, None), "f_2": (self.down_2, None)}
        maps |= {"f_3": (self.level_3, None)}
        maps |= {f"EESP/{k}": (branch, None) for k, branch in enumerate(self.level_4[-1].branches, 1)}
        return maps | {"f_4": (self.level_4, None), "pyramid": (self.pyramid, None)} | {
            "P_3": (self.head_3, None), "P_1": (self.head, None)
        }  # fmt: skip


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 335,850 parameters with 2 classes; MiniSeg Table 5: 0.34M


@register(
    "espnetv2", paper="Mehta et al., CVPR 2019", arxiv="1811.11431", params=335_850,
    notes=(
        "four depthwise filters of growing dilation, each added to the next larger one",
        "224 parameters, the PReLUs of the three strided units, are counted but never used, as in the published code",
    ),
)  # fmt: skip
def espnetv2(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> ESPNetv2:
    return ESPNetv2(num_classes, in_channels, **configured("espnetv2", CONFIGS, config, options))
