"""Execute the committed notebooks again, in place, and leave nothing in them that changes by itself."""

import tempfile
from pathlib import Path

from covidseg import lesson
from covidseg.errors import UserError
from covidseg.files import write_atomically
from covidseg.lessons import read, write
from covidseg.lessons.figures import quantise_figures
from covidseg.lessons.guards import problems
from covidseg.lessons.runner import Outcome, run_notebook

NOISE = ["metadata.papermill", "cell.metadata.papermill", "metadata.widgets"]


def refresh(source: Path, timeout: float = 1800) -> tuple[Outcome, list[str]]:
    """Run one notebook in the lesson budget; if it worked, its outputs replace the committed ones.

    Figures are put into a palette. Returns the outcome, and the guards' complaints about the new file.
    A failed run changes nothing.
    """
    with tempfile.TemporaryDirectory() as scratch:
        outcome = run_notebook(source, Path(scratch), timeout=timeout, environment={"COVIDSEG_BUDGET": "lesson"})
        if outcome.status != "done":
            return outcome, []
        write(_with_quiz(quantise_figures(strip(read(outcome.executed))), source.stem), outcome.executed)
        write_atomically(source, lambda file: file.write(outcome.executed.read_bytes()))
    return outcome, problems(source)


def _with_quiz(notebook, name: str):
    """The notebook with its quiz as its questions stand today."""
    for cell in notebook.cells:
        if "quiz" in cell.metadata.get("tags", []):
            cell.source = lesson.quiz(name).static()
    return notebook


def strip(notebook):
    """What the commit hook does to a notebook: outputs and counts stay, run metadata goes, ids are 0..n."""
    try:
        from nbstripout import strip_output
    except ModuleNotFoundError:
        raise UserError("nbstripout is not installed; pip install -e '.[dev]' brings it.") from None
    return strip_output(notebook, keep_output=True, keep_count=True, keep_id=False, extra_keys=NOISE)
