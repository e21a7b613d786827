"""How Inf-Net is trained: the authors' way, the text's, and ours for small machines; each line says who chose it."""

from dataclasses import replace

from covidseg.data.transforms import Scale
from covidseg.papers.infnet.feed import SoftSlices
from covidseg.papers.infnet.objective import PlainStructure, Structure
from covidseg.papers.infnet.schedule import Compounding
from covidseg.training.recipes import Recipe
from covidseg.training.schedules import Constant, Poly

__all__ = [
    "INFNET_CONSTANT",
    "INFNET_LESSON",
    "INFNET_LONG",
    "INFNET_PAPER",
    "INFNET_PHANTOM",
    "INFNET_QUICK",
    "INFNET_RELEASED",
    "INFNET_SHORT",
    "INFNET_SHORT_DECAYED",
    "RECIPES",
    "multi_scale",
]


def multi_scale(base: int, factors: tuple[float, ...] = (0.75, 1, 1.25)) -> tuple[Scale, ...]:
    """Inf-Net's scales around a base side, rounded to multiples of 32 (code), without any crop.

    >>> [scale.side for scale in multi_scale(352)]
    [256, 352, 448]
    """
    return tuple(Scale(round(base * factor / 32) * 32, 0) for factor in factors)


# Records of the recipes without the published decay hold its two settings all the same.
_UNREAD = {"step_epochs": 50, "step_factor": 0.1}

INFNET_RELEASED = Recipe(
    name="infnet_released",
    optimizer="adam", lr=1e-4, weight_decay=0.0,   # paper and code
    epochs=99, batch=24,                           # code: epochs 1 to 99, the snapshot "100" is the 99th; paper 100, 16
    schedule=Compounding(50, 0.1),                 # code; the paper has a constant rate. It is 1e-7 at epoch 52
    objective=PlainStructure(),                    # code: the weights of the BCE cancel; the paper weighs it
    feed=SoftSlices(352, order="batch"),           # paper, "Semi-supervised Inf-Net", and code; the order: code
    scales=multi_scale(352),                       # paper and code
    clamp=0.5,                                     # code; the paper is silent
    drop_last=False,                               # code
    statistics="imagenet", antialias=True,         # code: PIL's resize
    val_size=352,                                  # paper and code, where they test
)  # fmt: skip
INFNET_PAPER = replace(
    INFNET_RELEASED,
    name="infnet_paper",
    epochs=100, batch=16, schedule=Constant(),     # paper, "Training Settings"
    objective=Structure(),                         # paper, Eqn 4 and the text below it
    unread=_UNREAD,
)  # fmt: skip
INFNET_CONSTANT = replace(
    INFNET_RELEASED,
    name="infnet_constant",
    schedule=Constant(),                           # ours: what the vanishing rate alone changes
    unread=_UNREAD,
)  # fmt: skip
INFNET_SHORT = replace(
    INFNET_CONSTANT,
    name="infnet_short",                           # ours: real slices on a CPU
    lr=5e-4, epochs=20, batch=8,                   # ours: from first weights of chance, not from ImageNet's
    schedule=Poly(),                               # ours: a short training should end on a small rate
    feed=SoftSlices(192, order="batch"),           # ours: one scale, half the side
    scales=(Scale(192, 0),), val_size=192,
)  # fmt: skip
INFNET_LONG = replace(
    INFNET_SHORT,
    name="infnet_long",                            # ours: four times as long, half an hour of a core
    lr=2e-4, epochs=80,                            # ours: a smaller rate, as the trunk has learned before
    precision="bf16",                              # ours: half the time on a CPU that has instructions for it
)  # fmt: skip
INFNET_SHORT_DECAYED = replace(
    INFNET_SHORT,
    name="infnet_short_decayed",
    schedule=Compounding(10, 0.1), unread={},      # ours: the published fall of the rate, at half of this training, too
)  # fmt: skip
INFNET_LESSON = replace(
    INFNET_SHORT,
    name="infnet_lesson",
    lr=2e-3, epochs=8,                             # ours: a minute on one CPU core
    feed=SoftSlices(96, order="batch"), scales=(Scale(96, 0),), val_size=96,
)  # fmt: skip
INFNET_PHANTOM = replace(
    INFNET_SHORT,
    name="infnet_phantom",                         # ours: the small network that comes with the kit
    lr=2e-3, epochs=10,                            # ours: minutes on one CPU core
)  # fmt: skip
INFNET_QUICK = replace(
    INFNET_LESSON,
    name="infnet_quick",
    epochs=2, batch=4,                             # ours, for tests: seconds
    feed=SoftSlices(64, order="batch"), scales=multi_scale(64, (1, 1.5)), val_size=64,
)  # fmt: skip
RECIPES = (
    INFNET_RELEASED, INFNET_PAPER, INFNET_CONSTANT, INFNET_SHORT, INFNET_LONG, INFNET_SHORT_DECAYED, INFNET_LESSON,
    INFNET_PHANTOM, INFNET_QUICK,
)  # fmt: skip
