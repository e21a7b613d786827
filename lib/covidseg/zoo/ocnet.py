"""OCNet: each pixel is told by the pixels of its object (Yuan et al., arXiv 1809.00916, "base-OC").

On the last map of a dilated ResNet, self-attention whose map is meant to be the object context, the pixels that belong
to one's own object; what it collects stands beside the map that it came from, and a 1x1 fuses both.
"""

from torch import Tensor, cat, nn

from covidseg.backbones import trunk
from covidseg.nn.layers import Affinity, ConvBNReLU, collect, corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured


class ObjectContext(nn.Module):
    """Object context pooling: (B, C, H, W) -> (B, C, H, W).

    One transform makes queries and keys (``f_query`` is ``f_key``), so the affinity of two pixels is the same both
    ways before the softmax. ``rho`` starts at zero: no context at first.
    """

    def __init__(self, C: int, C_key: int):
        super().__init__()
        self.g = pointwise(C, C_key, bias=True)  # values
        self.f_key = self.f_query = ConvBNReLU(C, C_key, 1, bias=True)
        self.rho = pointwise(C_key, C, bias=True)
        nn.init.zeros_(self.rho.weight)
        nn.init.zeros_(self.rho.bias)
        self.W = Affinity(C_key**-0.5)

    def forward(self, X: Tensor) -> Tensor:
        f = self.f_key(X)  # B, C_key, H, W; the code makes it twice, which costs 0.54G multiply-accumulates at 512
        W = self.W(f, f)  # B, H W, H, W: row by row, where each position looks
        return self.rho(collect(self.g(X), W, X))


class OCNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    backbone : "resnet50" or "resnet101", or a module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a
    file of its ImageNet weights. Of the paper's pyramid and ASPP forms the benchmark has none.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet101", imagenet=None
    ):
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=8)
        self.reduce = ConvBNReLU(self.backbone.channels[4], 512)
        self.context = ObjectContext(512, 256)
        self.fuse = nn.Sequential(*ConvBNReLU(2 * 512, 512, 1, bias=True), nn.Dropout2d(0.05))
        self.head = nn.Conv2d(512, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        X = self.reduce(self.backbone(x)[-1])  # B, 512, H/8, W/8
        y = self.fuse(cat([self.context(X), X], 1))
        return corner_resize(self.head(y), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk; W, the object context: a channel for each position, where it looks; C the context,
        Y the fused map, P_5 the scores."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {"W": (self.context.W, None), "C": (self.context, None)}
        return maps | {"Y": (self.fuse, None), "P_5": (self.head, None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "paper": {},  # 52,859,970; MiniSeg Table 5: 51.60M of 1,024,000, which is 22 thousand less
    "released": dict(backbone="resnet50"),  # 33,867,842
}


@register(
    "ocnet", paper="Yuan et al., arXiv 2018", arxiv="1809.00916", params=52_859_970,
    notes=(
        "idea: a pixel's class is that of its object, so attention collects the object's pixels",
        "MiniSeg's Table 5 says ResNet50; its count is ResNet-101's. What was trained has ResNet-50",
        "Table 5 prints 51.60M for what counts 51.62M; its FLOPs agree",
    ),
)  # fmt: skip
def ocnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> OCNet:
    return OCNet(num_classes, in_channels, **configured("ocnet", CONFIGS, config, options))
