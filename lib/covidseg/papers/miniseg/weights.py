"""The authors' MiniSeg weights, and any other trained weights, by name.

The published files hold a bare state dict under the authors' names; ``rename`` gives each tensor the name it has
in ``network.py``. Weights are CC BY-NC-SA 4.0: they are fetched or taken from a mirror, never shipped.
"""

import re
from pathlib import Path

from torch import nn

from covidseg.data.transforms import Preprocessing, Window
from covidseg.errors import UserError, unknown_name
from covidseg.fetch.catalog import source
from covidseg.fetch.sources import fetch_file, roots
from covidseg.nn.weights import LoadedWeights, load_weights, read_tensors
from covidseg.papers.miniseg.network import MiniSeg

__all__ = ["LICENCE", "NAMES", "load_official", "rename", "weights"]

LICENCE = "CC BY-NC-SA 4.0 (MiniSeg authors; non-commercial)"
DATASETS = ("CT100", "P9", "P20", "P1110")
FOLDS = (1, 2, 3, 4, 5)
NAMES = ["phantom", *DATASETS, *(f"{dataset}-{fold}" for dataset in DATASETS for fold in FOLDS)]
BUNDLED = Path(__file__).with_name("miniseg_phantom.pt")


def _estimate(mean: float, std: float) -> Preprocessing:
    return Preprocessing(mean=(mean,) * 3, std=(std,) * 3, window=Window(-400, 1400))


# The authors normalised by their fold's mean and std of grey and published neither those nor their window. Ours are
# estimates. Window: where healthy lung (42 of 255) and soft tissue (207) lie in the published 8-bit CT100 slices.
# CT100: mean and std chosen on 25 slices; on all 98 the weights then score Dice 0.685, and 0.793 against the authors'
# own maps. P9: where weights and published maps agree best (0.976 over 3 volumes). P20 and P1110: borrowed from P9.
ESTIMATED = {dataset: _estimate(0.460, 0.338) for dataset in DATASETS} | {"CT100": _estimate(0.45, 0.34)}

# authors' prefix -> ours; i counts stages from 1, j blocks from 0
_PREFIXES = [
    (r"long(\d)", lambda i: f"stages.{int(i) - 1}.Q_entry"),
    (r"down(\d)", lambda i: f"stages.{int(i) - 1}.E_entry"),
    (r"level(\d)\.(\d)", lambda i, j: f"stages.{int(i) - 1}.E_blocks.{j}"),
    (r"level(\d)_long\.(\d)", lambda i, j: f"stages.{int(i) - 1}.Q_blocks.{j}"),
    (r"cat(\d)", lambda i: f"stages.{i}.fuse"),  # the fusion after stage i opens stage i + 1
    (r"up4_conv4", lambda: "top.0"),
    (r"up4_bn4", lambda: "top.1"),
    (r"up4_act", lambda: "top.2"),
    (r"up(\d)_conv(\d)", lambda i, k: f"steps.{3 - int(i)}." + ("lateral.0" if i == k else "fusion")),
    (r"up(\d)_bn\d", lambda i: f"steps.{3 - int(i)}.lateral.1"),
    (r"up(\d)_act", lambda i: f"steps.{3 - int(i)}.act"),
    (r"pred(\d)", lambda i: f"heads.{int(i) - 1}"),
]
# inside a block; DB and CB are plain sequences here, FFM and AHSP have named parts
_AHSP = {"conv1x1_down": "shrink", "attention": "attend.0", "conv1x1_fuse": "fuse", "bn": "bn", "act": "act"}
_AHSP |= {f"conv{k}": f"dilated.{k - 1}" for k in (1, 2, 3, 4)}
_FFM = {"conv0": "shrink", "conv1": "near", "conv2": "far", "bn": "bn"}
_DB = {"conv0": "0", "conv1": "1", "bn": "2", "act": "3"}
_CB = {"conv": "0", "bn": "1", "act": "2"}


def rename(state: dict) -> dict:
    """Authors' state dict -> ours, 467 entries, values untouched.

    Raises KeyError for an entry that fits no rule: the file is not MiniSeg's.
    """
    return {_rename_key(key): value for key, value in state.items()}


def _rename_key(key: str) -> str:
    for pattern, name in _PREFIXES:
        found = re.match(pattern + r"(?=\.)", key)
        if found:
            ours, rest = name(*found.groups()), key[found.end() + 1 :]
            part, dot, tensor = rest.partition(".")
            inner = _inner_names(ours)
            return f"{ours}.{inner[part]}.{tensor}" if inner and dot else f"{ours}.{rest}"
    raise KeyError(key)


def _inner_names(ours: str) -> dict[str, str] | None:
    if ours.endswith("fusion"):
        return _FFM
    if ".Q_" in ours:
        return _DB
    if ".E_" in ours:
        return _CB if ours.startswith("stages.0.") else _AHSP
    return None


def load_official(dataset: str = "CT100", fold: int = 1) -> nn.Module:
    """The authors' network for one data set and fold (1..5), in eval mode.

    From the mirror (COVIDSEG_MIRROR), the download folder, or the authors' repository; the sha256 is checked.
    Each file is the epoch with the best mIoU on the very fold it is scored on. ``.preprocessing`` holds the input
    statistics, which are our estimate (see ESTIMATED): the authors did not publish theirs.
    Raises UnknownName for a wrong name, UserError where the file cannot be had.
    """
    if dataset not in DATASETS:
        raise unknown_name("data set with MiniSeg weights", dataset, DATASETS)
    if fold not in FOLDS:
        raise unknown_name(f"fold of {dataset}", fold, FOLDS)
    path = fetch_file("miniseg-weights", f"Pretrained/COVID-19-{dataset}/MiniSeg_CrossVal{fold}.pth")
    model = MiniSeg()
    try:
        model.load_state_dict(rename(read_tensors(path)))
    except (KeyError, RuntimeError, AttributeError) as error:
        raise UserError(f"{path} holds no MiniSeg weights of the authors: {error}") from error
    model.preprocessing = ESTIMATED[dataset]
    return model.eval()


def weights(name: str = "CT100") -> LoadedWeights:
    """Weights by the name a user types: "CT100" (its fold 1), "P9-3", or "phantom" (shipped).

    Raises UnknownName with the nearest name, UserError where the file cannot be had.
    """
    if name == "phantom":
        return load_weights(BUNDLED)
    dataset, _, fold = name.partition("-")
    if dataset in DATASETS and name in NAMES:
        fold = int(fold or 1)
        label = f"MiniSeg, the authors' weights, {dataset} fold {fold}"
        model = load_official(dataset, fold)
        return LoadedWeights(model, model.preprocessing, label, LICENCE)
    raise unknown_name("set of weights", name, NAMES)


def at_hand() -> tuple[str, str]:
    """The authors' CT100 weights if they lie in the mirror or among the downloads, else the shipped ones; and why."""
    places = roots(source("miniseg-weights").folder)
    if any((place / "Pretrained/COVID-19-CT100/MiniSeg_CrossVal1.pth").is_file() for place in places):
        return "CT100", "the authors' weights are on this machine"
    return "phantom", "trained on synthetic phantoms only; for the authors' weights give --weights CT100"
