"""Figures: the pixels are compared with colours computed here, the Axes with what they were given."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import covidseg.show as plotting
from covidseg.data.case import Case
from covidseg.data.transforms import LUNG, Window
from covidseg.show.pictures import CLASSES, FALSE_ALARM, HIT, MISS, OUTCOMES, SERIES, overlay_rgb, paint, rgb, slice_rgb

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def block(top, left, size=6, shape=(24, 24)):
    mask = np.zeros(shape, bool)
    mask[top : top + size, left : left + size] = True
    return mask


CT = np.full((24, 24), -700.0)


def test_hits_misses_and_false_alarms_keep_their_colours():
    pred, truth = block(6, 4), block(6, 8)  # 2 columns shared, 4 of each alone
    picture = overlay_rgb(CT, pred, truth, alpha=1)
    for region, colour in ((pred & truth, HIT), (truth & ~pred, MISS), (pred & ~truth, FALSE_ALARM)):
        assert region.any() and np.all(picture[region] == rgb(colour))
    outside = ~(pred | truth)
    assert np.array_equal(picture[outside], slice_rgb(CT)[outside])


def test_a_veil_keeps_the_ct_visible_and_the_rim_keeps_the_border():
    region = block(6, 6)
    picture = paint(np.full((24, 24, 3), 100, np.uint8), [(region, HIT)], alpha=0.5)
    inner = block(7, 7, 4)
    assert np.all(np.abs(picture[inner] - (100 + rgb(HIT)) / 2) <= 0.5)
    assert np.all(picture[region & ~inner] == rgb(HIT))


def test_a_region_at_the_edge_of_the_picture_has_no_rim_there():
    picture = paint(np.zeros((9, 9, 3), np.uint8), [(np.ones((9, 9), bool), HIT)], alpha=0.5)
    assert np.all(np.abs(picture - rgb(HIT) / 2) <= 0.5)


@pytest.mark.parametrize(
    "hu, grey", [(LUNG.low - 500, 0), (LUNG.low, 0), (LUNG.level, 128), (LUNG.high, 255), (3000, 255)]
)
def test_the_window_maps_hu_to_black_through_white(hu, grey):
    assert np.all(slice_rgb(np.full((2, 2), hu)) == grey)


def test_a_grey_picture_is_shown_as_it_is():
    grey = np.arange(256, dtype=np.float32).reshape(16, 16)
    assert np.array_equal(slice_rgb(grey, intensity="grey", window=Window(0, 1))[..., 0], grey)


def test_a_coarse_map_lies_where_the_network_saw_it(ax):
    coarse = np.zeros((4, 4))
    coarse[1, 2] = 1  # one cell of 4 x 4 over 24 x 24 covers rows 6..11, columns 12..17
    plain, veiled = slice_rgb(CT).astype(int), plotting.attention_rgb(CT, coarse).astype(int)
    row, column = np.unravel_index(np.abs(veiled - plain).sum(-1).argmax(), CT.shape)
    assert 6 <= row < 12 and 12 <= column < 18


def test_colour_vision_keeps_the_three_outcomes_apart():
    # Machado et al. 2009, severity 1.0; distance in linear RGB as those two eyes see it
    deutan = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    protan = np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]])
    for eye in (np.eye(3), deutan, protan):
        for palette in (list(OUTCOMES.values()), [colour for _, colour in CLASSES.values()]):
            seen = np.array([eye @ (rgb(colour) / 255) ** 2.2 for colour in palette])
            gaps = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(3, 1)]
            assert gaps.min() > 0.2
            # a veil over a grey slice must not look grey: the largest channel leads the smallest by a third of it
            assert all(np.ptp(colour) > colour.max() / 3 for colour in seen)


def test_every_picture_returns_the_axes_it_was_given(ax):
    pred = block(3, 3)
    assert plotting.show_slice(CT, spacing=(1, 1), sides=True, ax=ax) is ax
    assert plotting.show_overlay(CT, pred, ax=ax) is ax
    assert plotting.show_labels(CT, pred.astype(int) * 2, ax=ax) is ax
    assert plotting.show_attention(CT, np.eye(5), ax=ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [name for name, _ in CLASSES.values()]


def test_the_scale_bar_is_5_cm_long(ax):
    plotting.show_slice(CT, spacing=(4, 8), ax=ax)
    (bar,) = ax.lines
    assert np.ptp(bar.get_xdata()) * 8 == pytest.approx(50)
    assert ax.get_aspect() == pytest.approx(0.5)  # a pixel is twice as wide as high


def test_a_picture_without_known_spacing_has_no_scale_bar(ax):
    plotting.show_slice(CT, spacing=(np.nan, np.nan), ax=ax)
    assert not ax.lines


def test_bars_stand_in_the_given_order_and_print_their_numbers(ax):
    plotting.bars({"encoder": 1200, "decoder": 2, "head": 0}, share=True, ax=ax)
    assert [bar.get_width() for bar in ax.patches] == [1200, 2, 0]
    assert [text.get_text() for text in ax.texts] == ["1,200  (100%)", "2  (<1%)", "0  (0%)"]
    top, bottom = (bar.get_y() for bar in (ax.patches[0], ax.patches[-1]))
    assert ax.transData.transform((0, top))[1] > ax.transData.transform((0, bottom))[1]


def test_a_curve_is_named_at_its_last_defined_value(ax):
    plotting.curves({"val": [0.1, 0.5, np.nan]}, ax=ax)
    assert ax.texts[0].get_text() == "val" and ax.texts[0].xy == pytest.approx((2, 0.5))


def test_a_comparison_prints_the_signed_difference(ax):
    plotting.compare(["a", "b", "c", "d"], [80, 70, 60, np.nan], [82.5, 69, 60.01, 50], ax=ax)
    assert [text.get_text() for text in ax.texts] == ["82.5 (+2.5)", "69.0 (\N{MINUS SIGN}1.0)", "60.0 (0.0)", "50.0"]


def test_a_scatter_has_a_dot_and_a_name_for_each_point_and_names_cover_nothing(ax):
    points = {f"net{k}": (10.0**k, 2.0**k) for k in range(5)} | {"star": (99.0, 5.0)}
    groups = {name: "even" if name in ("net0", "net2", "star") else "odd" for name in points}
    plotting.scatter(points, {"elsewhere": "none here"} | groups, highlight="star", ax=ax)
    drawn = np.concatenate([line.get_xydata() for line in ax.lines])
    assert sorted(map(tuple, drawn)) == sorted(points.values()) and ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.texts] == list(points)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["even", "odd"]
    assert ax.lines[0].get_color() == SERIES[1]  # the second of three groups, as in a figure with all of them
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_names_of_points_in_one_place_are_moved_apart(ax):
    points = {f"net{k}": (1.0 + 0.001 * k, 1.0) for k in range(4)}
    plotting.scatter(points, dict.fromkeys(points, "all"), ax=ax)
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_mirrored_bars_grow_from_the_middle_and_print_their_numbers(ax):
    plotting.mirrored(["a", "b"], [1, 0], [2, 3], names=("left", "right"), ax=ax)
    assert [bar.get_width() for bar in ax.patches] == [-1, 0, 2, 3]
    assert [text.get_text() for text in ax.texts] == ["1", "0", "left", "2", "3", "right"]


def test_a_figure_becomes_a_picture_and_is_closed():
    figure, ax = plt.subplots(figsize=(2, 1), dpi=50)
    ax.set_facecolor("#FF0000")
    picture = plotting.figure_rgb(figure)
    assert picture.shape == (50, 100, 3) and picture.dtype == np.uint8 and (picture[25, 50] == (255, 0, 0)).all()
    assert not plt.fignum_exists(figure.number)


def test_a_strip_has_a_dot_for_every_value_a_bar_for_their_mean_and_a_ring_for_the_paper(ax):
    values = {"a": [3.0, -1.0, 4.0], "b": [2.0, 2.0], "none yet": []}
    assert plotting.strips(values, paper={"a": 5.0, "none yet": -2.0}, labels=("theirs", "ours"), ax=ax) is ax
    ax.figure.canvas.draw()  # the swarm moves apart while it is drawn
    a, b = (np.asarray(dots.get_offsets()) for dots in ax.collections[:2])
    assert sorted(a[:, 0]) == [-1, 3, 4] and list(b[:, 0]) == [2, 2]
    assert b[0, 1] != b[1, 1] and np.all(np.abs(b[:, 1] - 1) < 0.5)  # equal values stand side by side, in their row
    mean, ring, zero = ax.lines
    assert mean.get_xdata() == pytest.approx([2, 2, np.nan], nan_ok=True)
    assert ring.get_xdata() == pytest.approx([5, np.nan, -2], nan_ok=True)
    assert list(zero.get_xdata()) == [0, 0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours, mean", "theirs"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(values)
    assert ax.transData.transform((0, 0))[1] > ax.transData.transform((0, 2))[1]  # the first row is on top


def test_strips_move_no_random_number(ax):
    before = np.random.get_state()[1].copy()
    plotting.strips({"a": [1.0, 1.0, 2.0]}, ax=ax)
    assert np.array_equal(before, np.random.get_state()[1]) and ax.get_legend() is None


@pytest.mark.parametrize("dilations, kernel", [((1, 2, 4, 8), 3), ((1, 3), 5)])
def test_the_drawn_receptive_field_is_that_of_a_dilated_convolution(ax, dilations, kernel):
    import torch

    plotting.show_receptive_field(dilations, kernel=kernel, ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()][:-1]
    for d, label in zip(dilations, labels, strict=True):
        x = torch.zeros(1, 1, 41, 41, requires_grad=True)
        torch.nn.functional.conv2d(x, torch.ones(1, 1, kernel, kernel), padding="same", dilation=d)[
            ..., 20, 20
        ].sum().backward()
        read = x.grad[0, 0].nonzero()
        side = int(read[:, 0].max() - read[:, 0].min() + 1)
        assert label == f"dilation {d}: {side} x {side}"


def test_a_gallery_shows_each_case_once_and_hides_the_rest():
    cases = [Case(f"case {k}", "p", CT, block(k, k).astype(np.uint8), "HU", (1, 1)) for k in range(3)]
    axes = plotting.gallery(cases, [case.mask for case in cases], columns=2)
    assert [ax.get_title() for ax in axes] == ["case 0", "case 1", "case 2"]
    assert len(axes[0].figure.axes) == 4 and not axes[0].figure.axes[3].axison
    plt.close(axes[0].figure)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: plotting.show_slice(np.zeros((2, 3, 4))), "volume[:, :, k]"),
        (lambda: plotting.show_overlay(CT, np.zeros((3, 3), bool)), "(3, 3)"),
        (lambda: plotting.show_overlay(CT, np.full(CT.shape, 2)), "show_labels"),
        (lambda: plotting.show_labels(CT, np.full(CT.shape, 7)), "[7]"),
    ],
)
def test_a_wrong_array_is_refused_with_the_way_out(call, says):
    with pytest.raises(ValueError) as refusal:
        call()
    assert says in str(refusal.value)


def test_plotting_changes_no_global_style_and_needs_matplotlib_only_to_draw():
    code = (
        "import sys, covidseg.show as p; assert 'matplotlib' not in sys.modules\n"
        "import matplotlib, numpy as np; before = dict(matplotlib.rcParams)\n"
        "from matplotlib.figure import Figure\n"
        "ax = Figure().add_subplot()\n"
        "p.show_overlay(np.zeros((8, 8)), np.eye(8), ax=ax); p.bars({'a': 1}, ax=ax); p.show_receptive_field(ax=ax)\n"
        "assert dict(matplotlib.rcParams) == before; assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


def test_bars_of_a_pair_stand_side_by_side_and_do_not_overlap():
    ax = plotting.pairs(["a", "b"], {"one": [1, 2], "two": [3, 4]}, ylabel="n")
    ends = sorted((bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()) for bar in ax.patches)
    assert [height for *_, height in ends] == [1, 3, 2, 4]
    assert all(left >= right - 1e-9 for (_, right, _), (left, *_) in zip(ends, ends[1:], strict=False))
