"""Three dimensions: the sliding window, masks of volumes, maps by slice. MONAI is the second opinion on the window."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from toy_volumes import toy

from covidseg import load_dataset, predict
from covidseg.attention import capture, impulse_response, input_gradient
from covidseg.data.transforms import LUNG, Preprocessing
from covidseg.errors import UnknownName, UserError
from covidseg.inference import Patches, Slices, predict_slices, predictor_of, prepare, prepare_volume, to_native
from covidseg.nn.layers import depthwise, dimensions, input_channels
from covidseg.profiling import profile_model
from covidseg.sliding_window import slabs, windows

PLAIN = Preprocessing(size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
SMALL = Patches(patch=(16, 16, 8))


class Bright3D(nn.Module):
    """Infection where the grey is above a half; the convolution only says that the network is three-dimensional."""

    def __init__(self):
        super().__init__()
        self.same, self.bn, self.seen = nn.Conv3d(1, 1, 1, bias=False), nn.BatchNorm3d(1), []
        nn.init.ones_(self.same.weight)

    def forward(self, x):
        self.seen.append((tuple(x.shape), self.training, torch.is_inference_mode_enabled()))
        return self.same(x) - 0.5


def volume_of(*shape, seed=0):
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def phantom():
    return load_dataset("phantom3d", n=1, size=(64, 64, 16))[0]


# ------------------------------------------------------------------------------------------ the sliding window

SHAPES = [
    ((16, 16, 8), (16, 16, 8)),  # one patch
    ((32, 24, 16), (16, 16, 8)),
    ((37, 29, 19), (16, 16, 8)),  # odd
    ((40, 21, 5), (16, 16, 8)),  # thinner than a patch
    ((9, 11, 3), (16, 12, 8)),  # in every axis
    ((33, 20, 9), (8, 20, 4)),
]


@pytest.mark.parametrize("blend", ["gaussian", "constant"])
@pytest.mark.parametrize("shape, patch", SHAPES)
def test_the_window_agrees_with_monai(shape, patch, blend):
    inferers = pytest.importorskip("monai.inferers")
    net, volume = toy(classes=3), volume_of(*shape)
    options = dict(mode=blend, sigma_scale=0.125, padding_mode="replicate")
    for overlap in (0.5, 0.25):
        with torch.inference_mode():
            ours = windows(net, volume, patch, overlap, blend, batch=3)
            theirs = inferers.sliding_window_inference(
                volume, patch, 2, lambda x: net(x)[0], overlap=overlap, **options
            )
        assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_a_volume_of_one_patch_gets_the_networks_own_answer(blend):
    net, volume = toy(), volume_of(16, 24, 8)
    with torch.inference_mode():
        assert_close(windows(net, volume, (16, 24, 8), blend=blend), net(volume)[0], atol=1e-5, rtol=0)


def test_the_answer_does_not_depend_on_how_many_patches_go_together():
    net, volume = toy(), volume_of(37, 29, 19)
    with torch.inference_mode():
        one, *others = (windows(net, volume, (16, 16, 8), batch=batch) for batch in (1, 2, 7, 100))
    for other in others:
        assert_close(other, one, atol=1e-5, rtol=0)


def test_where_patches_overlap_the_mean_is_weighted_by_the_distance_from_their_middles():
    """Two patches that answer 0 and 1, against the formula, voxel by voxel."""
    answers = iter([0.0, 1.0])
    scores = windows(lambda x: torch.full_like(x, next(answers)), torch.zeros(1, 1, 4, 4, 6), (4, 4, 4), 0.5)
    bell = [max(np.exp(-(((k - 1.5) / 0.5) ** 2) / 2), 1e-3) for k in range(4)]
    middle = bell[1] ** 2  # rows and columns 1: beyond the floor of 1e-3 the bell is a product
    second, first = middle * np.array(bell[:2]), middle * np.array(bell[2:])
    expected = [0, 0, *np.maximum(second, 1e-3) / (np.maximum(second, 1e-3) + np.maximum(first, 1e-3)), 1, 1]
    assert scores[0, 0, 1, 1].tolist() == pytest.approx(expected, abs=1e-6)


def test_slices_are_handed_out_as_soon_as_no_patch_will_touch_them():
    net, volume, passes = Bright3D().eval(), volume_of(8, 8, 20), []
    for first, scores in slabs(net, volume, (8, 8, 8), 0.5):
        passes.append((first, scores.shape[-1], len(net.seen)))
    assert passes == [(0, 4, 1), (4, 4, 2), (8, 4, 3), (12, 8, 4)]


def test_answers_are_summed_in_float32_and_without_a_graph():
    scores = windows(lambda x: x.to(torch.bfloat16), torch.ones(1, 1, 16, 16, 16), (8, 8, 8))
    assert scores.dtype == torch.float32 and scores.device.type == "cpu"
    assert not windows(toy(), torch.ones(1, 1, 8, 8, 8), (8, 8, 8)).requires_grad
    assert_close(scores, torch.ones(1, 1, 16, 16, 16))


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(volume=torch.zeros(1, 8, 8, 8)), "(1, 8, 8, 8)"),
        (dict(volume=torch.zeros(2, 1, 8, 8, 8)), "(2, 1, 8, 8, 8)"),
        (dict(patch=(8, 8)), "(8, 8)"),
        (dict(patch=(8, 0, 8)), "(8, 0, 8)"),
        (dict(overlap=1.0), "overlap is 1.0"),
        (dict(batch=0), "batch is 0"),
        (dict(model=lambda x: x[..., ::2]), "8 x 8 x 8 in 8 x 8 x 4"),
    ],
)
def test_a_window_that_cannot_slide_is_refused_by_value(change, says):
    with pytest.raises(UserError) as refusal:
        windows(**(dict(model=lambda x: x, volume=torch.zeros(1, 1, 8, 8, 8), patch=(8, 8, 8)) | change))
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_unknown_blend_names_the_known_ones():
    with pytest.raises(UnknownName, match="'gausian'.*'gaussian'"):
        windows(lambda x: x, torch.zeros(1, 1, 8, 8, 8), (8, 8, 8), blend="gausian")


# ------------------------------------------------------------------------------------------ predict


def test_a_phantom_volume_gets_the_argmax_of_the_blended_logits(phantom):
    net, pp = toy(classes=3), Preprocessing(mean=(0.4, 0, 0), std=(0.3, 1, 1))
    net.predictor = SMALL
    mask = predict(net, phantom.image, pp)
    assert mask.shape == phantom.image.shape and mask.dtype == np.uint8
    grey = np.clip((phantom.image - LUNG.low) / LUNG.width, 0, 1)
    x = torch.from_numpy(((grey - 0.4) / 0.3).astype(np.float32))[None, None]
    with torch.inference_mode():
        scores = windows(net, x, SMALL.patch)
    assert len(np.unique(mask)) > 1
    top = scores[0].sort(0).values
    clear = (top[-1] - top[-2] > 1e-4).numpy()
    assert np.array_equal(mask[clear], scores[0].argmax(0).numpy()[clear]) and clear.mean() > 0.99


@pytest.mark.parametrize("shape", [(21, 33, 5), (20, 20, 1), (64, 9, 70)])
def test_odd_and_thin_volumes_keep_their_shape_and_every_voxel_its_place(shape):
    volume = np.random.default_rng(1).uniform(-1500, 500, shape)
    net = Bright3D()
    net.predictor = SMALL
    away = np.abs(volume - LUNG.level) > 1  # HU; nearer than that, rounding decides
    assert np.array_equal(predict(net, volume, PLAIN)[away], (volume > LUNG.level)[away])


def test_a_3d_network_without_a_predictor_gets_patches_of_64():
    net = Bright3D()
    predict(net, np.zeros((70, 20, 10)), PLAIN)
    assert {shape for shape, _, _ in net.seen} == {(1, 1, 64, 64, 64)} and len(net.seen) == 2
    assert predictor_of(net) == Patches() and predictor_of(nn.Conv2d(3, 2, 1)) == Slices()


def test_the_stream_is_the_mask_and_runs_in_evaluation_mode(phantom):
    net = Bright3D().train()
    net.bn.eval()  # frozen, as in fine-tuning
    net.predictor = SMALL
    pieces = []
    for first, masks in predict_slices(net, phantom.image, PLAIN, batch=3):
        assert net.training and not torch.is_inference_mode_enabled()  # while the caller works with a piece
        assert first == sum(len(piece) for piece in pieces)
        pieces.append(masks)
    assert np.array_equal(np.concatenate(pieces).transpose(1, 2, 0), predict(net, phantom.image, PLAIN))
    assert not any(training for _, training, _ in net.seen) and all(inference for _, _, inference in net.seen)
    assert net.training and not net.bn.training and len(pieces) > 1


def test_nothing_is_predicted_outside_the_lung(phantom):
    net = Bright3D()
    net.predictor = SMALL
    free = predict(net, phantom.image, PLAIN)
    inside = predict(net, phantom.image, PLAIN, lung=phantom.lung)
    assert np.array_equal(inside, free * (phantom.lung > 0)) and 0 < inside.sum() < free.sum()


def test_grey_levels_are_read_as_grey():
    net = Bright3D()
    mask = predict(net, np.array([100.0, 200.0]).repeat(8).reshape(4, 2, 2), PLAIN, "grey")
    assert np.array_equal(mask, np.array([0, 1]).repeat(8).reshape(4, 2, 2))


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda net: predict(net, np.zeros((9, 8)), PLAIN), "the whole volume (H, W, D); one slice of 9 x 8"),
        (lambda net: predict(net, np.zeros((2, 3, 4, 5)), PLAIN), "(2, 3, 4, 5)"),
        (lambda net: predict(net, np.zeros((8, 8, 3)), PLAIN, "hu"), "HU, grey"),
        (lambda net: predict(net, np.zeros((8, 8, 3)), PLAIN, batch=0), "batch is 0"),
        (lambda net: predict(nn.Conv3d(2, 1, 1), np.zeros((8, 8, 3)), PLAIN), "takes 2 channels"),
        (lambda net: predict(nn.Conv3d(1, 2, 3), np.zeros((8, 8, 3)), PLAIN), "in 62 x 62 x 62"),
    ],
)
def test_what_a_3d_network_cannot_segment_is_refused_by_name(call, says):
    with pytest.raises(UserError) as refusal:
        call(Bright3D())
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_found_before_the_network_runs(bad):
    net, volume = Bright3D(), np.zeros((8, 8, 6))
    volume[3, 4, 5] = bad
    with pytest.raises(UserError, match="Slice 5 holds values that are not numbers"):
        predict(net, volume, PLAIN)
    assert not net.seen


class Cascade(nn.Module):
    """Two 2-D networks, lungs first: what a paper may carry as ``model.predictor`` without a word in the engine."""

    def __init__(self):
        super().__init__()
        self.lungs, self.infection = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        for conv, sign in ((self.lungs, -1.0), (self.infection, 1.0)):
            nn.init.constant_(conv.weight, sign)
            nn.init.constant_(conv.bias, -sign * (0.8 if sign < 0 else 0.3))  # lung below 0.8, infection above 0.3
        self.predictor = LungsFirst()


class LungsFirst:
    whole = False

    def masks(self, model, volume, preprocessing, intensity, *, batch, device):
        for z in range(volume.shape[2]):
            x = prepare(volume[None, :, :, z], preprocessing, intensity, z)[:, :1].to(device)
            lung = to_native(model.lungs(x), volume.shape[:2])
            yield z, lung * to_native(model.infection(x), volume.shape[:2])


def test_a_cascade_is_asked_as_its_predictor_says():
    grey = np.random.default_rng(2).uniform(0, 255, (32, 32, 3))
    expected = (grey / 255 > 0.3) & (grey / 255 < 0.8)
    assert np.array_equal(predict(Cascade(), grey, PLAIN, "grey"), expected)
    assert np.array_equal(predict(Cascade(), grey[:, :, 1], PLAIN, "grey"), expected[:, :, 1])


def test_a_volume_is_prepared_as_its_slices_are():
    volume = np.random.default_rng(3).normal(-600, 500, (20, 20, 4))
    pp = Preprocessing(size=20, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    x = prepare_volume(volume, pp, "HU", channels=3)
    assert x.shape == (1, 3, 20, 20, 4)
    for z in range(4):
        assert_close(x[0, ..., z], pp.normalise(volume[:, :, z]), atol=2e-6, rtol=0)


# ------------------------------------------------------------------------------------------ channels, counts, maps


@pytest.mark.parametrize(
    "module, channels, axes",
    [
        (depthwise(8, 3), 8, 2),
        (nn.Conv3d(8, 8, 3, groups=8), 8, 3),
        (nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1), nn.Conv3d(1, 1, 1)), 6, 2),
        (nn.Linear(4, 4), 3, 2),
    ],
)
def test_the_first_convolution_tells_channels_and_dimensions(module, channels, axes):
    assert (input_channels(module), dimensions(module)) == (channels, axes)


def test_a_3d_network_is_counted_as_by_hand():
    counted = profile_model(toy(), (1, 64, 64, 64))
    full, half, low = 64**3, 32**3, 16 * 16 * 32  # voxels per channel at the three resolutions
    by_hand = {
        "first": (1 * 4 * 27 + 4 + 2 * 4, full * 1 * 4 * 27),
        "down": (4 * 8 * 27 + 8, half * 4 * 8 * 27),
        "lower": (8 * 8 * 27 + 8, low * 8 * 8 * 27),
        "attend": (8 * 8 + 8, low * 8 * 8),
        "up": (8 * 4 * 32 + 4, low * 8 * 4 * 32),  # transposed: each voxel of the input meets each of 32 taps
        "head": (8 * 2 + 2, full * 8 * 2),
    }
    assert {group.name: (group.params, group.macs) for group in counted.groups()} == by_hand
    assert (counted.params, counted.macs) == tuple(sum(column) for column in zip(*by_hand.values(), strict=True))


def test_a_captured_map_of_a_volume_has_four_axes_and_is_what_the_layer_answers():
    net, x = toy(), volume_of(16, 24, 8)
    maps = capture(net, x)
    assert {name: values.shape for name, values in maps.items()} == {
        "G/E_1_1": (1, 8, 4, 6, 4),
        "X_1": (1, 4, 16, 24, 8),
    }
    with torch.no_grad():
        low = net.lower(net.down(net.first(x)).relu())
        assert_close(torch.from_numpy(maps["G/E_1_1"]), net.attend(low))


def test_an_impulse_through_a_3d_layer_is_its_kernel():
    conv = nn.Conv3d(1, 1, 3, padding=2, dilation=2, bias=False)
    response = impulse_response(conv, 1, size=9)
    assert response.shape == (9, 9, 9)
    kernel = conv.weight.detach()[0, 0].flip(0, 1, 2).numpy()  # a convolution here is a correlation
    assert np.allclose(response[2:7:2, 2:7:2, 2:7:2], kernel) and np.count_nonzero(response) == 27


def test_the_gradient_of_one_voxel_reaches_as_far_as_the_kernels():
    net = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Conv3d(2, 2, (1, 1, 3), padding=(0, 0, 1)))
    gradient = input_gradient(net, volume_of(9, 9, 9), 4, 3, z=5)
    assert gradient.shape == (9, 9, 9)
    reached = [(int(at.min()), int(at.max())) for at in gradient.nonzero()]
    assert reached == [(3, 5), (2, 4), (3, 7)]


def test_a_voxel_wants_a_slice_and_a_pixel_none():
    with pytest.raises(UserError, match="wants z"):
        input_gradient(nn.Conv3d(1, 2, 1), volume_of(3, 3, 3), 1, 1)
    with pytest.raises(UserError, match="no z"):
        input_gradient(nn.Conv2d(1, 2, 1), torch.zeros(1, 1, 3, 3), 1, 1, z=1)
