"""Inf-Net, its trunks and the multi-class U-Net against the paper's equations, the authors' tensors and counts."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_norms import seeded
from torch import nn
from torch.testing import assert_close

from covidseg import create_model, profile_model
from covidseg.attention import capture, map_names
from covidseg.backbones import create_backbone, freeze_norms, load_backbone
from covidseg.backbones.res2net import Bottle2neck
from covidseg.backbones.resnet import Bottleneck, ResNet
from covidseg.errors import UserError
from covidseg.nn import card
from covidseg.papers.infnet.multiclass_unet import twice
from covidseg.papers.infnet.network import ABLATIONS, PPD, RA, InfNet
from covidseg.papers.infnet.wiring import OFFICIAL, PAPER, RAUnit

NETWORKS = ("infnet", "infnet_resnet50", "infnet_vgg16", "multiclass_unet")


THIN = replace(OFFICIAL, ra=(RAUnit(width=8, kernel=5, convs=3, last=1), RAUnit(width=8), RAUnit(width=8)))


def small(seed=0, wiring=THIN, **options):
    """Inf-Net on a trunk of eight channels and one block a stage: same wiring, a thousandth of the work."""
    torch.manual_seed(seed)
    trunk = ResNet(Bottle2neck, (1, 1, 1, 1), width=8, stem="deep", shortcut="avg")
    return seeded(InfNet(backbone=trunk, wiring=wiring, **options), seed)


def size_of(name, **options):
    """Number of parameters, counted without memory."""
    with torch.device("meta"):
        return sum(p.numel() for p in create_model(name, **options).parameters())


# --- the blocks, stated a second time: no convolution, no interpolation


def taps(x, weight):
    """A padded convolution as a sum over the taps of its filter."""
    (kh, kw), (H, W) = weight.shape[-2:], x.shape[-2:]
    wide = nn.functional.pad(x, (kw // 2, kw // 2, kh // 2, kh // 2))
    shifted = [[wide[..., i : i + H, j : j + W] for j in range(kw)] for i in range(kh)]
    return sum(torch.einsum("bchw,oc->bohw", shifted[i][j], weight[..., i, j]) for i in range(kh) for j in range(kw))


def cb(unit, x):
    """Convolution and BatchNorm from the numbers of a unit."""
    conv, bn = unit[0], unit[1]
    y = (taps(x, conv.weight) - bn.running_mean[:, None, None]) / (bn.running_var + bn.eps).sqrt()[:, None, None]
    return y * bn.weight[:, None, None] + bn.bias[:, None, None]


def stretch(x, positions):
    """Bilinear values of square maps at the given rows and columns, as two matrix products."""
    n = x.shape[-1]
    near = (1 - (positions[:, None] - torch.arange(n)).abs()).clamp(min=0)  # the tent around each pixel
    return torch.einsum("ih,bchw,jw->bcij", near, x, near)


def half_pixel(x, size):
    n = x.shape[-1]
    return stretch(x, ((torch.arange(size) + 0.5) * n / size - 0.5).clamp(0, n - 1))


def corners(x, size):
    return stretch(x, torch.linspace(0, x.shape[-1] - 1, size))


@pytest.mark.parametrize("level", ["shrinks by 4", "grows by 2"])
def test_reverse_attention_is_the_erratum_of_eqn_2_with_eqn_3(level):
    conv = RAUnit(width=5, kernel=5, convs=3, last=1) if level == "shrinks by 4" else RAUnit(width=5)
    unit = seeded(RA(7, 3, conv, OFFICIAL))
    f, e_att = torch.randn(2, 7, 6, 6), torch.randn(2, 3, 48, 48)
    S_coarse = torch.randn(2, 1, *((24, 24) if level == "shrinks by 4" else (3, 3)))
    S = half_pixel(S_coarse, 6)
    A = 1 - 1 / (1 + (-S).exp())  # (3)
    z = torch.cat([cb(unit.squeeze, f * A), half_pixel(e_att, 6)], 1)
    for middle in unit.convs:
        z = cb(middle, z).clamp(min=0)
    assert_close(unit(f, S_coarse, e_att), cb(unit.map, z) + S, rtol=1e-4, atol=1e-4)


def test_reverse_attention_of_the_paper_weighs_the_fused_feature():
    unit = seeded(RA(7, 3, PAPER.ra[0], PAPER))
    f, e_att, S_coarse = torch.randn(2, 7, 6, 6), torch.randn(2, 3, 12, 12), torch.randn(2, 1, 3, 3)
    z = torch.cat([f, half_pixel(e_att, 6)], 1)
    for middle in unit.convs:
        z = cb(middle, z).clamp(min=0)
    S = half_pixel(S_coarse, 6)
    R = z * (1 - S.sigmoid())  # (2) as printed
    assert len(unit.convs) == 2 and R.shape[1] == 64
    assert_close(unit(f, S_coarse, e_att), taps(R, unit.map.weight) + unit.map.bias + S, rtol=1e-4, atol=1e-4)


def test_shrinking_by_four_reads_two_pixels_of_four():
    """The code's Dow and P take no area average: a lit pixel may vanish."""
    x = torch.zeros(1, 1, 16, 16)
    x[..., 4, 4] = 1
    assert half_pixel(x, 4).abs().sum() == 0
    x[..., 5, 5] = 1
    assert half_pixel(x, 4)[0, 0, 1, 1] == 0.25


