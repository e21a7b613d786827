"""The rate of Inf-Net's published code, which decays what it decayed before; the text has a constant one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from covidseg.training.parts import Schedule

__all__ = ["Compounding"]


@dataclass(frozen=True)
class Compounding(Schedule):
    """lr * product of factor^(k div every) for k = 1..epoch, epochs counted from 1, as there.

    The exponents add up: 0 for the first ``every`` - 1 epochs, then 1, 2, 3, ..., and two more with each epoch after
    2 * ``every`` - 1.

    >>> [f"{Compounding(50, 0.1).of_epoch(1e-4, epoch):.0e}" for epoch in (49, 50, 51, 52, 99)]
    ['1e-04', '1e-05', '1e-06', '1e-07', '1e-54']
    """

    kind: ClassVar[str] = "compounding"
    keys: ClassVar[Mapping[str, str]] = {"every": "step_epochs", "factor": "step_factor"}
    every: int = 100
    factor: float = 0.5

    def rate(self, lr, iteration, steps_per_epoch, epochs):
        return self.of_epoch(lr, iteration // steps_per_epoch + 1)

    def of_epoch(self, lr: float, epoch: int) -> float:
        """Rate of an epoch, counted from 1."""
        rounds, rest = divmod(epoch, self.every)
        return lr * self.factor ** (self.every * rounds * (rounds - 1) // 2 + rounds * (rest + 1))
