"""Which kind of infection: a class for every pixel of a slice, and the scores of Table III."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from covidseg.data.transforms import Preprocessing, resize_image, to_grey
from covidseg.device import choose_device
from covidseg.errors import UserError
from covidseg.inference import to_native
from covidseg.metrics import Scores, segmentation_scores
from covidseg.nn.layers import input_channels
from covidseg.papers.infnet.labelling.inputs import assemble, check_prior
from covidseg.papers.infnet.labelling.targets import CLASSES, three_classes
from covidseg.training.evaluation import forward

__all__ = ["INFECTION", "ClassScores", "label_infection", "score_classes"]

INFECTION = ("GGO", "consolidation")
COLUMNS = ("Dice", "Sen", "Spec", "S", "E", "MAE")  # of Table III, in its order


def label_infection(
    model: nn.Module,
    image: np.ndarray,
    prior: np.ndarray | None,
    preprocessing: Preprocessing | None = None,
    intensity: str = "HU",
    *,
    device: str | torch.device | None = None,
) -> np.ndarray:
    """Class of every pixel, uint8 (H, W) on the slice's own grid: 0 background, 1 GGO, 2 consolidation.

    image : (H, W) in HU, or grey 0..255 as ``intensity`` says; prior : (H, W), how likely infection is, 0..1
        (None for a network that is not guided)
    preprocessing : the one the weights were trained with; by default ``model.preprocessing``
    device : by default where the model is
    The logits are interpolated to the slice's grid, then compared, and the classes are numbers from the start: the
    published way stores the arg-max in a picture whose writer may change it (`targets.published_decode`).
    Raises UserError for shapes that differ, a prior outside 0..1, and values that are not finite.
    """
    image = np.asarray(image)
    priors = [] if prior is None else [np.asarray(prior, dtype=np.float32)]
    if image.ndim != 2 or any(p.shape != image.shape for p in priors):
        raise UserError(
            f"Labelling takes one slice (H, W) and a prior of that shape; got {image.shape}, {np.shape(prior)}."
        )
    if not np.isfinite(image).all():
        raise UserError("The slice holds values that are not numbers (NaN or infinite); repair the scan first.")
    for p in priors:
        check_prior(p, "Labelling")
    preprocessing = preprocessing or getattr(model, "preprocessing", None) or Preprocessing()
    layers = np.stack([to_grey(image, intensity, preprocessing.window), *priors])
    layers = resize_image(torch.from_numpy(layers), preprocessing.size, antialias=preprocessing.antialias)[
        :, None, None
    ]
    x = assemble(layers[0], layers[1] if priors else None, preprocessing, input_channels(model))
    place = next(model.parameters()).device if device is None else choose_device(device)
    return to_native(forward(model.to(place), x.to(place)), image.shape)[0]


@dataclass(frozen=True)
class ClassScores:
    """Scores of each kind of infection under two rules, which Table III and the authors' tool do not share.

    containing : class -> `Scores` over the slices whose truth has the class (of the 48 test slices, 38 for
        consolidation): what the paper prints. Slices without it count as undefined. A class no slice has is missing
    all : class -> `Scores` over all slices; one without the class scores 0 in Dice, Sen and Spec whatever is
        predicted: what the tool prints
    """

    containing: dict[str, Scores]
    all: dict[str, Scores]

    def rows(self) -> list[dict]:
        """Six rows as in Table III: each class and their average, under both rules, with the number of slices.

        The average is the mean of the two cells; it is missing where a class is.
        """
        rows = []
        for rule, scores in (("slices with the class", self.containing), ("all slices", self.all)):
            cells = {name: {column: s[column] for column in COLUMNS} for name, s in scores.items()}
            rows += [{"class": n, "slices": rule, "n": scores[n].n["Dice"], **cells[n]} for n in cells]
            if len(cells) == len(INFECTION):
                mean = {column: sum(cell[column] for cell in cells.values()) / len(cells) for column in COLUMNS}
                rows.append({"class": "average", "slices": rule, "n": None, **mean})
        return rows


def score_classes(
    maps: Sequence[np.ndarray], truths: Sequence[np.ndarray], ids: Sequence[str] | None = None
) -> ClassScores:
    """Score class maps (`label_infection`) by the infnet protocol, GGO and consolidation each as a mask of its own.

    maps, truths : one (H, W) of class numbers for each slice; effusion (3) counts as background
    Raises UserError for other values or shapes.
    """
    maps, truths = [three_classes(m) for m in maps], [three_classes(t) for t in truths]
    containing, every = {}, {}
    for name in INFECTION:
        found = [[(mask == CLASSES[name]).astype(np.uint8) for mask in masks] for masks in (maps, truths)]
        every[name] = segmentation_scores(*found, "infnet", ids=ids)
        if any(truth.any() for truth in found[1]):
            containing[name] = segmentation_scores(*found, "infnet", ids=ids, empty_truth="leave out")
    return ClassScores(containing, every)
