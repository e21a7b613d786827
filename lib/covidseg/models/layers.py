"""Small pieces that several networks share."""

from torch import Tensor, nn
from torch.nn import functional as F

from covidseg.errors import unknown_name

__all__ = ["activation", "depthwise", "pointwise", "resize"]


def activation(kind: str, channels: int) -> nn.Module:
    """``prelu`` has one learned slope per channel (start 0.25), ``relu`` none."""
    kinds = {"prelu": lambda: nn.PReLU(channels), "relu": lambda: nn.ReLU(inplace=True)}
    if kind not in kinds:
        raise unknown_name("activation", kind, kinds)
    return kinds[kind]()


def pointwise(c_in: int, c_out: int, *, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    """1x1 convolution: mixes channels, looks at no neighbour."""
    return nn.Conv2d(c_in, c_out, 1, groups=groups, bias=bias)


def depthwise(channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """One k x k filter per channel (no mixing), padded so that stride 1 keeps the size."""
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, half-pixel centres, to (H, W) = ``size``; any factor, so odd sizes work."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
