"""Which runs a batch consists of: from a grid file or a list, every value checked before anything starts."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from covidseg.errors import UserError
from covidseg.lesson import choose_budget
from covidseg.lessons import read, resolve, schema
from covidseg.papers import NAMES
from covidseg.runs import keys
from covidseg.runs.grids import combinations, read_grid

TRAIN_ONE = "40_train_one"
NAMED = ("seed", "model", "dataset", "fold")  # stand in a run's name also where they are the default
SPELT = {"recipe": "", "epochs": None, "size": None}  # what may be spelt out though it is the budget's standard
PLAIN = f"""\
budget = "lesson"  # smoke | lesson | paper
seed = 0  # int, 0..1000000
device = "auto"  # cpu | cuda | mps | auto
model = "{NAMES[0]}"  # str
variant = ""  # str
dataset = "phantom"  # str
fold = 1  # int, 0..5
recipe = ""  # str
epochs = None  # int | None
size = None  # int | None
backbone_weights = ""  # str"""  # the parameters of 40_train_one: a bare machine may lack its notebooks


@dataclass(frozen=True)
class Run:
    """One notebook, or the training without one, with one set of parameters."""

    notebook: str  # its path; "" for `covidseg.runs.plain`
    parameters: dict = field(hash=False)  # all of them, defaults included
    key: str  # hash of all that can change the outcome
    name: str  # unique in a batch; the name of its folder

    def to_dict(self) -> dict:
        return asdict(self)


def plan_file(path: Path, shared: dict, notebook: str | None = None, plain: bool = False) -> list[Run]:
    """The runs of a grid file, see `grids`, each once.

    shared : parameters from the command line; they win. Raises UserError with file and field.
    """
    runs = []
    for block in read_grid(path):
        try:
            wanted = combinations(block)
            runs += plan(notebook or str(block.get("notebook", TRAIN_ONE)), wanted, shared, plain)
        except UserError as error:
            raise type(error)(f"{path}: {error}") from None
    return _unique(runs)


def plan(notebook: str, combinations: list[dict], shared: dict | None = None, plain: bool = False) -> list[Run]:
    """The runs of one notebook; with ``plain`` of the function that does 40_train_one's work without Jupyter.

    Raises UserError for a name or value that its parameters cell does not allow.
    """
    path, title, known, node = _plain(notebook) if plain else _notebook(notebook)
    defaults = {name: parameter.default for name, parameter in known.items()}
    runs = []
    for combination in combinations:
        parameters = defaults | schema.check(known, combination | (shared or {}), title)
        if "budget" in parameters:
            parameters["budget"] = choose_budget(parameters["budget"])
        source = None
        if title == TRAIN_ONE:
            from covidseg.runs.plain import trial_of  # torch, which a batch of other notebooks does without

            run = trial_of(parameters)  # checks the names that the parameters cell cannot list
            parameters |= {name: run.changed.get(name, default) for name, default in SPELT.items()}
            source = run.source_key()
        key = keys.run_key(Path(path).name, parameters, keys.code_key(node, source))
        shown = {n: v for n, v in parameters.items() if n in NAMED or v != defaults[n]}
        runs.append(Run(path, parameters, key, run_name("train" if plain else title, shown, key)))
    return _unique(runs)


def run_name(stem: str, parameters: dict, key: str) -> str:
    """A folder name that a person can read and no two runs share: ``40-seed0-SB-phantom-fold1-3fa9c1d2``."""
    words = [
        value if isinstance(value, str) else f"{name}{value}"
        for name, value in parameters.items()
        if value not in ("", None)
    ]
    text = "-".join([stem.split("_")[0], *words])[:80]
    return "".join(c if c.isalnum() or c in "-+=." else "_" for c in text) + f"-{key[:8]}"


def _notebook(name: str) -> tuple:
    (source,) = resolve([name])
    node = read(source)
    return str(source), source.stem, schema.parameters(node), node


def _plain(name: str) -> tuple:
    if Path(name).stem != TRAIN_ONE:
        raise UserError(f"{name} cannot be run plainly: only {TRAIN_ONE} can do without its notebook.")
    return "", TRAIN_ONE, schema.read_cell(PLAIN), None


def _unique(runs: list[Run]) -> list[Run]:
    return list({run.key: run for run in runs}.values())
