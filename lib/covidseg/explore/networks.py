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
    """A trained 2-D network that names its maps. flat : what the page needs to run it itself; None if it cannot."""

    label: str
    model: nn.Module
    preprocessing: Preprocessing
    about: str
    flat: FlatNetwork | None = None


def shown_networks(weights: Sequence[str] = ()) -> list[ShownNetwork]:
    """The papers' small networks, and after them those of ``weights`` (a name, a file or a run folder each).

    Volumes are not shown: a paper's 3-D network is left out. Raises UserError for weights of such a network, or of one
    that names no maps.
    """
    found = []
    for path, declared in papers.shown_networks():
        loaded = load_weights(path)
        if dimensions(loaded.model) == 2:
            found.append(_shown(loaded, declared.flat(loaded.model) if declared.flat else None))
    for name in weights:
        loaded = papers.weights(name)
        if dimensions(loaded.model) != 2 or not hasattr(loaded.model, "named_maps"):
            raise UserError(f"{name} is no network of slices that names its maps: the page cannot show it.")
        found.append(_shown(loaded, None))
    if not found:
        raise UserError("There is no network to show: name trained weights with --weights.")
    return found


def _shown(loaded: LoadedWeights, flat: FlatNetwork | None) -> ShownNetwork:
    short = loaded.label.partition(" trained on")[0]
    return ShownNetwork(short, loaded.model.eval(), loaded.preprocessing, f"{loaded.label}; {loaded.licence}", flat)
