"""Two networks side by side: where each spends its work, how far it looks before it learns, what its maps are called."""

from dataclasses import dataclass
from functools import cache
from math import log2

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from covidseg.attention import input_gradient
from covidseg.nn.layers import input_channels
from covidseg.profiling import FLOPS_PER_MAC, SAMPLES
from covidseg.speed import Memory, memory
from covidseg.tables.field import build, count

__all__ = ["SCALES", "Portrait", "influence", "macs_by_scale", "map_shapes", "portrait", "reach"]

SCALES = ("1", "1/2", "1/4", "1/8", "1/16", "1/32 on", "products")  # sides of maps; products: matrices, as in attention


@dataclass(frozen=True)
class Portrait:
    """One network at one size. macs : by SCALES; maps : its named maps and their shapes, "C x H x W"."""

    name: str
    params: int
    macs: dict[str, int]
    memory: Memory
    maps: dict[str, str]


@cache
def portrait(name: str, config: str = "paper", side: int = 512) -> Portrait:
    """Everything that can be counted without computing anything."""
    with torch.device("meta"):
        network = build(name, config)[0]
    shape = (input_channels(network), side, side)
    params = count(name, config, side).params
    return Portrait(name, params, macs_by_scale(network, shape), memory(network, shape), map_shapes(network, shape))


def macs_by_scale(model: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Multiply-accumulates of one image by the size of the map that they make; together those of `profile_model`.

    model : on torch.device("meta"); shape : one image, (C, H, W)
    """
    training = model.training
    with _ByScale(shape[-1]) as counted:
        model.train()(torch.empty(SAMPLES, *shape, device="meta"))
    model.train(training)
    return {scale: flops // (SAMPLES * FLOPS_PER_MAC) for scale, flops in counted.flops.items()}


class _ByScale(TorchDispatchMode):
    def __init__(self, side: int):
        super().__init__()
        self.side, self.flops = side, dict.fromkeys(SCALES, 0)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        price = flop_registry.get(func._overloadpacket)
        if price:
            self.flops[self._scale(out)] += price(*args, **(kwargs or {}), out_val=out)
        return out

    def _scale(self, out: torch.Tensor) -> str:
        if out.ndim < 4:
            return "products"
        return SCALES[min(max(round(log2(self.side / out.shape[-1])), 0), 5)]


def map_shapes(model: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """Name -> "C x H x W" of the maps that the network names, for one image; {} if it names none. model : on "meta"."""
    maps, found = getattr(model, "named_maps", dict)(), {}

    def keep(name, index):
        def hook(_module, _inputs, out):
            value = out if index is None else out[index]
            if value is not None:
                found[name] = " x ".join(map(str, value.shape[1:]))

        return hook

    handles = [module.register_forward_hook(keep(name, index)) for name, (module, index) in maps.items()]
    with torch.inference_mode():
        model.eval()(torch.empty(1, *shape, device="meta"))
    for handle in handles:
        handle.remove()
    return {name: found[name] for name in maps if name in found}


@cache
def influence(name: str, config: str = "paper", side: int = 256, seed: int = 0) -> np.ndarray:
    """How much each pixel of a noise image moves the logit in its middle, fresh random weights: float32 (side, side)."""
    torch.manual_seed(seed)
    network = build(name, config)[0]
    x = torch.randn(1, input_channels(network), side, side)
    return input_gradient(network, x, side // 2, side // 2, channel=0)


def reach(gradient: np.ndarray, share: float = 0.9) -> int:
    """Side of the square around the middle from which that share of the influence comes, in pixels.

    >>> reach(np.pad(np.ones((1, 1)), 4)), reach(np.ones((9, 9)), share=1.0)
    (1, 9)
    """
    middle = gradient.shape[-1] // 2
    row, column = np.indices(gradient.shape)
    distance = np.maximum(abs(row - middle), abs(column - middle)).ravel()
    within = np.bincount(distance, weights=gradient.ravel().astype(float)).cumsum()
    return 2 * int(np.searchsorted(within, share * within[-1] * (1 - 1e-9))) + 1
