"""MiniSeg, declared: see `covidseg.paper`."""

from covidseg import zoo
from covidseg.paper import MapKind, Paper, Row, Shown, Weights
from covidseg.papers.miniseg import bundled, live, network, protocol, weights  # noqa: F401  (the network enters itself)
from covidseg.papers.miniseg.ablations import ABLATIONS, JOURNAL
from covidseg.papers.miniseg.recipes import RECIPES
from covidseg.papers.miniseg.tasks import Infection

# Code: their training file has Inf-Net without edge branch, one channel, on a dilated ResNet50, and teaches it like
# every rival.
INFNET = "Inf-Net of MiniSeg's Table 6"
RELEASED = "released"  # every other rival of Table 6 as their code builds it, which is often larger than Table 5 says
HEAVY = (
    "unet fcn8s segnet frrn pspnet deeplabv3 denseaspp dfn encnet deeplabv3plus bisenet unetplusplus attention_unet "
    "ocnet dupsampling danet ccnet annnet gff"
)
# Their small convolutions gain nothing from bf16, and on a CPU it goes wrong: of MiniSeg's 329 gradients that of the
# depthwise 3x3 of dilation 2 in FFM came out beyond 1e6 within 22 steps (torch 2.13, oneDNN).
LIGHT = "mobilenet mobilenetv2 shufflenet shufflenetv2 efficientnet enet espnet cgnet espnetv2 edanet lednet"

MAPS = (
    MapKind("A/E_*", "dilation", "Eqn 7 multiplies this branch by 1 + A, here by {gain_low} to {gain_high}."),
    MapKind("P_*", "class"),
)
SHOWN = Shown(
    name="phantom",
    file=weights.BUNDLED.name,
    label="MiniSeg trained on phantoms",
    row=Row(network="miniseg", float32=True),
    held_out=({"n": 60, "size": 512},),
    learn=bundled.learn,
    flat=live.flat,
)

PAPER = Paper(
    name="miniseg",
    cite="Qiu et al., AAAI 2021",
    arxiv="2004.09750",
    networks=("miniseg",),
    rows=(
        Row(network="miniseg", float32=True),
        *(
            Row(network="miniseg", variant=name, options=row.options, float32=True)
            for name, row in (ABLATIONS | JOURNAL).items()
        ),
        *(Row(network=name) for name in zoo.names()),  # its benchmark: every rival as its own paper has it
        *(Row(network=name, variant=RELEASED, options={"config": RELEASED}) for name in HEAVY.split()),
        *(Row(network=name, variant=RELEASED, options={"config": RELEASED}, float32=True) for name in LIGHT.split()),
        Row(network="infnet", variant=INFNET, options={"backbone": "resnet50", "output_stride": 8, "ea": False}),
    ),
    tasks={"infection": Infection},
    recipes=RECIPES,
    protocols=(protocol.PROTOCOL,),
    maps=MAPS,
    weights=Weights(names=weights.NAMES, load=weights.weights, official=weights.load_official, default=weights.at_hand),
    shown=(SHOWN,),
    diagram="covidseg.papers.miniseg.diagram:show_miniseg",
    benchmark="miniseg_table5.csv",
)
