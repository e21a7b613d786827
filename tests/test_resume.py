"""A killed training goes on as if nothing had happened; a checkpoint is whole, harmless, and of this run."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
from tiny_training import RECIPE, discs, tiny_net

from covidseg.errors import UserError
from covidseg.files import write_atomically
from covidseg.training import SupervisedHeads, load_checkpoint, train
from covidseg.training.checkpoints import keep_randomness, random_state, set_random_state
from covidseg.training.devices import Team
from covidseg.training.loop import Training
from covidseg.training.run_folder import RunFolder

CPU = torch.device("cpu")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def run(out, net=None, recipe=RECIPE, train_set=None, **settings):
    settings = {"seed": 1, "device": "cpu", "checkpoint_every": 2} | settings
    return train(net or tiny_net(), train_set or discs(), discs(20, 3), recipe, out=out, **settings)


def same_bits(a, b) -> bool:
    """Equal in structure and in every bit, times and what tells of them aside."""
    if torch.is_tensor(a):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[k], b[k]) for k in a if k not in ("seconds", "provenance"))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return a == b


@needs_fork
def test_a_training_killed_at_five_random_moments_ends_with_the_same_bits(tmp_path):
    script, seed = Path(__file__).with_name("killed_training.py"), int.from_bytes(os.urandom(2))
    command = [sys.executable, str(script), str(tmp_path), str(seed), "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
    whole, *killed, rest = (int(line) for line in done.stdout.split())
    assert len(killed) == 5 and rest < whole < sum(killed) + rest, "the last child went on, and steps were repeated"
    for name in ("last.pt", "best.pt"):
        a, b = (load_checkpoint(tmp_path / folder / name) for folder in ("whole", "killed"))
        assert same_bits(a, b), f"{name} differs, seed {seed}"


class StopsAt(SupervisedHeads):
    """The usual loss, until step ``number``: then ``act()`` happens."""

    def __init__(self, number, act):
        super().__init__(None, RECIPE.objective.aux_weights)
        self.left, self.act = number, act

    def __call__(self, outputs, target):
        if not torch.is_tensor(outputs):
            self.left -= 1
            if not self.left:
                self.act()
        return super().__call__(outputs, target)


def never():
    raise AssertionError


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "killed before best.pt"])
def test_a_slow_disk_is_written_to_less_often_and_the_best_epoch_is_not_lost(tmp_path, monkeypatch, cut):
    dice = iter([0.1, 0.5, 0.3, 0.2, 0.4, 0.3])

    def scores(model):
        return {"val_miou": next(dice)}

    recipe, kept = replace(RECIPE, epochs=6), []
    whole = run(tmp_path / "whole", recipe=recipe, validation=scores, loss=StopsAt(-1, never))
    assert whole.best_epoch == 2
    monkeypatch.setattr(Training, "due", lambda self: len(self.rows) in (1, 4))  # as if epochs 2 and 3 came too fast
    if cut:
        monkeypatch.setattr(RunFolder, "save_best", lambda self: kept.append(len(self.run.rows)))
    dice = iter([0.1, 0.5, 0.3, 0.2, 0.4, 0.3])
    stop = StopsAt(recipe_steps(5) + 1, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "slow", recipe=recipe, validation=scores, checkpoint_every=100, loss=stop)
    assert len(load_checkpoint(tmp_path / "slow/last.pt")["training"]["rows"]) == 4
    monkeypatch.undo()
    dice = iter([0.4, 0.3])
    resumed = run(tmp_path / "slow", recipe=recipe, validation=scores, loss=StopsAt(-1, never))
    assert resumed.best_epoch == 2 and same_bits(resumed.weights["best"], whole.weights["best"])
    assert same_bits(load_checkpoint(tmp_path / "slow/best.pt")["state"], whole.weights["best"])


def recipe_steps(epochs: int) -> int:
    """Of ten discs in batches of four at two scales."""
    return epochs * len(RECIPE.scales) * (2 if RECIPE.drop_last else 3)


def test_a_large_checkpoint_takes_a_tenth_of_the_time_and_the_last_epoch_is_always_written(tmp_path):
    state = Training(tiny_net(), discs(), None, RECIPE, 0, CPU, Team(), None, None)
    state.rows, state.saving, state.saved_at = [{}], 0.01, perf_counter()
    assert state.due(), "a small one is written after every epoch"
    state.saving = 2.0
    assert not state.due()
    state.saved_at -= 21
    assert state.due()
    state.saved_at, state.rows = perf_counter(), [{}] * RECIPE.epochs
    assert state.due()


def test_control_c_saves_the_step_it_came_in_and_the_run_goes_on_from_there(tmp_path):
    interrupt = StopsAt(7, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", loss=interrupt, checkpoint_every=100)
    assert load_checkpoint(tmp_path / "a/last.pt")["training"]["iteration"] == 7
    resumed = run(tmp_path / "a", loss=StopsAt(-1, never))
    whole = run(tmp_path / "b", loss=StopsAt(-1, never))
    assert same_bits(resumed.weights, whole.weights) and same_bits(resumed.rows, whole.rows)


def test_a_kill_between_last_and_best_loses_neither(tmp_path, monkeypatch):
    from covidseg.training.run_folder import RunFolder

    def killed(self):
        raise SystemExit

    monkeypatch.setattr(RunFolder, "save_best", killed)
    with pytest.raises(SystemExit):
        run(tmp_path / "a")
    monkeypatch.undo()
    assert not (tmp_path / "a/best.pt").exists()
    resumed, whole = run(tmp_path / "a"), run(tmp_path / "b")
    assert same_bits(resumed.weights, whole.weights)
    assert same_bits(*(load_checkpoint(tmp_path / f / "best.pt")["state"] for f in "ab"))


def test_a_kill_after_the_last_epoch_is_mended_though_no_step_is_left(tmp_path, monkeypatch):
    dice = iter([0.1, 0.2, 0.5])
    written, save_best = [], RunFolder.save_best

    def killed_at_the_end(self):
        if len(self.run.rows) == RECIPE.epochs:
            raise SystemExit
        save_best(self)
        written.append(len(self.run.rows))

    monkeypatch.setattr(RunFolder, "save_best", killed_at_the_end)
    with pytest.raises(SystemExit):
        run(tmp_path, validation=lambda model: {"val_miou": next(dice)})
    monkeypatch.undo()
    resumed = run(tmp_path, validation=never)
    best = load_checkpoint(tmp_path / "best.pt")
    assert written == [1, 2] and resumed.best_epoch == 3 and best["about"]["row"]["epoch"] == 3
    assert same_bits(best["state"], resumed.weights["best"])


def test_run_json_tells_what_a_resumed_run_went_on_from(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, loss=StopsAt(5, lambda: 1 / 0))
    first = json.loads((tmp_path / "run.json").read_text())
    run(tmp_path, loss=StopsAt(-1, never))
    resumed = json.loads((tmp_path / "run.json").read_text())
    assert first["resumed_from"] is None and resumed["resumed_from"] == first["provenance"]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path, loss=StopsAt(1, never))
    assert same_bits(first.weights, again.weights) and first.rows == again.rows


def test_without_resume_a_run_begins_afresh(tmp_path):
    run(tmp_path, recipe=replace(RECIPE, epochs=1))
    assert len(run(tmp_path, resume=False).rows) == RECIPE.epochs


def test_every_global_generator_goes_on_where_it_was():
    import random

    def draw():
        return random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item()

    np.random.randn()  # leaves the second of a pair behind, which is part of the state
    with keep_randomness(3, CPU):
        draw()
        state = random_state(CPU)
        first = draw()
        set_random_state(state, CPU)
        assert draw() == first


def test_training_leaves_the_callers_generators_alone():
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    train(tiny_net(seed=11), discs(count=4), None, replace(RECIPE, epochs=1), device="cpu")
    torch.manual_seed(11)
    before = torch.get_rng_state()
    net = tiny_net(seed=11)
    torch.manual_seed(11)
    train(net, discs(count=4), None, replace(RECIPE, epochs=1), device="cpu")
    assert torch.equal(torch.get_rng_state(), before) and torch.rand(1) == expected


# ------------------------------------------------------------------------------------------------ files


@needs_fork
def test_a_kill_while_saving_leaves_the_old_file(tmp_path):
    path = write_atomically(tmp_path / "last.pt", lambda file: file.write(b"old and whole"))

    def killed_half_way(file):
        file.write(b"new b")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if not pid:
        write_atomically(path, killed_half_way)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert path.read_bytes() == b"old and whole"
    write_atomically(path, lambda file: file.write(b"new"))
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"] and path.read_bytes() == b"new"


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path):
    path = write_atomically(tmp_path / "last.pt", lambda file: file.write(b"old"))

    def full(file):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"last.pt: could not be written \(No space left on device\)"):
        write_atomically(path, full)
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"] and path.read_bytes() == b"old"


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_checkpoint_that_runs_code_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, dump in {"zip": torch.save, "plain": lambda v, f: Path(f).write_bytes(pickle.dumps(v))}.items():
        folder = tmp_path / name
        folder.mkdir()
        dump({"state": Bomb()}, folder / "last.pt")
        with pytest.raises(UserError, match="last.pt") as error:
            run(folder)
        assert "\n" not in str(error.value) and not Path("exploded").exists()


def test_what_is_saved_is_what_is_loaded(tmp_path):
    history = run(tmp_path)
    for rule in ("best", "last"):
        saved = load_checkpoint(tmp_path / f"{rule}.pt")["state"]
        assert same_bits(saved, history.weights[rule])
        assert same_bits(history.restore(tiny_net(seed=9), rule).state_dict(), saved)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"recipe": replace(RECIPE, lr=0.5)}, r"recipe\.lr is 0\.02 there, 0\.5 here"),
        ({"seed": 2}, "seed is 1 there, 2 here"),
        ({"train_set": discs(1)}, "train_fingerprint"),
        ({"net": tiny_net(width=7)}, r"body.weight is \(6, 3, 3, 3\) there and \(7, 3, 3, 3\) here"),
        ({"name": "infnet"}, "another network"),
        ({"micro_batch": 2}, "micro_batch is None there, 2 here"),
        ({"precision": "bf16"}, "precision is None there, 'bf16' here"),
    ],
    ids=["recipe", "seed", "data", "width", "name", "micro_batch", "precision"],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path, change, line):
    run(tmp_path, recipe=replace(RECIPE, epochs=1) if "recipe" not in change else RECIPE)
    with pytest.raises(UserError, match=line) as error:
        run(tmp_path, **({"recipe": replace(RECIPE, epochs=1)} | change))
    assert "\n" not in str(error.value) and "last.pt" in str(error.value)


def test_a_foreign_file_is_no_checkpoint(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "last.pt")
    with pytest.raises(UserError, match="no checkpoint of a covidseg training"):
        run(tmp_path)


def without(record, name):
    return {key: value for key, value in record.items() if key != name}


def spoilt(record, part, value=...):
    """The record with one part of "training", or of all ("/model"), lost or another."""
    if part.startswith("/"):
        return without(record, part[1:]) if value is ... else record | {part[1:]: value}
    training = record["training"]
    return record | {"training": without(training, part) if value is ... else training | {part: value}}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run folder of one epoch, and its record."""
    out = tmp_path_factory.mktemp("begun")
    run(out)
    return out, torch.load(out / "last.pt", weights_only=True)


