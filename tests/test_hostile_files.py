"""Hostile records, tables, grids, prepared sets and notebooks: one clear line each, and nothing computes or escapes."""

import ast
import csv
import errno
import io
import json
import os
import re
import shutil

import numpy as np
import pytest
import typer
from phantom_files import write_phantoms
from toy_records import toy_record

from covidseg import files
from covidseg.cli import app, main
from covidseg.data import prepare as preparing
from covidseg.errors import UserError
from covidseg.fetch import sources
from covidseg.lessons import page, schema
from covidseg.lessons.runner import Outcome
from covidseg.runs import record as records
from covidseg.runs import work
from covidseg.runs.grids import combinations, read_grid
from covidseg.runs.plan import plan_file
from covidseg.tables import find_all_records
from covidseg.text import csv_text, printable, say

# ------------------------------------------------------------------------------------------------ records

PLACES = {  # a number's field -> other values that it may not have besides those that none may have
    "seed": (None, 1.5), "params": (None, 1.5), "macs": (None,), "data.fold": (1.5,), "data.train.cases": (None,),
    "cost.seconds": (None,), "cost.peak_memory_mb": (), "selections.best.epoch": (None, 2.5),
    "selections.last.scores.miniseg.means.DSC": (), "selections.last.scores.clean.pooled.dice": (),
    "selections.best.scores.clean.n.dice": (None, 0.5), "selections.best.scores.clean.undefined.dice": (None, 0.5),
}  # fmt: skip
NO_NUMBERS = ("1", True, [1], {"a": 1}, float("nan"), float("inf"), float("-inf"), 10**400)
TEXTS = ("model", "variant", "budget", "data.name", "data.train.fingerprint", "cost.device", "provenance.started")
NO_TEXTS = (5, ["a"], {"a": 1}, "\x1b[31mred", "two\nlines", "\ud800")
NESTED = {
    "recipe.lr": float("nan"), "options.width": float("inf"), "data.options.size": 10**400, "changed.epochs": -(9**999),
    "provenance.threads": float("nan"), "recipe.notes": ["fine", {"deep": [float("-inf")]}], "recipe.name": "\x1b]0;x",
    "selections.best.scores.clean.cases": [1], "selections.best.scores.clean.means": [1],
    "selections.best.scores.clean": 5, "selections.best.scores": None, "selections.best": "x", "selections": [],
    "cost": None, "provenance": "me", "provenance.engine": 7, "provenance.source": ["a"], "options": None,
}  # fmt: skip
BAD_FIELDS = [
    *((name, value) for name, more in PLACES.items() for value in (*NO_NUMBERS, *more)),
    *((name, value) for name in TEXTS for value in NO_TEXTS),
    *NESTED.items(),
]


def spoilt_record(name, value):
    record = json.loads(json.dumps(toy_record()))
    *parents, last = name.split(".")
    place = record
    for part in parents:
        place = place[part]
    assert name in NESTED or last in place or name.startswith("provenance"), f"the toy record has no {name}"
    place[last] = value
    return record


@pytest.mark.parametrize("name, value", BAD_FIELDS, ids=lambda part: repr(part)[:40])
def test_a_record_with_one_wrong_field_is_refused_in_one_line(tmp_path, name, value):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(spoilt_record(name, value)))
    with pytest.raises(UserError) as caught:
        records.load_record(path)
    assert "r.json" in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_one_odd_record_ends_no_report_and_is_told(tmp_path, capsys, monkeypatch):
    (tmp_path / "results").mkdir()
    monkeypatch.setattr("covidseg.tables.checkout", lambda: tmp_path)
    records.save_record(toy_record(), tmp_path / "results" / "good.json")
    (tmp_path / "results" / "odd.json").write_text(json.dumps(toy_record() | {"seed": "x"}))
    (tmp_path / "results" / "deep.json").write_text('"covidseg-run-1"' + "[" * 100_000)
    assert [record["seed"] for record in find_all_records()] == [0]
    told = capsys.readouterr().err
    assert told.count("Left out: ") == 2 and "odd.json" in told and "deep.json" in told


