"""BiSeNet: bilateral segmentation network (Yu et al., ECCV 2018, arXiv 1808.00897).

Read beside Figure 2: two paths. The spatial path is three strided convolutions and keeps detail at stride 8 at little
cost; the context path is a ResNet-18 that shrinks fast, sees far, and ends in the mean of the whole map. Channel
attention refines what the context path sees (ARM) and weighs what both paths say (FFM).
"""

from torch import Tensor, cat, nn

from covidseg.backbones import trunk
from covidseg.nn.layers import ConvBNReLU, corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

SPATIAL, CONTEXT, FUSED, HEAD = 64, 128, 256, 64  # channels
REDUCTION = 4  # of the attention in the FFM


class ARM(nn.Module):
    """Attention refinement module, Figure 2 (b): (B, C, H, W) -> (B, C_out, H, W)."""

    def __init__(self, C: int, C_out: int):
        super().__init__()
        self.conv = ConvBNReLU(C, C_out)
        # code: a ReLU before the sigmoid, so no channel is weighed below one half
        self.alpha = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvBNReLU(C_out, C_out, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.alpha(x)  # alpha: B, C_out, 1, 1


class FFM(nn.Module):
    """Feature fusion module, Figure 2 (c): both paths side by side (B, C, H, W) -> (B, C_out, H, W)."""

    def __init__(self, C: int, C_out: int):
        super().__init__()
        self.conv, middle = ConvBNReLU(C, C_out, 1), C_out // REDUCTION
        squeeze = ConvBNReLU(C_out, middle, 1), ConvBNReLU(middle, C_out, 1)
        self.alpha = nn.Sequential(nn.AdaptiveAvgPool2d(1), *squeeze, nn.Sigmoid())

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        x = self.conv(cat([spatial, context], 1))
        return x + x * self.alpha(x)


class ContextPath(nn.Module):
    """(B, in_channels, H, W) -> the refined maps (B, 128, H/16, W/16) and (B, 128, H/8, W/8)."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        C_4, C_5 = backbone.channels[3:]  # type: ignore[index]  # 256, 512
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvBNReLU(C_5, CONTEXT, 1))
        self.ARM = nn.ModuleList([ARM(C_5, CONTEXT), ARM(C_4, CONTEXT)])
        self.refine = nn.ModuleList(ConvBNReLU(CONTEXT, CONTEXT) for _ in self.ARM)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, _, f_3, f_4, f_5 = self.backbone(x)
        y = self.ARM[0](f_5) + self.tail(f_5)  # B, 128, H/32, W/32; the tail is one value a channel
        coarse = self.refine[0](corner_resize(y, f_4))
        return coarse, self.refine[1](corner_resize(self.ARM[1](f_4) + coarse, f_3))


class BiSeNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size. ``train()`` needs two samples or more.

    backbone : "resnet18", or any module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a file of
    ImageNet weights for it. The paper's two auxiliary losses are not in the published code's build.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet18", imagenet=None
    ):  # fmt: skip
        super().__init__()
        strided = [ConvBNReLU(c, SPATIAL, k, stride=2) for c, k in ((in_channels, 7), (SPATIAL, 3), (SPATIAL, 3))]
        self.spatial = nn.Sequential(*strided, ConvBNReLU(SPATIAL, FUSED - CONTEXT, 1))
        self.context = ContextPath(trunk(backbone, imagenet, in_channels=in_channels))
        self.FFM = FFM(FUSED, FUSED)
        self.head = nn.Sequential(ConvBNReLU(FUSED, HEAD), nn.Dropout(0.1), pointwise(HEAD, num_classes, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        y = self.FFM(self.spatial(x), self.context(x)[1])  # B, 256, H/8, W/8
        return corner_resize(self.head(y), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """SP and CP, the ends of both paths; A/5, A/4 (ARM) and A/FFM, one value a channel; Y_3 fused, P_3 logits."""
        maps = {f"f_{i}": (self.context.backbone, i - 1) for i in range(1, 6)}
        maps |= {"SP": (self.spatial, None), "CP": (self.context, 1)}
        maps |= {f"A/{i}": (arm.alpha, None) for i, arm in zip((5, 4), self.context.ARM, strict=True)}
        return maps | {"A/FFM": (self.FFM.alpha, None), "Y_3": (self.FFM, None), "P_3": (self.head, None)}


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 12,795,394; MiniSeg Table 5: 12.50M of 1,024,000


@register(
    "bisenet", paper="Yu et al., ECCV 2018", arxiv="1808.00897", params=12_795_394,
    notes=("idea: a short path for detail beside a deep path for context",),
)  # fmt: skip
def bisenet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> BiSeNet:
    return BiSeNet(num_classes, in_channels, **configured("bisenet", CONFIGS, config, options))
