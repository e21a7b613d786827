"""Widgets without a browser: pure pictures and captions, and panels driven by setting the value of a control."""

from io import BytesIO

import numpy as np
import pytest
import torch

from covidseg import create_model, load_dataset, predict
from covidseg.attention import capture
from covidseg.data import Case
from covidseg.data.transforms import MEDIASTINUM, Preprocessing
from covidseg.errors import UnknownName, UserError
from covidseg.show.pictures import HEAT, HIT, rgb, slice_rgb
from covidseg.show.widgets.maps import describe_map
from covidseg.show.widgets.panel import fit, make_control, png
from covidseg.show.widgets.render import STRIP, caption, compare_regions, percent, render, screen_shape

W = pytest.importorskip("ipywidgets")
from covidseg.show.widgets import AttentionExplorer, SliceExplorer, interactive_image  # noqa: E402

PIL = pytest.importorskip("PIL.Image")
colormaps = pytest.importorskip("matplotlib").colormaps
SMALL = Preprocessing(size=64)


def grey_case(image, mask=None, name="one"):
    image = np.asarray(image, np.float32)
    mask = np.zeros(image.shape, np.uint8) if mask is None else mask
    return Case(name, "p", image, mask, "grey", (float("nan"),) * image.ndim)


def pixels(panel):
    return np.asarray(PIL.open(BytesIO(panel.image.value)))


@pytest.fixture(scope="module")
def phantoms():
    return load_dataset("phantom", n=3, size=64)


@pytest.fixture(scope="module")
def miniseg():
    torch.manual_seed(0)
    return create_model("miniseg").eval()


class Cascade(torch.nn.Module):
    """Stands for Inf-Net: one-channel maps at several sizes, one-channel logits, other names than MiniSeg's."""

    def __init__(self):
        super().__init__()
        self.edge = torch.nn.Conv2d(3, 1, 3, stride=4, padding=1)
        self.coarse = torch.nn.Conv2d(3, 1, 3, stride=8, padding=1)
        self.reverse = torch.nn.Sigmoid()
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        coarse = self.coarse(x)
        edge = self.edge(x) + torch.nn.functional.interpolate(1 - self.reverse(-coarse), scale_factor=2)
        return torch.nn.functional.interpolate(edge, size=x.shape[-2:], mode="bilinear")

    def named_maps(self):
        return {"S_e": (self.edge, None), "S_g": (self.coarse, None), "A_5": (self.reverse, None)}


# ------------------------------------------------------------------------------------------- pictures of a map


def test_blend_0_is_the_ct_and_blend_1_is_the_map():
    ct, values = np.random.default_rng(0).integers(0, 256, (512, 512)), np.linspace(0, 1, 512 * 512).reshape(512, 512)
    both = dict(intensity="grey", limits=(0, 1), legend=False)
    assert np.array_equal(render(ct, values, blend=0, **both), slice_rgb(ct, intensity="grey"))
    colours = 255 * colormaps[HEAT](np.floor(255 * values.astype(np.float32)).astype(int))[..., :3]
    assert np.abs(render(ct, values, blend=1, **both) - colours).max() <= 1


def test_between_the_ends_a_high_value_covers_more_of_the_ct():
    ct = np.zeros((512, 512))
    ct[:, 1::2] = 255  # what is left of its contrast says how much is covered
    values = np.repeat([[0.0], [1.0]], 512, 1)
    shown = render(ct, values, intensity="grey", blend=0.5, legend=False).astype(int)
    contrast = np.abs(np.diff(shown[:, :, 0], axis=1)).mean(1)
    assert 180 <= contrast[0] <= 200 and 65 <= contrast[-1] <= 80  # 1 - 0.5^2 and 1 - 0.5^0.5 of 255


def test_a_small_map_lies_upright_over_the_whole_slice():
    values = np.zeros((2, 4))
    values[0, 0] = 1  # anterior, the patient's right
    shown = render(np.zeros((256, 512)), values, intensity="grey", blend=1, legend=False)
    assert shown.shape == (256, 512, 3)
    quarters = shown[:128, :128], shown[128:, :128], shown[:128, 256:], shown[128:, 256:]
    brightness = [q[32:-32, 32:-32].mean() for q in quarters]
    assert brightness[0] > 150 and max(brightness[1:]) < 40


