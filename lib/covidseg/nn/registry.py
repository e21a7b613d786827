"""The list of networks: one decorated builder per name, with facts that a test can check."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib import import_module
from typing import Any, TypeVar

from torch import nn

from covidseg.errors import unknown_name

__all__ = ["Card", "card", "create_model", "list_models", "register"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the paper states of a network, and what was measured."""

    name: str
    paper: str
    params: int  # trainable numbers of the default build
    arxiv: str | None = None
    multiple_of: int = 1  # the input sides must be divisible by this
    dimensions: int = 2
    notes: tuple[str, ...] = field(default=())


_BUILDERS: dict[str, Callable[..., nn.Module]] = {}
_CARDS: dict[str, Card] = {}
Builder = TypeVar("Builder", bound=Callable[..., nn.Module])  # a function, or the class of the network itself


def register(name: str, **facts: Any) -> Callable[[Builder], Builder]:
    """Enter a builder under ``name``; a second entry of the same name raises ValueError."""

    def enter(builder: Builder) -> Builder:
        if name in _BUILDERS:
            raise ValueError(f"Two networks want the name {name!r}.")
        _BUILDERS[name], _CARDS[name] = builder, Card(name=name, **facts)
        return builder

    return enter


def _enter(name: str) -> None:
    """Import what enters that network: a rival's own file, or else the papers. Here, since both import this module."""
    if name in _BUILDERS:
        return
    if name in import_module("covidseg.zoo").names():
        import_module(f"covidseg.zoo.{name}")
    else:
        import_module("covidseg.papers").papers()


def _known() -> list[str]:
    """Names of all networks: the rivals', without importing one, and the papers' own."""
    papers = import_module("covidseg.papers").papers()
    return [*import_module("covidseg.zoo").names(), *(name for paper in papers for name in paper.networks)]


def list_models(pattern: str = "*") -> list[str]:
    """Names of all networks that match a shell pattern, sorted."""
    return sorted(name for name in {*_known(), *_BUILDERS} if fnmatch(name, pattern))


def card(name: str) -> Card:
    """Facts of one network; raises UnknownName with the nearest name."""
    _enter(name)
    if name not in _CARDS:
        raise unknown_name("model", name, list_models())
    return _CARDS[name]


def create_model(name: str, **options: Any) -> nn.Module:
    """Build a network by name; every one takes ``num_classes`` and ``in_channels``.

    In ``eval()`` it answers logits (B, K, H, W); in ``train()`` it may answer (logits, list of auxiliary logits).
    Raises UnknownName for a misspelt model and TypeError, naming the option, for an option it does not take.
    """
    _enter(name)
    if name not in _BUILDERS:
        raise unknown_name("model", name, list_models())
    return _BUILDERS[name](**options)
