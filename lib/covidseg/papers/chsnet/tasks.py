"""What CHS-Net's runs learn: infection from the whole slice, the lungs, or first the one and then the other.

Fold 0 is the paper's own 70 and 30 %. Then a fifth of the 70 % chooses the epoch and stops the training, and the 30 %
are seen by the last scores alone. Which fifth goes by the seed, so that five seeds are the paper's five folds. In
folds 1 to 5 the scored slices choose, as everywhere in this kit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from covidseg.data import CaseDataset, load_dataset
from covidseg.data.splits import FOLDS
from covidseg.errors import UserError
from covidseg.inference import predict
from covidseg.metrics import Scores
from covidseg.paper import Budget
from covidseg.papers.chsnet.data import DATASETS, PARTS, lungs_of, set_of
from covidseg.papers.chsnet.feed import GreySlices
from covidseg.papers.chsnet.protocol import part_of
from covidseg.training.evaluation import evaluate
from covidseg.training.history import History
from covidseg.training.loop import train
from covidseg.training.recipes import Recipe
from covidseg.training.task import BACKWARD, Task

__all__ = ["Cascade", "Direct", "Lungs", "ceiling", "hold_out"]


class Direct(Task):
    """Infection from the whole slice, by one network (Tables 3 and 4)."""

    budgets = {
        "smoke": Budget("chsnet_quick", train_cases=8, val_cases=4, phantom_size=64),
        "lesson": Budget("chsnet_lesson", train_cases=64, val_cases=32, phantom_size=96),
        "paper": Budget("chsnet_paper", train_cases=2492, val_cases=1068, phantom_size=256),
    }
    protocols = {"clean": {}, "chsnet": {}}
    headlines = {"DC": ("chsnet", "DC"), "mean JI": ("chsnet", "mean JI"), "Dice": ("clean", "dice")}
    learns = "greys of 0 to 1, as CHS-Net reads them,"
    counted_at = (256, 256)
    macs_per_second = 4.5e9  # width 20 at 96 x 96, one thread of a machine that had other work

    @classmethod
    def takes(cls, recipe: Recipe) -> bool:
        return isinstance(recipe.feed, GreySlices)

    def learn(self, network, train_set, scored, **options) -> History:
        learned, chosen_on = self._apart(train_set, scored)
        return train(network, learned, chosen_on, self._recipe(), **self._named, **options)

    def scores(self, network, cases) -> dict[str, Scores]:
        """ "clean" and "chsnet"; on the fused set also "chsnet, p9" and "chsnet, p20", the slices of each alone."""
        found = {name: evaluate(network, cases, protocol=name) for name in ("clean", "chsnet")}
        for name in PARTS if len({set_of(i) for i in cases.ids} & set(PARTS)) > 1 else ():
            found[f"chsnet, {name}"] = part_of(found["chsnet"], lambda i, name=name: set_of(i) == name)
        return found

    def _recipe(self) -> Recipe:
        return self.trial.recipe

    def _apart(self, train_set, scored) -> tuple[CaseDataset, CaseDataset | None]:
        """What is learned from, and what chooses the epoch; see the file's top."""
        if self.trial.fold or scored is None:
            self.facts["chosen_on"] = "the scored slices" if scored is not None else "nothing"
            return train_set, scored
        learned, held, rule = hold_out(train_set, self.trial.dataset, self.trial.seed)
        facts = {"cases": len(held), "fingerprint": held.fingerprint(), "rule": rule}
        self.facts["chosen_on"] = facts
        return learned, held


class Lungs(Direct):
    """The lungs, by one network: the first half of a cascade, for itself (Tables 2 and 5)."""

    needs = frozenset({"lung"})

    def _recipe(self) -> Recipe:
        return replace(self.trial.recipe, feed=replace(self.trial.recipe.feed, target="lungs"))

    def scores(self, network, cases) -> dict[str, Scores]:
        return super().scores(network, lungs_of(cases))