def test_partial_decoder_is_figure_3_written_out():
    decoder = seeded(PPD(4))
    f_3, f_4, f_5 = torch.randn(2, 4, 12, 12), torch.randn(2, 4, 6, 6), torch.randn(2, 4, 3, 3)
    U_5, UU_5, U_4 = corners(f_5, 6), corners(corners(f_5, 6), 12), corners(f_4, 12)
    d_4 = torch.cat([cb(decoder.gate_45, U_5) * f_4, cb(decoder.up_5, U_5)], 1)
    d_4 = cb(decoder.merge_4, d_4)
    d_3 = cb(decoder.gate_35, UU_5) * cb(decoder.gate_34, U_4) * f_3
    d_3 = cb(decoder.merge_3, torch.cat([d_3, cb(decoder.up_4, corners(d_4, 12))], 1))
    assert_close(decoder(f_3, f_4, f_5), cb(decoder.last, d_3), rtol=1e-4, atol=1e-4)


def test_res2net_block_hands_each_group_to_the_next():
    block = seeded(Bottle2neck(64, 16, 1, 1, None, base_width=16))
    x = torch.randn(1, 64, 5, 5)
    x_1, x_2, x_3, x_4 = cb([block.conv1, block.bn1], x).clamp(min=0).chunk(4, 1)
    convolve = [lambda v, k=k: cb([block.convs[k], block.bns[k]], v).clamp(min=0) for k in range(3)]
    y_1 = convolve[0](x_1)
    y_2 = convolve[1](x_2 + y_1)
    y_3 = convolve[2](x_3 + y_2)
    y = cb([block.conv3, block.bn3], torch.cat([y_1, y_2, y_3, x_4], 1))
    assert_close(block(x), (x + y).clamp(min=0), rtol=1e-4, atol=1e-4)


# --- published counts


def test_default_net_has_the_parameters_and_macs_of_table_ii_part_by_part():
    with torch.device("meta"):
        profile = profile_model(create_model("infnet"), (3, 352, 352))
    assert (profile.params, profile.macs) == (33_121_721, 13_843_298_304)  # Table II: 33.122M
    part = {name: (group.params, round(group.macs / 1e9, 3)) for name, group in profile.modules.items()}
    assert part["backbone.conv1"][0] + part["backbone.bn1"][0] == 28_768 and part["backbone.conv1"][1] == 0.883
    assert [part[f"backbone.layer{i}"] for i in (1, 2, 3, 4)] == [
        (214_056, 1.633), (1_229_856, 2.675), (7_198_368, 3.782), (14_998_304, 2.121),
    ]  # fmt: skip
    assert part["backbone.fc"] == (2_049_000, 0)
    assert [part[f"reduce.{i}"] for i in range(3)] == [(178_112, 0.343), (260_032, 0.125), (423_872, 0.051)]
    assert part["PPD"][0] + part["map_g"][0] == 277_473 and part["PPD"][1] == 0.455
    assert [part[f"RA.{i}"] for i in range(3)] == [(5_851_394, 0.708), (177_090, 0.086), (144_322, 0.279)]
    assert part["EA"] == (91_074, 0.702)


