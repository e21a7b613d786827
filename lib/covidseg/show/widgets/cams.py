"""Grad-CAM and Grad-CAM++ beside a network's own maps: the same slices and pictures, other values."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from torch import nn

from covidseg import papers
from covidseg.attention import grad_cam, predicted_region
from covidseg.show.widgets.look import Look, SliceLooks, VolumeLooks
from covidseg.show.widgets.maps import MapInfo

__all__ = ["METHODS", "Cams"]

MAP, CAM, CAM_PP = METHODS = ("map", "Grad-CAM", "Grad-CAM++")
KEPT = 64  # pictures kept in memory: each costs a pass forward and back
_REST = "below 0 is cut off, 1 is the highest value."
NOTES = {
    CAM: f"Selvaraju et al. 2017: the channels of the map, each weighed by how it moves the score; {_REST}",
    CAM_PP: f"Chattopadhay et al. 2018: the channels of the map, each weighed by where it raises the score; {_REST}",
}


class Cams:
    """What a reader sees of the maps of ``looks`` by each of ``METHODS``: "map" is the map itself.

    A Grad-CAM has one channel for each class but background; it is computed when it is asked for.
    """

    def __init__(self, model: nn.Module, looks: SliceLooks | VolumeLooks):
        self.model, self.looks = model, looks
        self._cams = lru_cache(maxsize=KEPT)(self._compute)

    def look(self, index: int, names: list[str], method: str) -> Look:
        """The slice with these maps by this method. Raises UserError where no gradient reaches one of them."""
        look = self.looks.look(index)
        if method == MAP:
            return look
        piece = self.looks.piece(index)
        return replace(look, maps={name: self._cams(piece, name, method, _classes(look)) for name in names})

    def info(self, info: MapInfo, method: str, look: Look) -> MapInfo:
        """What `describe_map` says of the map, by this method."""
        if method == MAP:
            return info
        classes = _classes(look)
        paper = papers.paper_of_model(self.model)
        note = " ".join(filter(None, [NOTES[method], paper.cams.get(method) if paper else None]))
        words = dict(channel_word="class", channels=tuple(map(str, classes)), note=note, unit=True)
        return replace(info, shape=(len(classes), *info.shape[1:]), **words)

    def score(self, look: Look, channel: int, values: np.ndarray) -> str:
        """In words: the number whose gradient is taken, and whether any of these values speaks for it."""
        classes = _classes(look)
        pixels = int(predicted_region(look.logits[None], classes[channel]).sum())
        unit, whole = ("pixel", "slice") if look.logits.ndim == 3 else ("voxel", "volume")
        logit = f"the logit of class {classes[channel]}" if len(classes) > 1 else "the logit"
        where = f"the {pixels:,} {unit}{'s' * (pixels > 1)} of the prediction"
        if not pixels:
            where = f"the whole {whole}, because the network predicts none here"
        nothing = "" if values.any() else " Nothing speaks for it."
        return f"Score: {logit}, summed over {where}.{nothing}"

    def _compute(self, piece: int, name: str, method: str, classes: range) -> np.ndarray:
        x, options = self.looks.input(piece), dict(plus_plus=method == CAM_PP)
        return np.concatenate([grad_cam(self.model, x, name, class_index=k, **options) for k in classes])


def _classes(look: Look) -> range:
    """All but background; logits of one channel are of infection alone."""
    return range(min(1, len(look.logits) - 1), len(look.logits))
