"""Batches: planned and checked first, done in processes that may die at any moment, never done twice, never half."""

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from shutil import copytree, ignore_patterns
from types import SimpleNamespace

import psutil
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from toy_notebooks import save

from covidseg.cli import main
from covidseg.errors import UserError
from covidseg.lessons import read, runner
from covidseg.lessons.runner import Outcome
from covidseg.runs import cluster, command, keys, locks, pool, source, summary, work, worker
from covidseg.runs.plan import plan, plan_file
from covidseg.tables import batch as tables

PARAMETERS = """\
budget = "lesson"  # smoke | lesson | paper
seed = 0  # int, 0..1000
device = "cpu"  # cpu | cuda
trouble = ""  # str"""

# Writes one line per execution beside its folder, so that a test can count them.
WORK = """\
import os, time
from pathlib import Path
from covidseg.lesson import Lesson
folder = Path(os.environ["COVIDSEG_RESULT"]).parent
with (folder.parent / "executions.txt").open("a") as file:
    file.write(f"{seed}\\n")
time.sleep(0.3)
if trouble == "raise":
    raise ValueError("no such slice")
if trouble == "die" and not (folder / "last.pt").exists():
    (folder / "last.pt").write_text("half way")
    os.kill(os.getpid(), 9)"""
RESULT = (
    'Lesson("90_toy", budget, seed, device).result(double=2 * seed, gpu=os.environ.get("CUDA_VISIBLE_DEVICES", ""))'
)


def toy(folder: Path, result: str = RESULT) -> Path:
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(WORK), new_code_cell(result)]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return save(notebook, folder, "90_toy")


@pytest.fixture
def notebook(tmp_path):
    return toy(tmp_path)


def grid_file(folder: Path, *blocks) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(blocks[0] if len(blocks) == 1 else list(blocks), sort_keys=False))
    return path


def run_of(notebook: Path, **parameters):
    (run,) = plan(str(notebook), [parameters])
    return run


# ---------------------------------------------------------------------------------------------------- the plan


def test_a_grid_is_every_combination_and_the_single_runs_over_the_common_parameters(tmp_path, notebook):
    path = grid_file(
        tmp_path,
        {
            "notebook": str(notebook),
            "parameters": {"budget": "smoke"},
            "grid": {"seed": [1, 2], "device": ["cpu", "cuda"]},
        },
        {"notebook": str(notebook), "runs": [{"seed": 7}, {"seed": 7}]},
    )
    runs = plan_file(path, {})
    places = [(r.parameters["budget"], r.parameters["seed"], r.parameters["device"]) for r in runs]
    assert places == [
        ("smoke", 1, "cpu"), ("smoke", 1, "cuda"), ("smoke", 2, "cpu"), ("smoke", 2, "cuda"), ("lesson", 7, "cpu")
    ]  # fmt: skip
    assert len({run.name for run in runs}) == 5
    assert {run.parameters["seed"] for run in plan_file(path, {"seed": "3"})} == {3}  # the command line wins


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ({"grid": {"sead": [1]}}, "No parameter of 90_toy is called 'sead'. Did you mean 'seed'"),
        ({"grid": {"seed": ["x"]}}, "Parameter seed='x' should be of type int"),
        ({"grid": {"seed": 1}}, "field grid.seed should be a list of values, not 1"),
        ({"gird": {"seed": [1]}}, "No field of a grid is called 'gird'. Did you mean 'grid'"),
        ({"runs": [3]}, "every entry of runs should be a mapping, not 3"),
        ({"parameters": [1]}, "field parameters should be a mapping"),
        ({"grid": {"device": ["cuda", "gpu"]}}, "No value of parameter 'device' is called 'gpu'"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line_that_names_the_file(
    block, complaint, tmp_path, notebook, capsys, monkeypatch
):
    monkeypatch.setattr(command, "run", lambda *_, **__: pytest.fail("a run was started"))
    path = grid_file(tmp_path, {"notebook": str(notebook)} | block)
    assert main(["batch", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"covidseg: {path}: ") and complaint in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (["batch", "nowhere.yaml"], "There is no grid file nowhere.yaml."),
        (["batch", "miniseg/tabel2"], "No table is called 'miniseg/tabel2'. Did you mean 'miniseg/table2'?"),
        (["batch", "table2"], "'table2' is neither a grid file (.yaml, .yml, .json) nor a table."),
        (
            ["batch", "miniseg/table2", "-p", "dataset=phantm"],
            "No data set is called 'phantm'. Did you mean 'phantom'?",
        ),
        (["batch", "miniseg/table2", "-p", "variant=SBB"], "No variant of miniseg is called 'SBB'. Did you mean 'SB'?"),
        (["batch", "miniseg/table2", "-p", "recipe=quik"], "No recipe is called 'quik'. Did you mean 'quick'?"),
        (["batch", "miniseg/table2", "-p", "fold=x"], "Parameter fold='x' should be of type int"),
    ],
)
def test_a_bad_command_line_starts_nothing(line, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "run", lambda *_, **__: pytest.fail("a run was started"))
    monkeypatch.chdir(tmp_path)
    assert main(line) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"covidseg: {complaint}") and err.count("\n") == 1


