"""Checkpoints: whole or not there, loaded without running code, and enough to go on bit for bit.

One file serves two readers: `covidseg.nn.weights.load_weights` takes model, options, preprocessing and state
from it; a resumed training takes ``training`` as well. Everything in it is tensors and plain values.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from covidseg.errors import UserError
from covidseg.files import write_atomically
from covidseg.nn.weights import KINDS, check_kinds, read_tensors, refuse_not_finite
from covidseg.repeatable import seed_generators

__all__ = [
    "fits_model",
    "keep_randomness",
    "load_checkpoint",
    "random_state",
    "save_checkpoint",
    "set_random_state",
    "training_of",
]

FORMAT = "covidseg-checkpoint-1"
FOREVER = 1e10  # seconds, 300 years
TRAINING = {
    "identity": dict, "optimizer": dict, "iteration": int, "rows": list, "loss_sum": Tensor, "seconds": float | int,
    "random": dict,
}  # fmt: skip
MAYBE = {"provenance": dict | None, "scaler": dict | None, "best": dict | None}  # older files lack some
NumpyState = tuple[str, np.ndarray, int, int, float]  # its name, 624 words, position in them, spare normal number


def save_checkpoint(
    path: str | Path,
    *,
    model: str,
    options: dict,
    preprocessing: dict,
    state: Mapping[str, Tensor],
    about: dict | None = None,
    training: dict | None = None,
) -> Path:
    """Write a checkpoint atomically; returns its path.

    model, options : what `create_model` needs to build the network again; state : its state dict
    training : all that a resumed run needs, or None for weights alone
    """
    record: dict[str, Any] = dict(
        format=FORMAT, model=model, options=options, preprocessing=preprocessing, about=about or {}
    )
    record |= {"state": {name: value.detach().cpu() for name, value in state.items()}, "training": training}
    return write_atomically(path, lambda file: torch.save(record, file))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote. Raises UserError for a missing, cut or foreign file, or one that runs code."""
    record = read_tensors(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UserError(f"{path} is no checkpoint of a covidseg training. `covidseg train -o DIR` writes DIR/last.pt.")
    check_kinds(path, record, KINDS, whole=True)
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in record["state"].items()):
        raise UserError(f"{path} is damaged: its 'state' holds more than tensors by name. Take another file.")
    refuse_not_finite(path, record["state"])
    return record


def training_of(path: str | Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """What a resumed run needs of a checkpoint. UserError for weights alone, and for parts of another kind."""
    training = record.get("training")
    if not isinstance(training, dict):
        raise UserError(f"{path} holds weights alone, so no training can go on from it: begin in another folder.")
    check_kinds(path, training, TRAINING, whole=True)
    check_kinds(path, training, MAYBE)
    rows = training["rows"]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or row.get("epoch") != number:
            raise UserError(f"{path} is damaged: row {number} of its epochs is {str(row)[:40]}. Take another file.")
        for name, value in row.items():
            if not isinstance(name, str) or not isinstance(value, int | float):
                raise UserError(f"{path} is damaged: {name!r} of epoch {number} is no number. Take another file.")
    if training["iteration"] < len(rows) or not 0 <= training["seconds"] < FOREVER:
        raise UserError(f"{path} is damaged: it counts {training['iteration']} steps in {training['seconds']} seconds.")
    return training


def fits_model(path: str | Path, state: Mapping[str, Tensor], model: nn.Module) -> None:
    """Raise UserError, naming the first difference, unless ``state`` has the names and shapes of ``model``."""
    current = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    stored = {name: tuple(value.shape) for name, value in state.items()}
    differ = [name for name in dict.fromkeys([*current, *stored]) if current.get(name) != stored.get(name)]
    if differ:
        name = differ[0]
        raise UserError(
            f"{path} belongs to another network: {name} is {stored.get(name, 'not in it')} there and "
            f"{current.get(name, 'not in it')} here ({len(differ)} tensors differ)."
        )


# ------------------------------------------------------------------------------------------------- randomness


def random_state(device: torch.device) -> dict[str, Any]:
    """State of every global generator: Python, NumPy, torch, and the GPU's where there is one."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = cast(NumpyState, np.random.get_state())
    state = {
        "python": [version, list(words), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def keep_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed every global generator; afterwards they stand where the caller left them."""
    before = random_state(device)
    seed_generators(seed)
    try:
        yield
    finally:
        set_random_state(before, device)
