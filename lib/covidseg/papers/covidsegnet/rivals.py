"""The rivals of Table I that are written here: a 3-D FCN, and 3-D U-Net (Cicek et al., MICCAI 2016, arXiv 1606.06650).

The paper says of all four rivals that they "employ 3D convolution" and no more. What it calls FCN is FD-FCN in its list
of references, a dense network for brains; ours is the plain one. V-Net and UNet++ are MONAI's (``monai_rivals``).
"""

from torch import Tensor, cat, nn

from covidseg.nn.registry import register
from covidseg.papers.covidsegnet.blocks import CBR, grown
from covidseg.papers.covidsegnet.network import HALVED
from covidseg.papers.covidsegnet.predictor import asked

__all__ = ["FCN3D", "UNet3D"]


class Double(nn.Sequential):
    """Twice 3x3x3 convolution, BatchNorm, ReLU: (B, C, H, W, D) -> (B, C_out, H, W, D)."""

    def __init__(self, C: int, C_out: int, middle: int | None = None):
        super().__init__(*CBR(C, middle or C_out), *CBR(middle or C_out, C_out))


class FCN3D(nn.Module):
    """FCN-8s in 3-D: (B, in_channels, H, W, D) -> logits (B, num_classes, H, W, D).

    Four stages of two convolutions, width to 8 width channels, max pooling between them; the scores of strides 2, 4
    and 8 are added up, the coarser interpolated to the finer, and the sum to the input. Sides that 8 does not divide
    are filled up with the border's own values.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 1, *, width: int = 64):
        super().__init__()
        C = [in_channels, *(width * 2**k for k in range(4))]  # 1, 64, 128, 256, 512
        self.stages = nn.ModuleList(Double(c, c_out) for c, c_out in zip(C[:-1], C[1:], strict=True))
        self.scores = nn.ModuleList(nn.Conv3d(c, num_classes, 1) for c in C[2:])
        self.pool = nn.MaxPool3d(2)

    def forward(self, x: Tensor) -> Tensor:
        H, W, D = x.shape[2:]
        x = grown(x, HALVED)
        y, f = x, []
        for k, stage in enumerate(self.stages):
            y = stage(self.pool(y) if k else y)  # f_{k+1}: B, 2^k width, H/2^k, W/2^k, D/2^k
            f.append(y)
        finer, coarser, P = (score(y) for score, y in zip(self.scores, f[1:], strict=True))
        P = trilinear(P, coarser) + coarser  # B, num_classes, H/4, W/4, D/4
        P = trilinear(P, finer) + finer  # B, num_classes, H/2, W/2, D/2
        return trilinear(P, x)[..., :H, :W, :D]

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1..f_4 of the stages, and the scores P_4, P_3, P_2 of strides 8, 4 and 2, before they are added."""
        maps: dict[str, tuple[nn.Module, int | None]] = {f"f_{k}": (s, None) for k, s in enumerate(self.stages, 1)}
        return maps | {f"P_{k}": (self.scores[k - 2], None) for k in (4, 3, 2)}


def trilinear(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, H, W, D) at the size of ``like``, half-voxel centres."""
    return nn.functional.interpolate(x, like.shape[2:], mode="trilinear", align_corners=False)


class UNet3D(nn.Module):
    """3-D U-Net, Figure 2: (B, in_channels, H, W, D) -> logits (B, num_classes, H, W, D).

    width : channels of the first convolution; each level ends with twice as many as it begins with, so that channels
    double before a pooling: 32-64, 64-128, 128-256, 256-512. Sides that 8 does not divide are filled up with the
    border's own values; the paper's 132 x 132 x 116 lose a border instead.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 1, *, width: int = 32):
        super().__init__()
        C = [width * 2**k for k in range(5)]  # 32, 64, 128, 256, 512
        ins = [in_channels, *C[1:4]]
        self.down = nn.ModuleList(Double(c, C[k + 1], C[k]) for k, c in enumerate(ins))
        self.pool = nn.MaxPool3d(2)
        self.grow = nn.ModuleList(nn.ConvTranspose3d(c, c, 2, stride=2) for c in C[2:])
        self.up = nn.ModuleList(Double(c + 2 * c, c) for c in C[1:4])
        self.head = nn.Conv3d(C[1], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        H, W, D = x.shape[2:]
        y, X = grown(x, HALVED), []
        for k, level in enumerate(self.down):
            y = level(self.pool(y) if k else y)  # X_{k+1}: B, 2^(k+1) width, H/2^k, W/2^k, D/2^k
            X.append(y)
        for k in (2, 1, 0):
            y = self.up[k](cat([X[k], self.grow[k](y)], 1))  # Y_{k+1}: as X_{k+1}
        return self.head(y)[..., :H, :W, :D]

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """X_1..X_4 of the contracting path, Y_3..Y_1 of the expansive one, P_1 the logits."""
        maps: dict[str, tuple[nn.Module, int | None]] = {f"X_{k}": (d, None) for k, d in enumerate(self.down, 1)}
        return maps | {f"Y_{k + 1}": (self.up[k], None) for k in (2, 1, 0)} | {"P_1": (self.head, None)}


@register(
    "fcn3d", paper="Long et al., CVPR 2015, in 3-D", arxiv="1411.4038", params=14_052_550, dimensions=3,
    notes=("COVID-SegNet's Table I says 'FCN' and prints neither size nor number of parameters",),
)  # fmt: skip
def fcn3d(num_classes: int = 2, in_channels: int = 1, *, outputs: str = "infection", **options) -> FCN3D:
    """outputs : what its classes are, see `covidseg.papers.covidsegnet.predictor`."""
    return asked(FCN3D(num_classes, in_channels, **options), outputs, num_classes)


@register(
    "unet3d", paper="Cicek et al., MICCAI 2016", arxiv="1606.06650", params=19_071_394, dimensions=3,
    notes=("its paper prints 19,069,955, for three classes and unpadded convolutions",),
)  # fmt: skip
def unet3d(num_classes: int = 2, in_channels: int = 1, *, outputs: str = "infection", **options) -> UNet3D:
    """outputs : what its classes are, see `covidseg.papers.covidsegnet.predictor`."""
    return asked(UNet3D(num_classes, in_channels, **options), outputs, num_classes)
