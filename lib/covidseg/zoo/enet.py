"""ENet: a deep neural network architecture for real-time semantic segmentation (Paszke et al., arXiv 1606.02147).

Read beside Figure 2 and Table 1: a large encoder of bottlenecks at an eighth of the size, and a small decoder that
puts each value back where the encoder's max-pooling took it from.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, cat, nn
from torch.nn import functional as F

from covidseg.nn.layers import pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._light import EPS, BNAct, ConvBNAct, pad_to_multiple


class Initial(nn.Module):
    """Figure 2 (a): (B, C, H, W) -> (B, 13 + C, H/2, W/2), a convolution beside the max-pooled image."""

    def __init__(self, C: int):
        super().__init__()
        self.conv = nn.Conv2d(C, 13, 3, 2, padding=1)
        self.act, self.pool = BNAct(13), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return cat([self.act(self.conv(x)), self.pool(x)], 1)  # code: only the convolution is normalised


def plain(C: int, dilation: int = 1) -> nn.Module:
    return nn.Conv2d(C, C, 3, padding=dilation, dilation=dilation)


def asymmetric(C: int) -> nn.Module:
    """5x5 as 5x1 and 1x5."""
    return nn.Sequential(nn.Conv2d(C, C, (5, 1), padding=(2, 0), bias=False), nn.Conv2d(C, C, (1, 5), padding=(0, 2)))


def doubling(C: int) -> nn.Module:
    return nn.ConvTranspose2d(C, C, 3, 2, padding=1, output_padding=1)


class Bottleneck(nn.Module):
    """Figure 2 (b): (B, C, H, W) -> (B, C, H, W), the main branch plus 1x1, ``conv``, 1x1 with a quarter of channels.

    Down and Up differ in the main branch. Code: an activation also before the sum, and ReLU after it.
    """

    def __init__(
        self, C: int, C_out: int, conv: Callable[[int], nn.Module] = plain, *, stride: int = 1, dropout: float = 0.1,
        act: str = "prelu", main: nn.Module | None = None,
    ):  # fmt: skip
        super().__init__()
        inner = C_out // 4
        self.shrink = nn.Sequential(nn.Conv2d(C, inner, stride, stride, bias=False), *BNAct(inner, act=act))
        self.main = main or nn.Identity()
        self.conv = nn.Sequential(conv(inner), *BNAct(inner, act=act))
        self.grow = ConvBNAct(inner, C_out, act=act)
        self.dropout = nn.Dropout2d(dropout)

    def extension(self, x: Tensor) -> Tensor:
        return self.dropout(self.grow(self.conv(self.shrink(x))))

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.extension(x)).relu()


class Down(Bottleneck):
    """(B, C, H, W) -> (B, C', H/2, W/2) and where the maxima stood; the main branch gets zeros for the new channels."""

    def __init__(self, C: int, C_out: int, dropout: float):
        super().__init__(C, C_out, stride=2, dropout=dropout, main=nn.MaxPool2d(2, return_indices=True))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        y, where = self.main(x)  # B, C, H/2, W/2
        e = self.extension(x)  # B, C', H/2, W/2
        return (F.pad(y, (0, 0, 0, 0, 0, e.shape[1] - y.shape[1])) + e).relu(), where


class Up(Bottleneck):
    """(B, C, H, W) and where the maxima stood (B, C', H, W) -> (B, C', 2H, 2W)."""

    def __init__(self, C: int, C_out: int):
        fit = nn.Sequential(pointwise(C, C_out), nn.BatchNorm2d(C_out, EPS))
        super().__init__(C, C_out, doubling, act="relu", main=fit)
        self.unpool = nn.MaxUnpool2d(2)

    def forward(self, x: Tensor, where: Tensor) -> Tensor:  # type: ignore[override]
        return (self.unpool(self.main(x), where) + self.extension(x)).relu()


SECTION = [  # 2.1 to 2.8 of Table 1
    plain, partial(plain, dilation=2), asymmetric, partial(plain, dilation=4),
    plain, partial(plain, dilation=8), asymmetric, partial(plain, dilation=16),
]  # fmt: skip


class ENet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size, padded with zeros to multiples of 8."""

    def __init__(self, num_classes: int = 2, in_channels: int = 3):
        super().__init__()
        self.initial = Initial(in_channels)
        self.down_1 = Down(13 + in_channels, 64, 0.01)
        self.stage_1 = nn.Sequential(*(Bottleneck(64, 64, dropout=0.01) for _ in range(4)))
        self.down_2 = Down(64, 128, 0.1)
        self.stage_2 = nn.Sequential(*(Bottleneck(128, 128, conv) for conv in SECTION))
        self.stage_3 = nn.Sequential(*(Bottleneck(128, 128, conv) for conv in SECTION))
        self.up_4 = Up(128, 64)
        self.stage_4 = nn.Sequential(*(Bottleneck(64, 64, act="relu") for _ in range(2)))
        self.up_5 = Up(64, 13 + in_channels)
        self.stage_5 = Bottleneck(13 + in_channels, 13 + in_channels, act="relu")
        self.fullconv = nn.ConvTranspose2d(13 + in_channels, num_classes, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        y, where_1 = self.down_1(self.initial(pad_to_multiple(x, 8)))  # B, 64, H/4, W/4
        y, where_2 = self.down_2(self.stage_1(y))  # B, 128, H/8, W/8
        y = self.up_4(self.stage_3(self.stage_2(y)), where_2)  # B, 64, H/4, W/4
        y = self.up_5(self.stage_4(y), where_1)  # B, 16, H/2, W/2
        return self.fullconv(self.stage_5(y))[..., :H, :W]

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """Stages of Table 1: initial, f_1..f_3 of the encoder, f_4, f_5 of the decoder; U_4, U_5 its unpooled maps."""
        maps: dict[str, tuple[nn.Module, int | None]] = {"initial": (self.initial, None)}
        maps |= {f"f_{i}": (getattr(self, f"stage_{i}"), None) for i in (1, 2, 3)}
        for i, up in ((4, self.up_4), (5, self.up_5)):
            maps |= {f"U_{i}": (up.unpool, None), f"f_{i}": (getattr(self, f"stage_{i}"), None)}
        return maps | {"P_1": (self.fullconv, None)}


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 363,197 parameters with 2 classes; MiniSeg Table 5: 0.36M


@register(
    "enet", paper="Paszke et al., arXiv 2016", arxiv="1606.02147", params=363_197,
    notes=("a large encoder at an eighth of the size; its pooling tells the small decoder where values belong",),
)  # fmt: skip
def enet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> ENet:
    return ENet(num_classes, in_channels, **configured("enet", CONFIGS, config, options))
