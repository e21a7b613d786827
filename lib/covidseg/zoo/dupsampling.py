"""DUpsampling: decoders matter for semantic segmentation (Tian et al., CVPR 2019, arXiv 1903.02120).

Read beside Figures 2 and 3: label maps are so regular that an 8 x 8 tile of scores can be written as a vector times a
matrix W. One 1x1 convolution with W therefore grows stride 8 to full size, in place of a bilinear resize, and all the
features can be fused where maps are small. The paper finds W from label maps beforehand, the code trains it.
"""

from torch import Tensor, cat, nn

from covidseg.backbones import trunk
from covidseg.nn.layers import ConvBNReLU, corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

STRIDE, LOW, WIDTH = 8, 48, 256  # of the trunk; channels left of each finer map; channels before W


class DUpsampling(nn.Module):
    """Data-dependent upsampling, Figure 3: (B, C, H, W) -> (B, K, r H, r W); each pixel writes its own r x r tile."""

    def __init__(self, C: int, K: int, r: int):
        super().__init__()
        self.r, self.W = r, pointwise(C, r * r * K)

    def forward(self, x: Tensor) -> Tensor:
        tiles = self.W(x).unflatten(1, (self.r, self.r, -1))  # B, row, column, K, H, W
        return tiles.permute(0, 3, 4, 1, 5, 2).flatten(4).flatten(2, 3)  # B, K, H row, W column


class DUNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    backbone : "resnet50", "resnet101", or any module that answers [f_1, ..., f_5] at stride 8 and has ``channels``.
    imagenet : a file of ImageNet weights for it. Sides that 8 does not divide are answered larger, then cut (ours).
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet50", imagenet=None
    ):  # fmt: skip
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=STRIDE)
        C_3, C_4, C_5 = self.backbone.channels[2:]  # 512, 1024, 2048
        self.low = nn.ModuleList(ConvBNReLU(C, LOW, 1) for C in (C_3, C_4))
        self.fuse = nn.Sequential(ConvBNReLU(C_5 + 2 * LOW, WIDTH), ConvBNReLU(WIDTH, WIDTH))
        self.DUpsampling = DUpsampling(WIDTH, num_classes, STRIDE)

    def forward(self, x: Tensor) -> Tensor:
        _, _, f_3, f_4, f_5 = self.backbone(x)
        low_3, low_4 = (low(corner_resize(f, f_5)) for low, f in zip(self.low, (f_3, f_4), strict=True))
        y = self.fuse(cat([f_5, low_4, low_3], 1))  # B, 256, H/8, W/8
        H, W = x.shape[-2:]
        return self.DUpsampling(y)[..., :H, :W]

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk, F the fused features, W the tiles before they are laid out, P_1 the logits, uncut."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        return maps | {"F": (self.fuse, None), "W": (self.DUpsampling.W, None), "P_1": (self.DUpsampling, None)}


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 29,145,344; MiniSeg Table 5: 28.46M of 1,024,000


@register(
    "dupsampling", paper="Tian et al., CVPR 2019", arxiv="1903.02120", params=29_145_344,
    notes=("idea: a learned matrix writes each pixel's 8 x 8 tile of scores, in place of a bilinear resize",),
)  # fmt: skip
def dupsampling(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> DUNet:
    return DUNet(num_classes, in_channels, **configured("dupsampling", CONFIGS, config, options))
