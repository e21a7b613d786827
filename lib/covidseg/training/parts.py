"""The three parts of a recipe that are code: how the rate falls, what a batch holds, what is minimised.

Each is a frozen dataclass of plain settings. A paper brings parts of its own by subclassing `Schedule`, `Feed` or
`Objective` with a ``kind``; from then on a recipe's dict, in a record or a checkpoint of any age, finds them by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, ClassVar

from covidseg.errors import UserError, unknown_name

__all__ = ["Feed", "Objective", "Part", "Schedule", "find_part"]


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

    def __init_subclass__(cls):
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
    def take(cls, values: dict) -> Part:
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
    """The learning rate as a plain function of the iteration: nothing to keep, so nothing to lose on a resume."""

    role: ClassVar[str] = "schedule"

    def rate(self, lr: float, iteration: int, steps_per_epoch: int, epochs: int) -> float:
        """Rate of one iteration, 0-based over the whole training of ``epochs`` epochs; lr : the recipe's first."""
        raise TypeError(f"{type(self).__name__} says no rate.")


@dataclass(frozen=True)
class Feed(Part):
    """What a batch holds: how cases become inputs and targets.

    num_classes : of the target, the background included
    """

    role: ClassVar[str] = "feed"
    num_classes: ClassVar[int] = 2

    def batches(self, cases, recipe, seed: int, channels: int, device):
        """An object with ``plan``, ``load``, ``steps_per_epoch`` and ``preprocessing``, as `train` wants it."""
        raise TypeError(f"{type(self).__name__} makes no batches.")

    def validation(self, cases, recipe, batches, loss, device) -> Callable[[Any], dict]:
        """function (model in eval mode) -> {"val_loss", "val_miou", "val_dice"} over held-out cases."""
        raise TypeError(f"{type(self).__name__} validates nothing.")

    def at_side(self, recipe, side: int):
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

    def loss(self, model, batches, recipe, device) -> Callable:
        """function (outputs, target) -> scalar; `train` describes what it may have beside."""
        raise TypeError(f"{type(self).__name__} has no loss.")


def find_part(role: str, kind: str) -> type[Part]:
    """The class of that name. Raises UnknownName with the nearest one, after every paper has been asked."""
    if (role, kind) not in Part._known:
        import_module("covidseg.papers").papers()
    if (role, kind) not in Part._known:
        known = [name for (its, name) in Part._known if its == role]
        raise unknown_name(f"{role} of a recipe", kind, known)
    return Part._known[role, kind]
