"""RAIU-Net and CHS-Net against the paper's equations, counts by hand, and each block stated a second time."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_norms import seeded
from torch import nn
from torch.testing import assert_close

from covidseg import create_model, profile_model
from covidseg.attention import capture, map_names
from covidseg.data.transforms import Preprocessing
from covidseg.errors import UserError
from covidseg.inference import predict
from covidseg.nn import card
from covidseg.papers.chsnet.ablations import ABLATIONS, READINGS
from covidseg.papers.chsnet.attention import SpectralDepth, SpectralSpatial
from covidseg.papers.chsnet.blocks import DSC, IC, RIB, HybridPool, SameMaxPool
from covidseg.papers.chsnet.maps import MAPS
from covidseg.papers.chsnet.network import CHSNet, RAIUNet
from covidseg.papers.chsnet.spectral import (
    GlobalSpectralPool,
    SameSpectralPool,
    SpectralPool,
    crop_spectrum,
    spectral_matrix,
    spectral_pool,
)
from covidseg.papers.chsnet.wiring import PAPER, PRINTED, WIRINGS, Wiring


def small(kind=RAIUNet, seed=0, **options):
    torch.manual_seed(seed)
    return seeded(kind(width=4, **options), seed)


def size_of(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def on_paper(kind=RAIUNet, **options):
    """A network that has shapes and no numbers."""
    with torch.device("meta"):
        return kind(**options)


# --- spectral pooling

SIZES = [((8, 8), (4, 4)), ((15, 15), (7, 7)), ((15, 9), (7, 4)), ((14, 10), (7, 5)), ((16, 12), (8, 6)),
         ((9, 16), (4, 8)), ((12, 7), (12, 7)), ((7, 8), (1, 1)), ((10, 10), (3, 10))]  # fmt: skip


def by_definition(x, size):
    """numpy's transform, the centred window sample by sample, the corner averaged over both of its partners."""
    (H, W), (h, w) = x.shape, size
    X, y = np.fft.fft2(x) / (H * W), np.zeros(size)
    rows, columns = range(-(h // 2), -(h // 2) + h), range(-(w // 2), -(w // 2) + w)
    i, j = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    for k in rows:
        for l in columns:
            corner = h % 2 == w % 2 == 0 and 2 * k == -h and 2 * l == -w
            value = (X[k, l] + X[k, -l if w < W else l]) / 2 if corner else X[k % H, l % W]
            y += (value * np.exp(2j * np.pi * (k * i / h + l * j / w))).real
    return y


@pytest.mark.parametrize(("full", "size"), SIZES)
def test_spectral_pooling_by_two_matrices_is_the_fourier_definition(full, size):
    x = torch.randn(2, 3, *full, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = spectral_pool(x, size)
    assert_close(y, crop_spectrum(x, size), rtol=0, atol=1e-12)
    assert_close(y[1, 2].numpy(), by_definition(x[1, 2].numpy(), size), rtol=0, atol=1e-12)
    assert_close(spectral_pool(x.float(), size).double(), y, rtol=0, atol=1e-6)
    assert_close(y.mean((-2, -1)), x.mean((-2, -1)))
    assert_close(spectral_pool(x.mT, size[::-1]), y.mT)


def test_the_matrix_keeps_constants_and_ends_at_identity_and_mean():
    A = spectral_matrix(5, 12)
    assert np.allclose(A.sum(1), 1) and np.allclose(A.sum(0), 5 / 12)
    assert np.allclose(spectral_matrix(9, 9), np.eye(9)) and np.allclose(spectral_matrix(1, 7), 1 / 7)
    assert np.allclose(spectral_matrix(8, 8, keep=1), 1 / 8)  # nothing but the mean, at the old size


def test_spectral_pooling_follows_a_shift_and_a_flip_and_the_literatures_window_does_not_flip():
    x = torch.randn(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = spectral_pool(x, (8, 8))
    assert_close(spectral_pool(x.roll((2, 4), (0, 1)), (8, 8)), y.roll((1, 2), (0, 1)))

    def flipped(z):  # about pixel 0, which stays where it is
        return z.flip(-1).roll(1, -1)

    assert_close(spectral_pool(flipped(x), (8, 8)), flipped(y))
    single = crop_spectrum(x, (8, 8), average_corner=False)
    assert (crop_spectrum(flipped(x), (8, 8), average_corner=False) - flipped(single)).abs().max() > 1e-3


def test_spectral_pooling_has_the_right_gradient_also_after_a_prediction():
    with torch.inference_mode():
        spectral_pool(torch.randn(1, 1, 6, 7, dtype=torch.float64), (3, 3))
    x = torch.randn(1, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: spectral_pool(x, (3, 3)), x)


def test_same_spectral_pooling_is_the_identity_and_global_is_the_average():
    x = torch.randn(2, 3, 8, 11)
    assert_close(spectral_pool(x, (8, 11)), x)
    assert SameSpectralPool(PAPER)(x) is x
    assert_close(GlobalSpectralPool(PAPER)(x), spectral_pool(x, (1, 1)))
    smooth = SameSpectralPool(replace(PAPER, same_keep=0.5))(x)
    assert smooth.shape == x.shape and smooth.var() < x.var() and not torch.allclose(smooth, x)


def test_eqn_2_as_printed_doubles_the_mean_at_every_halving():
    x, unitary = torch.rand(1, 2, 16, 24), replace(PAPER, spectral_scale="unitary")
    assert_close(SpectralPool(unitary)(x).mean((-2, -1)), 2 * x.mean((-2, -1)))
    assert_close(GlobalSpectralPool(unitary)(x), GlobalSpectralPool(PAPER)(x) * (16 * 24) ** 0.5)
    by_transform = torch.fft.fftshift(torch.fft.fft2(x, norm="ortho"), dim=(-2, -1))[..., 4:12, 6:18]
    by_transform = torch.fft.ifft2(torch.fft.ifftshift(by_transform, dim=(-2, -1)), norm="ortho").real
    assert_close(SpectralPool(replace(unitary, spectral_corner="single"))(x), by_transform, rtol=1e-4, atol=1e-5)


# --- the blocks, stated a second time: no convolution, no pooling layer


def one_by_one(x, conv):
    return torch.einsum("bchw,oc->bohw", x, conv.weight[:, :, 0, 0]) + conv.bias[:, None, None]


def norm(x, bn):
    y = (x - bn.running_mean[:, None, None]) / (bn.running_var + bn.eps).sqrt()[:, None, None]
    return y * bn.weight[:, None, None] + bn.bias[:, None, None]


def dsc(x, block):
    """Eqn 5 by loops: channel by channel, tap by tap; then one sum over channels for each filter."""
    filters, mix = block
    f, (H, W) = filters.kernel_size[0], x.shape[-2:]
    wide, deep = nn.functional.pad(x, [f // 2] * 4), torch.zeros_like(x)
    for c in range(x.shape[1]):
        for j in range(f):
            for k in range(f):
                deep[:, c] += filters.weight[c, 0, j, k] * wide[:, c, j : j + H, k : k + W]
    y = [
        sum(mix.weight[r, c, 0, 0] * deep[:, c] for c in range(x.shape[1])) + mix.bias[r] for r in range(len(mix.bias))
    ]
    return torch.stack(y, 1)


def largest(x, offsets, step=1):
    """The largest of the pixels at these offsets, those beyond the border left out."""
    H, W = x.shape[-2:]
    out = torch.full_like(x[..., ::step, ::step], -torch.inf)
    for i in range(0, H, step):
        for j in range(0, W, step):
            near = [x[..., i + a, j + b] for a in offsets for b in offsets if 0 <= i + a < H and 0 <= j + b < W]
            out[..., i // step, j // step] = torch.stack(near).amax(0)
    return out


def same_pool(x, block):
    return one_by_one(torch.cat([largest(x, (0, 1)), x], 1), block.mix)


def inception(x, block):
    """Eqn 3."""
    branches = [norm(dsc(x, K[0]), K[1]).clamp(min=0) for K in block.branches]
    pooled = norm(same_pool(x, block.pool[0]), block.pool[1]).clamp(min=0)
    return norm(one_by_one(torch.cat([*branches, pooled], 1), block.fuse[0]), block.fuse[1]).clamp(min=0)


@torch.no_grad()
@pytest.mark.parametrize("f", [1, 3, 5])
def test_depthwise_separable_convolution_is_eqn_5_by_loops(f):
    block, x = DSC(3, 4, f), torch.randn(2, 3, 6, 7)
    assert_close(block(x), dsc(x, block), rtol=1e-4, atol=1e-5)


def test_a_depthwise_separable_convolution_has_the_share_of_weights_of_eqn_1():
    C, r, f = 12, 20, 5
    filters, mix = DSC(C, r, f)
    share = (filters.weight.numel() + mix.weight.numel()) / nn.Conv2d(C, r, f).weight.numel()
    assert share == pytest.approx(1 / r + 1 / f**2)


@torch.no_grad()
def test_inception_and_residual_inception_are_eqn_3_and_figure_7_written_out():
    block, x = seeded(RIB(3, 4, PAPER)), torch.randn(2, 3, 6, 7)
    assert_close(block.IC_1(x), inception(x, block.IC_1), rtol=1e-4, atol=1e-4)
    shortcut = norm(dsc(x, block.shortcut[0]), block.shortcut[1])
    assert_close(block(x), inception(inception(x, block.IC_1), block.IC_2) + shortcut, rtol=1e-4, atol=1e-4)
    assert (block(x) < 0).any()  # nothing is cut off after the sum


@torch.no_grad()
def test_hybrid_pooling_mixes_the_largest_pixel_and_the_low_frequencies():
    block, x = HybridPool(3, 3, "valid", PAPER), torch.randn(2, 3, 8, 6)
    halves = [largest(x, (0, 1), step=2), crop_spectrum(x, (4, 3))]
    assert_close(block(x), one_by_one(torch.cat(halves, 1), block.mix), rtol=1e-4, atol=1e-5)
    assert_close(SameMaxPool(replace(PAPER, same_max="3x3"))(x), largest(x, (-1, 0, 1)))
    assert block(torch.randn(1, 3, 9, 7)).shape == (1, 3, 4, 3)  # odd sides: both halves round down


@torch.no_grad()
def test_depth_attention_is_eqns_8_and_9_written_out():
    block, E = seeded(SpectralDepth(4, PAPER)), torch.randn(2, 4, 6, 8)
    _, shrink, _, grow, _ = block.descriptor
    g = crop_spectrum(E, (1, 1))
    A_d = 1 / (1 + (-one_by_one(one_by_one(g, shrink).clamp(min=0), grow)).exp())  # (8)
    assert_close(block.descriptor(E), A_d, rtol=1e-4, atol=1e-5)
    F_d = norm(one_by_one(A_d * E, block.conv[0]), block.conv[1]).clamp(min=0)  # (9)
    assert_close(block(E), F_d, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_spatial_attention_is_eqns_10_to_12_written_out():
    block = seeded(SpectralSpatial(4, 8, PAPER))
    F_d, E_deep = torch.randn(2, 4, 6, 8), torch.randn(2, 8, 3, 4)
    w, strided = block.stride.weight, block.stride.bias[:, None, None]
    for j in range(2):
        for k in range(2):
            strided = strided + torch.einsum("bchw,oc->bohw", F_d[..., j::2, k::2], w[..., j, k])
    gamma = norm(strided + one_by_one(E_deep, block.deep), block.norm[0]).clamp(min=0)  # (10)
    A_s = one_by_one(gamma, block.descriptor[0]).sigmoid()
    A_s = A_s.repeat_interleave(2, -1).repeat_interleave(2, -2)  # (11)
    F_s = norm(one_by_one(A_s * F_d, block.conv[0]), block.conv[1]).clamp(min=0)  # (12)
    assert_close(block(F_d, E_deep), F_s, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_raiu_net_is_figure_6_written_out():
    net, x = small(), torch.rand(1, 1, 32, 48)
    E_1 = net.encoder[0](x)
    E_2 = net.encoder[1](net.down[0](E_1))
    E_3 = net.encoder[2](net.down[1](E_2))
    E_4 = net.encoder[3](net.down[2](E_3))
    E_5 = net.encoder[4](net.down[3](E_4))
    D = E_5
    for k, (E, deeper) in zip((3, 2, 1, 0), ((E_4, E_5), (E_3, E_4), (E_2, E_3), (E_1, E_2)), strict=True):
        S_k = net.SSD[k].spatial(net.SSD[k].depth(E), deeper)
        D = net.decoder[k](torch.cat([net.up[k](D), S_k], 1))
    assert_close(net(x), one_by_one(D, net.head), rtol=1e-4, atol=1e-5)


# --- counts

ROWS = {  # parameters at width 8, 16, 20; multiply-accumulates of convolutions in 10^9 at width 20 and 256 x 256
    "BU": (487_145, 1_943_761, 3_035_621, 4.71),
    "BU+RIB": (520_481, 1_999_761, 3_098_969, 4.99),
    "BU+RIB+HP": (585_946, 2_261_378, 3_507_670, 5.72),
    "BU+RIB+HP+SSD": (669_650, 2_591_982, 4_022_924, 6.25),
}


def spectral_macs(width):
    """Two matrix products at each of four levels of a 256 x 256 slice: columns first, then rows."""
    total = 0
    for k in range(4):
        C, N = width * 2**k, 256 // 2**k
        total += C * (N * N * N // 2 + N // 2 * N * N // 2)
    return total


def test_raiu_net_has_4022924_parameters_part_by_part():
    net = on_paper()
    assert [size_of(E) for E in net.encoder] == [6_249, 27_540, 103_080, 398_160, 1_564_320]
    assert [size_of(D) for D in net.decoder] == [15_180, 54_360, 204_720, 793_440]
    assert [size_of(ssd) for ssd in net.SSD] == [6_351, 24_701, 97_401, 386_801]
    parts = [size_of(part) for part in (net.encoder, net.decoder, net.down, net.up, net.SSD, net.head)]
    assert parts == [2_099_349, 1_067_700, 68_300, 272_300, 515_254, 21]
    assert sum(parts) == size_of(net) == card("raiunet").params == 4_022_924
    assert size_of(on_paper(CHSNet)) == card("chsnet").params == 8_045_848


@pytest.mark.parametrize("row", ABLATIONS)
def test_every_row_of_tables_4_and_5_has_its_parameters_and_macs(row):
    *params, gmacs = ROWS[row]
    nets = [on_paper(width=width, **ABLATIONS[row]) for width in (8, 16, 20)]
    assert [size_of(net) for net in nets] == params
    macs = profile_model(nets[2], (1, 256, 256)).macs - ("HP" in row) * spectral_macs(20)
    assert round(macs / 1e9, 2) == gmacs
    assert size_of(on_paper(CHSNet, **ABLATIONS[row])) == 2 * params[2]


def test_rows_are_the_printed_ones(repo):
    with open(repo / "data" / "papers" / "chsnet_table4.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mode"].split(" ")[0] for row in rows] == list(ABLATIONS)
    for printed in rows:
        net = small(**ABLATIONS[printed["mode"].split(" ")[0]])
        assert isinstance(net.encoder[0], RIB) == (printed["rib"] == "1")
        assert isinstance(net.down[0], HybridPool) == (printed["hp"] == "1")
        assert (net.SSD is not None) == (printed["ssd"] == "1")
        assert net(torch.rand(1, 1, 32, 32)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ("options", "params"),
    [
        (READINGS["BU+RIB, hybrid inside"], 3_439_370),
        (READINGS["BU+SSD"], 3_550_875),
        (READINGS["BU, 64 channels"], 31_042_369),
        (READINGS["4.2 million"], 4_194_674),
        (dict(width=32), 10_194_854),
        (dict(wiring=replace(PAPER, pool_branch="output")), 3_989_399),
        (dict(wiring=replace(PAPER, pool_branch="output", ssd_output="F_d and F_s")), 4_206_599),
    ],
)
def test_other_readings_have_the_parameters_by_hand(options, params):
    assert size_of(on_paper(**options)) == params


def test_a_second_input_channel_adds_153_parameters():
    assert size_of(on_paper(CHSNet, cascade="concat")) == 8_045_848 + 153


# --- what a wiring says, it does

CHANGES = {  # each leaves the weights alone, and changes the answer
    "same_keep": 0.5,
    "same_max": "3x3",
    "spectral_scale": "unitary",
    "spectral_corner": "single",
    "spectral_relu": True,
    "depth_gate": "relu",
    "spatial_gate": "relu",
    "upsample": "bilinear",
    "F_s_relu": False,
}


@torch.no_grad()
@pytest.mark.parametrize("field", CHANGES)
def test_a_point_of_the_wiring_is_another_function_of_the_same_numbers(field):
    one, same, two = (small(wiring=replace(PAPER, **w)).double() for w in ({}, {}, {field: CHANGES[field]}))
    two.load_state_dict(one.state_dict())
    x = torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.equal(one(x), same(x)) and (one(x) - two(x)).abs().max() > 1e-8


def test_points_that_change_the_build():
    assert small(wiring=replace(PAPER, stages=3)).widths == (4, 8, 16, 32)
    assert small(wiring=replace(PAPER, ssd_output="F_d and F_s")).SSD[1].channels == 16
    assert len(small(wiring=replace(PAPER, head_bn=True)).head_bn.weight) == 1
    P_h = IC(3, 8, replace(PAPER, pool_branch="output")).pool[0]
    assert (P_h.mix.out_channels, IC(3, 8, PAPER).pool[0].mix.out_channels) == (8, 3)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_wiring_answers_and_its_gates_are_what_it_says(wiring):
    net = small(wiring=wiring)
    gates = {type(ssd.depth.descriptor[-1]) for ssd in net.SSD} | {type(ssd.spatial.descriptor[-1]) for ssd in net.SSD}
    assert gates == {nn.ReLU if wiring == "printed" else nn.Sigmoid}
    assert net(torch.rand(2, 1, 32, 32)).isfinite().all()


def test_wrong_options_are_one_line_with_the_way_out():
    for wrong, say in (
        (dict(wiring="offical"), "No wiring is called 'offical'"),
        (dict(wiring=replace(PAPER, upsample="cubic")), "bilinear, nearest"),
        (dict(wiring=Wiring(same_keep=0)), "above 0"),
        (dict(wiring=Wiring(stages=0)), "1 or more"),
        (dict(skip="ssdd"), "Did you mean 'ssd'"),
        (dict(width=(4, 8)), "each of 5 levels"),
    ):
        with pytest.raises(UserError, match=say):
            RAIUNet(**{"width": 4} | wrong)


# --- the contract of every network


@torch.no_grad()
@pytest.mark.parametrize("kind", [RAIUNet, CHSNet])
@pytest.mark.parametrize("size", [(16, 16), (17, 40), (50, 67)])
def test_any_size_from_16_in_gives_the_same_size_out(kind, size):
    assert small(kind)(torch.rand(1, 1, *size)).shape == (1, 1, *size)


@torch.no_grad()
def test_a_slice_is_padded_with_its_border_and_the_answer_is_cut():
    net, x = small(), torch.rand(1, 1, 30, 45)
    x[..., -1:, :], x[..., :, -1:] = 0.25, 0.25
    wide = torch.full((1, 1, 32, 48), 0.25)
    wide[..., :30, :45] = x
    assert_close(net(x), net(wide)[..., :30, :45])
    with pytest.raises(UserError, match="pad 12 x 40 to 16 x 40"):
        net(torch.rand(1, 1, 12, 40))


@torch.no_grad()
def test_classes_and_channels_are_those_asked_for_also_by_name():
    for name, kind in (("raiunet", RAIUNet), ("chsnet", CHSNet)):
        net = create_model(name, width=4, num_classes=2, in_channels=3)
        assert type(net) is kind and net.eval()(torch.rand(1, 3, 16, 16)).shape == (1, 2, 16, 16)
    x = torch.rand(1, 3, 32, 32)
    assert small(num_classes=4, in_channels=3)(x).shape == (1, 4, 32, 32)
    net = small(CHSNet, num_classes=2, in_channels=3)
    assert net(x).shape == (1, 2, 32, 32) and net.lungs(x).shape == (1, 1, 32, 32)


@pytest.mark.parametrize("options", [{}, ABLATIONS["BU"], dict(wiring="authors")])
def test_every_parameter_gets_a_gradient(options):
    silent = set()
    for seed in (0, 1, 2):  # in eval(): batch statistics would cancel every bias before a norm; but some ReLU is shut
        net = small(seed=seed, **options)
        y = net(torch.rand(2, 1, 48, 64))
        (y * torch.randn_like(y)).mean().backward()
        names = {n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()}
        silent = silent & names if seed else names
    assert silent == set()


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    x, y = torch.rand(2, 1, 32, 32) / 2, torch.zeros(2, 1, 32, 32)
    y[..., 8:20, 10:26] = 1
    net = RAIUNet(width=4).train()
    adam, bce = torch.optim.Adam(net.parameters(), lr=1e-2), nn.BCEWithLogitsLoss()
    losses = []
    for _ in range(25):
        loss = bce(net(x + y / 2), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_bf16_autocast_stays_near_and_finite():
    net, x = small(), torch.rand(1, 1, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = net(x).float()
    with torch.no_grad():
        assert (rough - net(x)).abs().max() < 0.2 * net(x).abs().max()


# --- the cascade


def lungs_that_see(net, threshold=0.5):
    """Make the first network call lung what is brighter than a threshold."""
    net.lungs.forward = lambda I: 20 * (I[:, :1] - threshold)
    return net


@torch.no_grad()
def test_the_second_network_sees_the_slice_inside_the_predicted_lungs_and_zero_elsewhere():
    net, I = lungs_that_see(small(CHSNet)), torch.rand(2, 1, 32, 32)
    contour = I * (I > 0.5)
    assert_close(net.masked(I), contour)
    assert_close(net(I), net.infection(contour))


@torch.no_grad()
def test_the_other_cascades():
    I = torch.rand(2, 1, 32, 32)
    hard = (I > 0.5).float()
    assert_close(lungs_that_see(small(CHSNet, cascade="soft")).masked(I), I * (20 * (I - 0.5)).sigmoid())
    assert_close(lungs_that_see(small(CHSNet, cascade="concat")).masked(I), torch.cat([I, hard], 1))
    drawn = torch.zeros(2, 1, 32, 32)
    drawn[..., 8:20, 4:12] = 1
    net = small(CHSNet, cascade="gt")
    assert_close(net.masked(I, drawn), I * drawn)
    assert_close(net(I, drawn), net.infection(I * drawn))
    assert_close(small(CHSNet, cascade="soft").masked(I, drawn.bool()), I * drawn)
    with pytest.raises(UserError, match="call model"):
        net(I)
    with pytest.raises(UserError, match="shape"):
        net(I, drawn[:, 0])


@torch.no_grad()
def test_outside_the_lungs_is_the_darkest_grey_of_the_normalisation():
    net, I = small(CHSNet, floor=-2.0), 4 * torch.rand(1, 1, 32, 32) - 2  # mean 1/2, spread 1/4
    lungs_that_see(net)
    assert_close(net.masked(I), torch.where(I > 0.5, I, -2.0))


@torch.no_grad()
def test_an_empty_lung_mask_leaves_an_empty_slice_and_a_finite_answer():
    net, I = lungs_that_see(small(CHSNet), threshold=2), torch.rand(1, 1, 32, 32)
    assert not net.masked(I).any()
    assert_close(net(I), net.infection(torch.zeros_like(I)))
    cut = lungs_that_see(small(CHSNet, wiring=replace(PAPER, inside=True)), threshold=2)
    assert (cut(I) < 0).all()


@torch.no_grad()
@pytest.mark.parametrize("classes", [1, 3])
def test_infection_is_cut_off_at_the_lungs_only_where_the_wiring_says_so(classes):
    I = torch.rand(1, 1, 32, 32)
    free = lungs_that_see(small(CHSNet, num_classes=classes))
    cut = lungs_that_see(small(CHSNet, num_classes=classes, wiring=replace(PAPER, inside=True)))
    for net in (free, cut):
        net.infection.head.bias[-1] += 100  # infection everywhere
    inside = (I > 0.5)[:, 0]
    found, kept = (y[:, 0] > 0 if classes == 1 else y.argmax(1) > 0 for y in (free(I), cut(I)))
    assert found.all() and torch.equal(kept, inside)


def test_no_gradient_reaches_the_lungs_and_training_leaves_them_as_they_are():
    net = small(CHSNet, cascade="soft").train()
    before = {name: value.clone() for name, value in net.lungs.state_dict().items()}
    net(torch.rand(2, 1, 32, 32)).square().mean().backward()
    assert all(p.grad is None for p in net.lungs.parameters())
    assert all(p.grad is not None for p in net.infection.parameters())
    assert net.infection.training and not net.lungs.training
    assert all(torch.equal(value, before[name]) for name, value in net.lungs.state_dict().items())
    assert net.lungs.train().training  # for a training of its own


def test_predict_and_profile_take_both_networks():
    scan = np.random.default_rng(0).integers(-1000, 200, (40, 50)).astype(np.int16)
    for kind in (RAIUNet, CHSNet):
        mask = predict(small(kind), scan, Preprocessing(size=32))
        assert mask.shape == scan.shape and set(np.unique(mask)) <= {0, 1}
    one, both = (profile_model(small(kind), (1, 64, 64)).macs for kind in (RAIUNet, CHSNet))
    assert both == 2 * one


# --- maps


def test_every_gate_is_a_map_by_the_papers_name_and_is_what_weighs():
    net, x = small(), torch.rand(2, 1, 32, 48)
    maps = capture(net, x)
    for k in range(1, 5):
        C, H, W = 4 * 2 ** (k - 1), 32 >> (k - 1), 48 >> (k - 1)
        assert maps[f"A_d/E_{k}"].shape == (2, C, 1, 1) and maps[f"A_s/E_{k}"].shape == (2, 1, H, W)
        assert maps[f"E_{k}"].shape == maps[f"F_d/E_{k}"].shape == maps[f"F_s/E_{k}"].shape == (2, C, H, W)
        assert maps[f"P_h/E_{k}"].shape == maps[f"max/E_{k}"].shape == maps[f"spectral/E_{k}"].shape
        assert 0 < maps[f"A_d/E_{k}"].min() < maps[f"A_s/E_{k}"].max() < 1
        weighed = torch.from_numpy(maps[f"A_s/E_{k}"] * maps[f"F_d/E_{k}"])
        with torch.no_grad():
            assert_close(net.SSD[k - 1].spatial.conv(weighed).numpy(), maps[f"F_s/E_{k}"], rtol=1e-4, atol=1e-5)
    assert [n for n in maps if n.startswith("D_")] == ["D_4", "D_3", "D_2", "D_1"]
    with torch.no_grad():
        assert_close(torch.from_numpy(maps["P_1"]), net(x))


def test_a_network_names_only_the_maps_it_has():
    assert map_names(small(**ABLATIONS["BU"])) == [*(f"E_{k}" for k in range(1, 6)), "D_4", "D_3", "D_2", "D_1", "P_1"]
    maps = capture(small(CHSNet), torch.rand(1, 1, 32, 32))
    names = map_names(small())
    assert list(maps) == [*(f"lungs/{n}" for n in names), "contour", *(f"infection/{n}" for n in names)]


def test_every_map_has_a_caption_of_its_own_kind():
    for name in (*map_names(small()), *map_names(small(CHSNet))):
        kind = next(kind for kind in MAPS if kind.fits(name))
        letter = name.removeprefix("lungs/").removeprefix("infection/").split("/")[0][:3]
        assert kind.pattern.removeprefix("*/").startswith(letter[:2]), (name, kind.pattern)
        assert kind.unit == (letter in ("A_d", "A_s", "P_1"))


def test_the_printed_wiring_starts_with_dead_gates_and_the_default_with_none():
    """Why the gates are sigmoids: a ReLU gate that is 0 hands nothing on and learns nothing."""
    dead = {}
    for name, wiring in (("sigmoid", PAPER), ("relu", replace(PAPER, depth_gate=PRINTED.depth_gate))):
        torch.manual_seed(0)
        net = RAIUNet(width=8, wiring=wiring)
        gates = capture(net, torch.rand(2, 1, 64, 64), "A_d/*").values()
        dead[name] = np.mean(np.concatenate([gate.ravel() for gate in gates]) == 0)
    assert dead["sigmoid"] == 0 and 0.3 < dead["relu"] < 0.7
