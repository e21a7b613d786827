"""The three parts of a recipe that are code: how the rate falls, what a batch holds, what is minimised.

Each is a frozen dataclass of plain settings. A paper brings parts of its own by subclassing `Schedule`, `Feed` or
`Objective` with a ``kind``; from then on a recipe's dict, in a record or a checkpoint of any age, finds them by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, overload

import torch
from torch import Tensor, nn

from covidseg.data.case import Case
from covidseg.data.transforms import Preprocessing, Scale
from covidseg.errors import UserError, unknown_name

__all__ = ["Batches", "Feed", "Loss", "Objective", "Part", "Schedule", "Step", "Validation", "find_part"]

Validation = Callable[[nn.Module], dict[str, float]]  # model in eval mode -> {"val_loss", "val_miou", "val_dice"}
Settings = Any  # a `Recipe`. It holds these parts, so its module imports this one and cannot be imported here


class Step(NamedTuple):
    """One optimiser step: its number over the whole training, its pass, and the slices in it."""

    iteration: int
    scale: Scale
    indices: list[int]


class Batches(Protocol):
    """What `train` learns from: any object that plans an epoch and loads its steps.

    plan(epoch) -> all steps of an epoch (0-based), ``steps_per_epoch`` of them
    load(step, positions) -> images (b, C, ...) float32, normalised, and their targets (b, ...): those of the step, or
    those at some ``positions`` in it, where other processes have the rest
    """

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def preprocessing(self) -> Preprocessing: ...

    def plan(self, epoch: int) -> Sequence[Step]: ...

    def load(self, step: Step, positions: Iterable[int] | None = None) -> tuple[Tensor, Tensor]: ...


class Loss(Protocol):
    """Outputs of a network in train(), one tensor or (main, [auxiliary, ...]), and their target -> scalar.

    It may have a ``mass(target)``, what its mean divides by (`SupervisedHeads.mass`); without one every sample of a
    batch weighs the same.
    """

    def __call__(self, outputs: Any, target: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Part:
    """One part. ``kind`` : its name in a recipe's dict; ``role`` : the key under which that name stands there.

    keys : field -> key of the dict, where they differ
    fixed : what a dict holds beside the fields, alike for every part of this kind
    """

    role: ClassVar[str]
    kind: ClassVar[str]
    keys: ClassVar[Mapping[str, str]] = {}
    fixed: ClassVar[Mapping[str, Any]] = {}
    _known: ClassVar[dict[tuple[str, str], type[Part]]] = {}

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls) and Part._known.setdefault((cls.role, cls.kind), cls).__qualname__ != cls.__qualname__:
            raise ValueError(f"Two parts want the {cls.role} {cls.kind!r}.")

    def to_dict(self) -> dict:
        """Plain numbers and lists."""
        named = {self.keys.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in (dict(self.fixed) | named).items()}

    @classmethod
    def settings(cls) -> list[str]:
        """Keys of the dict that this part has."""
        return [*cls.fixed, *(cls.keys.get(f.name, f.name) for f in fields(cls))]

    @classmethod
    def take(cls, values: dict) -> Self:
        """The part with its settings from ``values``, which loses them. Raises UserError for one it cannot have."""
        for key, only in cls.fixed.items():
            if (found := values.pop(key, only)) != only:
                raise UserError(f"{cls.role} {cls.kind!r} knows {key}={only!r} alone, not {found!r}.")
        names = [f.name for f in fields(cls)]
        return cls(**{n: values.pop(key) for n in names if (key := cls.keys.get(n, n)) in values})

    def _refuse(self, wrong: bool, setting: str, why: str) -> None:
        if wrong:
            raise UserError(f"{self.role} {self.kind!r}: {setting}={getattr(self, setting)!r} {why}.")


@dataclass(frozen=True)
class Schedule(Part):
    """The learning rate as a plain function of the iteration and the rows so far: nothing else to lose on a resume."""

    role: ClassVar[str] = "schedule"

    def rate(self, lr: float, iteration: int, steps_per_epoch: int, epochs: int) -> float:
        """Rate of one iteration, 0-based over the whole training of ``epochs`` epochs; lr : the recipe's first."""
        raise TypeError(f"{type(self).__name__} says no rate.")

    def share(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """What the epochs so far leave of that rate; rows : of `History`, which a resumed training has again."""
        return 1.0


@dataclass(frozen=True)
class Feed(Part):
    """What a batch holds: how cases become inputs and targets.

    num_classes : of the target, the background included
    """

    role: ClassVar[str] = "feed"

    @property
    def num_classes(self) -> int:
        return 2

    def batches(
        self, cases: Sequence[Case], recipe: Settings, seed: int, channels: int, device: torch.device
    ) -> Batches:
        """The cases as `train` wants them."""
        raise TypeError(f"{type(self).__name__} makes no batches.")

    def validation(
        self, cases: Sequence[Case], recipe: Settings, batches: Any, loss: Loss, device: torch.device
    ) -> Validation:
        """function (model in eval mode) -> {"val_loss", "val_miou", "val_dice"} over held-out cases."""
        raise TypeError(f"{type(self).__name__} validates nothing.")

    def at_side(self, recipe: Settings, side: int) -> Settings:
        """The recipe at one other size, for training and for scoring."""
        raise TypeError(f"{type(self).__name__} has no side.")


@dataclass(frozen=True)
class Objective(Part):
    """What is minimised.

    feed : the kind of batches it usually learns from, which a recipe's dict need not name
    takes : the feeds that it can learn from; a recipe with another is refused
    """

    role: ClassVar[str] = "loss"
    feed: ClassVar[type[Feed]]
    takes: ClassVar[type[Feed]]

    def loss(self, model: nn.Module, batches: Any, recipe: Settings, device: torch.device) -> Loss:
        """function (outputs, target) -> scalar; `train` describes what it may have beside."""
        raise TypeError(f"{type(self).__name__} has no loss.")


@overload
def find_part(role: Literal["schedule"], kind: str) -> type[Schedule]: ...
@overload
def find_part(role: Literal["feed"], kind: str) -> type[Feed]: ...
@overload
def find_part(role: Literal["loss"], kind: str) -> type[Objective]: ...
def find_part(role: str, kind: str) -> type[Part]:
    """The class of that name. Raises UnknownName with the nearest one, after every paper has been asked."""
    if (role, kind) not in Part._known:
        import_module("covidseg.papers").papers()
    if (role, kind) not in Part._known:
        known = [name for (its, name) in Part._known if its == role]
        raise unknown_name(f"{role} of a recipe", kind, known)
    return Part._known[role, kind]
