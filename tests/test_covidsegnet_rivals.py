"""The 3-D rivals of COVID-SegNet's Table I: counts by hand, sizes, and what each network is a second time."""

import sys

import numpy as np
import pytest
import torch
from random_norms import seeded
from torch import nn
from torch.testing import assert_close

from covidseg.errors import UserError
from covidseg.papers.covidsegnet.monai_rivals import unetplusplus3d, vnet
from covidseg.papers.covidsegnet.rivals import fcn3d, unet3d
from covidseg.profiling import profile_model

pytestmark = pytest.mark.usefixtures("one_thread")

COUNTS = [  # options, parameters with two classes and with three, multiply-accumulates in 10^9 at 64 x 64 x 32
    (fcn3d, {}, 14_052_550, 14_053_449, 33.8),
    (fcn3d, {"width": 16}, 879_670, 879_897, 2.2),
    (fcn3d, {"width": 8}, 220_382, 220_497, 0.6),
    (unet3d, {}, 19_071_394, 19_071_459, 122.1),
    (unet3d, {"width": 16}, 4_769_490, 4_769_523, 30.6),
    (unet3d, {"width": 8}, 1_193_194, 1_193_211, 7.7),
    (vnet, {}, 45_597_898, 45_601_906, 46.2),
    (unetplusplus3d, {}, 6_979_976, 6_980_108, 78.6),
    (unetplusplus3d, {"width": 8}, 437_672, 437_708, 4.9),
    (unetplusplus3d, {"width": (8, 16, 32, 64, 128, 8)}, 1_651_328, 1_651_364, 7.6),
    (unetplusplus3d, {"width": (32, 64, 128, 256, 512, 32)}, 26_382_056, 26_382_188, 120.8),
]
NAMED = [pytest.param(*row, id=f"{row[0].__name__} {row[1] or ''}") for row in COUNTS]
SMALL = [(fcn3d, {"width": 2}), (unet3d, {"width": 2}), (vnet, {}), (unetplusplus3d, {"width": 2})]


def of_monai(build):
    if build in (vnet, unetplusplus3d):
        pytest.importorskip("monai")


@pytest.mark.parametrize(("build", "options", "two", "three", "gmacs"), NAMED)
def test_parameters_and_macs_are_those_counted_by_hand(build, options, two, three, gmacs):
    of_monai(build)
    with torch.device("meta"):
        nets = [build(classes, **options) for classes in (2, 3)]
    assert [sum(p.numel() for p in net.parameters()) for net in nets] == [two, three]
    assert round(profile_model(nets[1], (1, 64, 64, 32)).macs / 1e9, 1) == gmacs


@torch.no_grad()
@pytest.mark.parametrize("build, options", SMALL)
def test_odd_and_thin_volumes_are_answered_in_their_own_size(build, options):
    of_monai(build)
    with torch.device("meta"):  # shapes alone: V-Net has 45 million parameters
        net = build(3, 5, **options).eval()
        for size in ((16, 16, 16), (17, 9, 1), (1, 1, 1), (33, 20, 5)):
            assert net(torch.zeros(1, 5, *size)).shape == (1, 3, *size)


@torch.no_grad()
def test_a_volume_is_filled_up_with_its_border():
    pytest.importorskip("monai")
    torch.manual_seed(0)
    net, x = seeded(unetplusplus3d(width=2)), torch.rand(1, 1, 13, 16, 5)
    wide = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (0, 3), (0, 0), (0, 11)), mode="edge"))
    assert_close(net(x), net.net(wide)[0][..., :13, :, :5])


@torch.no_grad()
def test_3d_fcn_adds_the_scores_of_three_strides():
    torch.manual_seed(0)
    net, x = seeded(fcn3d(width=4)), torch.rand(1, 1, 16, 8, 24)
    assert all(layer.bias is None for stage in net.stages for layer in stage if isinstance(layer, nn.Conv3d))
    f, y = [], x
    for k, stage in enumerate(net.stages):
        y = stage(y.unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2).amax((-3, -2, -1)) if k else y)  # max pooling
        f.append(y)
    P_2, P_3, P_4 = (torch.einsum("bchwd,kc->bkhwd", y, s.weight[:, :, 0, 0, 0]) + s.bias[:, None, None, None]
                     for y, s in zip(f[1:], net.scores, strict=True))  # fmt: skip
    up = nn.Upsample(scale_factor=2, mode="trilinear")
    assert_close(net(x), up(up(up(P_4) + P_3) + P_2), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_3d_u_net_is_its_figure_2_written_out():
    torch.manual_seed(0)
    net, x = seeded(unet3d(width=4)), torch.rand(1, 1, 16, 8, 24)
    X_1 = net.down[0](x)
    X_2 = net.down[1](net.pool(X_1))
    X_3 = net.down[2](net.pool(X_2))
    X_4 = net.down[3](net.pool(X_3))
    assert [X.shape[1] for X in (X_1, X_2, X_3, X_4)] == [8, 16, 32, 64]
    y = X_4
    for X, grow, double in (
        (X_3, net.grow[2], net.up[2]),
        (X_2, net.grow[1], net.up[1]),
        (X_1, net.grow[0], net.up[0]),
    ):
        w, fine = grow.weight, torch.zeros(1, grow.out_channels, *X.shape[2:])
        for i in range(2):
            for j in range(2):
                for k in range(2):  # each voxel becomes eight
                    fine[:, :, i::2, j::2, k::2] = torch.einsum("bchwd,co->bohwd", y, w[:, :, i, j, k])
        y = double(torch.cat([X, fine + grow.bias[:, None, None, None]], 1))
    assert_close(net(x), net.head(y), rtol=1e-4, atol=1e-5)


def test_without_monai_one_line_says_where_it_is_to_be_had(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)  # what import_module finds
    with pytest.raises(UserError, match="VNet is MONAI's.*pip install monai"):
        vnet()


def test_six_widths_or_one():
    with pytest.raises(UserError, match="or six"):
        unetplusplus3d(width=(8, 16))
