"""One run: train one variant of one network on one fold, score both choices of its weights, keep the record.

The steps stand in ``40_train_one``; what each needs to know of the others is here.
"""

from dataclasses import dataclass, replace
from time import perf_counter

import torch

from covidseg.data import CaseDataset, list_datasets, load_dataset
from covidseg.errors import UserError, unknown_name
from covidseg.experiments.settings import Settings, parts, settings
from covidseg.experiments.source import source_key
from covidseg.experiments.tables import PHANTOM, family, variant_options
from covidseg.models import create_model
from covidseg.profiling import profile_model
from covidseg.provenance import peak_memory_mb, provenance
from covidseg.results import make_record
from covidseg.training import History, Recipe, evaluate
from covidseg.training import recipe as recipe_of
from covidseg.training.recipes import RECIPES, at_side

PROTOCOLS = {"clean": {}, "miniseg": {"empty_truth": "count"}}  # a lesion of a few pixels may vanish when resized
FAMILY_PROTOCOLS = {"miniseg": PROTOCOLS, "infnet": PROTOCOLS | {"infnet": {}}}
COUNTED_AT = (3, 512, 512)  # the papers' input


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

    @property
    def protocols(self) -> dict[str, dict]:
        """By which protocols the run is scored, and their options."""
        return FAMILY_PROTOCOLS[family(self.model, self.variant)]

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

    def score(self, network: torch.nn.Module, history: History, val_set, rule: str) -> dict:
        """Score one choice of the weights, "best" or "last", by every protocol, case by case."""
        history.restore(network, rule)
        scores = {name: evaluate(network, val_set, protocol=name, **o) for name, o in self.protocols.items()}
        return {"epoch": history.row(rule)["epoch"], "scores": scores}

    def record(self, network, history: History, train_set, val_set, selections: dict, begin: float) -> dict:
        """The run's record. begin : ``perf_counter()`` when training ended; scoring is added to training's seconds."""
        device = next(network.parameters()).device
        counted = profile_model(network, COUNTED_AT)
        parts = {
            name: {"cases": len(part), "fingerprint": part.fingerprint()}
            for name, part in (("train", train_set), ("val", val_set))
        }
        seconds = sum(row["seconds"] for row in history.rows) + perf_counter() - begin
        return make_record(
            model=self.model,
            variant=self.variant,
            options=self.options,
            data={"name": self.dataset, "fold": self.fold, "options": self.data_options, **parts},
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
    how = recipe_of(recipe or chosen.recipe)
    if family(model, variant) == "infnet" and not how.soft:
        known = ", ".join(name for name, r in RECIPES.items() if r.soft)
        raise UserError(f"recipe={how.name} has no soft masks, which {model} {variant} learns: choose {known}.")
    if epochs is not None:
        how = replace(how, epochs=epochs)
    if size is not None:
        if not 32 <= size <= 2048:
            raise UserError(f"size={size}: give a side of 32 to 2048 pixels.")
        how = at_side(how, size)
        chosen = replace(chosen, phantom_size=size)
    given = {"recipe": recipe, "epochs": epochs, "size": size}
    changed = {name: value for name, value in given.items() if value not in ("", None)}
    return Trial(model, variant, dataset, fold, seed, budget, how, chosen, changed)
