"""A reader's hands in JupyterLab: open a notebook, run it, move a control, look at the picture."""

import re
import time
from base64 import b64decode
from dataclasses import dataclass

import nbformat

# as base64: playwright takes seconds over a list of 400,000 numbers
READ_PICTURE = """async e => {
    const blob = await (await fetch(e.src)).blob(), reader = new FileReader();
    await new Promise(done => { reader.onload = done; reader.readAsDataURL(blob); });
    return reader.result.split(',')[1];
}"""
PICTURES_LOADED = """() => {
    const all = [...document.querySelectorAll('.covidseg-picture')];
    return all.length > 0 && all.every(e => e.complete && e.naturalWidth > 0);
}"""
PYTHON = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
INPUT = r"(slider|combobox|checkbox|textbox|spinbutton|listbox|radio|button|group|img|link)(?! \")"
CONTROLS = ".widget-slider, .widget-dropdown, .widget-toggle-buttons, .widget-checkbox"


def run_notebook(page, lab, name: str, seconds: float = 240) -> None:
    """Open a notebook of the server's folder, run all cells, wait until its pictures are there."""
    open_notebook(page, lab, name)
    notebook = nbformat.read(lab.root / name, as_version=4)
    cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    _wait_for_prompts(page, page.locator(".jp-CodeCell"), cells, seconds)
    page.wait_for_function(PICTURES_LOADED)


def run_cells(page, cells: list, seconds: float = 240) -> None:
    """Run these cells one after the other, wait until their pictures are there."""
    for cell in cells:
        cell.locator(".jp-InputArea-prompt").click()
        page.keyboard.press("Control+Enter")
        _wait_for_prompts(page, cell, 1, seconds)
    page.wait_for_function(PICTURES_LOADED)


def open_notebook(page, lab, name: str) -> None:
    """Open a notebook of the server's folder and wait for its kernel."""
    from playwright.sync_api import expect

    page.goto(f"{lab.base}/doc/tree/{name}?reset&token={lab.token}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    # the notebook's own indicator says idle before there is a kernel; the status bar does not
    bar = page.locator("#jp-main-statusbar .jp-StatusBar-TextItem")
    ready = bar.filter(has_text=re.compile(r"^(?!No Kernel).+ \| Idle$"))
    dialog = page.locator(".jp-Dialog")
    expect(ready.or_(dialog).first).to_be_attached(timeout=60_000)
    assert not dialog.count(), dialog.first.inner_text()


def _wait_for_prompts(page, within, cells, seconds):
    """Each cell that has run shows its number."""
    end = time.monotonic() + seconds
    while True:
        prompts = within.locator(".jp-InputArea-prompt").all_text_contents()
        assert not page.faults, page.faults[0]  # read after the prompts: a cell that raises has a number, too
        if sum(bool(re.fullmatch(r"\[\d+\]:", text.strip())) for text in prompts) >= cells:
            return
        assert time.monotonic() < end, f"after {seconds} s the prompts are {prompts}"
        page.wait_for_timeout(50)


@dataclass
class Shown:
    """What a panel shows at one moment."""

    picture: bytes
    caption: str


class Panel:
    """One ImagePanel in the page."""

    def __init__(self, page, locator):
        self.page, self.locator = page, locator
        self.picture, self.caption = locator.locator(".covidseg-picture"), locator.locator(".covidseg-caption")

    def control(self, label: str):
        """The visible control of that label."""
        return next(control for name, control in self.controls() if name == label)

    def controls(self) -> list[tuple[str, object]]:
        """(label, locator) of every visible control."""
        found = [c for c in self.locator.locator(CONTROLS).all() if c.is_visible()]
        return [(c.locator(".widget-label, .widget-label-basic").last.text_content().strip(), c) for c in found]

    def shown(self) -> Shown:
        return Shown(b64decode(self.picture.evaluate(READ_PICTURE)), self.caption.text_content().strip())

    def change(self, move) -> tuple[Shown, Shown]:
        """What is shown before ``move()`` and after it, once the kernel has answered and something has changed."""
        asked, before = self.page.asked, self.shown()
        move()
        end, quiet_since = time.monotonic() + 60, time.monotonic()
        while time.monotonic() - quiet_since < 0.1:
            if self.page.asked == asked or self.page.answered < self.page.asked:
                quiet_since = time.monotonic()
            assert time.monotonic() < end, "the control sent nothing" if self.page.asked == asked else "no answer"
            self.page.wait_for_timeout(20)
        self.page.wait_for_function(PICTURES_LOADED)
        after, patience = self.shown(), time.monotonic() + 15
        while after == before and time.monotonic() < patience:  # on a busy machine an answer may still be on its way
            self.page.wait_for_timeout(100)
            after = self.shown()
        return before, after


def panels(page, within=None) -> list[Panel]:
    """Every picture with controls in the page, or in a part of it."""
    return [Panel(page, locator) for locator in (within or page).locator(".covidseg-panel").all()]


def move(control) -> None:
    """Give a control another value, as a reader would: arrow key, choice from the list, click."""
    kind = control.get_attribute("class")
    page = control.page
    control.scroll_into_view_if_needed()
    if "widget-slider" in kind:
        handle = control.get_by_role("slider")
        handle.focus()
        at_end = float(handle.get_attribute("aria-valuenow")) >= float(handle.get_attribute("aria-valuemax"))
        page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    elif "widget-dropdown" in kind:
        choice = control.locator("select")
        count = choice.locator("option").count()
        choice.select_option(index=(choice.evaluate("e => e.selectedIndex") + 1) % count)
    elif "widget-toggle-buttons" in kind:
        buttons = control.get_by_role("button").all()
        active = next((k for k, b in enumerate(buttons) if "mod-active" in b.get_attribute("class")), -1)
        buttons[(active + 1) % len(buttons)].click()
    else:
        control.locator("input[type=checkbox]").click()


def unnamed(locator) -> list[str]:
    """Lines of the page's accessibility tree that a screen reader meets without a name: '- slider'."""
    lines = [line.strip() for line in locator.aria_snapshot().splitlines()]
    return [line for line in lines if re.match(INPUT, line.removeprefix("- ").removeprefix("'"))]


def try_all_controls(page, within=None) -> list[list[str]]:
    """Move every control of the page, or of a part of it, once; returns their labels, panel by panel."""
    labels = []
    for panel in panels(page, within):
        names = [name for name, _ in panel.controls()]
        for name in sorted(names, key=lambda name: name == "shown"):  # last: of a Grad-CAM there is less to choose
            before, after = panel.change(lambda panel=panel, name=name: move(panel.control(name)))
            assert before != after, f"moving {name!r} shows the same picture and caption"
            assert "Not drawn" not in after.caption, f"moving {name!r}: {after.caption}"
        labels.append(names)
    everywhere = (within or page).locator(CONTROLS).filter(visible=True).count()
    assert everywhere == sum(len(p.controls()) for p in panels(page, within)), "a control belongs to no picture"
    return labels
