"""Every committed notebook keeps the house rules; and each rule catches a notebook that breaks it."""

import ast
import base64
import io

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_output
from PIL import Image
from toy_notebooks import good_notebook, numbered, save, stream

from covidseg.lessons import all_notebooks, guards, table

NOTEBOOKS = all_notebooks()


def test_there_are_notebooks_to_guard():
    assert NOTEBOOKS and NOTEBOOKS[0].stem == "00_start_here"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_keeps_every_rule(path):
    assert guards.problems(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_exercises_are_unsolved(path):
    cells = [cell for cell in guards.Notebook(path).tagged("check")]
    assert all("not yet" in cell.outputs[0].text for cell in cells)


def test_the_notebooks_together_are_small():
    assert guards.size_together() == []


def test_notebooks_that_are_too_big_together_are_named(tmp_path):
    small, big = tmp_path / "10_small.ipynb", tmp_path / "20_big.ipynb"
    small.write_bytes(b" " * 500_000)
    big.write_bytes(b" " * 7_499_999)
    assert guards.size_together([small, big]) == []
    big.write_bytes(b" " * 7_500_000)
    assert guards.size_together([small, big]) == ["the notebooks are 8.0 MB, over 8 MB; the biggest is 20_big.ipynb"]


def test_the_readme_table_is_up_to_date():
    text = table.readme().read_text(encoding="utf-8")
    assert table.update(text, table.table()) == text, "run `covidseg notebooks table`"


def test_a_good_notebook_has_no_problem(tmp_path):
    assert guards.problems(save(good_notebook(), tmp_path)) == []


def test_formulas_and_what_is_folded_in_are_no_words_to_read(tmp_path):
    before = guards.words(guards.Notebook(save(good_notebook(), tmp_path)))
    longer = good_notebook()
    longer.cells[0].source += "\n\nThree more words. $a + b$ $$c$$ <b></b>\n```python\nx = 1\n```"
    longer.cells[-1].source += " and a long solution"  # folded
    assert guards.words(guards.Notebook(save(longer, tmp_path))) == before + 3


def swap_first_cells(nb):
    nb.cells[0], nb.cells[1] = nb.cells[1], nb.cells[0]


def lose_the_tag(nb):
    nb.cells[1].metadata.tags = []


def start_under_another_name(nb):
    nb.cells[2].source = nb.cells[2].source.replace("20_toy", "21_toy")


def compute_a_parameter(nb):
    nb.cells[1].source = nb.cells[1].source.replace("= 0 ", "= 1 - 1 ")


def commit_the_smoke_budget(nb):
    nb.cells[1].source = nb.cells[1].source.replace('"lesson"', '"smoke"')


def drop_a_comment(nb):
    nb.cells[1].source += "\nextra = 3"


def strip_counts(nb):
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.execution_count = None


def run_out_of_order(nb):
    nb.cells[3].execution_count, nb.cells[4].execution_count = 4, 3


def keep_an_error(nb):
    nb.cells[6].outputs = [new_output("error", ename="KeyError", evalue="'x'", traceback=[])]


def keep_a_warning(nb):
    nb.cells[6].outputs = [stream("UserWarning: odd\n", "stderr")]


def check_too_little(nb):
    nb.cells[3].metadata.tags = []


def check_nothing(nb):
    nb.cells[3].outputs = []


def check_an_address(nb):
    nb.cells[3].outputs = [stream("<object object at 0x7f0a12345678>\n")]


def add_many_cells(nb):
    nb.cells[3:3] = [new_code_cell("1") for _ in range(20)]
    numbered(nb)


def add_a_big_picture(nb):
    nb.cells[6].outputs = [new_output("display_data", data={"image/png": "A" * 1_000_000})]


def add_a_colourful_picture(nb):
    file = io.BytesIO()
    Image.fromarray(np.arange(3 * 129, dtype=np.int64).reshape(1, 129, 3).astype(np.uint8)).save(file, "PNG")
    nb.cells[6].outputs = [
        new_output("display_data", data={"image/png": base64.b64encode(file.getvalue()).decode()}),
    ]


def define_a_long_function(nb):
    nb.cells[6].source += "\ndef long():\n" + "    print(1)\n" * 10


def write_a_long_cell(nb):
    nb.cells[6].source += "\nprint(1)" * 25


def write_too_much(nb):
    nb.cells[0].source += "\n\n" + "word " * 2_500


def use_a_magic(nb):
    nb.cells[6].source += "\n%matplotlib inline"


def take_another_kernel(nb):
    nb.metadata.kernelspec.name = "venv311"


def keep_widget_state(nb):
    nb.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}


