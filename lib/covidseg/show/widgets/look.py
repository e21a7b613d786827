"""What a network makes of one slice: its maps and its prediction, out of one pass over the slice or its volume."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from covidseg import attention
from covidseg.data import Case
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.inference import predictor_of, prepare_volume, to_native
from covidseg.nn.layers import dimensions, input_channels, main_output
from covidseg.show.widgets.maps import shown

__all__ = ["Look", "SliceLooks", "VolumeLooks", "as_slices", "first_slice", "looks_of"]

KEPT_SLICES = 16  # passes kept in memory: going back to a slice costs nothing
KEPT_VOLUMES = 2
COLOURS = 3  # channels that a slice is given in
MOST_VOXELS = 128**3  # of a volume that goes through a network in one piece, with all its maps at hand
HALVINGS = 16  # sides become multiples of this, or of what the patch allows: networks halve them that often


@dataclass(frozen=True, eq=False)
class Look:
    """One slice as the network saw it."""

    case: Case
    maps: dict[str, np.ndarray]  # name -> float32 (c, h, w), of a volume (c, h, w, d), as shown
    predicted: np.ndarray  # bool (H, W): any class but background
    logits: torch.Tensor  # (K, h, w), of a volume (K, h, w, d), at the size of the input
    height: float = 0.0  # the middle of the slice in its volume, 0 the first face, 1 the last

    def plane(self, name: str) -> np.ndarray:
        """The map (c, h, w); of a volume, the slice of the map that lies nearest to the slice shown."""
        values = self.maps[name]
        return values if values.ndim == 3 else values[..., self.depth(name)]

    def depth(self, name: str) -> int:
        """Which slice of a volume's map `plane` is, from 0."""
        return int(self.height * self.maps[name].shape[3])


class SliceLooks:
    """A 2-D network over slices: one pass for each, at the size of the preprocessing."""

    def __init__(self, model, cases: Sequence[Case] | Case, preprocessing: Preprocessing, names):
        self.model, self.names, self.preprocessing = model, names, preprocessing
        self.cases = as_slices(cases)
        self.look = lru_cache(maxsize=KEPT_SLICES)(self._look)

    def input_shape(self, _index: int) -> tuple[int, int]:
        return (self.preprocessing.size,) * 2

    def piece(self, index: int) -> int:
        """Number of what goes through the network in one piece: here the slice."""
        return index

    def input(self, piece: int) -> torch.Tensor:
        """(1, C, H, W), on the network's device."""
        case = self.cases[piece]
        x = self.preprocessing.apply(case.image, case.intensity)[None, : input_channels(self.model)]
        return x.to(_device(self.model))

    def _look(self, index: int) -> Look:
        case = self.cases[index]
        maps, logits = _one_pass(self.model, self.input(index), self.names)
        return Look(case, maps, to_native(logits, case.image.shape)[0] > 0, logits[0])


class VolumeLooks:
    """A 3-D network over volumes: one pass for each, on its own voxels; the slices of a volume share it.

    A network halves the sides of its input, so they are brought to a multiple of 16 (or of what divides its patch) by
    repeating the last row, column and slice; the slices are shown as the network saw them. Memory: what the pass
    needs, and 4 bytes for each value of the maps and logits of two volumes.
    """

    def __init__(self, model, cases: Sequence[Case] | Case, preprocessing: Preprocessing, names):
        self.model, self.names, self.preprocessing = model, names, preprocessing
        given = list(_some(cases))
        patch = getattr(predictor_of(model), "patch", (HALVINGS,) * 3)
        self.volumes = [_grown(case, [min(HALVINGS, side & -side) for side in patch]) for case in given]
        self.places = [(v, z) for v, case in enumerate(given) for z in range(case.depth)]
        self.cases = [self.volumes[v].slice(z) for v, z in self.places]
        self._pass = lru_cache(maxsize=KEPT_VOLUMES)(self._volume)

    def input_shape(self, index: int) -> tuple[int, int, int]:
        return self.volumes[self.places[index][0]].image.shape

    def piece(self, index: int) -> int:
        """Number of what goes through the network in one piece: here the volume."""
        return self.places[index][0]

    def input(self, piece: int) -> torch.Tensor:
        """(1, C, H, W, D), on the network's device."""
        case = self.volumes[piece]
        x = prepare_volume(case.image, self.preprocessing, case.intensity, input_channels(self.model))
        return x.to(_device(self.model))

    def look(self, index: int) -> Look:
        volume, z = self.places[index]
        maps, logits = self._pass(volume)
        case = self.cases[index]
        predicted = to_native(logits[..., z], case.image.shape)[0] > 0
        return Look(case, maps, predicted, logits[0], height=(z + 0.5) / logits.shape[-1])

    def _volume(self, number: int) -> tuple[dict[str, np.ndarray], torch.Tensor]:
        return _one_pass(self.model, self.input(number), self.names)


