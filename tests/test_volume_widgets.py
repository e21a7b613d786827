"""The explorer over volumes: of a map (c, h, w, d) the slice nearest to the one shown is drawn."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from toy_volumes import toy

from covidseg import load_dataset, predict
from covidseg.attention import capture
from covidseg.data import Case
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.inference import Patches, prepare_volume
from covidseg.show.widgets.maps import describe_map
from covidseg.show.widgets.render import render

pytest.importorskip("ipywidgets")
from covidseg.show.widgets import AttentionExplorer

PIL = pytest.importorskip("PIL.Image")
PLAIN = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture(scope="module")
def phantom():
    return load_dataset("phantom3d", n=1, size=(64, 64, 16))[0]


@pytest.fixture
def explorer(phantom):
    return AttentionExplorer(toy(), phantom, PLAIN, "G/*")


def pixels(panel):
    return np.asarray(PIL.open(BytesIO(panel.image.value)))


def empty(*shape, name="volume"):
    return Case(name, "p", np.zeros(shape, np.float32), np.zeros(shape, np.uint8), "HU", (1.0,) * len(shape))


def test_a_volume_has_a_slice_slider_that_starts_where_the_infection_is(explorer, phantom):
    slider = explorer.controls["slice"]
    assert (slider.min, slider.max) == (0, 15)
    assert slider.value == phantom.infection.sum((0, 1)).argmax()
    assert set(explorer.controls) == {
        "slice",
        "shown",
        "channel",
        "blend",
        "limits",
        "outlines",
    }  # one map: no list


@pytest.mark.parametrize("z, depth", [(0, 0), (1, 0), (2, 1), (9, 4), (15, 7)])
def test_the_slice_of_the_map_nearest_to_the_shown_one_is_drawn(explorer, phantom, z, depth):
    """Depth is halved once, so slices 2 k and 2 k + 1 lie nearest to slice k of the map."""
    net = explorer.model
    values = capture(net, prepare_volume(phantom.image, PLAIN, "HU"), "G/E_1_1")["G/E_1_1"][0]
    for name, value in dict(slice=z, channel=3, blend=1.0, outlines="none", limits="map").items():
        explorer.controls[name].value = value
    plane = values[3, :, :, depth]
    expected = render(phantom.image[:, :, z], plane, blend=1, limits=(plane.min(), plane.max()))
    assert explorer.error is None and np.array_equal(pixels(explorer), expected)
    assert f"drawn: slice {depth + 1} of 8 of the map, the nearest" in explorer.caption.value


def test_the_caption_counts_the_whole_map_and_names_the_slice(explorer, phantom):
    explorer.controls["slice"].value = 4
    lines = explorer.caption.value.split("<br>")
    assert lines[:2] == [
        "<b>G of E¹₁, channel 1</b>",
        "stage 1, block 1: 16 × 16 × 8 values, one per 4 × 4 × 2 voxels of the input",
    ]
    assert f"slice {phantom.id}_0004" in lines


def test_the_outline_is_what_predict_answers_where_one_patch_holds_the_volume(explorer, phantom):
    net = toy()
    net.predictor = Patches(patch=(64, 64, 16))
    mask = predict(net, phantom.image, PLAIN)
    for z in (0, 7, 15):
        assert np.array_equal(explorer.look(z).predicted, mask[:, :, z] > 0)


def test_a_volume_runs_through_the_network_once(phantom):
    net, passes = toy(), []
    net.first.register_forward_hook(lambda *_: passes.append(1))
    explorer = AttentionExplorer(net, phantom, PLAIN, names="*")
    for z in range(0, 16, 3):
        explorer.controls["slice"].value = z
    explorer.static(2, names="*")
    assert len(passes) == 1 and not net._forward_hooks


def test_two_volumes_are_walked_one_after_the_other(phantom):
    other = replace(phantom, id="other", patient="q", image=phantom.image[:, :, ::-1].copy())
    explorer = AttentionExplorer(toy(), [phantom, other], PLAIN, "G/*")
    assert len(explorer.cases) == 32 and explorer.controls["slice"].value == 0
    mirrored = prepare_volume(other.image, PLAIN, "HU")
    values = capture(explorer.model, mirrored, "G/E_1_1")["G/E_1_1"][0]
    assert np.array_equal(explorer.look(16 + 5).plane("G/E_1_1"), values[..., 2])
    assert explorer.look(16 + 5).case.id == "other_0005"


def test_an_odd_volume_is_shown_as_the_network_saw_it():
    case = empty(30, 21, 5)
    net = toy()
    net.predictor = Patches(patch=(64, 24, 8))  # multiples of 16, 8 and 8
    explorer = AttentionExplorer(net, case, PLAIN, "G/*")
    assert len(explorer.cases) == 5  # what was added behind is no slice of the scan
    assert explorer.look(4).case.image.shape == (32, 24) and explorer.maps["G/E_1_1"].shape == (8, 8, 6, 4)


def test_the_static_twin_shows_one_slice_of_each_map(phantom):
    explorer = AttentionExplorer(toy(), phantom, PLAIN, names="*")
    figure = explorer.static(9, names=["G/E_1_1", "X_1"])
    pictures = [ax for ax in figure.axes if ax.images]
    assert len(pictures) == 1 + 8 + 4
    look, info = explorer.look(9), explorer.maps["G/E_1_1"]
    limits = explorer.limits(look, info, 2, "block")
    plane = look.maps["G/E_1_1"][2, :, :, 4]
    expected = render(look.case.image, plane, blend=1, limits=limits, legend=False, side=256)
    assert np.array_equal(pictures[3].images[0].get_array(), expected)
    assert "1/4, depth 1/2" in pictures[1].texts[0].get_text()


def test_a_map_with_depth_is_described_in_voxels():
    net = toy()
    values = np.zeros((8, 16, 16, 8), np.float32)
    same = describe_map(net, "X_1", values, (64, 64, 32))
    flat = describe_map(net, "X_1", values, (16, 16, 32))
    plane = describe_map(net, "X_1", values[..., 0], (64, 64))
    assert (same.size, same.patch) == ("1/4", "one per 4 × 4 × 4 voxels of the input")
    assert (flat.size, flat.patch) == ("full size, depth 1/4", "one per 1 × 1 × 4 voxels of the input")
    assert (plane.size, plane.patch) == ("1/4", "one per 4 × 4 pixels of the input")
    assert describe_map(net, "X_1", values, (16, 16, 8)).patch == "one per voxel"
    assert (same.shape, plane.shape) == ((8, 16, 16, 8), (8, 16, 16))


@pytest.mark.parametrize(
    "cases, says",
    [
        (lambda: [empty(16, 16, name="one")], "one is one slice. Give it volumes (H, W, D)"),
        (lambda: [], "no case"),
        (lambda: empty(200, 200, 60), "200 x 200 x 60 voxels"),
    ],
)
def test_what_a_3d_network_cannot_be_shown_over_is_refused(cases, says):
    with pytest.raises(UserError) as refusal:
        AttentionExplorer(toy(), cases(), PLAIN, "G/*")
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_network_in_training_stays_so(phantom):
    net = toy().train()
    AttentionExplorer(net, phantom, PLAIN, "G/*")
    assert net.training and all(module.training for module in net.modules())
    assert torch.is_grad_enabled()
