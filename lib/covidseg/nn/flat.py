"""A trained network as a flat list of operations and one row of numbers: what a runtime outside Python needs.

A paper writes its network's forward pass once more with the methods of `FlatNetwork`; each notes an operation and
answers the number of its result. BatchNorm is folded into the convolution before it, as it is at rest anyway (fold.py).

The page of `covidseg explore` runs such a list in the reader's browser (explore/live/network.js).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.nn.fold import folded

__all__ = ["FlatNetwork"]


class FlatNetwork:
    """Operations in the order in which they run; a result, (C, H, W) each, is a whole number, the input is 0.

    ops : dicts with "op", "in" (results it reads), "out" (its own), and what the operation needs; "w", "b", "slope" are
        [first, count] in ``numbers``
    maps : name of a map as `covidseg.attention.capture` has it -> result; output : the result that holds the logits
    switches : what a reader may turn off -> how it is called; an operation with that "switch" then answers zeros
    """

    def __init__(self) -> None:
        self.ops: list[dict[str, Any]] = []
        self.maps: dict[str, int] = {}
        self.switches: dict[str, str] = {}
        self.output = 0
        self._numbers: list[np.ndarray] = []
        self._stored = 0

    @property
    def numbers(self) -> np.ndarray:
        """All weights, float32 (n,)."""
        return np.concatenate(self._numbers) if self._numbers else np.zeros(0, np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the numbers, ready for JSON."""
        return {"ops": self.ops, "maps": self.maps, "switches": self.switches, "output": self.output}

    # ------------------------------------------------------------------------------------------- operations

    def conv(
        self, x: int, conv: nn.Conv2d, bn: nn.Module | None = None, *, shift: bool = True, switch: str | None = None
    ) -> int:
        """A convolution with zeros around, and the BatchNorm behind it folded in.

        bn : BatchNorm2d; None or Identity for none. shift : False leaves its shift out, where two convolutions share it
        """
        weight, bias = folded(conv, bn)
        op = {
            "w": self._keep(weight),
            "b": self._keep(bias if shift else torch.zeros_like(bias)),
            "kernel": conv.kernel_size[0],
            "stride": conv.stride[0],
            "dilation": conv.dilation[0],
            "padding": conv.padding[0],
            "groups": conv.groups,
        }
        return self._note("conv", [x], **op, **({"switch": switch} if switch else {}))

    def pool(self, x: int, pool: nn.AvgPool2d) -> int:
        """The mean of a square; the zeros around the map count."""
        return self._note("pool", [x], kernel=pool.kernel_size, stride=pool.stride, padding=pool.padding)

    def act(self, x: int, act: nn.Module) -> int:
        """PReLU, one slope per channel; a ReLU is one of slope 0."""
        slope = act.weight if isinstance(act, nn.PReLU) else torch.zeros(1)
        return self._note("prelu", [x], slope=self._keep(slope))

    def add(self, x: int, y: int) -> int:
        return self._note("add", [x, y])

    def gate(self, x: int, a: int) -> int:
        """x + x * a, with a map a of one channel for all channels of x."""
        return self._note("gate", [x, a])

    def sigmoid(self, x: int) -> int:
        return self._note("sigmoid", [x])

    def cat(self, xs: Sequence[int]) -> int:
        return self._note("cat", list(xs))

    def part(self, x: int, first: int, count: int) -> int:
        """Channels first, first + 1, ..., ``count`` of them."""
        return self._note("part", [x], first=first, count=count)

    def resize(self, x: int, like: int) -> int:
        """Bilinear with half-pixel centres, to the size of another result."""
        return self._note("resize", [x, like])

    # ------------------------------------------------------------------------------------------- inside

    def _note(self, op: str, inputs: list[int], **more: Any) -> int:
        out = len(self.ops) + 1
        self.ops.append({"op": op, "in": inputs, "out": out, **more})
        return out

    def _keep(self, values: Tensor) -> list[int]:
        row = values.detach().float().cpu().numpy().ravel()
        self._numbers.append(row)
        self._stored += len(row)
        return [self._stored - len(row), len(row)]
