"""What Inf-Net's runs learn: infection as a soft map, with pseudo labels first, or the kind of infection."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from covidseg.data import data_set, load_dataset
from covidseg.metrics import Scores, segmentation_scores
from covidseg.paper import Budget
from covidseg.papers.infnet.feed import is_soft, soft_slices
from covidseg.papers.infnet.labelling import (
    INFECTION,
    SETTINGS,
    guided_slices,
    label_infection,
    plain_slices,
    predicted_priors,
    score_classes,
    train_labelling,
)
from covidseg.papers.infnet.semi import PLANS, authors_pseudo_labels, label_pool, train_semi, unlabelled_slices
from covidseg.training.history import History
from covidseg.training.recipes import Recipe, at_side
from covidseg.training.task import Task

__all__ = ["GuidedLabelling", "Labelling", "SemiSupervised", "SoftInfection"]

RATE = 28e9  # multiply-accumulates a second of training on one CPU thread at 96 x 96 (EPYC with AVX-512)
SEMI = "Semi-Inf-Net"


@dataclass(frozen=True)
class Pseudo:
    """The first step of Semi-Inf-Net: so many pseudo labels, so many epochs. On phantoms they are made by ``plan``."""

    labels: int
    epochs: int
    plan: str


PSEUDO = {  # by the recipe of the second step
    "infnet_quick": Pseudo(8, 1, "quick"),
    "infnet_lesson": Pseudo(64, 4, "lesson"),
    "infnet_short": Pseudo(400, 4, "lesson"),  # ours: eight for each of the doctors' 50, for a CPU
    "infnet_short_decayed": Pseudo(400, 4, "lesson"),
    "infnet_long": Pseudo(1600, 3, "lesson"),  # ours: every label, and a little more steps than the doctors' 50 get
}
ALL_PSEUDO = Pseudo(1600, 99, "fast")  # code: every label, as many epochs as the second step
GUIDES = {  # recipe of a guided labelling -> of the network that guides it
    "multiclass_quick": "infnet_quick",
    "multiclass_lesson": "infnet_lesson",
    "multiclass_short": "infnet_short",
}


class SoftInfection(Task):
    """Infection from soft masks and their edges (Table II, Table IV)."""

    budgets = {
        "smoke": Budget("infnet_quick", train_cases=8, val_cases=4, phantom_size=64),
        "lesson": Budget("infnet_lesson", train_cases=64, val_cases=32, phantom_size=96),
        "paper": Budget("infnet_released", train_cases=50, val_cases=48, phantom_size=352),
    }
    protocols = {"clean": {}, "miniseg": {"empty_truth": "count"}, "infnet": {}}
    headlines = {"mIoU": ("miniseg", "mIoU"), "DSC": ("miniseg", "DSC"), "Inf-Net's Dice": ("infnet", "Dice")}
    unwatched = frozenset({"infnet_long"})  # ours: to score 48 slices takes as long as to learn from 50
    learns = "soft masks"
    macs_per_second = RATE

    @classmethod
    def takes(cls, recipe: Recipe) -> bool:
        return is_soft(recipe)


class SemiSupervised(SoftInfection):
    """Infection, learned from pseudo labels first: on COVID-SemiSeg the authors', on phantoms those of Algorithm 1.

    Ours: the coronacases slices, which the set stores upside down, are turned as the scored ones lie.
    """

    needs = frozenset({"pool"})

    def learn(self, network, train_set, scored, *, out, **options) -> History:
        recipe, pseudo = self.trial.recipe, PSEUDO.get(self.trial.recipe.name, ALL_PSEUDO)
        labels = self._labels(pseudo, train_set, Path(out), options)
        first = replace(recipe, name=f"{recipe.name}_pseudo", epochs=min(pseudo.epochs, recipe.epochs))
        self.facts = {"pseudo": {"labels": len(labels), "epochs": first.epochs, "of": self.source}}
        steps = {"first": first, "second": recipe, "out": out}
        histories = train_semi(network, labels, soft_slices(train_set), scored, **steps, **self._named, **options)
        self._before(histories.pseudo)
        return histories.labelled

    def passes(self) -> float:
        pseudo = PSEUDO.get(self.trial.recipe.name, ALL_PSEUDO)
        return super().passes() + pseudo.labels * pseudo.epochs * self.one_pass()

    @property
    def source(self) -> str:
        return "Algorithm 1" if self._synthetic else "the authors, upright"

    @property
    def _synthetic(self) -> bool:
        return data_set(self.trial.dataset).synthetic

    def _labels(self, pseudo: Pseudo, train_set, out: Path, options: dict):
        if self._synthetic:
            return self._made_here(pseudo, train_set, out, options)
        names = authors_pseudo_labels().ids
        return authors_pseudo_labels(ids=names[:: max(1, len(names) // pseudo.labels)], upright=True)

    def _made_here(self, pseudo: Pseudo, train_set, out: Path, options: dict):
        """Algorithm 1, by an Inf-Net that learned from the masks alone."""
        teacher = self.trial.sibling(variant=self.trial.variant.removeprefix("Semi-"))
        network = teacher.network()
        self._before(teacher.learn(network, train_set, None, out=out / "teacher", **options))
        plan = PLANS[pseudo.plan]
        plan = replace(plan, recipe=at_side(plan.recipe, self.trial.recipe.feed.base_side))
        pool = unlabelled_slices(load_dataset(self.trial.dataset, n=pseudo.labels, **self.trial.data_options))
        place = {"out": out / "labels", "device": options.get("device", "auto"), "batch": 8}
        found = label_pool(network, soft_slices(train_set), pool, plan, seed=self.trial.seed, **place)
        greys = {item.id: item.grey for item in pool}
        return [label.soft_slice(greys[label.source]) for label in found]


class Labelling(Task):
    """Ground glass or consolidation, from the slice alone (Table III)."""

    needs = frozenset({"kinds"})
    budgets = {
        "smoke": Budget("multiclass_quick", train_cases=8, val_cases=4, phantom_size=64),
        "lesson": Budget("multiclass_lesson", train_cases=64, val_cases=32, phantom_size=96),
        "paper": Budget("multiclass_released", train_cases=50, val_cases=48, phantom_size=352),
    }
    protocols: ClassVar[Mapping[str, dict]] = dict.fromkeys((*INFECTION, "clean"), {})
    headlines = {f"Dice of {kind}": (kind, "Dice") for kind in INFECTION}
    learns = "kinds of infection"
    macs_per_second = RATE

    @classmethod
    def takes(cls, recipe: Recipe) -> bool:
        return recipe.name in SETTINGS

    def learn(self, network, train_set, scored, *, out, **options) -> History:
        setting = replace(SETTINGS[self.trial.recipe.name], recipe=self.trial.recipe)
        slices, held = self._slices(train_set, scored, Path(out), options)
        return train_labelling(network, slices, setting, scored=held, out=out, **self._named, **options)

    def _slices(self, train_set, scored, out: Path, options: dict) -> tuple[list, list]:
        """What it learns from, and what is scored after every epoch."""
        return plain_slices(train_set), plain_slices(scored)

    def scores(self, network, cases) -> dict[str, Scores]:
        """ "GGO" and "consolidation" over the slices that have the kind, the same over all slices, and infection."""
        maps, truths, ids = [self.mask(network, case) for case in cases], [case.mask for case in cases], cases.ids
        kinds = score_classes(maps, truths, ids)
        found = {name: kinds.containing.get(name) or _undefined(kinds.all[name]) for name in INFECTION}
        found |= {f"{name}, all slices": s for name, s in kinds.all.items()}
        infection = [(mask > 0).astype(np.uint8) for mask in maps]
        return found | {"clean": segmentation_scores(infection, [case.infection for case in cases], "clean", ids=ids)}

    def mask(self, network, case) -> np.ndarray:
        with torch.inference_mode():
            return label_infection(network, case.image, self._prior(case), intensity=case.intensity)

    def _prior(self, case) -> np.ndarray | None:
        return None


class GuidedLabelling(Labelling):
    """The same beside a map of infection: the true one while it learns; scored beside a map that a Semi-Inf-Net of the
    same seed made, as in the code. That network is trained first, in the same run.
    """

    needs = frozenset({"kinds", "pool"})

    def __init__(self, trial):
        super().__init__(trial)
        self.guide, self.priors = None, {}

    def effort(self) -> float:
        return super().effort() + self._guiding().task.effort()

    def _guiding(self):
        """The trial of the Semi-Inf-Net whose maps guide this run's network."""
        recipe = GUIDES.get(self.trial.recipe.name, "infnet_released")
        return self.trial.sibling(model="infnet", variant=SEMI, recipe=recipe)

    def _slices(self, train_set, scored, out, options):
        guiding = self._guiding()
        self.guide = guiding.network()
        self._before(guiding.learn(self.guide, train_set, None, out=out / "guide", **options))
        self.seconds += guiding.task.seconds
        self.facts = {"guide": {"variant": guiding.variant, "recipe": guiding.recipe.name} | guiding.task.facts}
        self.priors = predicted_priors(self.guide, scored)
        return guided_slices(train_set), guided_slices(scored, self.priors)

    def _prior(self, case) -> np.ndarray | None:
        if self.guide is None:
            return None
        if case.id not in self.priors:
            return predicted_priors(self.guide, [case])[case.id]
        return self.priors[case.id]


def _undefined(scores: Scores) -> Scores:
    """The scores of a kind that no slice has."""
    none = dict.fromkeys(scores.means, nan)
    return replace(
        scores,
        cases=[row | none for row in scores.cases],
        means=none,
        n=dict.fromkeys(scores.n, 0),
        undefined=dict.fromkeys(scores.undefined, len(scores.cases)),
        pooled=dict.fromkeys(scores.pooled, nan),
    )
