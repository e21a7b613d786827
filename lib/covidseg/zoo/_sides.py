"""The two sides of a U, and what may stand in their place: an ImageNet trunk on the left, fewer layers on the right.

CHS-Net's Table 3 (Punn and Agarwal, 2022) has U-shaped rivals on trunks; the builds are named config="chsnet".
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from covidseg.backbones import trunk
from covidseg.errors import UserError, unknown_name
from covidseg.nn.layers import Contracting, ConvBNReLU, Double, UpConv, corner_resize
from covidseg.zoo._configs import u_channels

__all__ = ["at_size_of", "expanding", "growing", "left_side"]

BLOCKS = {1: partial(ConvBNReLU, bias=True), 2: Double}  # by number of 3x3 convolutions
UPS = ("bilinear", "conv")


def left_side(
    in_channels: int, width: int, backbone: str | nn.Module | None = None, imagenet=None
) -> tuple[nn.Module, list[int]]:
    """The path that answers X_1..X_5, and their channels: a U's own of that width, or a trunk, whatever the width.

    Raises UserError for ImageNet weights without a trunk that could take them.
    """
    if backbone is not None:
        down = trunk(backbone, imagenet, in_channels=in_channels)
        return down, list(down.channels)
    if imagenet:
        raise UserError("imagenet: this build has no trunk that takes ImageNet's weights; choose one with backbone=.")
    C = u_channels(width)
    return Contracting([in_channels, *C]), C


def growing(pairs: Sequence[tuple[int, int]], up: str, network: str) -> nn.ModuleList | None:
    """The "up-conv" of each level from (C_(i+1), C_i), or None where ``up`` is bilinear and nothing is learned."""
    if up not in UPS:
        raise unknown_name(f"way up in {network} (up)", up, UPS)
    return nn.ModuleList(UpConv(*pair) for pair in pairs) if up == "conv" else None


def expanding(convs: int):
    """The block of the right side, function (C, C_out) -> module, with one or two convolutions."""
    if convs not in BLOCKS:
        raise unknown_name("number of convolutions (convs)", convs, BLOCKS)
    return BLOCKS[convs]


def at_size_of(x: Tensor, logits: Tensor) -> Tensor:
    """Logits at the input's size: a ResNet halves the input before its first map, so X_1 is not of that size."""
    return logits if logits.shape[-2:] == x.shape[-2:] else corner_resize(logits, x)
