"""The widgets of every notebook in a real JupyterLab, with the cells that they need: every control works.

All cells, and the solutions of the exercises, are run by nbval (tests/solved_cells.py). Here the parts of all notebooks
that show a widget stand below each other on one page, and one kernel runs them in turn: it is started once.
"""

import labui
import pytest
from nbformat.v4 import new_notebook
from notebook_slices import needed_for
from widget_notebooks import NOTEBOOKS, WIDGETS, with_widgets

from covidseg.lessons import read, write

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# Labels of the controls, panel by panel, of notebooks whose widgets the lessons speak of. A notebook that is not
# listed is tested all the same: whatever controls it has must work.
LABELS = {
    "10_ct_data": [["level", "width"]],
    "11_metrics": [["shift", "grow", "stray"]],
}


@pytest.fixture(scope="module")
def parts(new_page, lab):
    """(a page that runs nothing yet, notebook's name -> its cells on that page)."""
    cells, places = [], {}
    for name in with_widgets():
        part = needed_for(read(NOTEBOOKS / f"{name}.ipynb"), WIDGETS).cells
        places[name] = range(len(cells), len(cells) + len(part))
        cells += part
    for number, cell in enumerate(cells):
        cell.id = str(number)  # each notebook counts its own
    write(new_notebook(cells=cells, metadata=labui.PYTHON), lab.root / "widgets.ipynb")
    with new_page() as page:
        labui.open_notebook(page, lab, "widgets.ipynb")
        shown = page.locator(".jp-Notebook .jp-Cell")
        yield page, {name: [(cells[n], shown.nth(n)) for n in found] for name, found in places.items()}


@pytest.mark.parametrize("name", with_widgets())
def test_every_control_of_the_notebook_works(name, parts):
    page, part = parts[0], parts[1][name]
    page.faults.clear()
    labui.run_cells(page, [shown for _, shown in part])
    widgets = [shown for cell, shown in part if any(word in cell.source for word in WIDGETS)]
    labels = sum((labui.try_all_controls(page, cell) for cell in widgets), [])
    assert labels and labels == LABELS.get(name, labels)
    assert not page.faults, page.faults
    assert [
        line for cell in widgets for panel in labui.panels(page, cell) for line in labui.unnamed(panel.locator)
    ] == []
