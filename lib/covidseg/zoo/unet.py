"""U-Net: convolutional networks for biomedical image segmentation (Ronneberger et al., MICCAI 2015, arXiv 1505.04597).

Read beside Figure 1: left the contracting path, right the expansive path, and at each resolution a copied skip. As in
every later version the convolutions are padded and have BatchNorm (the paper's lose a border and have none), so
nothing is cropped. The paper starts with 64 channels; both benchmarks count networks that start with 32.
"""

from torch import Tensor, cat, nn

from covidseg.errors import unknown_name
from covidseg.nn.layers import Contracting, Double, UpConv, corner_resize, refuse_smaller
from covidseg.nn.registry import register
from covidseg.zoo._configs import U_DEPTH, configured, u_channels

UPS = ("bilinear", "conv")


class UNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 16.

    width : channels of the first level, doubled at each of the four halvings.
    up : how the expansive path grows: "bilinear" (corners on corners), or "conv" (pixels repeated, then a convolution
    that halves the channels, the paper's "up-conv").
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, width: int = 32, up: str = "bilinear"):
        super().__init__()
        if up not in UPS:
            raise unknown_name("way up in U-Net (up)", up, UPS)
        C = u_channels(width)  # 32, 64, 128, 256, 512
        self.down = Contracting([in_channels, *C])
        pairs = list(zip(C[:0:-1], C[-2::-1], strict=True))  # (512, 256), (256, 128), (128, 64), (64, 32)
        self.grow = nn.ModuleList(UpConv(c, c_out) for c, c_out in pairs) if up == "conv" else None
        self.up = nn.ModuleList(Double((c_out if up == "conv" else c) + c_out, c_out) for c, c_out in pairs)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 2 ** (U_DEPTH - 1), "U-Net")
        *X, y = self.down(x)  # X_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 1..4; y: X_5
        for k, (skip, double) in enumerate(zip(reversed(X), self.up, strict=True)):
            y = self.grow[k](y, skip) if self.grow else corner_resize(y, skip)
            y = double(cat([skip, y], 1))  # Y_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 4..1
        return self.head(y)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """X_1..X_5 of the contracting path, Y_4..Y_1 of the expansive one, P_1 the logits."""
        maps = {f"X_{i}": (self.down, i - 1) for i in range(1, U_DEPTH + 1)}
        maps |= {f"Y_{i}": (double, None) for i, double in zip((4, 3, 2, 1), self.up, strict=True)}
        return maps | {"P_1": (self.head, None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "infnet": dict(width=32, up="bilinear"),  # 7,852,578; Inf-Net Table II: 7.853M (one class)
    "paper": dict(width=32, up="conv"),  # 8,637,378; MiniSeg Table 5: 8.43M of 1,024,000
    "released": dict(width=64, up="conv"),  # 34,527,106
}


@register(
    "unet", paper="Ronneberger et al., MICCAI 2015", arxiv="1505.04597", params=7_852_578,
    notes=(
        "built as Inf-Net's Table II counts it (7.853M with one class); config='paper' is MiniSeg's Table 5 (8.43M)",
        "Inf-Net's Table II prints 38.116G; 26.375 GMAC were measured, and no input size explains it",
    ),
)  # fmt: skip
def unet(num_classes: int = 2, in_channels: int = 3, *, config: str = "infnet", **options) -> UNet:
    return UNet(num_classes, in_channels, **configured("unet", CONFIGS, config, options))
