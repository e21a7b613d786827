"""Exercises from one source: the committed notebook holds task, stub, check and solution.

    [markdown]               the task
    [code, tag exercise]     a stub that runs; metadata covidseg.exercise = its number
    [code, tag check]        lesson.check("10_ct_data", 1, answer)
    [markdown, tag solution] <details><summary>Solution</summary> ```python ... ``` </details>

Student copies lose the solutions; solution copies carry the solution's code in the stub's place.
"""

import copy
import re
from dataclasses import dataclass
from pathlib import Path

from covidseg.errors import UserError
from covidseg.files import make_folder
from covidseg.lessons import read, resolve, write

FENCE = re.compile(r"```python\n(.*?)\n?```", re.S)
DETAILS = re.compile(r"</?details>|<summary>.*?</summary>")


@dataclass(frozen=True)
class Exercise:
    """Where one exercise stands in its notebook: indices into ``cells``, and the code that solves it."""

    number: int
    stub: int
    check: int
    solution: int
    code: str


def find_exercises(notebook, name: str) -> list[Exercise]:
    """The exercises of a notebook in order. Raises UserError where one is incomplete or out of order."""
    stubs = [i for i, cell in enumerate(notebook.cells) if "exercise" in _tags(cell)]
    found = [_exercise(notebook.cells, stub, name) for stub in stubs]
    numbers = [exercise.number for exercise in found]
    if numbers != list(range(1, len(found) + 1)):
        raise UserError(f"{name}: exercises are numbered {numbers}, not 1..{len(found)}.")
    for tag, places in (("check", [e.check for e in found]), ("solution", [e.solution for e in found])):
        stray = {i for i, cell in enumerate(notebook.cells) if tag in _tags(cell)} - set(places)
        if stray:
            raise UserError(f"{name}: cell {min(stray) + 1} is tagged {tag!r} but belongs to no exercise.")
    return found


def student_copy(notebook, name: str):
    """A copy without solutions and without outputs."""
    solutions = {exercise.solution for exercise in find_exercises(notebook, name)}
    student = copy.deepcopy(notebook)
    student.cells = [cell for i, cell in enumerate(student.cells) if i not in solutions]
    return _without_outputs(student)


def solution_copy(notebook, name: str):
    """A copy whose stubs are solved, without outputs. What a solution says besides its code stays as text."""
    solved = copy.deepcopy(notebook)
    for exercise in find_exercises(notebook, name):
        solved.cells[exercise.stub].source = exercise.code
        solution = solved.cells[exercise.solution]
        solution.source = DETAILS.sub("", FENCE.sub("", solution.source)).strip()
    solved.cells = [cell for cell in solved.cells if cell.source or "solution" not in _tags(cell)]
    return _without_outputs(solved)


def write_copies(kind: str, folder: Path, names: list[str]) -> list[Path]:
    """Write "student" or "solutions" copies of the named notebooks, or of all with exercises, into ``folder``."""
    make = {"student": student_copy, "solutions": solution_copy}[kind]
    sources, written = resolve(names), []
    make_folder(folder)
    for path in sources:
        notebook = read(path)
        if not names and not find_exercises(notebook, path.stem):
            continue
        if (folder / path.name).resolve() == path.resolve():
            raise UserError(f"{folder} is where the notebooks themselves are; choose another folder.")
        write(make(notebook, path.stem), folder / path.name)
        written.append(folder / path.name)
    return written


def _exercise(cells: list, stub: int, name: str) -> Exercise:
    number = cells[stub].metadata.get("covidseg", {}).get("exercise")
    where = f"{name}: exercise {number}"
    if not isinstance(number, int):
        raise UserError(f"{name}: cell {stub + 1} is tagged 'exercise' but its metadata lacks covidseg.exercise.")
    check, solution = stub + 1, stub + 2
    if stub == 0 or cells[stub - 1].cell_type != "markdown":
        raise UserError(f"{where} has no task: a markdown cell right above the stub.")
    if solution >= len(cells) or "check" not in _tags(cells[check]) or "solution" not in _tags(cells[solution]):
        raise UserError(f"{where}: the stub must be followed by a cell tagged 'check' and one tagged 'solution'.")
    if f'lesson.check("{name}", {number},' not in cells[check].source:
        raise UserError(f'{where}: its check cell must call lesson.check("{name}", {number}, ...).')
    code = FENCE.findall(cells[solution].source)
    if len(code) != 1 or "<details>" not in cells[solution].source:
        raise UserError(f"{where}: its solution must hold one ```python block inside <details>.")
    return Exercise(number, stub, check, solution, code[0])


def _tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def _without_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook
