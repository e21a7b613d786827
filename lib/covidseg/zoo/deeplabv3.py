"""DeepLabv3: filters with holes, at several rates side by side (Chen et al. 2017, arXiv 1706.05587).

Read beside Figure 5: a ResNet whose last two stages dilate instead of shrinking (output stride 8, blocks 3 and 4 with
rates 2 and 4), and on its last map atrous spatial pyramid pooling: a 1x1, three 3x3 with rates 12, 24 and 36 (section
3.3) and the mean of the image. DeepLabv3+ (its own file) puts a decoder behind it.
"""

from torch import Tensor, nn

from covidseg.backbones import trunk
from covidseg.nn.layers import ASPP, ConvBNReLU, corner_resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

RATES = (12, 24, 36)  # section 3.3: (6, 12, 18) doubled, since the output stride is 8


class DeepLabV3(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size. ``train()`` needs two samples or more.

    backbone : "resnet50" or "resnet101", or a module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a
    file of its ImageNet weights. The paper's multi-grid (rates 1, 2, 4 inside block 4) is not in the benchmark's
    network, which has a 3x3 before the scores that the paper has not.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet50", imagenet=None
    ):
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=8)
        self.ASPP = ASPP(self.backbone.channels[4], 256, RATES)
        self.project = nn.Sequential(*ConvBNReLU((2 + len(RATES)) * 256, 256, 1), nn.Dropout(0.5))
        self.refine = nn.Sequential(*ConvBNReLU(256, 256), nn.Dropout(0.1))
        self.head = nn.Conv2d(256, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        f_5 = self.backbone(x)[-1]  # B, 2048, H/8, W/8
        y = self.project(self.ASPP(f_5))  # B, 256, H/8, W/8
        return corner_resize(self.head(self.refine(y)), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk, ASPP/1 (1x1) and ASPP/12.. by rate, the image branch, Y what they make, P_5 scores."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {f"ASPP/{branch[0].dilation[0]}": (branch, None) for branch in self.ASPP.branches}
        return maps | {"ASPP/image": (self.ASPP.image, None), "Y": (self.project, None), "P_5": (self.head, None)}


CONFIGS: dict[str, dict] = {  # 39,633,986 parameters with 2 classes; MiniSeg Table 5: 38.71M of 1,024,000
    "paper": {}, "released": {},
}  # fmt: skip


@register(
    "deeplabv3", paper="Chen et al., arXiv 2017", arxiv="1706.05587", params=39_633_986,
    notes=("idea: 3x3 filters with holes see far without losing resolution; several hole sizes see several scales",),
)  # fmt: skip
def deeplabv3(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> DeepLabV3:
    return DeepLabV3(num_classes, in_channels, **configured("deeplabv3", CONFIGS, config, options))
