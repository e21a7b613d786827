"""Networks of one kind asked together, as the folds of one training: their mean answer, and where they disagree."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor, nn

from covidseg.fast import Checked
from covidseg.inference import answer_of, slice_batches, to_native
from covidseg.nn.layers import main_output

__all__ = ["Votes", "together"]


class Together(nn.Module):
    """Networks of one kind, such as the folds of one training: the answer is the mean of their logits."""

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return sum(main_output(member(x)) for member in self.members) / len(self.members)

    def each(self, change: Callable[[nn.Module], nn.Module]) -> nn.Module:
        """The same of changed networks, as `covidseg.fast.optimize` wants it."""
        return together([change(member) for member in self.members])


class Votes:
    """The `Predictor` of 2-D networks `together`; afterwards ``marked`` tells where they disagree.

    marked : uint8 (D, H, W), how many of the networks alone would mark a voxel, of the last volume that was asked for
    """

    whole = False
    marked: np.ndarray | None = None

    def faster(self, model):
        return model.each(Checked)

    def masks(self, model, volume, preprocessing, intensity, *, batch, device):
        self.marked = marked = np.zeros((volume.shape[2], *volume.shape[:2]), np.uint8)
        for first, x in slice_batches(model, volume, preprocessing, intensity, batch, device):
            answers = [answer_of(member, x) for member in model.members]
            for logits in answers:
                marked[first : first + len(x)] += to_native(logits, volume.shape[:2]) > 0
            yield first, to_native(sum(answers) / len(answers), volume.shape[:2])


def together(models: Sequence[nn.Module]) -> nn.Module:
    """2-D networks that were fed alike as one: the mean of their logits, and `Votes` on where they disagree."""
    model = Together(models)
    model.preprocessing = getattr(models[0], "preprocessing", None)  # type: ignore[assignment]
    model.predictor = Votes()  # type: ignore[assignment]
    return model.eval()
