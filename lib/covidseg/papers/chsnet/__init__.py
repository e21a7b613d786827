"""CHS-Net: lungs first, infection second, with two RAIU-Nets (Punn and Agarwal, arXiv 2012.07079).

What a notebook takes from here; each module says more: ``network`` (read it beside the paper), ``blocks`` and
``attention`` (its parts), ``spectral`` (pooling by frequencies), ``wiring`` (what the text leaves open),
``ablations``, ``maps``, ``diagram``.
"""

from covidseg.papers.chsnet.ablations import ABLATIONS, READINGS
from covidseg.papers.chsnet.attention import SSD, SpectralDepth, SpectralSpatial
from covidseg.papers.chsnet.blocks import DSC, IC, RIB, HybridPool
from covidseg.papers.chsnet.maps import MAPS
from covidseg.papers.chsnet.network import CHSNet, RAIUNet
from covidseg.papers.chsnet.spectral import SpectralPool, crop_spectrum, spectral_matrix, spectral_pool
from covidseg.papers.chsnet.wiring import PAPER, PRINTED, WIRINGS, Wiring

__all__ = [
    "ABLATIONS",
    "CHSNet",
    "DSC",
    "HybridPool",
    "IC",
    "MAPS",
    "PAPER",
    "PRINTED",
    "RAIUNet",
    "READINGS",
    "RIB",
    "SSD",
    "SpectralDepth",
    "SpectralPool",
    "SpectralSpatial",
    "WIRINGS",
    "Wiring",
    "crop_spectrum",
    "spectral_matrix",
    "spectral_pool",
]
