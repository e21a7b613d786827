"""A paper is a folder and one word in one line of the engine: a test writes one, and everything else finds it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"(?m)^NAMES = \((.*)\)$")

FILES = {
    "lib/covidseg/papers/toy/__init__.py": '"""A paper that a test wrote."""\n',
    "lib/covidseg/papers/toy/network.py": '''
"""One hidden layer."""

from torch import nn

from covidseg.nn.registry import register


class Toy(nn.Module):
    def __init__(self, num_classes, in_channels, width):
        super().__init__()
        self.hidden, self.head = nn.Conv2d(in_channels, width, 3, padding=1), nn.Conv2d(width, num_classes, 1)

    def forward(self, x):
        return self.head(self.hidden(x).relu())

    def named_maps(self):
        return {"A_1": (self.hidden, None)}


@register("toynet", paper="Nobody, Journal of Toys 2026", params=122)
def toynet(num_classes=2, in_channels=3, *, width=4):
    return Toy(num_classes, in_channels, width)
''',
    "lib/covidseg/papers/toy/paper.py": '''
"""The toy paper, declared."""

from covidseg.data.transforms import Scale
from covidseg.paper import Budget, MapKind, Paper, Row
from covidseg.papers.toy import network  # noqa: F401  (enters itself)
from covidseg.training.feeds import Slices
from covidseg.training.objective import CrossEntropy
from covidseg.training.recipes import Recipe
from covidseg.training.schedules import Poly
from covidseg.training.task import Task

RECIPE = Recipe(
    name="toy_short", lr=1e-2, epochs=2, batch=4, scales=(Scale(64, 0),), val_size=64, schedule=Poly(0.9),
    feed=Slices(), objective=CrossEntropy(aux_weights=(1.0,)),
)


class Playing(Task):
    """Infection, on toys."""

    budgets = {name: Budget("toy_short", 8, 4, 64) for name in ("smoke", "lesson", "paper")}


def draw(model, ax):
    ax.text(0.5, 0.5, f"{model.hidden.out_channels} channels")
    return ax


PAPER = Paper(
    name="toy",
    cite="Nobody, Journal of Toys 2026",
    networks=("toynet",),
    rows=(Row(network="toynet", task="play"), Row(network="toynet", variant="wide", options={"width": 8}, task="play")),
    tasks={"play": Playing},
    recipes=(RECIPE,),
    maps=(MapKind("A_*", "channel", "What the toy sees."),),
    diagram="covidseg.papers.toy.paper:draw",
)
''',
    "lib/covidseg/papers/toy/tables.yaml": '''
paper: Toys (Nobody 2026)
model: toynet
data: phantom
folds: [1]
seeds: [0]
phantom_folds: [1]
phantom_seeds: [0]
protocol: clean
selection: last
metrics:
  dice: {score: dice, label: "Dice %", factor: 100}
tables:
  table1:
    title: "Table 1: toys, narrow and wide"
    csv: toy_table1.csv
    rows:
      - {paper: {row: 1}, variant: "", says: "the toy"}
      - {paper: {row: 2}, variant: wide, says: "eight channels"}
''',
    "data/papers/toy_table1.csv": "row,dice\n1,12.34\n2,56.78\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> Path:
    """A copy of the checkout with one more paper, and one changed line."""
    root = tmp_path_factory.mktemp("kit")
    for name in ("lib", "data", "tests"):
        copytree(ROOT / name, root / name, ignore=ignore_patterns("__pycache__", "*.pt", "raw", "prepared", "golden"))
    copy(ROOT / "pyproject.toml", root), (root / "notebooks").mkdir()
    copy(ROOT / "notebooks" / "40_train_one.ipynb", root / "notebooks")
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text.lstrip(), encoding="utf-8")
    finder = root / "lib/covidseg/papers/__init__.py"
    before = finder.read_text(encoding="utf-8")
    finder.write_text(LINE.sub(r'NAMES = (\1, "toy")', before), encoding="utf-8")
    changed = [
        pair for pair in zip(before.splitlines(), finder.read_text().splitlines(), strict=True) if len(set(pair)) > 1
    ]
    assert len(changed) == 1
    return root


def python(kit: Path, *words: str) -> str:
    """What a fresh Python says that sees the copy."""
    environment = os.environ | {"PYTHONPATH": str(kit / "lib"), "COVIDSEG_DATA": str(kit / "data")}
    done = subprocess.run(
        [sys.executable, *words], cwd=kit, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def commands(kit: Path, *lines: str) -> str:
    """Several command lines in one process."""
    run = "from covidseg.cli import main; import sys; sys.exit(any(main(line.split()) for line in sys.argv[1:]))"
    return python(kit, "-c", run, *lines)


def test_the_commands_find_a_new_paper(kit):
    said = commands(kit, "models toy*", "report", "report toy/table1", "batch toy/table1 --dry-run")
    assert "toynet" in said and "122" in said and "Nobody, Journal of Toys 2026" in said
    assert re.search(r"^toy/table1 +Table 1: toys, narrow and wide$", said, re.M)
    assert "12.34" in said and "56.78" in said
    runs = [line for line in said.splitlines() if "estimated from MACs" in line]
    assert "2 of 2 runs to do" in said and len(runs) >= 2


def contract(kit: Path, chosen: str) -> int:
    """How many tests of the contract passed; fails if one did not."""
    said = python(kit, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/papers/test_contract.py", "-k", chosen)
    return int(re.search(r"(\d+) passed", said)[1])


def test_a_new_paper_passes_the_contract(kit):
    assert contract(kit, "toy or given_once") >= 25
