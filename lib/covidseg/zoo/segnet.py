"""SegNet: a deep convolutional encoder-decoder (Badrinarayanan, Kendall, Cipolla, IEEE TPAMI 2017, arXiv 1511.00561).

Read beside Figures 2 and 3: the thirteen convolutions of VGG16, and their mirror image. Nothing is copied over but the
places where max-pooling found its maxima: the decoder puts each value back where its maximum stood, leaves zeros
between, and its convolutions fill them.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from covidseg.backbones import trunk, vgg
from covidseg.nn.layers import ConvBNReLU, refuse_smaller
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured


def mirrored() -> list[list[int]]:
    """Channels along each level of the decoder, deepest first: VGG16 read backwards, but for its first convolution."""
    stages = list(reversed(vgg.STAGES))  # (512, 3), (512, 3), (256, 3), (128, 2), (64, 2)
    C_next = [[c] for c, _ in stages[1:]] + [[]]
    return [[c] * convs + after for (c, convs), after in zip(stages, C_next, strict=True)]


class SegNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 32.

    imagenet : a file of ImageNet weights of VGG16 with BatchNorm, for the encoder (section 3).
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, imagenet=None):
        super().__init__()
        self.backbone = trunk("vgg16_bn", imagenet, in_channels=in_channels)
        self.unpool = nn.ModuleList(nn.MaxUnpool2d(2) for _ in vgg.STAGES)
        self.up = nn.ModuleList(
            nn.Sequential(*(ConvBNReLU(c, c_out, bias=True) for c, c_out in pairwise(level))) for level in mirrored()
        )
        self.head = nn.Conv2d(self.backbone.channels[0], num_classes, 3, padding=1)  # mirrors the first convolution

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 32, "SegNet")
        f = self.backbone(x)  # f_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 1..5
        pools = [F.max_pool2d(f_i, 2, return_indices=True) for f_i in f]  # the trunk has pooled already; here: where
        y = pools[-1][0]  # B, 512, H/32, W/32
        for f_i, (_, where), unpool, convs in zip(reversed(f), reversed(pools), self.unpool, self.up, strict=True):
            y = convs(unpool(y, where, output_size=f_i.shape[-2:]))  # Y_i: B, C_(i-1), H/2^(i-1), W/2^(i-1), i = 5..1
        return self.head(y)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the encoder, U_5..U_1 the unpooled maps, Y_5..Y_1 what convolutions make of them, P_1."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        for i, unpool, convs in zip((5, 4, 3, 2, 1), self.unpool, self.up, strict=True):
            maps |= {f"U_{i}": (unpool, None), f"Y_{i}": (convs, None)}
        return maps | {"P_1": (self.head, None)}


CONFIGS: dict[str, dict] = {  # 29,444,162 parameters with 2 classes; MiniSeg Table 5: 28.75M of 1,024,000
    "paper": {}, "released": {},
}  # fmt: skip


@register(
    "segnet", paper="Badrinarayanan et al., TPAMI 2017", arxiv="1511.00561", params=29_444_162,
    notes=(
        "the decoder gets the places of the maxima and nothing else of the encoder",
        "CHS-Net's Table 3 prints 29.4M of a SegNet on VGG16: this one, with one class 29,443,585",
        "MiniSeg's Table 5 prints 3.0 frames a second beside U-Net's 57.3; 160.2 GMAC do not explain it",
    ),
)  # fmt: skip
def segnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> SegNet:
    return SegNet(num_classes, in_channels, **configured("segnet", CONFIGS, config, options))
