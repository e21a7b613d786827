"""Infection-guided labelling: which part of an infection is ground glass and which consolidation (Inf-Net, III-C).

A first network says where infection is (`predicted_priors`; to train, the true mask does); a second, e.g.
``create_model("multiclass_unet")``, reads that prior beside the slice and says which kind.

>>> from covidseg import create_model, load_dataset
>>> from covidseg.papers.infnet.labelling import LABELLING_LESSON, guided_slices, label_infection, train_labelling
>>> cases = load_dataset("phantom", split="train", n=24, size=128)
>>> model = create_model("multiclass_unet", width=8)
>>> history = train_labelling(model, guided_slices(cases), LABELLING_LESSON)              # doctest: +SKIP
>>> label_infection(model, cases[0].image, cases[0].infection).max()           # doctest: +SKIP
2

Reading order: ``inputs`` (slice beside prior), ``targets`` (and what goes wrong in the published ones), ``learning``,
``labelling`` (classes on the slice's grid, and the scores of Table III).
"""

from covidseg.papers.infnet.labelling.classes import INFECTION, ClassScores, label_infection, score_classes
from covidseg.papers.infnet.labelling.inputs import (
    GuidedSlice,
    MultiClassBatches,
    assemble,
    guided_slices,
    plain_slices,
    predicted_priors,
)
from covidseg.papers.infnet.labelling.learning import (
    LABELLING_LESSON,
    LABELLING_PAPER,
    LABELLING_QUICK,
    LABELLING_RELEASED,
    LABELLING_REPAIRED,
    LABELLING_SHORT,
    SETTINGS,
    MultiClassLoss,
    Setting,
    train_labelling,
    xavier_uniform,
)
from covidseg.papers.infnet.labelling.targets import (
    CLASSES,
    one_hot,
    published_decode,
    published_index,
    published_one_hot,
    published_target,
    three_classes,
)

__all__ = [
    "CLASSES",
    "INFECTION",
    "LABELLING_LESSON",
    "LABELLING_PAPER",
    "LABELLING_QUICK",
    "LABELLING_RELEASED",
    "LABELLING_REPAIRED",
    "SETTINGS",
    "LABELLING_SHORT",
    "ClassScores",
    "GuidedSlice",
    "MultiClassBatches",
    "MultiClassLoss",
    "Setting",
    "assemble",
    "guided_slices",
    "label_infection",
    "one_hot",
    "plain_slices",
    "predicted_priors",
    "published_decode",
    "published_index",
    "published_one_hot",
    "published_target",
    "score_classes",
    "three_classes",
    "train_labelling",
    "xavier_uniform",
]