# ------------------------------------------------------------------------------------------------ CSV and terminal

FORMULAS = [
    "=1+1", "=HYPERLINK(1)", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "＝1+1", "－2+3", "＋1",
    "＠SUM(1)", "=cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "--1", "=", "-nan(1)",
]  # fmt: skip
HARMLESS = ["-0.5", "+3", "-1e-3", "-.5", "1-1", "a=1", "5x5 -> 3x3 DB", "", "x@y", -0.5, -3, None, True]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_table_is_a_formula(text):
    rows = list(csv.reader(io.StringIO(csv_text([{text: text}]), newline="")))
    assert rows == [["'" + text.replace("\r", "\n")]] * 2


def test_a_line_end_in_a_cell_begins_no_line_of_the_table():
    text = csv_text([{"a": "b\r=1+1"}, {"a": "b\r\n=1+1"}])
    assert "\r" not in text and list(csv.reader(io.StringIO(text, newline=""))) == [["a"], ["b\n=1+1"], ["b\n=1+1"]]


@pytest.mark.parametrize("value", HARMLESS)
def test_numbers_and_plain_texts_stay_as_they_are(value):
    rows = list(csv.reader(io.StringIO(csv_text([{"a": value}, {"a": 1}]))))
    assert rows[1] == ([str(value)] if value not in ("", None) else [""])


def test_every_table_of_the_kit_goes_through_the_one_that_writes_no_formula(repo):
    """No module writes CSV by itself: a formula in a name would find the one that forgot."""
    writers = [
        p.name for p in (repo / "lib").rglob("*.py") if re.search(r"csv\.(writer|DictWriter)|to_csv", p.read_text())
    ]
    assert writers == ["text.py"]


CODES = ["\x1b[2J", "\x07", "\r", "\x9b31m", "\u202e", "\u2028", "\x00", "\ud800", "\x1b]0;title\x07"]


@pytest.mark.parametrize("code", CODES, ids=ascii)
def test_no_code_reaches_the_terminal(capsys, code):
    assert printable(f"a{code}\n\tb").isprintable() is False  # line ends and tabs stay
    assert printable(f"a{code}\n\tb").replace("\n", "").replace("\t", "").isprintable()
    say(f"a{code}b")
    say(f"a{code}\nb", error=True)
    told = capsys.readouterr()
    assert code not in told.out + told.err and told.err.count("\n") == 1


def test_commands_print_through_say(repo):
    """What a command prints may hold names of files, records and notebooks."""
    lib = repo / "lib" / "covidseg"
    printing = [*lib.glob("cli/*.py"), *(lib / room / "command.py" for room in ("runs", "lessons", "tables"))]
    found = [f"{p.name}: {line.strip()}" for p in printing for line in p.read_text().splitlines()
             if re.search(r"typer\.echo|(?<!\w)print\(", line)]  # fmt: skip
    assert len(printing) > 10 and found == []


# ------------------------------------------------------------------------------------------------ grids

BAD_GRIDS = {
    "a number": "5", "a text": "fold", "a list of numbers": "[1, 2]", "a tab": "a:\n\t- 1", "two colons": "a: b: c",
    "a field of no grid": "colour: red", "grid of a number": "grid: 5", "values that are no list": "grid: {seed: 1}",
    "no values": "grid: {seed: []}", "runs of numbers": "runs: [1]", "parameters of a list": "parameters: [1]",
    "code": "!!python/object/apply:os.system ['touch here']", "an endless alias": "a: &a [*a]", "binary": "\x00\x01",
    "an unknown parameter": "grid: {colour: [1]}", "a seed that is a text": "grid: {seed: [often]}",
    "a seed of NaN": "grid: {seed: [.nan]}", "a notebook that is none": "notebook: 99_none", "nothing": "",
    "a thousand million runs": "grid: {" + ", ".join(f"p{k}: [1, 2, 3, 4, 5, 6, 7, 8]" for k in range(10)) + "}",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD_GRIDS.values(), ids=BAD_GRIDS)
