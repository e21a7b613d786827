"""GFF: gated fully fusion for semantic segmentation (Li et al., AAAI 2020, arXiv 1904.01803).

Read beside Figures 2 and 5: every level of the trunk gets what all others can give, pixel by pixel. A gate G_l says
where level l is of use. Level l sends G_i X_i to the others, and takes from them where its own gate is shut. On top,
PSPNet's pyramid pooling and a dense feature pyramid: each level is stacked on all that came before it.

The paper leaves layers open. This build is the one found whose parameters, MACs and "FLOPs" are all those of MiniSeg's
benchmark: two 3x3 per level as the paper says, biases in place of norms, and a decoder of transposed convolutions.
"""

from torch import Tensor, cat, nn

from covidseg.backbones import trunk
from covidseg.nn.layers import PPM, corner_resize, pointwise, refuse_smaller
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

WIDTH, CONTEXT = 256, 512  # channels of each level; of the pooled context and of the fused map
DECODER = (CONTEXT, 256, 128, 64)
LEAST = 17  # pixels: three pixels at stride 8, of which each unpadded 3x3 takes two


def unpadded(C: int, act: nn.Module) -> nn.Sequential:
    """3x3 that loses a pixel at each side, as the published code has it, BatchNorm and activation."""
    return nn.Sequential(nn.Conv2d(C, CONTEXT, 3), nn.BatchNorm2d(CONTEXT), act)


def grow(C: int, C_out: int) -> nn.Sequential:
    """Transposed 3x3 to 2 h - 1 pixels, then 3x3, each with BatchNorm: (B, C, h, w) -> (B, C_out, 2 h - 1, 2 w - 1)."""
    up, conv = nn.ConvTranspose2d(C, C_out, 3, 2, padding=1), nn.Conv2d(C_out, C_out, 3, padding=1, bias=False)
    return nn.Sequential(up, nn.BatchNorm2d(C_out), conv, nn.BatchNorm2d(C_out), nn.ReLU(inplace=True))


class GatedFusion(nn.Module):
    """Gated fully fusion, Figure 2: maps X_1, ..., X_L of one shape -> as many fused ones."""

    def __init__(self, C: int, levels: int):
        super().__init__()
        self.G = nn.ModuleList(nn.Sequential(pointwise(C, C, bias=True), nn.Sigmoid()) for _ in range(levels))

    def forward(self, X: list[Tensor]) -> list[Tensor]:
        G = [gate(x) for gate, x in zip(self.G, X, strict=True)]
        sent = [g * x for g, x in zip(G, X, strict=True)]
        total = sum(sent[1:], sent[0])
        return [(1 + g) * x + (1 - g) * (total - own) for g, x, own in zip(G, X, sent, strict=True)]


class GFF(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 17.

    backbone : "resnet101", "resnet50", or any module that answers [f_1, ..., f_5] at stride 8 and has ``channels``.
    imagenet : a file of ImageNet weights for it.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet101", imagenet=None
    ):  # fmt: skip
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=8)
        C = self.backbone.channels[1:]  # 256, 512, 1024, 2048
        self.PPM = PPM(C[-1], CONTEXT, norm=False, relu=False, corners=False)
        self.context = unpadded(4 * CONTEXT + C[-1], nn.PReLU())
        self.reduce = nn.ModuleList(pointwise(c, WIDTH, bias=True) for c in C)
        self.fusion = GatedFusion(WIDTH, len(C))
        pairs = [[nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2)] for _ in C]
        self.refine = nn.ModuleList(nn.Sequential(*pair) for pair in pairs)
        self.merge = unpadded(4 * CONTEXT + 8 * WIDTH, nn.ReLU(inplace=True))
        self.decoder = nn.Sequential(*(grow(c, c_out) for c, c_out in zip(DECODER, DECODER[1:], strict=False)))
        self.head = pointwise(DECODER[-1], num_classes, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], LEAST, "GFF")
        _, *f = self.backbone(x)  # f_2 at stride 4, f_3 .. f_5 at 8
        y_0 = corner_resize(self.context(cat([self.PPM(f[-1]), f[-1]], 1)), f[-1])  # B, 512, H/8, W/8
        X = [reduce(corner_resize(f_i, f[-1])) for reduce, f_i in zip(self.reduce, f, strict=True)]
        X = [refine(x_i) for refine, x_i in zip(self.refine, self.fusion(X), strict=True)]  # each B, 256, H/8, W/8
        return corner_resize(self.head(self.decoder(self.merge(dense_pyramid(y_0, X)))), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk; G/2..G/5 the gates, X_2..X_5 the fused levels; Y the fused map, P_1 the logits."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {f"G/{i}": (gate, None) for i, gate in enumerate(self.fusion.G, 2)}
        maps |= {f"X_{i}": (refine, None) for i, refine in enumerate(self.refine, 2)}
        return maps | {"Y": (self.merge, None), "P_1": (self.head, None)}


def dense_pyramid(y_0: Tensor, X: list[Tensor]) -> Tensor:
    """Each level, coarse first, is stacked on all stacks before it: 768, 1024, 2048, 4096 channels.

    y_1 = [y_0, X_5], y_2 = [y_1, X_4], y_3 = [y_1, y_2, X_3], y_4 = [y_1, y_2, y_3, X_2].
    """
    y = [cat([y_0, X[-1]], 1)]
    for x in reversed(X[:-1]):
        y.append(cat([*y, x], 1))
    return y[-1]


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "paper": dict(backbone="resnet101"),  # 92,738,947; MiniSeg Table 5: 90.57M of 1,024,000, though it says ResNet50
    "released": dict(backbone="resnet50"),  # 73,746,819
}


@register(
    "gff", paper="Li et al., AAAI 2020", arxiv="1904.01803", params=92_738_947,
    notes=(
        "idea: a gate for each level and pixel decides what it gives to the other levels and takes from them",
        "MiniSeg's Table 5 says ResNet50: its count is ResNet-101's",
        "no recorded tensor: which layers have norms and biases was inferred from parameters, MACs and printed FLOPs",
    ),
)  # fmt: skip
def gff(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> GFF:
    return GFF(num_classes, in_channels, **configured("gff", CONFIGS, config, options))
