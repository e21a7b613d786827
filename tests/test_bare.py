"""Runs without notebooks, on a machine with torch alone: checked first, done once, stopped in time without a loss."""

import json
import os
import signal
import subprocess
import sys
from time import monotonic, sleep

import pytest
import torch

from covidseg import lesson
from covidseg.cli import main as covidseg
from covidseg.errors import UserError
from covidseg.lessons import read, resolve, schema
from covidseg.processes import end_with
from covidseg.runs import command, plain, plan, work, worker
from covidseg.runs.__main__ import main
from covidseg.runs.plan import plan_file
from covidseg.runs.record import load_record
from covidseg.runs.trial import Trial

SMOKE = {"budget": "smoke", "device": "cpu", "epochs": 1}
LONG = SMOKE | {"epochs": 100_000}
posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def grid_file(folder, *blocks):
    path = folder / "grid.json"
    path.write_text(json.dumps(list(blocks)))
    return path


def planned(folder, *blocks):
    return plan_file(grid_file(folder, *blocks), {}, plain=True)


def seeds(folder, *blocks):
    return [run.parameters["seed"] for run in planned(folder, *blocks)]


# --------------------------------------------------------------------------------------------- which runs


def test_the_pending_runs_are_runs(repo):
    runs = plan_file(repo / "results" / "pending.json", {}, plain=True)
    assert len(runs) == len({run.name for run in runs}) > 0
    assert all(run.parameters["device"] == "cuda" and run.notebook == "" for run in runs)


def test_single_runs_stand_beside_the_grid_or_alone(tmp_path):
    single = {"parameters": SMOKE | {"seed": 5}, "runs": [{"variant": "SB"}, {"seed": 7}]}
    places = [
        (run.parameters["seed"], run.parameters["variant"], run.parameters["epochs"])
        for run in planned(tmp_path, single)
    ]
    assert places == [(5, "SB", 1), (7, "", 1)]
    assert seeds(tmp_path, single | {"grid": {"seed": [1, 2]}}) == [1, 2, 5, 7]
    assert seeds(tmp_path, {"parameters": SMOKE, "says": "no grid is one run"}) == [0]


def test_a_run_that_is_named_twice_is_one_run(tmp_path):
    assert seeds(tmp_path, {"grid": {"seed": [0, 0]}}) == [0]
    assert seeds(tmp_path, {"grid": {"seed": [0, 1]}}, {"grid": {"seed": [1, 2]}}, {"runs": [{"seed": 2}]}) == [0, 1, 2]


def test_json_and_yaml_are_one_grid(tmp_path):
    (tmp_path / "grid.yaml").write_text("parameters: {budget: smoke}\ngrid: {seed: [1, 2]}\n")
    block = {"parameters": {"budget": "smoke"}, "grid": {"seed": [1, 2]}}
    assert plan_file(tmp_path / "grid.yaml", {}, plain=True) == planned(tmp_path, block)
    (tmp_path / "grid.json").write_text(json.dumps(block))
    assert plan_file(tmp_path / "grid.json", {}, plain=True) == planned(tmp_path, block)


