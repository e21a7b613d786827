"""Which runs a batch consists of: from a grid file or a paper's table, every value checked before anything starts."""

from dataclasses import dataclass, field
from pathlib import Path

from covidseg.errors import UserError
from covidseg.lesson import choose_budget
from covidseg.lessons import read, resolve, schema
from covidseg.runs import keys
from covidseg.runs.grids import check_block, combinations

TRAIN_ONE = "40_train_one"
BLOCK_KEYS = ("notebook", "parameters", "grid", "runs")


@dataclass(frozen=True)
class Run:
    """One notebook with one set of parameters. ``name`` is unique in a batch and is the name of its folder."""

    notebook: Path
    parameters: dict = field(hash=False)  # all of the notebook's, defaults included
    key: str  # hash of all that can change the outcome
    name: str

    def to_dict(self) -> dict:
        return {"notebook": str(self.notebook), "parameters": self.parameters, "key": self.key, "name": self.name}


def plan_file(path: Path, shared: dict, notebook: str | None = None) -> list[Run]:
    """The runs of a grid file: one block, or a list of blocks.

        notebook: 40_train_one          # the default
        parameters: {budget: lesson}    # of every run
        grid:                           # every combination
          variant: [MiniSeg, SB]
          seed: [0, 1, 2]
        runs:                           # and these
          - {variant: MB, seed: 0}

    shared : parameters from the command line; they win. Raises UserError with file and field.
    """
    import yaml

    try:
        blocks = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no grid file {path}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    blocks = blocks if isinstance(blocks, list) else [blocks]
    if not blocks:
        raise UserError(f"{path} is an empty list: a grid is a mapping with {', '.join(BLOCK_KEYS)}, or several.")
    runs = []
    for block in blocks:
        try:
            check_block(block, BLOCK_KEYS)
            runs += plan(notebook or str(block.get("notebook", TRAIN_ONE)), combinations(block), shared)
        except UserError as error:
            raise type(error)(f"{path}: {error}") from None
    return _unique(runs)


def plan(notebook: str, combinations: list[dict], shared: dict | None = None) -> list[Run]:
    """The runs of one notebook. Raises UserError for a name or value that its parameters cell does not allow."""
    (source,) = resolve([notebook])
    node = read(source)
    known = schema.parameters(node)
    defaults = {name: parameter.default for name, parameter in known.items()}
    stem, code = source.stem, keys.code_key(node)
    runs = []
    for combination in combinations:
        parameters = defaults | schema.accept(node, combination | (shared or {}), source.stem)
        if "budget" in parameters:
            parameters["budget"] = choose_budget(parameters["budget"])
        if stem == TRAIN_ONE:
            _check_training(parameters)
        key = keys.run_key(source.name, parameters, code)
        changed = {n: v for n, v in parameters.items() if n in combination or v != defaults[n]}
        runs.append(Run(source, parameters, key, run_name(stem, changed, key)))
    return _unique(runs)


def run_name(stem: str, parameters: dict, key: str) -> str:
    """A folder name that a person can read and no two runs share: ``40-SB-phantom-fold1-seed0-3fa9c1d2``."""
    words = [
        value if isinstance(value, str) else f"{name}{value}"
        for name, value in parameters.items()
        if value not in ("", None)
    ]
    text = "-".join([stem.split("_")[0], *words])[:80]
    return "".join(c if c.isalnum() or c in "-+=." else "_" for c in text) + f"-{key[:8]}"


def _check_training(parameters: dict) -> None:
    """Names that the parameters cell cannot list, because they depend on each other."""
    from covidseg.runs.trial import trial

    trial(**{name: value for name, value in parameters.items() if name != "device"})


def _unique(runs: list[Run]) -> list[Run]:
    return list({run.key: run for run in runs}.values())
