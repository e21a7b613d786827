"""What recipes, runs, checkpoints, weights and scores were before: moving code changes none of it.

`python tests/test_golden.py --write [NAME.json ...]` records tests/golden anew: only where a number is meant to change.
"""

import json
import signal
import sys
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from tiny_training import RECIPE, SOFT, discs, tiny_net
from torch import nn
from torch.testing import assert_close

from covidseg import papers
from covidseg.papers import weights
from covidseg.papers.infnet.semi import PLANS
from covidseg.papers.infnet.tasks import ALL_PSEUDO, PSEUDO, GuidedLabelling, Labelling, SemiSupervised
from covidseg.profiling import profile_model
from covidseg.provenance import device_name
from covidseg.repeatable import set_seed
from covidseg.runs.record import SELECTIONS
from covidseg.runs.trial import trial
from covidseg.tables import list_tables, load_table
from covidseg.training import Recipe, learning_rate, load_checkpoint, train

GOLDEN = Path(__file__).parent / "golden"
RECORDS = sorted((Path(__file__).parents[1] / "results").glob("*/*.json"))


def golden(name: str):
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def plain(value):
    """As JSON gives it back: tuples are lists, NaN is null."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


pytestmark = pytest.mark.usefixtures("one_thread")


def machine() -> dict:
    """What the last bits of a training depend on."""
    instructions = torch.backends.cpu.get_cpu_capability()
    return {"torch": str(torch.__version__), "processor": device_name("cpu"), "instructions": instructions}


# ------------------------------------------------------------------------------------------------- recipes

STEPS = 7  # optimiser steps of an epoch


def recipes() -> dict[str, Recipe]:
    """Every recipe by name, those of the pseudo labels included."""
    return papers.recipes() | {plan.recipe.name: plan.recipe for plan in PLANS.values()}


def rates(recipe: Recipe) -> dict[str, str]:
    """Learning rates by iteration, to the last bit: begin, middle and end, and where a compounding rate falls."""
    total = recipe.epochs * STEPS
    at = {0, STEPS - 1, STEPS, total // 3, total // 2, total - 1}
    at |= {STEPS * (epoch - 1) for epoch in (49, 50, 51, 52) if epoch <= recipe.epochs}
    return {str(k): float(learning_rate(recipe, k, STEPS)).hex() for k in sorted(at) if k < total}


def recorded_recipes() -> dict:
    return {name: {"recipe": plain(r.to_dict()), "rates": rates(r)} for name, r in recipes().items()}


def test_no_recipe_came_or_went():
    assert sorted(recipes()) == sorted(golden("recipes.json")) and len(recipes()) == 37


@pytest.mark.parametrize("name", golden("recipes.json") if (GOLDEN / "recipes.json").exists() else [])
def test_a_recipe_and_its_learning_rates_are_as_before(name):
    was, recipe = golden("recipes.json")[name], recipes()[name]
    assert plain(recipe.to_dict()) == was["recipe"]
    assert Recipe.from_dict(was["recipe"]) == recipe
    assert plain(Recipe.from_dict(was["recipe"]).to_dict()) == was["recipe"]
    now = rates(recipe)
    if sys.platform == "linux":
        assert now == was["rates"]
    else:  # another C library may round a power otherwise
        got, expected = ({k: float.fromhex(v) for k, v in side.items()} for side in (now, was["rates"]))
        assert got == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_committed_record_names_a_run_of_today(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    assert Recipe.from_dict(record["recipe"]).to_dict() == record["recipe"]
    data = record["data"]
    place = (record["model"], record["variant"], data["name"], data["fold"], record["seed"], record["budget"])
    run = trial(*place, **record["changed"])
    assert plain(run.recipe.to_dict()) == record["recipe"] and plain(run.options) == record["options"]
    assert run.changed == record["changed"] and plain(run.data_options) == data["options"]


def test_all_committed_records_are_read():
    assert len(RECORDS) >= 64


# ------------------------------------------------------------------------------------------- rows of tables


def runs_of_tables():
    """(model, variant, dataset, fold, budget) of every row that a run can fill: on phantoms and on the paper's set."""
    found = {}
    for table in map(load_table, list_tables()):
        for row in table.rows:
            if row.model:
                paper, one = papers.find_row(row.model, row.variant)
                needs = paper.tasks[one.task].needs
                phantoms = "phantom3d" if "volumes" in needs else "phantom"
                for data, folds in ((phantoms, table.phantom_folds), (table.data, table.folds)):
                    for budget in ("smoke", "lesson", "paper"):
                        found[row.model, row.variant, data, folds[0], budget] = None
    return list(found)


