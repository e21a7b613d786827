"""Running notebooks headlessly: parameters refused early, each run on its own, a table and a page at the end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from functools import partial
from io import BytesIO

import psutil
import pytest
from nbformat.v4 import new_output
from PIL import Image
from toy_notebooks import code_notebook, good_notebook, save, stream

from covidseg import create_model
from covidseg.cli import main
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UnknownName, UserError
from covidseg.lessons import command, page, read, refresh, resolve, runner, schema, table
from covidseg.lessons.formulas import replace_formulas
from covidseg.lessons.runner import Outcome, run_notebook, run_notebooks
from covidseg.lessons.tidy import tidy
from covidseg.nn.weights import save_weights

CELL = '''
budget = "lesson"  # smoke | lesson | paper
fold = 1  # 1..5
layers = 2  # 2 | 4; blocks per stage
lr = 1e-3  # float
weights = None  # str | None
noisy = False
'''  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "got"),
    [
        ("budget", "smoke", "smoke"), ("fold", "3", 3), ("layers", 4, 4), ("lr", 1, 1.0), ("lr", "1e-4", 1e-4),
        ("weights", "P9-1", "P9-1"), ("weights", "none", None), ("noisy", "true", True),
    ],
)  # fmt: skip
def test_a_parameter_takes_the_type_of_its_literal(name, given, got):
    value = schema.read_cell(CELL)[name].accept(given)
    assert value == got and type(value) is type(got)


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("budget", "smokey", "Did you mean 'smoke'"), ("fold", 6, r"outside 1.0..5.0"), ("fold", "two", "type int"),
        ("fold", 1.5, "type int"), ("fold", True, "type int"), ("layers", 3, "Known: 2, 4"), ("noisy", 1, "type bool"),
        ("lr", "fast", "type float"), ("weights", 3, "type"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(name, given, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        schema.read_cell(CELL)[name].accept(given)
    assert name in str(caught.value)


@pytest.mark.parametrize("source", ["seed = 1 + x", "a, b = 1, 2", "import os", "seed = range(3)"])
def test_a_parameters_cell_holds_plain_literals_only(source):
    with pytest.raises(UserError):
        schema.read_cell(source)


def test_a_misspelt_parameter_is_refused_before_a_kernel_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_in_fresh_process", lambda *_: pytest.fail("a process was started"))
    source = save(code_notebook(), tmp_path)
    with pytest.raises(UnknownName, match="Did you mean 'seed'"):
        run_notebooks([source], tmp_path / "out", {"sed": 3})
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three notebooks, two at a time: one works, one raises, one kills its kernel."""
    folder = tmp_path_factory.mktemp("run")
    works = good_notebook("20_works")
    works.metadata["widgets"] = {"state": {}}
    raises = code_notebook("1 + 1", "raise ValueError('no such slice')", "print('never')")
    dies = code_notebook("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    pairs = {"20_works": works, "21_raises": raises, "22_dies": dies}
    sources = [save(notebook, folder / "notebooks", name) for name, notebook in pairs.items()]
    outcomes = run_notebooks(sources, folder / "out", {"seed": "5"}, jobs=2, timeout=200)
    return folder / "out", {outcome.name: outcome for outcome in outcomes}


def test_one_failure_never_stops_the_rest(finished):
    _, outcomes = finished
    statuses = {name: outcome.status for name, outcome in outcomes.items()}
    assert statuses == {"20_works": "done", "21_raises": "failed", "22_dies": "failed"}


def test_a_notebook_that_takes_too_long_is_ended(tmp_path):
    begin = time.monotonic()
    outcome = run_notebook(save(code_notebook("import time; time.sleep(600)"), tmp_path), tmp_path / "out", timeout=3)
    assert (outcome.status, outcome.error) == ("timeout", "took longer than 3 s")
    assert time.monotonic() - begin < 100  # three seconds, and at most ten to end it, on a busy machine


def test_a_notebook_ends_with_the_process_that_wanted_it(tmp_path):
    (tmp_path / "child.py").write_text(
        "import os, sys, time\nfrom covidseg.lessons import child\n"
        "child.execute = lambda job: (print(os.getpid(), flush=True), time.sleep(600))\nchild.main(sys.argv[1])"
    )
    parent = (
        "import json, os, pathlib, subprocess, sys, time\nfolder = pathlib.Path(sys.argv[1])\n"
        "(folder / 'job.json').write_text(json.dumps({'parent': os.getpid(), 'outcome': 'none'}))\n"
        "subprocess.Popen([sys.executable, folder / 'child.py', folder / 'job.json'])\ntime.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, tmp_path], stdout=subprocess.PIPE, text=True)
    orphan = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs([orphan], timeout=60)
    assert not alive


def test_an_outcome_names_the_cell_and_the_error(finished):
    _, outcomes = finished
    assert outcomes["21_raises"].error == "cell 4: ValueError: no such slice"  # papermill adds a cell with the values
    assert "kernel died" in outcomes["22_dies"].error


def test_parameters_reach_the_notebook_and_results_come_back(finished):
    folder, outcomes = finished
    assert outcomes["20_works"].results == {"six_times_seven": 42, "width": 0.5}
    record = json.loads((folder / "20_works" / "result.json").read_text())
    assert record["seed"] == 5


def test_an_executed_notebook_keeps_outputs_and_loses_run_metadata(finished):
    _, outcomes = finished
    notebook = read(outcomes["20_works"].executed)
    assert set(notebook.metadata) & {"papermill", "widgets"} == set()
    assert not any("papermill" in cell.metadata for cell in notebook.cells)
    assert [c.outputs[0].text for c in notebook.cells if "nbval-check-output" in c.metadata.get("tags", [])] == [
        "0\n", "1\n", "2\n"
    ]  # fmt: skip


def test_an_interrupt_ends_the_notebooks_that_run(tmp_path):
    notes = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    source = save(code_notebook(notes), tmp_path)
    main_alone = [sys.executable, "-c", "import sys, covidseg.cli; sys.exit(covidseg.cli.main())"]
    line = [*main_alone, "notebooks", "run", str(source), "-o", str(tmp_path / "out")]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background job ignores it
    child = subprocess.Popen(line, stderr=subprocess.PIPE, start_new_session=True, text=True, preexec_fn=heed)
    wait_for((tmp_path / "pid").is_file)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in err
    kernel = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_running(kernel))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_only_a_kernel_that_never_started_is_tried_again(tmp_path, monkeypatch):
    answers = iter([{"status": "no kernel", "error": "port taken"}] * 2 + [{"status": "done", "error": ""}])
    monkeypatch.setattr(runner, "_in_fresh_process", lambda *_: next(answers))
    monkeypatch.setattr(runner.time, "sleep", lambda _: None)
    assert run_notebook(save(code_notebook(), tmp_path), tmp_path / "out").status == "done"
    answers = iter([{"status": "failed", "error": "cell 1"}, {"status": "done", "error": ""}])
    assert run_notebook(save(code_notebook(), tmp_path), tmp_path / "out").status == "failed"


def test_the_results_of_an_older_run_are_never_taken_for_new_ones(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.json").write_text('{"results": {"dice": 1}}')
    monkeypatch.setattr(runner, "_in_fresh_process", lambda *_: {"status": "failed", "error": "cell 1"})
    assert run_notebook(save(code_notebook(), tmp_path), tmp_path / "out").results == {}


def test_the_report_asks_nothing_of_the_network(finished):
    folder, outcomes = finished
    index = page.write_report(list(outcomes.values()), folder, "Notebooks <smoke>")
    pages = [index, folder / "20_works" / "20_works.html"]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//[^"' >]+""", text), path.name
        assert "default-src 'none'" in text
    text = index.read_text(encoding="utf-8")
    assert "Notebooks &lt;smoke&gt;" in text and 'href="20_works/20_works.html"' in text and "no such slice" in text


def test_a_run_is_a_page_of_questions_pictures_and_results(tmp_path):
    notebook = good_notebook()
    red = b64encode(png(900, 300)).decode()
    notebook.cells[3].outputs = [
        new_output("display_data", data={"image/png": picture})
        for picture in ("AAAA", red)  # the first is damaged
    ]
    outcome = Outcome("20_toy", "done", 1.5, results={"dice_mean": 0.7123, "curve": [1, 2]})
    outcome.executed = save(notebook, tmp_path)
    text = page.index_html([outcome, Outcome("21_odd", "failed", 2.0, error="cell 3: <b>")], "T")
    assert "What is a toy?" in text and ">A toy<" in text and "dice mean <b>0.712</b>" in text and "curve" not in text
    assert "cell 3: &lt;b&gt;" in text and "no picture" in text and text.count("data:image/jpeg") == 1
    shown = Image.open(BytesIO(b64decode(re.search(r"data:image/jpeg;base64,([^\"]+)", text)[1])))
    assert shown.size == (440, 147) and shown.getpixel((200, 70))[0] > 240


def png(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def test_a_page_says_widget_instead_of_a_long_repr(tmp_path):
    data = {page.WIDGET: {"model_id": "1"}, "text/plain": "Explorer(children=(Image(value=b'...'),))"}
    notebook = code_notebook("explorer")
    notebook.cells[-1].outputs = [new_output("display_data", data=data)]
    text = page.notebook_html(save(notebook, tmp_path))
    assert "it moves in JupyterLab" in text and "children=" not in text


def test_a_page_of_a_smoke_run_says_what_only_a_lesson_run_shows(tmp_path):
    for budget, told in (("smoke", True), ("lesson", False)):
        notebook = code_notebook("lesson.start()")
        notebook.cells[-1].outputs = [stream(f"20_toy: {budget} budget, seed 0, on cpu.\n")]
        path = save(notebook, tmp_path)
        assert ("The text speaks of" in page.notebook_html(path)) == told
        outcome = Outcome("20_toy", "done", 1.0, executed=path)
        assert ("The text speaks of" in page.index_html([outcome], "T")) == told


def test_latest_follows_the_newest_run(tmp_path):
    for name in ("20260101-000000", "20260102-000000"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
        latest = page.point_latest(tmp_path / name)
        assert (latest / "index.html").read_text() == name


def test_the_text_table_shows_seconds_status_and_the_first_results():
    outcomes = [
        Outcome("20_a", "done", 1.25, results={"dice": 0.70711, "curve": [1, 2], "n": 3}),
        Outcome("21_b", "failed", 2, error="cell 3: KeyError: 'x'"),
    ]
    lines = command.text_table(outcomes).splitlines()
    assert lines[1].split() == ["20_a", "1.2", "done", "dice", "0.707;", "n", "3"]
    assert lines[2].endswith("cell 3: KeyError: 'x'")
    assert command.verdict(outcomes) == "Notebooks that failed: 1 of 2 (21_b)."


def test_formulas_are_found_outside_code_only():
    text = "Is $A_i$ or $$x\n+ y$$ in `$B$`, for $5 or $6?\n```python\nc = '$d$'\n```"
    found = []
    replace_formulas(text, lambda latex, display: found.append((latex, display)) or "")
    assert found == [("A_i", False), ("x + y", True)]


def test_a_formula_becomes_a_picture_with_its_text_and_a_hard_one_stays_text():
    assert 'alt="\\sigma(x)"' in page.draw_formulas(r"$\sigma(x)$") and "svg" in page.draw_formulas(r"$\sigma(x)$")
    assert page.draw_formulas(r"$\begin{cases}1\end{cases}$") == r"<code>\begin{cases}1\end{cases}</code>"


def test_notebooks_are_found_by_number_name_file_and_path(tmp_path):
    paths = [save(code_notebook(), tmp_path, name) for name in ("20_toy", "21_other")]
    for name in ("20", "20_toy", "20_toy.ipynb", str(paths[0])):
        assert resolve([name], tmp_path) == [paths[0]]
    assert resolve([], tmp_path) == paths
    with pytest.raises(UnknownName, match="Did you mean '20_toy'"):
        resolve(["20_toi"], tmp_path)


def test_a_file_that_is_no_notebook_is_refused_by_name(tmp_path):
    (tmp_path / "bad.ipynb").write_text("not json")
    with pytest.raises(UserError, match="bad.ipynb is not a notebook"):
        read(tmp_path / "bad.ipynb")


def test_refresh_replaces_outputs_and_a_failed_run_changes_nothing(tmp_path):
    good = good_notebook()
    good.cells[3].outputs = []
    source = save(good, tmp_path)
    outcome, complaints = refresh.refresh(source, timeout=60)
    assert (outcome.status, complaints) == ("done", [])
    assert read(source).cells[3].outputs[0].text == "0\n"
    good.cells[4].source = "raise SystemError"
    before = save(good, tmp_path).read_bytes()
    assert refresh.refresh(source, timeout=60)[0].status == "failed"
    assert source.read_bytes() == before


def test_tidy_keeps_tags_counts_and_the_facts_for_the_readme():
    notebook = tidy(good_notebook())
    assert "parameters" in notebook.cells[1].metadata.tags and notebook.cells[1].execution_count == 1
    assert notebook.metadata.covidseg.question == "What is a toy?"


def test_the_readme_table_is_written_between_its_markers(tmp_path):
    save(good_notebook(), tmp_path / "notebooks")
    rows = table.table(tmp_path / "notebooks")
    assert "| [20_toy](notebooks/20_toy.ipynb) | What is a toy? | 0.1 / 1 / - | none |" in rows
    text = f"above\n{table.BEGIN}\nold\n{table.END}\nbelow\n"
    new = table.update(text, rows)
    assert (
        "old" not in new and new.startswith("above\n") and new.endswith("\nbelow\n") and table.update(new, rows) == new
    )
    with pytest.raises(UserError, match="lacks the lines"):
        table.update("no markers", rows)


RUN = ["notebooks", "run"]


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ([*RUN, "00", "--budget", "smok"], 1, "No budget is called 'smok'. Did you mean 'smoke'?"),
        ([*RUN, "00", "-p", "sead=1"], 1, "No parameter of 00_start_here is called 'sead'. Did you mean 'seed'?"),
        ([*RUN, "00", "-p", "seed"], 1, "Parameter 'seed' is not of the form name=value."),
        ([*RUN, "00", "-p", "seed=5", "-p", "seed=6"], 1, "Parameter seed is given twice: 5 and 6."),
        ([*RUN, "00", "-p", "seed=5", "-p", " seed = 5"], 1, "Parameter seed is given twice: 5 and 5."),
        (["train", "miniseg", "-o", "x", "--seed", "99999999999999999999"], 2, "Invalid value for '--seed'"),
        (["train", "miniseg", "-o", "x", "--seed", "-1"], 2, "Invalid value for '--seed'"),
        ([*RUN, "00_strat_here"], 1, "No notebook is called '00_strat_here'. Did you mean '00_start_here'?"),
        ([*RUN, "--jobs", "0"], 2, "Invalid value for '--jobs'"),
        (["notbooks"], 2, "No such command 'notbooks'. Did you mean 'notebooks'?"),
        (["exercises", "studnet"], 2, "No such command 'studnet'. Did you mean 'student'?"),
        (["profile", "minseg"], 1, "No model is called 'minseg'. Did you mean 'miniseg'?"),
        (["profile", "miniseg", "-o", "actvation=relu"], 1, "miniseg cannot be built so:"),
        (["models", "nothing*"], 1, "No model matches 'nothing*'."),
    ],
)
def test_a_bad_command_line_gives_one_line_on_stderr(line, status, message, capsys):
    assert main(line) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"covidseg: {message}") and err.count("\n") == 1


def test_an_interrupt_ends_with_130_and_no_traceback(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", interrupted)
    assert main(["notebooks", "run"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_models_and_profile_print_the_same_count(capsys):
    assert main(["models", "miniseg", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert main(["profile", "miniseg", "--size", "64", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert listed["params"] == counted["trainable"] == 82_912
    assert sum(part["macs"] for part in counted["parts"]) == counted["macs"]


def test_a_seed_on_the_command_line_has_the_bounds_of_the_notebooks(capsys):
    (source,) = resolve(["40_train_one"])
    low, high = (int(bound) for bound in schema.parameters(read(source))["seed"].bounds)
    line = ["train", "minseg", "-o", "x", "--seed"]
    assert [main([*line, str(seed)]) for seed in (low - 1, low, high, high + 1)] == [2, 1, 1, 2]
    assert capsys.readouterr().err.count("No model is called 'minseg'") == 2


@pytest.mark.parametrize("channels", [6, 4, 2])
def test_evaluate_refuses_a_guided_network_in_one_line(channels, tmp_path, capsys):
    model = create_model("miniseg", in_channels=channels)
    path = save_weights(tmp_path / "guided.pt", "miniseg", model, Preprocessing(), options={"in_channels": channels})
    assert main(["evaluate", str(path), "--cases", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"covidseg: {path} takes {channels} channels") and err.count("\n") == 1


def test_batch_norm_over_one_slice_is_one_line_that_asks_for_two(tmp_path, capsys):
    line = ["train", "deeplabv3plus", "--recipe", "quick", "--batch", "1", "--cases", "2", "--epochs", "1"]
    assert main([*line, "--device", "cpu", "-o", str(tmp_path / "x")]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("covidseg: BatchNorm") and "Give a batch of 2 or more" in last