@pytest.mark.parametrize(
    ("name", "params", "gmacs"),
    [
        ("infnet_resnet50", 30_911_401, 12.8417),
        ("infnet_vgg16", 34_278_057, 47.6634),
        ("multiclass_unet", 17_269_251, 75.8174),
    ],
)
def test_the_other_networks_have_the_measured_parameters_and_macs(name, params, gmacs):
    with torch.device("meta"):
        profile = profile_model(create_model(name), (6 if name == "multiclass_unet" else 3, 352, 352))
    assert (profile.params, round(profile.macs / 1e9, 4)) == (params, gmacs)


@pytest.mark.parametrize("name", NETWORKS)
def test_cards_state_the_parameters_that_are_there(name):
    assert card(name).params == size_of(name)


def test_without_the_unused_numbers_31_and_21_million_remain():
    lean = replace(OFFICIAL, unused=False)
    assert size_of("infnet", wiring=lean) == 31_072_721
    assert size_of("infnet_vgg16", wiring=lean) == 21_298_857
    assert size_of("infnet_resnet50", wiring=lean) == size_of("infnet_resnet50")


# --- options


def test_ablations_are_the_rows_of_table_iv(repo):
    with open(repo / "data" / "papers" / "infnet_table4.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    printed = {row["method"]: {key: row[key] == "1" for key in ("ppd", "ra", "ea")} for row in rows}
    assert printed == ABLATIONS


@pytest.mark.parametrize("row", ABLATIONS)
def test_every_row_of_table_iv_runs_and_answers_the_maps_it_has(row):
    options, x = ABLATIONS[row], torch.randn(2, 3, 64, 64)
    model = small(**options)
    assert model(x).shape == (2, 1, 64, 64)
    answer = model.train()(x)
    sides = 3 * options["ra"] + options["ea"]
    assert len(answer[1]) == sides if sides else torch.is_tensor(answer)
    expected = {f"f_{i}" for i in range(1, 6)} | {"S_g"} | ({"e_att", "S_e"} if options["ea"] else set())
    expected |= {f"{map}_{i}" for map in "AS" for i in (3, 4, 5)} if options["ra"] else set()
    assert set(map_names(model)) == expected
    assert capture(model, x, "S_g")["S_g"].shape == (2, 1, *((8, 8) if options["ppd"] else (2, 2)))


def test_each_part_costs_what_table_iv_leaves_out():
    size = {row: size_of("infnet", **options) for row, options in ABLATIONS.items()}
    assert size["Backbone"] == 25_718_352 + 2048 + 1
    assert size["Backbone+PPD"] - size["Backbone"] == 178_112 + 260_032 + 423_872 + 277_473 - 2049
    assert size["Backbone+PPD+RA+EA"] == 33_121_721


TRUNK, CLASSIFIER = 23_669_352, 2_049_000
R_TEXT = 3 * (64 * 64 * 9 + 2 * 128)  # the second convolution of R_5, R_4 and R_3, and both norms
POINTS = {  # field of the wiring set to the paper's value -> parameters, by hand
    "reduce": 33_121_721 - 862_016 + (512 + 1024 + 2048) * 32 + 3 * 64,
    "ppd_kernels": 33_121_721 - 8 * 30_720 + 8 * 96,  # nine taps become one; in the last convolution one becomes nine
    "edge": 33_121_721 - 91_074 + (256 * 9 + 2) + (256 - 64) * (256 * 25 + 2 * 64 * 9),
    "attend": 33_121_721,
    "ra": 33_121_721 - 6_172_806 + (3584 + 3 * 64) * 64 * 9 + R_TEXT + 3 * (64 * 9 + 2),
    "map_bn": 33_121_721 - 4,  # S_e, S_5, S_4, S_3: one bias instead of a norm's two numbers
    "unused": TRUNK + 7_403_369,
}


@pytest.mark.parametrize("point", POINTS)
def test_every_point_where_the_paper_parts_from_the_code_costs_what_it_says(point):
    assert size_of("infnet", wiring=replace(OFFICIAL, **{point: getattr(PAPER, point)})) == POINTS[point]
    model = small(wiring=replace(THIN, **{point: getattr(PAPER, point)}))
    assert model(torch.randn(1, 3, 64, 96)).shape == (1, 1, 64, 96)


def test_the_paper_as_printed_has_26_438_861_parameters_and_runs():
    reduce, ppd, edge = 3584 * 32 + 3 * 64, 30_720 + 896 + 96 * 9 + 1, 256 * 9 + 1
    RA_units = (3584 + 3 * 256) * 64 * 9 + R_TEXT + 3 * (64 * 9 + 1)
    assert size_of("infnet", wiring="paper") == TRUNK + reduce + ppd + edge + RA_units == 26_438_861
    assert small(wiring="paper")(torch.randn(1, 3, 64, 96)).shape == (1, 1, 64, 96)


@pytest.mark.parametrize("other", [dict(cb_relu=True), dict(attend="fused")])
def test_relu_in_every_unit_and_eqn_2_as_printed_are_other_functions_of_the_same_numbers(other):
    one, two, x = small(), small(wiring=replace(THIN, **other)), torch.randn(1, 3, 64, 64)
    two.load_state_dict(one.state_dict())
    assert not torch.allclose(one(x), two(x), atol=1e-3)


def test_vgg16_averages_in_the_code_and_takes_the_maximum_in_the_paper():
    for wiring, pool in (("official", nn.AvgPool2d), ("paper", nn.MaxPool2d)):
        with torch.device("meta"):
            layers = InfNet(backbone="vgg16", wiring=wiring).backbone.features
        assert [type(m) for m in layers if "Pool" in type(m).__name__] == [pool] * 4
    with torch.device("meta"):
        assert sum(isinstance(m, nn.MaxPool2d) for m in create_backbone("vgg16").features) == 4


# --- the contract of every network


@pytest.mark.parametrize("size", [(64, 64), (70, 97), (32, 33)])
def test_any_size_from_32_in_gives_the_same_size_out(size):
    assert small()(torch.rand(1, 3, *size)).shape == (1, 1, *size)


@pytest.mark.parametrize(("network", "size", "pad"), [("infnet", (20, 64), "32 x 64"), ("unet", (8, 64), "16 x 64")])
def test_a_slice_too_small_is_refused_with_the_size_to_pad_to(network, size, pad):
    model = small() if network == "infnet" else create_model("multiclass_unet", in_channels=3, width=4)
    with pytest.raises(UserError, match=pad):
        model.eval()(torch.rand(1, 3, *size))


def test_train_mode_answers_s3_then_s4_s5_sg_and_the_edge_at_input_size():
    model, seen = small().train(), {}
    for name, (module, index) in model.named_maps().items():
        module.register_forward_hook(lambda _m, _i, y, n=name, k=index: seen.update({n: y if k is None else y[k]}))
    final, sides = model(torch.randn(2, 3, 64, 64))
    for answer, name in zip([final, *sides], ["S_3", "S_4", "S_5", "S_g", "S_e"], strict=True):
        assert_close(answer, half_pixel(seen[name], 64), rtol=1e-4, atol=1e-5)


def test_two_classes_are_the_sigmoid_written_as_a_softmax():
    x = torch.randn(1, 3, 64, 64)
    one, two = small(), small(num_classes=2)
    two.load_state_dict(one.state_dict())
    assert_close(two(x).softmax(1)[:, 1:], one(x).sigmoid())
    assert torch.equal(two(x).argmax(1), (one(x) > 0).long()[:, 0])


def test_in_channels_reaches_every_trunk():
    for name in NETWORKS:
        with torch.device("meta"):
            first = next(m for m in create_model(name, in_channels=1).modules() if isinstance(m, nn.Conv2d))
        assert first.in_channels == 1


@pytest.mark.parametrize("network", ["infnet", "unet"])
def test_eval_answers_the_same_twice_and_after_save_and_load(network, tmp_path):
    def build(seed):
        torch.manual_seed(seed)
        return small(seed) if network == "infnet" else create_model("multiclass_unet", in_channels=3, width=4).eval()

    model, again, x = build(0), build(1), torch.rand(1, 3, 48, 64)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    with torch.no_grad():
        assert torch.equal(model(x), model(x)) and not torch.equal(model(x), again(x))
        again.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
        assert torch.equal(model(x), again.eval()(x))


def test_every_parameter_gets_a_gradient():
    model = small().train()
    final, sides = model(torch.rand(2, 3, 64, 64))
    sum((m * torch.randn_like(m)).mean() for m in [final, *sides]).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    y[..., 16:40, 20:52] = 1
    x = x + y
    model = small().train()
    adam, bce = torch.optim.Adam(model.parameters(), lr=3e-3), nn.BCEWithLogitsLoss()
    for _ in range(14):
        adam.zero_grad()
        final, sides = model(x)
        sum(bce(m, y) for m in [final, *sides[:3]]).backward()
        adam.step()
    assert ((final > 0) == y.bool()).float().mean() > 0.95


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"wiring": "offical"}, "Did you mean 'official'"),
        ({"wiring": replace(OFFICIAL, edge="branches")}, "Did you mean 'branch'"),
        ({"backbone": "res2net5"}, "Did you mean 'res2net50'"),
        ({"num_classes": 3}, "'multiclass_unet' labels more"),
        ({"imagenet": "nowhere.pth"}, "nowhere.pth: there is no such file.*res2net50_v1b_26w_4s-3cf99910.pth"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, says):
    with torch.device("meta"), pytest.raises(UserError, match=says) as caught:
        create_model("infnet", **options)
    assert "\n" not in str(caught.value)