def test_a_file_that_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "grid.yaml").write_text("grid: [1,\n  2")
    with pytest.raises(UserError, match="grid.yaml is not YAML"):
        plan_file(tmp_path / "grid.yaml", {})


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_grid_without_a_run_is_refused(more, tmp_path, capsys):
    (tmp_path / "empty.yaml").write_text("[]")
    assert main(["batch", str(tmp_path / "empty.yaml"), "-o", str(tmp_path / "out"), *more]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"covidseg: {tmp_path / 'empty.yaml'} is empty: a grid is a mapping")
    assert not (tmp_path / "out").exists()


def test_a_tables_batch_is_its_grid_of_train_one():
    runs = tables.planned("miniseg/table2", ["dataset=phantom"])
    assert len(runs) == 15 and {Path(run.notebook).stem for run in runs} == {"40_train_one"}
    assert {run.parameters["budget"] for run in runs} == {"lesson"}
    some = tables.planned("miniseg/table4", ["dataset=phantom", "budget=smoke", "seed=0"])
    assert {run.parameters["seed"] for run in some} == {0} and len(some) == 8
    full = {
        r.key for r in tables.planned("miniseg/table4", ["dataset=phantom"]) if r.parameters["variant"] == "MiniSeg"
    }
    assert full <= {run.key for run in runs}  # a run that two tables share is the same run


# ---------------------------------------------------------------------------------- what makes a run another one


def test_parameters_and_code_change_the_key_and_prose_does_not(notebook):
    node = read(notebook)
    code = keys.code_key(node)
    key = keys.run_key("90_toy.ipynb", {"seed": 0}, code)
    assert key == keys.run_key("90_toy.ipynb", {"seed": 0}, code)
    assert key != keys.run_key("90_toy.ipynb", {"seed": 1}, code)
    assert run_of(notebook).key == run_of(notebook, seed=0).key  # a default named is a default
    node.cells.insert(0, new_markdown_cell("# prose"))
    assert keys.code_key(node) == code
    node.cells[2].source += "\n1"
    assert keys.code_key(node) != code


ROWS = [("unet", ""), ("unet", "U-Net"), ("deeplabv3plus", ""), ("miniseg", "SB"), ("infnet", "Inf-Net"), ("", "")]


@pytest.fixture
def package(tmp_path):
    """A copy of the kit to write in."""
    yield Path(copytree(source.PACKAGE, tmp_path / "covidseg", ignore=ignore_patterns("__pycache__", "*.pt")))
    source._text.cache_clear()


def row_keys(package, **data) -> dict:
    source._text.cache_clear()
    return {row: source.source_key(*row, data, package=package) for row in ROWS}


def changed_by(package, name: str) -> set:
    """Rows that get another key when a line is added to that file, which need not be there before."""
    before, file = row_keys(package), package / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as text:
        text.write("\na = 1\n")
    return {row for row, key in row_keys(package).items() if key != before[row]}


EVERY_ROW, ALL_PAPERS = set(ROWS), ("", "")  # the last: the key of a notebook that is no single run
OF_MINISEG = {("unet", ""), ("deeplabv3plus", ""), ("miniseg", "SB"), ALL_PAPERS}
OF_INFNET = {("unet", "U-Net"), ("infnet", "Inf-Net"), ALL_PAPERS}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("losses.py", EVERY_ROW),
        ("training/new.py", EVERY_ROW),
        ("phantom/chest.py", EVERY_ROW),
        ("runs/trial.py", EVERY_ROW),
        ("zoo/new.py", {ALL_PAPERS}),
        ("zoo/unet.py", {("unet", ""), ("unet", "U-Net"), ALL_PAPERS}),
        ("zoo/_configs.py", {("unet", ""), ("unet", "U-Net"), ("deeplabv3plus", ""), ALL_PAPERS}),
        ("zoo/_sides.py", {("unet", ""), ("unet", "U-Net"), ALL_PAPERS}),
        ("backbones/resnet.py", EVERY_ROW - {("miniseg", "SB")}),
        ("backbones/xception.py", {("deeplabv3plus", ""), ALL_PAPERS}),
        ("backbones/res2net.py", {("infnet", "Inf-Net"), ("unet", "U-Net"), ALL_PAPERS}),
        ("backbones/new.py", {ALL_PAPERS}),
        ("papers/miniseg/network.py", OF_MINISEG),
        ("papers/infnet/network.py", OF_INFNET),
        ("papers/infnet/semi/new.py", OF_INFNET),
        ("papers/new/network.py", {ALL_PAPERS}),
    ],
)
def test_a_change_in_numeric_code_changes_the_keys_of_the_rows_it_decides(package, name, rows):
    assert changed_by(package, name) == rows


