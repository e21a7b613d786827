"""Every notebook with a widget, solved and run in a real JupyterLab: solutions are right, every control works."""

import labui
import pytest
from widget_notebooks import NOTEBOOKS, with_widgets

from covidseg.lessons import exercises, read, write

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# Labels of the controls, panel by panel, of notebooks whose widgets the lessons speak of. A notebook that is not
# listed is tested all the same: whatever controls it has must work.
LABELS = {
    "10_ct_data": [["level", "width"]],
    "11_metrics": [["shift", "grow", "stray"]],
}


@pytest.mark.parametrize("name", with_widgets())
def test_the_solved_notebook_runs_and_every_control_works(name, page, lab):
    solved = exercises.solution_copy(read(NOTEBOOKS / f"{name}.ipynb"), name)
    write(solved, lab.root / f"{name}.ipynb")
    labui.run_notebook(page, lab, f"{name}.ipynb")
    labels = labui.try_all_controls(page)
    assert labels == LABELS.get(name, labels)
    checks = sum("check" in cell.metadata.get("tags", []) for cell in solved.cells)
    said = [text for text in page.locator(".jp-OutputArea-output").all_text_contents() if text.startswith("Exercise ")]
    assert [text.strip() for text in said] == [f"Exercise {n}: correct." for n in range(1, checks + 1)]
    assert not page.faults, page.faults
