"""How COVID-SegNet is trained: the text, filled in where it is silent, and ours for small machines; each line says who.

The paper names no number of epochs. Here an epoch cuts so many patches of each volume, and the last epoch is scored.
"""

from dataclasses import replace

from covidseg.data.transforms import Scale
from covidseg.papers.covidsegnet.feed import ScanPatches
from covidseg.papers.covidsegnet.objective import DiceAndCrossEntropy, InverseTime
from covidseg.training.recipes import Recipe
from covidseg.training.schedules import Poly

__all__ = ["LESSON", "LITERAL", "PAPER", "PHANTOM", "QUICK", "RECIPES", "SHORT"]

LITERAL = Recipe(
    name="covidsegnet_literal",
    optimizer="adam", lr=1e-4, weight_decay=0.0,   # paper; its other reading of "decay of 1e-6" is weight_decay=1e-6
    schedule=InverseTime(1e-6),                    # paper, "learning rate decay of 1e-6"
    batch=2,                                       # paper
    epochs=250,                                    # ours: of 16 volumes 40,000 patches; the paper is silent
    objective=DiceAndCrossEntropy(0.5),            # paper
    feed=ScanPatches(per_volume=10, lesions=0.0),  # paper: "we randomly crop"; 10 of each volume in an epoch: ours
    scales=(Scale(128, 0),), val_size=128,         # paper: 128 x 128 x 64
    drop_last=False,                               # ours
    statistics="neutral",                          # not read: the feed leaves greys of -1250 to 250 HU as they are
)  # fmt: skip
PAPER = replace(
    LITERAL,
    name="covidsegnet_paper",
    # ours: one patch of two has its middle in a lesion; of 16 volumes most patches of chance hold none
    feed=ScanPatches(per_volume=10, lesions=0.5, mirror=True),
)
SHORT = replace(
    PAPER,
    name="covidsegnet_short",                      # ours: real volumes on a CPU, or minutes on a GPU
    lr=2e-3, epochs=10, schedule=Poly(),           # ours: a short training wants a large rate that ends small
    scales=(Scale(64, 0),), val_size=64,           # ours: 64 x 64 x 32
    # ours: half the resolution in the plane, as thin in depth as they are; scored on the scans' own voxels
    feed=ScanPatches(per_volume=10, lesions=0.5, mirror=True, spacing=(1.4, 1.4, None)),
    precision="bf16",                              # ours: 0.51 s a step instead of 0.97 s on one thread at width 8
)  # fmt: skip
LESSON = replace(
    SHORT,
    name="covidsegnet_lesson",
    lr=5e-3, epochs=8, precision="float32",        # ours, on phantoms
    feed=ScanPatches(per_volume=2, lesions=0.5, mirror=True),
    scales=(Scale(48, 0),), val_size=48,
)  # fmt: skip
PHANTOM = replace(
    LESSON,
    name="covidsegnet_phantom",                    # ours: the small network that comes with the kit
    lr=4e-3, scales=(Scale(64, 0),), val_size=64,  # ours: minutes on one CPU core
)  # fmt: skip
QUICK = replace(
    LESSON,
    name="covidsegnet_quick",
    epochs=2, scales=(Scale(32, 0),), val_size=32,  # ours, for tests and for the smoke budget: seconds
)  # fmt: skip
RECIPES = (LITERAL, PAPER, SHORT, LESSON, PHANTOM, QUICK)
