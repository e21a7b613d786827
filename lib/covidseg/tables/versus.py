"""Two networks side by side: where each spends its work, how far it looks before it learns, which maps it names."""

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

__all__ = ["SCALES", "Portrait", "as_html", "as_text", "influence", "macs_by_scale", "map_shapes", "portrait", "reach"]

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
    """How much each pixel of a noise image moves the logit in its middle, with new random weights: (side, side)."""
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


def facts(one: Portrait, other: Portrait, side: int = 128) -> list[tuple[str, str, str]]:
    """What to compare, in words: (what, of the one, of the other). side : of the noise image for the reach."""
    rows = [
        ("parameters", *(f"{p.params:,}" for p in (one, other))),
        ("GMAC", *(f"{sum(p.macs.values()) / 1e9:.3f}" for p in (one, other))),
        ("peak of maps, MiB", *(f"{p.memory.peak / 2**20:.0f}" for p in (one, other))),
        ("written, MiB", *(f"{p.memory.written / 2**20:.0f}" for p in (one, other))),
        ("operators that write", *(f"{p.memory.operators}" for p in (one, other))),
    ]
    reaches = [reach(influence(p.name, side=side)) for p in (one, other)]
    return [*rows, (f"reach at {side} x {side}, pixels", *(f"{r} of {side}" if r < side else "all" for r in reaches))]


def as_text(one: str, other: str, side: int = 128) -> str:
    """The facts as a small table, then the named maps of each with their shapes."""
    a, b = portrait(one), portrait(other)
    lines = [f"{what:<30}{x:>14}{y:>14}" for what, x, y in [("", one, other), *facts(a, b, side)]]
    return "\n".join([*lines, *(f"maps of {p.name}: {_named(p)}" for p in (a, b))])


def as_html(one: str, other: str, side: int = 128) -> str:
    """The same as the caption of a panel."""
    a, b = portrait(one), portrait(other)
    head = f"<tr><td></td><th>{one}</th><th>{other}</th></tr>"
    rows = "".join(f"<tr><th>{what}</th><td>{x}</td><td>{y}</td></tr>" for what, x, y in facts(a, b, side))
    maps = "".join(f"<p>Maps of {p.name}: {_named(p)}.</p>" for p in (a, b))
    return f'<table class="covidseg-facts">{head}{rows}</table>{maps}'


def _named(one: Portrait) -> str:
    """Names by shape, for a network may have twenty maps of a kind."""
    kinds: dict[str, list[str]] = {}
    for name, shape in one.maps.items():
        kinds.setdefault(shape, []).append(name)
    short = (f"{names[0]} to {names[-1]}" if len(names) > 3 else ", ".join(names) for names in kinds.values())
    return "; ".join(f"{names} ({shape})" for names, shape in zip(short, kinds, strict=True)) or "none named"
