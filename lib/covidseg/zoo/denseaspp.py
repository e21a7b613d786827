"""DenseASPP for semantic segmentation in street scenes (Yang et al., CVPR 2018).

Read beside Figures 2 and 3: ASPP puts dilated convolutions side by side, so each scale is seen by one of them alone.
Here each one also reads the answers of all before it, as in a DenseNet, and dilations add up: from 3, 6, 12, 18 and 24
come many receptive fields, up to 127 pixels of the map wide and densely filled.
"""

from torch import Tensor, cat, nn

from covidseg.backbones import trunk
from covidseg.nn.layers import pointwise, refuse_smaller, resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

RATES = (3, 6, 12, 18, 24)
MIDDLE, GROWTH = 480, 240  # channels behind the 1x1 and behind the dilated 3x3 of each layer
MOMENTUM = 3e-4  # of the running statistics in these layers; code
DROPOUT = 0.1
LEAST = 5  # pixels: what two averages over 2 x 2 need behind two strided layers that round up


class AtrousLayer(nn.Sequential):
    """BN-ReLU-1x1-BN-ReLU-3x3, dilated: all maps so far (B, C, H, W) -> 240 new ones.

    norm : False for the first layer, whose input is normalised and rectified already.
    """

    def __init__(self, C: int, rate: int, *, norm: bool):
        first = [nn.BatchNorm2d(C, momentum=MOMENTUM), nn.ReLU(inplace=True)] if norm else []
        second = nn.BatchNorm2d(MIDDLE, momentum=MOMENTUM), nn.ReLU(inplace=True)
        dilated = nn.Conv2d(MIDDLE, GROWTH, 3, padding=rate, dilation=rate)
        super().__init__(*first, pointwise(C, MIDDLE, bias=True), *second, dilated, nn.Dropout2d(DROPOUT))


class DenseASPP(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 5.

    backbone : "densenet201", "densenet161", or any module that answers [f_1, ..., f_5] and has ``channels``; f_5 is
    read, at stride 8. imagenet : a file of ImageNet weights for it.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "densenet201", imagenet=None
    ):  # fmt: skip
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=8, halved=True)
        C = self.backbone.channels[4]
        widths = [C + i * GROWTH for i in range(len(RATES) + 1)]
        self.ASPP = nn.ModuleList(AtrousLayer(c, d, norm=d != RATES[0]) for c, d in zip(widths, RATES, strict=False))
        self.head = nn.Sequential(nn.Dropout2d(DROPOUT), pointwise(widths[-1], num_classes, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], LEAST, "DenseASPP")
        y = self.backbone(x)[-1]  # B, 896, H/8, W/8
        for layer in self.ASPP:
            y = cat([layer(y), y], 1)  # (3) y_l = H_{K,d_l}([y_{l-1}, ..., y_0]); the newest first
        return resize(self.head(y), x.shape[-2:])

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk, ASPP/3 .. ASPP/24 the new maps of each layer, by dilation; P_5 the logits."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {f"ASPP/{rate}": (layer, None) for rate, layer in zip(RATES, self.ASPP, strict=True)}
        return maps | {"P_5": (self.head, None)}


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 28,603,250; MiniSeg Table 5: 27.93M of 1,024,000


@register(
    "denseaspp", paper="Yang et al., CVPR 2018", params=28_603_250,
    notes=("idea: dilated layers that each read all before them, so that their fields of view add up",),
)  # fmt: skip
def denseaspp(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> DenseASPP:
    return DenseASPP(num_classes, in_channels, **configured("denseaspp", CONFIGS, config, options))