PARTS = ("identity", "optimizer", "iteration", "rows", "loss_sum", "seconds", "random")


@pytest.mark.parametrize(
    "part, value",
    [
        *((part, ...) for part in PARTS), *((part, "x") for part in PARTS), *((part, None) for part in PARTS),
        ("/training", ...), ("/training", None), ("/training", []), ("/state", None), ("/state", {"a": 5}),
        ("/model", ...), ("/options", [1]), ("/about", "x"), ("/preprocessing", 7),
        ("random", {}), ("random", {"python": 1}), ("optimizer", {}), ("optimizer", {"state": {}, "param_groups": []}),
        ("rows", [1]), ("rows", [{"epoch": 7}]), ("rows", [{"epoch": 1, "val_miou": "high"}]), ("scaler", "x"),
        ("iteration", -1), ("iteration", 10**9), ("seconds", -5.0), ("seconds", float("nan")), ("loss_sum", 0.5),
        ("identity", {"recipe": 1}),
    ],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_that_lacks_parts_or_has_others_is_one_line(begun, tmp_path, part, value):
    shutil.copytree(begun[0], tmp_path / "run")
    torch.save(spoilt(begun[1], part, value), tmp_path / "run" / "last.pt")
    with pytest.raises(UserError) as caught:
        run(tmp_path / "run")
    assert "last.pt" in str(caught.value) and "\n" not in str(caught.value)


def test_a_best_checkpoint_of_another_kind_is_written_anew(begun, tmp_path):
    shutil.copytree(begun[0], tmp_path / "run")
    best = torch.load(tmp_path / "run" / "best.pt", weights_only=True)
    torch.save(best | {"about": {"row": "first"}}, tmp_path / "run" / "best.pt")
    run(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "best.pt")["about"]["row"]["epoch"] >= 1


def test_two_trainings_never_share_a_folder(tmp_path):
    refused = []

    def begin_another(row):
        with pytest.raises(UserError, match="Another training is writing into"):
            run(tmp_path / "run")
        refused.append(row["epoch"])

    run(tmp_path / "run", report=begin_another)
    assert refused == [1, 2, 3]
    assert sorted(os.listdir(tmp_path / "run")) == ["best.pt", "curves.csv", "last.pt", "run.json"]
    (tmp_path / "run" / ".training-0a1b2c3d.lock").touch()  # of a training that was killed elsewhere
    run(tmp_path / "run")
    assert len(os.listdir(tmp_path / "run")) == 4
