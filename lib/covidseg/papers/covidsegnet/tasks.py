"""What COVID-SegNet's runs learn: infection alone, the lungs alone, or both at once.

The paper "will perform both lung and COVID-19 segmentation tasks" and does not say whether by one network. Ma et al.
lose six points of infection Dice with one for both, so the tables' rows are two networks; a row for both stands beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from torch import nn

from covidseg.data.case import Case
from covidseg.inference import predict
from covidseg.metrics import Scores, segmentation_scores
from covidseg.paper import Budget
from covidseg.papers.covidsegnet.feed import ScanPatches
from covidseg.papers.covidsegnet.predictor import INFECTED, PATCH
from covidseg.papers.covidsegnet.protocol import LUNG_MM
from covidseg.training.history import History
from covidseg.training.loop import train
from covidseg.training.recipes import Recipe
from covidseg.training.task import BACKWARD, Task

__all__ = ["Infection", "Joint", "Lungs"]

LUNGS = "lungs"  # under which the lungs' scores stand in a record
WINDOWS = 4  # ours, for estimates: a scan is seen in half-overlapping patches, its own size four times


class Infection(Task):
    """Infection, by a network of its own."""

    needs = frozenset({"volumes"})
    budgets = {
        "smoke": Budget("covidsegnet_quick", train_cases=4, val_cases=2, phantom_size=48),
        "lesson": Budget("covidsegnet_lesson", train_cases=24, val_cases=8, phantom_size=64),
        "paper": Budget("covidsegnet_paper", train_cases=16, val_cases=4, phantom_size=128),
    }
    protocols = {"clean": {}, "covidsegnet": {}}
    headlines = {"Dice": ("covidsegnet", "Dice"), "NSD": ("covidsegnet", "NSD"), "HD95": ("clean", "hd95")}
    learns = "patches of volumes with greys of 0 to 1,"
    counted_at = PATCH
    # the last epoch is scored; four scans of 512 x 512 after each of 250 epochs would cost twice the training
    unwatched = frozenset({"paper"})
    macs_per_second = 2.5e10  # width 8, one thread of a machine that had other work

    @classmethod
    def takes(cls, recipe: Recipe) -> bool:
        return isinstance(recipe.feed, ScanPatches)

    def scores(self, network: nn.Module, cases: Sequence[Case]) -> dict[str, Scores]:
        """By protocol; each scan is segmented once. Distances are in mm where every spacing is known."""
        ids, drawn, truths, spacings = [], [], [], []
        for case, classes in self._classes(network, cases):
            ids.append(case.id)
            drawn.append(self._drawn(classes))
            truths.append(self._truths(case))
            spacings.append(case.spacing)
        known = spacings if all(np.isfinite(spacing).all() for spacing in spacings) else None
        return {
            name: segmentation_scores(
                [masks[what] for masks in drawn], [masks[what] for masks in truths], protocol, known,
                ids=ids, per="volume", **options,
            )
            for name, (protocol, what, options) in self._asked().items()
        }  # fmt: skip

    def passes(self) -> float:
        recipe, sizes = self.trial.recipe, self.trial.sizes
        size = sizes.phantom_size
        scan = WINDOWS * size * size * (size * 3 // 8) / np.prod(self.counted_at)
        one = BACKWARD * self.share(recipe.scales[0].side) * recipe.feed.per_volume
        return recipe.epochs * (sizes.train_cases * one + sizes.val_cases * scan)

    def _classes(self, network: nn.Module, cases: Sequence[Case]) -> Iterator[tuple[Case, np.ndarray]]:
        """Each case with the classes that the network draws, as it has them."""
        usual = network.predictor
        network.predictor = replace(usual, wants="classes")
        try:
            for case in cases:
                yield case, predict(network, case.image, intensity=case.intensity, spacing=case.spacing, optimize=False)
        finally:
            network.predictor = usual

    def _asked(self) -> dict[str, tuple[str, str, dict]]:
        """Name of the scores -> protocol, what is scored, the protocol's options."""
        return {"clean": ("clean", "infection", {}), "covidsegnet": ("covidsegnet", "infection", {})}

    def _drawn(self, classes: np.ndarray) -> dict[str, np.ndarray]:
        return {"infection": classes == 1}

    def _truths(self, case: Case) -> dict[str, np.ndarray]:
        return {"infection": case.infection}


class _Aimed(Infection):
    """With another target than the recipe's own."""

    needs = frozenset({"volumes", "lung"})
    protocols = Infection.protocols | {LUNGS: {}}
    target: ClassVar[str]

    def learn(self, network, train_set, scored, **options) -> History:
        recipe = self.trial.recipe
        aimed = replace(recipe, feed=replace(recipe.feed, target=self.target))
        return train(network, train_set, scored, aimed, **self._named, **options)


class Lungs(_Aimed):
    """The lungs, by a network of their own: what its scores are about, NSD at 1 mm."""

    target = "lungs"
    headlines = {"Dice": (LUNGS, "Dice"), "NSD": (LUNGS, "NSD")}

    def _asked(self):
        own = ("covidsegnet", LUNGS, {"tolerance": LUNG_MM})
        return {"clean": ("clean", LUNGS, {}), "covidsegnet": own, LUNGS: own}

    def _drawn(self, classes):
        return {LUNGS: classes == 1}

    def _truths(self, case):
        return {LUNGS: case.lung != 0}


class Joint(_Aimed):
    """Background, lung and infection by one network. Its "clean" and "covidsegnet" scores are the infection's.

    A voxel of infection is lung too, as the lungs are drawn.
    """

    target = "joint"
    headlines = Infection.headlines | {"lungs' Dice": (LUNGS, "Dice")}

    def _asked(self):
        return super()._asked() | {LUNGS: ("covidsegnet", LUNGS, {"tolerance": LUNG_MM})}

    def _drawn(self, classes):
        return {"infection": classes == INFECTED, LUNGS: classes > 0}

    def _truths(self, case):
        return {"infection": case.infection, LUNGS: (case.lung != 0) | case.infection}
