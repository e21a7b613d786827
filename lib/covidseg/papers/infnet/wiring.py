"""Where Inf-Net's paper and its published code part: one field for each point that concerns the network."""

from dataclasses import dataclass, replace

from covidseg.errors import UserError, unknown_name

__all__ = ["OFFICIAL", "PAPER", "WIRINGS", "RAUnit", "Wiring", "choose_wiring", "narrowed"]


@dataclass(frozen=True, kw_only=True)
class RAUnit:
    """The convolutions C of Eqn 2 at one level; ``squeeze`` reduces f_i to ``width`` before e_att joins it."""

    width: int = 64
    kernel: int = 3
    convs: int = 2
    last: int = 3  # kernel of the convolution that makes the map
    squeeze: bool = True


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """Where the paper and the published code differ."""

    cb_relu: bool  # a ReLU in every conv unit: the code makes one and never calls it, Figure 3 reads "Conv+BN"
    reduce: (
        str  # f_3..f_5 to the 32 channels of the PPD: "rfb", or "1x1" (the text is silent; ours, the least that works)
    )
    ppd_kernels: tuple[int, int]  # all of the PPD, and its last; Figure 3 has them swapped (erratum 2020-10-14)
    edge: str  # e_att: "branch" (three conv units on f_2) or "f2" itself, with one filter for the edge map (text)
    attend: str  # A_i weighs "feature" f_i (erratum 2020-08-15) or "fused" C(f_i, Dow(e_att)) (Eqn 2)
    ra: tuple[RAUnit, RAUnit, RAUnit]  # R_5, R_4, R_3; the text has two convolutions of 64 filters in each
    map_bn: bool  # BatchNorm on the one-channel maps S_e and R_i; False: a convolution with bias
    vgg_pool: str  # VGG16 halves by "avg"; the network of that name, and so the text, by "max"
    unused: bool  # numbers that take no part: Res2Net's ImageNet classifier, a second conv4 and conv5 of VGG16


OFFICIAL = Wiring(
    cb_relu=False, reduce="rfb", ppd_kernels=(3, 1), edge="branch", attend="feature",
    ra=(RAUnit(width=256, kernel=5, convs=3, last=1), RAUnit(), RAUnit()), map_bn=True, vgg_pool="avg", unused=True,
)  # fmt: skip
PAPER = Wiring(
    cb_relu=False, reduce="1x1", ppd_kernels=(1, 3), edge="f2", attend="fused",
    ra=(RAUnit(squeeze=False),) * 3, map_bn=False, vgg_pool="max", unused=False,
)  # fmt: skip
# Ours: on VGG16 as its weights were learned, so that every network of a table can begin with the same ones.
OFFICIAL_MAX = replace(OFFICIAL, vgg_pool="max", unused=False)
WIRINGS = {"paper": PAPER, "official": OFFICIAL, "official_max": OFFICIAL_MAX}
_ALLOWED = {"reduce": ("rfb", "1x1"), "edge": ("branch", "f2"), "attend": ("feature", "fused")}


def choose_wiring(wiring: str | Wiring) -> Wiring:
    """A wiring by name or as given; raises UnknownName for a name or a field's value that does not exist."""
    if isinstance(wiring, str):
        if wiring not in WIRINGS:
            raise unknown_name("wiring", wiring, WIRINGS)
        wiring = WIRINGS[wiring]
    for field, choices in _ALLOWED.items():
        if getattr(wiring, field) not in choices:
            raise unknown_name(f"value of the wiring's {field}", getattr(wiring, field), choices)
    return wiring


def narrowed(wiring: Wiring, width: int, full: int) -> Wiring:
    """The wiring with RA units of ``width`` / ``full`` of their channels. Raises UserError for a width under 4."""
    if width < 4:
        raise UserError(f"width is {width}; it counts the channels of the trunk's first stage: give 4 to {full}.")
    return replace(wiring, ra=tuple(replace(unit, width=unit.width * width // full) for unit in wiring.ra))
