"""Student copies hold no solution, solution copies hold it in the stub. That it solves: tests/solved_cells.py."""

import pytest
from toy_notebooks import exercise_cells, good_notebook

from covidseg.cli import main
from covidseg.errors import UserError
from covidseg.lessons import exercises


def test_a_student_copy_has_stubs_and_neither_solutions_nor_outputs():
    student = exercises.student_copy(good_notebook(), "20_toy")
    code = [cell for cell in student.cells if cell.cell_type == "code"]
    assert not any("solution" in cell.metadata.get("tags", []) for cell in student.cells)
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert [cell.source for cell in code if "exercise" in cell.metadata.get("tags", [])] == [
        "answer = None  # your turn"
    ] * 2


def test_a_solution_copy_has_the_code_in_the_stub_and_keeps_what_else_is_said():
    notebook = good_notebook()
    notebook.cells[-1].source = notebook.cells[-1].source.replace("</details>", "Because 6 x 7.\n</details>")
    solved = exercises.solution_copy(notebook, "20_toy")
    stubs = [cell.source for cell in solved.cells if "exercise" in cell.metadata.get("tags", [])]
    assert stubs == ["answer = 42"] * 2
    left = [cell.source for cell in solved.cells if "solution" in cell.metadata.get("tags", [])]
    assert left == ["Because 6 x 7."]


def test_making_copies_leaves_the_source_alone():
    notebook = good_notebook()
    exercises.student_copy(notebook, "20_toy"), exercises.solution_copy(notebook, "20_toy")
    again = good_notebook()
    assert [(c.source, c.metadata) for c in notebook.cells] == [(c.source, c.metadata) for c in again.cells]


def test_cells_after_an_exercise_may_be_anything_but_a_stray_solution():
    notebook = good_notebook()
    notebook.cells.append(exercise_cells("20_toy")[3])
    with pytest.raises(UserError, match="tagged 'solution' but belongs to no exercise"):
        exercises.find_exercises(notebook, "20_toy")


def test_the_command_writes_copies_and_refuses_to_overwrite_the_source(tmp_path, capsys, repo):
    assert main(["exercises", "student", "-o", str(tmp_path), "00"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["00_start_here.ipynb"]
    assert main(["exercises", "solutions", "-o", str(repo / "notebooks")]) == 1
    assert "choose another folder" in capsys.readouterr().err
