"""MiniSeg: an extremely minimum network for efficient COVID-19 segmentation (Qiu et al., AAAI 2021).

What a notebook takes from here; each module says more: ``network`` (read it beside the paper), ``wiring`` (where text
and code part), ``ablations``, ``recipes``, ``augment``, ``protocol``, ``tasks``, ``weights``; ``paper`` declares all.
"""

from covidseg.papers.miniseg.ablations import ABLATIONS
from covidseg.papers.miniseg.augment import MINISEG_SCALES, augment, symmetric_crop, training_sample
from covidseg.papers.miniseg.network import AHSP, MiniSeg
from covidseg.papers.miniseg.recipes import (
    MINISEG,
    MINISEG_LESSON,
    MINISEG_PAPER,
    MINISEG_PHANTOM,
    MINISEG_QUICK,
    MINISEG_RELEASED,
    MINISEG_SHORT,
)

__all__ = [
    "ABLATIONS",
    "AHSP",
    "MINISEG_LESSON",
    "MINISEG",
    "MINISEG_PAPER",
    "MINISEG_RELEASED",
    "MINISEG_SCALES",
    "MINISEG_PHANTOM",
    "MINISEG_QUICK",
    "MINISEG_SHORT",
    "MiniSeg",
    "augment",
    "symmetric_crop",
    "training_sample",
]
