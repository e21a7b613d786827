"""Runs without notebooks: checked first, done once, stopped in time without a loss."""

import json

import pytest

from covidseg.errors import UserError
from covidseg.experiments import bare
from covidseg.results import load_record

SMOKE = {"budget": "smoke", "device": "cpu", "epochs": 1}


def grid_file(folder, *blocks):
    path = folder / "grid.json"
    path.write_text(json.dumps(list(blocks)))
    return path


def test_the_pending_runs_are_runs(repo):
    runs = bare.read_runs(repo / "results" / "pending.json")
    assert len(runs) == len({bare.name_of(run) for run in runs}) and all(run["device"] == "cuda" for run in runs)


def test_a_grid_is_every_combination(tmp_path):
    runs = bare.read_runs(grid_file(tmp_path, {"parameters": SMOKE, "grid": {"seed": [1, 2], "variant": ["", "SB"]}}))
    assert [(run["seed"], run["variant"], run["model"]) for run in runs] == [
        (1, "", "miniseg"), (1, "SB", "miniseg"), (2, "", "miniseg"), (2, "SB", "miniseg")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "grid.json is no JSON list of grids"),
        ("[3]", "grid.json is no JSON list of grids"),
        ('[{"parameters": {"model": "minseg"}}]', "Did you mean 'miniseg'"),
        ('[{"parameters": {"fould": 2}}]', "grid.json: .*fould"),
    ],
)
def test_a_wrong_grid_is_one_line(text, message, tmp_path, capsys):
    path = tmp_path / "grid.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        bare.read_runs(path)
    assert bare.main([str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_is_done_once_and_its_record_is_whole(tmp_path, capsys):
    path = grid_file(tmp_path, {"parameters": SMOKE})
    assert bare.main([str(path), "-o", str(tmp_path / "out")]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    record = load_record(folder / "result.json")
    assert (record["changed"], record["model"], record["budget"]) == ({"epochs": 1}, "miniseg", "smoke")
    written = (folder / "result.json").stat().st_mtime_ns
    assert bare.main([str(path), "-o", str(tmp_path / "out")]) == 0
    assert (folder / "result.json").stat().st_mtime_ns == written and capsys.readouterr().out.count("Dice") == 2


def test_time_that_is_up_stops_the_runs_and_names_what_is_missing(tmp_path):
    runs = bare.read_runs(grid_file(tmp_path, {"parameters": SMOKE | {"epochs": 100_000}, "grid": {"seed": [0, 1]}}))
    missing = bare.run_all(runs, tmp_path / "out", workers=1, minutes=0.15)
    assert missing == [bare.name_of(run) for run in runs]
    assert not (tmp_path / "out" / missing[1]).exists()  # the second never began
