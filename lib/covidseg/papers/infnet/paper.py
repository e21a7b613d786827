"""Inf-Net, Semi-Inf-Net and the multi-class labelling, declared: see `covidseg.paper`."""

from covidseg.paper import MapKind, Paper, Row, Shown
from covidseg.papers.infnet import multiclass_unet, network, protocol  # noqa: F401  (networks enter themselves)
from covidseg.papers.infnet.labelling import SETTINGS
from covidseg.papers.infnet.network import ABLATIONS
from covidseg.papers.infnet.recipes import RECIPES
from covidseg.papers.infnet.tasks import SEMI, GuidedLabelling, Labelling, SemiSupervised, SoftInfection

# The rivals of Table II as it counts them, and with one soft map, which its measures want.
RIVALS = {
    "unet": "U-Net",
    "attention_unet": "Attention-UNet",
    "gated_unet": "Gated-UNet",
    "dense_unet": "Dense-UNet",
    "unetplusplus": "U-Net++",
}
# Table II with one trunk for all: VGG16, of which public weights that know pictures are at hand (tools/edge_trunk.py).
ON_VGG16, INFNET_VGG16 = " on VGG16", {"backbone": "vgg16", "wiring": "official_max"}
FAIR = ("unet", "attention_unet")  # U-Net++ there has 2.4 times Inf-Net's MACs, too many for a CPU
# The networks of Table III, which name the kind of infection; a guided one reads a map of infection beside the slice.
PLAIN, GUIDED = {"num_classes": 3, "in_channels": 3}, {"num_classes": 3, "in_channels": 6}
GENTLE = 3e-4  # no BatchNorm: at the kit's own rates (Adam, 5e-3) its loss rises to thousands; measured on phantoms


def _labeller(name: str, variant: str, **options) -> Row:
    rate = GENTLE if name == "fcn8s" else None
    return Row(network=name, variant=variant, options=PLAIN | options, task="labelling", largest_rate=rate)


def _guided(name: str, variant: str, **options) -> Row:
    rate = GENTLE if name == "fcn8s" else None
    return Row(network=name, variant=variant, options=GUIDED | options, task="guided", largest_rate=rate)


ROWS = (
    *(Row(network=name, task="soft") for name in ("infnet", "infnet_resnet50", "infnet_vgg16")),
    Row(network="infnet", variant="Inf-Net", task="soft"),
    Row(network="infnet", variant=SEMI, task="semi"),
    *(Row(network="infnet", variant=name, options=options, task="soft") for name, options in ABLATIONS.items()),
    *(
        Row(network=name, variant=variant, options={"config": "infnet", "num_classes": 1}, task="soft")
        for name, variant in RIVALS.items()
    ),
    Row(network="infnet", variant=f"Inf-Net{ON_VGG16}", options=INFNET_VGG16, task="soft"),
    Row(network="infnet", variant=f"{SEMI}{ON_VGG16}", options=INFNET_VGG16, task="semi"),
    *(
        Row(
            network=name,
            variant=f"{RIVALS[name]}{ON_VGG16}",
            options={"config": "chsnet", "backbone": "vgg16", "num_classes": 1},
            task="soft",
        )
        for name in FAIR
    ),
    *(_labeller("deeplabv3plus", f"DeepLabV3+ (stride={n})", output_stride=n) for n in (8, 16)),
    _labeller("fcn8s", "FCN8s"),
    _guided("fcn8s", "Semi-Inf-Net & FCN8s"),
    _labeller("multiclass_unet", "Multi-class U-Net"),
    _guided("multiclass_unet", "Semi-Inf-Net & MC"),
    _labeller("multiclass_unet", "Multi-class U-Net, width 16", width=16),  # ours, for a CPU: the paper's has 64
    _guided("multiclass_unet", "Semi-Inf-Net & MC, width 16", width=16),
)
MAPS = (
    MapKind(
        "A_*", "channel", "Eqn 3, 1 - sigmoid of the coarser map: near 0 erased, near 1 left to look at.", unit=True
    ),
    MapKind("S_g", "channel", "The global map of the partial decoder, as probability.", unit=True, logits=True),
    MapKind("S_e", "channel", "The edge map (Eqn 1), as probability.", unit=True, logits=True),
    MapKind("S_*", "channel", "The coarser map, corrected by this unit; as probability.", unit=True, logits=True),
    MapKind("e_att", "channel", "The edge feature that every reverse attention unit reads."),
    MapKind("f_*", "channel", "A feature of the trunk."),
    MapKind("E_*", "channel", "Output of a level of the multi-class U-Net, on the way down."),
    MapKind("D_*", "channel", "Output of a level of the multi-class U-Net, on the way up."),
    MapKind("P_1", "class", "The answer, one logit for each kind of infection; the largest wins."),
)
SHOWN = Shown(
    name="infnet_phantom",
    file="infnet_phantom.pt",
    label="Inf-Net on a narrow ResNet-18, trained on phantoms",
    row=Row(network="infnet", options={"backbone": "resnet18", "width": 12}, task="soft"),  # 625,515 parameters
    recipe="infnet_phantom",
    learns=({"view": "lungs", "n": 250, "size": 256}, {"view": "any", "n": 250, "size": 256}),
    held_out=({"n": 60, "size": 512},),
)

PAPER = Paper(
    name="infnet",
    cite="Fan et al., IEEE TMI 2020",
    arxiv="2004.14133",
    networks=("infnet", "infnet_resnet50", "infnet_vgg16", "multiclass_unet"),
    rows=ROWS,
    tasks={"soft": SoftInfection, "semi": SemiSupervised, "labelling": Labelling, "guided": GuidedLabelling},
    recipes=(*RECIPES, *(setting.recipe for setting in SETTINGS.values())),
    protocols=(protocol.PROTOCOL,),
    maps=MAPS,
    shown=(SHOWN,),
    diagram="covidseg.papers.infnet.diagram:show_infnet",
)
