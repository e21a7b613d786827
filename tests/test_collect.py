"""A class's folder becomes one table of marks, whatever the students handed in."""

import csv
import json
import shutil

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from toy_notebooks import save

from covidseg.cli import main
from covidseg.errors import UserError
from covidseg.lessons import marks, notebook_folder, read
from covidseg.lessons.collect import collect
from covidseg.lessons.exercises import student_copy
from covidseg.lessons.handed_in import lesson_of, marked_copy, numbers
from covidseg.lessons.runner import Limits, Outcome, run_notebook

LESSON = "00_start_here"
CHECK = [f'lesson.check("{LESSON}", {number}, answer)' for number in (1, 2, 3, 4)]  # the pretended students did two
FIRST = "answer = 1250 / 1500"
SECOND = "def answer(mask, spacing):\n    return mask.sum() * spacing[0] * spacing[1] / 100"
STUB = "answer = None  # your turn"
STUB_1 = "answer = None  # your turn: a number from 0 to 1"


def hand_in(*sources: str):
    """The cells of a student, without what stands around them in the lesson: a run takes seconds."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def table(folder) -> dict[str, dict]:
    with (folder / "marks.csv").open(newline="", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def student(folder, name: str):
    (folder / name).mkdir(parents=True)
    return folder / name


@pytest.fixture(scope="module")
def a_class(tmp_path_factory):
    """Eight pretended students. Their notebooks hold the exercises alone; three of them are really run."""
    folder = tmp_path_factory.mktemp("class")
    save(hand_in("lesson = 3", FIRST, CHECK[0], SECOND, CHECK[1]), student(folder, "anna"), "Kopie von 00 (1)")
    save(hand_in(STUB, CHECK[0], STUB, CHECK[1]), folder, f"ben_{LESSON}")
    save(
        hand_in("1 / 0", "answer = 7", f'print("Exercise 1: correct.")\n{CHECK[0]}', SECOND, CHECK[1]),
        student(folder, "=1+1"),
    )
    (student(folder, "emil") / "broken.ipynb").write_text('{"cells": [')
    (student(folder, "fritz") / "list.ipynb").write_text("[]")
    student(folder, "gerd")
    save(hand_in('lesson.check("77_other", 1, 3)'), student(folder, "hanna"))
    (folder / "report.pdf").write_text("no notebook")
    return folder


@pytest.fixture(scope="module")
def marked(a_class, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "marks"
    collect(a_class, output, ["00"], jobs=4, timeout=120, limits=Limits(cell=110))
    return output


def test_each_student_gets_the_marks_of_the_checks_in_the_kit(marked):
    rows = table(marked)
    assert [rows["anna"][f"exercise {n}"] for n in (1, 2)] == ["correct", "correct"] and rows["anna"]["correct"] == "2"
    assert [rows["ben"][f"exercise {n}"] for n in (1, 2)] == ["no answer", "no answer"]
    assert rows["anna"]["exercises"] == rows["ben"]["exercises"] == "4" and rows["ben"]["correct"] == "0"


def test_a_cell_that_fails_ends_nothing_and_a_printed_mark_is_none(marked):
    row = table(marked)["'=1+1"]  # no spreadsheet computes a name
    assert (row["exercise 1"], row["exercise 2"], row["correct"]) == ("not yet", "correct", "1")
    assert "ZeroDivisionError" in row["note"]


def test_what_cannot_be_marked_has_a_row_that_says_so(marked):
    said = json.loads((marked / "marks.json").read_text())["marks"]
    notes = {(row["student"], row["status"]): row["note"] for row in said}
    assert "is not a notebook" in notes["emil", "unreadable"] and "is not a notebook" in notes["fritz", "unreadable"]
    assert "does not end in .ipynb" in notes["report", "unreadable"]
    assert "no lesson.check" in notes["hanna", "unknown"]
    assert [row["student"] for row in said if row["status"] == "missing" and row["notebook"] == LESSON] == [
        "emil", "fritz", "gerd", "hanna", "report",
    ]  # fmt: skip
    assert len({row["student"] for row in said}) == 8


def test_an_endless_loop_ends_and_is_a_row(tmp_path):
    endless = "import time\nwhile True:\n    time.sleep(1)"
    save(hand_in(endless, STUB, CHECK[0]), student(tmp_path, "class/dora"))
    (row,) = collect(tmp_path / "class", tmp_path / "out", [], timeout=120, limits=Limits(cell=3))
    assert (row.status, row.correct) == ("marked", 0) and "took longer than 3 s" in row.note


def test_a_slow_cell_of_the_kit_is_not_the_students_doing(tmp_path, monkeypatch):
    """On a busy machine the imports of a lesson take longer than a student's cell may; they have the whole time."""
    notebook = hand_in("import time\ntime.sleep(6)\nx = 1", "import time\ntime.sleep(60)\ny = 1", "print(x)")
    notebook.cells[0].metadata["covidseg"] = {"ours": True}
    outcome = run_notebook(save(notebook, tmp_path), tmp_path / "out", timeout=120, limits=Limits(cell=3))
    first, second, third = [cell for cell in read(outcome.executed).cells if cell.cell_type == "code"]
    assert not first.outputs and second.outputs[0].ename == "KeyboardInterrupt" and third.outputs[0].text == "1\n"


