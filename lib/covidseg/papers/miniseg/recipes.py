"""How MiniSeg is trained: the authors' way, the text's, and ours for small machines; each line says who chose it."""

from dataclasses import replace

from covidseg.data.transforms import Scale, Window
from covidseg.papers.miniseg.augment import MINISEG_SCALES
from covidseg.training.feeds import Slices
from covidseg.training.objective import CrossEntropy
from covidseg.training.recipes import Recipe
from covidseg.training.schedules import Poly

__all__ = [
    "MINISEG_LESSON",
    "MINISEG",
    "MINISEG_PAPER",
    "MINISEG_RELEASED",
    "MINISEG_PHANTOM",
    "MINISEG_QUICK",
    "RECIPES",
    "MINISEG_SHORT",
    "MINISEG_TABLE6_SHORT",
]

MINISEG_RELEASED = Recipe(
    name="released",
    optimizer="adam", lr=1e-3, weight_decay=1e-4,  # paper and code; the decay is coupled L2, on every parameter
    epochs=80, batch=5,                            # paper and code
    schedule=Poly(0.9),                            # paper; code: per iteration, not per epoch
    scales=MINISEG_SCALES,                         # code: four passes an epoch, so 320 in all; the paper is silent
    feed=Slices(augment="miniseg"),                # paper "standard cropping and random flipping"; details: code
    drop_last=True,                                # code
    statistics="fold",                             # code
    objective=CrossEntropy(
        class_weights=True,                        # code; the paper is silent
        aux_weights=(1.0, 0.4, 0.4, 0.4),          # code; the paper gives no weights
    ),
    val_size=512,                                  # paper and code
)  # fmt: skip
MINISEG_PAPER = replace(
    MINISEG_RELEASED,
    name="paper",
    scales=(Scale(512, 16),),                      # the text read plainly: one pass of 512 px is an epoch
)  # fmt: skip
MINISEG = MINISEG_RELEASED
MINISEG_SHORT = replace(
    MINISEG_RELEASED,
    name="short",
    scales=(Scale(256, 8),), val_size=256,         # ours: one pass at half the side, for a CPU
)  # fmt: skip
MINISEG_TABLE6_SHORT = replace(
    MINISEG_RELEASED,
    name="table6_short",                           # ours: Fig. 4's nine networks in 35 minutes a fold, on a core
    epochs=12, batch=4,                            # ours: 228 steps on CT100, from first weights of chance
    lr=3e-3,                                       # ours: the better rate of two on what such a training learns from
    scales=(Scale(96, 3),), val_size=96,           # ours: a U-Net of 64 channels takes 1.2 s a step
    precision="bf16",                              # ours: half the time; light networks keep float32 (`Row.float32`)
)  # fmt: skip
MINISEG_LESSON = replace(
    MINISEG_PAPER,
    name="lesson",
    lr=6e-3, epochs=28, batch=8,                   # ours: 224 steps on 64 phantoms must do
    scales=(Scale(96, 3),), val_size=96,           # ours: two minutes on two CPU cores; 3 of 96 is about 16 of 512
)  # fmt: skip
MINISEG_QUICK = replace(
    MINISEG_LESSON,
    name="quick",
    epochs=2, batch=4, scales=(Scale(64, 2),), val_size=64,  # ours, for tests and for the smoke budget: seconds
)  # fmt: skip
MINISEG_PHANTOM = replace(
    MINISEG_PAPER,
    name="phantom",                                # ours: learns on phantoms, is used on patients
    lr=3e-3, epochs=6, batch=8,                    # ours: 450 steps on 600 phantoms of 256 px
    scales=(Scale(128, 0),), val_size=128,         # ours: a phantom has no detail below two millimetres worth learning
    feed=Slices(augment="wide"),                   # ours: what phantoms lack in variety, zoom and greys must supply
    window=Window(-400, 1400), antialias=True,     # ours: about the greys in which CT100 is published
)  # fmt: skip
RECIPES = (
    MINISEG_RELEASED, MINISEG_PAPER, MINISEG_SHORT, MINISEG_TABLE6_SHORT,
    MINISEG_LESSON, MINISEG_PHANTOM, MINISEG_QUICK,
)  # fmt: skip
