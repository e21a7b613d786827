"""CHS-Net, declared: see `covidseg.paper`."""

from covidseg.paper import Paper, Row, Shown
from covidseg.papers.chsnet import network, protocol  # noqa: F401  (networks enter themselves)
from covidseg.papers.chsnet.ablations import ABLATIONS, READINGS
from covidseg.papers.chsnet.data import DATASETS
from covidseg.papers.chsnet.maps import MAPS
from covidseg.papers.chsnet.recipes import RECIPES
from covidseg.papers.chsnet.tasks import Cascade, Direct, Lungs

ONE = {"num_classes": 1, "in_channels": 1}  # paper: a grey slice in, the logit of one class out
FULL = "BU+RIB+HP+SSD"  # of the ablations: RAIU-Net, and twice CHS-Net
SMALL = {"width": 8}  # ours, for a CPU: a sixth of the paper's parameters


def _rows(name: str, options: dict, suffix: str = "") -> tuple[Row, Row]:
    """An ablation by itself (Table 4), and twice as a cascade (Table 5)."""
    variant = "" if name == FULL and not suffix else f"{name}{suffix}"
    whole = ONE | options
    direct = Row(network="raiunet", variant=variant, options=whole, task="direct")
    return direct, Row(network="chsnet", variant=variant, options=whole, task="cascade")


def _on_trunk(name: str, trunk: str, variant: str) -> Row:
    """A rival of Table 3, from first weights of chance; it reads a slice as three equal channels, as ImageNet's do."""
    options = {"config": "chsnet", "backbone": trunk, "num_classes": 1}
    return Row(network=name, variant=variant, options=options, task="direct")


RIVALS = (  # of Table 3; their cards say which printed sizes are met
    Row(network="segnet", variant="SegNet + VGG16", options={"num_classes": 1}, task="direct"),
    _on_trunk("unet", "vgg16_bn", "U-Net + VGG16"),
    _on_trunk("unetplusplus", "resnet50", "U-Net++ + ResNet50"),
    _on_trunk("attention_unet", "vgg16_bn", "AU-Net + VGG16"),
    # Without edge branch: Eqn 15 teaches every map the mask. 33M are printed.
    Row(network="infnet", variant="Inf-Net of CHS-Net's Table 3", options={"ea": False}, task="direct"),
)
ROWS = (
    *(row for name, options in ABLATIONS.items() for row in _rows(name, options)),
    *(row for name, options in ABLATIONS.items() for row in _rows(name, options | SMALL, ", width 8")),
    *(Row(network="raiunet", variant=name, options=ONE | options, task="direct") for name, options in READINGS.items()),
    Row(network="raiunet", variant="lungs alone", options=ONE, task="lungs"),
    Row(network="raiunet", variant="lungs alone, width 8", options=ONE | SMALL, task="lungs"),
    *(
        Row(network="chsnet", variant=f"{cascade} mask", options=ONE | {"cascade": cascade}, task="cascade")
        for cascade in ("soft", "concat")
    ),
    *RIVALS,
)
SHOWN = Shown(
    name="chsnet_phantom",
    file="chsnet_phantom.pt",
    label="CHS-Net, 6 channels wide, trained on phantoms",
    row=Row(network="chsnet", options=ONE | {"width": 6}, task="cascade"),  # 769,614 parameters
    recipe="chsnet_phantom",
    learns=({"view": "lungs", "n": 80, "size": 192}, {"view": "any", "n": 120, "size": 192}),
    held_out=({"n": 60, "size": 256},),
)

PAPER = Paper(
    name="chsnet",
    cite="Punn and Agarwal, Neural Processing Letters 2022",
    arxiv="2012.07079",
    networks=("chsnet", "raiunet"),
    rows=ROWS,
    tasks={"direct": Direct, "lungs": Lungs, "cascade": Cascade},
    recipes=RECIPES,
    protocols=(protocol.PROTOCOL,),
    datasets=DATASETS,
    maps=MAPS,
    shown=(SHOWN,),
    cams={"Grad-CAM++": "Shown in the later version of the paper (Neural Processing Letters 2022)."},
    diagram="covidseg.papers.chsnet.diagram:show_chsnet",
)
