"""Dense-UNet: the 2-D half of H-DenseUNet (Li et al., IEEE TMI 2018, arXiv 1709.07330).

Read beside Table I: a DenseNet-161 contracts, a plain decoder grows, and the dense blocks are added to it as skips.
Inf-Net's Table II prints 45.082M and 43.785G of a "Dense-UNet" with this trunk and shows no layers. This network has
45,082,145 parameters with one class and, by the counting rules behind that table, 43.785 G at 352 x 352: both as
printed. That takes a second gain and offset behind every BatchNorm of the trunk (``ScaledNorm``), and no skip at
stride 16.
"""

from torch import Tensor, nn

from covidseg.backbones import trunk
from covidseg.nn.layers import ConvBNReLU, nearest_resize, pointwise, refuse_smaller
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

LAST = 64  # channels at full size


class DenseUNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 32.

    backbone : "densenet161", or any module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a file of
    ImageNet weights for it. scaled : that trunk's BatchNorms are ScaledNorms. lateral : add f_4, widened by a 1x1
    convolution, to the deepest map (4.7M parameters more; it fills the gap in the row of skips).
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "densenet161", imagenet=None,
        scaled: bool = True, lateral: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, scaled=scaled)
        f_1, f_2, f_3, f_4, f_5 = self.backbone.channels  # 96, 384, 768, 2112, 2208
        self.lateral = pointwise(f_4, f_5, bias=True) if lateral else None
        widths = [f_5, f_3, f_2, f_1, f_1, LAST]  # 2208 -> 768, 384, 96, 96, 64: each fits the skip that it meets next
        self.up = nn.ModuleList(ConvBNReLU(c, c_out, bias=True) for c, c_out in zip(widths, widths[1:], strict=False))
        self.head = nn.Conv2d(LAST, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 32, "Dense-UNet")
        f_1, f_2, f_3, f_4, f_5 = self.backbone(x)
        y = nearest_resize(f_5, f_4)
        y = self.up[0](y if self.lateral is None else y + self.lateral(f_4))  # B, 768, H/16, W/16
        for up, skip in zip(self.up[1:4], (f_3, f_2, f_1), strict=True):
            y = up(nearest_resize(y, skip) + skip)  # B, 384, H/8, W/8; B, 96, H/4, W/4; B, 96, H/2, W/2
        return self.head(self.up[4](nearest_resize(y, x)))  # through B, 64, H, W

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk, Y_5..Y_1 of the decoder (1 is full size), P_1 the logits."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {f"Y_{i}": (up, None) for i, up in zip((5, 4, 3, 2, 1), self.up, strict=True)}
        return maps | {"P_1": (self.head, None)}


CONFIGS: dict[str, dict] = {"infnet": {}, "paper": {}}  # 45,082,210 parameters with 2 classes, measured


@register(
    "dense_unet", paper="Li et al., IEEE TMI 2018", arxiv="1709.07330", params=45_082_210,
    notes=(
        "219,936 parameters are a second gain and offset behind each BatchNorm of the trunk: without them Inf-Net's "
        "Table II (45.082M) is not met",
    ),
)  # fmt: skip
def dense_unet(num_classes: int = 2, in_channels: int = 3, *, config: str = "infnet", **options) -> DenseUNet:
    return DenseUNet(num_classes, in_channels, **configured("dense_unet", CONFIGS, config, options))