@pytest.mark.parametrize(
    "name",
    [
        "cli/batch.py", "show/new.py", "tables/table.py", "runs/locks.py", "lessons/page.py", "paper.py",
        "fetch/new.py", *(f"papers/{paper}/{name}" for paper in ("miniseg", "infnet")
          for name in ("paper.py", "recipes.py", "diagram.py", "checks/new.py")),
    ],
)  # fmt: skip
def test_plots_commands_prose_and_what_is_hashed_as_data_change_no_key(package, name):
    assert changed_by(package, name) == set()


def test_options_and_recipe_of_a_run_are_hashed_as_data(package):
    keys = row_keys(package, recipe={"lr": 1})
    assert len(set(keys.values())) == len(ROWS) and keys == row_keys(package, recipe={"lr": 1})
    assert not set(keys.values()) & set(row_keys(package, recipe={"lr": 2}).values())
    two = [source.source_key("miniseg", variant, package=package) for variant in ("SB", "MiniSeg")]
    assert two[0] != two[1], "equal files, other options"


def test_everything_that_counts_as_engine_is_there():
    missing = [
        n for n in source.ENGINE if not ((source.PACKAGE / n).is_dir() or (source.PACKAGE / f"{n}.py").is_file())
    ]
    assert not missing


def test_a_standard_value_spelt_out_is_the_same_run():
    spelt = {"dataset": "phantom", "recipe": "lesson", "epochs": 28, "size": 96}
    (short,), (long,) = (plan("40_train_one", [given]) for given in ({}, spelt))
    assert (short.key, short.name) == (long.key, long.name) and long.parameters["epochs"] is None
    (other,) = plan("40_train_one", [spelt | {"epochs": 27}])
    assert other.key != short.key and other.parameters["recipe"] == "" and "epochs27" in other.name


# ---------------------------------------------------------------------------------------------------- locks


def hold(path: Path, host: str = "", pid: int = os.getpid(), **facts) -> None:
    """A lock as filelock writes it."""
    facts = {"pid": pid, "host": host or socket.gethostname(), "mode": "lease", "token": "1f"} | facts
    lines = [f"{name}={value}" for name, value in ({"duration": locks.SILENCE} | facts).items()]
    path.write_text("\n".join(["filelock/2", *lines, ""]))


def test_a_lock_is_held_by_one_and_gone_afterwards(tmp_path):
    path = tmp_path / "a.lock"
    with locks.claim(path) as first:
        assert first is None
        with locks.claim(path) as second:
            assert second == f"process {os.getpid()} on {socket.gethostname()}"
    assert os.listdir(tmp_path) == []


HOLDER = """
import sys, time
from pathlib import Path
from covidseg.runs.locks import claim
with claim(Path(sys.argv[1])) as holder:
    print(holder, flush=True)
    time.sleep(100)
"""


def test_the_lock_of_a_killed_process_is_taken_at_once(tmp_path):
    path = tmp_path / "a.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "None\n"
        with locks.claim(path) as holder:
            assert holder == f"process {other.pid} on {socket.gethostname()}"
        other.kill()
    with locks.claim(path) as holder:
        assert holder is None
    assert os.listdir(tmp_path) == []


def test_a_number_that_was_given_to_another_process_holds_no_lock(tmp_path):
    path = tmp_path / "a.lock"
    with locks.claim(path):  # for the name that filelock gives this machine
        facts = dict(line.split("=", 1) for line in path.read_text().splitlines()[1:])
    hold(path, **facts | {"start": 1})
    with locks.claim(path) as holder:
        assert holder is None


@pytest.mark.parametrize("beats", [True, False])
def test_on_another_machine_the_heartbeat_decides(beats, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "SILENCE", 1.0)
    monkeypatch.setattr(locks, "BEAT", 0.3)
    path, ended = tmp_path / "a.lock", threading.Event()
    hold(path, host="elsewhere", pid=1)
    with locks.claim(path) as holder:
        assert holder == "process 1 on elsewhere"  # one look tells nothing

    def beat():
        while beats and not ended.wait(0.2):
            os.utime(path)

    heart = threading.Thread(target=beat)
    heart.start()
    with locks.claim(path, wait=3) as holder:
        ended.set()
        heart.join()
        assert holder == ("process 1 on elsewhere" if beats else None)


