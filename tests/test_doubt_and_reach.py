"""How far a network looks, what its answer rests on, where it is sure, and whether that is worth anything."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from covidseg.attention import (
    border_of,
    by_dropout,
    by_flips,
    by_members,
    effective_receptive_field,
    entropy,
    lesions,
    mean_in,
    occlusion,
    radius,
    reach,
    reliability,
)
from covidseg.errors import UserError
from covidseg.show import calibration


class Box(nn.Module):
    """The logit of a pixel is the sum of the ``side`` x ``side`` pixels around it, less ``bias``."""

    def __init__(self, side=5, bias=0.0, drop=0.0):
        super().__init__()
        self.drop = nn.Dropout(drop)
        self.conv = nn.Conv2d(1, 1, side, padding=side // 2)
        nn.init.ones_(self.conv.weight)
        nn.init.constant_(self.conv.bias, -bias)

    def forward(self, x):
        return self.conv(self.drop(x))


def slice_of(H=32, W=48, seed=0):
    return torch.randn(1, 1, H, W, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------------------------------- reach


def test_the_field_of_a_box_is_the_box_and_half_its_sum_lies_in_the_middle():
    field = effective_receptive_field(Box(5), torch.cat([slice_of(seed=s) for s in range(3)]))
    box = np.zeros((32, 48))
    box[14:19, 22:27] = 1
    assert np.allclose(field, box)
    assert reach(field, 1.0) == 2.5 and reach(field, 9 / 25) == 1.5 and reach(field, 10 / 25) == 2.5


def test_a_field_averages_inputs_and_is_the_gradient_of_the_middle_logit():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)).double().eval()
    inputs = torch.cat([slice_of(9, 9, seed=s) for s in range(2)]).double()
    moved = np.zeros((9, 9))
    for one in inputs:  # one pixel nudged at a time: no gradient is asked for
        for at in np.ndindex(9, 9):
            up, down = one.clone(), one.clone()
            up[0][at] += 1e-6
            down[0][at] -= 1e-6
            with torch.no_grad():
                moved[at] += abs(float(net(up[None])[0, 1, 4, 4] - net(down[None])[0, 1, 4, 4]))
    assert np.abs(effective_receptive_field(net, inputs) - moved / moved.max()).max() < 1e-6
    with pytest.raises(UserError, match="slices"):
        effective_receptive_field(net, torch.zeros(1, 1, 4, 4, 4))


def test_covering_a_square_takes_what_the_answer_had_from_it():
    x = torch.zeros(1, 1, 16, 24)
    x[..., 4:8, 8:12] = 1
    fall = occlusion(Box(1, bias=0.5), x, side=4, stride=4, fill=0.0)
    expected = np.zeros((4, 6))
    expected[1, 2] = 1.0  # the predicted region is the square itself: its mean logit falls from 0.5 to -0.5
    assert fall.shape == (4, 6) and np.allclose(fall, expected)


def test_occlusion_equals_one_pass_for_each_place_whatever_the_batch():
    net, x = Box(3, bias=1.0), slice_of(20, 20)
    region = np.zeros((20, 20), bool)
    region[5:9, 5:15] = True
    asked = dict(side=8, stride=6, region=region)
    fall = occlusion(net, x, **asked, batch=4)
    mean = x.mean()
    with torch.no_grad():
        for i, j in np.ndindex(3, 3):
            covered = x.clone()
            covered[..., 6 * i : 6 * i + 8, 6 * j : 6 * j + 8] = mean
            by_hand = (net(x) - net(covered))[0, 0].numpy()[region].mean()
            assert math.isclose(fall[i, j], by_hand, abs_tol=1e-5)
    assert np.allclose(fall, occlusion(net, x, **asked, batch=1), atol=1e-5)


@pytest.mark.parametrize("options", [{"side": 40}, {"side": 0}, {"stride": 0}])
def test_a_square_that_does_not_fit_is_refused(options):
    with pytest.raises(UserError, match="does not fit"):
        occlusion(Box(), slice_of(), **options)
    with pytest.raises(UserError, match="one slice"):
        occlusion(Box(), torch.zeros(2, 1, 64, 64))


# ---------------------------------------------------------------------------------------------------- doubt


def test_flips_come_back_to_their_places():
    net, x = Box(3), slice_of()
    stack = by_flips(net.train(), x)
    assert stack.shape == (4, 1, 32, 48) and net.training
    assert np.abs(stack - stack[0]).max() < 1e-6  # a symmetric box sees the same in each mirror
    net.conv.weight.data[0, 0, 0] = 0
    net.conv.weight.data[0, 0, :, 0] = 0
    stack = by_flips(net, x)
    assert np.ptp(stack, 0).max() > 0.1  # one that is not, does not
    with torch.no_grad():
        by_hand = net(x.flip(-1)).sigmoid().flip(-1)[:, 0].numpy()
    assert np.allclose(stack[1], by_hand)
    cube = by_flips(nn.Conv3d(1, 2, 1), torch.randn(1, 1, 4, 6, 5))
    assert cube.shape == (4, 1, 4, 6, 5) and np.abs(cube - cube[0]).max() < 1e-6


def test_dropout_drops_as_often_as_it_says_and_nothing_else_trains():
    net = nn.Sequential(nn.Dropout(0.25), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1, bias=False)).eval()
    net[2].weight.data[:] = 100.0
    before = torch.get_rng_state()
    stack = by_dropout(net, torch.ones(1, 1, 40, 40), n=8, seed=3)
    dropped = (stack == 0.5).mean()  # a logit of 0
    assert 0.23 < dropped < 0.27 and np.ptp(stack, 0).max() > 0
    assert np.array_equal(stack, by_dropout(net, torch.ones(1, 1, 40, 40), n=8, seed=3))
    assert torch.equal(before, torch.get_rng_state()) and not any(part.training for part in net.modules())
    assert net[1].num_batches_tracked == 0
    with pytest.raises(UserError, match="by flips instead"):
        by_dropout(Box(drop=0.0), slice_of())
    with pytest.raises(UserError, match="n is 0"):
        by_dropout(Box(drop=0.5), slice_of(), n=0)


def test_members_answer_in_order_each_for_itself():
    x = slice_of()
    stack = by_members([Box(3), Box(1, bias=2.0)], x)
    assert np.allclose(stack[1, 0], torch.sigmoid(x - 2)[0, 0]) and stack.shape == (2, 1, 32, 48)


def test_entropy_is_that_of_a_coin():
    assert entropy(np.array([0.11, 0.5, 1.0])) == pytest.approx([0.49992, 1.0, 0.0], abs=1e-4)


def test_reliability_counts_as_a_loop_does():
    rng = np.random.default_rng(0)
    p, truth = rng.random((20, 30)), rng.random((20, 30)) < 0.3
    lung = rng.random((20, 30)) < 0.5
    r = reliability(p, truth, bins=4, where=lung)
    error = 0.0
    for k in range(4):
        inside = [
            (a, b) for a, b, c in zip(p.flat, truth.flat, lung.flat, strict=True) if c and k / 4 <= a < (k + 1) / 4
        ]
        said, found = (sum(column) / len(inside) for column in zip(*inside, strict=True))
        assert r.count[k] == len(inside) and r.said[k] == pytest.approx(said) and r.found[k] == pytest.approx(found)
        error += abs(said - found) * len(inside) / lung.sum()
    assert r.error == pytest.approx(error)


def test_a_probability_that_keeps_its_word_has_no_error_and_1_is_in_the_last_bin():
    p = np.repeat([0.0, 0.25, 1.0], 4)
    r = reliability(p, np.array([0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1]), bins=10)
    assert r.error == 0 and r.count.tolist() == [4, 0, 4, 0, 0, 0, 0, 0, 0, 4] and np.isnan(r.said[1])


@pytest.mark.parametrize(
    ("p", "truth", "where", "said"),
    [
        ([0.5], [1, 0], None, "shape"),
        ([0.5], [1], [True, True], "shape"),
        ([], [], None, "no pixel"),
        ([0.5], [1], [False], "no pixel"),
        ([1.5], [1], None, "0 to 1"),
        ([np.nan], [1], None, "0 to 1"),
    ],
)
def test_what_are_no_probabilities_is_refused(p, truth, where, said):
    with pytest.raises(UserError, match=said):
        reliability(np.array(p), np.array(truth), where=None if where is None else np.array(where))


def test_a_reliability_curve_draws_the_bins_that_hold_pixels():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    r = reliability(np.array([0.05, 0.95, 0.97]), np.array([0, 1, 0]))
    ax = calibration({"flips": r}, ax=Figure().subplots())
    diagonal, line = ax.get_lines()
    assert line.get_xdata() == pytest.approx([0.05, 0.96]) and line.get_ydata() == pytest.approx([0.0, 0.5])
    assert ax.get_legend().get_texts()[0].get_text() == f"flips: error {r.error:.3f}"


# -------------------------------------------------------------------------------------------------- regions


def test_a_mean_in_a_region_is_that_of_the_map_spread_pixel_by_pixel():
    rng = np.random.default_rng(0)
    values, region = rng.random((3, 4, 5)), rng.random((16, 30)) < 0.2
    spread = values.repeat(4, 1).repeat(6, 2)
    assert mean_in(values, region) == pytest.approx([one[region].mean() for one in spread])
    cube, inside = rng.random((2, 2, 3, 2)), rng.random((4, 6, 4)) < 0.5
    assert mean_in(cube, inside) == pytest.approx(cube.repeat(2, 1).repeat(2, 2).repeat(2, 3)[:, inside].mean(1))
    assert np.isnan(mean_in(values, np.zeros((16, 30)))).all()
    with pytest.raises(UserError, match="not spread"):
        mean_in(values, inside)


def test_lesions_come_apart_largest_first_and_corners_join():
    mask = np.zeros((9, 9), np.uint8)
    mask[0, 0] = mask[1, 1] = 1
    mask[4:7, 4:7] = 2
    mask[8, 0] = 1
    found = lesions(mask)
    assert [int(one.sum()) for one in found] == [9, 2, 1] and (sum(found) == (mask > 0)).all()
    assert len(lesions(mask, least=2)) == 2 and lesions(np.zeros((4, 4))) == []
    assert radius(found[0]) == pytest.approx(math.sqrt(9 / math.pi))


def test_the_border_of_a_square_is_as_wide_as_asked_and_the_slices_edge_is_no_outside():
    mask = np.zeros((12, 12))
    mask[2:10, 2:10] = 1
    inner = np.zeros((12, 12), bool)
    inner[4:8, 4:8] = True
    assert np.array_equal(border_of(mask, 2), (mask > 0) & ~inner)
    mask[:, :] = 1
    mask[0] = 0
    assert border_of(mask, 1).sum() == 12
