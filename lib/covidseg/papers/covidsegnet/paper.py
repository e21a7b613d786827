"""COVID-SegNet, declared: see `covidseg.paper`."""

from dataclasses import replace

from covidseg.paper import Paper, Row, Shown
from covidseg.papers.covidsegnet import monai_rivals, network, protocol, rivals  # noqa: F401  (networks enter themselves)
from covidseg.papers.covidsegnet.ablations import ABLATIONS, READINGS
from covidseg.papers.covidsegnet.data import DATASETS
from covidseg.papers.covidsegnet.maps import MAPS
from covidseg.papers.covidsegnet.recipes import RECIPES
from covidseg.papers.covidsegnet.tasks import Infection, Joint, Lungs

INFECTION = {"num_classes": 2, "in_channels": 1}
LUNGS = INFECTION | {"outputs": "lungs"}
JOINT = {"num_classes": 3, "in_channels": 1, "outputs": "joint"}
OURS = {name if options else "": options for name, options in ABLATIONS.items()}  # the whole network needs no name
SMALL = {"width": 8}  # ours, for a CPU: a 64th of the paper's parameters
NARROW = ", width 8"


def _apart(name: str, variant: str, options: dict, suffix: str = "") -> tuple[Row, Row]:
    """A network for infection, and one for the lungs alone."""
    whole = f"{variant}{suffix}".removeprefix(", ")
    lungs = f"{variant}, lungs alone{suffix}".removeprefix(", ")
    return (
        Row(network=name, variant=whole, options=INFECTION | options, task="infection"),
        Row(network=name, variant=lungs, options=LUNGS | options, task="lungs"),
    )


RIVALS = {"fcn3d": "3-D FCN", "unet3d": "3-D U-Net", "vnet": "V-Net", "unetplusplus3d": "3-D UNet++"}


def _rival(name: str, called: str, options: dict | None = None, suffix: str = "") -> tuple[Row, Row]:
    """As it is, under its own name alone."""
    infection, lungs = _apart(name, called, options or {}, suffix)
    return (infection if suffix else replace(infection, variant="")), lungs


ROWS = (
    *(r for name, o in OURS.items() for r in _apart("covid_segnet", name, o)),
    *(r for name, o in OURS.items() for r in _apart("covid_segnet", name, o | SMALL, NARROW)),
    *_apart("covid_segnet", "", {"width": 16}, ", width 16"),
    *(
        Row(network="covid_segnet", variant=f"{name}{suffix}", options=INFECTION | options | width, task="infection")
        for name, options in READINGS.items()
        for suffix, width in (("", {}), (NARROW, SMALL))
    ),
    Row(network="covid_segnet", variant="lungs and infection", options=JOINT, task="joint"),
    Row(network="covid_segnet", variant=f"lungs and infection{NARROW}", options=JOINT | SMALL, task="joint"),
    *(r for name, called in RIVALS.items() for r in _rival(name, called)),
    *(r for name, called in RIVALS.items() if name != "vnet" for r in _rival(name, called, SMALL, NARROW)),
)
SHOWN = Shown(
    name="covidsegnet_phantom",
    file="covidsegnet_phantom.pt",
    label="COVID-SegNet, 6 channels wide, trained on phantoms",
    row=Row(network="covid_segnet", options=INFECTION | {"width": 6}, task="infection"),  # 619,463 parameters
    recipe="covidsegnet_phantom",
    dataset="phantom3d",
    learns=({"n": 40, "size": 96},),
    held_out=({"n": 8, "size": 96},),
)

PAPER = Paper(
    name="covidsegnet",
    cite="Yan et al., IEEE Transactions on Big Data 2021",
    arxiv="2004.10987",
    networks=("covid_segnet", "fcn3d", "unet3d", "vnet", "unetplusplus3d"),  # the rivals are 3-D: in no other table
    rows=ROWS,
    tasks={"infection": Infection, "lungs": Lungs, "joint": Joint},
    recipes=RECIPES,
    protocols=(protocol.PROTOCOL,),
    datasets=DATASETS,
    maps=MAPS,
    shown=(SHOWN,),
    diagram="covidseg.papers.covidsegnet.diagram:show_covidsegnet",
)
