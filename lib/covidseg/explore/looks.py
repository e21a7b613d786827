"""What the page knows before it is opened: slices of a phantom, and what each network makes of each."""

from dataclasses import dataclass

import numpy as np
import torch

from covidseg.attention import capture
from covidseg.data.case import infection_of
from covidseg.data.transforms import resize_image
from covidseg.errors import UserError
from covidseg.explore.networks import ShownNetwork
from covidseg.explore.volumes import PageVolume, plane_of
from covidseg.inference import prepare
from covidseg.nn.layers import dimensions, input_channels, main_output
from covidseg.phantom import phantom_volume
from covidseg.show.widgets.maps import MapInfo, describe_map, shown

__all__ = ["PageSlice", "SliceLook", "describe", "look_at", "phantom_slices"]

PATIENT, SIDE, DEPTH = 7, 256, 36  # lesions of many sizes in both lungs
LEAST = 300  # infected pixels of a slice worth a look
MOST_VALUES = 400_000  # of the maps of one network on one slice: six slices of four networks stay below 15 MB


@dataclass(frozen=True, eq=False)
class PageSlice:
    """image : (H, W) int16, HU or grey 0..255; truth : (H, W) uint8, 1 where infected, None where nobody knows.

    volume, z : the scan that it is a slice of, for 3-D networks, and which one
    """

    label: str
    image: np.ndarray
    intensity: str = "HU"
    truth: np.ndarray | None = None
    volume: PageVolume | None = None
    z: int = 0


@dataclass(frozen=True, eq=False)
class SliceLook:
    """odds : float32 (H, W) on the slice's own pixels, infection where above 0; maps : name -> (c, h, w), as shown."""

    odds: np.ndarray
    maps: dict[str, np.ndarray]


def phantom_slices(count: int = 6) -> list[PageSlice]:
    """So many slices of one phantom scan, spread over what is infected, from the lowest up."""
    phantom = phantom_volume(PATIENT, (SIDE, SIDE, DEPTH), view="body")
    truth, volume = infection_of(phantom.labels).astype(np.uint8), PageVolume(phantom.hu)
    infected = np.flatnonzero(truth.sum((0, 1)) >= LEAST)
    chosen = infected[np.unique(np.linspace(0, len(infected) - 1, count).round().astype(int))]
    return [
        PageSlice(f"phantom {PATIENT}, slice {z + 1} of {DEPTH}", phantom.hu[..., z], "HU", truth[..., z], volume, z)
        for z in chosen.tolist()
    ]


def look_at(network: ShownNetwork, one: PageSlice) -> SliceLook:
    """A network on a slice: its mask is ``odds > 0``, for a 2-D network the one that `covidseg.predict` gives.

    Raises UserError for a 3-D network on a slice that belongs to no volume.
    """
    logits, maps = _seen(network, one)
    odds = resize_image(_margin(logits), one.image.shape)[0, 0].numpy()
    return SliceLook(odds, {name: values for name, values in maps.items() if values.ndim == 3})


def _seen(network: ShownNetwork, one: PageSlice) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Logits (1, K, h, w) and maps (c, h, w), as shown."""
    model, outputs = network.model, []
    if dimensions(model) == 3:
        if one.volume is None:
            raise UserError(f"{network.label} needs a volume; {one.label} is a slice alone.")
        return plane_of(network, one.volume, one.z)
    x = prepare(np.ascontiguousarray(one.image)[None], network.preprocessing, one.intensity)
    hook = model.register_forward_hook(lambda _model, _inputs, output: outputs.append(output))
    try:
        maps = capture(model, x[:, : input_channels(model)])
    finally:
        hook.remove()
    return main_output(outputs[0]).float(), {name: shown(model, name, values[0]) for name, values in maps.items()}


def _margin(logits: torch.Tensor) -> torch.Tensor:
    """(1, K, h, w) -> (1, 1, h, w): by how much the likeliest infection beats the background, above 0 where it wins."""
    return logits if logits.shape[1] == 1 else logits[:, 1:].amax(1, keepdim=True) - logits[:, :1]


def describe(network: ShownNetwork, look: SliceLook) -> list[MapInfo]:
    """The maps that the page holds: kind after kind, inside a kind in the network's own order.

    Those of which the paper says something come first when there is not room for all, then the smaller ones.
    """
    side = network.side
    infos = [describe_map(network.model, name, values, (side, side)) for name, values in look.maps.items()]
    left, kept = MOST_VALUES, set()
    for info in sorted(infos, key=lambda info: (not info.note, int(np.prod(info.shape)))):
        left -= int(np.prod(info.shape))
        if left >= 0:
            kept.add(info.name)
    kinds = list(dict.fromkeys(info.kind for info in infos))
    return sorted((info for info in infos if info.name in kept), key=lambda info: kinds.index(info.kind))
