"""EncNet: a code of the whole image weighs the channels (Zhang et al., CVPR 2018, arXiv 1803.08904).

Read beside Figure 2: a dilated ResNet; on its last map the Context Encoding Module, in which every pixel is compared
with K learned codewords, the differences are gathered into one vector e (Eqn 1), and e says how much each channel
counts (gamma, section 3.1). From e the paper also predicts which classes are in the image (semantic encoding loss).
"""

from torch import Tensor, empty, nn

from covidseg.backbones import trunk
from covidseg.errors import unknown_name
from covidseg.nn.layers import ConvBNReLU, corner_resize, pointwise
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured

K = 32  # codewords (section 4.1)


class Assignment(nn.Module):
    """How much each pixel belongs to each codeword, Eqn 1: distances (B, K, H, W) -> (B, K, H, W), sum 1 over K.

    sign : "plus", as the benchmark's code has it by squaring s_k; "minus" is the paper's, softmax(-s_k |r|^2).
    """

    def __init__(self, sign: str):
        super().__init__()
        if sign not in ("plus", "minus"):
            raise unknown_name("sign of EncNet's assignment", sign, ("plus", "minus"))
        self.sign = sign

    def forward(self, distances: Tensor, s: Tensor) -> Tensor:
        return ((s**2 if self.sign == "plus" else -s)[:, None, None] * distances).softmax(1)


class Encoding(nn.Module):
    """Residual encoding, Eqn 1: (B, C, H, W) -> (B, K, C), one sum of weighted residuals per codeword."""

    def __init__(self, C: int, sign: str = "plus"):
        super().__init__()
        bound = 1 / (K * C) ** 0.5
        self.d = nn.Parameter(empty(K, C).uniform_(-bound, bound))  # codewords d_k
        self.s = nn.Parameter(empty(K).uniform_(0, 1))  # smoothing factors s_k
        self.a = Assignment(sign)

    def forward(self, X: Tensor) -> Tensor:
        d = self.d[:, :, None, None]  # K, C, 1, 1
        distances = (X**2).sum(1, keepdim=True) - 2 * nn.functional.conv2d(X, d) + (d**2).sum(1)  # |r_ik|^2: B, K, H, W
        a = self.a(distances, self.s).flatten(2)  # B, K, N
        return a @ X.flatten(2).transpose(1, 2) - a.sum(2, keepdim=True) * self.d  # sum_i a_ik (x_i - d_k)


class ContextEncoding(nn.Module):
    """Context Encoding Module, Figure 2: (B, C, H, W) -> (B, C, H, W), each channel weighted by its gamma.

    Paper: the encoded codewords are added up, and X times gamma goes on. Code: their mean; X + X gamma, and a ReLU.
    """

    def __init__(self, C: int, sign: str):
        super().__init__()
        self.encoding = nn.Sequential(
            pointwise(C, C), nn.BatchNorm2d(C), nn.ReLU(inplace=True),
            Encoding(C, sign), nn.BatchNorm1d(K), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.gamma = nn.Sequential(nn.Linear(C, C), nn.Sigmoid(), nn.Unflatten(1, (C, 1, 1)))

    def forward(self, X: Tensor) -> Tensor:
        e = self.encoding(X).mean(1)  # B, C
        return (X + X * self.gamma(e)).relu()


class EncNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    backbone : "resnet50" or "resnet101", or a module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a
    file of its ImageNet weights. sign : of the assignment, see ``Assignment``. se_layer : carry the layer of the
    semantic encoding loss, whose answer the benchmark's code drops, so that its numbers are counted.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet101",
        sign: str = "plus", se_layer: bool = False, imagenet=None,
    ):  # fmt: skip
        super().__init__()
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, output_stride=8)
        self.reduce = ConvBNReLU(self.backbone.channels[4], 512)
        self.context = ContextEncoding(512, sign)
        self.se_layer = nn.Linear(512, num_classes) if se_layer else None
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(512, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        X = self.reduce(self.backbone(x)[-1])  # B, 512, H/8, W/8
        return corner_resize(self.head(self.context(X)), x)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk, a: how much each pixel belongs to each codeword, gamma: the weight of each channel
        (1 x 1), Y the weighted map, P_5 the scores."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        maps |= {"a": (self.context.encoding[3].a, None), "gamma": (self.context.gamma, None)}
        return maps | {"Y": (self.context, None), "P_5": (self.head, None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "paper": dict(se_layer=True),  # 52,482,724; MiniSeg Table 5: 51.25M of 1,024,000
    "released": dict(backbone="resnet50", se_layer=True),  # 33,490,596
}


@register(
    "encnet", paper="Zhang et al., CVPR 2018", arxiv="1803.08904", params=52_482_724,
    notes=(
        "idea: the image as a whole, told as residuals to learned codewords, decides how much each channel counts",
        "1,026 parameters, the layer of the semantic encoding loss, are counted and never used, as in the code",
        "MiniSeg's Table 5 says ResNet50; its count is ResNet-101's. What was trained has ResNet-50",
    ),
)  # fmt: skip
def encnet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> EncNet:
    return EncNet(num_classes, in_channels, **configured("encnet", CONFIGS, config, options))
