"""One run: train one variant of one network on one fold, score both choices of its weights, keep the record.

The steps stand in ``40_train_one``; what each needs to know of the others is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from covidseg import papers
from covidseg.backbones import network_on
from covidseg.data import CaseDataset, data_set, list_datasets, load_dataset
from covidseg.data.case import Case
from covidseg.data.datasets import parts
from covidseg.data.sets import PROPERTIES
from covidseg.errors import UserError, unknown_name
from covidseg.fetch.sources import sha256_of
from covidseg.metrics import find_protocol, list_protocols
from covidseg.nn import create_model
from covidseg.paper import Budget, Paper, Row
from covidseg.profiling import Profile, profile_model
from covidseg.provenance import peak_memory_mb, provenance
from covidseg.runs.record import make_record
from covidseg.runs.source import engine_key, source_key
from covidseg.training.batches import find_augmentation
from covidseg.training.feeds import Slices
from covidseg.training.history import History
from covidseg.training.recipes import Recipe, at_side
from covidseg.training.task import Task

__all__ = ["Trial", "trial"]


@dataclass(frozen=True)
class Trial:
    """What one run is to do. ``sizes`` : of its budget; ``changed`` : parameters that are not the budget's standard."""

    paper: Paper
    row: Row
    model: str
    variant: str
    dataset: str
    fold: int
    seed: int
    budget: str
    recipe: Recipe
    sizes: Budget
    changed: dict
    backbone_weights: str = ""  # a file

    @property
    def options(self) -> dict:
        """What create_model is given."""
        return dict(self.row.options)

    @property
    def data_options(self) -> dict:
        if data_set(self.dataset).synthetic:
            return {"size": self.sizes.phantom_size}
        return {"volumes": True} if "volumes" in self.task.needs else {}

    @cached_property
    def task(self) -> Task:
        """What is learned, and how it is scored."""
        return self.paper.tasks[self.row.task](self)

    def network(self) -> torch.nn.Module:
        """The network with the first weights of this seed, whatever was drawn before; its trunk's from the file."""
        torch.manual_seed(self.seed)
        if self.backbone_weights:
            return network_on(self.backbone_weights, self.model, **self.options)
        return create_model(self.model, **self.options)

    def data(self) -> tuple[CaseDataset, CaseDataset]:
        """The training and the scored part of the fold. Raises UserError where the set is not on this machine.

        Phantoms do not depend on the seed: all seeds learn from the same cases, as on real data.
        """
        train, scored = parts(self.dataset, self.fold)
        return self._part(train, self.sizes.train_cases), self._part(scored, self.sizes.val_cases)

    def _part(self, split: str, many: int) -> CaseDataset:
        if data_set(self.dataset).synthetic:
            return load_dataset(self.dataset, split, self.fold or None, n=many, **self.data_options)
        cases = load_dataset(self.dataset, split, self.fold or None, **self.data_options)
        if self.budget == "paper" or len(cases) <= many:
            return cases
        return cases.subset([cases.ids[k * len(cases) // many] for k in range(many)])  # evenly, so of many patients

    def learn(
        self, network: torch.nn.Module, train_set: CaseDataset, val_set: CaseDataset | None, **options: Any
    ) -> History:
        """Train in place, in as many steps as the variant has; the last one's history.

        options : as for `covidseg.training.train`; out, device, resume, ... Of an ``unseen`` set, and in a budget or
        by a recipe that the task leaves ``unwatched``, no epoch is chosen on what is scored.
        """
        unseen = data_set(self.dataset).unseen or self.task.unwatched & {self.budget, self.recipe.name}
        if val_set is not None and unseen:
            val_set, self.task.facts["chosen_on"] = None, "nothing"
        return self.task.learn(network, train_set, val_set, **options)

    def sibling(self, *, model: str = "", variant: str, recipe: str = "") -> "Trial":
        """Another row of this run's fold, seed and budget, such as the network that guides this one.

        Without ``recipe`` it follows this run's own, changes included.
        """
        place = (model or self.model, variant, self.dataset, self.fold, self.seed, self.budget)
        if recipe:
            return trial(*place, recipe=recipe, size=self.changed.get("size"))
        return trial(*place, **self.changed | {"backbone_weights": self.backbone_weights})

    def macs(self) -> int:
        """Multiply-accumulates of one forward pass of the counted input."""
        return counted(self.row, type(self.task)).macs

    def source_key(self) -> str:
        """Of the code and the data that decide this run's numbers, see `covidseg.runs.source`."""
        used = [find_protocol(name).score for name in self.task.protocols if name in list_protocols()]
        if isinstance(self.recipe.feed, Slices):
            used.append(find_augmentation(self.recipe.feed.augment))
        borrowed = sorted({one.__module__.removeprefix("covidseg.").replace(".", "/") for one in used})
        return source_key(self.model, self.variant, {"recipe": self.recipe.to_dict()}, borrowed)

    def score(self, network: torch.nn.Module, history: History, val_set: Sequence[Case], rule: str) -> dict:
        """Score one choice of the weights, "best" or "last", by every protocol, case by case; one epoch once."""
        history.restore(network, rule)
        epoch = history.row(rule)["epoch"]
        key = id(history), id(val_set), epoch
        if key not in self._scored:  # which holds both, so that nothing else ever gets their ids
            self._scored[key] = history, val_set, self.task.scores(network, val_set)
        return {"epoch": epoch, "scores": self._scored[key][2]}

    @cached_property
    def _scored(self) -> dict[tuple, tuple]:
        return {}

    def record(
        self,
        network: torch.nn.Module,
        history: History,
        train_set: CaseDataset,
        val_set: CaseDataset,
        selections: dict,
        begin: float,
    ) -> dict:
        """The run's record. begin : ``perf_counter()`` when training ended; scoring is added to training's seconds."""
        device = next(network.parameters()).device
        profile = counted(self.row, type(self.task), network)
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
            params=profile.params,
            macs=profile.macs,
            selections=selections,
            provenance=provenance(device) | {"source": self.source_key(), "engine": engine_key()} | self._trunk(),
            cost={"seconds": seconds, "device": device.type, "peak_memory_mb": peak_memory_mb(device)},
        )

    def _trunk(self) -> dict:
        file = self.backbone_weights
        return {"backbone_weights": {"file": Path(file).name, "sha256": sha256_of(Path(file))}} if file else {}


def trial(
    model: str,
    variant: str,
    dataset: str,
    fold: int,
    seed: int,
    budget: str,
    *,
    recipe: str = "",
    epochs: int | None = None,
    size: int | None = None,
    backbone_weights: str = "",
) -> Trial:
    """The run with these parameters of ``40_train_one``; "" and None take the budget's own.

    fold : 1..5, or 0 for the set's own train and test part; epochs : another length
    size : another side, for training at one scale and for scoring
    backbone_weights : file with which the trunk begins, such as ImageNet's; read when the network is built
    Raises UserError, with the nearest name, for anything that is wrong in them.
    """
    paper, row = papers.find_row(model, variant)
    task: type[Task] = paper.tasks[row.task]
    sizes = sizes_of(task, budget, dataset, fold)
    for need in sorted(task.needs - data_set(dataset).has):
        able = " or ".join(sorted(name for name in list_datasets() if task.needs <= data_set(name).has))
        wants = f"{variant or model} needs {PROPERTIES[need]}"
        raise UserError(f"{wants}, and {dataset} has none: choose dataset={able}.")
    chosen = recipe_for(recipe or sizes.recipe, task, row)
    changed: dict[str, Any] = {} if recipe in ("", sizes.recipe) else {"recipe": recipe}
    if epochs is not None and epochs != chosen.epochs:
        chosen, changed = replace(chosen, epochs=epochs), changed | {"epochs": epochs}
    if size is not None:
        if not 32 <= size <= 2048:
            raise UserError(f"size={size}: give a side of 32 to 2048 pixels.")
        resized = at_side(chosen, size), replace(sizes, phantom_size=size)
        if resized != (chosen, sizes):
            (chosen, sizes), changed = resized, changed | {"size": size}
    if backbone_weights:
        changed |= {"backbone_weights": Path(backbone_weights).name}
    return Trial(paper, row, model, variant, dataset, fold, seed, budget, chosen, sizes, changed, backbone_weights)


def sizes_of(task: type[Task], budget: str, dataset: str, fold: int = 1) -> Budget:
    """How large a run is in a budget; the paper's budget uses every slice of a real set.

    Raises UnknownName for a wrong budget, and UserError for a fold the set does not have.
    """
    parts(dataset, fold)
    if budget not in task.budgets:
        raise unknown_name("budget", budget, task.budgets)
    chosen, known = task.budgets[budget], data_set(dataset)
    whole = known.own_split if fold == 0 else known.fold_sizes
    if budget == "paper" and whole and "volumes" not in task.needs:  # the sizes known of a set are slices
        chosen = replace(chosen, train_cases=whole[0], val_cases=whole[1])
    return chosen


def counted(row: Row, task: type[Task], network: torch.nn.Module | None = None) -> Profile:
    """Parameters and multiply-accumulates of a row's network at the input at which its paper counts."""
    if network is None:
        return _counted(row, task)  # type: ignore[arg-type]  # a class can be hashed, whatever its type says
    return profile_model(network, (row.options.get("in_channels", 3), *task.counted_at))


@cache
def _counted(row: Row, task: type[Task]) -> Profile:
    """Once for all folds and seeds: a large 3-D network takes seconds to build and count."""
    return counted(row, task, create_model(row.network, **row.options))


def recipe_for(name: str, task: type[Task], row: Row) -> Recipe:
    """The recipe of that name, rate and precision as the network needs them (`Row.largest_rate`, `Row.float32`).

    Raises UnknownName, and UserError for one that this run cannot follow.
    """
    known = papers.recipes()
    if name not in known:
        raise unknown_name("recipe", name, known)
    chosen = known[name]
    if not task.takes(chosen):
        able = ", ".join(key for key, one in known.items() if task.takes(one))
        who = f"{row.network} {row.variant}".strip()
        raise UserError(f"recipe={name} has no {task.learns}, which {who} learns: choose {able}.")
    if row.largest_rate and chosen.optimizer == "adam":  # the authors' own recipe is SGD
        chosen = replace(chosen, lr=min(chosen.lr, row.largest_rate))
    if row.float32:
        chosen = replace(chosen, precision="float32")
    return chosen
