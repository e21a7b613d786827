"""The kit's widgets in a real JupyterLab: each control moves its picture or its caption, faults are noticed."""

from pathlib import Path

import labui
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TOY = """
import torch
from covidseg import create_model, load_dataset
from covidseg.data.transforms import Preprocessing
from covidseg.show.widgets import AttentionExplorer, SliceExplorer, interactive_image
torch.manual_seed(0)
explorer = AttentionExplorer(create_model("miniseg"), load_dataset("phantom", n=3, size=128), Preprocessing(size=128))
explorer
---
SliceExplorer(load_dataset("phantom3d", n=1, size=(64, 64, 5))[0])
---
import numpy as np
def square(side=3, grey=200, inverted=False):
    if side == 5:
        raise ValueError("five <is> refused")
    picture = np.zeros((40, 40), np.uint8)
    picture[:side, :side] = grey
    return (255 - picture if inverted else picture), f"side {side}"
interactive_image(square, side=range(1, 9), grey=[100, 200], inverted=True)
"""
TOY_LABELS = [
    ["slice", "block", "shown", "dilation", "blend", "range", "outlines"],
    ["slice", "preset", "level", "width", "mask"],
    ["side", "grey", "inverted"],
]


@pytest.fixture(scope="module")
def toy(new_page, lab):
    """The page of the toy notebook after Run All; its tests share it, so none relies on where a control stands."""
    with new_page() as page:
        write_notebook(lab.root / "toy.ipynb", *TOY.split("---\n"))
        labui.run_notebook(page, lab, "toy.ipynb")
        yield page


def write_notebook(path: Path, *sources: str) -> None:
    notebook = new_notebook(cells=[new_code_cell(source.strip()) for source in sources], metadata=labui.PYTHON)
    nbformat.write(notebook, path)


def show(explorer, method):
    """Press a button of "shown", unless it is; what is shown then."""
    button = explorer.control("shown").get_by_role("button", name=method, exact=True)
    if "mod-active" in button.get_attribute("class"):
        return explorer.shown()
    return explorer.change(button.click)[1]


def test_every_control_of_the_kit_moves_its_picture(toy):
    assert labui.try_all_controls(toy) == TOY_LABELS
    assert not toy.faults, toy.faults


def test_a_screen_reader_hears_the_name_of_every_control(toy):
    from playwright.sync_api import expect

    show(labui.panels(toy)[0], "map")
    for panel, labels in zip(labui.panels(toy), TOY_LABELS, strict=True):
        assert labui.unnamed(panel.locator) == [] and [name for name, _ in panel.controls()] == labels
        for label, control in panel.controls():
            if "widget-slider" in control.get_attribute("class"):
                expect(control.get_by_role("slider")).to_have_accessible_name(label)
            elif "widget-toggle-buttons" in control.get_attribute("class"):
                expect(control).to_have_accessible_name(label)
                for button in control.get_by_role("button").all():
                    chosen = "mod-active" in button.get_attribute("class")
                    assert button.get_attribute("aria-pressed") == str(chosen).lower()
    show(labui.panels(toy)[0], "Grad-CAM")  # the control of the channel is hidden, all others drawn as they were
    assert labui.unnamed(labui.panels(toy)[0].locator) == []


def test_what_has_no_name_is_found(toy):
    toy.evaluate("document.body.insertAdjacentHTML('beforeend', '<div id=bare><button></button><input></div>')")
    assert labui.unnamed(toy.locator("#bare")) == ["- button", "- textbox"]


def test_block_dilation_and_blend_do_what_they_say(toy):
    explorer = labui.panels(toy)[0]
    show(explorer, "map")
    block = explorer.control("block").locator("select")
    blocks = [text.replace("\xa0", " ") for text in block.locator("option").all_text_contents()]
    assert blocks[0] == "E²₁ · stage 2, block 1 · 1/4" and len(blocks) == 4 + 9 + 7
    _, after = explorer.change(lambda: block.select_option(index=5))
    assert "A of E³₂, dilation" in after.caption and "16 × 16 values" in after.caption  # an input of 128 at 1/8
    for dilation in ("4", "8"):
        button = explorer.control("dilation").get_by_role("button", name=dilation, exact=True)
        before, after = explorer.change(button.click)
        assert after.picture != before.picture and f"A of E³₂, dilation {dilation}" in after.caption
    explorer.control("blend").get_by_role("slider").focus()
    _, ct = explorer.change(lambda: toy.keyboard.press("Home"))
    assert ct.caption == after.caption and ct.picture != after.picture  # the facts stay, the mixture changes
    assert not toy.faults, toy.faults


def test_a_grad_cam_is_shown_in_place_of_the_map(toy):
    explorer = labui.panels(toy)[0]
    explorer.change(lambda: labui.move(explorer.control("blend")))  # away from 0, where no map is seen
    plain = show(explorer, "Grad-CAM")
    assert "Grad-CAM of A of E" in plain.caption and "Score: the logit" in plain.caption
    assert "dilation" not in plain.caption and "range" not in [name for name, _ in explorer.controls()]
    plus = show(explorer, "Grad-CAM++")
    assert "Grad-CAM++ of A of E" in plus.caption and plus.picture != plain.picture
    back = show(explorer, "map")
    assert "dilation" in back.caption and back.picture != plus.picture
    assert [name for name, _ in explorer.controls()] == TOY_LABELS[0]
    assert not toy.faults, toy.faults


def test_a_slider_follows_the_mouse(toy):
    from playwright.sync_api import expect

    explorer = labui.panels(toy)[0]
    slider = explorer.control("slice")
    slider.scroll_into_view_if_needed()
    box = slider.locator(".noUi-base").bounding_box()

    def drag_to(share):
        handle = slider.get_by_role("slider").bounding_box()
        toy.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
        toy.mouse.down()
        toy.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2, steps=8)
        toy.mouse.up()

    for share, name in ((0.5, "phantom_s0_0001"), (1, "phantom_s0_0002"), (0, "phantom_s0_0000")):
        drag_to(share)
        expect(explorer.caption).to_contain_text(name)
    assert not toy.faults, toy.faults


def test_an_error_while_drawing_is_said_below_the_picture(toy):
    panel = labui.panels(toy)[2]
    panel.control("side").get_by_role("slider").focus()
    _, after = panel.change(lambda: toy.keyboard.press("Home"))
    assert after.caption == "side 1"
    for side in (2, 3, 4):
        _, after = panel.change(lambda: toy.keyboard.press("ArrowRight"))
        assert after.caption == f"side {side}"
    for expected in ("Not drawn. ValueError: five <is> refused", "side 6"):
        _, after = panel.change(lambda: toy.keyboard.press("ArrowRight"))
        assert after.caption == expected
    assert not toy.faults, toy.faults


def test_an_error_in_a_cell_or_a_callback_is_noticed(page, lab):
    slider = "import ipywidgets as W\ns = W.IntSlider()\ns.observe(lambda change: 1 / 0, 'value')\ns"
    write_notebook(lab.root / "raises.ipynb", slider, "raise KeyError('this cell')")
    with pytest.raises(AssertionError, match="KeyError"):
        labui.run_notebook(page, lab, "raises.ipynb", seconds=30)
    page.faults.clear()
    labui.move(page.locator(".widget-slider"))
    for _ in range(200):
        page.wait_for_timeout(50)
        if page.faults:
            break
    assert "ZeroDivisionError" in page.faults[0]
