"""What every paper and every network must keep to; `test_contract.py` asks it of all that are declared.

Nothing here knows a paper: a new one, or a new rival, is tested by being declared.
"""

import ast
import json
import re
from collections import defaultdict
from functools import cache
from importlib import import_module
from math import isfinite
from pathlib import Path

import torch
from torch import nn

import covidseg
from covidseg import papers, zoo
from covidseg.data.datasets import data_set, list_datasets
from covidseg.errors import UserError
from covidseg.metrics import Scores, list_protocols
from covidseg.nn import card, create_model, list_models, registry
from covidseg.nn.layers import input_channels
from covidseg.paper import Paper, Row
from covidseg.tables import list_tables, load_table
from covidseg.training.batches import find_augmentation
from covidseg.training.parts import find_part

PACKAGE = Path(covidseg.__file__).parent
PAPERS = papers.papers()
NETWORKS = list_models()
BUDGETS = ("smoke", "lesson", "paper")

# ------------------------------------------------------------------------------------------- what is declared


def name_of(row: Row) -> str:
    return f"{row.network}/{row.variant}" if row.variant else row.network


def declared_rows() -> list[tuple[str, Paper, Row]]:
    return [(f"{paper.name}: {name_of(row)}", paper, row) for paper in PAPERS for row in paper.rows]


def declared_recipes() -> list[tuple[str, Paper, object]]:
    return [(f"{paper.name}: {one.name}", paper, one) for paper in PAPERS for one in paper.recipes]


def declared_tasks() -> list[tuple[str, Paper, str]]:
    return [(f"{paper.name}: {task}", paper, task) for paper in PAPERS for task in paper.tasks]


@cache
def _counted(network: str, options: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in create_model(network, **json.loads(options)).parameters() if p.requires_grad)


def parameters(network: str, options=None) -> int:
    """Trainable numbers of a build, which takes no memory."""
    return _counted(network, json.dumps(dict(options or {})))


def smallest_row(paper: Paper, task: str) -> Row:
    """The row of a task that trains fastest."""
    rows = [row for row in paper.rows if row.task == task]
    assert rows, f"no row of {paper.name} has the task {task!r}"
    return min(rows, key=lambda row: parameters(row.network, row.options))


# ------------------------------------------------------------------------------------------- rows and recipes


def row_is_sound(paper: Paper, row: Row) -> None:
    assert row.task in paper.tasks
    for place in ((row.network, row.variant), *row.aliases):
        assert papers.find_row(*place) == (paper, row) and papers.find_row(*place)[1] is row
    assert parameters(row.network, row.options) > 0
    assert row.largest_rate is None or row.largest_rate > 0


def network_is_claimed_once(name: str) -> None:
    """By the paper whose own it is, or by the file of the rivals' that bears its name."""
    owners = [paper.name for paper in PAPERS if name in paper.networks]
    assert len(owners) + (name in zoo.names()) == 1
    home = registry._BUILDERS[name].__module__
    assert home.startswith(f"covidseg.papers.{owners[0]}." if owners else f"covidseg.zoo.{name}")


def recipe_is_sound(recipe) -> None:
    written = recipe.to_dict()
    assert type(recipe).from_dict(written) == recipe
    assert type(recipe).from_dict(json.loads(json.dumps(written))) == recipe
    for part in (recipe.schedule, recipe.feed, recipe.objective):
        assert find_part(part.role, part.kind) is type(part)
    if augment := getattr(recipe.feed, "augment", None):
        assert callable(find_augmentation(augment))
    steps = 3
    rates = [recipe.rate(iteration, steps) for iteration in range(recipe.epochs * steps)]
    assert all(isfinite(rate) and rate > 0 for rate in rates)


def budgets_are_sound(paper: Paper, task: str) -> None:
    kind = paper.tasks[task]
    assert set(kind.budgets) == set(BUDGETS)
    for name, budget in kind.budgets.items():
        assert kind.takes(papers.recipe(budget.recipe)), f"the {name} budget names a recipe that {task} refuses"
        assert min(budget.train_cases, budget.val_cases, budget.phantom_size) > 0
    assert set(kind.protocols) & set(list_protocols()), "no protocol of the metrics scores it"


# -------------------------------------------------------------------------------------- tasks, from first to last


def phantoms_for(task: type) -> str:
    """The synthetic set that has what the task needs."""
    return next(n for n in list_datasets() if data_set(n).synthetic and task.needs <= data_set(n).has)


