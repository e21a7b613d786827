"""Speeds as records: one file a machine in ``results/speed``, a line a network, with what they were measured on.

A file grows network by network, so an hour's work survives whatever ends it, and the same call goes on.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from covidseg.checkout import checkout
from covidseg.errors import UserError
from covidseg.files import make_folder, write_json
from covidseg.nn.layers import input_channels
from covidseg.provenance import provenance
from covidseg.speed import peak_activations
from covidseg.tables.benchmark import Measured, measure, usual_batch
from covidseg.tables.field import build
from covidseg.text import plain

__all__ = ["SCHEMA", "fitting", "read_speeds", "save_speeds"]

SCHEMA = "covidseg-speed-1"
SCRATCH = 2.5  # bytes needed for each byte of maps: the library's own buffers, and what the machine keeps free


def save_speeds(
    path: Path, names: Sequence[str], config: str, *, side: int = 512, device: str | torch.device = "cpu",
    batch: int | None = None, seconds: float = 1.0, report: Callable[[Measured], None] = lambda row: None,
) -> list[Measured]:  # fmt: skip
    """Measure the networks that the file lacks, write it after each; all rows of the file.

    Where a batch would not fit into memory the largest that does is taken, and the row says so.
    Raises UserError for a file of another kind, machine, build, side or batch.
    """
    where = torch.device(device)
    head = {"schema": SCHEMA, "config": config, "side": side, "batch": batch or usual_batch(where)}
    found = _open(path, head | {"machine": _machine(where)})
    rows = [Measured(**row | {"ratios": tuple(row["ratios"])}) for row in found["rows"]]
    make_folder(path.parent)
    for name in [name for name in names if name not in {row.name for row in rows}]:
        fits = fitting(name, config, side, head["batch"]) if where.type == "cpu" else head["batch"]
        (row,) = measure([name], config, side=side, device=where, batch=fits, seconds=seconds)
        rows.append(replace(row, batch=fits))
        write_json(path, found | {"rows": [plain(asdict(row)) for row in rows]})
        report(rows[-1])
    return rows


def fitting(name: str, config: str, side: int, batch: int, free: int | None = None) -> int:
    """The largest batch up to ``batch`` whose maps fit into the free memory of this machine, in bytes; 1 at least."""
    try:
        network = build(name, config)[0]
        one = SCRATCH * peak_activations(network, (input_channels(network), side, side))
    except Exception:
        return batch  # whoever measures it says why
    return max(1, min(batch, int((_free() if free is None else free) / one)))


def _free() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # not known here
        return 8 << 30


def _machine(device: torch.device) -> dict:
    facts = provenance(device)
    return {name: facts[name] for name in ("device", "device_name", "threads") if name in facts}


def _open(path: Path, head: dict) -> dict:
    """What the file holds so far; a new one where there is none."""
    if not path.exists():
        return head | {"rows": []}
    found = _read(path)
    for name, value in head.items():
        if found.get(name) != value:
            raise UserError(f"{path}: {name} is {found.get(name)!r} there, {value!r} here; choose another file.")
    return found


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no speeds, or damaged ({error}).") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise UserError(f"{path}: no speeds of this kit: field schema is not {SCHEMA!r}.")
    return found


def read_speeds(folder: Path | None = None) -> list[dict]:
    """The files of ``results/speed``: each a mapping with config, side, batch, machine and rows; none is no error."""
    home = folder or checkout() / "results" / "speed"
    return [_read(path) | {"file": path.name} for path in sorted(home.glob("*.json"))]
