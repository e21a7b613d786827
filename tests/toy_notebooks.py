"""Small notebooks for the tests of what reads, runs, checks and copies notebooks."""

from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PARAMETERS = """\
budget = "lesson"  # smoke | lesson | paper
seed = 0  # int, 0..1000
device = "cpu"  # cpu | cuda | mps | auto
width = 0.5  # float
weights = None  # str | None"""


def exercise_cells(name: str, number: int = 1, code: str = "answer = 42") -> list:
    """Task, stub, check, solution."""
    return [
        new_markdown_cell("### Exercise\nWhat is six times seven?"),
        new_code_cell(
            "answer = None  # your turn",
            metadata={"tags": ["exercise"], "covidseg": {"exercise": number}},
        ),
        new_code_cell(f'lesson.check("{name}", {number}, answer)', metadata={"tags": ["check"]}),
        new_markdown_cell(
            f"<details><summary>Solution</summary>\n\n```python\n{code}\n```\n\n</details>",
            metadata={"tags": ["solution"]},
        ),
    ]


def good_notebook(name: str = "20_toy"):
    """A notebook, as if executed, that keeps every rule."""
    checked = {"tags": ["nbval-check-output"]}
    cells = [
        new_markdown_cell("# A toy\n**Aim:** none."),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        new_code_cell(
            f'from covidseg import lesson\nctx = lesson.start("{name}", budget=budget, seed=seed, device=device)'
        ),
        *[new_code_cell(f"print({i})", metadata=checked, outputs=[stream(f"{i}\n")]) for i in range(3)],
        new_code_cell("ctx.result(six_times_seven=42, width=width)", metadata={"tags": ["result"]}),
        *exercise_cells(name, 1),
        *exercise_cells(name, 2),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    minutes = {"smoke": 0.1, "lesson": 1, "paper": "-"}
    notebook.metadata["covidseg"] = {"question": "What is a toy?", "minutes": minutes, "paper": "none"}
    return numbered(notebook)


def numbered(notebook):
    """Execution counts 1..n, as after one run from top to bottom."""
    for count, cell in enumerate([cell for cell in notebook.cells if cell.cell_type == "code"], 1):
        cell.execution_count = count
    return notebook


def code_notebook(*sources: str):
    """A parameters cell and then these code cells."""
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def stream(text: str, name: str = "stdout"):
    """What ``print`` leaves."""
    return new_output("stream", name=name, text=text)


def save(notebook, folder: Path, name: str = "20_toy") -> Path:
    """Write it and say where."""
    from covidseg.lessons import write

    write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"