def run_is_sound(done) -> None:
    """done : of the fixture ``smoke_run``."""
    task, scores = done.run.task, done.record["selections"]["last"]["scores"]
    assert done.history.rows and all(isfinite(row["train_loss"]) for row in done.history.rows)
    first, last = done.run.network().state_dict(), done.network.state_dict()
    assert any(not torch.equal(first[name], last[name].cpu()) for name in first), "nothing was learned"
    assert set(task.protocols) <= set(scores) and all(isinstance(s, Scores) for s in done.scores.values())
    for protocol, name in task.headlines.values():
        assert name in scores[protocol]["means"] | scores[protocol]["pooled"]
    for s in scores.values():
        assert len(s["cases"]) == s["counts"]["cases"] == len(done.scored)
    assert json.loads(json.dumps(done.record))["recipe"] == done.run.recipe.to_dict()


def mask_is_sound(done) -> None:
    for case in list(done.scored)[:2]:
        mask = done.run.task.mask(done.network, case)
        assert mask.shape == case.mask.shape and mask.dtype == "uint8" and mask.max() <= 3


def tables_find_their_scores(done, paper: Paper) -> None:
    """Every column of a table is a score of its protocols, for each of its rows that has this run's task."""
    scores = done.record["selections"]["last"]["scores"]
    for table in map(load_table, tables_of(paper)):
        tasks = {papers.find_row(row.model, row.variant)[1].task for row in table.rows if row.model}
        if done.run.row.task in tasks:
            for protocol in table.protocols:
                known = scores[protocol]["means"] | scores[protocol]["pooled"]
                assert {metric.score for metric in table.metrics} <= set(known), (table.name, protocol)


def tables_of(paper: Paper) -> list[str]:
    return [name for name in list_tables() if name.startswith(f"{paper.name}/")]


# ------------------------------------------------------------------------------------------------- networks


def input_of(name: str, model: nn.Module, batch: int = 1, size: tuple[int, ...] | None = None) -> torch.Tensor:
    """Zeros that the network takes, on its own device."""
    size = size or ((64, 64) if card(name).dimensions == 2 else (32, 32, 16))
    return torch.zeros(batch, input_channels(model), *size, device=next(model.parameters()).device)


def awake(model: nn.Module) -> nn.Module:
    """Filters, and single factors, that start at zero are drawn, or what stands before them would learn nothing yet."""
    for p in model.parameters():
        if (p.ndim >= 4 or p.numel() == 1) and not p.detach().any():
            nn.init.normal_(p, std=0.1)
    return model


SIZES = {2: [(1, 1), (15, 15), (65, 47), (100, 100)], 3: [(1, 1, 1), (15, 15, 15), (33, 33, 17)]}
PAD = re.compile(r"pad (\d+(?: x \d+)+) to (\d+(?: x \d+)+)\.")


def size_is_answered_or_refused(name: str, model: nn.Module, size: tuple[int, ...]) -> None:
    """The answer has the input's size; or one line names the size to pad to, and that one is taken."""
    try:
        answer = model(input_of(name, model, 1, size))
    except UserError as refusal:
        said = PAD.search(str(refusal))
        assert said and "\n" not in str(refusal), refusal
        given, wanted = (tuple(map(int, text.split(" x "))) for text in said.groups())
        assert given == size and wanted > size and all(w >= s for w, s in zip(wanted, size, strict=True))
        assert model(input_of(name, model, 1, wanted)).shape[2:] == wanted
    else:
        assert answer.shape[0] == 1 and answer.shape[2:] == size


def classes_and_channels_are_options(name: str) -> None:
    """One class or three, of one input channel and of five, or one line that says which classes it takes."""
    for classes, channels in ((1, 1), (3, 5)):
        with torch.device("meta"):
            try:
                model = create_model(name, num_classes=classes, in_channels=channels).eval()
            except UserError as refusal:
                assert "num_classes" in str(refusal) and "\n" not in str(refusal)
                model = create_model(name, in_channels=channels).eval()
                classes = None
            x = input_of(name, model)
            answer = model(x)
        assert x.shape[1] == channels
        assert classes is None or answer.shape[1] == classes


def answers_in_training(name: str, model: nn.Module) -> list[torch.Tensor]:
    """The main answer and the auxiliary ones, all of the input's size."""
    torch.manual_seed(0)
    x = torch.randn_like(input_of(name, model, 2))
    answer = model.train()(x)
    main, more = (answer, []) if torch.is_tensor(answer) else answer
    assert main.ndim == x.ndim and isinstance(more, list)
    assert all(a.shape[0] == 2 and a.shape[2:] == x.shape[2:] for a in (main, *more))
    return [main, *more]


