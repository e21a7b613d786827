"""MiniSeg, declared: see `covidseg.paper`."""

from covidseg import zoo
from covidseg.paper import MapKind, Paper, Row, Weights
from covidseg.papers.miniseg import network, protocol, weights  # noqa: F401  (the network enters itself)
from covidseg.papers.miniseg.ablations import ABLATIONS, JOURNAL
from covidseg.papers.miniseg.recipes import RECIPES
from covidseg.papers.miniseg.tasks import Infection

# Code: their training file has Inf-Net without edge branch, one channel, on a (dilated) ResNet50, and teaches it like
# every rival. The plain trunk stands in for the dilated one.
INFNET = "Inf-Net of MiniSeg's Table 6"

MAPS = (
    MapKind("A/E_*", "dilation", "Eqn 7 multiplies this branch by 1 + A, here by {gain_low} to {gain_high}."),
    MapKind("P_*", "class"),
)

PAPER = Paper(
    name="miniseg",
    cite="Qiu et al., AAAI 2021",
    arxiv="2004.09750",
    networks=("miniseg",),
    rows=(
        Row(network="miniseg"),
        *(Row(network="miniseg", variant=name, options=row.options) for name, row in (ABLATIONS | JOURNAL).items()),
        *(Row(network=name) for name in zoo.names()),  # its benchmark: every rival as its own paper has it
        Row(network="infnet", variant=INFNET, options={"backbone": "resnet50", "ea": False}),
    ),
    tasks={"infection": Infection},
    recipes=RECIPES,
    protocols=(protocol.PROTOCOL,),
    maps=MAPS,
    weights=Weights(names=weights.NAMES, load=weights.weights, official=weights.load_official, default=weights.at_hand),
    diagram="covidseg.papers.miniseg.diagram:show_miniseg",
    benchmark="miniseg_table5.csv",
)
