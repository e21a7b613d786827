"""LEDNet: a lightweight encoder-decoder network (Wang et al., ICIP 2019, arXiv 1905.02423).

Read beside the figures of the unit and of the decoder. SS-nbt units split the channels into two halves, look at each
through 3x1 and 1x3 filters, add the input, and shuffle the halves. The decoder, an attention pyramid network (APN),
weighs the encoder's scores by those of a small pyramid below them.
"""

from torch import Tensor, cat, nn

from covidseg.nn.layers import ConvBNReLU, corner_resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

STAGES = ((32, (1, 1, 1)), (64, (1, 1)), (128, (1, 2, 5, 9, 2, 5, 9, 17)))  # channels, dilations of the units


class Down(nn.Module):
    """(B, C, H, W) -> (B, C', H/2, W/2), odd sides rounded up.

    The paper has a convolution beside max-pooling. Code: convolution padded by 2, then max-pooling at stride 1; the
    count leaves no room for biases or a BatchNorm. That it is two convolutions of half the channels is our reading.
    """

    def __init__(self, C: int, C_out: int):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(C, C_out // 2, 3, 2, padding=2, bias=False) for _ in range(2))
        self.pool = nn.MaxPool2d(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return cat([self.pool(conv(x)) for conv in self.convs], 1)


def line(C: int, upright: bool, d: int) -> nn.Conv2d:
    """3x1 or 1x3 of a dilation, at the same size."""
    if upright:
        return nn.Conv2d(C, C, (3, 1), padding=(d, 0), dilation=(d, 1), bias=False)
    return nn.Conv2d(C, C, (1, 3), padding=(0, d), dilation=(1, d), bias=False)


def branch(C: int, upright_first: bool, dilation: int) -> nn.Sequential:
    """One half of the unit: 3x3 and then a dilated 3x3, each as two lines with a ReLU between."""
    layers: list[nn.Module] = []
    for d in (1, dilation):
        layers += [line(C, upright_first, d), nn.ReLU(), line(C, not upright_first, d), nn.BatchNorm2d(C), nn.ReLU()]
    return nn.Sequential(*layers)


class SSnbt(nn.Module):
    """Split-shuffle-non-bottleneck: (B, C, H, W) -> the same shape."""

    def __init__(self, C: int, dilation: int):
        super().__init__()
        self.left, self.right = branch(C // 2, True, dilation), branch(C // 2, False, dilation)
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        y = cat([self.left(left), self.right(right)], 1)
        return self.shuffle((x + y).relu())


class APN(nn.Module):
    """Attention pyramid network: (B, C, H, W) -> scores (B, K, H, W), ReLU included as in the code.

    One value per class comes from the mean of the map, so ``train()`` needs two samples or more for its BatchNorm.
    """

    def __init__(self, C: int, K: int):
        super().__init__()
        self.down = nn.ModuleList(ConvBNReLU(C, C, kernel, stride=2) for kernel in (3, 5, 7))
        self.score = nn.ModuleList(ConvBNReLU(C, K, 1) for _ in range(3))  # of the smallest map first
        self.direct = ConvBNReLU(C, K, 1)
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), *ConvBNReLU(C, K, 1))
        self.attention = nn.Identity()  # to look at

    def forward(self, x: Tensor) -> Tensor:
        pyramid = [x]
        for down in self.down:
            pyramid.append(down(pyramid[-1]))  # B, C, H/2, W/2, then H/4 and H/8
        *larger, smallest = pyramid
        A = self.score[0](smallest)
        for score, f in zip(self.score[1:], larger[:0:-1], strict=True):
            A = score(f) + corner_resize(A, f)
        A = self.attention(corner_resize(A, x))  # B, K, H, W
        return self.direct(x) * A + self.image(x)


class LEDNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W), none below zero; any size."""

    def __init__(self, num_classes: int = 2, in_channels: int = 3):
        super().__init__()
        widths = [in_channels, *(C for C, _ in STAGES)]
        self.stages = nn.ModuleList(
            nn.Sequential(Down(C, C_out), *(SSnbt(C_out, d) for d in dilations))
            for C, (C_out, dilations) in zip(widths, STAGES, strict=False)
        )
        self.APN = APN(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for stage in self.stages:
            y = stage(y)  # B, 32, H/2, W/2; B, 64, H/4, W/4; B, 128, H/8, W/8
        return corner_resize(self.APN(y), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_3 of the encoder, A the attention of the pyramid on the scores, P_3 the scores."""
        maps: dict[str, tuple[nn.Module, int | None]] = {f"f_{i}": (s, None) for i, s in enumerate(self.stages, 1)}
        return maps | {"A": (self.APN.attention, None), "P_3": (self.APN, None)}


CONFIGS: dict[str, dict] = {  # 2,313,972 parameters with 2 classes; MiniSeg Table 5: 2.26M of 1,024,000
    "paper": {}, "released": {},
}  # fmt: skip


@register(
    "lednet", paper="Wang et al., ICIP 2019", arxiv="1905.02423", params=2_313_972,
    notes=("split, asymmetric and shuffled residual units; a pyramid weighs their scores",),
)  # fmt: skip
def lednet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> LEDNet:
    return LEDNet(num_classes, in_channels, **configured("lednet", CONFIGS, config, options))
