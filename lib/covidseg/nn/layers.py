"""Small pieces that several networks share."""

from collections.abc import Callable, Sequence

from torch import Tensor, cat, nn
from torch.nn import functional as F

from covidseg.errors import UserError, unknown_name
from covidseg.nn.fast_layers import HalvingConv2d, PReLU

__all__ = [
    "ASPP",
    "Affinity",
    "Contracting",
    "ConvBNReLU",
    "Double",
    "FFM",
    "Lateral",
    "PPM",
    "UpConv",
    "activation",
    "collect",
    "corner_resize",
    "depthwise",
    "dimensions",
    "input_channels",
    "main_output",
    "nearest_resize",
    "pointwise",
    "refuse_smaller",
    "resize",
]


def activation(kind: str, channels: int) -> nn.Module:
    """``prelu`` has one learned slope per channel (start 0.25), ``relu`` none."""
    kinds = {"prelu": lambda: PReLU(channels), "relu": lambda: nn.ReLU(inplace=True)}
    if kind not in kinds:
        raise unknown_name("activation", kind, kinds)
    return kinds[kind]()


def pointwise(c_in: int, c_out: int, *, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    """1x1 convolution: mixes channels, looks at no neighbour."""
    return nn.Conv2d(c_in, c_out, 1, groups=groups, bias=bias)


def depthwise(channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """One k x k filter per channel (no mixing), padded so that stride 1 keeps the size."""
    padding = dilation * (kernel - 1) // 2
    conv = HalvingConv2d if stride == 2 and dilation % 2 == 0 and kernel % 2 == 1 else nn.Conv2d
    return conv(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, half-pixel centres, to (H, W) = ``size``; any factor, so odd sizes work."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def corner_resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear to the size of ``like``, corner pixels on corner pixels (align_corners), as many decoders have it."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def nearest_resize(x: Tensor, like: Tensor) -> Tensor:
    """Each pixel repeated until x has the size of ``like``."""
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def refuse_smaller(size: tuple[int, int], least: int, network: str) -> None:
    """UserError, naming the size to pad to, if a side of (H, W) would be halved to nothing."""
    if min(size) < least:
        H, W = (max(side, least) for side in size)
        raise UserError(f"{network} wants sides of {least} pixels or more: pad {size[0]} x {size[1]} to {H} x {W}.")


def input_channels(model: nn.Module) -> int:
    """Channels that the first convolution takes, 2-D or 3-D: a depthwise layer over 8 channels reads 8.

    A module without a convolution reads 3, as the networks made for colour pictures do.
    """
    conv = _first_convolution(model)
    return 3 if conv is None else conv.in_channels


def dimensions(model: nn.Module) -> int:
    """3 if the first convolution is a Conv3d, else 2."""
    return 3 if isinstance(_first_convolution(model), nn.Conv3d) else 2


def _first_convolution(model: nn.Module) -> nn.Conv2d | nn.Conv3d | None:
    return next((m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), None)


def main_output(out: Tensor | tuple[Tensor, Sequence[Tensor]] | tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """The prediction of a network: side outputs, where there are some, follow it in a tuple."""
    return out[0] if isinstance(out, tuple | list) else out


class ConvBNReLU(nn.Sequential):
    """Convolution that keeps the size at stride 1, BatchNorm, ReLU: (B, C, H, W) -> (B, C', H', W')."""

    def __init__(self, C: int, C_out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, bias: bool = False):
        conv = nn.Conv2d(C, C_out, kernel, stride, dilation * (kernel - 1) // 2, dilation, bias=bias)
        super().__init__(conv, nn.BatchNorm2d(C_out), nn.ReLU(inplace=True))


class Double(nn.Sequential):
    """Twice 3x3 convolution (with bias), BatchNorm, ReLU; the block of all U-Nets: (B, C, H, W) -> (B, C', H, W)."""

    def __init__(self, C: int, C_out: int, middle: int | None = None):
        middle = middle or C_out
        super().__init__(*ConvBNReLU(C, middle, bias=True), *ConvBNReLU(middle, C_out, bias=True))


class Contracting(nn.Module):
    """The left side of a U: a Double at each resolution, halved by max-pooling in between.

    channels : C_0 of the input, then C_1, C_2, ... of the levels. (B, C_0, H, W) -> [X_1, X_2, ...], X_i being
    (B, C_i, H/2^(i-1), W/2^(i-1)), odd sides rounded down.
    """

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        self.levels = nn.ModuleList(Double(c, c_out) for c, c_out in zip(channels[:-1], channels[1:], strict=True))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> list[Tensor]:
        X = [self.levels[0](x)]
        for level in self.levels[1:]:
            X.append(level(self.pool(X[-1])))
        return X


class UpConv(ConvBNReLU):
    """Grow to the size of ``like`` by repeating pixels, then 3x3 convolution, BatchNorm, ReLU ("up-conv" of the U)."""

    def __init__(self, C: int, C_out: int):
        super().__init__(C, C_out, bias=True)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:  # type: ignore[override]  # one input more than a Sequential
        return super().forward(nearest_resize(x, like))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling of DeepLabv3 (Chen et al. 2017, arXiv 1706.05587, Figure 5).

    One 1x1 convolution, a 3x3 for each dilation in ``rates``, and the mean of the whole map, side by side:
    (B, C, H, W) -> (B, (2 + len(rates)) * C_out, H, W). The mean is one value per channel, so ``train()`` needs two
    samples or more for its BatchNorm.
    """

    def __init__(self, C: int, C_out: int, rates: Sequence[int]):
        super().__init__()
        self.branches = nn.ModuleList([ConvBNReLU(C, C_out, 1), *(ConvBNReLU(C, C_out, dilation=r) for r in rates)])
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), *ConvBNReLU(C, C_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        maps = [branch(x) for branch in self.branches]  # each B, C_out, H, W
        return cat([*maps, self.image(x).expand_as(maps[0])], 1)


class PPM(nn.Module):
    """Pyramid pooling of PSPNet (Zhao et al., CVPR 2017, Figure 3 c): the map's means in b x b bins, for each b.

    Each level is averaged, brought to C_out channels by a 1x1 convolution and grown back to the map's size; the levels
    stand side by side, the map itself is left to the caller: (B, C, H, W) -> (B, len(bins) * C_out, H, W).
    norm, relu : BatchNorm and ReLU after the 1x1 (with norm, ``train()`` needs two samples or more for the bin of 1).
    corners : how the levels grow, corner pixels on corner pixels (align_corners) or by half-pixel centres.
    """

    def __init__(
        self, C: int, C_out: int, bins: Sequence[int] = (1, 2, 3, 6), *, norm: bool = True, relu: bool = True,
        corners: bool = True,
    ):  # fmt: skip
        super().__init__()
        self.corners = corners
        self.levels = nn.ModuleList()
        for b in bins:
            after = [nn.BatchNorm2d(C_out)] * norm + [nn.ReLU(inplace=True)] * relu
            self.levels.append(nn.Sequential(nn.AdaptiveAvgPool2d(b), pointwise(C, C_out), *after))

    def forward(self, x: Tensor) -> Tensor:
        levels = [level(x) for level in self.levels]  # each B, C_out, b, b
        H, W = x.shape[-2:]
        return cat([corner_resize(f, x) if self.corners else resize(f, (H, W)) for f in levels], 1)


class Affinity(nn.Module):
    """How much each query looks at each key: their products, times ``scale``, in a softmax over the keys.

    Queries Q (B, C, H, W) and keys K (B, C, h, w) -> A (B, H W, h, w), sum 1 over (h, w): channel n is where position n
    (row by row) looks. Without numbers of its own, and a module so that A can be captured.
    """

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = scale

    def forward(self, Q: Tensor, K: Tensor) -> Tensor:
        products = Q.flatten(2).transpose(1, 2) @ K.flatten(2)  # B, H W, h w
        return (self.scale * products).softmax(-1).unflatten(2, K.shape[-2:])


def collect(V: Tensor, A: Tensor, like: Tensor) -> Tensor:
    """Sums of values V (B, C, h, w), weighted by A of ``Affinity``, as a map (B, C, H, W) of the size of ``like``."""
    return (V.flatten(2) @ A.flatten(2).transpose(1, 2)).unflatten(2, like.shape[-2:])


class FFM(nn.Module):
    """Feature Fusion Module (Qiu et al., AAAI 2021, Figure 2 (c) and Eqn 14): (B, C, H, W) -> (B, C', H, W)."""

    def __init__(self, C: int, C_out: int):
        super().__init__()
        self.shrink = pointwise(C, C_out)
        self.near, self.far = depthwise(C_out, 3), depthwise(C_out, 3, dilation=2)
        self.bn = nn.BatchNorm2d(C_out)

    def forward(self, X: Tensor) -> Tensor:
        S = self.shrink(X)  # (14) B, C', H, W
        return self.bn(self.near(S) + self.far(S))  # (14)


class Lateral(nn.Module):
    """One decoder step of the same paper, Eqn 15: the upsampled D_{i+1} (B, C, H, W) meets E_i (B, C', H, W) -> D_i.

    fusion : builder f(C, C') of what the upsampled map passes. bias : of the lateral 1x1 convolution.
    """

    def __init__(
        self, C: int, C_out: int, *, fusion: Callable[..., nn.Module] = FFM, bias: bool = True, act: str = "prelu"
    ):
        super().__init__()
        self.fusion = fusion(C, C_out)
        self.lateral = nn.Sequential(pointwise(C_out, C_out, bias=bias), nn.BatchNorm2d(C_out))
        self.act = activation(act, C_out)

    def forward(self, U: Tensor, E: Tensor) -> Tensor:  # B, C, H, W and B, C', H, W
        return self.act(self.fusion(U) + self.lateral(E))  # (15) B, C', H, W
