"""The multi-class U-Net of Inf-Net's infection-guided labelling (Fan et al., IEEE TMI 2020, section III-C, Figure 6).

Semi-Inf-Net says where infection is; this U-Net (Ronneberger et al., MICCAI 2015) reads that map beside the slice and
says which kind it is. The paper names the network and prints no layer; widths, order and resizes are the code's.
"""

from collections.abc import Sequence

from torch import Tensor, cat, nn
from torch.nn import functional

from covidseg.nn.layers import Double, refuse_smaller
from covidseg.nn.registry import register

DEPTH = 5  # resolutions, so four halvings


class MulticlassUNet(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any sides from 16.

    in_channels : the slice and the prior map of infection, concatenated. Code: three channels each, 6 in all, both
    normalised with ImageNet's mean and deviation; as the three are copies, 4 or 2 channels tell the network as much.
    num_classes : 3 (background, ground-glass opacity, consolidation). Code: the order is GGO, consolidation,
    background, and the loss is binary per channel; the network is the same. width : channels of the first level.
    """

    def __init__(self, num_classes: int = 3, in_channels: int = 6, *, width: int = 64):
        super().__init__()
        C: Sequence[int] = [width * min(2**i, 8) for i in range(DEPTH)]  # 64, 128, 256, 512, 512
        self.down = nn.ModuleList(Double(c, c_out) for c, c_out in zip([in_channels, *C[:-1]], C, strict=True))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(Double(2 * c, max(c // 2, width), middle=c) for c in reversed(C[:-1]))
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        refuse_smaller(x.shape[-2:], 2 ** (DEPTH - 1), "The multi-class U-Net")
        X = [self.down[0](x)]
        for double in self.down[1:]:
            X.append(double(self.pool(X[-1])))  # B, C_i, H/2^i, W/2^i
        y = X.pop()
        for double in self.up:
            skip = X.pop()
            y = double(cat([skip, twice(y, skip)], 1))  # B, C_i / 2, H/2^i, W/2^i
        return self.head(y)

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """The paper names no map: E_1 to E_5 on the way down, D_4 to D_1 on the way up, P_1 the logits of the kinds."""
        maps: dict[str, tuple[nn.Module, int | None]] = {f"E_{k}": (one, None) for k, one in enumerate(self.down, 1)}
        maps |= {f"D_{k}": (one, None) for k, one in zip(range(DEPTH - 1, 0, -1), self.up, strict=True)}
        return maps | {"P_1": (self.head, None)}


def twice(y: Tensor, like: Tensor) -> Tensor:
    """Code: bilinear to twice the sides, corner pixels on corner pixels; at an odd side of ``like`` the row or column
    that is lacking at its end is zero. At even sides this is a plain resize."""
    y = functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
    below, right = (side - own for side, own in zip(like.shape[-2:], y.shape[-2:], strict=True))
    return functional.pad(y, (0, right, 0, below))


@register("multiclass_unet", paper="Fan et al., IEEE TMI 2020", arxiv="2004.14133", params=17_269_251)
def multiclass_unet(num_classes: int = 3, in_channels: int = 6, **options) -> MulticlassUNet:
    return MulticlassUNet(num_classes, in_channels, **options)
