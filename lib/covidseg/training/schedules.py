"""How the learning rate falls: `Poly`, `Stairs`, `Plateau` or not at all; a paper may bring a schedule of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from covidseg.training.parts import Schedule

__all__ = ["Constant", "Plateau", "Poly", "Stairs"]


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


@dataclass(frozen=True)
class Plateau(Constant):
    """lr, times ``factor`` whenever ``wait`` epochs in a row brought no smaller validation loss, as in Keras.

    >>> rows = [{"val_loss": loss} for loss in (0.9, 0.5, 0.6, 0.7)]
    >>> Plateau(wait=2).share(rows)  # two epochs above 0.5
    0.1
    """

    kind: ClassVar[str] = "plateau"
    keys: ClassVar[Mapping[str, str]] = {"wait": "plateau_wait", "factor": "plateau_factor"}
    wait: int = 7
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._refuse(self.wait < 1, "wait", "must be 1 or more")
        self._refuse(not 0 < self.factor < 1, "factor", "must lie between 0 and 1")

    def share(self, rows: Sequence[Mapping[str, Any]]) -> float:
        share, best, waited = 1.0, float("inf"), 0
        for row in rows:
            better = row.get("val_loss", float("nan")) < best
            best, waited = (row["val_loss"], 0) if better else (best, waited + 1)
            if waited == self.wait:
                share, waited = share * self.factor, 0
        return share
