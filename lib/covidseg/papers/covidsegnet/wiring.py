"""What COVID-SegNet's paper leaves open, or says in two ways: one field for each point that concerns the network.

The authors' repository shows pictures and no program. Two programs of strangers follow the paper; where they agree
against the text, the comment says so.
"""

from dataclasses import dataclass, replace

from covidseg.errors import unknown_name

__all__ = ["PAPER", "POST", "WIRINGS", "Wiring", "choose_wiring"]


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """The decisions behind COVID-SegNet; the defaults are the reading that the kit recommends."""

    fv_at: str = "pre"  # FV before the residual block, in E2 to E4 (both strangers), or "post": after it, in E1 to E3
    fv_width: str = "after"  # of "pre": FV after its layer's doubling of channels, or "before" it, and E4 of 4w then
    down: str = "conv3"  # "3x3x3 kernels, if not specified otherwise", stride 2; or "conv2", or "maxpool" and 1x1x1
    up: str = "conv3"  # transposed convolution of 3x3x3, or "conv2"
    adds: str = "inputs"  # Eqn 7 adds the 1x1x1's answers (Figure 4's words), or "outputs" (its symbols in print)


PAPER = Wiring()
POST = Wiring(fv_at="post")  # "each layer employs residual and FV blocks ... except E4": three FV blocks, in E1 to E3
WIRINGS = {"paper": PAPER, "post": POST, "before": Wiring(fv_width="before")}
_ALLOWED = {
    "fv_at": ("pre", "post"),
    "fv_width": ("after", "before"),
    "down": ("conv3", "conv2", "maxpool"),
    "up": ("conv3", "conv2"),
    "adds": ("inputs", "outputs"),
}


def choose_wiring(wiring: str | Wiring, **fields: str | None) -> Wiring:
    """A wiring by name or as given; of ``fields`` those that are not None replace its own.

    Raises UnknownName for a name or a field's value that does not exist.
    """
    if isinstance(wiring, str):
        if wiring not in WIRINGS:
            raise unknown_name("wiring", wiring, WIRINGS)
        wiring = WIRINGS[wiring]
    wiring = replace(wiring, **{name: value for name, value in fields.items() if value is not None})
    for field, choices in _ALLOWED.items():
        if getattr(wiring, field) not in choices:
            raise unknown_name(f"value of the wiring's {field}", getattr(wiring, field), choices)
    return wiring