def test_values_beyond_the_limits_take_the_colours_of_the_ends():
    shown = render(
        np.zeros((512, 512)), np.array([[-9.0, 9.0]]), intensity="grey", blend=1, limits=(0, 1), legend=False
    )
    dark, bright = (255 * np.array(colormaps[HEAT](end)[:3]) for end in (0, 255))
    assert np.abs(shown[0, 0] - dark).max() <= 1 and np.abs(shown[0, -1] - bright).max() <= 1


def test_a_flat_map_is_drawn_without_a_division_by_zero():
    with np.errstate(all="raise"):
        assert len(np.unique(render(np.zeros((32, 32)), np.full((8, 8), 0.5), intensity="grey", legend=False))) <= 3


def test_an_outline_marks_the_border_and_leaves_the_inside_alone():
    mask = np.zeros((512, 512), bool)
    mask[100:200, 100:200] = True
    ct, values = np.full((512, 512), 90), np.zeros((2, 2))
    plain, drawn = (
        render(ct, values, intensity="grey", blend=0, outlines=o, legend=False) for o in ([], [("x", mask, HIT)])
    )
    changed = (plain != drawn).any(2)
    rim = mask.copy()
    rim[102:198, 102:198] = False
    assert np.all(drawn[rim] == rgb(HIT))
    assert not changed[102:198, 102:198].any()
    changed[99:201, 99:201] = False
    assert not changed.any()


def test_the_legend_is_a_strip_that_names_only_what_is_drawn():
    ct, values, empty, full = np.zeros((40, 80)), np.zeros((2, 2)), np.zeros((40, 80)), np.ones((40, 80))
    shown = render(ct, values, intensity="grey", outlines=[("none here", empty, HIT)])
    assert shown.shape == (256 + STRIP, 512, 3)
    assert np.array_equal(shown[-STRIP:], render(ct, values, intensity="grey")[-STRIP:])
    assert not np.array_equal(
        shown[-STRIP:], render(ct, values, intensity="grey", outlines=[("x", full, HIT)])[-STRIP:]
    )


@pytest.mark.parametrize("shape, screen", [((512, 512), (512, 512)), ((630, 315), (512, 256)), ((1, 900), (1, 512))])
def test_the_longest_side_becomes_512_and_proportions_stay(shape, screen):
    assert screen_shape(shape) == screen


# ------------------------------------------------------------------------------------------- facts


def test_a_value_belongs_to_the_region_that_covers_half_of_its_patch():
    region = np.zeros((4, 4), bool)
    region[0, 0:2] = True  # half of the first patch
    region[0, 2] = True  # a quarter of the second
    parts = compare_regions(np.array([[1.0, 2.0], [3.0, 4.0]]), region)
    assert parts["inside"].tolist() == [1] and parts["outside"].tolist() == [2, 3, 4]


def test_the_caption_gives_both_sides_and_says_what_differs():
    values = np.array([[0.9, 0.7], [0.1, 0.1]])
    region = np.zeros((8, 8), bool)
    region[:4] = True
    text = caption("A <of> E", values, region, details=["2 × 2 values"])
    assert "A &lt;of&gt; E" in text and "2 × 2 values" in text
    assert "<td>50&nbsp;%</td><td>0.700</td><td>0.800</td><td>0.900</td>" in text
    spread = np.std([0.9, 0.7, 0.1, 0.1])
    assert text.endswith(
        f"In predicted infection the mean is 0.700 higher: {0.7 / spread:.1f} standard deviations of the map."
    )


@pytest.mark.parametrize(
    "values, region, words",
    [
        ([[0.5, 0.5]], [[1, 0]], "hardly tells"),
        ([[0.1, 0.5]], [[0, 0]], "No value of this map"),
        ([[0.1, 0.5]], [[1, 1]], "All of this map"),
        ([[0.1, 0.5]], [[1, 0]], "0.400 lower"),
    ],
)
def test_the_caption_has_a_sentence_for_each_case(values, region, words):
    assert words in caption("A", np.array(values), np.array(region, bool))