def test_who_is_tired_of_waiting_does_not_get_the_lock(tmp_path):
    begin = time.monotonic()
    with locks.claim(tmp_path / "a.lock"), locks.claim(tmp_path / "a.lock", 100, lambda: True) as holder:
        assert holder and time.monotonic() - begin < 10


def test_a_lock_left_empty_by_a_kill_is_taken_after_a_moment(tmp_path):
    path = tmp_path / "a.lock"
    path.touch()
    with locks.claim(path) as holder:
        assert holder == "another process"
    os.utime(path, (time.time() - locks.UNWRITTEN - 1,) * 2)
    with locks.claim(path) as holder:
        assert holder is None


def test_the_heart_beats_while_the_lock_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.05)
    path = tmp_path / "a.lock"
    with locks.claim(path):
        os.utime(path, (1, 1))
        wait_for(lambda: path.stat().st_mtime > 2, 10)


def test_an_older_filelock_locks_for_its_own_machine(tmp_path, monkeypatch):
    import filelock

    older = SimpleNamespace(FileLock=filelock.FileLock, Timeout=filelock.Timeout)
    monkeypatch.setitem(sys.modules, "filelock", older)
    with locks.claim(tmp_path / "a.lock") as first, locks.claim(tmp_path / "a.lock") as second:
        assert (first, second) == (None, "another process")
    with locks.claim(tmp_path / "a.lock") as holder:
        assert holder is None


# ---------------------------------------------------------------------------- one run, without a kernel


@pytest.fixture
def executed(monkeypatch):
    """Outcomes that `run_notebook` is to give, and the folders it was given."""
    outcomes, folders = [], []

    def run_notebook(source, folder, parameters, *, timeout):
        folders.append(folder)
        (folder / "result.json").write_text("{}")
        status, error = outcomes.pop(0)
        return Outcome("90_toy", status, 1.0, error, {"double": 2})

    monkeypatch.setattr(runner, "run_notebook", run_notebook)
    return outcomes, folders


def test_a_finished_run_has_its_name_and_is_not_done_again(tmp_path, notebook, executed):
    outcomes, folders = executed
    run = run_of(notebook, seed=3).to_dict()
    outcomes += [("done", "")]
    assert work.do(run, tmp_path, 60)["status"] == "done"
    assert sorted(os.listdir(tmp_path / run["name"])) == ["batch.json", "result.json"]
    again = work.do(run, tmp_path, 60)
    assert again["status"] == "had" and again["results"] == {"double": 2} and len(folders) == 1


def test_a_run_that_another_process_does_is_left_to_it(tmp_path, notebook, executed):
    run = run_of(notebook).to_dict()
    with locks.claim(tmp_path / f"{run['name']}.lock"):
        outcome = work.do(run, tmp_path, 60)
    assert outcome["status"] == "busy" and str(os.getpid()) in outcome["error"] and executed[1] == []


def test_a_failed_run_is_kept_to_look_at_and_tried_again_from_the_beginning(tmp_path, notebook, executed):
    outcomes, folders = executed
    run = run_of(notebook).to_dict()
    outcomes += [("failed", "cell 2: ValueError: x"), ("done", "")]
    assert work.do(run, tmp_path, 60)["status"] == "failed"
    failed = tmp_path / f"{run['name']}.failed"
    (failed / "last.pt").write_text("nan")
    assert work.do(run, tmp_path, 60)["status"] == "done"
    assert not failed.exists() and not (tmp_path / run["name"] / "last.pt").exists()


@pytest.mark.parametrize(
    ("status", "error"), [("timeout", "took longer than 3 s"), ("failed", "the kernel died; most often")]
)
def test_a_run_cut_short_goes_on_from_its_checkpoint(status, error, tmp_path, notebook, executed):
    outcomes, folders = executed
    run = run_of(notebook).to_dict()
    outcomes += [(status, error), ("done", "")]
    work.do(run, tmp_path, 60)
    (tmp_path / f"{run['name']}.failed" / "last.pt").write_text("epoch 79")
    assert work.do(run, tmp_path, 60)["status"] == "done"
    assert (tmp_path / run["name"] / "last.pt").read_text() == "epoch 79"


