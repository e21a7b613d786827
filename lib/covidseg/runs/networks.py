"""The rows of the papers' tables as networks: constructor options by name, and which family a run belongs to."""

from functools import partial

from covidseg.errors import unknown_name

SEMI = "Semi-Inf-Net"


def variants(model: str) -> dict[str, dict]:
    """Row name -> constructor options of a network's ablations; the plain network is "".

    Raises UnknownName for a network that does not exist.
    """
    from covidseg.nn import card

    card(model)
    return {"": {}} | VARIANTS.get(model, dict)()


def variant_options(model: str, variant: str) -> dict:
    """Constructor options of one ablation; raises UnknownName with the nearest one."""
    known = variants(model)
    if variant not in known:
        raise unknown_name(f"variant of {model}", variant, [name for name in known if name])
    return known[variant]


def _miniseg_variants() -> dict[str, dict]:
    from covidseg.papers.miniseg.ablations import ABLATIONS, JOURNAL

    return {name: row.options for name, row in (ABLATIONS | JOURNAL).items()}


def _infnet_variants() -> dict[str, dict]:
    from covidseg.papers.infnet.network import ABLATIONS

    return {"Inf-Net": {}, SEMI: {}} | ABLATIONS


# The rivals of Inf-Net's Table II as it counts them, and with one soft map, which its measures want.
_RIVALS = {
    "unet": "U-Net",
    "attention_unet": "Attention-UNet",
    "gated_unet": "Gated-UNet",
    "dense_unet": "Dense-UNet",
    "unetplusplus": "U-Net++",
}


def _rival_variants(model: str) -> dict[str, dict]:
    return {_RIVALS[model]: {"config": "infnet", "num_classes": 1}}


# The networks of Table III, which name the kind of infection; a guided one reads a map of infection beside the slice.
_PLAIN, _GUIDED = {"num_classes": 3, "in_channels": 3}, {"num_classes": 3, "in_channels": 6}
_LABELLERS = {
    "deeplabv3plus": {f"DeepLabV3+ (stride={n})": _PLAIN | {"output_stride": n} for n in (8, 16)},
    "fcn8s": {"FCN8s": _PLAIN, "Semi-Inf-Net & FCN8s": _GUIDED},
    "multiclass_unet": {
        "Multi-class U-Net": _PLAIN,
        "Semi-Inf-Net & MC": _GUIDED,
        "Multi-class U-Net, width 16": _PLAIN | {"width": 16},  # ours, for a CPU: the paper's has 64
        "Semi-Inf-Net & MC, width 16": _GUIDED | {"width": 16},
    },
}

# Networks without normalisation: the kit's own rates for labelling (Adam, 5e-3 and more) throw their first weights out
# of reach, to a loss of thousands; at this one it falls from the first epoch. Measured on phantoms.
LARGEST_RATE = {"fcn8s": 3e-4}

VARIANTS = {"miniseg": _miniseg_variants, "infnet": _infnet_variants}
VARIANTS |= {model: partial(_rival_variants, model) for model in _RIVALS}
VARIANTS |= {model: partial(dict, rows) for model, rows in _LABELLERS.items()}


def family(model: str, variant: str) -> str:
    """Whose recipe and protocol a run follows: "miniseg", "infnet", or "labelling" (Inf-Net's Table III).

    A network such as U-Net is a rival in more than one paper: as "U-Net", its row in Inf-Net's Table II, it is trained
    and scored as Inf-Net is, as itself ("") as MiniSeg is.
    """
    if variant in _LABELLERS.get(model, {}):
        return "labelling"
    return "infnet" if model.startswith("infnet") or _RIVALS.get(model) == variant else "miniseg"


def is_semi(model: str, variant: str) -> bool:
    """Whether a run learns from pseudo labels first."""
    return family(model, variant) == "infnet" and variant == SEMI


def is_guided(model: str, variant: str) -> bool:
    """Whether a run's network reads a map of infection that another network makes."""
    return family(model, variant) == "labelling" and variant_options(model, variant)["in_channels"] == 6