def test_a_share_is_never_rounded_to_nothing_or_all():
    shares = (0, 0.001, 0.126, 0.999, 1)
    assert [percent(s).replace("&nbsp;", "") for s in shares] == ["0%", "&lt;1%", "13%", "&gt;99%", "100%"]


def test_miniseg_maps_are_named_as_in_the_paper(miniseg):
    info = describe_map(miniseg, "A/E_3_2", np.zeros((4, 64, 64)), (512, 512))
    assert (info.label, info.of) == ("E³₂ · stage 3, block 2 · 1/8", "A of E³₂")
    assert (info.channel_word, info.channels, info.math) == ("dilation", ("1", "2", "4", "8"), "E^{3}_{2}")
    assert describe_map(miniseg, "P_1", np.zeros((2, 9, 9)), (9, 9)).channels == ("0", "1")


def test_six_branches_share_dilation_8_but_not_a_label():
    model = create_model("miniseg", K=6, C=(12, 24, 36, 72))
    info = describe_map(model, "A/E_2_1", np.zeros((6, 16, 16)), (64, 64))
    assert info.channels == ("1", "2", "4", "8", "8 (5)", "8 (6)")


# ------------------------------------------------------------------------------------------- interactive_image


def square(side=3, grey=200, inverted=False, kind="a"):
    if side == 5:
        raise ValueError("five <is>\nrefused")
    picture = np.zeros((10, 10), np.uint8)
    picture[:side, :side] = grey
    return (255 - picture if inverted else picture), f"side {side}, {kind}"


@pytest.fixture
def panel():
    return interactive_image(square, side=range(1, 9), grey=(0, 255, 5), inverted=True, kind=["a", "b"])


def test_controls_start_at_the_defaults_of_render(panel):
    assert panel.values == {"side": 3, "grey": 200, "inverted": False, "kind": "a"}
    assert panel.caption.value == "side 3, a"
    expected = np.kron(square()[0], np.ones((51, 51), np.uint8))  # 10 pixels, each 51 wide: none is blurred
    assert np.array_equal(pixels(panel), expected)


@pytest.mark.parametrize("name, value", [("side", 4), ("grey", 100), ("inverted", True), ("kind", "b")])
def test_each_control_reaches_render(panel, name, value):
    panel.controls[name].value = value
    picture, words = square(**(panel.values | {name: value}))
    assert np.array_equal(pixels(panel), fit(picture)) and panel.caption.value == words


def test_an_error_while_drawing_becomes_one_line_and_the_next_move_mends_it(panel):
    before = panel.image.value
    panel.controls["side"].value = 5
    assert "Not drawn. ValueError: five &lt;is&gt; refused" in panel.caption.value
    assert isinstance(panel.error, ValueError) and panel.image.value == before
    panel.controls["side"].value = 6
    assert panel.caption.value == "side 6, a" and panel.error is None


def test_readers_without_a_kernel_see_one_short_line(panel, explorer):
    assert repr(panel) == "ImagePanel: run the notebook to move side, grey, inverted, kind."
    text = explorer._repr_mimebundle_()["text/plain"]
    assert text == "AttentionExplorer: run the notebook to move slice, block, shown, dilation, blend, range, outlines."


def test_an_error_on_the_first_drawing_is_raised_in_the_cell():
    with pytest.raises(ValueError, match="five"):
        interactive_image(square, side=W.IntSlider(5, 0, 9))


@pytest.mark.parametrize(
    "spec, kind, value",
    [
        (range(4), W.IntSlider, 1),
        ((0, 10), W.IntSlider, 5),
        ((0.0, 1.0), W.FloatSlider, 0.5),
        ((0, 1.0, 0.5), W.FloatSlider, 0.5),
        (["CT", "mask"], W.ToggleButtons, "CT"),
        ({"one": 1, "two": 2}, W.ToggleButtons, 1),
        ([f"long name number {k}" for k in range(9)], W.Dropdown, "long name number 0"),
        (range(1), W.ToggleButtons, 0),
        (True, W.Checkbox, True),
        (W.IntText(7), W.IntText, 7),
    ],
)
def test_the_kind_of_control_follows_from_its_values(spec, kind, value):
    control = make_control("some_name", spec)
    assert type(control) is kind and control.value == value and control.description == "some name"


