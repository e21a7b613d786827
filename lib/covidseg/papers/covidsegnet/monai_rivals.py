"""The rivals of Table I that are MONAI's: V-Net (Milletari et al., 3DV 2016) and UNet++ in 3-D (Zhou et al., 2018).

MONAI is imported when one of them is built, and never else.
"""

from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO

from torch import Tensor, nn

from covidseg.errors import UserError
from covidseg.nn.layers import main_output
from covidseg.nn.registry import register
from covidseg.papers.covidsegnet.blocks import grown
from covidseg.papers.covidsegnet.predictor import asked

__all__ = ["FilledUp"]

HALVED = 16  # both halve their sides four times


class FilledUp(nn.Module):
    """A network that wants sides divided by 16, for any sides: filled up with the border's own values, and cut.

    first : what stands before it, such as a change of channels
    """

    def __init__(self, net: nn.Module, first: nn.Module | None = None):
        super().__init__()
        self.first, self.net = first or nn.Identity(), net

    def forward(self, x: Tensor) -> Tensor:  # B, in_channels, H, W, D
        H, W, D = x.shape[2:]
        return main_output(self.net(self.first(grown(x, HALVED))))[..., :H, :W, :D]


def _monai(name: str, **options) -> nn.Module:
    """A network of MONAI's; raises UserError where MONAI is not installed."""
    try:
        nets = import_module("monai.networks.nets")
    except ImportError:
        raise UserError(f"{name} is MONAI's, which is not installed here: pip install monai.") from None
    with redirect_stdout(StringIO()):  # it prints its channels
        return getattr(nets, name)(spatial_dims=3, **options)


@register("vnet", paper="Milletari et al., 3DV 2016", arxiv="1606.04797", params=45_597_898, dimensions=3,
          notes=("MONAI's; its width is fixed at 16",))  # fmt: skip
def vnet(num_classes: int = 2, in_channels: int = 1, *, outputs: str = "infection", dropout: float = 0.5) -> FilledUp:
    """dropout : of whole channels in the three deepest levels and in the skips.

    The first block adds the input to its 16 channels, repeated: where in_channels does not divide 16, a 1x1x1
    convolution makes one channel of them. outputs : see `covidseg.papers.covidsegnet.predictor`.
    """
    fits = 16 % in_channels == 0
    drop = {"dropout_prob_down": dropout, "dropout_prob_up": (dropout, dropout)}
    net = _monai("VNet", in_channels=in_channels if fits else 1, out_channels=num_classes, **drop)
    return asked(FilledUp(net, None if fits else nn.Conv3d(in_channels, 1, 1)), outputs, num_classes)


@register(
    "unetplusplus3d", paper="Zhou et al., DLMIA 2018, in 3-D", arxiv="1807.10165", params=6_979_976, dimensions=3,
    notes=("MONAI's, with BatchNorm; 198 parameters of the three heads for deep supervision rest",),
)  # fmt: skip
def unetplusplus3d(
    num_classes: int = 2, in_channels: int = 1, *, outputs: str = "infection", width: int | Sequence[int] = 32
) -> FilledUp:
    """width : w for w, w, 2w, 4w, 8w channels and w in the last nodes, as MONAI has it for 32; or these six numbers.

    outputs : see `covidseg.papers.covidsegnet.predictor`.
    """
    features = tuple(width * n for n in (1, 1, 2, 4, 8, 1)) if isinstance(width, int) else tuple(width)
    if len(features) != 6 or min(features) < 1:
        raise UserError(f"width is {width}; give one number of channels, the default is 32, or six.")
    channels = {"in_channels": in_channels, "out_channels": num_classes}
    net = _monai("BasicUNetPlusPlus", **channels, features=features, norm="batch")
    return asked(FilledUp(net), outputs, num_classes)
