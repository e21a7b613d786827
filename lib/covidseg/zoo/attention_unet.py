"""Attention U-Net: learning where to look for the pancreas (Oktay et al., MIDL 2018, arXiv 1804.03999).

Read beside Figures 1 and 2 and Eqns 1-2: a U-Net whose skips pass a gate. The gate compares a skip x with the decoder's
map g and keeps the pixels that g has a use for. Both benchmarks count the same 2-D version, where g is the upsampled
map at the skip's own size (the paper's gate is 3-D and reads g one level deeper; gated_unet.py is that one).
"""

from torch import Tensor, cat, nn

from covidseg.nn.layers import Contracting, Double, UpConv, pointwise, refuse_smaller
from covidseg.nn.registry import register
from covidseg.zoo._configs import U_DEPTH, configured, u_channels

FINEST = 32  # inner channels of the finest gate: 32 in the code at every width, where the rule would say width / 2


class AttentionGate(nn.Module):
    """Additive attention, Figure 2: skip x and gating map g, (B, C, H, W) each -> x * alpha.

    inner : F_int, the channels in which x and g are compared.
    """

    def __init__(self, C: int, inner: int):
        super().__init__()
        self.W_x = nn.Sequential(pointwise(C, inner, bias=True), nn.BatchNorm2d(inner))
        self.W_g = nn.Sequential(pointwise(C, inner, bias=True), nn.BatchNorm2d(inner))
        self.psi = nn.Sequential(pointwise(inner, 1, bias=True), nn.BatchNorm2d(1))
        self.alpha = nn.Sigmoid()

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        q = self.psi((self.W_x(x) + self.W_g(g)).relu())  # (1) B, 1, H, W
        return x * self.alpha(q)  # (2)


class AttentionUNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 16.

    width : channels of the first level, doubled at each of the four halvings.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, width: int = 32):
        super().__init__()
        C = u_channels(width)  # 32, 64, 128, 256, 512
        self.down = Contracting([in_channels, *C])
        pairs = list(zip(C[:0:-1], C[-2::-1], strict=True))  # (512, 256), (256, 128), (128, 64), (64, 32)
        self.grow = nn.ModuleList(UpConv(c, c_out) for c, c_out in pairs)
        self.gates = nn.ModuleList(AttentionGate(c, c // 2 if c > width else FINEST) for _, c in pairs)
        self.up = nn.ModuleList(Double(2 * c, c) for _, c in pairs)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 2 ** (U_DEPTH - 1), "Attention U-Net")
        *X, y = self.down(x)  # X_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 1..4; y: X_5
        for skip, grow, gate, double in zip(reversed(X), self.grow, self.gates, self.up, strict=True):
            g = grow(y, skip)  # B, C_i, H/2^(i-1), W/2^(i-1), i = 4..1
            y = double(cat([gate(skip, g), g], 1))  # Y_i, of the same shape
        return self.head(y)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """X_1..X_5 of the contracting path, A/4..A/1 the attention on X_4..X_1 (1 is full size), Y_4..Y_1, P_1."""
        maps = {f"X_{i}": (self.down, i - 1) for i in range(1, U_DEPTH + 1)}
        for i, gate, double in zip((4, 3, 2, 1), self.gates, self.up, strict=True):
            maps |= {f"A/{i}": (gate.alpha, None), f"Y_{i}": (double, None)}
        return maps | {"P_1": (self.head, None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "infnet": dict(width=32),  # 8,727,246; Inf-Net Table II: 8.727M (one class)
    "paper": dict(width=32),  # the same; MiniSeg Table 5: 8.52M of 1,024,000
    "released": dict(width=64),  # 34,878,638
}


@register("attention_unet", paper="Oktay et al., MIDL 2018", arxiv="1804.03999", params=8_727_246)
def attention_unet(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> AttentionUNet:
    return AttentionUNet(num_classes, in_channels, **configured("attention_unet", CONFIGS, config, options))
