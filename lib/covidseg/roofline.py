"""Where the time of a forward pass goes, part by part, and what bounds it: arithmetic or memory.

A part does multiply-accumulates (MACs) and moves bytes between processor and memory. A processor has a highest rate for
either; the roofline (Williams, Waterman and Patterson 2009) is the lower of the two for a given number of MACs a byte.
MACs and bytes are counted and the same everywhere; seconds, and the roof itself, are those of one machine at one hour.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from covidseg.errors import UserError
from covidseg.profiling import profile_model
from covidseg.speed import fastest

__all__ = ["REST", "Part", "Roof", "by_part", "measure_roof"]

REST = "rest"  # what happens between the parts: resizes, sums


@dataclass(frozen=True)
class Part:
    """macs, moved, operators : counted, for one image; moved : bytes that its operators read and write, maps and
    weights in float32, as if nothing stayed in a cache. seconds : measured, the fastest of some passes."""

    macs: int
    moved: int
    operators: int
    seconds: float

    @property
    def intensity(self) -> float:
        """MACs for each byte."""
        return self.macs / self.moved if self.moved else 0.0

    @property
    def rate(self) -> float:
        """MACs a second."""
        return self.macs / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        return f"{self.macs / 1e6:9.1f} M MACs {self.moved / 1e6:7.1f} MB {self.operators:4} operators"


@dataclass(frozen=True)
class Roof:
    """rate : the most MACs a second; bandwidth : the most bytes a second."""

    rate: float
    bandwidth: float

    def at(self, intensity: float) -> float:
        """The most MACs a second of work that does ``intensity`` MACs a byte.

        >>> Roof(rate=100.0, bandwidth=10.0).at(2.0)
        20.0
        """
        return min(self.rate, intensity * self.bandwidth)

    @property
    def ridge(self) -> float:
        """MACs a byte from which on arithmetic is the limit."""
        return self.rate / self.bandwidth


def measure_roof(side: int = 768, megabytes: int = 64, seconds: float = 0.3) -> Roof:
    """The roof of this processor, on as many threads as torch has: the friendliest work of either kind.

    side : of the square matrices whose product gives the rate; megabytes : of the array whose copy gives the
    bandwidth, large enough to leave the caches
    """
    matrix, array = torch.randn(side, side), torch.zeros(megabytes * 250_000)
    target = torch.empty_like(array)
    product, copy = fastest([lambda: matrix @ matrix, lambda: target.copy_(array)], seconds)
    return Roof(side**3 / product, 2 * array.nbytes / copy)


def by_part(
    model: nn.Module, shape: tuple[int, ...], parts: Mapping[str, Sequence[str]], passes: int = 3
) -> dict[str, Part]:
    """Counts and seconds of each part in one pass of one image, on the processor that the network is on.

    shape : of the image, (C, H, W); parts : name -> paths of modules that lie beside each other, such as
        {"encoder": ["stages.0", "stages.1"]}. What is in none of them is `REST`.
    Raises UserError for a path that the network does not have.
    """
    known = dict(model.named_modules())
    if absent := [path for paths in parts.values() for path in paths if path not in known]:
        raise UserError(f"{type(model).__name__} has no part {absent[0]!r}; named_modules() lists its parts.")
    counted = _counted(model, shape, parts)
    timed = [_timed(model, shape, parts) for _ in range(passes + 1)][1:]  # the first one also plans and allocates
    profile = profile_model(model, shape)
    macs = {name: sum(profile.modules[path].macs for path in paths) for name, paths in parts.items()}
    macs[REST] = profile.macs - sum(macs.values())
    return {name: Part(macs[name], *counted[name], min(each[name] for each in timed)) for name in [*parts, REST]}


def _counted(model: nn.Module, shape, parts) -> dict[str, tuple[int, int]]:
    """(bytes moved, operators) by part, on a copy without memory."""
    ghost, image = deepcopy(model).to("meta").eval(), torch.empty(1, *shape, device="meta")
    with _Moved(parts) as moved, _entered(ghost, parts, moved.stack.append, moved.stack.remove), torch.inference_mode():
        ghost(image)
    return {name: (moved.bytes[name], moved.operators[name]) for name in [*parts, REST]}


def _timed(model: nn.Module, shape, parts) -> dict[str, float]:
    spent, since = dict.fromkeys(parts, 0.0), {}

    def leave(name: str) -> None:
        spent[name] += perf_counter() - since[name]

    x = torch.randn(1, *shape)
    enter = lambda name: since.update({name: perf_counter()})  # noqa: E731
    with _entered(model.eval(), parts, enter, leave), torch.inference_mode():
        begin = perf_counter()
        model(x)
        whole = perf_counter() - begin
    return spent | {REST: max(0.0, whole - sum(spent.values()))}


@contextmanager
def _entered(model: nn.Module, parts, enter, leave) -> Iterator[None]:
    """Call ``enter(name)`` before each module of a part and ``leave(name)`` after it."""
    hooks = []
    for name, paths in parts.items():
        for path in paths:
            module = model.get_submodule(path)
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: enter(name)))
            hooks.append(module.register_forward_hook(lambda *_, name=name: leave(name)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Moved(TorchDispatchMode):
    """Adds up what operators read and write, for the part on top of ``stack``; views move nothing."""

    def __init__(self, parts):
        super().__init__()
        self.stack = [REST]
        self.bytes, self.operators = dict.fromkeys([*parts, REST], 0), dict.fromkeys([*parts, REST], 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        read = {id(t): t for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        made = [t for t in tree_iter(out) if isinstance(t, Tensor)]
        old = {t.untyped_storage()._cdata for t in read.values()}
        if func._schema.is_mutable or any(t.untyped_storage()._cdata not in old for t in made):
            self.operators[self.stack[-1]] += 1
            self.bytes[self.stack[-1]] += sum(t.nbytes for t in [*read.values(), *made])
        return out
