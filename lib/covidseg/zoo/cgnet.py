"""CGNet: a light-weight context guided network for semantic segmentation (Wu et al., IEEE TIP 2021, arXiv 1811.08201).

Read beside the figure of the context guided block. It looks at a pixel (f_loc), at its surroundings through a dilated
filter (f_sur), joins the two (f_joi), and weighs the channels by what the whole map says (f_glo).
"""

from torch import Tensor, cat, nn

from covidseg.nn.layers import depthwise, pointwise, resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured
from covidseg.zoo._light import BNAct, ConvBNAct, halving

LEVELS = {2: (64, 2, 8), 3: (128, 4, 16)}  # stage -> channels, dilation of f_sur, reduction of f_glo


class GlobalContext(nn.Module):
    """f_glo: (B, C, H, W) -> weight of each channel (B, C, 1, 1), from the mean of the map through two layers."""

    def __init__(self, C: int, reduction: int):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(C, C // reduction), nn.ReLU(), nn.Linear(C // reduction, C), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))[..., None, None]


class Down(nn.Module):
    """The block that opens a stage: (B, C, H, W) -> (B, C', H/2, W/2); no residual."""

    def __init__(self, C: int, C_out: int, dilation: int, reduction: int):
        super().__init__()
        self.shrink = ConvBNAct(C, C_out, 3, stride=2)
        self.f_loc, self.f_sur = depthwise(C_out, 3), depthwise(C_out, 3, dilation=dilation)
        self.f_joi = BNAct(2 * C_out)
        self.reduce = pointwise(2 * C_out, C_out)
        self.f_glo = GlobalContext(C_out, reduction)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(x)
        y = self.reduce(self.f_joi(cat([self.f_loc(x), self.f_sur(x)], 1)))  # B, C', H/2, W/2
        return y * self.f_glo(y)


class ContextGuided(nn.Module):
    """CG block with global residual learning: (B, C, H, W) -> the same shape."""

    def __init__(self, C: int, dilation: int, reduction: int):
        super().__init__()
        self.shrink = ConvBNAct(C, C // 2)
        self.f_loc, self.f_sur = depthwise(C // 2, 3), depthwise(C // 2, 3, dilation=dilation)
        self.f_joi = BNAct(C)
        self.f_glo = GlobalContext(C, reduction)

    def forward(self, x: Tensor) -> Tensor:
        y = self.shrink(x)  # B, C/2, H, W
        y = self.f_joi(cat([self.f_loc(y), self.f_sur(y)], 1))  # B, C, H, W
        return x + y * self.f_glo(y)


class CGNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    M, N : blocks of stages 2 and 3, the one that halves included. Stages 1 and 2 pass on the shrunken image too.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, M: int = 3, N: int = 21):
        super().__init__()
        (C_2, *guide_2), (C_3, *guide_3) = LEVELS[2], LEVELS[3]
        self.stage_1 = nn.Sequential(
            ConvBNAct(in_channels, 32, 3, stride=2), ConvBNAct(32, 32, 3), ConvBNAct(32, 32, 3)
        )
        self.halve = halving()
        self.act_1 = BNAct(32 + in_channels)
        self.down_2 = Down(32 + in_channels, C_2, *guide_2)
        self.stage_2 = nn.Sequential(*(ContextGuided(C_2, *guide_2) for _ in range(M - 1)))
        self.act_2 = BNAct(2 * C_2 + in_channels)
        self.down_3 = Down(2 * C_2 + in_channels, C_3, *guide_3)
        self.stage_3 = nn.Sequential(*(ContextGuided(C_3, *guide_3) for _ in range(N - 1)))
        self.act_3 = BNAct(2 * C_3)
        self.head = pointwise(2 * C_3, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x_2 = self.halve(x)  # the image at H/2, W/2
        x_4 = self.halve(x_2)
        first = self.down_2(self.act_1(cat([self.stage_1(x), x_2], 1)))  # B, 64, H/4, W/4
        y = self.act_2(cat([self.stage_2(first), first, x_4], 1))  # B, 128 + in_channels, H/4, W/4
        first = self.down_3(y)  # B, 128, H/8, W/8
        y = self.act_3(cat([first, self.stage_3(first)], 1))  # B, 256, H/8, W/8
        return resize(self.head(y), x.shape[-2:])

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_3, the stages; f_loc, f_sur and f_joi of the last block of stages 2 and 3, and all weights f_glo."""
        maps: dict[str, tuple[nn.Module, int | None]] = {"f_1": (self.stage_1, None)}
        for i, down, stage in ((2, self.down_2, self.stage_2), (3, self.down_3, self.stage_3)):
            blocks = [down, *stage]
            maps |= {f"{part}/{i}": (getattr(blocks[-1], part), None) for part in ("f_loc", "f_sur", "f_joi")}
            maps |= {f"f_glo/{i}_{k}": (block.f_glo, None) for k, block in enumerate(blocks, 1)}
            maps |= {f"f_{i}": (stage, None)}
        return maps | {"P_3": (self.head, None)}


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 491,954 parameters with 2 classes; MiniSeg Table 5: 0.49M


@register(
    "cgnet", paper="Wu et al., IEEE TIP 2021", arxiv="1811.08201", params=491_954,
    notes=("each block joins a pixel with its surroundings and weighs the channels by the whole map",),
)  # fmt: skip
def cgnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> CGNet:
    return CGNet(num_classes, in_channels, **configured("cgnet", CONFIGS, config, options))
