"""A pseudo label, where it comes from, and the files that keep it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

import numpy as np
from torch import Tensor

from covidseg.errors import UserError
from covidseg.files import write_atomically, write_text
from covidseg.papers.infnet.edges import edge_map
from covidseg.papers.infnet.feed import SoftSlice

__all__ = [
    "LazySlices",
    "PseudoLabel",
    "load_pseudo_labels",
    "make_label",
    "read_round",
    "stretched",
    "weights_hash",
    "write_round",
]


@dataclass(frozen=True, eq=False)
class PseudoLabel:
    """What a network said of a slice nobody labelled, and how it came to say so.

    source : id of the slice; mask : uint8 (H, W), the soft map in 256 greys
    kind : name of the plan; round : 0-based; group : number of the folder the slice was drawn into
    snapshot : hash of the weights that made it (`weights_hash`)
    mean, above_half, largest : of the probability as the network gave it: mean, share of pixels above 0.5, maximum
    stretched : the map was stretched to fill 0..1; of a lesion-free slice that makes a false positive
    """

    source: str
    mask: np.ndarray
    kind: str
    round: int
    group: int
    snapshot: str
    mean: float
    above_half: float
    largest: float
    stretched: bool

    @property
    def raised(self) -> bool:
        """The network saw no infection (never above 0.5), and stretching put some in."""
        return self.stretched and self.largest <= 0.5

    def soft_slice(self, grey: np.ndarray) -> SoftSlice:
        """The label as a slice to learn from; its edge by Canny, as the published script has it."""
        return SoftSlice(self.source, grey, self.mask / np.float32(255), edge_map(self.mask, "canny"))


def make_label(source: str, probability: np.ndarray, *, stretch: bool = True, **origin) -> PseudoLabel:
    """Quantise a soft map to 8 bits, stretched from its smallest to its largest value (code) or as it is.

    probability : (H, W), 0..1; origin : kind, round, group, snapshot. A constant map becomes 0 when stretched.
    """
    p = np.asarray(probability, dtype=np.float64)
    facts = {"mean": float(p.mean()), "above_half": float((p > 0.5).mean()), "largest": float(p.max())}
    mask = np.floor((stretched(p) if stretch else p) * 255 + 0.5).astype(np.uint8)
    return PseudoLabel(source=source, mask=mask, stretched=stretch, **facts, **origin)


def stretched(p: np.ndarray) -> np.ndarray:
    """A map moved and scaled to fill 0..1, as the published scripts do to all they save; a constant one becomes 0."""
    low, high = p.min(), p.max()
    return (p - low) / ((high - low) or 1)


def weights_hash(state: dict[str, Tensor]) -> str:
    """sha256 (hex) over names, shapes and bytes of a state dict."""
    digest = sha256()
    for name, value in state.items():
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------ files
# round_0000.npz holds the masks and, beside each, its slice; round_0000.json where they come from. The JSON is written
# last: a round is there when it is.

FACTS = [field.name for field in fields(PseudoLabel) if field.name != "mask"]


def write_round(folder: Path, number: int, labels: Sequence[PseudoLabel], greys: dict[str, np.ndarray]) -> None:
    """Keep one round. greys : id -> float32 (H, W), stored in 8 bits where that is exact."""
    arrays = {f"mask_{i}": label.mask for i, label in enumerate(labels)}
    arrays |= {f"grey_{i}": _packed(greys[label.source]) for i, label in enumerate(labels)}
    write_atomically(_file(folder, number, "npz"), lambda file: np.savez_compressed(file, **arrays))
    facts = [{name: getattr(label, name) for name in FACTS} for label in labels]
    write_text(_file(folder, number, "json"), json.dumps(facts, indent=1) + "\n")


def read_round(folder: Path, number: int) -> list[PseudoLabel] | None:
    """The labels of a round, or None if it was not finished. Raises UserError for a damaged file."""
    if not _file(folder, number, "json").is_file():
        return None
    return [PseudoLabel(mask=mask, **facts) for facts, mask, _ in _read(folder, number)]


def _read(folder: Path, number: int) -> list[tuple[dict, np.ndarray, np.ndarray]]:
    path = _file(folder, number, "npz")
    try:
        facts = json.loads(_file(folder, number, "json").read_text(encoding="utf-8"))
        with np.load(path, allow_pickle=False) as arrays:
            return [(f, arrays[f"mask_{i}"], arrays[f"grey_{i}"]) for i, f in enumerate(facts)]
    except Exception as error:  # a cut zip, a text instead of JSON, an array that is missing
        raise UserError(f"{path} or its .json is damaged: delete both, and label again.") from error


def _file(folder: Path, number: int, suffix: str) -> Path:
    return Path(folder) / f"round_{number:04d}.{suffix}"


def _packed(grey: np.ndarray) -> np.ndarray:
    eight_bit = np.rint(grey * 255).astype(np.uint8)
    return eight_bit if np.array_equal(eight_bit / np.float32(255), grey) else grey


class LazySlices(Sequence):
    """Slices read when they are asked for: 1,600 in memory at once are two gigabytes. ids : their names, in order"""

    def __init__(self, ids: Iterable[str], load: Callable[[str], SoftSlice]):
        self.ids, self._load = list(ids), load

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index):
        chosen = self.ids[index]
        return self._load(chosen) if isinstance(chosen, str) else LazySlices(chosen, self._load)


def load_pseudo_labels(folder: str | Path) -> list[SoftSlice]:
    """The labels of a folder that `label_pool` wrote, as slices to learn from, in the order of their rounds.

    Raises UserError for a folder without labels, or with a damaged file.
    """
    numbers = sorted(int(path.stem.removeprefix("round_")) for path in Path(folder).glob("round_*.json"))
    if not numbers:
        raise UserError(f"{folder} holds no pseudo labels; `covidseg.papers.infnet.semi.label_pool` writes them.")
    found = []
    for number in numbers:
        for facts, mask, grey in _read(Path(folder), number):
            grey = grey / np.float32(255) if grey.dtype == np.uint8 else grey
            found.append(PseudoLabel(mask=mask, **facts).soft_slice(grey))
    return found
