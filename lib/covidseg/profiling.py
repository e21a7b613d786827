"""Parameters and multiply-accumulates, counted the same way for every network.

MACs are those of convolutions and matrix products: torch's own counter gives floating-point operations, two to a
multiply-accumulate, so its figure is divided by two. BatchNorm, activations, pooling, interpolation and additions are
left out. The papers call a similar count "FLOPs".
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from covidseg.errors import UserError

__all__ = ["Group", "Profile", "profile_model"]

SAMPLES = 2  # BatchNorm refuses 1 x 1 maps of one
FLOPS_PER_MAC = 2


@dataclass(frozen=True)
class Group:
    """One part of a network: its module path, numbers and multiply-accumulates."""

    name: str
    params: int
    macs: int
    leaf: bool

    @property
    def depth(self) -> int:
        return len(self.name.split(".")) if self.name else 0


@dataclass(frozen=True)
class Profile:
    """What one forward pass costs. ``params`` counts all numbers, ``trainable`` those with a gradient."""

    params: int
    trainable: int
    macs: int
    input_shape: tuple[int, ...]
    modules: dict[str, Group]

    def groups(self, depth: int = 1) -> list[Group]:
        """The parts at a depth of the module tree ("stages.0" has depth 2), shallower leaves included, in order."""
        return [g for g in self.modules.values() if g.depth == depth or (0 < g.depth < depth and g.leaf)]

    def __str__(self) -> str:
        size = " x ".join(map(str, self.input_shape))
        return f"{self.params:,} parameters, {self.macs:,} multiply-accumulates at {size}"


def profile_model(model: nn.Module, input_shape: tuple[int, ...] = (3, 512, 512)) -> Profile:
    """Count a network's numbers and the multiply-accumulates of one sample.

    input_shape : without the batch, (C, H, W) or (C, H, W, D). All heads are counted (the network is put in train mode
    on a copy without memory, so nothing is computed and 3-D giants cost milliseconds).
    Raises UserError where the network refuses the shape.
    """
    ghost = deepcopy(model).to("meta").train()
    for module in ghost.modules():
        if isinstance(module, _BatchNorm):
            module.forward = _same  # counts nothing, and takes half of the time without memory
    with FlopCounterMode(display=False) as counter:
        try:
            ghost(torch.empty(SAMPLES, *input_shape, device="meta"))
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{type(model).__name__} takes no input of shape {input_shape}: {reason}") from error
    counts, root = counter.get_flop_counts(), type(model).__name__
    flops = {name: sum(counts.get(f"{root}.{name}", {}).values()) for name, _ in ghost.named_modules()}
    modules = {name: _group(name, module, flops) for name, module in ghost.named_modules()}
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Profile(_numel(model), trainable, _macs(counter.get_total_flops()), tuple(input_shape), modules)


def _same(x: torch.Tensor) -> torch.Tensor:
    return x


def _group(name: str, module: nn.Module, flops: dict[str, int]) -> Group:
    """A part's cost is that of its leaves: containers such as ModuleList are never called themselves."""
    paths = [f"{name}.{inner}".strip(".") for inner, leaf in module.named_modules() if not list(leaf.children())]
    return Group(name, _numel(module), _macs(sum(flops[path] for path in paths)), leaf=paths == [name])


def _macs(flops: int) -> int:
    """Multiply-accumulates of one sample."""
    return flops // (SAMPLES * FLOPS_PER_MAC)


def _numel(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
