"""What a run learns, and how it is scored: infection, infection with pseudo labels first, or the kind of infection.

Each task is made for one `covidseg.runs.trial.Trial` and keeps what that run did before its last training.
"""

from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import torch

from covidseg.data import load_dataset
from covidseg.data.datasets import PHANTOM
from covidseg.inference import predict
from covidseg.metrics import Scores, segmentation_scores
from covidseg.papers.infnet.labelling import (
    INFECTION,
    guided_slices,
    label_infection,
    plain_slices,
    predicted_priors,
    score_classes,
    train_labelling,
)
from covidseg.papers.infnet.labelling import SETTINGS as LABELLING
from covidseg.papers.infnet.semi import PLANS, authors_pseudo_labels, label_pool, train_semi, unlabelled_slices
from covidseg.runs.networks import family, is_guided, is_semi
from covidseg.runs.settings import ALL_PSEUDO, GUIDES, PSEUDO
from covidseg.training import History, at_side, evaluate, soft_slices, train

CLEAN = {"clean": {}, "miniseg": {"empty_truth": "count"}}  # a lesion of a few pixels may vanish when resized
OF_FAMILY = {"miniseg": CLEAN, "infnet": CLEAN | {"infnet": {}}}
HEADLINES = {"mIoU": ("miniseg", "mIoU"), "DSC": ("miniseg", "DSC")}  # words -> protocol and score


def task_of(trial) -> "Segmentation":
    """The task of a trial."""
    if family(trial.model, trial.variant) == "labelling":
        return Labelling(trial)
    return SemiSupervised(trial) if is_semi(trial.model, trial.variant) else Segmentation(trial)


class Segmentation:
    """Infection or not, learned from masks.

    seconds : of the trainings before the last; facts : what the record says of their data
    headlines : the scores that the paper's tables are about, in words -> protocol and name
    """

    def __init__(self, trial):
        self.trial, self.seconds, self.facts = trial, 0.0, {}
        soft = family(trial.model, trial.variant) == "infnet"
        self.headlines = HEADLINES | ({"Inf-Net's Dice": ("infnet", "Dice")} if soft else {})

    def learn(self, network, train_set, scored, **options) -> History:
        """Train in place on cases, with the first weights of the trial's seed; ``scored`` : cases, or None.

        options : as for `covidseg.training.train` (device, out, resume, ...). Raises UserError as that does, and where
        a set that the run needs beside its own is not on this machine.
        """
        return train(network, train_set, scored, self.trial.recipe, **self._named, **options)

    def scores(self, network, cases) -> dict[str, Scores]:
        """By protocol."""
        protocols = OF_FAMILY[family(self.trial.model, self.trial.variant)]
        return {name: evaluate(network, cases, protocol=name, **options) for name, options in protocols.items()}

    def mask(self, network, case) -> np.ndarray:
        """What the network draws on a case, uint8 (H, W)."""
        return predict(network, case.image, intensity=case.intensity)

    @property
    def _named(self) -> dict:
        """What every training of the run's own network is told."""
        return {"seed": self.trial.seed, "name": self.trial.model, "options": self.trial.options}

    def _before(self, history: History) -> None:
        self.seconds += sum(row["seconds"] for row in history.rows)


