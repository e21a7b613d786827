"""Two panels side by side, the cross that a reader puts on a slice, and what is left of a widget without a kernel."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import torch

from covidseg import create_model, load_dataset
from covidseg.attention import capture
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.show.widgets.pointer import Pointer

W = pytest.importorskip("ipywidgets")
from covidseg.show.widgets import AttentionExplorer, Beside, interactive_image  # noqa: E402

PIL = pytest.importorskip("PIL.Image")
SMALL = Preprocessing(size=64)


@pytest.fixture(scope="module")
def cases():
    return list(load_dataset("phantom", n=3, size=64))


@pytest.fixture(scope="module")
def miniseg():
    torch.manual_seed(0)
    return create_model("miniseg").eval()


def explorer(model, cases, **options):
    return AttentionExplorer(model, cases, SMALL, names=["A/E_2_1", "A/E_3_1"], **options)


def pixels(png):
    return np.asarray(PIL.open(BytesIO(png)))


# ------------------------------------------------------------------------------------------------- the cross


@pytest.mark.parametrize("row, column", [(0.0, 0.0), (0.5, 0.25), (1.0, 1.0)])
def test_the_part_seen_holds_the_point_and_stays_within_the_slice(row, column):
    plane = np.arange(40 * 60).reshape(40, 60)
    for zoom in (1, 2, 4, 8):
        at = Pointer(row, column, zoom)
        part = at.part(plane)
        assert part.shape == (40 // zoom, 60 // zoom) and plane[at.pixel(plane.shape)] in part
    assert np.array_equal(Pointer(0.5, 0.5, 4).part(plane), plane[15:25, 23:38])


def test_the_cross_lies_on_its_pixel_and_leaves_it_open():
    for row, column, zoom in ((0.5, 0.5, 1), (0.2, 0.7, 4), (0.0, 1.0, 2)):
        at, slice_ = Pointer(row, column, zoom), np.zeros((64, 64), np.uint8)
        slice_[at.pixel(slice_.shape)] = 200
        part = at.part(slice_)
        times = 512 // part.shape[0]
        picture = np.repeat(part.repeat(times, 0).repeat(times, 1)[..., None], 3, 2)
        rows, columns = np.nonzero(picture[..., 0] == 200)
        marked = at.mark(picture.copy(), slice_.shape)
        middle = round(rows.mean()), round(columns.mean())
        assert np.array_equal(marked[middle], picture[middle])
        lit = np.argwhere((marked == 255).all(2))
        assert len(lit) > 10 and (np.abs(lit - middle).min(1) <= 1).all() and np.abs(lit - middle).max() <= 15


def test_the_caption_says_what_lies_under_the_cross(miniseg, cases):
    panel = explorer(miniseg, cases, pointer=True)
    panel.controls["row"].value, panel.controls["column"].value = 0.7, 0.3
    x = SMALL.apply(cases[0].image, "HU")[None]
    A = capture(miniseg, x, "A/E_2_1")["A/E_2_1"][0, 0]
    r, c = int(0.7 * 64), int(0.3 * 64)
    value = A[int(0.7 * A.shape[0]), int(0.3 * A.shape[1])]
    said = f"Under the cross (row {r}, column {c}): map {value:.2f}, CT {cases[0].image[r, c]:.0f} HU."
    assert said in panel.caption.value and said in panel.image.tooltip
    before = panel.image.value
    panel.controls["zoom"].value = 4
    assert panel.image.value != before and said in panel.caption.value and not panel.error


def test_without_a_pointer_an_explorer_is_as_it_was(miniseg, cases):
    panel = explorer(miniseg, cases)
    assert not {"row", "column", "zoom"} & panel.controls.keys() and "cross" not in panel.caption.value


# ------------------------------------------------------------------------------------------------- side by side


def test_shared_controls_move_both_and_own_controls_one(miniseg, cases):
    first, second = explorer(miniseg, cases, pointer=True), explorer(miniseg, cases, pointer=True)
    both = Beside(first, second)
    for name, value in (("slice", 2), ("blend", 0.25), ("zoom", 2), ("row", 0.9), ("outlines", "none")):
        first.controls[name].value = value
        assert second.values[name] == value and second.controls[name].layout.display == "none"
    assert cases[2].id in second.caption.value
    before = second.image.value
    first.controls["block"].value = "A/E_3_1"
    assert second.values["block"] == "A/E_2_1" and second.image.value == before
    shown = pixels(b64decode(both._repr_mimebundle_()["image/png"]))
    left = pixels(first.image.value)
    assert np.array_equal(shown[:, : left.shape[1]], left) and shown.shape[1] == 2 * left.shape[1] + 8


def test_panels_over_other_cases_are_not_joined(miniseg, cases):
    with pytest.raises(UserError, match="'slice'"):
        Beside(explorer(miniseg, cases), explorer(miniseg, cases[:2]))
    with pytest.raises(UserError, match="two panels"):
        Beside(explorer(miniseg, cases))


# ------------------------------------------------------------------------------------------------- without a kernel


def test_where_no_kernel_runs_a_widget_is_its_picture():
    panel = interactive_image(lambda side=3: (np.full((8, 8), 30 * side, np.uint8), f"<b>side</b> {side}"), side=(1, 5))
    bundle = panel._repr_mimebundle_()
    assert b64decode(bundle["image/png"]) == panel.image.value and "run the notebook" in bundle["text/plain"]
    assert panel.image.tooltip == "side 3" and "application/vnd.jupyter.widget-view+json" in bundle
    assert panel.image.get_state()["description"] == "", "a page shows no tooltip, and no image, without one"


def test_the_picture_is_offered_as_a_file_until_it_changes():
    panel = interactive_image(lambda side=3: np.full((8, 8), 30 * side, np.uint8), side=(1, 5))
    panel.offer()
    name, data = re.search(r'download="([^"]+)" href="data:image/png;base64,([^"]+)"', panel.link.value).groups()
    assert name == "3.png" and b64decode(data) == panel.image.value
    panel.controls["side"].value = 4
    assert panel.link.value == ""
