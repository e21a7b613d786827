"""UNet++: a nested U-Net architecture for medical image segmentation (Zhou et al., DLMIA 2018, arXiv 1807.10165).

Read beside Figure 1 (a) and Eqn 1: X^{i,j} is the node at resolution i and column j; column 0 is the contracting path,
and each further column closes the gap between encoder and decoder by one more step. With deep supervision (section
3.2) the whole top row X^{0,1}..X^{0,4} predicts. The node is the U-Nets' Double, with BatchNorm. CHS-Net's Table 3 has
one whose column 0 is ResNet50.
"""

from torch import Tensor, cat, nn

from covidseg.nn.layers import Double, corner_resize, refuse_smaller
from covidseg.nn.registry import register
from covidseg.zoo._configs import U_DEPTH, configured, u_channels
from covidseg.zoo._sides import at_size_of, left_side


class UNetPlusPlus(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W) of X^{0,4}; any sides from 16.

    width : channels of the first level, doubled at each of the four halvings. deep_supervision : heads on all of
    X^{0,1}..X^{0,4}; then ``train()`` answers (logits, [those of X^{0,3}, X^{0,2}, X^{0,1}]), all at the input size.
    backbone : a trunk as column 0, by name or as a module; the other nodes keep their width. imagenet : a file of its
    ImageNet weights.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, width: int = 32, deep_supervision: bool = False,
        backbone: str | nn.Module | None = None, imagenet=None,
    ):  # fmt: skip
        super().__init__()
        W, last = u_channels(width), U_DEPTH - 1  # 32, 64, 128, 256, 512
        self.down, C = left_side(in_channels, width, backbone, imagenet)  # C = W without a trunk
        channels = {(i, j): W[i] if j else C[i] for i in range(U_DEPTH) for j in range(U_DEPTH - i)}
        self.nodes = nn.ModuleDict()
        for j in range(1, U_DEPTH):
            for i in range(U_DEPTH - j):
                row = sum(channels[i, k] for k in range(j))
                self.nodes[f"X_{i}_{j}"] = Double(row + channels[i + 1, j - 1], W[i])
        supervised = range(last, 0, -1) if deep_supervision else [last]  # finest first: X^{0,4}, then X^{0,3}, ...
        self.heads = nn.ModuleDict({f"P_{j}": nn.Conv2d(width, num_classes, 1) for j in supervised})

    def forward(self, x: Tensor):
        refuse_smaller(x.shape[-2:], 2 ** (U_DEPTH - 1), "UNet++")
        X = {(i, 0): y for i, y in enumerate(self.down(x))}  # (1) j = 0: B, C_i, H/2^i, W/2^i
        for j in range(1, U_DEPTH):
            for i in range(U_DEPTH - j):
                before = [X[i, k] for k in range(j)]  # all nodes of this row so far
                below = corner_resize(X[i + 1, j - 1], before[0])  # U of Eqn 1
                X[i, j] = self.nodes[f"X_{i}_{j}"](cat([*before, below], 1))  # (1) B, C_i, H/2^i, W/2^i
        if not self.training:
            return at_size_of(x, self.heads["P_4"](X[0, 4]))
        P, *sides = [at_size_of(x, head(X[0, int(name[-1])])) for name, head in self.heads.items()]
        return (P, sides) if sides else P

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """X_i_j, the nodes of Figure 1, column by column, and P_4 the logits (eval mode runs no other head)."""
        maps = {f"X_{i}_0": (self.down, i) for i in range(U_DEPTH)}
        maps |= {name: (node, None) for name, node in self.nodes.items()}
        return maps | {"P_4": (self.heads["P_4"], None)}


CONFIGS: dict[str, dict] = {  # parameters with 2 classes, measured
    "infnet": dict(width=32, deep_supervision=True),  # 9,163,461; Inf-Net Table II: 9.163M (one class)
    "paper": dict(width=32),  # 9,163,362; MiniSeg Table 5: 8.95M of 1,024,000
    "released": dict(width=64),  # 36,629,698
    "chsnet": dict(backbone="resnet50"),  # 35,678,210; CHS-Net Table 3 prints 37.6M
}


@register(
    "unetplusplus", paper="Zhou et al., DLMIA 2018", arxiv="1807.10165", params=9_163_362,
    notes=(
        "CHS-Net's Table 3 prints 37.6M of a U-Net++ on ResNet50, which no natural build has: config='chsnet', the "
        "paper's own nodes on that trunk, has 35,678,177 with one class, and 37,727,177 with ResNet50's classifier",
    ),
)  # fmt: skip
def unetplusplus(num_classes: int = 2, in_channels: int = 3, *, config: str = "paper", **options) -> UNetPlusPlus:
    return UNetPlusPlus(num_classes, in_channels, **configured("unetplusplus", CONFIGS, config, options))
