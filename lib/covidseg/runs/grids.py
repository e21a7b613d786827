"""A block of a grid of runs, in YAML for `covidseg batch` or in JSON for `covidseg.runs.bare`."""

from collections.abc import Collection
from itertools import product

from covidseg.errors import UserError, unknown_name

__all__ = ["check_block", "combinations"]


def check_block(block, fields: Collection[str]) -> dict:
    """The block itself. Raises UserError for what is no mapping, UnknownName for a key that is not in ``fields``."""
    if not isinstance(block, dict):
        raise UserError(f"a grid is a mapping with {', '.join(fields)}, not {block!r}.")
    for name in block:
        if name not in fields:
            raise unknown_name("field of a grid", name, fields)
    return block


def combinations(block: dict) -> list[dict]:
    """Every combination of ``grid``, then the single ``runs``, each over the common ``parameters``.

    Raises UserError for a field of the wrong kind.

    >>> combinations({"parameters": {"fold": 1}, "grid": {"seed": [0, 1]}, "runs": [{"variant": "SB"}]})
    [{'fold': 1, 'seed': 0}, {'fold': 1, 'seed': 1}, {'fold': 1, 'variant': 'SB'}]
    """
    common, grid, single = block.get("parameters") or {}, block.get("grid") or {}, block.get("runs") or []
    for name, value, kind in (("parameters", common, dict), ("grid", grid, dict), ("runs", single, list)):
        if not isinstance(value, kind):
            raise UserError(f"field {name} should be a {'list' if kind is list else 'mapping'}, not {value!r}.")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"field grid.{name} should be a list of values, not {values!r}.")
    for run in single:
        if not isinstance(run, dict):
            raise UserError(f"every entry of runs should be a mapping, not {run!r}.")
    products = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return [common | chosen for chosen in (products if grid or not single else []) + single]
