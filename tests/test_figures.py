"""Figures in few colours: the same picture to the eye, half of its bytes, and nothing else in the notebook moves."""

import base64
import copy
import io

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from toy_notebooks import stream

from covidseg.lessons.figures import MOST_COLOURS, count_colours, quantise, quantise_figures
from covidseg.show.pictures import CLASSES, FALSE_ALARM, HIT, INK, MISS, rgb


def png(pixels, **more) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **more)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def slice_with_legend() -> np.ndarray:
    """A noisy grey slice with a large heat map beside and a legend of 40 pixels an entry, uint8 (120, 160, 4)."""
    random = np.random.default_rng(0)
    picture = np.full((120, 160, 4), 255, np.uint8)
    grey = np.clip(random.normal(120, 50, (100, 80)), 0, 255)
    picture[:100, :80, :3] = grey[..., None]
    picture[:100, 80:, 0], picture[:100, 80:, 1] = random.integers(0, 256, (2, 100, 80))
    for k, colour in enumerate((HIT, MISS, FALSE_ALARM, INK, *(colour for _, colour in CLASSES.values()))):
        picture[105:110, 10 * k : 10 * k + 8, :3] = rgb(colour)
    return picture


@pytest.fixture
def figure() -> bytes:
    return png(slice_with_legend(), dpi=(150, 150))


def test_a_colourful_figure_comes_back_smaller_in_a_palette_with_the_same_size_and_resolution(figure):
    small = quantise(figure)
    old, new = (Image.open(io.BytesIO(data)) for data in (figure, small))
    assert count_colours(figure) > 5000 and count_colours(small) <= MOST_COLOURS
    assert len(small) < len(figure) / 2
    assert new.mode == "P" and new.size == old.size and new.info["dpi"] == old.info["dpi"]


def test_the_kits_own_colours_stay_exact_and_greys_stay_close(figure):
    old, new = pixels(figure), pixels(quantise(figure))
    assert np.array_equal(old[105:110], new[105:110])
    greys = np.abs(old - new)[:100, :80]
    assert np.median(greys) <= 8 and greys.max() <= 40  # of 255; most of this palette goes to 6,000 heat colours


def test_a_slice_of_greys_alone_is_off_by_one_step_at_most():
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16), 3, axis=-1).reshape(16, 16, 3)
    picture = np.kron(ramp, np.ones((8, 8, 1), np.uint8))
    assert np.abs(pixels(png(picture)) - pixels(quantise(png(picture)))).max() <= 1


def test_rare_greys_and_colours_are_not_drowned_by_the_common_ones():
    picture = np.random.default_rng(0).normal(120, 40, (400, 400, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    picture[:4, :10] = (0, 160, 90)  # 40 pixels of 160,000
    picture[10:14, :10] = (200, 40, 160)
    assert np.abs(pixels(png(picture)) - pixels(quantise(png(picture)))).max() <= 8  # by area alone: 11


def test_a_second_pass_changes_nothing_and_a_second_run_is_the_same(figure):
    small = quantise(figure)
    assert quantise(small) == small == quantise(figure)


def test_a_figure_of_few_colours_loses_none():
    picture = np.random.default_rng(1).choice([0, 90, 255], (50, 50, 1)).astype(np.uint8).repeat(3, axis=2)
    assert np.array_equal(pixels(quantise(png(picture))), pixels(png(picture)))


def test_a_figure_that_would_grow_stays_as_it_is():
    dot = png(np.zeros((1, 1, 3), np.uint8))
    assert quantise(dot) == dot


def test_a_transparent_figure_is_laid_on_white():
    picture = slice_with_legend()
    picture[105:, :, 3] = 0
    assert np.all(pixels(quantise(png(picture)))[105:] == 255)


def test_nothing_but_the_figures_of_a_notebook_moves(figure):
    text = base64.b64encode(figure).decode()
    data = {"image/png": text + "\n", "text/plain": "<Figure>", "text/html": "<b>1</b>"}
    cell = new_code_cell(
        "draw()",
        metadata={"tags": ["result"]},
        execution_count=1,
        outputs=[
            stream("0.5\n"),
            new_output("display_data", data=data, metadata={"image/png": {"width": 160}}),
            new_output("display_data", data={"image/svg+xml": "<svg/>"}),
        ],
    )
    before = new_notebook(cells=[cell])
    after = quantise_figures(copy.deepcopy(before))
    new = after.cells[0].outputs[1].data["image/png"]
    assert new.endswith("\n") and base64.b64decode(new) == quantise(figure)
    after.cells[0].outputs[1].data["image/png"] = data["image/png"]
    assert after == before
