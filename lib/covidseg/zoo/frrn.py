"""Full-resolution residual networks (Pohlen et al., CVPR 2017, arXiv 1611.08323), variant A.

Read beside Figures 2 and 3 and Table 1: two streams through the whole network. The residual stream z stays at full size
and only ever gets sums; the pooling stream y shrinks and grows as a U does. Each unit (FRRU) shows y a pooled copy of z
and adds to z what it found, so fine borders are carried along instead of being found again.
"""

from torch import Tensor, cat, nn
from torch.nn.functional import max_pool2d

from covidseg.backbones.resnet import conv3x3
from covidseg.errors import UserError
from covidseg.nn.layers import ConvBNReLU, corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

DOWN = ((2, 2, 3), (4, 4, 4), (8, 8, 2), (16, 8, 2))  # Table 1, FRRN A: stride, channels in units of width, FRRUs
UP = ((8, 4, 2), (4, 4, 2), (2, 2, 2))


class RU(nn.Module):
    """Residual unit at full size, Figure 2: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, C: int):
        super().__init__()
        self.F = nn.Sequential(ConvBNReLU(C, C), conv3x3(C, C), nn.BatchNorm2d(C))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.F(x)).relu()  # the ReLU behind the sum is the code's


class FRRU(nn.Module):
    """Full-resolution residual unit, Figure 3: y (B, C, H/s, W/s) and z (B, Z, H, W) -> y with C_out channels, z.

    Code: z is pooled in windows of 3 at every stride s, where the paper takes s x s, and the sum grows bilinearly.
    """

    def __init__(self, C: int, C_out: int, Z: int, stride: int):
        super().__init__()
        self.stride = stride
        self.G = nn.Sequential(ConvBNReLU(C + Z, C_out), ConvBNReLU(C_out, C_out))
        self.W = pointwise(C_out, Z, bias=True)

    def forward(self, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        y = self.G(cat([y, max_pool2d(z, 3, self.stride, padding=1)], 1))
        return y, z + corner_resize(self.W(y), z)  # z + H(y, z)


class FRRN(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size. ``train()`` needs two samples below 17 pixels.

    width : channels of y at full size; residual : channels of z.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, width: int = 48, residual: int = 32):
        super().__init__()
        if min(width, residual) < 1:
            raise UserError(f"width={width}, residual={residual}: both streams of FRRN need one channel or more.")
        C, Z = width, residual
        self.stem = nn.Sequential(ConvBNReLU(in_channels, C, 5, bias=True), *(RU(C) for _ in range(3)))
        self.split = pointwise(C, Z, bias=True)
        self.levels = nn.ModuleList()
        for stride, factor, units in DOWN + UP:
            channels = [C] + [factor * width] * units
            pairs = zip(channels, channels[1:], strict=False)
            self.levels.append(nn.ModuleList(FRRU(c, c_out, Z, stride) for c, c_out in pairs))
            C = channels[-1]
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.merge = pointwise(C + Z, width, bias=True)
        self.refine = nn.Sequential(*(RU(width) for _ in range(3)))
        self.head = pointwise(width, num_classes, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)  # B, 48, H, W
        z, sizes = self.split(y), []  # B, 32, H, W
        for i, level in enumerate(self.levels):
            if i < len(DOWN):
                sizes.append(y)
                y = self.pool(y)  # strides 2, 4, 8, 16, odd sides rounded up
            else:
                y = corner_resize(y, sizes.pop())  # strides 8, 4, 2
            for unit in level:
                y, z = unit(y, z)
        y = self.merge(cat([corner_resize(y, z), z], 1))
        return self.head(self.refine(y))

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """y and z behind each level, by stride: y_2 .. y_16, then on the way up y_8/up .. y_2/up; P_1 the logits."""
        names = [str(stride) for stride, *_ in DOWN] + [f"{stride}/up" for stride, *_ in UP]
        maps: dict[str, tuple[nn.Module, int | None]] = {"z_1": (self.split, None)}
        for name, level in zip(names, self.levels, strict=True):
            maps |= {f"y_{name}": (level[-1], 0), f"z_{name}": (level[-1], 1)}
        return maps | {"P_1": (self.head, None)}


CONFIGS: dict[str, dict] = {
    "paper": {},
    "released": {},
}  # 17,711,474 with 2 classes; MiniSeg Table 5: 17.30M of 1,024,000


@register(
    "frrn", paper="Pohlen et al., CVPR 2017", arxiv="1611.08323", params=17_711_474,
    notes=("idea: one stream stays at full size and takes what another, which shrinks and grows, finds",),
)  # fmt: skip
def frrn(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> FRRN:
    return FRRN(num_classes, in_channels, **configured("frrn", CONFIGS, config, options))
