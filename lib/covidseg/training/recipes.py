"""A recipe: everything that decides what a network learns, as frozen data and three parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from covidseg.data.transforms import LUNG, Scale, Window
from covidseg.errors import UserError, unknown_name
from covidseg.training.parts import Feed, Objective, Schedule, find_part

__all__ = ["Recipe", "at_side", "learning_rate"]

CHOICES = {
    "optimizer": ("adam", "adamw", "sgd"),
    "statistics": ("fold", "imagenet", "neutral"),
    "watch": ("val_miou", "val_loss"),
    "precision": ("float32", "bf16", "fp16"),
}
PARTS = {"schedule": Schedule, "feed": Feed, "objective": Objective}
# The dict of a recipe stands in every record and checkpoint, and one of today must equal one of the first days: then
# every recipe held these numbers, whether its schedule read them or not,
EVERY = {"power": 0.9, "step_epochs": 100, "step_factor": 0.5}
# and these came later, so where they say nothing they are left out.
SILENT = {
    "loss": "cross_entropy",
    "order": "pass",
    "clamp": None,
    "momentum": 0.9,
    "precision": "float32",
    "spacing": None,
    "watch": "val_miou",
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. What changes speed but not the result (device, ...) is no part of it.

    schedule, feed, objective : its parts, see `covidseg.training.parts`
    optimizer : "adam" (L2 is added to the gradient), "adamw" (decoupled) or "sgd" with ``momentum``
    scales : one epoch is one pass over the cases for each; a Scale is (side in pixels, largest crop margin)
    clamp : every element of the gradient is cut to -clamp..clamp; None leaves it
    batch : cases per optimiser step; drop_last : leave the incomplete batch at the end of a pass out
    statistics : mean and std of the input from the training "fold", of "imagenet", or "neutral" (0.5, 0.25)
    precision : in which the network computes where a training names none, see `covidseg.training.devices.Precision`
    window : of HU images; antialias : blur before shrinking, which small networks need on large slices
    val_size : side at which the validation fold is scored
    watch : the score of the validation that makes an epoch the best, "val_miou" or "val_loss"
    patience : stop after so many epochs without a better one; None trains to the end
    unread : settings that records of this recipe hold though none of its parts reads them
    Raises UserError for a value that cannot be meant.
    """

    name: str
    lr: float
    epochs: int
    batch: int
    scales: tuple[Scale, ...]
    schedule: Schedule
    feed: Feed
    objective: Objective
    weight_decay: float = 0.0
    optimizer: str = "adam"
    clamp: float | None = None
    momentum: float = 0.9
    drop_last: bool = True
    statistics: str = "fold"
    precision: str = "float32"
    window: Window = LUNG
    antialias: bool = False
    val_size: int = 512
    watch: str = "val_miou"
    patience: int | None = None
    unread: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        scales = tuple(Scale(*(int(v) for v in scale)) for scale in self.scales)  # JSON gives lists
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "window", Window(*(float(v) for v in self.window)))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown_name(f"{name} of a recipe", getattr(self, name), allowed)
        for name in ("lr", "epochs", "batch", "val_size"):
            self._refuse(name, not getattr(self, name) > 0, "must be above 0")
        self._refuse("weight_decay", not self.weight_decay >= 0, "must not be negative")
        self._refuse("patience", self.patience is not None and self.patience < 1, "must be 1 or more, or None")
        self._refuse("clamp", self.clamp is not None and not self.clamp > 0, "must be above 0, or None")
        self._refuse("scales", not scales, "holds no pass: an epoch would be empty")
        too_far = any(side < 1 or bound < 0 or 2 * bound >= side for side, bound in scales)
        self._refuse("scales", too_far, "crops more than there is: margins must stay below half the side")
        for name, role in PARTS.items():
            self._refuse(name, not isinstance(getattr(self, name), role), f"is no {role.__name__} part")
        unfit = not isinstance(self.feed, self.objective.takes)
        self._refuse("feed", unfit, f"is not what {type(self.objective).__name__} learns from")

    def _refuse(self, name: str, wrong: bool, why: str) -> None:
        if wrong:
            raise UserError(f"Recipe {self.name!r}: {name}={getattr(self, name)!r} {why}.")

    def rate(self, iteration: int, steps_per_epoch: int, rows: Sequence[Mapping[str, Any]] = ()) -> float:
        """Learning rate of one iteration (0-based, over the whole training); rows : of the epochs before it."""
        return self.schedule.rate(self.lr, iteration, steps_per_epoch, self.epochs) * self.schedule.share(rows)

    def to_dict(self) -> dict:
        """Plain numbers and lists, ready for JSON and for a weights-only checkpoint; the parts' settings among them."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in (*PARTS, "unread")}
        own |= {"scales": [list(scale) for scale in self.scales], "window": list(self.window)}
        parts = {"schedule": self.schedule.kind, "loss": self.objective.kind, "feed": self.feed.kind}
        for name in PARTS:
            parts |= getattr(self, name).to_dict()
        silent = SILENT | {"feed": self.objective.feed.kind}
        whole = EVERY | own | parts | dict(self.unread)
        return {key: value for key, value in whole.items() if not (key in silent and value == silent[key])}

    @classmethod
    def from_dict(cls, values: Mapping) -> Recipe:
        """The recipe of a record or a checkpoint, of any age. Raises UnknownName for a setting that none has."""
        left: dict[str, Any] = dict(values)
        objective = find_part("loss", left.pop("loss", SILENT["loss"]))
        feed = find_part("feed", left.pop("feed", objective.feed.kind))
        schedule = find_part("schedule", left.pop("schedule"))
        parts: dict[str, Any] = {
            "schedule": schedule.take(left),
            "feed": feed.take(left),
            "objective": objective.take(left),
        }
        unread = {key: v for key, usual in EVERY.items() if (v := left.pop(key, usual)) != usual}
        own = [f.name for f in fields(cls) if f.name not in (*PARTS, "unread")]
        settings = {key for part in (schedule, feed, objective) for key in part.settings()}
        for name in left:
            if name not in own:
                raise unknown_name("setting of a recipe", name, settings.union(own, ("schedule", "feed", "loss")))
        return cls(**left, **parts, unread=unread)


def learning_rate(recipe: Recipe, iteration: int, steps_per_epoch: int) -> float:
    """`Recipe.rate` as a function: the learning rate of one iteration (0-based, over the whole training)."""
    return recipe.rate(iteration, steps_per_epoch)


def at_side(recipe: Recipe, side: int) -> Recipe:
    """The recipe at one other scale, for training and for scoring."""
    return recipe.feed.at_side(recipe, side)