@pytest.mark.parametrize(
    "spec, start, words",
    [
        ([], ..., "'k' is \\[\\]"),
        ("abc", ..., "'k' is 'abc'"),
        ((3, 1), ..., "low end is above"),
        ((1,), ..., "a slider is"),
        (range(0), ..., "nothing to choose"),
        ((0, 4), 9, "starts at 9, outside 0 to 4"),
        (["a"], "z", "starts at 'z'"),
        (W.HBox(), ..., "HBox has no value"),
    ],
)
def test_a_control_that_cannot_be_built_is_refused_by_name(spec, start, words):
    with pytest.raises(UserError, match=words):
        make_control("k", spec, start)


@pytest.mark.parametrize("picture", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)])
def test_a_picture_of_another_kind_is_refused(picture):
    with pytest.raises(UserError, match="uint8"):
        interactive_image(lambda k=1: picture, k=range(3))


def test_a_picture_fits_the_screen_and_survives_png():
    picture = np.random.default_rng(0).integers(0, 256, (700, 1024, 3), dtype=np.uint8)
    shown = fit(picture)
    assert shown.shape == (350, 512, 3)
    assert np.array_equal(np.asarray(PIL.open(BytesIO(png(shown)))), shown)
    assert set(np.unique(fit(np.eye(3, dtype=bool)))) == {0, 255}


# ------------------------------------------------------------------------------------------- AttentionExplorer


@pytest.fixture
def explorer(miniseg, phantoms):
    return AttentionExplorer(miniseg, phantoms, SMALL)


def test_every_control_changes_the_picture_or_the_caption(explorer):
    moves = dict(slice=1, block="A/E_3_2", channel=3, blend=0.2, limits="0 to 1", outlines="none", shown="Grad-CAM++")
    assert set(moves) == set(explorer.controls)
    for name, value in moves.items():
        before = explorer.image.value, explorer.caption.value
        explorer.controls[name].value = value
        assert explorer.error is None
        changed = explorer.image.value != before[0], explorer.caption.value != before[1]
        assert changed == (True, name in ("slice", "block", "channel", "shown")), name


def test_the_explorer_shows_the_captured_map(explorer, miniseg, phantoms):
    from covidseg.attention import capture

    explorer.controls["block"].value, explorer.controls["channel"].value = "A/E_4_1", 2
    explorer.controls["outlines"].value, explorer.controls["blend"].value = "none", 1.0
    values = capture(miniseg, SMALL.apply(phantoms[0].image, "HU")[None], "A/E_4_1")["A/E_4_1"][0]
    limits = values.min(), values.max()  # of all four branches
    assert np.array_equal(pixels(explorer), render(phantoms[0].image, values[2], blend=1, limits=limits))
    assert "A of E⁴₁, dilation 4" in explorer.caption.value
    assert f"{1 + values[2].min():.2f} to {1 + values[2].max():.2f}" in explorer.caption.value


def test_the_outline_is_what_predict_answers(explorer, miniseg, phantoms):
    for k in range(2):
        assert np.array_equal(explorer.look(k).predicted, predict(miniseg, phantoms[k].image, SMALL) > 0)


def test_a_slice_runs_through_the_network_once(phantoms):
    model = Cascade()
    explorer = AttentionExplorer(model, phantoms, SMALL, names="*")
    for index in (0, 1, 0, 1, 0):
        explorer.controls["slice"].value = index
        explorer.controls["blend"].value = 0.1 + 0.1 * index
    explorer.static(1)
    assert model.passes == 2


def test_the_network_is_left_as_it_was(phantoms):
    model = create_model("miniseg").train()
    AttentionExplorer(model, phantoms, SMALL)
    assert model.training and not model._forward_hooks