def test_capture_gives_the_papers_maps_and_eqn_3_holds_between_them():
    maps = capture(small(), torch.rand(1, 3, 64, 96))
    assert " ".join(maps) == "f_1 f_2 f_3 f_4 f_5 e_att S_e S_g A_5 S_5 A_4 S_4 A_3 S_3"
    assert maps["e_att"].shape == (1, 64, 16, 24) and maps["S_e"].shape == (1, 1, 16, 24)
    assert maps["S_g"].shape == maps["A_3"].shape == (1, 1, 8, 12) and maps["A_5"].shape == (1, 1, 2, 3)
    for i in (4, 3):
        S = torch.from_numpy(maps[f"S_{i + 1}"])
        up = nn.functional.interpolate(S, scale_factor=2, mode="bilinear", align_corners=False)
        assert_close(torch.from_numpy(maps[f"A_{i}"]), 1 - up.sigmoid())


# --- the trunks


@pytest.mark.parametrize(
    ("name", "options", "params"),
    [  # torchvision's counts with their classifiers; VGG16 without its three linear layers
        ("resnet18", {"classes": 1000}, 11_689_512),
        ("resnet50", {"classes": 1000}, 25_557_032),
        ("resnet101", {"classes": 1000}, 44_549_160),
        ("res2net50", {"classes": 1000}, 25_718_352),
        ("vgg16", {}, 138_357_544 - 123_642_856),
        ("vgg16_bn", {}, 138_365_992 - 123_642_856),
    ],
)
def test_trunks_have_the_published_number_of_parameters(name, options, params):
    with torch.device("meta"):
        assert sum(p.numel() for p in create_backbone(name, **options).parameters()) == params


