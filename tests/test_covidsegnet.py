"""COVID-SegNet against the paper's equations, counts by hand, and each block stated a second time."""

import csv
from itertools import product

import numpy as np
import pytest
import torch
from random_norms import seeded
from torch import nn
from torch.testing import assert_close

from covidseg import load_dataset, predict
from covidseg.attention import capture
from covidseg.data.transforms import LUNG, Preprocessing, to_grey
from covidseg.errors import UserError
from covidseg.losses import bce_dice
from covidseg.nn.layers import input_channels
from covidseg.papers.covidsegnet.ablations import ABLATIONS, READINGS
from covidseg.papers.covidsegnet.blocks import ASPP, DILATIONS, FV, Res, grown
from covidseg.papers.covidsegnet.maps import MAPS
from covidseg.papers.covidsegnet.network import FVS, COVIDSegNet, covid_segnet
from covidseg.papers.covidsegnet.predictor import OUTPUTS, PatchesAsTrained, patch_of
from covidseg.papers.covidsegnet.wiring import WIRINGS, Wiring
from covidseg.profiling import profile_model

pytestmark = pytest.mark.usefixtures("one_thread")


def small(seed=0, **options):
    torch.manual_seed(seed)
    return seeded(COVIDSegNet(**{"width": 4} | options), seed)


def on_paper(**options):
    """A network that has shapes and no numbers."""
    with torch.device("meta"):
        return COVIDSegNet(**options)


