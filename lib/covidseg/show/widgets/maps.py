"""What a map is called and what its channels are, read from its name, its shape and the network it comes from.

Nothing here is tied to one network: names split as kind/block ("A/E_2_1") or kind_index ("S_4"), channels are
numbered unless the network says more. What a paper says about the maps of its own networks it declares (`Paper.maps`).
"""

import re
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from torch import nn

from covidseg import papers
from covidseg.paper import MapKind

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


LOGITS = MapKind("P_*", "class")  # what every rival of this kit calls its own


def describe_map(model: nn.Module, name: str, values: np.ndarray, input_shape: tuple[int, ...]) -> MapInfo:
    """values : (c, h, w) or (c, h, w, d), as captured for an input of ``input_shape``, (H, W) or (H, W, D)."""
    kind, _, rest = name.rpartition("/")
    symbol, place = _symbol(rest)
    found = _kind(model, name)
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


def shown(model: nn.Module, name: str, values: np.ndarray) -> np.ndarray:
    """A captured map as a reader sees it: logits of the kinds that say so become probabilities. float32, same shape."""
    return expit(values) if _kind(model, name).logits else values


def _share(stride: float) -> str:
    return "full size" if stride == 1 else f"1/{stride:g}"


def _kind(model: nn.Module, name: str) -> MapKind:
    """What the paper whose own network this is says of the map; of anyone else's it says nothing."""
    paper = papers.paper_of_model(model)
    known = paper.maps if paper else (LOGITS,) if type(model).__module__.startswith("covidseg.zoo.") else ()
    return next((kind for kind in known if kind.fits(name)), MapKind(name, "channel"))


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
