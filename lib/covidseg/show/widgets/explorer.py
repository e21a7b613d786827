"""The reader's instrument: walk through a network's inner maps, slice by slice."""

from collections.abc import Sequence
from fnmatch import fnmatch

import ipywidgets as W
import numpy as np
import torch

from covidseg.attention import NoGradient
from covidseg.data import Case
from covidseg.data.transforms import Preprocessing
from covidseg.errors import unknown_name
from covidseg.show.widgets.cams import MAP, METHODS, Cams
from covidseg.show.widgets.look import Look, first_slice, looks_of
from covidseg.show.widgets.maps import MapInfo, describe_map
from covidseg.show.widgets.panel import ImagePanel, make_control
from covidseg.show.widgets.pointer import ZOOMS, Pointer
from covidseg.show.widgets.render import PREDICTION, STRIP, TRUTH, caption, number, render

__all__ = ["AttentionExplorer"]

BUTTONS = 8  # channels that get a button each; more of them get a slider
OUTLINES = {"none": (), "prediction": ("prediction",), "truth": ("truth",), "both": ("prediction", "truth")}


class AttentionExplorer(ImagePanel):
    """Inner maps of a network over the slices they were computed from.

    model : a network with ``named_maps()``, 2-D or 3-D
    cases : 2-D Cases, a CaseDataset, or volumes; for a 3-D network volumes, at most 128 x 128 x 128 voxels each
    preprocessing : the one the weights were trained with; by default ``model.preprocessing``, else Preprocessing()
    names : shell pattern of maps, or their exact names (`attention.map_names` lists them)
    pointer : adds a cross with a row, a column and a zoom, and the caption says what lies under it

    A control appears where there is a choice: slice, kind of map, block (or map), what is shown of it (the map itself,
    or where it speaks for the prediction: Grad-CAM, Grad-CAM++, see `attention.grad_cam`), its channel (by number, or
    by the dilation of its branch), blend from CT to map, range of the colours (of this map, of all channels of the
    block, or 0 to 1 for maps that stay within; a Grad-CAM runs from 0 to 1), outlines. ``static()`` is the same as a
    figure, for readers without a kernel. A 3-D network sees each volume in one piece; of its maps (c, h, w, d) the
    slice nearest to the one shown is drawn.
    Raises UserError or UnknownName where the network names no such map.

    >>> model = create_model("NAME").eval()                               # doctest: +SKIP
    >>> AttentionExplorer(model, load_dataset("phantom", n=4))            # doctest: +SKIP
    """

    def __init__(
        self,
        model: torch.nn.Module,
        cases: Sequence[Case] | Case,
        preprocessing: Preprocessing | None = None,
        names: str | Sequence[str] = "A/*",
        *,
        pointer: bool = False,
    ):
        self.model, self.names = model, names
        self.preprocessing = preprocessing or getattr(model, "preprocessing", None) or Preprocessing()
        looks = looks_of(model, cases, self.preprocessing, names)
        self.cases, self.look, self.first = looks.cases, looks.look, first_slice(looks.cases)
        shape = looks.input_shape(self.first)
        self.maps = {name: describe_map(model, name, v, shape) for name, v in self.look(self.first).maps.items()}
        self.cams, self.pointer = Cams(model, looks), pointer
        super().__init__(self.picture, self._make_controls(), css="covidseg-attention")
        self.adapt("block")

    # ------------------------------------------------------------------------------------------ what is shown

    def picture(
        self, slice=0, kind=None, block=None, shown=MAP, channel=0, blend=0.6, limits="block", outlines="both",
        row=0.5, column=0.5, zoom=1,
    ):  # fmt: skip
        """The picture, uint8, and its caption for these control values. ``kind`` only narrows the list of blocks."""
        name = block or next(iter(self.maps))
        look, shown, refused = self._look(slice, name, shown)
        info = self.info(name, shown)
        values = look.plane(name)[channel]
        at, shape = Pointer(row, column, zoom), look.case.image.shape
        drawn = render(
            at.part(look.case.image),
            at.part_of_map(values, shape),
            intensity=look.case.intensity,
            window=self.preprocessing.window,
            blend=blend,
            limits=self.limits(look, info, channel, limits if shown == MAP else "0 to 1"),
            outlines=[(o, at.part(mask), c) for o, mask, c in _outlines(look) if o in OUTLINES[outlines]],
        )
        under = [at.words(look.case, values)] if self.pointer else []
        drawn = at.mark(drawn, shape, below=STRIP) if self.pointer else drawn
        score = [] if shown == MAP else [self.cams.score(look, channel, look.maps[name][channel])]
        title = self.title(info, channel) if shown == MAP else f"{shown} of {self.title(info, channel)}"
        return drawn, caption(
            title, values, look.predicted, details=[*_details(look, info, values), *under, *score, *refused]
        )

    def _look(self, slice: int, name: str, shown: str) -> tuple[Look, str, list[str]]:
        """The slice, how its map is shown, and a sentence where that is not what was asked for."""
        try:
            return self.cams.look(slice, [name], shown), shown, []
        except NoGradient:
            words = f"Shown is the map itself: no gradient of the answer reaches it, so it has no {shown}."
            return self.cams.look(slice, [name], MAP), MAP, [words]

    def limits(self, look: Look, info: MapInfo, channel: int, choice: str) -> tuple[float, float]:
        """Ends of the colour scale for "map", "block" or "0 to 1"."""
        if choice == "0 to 1":
            return 0.0, 1.0
        values = look.plane(info.name) if choice == "block" else look.plane(info.name)[channel]
        return float(values.min()), float(values.max())

    def info(self, name: str, shown: str = MAP) -> MapInfo:
        """The map in words, as it is shown by one of ``cams.METHODS``."""
        return self.cams.info(self.maps[name], shown, self.look(self.first))

    def title(self, info: MapInfo, channel: int) -> str:
        """'A of E²₁, dilation 1'; a map with one channel is named alone."""
        return f"{info.of}, {info.channel_word} {info.channels[channel]}" if len(info.channels) > 1 else info.of

    # ------------------------------------------------------------------------------------------ controls

    def _make_controls(self) -> dict[str, W.Widget]:
        """A control where there is a choice, in the order of the page."""
        infos = list(self.maps.values())
        kinds = list(dict.fromkeys(info.kind for info in infos))
        most = max(len(info.channels) for info in infos)
        classes = len(self.info(infos[0].name, METHODS[-1]).channels)
        controls = {}
        if len(self.cases) > 1:
            controls["slice"] = make_control("slice", range(len(self.cases)), self.first)
        if len(kinds) > 1:
            controls["kind"] = make_control("kind", kinds)
        if len(infos) > 1:
            word = "block" if "/" in infos[0].name else "map"
            controls["block"] = W.Dropdown(options=self._blocks(kinds[0]), description=word)
        controls["shown"] = make_control("shown", list(METHODS))
        if max(most, classes) > 1:
            kind = W.ToggleButtons if max(most, classes) <= BUTTONS else W.SelectionSlider
            controls["channel"] = kind(options=_channels(infos[0]), description=infos[0].channel_word)
        controls["blend"] = (0.0, 1.0, 0.05)
        ranges, usual = self._ranges(most)
        if len(ranges) > 1:
            controls["limits"] = make_control("range", ranges, usual)
        where = {"row": (0.0, 1.0, 0.01), "column": (0.0, 1.0, 0.01), "zoom": dict(ZOOMS)} if self.pointer else {}
        return controls | {"outlines": list(OUTLINES)} | where

    def _ranges(self, most: int) -> tuple[list[str], str]:
        """Choices for the ends of the colours, and the one to start with; most : channels of the widest map."""
        within = all(v.min() >= 0 and v.max() <= 1 for v in self.look(self.first).maps.values())
        ranges = ["map", *(["block"] if most > 1 else []), *(["0 to 1"] if within else [])]
        if within and all(info.unit for info in self.maps.values()):
            return ranges, "0 to 1"
        return ranges, "block" if most > 1 else "map"

    def _blocks(self, kind: str) -> list[tuple[str, str]]:
        return [(info.label, name) for name, info in self.maps.items() if info.kind == kind]

    def adapt(self, changed: str) -> None:
        """Offer the blocks of the chosen kind, the channels of what is shown, and a range where there is a choice."""
        if changed == "kind":
            self.controls["block"].options = self._blocks(self.controls["kind"].value)
        shown = self.controls["shown"].value
        if changed in ("kind", "block", "shown") and "channel" in self.controls:
            block = self.controls.get("block")
            control, info = self.controls["channel"], self.info(block.value if block else next(iter(self.maps)), shown)
            options = _channels(info)
            if tuple(control.options) != tuple(options):
                control.options = options
            control.description = info.channel_word
            control.layout.display = None if len(options) > 1 else "none"
        if "limits" in self.controls:
            self.controls["limits"].layout.display = None if shown == MAP else "none"

    # ------------------------------------------------------------------------------------------ without a kernel

    def static(
        self,
        slice: int | None = None,
        names: str | Sequence[str] | None = None,
        *,
        shown: str = MAP,
        blend: float = 1.0,
        width=2.0,
    ):
        """The same maps as a matplotlib Figure, for one slice: a row per block, a column per channel.

        slice : by default the one the explorer starts with
        names : pattern or names of the maps; by default the last block of each resolution
        shown : "map", "Grad-CAM" or "Grad-CAM++"; of the last two the figure says below what they are
        blend : 0 shows the CT, 1 the map; width : inches per picture
        Each row has its own colour range, printed beside it. Put the call last in a cell to see the figure.
        """
        from covidseg.show.widgets.montage import montage

        if shown not in METHODS:
            raise unknown_name("way to show a map", shown, METHODS)
        index, chosen = self.first if slice is None else slice, self._choose(names)
        look = self.cams.look(index, [info.name for info in chosen], shown)
        infos = [self.info(info.name, shown) for info in chosen]
        words = "" if shown == MAP else f"{shown}, {infos[0].note} {self._scores(look, infos)}"
        return montage(self, look, infos, blend=blend, width=width, words=words)

    def _scores(self, look: Look, infos: list[MapInfo]) -> str:
        """A sentence for each class, of all these maps together."""
        maps = [look.maps[info.name] for info in infos]
        classes = range(len(maps[0]))
        return " ".join(self.cams.score(look, k, np.array([values[k].any() for values in maps])) for k in classes)

    def _choose(self, names) -> list[MapInfo]:
        if names is None:
            return list({(info.kind, info.stride): info for info in self.maps.values()}.values())
        wanted = [n for n in self.maps if fnmatch(n, names)] if isinstance(names, str) else list(names)
        for name in wanted or [names]:
            if name not in self.maps:
                raise unknown_name("map", name, self.maps)
        return [self.maps[name] for name in wanted]


def _channels(info: MapInfo) -> list[tuple[str, int]]:
    return [(label, k) for k, label in enumerate(info.channels)]


def _outlines(look: Look):
    return [("prediction", look.predicted, PREDICTION), ("truth", look.case.infection, TRUTH)]


def _details(look: Look, info: MapInfo, values: np.ndarray) -> list[str]:
    size = f"{' × '.join(map(str, look.maps[info.name].shape[1:]))} values, {info.patch}"
    low, high = float(values.min()), float(values.max())
    note = info.note.format(low=number(low), high=number(high), gain_low=number(1 + low), gain_high=number(1 + high))
    lines = [f"{info.place}: {size}" if info.place else size, note, f"slice {look.case.id}"]
    if info.depth_stride is not None:
        depth = look.maps[info.name].shape[3]
        lines.append(f"drawn: slice {look.depth(info.name) + 1} of {depth} of the map, the nearest to this one")
    return [line for line in lines if line]