def described(run) -> dict:
    """What a run is, in plain values. The one function here that knows where a `Trial` keeps it."""
    recipe, task = plain(run.recipe.to_dict()), run.task
    usual, name = plain(recipes()[run.recipe.name].to_dict()), run.recipe.name
    pseudo = PSEUDO.get(name, ALL_PSEUDO) if isinstance(task, SemiSupervised) else None
    guide = task._guiding() if isinstance(task, GuidedLabelling) else None
    by_kind = isinstance(task, Labelling)  # its scores are held in scores.json
    return {
        "options": plain(run.options),
        "recipe": name,
        "departs": {key: value for key, value in recipe.items() if usual.get(key) != value},
        "silent": sorted(usual.keys() - recipe.keys()),
        "cases": [run.sizes.train_cases, run.sizes.val_cases],
        "phantom_size": run.sizes.phantom_size,
        "data_options": plain(run.data_options),
        "protocols": None if by_kind else plain(task.protocols),
        "headlines": plain(task.headlines),
        "pseudo": plain(astuple(pseudo)) if pseudo else None,
        "guide": [guide.model, guide.variant, guide.recipe.name] if guide else None,
    }


def recorded_rows() -> list:
    return [[list(run), described(trial(*run[:4], 0, run[4]))] for run in runs_of_tables()]


def test_every_row_of_every_table_is_the_run_it_was_and_needs_no_data_to_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("COVIDSEG_DATA", str(tmp_path / "nothing here"))
    monkeypatch.delenv("COVIDSEG_MIRROR", raising=False)
    was = {tuple(run): facts for run, facts in golden("rows.json")}
    now = {tuple(run): facts for run, facts in recorded_rows()}
    assert now.keys() == was.keys() and len(now) > 200
    differ = {run: (facts, was[run]) for run, facts in now.items() if facts != was[run]}
    assert not differ
    assert not (tmp_path / "nothing here").exists()


def test_every_budget_is_recorded():
    budgets = {budget for paper in papers.papers() for task in paper.tasks.values() for budget in task.budgets}
    assert budgets == {run[4] for run in runs_of_tables()}


# --------------------------------------------------------------------------- a training cut short, and resumed

HALF = {"miniseg": RECIPE, "infnet": SOFT}  # golden/half_*.pt: last.pt of these, stopped in the middle of an epoch
TOLERANCE = 1e-6  # of a weight, or 1e-5 of a large one: so far two processors move it (an Intel Xeon by 1.2e-6)


def tiny():
    """The tiny network without the bias before BatchNorm, whose gradient is noise that Adam makes large."""
    net = tiny_net()
    net.body = nn.Conv2d(3, 6, 3, padding=1, bias=False)
    torch.manual_seed(3)
    nn.init.normal_(net.body.weight, std=0.2)
    return net


def train_tiny(kind: str, folder: Path, net=None):
    settings = {"seed": 1, "device": "cpu", "name": "tiny", "checkpoint_every": 100}
    return train(net or tiny(), discs(), discs(20, 3), HALF[kind], out=folder, **settings)


