"""Which networks the page shows: what the papers declare as shown, or weights that a reader names."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from covidseg import papers
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.nn.flat import FlatNetwork
from covidseg.nn.layers import dimensions
from covidseg.nn.weights import LoadedWeights, load_weights

__all__ = ["ShownNetwork", "shown_networks"]


@dataclass(frozen=True, eq=False)
class ShownNetwork:
    """A trained network that names its maps.

    side : of the slices that it is shown, in pixels; flat : what the page needs to run it itself, None if it cannot
    """

    label: str
    model: nn.Module
    preprocessing: Preprocessing
    about: str
    side: int
    flat: FlatNetwork | None = None


def shown_networks(weights: Sequence[str] = ()) -> list[ShownNetwork]:
    """The papers' small networks, and after them those of ``weights`` (a name, a file or a run folder each).

    A 3-D network must have learned from volumes of one side, as its paper declares it. Raises UserError for weights of
    any other, or of a network that names no maps.
    """
    found = []
    for path, declared in papers.shown_networks():
        loaded = load_weights(path)
        side = loaded.preprocessing.size
        if dimensions(loaded.model) == 3:
            side = next((options["size"] for options in declared.learns if isinstance(options.get("size"), int)), 0)
        if side:
            found.append(_shown(loaded, side, declared.flat(loaded.model) if declared.flat else None))
    for name in weights:
        loaded = papers.weights(name)
        if dimensions(loaded.model) != 2 or not hasattr(loaded.model, "named_maps"):
            raise UserError(f"{name} is no network of slices that names its maps: the page cannot show it.")
        found.append(_shown(loaded, loaded.preprocessing.size, None))
    if not found:
        raise UserError("There is no network to show: name trained weights with --weights.")
    return found


def _shown(loaded: LoadedWeights, side: int, flat: FlatNetwork | None) -> ShownNetwork:
    short = loaded.label.partition(" trained on")[0].rstrip(",")
    about = f"{loaded.label}; {loaded.licence}"
    return ShownNetwork(short, loaded.model.eval(), loaded.preprocessing, about, side, flat)
