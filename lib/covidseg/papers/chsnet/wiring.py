"""What CHS-Net's paper leaves open, or prints in two ways: one field for each point that concerns the networks.

The authors promised their code and did not release it, so there is no "official" wiring. What is known of them comes
from the text, the equations, and the code of their later RCA-IUnet, which has the same blocks.
"""

from dataclasses import dataclass, replace

from covidseg.errors import UserError, unknown_name

__all__ = ["AUTHORS", "PAPER", "PRINTED", "WIRINGS", "Wiring", "choose_wiring"]


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """The decisions behind RAIU-Net and CHS-Net; the defaults are the reading that the kit recommends."""

    stages: int = 4  # halvings; "four stages" could also count the bottleneck, which leaves 3
    pool_branch: str = "input"  # channels of the pooling branch of Eqn 3: those of its "input" (RCA-IUnet) or "output"
    same_keep: float = 1.0  # frequencies kept, per axis, where pooling keeps the size; 1 is the definition: identity
    same_max: str = "2x2"  # window of max pooling that keeps the size: padded right and below, or "3x3" (GoogLeNet)
    spectral_scale: str = "mean"  # spectral pooling keeps the "mean"; "unitary" (Eqn 2) doubles it with every halving
    spectral_corner: str = "average"  # "average" treats a flipped slice alike; "single" is the literature's window
    spectral_relu: bool = False  # a ReLU after spectral pooling (RCA-IUnet); it cuts off the overshoot at edges
    depth_gate: str = "sigmoid"  # last activation of Eqn 8, "relu" in the text: half of its gates start at 0 and stay
    spatial_gate: str = "sigmoid"  # of Eqn 11, which writes sigma; the text says "relu"
    upsample: str = "nearest"  # Up of Eqn 11, or "bilinear"
    ssd_output: str = "F_s"  # what joins the decoder: Eqn 12's result, or "F_d and F_s" side by side
    F_s_relu: bool = True  # K* of Eqn 12 has the ReLU of Eqn 4; the text names convolution and BatchNorm only
    head_bn: bool = False  # BatchNorm on the logits (RCA-IUnet); the text has "sigmoid activated 1x1 convolution"
    cascade: str = "pred"  # what the second network sees: see `CHSNet`
    inside: bool = False  # infection is cut off at the lung mask in eval(); not in the paper


PAPER = Wiring()
PRINTED = Wiring(  # text and Eqn 2 to the letter
    spectral_scale="unitary", spectral_corner="single", depth_gate="relu", spatial_gate="relu", F_s_relu=False,
)  # fmt: skip
AUTHORS = Wiring(spectral_relu=True, head_bn=True)  # where RCA-IUnet parts from "paper" on one of these points
WIRINGS = {"paper": PAPER, "printed": PRINTED, "authors": AUTHORS}
_ALLOWED = {
    "pool_branch": ("input", "output"),
    "same_max": ("2x2", "3x3"),
    "spectral_scale": ("mean", "unitary"),
    "spectral_corner": ("average", "single"),
    "depth_gate": ("sigmoid", "relu"),
    "spatial_gate": ("sigmoid", "relu"),
    "upsample": ("nearest", "bilinear"),
    "ssd_output": ("F_s", "F_d and F_s"),
    "cascade": ("pred", "gt", "soft", "concat"),
}


def choose_wiring(wiring: str | Wiring, cascade: str | None = None) -> Wiring:
    """A wiring by name or as given, with its cascade replaced where one is given.

    Raises UnknownName for a name or a field's value that does not exist, UserError for a number out of range.
    """
    if isinstance(wiring, str):
        if wiring not in WIRINGS:
            raise unknown_name("wiring", wiring, WIRINGS)
        wiring = WIRINGS[wiring]
    wiring = wiring if cascade is None else replace(wiring, cascade=cascade)
    for field, choices in _ALLOWED.items():
        if getattr(wiring, field) not in choices:
            raise unknown_name(f"value of the wiring's {field}", getattr(wiring, field), choices)
    if not 0 < wiring.same_keep <= 1:
        raise UserError(f"same_keep is {wiring.same_keep}; it is a share of the frequencies: above 0, at most 1.")
    if wiring.stages < 1:
        raise UserError(f"stages is {wiring.stages}; it counts halvings: 1 or more, the paper's 4.")
    return wiring
