"""How CHS-Net is trained: the text, filled in where it is silent, and ours for small machines; each line says who.

There is no released code. "Their other code" is the training of the same authors' Inception U-Net and BT-Unet.
"""

from dataclasses import replace

from covidseg.data.transforms import Scale
from covidseg.papers.chsnet.feed import GreySlices
from covidseg.papers.chsnet.objective import HalfDice
from covidseg.training.recipes import Recipe
from covidseg.training.schedules import Plateau, Poly

__all__ = ["CHSNET_LESSON", "CHSNET_PAPER", "CHSNET_PHANTOM", "CHSNET_QUICK", "CHSNET_SHORT", "RECIPES"]

CHSNET_PAPER = Recipe(
    name="chsnet_paper",
    optimizer="adam", lr=1e-3, weight_decay=0.0,   # paper "SGD ... Adam"; the rate: Keras's own, as in their other code
    epochs=100, batch=16,                          # ours; their other code has 16 and up to 500
    schedule=Plateau(wait=7),                      # ours; the paper names none. Their BT-Unet falls on a plateau
    watch="val_loss", patience=10,                 # paper "early stopping"; of what, and 10: their Inception U-Net
    objective=HalfDice(),                          # paper, Eqn 15
    feed=GreySlices(),                             # paper: no augmentation is named; greys 0 to 1: ours
    scales=(Scale(256, 0),), val_size=256,         # paper
    drop_last=False,                               # ours, as Keras does
    statistics="neutral",                          # not read: the feed leaves greys as they are
)  # fmt: skip
CHSNET_SHORT = replace(
    CHSNET_PAPER,
    name="chsnet_short",                           # ours: real slices on a CPU
    epochs=12, batch=8, patience=None,             # ours
    watch="val_miou",                              # ours, as in the other papers' short runs
    schedule=Poly(),                               # ours: a short training should end on a small rate
    scales=(Scale(128, 0),), val_size=128, antialias=True,  # ours: half the side
)  # fmt: skip
CHSNET_LESSON = replace(
    CHSNET_SHORT,
    name="chsnet_lesson",
    lr=2e-3, epochs=12, batch=4,                   # ours: at 4e-3 and batches of 8, BatchNorm's means lag behind
    scales=(Scale(96, 0),), val_size=96,           # ours: the phantoms' own side
)  # fmt: skip
CHSNET_QUICK = replace(
    CHSNET_LESSON,
    name="chsnet_quick",
    epochs=2, scales=(Scale(64, 0),), val_size=64,  # ours, for tests and for the smoke budget: seconds
)  # fmt: skip
CHSNET_PHANTOM = replace(
    CHSNET_LESSON,
    name="chsnet_phantom",                         # ours: the small network that comes with the kit
    epochs=8, antialias=True,                      # ours: minutes on one CPU core for each of the two networks
)  # fmt: skip
RECIPES = (CHSNET_PAPER, CHSNET_SHORT, CHSNET_LESSON, CHSNET_PHANTOM, CHSNET_QUICK)