def digest(state: dict) -> str:
    """sha256 over names and bytes of all tensors."""
    found = sha256()
    for name, tensor in sorted(state.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.numpy().astype(tensor.numpy().dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def cut_short(kind: str, folder: Path) -> Path:
    """last.pt after Ctrl-C in step 7, the middle of the second epoch."""
    net, steps = tiny(), 0

    def count(module, inputs, outputs):
        nonlocal steps
        steps += module.training
        if steps == 7 and module.training:
            signal.raise_signal(signal.SIGINT)

    net.register_forward_hook(count)
    try:
        train_tiny(kind, folder, net)
    except KeyboardInterrupt:
        return folder / "last.pt"
    raise AssertionError("the training was not cut short")


def resumed(kind: str, folder: Path):
    folder.mkdir()
    copyfile(GOLDEN / f"half_{kind}.pt", folder / "last.pt")
    return train_tiny(kind, folder)


def recorded_halves() -> dict:
    found = {}
    for kind in HALF:
        with TemporaryDirectory() as folder:
            copyfile(cut_short(kind, Path(folder) / "cut"), GOLDEN / f"half_{kind}.pt")
            history = resumed(kind, Path(folder) / "resumed")
        last = history.weights["last"]
        found[kind] = {
            "losses": [row["train_loss"] for row in history.rows],
            "sha256": digest(last),
            "weights": {name: tensor.tolist() for name, tensor in last.items()},
        }
    return found


@pytest.mark.parametrize("kind", HALF)
def test_a_checkpoint_written_before_is_resumed_to_the_same_weights(kind, tmp_path):
    was, half = golden("half.json")[kind], load_checkpoint(GOLDEN / f"half_{kind}.pt")["training"]
    assert half["iteration"] == 7 and len(half["rows"]) == 1
    first, second, whole = (resumed(kind, tmp_path / "a"), resumed(kind, tmp_path / "b"), train_tiny(kind, tmp_path))
    assert json.loads((tmp_path / "a/run.json").read_text())["resumed_from"] == half["provenance"]
    assert len(first.rows) == HALF[kind].epochs and first.rows[0] == half["rows"][0]
    state = first.weights["last"]
    assert digest(state) == digest(second.weights["last"])
    assert_close(state, whole.weights["last"], atol=TOLERANCE, rtol=1e-5)
    expected = {name: torch.tensor(values, dtype=state[name].dtype) for name, values in was["weights"].items()}
    assert_close(state, expected, atol=TOLERANCE, rtol=1e-5)
    assert [row["train_loss"] for row in first.rows] == pytest.approx(was["losses"], rel=1e-5)
    if golden("machine.json") == machine():
        assert digest(state) == was["sha256"] == digest(whole.weights["last"])


# ------------------------------------------------------------------------------------------ the shipped weights


def recorded_weights() -> dict:
    found = weights("phantom")
    facts = {"label": found.label, "licence": found.licence, "preprocessing": found.preprocessing.to_dict()}
    return plain(facts | {"sha256": digest(found.model.state_dict())})


def test_the_shipped_weights_are_the_same_tensors_fed_alike():
    assert recorded_weights() == golden("weights.json")


# ---------------------------------------------------------------------------------------------------- scores

SCORED = {  # run -> side, or None for the budget's own; two epochs each
    ("miniseg", "MiniSeg"): None,
    ("miniseg", "SB"): None,
    ("unet", ""): None,
    ("infnet", "Inf-Net"): 32,
    ("infnet", "Semi-Inf-Net"): 32,
    ("multiclass_unet", "Semi-Inf-Net & MC, width 16"): 32,
}


def scores_of(model: str, variant: str, folder: Path) -> dict:
    """A smoke run on phantoms from first weights to scores, as `covidseg.runs.bare` does it."""
    run = trial(model, variant, "phantom", 1, 0, "smoke", size=SCORED[model, variant])
    set_seed(0)
    network, (train_set, scored) = run.network(), run.data()
    first = first_answer(network, run.options.get("in_channels", 3))
    history = run.learn(network, train_set, scored, device="cpu", out=folder)
    found = {rule: run.score(network, history, scored, rule)["scores"] for rule in SELECTIONS}
    counted = profile_model(network, (run.options.get("in_channels", 3), 512, 512))
    means = {rule: {p: s.means | s.pooled for p, s in by_protocol.items()} for rule, by_protocol in found.items()}
    losses = [row["train_loss"] for row in history.rows]
    return plain({"params": counted.params, "macs": counted.macs, "first": first, "losses": losses, "scores": means})


def first_answer(network, channels: int) -> list[float]:
    """Mean and deviation of what the untrained network answers to a pattern of stripes: layers and first weights."""
    stripes = torch.arange(channels * 64 * 64).reshape(1, channels, 64, 64).mul(0.37).sin()
    with torch.inference_mode():
        answer = network.eval()(stripes)
    return [float(answer.mean()), float(answer.std())]


def recorded_scores() -> list:
    found = []
    for run in SCORED:
        with TemporaryDirectory() as folder:
            found.append([list(run), scores_of(*run, Path(folder))])
    return found


def flat(scores: dict) -> dict:
    return {(rule, p, name): v for rule, by in scores.items() for p, means in by.items() for name, v in means.items()}


@pytest.mark.parametrize("run", SCORED, ids=" ".join)
def test_two_epochs_on_phantoms_score_as_before(run, tmp_path):
    """On another processor or torch only what two epochs of rounding cannot move: they turn 1e-7 into 0.2 of a loss."""
    was = {tuple(key): facts for key, facts in golden("scores.json")}[run]
    now = scores_of(*run, tmp_path)
    assert (now["params"], now["macs"]) == (was["params"], was["macs"])
    got, expected = flat(now["scores"]), flat(was["scores"])
    assert list(got) == list(expected), "protocols and scores in their order"
    assert now["first"] == pytest.approx(was["first"], rel=1e-4, abs=1e-6)
    same = golden("machine.json") == machine()
    assert now["losses"] == pytest.approx(was["losses"], rel=1e-5 if same else 0.5)
    if same or run[0] == "miniseg":
        unlike = {
            key: (got[key], value)
            for key, value in expected.items()
            if (value is None) != (got[key] is None) or value is not None and not np.isclose(got[key], value, atol=1e-3)
        }
        assert not unlike


# --------------------------------------------------------------------------------------------------- writing


def write(name: str, value) -> None:
    """JSON with one line for each entry, so that a change is a line of the difference."""
    named = isinstance(value, dict)
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()] if named else map(json.dumps, value)
    left, right = "{}" if named else "[]"
    (GOLDEN / name).write_text(f"{left}\n" + ",\n".join(lines) + f"\n{right}\n", encoding="utf-8")


WRITERS = {
    "machine.json": machine,
    "recipes.json": recorded_recipes,
    "rows.json": recorded_rows,
    "half.json": recorded_halves,
    "weights.json": recorded_weights,
    "scores.json": recorded_scores,
}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    for name in names or WRITERS:
        write(name, WRITERS[name]())


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"]:
        sys.exit(__doc__)
    main(sys.argv[2:])
