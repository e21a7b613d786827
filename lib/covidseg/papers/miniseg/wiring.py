"""Where MiniSeg's paper and its published code part: one field for each point."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from covidseg.errors import unknown_name

__all__ = ["OFFICIAL", "PAPER", "WIRINGS", "Wiring", "choose_wiring"]


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """Where the paper and the published code differ."""

    N: tuple[int, ...]  # blocks on path E per stage; the text has 9 in stage 4, the 82,912 parameters need 7
    concat: str  # order in Eqn 11: "EQ" or "QE"; the first half after Split returns to the first letter
    fuse_bn: bool  # BatchNorm after the 1x1 convolution of Eqn 11: in Figure 2, not in the equation
    top_activation: bool  # PReLU on D_4
    lateral_bias: bool  # biases in the 1x1 convolutions of Eqn 15, though a BatchNorm follows
    heads_on: str  # P_4, P_3, P_2 read "D" (D_i, Eqn 16) or "U" (D_i already upsampled by 2)
    dropout: float  # Dropout2d before each head


PAPER = Wiring(
    N=(3, 4, 9, 9), concat="EQ", fuse_bn=False, top_activation=False, lateral_bias=False, heads_on="D", dropout=0.0
)  # fmt: skip
OFFICIAL = Wiring(
    N=(3, 4, 9, 7), concat="QE", fuse_bn=True, top_activation=True, lateral_bias=True, heads_on="U", dropout=0.01
)  # fmt: skip
WIRINGS = {"paper": PAPER, "official": OFFICIAL}


def choose_wiring(wiring: str | Wiring, N: Sequence[int] | None = None) -> Wiring:
    """A wiring by name or as given, with its N replaced where one is given; raises UnknownName."""
    if isinstance(wiring, str):
        if wiring not in WIRINGS:
            raise unknown_name("wiring", wiring, WIRINGS)
        wiring = WIRINGS[wiring]
    return wiring if N is None else replace(wiring, N=tuple(N))
