"""Attention U-Net: learning where to look for the pancreas (Oktay et al., MIDL 2018, arXiv 1804.03999).

Read beside Figures 1 and 2 and Eqns 1-2: a U-Net whose skips pass a gate. The gate compares a skip x with the decoder's
map g and keeps the pixels that g has a use for. Both benchmarks count the same 2-D version, where g is the upsampled
map at the skip's own size (the paper's gate is 3-D and reads g one level deeper; gated_unet.py is that one). CHS-Net's
Table 3 has one whose contracting path is VGG16.
"""

from torch import Tensor, cat, nn

from covidseg.nn.layers import corner_resize, pointwise, refuse_smaller
from covidseg.nn.registry import register
from covidseg.zoo._configs import U_DEPTH, configured
from covidseg.zoo._sides import at_size_of, expanding, growing, left_side

FINEST = 32  # inner channels of the finest gate: 32 in the code at every width, where the rule would say width / 2


class AttentionGate(nn.Module):
    """Additive attention, Figure 2: skip x (B, C, H, W) and gating map g (B, C_g, H, W) -> x * alpha.

    inner : F_int, the channels in which x and g are compared. C_g : C where none is given.
    """

    def __init__(self, C: int, inner: int, C_g: int | None = None):
        super().__init__()
        self.W_x = nn.Sequential(pointwise(C, inner, bias=True), nn.BatchNorm2d(inner))
        self.W_g = nn.Sequential(pointwise(C_g or C, inner, bias=True), nn.BatchNorm2d(inner))
        self.psi = nn.Sequential(pointwise(inner, 1, bias=True), nn.BatchNorm2d(1))
        self.alpha = nn.Sigmoid()

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        q = self.psi((self.W_x(x) + self.W_g(g)).relu())  # (1) B, 1, H, W
        return x * self.alpha(q)  # (2)


class AttentionUNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 16.

    width : channels of the first level, doubled at each of the four halvings. up, convs, backbone, imagenet : as in
    unet.py, where ``up`` is "bilinear" by default; there g has the channels of the level below.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, width: int = 32, up: str = "conv", convs: int = 2,
        backbone: str | nn.Module | None = None, imagenet=None,
    ):  # fmt: skip
        super().__init__()
        self.down, C = left_side(in_channels, width, backbone, imagenet)  # 32, 64, 128, 256, 512
        pairs = list(zip(C[:0:-1], C[-2::-1], strict=True))  # (512, 256), (256, 128), (128, 64), (64, 32)
        self.grow = growing(pairs, up, "Attention U-Net")
        triples = [(c, c if self.grow else c_below, c // 2 if c > C[0] else FINEST) for c_below, c in pairs]
        self.gates = nn.ModuleList(AttentionGate(c, inner, C_g) for c, C_g, inner in triples)
        block = expanding(convs)
        self.up = nn.ModuleList(block(c + C_g, c) for c, C_g, _ in triples)
        self.head = nn.Conv2d(C[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 2 ** (U_DEPTH - 1), "Attention U-Net")
        *X, y = self.down(x)  # X_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 1..4; y: X_5
        for k, (skip, gate, block) in enumerate(zip(reversed(X), self.gates, self.up, strict=True)):
            g = self.grow[k](y, skip) if self.grow else corner_resize(y, skip)  # B, C_g, H/2^(i-1), W/2^(i-1), i = 4..1
            y = block(cat([gate(skip, g), g], 1))  # Y_i: B, C_i, of the same size
        return at_size_of(x, self.head(y))

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """X_1..X_5 of the contracting path, A/4..A/1 the attention on X_4..X_1 (1 is full size), Y_4..Y_1, P_1."""
        maps = {f"X_{i}": (self.down, i - 1) for i in range(1, U_DEPTH + 1)}
        for i, gate, block in zip((4, 3, 2, 1), self.gates, self.up, strict=True):
            maps |= {f"A/{i}": (gate.alpha, None), f"Y_{i}": (block, None)}
        return maps | {"P_1": (self.head, None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "infnet": dict(width=32),  # 8,727,246; Inf-Net Table II: 8.727M (one class)
    "paper": dict(width=32),  # the same; MiniSeg Table 5: 8.52M of 1,024,000
    "released": dict(width=64),  # 34,878,638
    "chsnet": dict(backbone="vgg16_bn", up="bilinear", convs=1),  # 22,161,710; CHS-Net Table 3: 22M
}


@register(
    "attention_unet", paper="Oktay et al., MIDL 2018", arxiv="1804.03999", params=8_727_246,
    notes=(
        "CHS-Net's Table 3 prints 22M of an Attention U-Net on VGG16; config='chsnet' is its U-Net with these gates: "
        "22,161,645 with one class",
    ),
)  # fmt: skip
def attention_unet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> AttentionUNet:
    return AttentionUNet(num_classes, in_channels, **configured("attention_unet", CONFIGS, config, options))