def test_state_dict_names_are_those_of_the_public_files():
    with torch.device("meta"):
        resnet50, res2net, vgg, vgg_bn = (
            set(create_backbone(n).state_dict()) for n in ("resnet50", "res2net50", "vgg16", "vgg16_bn")
        )
    assert len(resnet50) == 318  # torchvision's 320 without fc.weight and fc.bias
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.1.bias", "layer4.2.conv3.weight"} <= resnet50
    assert {f"conv1.{i}.weight" for i in (0, 1, 3, 4, 6)} <= res2net and "conv1.2.weight" not in res2net
    assert {"layer1.0.downsample.1.weight", "layer1.0.downsample.2.running_mean"} <= res2net
    assert {"layer3.5.convs.2.weight", "layer3.5.bns.2.weight", "layer3.5.bn3.weight"} <= res2net
    convs = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    assert vgg == {f"features.{i}.{kind}" for i in convs for kind in ("weight", "bias")}
    assert {"features.0.weight", "features.1.running_mean", "features.40.weight", "features.41.weight"} <= vgg_bn


def test_output_stride_8_sees_what_stride_32_sees_on_a_finer_grid():
    """The a-trous identity: dilation instead of stride leaves every fourth pixel of f_5 as it was."""
    torch.manual_seed(0)
    coarse, fine = (ResNet(Bottleneck, (1, 2, 2, 2), width=8, output_stride=s) for s in (32, 8))
    fine.load_state_dict(seeded(coarse).state_dict())
    f, g = coarse(x := torch.randn(1, 3, 64, 96)), fine.eval()(x)
    assert fine.strides == [2, 4, 8, 8, 8] and g[4].shape == (1, 256, 8, 12)
    assert_close(g[3][..., ::2, ::2], f[3], rtol=1e-4, atol=1e-4)
    assert_close(g[4][..., ::4, ::4], f[4], rtol=1e-4, atol=1e-4)


