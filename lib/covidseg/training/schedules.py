"""How the learning rate falls: `Poly`, `Stairs` or not at all; a paper may bring a schedule of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from covidseg.training.parts import Schedule

__all__ = ["Constant", "Poly", "Stairs"]


@dataclass(frozen=True)
class Poly(Schedule):
    """lr * (1 - it / T)^power, it running through all passes of all T iterations of the training.

    >>> round(Poly(0.9).rate(1e-3, iteration=2400, steps_per_epoch=60, epochs=80), 6)  # half way: 1e-3 * 0.5^0.9
    0.000536
    """

    kind: ClassVar[str] = "poly"
    power: float = 0.9

    def rate(self, lr: float, iteration: int, steps_per_epoch: int, epochs: int) -> float:
        return lr * (1 - iteration / (epochs * steps_per_epoch)) ** self.power


@dataclass(frozen=True)
class Stairs(Schedule):
    """lr * factor^(epoch div every), epochs counted from 0."""

    kind: ClassVar[str] = "step"
    keys: ClassVar[Mapping[str, str]] = {"every": "step_epochs", "factor": "step_factor"}
    every: int = 100
    factor: float = 0.5

    def rate(self, lr: float, iteration: int, steps_per_epoch: int, epochs: int) -> float:
        return lr * self.factor ** (iteration // steps_per_epoch // self.every)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate from the first step to the last."""

    kind: ClassVar[str] = "constant"

    def rate(self, lr: float, iteration: int, steps_per_epoch: int, epochs: int) -> float:
        return lr
