"""The runs of a JSON grid for `covidseg.runs.bare`, each checked before any of them starts."""

import json
from pathlib import Path

from covidseg.errors import UserError, unknown_name
from covidseg.runs.grids import check_block, combinations
from covidseg.runs.source import source_key
from covidseg.runs.trial import Trial, trial

__all__ = ["DEVICES", "name_of", "read_runs", "trial_of"]

BLOCK_KEYS = ("parameters", "grid", "runs", "says")
DEFAULTS = {
    "model": "miniseg", "variant": "", "dataset": "phantom", "fold": 1, "seed": 0, "budget": "lesson",
    "recipe": "", "epochs": None, "size": None, "device": "auto",
}  # fmt: skip
BOUNDS = {"fold": (0, 5), "seed": (0, 1_000_000)}  # as in 40_train_one; `trial` knows those of epochs and size
DEVICES = ("cpu", "cuda", "mps", "auto")


def read_runs(path: Path) -> list[dict]:
    """The runs of a JSON grid, each once: a list of blocks as `covidseg batch` takes them.

        [{"says": "a remark", "parameters": {"budget": "paper"}, "grid": {"seed": [0, 1]}, "runs": [{"variant": "SB"}]}]

    Every run is checked before the first one starts. Raises UserError with the file and what is wrong in it.
    """
    try:
        blocks = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON list of grids: {error}.") from None
    if not isinstance(blocks, list) or not blocks:
        raise UserError(f"{path} is no JSON list of grids, each a mapping with {', '.join(BLOCK_KEYS)}.")
    try:
        runs = [checked(DEFAULTS | run) for block in blocks for run in combinations(check_block(block, BLOCK_KEYS))]
    except UserError as error:
        raise type(error)(f"{path}: {error}") from None
    return list({name_of(run): run for run in runs}.values())


def checked(run: dict) -> dict:
    """The run itself. Raises UserError for a name or a value that ``40_train_one`` does not take."""
    for name, value in run.items():
        if name not in DEFAULTS:
            raise unknown_name("parameter of a run", name, DEFAULTS)
        kind = str if isinstance(DEFAULTS[name], str) else int
        may_be_left_out = DEFAULTS[name] is None and value is None
        if type(value) is not kind and not may_be_left_out:  # not isinstance: to Python, true is a whole number
            raise UserError(f"{name}={value!r} should be {'a text' if kind is str else 'a whole number'}.")
    for name, (low, high) in BOUNDS.items():
        if not low <= run[name] <= high:
            raise UserError(f"{name}={run[name]} is outside {low}..{high}.")
    if run["device"] not in DEVICES:  # whether this machine has it is asked when the run starts
        raise unknown_name("device", run["device"], DEVICES)
    trial_of(run)
    return run


def trial_of(run: dict) -> Trial:
    return trial(**{name: value for name, value in run.items() if name != "device"})


def name_of(run: dict) -> str:
    """Folder of the run: what it is, in words, and the version of the code, for other code gives other numbers."""
    told = {n: v for n, v in run.items() if v not in ("", None) and n != "device"}
    words = [f"{n}{v}" if isinstance(v, int) else str(v) for n, v in told.items()]
    words = ["".join(c if c.isalnum() or c in "+=." else "_" for c in word) for word in words]
    return "-".join([*words, source_key()[:8]])
