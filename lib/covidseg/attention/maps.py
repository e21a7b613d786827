"""The named maps of a network for one input, as arrays, and what its input moves.

A network tells which maps are worth a look through ``named_maps()``; names follow its paper, so where a paper writes
A for the attention in a block E^2_1, the map is ``A/E_2_1``.
"""

from collections.abc import Sequence
from fnmatch import fnmatch

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.errors import UserError, unknown_name
from covidseg.nn.layers import dimensions, main_output

__all__ = ["capture", "find_map", "impulse_response", "input_gradient", "map_names"]


def map_names(model: nn.Module, pattern: str = "*") -> list[str]:
    """Names of the maps that ``capture`` can take from this network; raises UserError if it names none."""
    if not hasattr(model, "named_maps"):
        raise UserError(f"{type(model).__name__} names no inner maps (it has no named_maps method).")
    return [name for name in model.named_maps() if fnmatch(name, pattern)]


@torch.no_grad()
def capture(model: nn.Module, x: Tensor, names: str | Sequence[str] = "*") -> dict[str, np.ndarray]:
    """Run ``model`` on ``x`` in eval mode and keep its named maps.

    x : (B, in_channels, H, W), or (B, in_channels, H, W, D) for a 3-D network, normalised as the network wants it.
    names : a shell pattern ("A/*") or exact names.
    Returns {name: float32 array (B, c, h, w) or (B, c, h, w, d)} in the network's own order. The network's mode and
    weights are left as they were. Raises UnknownName for a name it does not have.
    """
    maps = model.named_maps() if map_names(model) else {}
    wanted = map_names(model, names) if isinstance(names, str) else list(names)
    if not wanted and isinstance(names, str):
        raise unknown_name("map", names, maps)
    kept: dict[str, np.ndarray] = {}
    handles = [_keep(name, *maps[_known(name, maps)], kept) for name in wanted]
    training = model.training
    try:
        model.eval()(x)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return {name: kept[name] for name in wanted if name in kept}


def find_map(model: nn.Module, name: str) -> tuple[nn.Module, int | None]:
    """The module whose output is the map ``name``, and which of its outputs (None: it has one). Raises UnknownName."""
    maps = model.named_maps() if map_names(model) else {}
    return maps[_known(name, maps)]


def _known(name: str, maps: dict) -> str:
    if name not in maps:
        raise unknown_name("map", name, maps)
    return name


def _keep(name: str, module: nn.Module, index: int | None, kept: dict[str, np.ndarray]):
    def hook(_module, _inputs, output):
        value = output if index is None else output[index]
        if value is not None:  # a part that this build was made without
            kept[name] = value.detach().float().cpu().numpy()

    return module.register_forward_hook(hook)


@torch.no_grad()
def impulse_response(module: nn.Module, channels: int, size: int = 33) -> np.ndarray:
    """What a linear layer makes of one lit pixel: float32 (size, size), summed over channels; a cube for a 3-D layer.

    The pixels that light up are those that the layer lets see the centre; ``size`` should be odd.
    """
    axes = dimensions(module)
    x = torch.zeros(1, channels, *[size] * axes)
    x[..., *[size // 2] * axes] = 1
    return module(x).sum(1)[0].numpy()


def input_gradient(
    model: nn.Module, x: Tensor, row: int, column: int, channel: int = 1, *, z: int | None = None
) -> np.ndarray:
    """How much each input pixel moves one logit: the effective receptive field for this input.

    x : (1, C, H, W), or (1, C, H, W, D) for a 3-D network, normalised. row, column, and in 3-D z, the slice: the
    output pixel; channel : the class, by default infection.
    Returns float32 (H, W) or (H, W, D): absolute gradient, summed over input channels. Raises UserError if z is missing
    in 3-D or given in 2-D.
    """
    if (x.ndim == 5) != (z is not None):
        raise UserError("input_gradient wants z, the slice of the output pixel, for a volume, and no z for a slice.")
    pixel = (row, column) if z is None else (row, column, z)
    training = model.training
    x = x.detach().clone().requires_grad_()
    try:
        logits = main_output(model.eval()(x))
    finally:
        model.train(training)
    (gradient,) = torch.autograd.grad(logits[0, channel, *pixel], x)
    return gradient.abs().sum(1)[0].cpu().numpy()
