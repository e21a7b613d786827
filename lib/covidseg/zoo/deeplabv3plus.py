"""DeepLabv3+: encoder-decoder with atrous separable convolution (Chen et al., ECCV 2018, arXiv 1802.02611).

Read beside Figure 2: a trunk whose last stage dilates instead of shrinking, ASPP on top, and a decoder of one step that
takes fine detail from stride 4. MiniSeg's benchmark counts it with the modified aligned Xception; Inf-Net's Table III
has it at output strides 8 and 16 and names no trunk.
"""

from torch import Tensor, cat, nn

from covidseg.backbones import trunk
from covidseg.errors import unknown_name
from covidseg.nn.layers import ASPP, ConvBNReLU, corner_resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

RATES = {16: (6, 12, 18), 8: (12, 24, 36)}  # DeepLabv3, section 3.3: doubled where the stride is halved
LOW = 48  # channels left of the low-level feature (Table 1)


class DeepLabV3Plus(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size. ``train()`` needs two samples or more.

    backbone : "xception", "resnet50" or "resnet101", or any module that answers [f_1, ..., f_5] and has ``channels``
    (the decoder reads f_2 and f_5). output_stride : 16 or 8, of f_5. imagenet : a file of ImageNet weights for the
    ResNets; of Xception in this form there is none. as_coded : of Xception, see there; what MiniSeg trained.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "xception",
        output_stride: int = 16, as_coded: bool = False, imagenet=None,
    ):  # fmt: skip
        super().__init__()
        if output_stride not in RATES:
            raise unknown_name("output_stride of DeepLabv3+", output_stride, RATES)
        more = {"as_coded": True} if as_coded else {}
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=output_stride, **more)
        C = self.backbone.channels
        self.ASPP = ASPP(C[4], 256, RATES[output_stride])
        self.project = ConvBNReLU(5 * 256, 256, 1)
        self.low = ConvBNReLU(C[1], LOW, 1)
        self.refine = nn.Sequential(ConvBNReLU(256 + LOW, 256), ConvBNReLU(256, 256))
        self.head = nn.Conv2d(256, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        _, f_2, _, _, f_5 = self.backbone(x)  # strides 4 and 16 or 8
        y = self.project(self.ASPP(f_5))  # B, 256, H/16, W/16
        low = self.low(f_2)  # B, 48, H/4, W/4
        y = self.refine(cat([corner_resize(y, low), low], 1))  # B, 256, H/4, W/4
        return corner_resize(self.head(y), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk, ASPP/1 (1x1) and ASPP/6.. by dilation, the image branch, Y_2 of the decoder, P_2."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {f"ASPP/{branch[0].dilation[0]}": (branch, None) for branch in self.ASPP.branches}
        return maps | {"ASPP/image": (self.ASPP.image, None), "Y_2": (self.refine, None), "P_2": (self.head, None)}


CONFIGS: dict[str, dict] = {  # 54,607,778 parameters with 2 classes; MiniSeg Table 5: 53.33M of 1,024,000
    "infnet": {}, "paper": dict(as_coded=True), "released": dict(as_coded=True),
}  # fmt: skip


@register(
    "deeplabv3plus", paper="Chen et al., ECCV 2018", arxiv="1802.02611", params=54_607_778,
    notes=("built as MiniSeg's program has it, whose ReLUs write into what shortcuts read; config='infnet' does not",),
)  # fmt: skip
def deeplabv3plus(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> DeepLabV3Plus:
    chosen = configured("deeplabv3plus", CONFIGS, config, options)
    if chosen.get("backbone", "xception") != "xception":
        chosen.pop("as_coded", None)  # of Xception alone
    return DeepLabV3Plus(num_classes, in_channels, **chosen)
