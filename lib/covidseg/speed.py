"""What a forward pass takes: seconds, and the bytes that are alive at once. Networks of equal MACs may differ in both.

Seconds are measured, so they belong to one machine at one hour; a ratio to another network that was timed in turn with
it travels further. Bytes are counted, so they are the same everywhere.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

__all__ = ["Memory", "Speed", "fastest", "forward", "kept", "memory", "operations", "peak_activations", "race"]

LEAST = 3  # passes of each


@dataclass(frozen=True)
class Speed:
    """latency : seconds for one image alone; throughput : images a second in batches of ``batch``."""

    latency: float
    throughput: float
    batch: int


def fastest(runners: Sequence[Callable[[], Any]], seconds: float = 1.0, least: int = LEAST) -> list[float]:
    """Seconds of each runner's fastest pass. They run in turn, so that all meet the same load of the machine.

    One pass of each comes first and is not counted: it makes caches and chooses algorithms. Then rounds follow until
    ``seconds`` are spent, ``least`` at least. The fastest counts: other programs can only add time.
    """
    for run in runners:
        run()
    times = [[_clocked(run) for run in runners] for _ in range(least)]
    while sum(map(sum, times)) < seconds:
        times.append([_clocked(run) for run in runners])
    return [min(column) for column in zip(*times, strict=True)]


def _clocked(run: Callable[[], Any]) -> float:
    begin = perf_counter()
    run()
    return perf_counter() - begin


def forward(model: nn.Module, shape: tuple[int, ...], device: str | torch.device = "cpu") -> Callable[[], None]:
    """One pass, to be called: ``model`` in eval mode on noise of ``shape``, batch included. It returns when done."""
    where = torch.device(device)
    model, x = model.eval().to(where), torch.randn(shape, device=where)

    @torch.inference_mode()
    def run() -> None:
        model(x)
        if where.type != "cpu":
            getattr(torch, where.type).synchronize()  # a GPU answers before it has finished

    return run


def race(
    models: Sequence[nn.Module],
    shapes: Sequence[tuple[int, ...]],
    *,
    device: str | torch.device = "cpu",
    batch: int = 2,
    seconds: float = 1.0,
) -> list[Speed]:
    """Speeds of some networks, timed in turn.

    shapes : one image of each, (C, H, W)
    """
    alone, many = (
        fastest([forward(m, (n, *s), device) for m, s in zip(models, shapes, strict=True)], seconds) for n in (1, batch)
    )
    return [Speed(one, batch / all_, batch) for one, all_ in zip(alone, many, strict=True)]


@dataclass(frozen=True)
class Memory:
    """What one forward pass of one image does to memory: float32, without gradients, parameters left out.

    peak : the most bytes of maps alive at one moment, the image among them; written : bytes of all maps that are made
    or changed; operators : how many operators write them. A library's scratch buffers are not in it.
    """

    peak: int
    written: int
    operators: int


def memory(model: nn.Module, shape: tuple[int, ...]) -> Memory:
    """Count it on a copy without memory; shape : one image, (C, H, W).

    A tensor lives from its birth until nobody holds it. A view is no new tensor, and a map that is changed in place is
    alive once.
    """
    ghost = deepcopy(model).to("meta").eval()
    image = torch.empty(1, *shape, device="meta")
    with torch.inference_mode(), _Alive(ghost, image) as alive:
        ghost(image)
    return Memory(alive.peak, alive.written, alive.operators)


def peak_activations(model: nn.Module, shape: tuple[int, ...]) -> int:
    """``memory(...).peak``: bytes, of one image (C, H, W)."""
    return memory(model, shape).peak


def operations(work: Callable[[], Any]) -> int:
    """How many operators ``work()`` hands to the processor, forward and backward."""
    with _Calls() as calls:
        work()
    return calls.many


def kept(work: Callable[[], Any]) -> int:
    """Bytes that the forward pass in ``work()`` keeps for its backward pass, each storage once."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        work()
    return sum(sizes.values())


class _Calls(TorchDispatchMode):
    many = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.many += 1
        return func(*args, **(kwargs or {}))


class _Alive(TorchDispatchMode):
    """Adds up the storages that operators make, and takes each off again when it is freed."""

    def __init__(self, model: nn.Module, image: Tensor):
        super().__init__()
        given = (*model.parameters(), *model.buffers(), image)
        self.known = {t.untyped_storage()._cdata for t in given}
        self.now = self.peak = image.nbytes
        self.written = self.operators = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = [t for t in tree_iter(out) if isinstance(t, Tensor)]
        born = [t for t in made if t.untyped_storage()._cdata not in self.known]
        wrote = made if func._schema.is_mutable else born
        self.operators += bool(wrote)
        self.written += sum(t.nbytes for t in wrote)
        for t in born:
            self._born(t.untyped_storage())
        return out

    def _born(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self.known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size