def test_called_again_it_marks_only_what_changed(a_class, marked, tmp_path, monkeypatch):
    ran = []

    def run(source, folder, **how):
        ran.append(source.stem)
        return Outcome(source.stem, "failed", 0.0, error="not run")

    monkeypatch.setattr(marks, "run_notebook", run)
    before = table(marked)
    collect(a_class, marked, ["00"], timeout=120, limits=Limits(cell=110))
    assert not ran and table(marked) == before
    there = tmp_path / "class"
    shutil.copytree(a_class, there)
    save(hand_in(FIRST, CHECK[0], STUB, CHECK[1]), there, f"ben_{LESSON}")
    shutil.copytree(marked, tmp_path / "marks")
    collect(there, tmp_path / "marks", ["00"], timeout=120, limits=Limits(cell=110))
    assert ran == [LESSON] and table(tmp_path / "marks")["ben"]["exercise 1"] == "not reached"
    collect(there, tmp_path / "marks", ["00"], timeout=121, limits=Limits(cell=110))
    assert len(ran) == 4  # other limits, and each is marked anew


def test_one_lesson_handed_in_twice_counts_once_and_with_the_better_marks(tmp_path, monkeypatch):
    folder = student(tmp_path, "class/anna")
    for name, first in (("a", STUB), ("b", FIRST), ("c", STUB)):
        save(hand_in(first, CHECK[0]), folder, name)
    said = {"a": 0, "b": 1, "c": 0}
    monkeypatch.setattr(
        "covidseg.lessons.collect.mark",
        lambda given, *_, **__: marks.Mark("anna", LESSON, given.path.name, "marked", said[given.path.stem], 2),
    )
    (row,) = collect(tmp_path / "class", tmp_path / "out", [])
    assert (row.file, row.correct) == ("b.ipynb", 1) and "several notebooks" in row.note


def test_a_notebook_that_breaks_the_marking_itself_costs_the_others_nothing(a_class, tmp_path, monkeypatch):
    def odd(given, *_, **__):
        if given.student == "anna":
            raise RecursionError("deep")
        return marks.missing(given.student)

    monkeypatch.setattr("covidseg.lessons.collect.mark", odd)
    rows = {row.student: row for row in collect(a_class, tmp_path, [])}
    assert len(rows) == 8 and "RecursionError" in rows["anna"].note


def test_the_copy_that_is_marked_has_the_kits_parameters_and_checks():
    ours = read(notebook_folder() / f"{LESSON}.ipynb")
    theirs = student_copy(ours, LESSON)
    for cell in theirs.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = 'budget = "paper"'
        elif "lesson.check" in cell.source:
            cell.source = 'print("Exercise 1: correct."); ' + cell.source.replace(", answer)", ", 0.8333)")
    from covidseg.lessons.exercises import find_exercises

    copy = marked_copy(theirs, ours, find_exercises(ours, LESSON))
    assert lesson_of(theirs) == LESSON
    as_we_wrote_it = [cell.metadata.get("covidseg") == {"ours": True} for cell in copy.cells if cell.source == STUB_1]
    assert as_we_wrote_it == [True] and "ours" not in str([cell.metadata for cell in numbers(copy).values()])
    assert [cell.source for cell in numbers(copy).values()] == [f"from covidseg import lesson\n{c}" for c in CHECK]
    assert 'budget = "lesson"' in next(c.source for c in copy.cells if "parameters" in c.metadata.get("tags", []))


def test_marking_hides_secrets_and_leads_proxies_nowhere(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "x")
    monkeypatch.setenv("KEYBOARD", "de")
    given = marks._environment()
    assert given["MY_API_KEY"] == "" and "KEYBOARD" not in given and given["https_proxy"].endswith(":9")


def test_memory_is_bounded_in_the_process_that_runs_a_notebook():
    import subprocess
    import sys

    code = "from covidseg.lessons.child import limit\nlimit({'memory': 1}, 9)\nbytearray(2 << 30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert "MemoryError" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [(["none"], "cannot be read"), (["."], "is empty"), ([".", "-o", "marks"], "would be taken for a student")],
)
def test_a_folder_that_will_not_do_is_one_line(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = words if "-o" in words else [*words, "-o", str(tmp_path.parent / "out-of-class")]
    assert main(["exercises", "collect", *given]) == 1
    assert says in capsys.readouterr().err


def test_a_lesson_that_is_misspelt_is_refused_before_anything_runs(a_class, tmp_path):
    with pytest.raises(UserError, match="Did you mean"):
        collect(a_class, tmp_path, ["00_strat_here"])


def test_the_command_prints_the_marks_and_where_they_lie(a_class, marked, capsys, monkeypatch):
    monkeypatch.setattr(marks, "run_notebook", None)  # all were marked with these limits before
    line = ["exercises", "collect", str(a_class), "00", "-o", str(marked), "--timeout", "120", "--cell", "110"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "anna" in said and "2/4" in said and str(marked / "marks.csv") in said
