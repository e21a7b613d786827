"""A network that answers by its optimised copy as soon as that has been seen to give the same answer."""

from torch import Tensor, nn

from covidseg.fast.difference import difference
from covidseg.fast.optimized import Optimized, laid_out, optimize
from covidseg.nn.layers import main_output

__all__ = ["Checked", "watched"]


class Checked(nn.Module):
    """(B, C, H, W) -> logits (B, K, H, W), in ``eval()`` and without gradients.

    The first input goes through the network itself and through its optimised copy. Only if the logits agree within
    `covidseg.fast.difference.EXACT` and not one pixel of the mask differs does the copy answer from then on; else the
    network goes on as it is. The copy has the weights of that moment: make one `Checked` for each use.
    """

    def __init__(self, plain: nn.Module):
        super().__init__()
        self.plain = plain
        self.fast: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.fast is not None:
            return main_output(self.fast(laid_out(x)))
        logits = main_output(self.plain(laid_out(x)))
        self.fast = self._copy(x, logits) or self.plain
        return logits

    def _copy(self, x: Tensor, logits: Tensor) -> nn.Module | None:
        if isinstance(self.plain, Optimized):
            return None
        try:
            fast = optimize(self.plain, x[:1])
            return fast if difference(logits, fast(x)).exact else None
        except Exception:  # a network of somebody's own may break any rule; it still answers, as it is
            return None


def watched(model: nn.Module) -> bool:
    """Whether somebody listens to the network's parts by hooks: those of a copy would not be heard."""
    return any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
