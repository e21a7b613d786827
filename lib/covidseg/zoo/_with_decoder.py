"""ImageNet's light encoders, which MiniSeg's benchmark (Qiu et al., AAAI 2021) makes segment.

Its Table 5 counts the encoders alone. What was trained for Table 6 has MiniSeg's own decoder behind each (Eqns 14, 15)
and one head; only the published code says so.
"""

from torch import Tensor, nn, stack

from covidseg.backbones import trunk
from covidseg.nn.layers import Lateral, pointwise, resize

__all__ = ["CONFIGS", "WithDecoder", "table_5"]

CONFIGS: dict[str, dict] = {"paper": dict(decoder=False), "released": {}}


def table_5(params: int) -> str:
    """What the card of such a network says of MiniSeg's Table 5."""
    return (
        f"MiniSeg's Table 5 counts the bare encoder: {params:,} parameters, config='paper', whose logits are means of "
        "the last map's channels. Table 6 was trained with a decoder: config='released', the default"
    )


class Shares(nn.Module):
    """Logits without numbers of their own, ours: class k is the mean of the k-th share of the channels.

    (B, C, H, W) -> (B, num_classes, H, W). An encoder that ends in it has as many parameters as Table 5 counts.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes

    def forward(self, x: Tensor) -> Tensor:
        return stack([share.mean(1) for share in x.tensor_split(self.num_classes, 1)], 1)


class WithDecoder(nn.Module):
    """(B, in_channels, H, W) -> logits (B, num_classes, H, W); any size.

    backbone : a trunk by name, or any module that answers maps [f_1, f_2, ...] and has their ``channels``. imagenet : a
    file of ImageNet weights for it. classes : of an ImageNet classifier that the trunk carries along, unused. decoder :
    MiniSeg's, from the deepest map up to f_finest; False reads the deepest map without learning how (``Shares``).
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, *, backbone: str | nn.Module, imagenet=None,
        classes: int | None = None, decoder: bool = True, finest: int = 1,
    ):  # fmt: skip
        super().__init__()
        carried = {} if classes is None else {"classes": classes}
        self.backbone = trunk(backbone, imagenet, in_channels=in_channels, **carried)
        self.last = finest if decoder else len(self.backbone.channels)  # the head reads D_last, or f_last
        C = self.backbone.channels[self.last - 1 :]
        self.steps = nn.ModuleList(Lateral(c, c_out) for c, c_out in zip(C[:0:-1], C[-2::-1], strict=True))
        head = nn.Sequential(nn.Dropout2d(0.1), pointwise(C[0], num_classes, bias=True))
        self.head = head if decoder else Shares(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        D, *finer = reversed(self.backbone(x)[self.last - 1 :])
        for step, f_i in zip(self.steps, finer, strict=True):
            D = step(resize(D, f_i.shape[-2:]), f_i)  # (15) D_i: B, C_i, H_i, W_i
        return resize(self.head(D), x.shape[-2:])

    def named_maps(self) -> dict[str, tuple[nn.Module, int | None]]:
        """f_1, f_2, ... of the trunk, D_i of the decoder (of f_i's size), P_i the logits where the head reads."""
        deepest = len(self.backbone.channels)
        maps: dict[str, tuple[nn.Module, int | None]] = {f"f_{i + 1}": (self.backbone, i) for i in range(deepest)}
        maps |= {f"D_{i}": (step, None) for i, step in zip(range(deepest - 1, 0, -1), self.steps, strict=False)}
        return maps | {f"P_{self.last}": (self.head, None)}