def test_what_a_killed_attempt_left_is_taken_over_under_another_name(tmp_path, notebook, executed):
    outcomes, folders = executed
    run = run_of(notebook).to_dict()
    left = tmp_path / f"{run['name']}.part-dead"
    left.mkdir()
    (left / "last.pt").write_text("epoch 3")
    outcomes += [("done", "")]
    work.do(run, tmp_path, 60)
    assert folders[0] != left and not left.exists()  # a process that still writes there disturbs nobody
    assert (tmp_path / run["name"] / "last.pt").read_text() == "epoch 3"


def test_a_run_of_other_code_is_not_taken_for_this_one(tmp_path, notebook, executed):
    outcomes, _ = executed
    run = run_of(notebook).to_dict()
    outcomes += [("done", "")] * 2
    work.do(run, tmp_path, 60)
    assert work.do(run | {"key": "f" * 64}, tmp_path, 60)["status"] == "done"


@pytest.mark.parametrize("text", ["[]", "3", "null", '"done"', "{}", "[", '{"status": 3, "error": null}'])
def test_a_damaged_batch_json_is_no_finished_run_and_no_interrupted_one(text, tmp_path, notebook, executed):
    run = run_of(notebook).to_dict()
    for folder in (tmp_path / run["name"], tmp_path / f"{run['name']}.failed"):
        folder.mkdir()
        (folder / "batch.json").write_text(text)
    assert work.finished(tmp_path, run) is None
    executed[0].append(("done", ""))
    assert work.do(run, tmp_path, 60)["status"] == "done"


@pytest.mark.parametrize("results", [{"dice": float("nan")}, [1], {"word": "\udc80"}, None])
def test_an_odd_result_is_no_reason_to_lose_the_batch(results, tmp_path, notebook, monkeypatch):
    error = "cell 3: OSError: no file \udcff"
    monkeypatch.setattr(runner, "run_notebook", lambda *_, **__: Outcome("90_toy", "failed", 1.0, error, results))
    outcome = work.do(run_of(notebook).to_dict(), tmp_path, 60)
    assert outcome["status"] == "failed" and outcome["error"].startswith("cell 3: OSError")
    summary.write_summary([outcome], tmp_path, "Batch")
    print(summary.line(outcome, 1, 1))