class Cascade(Direct):
    """The lungs first, the infection second, on the slice without its surroundings (Figure 5; Tables 2, 3 and 5).

    Both networks see the same slices, and the second one the masks that the first one draws. Between the two stands the
    epoch of the first that did best on the slices that choose.
    """

    needs = frozenset({"lung"})
    protocols = Direct.protocols | {"lungs": {}}

    def learn(self, network, train_set, scored, *, out=None, **options) -> History:
        learned, chosen_on = self._apart(train_set, scored)
        self._learn_lungs(network.lungs, learned, chosen_on, Path(out) / "lungs" if out else None, options)
        if scored is not None:
            self.facts["lungs"] = ceiling(network.lungs, scored)
        network.lungs.requires_grad_(False)
        try:
            return train(network, learned, chosen_on, self._recipe(), out=out, **self._named, **options)
        finally:
            network.lungs.requires_grad_(True)

    def scores(self, network, cases) -> dict[str, Scores]:
        """As `Direct`, and "lungs": the first network's by the chsnet protocol."""
        lungs = evaluate(network.lungs, lungs_of(cases), network.preprocessing, "chsnet")
        return super().scores(network, cases) | {"lungs": lungs}

    def one_pass(self) -> float:
        """Beside both trainings the first network's answers, half a pass, while the second one learns."""
        return super().one_pass() * (1 + 0.5 / BACKWARD)

    def _learn_lungs(self, lungs, learned, chosen_on, out: Path | None, options: dict) -> None:
        recipe = self._recipe()
        first = replace(recipe, name=f"{recipe.name}_lungs", feed=replace(recipe.feed, target="lungs"))
        own = {name: value for name, value in self.trial.options.items() if name not in ("num_classes", "cascade")}
        named = {"seed": self.trial.seed, "name": "raiunet", "options": own | {"num_classes": 1}}
        history = train(lungs, learned, chosen_on, first, out=out, **named, **options)
        history.restore(lungs, "best")
        self._before(history)


def hold_out(cases: CaseDataset, dataset: str, seed: int) -> tuple[CaseDataset, CaseDataset, str]:
    """(cases to learn from, a fifth that chooses the epoch, the rule in words): fold ``seed`` mod 5 + 1 of the set.

    Of a set that is not CHS-Net's own, and where too few of it are there, every fifth patient is held out.
    Raises UserError where that leaves nothing on one side.
    """
    number = seed % len(FOLDS) + 1
    if dataset in dict(DATASETS):
        held = set(load_dataset(dataset, "val", number).ids).intersection(cases.ids)
        if 0 < len(held) < len(cases):
            return *_parted(cases, held), f"fold {number} of five"
    people = [patient or case_id for case_id, patient in zip(cases.ids, cases.patients, strict=True)]
    chosen = set(sorted(set(people))[number - 1 :: len(FOLDS)])
    held = {case_id for case_id, who in zip(cases.ids, people, strict=True) if who in chosen}
    if not 0 < len(held) < len(cases):
        raise UserError(
            f"{len(cases)} cases of {len(set(people))} patients are too few to hold a fifth out: take more."
        )
    return *_parted(cases, held), "every fifth patient"


def _parted(cases: CaseDataset, held: set[str]) -> tuple[CaseDataset, CaseDataset]:
    return tuple(cases.subset([i for i in cases.ids if (i in held) == wanted]) for wanted in (False, True))


def ceiling(lungs, cases: Sequence) -> dict:
    """What a cascade can reach at most: of the drawn infection, how much lies in the lungs that a network draws.

    lungs : network with ``preprocessing``. Returns "recall_ceiling" (None without infection), "empty": slices in which
    it sees no lung, "outside_drawn": share of the infection outside the drawn lungs, which no lung network should find.
    """
    inside = outside = total = empty = 0
    for case in cases:
        found = predict(lungs, case.image, intensity=case.intensity, optimize=False) > 0
        infection = case.infection
        empty += not found.any()
        total += np.count_nonzero(infection)
        inside += np.count_nonzero(infection & found)
        outside += np.count_nonzero(infection & (case.lung == 0))
    shares = {"recall_ceiling": inside, "outside_drawn": outside}
    return {name: count / total if total else None for name, count in shares.items()} | {"empty": empty}
