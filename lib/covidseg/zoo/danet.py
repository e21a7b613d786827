"""DANet: attention between positions and between channels (Fu et al., CVPR 2019, arXiv 1809.02983).

Read beside Figures 2 and 3: on the last map of a dilated ResNet two branches, one in which each pixel collects from all
pixels that resemble it (section 3.2), one in which each channel collects from all channels (section 3.3); their sum is
classified. Both start as if they were not there (alpha = beta = 0) and are learned.
"""

from torch import Tensor, nn, zeros

from covidseg.backbones import trunk
from covidseg.nn.layers import Affinity, ConvBNReLU, collect, corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured


class PositionAttention(nn.Module):
    """Figure 3 A, Eqns 1 and 2: (B, C, H, W) -> (B, C, H, W). The bias of the keys cancels in the softmax."""

    def __init__(self, C: int):
        super().__init__()
        self.alpha = nn.Parameter(zeros(1))
        self.B, self.C, self.D = (pointwise(C, c, bias=True) for c in (C // 8, C // 8, C))
        self.S = Affinity()

    def forward(self, A: Tensor) -> Tensor:
        S = self.S(self.B(A), self.C(A))  # (1) B, H W, H, W: row by row, where each position looks
        return self.alpha * collect(self.D(A), S, A) + A  # (2)


class ChannelAffinity(nn.Module):
    """Eqn 3: (B, C, H, W) -> (B, C, C, 1), sum 1 over the third axis.

    Code: the products are taken from the largest of their row first, so a channel collects from those it resembles
    least; the paper's equation has the plain products.
    """

    def forward(self, A: Tensor) -> Tensor:
        products = A.flatten(2) @ A.flatten(2).transpose(1, 2)  # B, C, C
        return (products.amax(-1, keepdim=True) - products).softmax(-1)[..., None]


class ChannelAttention(nn.Module):
    """Figure 3 B, Eqns 3 and 4: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(zeros(1))
        self.X = ChannelAffinity()

    def forward(self, A: Tensor) -> Tensor:
        X = self.X(A).squeeze(-1)  # (3) B, C, C
        return self.beta * (X @ A.flatten(2)).view_as(A) + A  # (4)


class DANet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    backbone : "resnet50" or "resnet101", or a module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a
    file of its ImageNet weights. The paper's multi-grid and auxiliary losses are not in the benchmark's network.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet101", imagenet=None
    ):
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=8)
        C, C_E = self.backbone.channels[4], 512
        self.into_p, self.into_c = ConvBNReLU(C, C_E), ConvBNReLU(C, C_E)
        self.position, self.channel = PositionAttention(C_E), ChannelAttention()
        self.out_p, self.out_c = ConvBNReLU(C_E, C_E), ConvBNReLU(C_E, C_E)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(C_E, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        f_5 = self.backbone(x)[-1]  # B, 2048, H/8, W/8
        E_p = self.out_p(self.position(self.into_p(f_5)))  # B, 512, H/8, W/8
        E_c = self.out_c(self.channel(self.into_c(f_5)))
        return corner_resize(self.head(E_p + E_c), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk; S: a channel for each position, where it looks; X: row i, how much channel i takes of
        each channel; E/p and E/c the two branches' maps, P_5 the scores."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {"S": (self.position.S, None), "X": (self.channel.X, None)}
        return maps | {"E/p": (self.out_p, None), "E/c": (self.out_c, None), "P_5": (self.head, None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "paper": {},  # 66,426,564; MiniSeg Table 5: 64.87M of 1,024,000
    "released": dict(backbone="resnet50"),  # 47,434,436
}


@register(
    "danet", paper="Fu et al., CVPR 2019", arxiv="1809.02983", params=66_426_564,
    notes=(
        "idea: each pixel collects from all pixels like it, and each channel from all channels",
        "MiniSeg's Table 5 says ResNet50; its count is ResNet-101's. What was trained has ResNet-50",
    ),
)  # fmt: skip
def danet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> DANet:
    return DANet(num_classes, in_channels, **configured("danet", CONFIGS, config, options))
