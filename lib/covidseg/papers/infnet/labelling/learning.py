"""How the labelling network is trained: the published settings, ours, and the loss on three channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from covidseg.data.transforms import Scale
from covidseg.errors import UserError, unknown_name
from covidseg.losses import cross_entropy, log_class_weights
from covidseg.metrics.overlap import mean_iou
from covidseg.nn.layers import input_channels
from covidseg.papers.infnet.labelling.inputs import TARGETS, GuidedSlice, MultiClassBatches
from covidseg.papers.infnet.labelling.targets import CLASSES, one_hot
from covidseg.training.batches import fit_preprocessing
from covidseg.training.evaluation import forward
from covidseg.training.feeds import Slices
from covidseg.training.history import History
from covidseg.training.loop import train
from covidseg.training.objective import CrossEntropy
from covidseg.training.recipes import Recipe
from covidseg.training.schedules import Constant, Poly

__all__ = [
    "LABELLING_LESSON",
    "LABELLING_PAPER",
    "LABELLING_QUICK",
    "LABELLING_RELEASED",
    "LABELLING_REPAIRED",
    "SETTINGS",
    "LABELLING_SHORT",
    "MultiClassLoss",
    "Setting",
    "train_labelling",
    "xavier_uniform",
]


class MultiClassLoss:
    """loss(logits (B, 3, H, W), target) -> scalar; target: classes (B, H, W), or for "bce" also (B, 3, H, W) of 0, 1.

    "bce" : code; each channel a question of its own (sigmoid), mean over slices, channels and pixels
    "cross-entropy" : ours; one question with three answers (softmax), mean over slices and pixels
    "summed" : the same summed over the pixels, mean over slices. The paper's learning rate of 1e-10 belongs to such a
        sum (it is that of the public FCN implementation): with a mean it would not move a weight
    weight : of each class, for "cross-entropy" alone; the mean then divides by the weights of the pixels
    """

    def __init__(self, kind: str = "cross-entropy", weight: Tensor | None = None):
        if kind not in LOSSES:
            raise unknown_name("loss of a labelling training", kind, LOSSES)
        self.kind, self.weight = kind, weight

    def __call__(self, outputs, target: Tensor) -> Tensor:
        logits = (outputs[0] if isinstance(outputs, tuple | list) else outputs).float()
        if self.weight is not None:
            return cross_entropy(logits, target, self.weight)
        return LOSSES[self.kind](logits, target)

    def mass(self, target: Tensor) -> Tensor:
        """What a piece of a batch counts: its slices, or the weights of its pixels (see `SupervisedHeads.mass`)."""
        if self.weight is None:
            return torch.tensor(float(len(target)), device=target.device)
        return self.weight.to(target.device)[target].sum()


def _bce(logits: Tensor, target: Tensor) -> Tensor:
    target = target.float() if target.ndim == 4 else one_hot(target)
    return nn.functional.binary_cross_entropy_with_logits(logits, target)


def _summed(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, target, reduction="sum") / len(target)


LOSSES = {"bce": _bce, "cross-entropy": cross_entropy, "summed": _summed}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A recipe and what it cannot say: the loss (`MultiClassLoss`) and the targets, "true" or "published".

    Raises UserError for targets and loss, or input statistics, that do not go together.
    """

    recipe: Recipe
    loss: str = "cross-entropy"
    targets: str = "true"

    def __post_init__(self):
        MultiClassLoss(self.loss)
        if self.targets not in TARGETS:
            raise unknown_name("kind of target", self.targets, TARGETS)
        if self.targets == "published" and self.loss != "bce":
            raise UserError("A published target marks no class or two in some pixels: only loss='bce' can learn it.")
        if self.recipe.statistics == "fold" or not isinstance(self.recipe.feed, Slices):
            raise UserError(
                f"Recipe {self.recipe.name!r} is none for labelling: it needs statistics 'imagenet' or 'neutral' and "
                "classes as target."
            )
        if self.recipe.objective.class_weights and self.loss != "cross-entropy":
            raise UserError(f"Recipe {self.recipe.name!r}: class_weights belong to loss='cross-entropy' alone.")


