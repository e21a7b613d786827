"""Runs without notebooks: checked first, done once, stopped in time without a loss."""

import json
import os
import signal
import subprocess
import sys
from time import monotonic, sleep

import pytest
import torch

from covidseg import lesson
from covidseg.errors import UserError
from covidseg.lessons import read, resolve, schema
from covidseg.runs import bare, bare_grid
from covidseg.runs.bare_grid import name_of, read_runs
from covidseg.runs.record import load_record
from covidseg.runs.source import source_key

SMOKE = {"budget": "smoke", "device": "cpu", "epochs": 1}
LONG = SMOKE | {"epochs": 100_000}
posix = pytest.mark.skipif(os.name != "posix", reason="signals and locks of files")


def grid_file(folder, *blocks):
    path = folder / "grid.json"
    path.write_text(json.dumps(list(blocks)))
    return path


def seeds(folder, *blocks):
    return [run["seed"] for run in read_runs(grid_file(folder, *blocks))]


# --------------------------------------------------------------------------------------------- which runs


def test_the_pending_runs_are_runs(repo):
    runs = read_runs(repo / "results" / "pending.json")
    assert len(runs) == len({name_of(run) for run in runs}) and all(run["device"] == "cuda" for run in runs)


def test_a_grid_is_every_combination(tmp_path):
    runs = read_runs(grid_file(tmp_path, {"parameters": SMOKE, "grid": {"seed": [1, 2], "variant": ["", "SB"]}}))
    assert [(run["seed"], run["variant"], run["model"]) for run in runs] == [
        (1, "", "miniseg"), (1, "SB", "miniseg"), (2, "", "miniseg"), (2, "SB", "miniseg")
    ]  # fmt: skip


def test_single_runs_stand_beside_the_grid_or_alone(tmp_path):
    single = {"parameters": SMOKE | {"seed": 5}, "runs": [{"variant": "SB"}, {"seed": 7}]}
    runs = read_runs(grid_file(tmp_path, single))
    assert [(run["seed"], run["variant"], run["epochs"]) for run in runs] == [(5, "SB", 1), (7, "", 1)]
    assert seeds(tmp_path, single | {"grid": {"seed": [1, 2]}}) == [1, 2, 5, 7]
    assert seeds(tmp_path, {"parameters": SMOKE, "says": "no grid is one run"}) == [0]


def test_a_run_that_is_named_twice_is_one_run(tmp_path):
    assert seeds(tmp_path, {"grid": {"seed": [0, 0]}}) == [0]
    assert seeds(tmp_path, {"grid": {"seed": [0, 1]}}, {"grid": {"seed": [1, 2]}}, {"runs": [{"seed": 2}]}) == [0, 1, 2]


