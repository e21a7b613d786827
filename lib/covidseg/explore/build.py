"""Puts the page together: one HTML file that opens from disk and asks the net for nothing."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from covidseg import __version__
from covidseg.data.transforms import LUNG
from covidseg.explore.looks import PageSlice, describe, look_at, phantom_slices
from covidseg.explore.networks import ShownNetwork, shown_networks
from covidseg.explore.pack import pack, pack_look
from covidseg.files import write_text
from covidseg.lessons.page import NO_REQUESTS
from covidseg.nn.layers import input_channels
from covidseg.show.pictures import HEAT, OUTCOMES
from covidseg.show.widgets.maps import MapInfo
from covidseg.show.widgets.render import PREDICTION, TRUTH

__all__ = ["page_html", "write_page"]

HERE = Path(__file__).parent
LIVE = ("operations", "network", "predict", "worker")  # the worker's program, in this order
PAGE = (  # the page's, after the operations, which it shares with the worker
    *("store", "picture", "facts", "nifti", "files", "brush", "live"),
    *("view", "ribbon", "save", "explorer", "panel", "main", "lab", "begin"),
)
TITLE = "covidseg: look inside a network"
ABOUT = (
    "The scan is a phantom, computed, no patient's. The networks learned from phantoms alone and are cautious: they "
    "miss lesions. For teaching, not a medical device."
)


def write_page(path: str | Path, slices: int = 6, weights: Sequence[str] = ()) -> Path:
    """Write the page of the papers' small networks (and of those of ``weights``) on so many slices of a phantom.

    Returns the path. Raises UserError where it cannot be written, or for weights that cannot be shown.
    """
    return write_text(Path(path).expanduser(), page_html(phantom_slices(slices), shown_networks(weights)))


def page_html(slices: Sequence[PageSlice], networks: Sequence[ShownNetwork]) -> str:
    """The page as text, about 150 kB and what `looks.MOST_VALUES` allows for each slice and network."""
    arrays, infos = {}, {}
    for i, one in enumerate(slices):
        arrays[f"image-{i}"] = pack(np.rint(one.image).astype(np.int16))
        arrays[f"truth-{i}"] = pack(np.zeros(0, np.uint8) if one.truth is None else one.truth)
    for n, network in enumerate(networks):
        for i, one in enumerate(slices):
            look = look_at(network, one)
            infos.setdefault(n, describe(network, look))
            arrays[f"look-{i}-{n}"] = pack_look(look.odds, [look.maps[info.name] for info in infos[n]])
        if network.flat:
            arrays[f"numbers-{n}"] = pack(network.flat.numbers)
    return _filled(
        {
            "no-requests": NO_REQUESTS.replace("img-src data:", "img-src data: blob:; worker-src blob:"),
            "title": escape(TITLE),
            "style": _read("page/style.css"),
            "about": ABOUT,
            "footer": escape(_footer(networks)),
            "catalogue": json.dumps(_catalogue(slices, networks, infos)).replace("<", "\\u003c"),
            "arrays": "\n".join(f'<script type="text/plain" id="{i}">{text}</script>' for i, text in arrays.items()),
            "live": "\n".join(_read(f"live/{name}.js") for name in LIVE),
            "script": "\n".join(_read(f"{place}.js") for place in ("live/operations", *(f"page/{n}" for n in PAGE))),
        }
    )


def _filled(parts: dict[str, str]) -> str:
    """page.html with each ``put:NAME`` replaced, in one pass, so that nothing inside a part is taken for a place."""
    rest, done = _read("page/page.html"), []
    for name, text in parts.items():  # in the order of the file
        marks = [f"<!-- put:{name} -->", f"/* put:{name} */"]
        mark = next(m for m in marks if m in rest)
        before, _, rest = rest.partition(mark)
        done += [before, text]
    return "".join([*done, rest])


def _catalogue(slices, networks, infos: dict[int, list[MapInfo]]) -> dict:
    """Everything that is no array, for page/store.js."""
    live = next((n for n, network in enumerate(networks) if network.flat), None)
    return {
        "slices": [_about_slice(one) for one in slices],
        "networks": [_about_network(network, infos[n]) for n, network in enumerate(networks)],
        "live": live,
        "start": int(np.argmax([0 if one.truth is None else one.truth.sum() for one in slices])),
        "views": _first_views(networks, infos, live),
        "body": _body(slices[0].image) if slices else [0, 1, 0, 1],
        "window": list(networks[0].preprocessing.window if networks else LUNG),
        "heat": _heat(),
        "colours": {"prediction": PREDICTION, "truth": TRUTH, **OUTCOMES},
    }


def _about_slice(one: PageSlice) -> dict:
    H, W = one.image.shape
    return {"label": one.label, "H": H, "W": W, "intensity": one.intensity, "truth": one.truth is not None}


def _about_network(network: ShownNetwork, infos: list[MapInfo]) -> dict:
    return {
        "label": network.label,
        "about": network.about,
        "channels": input_channels(network.model),
        "preprocessing": network.preprocessing.to_dict(),
        "maps": [_about_map(info) for info in infos],
        "first": _first_map(infos),
        "named": len(network.model.named_maps()),
        "live": network.flat.to_dict() | {"switches": network.flat.switches} if network.flat else None,
    }


def _about_map(info: MapInfo) -> dict:
    return {
        "name": info.name, "kind": info.kind, "symbol": info.symbol, "of": info.of, "place": info.place,
        "patch": info.patch, "word": info.channel_word, "channels": list(info.channels), "note": info.note,
        "shape": list(info.shape),
    }  # fmt: skip


def _first_views(networks, infos, live: int | None) -> list[dict]:
    """Left a map of the first network, right the next network, or the first one's prediction."""
    left = {"source": "0", "layer": _first_map(infos[0]), "channel": 0}
    if len(networks) > 1:
        return [left, {"source": "1", "layer": _first_map(infos[1]), "channel": 0}]
    return [left, {"source": "0", "layer": "prediction", "channel": 0}]


def _first_map(infos: list[MapInfo]) -> str:
    """Of the maps that the paper speaks of, attention (A) before all, the last one of the finest."""
    said = [info for info in infos if info.note] or infos
    said = [info for info in said if info.kind.startswith("A")] or said
    finest = min(info.stride for info in said)
    return [info.name for info in said if info.stride == finest][-1]


def _body(image: np.ndarray) -> list[float]:
    """Where the body lies, as shares of the slice: top, bottom, left, right; the page begins with this in sight."""
    tissue = image > -300
    rows, columns = (np.flatnonzero(tissue.mean(axis) > 0.05) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return [0, 1, 0, 1]
    ends = [(line[0] / side, (line[-1] + 1) / side) for line, side in zip((rows, columns), image.shape, strict=True)]
    return [round(float(end), 3) for pair in ends for end in pair]


def _heat() -> str:
    from base64 import b64encode

    from matplotlib import colormaps

    return b64encode(np.rint(255 * colormaps[HEAT](np.arange(256))[:, :3]).astype(np.uint8).tobytes()).decode()


def _footer(networks) -> str:
    return f"Made by covidseg {__version__}. " + ". ".join(network.about for network in networks) + "."


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