def test_parameters_are_those_of_the_notebook():
    known = schema.parameters(read(resolve(["40_train_one"])[0]))
    here = schema.read_cell(plan.PLAIN)
    assert {name: p.default for name, p in known.items()} | {"device": "auto"} == {
        n: p.default for n, p in here.items()
    }
    for name, parameter in known.items():
        assert (here[name].types, here[name].allowed, here[name].bounds) == (
            parameter.types, parameter.allowed, parameter.bounds
        )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "is not JSON"),
        ("[3]", "a grid is a mapping with notebook, parameters, grid, runs, says, not 3"),
        ("3", "a grid is a mapping with notebook, parameters, grid, runs, says, not 3"),
        ("{}", "is empty: a grid is a mapping"),
        ("[]", "is empty: a grid is a mapping"),
        ('[{"parameters": {"model": "minseg"}}]', "Did you mean 'miniseg'"),
        ('[{"parameters": {"fould": 2}}]', "'fould'. Did you mean 'fold'"),
        ('[{"runs": [{"sead": 2}]}]', "'sead'. Did you mean 'seed'"),
        ('[{"gird": {"seed": [1]}}]', "'gird'. Did you mean 'grid'"),
        ('[{"notebook": "20_miniseg"}]', "20_miniseg cannot be run plainly: only 40_train_one"),
        ('[{"grid": {"seed": []}}]', r"field grid.seed should be a list of values, not \[\]"),
        ('[{"grid": {"seed": 3}}]', "field grid.seed should be a list of values, not 3"),
        ('[{"grid": [1]}]', r"field grid should be a mapping, not \[1\]"),
        ('[{"parameters": 5}]', "field parameters should be a mapping, not 5"),
        ('[{"runs": {"seed": 1}}]', "field runs should be a list"),
        ('[{"runs": [1]}]', "every entry of runs should be a mapping, not 1"),
        ('[{"parameters": {"seed": NaN}}]', "seed=nan should be of type int"),
        ('[{"parameters": {"seed": "x"}}]', "seed='x' should be of type int"),
        ('[{"parameters": {"seed": "012"}}]', "seed='012' should be of type int"),
        ('[{"parameters": {"seed": true}}]', "seed=True should be of type int"),
        ('[{"parameters": {"seed": null}}]', "seed=None should be of type int"),
        ('[{"parameters": {"seed": -1}}]', "seed=-1 is outside 0.0..1000000"),
        ('[{"parameters": {"fold": 1.5}}]', "fold=1.5 should be of type int"),
        ('[{"parameters": {"fold": 6}}]', "fold=6 is outside 0.0..5"),
        ('[{"parameters": {"epochs": 2.5}}]', "epochs=2.5 should be of type"),
        ('[{"parameters": {"epochs": 0}}]', "epochs=0 must be above 0"),
        ('[{"parameters": {"size": 8}}]', "size=8: give a side"),
        ('[{"parameters": {"budget": ["smoke"]}}]', "should be of type str"),
        ('[{"parameters": {"device": "cudaa"}}]', "'cudaa'. Did you mean 'cuda'"),
    ],
)
def test_a_wrong_grid_is_one_line(text, message, tmp_path, capsys):
    path = tmp_path / "grid.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        plan_file(path, {}, plain=True)
    assert str(error.value).startswith(str(path))
    assert main([str(path), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_less_than_one_worker_is_refused(tmp_path, capsys):
    path = grid_file(tmp_path, {"parameters": SMOKE})
    assert main([str(path), "-o", str(tmp_path / "out"), "--workers", "0"]) == 1
    assert capsys.readouterr().err == "covidseg: workers=0: give 1 or more.\n"


def test_other_code_means_another_folder(tmp_path, monkeypatch):
    (here,) = planned(tmp_path, {})
    assert here.name == f"train-seed0-miniseg-phantom-fold1-{here.key[:8]}"
    monkeypatch.setattr(Trial, "source_key", lambda self: "0123456789")
    (there,) = planned(tmp_path, {})
    assert there.key != here.key and there.name == f"train-seed0-miniseg-phantom-fold1-{there.key[:8]}"


# ------------------------------------------------------------------------------------------------ one run


def test_a_run_begins_as_a_lesson_does(tmp_path, monkeypatch):
    def state():
        cudnn = torch.backends.cudnn
        return torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark, torch.rand(1).item()

    lesson.start("40_train_one", budget="smoke", seed=3)
    wanted = state()
    torch.set_num_threads(2)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    begun = []
    monkeypatch.setattr(plain, "trial_of", lambda run: begun.append(state()) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plain.train({"seed": 3}, tmp_path)
    assert begun == [wanted]


def test_whatever_a_training_raises_is_kept_to_look_at(tmp_path, monkeypatch):
    (run,) = planned(tmp_path, {"parameters": SMOKE})
    monkeypatch.setattr(plain, "train", lambda *_: 1 / 0)
    outcome = work.do(run.to_dict(), tmp_path, 60)
    assert (outcome["status"], outcome["error"]) == ("failed", "ZeroDivisionError: division by zero")
    assert "Traceback" in (tmp_path / f"{run.name}.failed" / "log.txt").read_text()


@posix
def test_a_run_that_takes_too_long_or_too_much_goes_on_from_its_checkpoint(tmp_path, monkeypatch, heard):
    (run,) = planned(tmp_path, {"parameters": SMOKE})

    def train(parameters, folder):
        found = sorted(path.name for path in folder.iterdir() if path.suffix == ".pt")
        (folder / f"{len(found)}.pt").touch()
        if not found:
            sleep(20)
        if len(found) == 1:
            raise UserError("Out of memory on cuda")
        return {"found": len(found)}

    monkeypatch.setattr(plain, "train", train)
    outcome = work.do(run.to_dict(), tmp_path, 0.5)
    assert (outcome["status"], outcome["error"]) == ("timeout", "took longer than 0.5 s")
    assert work.do(run.to_dict(), tmp_path, 60)["status"] == "failed"
    assert work.do(run.to_dict(), tmp_path, 60)["results"] == {"found": 2}


# ------------------------------------------------------------------------------------------------- all of them


def child(monkeypatch, code: str) -> None:
    """What runs instead of ``python -m covidseg.runs.work``; it finds its job in ``job``."""
    before = subprocess.Popen
    monkeypatch.setattr(
        worker.subprocess,
        "Popen",
        lambda _, **options: before(
            [sys.executable, "-c", f"import json, sys\njob = json.load(sys.stdin)\n{code}"], **options
        ),
    )


TELLS = """
import os
about = {"session": os.getsid(0) == os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}
print(json.dumps(job["run"] | {"status": "done", "results": about}))
"""


@posix
def test_each_child_has_a_session_and_a_thread_of_its_own(tmp_path, monkeypatch):
    runs = planned(tmp_path, {"parameters": SMOKE, "grid": {"seed": [4, 5]}})
    child(monkeypatch, TELLS)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    outcomes = command.run(runs, tmp_path / "out", workers=2)
    assert [outcome["results"] for outcome in outcomes] == [{"session": True, "threads": "1"}] * 2


BARE = ("yaml", "typer", "tqdm", "papermill", "nbformat", "nbclient", "nbconvert", "dask", "distributed", "psutil")
BARE += ("matplotlib", "pandas", "nibabel", "pydicom", "PIL", "IPython", "ipywidgets")


@pytest.mark.timeout(600)
def test_a_run_needs_torch_alone_is_done_once_and_its_record_is_whole(tmp_path):
    """On a machine without Jupyter, dask, typer, yaml: they cannot be imported, by the runner or by its runs."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({BARE!r}))\n")
    paths = [str(tmp_path), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COVIDSEG_QUIET": "1"}
    path, out = grid_file(tmp_path, {"parameters": SMOKE}), tmp_path / "out"
    line = [sys.executable, "-m", "covidseg.runs", str(path), "-o", str(out)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0 and "DSC (last)" in done.stdout and "1 run: 1 done." in done.stdout, done
    (result,) = out.glob("*/result.json")
    record = load_record(result)
    assert (record["changed"], record["model"], record["budget"]) == ({"epochs": 1}, "miniseg", "smoke")
    written = result.stat().st_mtime_ns
    assert covidseg(["batch", str(path), "-o", str(out), "--plain"]) == 0  # the same runs by the same rule
    assert result.stat().st_mtime_ns == written and "done before" in (out / "index.html").read_text()


def test_time_that_is_up_stops_the_runs_and_names_what_is_missing(tmp_path, capsys):
    path = grid_file(tmp_path, {"parameters": LONG, "grid": {"seed": [0, 1]}})
    assert main([str(path), "-o", str(tmp_path / "out"), "--minutes", "0.15"]) == 1
    names = [run.name for run in plan_file(path, {}, plain=True)]
    assert f"Missing: {', '.join(names)}." in capsys.readouterr().out
    assert not list((tmp_path / "out").glob(f"{names[1]}*"))  # the second never began


INTERRUPTS = """
import os, signal, time
from pathlib import Path
came = []
signal.signal(signal.SIGTERM, lambda *_: came.append(1))
signal.signal(signal.SIGINT, lambda *_: came.append(2))
os.kill(os.getppid(), signal.SIGINT)
time.sleep(2)  # sleeps on after a signal
Path(job["folder"], job["run"]["name"]).write_text(str(came))
"""


@pytest.fixture
def heard():
    """Ctrl-C is heard, though these tests may run in the background of a shell, where it is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@posix
def test_ctrl_c_reaches_each_child_once_and_leaves_no_traceback(tmp_path, monkeypatch, capfd, heard):
    path, out = grid_file(tmp_path, {"parameters": SMOKE, "grid": {"seed": [0, 1]}}), tmp_path / "out"
    child(monkeypatch, INTERRUPTS)
    assert main([str(path), "-o", str(out)]) == 130
    said, complaint = capfd.readouterr()
    assert said.startswith("Stopped with 0 of 2 runs done; the same call does the rest.") and complaint == ""
    assert [file.read_text() for file in out.glob("train*")] == ["[1]"]  # the other never began


@posix
def test_a_process_ends_when_its_parent_is_gone(heard):
    with pytest.raises(KeyboardInterrupt):  # so that a training saves itself
        end_with(-1, lambda: os.kill(os.getpid(), signal.SIGINT))
        sleep(10)


@posix
@pytest.mark.parametrize("end", ["asked to end", "killed"])
def test_a_program_that_ends_lets_its_runs_save_themselves(end, tmp_path):
    path, out = grid_file(tmp_path, {"parameters": LONG}), tmp_path / "out"
    line = [sys.executable, "-m", "covidseg.runs", str(path), "-o", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, **pipes) as program:
        wait_for(lambda: list(out.glob("*/run.json")))  # until it trains
        program.terminate() if end == "asked to end" else program.kill()
        said, complaint = program.communicate(timeout=60)
    wait_for(lambda: not list(out.glob("*.lock")), 30)  # the run has ended, in good order
    assert list(out.glob("*.part-*/last.pt"))
    if end == "asked to end":
        assert program.returncode == 130 and complaint == ""
        assert "Stopped with 0 of 1 runs done; the same call does the rest." in said


def wait_for(condition, seconds: float = 120) -> None:
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "waited in vain"
        sleep(0.1)
