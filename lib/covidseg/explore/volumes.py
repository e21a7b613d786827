"""A 3-D network on the page: it sees the whole scan once, as coarse as it learned, and each slice shows its part."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from covidseg.data import Case
from covidseg.data.resample import at_shape
from covidseg.explore.networks import ShownNetwork
from covidseg.show.widgets.look import VolumeLooks

__all__ = ["PageVolume", "plane_of"]


@dataclass(frozen=True, eq=False)
class PageVolume:
    """hu : (H, W, D) int16, the scan that a page's slices are of."""

    hu: np.ndarray


def plane_of(network: ShownNetwork, volume: PageVolume, z: int) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Of slice ``z``: logits (1, K, h, w), and every map (c, h, w) at the height that lies nearest.

    The volume is brought to ``network.side`` pixels a side; its slices stay as many as they are.
    """
    looks = _looks(network, volume)
    look = looks.look(z)
    return look.logits[None, ..., z], {name: look.plane(name) for name in look.maps}


@lru_cache(maxsize=1)
def _looks(network: ShownNetwork, volume: PageVolume) -> VolumeLooks:
    seen = at_shape(volume.hu, (network.side, network.side, volume.hu.shape[2]))
    case = Case("scan", "", seen, np.zeros(seen.shape, np.uint8), "HU", (1.0, 1.0, 1.0))
    return VolumeLooks(network.model, case, network.preprocessing, "*")
