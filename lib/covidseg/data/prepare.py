"""The normal form of a real set on this machine, and the check that what lies there is what should."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from covidseg.data import splits
from covidseg.data.case import CaseDataset
from covidseg.data.datasets import find_volumes, load_dataset, open_shelf, prepared_folder
from covidseg.data.layouts import LAYOUTS, WHOLE
from covidseg.data.shelf import open_volume, read_index, save_prepared
from covidseg.data.transforms import LUNG, to_grey
from covidseg.errors import UserError, unknown_name
from covidseg.files import alone, make_folder, write_text
from covidseg.progress import progress

FOLD_SETS = ("ct100", "p9", "p20", "p1110")


def prepare(name: str, mirror=None, echo: Callable[[str], None] = lambda line: None) -> Path:
    """Read a set once and store it as arrays in data/prepared/<name>; return that folder.

    Each volume becomes .npy files in its own number type, slices first, so that training reads one slice without
    the rest. index.json keeps ids, patients, units, what is infected, the fold statistics that recipes want
    (`transforms.fold_statistics`) for both protocols, and the set's fingerprint. The folder appears only when whole.
    """
    if name not in LAYOUTS:
        raise unknown_name("real data set", name, LAYOUTS)
    root, volumes = find_volumes(name, mirror)
    folder = prepared_folder(name)
    scratch = folder.with_name(f"{name}.preparing")
    with _alone(folder):
        shutil.rmtree(scratch, ignore_errors=True)  # of one that was killed
        try:
            lines = [save_prepared(scratch, v, open_volume(v)) for v in progress(volumes, f"Preparing {name}")]
            write_text(scratch / "index.json", json.dumps({"root": str(root), "volumes": lines}))
            shutil.rmtree(folder, ignore_errors=True)
            scratch.rename(folder)
        except OSError as error:
            reason = f"{scratch} cannot be written ({error.strerror})"
            raise UserError(f"{reason}: make room or set COVIDSEG_DATA.") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    index = {"name": name, "root": str(root), "volumes": lines}
    if name in (*FOLD_SETS, "semiseg"):
        cases = load_dataset(name, mirror=mirror)
        index["fingerprint"] = cases.fingerprint()
        index["folds"] = fold_table(cases, "ct100" if name == "semiseg" else name)
    write_text(folder / "index.json", json.dumps(index) + "\n")
    stored = sum(p.stat().st_size for p in folder.iterdir())
    echo(f"{name}: {len(lines)} of {WHOLE[name]} volumes, {stored / 1e6:,.1f} MB in {folder}")
    return folder


def _alone(folder: Path) -> AbstractContextManager[None]:
    """Hold the place of a prepared set; UserError where another process is preparing it."""
    make_folder(folder.parent)
    busy = f"Another process is preparing {folder}: wait for it, or end it."
    return alone(folder.with_name(f".{folder.name}.lock"), busy)


def fold_table(cases: CaseDataset, folds_of: str) -> dict:
    """protocol -> fold -> mean and std (grey 0..1), infected share of pixels, and size of its training part.

    Every slice is looked at once; the folds are averages over it, as `fold_statistics` takes them (mean of the images'
    means, mean of the images' stds; the infected share is pooled over pixels).
    """
    rows = {}
    for case in progress(cases, "Statistics", len(cases)):
        grey = to_grey(case.image, case.intensity, LUNG)
        rows[case.id] = (grey.mean(dtype=np.float64), grey.std(dtype=np.float64), case.infection.sum(), grey.size)
    table = {}
    for protocol in splits.PROTOCOLS:
        table[protocol] = {}
        for fold in splits.FOLDS:
            ids = splits.choose(cases.ids, folds_of, "train", fold, protocol)
            if ids:
                mean, std, infected, pixels = np.array([rows[i] for i in ids], dtype=np.float64).T
                line = {"mean": mean.mean(), "std": std.mean(), "infected": infected.sum() / pixels.sum()}
                table[protocol][fold] = {**{k: float(v) for k, v in line.items()}, "n": len(ids)}
    return table


def check(name: str, mirror=None) -> list[dict]:
    """One line per volume of a set: its files read, paired, of one shape, their checksums where known.

    Returns rows of volume, patient, shape, type, units, infected slices and ``problem`` ("" when all is well).
    Raises UserError where the set is not here at all.
    """
    if name not in LAYOUTS:
        raise unknown_name("real data set", name, LAYOUTS)
    _, volumes = find_volumes(name, mirror)
    return [_check_volume(volume) for volume in progress(volumes, f"Checking {name}")]


def missing_ids(name: str, mirror=None) -> list[str]:
    """Slices the papers' folds name that this copy of the set does not have, or does not show as infected."""
    if name not in FOLD_SETS:
        return []
    here = set(load_dataset(name, mirror=mirror).ids)
    return [i for ids in splits.paper_folds(name).values() for i in ids if i not in here]


def prepared_differs(name: str) -> str:
    """'' if the prepared arrays are those that were written, else what is wrong; 'not prepared' where they are not."""
    try:
        index = read_index(prepared_folder(name))
        if index is None:
            return "not prepared"
        if "fingerprint" not in index:
            return ""
        shelf, _, _ = open_shelf(name)
        found = load_dataset(name).fingerprint() if shelf else ""
    except UserError as error:
        return str(error)
    same = found == index["fingerprint"]
    return "" if same else f"fingerprint {found[:12]}, prepared as {index['fingerprint'][:12]}: prepare it again"


def _check_volume(volume) -> dict:
    row = {"volume": volume.name, "patient": volume.patient, "shape": "", "type": "", "units": "", "infected": ""}
    try:
        data = open_volume(volume)
    except UserError as error:
        return {**row, "problem": str(error)}
    shape = " x ".join(str(n) for n in data.voxels.shape)
    row.update(shape=shape, type=str(data.voxels.dtype), units=data.intensity, infected=len(data.infected))
    return {**row, "problem": "" if data.infected else "no infected slice"}
