"""ANN: asymmetric non-local neural networks (Zhu et al., ICCV 2019, arXiv 1908.07678).

Read beside Figures 1 and 4: in a non-local block every pixel looks at every pixel, N x N. Here the looked-at side is
averaged over bins of a pyramid first, so each pixel looks at S = 110 anchors and the cost falls from N x N to N x S.
The block stands at two places: AFNB fuses two stages of the trunk, APNB refines the last map.
"""

from torch import Tensor, cat, einsum, nn
from torch.nn.functional import adaptive_avg_pool2d

from covidseg.backbones import trunk
from covidseg.nn.layers import ConvBNReLU, corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

BINS = (1, 3, 6, 8)  # S = 1 + 9 + 36 + 64 = 110 anchors
KEY, WIDTH = 256, 512  # channels of queries, keys and values; of the last map
DROPOUT = 0.05


def anchors(x: Tensor) -> Tensor:
    """Means over the bins of the pyramid, Figure 1: (B, C, H, W) -> (B, C, S)."""
    return cat([adaptive_avg_pool2d(x, b).flatten(2) for b in BINS], 2)


class AsymmetricNonLocal(nn.Module):
    """Each pixel of ``high`` reads the anchors of ``low``: (B, C, H, W), (B, C_low, h, w) -> (B, C_out, H, W).

    C_low : None where a map reads itself; then queries and keys are one convolution (APNB).
    """

    def __init__(self, C: int, C_low: int | None, C_out: int):
        super().__init__()
        self.theta = ConvBNReLU(C_low or C, KEY, 1, bias=True)  # keys
        self.phi = ConvBNReLU(C, KEY, 1, bias=True) if C_low else self.theta  # queries
        self.gamma = pointwise(C_low or C, KEY, bias=True)  # values
        self.W = pointwise(KEY, C_out, bias=True)
        nn.init.zeros_(self.W.weight)  # the block starts as if it were not there
        nn.init.zeros_(self.W.bias)
        self.attention = nn.Softmax(1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        theta_P, gamma_P = anchors(self.theta(low)), anchors(self.gamma(low))  # B, 256, S
        V_P = einsum("bchw,bcs->bshw", self.phi(high), theta_P) * KEY**-0.5
        O_P = einsum("bshw,bcs->bchw", self.attention(V_P), gamma_P)  # B, 256, H, W
        return self.W(O_P)


class AFNB(nn.Module):
    """Asymmetric fusion non-local block: stage 5 reads stage 4 and keeps its shape (B, C_5, H, W)."""

    def __init__(self, C_4: int, C_5: int):
        super().__init__()
        self.non_local = AsymmetricNonLocal(C_5, C_4, C_5)
        self.fuse = nn.Sequential(pointwise(2 * C_5, C_5, bias=True), nn.BatchNorm2d(C_5), nn.Dropout2d(DROPOUT))

    def forward(self, f_4: Tensor, f_5: Tensor) -> Tensor:
        return self.fuse(cat([self.non_local(f_4, f_5), f_5], 1))


class APNB(nn.Module):
    """Asymmetric pyramid non-local block: a map reads itself and keeps its shape (B, C, H, W)."""

    def __init__(self, C: int):
        super().__init__()
        self.non_local = AsymmetricNonLocal(C, None, C)
        self.fuse = nn.Sequential(ConvBNReLU(2 * C, C, 1, bias=True), nn.Dropout2d(DROPOUT))

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(cat([self.non_local(x, x), x], 1))


class ANNNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W), in ``train()`` (logits, [those of f_4]); any size.

    backbone : "resnet50", "resnet101", or any module that answers [f_1, ..., f_5] at stride 8 and has ``channels``.
    imagenet : a file of ImageNet weights for it.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet50", imagenet=None
    ):  # fmt: skip
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=8)
        C_4, C_5 = self.backbone.channels[3:]  # 1024, 2048
        self.AFNB, self.shrink, self.APNB = AFNB(C_4, C_5), ConvBNReLU(C_5, WIDTH, bias=True), APNB(WIDTH)
        self.head = pointwise(WIDTH, num_classes, bias=True)
        middle = ConvBNReLU(C_4, WIDTH, bias=True), nn.Dropout2d(DROPOUT)
        self.aux = nn.Sequential(*middle, pointwise(WIDTH, num_classes, bias=True))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, list[Tensor]]:
        *_, f_4, f_5 = self.backbone(x)
        y = self.APNB(self.shrink(self.AFNB(f_4, f_5)))  # B, 512, H/8, W/8
        logits = corner_resize(self.head(y), x)
        return (logits, [corner_resize(self.aux(f_4), x)]) if self.training else logits

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk; A/AFNB, A/APNB: per pixel, how much it reads each of the 110 anchors; P_5 logits."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {"A/AFNB": (self.AFNB.non_local.attention, None), "Y_AFNB": (self.AFNB, None)}
        maps |= {"A/APNB": (self.APNB.non_local.attention, None), "Y_APNB": (self.APNB, None)}
        return maps | {"P_5": (self.head, None)}


CONFIGS: dict[str, dict] = {"paper": {}, "released": {}}  # 48,560,964; MiniSeg Table 5: 47.42M of 1,024,000


@register(
    "annnet", paper="Zhu et al., ICCV 2019", arxiv="1908.07678", params=48_560_964,
    notes=("idea: each pixel looks at 110 means of the map in place of all its pixels",),
)  # fmt: skip
def annnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> ANNNet:
    return ANNNet(num_classes, in_channels, **configured("annnet", CONFIGS, config, options))
