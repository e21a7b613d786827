"""PSPNet: a pyramid of means over the scene (Zhao et al., CVPR 2017, arXiv 1612.01105).

Read beside Figure 3: a dilated ResNet (a, b), its last map averaged in 1, 4, 9 and 36 parts (c), all of it side by side
into one convolution (d). MiniSeg's benchmark counts it with ResNet-101, which its Table 5 prints as ResNet50, and parts
from the paper in what stands after the pooling: no norms in the pyramid, a last 3x3 without padding, a PReLU.
"""

from torch import Tensor, cat, nn

from covidseg.backbones import freeze_norms, trunk
from covidseg.nn.layers import PPM, refuse_smaller, resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

BINS = (1, 2, 3, 6)  # Figure 3 c
TRUNK = dict(output_stride=8, stride_on="1x1", first_dilation="own", ceil_pool=True)


class PSPNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 15.

    backbone : "resnet50" or "resnet101", or a module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a
    file of its ImageNet weights. freeze : weight and bias of the trunk's BatchNorms are not trained, as in the code.
    The paper's auxiliary loss at the fourth stage is not in the benchmark's network.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet101",
        freeze: bool = True, imagenet=None,
    ):  # fmt: skip
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, **TRUNK)
        if freeze:
            freeze_norms(self.backbone)
        C, C_level = self.backbone.channels[4], 512
        self.PPM = PPM(C, C_level, BINS, norm=False, relu=False, corners=False)
        # paper: BatchNorm and ReLU in each level, a padded 3x3, ReLU; code: none, no padding, a PReLU with one slope
        fuse = nn.Conv2d(len(BINS) * C_level + C, 512, 3)
        self.fuse = nn.Sequential(fuse, nn.BatchNorm2d(512), nn.PReLU(), nn.Dropout2d(0.1))
        self.head = nn.Conv2d(512, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 15, "PSPNet")
        F = self.backbone(x)[-1]  # B, 2048, H/8, W/8
        y = self.fuse(cat([self.PPM(F), F], 1))  # B, 512, H/8 - 2, W/8 - 2
        return resize(self.head(y), x.shape[-2:])

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk, PPM/1 to PPM/6 the levels of b x b bins, Y the fused map, P_5 the scores."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {f"PPM/{b}": (level, None) for b, level in zip(BINS, self.PPM.levels, strict=True)}
        return maps | {"Y": (self.fuse, None), "P_5": (self.head, None)}


CONFIGS: dict[str, dict] = {  # 65,571,395 parameters with 2 classes; MiniSeg Table 5: 64.03M of 1,024,000
    "paper": {}, "released": {},
}  # fmt: skip


@register(
    "pspnet", paper="Zhao et al., CVPR 2017", arxiv="1612.01105", params=65_466_051,
    notes=(
        "idea: means over 1, 4, 9 and 36 parts of the image tell each pixel in what scene it lies",
        "65,571,395 parameters in all: weight and bias of the trunk's norms are not trained",
        "MiniSeg's Table 5 says ResNet50; its count is ResNet-101's",
    ),
)  # fmt: skip
def pspnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> PSPNet:
    return PSPNet(num_classes, in_channels, **configured("pspnet", CONFIGS, config, options))