def test_parameters_are_those_of_the_notebook():
    known = schema.parameters(read(resolve(["40_train_one"])[0]))
    assert {name: p.default for name, p in known.items()} | {"device": "auto"} == bare_grid.DEFAULTS
    assert {name: p.bounds for name, p in known.items() if p.bounds} == bare_grid.BOUNDS
    assert known["device"].allowed == bare_grid.DEVICES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "is no JSON list of grids"),
        ("[3]", "a grid is a mapping with parameters, grid, runs, says, not 3"),
        ("{}", "is no JSON list of grids"),
        ("[]", "is no JSON list of grids"),
        ('[{"parameters": {"model": "minseg"}}]', "Did you mean 'miniseg'"),
        ('[{"parameters": {"fould": 2}}]', "'fould'. Did you mean 'fold'"),
        ('[{"runs": [{"sead": 2}]}]', "'sead'. Did you mean 'seed'"),
        ('[{"gird": {"seed": [1]}}]', "'gird'. Did you mean 'grid'"),
        ('[{"notebook": "40_train_one"}]', "No field of a grid is called 'notebook'"),
        ('[{"grid": {"seed": []}}]', r"field grid.seed should be a list of values, not \[\]"),
        ('[{"grid": {"seed": 3}}]', "field grid.seed should be a list of values, not 3"),
        ('[{"grid": [1]}]', r"field grid should be a mapping, not \[1\]"),
        ('[{"parameters": 5}]', "field parameters should be a mapping, not 5"),
        ('[{"runs": {"seed": 1}}]', "field runs should be a list"),
        ('[{"runs": [1]}]', "every entry of runs should be a mapping, not 1"),
        ('[{"parameters": {"seed": NaN}}]', "seed=nan should be a whole number"),
        ('[{"parameters": {"seed": "x"}}]', "seed='x' should be a whole number"),
        ('[{"parameters": {"seed": "012"}}]', "seed='012' should be a whole number"),
        ('[{"parameters": {"seed": true}}]', "seed=True should be a whole number"),
        ('[{"parameters": {"seed": null}}]', "seed=None should be a whole number"),
        ('[{"parameters": {"seed": -1}}]', "seed=-1 is outside 0..1000000"),
        ('[{"parameters": {"fold": 1.5}}]', "fold=1.5 should be a whole number"),
        ('[{"parameters": {"fold": 6}}]', "fold=6 is outside 0..5"),
        ('[{"parameters": {"epochs": 2.5}}]', "epochs=2.5 should be a whole number"),
        ('[{"parameters": {"epochs": 0}}]', "epochs=0 must be above 0"),
        ('[{"parameters": {"size": 8}}]', "size=8: give a side"),
        ('[{"parameters": {"budget": ["smoke"]}}]', "should be a text"),
        ('[{"parameters": {"device": "cudaa"}}]', "'cudaa'. Did you mean 'cuda'"),
    ],
)
def test_a_wrong_grid_is_one_line(text, message, tmp_path, capsys):
    path = tmp_path / "grid.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_runs(path)
    assert str(error.value).startswith(str(path))
    assert bare.main([str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_less_than_one_worker_is_refused(tmp_path, capsys):
    path = grid_file(tmp_path, {"parameters": SMOKE})
    assert bare.main([str(path), "-o", str(tmp_path / "out"), "--workers", "0"]) == 1
    assert capsys.readouterr().err == "covidseg: workers=0: give 1 or more.\n"


# ------------------------------------------------------------------------------------------------ a run's folder


def test_other_code_means_another_folder(monkeypatch):
    here = name_of(bare_grid.DEFAULTS)
    assert here == f"miniseg-phantom-fold1-seed0-lesson-{source_key()[:8]}"
    monkeypatch.setattr(bare_grid, "source_key", lambda: "0123456789")
    assert name_of(bare_grid.DEFAULTS) == "miniseg-phantom-fold1-seed0-lesson-01234567"


@pytest.fixture
def did(monkeypatch):
    """The folders that a stub of ``do`` was called with."""
    folders = []
    monkeypatch.setattr(bare, "do", lambda run, folder: folders.append(folder))
    before = signal.getsignal(signal.SIGINT)
    yield folders
    signal.signal(signal.SIGINT, before)


HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(100)
"""


@posix
def test_a_folder_has_one_writer_and_a_killed_one_leaves_it_free(tmp_path, did, capfd):
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "lock"], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        bare.work("{}", str(tmp_path))
        assert did == [] and capfd.readouterr().err.endswith("another process is at it; it is left alone.\n")
        other.kill()
    bare.work("{}", str(tmp_path))
    assert did == [tmp_path] and capfd.readouterr().err == ""


def test_without_locks_a_run_does_without(tmp_path, did, monkeypatch):
    monkeypatch.setattr(bare, "fcntl", None)
    bare.work("{}", str(tmp_path / "new"))
    assert did == [tmp_path / "new"]


def test_a_run_begins_as_a_lesson_does(tmp_path, capsys, monkeypatch):
    def told():
        cudnn = torch.backends.cudnn
        return torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark, torch.rand(1).item()

    lesson.start("40_train_one", budget="smoke", seed=3)
    wanted = told()
    torch.set_num_threads(2)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    begun = []
    monkeypatch.setattr(bare, "trial_of", lambda run: begun.append(told()) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bare.do({"seed": 3}, tmp_path)
    assert begun == [wanted]


# ------------------------------------------------------------------------------------------------- all of them


TELLS = """
import json, os, sys
about = {"session": os.getsid(0) == os.getpid(), "threads": os.environ["OMP_NUM_THREADS"], "run": sys.argv[1]}
with open(sys.argv[2] + ".json", "w") as file:
    json.dump(about, file)
"""


@posix
def test_each_child_has_a_session_and_a_thread_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(bare, "CHILD", TELLS)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run = bare_grid.DEFAULTS | {"seed": 4}
    assert bare.run_all([run, run], tmp_path, workers=2) == [name_of(run)]  # named twice, started and told once
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text()) == {"session": True, "threads": "1", "run": json.dumps(run)}


def test_a_run_is_done_once_and_its_record_is_whole(tmp_path, capsys):
    path = grid_file(tmp_path, {"parameters": SMOKE})
    assert bare.main([str(path), "-o", str(tmp_path / "out")]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    result = folder / "result.json"
    record = load_record(result)
    assert (record["changed"], record["model"], record["budget"]) == ({"epochs": 1}, "miniseg", "smoke")
    written = result.stat().st_mtime_ns
    assert bare.main([str(path), "-o", str(tmp_path / "out")]) == 0
    assert result.stat().st_mtime_ns == written and capsys.readouterr().out.count("Dice") == 2


def test_half_a_record_is_none(tmp_path, monkeypatch, capsys):
    path = grid_file(tmp_path, {"parameters": SMOKE})
    result = tmp_path / "out" / name_of(read_runs(path)[0]) / "result.json"
    result.parent.mkdir(parents=True)
    result.write_text('{"schema": "covidseg-run-1", "mod')  # the disk was full
    monkeypatch.setattr(bare, "CHILD", "import sys; open(sys.argv[2] + '/begun', 'w')")
    assert bare.main([str(path), "-o", str(tmp_path / "out")]) == 1
    assert (result.parent / "begun").is_file() and "1 of 1 runs are missing" in capsys.readouterr().out


def test_time_that_is_up_stops_the_runs_and_names_what_is_missing(tmp_path):
    runs = read_runs(grid_file(tmp_path, {"parameters": LONG, "grid": {"seed": [0, 1]}}))
    missing = bare.run_all(runs, tmp_path / "out", workers=1, minutes=0.15)
    assert missing == [name_of(run) for run in runs]
    assert not (tmp_path / "out" / missing[1]).exists()  # the second never began


INTERRUPTS = """
import os, signal, sys, time
came = []
signal.signal(signal.SIGINT, lambda *_: came.append(1))
os.kill(os.getppid(), signal.SIGINT)
time.sleep(2)  # sleeps on after a signal
with open(sys.argv[2], "w") as file:
    print(len(came), file=file)
"""


@pytest.fixture
def heard():
    """Ctrl-C is heard, though these tests may run in the background of a shell, where it is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@posix
def test_ctrl_c_reaches_each_child_once_and_leaves_no_traceback(tmp_path, monkeypatch, capfd, heard):
    monkeypatch.setattr(bare, "CHILD", INTERRUPTS)
    path = grid_file(tmp_path, {"parameters": SMOKE, "grid": {"seed": [0, 1]}})
    assert bare.main([str(path), "-o", str(tmp_path)]) == 130
    told, complaint = capfd.readouterr()
    assert told.startswith("2 of 2 runs are missing (miniseg-phantom") and complaint == ""
    assert [file.read_text() for file in tmp_path.glob("miniseg*")] == ["1\n"]  # the other never began


@posix
def test_a_run_stops_when_its_parent_is_gone(heard):
    with pytest.raises(KeyboardInterrupt):  # so that a training saves itself
        bare.end_with(parent=-1)
        sleep(10)


@posix
def test_a_program_that_is_asked_to_end_lets_its_runs_save_themselves(tmp_path):
    path, out = grid_file(tmp_path, {"parameters": LONG}), tmp_path / "out"
    command = [sys.executable, "-m", "covidseg.runs.bare", str(path), "-o", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as program:
        end = monotonic() + 120
        while not list(out.glob("*/run.json")) and monotonic() < end:  # until it trains
            sleep(0.1)
        program.terminate()
        told, complaint = program.communicate(timeout=60)  # until the run, which has the same output, has ended
    assert program.returncode == 130 and "Traceback" not in complaint
    assert "stopped; its checkpoint is kept" in told and "1 of 1 runs are missing" in told
    assert list(out.glob("*/last.pt"))
