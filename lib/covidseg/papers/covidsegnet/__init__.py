"""COVID-SegNet: volumes in 3-D, feature variation and PASPP (Yan et al., arXiv 2004.10987).

What a notebook takes from here; each module says more: ``network`` (read it beside the paper), ``blocks`` (its parts),
``wiring`` (what the text leaves open), ``ablations`` (Table II), ``maps``.
"""

from covidseg.papers.covidsegnet.ablations import ABLATIONS, READINGS
from covidseg.papers.covidsegnet.blocks import ASPP, CBR, DILATIONS, FV, Res
from covidseg.papers.covidsegnet.maps import MAPS
from covidseg.papers.covidsegnet.network import COVIDSegNet
from covidseg.papers.covidsegnet.predictor import PatchesAsTrained
from covidseg.papers.covidsegnet.wiring import PAPER, POST, WIRINGS, Wiring

__all__ = [
    "ABLATIONS",
    "ASPP",
    "CBR",
    "COVIDSegNet",
    "DILATIONS",
    "FV",
    "MAPS",
    "PAPER",
    "POST",
    "PatchesAsTrained",
    "READINGS",
    "Res",
    "WIRINGS",
    "Wiring",
]