class SemiSupervised(Segmentation):
    """Infection, learned from pseudo labels first: on COVID-SemiSeg the authors', on phantoms those of Algorithm 1.

    Ours: the coronacases slices, which the set stores upside down, are turned as the scored ones lie.
    """

    def learn(self, network, train_set, scored, *, out, **options) -> History:
        recipe, how = self.trial.recipe, PSEUDO.get(self.trial.recipe.name, ALL_PSEUDO)
        labels = self._labels(how, train_set, Path(out), options)
        first = replace(recipe, name=f"{recipe.name}_pseudo", epochs=min(how.epochs, recipe.epochs))
        self.facts = {"pseudo": {"labels": len(labels), "epochs": first.epochs, "of": self.source}}
        steps = {"first": first, "second": recipe, "out": out}
        histories = train_semi(network, labels, soft_slices(train_set), scored, **steps, **self._named, **options)
        self._before(histories.pseudo)
        return histories.labelled

    @property
    def source(self) -> str:
        return "Algorithm 1" if self.trial.dataset == PHANTOM else "the authors, upright"

    def _labels(self, how, train_set, out: Path, options: dict):
        if self.trial.dataset == PHANTOM:
            return self._made_here(how, train_set, out, options)
        names = authors_pseudo_labels().ids
        return authors_pseudo_labels(ids=names[:: max(1, len(names) // how.labels)], upright=True)

    def _made_here(self, how, train_set, out: Path, options: dict):
        """Algorithm 1, by an Inf-Net that learned from the masks alone."""
        teacher = replace(self.trial, variant="Inf-Net")
        network = teacher.network()
        self._before(teacher.learn(network, train_set, None, out=out / "teacher", **options))
        plan = PLANS[how.plan]
        plan = replace(plan, recipe=at_side(plan.recipe, self.trial.recipe.base_side))
        pool = unlabelled_slices(load_dataset(PHANTOM, n=how.labels, **self.trial.data_options))
        place = {"out": out / "labels", "device": options.get("device", "auto"), "batch": 8}
        found = label_pool(network, soft_slices(train_set), pool, plan, seed=self.trial.seed, **place)
        greys = {item.id: item.grey for item in pool}
        return [label.soft_slice(greys[label.source]) for label in found]


class Labelling(Segmentation):
    """Ground glass or consolidation. A guided network learns beside the true infection, and is scored beside a map that
    a Semi-Inf-Net of the same seed made, as in the code; that network is trained first, in the same run.
    """

    guide = None  # trained network

    def __init__(self, trial):
        super().__init__(trial)
        self.headlines, self.priors = {f"Dice of {kind}": (kind, "Dice") for kind in INFECTION}, {}

    def learn(self, network, train_set, scored, *, out, **options) -> History:
        setting = replace(LABELLING[self.trial.recipe.name], recipe=self.trial.recipe)
        if is_guided(self.trial.model, self.trial.variant):
            self._learn_to_guide(train_set, Path(out) / "guide", options)
            self.priors = predicted_priors(self.guide, scored)
            slices, held = guided_slices(train_set), guided_slices(scored, self.priors)
        else:
            slices, held = plain_slices(train_set), plain_slices(scored)
        return train_labelling(network, slices, setting, scored=held, out=out, **self._named, **options)

    def _learn_to_guide(self, train_set, out: Path, options: dict) -> None:
        guide = self.trial.guide(GUIDES.get(self.trial.recipe.name, "infnet_released"))
        self.guide = guide.network()
        history = guide.learn(self.guide, train_set, None, out=out, **options)
        self._before(history)
        self.seconds += guide.task.seconds
        self.facts = {"guide": {"variant": guide.variant, "recipe": guide.recipe.name} | guide.task.facts}

    def scores(self, network, cases) -> dict[str, Scores]:
        """ "GGO" and "consolidation" over the slices that have the kind, the same over all slices, and infection."""
        maps, truths, ids = [self.mask(network, case) for case in cases], [case.mask for case in cases], cases.ids
        kinds = score_classes(maps, truths, ids)
        found = {name: kinds.containing.get(name) or _undefined(kinds.all[name]) for name in INFECTION}
        found |= {f"{name}, all slices": s for name, s in kinds.all.items()}
        infection = [(mask > 0).astype(np.uint8) for mask in maps]
        return found | {"clean": segmentation_scores(infection, [case.infection for case in cases], "clean", ids=ids)}

    def mask(self, network, case) -> np.ndarray:
        prior = None
        if self.guide is not None:
            prior = self.priors.get(case.id)
            if prior is None:
                prior = predicted_priors(self.guide, [case])[case.id]
        with torch.inference_mode():
            return label_infection(network, case.image, prior, intensity=case.intensity)


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
