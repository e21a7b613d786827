"""U-Net: convolutional networks for biomedical image segmentation (Ronneberger et al., MICCAI 2015, arXiv 1505.04597).

Read beside Figure 1: left the contracting path, right the expansive path, and at each resolution a copied skip. As in
every later version the convolutions are padded and have BatchNorm (the paper's lose a border and have none), so
nothing is cropped. The paper starts with 64 channels; both benchmarks count networks that start with 32. CHS-Net's
Table 3 has a U-Net whose contracting path is VGG16.
"""

from torch import Tensor, cat, nn

from covidseg.nn.layers import corner_resize, refuse_smaller
from covidseg.nn.registry import register
from covidseg.zoo._configs import U_DEPTH, configured
from covidseg.zoo._sides import at_size_of, expanding, growing, left_side


class UNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 16.

    width : channels of the first level, doubled at each of the four halvings.
    up : how the expansive path grows: "bilinear" (corners on corners), or "conv" (pixels repeated, then a convolution
    that halves the channels, the paper's "up-conv"). convs : convolutions at each level of that path, 2 or 1.
    backbone : a trunk in place of the contracting path, by name or as a module, which brings its own channels;
    imagenet : a file of its ImageNet weights.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, width: int = 32, up: str = "bilinear", convs: int = 2,
        backbone: str | nn.Module | None = None, imagenet=None,
    ):  # fmt: skip
        super().__init__()
        self.down, C = left_side(in_channels, width, backbone, imagenet)  # 32, 64, 128, 256, 512
        pairs = list(zip(C[:0:-1], C[-2::-1], strict=True))  # (512, 256), (256, 128), (128, 64), (64, 32)
        self.grow = growing(pairs, up, "U-Net")
        block = expanding(convs)
        self.up = nn.ModuleList(block((c_out if self.grow else c) + c_out, c_out) for c, c_out in pairs)
        self.head = nn.Conv2d(C[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 2 ** (U_DEPTH - 1), "U-Net")
        *X, y = self.down(x)  # X_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 1..4; y: X_5
        for k, (skip, block) in enumerate(zip(reversed(X), self.up, strict=True)):
            y = self.grow[k](y, skip) if self.grow else corner_resize(y, skip)
            y = block(cat([skip, y], 1))  # Y_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 4..1
        return at_size_of(x, self.head(y))

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """X_1..X_5 of the contracting path, Y_4..Y_1 of the expansive one, P_1 the logits."""
        maps = {f"X_{i}": (self.down, i - 1) for i in range(1, U_DEPTH + 1)}
        maps |= {f"Y_{i}": (block, None) for i, block in zip((4, 3, 2, 1), self.up, strict=True)}
        return maps | {"P_1": (self.head, None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "infnet": dict(width=32, up="bilinear"),  # 7,852,578; Inf-Net Table II: 7.853M (one class)
    "paper": dict(width=32, up="conv"),  # 8,637,378; MiniSeg Table 5: 8.43M of 1,024,000
    "released": dict(width=64, up="conv"),  # 34,527,106
    "chsnet": dict(backbone="vgg16_bn", convs=1),  # 21,767,170; CHS-Net Table 3: 21.7M (one class 21,767,105)
}


@register(
    "unet", paper="Ronneberger et al., MICCAI 2015", arxiv="1505.04597", params=7_852_578,
    notes=(
        "built as Inf-Net's Table II counts it (7.853M with one class); config='paper' is MiniSeg's Table 5 (8.43M)",
        "Inf-Net's Table II prints 38.116G; 26.375 GMAC were measured, and no input size explains it",
        "CHS-Net's Table 3 prints 21.7M of a U-Net on VGG16; config='chsnet' has the trunk's own channels and one "
        "convolution a level: 21,767,105 with one class. Two a level have 24.9M",
    ),
)  # fmt: skip
def unet(num_classes: int = 2, in_channels: int = 3, *, config: str = "infnet", **options) -> UNet:
    return UNet(num_classes, in_channels, **configured("unet", CONFIGS, config, options))
