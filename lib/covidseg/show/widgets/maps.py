"""What a map is called and what its channels are, read from its name, its shape and the network it comes from.

Nothing here is tied to one network: names split as kind/block ("A/E_2_1") or kind_index ("S_4"), channels are
numbered unless the network says more. What a paper says about its maps is one row of ``KINDS``.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np
from scipy.special import expit
from torch import nn

__all__ = ["MapInfo", "describe_map", "shown"]

_UP = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_DOWN = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class MapInfo:
    """One map, (c, h, w) or (c, h, w, d), in words."""

    name: str  # as `attention.capture` returns it
    kind: str  # "A" in A/E_2_1, "S" in S_4: maps of one kind can be compared
    symbol: str  # as the paper writes it: E²₁
    place: str  # "stage 2, block 1", or ""
    shape: tuple[int, ...]
    stride: float  # input pixels per value, along rows and columns
    channel_word: str  # "dilation", "class", "channel"
    channels: tuple[str, ...]  # one label per channel
    note: str = ""  # the paper's use of the map; {low}, {high}, {gain_low}, {gain_high} are filled in
    unit: bool = False  # its colours run from 0 to 1 unless the reader chooses otherwise
    depth_stride: float | None = None  # input slices per value; None for a map without depth

    @property
    def label(self) -> str:
        """For a list of maps: 'E²₁ · stage 2, block 1 · 1/4'."""
        return " · ".join(filter(None, [self.symbol, self.place, self.size]))

    @property
    def size(self) -> str:
        """Against the input: '1/4', 'full size'; where depth is halved less or more often, '1/4, depth 1/2'."""
        plane = _share(self.stride)
        same = self.depth_stride in (None, self.stride)
        return plane if same else f"{plane}, depth {_share(self.depth_stride).removesuffix(' size')}"

    @property
    def patch(self) -> str:
        """What one value stands for: 'one per pixel', 'one per 4 × 4 pixels of the input', in a volume voxels."""
        strides = [self.stride, self.stride, *([] if self.depth_stride is None else [self.depth_stride])]
        word = "pixel" if self.depth_stride is None else "voxel"
        if set(strides) == {1}:
            return f"one per {word}"
        return f"one per {' × '.join(f'{s:g}' for s in strides)} {word}s of the input"

    @property
    def math(self) -> str:
        """The symbol for TeX: 'E^2_1', 'S_{g}'; "" for a name that is no letter with indices."""
        name = self.name.rpartition("/")[2]
        if re.fullmatch(r"[A-Za-z]_[a-z]+", name):
            return f"{name[0]}_{{{name[2:]}}}"
        found = re.fullmatch(r"([A-Za-z]+)_?(\d+)(?:_(\d+))?", name)
        if not found:
            return ""
        letter, first, second = found.groups()
        return f"{letter}^{{{first}}}_{{{second}}}" if second else f"{letter}_{{{first}}}"

    @property
    def of(self) -> str:
        """The map in full: 'A of E²₁', or its symbol."""
        return f"{self.kind} of {self.symbol}" if "/" in self.name else self.symbol


@dataclass(frozen=True)
class Kind:
    """What a paper says of all maps whose name fits ``pattern``."""

    pattern: str
    word: str  # what its channels are
    note: str = ""
    unit: bool = False  # values are shares: maps of such kinds are compared on one scale, 0 to 1
    logits: bool = False  # shown as probabilities, because a logit of 3 says little and one of 9 hardly more


KINDS = [
    Kind("A/E_*", "dilation", "Eqn 7 multiplies this branch by 1 + A, here by {gain_low} to {gain_high}."),
    Kind("P_*", "class"),
    Kind("A_*", "channel", "Eqn 3, 1 - sigmoid of the coarser map: near 0 erased, near 1 left to look at.", unit=True),
    Kind("S_g", "channel", "The global map of the partial decoder, as probability.", unit=True, logits=True),
    Kind("S_e", "channel", "The edge map (Eqn 1), as probability.", unit=True, logits=True),
    Kind("S_*", "channel", "The coarser map, corrected by this unit; as probability.", unit=True, logits=True),
    Kind("e_att", "channel", "The edge feature that every reverse attention unit reads."),
    Kind("f_*", "channel", "A feature of the trunk."),
]


def describe_map(model: nn.Module, name: str, values: np.ndarray, input_shape: tuple[int, ...]) -> MapInfo:
    """values : (c, h, w) or (c, h, w, d), as captured for an input of ``input_shape``, (H, W) or (H, W, D)."""
    kind, _, rest = name.rpartition("/")
    symbol, place = _symbol(rest)
    found = _kind(name)
    dilations = _dilations(model, name)
    word = found.word if dilations or found.word != "dilation" else "branch"
    channels = _distinct(dilations) if len(dilations) == len(values) else [str(k + 1) for k in range(len(values))]
    if word == "class":
        channels = [str(k) for k in range(len(values))]
    stride, _, *depth = (round(n / m, 2) for n, m in zip(input_shape, values.shape[1:], strict=True))
    return MapInfo(
        name, kind or re.split(r"[_\d]", rest)[0] or rest, symbol, place, values.shape, stride, word, tuple(channels),
        found.note, found.unit, depth[0] if depth else None,
    )  # fmt: skip


def shown(name: str, values: np.ndarray) -> np.ndarray:
    """A captured map as a reader sees it: logits of the kinds that say so become probabilities. float32, same shape."""
    return expit(values) if _kind(name).logits else values


def _share(stride: float) -> str:
    return "full size" if stride == 1 else f"1/{stride:g}"


def _kind(name: str) -> Kind:
    return next((k for k in KINDS if fnmatch(name, k.pattern)), Kind(name, "channel"))


def _symbol(rest: str) -> tuple[str, str]:
    """'E_2_1' -> ('E²₁', 'stage 2, block 1'); 'S_4' -> ('S₄', ''); anything else stays as it is."""
    found = re.fullmatch(r"([A-Za-z]+)_(\d+)_(\d+)", rest)
    if found:
        letter, stage, block = found.groups()
        return f"{letter}{stage.translate(_UP)}{block.translate(_DOWN)}", f"stage {stage}, block {block}"
    found = re.fullmatch(r"([A-Za-z]+)_?(\d+)", rest)
    return (f"{found[1]}{found[2].translate(_DOWN)}" if found else rest), ""


def _dilations(model: nn.Module, name: str) -> list[str]:
    """Dilations of the branches that an attention map weighs, read off the block that owns it; [] for other maps."""
    module = getattr(model, "named_maps", dict)().get(name, (None,))[0]
    for block in model.modules():
        if module is not None and getattr(block, "attend", None) is module:
            return [str(conv.dilation[0]) for conv in getattr(block, "dilated", ())]
    return []


def _distinct(labels: list[str]) -> list[str]:
    """With K > 4 several branches share dilation 8: '8', '8 (5)', '8 (6)'."""
    return [text if text not in labels[:k] else f"{text} ({k + 1})" for k, text in enumerate(labels)]