def test_a_page_that_is_not_a_batchs_is_left_alone(tmp_path, notebook):
    for name in ("index.html", "summary.csv"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(UserError, match=f"{name} is no batch's and would be overwritten"):
            command.run([run_of(notebook)], folder)
        assert os.listdir(folder) == [name] and (folder / name).read_text() == "mine"
    (tmp_path / "ours").mkdir()
    summary.write_summary([], tmp_path / "ours", "Batch")
    summary.refuse_foreign(tmp_path / "ours")


def test_the_sweep_removes_its_own_litter_and_no_file_of_yours(tmp_path):
    run, hexed = plan("40_train_one", [{"dataset": "phantom"}])[0].name, "0123456789abcdef" * 2
    litter = {".summary.csv.part", ".index.html.4711.part", f".runs.json.{hexed}.part"}
    litter |= {f"{run}.lock.break.4711.{hexed}", f"{run}.lock.restore.4711.{hexed}"}
    yours = {".bashrc", ".env", ".gitignore", ".clock", ".clock.mine", ".notes.part", f".photo.{hexed}.part"}
    yours |= {
        f".{hexed}",
        "summary.csv",
        "letter.lock.old",
        f"letter.lock.break.1.{hexed}",
        f"{run}.lock.old",
        f"x.{hexed}",
    }
    for name in litter | yours:
        (tmp_path / name).touch()
    work.sweep(tmp_path, [])
    assert set(os.listdir(tmp_path)) == litter | yours  # just written: another batch may be at it
    for name in litter | yours:
        os.utime(tmp_path / name, (time.time() - 2 * work.LITTER,) * 2)
    work.sweep(tmp_path, [])
    assert set(os.listdir(tmp_path)) == yours


def test_workers_share_the_gpus_round_and_round(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6")
    gpus = worker.visible_gpus()
    assert [worker.pinned(slot, gpus)["CUDA_VISIBLE_DEVICES"] for slot in range(4)] == ["4", "6", "4", "6"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert worker.pinned(0, worker.visible_gpus()) == {}


def test_the_summary_lists_parameters_results_and_failures_first():
    outcomes = [
        {"name": "a", "notebook": "90_toy.ipynb", "status": "done", "seconds": 1.5, "parameters": {"seed": 1},
         "results": {"dice": 0.5, "curve": [1]}, "error": ""},
        {"name": "b", "notebook": "90_toy.ipynb", "status": "failed", "seconds": 2, "parameters": {"seed": 2},
         "results": {}, "error": "cell 3: <ValueError>"},
    ]  # fmt: skip
    rows = list(csv.DictReader(summary.summary_csv(outcomes).splitlines()))
    assert rows[0] == {"name": "a", "status": "done", "seconds": "1.5", "error": "", "seed": "1", "result dice": "0.5"}
    page = summary.summary_html(outcomes, "Batch <x>")
    assert page.index("b.failed/90_toy.html") < page.index("a/90_toy.html")
    assert "Batch &lt;x&gt;" in page and "&lt;ValueError&gt;" in page and "default-src 'none'" in page
    assert summary.verdict(outcomes) == "2 runs: 1 done, 1 failed."


class Process:
    def __init__(self):
        self.ended = False

    def terminate(self):
        self.ended = True


def test_a_batch_that_is_stopped_ends_its_own_runs_and_no_other_batchs(monkeypatch):
    mine, theirs = Process(), Process()
    monkeypatch.setattr(worker, "_running", {mine: "a", theirs: "b"})
    assert worker.stop_running("a") == 1
    assert mine.ended and not theirs.ended


@pytest.fixture(params=["dask", "pool"])
def submit(request, tmp_path):
    """Both engines; a worker of dask's is a thread of this process."""
    if request.param == "pool":
        with pool.processes(tmp_path, 60, workers=2) as submit:
            yield submit
        return
    from distributed import Client, LocalCluster

    with (
        LocalCluster(1, threads_per_worker=2, processes=False, dashboard_address=None) as home,
        Client(home, set_as_default=False) as client,
        cluster.workers(client, [], tmp_path, 60) as submit,
    ):
        yield submit


def looks_at(monkeypatch, look) -> None:
    """Replace the process of a run, in either engine."""
    monkeypatch.setattr(worker, "run_child", look)


def test_a_run_that_others_do_or_stop_is_looked_at_again_but_not_at_once(tmp_path, notebook, submit, monkeypatch):
    log = tmp_path / "looks.txt"

    def look(run, folder, timeout, wait, batch, environment=None):
        with log.open("a") as file:
            file.write(f"{run['parameters']['seed']} {time.monotonic()} {wait} {batch}\n")
        looks = sum(line.startswith("1 ") for line in log.read_text().splitlines())
        if run["parameters"]["seed"] == 1:
            return run | {"status": ("busy", "stopped", "done")[looks - 1]}
        time.sleep(0.7)
        return run | {"status": "done"}

    monkeypatch.setattr(pool, "PATIENCE", 1.0)
    looks_at(monkeypatch, look)
    runs = [run_of(notebook, seed=seed) for seed in (1, 2)]
    came = list(pool.outcomes(submit, runs))
    assert [(one["parameters"]["seed"], one["status"]) for one in came] == [(2, "done"), (1, "done")]
    looks = [line.split() for line in log.read_text().splitlines()]
    times = [float(when) for seed, when, *_ in looks if seed == "1"]
    assert len(times) == 3 and min(b - a for a, b in zip(times, times[1:], strict=False)) >= 1.0
    waits = [float(wait) for seed, _, wait, _ in looks if seed == "1"]
    assert waits[0] == 0 and min(waits[1:]) > locks.SILENCE  # long enough to see that another machine is dead
    assert len({batch for *_, batch in looks}) == 1


def test_a_result_comes_while_another_run_is_busy(notebook, submit, monkeypatch):
    def look(run, *_, **__):
        return run | {"status": "busy" if run["parameters"]["seed"] == 1 else "done"}

    looks_at(monkeypatch, look)
    runs = [run_of(notebook, seed=seed) for seed in (1, 2, 3)]
    begin, coming = time.monotonic(), pool.outcomes(submit, runs)
    assert {next(coming)["parameters"]["seed"] for _ in range(2)} == {2, 3}
    assert time.monotonic() - begin < pool.PATIENCE


def test_time_that_is_up_ends_the_waiting(notebook, submit, monkeypatch):
    looks_at(monkeypatch, lambda run, *_, **__: run | {"status": "busy"})
    begin = time.monotonic()
    assert list(pool.outcomes(submit, [run_of(notebook)], until=begin + 1)) == []
    assert 1 <= time.monotonic() - begin < pool.PATIENCE


def test_what_nobody_could_tell_is_a_failure(notebook, submit, monkeypatch):
    looks_at(monkeypatch, lambda *_, **__: 1 / 0)
    (outcome,) = pool.outcomes(submit, [run_of(notebook)])
    assert outcome["status"] == "failed" and outcome["error"] == "ZeroDivisionError: division by zero"


def test_planning_a_batch_of_a_notebook_loads_neither_dask_nor_torch(notebook):
    code = "import sys, covidseg.runs.command, covidseg.tables.batch\n"
    code += "covidseg.runs.plan.plan(sys.argv[1], [{}])\n"
    code += "print(sorted({'dask', 'distributed', 'torch'} & set(sys.modules)))"
    line = [sys.executable, "-c", code, str(notebook)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


# ----------------------------------------------------------------------------------------- the real thing


def batch(*arguments, **environment) -> subprocess.Popen:
    """``covidseg batch ...`` as a process of its own, which obeys Ctrl-C even if these tests run in the background."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from covidseg.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, "batch"]
        + [str(argument) for argument in arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | environment,
    )  # fmt: skip


def rows_of(folder: Path) -> dict[str, dict]:
    with (folder / "summary.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def executions(folder: Path) -> list[int]:
    return sorted(int(line) for line in (folder / "executions.txt").read_text().split())


def leftovers(folder: Path) -> list[str]:
    """Names in a batch's folder that only unfinished work has."""
    return [name for name in os.listdir(folder) if ".part-" in name or ".lock" in name or name.startswith(".")]


@pytest.mark.timeout(600)
def test_a_batch_isolates_failures_pins_gpus_and_goes_on_where_it_stopped(tmp_path, notebook):
    block = {
        "notebook": str(notebook),
        "runs": [{"seed": 1}, {"seed": 2}, {"seed": 3, "trouble": "raise"}, {"seed": 4, "trouble": "die"}],
    }
    path, out = grid_file(tmp_path, block), tmp_path / "out"
    first = batch(path, "-o", out, "--workers", 2, CUDA_VISIBLE_DEVICES="5,7")
    text, _ = first.communicate(timeout=500)
    assert first.returncode == 1, text
    rows = {row["seed"]: row for row in rows_of(out).values()}
    assert [rows[seed]["status"] for seed in "1234"] == ["done", "done", "failed", "failed"]
    assert rows["3"]["error"].endswith("ValueError: no such slice") and "kernel died" in rows["4"]["error"]
    assert rows["1"]["result double"] == "2" and {rows["1"]["result gpu"], rows["2"]["result gpu"]} <= {"5", "7"}
    assert leftovers(out) == [] and executions(out) == [1, 2, 3, 4]

    again = batch(path, "-o", out, "--workers", 2)
    text, _ = again.communicate(timeout=500)
    rows = {row["seed"]: row["status"] for row in rows_of(out).values()}
    assert rows == {"1": "had", "2": "had", "3": "failed", "4": "done"}, text  # 4 finds its checkpoint
    assert executions(out) == [1, 2, 3, 3, 4, 4] and "4 runs: 1 done, 2 done before, 1 failed." in text


@pytest.mark.timeout(600)
def test_two_batches_in_one_folder_do_every_run_once(tmp_path, notebook):
    path, out = grid_file(tmp_path, {"notebook": str(notebook), "grid": {"seed": [1, 2, 3, 4]}}), tmp_path / "out"
    both = [batch(path, "-o", out), batch(path, "-o", out)]
    texts = [process.communicate(timeout=500)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert executions(out) == [1, 2, 3, 4] and leftovers(out) == []


@pytest.mark.timeout(600)
def test_ctrl_c_ends_what_runs_and_leaves_the_rest_to_the_next_call(tmp_path, notebook):
    toy(tmp_path, "time.sleep(600 if seed == 2 and not (folder / 'second').exists() else 0)\n" + RESULT)
    path, out = grid_file(tmp_path, {"notebook": str(notebook), "grid": {"seed": [1, 2]}}), tmp_path / "out"
    process = batch(path, "-o", out)
    wait_for(lambda: (out / "executions.txt").is_file() and executions(out) == [1, 2])
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=100)
    assert process.returncode == 130 and "Traceback" not in text
    assert "Stopped with 1 of 2 runs done; the same call does the rest." in text
    wait_for(lambda: not workers_at(out))
    (part,) = out.glob("*seed2*.part-*")
    (part / "second").touch()
    second = batch(path, "-o", out)
    text, _ = second.communicate(timeout=500)
    assert second.returncode == 0 and "2 runs: 1 done, 1 done before." in text
    assert leftovers(out) == []


def wait_for(condition, seconds: float = 200) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def workers_at(out: Path) -> list[int]:
    """Processes that execute a notebook into a folder of this batch."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("COVIDSEG_RESULT", "").startswith(str(out)):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.timeout(600)
def test_hand_started_scheduler_and_workers_do_the_same_batch(tmp_path, notebook):
    path, out = grid_file(tmp_path, {"notebook": str(notebook), "grid": {"seed": [1, 2, 3]}}), tmp_path / "out"
    address = f"tcp://127.0.0.1:{free_port()}"
    commands = [
        [*dask_program("scheduler"), "--host", "127.0.0.1", "--port", address.rsplit(":")[-1], "--no-dashboard"],
        *[[*dask_program("worker"), address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard"]] * 2,
    ]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    started = [subprocess.Popen(command, **quiet) for command in commands]
    try:
        process = batch(path, "-o", out, "--scheduler", address)
        text, _ = process.communicate(timeout=400)
        assert process.returncode == 0 and "3 runs: 3 done." in text, text
        assert executions(out) == [1, 2, 3] and leftovers(out) == []
    finally:
        for each in started[::-1]:
            each.terminate()
        for each in started:
            each.wait(30)


def dask_program(name: str) -> list[str]:
    return [sys.executable, "-m", f"distributed.cli.dask_{name}"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_scheduler_that_is_not_there_is_one_line(tmp_path, notebook, capsys):
    path = grid_file(tmp_path, {"notebook": str(notebook), "grid": {"seed": [1]}})
    assert main(["batch", str(path), "-o", str(tmp_path / "out"), "--scheduler", f"tcp://127.0.0.1:{free_port()}"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("covidseg: No scheduler answers at tcp://127.0.0.1:") and err.count("\n") == 1


@pytest.mark.parametrize("address", ["foo", "127.0.0.1:8786", "http://10.0.0.5:8786", "tcp://foo"])
def test_what_is_no_schedulers_address_is_refused_without_trying_it(address):
    with pytest.raises(UserError, match="is no address of a scheduler: .* tcp://10.0.0.5:8786"):
        cluster.connect(scheduler=address).__enter__()


# The processes of a batch by what their command lines hold: itself, a run, the executor of its notebook, its kernel.
VICTIMS = ("covidseg.cli", "covidseg.runs.work", "covidseg.lessons.child", "ipykernel_launcher")
KILLS = int(os.environ.get("COVIDSEG_KILLS", len(VICTIMS)))  # more of them go round again


@pytest.mark.timeout(900)
def test_random_sigkills_lose_no_run_and_leave_none_half_done(tmp_path, notebook):
    """Each kind of process is a victim in turn, at a random moment."""
    seeds = list(range(1, 5))
    path, out = grid_file(tmp_path, {"notebook": str(notebook), "grid": {"seed": seeds}}), tmp_path / "out"
    chance, victims, process = random.Random(0), [], None
    finished: set[str] = set()
    while len(victims) < KILLS:
        if process is None or process.poll() is not None:
            if all_done(out, seeds) and len(victims) < KILLS:  # too quick for us: more to do
                seeds += range(len(seeds) + 1, len(seeds) + 5)
                path = grid_file(tmp_path, {"notebook": str(notebook), "grid": {"seed": seeds}})
            process = batch(path, "-o", out, "--workers", 2)
        time.sleep(chance.uniform(0.2, 1.2))
        victims += kill_one_of(process, VICTIMS[len(victims) % len(VICTIMS)], chance)
        assert finished <= (finished := done_folders(out)), "a finished run has gone"
    process.communicate()
    for _ in range(4):  # a killed kernel is a failure, and a failure is tried again by the next call
        last = batch(path, "-o", out, "--workers", 2)
        text, _ = last.communicate(timeout=400)
        if last.returncode == 0:
            break
    assert last.returncode == 0, text
    rows = rows_of(out)
    assert sorted(int(row["seed"]) for row in rows.values()) == seeds
    for name, row in rows.items():
        record = json.loads((out / name / "result.json").read_text())
        assert record["results"]["double"] == 2 * int(row["seed"]) == int(row["result double"])
        assert json.loads((out / name / "batch.json").read_text())["name"] == name
    wait_for(lambda: not workers_at(out), 60)
    for hidden in out.glob(".*"):
        os.utime(hidden, (time.time() - 2 * work.LITTER,) * 2)  # as if we had waited
    batch(path, "-o", out).communicate(timeout=400)
    assert leftovers(out) == []


def done_folders(out: Path) -> set[str]:
    return {path.parent.name for path in out.glob("*/batch.json") if "." not in path.parent.name}


def all_done(out: Path, seeds: list[int]) -> bool:
    return len(done_folders(out)) >= len(seeds)


def kill_one_of(process: subprocess.Popen, kind: str, chance: random.Random) -> list[str]:
    """SIGKILL for a process of this kind, the batch or one below it; its kind, or nothing if there is none."""
    try:
        root = psutil.Process(process.pid)
        of_kind = [p for p in (root, *root.children(recursive=True)) if any(kind in word for word in p.cmdline())]
        if not of_kind:
            return []
        chance.choice(of_kind).kill()
        return [kind]
    except psutil.Error:
        return []
