"""A grid of runs, in YAML or JSON: a block, or a list of blocks.

notebook: 40_train_one          # the default
parameters: {budget: lesson}    # of every run
grid:                           # every combination
  fold: [1, 2]
  seed: [0, 1, 2]
runs:                           # and these
  - {fold: 0, seed: 7}
says: a remark
"""

import json
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from covidseg.errors import UserError, unknown_name

MOST = 100_000  # runs of a block: a slip of the pen must not fill the memory

__all__ = ["BLOCK_KEYS", "combinations", "read_grid"]

KINDS = {"parameters": dict, "grid": dict, "runs": list}
BLOCK_KEYS = ("notebook", *KINDS, "says")


def read_grid(path: Path) -> list:
    """The blocks of a grid file, not yet looked at.

    Raises UserError, naming the file, for one that cannot be read or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no grid file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from None
    blocks = _parsed(path, text)
    if not blocks:
        raise UserError(f"{path} is empty: a grid is a mapping with {', '.join(BLOCK_KEYS)}, or a list of them.")
    return blocks if isinstance(blocks, list) else [blocks]


def _parsed(path: Path, text: str) -> Any:
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not JSON: {error}.") from None
    try:
        import yaml
    except ImportError:
        raise UserError(f"{path}: YAML needs the package pyyaml, which is not here; write the grid as JSON.") from None
    try:
        return yaml.safe_load(text)
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
    ) as error:  # ValueError: a number of 5,000 digits, a date of none
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None


def combinations(block: dict) -> list[dict]:
    """Every combination of ``grid``, then the single ``runs``, each over the common ``parameters``.

    Raises UserError for a field of the wrong kind, UnknownName for one that a grid does not have.

    >>> combinations({"parameters": {"fold": 1}, "grid": {"seed": [0, 1]}, "runs": [{"size": 96}]})
    [{'fold': 1, 'seed': 0}, {'fold': 1, 'seed': 1}, {'fold': 1, 'size': 96}]
    """
    common, grid, single = _fields(block)
    if (many := prod(map(len, grid.values()))) > MOST:
        raise UserError(f"this grid has {many:,} combinations; a batch takes {MOST:,} at most.")
    products = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return [common | chosen for chosen in (products if grid or not single else []) + single]


def _fields(block: Any) -> tuple[dict, dict, list]:
    """parameters, grid and runs of a block; raises as `combinations`."""
    if not isinstance(block, dict):
        raise UserError(f"a grid is a mapping with {', '.join(BLOCK_KEYS)}, not {block!r}.")
    for name in block:
        if name not in BLOCK_KEYS:
            raise unknown_name("field of a grid", name, BLOCK_KEYS)
    common, grid, single = (block.get(name) or kind() for name, kind in KINDS.items())
    for (name, kind), value in zip(KINDS.items(), (common, grid, single), strict=True):
        if not isinstance(value, kind):
            raise UserError(f"field {name} should be a {'list' if kind is list else 'mapping'}, not {value!r}.")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"field grid.{name} should be a list of values, not {values!r}.")
    for run in single:
        if not isinstance(run, dict):
            raise UserError(f"every entry of runs should be a mapping, not {run!r}.")
    return common, grid, single
