"""Grad-CAM and Grad-CAM++ in the AttentionExplorer and in its static twin."""

from io import BytesIO

import numpy as np
import pytest
import torch
from toy_volumes import toy

from covidseg import create_model, load_dataset
from covidseg.attention import grad_cam, predicted_region
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UnknownName
from covidseg.inference import prepare_volume
from covidseg.show.widgets.render import render

pytest.importorskip("ipywidgets")
from covidseg.show.widgets import AttentionExplorer

PIL = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")
SMALL = Preprocessing(size=64)
LATER = "Neural Processing Letters 2022"


@pytest.fixture(scope="module")
def phantoms():
    return load_dataset("phantom", n=2, size=64)


@pytest.fixture(autouse=True)
def same_weights():
    torch.manual_seed(0)


def choose(explorer, **values):
    for name, value in values.items():
        explorer.controls[name].value = value
    return explorer.caption.value


def pixels(explorer):
    return np.asarray(PIL.open(BytesIO(explorer.image.value)))


def visible(explorer):
    return {name for name, control in explorer.controls.items() if control.layout.display != "none"}


@pytest.mark.parametrize("shown", ["Grad-CAM", "Grad-CAM++"])
def test_the_explorer_shows_what_grad_cam_answers(phantoms, shown):
    explorer = AttentionExplorer(create_model("miniseg").eval(), phantoms, SMALL, names="[AD]*")
    words = choose(explorer, kind="D", block="D_2", shown=shown, blend=1.0, outlines="none", slice=1)
    x = SMALL.apply(phantoms[1].image, "HU")[None]
    cam = grad_cam(explorer.model, x, "D_2", plus_plus=shown == "Grad-CAM++")[0]
    assert explorer.error is None and cam.max() == 1
    assert np.array_equal(pixels(explorer), render(phantoms[1].image, cam, blend=1, limits=(0, 1)))
    assert f"<b>{shown} of D₂</b>" in words and LATER not in words
    count = int(predicted_region(explorer.model(x), 1).sum())
    assert count and f"Score: the logit, summed over the {count:,} pixels of the prediction." in words


def test_a_grad_cam_has_no_channel_and_no_range_to_choose(phantoms):
    explorer = AttentionExplorer(create_model("miniseg").eval(), phantoms, SMALL)
    everything = visible(explorer)
    choose(explorer, channel=2, shown="Grad-CAM++")
    assert visible(explorer) == everything - {"channel", "limits"} and explorer.error is None
    words = choose(explorer, shown="map")
    assert visible(explorer) == everything and "A of E²₁, dilation 1" in words and "Grad" not in words


def test_several_classes_are_chosen_where_channels_were(phantoms):
    model = create_model("unet", num_classes=3, width=4).eval()
    explorer = AttentionExplorer(model, phantoms[:1], SMALL, names="Y_2")
    words = choose(explorer, shown="Grad-CAM", channel=1, blend=1.0, outlines="none")
    control = explorer.controls["channel"]
    assert control.options == (("1", 0), ("2", 1)) and control.description == "class"
    cam = grad_cam(model, SMALL.apply(phantoms[0].image)[None], "Y_2", class_index=2, plus_plus=False)[0]
    assert np.array_equal(pixels(explorer), render(phantoms[0].image, cam, blend=1, limits=(0, 1)))
    assert "Grad-CAM of Y₂, class 2" in words and "Score: the logit of class 2" in words


def test_an_empty_prediction_and_a_map_that_says_nothing_are_said(phantoms):
    model = create_model("unet", num_classes=1, width=4).eval()
    explorer = AttentionExplorer(model, phantoms[:1], SMALL, names="Y_1")
    model.head.weight.data[:], model.head.bias.data[:] = -1, -9
    explorer = AttentionExplorer(model, phantoms[:1], SMALL, names="Y_1")
    words = choose(explorer, shown="Grad-CAM++")  # Y_1 stands behind a ReLU, and each channel lowers the logit
    assert "summed over the whole slice, because the network predicts none here. Nothing speaks for it." in words


def test_the_caption_says_which_paper_shows_grad_cam_plus_plus_and_a_map_without_gradient_is_shown_itself_and_said(
    phantoms,
):
    explorer = AttentionExplorer(create_model("chsnet", width=4), phantoms[:1], SMALL, names="*/E_2")
    assert LATER not in choose(explorer, kind="infection", shown="Grad-CAM")
    assert LATER in choose(explorer, shown="Grad-CAM++") and explorer.error is None
    words = choose(explorer, kind="lungs")
    assert "Shown is the map itself: no gradient of the answer reaches it, so it has no Grad-CAM++." in words
    assert "Grad-CAM++ of" not in words and explorer.error is None
    drawn = explorer.image.value
    assert "Shown is" not in choose(explorer, shown="map") and explorer.image.value == drawn


def test_the_slices_of_a_volume_share_one_grad_cam():
    volume, net, passes = load_dataset("phantom3d", n=1, size=(64, 64, 16))[0], toy(), []
    plain = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)
    x = prepare_volume(volume.image, plain, "HU")
    with torch.no_grad():
        gap = net(x)[0].diff(dim=1)
        net.head.bias[1] -= gap.median()  # half of the voxels become infection
        count = int(predicted_region(net(x)[0], 1).sum())
    explorer = AttentionExplorer(net, volume, plain, names="X_1")
    net.first.register_forward_hook(lambda *_: passes.append(1))
    choose(explorer, shown="Grad-CAM++", blend=1.0, outlines="none")
    for z in (3, 9, 12):
        words = choose(explorer, slice=z)
    assert len(passes) == 1 and explorer.error is None and f"the {count:,} voxels of the prediction" in words
    cam = grad_cam(net, x, "X_1")[0]
    assert np.array_equal(pixels(explorer), render(volume.image[:, :, 12], cam[..., 12], blend=1, limits=(0, 1)))


def test_the_static_twin_draws_the_same_and_says_below_what_it_is(phantoms):
    explorer = AttentionExplorer(create_model("chsnet", width=4), phantoms, SMALL, names="infection/E_*")
    names = ["infection/E_1", "infection/E_3"]
    figure = explorer.static(1, names, shown="Grad-CAM++")
    drawn = [ax for ax in figure.axes if ax.images][1:]
    x = SMALL.apply(phantoms[1].image, "HU")[None, :1]
    for ax, name in zip(drawn, names, strict=True):
        cam = grad_cam(explorer.model, x, name)[0]
        expected = render(phantoms[1].image, cam, blend=1, limits=(0, 1), legend=False, side=256)
        assert np.array_equal(ax.images[0].get_array(), expected)
    words = " ".join(figure.get_supxlabel().split())
    assert words.startswith("Grad-CAM++, Chattopadhay et al. 2018") and LATER in words and "Score: the logit" in words
    assert explorer.static(1, names).get_supxlabel() == ""
    model = create_model("unet", num_classes=3, width=4).eval()
    words = AttentionExplorer(model, phantoms, SMALL, names="Y_*").static(shown="Grad-CAM").get_supxlabel()
    assert all(f"Score: the logit of class {k}" in " ".join(words.split()) for k in (1, 2))
    with pytest.raises(UnknownName, match="Did you mean 'Grad-CAM'"):
        explorer.static(1, names, shown="grad-cam")
