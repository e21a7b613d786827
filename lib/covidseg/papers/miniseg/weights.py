"""The authors' MiniSeg weights, and any other trained weights, by name.

The published files hold a bare state dict under the authors' names; ``rename`` gives each tensor the name it has
in ``network.py``. Weights are CC BY-NC-SA 4.0: they are fetched or taken from a mirror, never shipped.
"""

import re
from pathlib import Path

from torch import nn

from covidseg.data.transforms import Preprocessing, Window
from covidseg.ensemble import together
from covidseg.errors import UserError, unknown_name
from covidseg.fetch.catalog import source
from covidseg.fetch.sources import fetch_file, roots
from covidseg.nn.weights import LoadedWeights, load_weights, read_tensors
from covidseg.papers.miniseg.network import MiniSeg
from covidseg.scans.view import LUNGS, WHOLE

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
# CT100: mean and std chosen on 25 slices; each fold's weights on its own fold then score a DSC of 70.6 on the 98 slices
# at hand. P9: where weights and published maps agree best (0.976 over 3 volumes); three folds then score 79.5, and 69.5
# with the statistics of the training slices at hand (benchmarks/official_weights.py). P20 and P1110: borrowed from P9.
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
    path = fetch_file("miniseg-weights", _path(dataset, fold))
    model = MiniSeg()
    try:
        model.load_state_dict(rename(read_tensors(path)))
    except (KeyError, RuntimeError, AttributeError) as error:
        raise UserError(f"{path} holds no MiniSeg weights of the authors: {error}") from error
    model.preprocessing = ESTIMATED[dataset]
    return model.eval()


def weights(name: str = "CT100") -> LoadedWeights:
    """Weights by the name a user types: "CT100" (its five folds averaged), "P9-3" (one fold), "phantom" (shipped).

    Raises UnknownName with the nearest name, UserError where the file cannot be had.
    """
    if name == "phantom":
        return load_weights(BUNDLED)
    dataset, _, fold = name.partition("-")
    if dataset in DATASETS and name in NAMES:
        if fold:
            model, which = load_official(dataset, int(fold)), f"fold {fold}"
        else:
            model, which = together([load_official(dataset, f) for f in FOLDS]), "5 folds averaged"
        return LoadedWeights(model, model.preprocessing, f"MiniSeg, the authors' weights, {dataset} {which}", LICENCE)
    raise unknown_name("set of weights", name, NAMES)


def at_hand(view: str = WHOLE, intensity: str = "HU") -> tuple[str, str]:
    """Of the weights on this machine those that fit a scan, and why: the authors' if they are here, else the shipped.

    view : `covidseg.scans.view.LUNGS` where slices are cut to the lungs, as those of CT100 are, else WHOLE.
        Dice on real slices, five folds averaged: see `test_the_default_weights_are_the_best_official_ones`.
    intensity : "HU" or "grey"; the window of ESTIMATED brings both to the same picture, so it does not decide.
    """
    dataset, seen = ("CT100", "slices cut to the lungs") if view == LUNGS else ("P9", "whole slices")
    why = f"the scan shows {seen} in {'HU' if intensity == 'HU' else 'grey levels'}, as {dataset} does once windowed"
    here = [fold for fold in FOLDS if _on_this_machine(dataset, fold)]
    if len(here) == len(FOLDS):
        return dataset, why
    if here:
        return f"{dataset}-{here[0]}", f"{why}; only {len(here)} of its {len(FOLDS)} folds are on this machine"
    return "phantom", f"trained on synthetic phantoms only; the authors' for {seen} come with --weights {dataset}"


def _on_this_machine(dataset: str, fold: int) -> bool:
    places = roots(source("miniseg-weights").folder)
    return any((place / _path(dataset, fold)).is_file() for place in places)


def _path(dataset: str, fold: int) -> str:
    return f"Pretrained/COVID-19-{dataset}/MiniSeg_CrossVal{fold}.pth"
