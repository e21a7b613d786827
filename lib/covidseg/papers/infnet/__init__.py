"""Inf-Net, Semi-Inf-Net and multi-class labelling (Fan et al., IEEE TMI 2020).

What a notebook takes from here; each module says more: ``network`` (read it beside the paper), ``wiring`` (where text
and code part), ``losses`` and ``objective``, ``feed`` (soft slices) and ``edges``, ``recipes`` and ``schedule``,
``protocol``, ``tasks``; ``semi`` (pseudo labels) and ``labelling`` (kinds of infection); ``paper`` declares it all.
"""

from covidseg.papers.infnet.feed import SoftBatches, SoftSlice, SoftSlices, soft_slices
from covidseg.papers.infnet.network import ABLATIONS, EA, PPD, RA, RFB, InfNet
from covidseg.papers.infnet.objective import InfNetLoss, PlainStructure, Structure
from covidseg.papers.infnet.recipes import (
    INFNET_CONSTANT,
    INFNET_LESSON,
    INFNET_PAPER,
    INFNET_QUICK,
    INFNET_RELEASED,
    INFNET_SHORT,
    INFNET_SHORT_DECAYED,
    multi_scale,
)
from covidseg.papers.infnet.schedule import Compounding

__all__ = [
    "ABLATIONS",
    "EA",
    "INFNET_CONSTANT",
    "INFNET_LESSON",
    "INFNET_PAPER",
    "INFNET_QUICK",
    "INFNET_RELEASED",
    "INFNET_SHORT",
    "INFNET_SHORT_DECAYED",
    "PPD",
    "RA",
    "RFB",
    "Compounding",
    "InfNet",
    "InfNetLoss",
    "PlainStructure",
    "SoftBatches",
    "SoftSlice",
    "SoftSlices",
    "Structure",
    "multi_scale",
    "soft_slices",
]
