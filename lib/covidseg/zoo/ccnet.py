"""CCNet: each pixel collects along its own row and column (Huang et al., ICCV 2019, arXiv 1811.11721).

Read beside Figures 2 and 3: on the last map of a dilated ResNet, attention over the H + W - 1 positions of a cross in
place of all H W. Twice in a row (recurrence R = 2, section 3.3) every pixel has heard of every other; MiniSeg's
benchmark has it once.
"""

from torch import Tensor, cat, einsum, eye, nn, zeros

from covidseg.backbones import trunk
from covidseg.errors import UserError
from covidseg.nn.layers import ConvBNReLU, corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured


class CrossAffinity(nn.Module):
    """Affinity, Eqn 1: Q, K (B, C', H, W) -> A (B, H + W, H, W), sum 1 over the channels.

    Channel j < H : how much each pixel looks at row j of its column; H + j : at column j of its row. The pixel itself
    is on both lines and counts once, on its row.
    """

    def forward(self, Q: Tensor, K: Tensor) -> Tensor:
        H = Q.shape[2]
        column = einsum("bchw,bcjw->bjhw", Q, K)  # B, H, H, W
        itself = eye(H, dtype=bool, device=Q.device)[None, :, :, None]
        row = einsum("bchw,bchj->bjhw", Q, K)  # B, W, H, W
        return cat([column.masked_fill(itself, float("-inf")), row], 1).softmax(1)


class CrissCross(nn.Module):
    """Criss-cross attention, Figure 3: (B, C, H, W) -> (B, C, H, W). gamma starts at 0 (code; Eqn 2 has none)."""

    def __init__(self, C: int):
        super().__init__()
        self.gamma = nn.Parameter(zeros(1))
        self.Q, self.K, self.V = (pointwise(C, c, bias=True) for c in (C // 8, C // 8, C))
        self.A = CrossAffinity()

    def forward(self, H: Tensor) -> Tensor:
        A, V = self.A(self.Q(H), self.K(H)), self.V(H)  # (1)
        column, row = A.split(H.shape[2:], 1)
        collected = einsum("bjhw,bcjw->bchw", column, V) + einsum("bjhw,bchj->bchw", row, V)
        return self.gamma * collected + H  # (2)


class CCNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    backbone : "resnet50" or "resnet101", or a module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a
    file of its ImageNet weights. recurrence : R, how often the one criss-cross module is passed: 1 in the benchmark,
    2 in the paper; it costs no parameters.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet50",
        recurrence: int = 1, imagenet=None,
    ):  # fmt: skip
        super().__init__()
        if recurrence < 1:
            raise UserError(f"recurrence={recurrence}: CCNet passes its attention once or more (the paper: 2).")
        self.recurrence = recurrence
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=8)
        C, C_H = self.backbone.channels[4], 512
        self.reduce = ConvBNReLU(C, C_H)
        self.criss_cross = CrissCross(C_H)
        self.refine = ConvBNReLU(C_H, C_H)
        fuse = nn.Conv2d(C + C_H, 512, 3, padding=1, bias=False)  # code: no activation after its norm
        self.fuse = nn.Sequential(fuse, nn.BatchNorm2d(512), nn.Dropout2d(0.1))
        self.head = nn.Conv2d(512, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        X = self.backbone(x)[-1]  # B, 2048, H/8, W/8
        H = self.reduce(X)  # B, 512, H/8, W/8
        for _ in range(self.recurrence):
            H = self.criss_cross(H)  # H', H''
        y = self.fuse(cat([X, self.refine(H)], 1))  # B, 512, H/8, W/8
        return corner_resize(self.head(y), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk; A, where each pixel looks: a channel for each row of its column, then for each column
        of its row; H the map after the attention, Y the fused map, P_5 the scores. A and H are the last passing's."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {"A": (self.criss_cross.A, None), "H": (self.criss_cross, None)}
        return maps | {"Y": (self.fuse, None), "P_5": (self.head, None)}


CONFIGS: dict[str, dict] = {  # 47,433,411 parameters with 2 classes; MiniSeg Table 5: 46.32M of 1,024,000
    "paper": {}, "released": {},
}  # fmt: skip


@register(
    "ccnet", paper="Huang et al., ICCV 2019", arxiv="1811.11721", params=47_433_411,
    notes=(
        "idea: attention along one's own row and column costs little; passed twice it reaches every pixel",
        "MiniSeg's benchmark passes it once (recurrence=1), so a pixel hears of its cross only",
    ),
)  # fmt: skip
def ccnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> CCNet:
    return CCNet(num_classes, in_channels, **configured("ccnet", CONFIGS, config, options))