def test_stride_sits_where_it_is_asked_for():
    with torch.device("meta"):
        block = create_backbone("resnet50").layer2[0]
        caffe = create_backbone("resnet50", stride_on="1x1").layer2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))
    assert (caffe.conv1.stride, caffe.conv2.stride) == ((2, 2), (1, 1))
    with pytest.raises(UserError, match="stride_on"):
        create_backbone("resnet50", stride_on="2x2")
    with pytest.raises(UserError, match="output_stride.*Known: 16, 32, 8"):
        create_backbone("resnet50", output_stride=4)


def test_frozen_norms_keep_weight_and_bias():
    trunk = freeze_norms(ResNet(Bottleneck, (1, 1, 1, 1), width=8))
    trained = {name for name, p in trunk.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in trunk.named_parameters() if p.ndim == 4}


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """A file as torchvision's old ones are: with a classifier, without counted batches."""
    torch.manual_seed(1)
    state = create_backbone("resnet18", classes=1000).state_dict()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}, path)
    return path, state


def test_imagenet_files_load_into_the_trunk_and_through_inf_net(imagenet):
    path, state = imagenet
    for trunk in (load_backbone("resnet18", path), InfNet(backbone="resnet18", imagenet=path).backbone):
        assert all(torch.equal(value, state[key]) for key, value in trunk.state_dict().items())


def test_an_imagenet_file_that_is_absent_or_of_another_network_is_one_line(imagenet, tmp_path):
    with pytest.raises(UserError, match="does not fit 'resnet18': conv1.weight. Its ImageNet weights are in https"):
        load_backbone("resnet18", imagenet[0], in_channels=1)
    with torch.device("meta"), pytest.raises(UserError, match="does not fit 'vgg16': features.0.weight and"):
        load_backbone("vgg16", imagenet[0])
    with torch.device("meta"), pytest.raises(UserError, match="no such file. ImageNet weights of 'resnet50' are in"):
        load_backbone("resnet50", tmp_path / "resnet50.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK")
    with pytest.raises(UserError, match="cut.pth"):
        load_backbone("resnet18", tmp_path / "cut.pth")


# --- the authors' tensors (recipe: an integer hash of each element's index, by shape and kind alone)


def hashed(n, offset=0):
    x = np.arange(1 + offset, n + 1 + offset, dtype=np.uint32) * np.uint32(2654435761)
    x ^= x >> np.uint32(16)
    x *= np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    return torch.from_numpy(x / 2.0**32)


def filled(name):
    """The network in float64 and train mode (batch statistics), with the recipe's numbers."""
    with torch.device("meta"):
        model = create_model(name)
    if hasattr(model, "unused"):
        model.unused = None
    model = model.to_empty(device="cpu").double().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.weight.data = 0.9 + 0.2 * hashed(module.num_features)
            module.bias.data = 0.2 * (hashed(module.num_features, 7) - 0.5)
        elif isinstance(module, nn.Conv2d):
            limit = (6 / module.weight[0].numel()) ** 0.5
            module.weight.data = ((2 * hashed(module.weight.numel()) - 1) * limit).view_as(module.weight)
            if module.bias is not None:
                module.bias.data = 0.1 * (hashed(len(module.bias), 3) - 0.5)
    return model