def size_of(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def volume(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# --- the blocks, stated a second time: no convolution, no layer


def conv(x, layer):
    """Tap by tap: at each, one matrix for all voxels."""
    k, d, s, p = (value[0] for value in (layer.kernel_size, layer.dilation, layer.stride, layer.padding))
    w, sides = layer.weight, x.shape[2:]
    wide = torch.zeros(*x.shape[:2], *(n + 2 * p for n in sides))
    wide[:, :, p : p + sides[0], p : p + sides[1], p : p + sides[2]] = x
    reach = [range(0, n + 2 * p - d * (k - 1), s) for n in sides]
    y = 0
    for i, j, l in product(range(k), repeat=3):
        seen = wide[:, :, d * i :: s, d * j :: s, d * l :: s][:, :, : len(reach[0]), : len(reach[1]), : len(reach[2])]
        y = y + torch.einsum("bchwd,oc->bohwd", seen, w[:, :, i, j, l])
    return y if layer.bias is None else y + layer.bias[:, None, None, None]


def norm(x, bn):
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    return x * scale[:, None, None, None] + (bn.bias - bn.running_mean * scale)[:, None, None, None]


def cbr(x, block):
    return norm(conv(x, block[0]), block[1]).clamp(min=0)


def res(x, block):
    skip = x if isinstance(block.shortcut, nn.Identity) else norm(conv(x, block.shortcut[0]), block.shortcut[1])
    return (norm(conv(cbr(x, block.first), block.second[0]), block.second[1]) + skip).clamp(min=0)


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def fv(F_in, block, contrast, position):
    """Eqns 1 to 4: the branches in the paper's order, C, P and the identity."""
    F_1, F = cbr(F_in, block.shrink), []
    if contrast:
        _, first, _, last, _ = block.F_g
        mean = F_1.mean((2, 3, 4))
        hidden = (mean @ first.weight[:, :, 0, 0, 0].T + first.bias).clamp(min=0)
        F_g = sigmoid(hidden @ last.weight[:, :, 0, 0, 0].T + last.bias)  # (2) B, 1 or C
        assert F_g.shape[1] == (1 if contrast == "scalar" else F_1.shape[1])
        F.append(F_g.expand(F_1.shape[:2])[..., None, None, None] * F_1)  # (3)
    if position:
        look, last, _ = block.A
        F.append(sigmoid(conv(cbr(F_1, look), last)) * F_1)  # (4)
    return F_in + cbr(torch.cat([*F, F_1], 1), block.fuse)  # (1)


def paspp(F_in, block, kind, adds):
    """Eqns 6 to 9, branch by branch."""
    F_p = {t: cbr(F_in, block.squeeze[t - 1]) for t in (1, 2, 3, 4)}
    F_d = {t: cbr(F_p[t], block.dilated[t - 1]) for t in (1, 2, 3, 4)}  # (6)
    added = F_p if adds == "inputs" else F_d
    both = {1: added[1] + added[2], 3: added[3] + added[4]}
    more = {1: both[1], 2: both[1], 3: both[3], 4: both[3]}
    F_d = F_d if kind == "aspp" else {t: F_d[t] + more[t] for t in F_d}  # (7)
    if kind != "paspp":
        return cbr(torch.cat(list(F_d.values()), 1), block.fuse)
    first = cbr(torch.cat([F_d[1], F_d[2]], 1), block.pairs[0])  # (8)
    second = cbr(torch.cat([F_d[3], F_d[4]], 1), block.pairs[1])
    return cbr(torch.cat([first, second], 1), block.fuse)  # (9)


@torch.no_grad()
@pytest.mark.parametrize("channels", [(4, 4), (3, 5)])
def test_a_residual_block_adds_its_input_to_two_convolutions(channels):
    block, x = seeded(Res(*channels)), volume(2, channels[0], 5, 4, 3)
    assert_close(block(x), res(x, block), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("row", [row for row in FVS if FVS[row]])
def test_feature_variation_is_eqns_1_to_4_written_out(row):
    block, x = seeded(FV(8, **FVS[row])), volume(2, 8, 5, 6, 4)
    assert_close(block(x), fv(x, block, **FVS[row]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("adds", ["inputs", "outputs"])
@pytest.mark.parametrize("kind", ["paspp", "resaspp", "aspp"])
def test_paspp_is_eqns_6_to_9_written_out(kind, adds):
    block, x = seeded(ASPP(8, kind, adds)), volume(2, 8, 18, 9, 6)
    assert [conv[0].dilation[0] for conv in block.dilated] == list(DILATIONS) == [2 ** (t - 1) for t in (1, 2, 3, 4)]
    assert_close(block(x), paspp(x, block, kind, adds), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_where_the_map_is_short_the_largest_dilation_sees_its_own_voxel_alone():
    block = seeded(ASPP(8))
    bare = seeded(ASPP(8))
    bare.load_state_dict(block.state_dict())
    for side, same in (((8, 8, 4), True), ((16, 16, 8), False)):
        for tap in product(range(3), repeat=3):
            if tap != (1, 1, 1):
                bare.dilated[3][0].weight[:, :, *tap] = 0
        x = volume(1, 8, *side)
        assert torch.allclose(block(x), bare(x)) == same  # E_4 of a patch of 64 x 64 x 32, and of 128 x 128 x 64


@torch.no_grad()
def test_3x3x3_on_one_voxel_is_1x1x1():
    """Why Eqn 2's first layer is 1x1x1 here: one tap of 27 ever meets a number."""
    wide, x = nn.Conv3d(4, 2, 3, padding=1), volume(2, 4, 1, 1, 1)
    narrow = nn.Conv3d(4, 2, 1)
    narrow.weight.copy_(wide.weight[:, :, 1:2, 1:2, 1:2]), narrow.bias.copy_(wide.bias)
    assert_close(wide(x), narrow(x))


@torch.no_grad()
def test_the_network_is_figure_2_written_out():
    net, x = small(), volume(1, 1, 16, 24, 8)
    E = [res(x, net.encoder[0].body)]
    for layer in net.encoder[1:3]:
        E.append(res(fv(cbr(E[-1], layer.down), layer.fv, **FVS["fv"]), layer.body))
    last = net.encoder[3]
    y = paspp(fv(cbr(E[2], last.down), last.fv, **FVS["fv"]), last.body, "paspp", "inputs")
    for k in (2, 1, 0):
        grow, bn, _ = net.up[k]
        doubled = torch.zeros(*y.shape[:2], *(2 * n for n in y.shape[2:]))
        doubled[..., ::2, ::2, ::2] = y  # a transposed convolution: every second voxel, then the flipped filter
        full = nn.Conv3d(grow.in_channels, grow.out_channels, 3, padding=1, bias=False)
        full.weight.copy_(grow.weight.transpose(0, 1).flip(2, 3, 4))
        y = res(torch.cat([norm(conv(doubled, full), bn).clamp(min=0), E[k]], 1), net.decoder[k])
    assert_close(net(x), conv(y, net.head), rtol=1e-3, atol=1e-4)


# --- counts

ROWS = {  # parameters at width 64, 16, 8; multiply-accumulates in 10^9 of a patch of 64 x 64 x 32
    "UNet4": (35_130_370, 2_197_762, 550_146, 130.78, 8.22, 2.07),
    "UNet4 + CAB": (54_230_626, 3_392_410, 849_102, 156.62, 9.84, 2.47),
    "UNet4 + CEB": (54_143_941, 3_386_869, 847_677, 156.62, 9.84, 2.47),
    "UNet4 + PSB": (72_639_618, 4_543_266, 1_136_914, 181.98, 11.42, 2.87),
    "UNet4 + FV": (82_015_813, 5_129_365, 1_283_469, 194.67, 12.21, 3.07),
    "UNet4 + ASPP": (23_269_378, 1_456_642, 364_930, 127.74, 8.03, 2.02),
    "UNet4 + ResASPP": (23_269_378, 1_456_642, 364_930, 127.74, 8.03, 2.02),
    "UNet4 + PASPP": (23_401_474, 1_465_090, 367_106, 127.78, 8.03, 2.02),
    "UNet4 + FV + PASPP": (70_286_917, 4_396_693, 1_100_429, 191.66, 12.03, 3.02),
    "FV after the residual blocks": (35_124_517, 2_198_413, 550_649, 255.55, 16.02, 4.02),
    "FV before the doubling": (28_146_853, 1_761_901, 441_385, 134.42, 8.45, 2.13),
}


@pytest.mark.parametrize("row", ABLATIONS | READINGS)
def test_every_row_of_table_2_and_both_readings_have_their_parameters_and_macs(row):
    found = [profile_model(on_paper(width=w, **(ABLATIONS | READINGS)[row]), (1, 64, 64, 32)) for w in (64, 16, 8)]
    assert (*(p.params for p in found), *(round(p.macs / 1e9, 2) for p in found)) == ROWS[row]


def test_a_patch_of_the_papers_size_takes_1533_gmac():
    assert round(profile_model(on_paper(), (1, 128, 128, 64)).macs / 1e9) == 1533


def test_parameters_part_by_part_by_hand():
    net = on_paper()

    def cbr_of(C, C_out, k):
        return C * C_out * k**3 + 2 * C_out

    def res_of(C, C_out):
        return cbr_of(C, C_out, 3) + cbr_of(C_out, C_out, 3) + (cbr_of(C, C_out, 1) if C_out != C else 0)

    def fv_of(C):
        contrast = C * C // 4 + C // 4 + C // 4 + 1
        return cbr_of(C, C, 1) + contrast + cbr_of(C, C, 3) + 27 * C * C + C + cbr_of(3 * C, C, 3)

    paspp_of_512 = 4 * (cbr_of(512, 128, 1) + cbr_of(128, 128, 3)) + 2 * cbr_of(256, 256, 1) + cbr_of(512, 512, 1)
    layers = [res_of(1, 64), *(cbr_of(C // 2, C, 3) + fv_of(C) + res_of(C, C) for C in (128, 256))]
    layers.append(cbr_of(256, 512, 3) + fv_of(512) + paspp_of_512)
    assert [size_of(layer) for layer in net.encoder] == layers
    assert [size_of(D) for D in net.decoder] == [res_of(128, 64), res_of(256, 128), res_of(512, 256)]
    assert [size_of(u) for u in net.up] == [cbr_of(2 * C, C, 3) for C in (64, 128, 256)]
    assert size_of(net.head) == 64 * 2 + 2


@pytest.mark.parametrize(
    ("wiring", "params", "gmacs"),
    [
        (Wiring(down="maxpool"), 65.814, 185.6),
        (Wiring(down="conv2"), 67.018, 187.2),
        (Wiring(up="conv2"), 67.018, 187.2),
        (Wiring(down="conv2", up="conv2"), 63.750, 182.7),
    ],
)
def test_other_ways_down_and_up_have_the_counts_of_their_kernels(wiring, params, gmacs):
    found = profile_model(on_paper(wiring=wiring), (1, 64, 64, 32))
    assert (round(found.params / 1e6, 3), round(found.macs / 1e9, 1)) == (params, gmacs)


def test_rows_are_the_printed_ones(repo):
    with open(repo / "data" / "papers" / "covidsegnet_table2.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ABLATIONS) == 9
    for printed, options in zip(rows, ABLATIONS.values(), strict=True):
        net = small(**options)
        block, context = net.encoder[1].fv, net.encoder[3].body
        ticks = {name: printed[name] == "1" for name in ("cab", "ceb", "psb", "fv", "aspp", "resaspp", "paspp")}
        assert (block is None) == (not any(ticks[name] for name in ("cab", "ceb", "psb", "fv")))
        if block is not None:
            assert (block.A is not None) == (ticks["psb"] or ticks["fv"])
            assert (block.F_g is not None) == (not ticks["psb"])
            assert block.F_g is None or (block.F_g[3].out_channels == 1) == (not ticks["cab"])
        kinds = [name for name in ("aspp", "resaspp", "paspp") if ticks[name]]
        assert [context.kind] == kinds if kinds else isinstance(context, Res)


# --- where FV sits


def test_fv_sits_where_the_reading_has_it_and_there_are_three_of_them():
    def places(**options):
        net = on_paper(width=4, **options)
        return {k: layer.fv.fuse[0].out_channels for k, layer in enumerate(net.encoder, 1) if layer.fv is not None}

    assert places() == {2: 8, 3: 16, 4: 32}
    assert places(fv_at="post") == {1: 4, 2: 8, 3: 16} == places(wiring="post")
    assert places(fv_width="before") == {2: 4, 3: 8, 4: 16} == places(wiring="before")
    assert on_paper(width=4, fv_width="before").encoder[3].body.fuse[0].in_channels == 16


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_scan_is_one_channel_in_every_reading(wiring):
    """Prediction asks the first convolution; FV's would answer with the width."""
    network = covid_segnet(width=4, wiring=wiring).eval()
    assert input_channels(network) == 1
    assert predict(network, np.zeros((16, 16, 8), np.float32), Preprocessing(16)).shape == (16, 16, 8)


@torch.no_grad()
def test_after_the_residual_block_the_skip_is_taken_behind_fv():
    net, x = small(fv_at="post"), volume(1, 1, 8, 8, 8)
    E_1 = net.encoder[0](x)
    assert_close(E_1, fv(res(x, net.encoder[0].body), net.encoder[0].fv, **FVS["fv"]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wiring", [*WIRINGS, Wiring(down="maxpool", up="conv2"), Wiring(down="conv2")])
@pytest.mark.parametrize("row", ABLATIONS)
def test_every_row_trains_in_every_wiring(row, wiring):
    net = COVIDSegNet(width=4, wiring=wiring, **ABLATIONS[row]).train()
    for module in net.modules():
        if isinstance(module, FV) and module.F_g is not None:
            nn.init.ones_(module.F_g[1].bias)  # so narrow, all of Eqn 2's hidden numbers may be 0 by chance
    net(volume(2, 1, 16, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


# --- sizes


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 16, 8), (17, 23, 9), (33, 8, 1), (1, 1, 1), (40, 24, 3)])
def test_odd_and_thin_volumes_are_answered_in_their_own_size(size):
    assert small(num_classes=3)(volume(1, 1, *size)).shape == (1, 3, *size)


@torch.no_grad()
def test_a_volume_is_filled_up_with_its_border_and_the_answer_is_cut():
    net, x = small(), volume(1, 1, 13, 16, 5)
    wide = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (0, 3), (0, 0), (0, 3)), mode="edge"))
    assert torch.equal(grown(x, 8), wide) and grown(wide, 8) is wide
    assert_close(net(x), net(wide)[..., :13, :, :5])


# --- maps


@torch.no_grad()
def test_maps_have_the_papers_names_shapes_and_ranges():
    maps = capture(small(), volume(2, 1, 16, 16, 8))
    for k, C, sides in ((2, 8, (8, 8, 4)), (3, 16, (4, 4, 2)), (4, 32, (2, 2, 1))):
        assert maps[f"F_g/E_{k}"].shape == (2, 1, 1, 1, 1)
        assert maps[f"A/E_{k}"].shape == maps[f"FV/E_{k}"].shape == maps[f"E_{k}"].shape == (2, C, *sides)
        assert maps[f"F_g/E_{k}"].min() > 0 and maps[f"A/E_{k}"].max() < 1
    assert [maps[f"F_d/{t}"].shape[1] for t in (1, 2, 3, 4)] == [8] * 4 and maps["F_dd/2"].shape[1] == 16
    assert [name for name in maps if name[0] in "DP"] == ["D_3", "D_2", "D_1", "P_1"]
    for name in maps:
        assert sum(kind.fits(name) for kind in MAPS) == 1, name


def test_a_row_names_the_maps_it_has():
    names = {row: set(small(**options).named_maps()) for row, options in ABLATIONS.items()}
    assert not any("/" in name for name in names["UNet4"])
    assert "F_g/E_2" in names["UNet4 + CEB"] and "A/E_2" not in names["UNet4 + CEB"]
    assert "A/E_2" in names["UNet4 + PSB"] and "F_g/E_2" not in names["UNet4 + PSB"]
    assert "F_d/4" in names["UNet4 + ResASPP"] and "F_dd/1" not in names["UNet4 + ResASPP"]


# --- what it learns, and how it is asked


def test_one_patch_is_learned_by_heart():
    case = load_dataset("phantom3d", "train", n=1, size=(32, 32, 12))[0]
    x = torch.from_numpy(to_grey(case.image, "HU", LUNG))[None, None]
    y = torch.from_numpy(case.infection[None].astype(np.int64))
    torch.manual_seed(0)
    net = COVIDSegNet(width=4)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        bce_dice(net.train()(x), y, smooth=1e-5, reduce="batch").backward()
        optimizer.step()
    with torch.inference_mode():
        drawn = net(x).argmax(1)  # in train(): the patch's own BatchNorm
    assert y.sum() > 100 and 2 * ((drawn == 1) & (y == 1)).sum() / (drawn.sum() + y.sum()) > 0.95


def test_a_patch_of_a_scan_is_that_of_training_and_never_above_the_papers():
    assert patch_of(32, (64, 64, 64)) == (32, 32, 16)
    assert patch_of(512, (256, 200, 300)) == (128, 128, 64)
    assert patch_of(128, (130, 70, 5)) == (128, 72, 8)


class Fixed(nn.Module):
    """Three classes by the grey of each voxel: dark, middle, bright."""

    def __init__(self, outputs, wants="infection"):
        super().__init__()
        self.same = nn.Conv3d(1, 1, 1)
        self.predictor = PatchesAsTrained(outputs, wants)

    def forward(self, x):
        return torch.cat([0.33 - x, 0 * x, 10 * (x - 0.66)], 1)


@pytest.mark.parametrize(
    ("outputs", "wants", "drawn"),
    [("joint", "infection", [0, 0, 1]), ("joint", "classes", [0, 1, 2]), ("infection", "infection", [0, 1, 2])],
)
def test_of_a_joint_network_the_infection_is_drawn_unless_the_classes_are_wanted(outputs, wants, drawn):
    greys = np.array([0, 128, 255], np.float32)[np.random.default_rng(0).integers(3, size=(9, 7, 4))]
    plain = Preprocessing(32, (0,) * 3, (1,) * 3)
    mask = predict(Fixed(outputs, wants), greys, plain, "grey")
    assert np.array_equal(mask, np.array(drawn)[(greys > 0).astype(int) + (greys > 200)])


@torch.no_grad()
def test_greys_are_read_as_hounsfield_units_are_and_one_slice_is_refused():
    net = seeded(covid_segnet(width=4))
    hu = np.random.default_rng(0).integers(-1250, 251, size=(16, 16, 9)).astype(np.float32)
    greys = (hu + 1250) / 1500 * 255
    assert np.array_equal(predict(net, hu), predict(net, greys, intensity="grey")) and predict(net, hu).any()
    with pytest.raises(UserError, match="needs the whole volume"):
        predict(net, hu[:, :, 0])
    assert predict(net, hu[:, :, :1]).shape == (16, 16, 1)


@torch.no_grad()
def test_a_scan_that_fits_one_patch_gets_the_networks_own_answer_and_the_batch_changes_none():
    net = seeded(covid_segnet(width=4))
    scan, plain = volume(16, 24, 8).numpy() * 255, Preprocessing(32, (0,) * 3, (1,) * 3)
    direct = net(torch.from_numpy(scan / 255)[None, None])[0]
    sure = (direct[1] - direct[0]).abs().numpy() > 1e-4
    mask = predict(net, scan, plain, "grey")
    assert np.array_equal(mask[sure], direct.argmax(0).numpy()[sure]) and sure.mean() > 0.99
    wide = np.tile(scan, (3, 2, 4))
    one, many = (predict(net, wide, plain, "grey", batch=batch) for batch in (1, 5))
    assert (one != many).mean() < 1e-3 and one.any()


def test_wrong_options_are_one_line_with_the_way_out():
    for wrong, say in (
        (dict(wiring="papre"), "Did you mean 'paper'"),
        (dict(fv_at="middle"), "fv_at is called 'middle'"),
        (dict(fv="fvv"), "Did you mean 'fv'"),
        (dict(context="asp"), "Did you mean 'aspp'"),
        (dict(width=1), "2 or more"),
        (dict(outputs="joint"), "num_classes is 2, give 3"),
        (dict(outputs="lung"), "Did you mean 'lungs'"),
    ):
        with pytest.raises(UserError, match=say):
            covid_segnet(**{"width": 4} | wrong)
    assert [covid_segnet(3, width=4, outputs=name).predictor.outputs for name in OUTPUTS] == list(OUTPUTS)
