"""Where the arithmetic happens: device, number format, memory, and several processes as one team."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from covidseg.device import choose_device
from covidseg.errors import UserError, unknown_name
from covidseg.nn.layers import dimensions

__all__ = ["PRECISIONS", "Precision", "Team", "as_user_error", "join_team", "memory_format"]

T = TypeVar("T")
PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Mixed precision: weights stay float32, the network computes in ``name``, the loss in float32 again.

    "fp16" underflows below 6e-8 and overflows above 65504, so its loss is scaled up before the backward pass and the
    gradients down again (`scaler`); "bf16" has float32's range and needs no scaling.
    Raises UserError for another name, and for fp16 on a CPU, which would only be slower.
    """

    def __init__(self, name: str, device: torch.device):
        if name not in PRECISIONS:
            raise unknown_name("precision", name, PRECISIONS)
        if name == "fp16" and device.type == "cpu":
            raise UserError("precision fp16 needs a GPU; on a CPU use float32 (or bf16, where it has instructions).")
        dtype = PRECISIONS[name]
        self.autocast = partial(torch.autocast, device.type, dtype) if dtype else nullcontext
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")


def memory_format(device: torch.device, model: nn.Module) -> torch.memory_format:
    """Order of the axes in memory. On a CPU channels last: a small network's training step takes 0.77 of the time.

    Networks of volumes keep the usual order.
    """
    last = device.type == "cpu" and dimensions(model) == 2
    return torch.channels_last if last else torch.contiguous_format


@contextmanager
def as_user_error(device: torch.device, doing: Callable[[], str]) -> Iterator[None]:
    """Turn "out of memory", and BatchNorm over one value, into one line that names the setting to change.

    ``doing()`` says what was being done.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError, ValueError) as error:
        if "Expected more than 1 value per channel" in str(error):
            raise UserError(
                "BatchNorm cannot work on one value per channel, which is what this network leaves of a single slice. "
                "Give a batch of 2 or more (--batch 2) that leaves no single slice over, and no micro_batch of 1."
            ) from None
        if not _out_of_memory(error):
            raise
        raise UserError(
            f"Out of memory on {device} with {doing()}. Give micro_batch=1 (--micro-batch 1: fewer slices at a time, "
            "the same steps), or a recipe with a smaller batch or smaller sides."
        ) from None


def _out_of_memory(error: Exception) -> bool:
    words = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory")
    typed = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return typed or any(word in str(error) for word in words)


@dataclass(frozen=True)
class Team:
    """The processes that train one network together; alone, rank 0 of 1."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, count: int) -> range:
        """Positions in a batch of ``count`` that fall to this process."""
        if count < self.size:
            raise UserError(f"A batch of {count} cannot be shared by {self.size} processes: start fewer of them.")
        return range(self.rank, count, self.size)

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model with gradients averaged over the team."""
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def total(self, value: Tensor) -> Tensor:
        """Sum over the team."""
        if self.size > 1:
            value = value.clone()
            torch.distributed.all_reduce(value)
        return value

    def from_leader(self, make: Callable[[], T]) -> T:
        """What ``make()`` gives in process 0, in all of them. A UserError raised there is raised everywhere."""
        if self.size == 1:
            return make()
        answer: list[Any] = [None]
        if self.leads:
            try:
                answer = [make()]
            except UserError as error:  # or the others would wait for ever
                answer = [error]
        torch.distributed.broadcast_object_list(answer, src=0)
        if isinstance(answer[0], UserError):
            raise answer[0]
        return answer[0]


def join_team(device: str | torch.device) -> tuple[Team, torch.device]:
    """The team that ``torchrun`` started (its environment says so) and this process's device; else a team of one."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        return Team(), choose_device(device)
    device = choose_device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave_team)
    return Team(torch.distributed.get_rank(), size), device


def _leave_team() -> None:
    """End the connections before the process ends: a thread of theirs that is left over would abort it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
