"""One run: train one variant of one network on one fold, score both choices of its weights, keep the record.

The steps stand in ``40_train_one``; what each needs to know of the others is here.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter

import torch

from covidseg.data import CaseDataset, list_datasets, load_dataset
from covidseg.data.datasets import PHANTOM
from covidseg.errors import UserError, unknown_name
from covidseg.nn import create_model
from covidseg.papers.infnet.labelling import SETTINGS as LABELLING
from covidseg.profiling import profile_model
from covidseg.provenance import peak_memory_mb, provenance
from covidseg.runs.networks import LARGEST_RATE, SEMI, family, is_guided, is_semi, variant_options
from covidseg.runs.record import make_record
from covidseg.runs.settings import WITH_KINDS, WITH_POOL, Settings, parts, settings
from covidseg.runs.source import source_key
from covidseg.runs.task import Segmentation, task_of
from covidseg.training import History, Recipe, at_side
from covidseg.training.recipes import RECIPES

COUNTED_AT = (512, 512)  # the papers' input


@dataclass(frozen=True)
class Trial:
    """What one run is to do. ``changed`` : parameters that are not their budget's standard."""

    model: str
    variant: str
    dataset: str
    fold: int
    seed: int
    budget: str
    recipe: Recipe
    settings: Settings
    changed: dict

    @property
    def options(self) -> dict:
        """What create_model is given."""
        return variant_options(self.model, self.variant)

    @property
    def data_options(self) -> dict:
        return {"size": self.settings.phantom_size} if self.dataset == PHANTOM else {}

    @cached_property
    def task(self) -> Segmentation:
        """What is learned, and how it is scored."""
        return task_of(self)

    def network(self) -> torch.nn.Module:
        """The network with the first weights of this seed, whatever was drawn before."""
        torch.manual_seed(self.seed)
        return create_model(self.model, **self.options)

    def data(self) -> tuple[CaseDataset, CaseDataset]:
        """The training and the scored part of the fold. Raises UserError where the set is not on this machine.

        Phantoms do not depend on the seed: all seeds learn from the same cases, as on real data.
        """
        train, scored = parts(self.dataset, self.fold)
        return self._part(train, self.settings.train_cases), self._part(scored, self.settings.val_cases)

    def _part(self, split: str, many: int) -> CaseDataset:
        if self.dataset == PHANTOM:
            return load_dataset(PHANTOM, split, self.fold or None, n=many, **self.data_options)
        cases = load_dataset(self.dataset, split, self.fold or None)
        if self.budget == "paper" or len(cases) <= many:
            return cases
        return cases.subset([cases.ids[k * len(cases) // many] for k in range(many)])  # evenly, so of many patients

    def learn(self, network: torch.nn.Module, train_set, val_set, **options) -> History:
        """Train in place, in as many steps as the variant has; the last one's history.

        options : as for `covidseg.training.train`; out, device, resume, ...
        """
        return self.task.learn(network, train_set, val_set, **options)

    def guide(self, recipe: str) -> "Trial":
        """The Semi-Inf-Net whose maps guide this run's network."""
        place = (self.dataset, self.fold, self.seed, self.budget)
        return trial("infnet", SEMI, *place, recipe=recipe, size=self.changed.get("size"))

    def score(self, network: torch.nn.Module, history: History, val_set, rule: str) -> dict:
        """Score one choice of the weights, "best" or "last", by every protocol, case by case."""
        history.restore(network, rule)
        return {"epoch": history.row(rule)["epoch"], "scores": self.task.scores(network, val_set)}

    def record(self, network, history: History, train_set, val_set, selections: dict, begin: float) -> dict:
        """The run's record. begin : ``perf_counter()`` when training ended; scoring is added to training's seconds."""
        device = next(network.parameters()).device
        counted = profile_model(network, (self.options.get("in_channels", 3), *COUNTED_AT))
        parts = {
            name: {"cases": len(part), "fingerprint": part.fingerprint()}
            for name, part in (("train", train_set), ("val", val_set))
        }
        seconds = self.task.seconds + sum(row["seconds"] for row in history.rows) + perf_counter() - begin
        return make_record(
            model=self.model,
            variant=self.variant,
            options=self.options,
            data={"name": self.dataset, "fold": self.fold, "options": self.data_options, **parts} | self.task.facts,
            changed=self.changed,
            seed=self.seed,
            budget=self.budget,
            recipe=self.recipe.to_dict(),
            params=counted.params,
            macs=counted.macs,
            selections=selections,
            provenance=provenance(device) | {"source": source_key()},
            cost={"seconds": seconds, "device": device.type, "peak_memory_mb": peak_memory_mb(device)},
        )


def trial(model, variant, dataset, fold, seed, budget, *, recipe="", epochs=None, size=None) -> Trial:
    """The run with these parameters of ``40_train_one``; "" and None take the budget's own.

    fold : 1..5, or 0 for the set's own train and test part; epochs : another length
    size : another side, for training at one scale and for scoring
    Raises UserError, with the nearest name, for anything that is wrong in them.
    """
    variant_options(model, variant)
    if dataset not in list_datasets():
        raise unknown_name("data set", dataset, list_datasets())
    chosen = settings(budget, dataset, fold, model, variant)
    how = recipe_for(recipe or chosen.recipe, model, variant)
    _refuse(family(model, variant) == "labelling", variant, "tells kinds of infection apart", dataset, WITH_KINDS)
    _refuse(
        is_semi(model, variant) or is_guided(model, variant), variant, "needs unlabelled slices", dataset, WITH_POOL
    )
    changed = {} if recipe in ("", chosen.recipe) else {"recipe": recipe}
    if epochs not in (None, how.epochs):
        how, changed = replace(how, epochs=epochs), changed | {"epochs": epochs}
    if size is not None:
        if not 32 <= size <= 2048:
            raise UserError(f"size={size}: give a side of 32 to 2048 pixels.")
        resized = at_side(how, size), replace(chosen, phantom_size=size)
        if resized != (how, chosen):
            (how, chosen), changed = resized, changed | {"size": size}
    return Trial(model, variant, dataset, fold, seed, budget, how, chosen, changed)


def all_recipes() -> dict[str, Recipe]:
    """Every recipe that some run may name, those of the labelling included."""
    return RECIPES | {name: setting.recipe for name, setting in LABELLING.items()}


def recipe_for(name: str, model: str, variant: str) -> Recipe:
    """The recipe of that name, its rate lowered where the network needs it (`LARGEST_RATE`).

    Raises UnknownName, and UserError for one that this run cannot follow.
    """
    kind, labelling = family(model, variant), {key: setting.recipe for key, setting in LABELLING.items()}
    if name not in all_recipes():
        raise unknown_name("recipe", name, all_recipes())
    soft = {key: recipe for key, recipe in RECIPES.items() if recipe.soft}
    fits, lack = {"labelling": (labelling, "kinds of infection"), "infnet": (soft, "soft masks")}.get(
        kind, (RECIPES, "masks of infection alone")
    )
    if name not in fits:
        raise UserError(f"recipe={name} has no {lack}, which {model} {variant} learns: choose {', '.join(fits)}.")
    how = fits[name]
    gentle = kind == "labelling" and how.optimizer == "adam" and model in LARGEST_RATE  # the authors' recipe is SGD
    return replace(how, lr=min(how.lr, LARGEST_RATE[model])) if gentle else how


def _refuse(wanted: bool, variant: str, what: str, dataset: str, able: tuple[str, ...]) -> None:
    if wanted and dataset not in able:
        raise UserError(f"{variant} {what}, and {dataset} has none: choose dataset={' or '.join(able)}.")