def recipe_input(size, channels=3):
    c, i, j = torch.meshgrid(torch.arange(channels), torch.arange(size), torch.arange(size), indexing="ij")
    wave = (0.031 * (i + 1).double() * (c + 1)).sin() * (0.023 * (j + 1).double()).cos()
    x = wave + 0.3 * ((7 * i + 13 * j + 29 * c) % 17).double() / 17 - 0.15
    return torch.stack([x, 0.8 * x.flip(1) + 0.1])


GOLDEN = {"res2net50": "infnet", "resnet50": "infnet_resnet50", "vgg16": "infnet_vgg16"}
INTERMEDIATE = {"f2": "f_2", "f3": "f_3", "f4": "f_4", "f5": "f_5", "edge_feat": "e_att", "edge_logit": "S_e"}


@pytest.mark.parametrize("variant", ["res2net50_256", "resnet50_256", "vgg16_256"])
def test_all_five_maps_and_the_features_equal_the_authors(reference, variant):
    trunk, size = variant.split("_")
    model, seen = filled(GOLDEN[trunk]), {}
    for name, (module, index) in model.named_maps().items():
        module.register_forward_hook(lambda _m, _i, y, n=name, k=index: seen.update({n: y if k is None else y[k]}))
    with torch.no_grad():
        final, sides = model(recipe_input(int(size)))
    theirs = np.load(reference / "infnet-golden.npz")
    for name, ours in zip(["S_3", "S_4", "S_5", "S_g", "S_e"], [final, *sides], strict=True):
        assert np.abs(ours[:, 0, 3::8, 5::8].numpy() - theirs[f"{variant}_{name}"]).max() < 1e-6
    facts = json.loads((reference / "infnet-golden.json").read_text())["variants"][variant]["intermediate"]
    for key, name in INTERMEDIATE.items() | {("ppd", "S_g")}:
        y, fact = seen[name], facts[key]
        assert list(y.shape) == fact["shape"]
        numbers = [y.mean(), y.flatten()[0], y.flatten()[-1]]
        assert [float(n) for n in numbers] == pytest.approx([fact["mean"], fact["first"], fact["last"]], abs=1e-6)


def test_multiclass_unet_equals_the_authors(reference):
    with torch.no_grad():
        logits = filled("multiclass_unet")(recipe_input(64, channels=6))
    assert np.abs(logits.numpy() - np.load(reference / "infnet-golden.npz")["mcunet_64_logits"]).max() < 1e-6


def test_an_odd_side_of_the_multiclass_unet_is_filled_with_zeros_at_its_end():
    y, like = torch.rand(1, 2, 4, 5), torch.zeros(1, 1, 9, 10)
    grown = twice(y, like)
    assert grown.shape == (1, 2, 9, 10) and not grown[..., -1, :].any() and grown[..., :8, :].ne(0).all()
    plain = torch.nn.functional.interpolate(y, (8, 10), mode="bilinear", align_corners=True)
    assert torch.equal(grown[..., :8, :], plain)
    assert create_model("multiclass_unet", width=4).eval()(torch.rand(1, 6, 37, 50)).shape == (1, 3, 37, 50)


def test_a_narrow_network_has_the_same_maps_and_a_share_of_the_channels():
    narrow, wide = (create_model("infnet", backbone="resnet18", width=width).eval() for width in (16, 64))
    assert narrow.named_maps().keys() == wide.named_maps().keys()
    assert narrow.backbone.channels == [c // 4 for c in wide.backbone.channels]
    for part in ("EA", "PPD", "RA"):
        thin, thick = (sum(p.numel() for p in getattr(net, part).parameters() if p.ndim == 4) for net in (narrow, wide))
        assert thick / 16 <= thin < thick / 12  # both ends of a convolution shrink, but for the ends of one channel
    with pytest.raises(UserError, match="width is 3"):
        create_model("infnet", backbone="resnet18", width=3)
