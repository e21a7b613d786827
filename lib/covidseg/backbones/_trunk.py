"""What the file of a trunk says of each trunk it holds: its table ``TRUNKS``, name -> Trunk."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

__all__ = ["TORCHVISION", "Trunk"]

TORCHVISION = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Trunk:
    """How to build a trunk, the public file of its ImageNet weights if there is one, and its names if they differ."""

    build: Callable[..., nn.Module]
    file: str | None
    rename: Callable[[str], str] = str
