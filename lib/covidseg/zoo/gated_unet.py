"""Gated U-Net: attention gated networks (Schlemper et al., Medical Image Analysis 2019, arXiv 1808.08114).

The authors of Attention U-Net again; their published networks are 3-D, this is their plan in 2-D. Unlike in
attention_unet.py the gating map g is one level deeper than the skip x: x is shrunk to g's grid and compared there
(Eqns 1-2 of Oktay et al.), and the attention is grown back. The finest skip is not gated. Every decoder level votes.

Inf-Net's Table II prints 175.093K parameters and 714.419M of a "Gated-UNet" and shows no layers. Networks of this plan
with four channels at the first level have 124,000 to 150,000; none of those tried has 175,093 in a way that the papers
would explain. So this is a network of the right kind and size, not that of Table II.
"""

from torch import Tensor, cat, nn

from covidseg.errors import UserError
from covidseg.nn.layers import Contracting, ConvBNReLU, Double, pointwise, refuse_smaller, resize
from covidseg.nn.registry import register
from covidseg.zoo._configs import U_DEPTH, configured, u_channels


class GridAttention(nn.Module):
    """Additive attention on g's grid: skip x (B, C, H, W), gating map g (B, C_g, H/2, W/2) -> alpha (B, G, H, W)."""

    def __init__(self, C: int, C_g: int, G: int):
        super().__init__()
        self.W_x = nn.ModuleList(nn.Conv2d(C, C, 2, 2, bias=False) for _ in range(G))
        self.W_g = nn.ModuleList(pointwise(C_g, C, bias=True) for _ in range(G))
        self.psi = nn.ModuleList(pointwise(C, 1, bias=True) for _ in range(G))

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        units = zip(self.W_x, self.W_g, self.psi, strict=True)
        q = cat([psi((W_x(x) + W_g(g)).relu()) for W_x, W_g, psi in units], 1)  # (1) B, G, H/2, W/2
        return resize(q.sigmoid(), x.shape[-2:])  # (2), and the attention coefficients are resampled to x


class GridGate(nn.Module):
    """G attentions weigh the skip x (B, C, H, W), each copy is convolved, and all are combined: -> (B, C, H, W)."""

    def __init__(self, C: int, C_g: int, G: int):
        super().__init__()
        self.attention = GridAttention(C, C_g, G)
        self.W = nn.ModuleList(nn.Sequential(pointwise(C, C, bias=True), nn.BatchNorm2d(C)) for _ in range(G))
        self.combine = ConvBNReLU(G * C, C, 1, bias=True)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        A = self.attention(x, g)  # B, G, H, W
        return self.combine(cat([W(x * a) for W, a in zip(self.W, A.split(1, 1), strict=True)], 1))


class GatedUNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 16.

    width : channels of the first level, doubled at each of the four halvings. gates : attentions on each gated skip.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 3, *, width: int = 4, gates: int = 2):
        super().__init__()
        if gates < 1:
            raise UserError(f"gates={gates}: a gated skip has one attention or more.")
        C = u_channels(width)  # 4, 8, 16, 32, 64
        self.down = Contracting([in_channels, *C])
        self.gating = ConvBNReLU(C[4], C[4], 1, bias=True)
        self.gates = nn.ModuleList(GridGate(C[i], C[i + 1], gates) for i in (3, 2, 1))
        self.up = nn.ModuleList(Double(C[i] + C[i + 1], C[i]) for i in (3, 2, 1, 0))
        self.votes = nn.ModuleList(pointwise(C[i], num_classes, bias=True) for i in (3, 2, 1, 0))
        self.head = nn.Conv2d(4 * num_classes, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        refuse_smaller(size, 2 ** (U_DEPTH - 1), "Gated U-Net")
        *X, y = self.down(x)  # X_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 1..4; y: X_5
        votes, g = [], self.gating(y)
        for k, (skip, double, vote) in enumerate(zip(reversed(X), self.up, self.votes, strict=True)):
            gated = self.gates[k](skip, g) if k < len(self.gates) else skip
            y = double(cat([gated, resize(y, skip.shape[-2:])], 1))  # Y_i: B, C_i, H/2^(i-1), W/2^(i-1), i = 4..1
            votes.append(resize(vote(y), size))
            g = y
        return self.head(cat(votes, 1))

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """X_1..X_5, A/4..A/2 the attentions on X_4..X_2 (one channel each), Y_4..Y_1, V_4..V_1 the votes, P_1."""
        maps = {f"X_{i}": (self.down, i - 1) for i in range(1, U_DEPTH + 1)}
        maps |= {f"A/{i}": (gate.attention, None) for i, gate in zip((4, 3, 2), self.gates, strict=True)}
        for i, double, vote in zip((4, 3, 2, 1), self.up, self.votes, strict=True):
            maps |= {f"Y_{i}": (double, None), f"V_{i}": (vote, None)}
        return maps | {"P_1": (self.head, None)}


CONFIGS: dict[str, dict] = {"infnet": {}, "paper": {}}  # 150,428 parameters with 2 classes


@register(
    "gated_unet", paper="Schlemper et al., MedIA 2019", arxiv="1808.08114", params=150_428,
    notes=("of the kind and size that Inf-Net's Table II prints (175.093K), but not that network: it is not known",),
)  # fmt: skip
def gated_unet(num_classes: int = 2, in_channels: int = 3, *, config: str = "infnet", **options) -> GatedUNet:
    return GatedUNet(num_classes, in_channels, **configured("gated_unet", CONFIGS, config, options))