def looks_of(model, cases, preprocessing: Preprocessing, names) -> SliceLooks | VolumeLooks:
    """How to look into this network, 2-D or 3-D, over these cases; UserError where they do not fit it."""
    if dimensions(model) == 3:
        return VolumeLooks(model, cases, preprocessing, names)
    if (channels := input_channels(model)) > COLOURS:
        raise UserError(
            f"{type(model).__name__} reads {channels} channels, and a slice gives {COLOURS}: build it with "
            f"in_channels={COLOURS}, or give `attention.capture` all that it reads."
        )
    return SliceLooks(model, cases, preprocessing, names)


def as_slices(cases: Sequence[Case] | Case) -> Sequence[Case]:
    """2-D cases as they are (read when asked for), volumes cut into slices. Raises UserError if there are none."""
    cases = _some(cases)
    if cases[0].depth is None:
        return cases
    return [one for case in cases for one in case.slices()]


def first_slice(cases: Sequence[Case]) -> int:
    """Where to start: in a volume at the slice with most infection, because its first ones are below the lungs."""
    if not isinstance(cases, list) or len({case.patient for case in cases}) > 1:
        return 0  # a data set reads its cases when asked: do not read them all for this
    return int(np.argmax([case.infection.sum() for case in cases]))


def _some(cases: Sequence[Case] | Case) -> Sequence[Case]:
    cases = [cases] if isinstance(cases, Case) else cases
    if not len(cases):
        raise UserError("There is no case to show: the list of cases is empty.")
    return cases


def _one_pass(model, x, names) -> tuple[dict[str, np.ndarray], torch.Tensor]:
    """Maps as shown, without the batch, and logits (1, K, ...) in float32, from one forward pass."""
    outputs = []
    hook = model.register_forward_hook(lambda _model, _inputs, output: outputs.append(output))
    try:
        maps = attention.capture(model, x, names)
    finally:
        hook.remove()
    return {name: shown(model, name, values[0]) for name, values in maps.items()}, main_output(outputs[0]).float()


def _device(model) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _grown(case: Case, multiples: Sequence[int]) -> Case:
    """A volume with sides that the network can halve; nothing is drawn in what was added."""
    if case.depth is None:
        raise UserError(f"This network is three-dimensional; {case.id} is one slice. Give it volumes (H, W, D).")
    ends = [(0, -n % m) for n, m in zip(case.image.shape, multiples, strict=True)]
    image = np.pad(case.image, ends, mode="edge")
    if image.size > MOST_VOXELS:
        sides = " x ".join(map(str, case.image.shape))
        raise UserError(
            f"{case.id} has {sides} voxels, too many to keep every map of: show a part of it, at most {MOST_VOXELS:,} "
            "voxels, such as 128 x 128 x 128."
        )
    lung = None if case.lung is None else np.pad(case.lung, ends)
    return replace(case, image=image, mask=np.pad(case.mask, ends), lung=lung)