LABELLING_RELEASED = Setting(
    recipe=Recipe(
        name="multiclass_released",
        optimizer="sgd", lr=1e-2, momentum=0.7,          # code; see LABELLING_PAPER
        epochs=200, batch=16, drop_last=False,           # code
        schedule=Constant(),                             # code
        scales=(Scale(352, 0),), val_size=352,           # code; the paper has 512
        statistics="imagenet",                           # code
        feed=Slices(augment="none", target="classes"),
        objective=CrossEntropy(class_weights=False, aux_weights=(1.0,)),
    ),
    loss="bce", targets="published",                     # code: interpolated masks, shifted one-hot
)  # fmt: skip
LABELLING_REPAIRED = replace(
    LABELLING_RELEASED,
    recipe=replace(LABELLING_RELEASED.recipe, name="multiclass_repaired"),
    targets="true",                                      # ours: what the defect of the targets alone changes
)  # fmt: skip
LABELLING_PAPER = Setting(                                         # first weights: `xavier_uniform`
    recipe=replace(
        LABELLING_RELEASED.recipe,
        name="multiclass_paper",
        lr=1e-10, momentum=0.99, weight_decay=5e-4,      # paper, "Implementation Details"
        scales=(Scale(512, 0),), val_size=512,           # paper
        batch=1,                                         # ours, as the FCN implementation; the paper prints no number
    ),
    loss="summed",                                       # ours: the only loss to which that rate belongs
)  # fmt: skip
LABELLING_SHORT = Setting(
    recipe=replace(
        LABELLING_RELEASED.recipe,
        name="multiclass_short",                         # ours: real slices on a CPU
        optimizer="adam", lr=5e-3, schedule=Poly(), epochs=40, batch=8,
        scales=(Scale(192, 8),), val_size=192, antialias=True,
        feed=Slices(augment="miniseg", target="classes"),
        objective=CrossEntropy(class_weights=True, aux_weights=(1.0,)),
    ),
)  # fmt: skip
LABELLING_LESSON = replace(
    LABELLING_SHORT,
    recipe=replace(
        LABELLING_SHORT.recipe,
        name="multiclass_lesson",
        lr=2e-2, epochs=16, scales=(Scale(96, 3),), val_size=96,  # ours: half a minute on one CPU core
    ),
)  # fmt: skip
LABELLING_QUICK = replace(
    LABELLING_LESSON,
    recipe=replace(
        LABELLING_LESSON.recipe,
        name="multiclass_quick",
        epochs=2, batch=4, scales=(Scale(64, 2),), val_size=64,
    ),
)  # fmt: skip
SETTINGS = {
    setting.recipe.name: setting
    for setting in (
        LABELLING_RELEASED,
        LABELLING_REPAIRED,
        LABELLING_PAPER,
        LABELLING_SHORT,
        LABELLING_LESSON,
        LABELLING_QUICK,
    )
}


def train_labelling(
    model: nn.Module,
    slices: Iterable[GuidedSlice],
    setting: Setting,
    *,
    scored: Iterable[GuidedSlice] | None = None,
    seed: int = 0,
    **options,
) -> History:
    """Train a network with three classes in place on slices with their priors (`guided_slices`).

    model : logits (B, 3, H, W) from 6, 4 or 2 input channels, e.g. ``multiclass_unet``, or any other built with
        num_classes=3, in_channels=6; from 3 if the slices are `plain_slices`
    scored : slices to score after every epoch: mIoU of the three classes, and the mean Dice of the two kinds, all
        pixels of the set together
    options : as for `covidseg.training.train` (device, out, ...)
    """
    recipe, channels = setting.recipe, input_channels(model)
    preprocessing = fit_preprocessing((), recipe)
    batches = MultiClassBatches(slices, recipe, preprocessing, seed, channels, targets=setting.targets)
    weight = log_class_weights(batches.cache.class_fractions()) if recipe.objective.class_weights else None
    loss = MultiClassLoss(setting.loss, weight)
    if scored is not None:
        unchanged = replace(recipe, feed=replace(recipe.feed, augment="none"))
        held = MultiClassBatches(scored, unchanged, preprocessing, seed, channels)
        options["validation"] = partial(_validate, held, loss)
    return train(model, batches, None, recipe, seed=seed, loss=loss, **options)


def _validate(held: MultiClassBatches, loss: MultiClassLoss, model: nn.Module) -> dict[str, float]:
    """The val_ columns of a `History` row, at the recipe's side."""
    device, side, batch = next(model.parameters()).device, held.recipe.val_size, held.recipe.batch
    table, losses = torch.zeros(len(CLASSES) ** 2, dtype=torch.long), []
    for first in range(0, len(held.cache), batch):
        pairs = [held.cache.pair(i, side) for i in range(first, min(first + batch, len(held.cache)))]
        x = held.normalise(torch.stack([layers for layers, _ in pairs])).to(device)
        target = torch.stack([classes for _, classes in pairs]).long().to(device)
        logits = forward(model, x)
        losses += [float(loss(logits, target))] * len(pairs)
        table += torch.bincount((len(CLASSES) * target + logits.argmax(1)).flatten(), minlength=len(table)).cpu()
    table = table.view(len(CLASSES), -1).double()  # truth x prediction, pixels
    dice = 2 * table.diag() / (table.sum(0) + table.sum(1)).clamp(min=1)
    return {"val_loss": sum(losses) / len(losses), "val_miou": mean_iou(table), "val_dice": float(dice[1:].mean())}


def xavier_uniform(model: nn.Module) -> nn.Module:
    """First weights as the paper has them: Xavier uniform in every convolution, biases 0. Returns the model."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
