"""nbval runs a notebook as it is committed, stubs unsolved; here each exercise is also solved, in the same kernel.

Solution and check run in a copy of the notebook's names, so every other cell sees the stub, as a student does who
leaves the exercise out. One kernel start and one run of the cells before serve both.
"""

from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbval.plugin import IPyNbCell

from covidseg.lessons import exercises


def with_solutions(items: list) -> list:
    """The items, and after each cell that checks an exercise one that solves it and asks again."""
    found = []
    for item in items:
        found.append(item)
        if isinstance(item, IPyNbCell) and "check" in item.cell.metadata.get("tags", []):
            found.append(_solved(item))
    return found


def _solved(item):
    notebook = item.parent
    all_exercises = exercises.find_exercises(notebook.nb, notebook.path.stem)
    exercise = next(e for e in all_exercises if notebook.nb.cells[e.check] is item.cell)
    cell = NotebookNode(
        source=f"exec({exercise.code + chr(10) + item.cell.source!r}, dict(globals()))",
        outputs=[new_output("stream", name="stdout", text=f"Exercise {exercise.number}: correct.\n")],
        execution_count=1,
        metadata=NotebookNode(),
    )
    name, options = f"Exercise {exercise.number} solved", item.options | {"check": True}
    return IPyNbCell.from_parent(notebook, name=name, cell_num=item.cell_num, cell=cell, options=options)
