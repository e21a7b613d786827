"""DFN: a discriminative feature network (Yu et al., CVPR 2018, arXiv 1804.09337).

Read beside Figures 2 and 3: two small networks on one ResNet. The smooth network comes down from the global average and
lets each coarse map choose the channels of the next finer one (CAB), so a region gets one class. The border network
goes up from fine to coarse and learns the outline. MiniSeg's benchmark has ResNet-101 in its Table 5 and ResNet-50
in its code, and in both as many channels as classes, where the paper has 512.
"""

from torch import Tensor, cat, nn

from covidseg.backbones import trunk
from covidseg.nn.layers import nearest_resize, pointwise, resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import configured


class RRB(nn.Module):
    """Refinement residual block, Figure 3 (b): (B, C, H, W) -> (B, K, H, W)."""

    def __init__(self, C: int, K: int):
        super().__init__()
        self.unify = pointwise(C, K, bias=True)
        first, last = nn.Conv2d(K, K, 3, padding=1), nn.Conv2d(K, K, 3, padding=1)
        self.refine = nn.Sequential(first, nn.BatchNorm2d(K), nn.ReLU(inplace=True), last)

    def forward(self, x: Tensor) -> Tensor:
        x = self.unify(x)
        return (x + self.refine(x)).relu()


class CAB(nn.Module):
    """Channel attention block, Figure 3 (a): the coarse map (B, K, H, W) weighs the channels of the fine one."""

    def __init__(self, K: int):
        super().__init__()
        first, last = pointwise(2 * K, K, bias=True), pointwise(K, K, bias=True)
        nn.init.ones_(first.bias)  # ours: from zero, two hidden channels are both dead in one build of four
        self.alpha = nn.Sequential(nn.AdaptiveAvgPool2d(1), first, nn.ReLU(inplace=True), last, nn.Sigmoid())

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return coarse + fine * self.alpha(cat([coarse, fine], 1))  # (4) alpha: B, K, 1, 1


class DFN(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W), in ``train()`` (logits, [border logits]); any size.

    backbone : "resnet101", "resnet50", or any module that answers [f_1, ..., f_5] and has ``channels``. imagenet : a
    file of ImageNet weights for it. The logits end in a ReLU and are never negative: so has the code.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module = "resnet101", imagenet=None
    ):  # fmt: skip
        super().__init__()
        # the ImageNet classifier takes part in nothing, but the printed count has it
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, classes=1000)
        K, C = num_classes, self.backbone.channels[1:]  # 256, 512, 1024, 2048
        self.squeeze = pointwise(C[-1], K, bias=True)
        self.CAB = nn.ModuleList(CAB(K) for _ in C)
        self.skip, self.up = nn.ModuleList(RRB(c, K) for c in C), nn.ModuleList(RRB(K, K) for _ in C)
        self.side, self.border = nn.ModuleList(RRB(c, K) for c in C), nn.ModuleList(RRB(K, K) for _ in C[1:])
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, list[Tensor]]:
        _, *f = self.backbone(x)  # f_2 .. f_5, strides 4, 8, 16, 32
        logits = resize(self.smooth(f), x.shape[-2:])
        return (logits, [resize(self.outline(f), x.shape[-2:])]) if self.training else logits

    def smooth(self, f: list[Tensor]) -> Tensor:
        """From the global average down to stride 4: B, K, H/4, W/4."""
        y = nearest_resize(self.pool(self.squeeze(f[-1])), f[-1])
        coarse_first = reversed(list(zip(self.skip, self.CAB, f, strict=True)))
        for up, (skip, cab, f_i) in zip(self.up, coarse_first, strict=True):
            y = up(cab(resize(y, f_i.shape[-2:]), skip(f_i)))
        return y

    def outline(self, f: list[Tensor]) -> Tensor:
        """From stride 4 up, each coarser map grown and added: B, K, H/4, W/4."""
        q = self.side[0](f[0])
        for side, border, f_i in zip(self.side[1:], self.border, f[1:], strict=True):
            q = border(q + resize(side(f_i), q.shape[-2:]))
        return q

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_5 of the trunk; A/5..A/2 the attention, one value a channel; Y_5..Y_2 behind it; P_2 is Y_2."""
        maps = {f"f_{i}": (self.backbone, i - 1) for i in range(1, 6)}
        for i in (5, 4, 3, 2):
            maps |= {f"A/{i}": (self.CAB[i - 2].alpha, None), f"Y_{i}": (self.up[5 - i], None)}
        return maps | {"P_2": (self.up[-1], None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "paper": dict(backbone="resnet101"),  # 44,569,940; MiniSeg Table 5: 43.53M of 1,024,000, though it says ResNet50
    "released": dict(backbone="resnet50"),  # 25,577,812
}


@register(
    "dfn", paper="Yu et al., CVPR 2018", arxiv="1804.09337", params=44_569_940,
    notes=(
        "idea: from coarse to fine, each map chooses the channels of the next, so that a region gets one class",
        "2,049,000 parameters are the trunk's ImageNet classifier, which MiniSeg's Table 5 counts and nothing uses",
        "Table 5 says ResNet50: its count is ResNet-101's, and its 81.88 GFLOPs count the trunk twice (40.79 G once)",
    ),
)  # fmt: skip
def dfn(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> DFN:
    return DFN(num_classes, in_channels, **configured("dfn", CONFIGS, config, options))
