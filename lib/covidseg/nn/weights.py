"""Trained weights as one small file: which network, built how, fed how, from where, under which licence."""

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import nn

from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.files import write_atomically
from covidseg.nn.registry import create_model
from covidseg.text import one_line

__all__ = ["LoadedWeights", "check_kinds", "load_weights", "read_tensors", "refuse_not_finite", "save_weights"]

FORMAT = "covidseg-weights-1"
KINDS = {"model": str, "options": Mapping, "preprocessing": Mapping, "about": Mapping, "state": Mapping}
LARGEST_OPTION = 4096  # channels, layers, sides: no network here comes near
LONGEST_TEXT = 200  # letters of a label: it stands in lines and under pictures
LARGEST_INPUT = 4096  # pixels a side; a damaged number must not ask for all memory


@dataclass(frozen=True)
class LoadedWeights:
    """A network ready for use (eval mode), with what its input must look like and where it comes from."""

    model: nn.Module
    preprocessing: Preprocessing
    label: str  # one phrase for people: "the authors' weights, CT100 fold 1"
    licence: str
    about: dict = field(default_factory=dict)


def save_weights(
    path: str | Path,
    name: str,
    model: nn.Module,
    preprocessing: Preprocessing,
    *,
    options: Mapping[str, Any] | None = None,
    half: bool = False,
    **about: Any,
) -> Path:
    """Write weights; a full disk leaves the old file whole.

    name, options : what ``create_model`` needs to build the network again. about : label, licence and any plain facts.
    half : 2 bytes a number instead of 4; the network that reads them computes in its own precision
    """
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    record = {
        "format": FORMAT,
        "model": name,
        "options": dict(options or {}),
        "preprocessing": preprocessing.to_dict(),
        "about": about,
        "state": state,
    }
    return write_atomically(path, lambda file: torch.save(record, file))


def load_weights(path: str | Path) -> LoadedWeights:
    """Read a file of ``save_weights`` or a training checkpoint; raises UserError if it is anything else.

    path : a file, or the folder of a run, which stands for its last.pt
    """
    path = Path(path) / "last.pt" if Path(path).is_dir() else Path(path)
    record = read_tensors(path)
    if not isinstance(record, dict) or not {"model", "state", "preprocessing"} <= record.keys():
        raise UserError(f"{path} holds no covidseg weights. `covidseg train` writes files that do.")
    check_kinds(path, record)
    options = record.get("options", {})
    if (size := _largest(options)) > LARGEST_OPTION:
        raise UserError(f"{path} is damaged: it asks for a network of {size:g} channels or layers. Take another file.")
    try:
        _refuse_misfit(path, record, options)
        model = create_model(record["model"], **options)
        preprocessing = Preprocessing.from_dict(record["preprocessing"])
    except UserError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} records settings that no network here has ({reason}): take another file.") from error
    if not 1 <= preprocessing.size <= LARGEST_INPUT:
        raise UserError(
            f"{path} wants inputs of {preprocessing.size} pixels a side; possible are 1 to {LARGEST_INPUT}."
        )
    refuse_not_finite(path, record["state"])
    model.load_state_dict(record["state"])
    about = dict(record.get("about", {}))
    label = one_line(str(about.pop("label", f"{record['model']} from {path.name}")))[:LONGEST_TEXT]
    licence = one_line(str(about.pop("licence", "not stated")))[:LONGEST_TEXT]
    model.preprocessing = preprocessing  # type: ignore[assignment]  # torch's types know tensors and modules alone
    return LoadedWeights(model.eval(), preprocessing, label, licence, about)


def check_kinds(path: str | Path, record: Mapping, kinds: Mapping[str, Any] = KINDS, *, whole: bool = False) -> None:
    """UserError where a part of a record is of another type than was written.

    whole : a part that is not there is one, too
    """
    for name, kind in kinds.items():
        if name not in record and whole:
            raise UserError(f"{path} is damaged: its {name!r} is missing. Take another file.")
        if name in record and not isinstance(record[name], kind):
            raise UserError(f"{path} is damaged: its {name!r} is {type(record[name]).__name__}. Take another file.")


def _largest(options: Any) -> float:
    """The largest number in nested options."""
    inner = options.values() if isinstance(options, Mapping) else options if isinstance(options, list | tuple) else ()
    own = abs(options) if isinstance(options, int | float) else 0
    return max([own, *map(_largest, inner)])


def _refuse_misfit(path: Path, record: dict, options: Mapping) -> None:
    """UserError unless the state has the network's shapes; seen without memory, for options may ask for all of it."""
    try:
        with torch.device("meta"):
            model = create_model(record["model"], **options)
    except NotImplementedError:  # first weights that need numbers
        return
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if wanted != {name: tuple(getattr(value, "shape", ("?",))) for name, value in record["state"].items()}:
        raise UserError(f"{path}: the weights do not fit {record['model']!r} built with {options}.")


def refuse_not_finite(path: str | Path, state: Mapping[str, Any]) -> None:
    """UserError if a number in a state dict is NaN or infinite: such a network answers "nothing" to everything.

    Numbers that are complex, or not all there (a sparse tensor, one without memory), are refused, too.
    """
    for name, value in state.items():
        odd = isinstance(value, torch.Tensor) and (value.layout != torch.strided or value.is_complex() or value.is_meta)
        if odd:
            raise UserError(f"{path}: {name} is no plain list of real numbers. Take other weights.")
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(f"{path}: {name} holds values that are not numbers (NaN or infinite). Take other weights.")


def read_tensors(path: str | Path) -> Any:
    """What a .pt or .pth file holds, if that is tensors and plain values; nothing in the file is ever executed.

    Raises UserError for a missing or cut file and for a pickle that wants to run code.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of odd pickles before it refuses them: one line is enough
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise UserError(
                f"{path} was refused: it holds more than tensors, and opening it could run code. "
                "Use a file that `covidseg train` or a paper's authors wrote."
            ) from error
        raise UserError(f"{path} is no checkpoint, or it is cut short.") from error
    except Exception as error:  # whatever torch makes of a file that is none of its own: a text, a picture, half a zip
        kind = "a damaged checkpoint" if is_zipfile(path) else "no checkpoint, or it is cut short"
        raise UserError(f"{path} is {kind}.") from error