def test_maps_of_another_network_get_the_controls_they_need(phantoms):
    explorer = AttentionExplorer(Cascade(), phantoms[:1], SMALL, names="S_*")
    assert set(explorer.controls) == {
        "block",
        "shown",
        "blend",
        "outlines",
    }  # one slice, kind and channel, no shares
    assert explorer.controls["block"].description == "map"
    assert [label for label, _ in explorer.controls["block"].options] == ["S_e · 1/4", "S_g · 1/8"]
    before = explorer.image.value
    explorer.controls["block"].value = "S_g"
    assert explorer.error is None and explorer.image.value != before and "<b>S_g</b>" in explorer.caption.value


class OfInfNet(Cascade):
    """The same maps under the same names, from the folder of the paper that says what they are."""

    __module__ = "covidseg.papers.infnet.network"


def test_maps_of_infnet_are_read_as_probabilities_on_one_scale(phantoms):
    explorer = AttentionExplorer(OfInfNet(), phantoms[:1], SMALL, names="*")
    logits = capture(explorer.model, SMALL.apply(phantoms[0].image)[None], "S_g")["S_g"][0]
    assert np.allclose(explorer.look(0).maps["S_g"], 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert explorer.controls["limits"].value == "0 to 1"
    figure = explorer.static(0, names="*")
    look = explorer.look(0)
    for ax, name in zip([ax for ax in figure.axes if ax.images][1:], ("S_e", "S_g", "A_5"), strict=True):
        expected = render(look.case.image, look.maps[name][0], blend=1, limits=(0, 1), legend=False, side=256)
        assert np.array_equal(ax.images[0].get_array(), expected)
        low, high = look.maps[name].min(), look.maps[name].max()  # the title still tells where the values lie
        assert ax.get_title().endswith(f"{low:.2f} to {high:.2f}")
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["0", "1"]


def test_kinds_of_maps_are_a_choice_of_their_own(phantoms):
    explorer = AttentionExplorer(Cascade(), phantoms[:1], SMALL, names="*")
    assert explorer.controls["kind"].value == "S"
    explorer.controls["kind"].value = "A"
    assert explorer.values["block"] == "A_5" and explorer.error is None and "<b>A₅</b>" in explorer.caption.value


def test_a_map_with_many_channels_has_a_slider_and_one_with_few_shortens_it(miniseg, phantoms):
    explorer = AttentionExplorer(miniseg, phantoms[:1], SMALL, names="*")
    channel = explorer.controls["channel"]
    explorer.controls["kind"].value = "D"
    assert isinstance(channel, W.SelectionSlider) and len(channel.options) == explorer.maps["D_4"].shape[0]
    channel.value = len(channel.options) - 1
    explorer.controls["kind"].value = "P"
    assert [label for label, _ in channel.options] == ["0", "1"] and channel.description == "class"
    assert explorer.error is None and "class" in explorer.caption.value


def test_one_move_draws_one_picture(miniseg, phantoms):
    explorer = AttentionExplorer(miniseg, phantoms[:1], SMALL, names="*")
    drawn, render_one = [], explorer.render
    explorer.render = lambda **values: drawn.append(values) or render_one(**values)
    explorer.controls["kind"].value = "A"  # moves block and channel along
    assert len(drawn) == 1 and drawn[0]["block"] == "A/E_2_1"


def test_a_volume_is_walked_slice_by_slice_from_where_the_infection_is(miniseg):
    volume = load_dataset("phantom3d", n=1, size=(64, 64, 6))[0]
    explorer = AttentionExplorer(miniseg, volume, SMALL, names="A/E_2_1")
    assert len(explorer.cases) == 6
    assert explorer.controls["slice"].value == volume.infection.sum((0, 1)).argmax()


def test_a_wrong_name_or_no_case_is_refused(miniseg, phantoms, explorer):
    with pytest.raises(UnknownName, match="A/F"):
        AttentionExplorer(miniseg, phantoms, SMALL, names="A/F_*")
    with pytest.raises(UserError, match="no case"):
        AttentionExplorer(miniseg, [], SMALL)
    with pytest.raises(UnknownName, match="A/E_9_9"):
        explorer.static(0, names=["A/E_9_9"])
    with pytest.raises(UserError, match="names no inner maps"):
        AttentionExplorer(torch.nn.Conv2d(3, 1, 1), phantoms, SMALL)


def test_the_static_twin_has_a_row_per_block_and_a_column_per_dilation(explorer):
    import matplotlib.pyplot as plt

    figure = explorer.static(0)
    pictures = [ax for ax in figure.axes if ax.images]
    assert len(pictures) == 1 + 3 * 4  # the slice; the last block of stages 2, 3, 4
    titles = [ax.get_title() for ax in pictures]
    assert titles[:6] == ["slice and prediction", *(f"dilation {d}" for d in (1, 2, 4, 8)), ""]
    assert figure.number not in plt.get_fignums()  # else the notebook shows it twice
    look, info = explorer.look(0), explorer.maps["A/E_2_4"]
    expected = render(
        look.case.image,
        look.maps["A/E_2_4"][1],
        blend=1,
        limits=explorer.limits(look, info, 1, "block"),
        legend=False,
        side=256,
    )
    assert np.array_equal(pictures[2].images[0].get_array(), expected)


def test_the_static_twin_of_single_maps_names_each(phantoms):
    figure = AttentionExplorer(Cascade(), phantoms, SMALL, names="*").static(0, names="*")
    titles = [ax.get_title().splitlines()[0] for ax in figure.axes if ax.images]
    assert titles == ["slice and prediction", "$S_{e}$, 1/4", "$S_{g}$, 1/8", "$A_{5}$, 1/8"]


# ------------------------------------------------------------------------------------------- SliceExplorer


def test_a_preset_moves_level_and_width_and_another_level_lights_no_preset(phantoms):
    panel = SliceExplorer(phantoms)
    panel.controls["preset"].value = tuple(MEDIASTINUM)
    assert (panel.values["level"], panel.values["width"]) == (40, 400)
    panel.controls["mask"].value = False
    assert np.array_equal(pixels(panel), fit(slice_rgb(phantoms[0].image, window=MEDIASTINUM)))
    panel.controls["level"].value = 100
    assert panel.values["preset"] is None and "Black at -100 HU" in panel.caption.value
    panel.controls["level"].value = 40
    assert panel.values["preset"] == tuple(MEDIASTINUM) and panel.error is None


def test_grey_levels_have_no_window_left_to_choose():
    panel = SliceExplorer([grey_case(np.zeros((8, 8)))])
    assert set(panel.controls) == {"mask"} and "Stored as grey levels" in panel.caption.value


def test_areas_are_in_cm2_and_shares_of_the_lung():
    mask, lung = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    mask[0, :5], lung[:5] = 2, 1
    case = Case("c", "p", np.zeros((10, 10), np.float32), mask, "HU", (10.0, 2.0), lung, "ggo/consolidation/effusion")
    words = SliceExplorer([case]).caption.value
    assert "consolidation: 1.0 cm², 10&nbsp;% of the lung" in words and "ground-glass" not in words


def test_other_masks_replace_the_cases_own():
    case = grey_case(np.zeros((8, 8, 3)))
    masks = np.zeros((8, 8, 3), np.uint8)
    masks[2:6, 2:6, 1] = 1
    panel = SliceExplorer(case, masks)
    assert "No lesion" in panel.caption.value
    panel.controls["slice"].value = 1
    assert "infection: 16 pixels" in panel.caption.value and len(np.unique(pixels(panel))) > 2
    with pytest.raises(UserError, match="3 slices but 2 masks"):
        SliceExplorer(case, masks[:, :, :2])


def test_a_picture_has_a_name_even_where_its_caption_is_a_table():
    picture = np.zeros((4, 4), np.uint8)
    said = {"A map.<table><tr><td>1</td></tr></table>": "A map.", "<table><tr><td>two</td></tr></table>": "two"}
    for html, name in said.items():
        assert interactive_image(lambda a=1, words=html: (picture, words), a=(1, 2)).image.tooltip == name


def test_the_page_joins_every_control_with_its_label():
    said = interactive_image(lambda a=1: np.zeros((4, 4), np.uint8), a=(1, 2)).children[1].children[-1].value
    assert said.startswith('<style onload="') and "aria-labelledby" in said.partition('">')[0]
