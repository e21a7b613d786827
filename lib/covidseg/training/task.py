"""What a run learns, in however many trainings, and how it is scored: the base of every paper's tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import nn

from covidseg.data.case import Case
from covidseg.inference import predict
from covidseg.metrics import Scores
from covidseg.paper import Budget
from covidseg.training.evaluation import evaluate
from covidseg.training.history import History
from covidseg.training.loop import train
from covidseg.training.recipes import Recipe

__all__ = ["BACKWARD", "Task"]

BACKWARD = 3  # a training step costs about three forward passes


class Plan(Protocol):
    """What a task asks of its trial (`covidseg.runs.trial.Trial`); ``options`` : of `create_model`."""

    @property
    def model(self) -> str: ...

    @property
    def options(self) -> dict[str, Any]: ...

    @property
    def recipe(self) -> Recipe: ...

    @property
    def budget(self) -> str: ...

    @property
    def sizes(self) -> Budget: ...

    @property
    def seed(self) -> int: ...

    def macs(self) -> int: ...


class Task:
    """Infection or not, learned from masks in one training. Made for one trial; a paper's tasks change what they must.

    needs : of `covidseg.data.sets.PROPERTIES`, what the data set must have
    budgets : by name of the budget; protocols : by which it is scored, with their options
    headlines : the scores that the paper's tables are about, in words -> protocol and name of the score
    learns : what its recipes must offer, in words, for the message that refuses another
    counted_at : spatial size of the input at which the papers count multiply-accumulates
    unwatched : budgets, or recipes by name, in which nothing is scored between epochs
    macs_per_second : of training on one CPU thread, for estimates

    seconds : of the trainings before the last; facts : what the record says of their data
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    budgets: ClassVar[Mapping[str, Budget]] = {}
    protocols: ClassVar[Mapping[str, dict]] = {"clean": {}}
    headlines: ClassVar[Mapping[str, tuple[str, str]]] = {"Dice": ("clean", "dice")}
    learns: ClassVar[str] = "masks of infection alone"
    counted_at: ClassVar[tuple[int, ...]] = (512, 512)
    unwatched: ClassVar[frozenset[str]] = frozenset()
    macs_per_second: ClassVar[float] = 1.5e9

    def __init__(self, trial: Plan) -> None:
        self.trial, self.seconds = trial, 0.0
        self.facts: dict[str, Any] = {}

    @classmethod
    def takes(cls, recipe: Recipe) -> bool:
        """Whether a run of this task can follow the recipe."""
        return recipe.feed.num_classes == 2

    def learn(
        self, network: nn.Module, train_set: Sequence[Case], scored: Sequence[Case] | None, **options: Any
    ) -> History:
        """Train in place on cases, with the first weights of the trial's seed; ``scored`` : cases, or None.

        options : as for `covidseg.training.train` (device, out, resume, ...). Raises UserError as that does, and where
        a set that the run needs beside its own is not on this machine.
        """
        return train(network, train_set, scored, self.trial.recipe, **self._named, **options)

    def scores(self, network: nn.Module, cases: Sequence[Case]) -> dict[str, Scores]:
        """By protocol."""
        return {name: evaluate(network, cases, protocol=name, **options) for name, options in self.protocols.items()}

    def mask(self, network: nn.Module, case: Case) -> np.ndarray:
        """What the network draws on a case, uint8 of the case's shape."""
        return predict(network, case.image, intensity=case.intensity, spacing=case.spacing, optimize=False)

    def effort(self) -> float:
        """Multiply-accumulates of the whole run; what is learned before the last training counts too."""
        return self.trial.macs() * self.passes()

    def passes(self) -> float:
        """How many forward passes of the counted input the run's own network makes."""
        recipe, sizes = self.trial.recipe, self.trial.sizes
        scored = 0 if self.unwatched & {self.trial.budget, recipe.name} else sizes.val_cases
        scoring = scored * self.share(recipe.val_size)
        return recipe.epochs * (sizes.train_cases * self.one_pass() + scoring)

    def one_pass(self) -> float:
        """Forward passes of the counted input that one case costs in one epoch."""
        return BACKWARD * sum(self.share(scale.side) for scale in self.trial.recipe.scales)

    def share(self, side: int) -> float:
        """Size of an input of that side, of the counted one."""
        return (side / self.counted_at[0]) ** len(self.counted_at)

    @property
    def _named(self) -> dict:
        """What every training of the run's own network is given."""
        return {"seed": self.trial.seed, "name": self.trial.model, "options": self.trial.options}

    def _before(self, history: History) -> None:
        """Count a training that came before the last."""
        self.seconds += sum(row["seconds"] for row in history.rows)