def test_a_grid_that_is_none_is_one_line(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        plan_file(path, {})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, "null", "[]", "1" * 5000, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_json_that_is_none_is_one_line(tmp_path, text):
    path = tmp_path / "grid.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        [combinations(block) for block in read_grid(path)]
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ prepared sets


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared set of two small volumes; returns its COVIDSEG_DATA."""
    home = tmp_path_factory.mktemp("prepared")
    write_phantoms(home / "mirror" / "p20", "p20", n=2, size=64, slices=6, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDSEG_DATA", str(home / "data"))
        preparing.prepare("p20", home / "mirror")
    return home / "data"


def line_of(index, **changes):
    return index | {"volumes": [index["volumes"][0] | changes, *index["volumes"][1:]]}


BAD_INDEX = {
    "volumes of None": lambda i: i | {"volumes": None},
    "volumes of a mapping": lambda i: i | {"volumes": {"a": 1}},
    "volumes of numbers": lambda i: i | {"volumes": [1, 2]},
    "a list": lambda i: [i],
    "a number": lambda i: 5,
    "null": lambda i: None,
    "no root": lambda i: {k: v for k, v in i.items() if k != "root"},
    "a root of numbers": lambda i: i | {"root": 5},
    "a fingerprint of numbers": lambda i: i | {"fingerprint": [1]},
    "a name that leaves the folder": lambda i: line_of(i, name="../../secret"),
    "no name": lambda i: line_of(i, name=""),
    "a name of numbers": lambda i: line_of(i, name=7),
    "a patient of numbers": lambda i: line_of(i, patient=7),
    "unknown classes": lambda i: line_of(i, classes="many"),
    "another unit": lambda i: line_of(i, intensity="SUV"),
    "a spacing of texts": lambda i: line_of(i, spacing=["a", "b", "c"]),
    "a spacing of two": lambda i: line_of(i, spacing=[1, 1]),
    "a spacing of NaN": lambda i: line_of(i, spacing=[1, 1, float("nan")]),
    "a negative spacing": lambda i: line_of(i, spacing=[1, -1, 1]),
    "numbers of texts": lambda i: line_of(i, numbers=["1"]),
    "too few numbers": lambda i: line_of(i, numbers=[0], infected=[0]),
    "infected beyond the last slice": lambda i: line_of(i, infected=[99]),
    "infected that are negative": lambda i: line_of(i, infected=[-1]),
    "infected of None": lambda i: line_of(i, infected=None),
    "a lung that is a text": lambda i: line_of(i, lung="yes"),
}


@pytest.mark.parametrize("spoil", BAD_INDEX.values(), ids=BAD_INDEX)
def test_an_index_of_other_types_is_one_line(prepared, tmp_path, monkeypatch, capsys, spoil):
    monkeypatch.setenv("COVIDSEG_DATA", str(tmp_path))
    monkeypatch.delenv("COVIDSEG_MIRROR", raising=False)  # raw volumes elsewhere would be taken
    shutil.copytree(prepared / "prepared", tmp_path / "prepared")
    index = tmp_path / "prepared" / "p20" / "index.json"
    index.write_text(json.dumps(spoil(json.loads(index.read_text()))))
    with pytest.raises(UserError, match="p20") as caught:
        from covidseg.data import load_dataset

        load_dataset("p20")[0]
    assert "prepare" in str(caught.value) and "\n" not in str(caught.value)


def test_two_processes_do_not_prepare_one_set(prepared, monkeypatch):
    monkeypatch.setenv("COVIDSEG_DATA", str(prepared))
    with (
        preparing._alone(prepared / "prepared" / "p20"),
        pytest.raises(UserError, match="Another process is preparing"),
    ):
        preparing.prepare("p20", prepared.parent / "mirror")


@pytest.mark.parametrize("reason", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_prepare_that_is_stopped_leaves_nothing(prepared, tmp_path, monkeypatch, reason):
    def stop(*args):
        np.save(args[0], np.zeros(3))
        raise reason

    monkeypatch.setenv("COVIDSEG_DATA", str(tmp_path))
    monkeypatch.setattr("covidseg.data.shelf.np.save", stop, raising=True)
    monkeypatch.setattr("covidseg.data.shelf.np.save", lambda *args: (_ for _ in ()).throw(reason))
    with pytest.raises((UserError, KeyboardInterrupt)) as caught:
        preparing.prepare("p20", prepared.parent / "mirror")
    assert isinstance(reason, KeyboardInterrupt) or "make room" in str(caught.value)
    assert [p.name for p in (tmp_path / "prepared").iterdir()] == []


@pytest.mark.parametrize("text", ["[]", "5", '{"a": 1}', '{"a": {"sha256": "x"}}', "{", "[" * 100_000])
def test_a_list_of_checksums_of_other_types_is_one_line(tmp_path, text):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(UserError, match="record.json") as caught:
        sources._records(tmp_path)
    assert "delete it" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", [True, False])
def test_a_copy_that_finds_the_disk_full_leaves_nothing(tmp_path, monkeypatch, folder):
    def full(origin, target, **more):
        with open(target, "wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    origin = tmp_path / "set"
    origin.mkdir()
    (origin / "1.nii").write_bytes(bytes(100))
    monkeypatch.setattr("covidseg.fetch.sources.shutil.copyfile", full)
    with pytest.raises(UserError, match="cannot be copied"):
        sources._copy(origin if folder else origin / "1.nii", tmp_path / "data" / "set")
    assert list((tmp_path / "data").iterdir()) == []


# ------------------------------------------------------------------------------------------------ notebooks

BAD_NOTEBOOKS = {
    "empty": "", "a text": "print(1)", "null": "null", "a list": "[]", "a mapping": "{}", "a number": "5",
    "no cells": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "cells of numbers": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}',
    "cells of None": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": null}',
    "a cell without a source": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
    "format 99": '{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}',
    "a format of text": '{"nbformat": "four", "metadata": {}, "cells": []}',
    "deep": "[" * 100_000, "half": '{"nbformat": 4, "cells": [', "a picture": "\x89PNG",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD_NOTEBOOKS.values(), ids=BAD_NOTEBOOKS)
@pytest.mark.filterwarnings("ignore")  # nbformat warns before it refuses
def test_a_file_that_is_no_notebook_is_one_line(tmp_path, capfd, text):
    path = tmp_path / "odd.ipynb"
    path.write_text(text, encoding="latin-1")
    assert main(["notebooks", "run", str(path), "-o", str(tmp_path / "out")]) == 1
    told = capfd.readouterr().err
    assert told.startswith("covidseg: ") and "Traceback" not in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "cell", ["a = ", "a = f()", "a, b = 1, 2", "import os", "a = {[]: 1}", "'" * 3, "(" * 500, "a = 1\0"]
)
def test_a_parameters_cell_that_is_none_is_one_line(cell):
    with pytest.raises(UserError) as caught:
        schema.read_cell(cell)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["{[]: 1}", "(" * 3000, "[" * 5000, "1" * 5000, "'", "\\", "__import__('os')", "x" * 9]
)
def test_a_word_of_the_command_line_is_a_literal_or_a_text_and_never_runs(text):
    schema.read_literal(text)


def test_an_odd_notebook_ends_no_report(tmp_path, monkeypatch):
    """One page cannot be made, one has a name that an address cannot hold as it is."""
    for name in ("a #1?", "bad"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.ipynb").write_text("{}")
    monkeypatch.setattr(page, "notebook_html", lambda path: {}["odd"] if path.stem == "bad" else "<p>fine</p>")
    outcomes = [Outcome(n, "done", 1.0, executed=tmp_path / n / f"{n}.ipynb") for n in ("a #1?", "bad")]
    text = page.write_report(outcomes, tmp_path, "T").read_text()
    assert 'href="a%20%231%3F/a%20%231%3F.html"' in text and "no page of it: KeyError" in text
    assert (tmp_path / "a #1?" / "a #1?.html").read_text() == "<p>fine</p>" and "bad.html" not in text


@pytest.mark.parametrize("text", ["", "[]", "5", "{", '{"key": "k"}', '{"key": "k", "results": [1], "seconds": 1}',
                                  '{"key": "k", "results": {}, "seconds": "long"}', "[" * 100_000])  # fmt: skip
def test_a_damaged_outcome_counts_as_not_done(tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "batch.json").write_text(text)
    assert work.finished(tmp_path, {"name": "run", "key": "k"}) is None


def test_a_full_disk_is_a_failed_run_and_not_the_end_of_a_batch(tmp_path, monkeypatch):
    def full(*args, **more):
        raise UserError("batch.json: could not be written (No space left on device).")

    monkeypatch.setattr(work, "write_json", full)
    monkeypatch.setattr(work, "_train", lambda *args: {"results": {}})
    outcome = work.do({"name": "run", "key": "k", "notebook": "", "parameters": {}}, tmp_path, 60)
    assert outcome["status"] == "failed" and "No space left" in outcome["error"]


def test_two_runs_of_one_second_have_a_folder_each(tmp_path):
    folders = [files.new_folder(tmp_path / "runs" / "20200401-120000").name for _ in range(3)]
    assert folders == ["20200401-120000", "20200401-120000-2", "20200401-120000-3"]


def test_a_file_is_whole_or_as_it_was_whatever_stops_its_writer(tmp_path):
    path = files.write_text(tmp_path / "README.md", "old")
    for reason in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), MemoryError()):

        def write(file, reason=reason):
            file.write(b"half")
            raise reason

        with pytest.raises((UserError, KeyboardInterrupt, MemoryError)):
            files.write_atomically(path, write)
        assert path.read_text() == "old" and os.listdir(tmp_path) == ["README.md"]


# ------------------------------------------------------------------------------------------------ advice

OTHERS = {"git", "pip", "torchrun", "dcm2niix", "dask", "jupyter", "ipykernel", "var"}  # whose options are theirs


def options_by_command(command=None, name="covidseg"):
    """{"covidseg data fetch": {"--mirror", ...}, ...}"""
    command = command or typer.main.get_command(app)
    found = {name: {text for one in command.params for text in (*one.opts, *one.secondary_opts)} | {"--help", "-h"}}
    for sub, inner in getattr(command, "commands", {}).items():
        found |= options_by_command(inner, f"{name} {sub}")
    return found


def messages(path):
    """The texts of a module that are no docstring, those of one expression joined; a hole stands for a value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(id(node.value))  # a docstring
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node) if part is not node}
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def test_every_option_that_a_message_names_exists(repo):
    """A message that sends people to an option that is not there sends them nowhere."""
    known = options_by_command()
    anywhere = set().union(*known.values())
    named, wrong = 0, []
    for path in sorted((repo / "lib").rglob("*.py")):
        if path.name == "__main__.py":
            continue
        for text in messages(path):
            for command, rest in re.findall(r"covidseg ((?:data |notebooks |exercises )?[a-z]+)([^`]*)", text):
                own = known.get(f"covidseg {command}")
                if own is not None:
                    wrong += [
                        f"{path.name}: {command} {o}"
                        for o in re.findall(r"(?<!\S)--[a-z][a-z-]+", rest)
                        if o not in own
                    ]
            if not text.startswith("--") and not any(re.search(rf"\b{other}\b", text) for other in OTHERS):
                options = re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)
                named += len(options)
                wrong += [f"{path.name}: {option}" for option in options if option not in anywhere]
    assert named > 15 and wrong == []
