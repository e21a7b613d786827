"""Layers that the small networks share: ENet, ESPNet, ESPNetv2 and CGNet are made of convolution, BatchNorm, PReLU."""

from torch import Tensor, nn
from torch.nn import functional as F

from covidseg.nn.layers import activation

EPS = 1e-3  # of BatchNorm in ENet, ESPNet and CGNet


class BNAct(nn.Sequential):
    """BatchNorm and an activation: (B, C, H, W) -> the same shape."""

    def __init__(self, C: int, *, eps: float = EPS, act: str = "prelu"):
        super().__init__(nn.BatchNorm2d(C, eps), activation(act, C))


class ConvBNAct(nn.Sequential):
    """Convolution that keeps the size at stride 1, no bias, BatchNorm, activation: (B, C, H, W) -> (B, C', H', W')."""

    def __init__(
        self, C: int, C_out: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, eps: float = EPS,
        act: str = "prelu",
    ):  # fmt: skip
        conv = nn.Conv2d(C, C_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
        super().__init__(conv, *BNAct(C_out, eps=eps, act=act))


def halving() -> nn.AvgPool2d:
    """3x3 average at stride 2; the padding counts. Odd sides are rounded up, as by a 3x3 convolution of stride 2."""
    return nn.AvgPool2d(3, 2, padding=1)


def pad_to_multiple(x: Tensor, m: int) -> Tensor:
    """Zeros at the right and at the bottom until m divides both sides."""
    H, W = x.shape[-2:]
    return F.pad(x, (0, -W % m, 0, -H % m)) if H % m or W % m else x