def keep_papermill(nb):
    nb.cells[1].metadata["papermill"] = {}


def say_no_question(nb):
    del nb.metadata.covidseg["question"]


def say_no_minutes(nb):
    del nb.metadata.covidseg["minutes"]["paper"]


def print_a_path(nb):
    nb.cells[6].outputs = [stream("saved /home/ann/covidseg/runs/1\n")]


def write_a_windows_path(nb):
    nb.cells[0].source += r" See C:\Users\ann."


def drop_an_exercise(nb):
    del nb.cells[-4:]


def drop_a_solution(nb):
    del nb.cells[-1]


def count_exercises_wrongly(nb):
    nb.cells[-3].metadata.covidseg.exercise = 3
    nb.cells[-2].source = nb.cells[-2].source.replace("2, answer", "3, answer")


def check_another_exercise(nb):
    nb.cells[-2].source = nb.cells[-2].source.replace("2, answer", "1, answer")


def lose_the_result(nb):
    nb.cells[6].metadata.tags = []


def import_what_is_gone(nb):
    nb.cells[6].source += "\nfrom covidseg.lesson import begin"


def import_a_module_that_is_gone(nb):
    nb.cells[6].source += "\nimport covidseg.segmenter"


BREACHES = {
    swap_first_cells: "must begin with a title",
    lose_the_tag: "one cell tagged 'parameters'",
    start_under_another_name: 'must call lesson.start("20_toy"',
    compute_a_parameter: "seed in the parameters cell is not a plain literal",
    commit_the_smoke_budget: "budget is committed as 'smoke'",
    drop_a_comment: "'extra = 3' has no comment",
    strip_counts: "execution counts are [None",
    run_out_of_order: "execution counts are [1, 2, 4, 3",
    keep_an_error: "ends in KeyError",
    keep_a_warning: "writes to stderr: UserWarning: odd",
    check_too_little: "has 2 cells tagged 'nbval-check-output'",
    check_nothing: "has no output to compare",
    check_an_address: "prints a memory address",
    add_many_cells: "code cells, more than 25",
    add_a_big_picture: "1.0 MB, over 1 MB",
    add_a_colourful_picture: "a figure of 129 colours, more than 128; run `covidseg notebooks refresh 20_toy`",
    define_a_long_function: "long has 11 lines",
    write_a_long_cell: "lines, more than 25: split it",
    write_too_much: "words to read, more than 2,500",
    use_a_magic: "uses a magic",
    take_another_kernel: "kernelspec is not python3",
    keep_widget_state: "carries metadata.widgets",
    keep_papermill: "carries an executor's metadata",
    say_no_question: "lacks 'question'",
    say_no_minutes: "minutes lacks 'paper'",
    print_a_path: "absolute path: '/home/ann",
    write_a_windows_path: "absolute path: 'C:",
    drop_an_exercise: "has 1 exercises, fewer than 2",
    drop_a_solution: "must be followed by a cell tagged 'check' and one tagged 'solution'",
    count_exercises_wrongly: "numbered [1, 3]",
    check_another_exercise: 'must call lesson.check("20_toy", 2',
    lose_the_result: "one cell tagged 'result'",
    import_what_is_gone: "imports begin from covidseg.lesson",
    import_a_module_that_is_gone: "imports covidseg.segmenter",
}


@pytest.mark.parametrize("break_it", BREACHES, ids=lambda f: f.__name__)
def test_a_guard_names_the_breach(break_it, tmp_path):
    notebook = good_notebook()
    break_it(notebook)
    found = guards.problems(save(notebook, tmp_path))
    assert any(BREACHES[break_it] in problem and problem.startswith("20_toy.ipynb: ") for problem in found), found


def test_every_guard_is_broken_by_some_breach(tmp_path):
    silent = set(guards.GUARDS)
    for break_it in BREACHES:
        notebook = good_notebook()
        break_it(notebook)
        nb = guards.Notebook(save(notebook, tmp_path))
        silent -= {guard for guard in silent if list(guard(nb))}
    assert not silent


@pytest.mark.parametrize("text", ["<https://example.org/home/x>", "see ../data/raw/x", "3/opt/4", "</tmp>", "a/home/b"])
def test_a_relative_path_and_a_link_are_no_absolute_path(text):
    assert not guards.ABSOLUTE_PATH.search(text)


def test_notebook_code_is_python_alone():
    for path in NOTEBOOKS:
        for cell in guards.Notebook(path).code:
            ast.parse(cell.source)