def gradients_reach_what_takes_part(name: str, model: nn.Module) -> None:
    """What gets none is as many numbers as one note of the card speaks of.

    Of a cascade the first network may hide everything from the second, by chance: two further draws may show it.
    """
    idle = _idle(name, model)
    for seed in (1, 2):
        if not idle or _noted(name, idle):
            return
        torch.manual_seed(seed)
        drawn = _idle(name, awake(create_model(name)))
        idle = {key: n for key, n in idle.items() if key in drawn}
    assert not idle or _noted(name, idle), f"no gradient for {sum(idle.values()):,} parameters: {list(idle)[:5]} ..."


def _idle(name: str, model: nn.Module) -> dict[str, int]:
    """Trainable parameters that one step leaves as they are, and how many numbers each has."""
    answers = answers_in_training(name, model)
    sum((a * torch.randn_like(a)).sum() for a in answers).backward()
    trained = ((key, p) for key, p in model.named_parameters() if p.requires_grad)
    return {key: p.numel() for key, p in trained if p.grad is None or not p.grad.any()}


def _noted(name: str, idle: dict[str, int]) -> bool:
    return any(f"{sum(idle.values()):,}" in note for note in card(name).notes)


# ------------------------------------------------------------------------------------------- maps and drawings


def maps_are_captured(name: str, model: nn.Module) -> None:
    from covidseg.attention import capture, map_names

    maps = capture(model, input_of(name, model, 2))
    assert list(maps) == map_names(model)
    for values in maps.values():
        assert values.ndim == card(name).dimensions + 2 and values.shape[0] == 2


def captions_have_maps(paper: Paper) -> None:
    """No caption waits for a map that none of the paper's networks has."""
    names = set()
    for network in paper.networks:
        with torch.device("meta"):
            model = create_model(network)
        names |= set(getattr(model, "named_maps", dict)())
    assert not [kind.pattern for kind in paper.maps if not any(kind.fits(name) for name in names)]


def main_network(paper: Paper) -> str:
    """The one of the paper's name, or its first."""
    return paper.name if paper.name in paper.networks else paper.networks[0]


def drawn(paper: Paper) -> list[str]:
    """The paper's networks that its diagram draws: the main one, and those of the same class."""
    import matplotlib.pyplot as plt

    module, _, function = paper.diagram.partition(":")
    show, done = getattr(import_module(module), function), []
    with torch.device("meta"):
        kind = type(create_model(main_network(paper)))
    for network in paper.networks:
        with torch.device("meta"):
            model = create_model(network)
        if type(model) is kind:
            figure, ax = plt.subplots()
            try:
                assert show(model, ax) is ax and (ax.texts or ax.patches)
                figure.canvas.draw()
            finally:
                plt.close(figure)
            done.append(network)
    return done


# ---------------------------------------------------------------------------- who may name whom in the source


def imports_no_other_paper(paper: Paper) -> None:
    others = {other.name for other in PAPERS} - {paper.name}
    for file in sorted(papers.folder(paper.name).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            parts = [module.split(".") for module in modules]
            found = {p[2] for p in parts if p[:2] == ["covidseg", "papers"] and len(p) > 2}
            assert not found & others, f"{file}:{node.lineno}"


@cache
def engine() -> dict[str, list[str]]:
    """File -> its lines, of all that is no paper, rival, trunk or weights; of the finder of papers all but NAMES."""
    found = {}
    for file in sorted(PACKAGE.rglob("*")):
        inside = file.relative_to(PACKAGE)
        home = inside.parts[0] in ("papers", "zoo", "backbones") and inside.as_posix() != "papers/__init__.py"
        if file.is_file() and file.suffix != ".pt" and not home and "__pycache__" not in inside.parts:
            lines = file.read_text(encoding="utf-8").splitlines()
            found[inside.as_posix()] = [line for line in lines if not line.startswith("NAMES = ")]
    return found


def in_any_spelling(name: str) -> re.Pattern:
    """infnet: also Inf-Net, INFNET_X, show_infnet, InfNetLoss; "covidseg network" is no covid_segnet."""
    letters = [re.escape(letter) for letter in name if letter.isalnum()]
    return re.compile(f"(?i:{'[-_ ]?'.join(letters)})(?![a-z])")


def quoted(name: str) -> re.Pattern:
    return re.compile(rf"(['\"]){re.escape(name)}\1")


def lines_with(pattern: re.Pattern) -> dict[str, list[str]]:
    """Engine file -> lines in which the pattern is found."""
    found = defaultdict(list)
    for file, lines in engine().items():
        for line in lines:
            if pattern.search(line):
                found[file].append(line.strip())
    return dict(found)
