"""The rivals that fuse maps of several sizes or draw fine detail back in: counts, reference tensors, their blocks."""

from importlib import import_module

import numpy as np
import pytest
import torch
from test_infnet import cb, corners, half_pixel, seeded, size_of, taps
from torch import nn
from torch.testing import assert_close
from zoo_reference import distance

from covidseg import create_model, profile_model
from covidseg.attention import capture
from covidseg.backbones import BACKBONES, Trunk, load_backbone
from covidseg.backbones.densenet import DenseNet
from covidseg.backbones.resnet import BasicBlock, Bottleneck, ResNet
from covidseg.errors import UserError
from covidseg.nn import card
from covidseg.zoo.annnet import AFNB, APNB
from covidseg.zoo.bisenet import ARM, FFM
from covidseg.zoo.dfn import CAB, RRB
from covidseg.zoo.dupsampling import DUpsampling
from covidseg.zoo.frrn import FRRU, RU
from covidseg.zoo.gff import GatedFusion, dense_pyramid

# --- MiniSeg's Table 5 and its code: parameters with 2 classes, G multiply-accumulates at 512 x 512, and the count as
# printed (millions of 1,024,000). Where the code has no other build than the table, one line stands for both.

BUILDS = [
    ("frrn", "paper", 17_711_474, 236.924, "17.30"),
    ("dfn", "paper", 44_569_940, 40.789, "43.53"),
    ("dfn", "released", 25_577_812, 21.394, ""),
    ("bisenet", "paper", 12_795_394, 12.961, "12.50"),
    ("dupsampling", "paper", 29_145_344, 122.755, "28.46"),
    ("denseaspp", "paper", 28_603_250, 121.185, "27.93"),
    ("annnet", "paper", 48_560_964, 203.218, "47.42"),
    ("gff", "paper", 92_738_947, 386.875, "90.57"),
    ("gff", "released", 73_746_819, 309.297, ""),
]


@pytest.mark.parametrize(("name", "config", "params", "gmacs", "printed"), BUILDS)
def test_a_build_costs_what_miniseg_counted(name, config, params, gmacs, printed):
    with torch.device("meta"):
        profile = profile_model(create_model(name, config=config), (3, 512, 512))
    assert profile.params == params and round(profile.macs / 1e9, 3) == gmacs
    if config == "paper":
        assert f"{profile.params / 1_024_000:.2f}" == printed
        assert card(name).params == size_of(name) == params


@pytest.mark.parametrize("name", sorted({name for name, *_ in BUILDS}))
def test_only_trunks_differ_between_the_table_and_the_code(name):
    configs = import_module(f"covidseg.zoo.{name}").CONFIGS
    assert set(configs) == {"paper", "released"} and set().union(*configs.values()) <= {"backbone"}
    assert (configs["paper"] != configs["released"]) == ((name, "released") in [build[:2] for build in BUILDS])


def printed_flops(network, side=512):
    """Table 5's "FLOPs" in G: of layers that are modules, MACs and biases of convolutions, a value in a norm, in a ReLU
    and into a max or average pooling. Transposed convolutions and matrix products are not seen."""
    total = 0

    def add(module, inputs, y):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += y.numel() * (module.weight[0].numel() + (module.bias is not None))
        elif isinstance(module, (nn.BatchNorm2d, nn.ReLU, nn.PReLU, nn.MaxPool2d, nn.AvgPool2d)):
            total += inputs[0].numel()

    for module in network.modules():
        module.register_forward_hook(add)
    network.train()(torch.empty(2, 3, side, side, device="meta"))
    return f"{total / 2e9:.2f}"


@pytest.mark.parametrize(
    ("name", "printed"),
    [("bisenet", "13.01"), ("dupsampling", "123.01"), ("denseaspp", "122.28"), ("annnet", "203.07"), ("gff", "374.03")],
)
def test_norms_biases_and_relus_stand_where_table_5_counts_them(name, printed):
    with torch.device("meta"):
        assert printed_flops(create_model(name, config="paper")) == printed


# --- the recorded tensors


class AsRecorded(nn.Module):
    """DFN with its numbers in the published program's order, which registers the trunk whole and once more in parts."""

    def __init__(self, network):
        super().__init__()
        trunk = network.backbone
        self.trunk, self.stem = trunk, nn.Sequential(trunk.conv1, trunk.bn1)
        self.stages = nn.ModuleList([trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4])
        self.heads = nn.ModuleList(part for name, part in network.named_children() if name != "backbone")
        self.answer = network.eval().forward  # a function, so no second entry

    def forward(self, x):
        return self.answer(x)


@pytest.mark.parametrize(("name", "order"), [("frrn", lambda network: network), ("dfn", AsRecorded)])
def test_the_released_build_answers_as_the_published_program(name, order, reference):
    assert distance(order(create_model(name, config="released")), reference / "zoo", name) < 1e-6


# --- the blocks, stated a second time


def thin(block=Bottleneck, **options):
    """A ResNet of eight channels and one block a stage."""
    return ResNet(block, (1, 1, 1, 1), width=8, **options)


def with_bias(conv, x):
    return taps(x, conv.weight) + conv.bias[:, None, None]


def test_frrn_unit_pools_the_residual_stream_and_adds_back_to_it():
    unit = seeded(FRRU(4, 5, 3, 2))
    y, z = torch.randn(2, 4, 6, 6), torch.randn(2, 3, 12, 12)
    padded = nn.functional.pad(z, (1, 1, 1, 1), value=-torch.inf)
    pooled = padded.unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))  # windows of 3 around every second pixel
    g = cb(unit.G[1], cb(unit.G[0], torch.cat([y, pooled], 1)).clamp(min=0)).clamp(min=0)
    got_y, got_z = unit(y, z)
    assert_close(got_y, g, rtol=1e-4, atol=1e-4)
    assert_close(got_z, z + corners(with_bias(unit.W, g), 12), rtol=1e-4, atol=1e-4)


def test_frrn_residual_unit_ends_in_a_relu():
    unit, x = seeded(RU(4)), torch.randn(2, 4, 5, 5)
    y = cb(unit.F[0], x).clamp(min=0)
    assert_close(unit(x), (x + cb(unit.F[1:], y)).clamp(min=0), rtol=1e-4, atol=1e-4)


def test_frrn_is_table_1_of_pohlen_row_by_row():
    with torch.device("meta"):
        levels = create_model("frrn").levels
    rows = [(unit.W.in_channels, unit.stride) for level in levels for unit in level]
    assert rows == [(96, 2)] * 3 + [(192, 4)] * 4 + [(384, 8)] * 2 + [(384, 16)] * 2 + [(192, 8)] * 2 + [
        (192, 4)] * 2 + [(96, 2)] * 2  # fmt: skip


def test_frrn_keeps_full_size_in_z_while_y_shrinks_and_grows():
    torch.manual_seed(0)
    model = seeded(create_model("frrn", width=4, residual=3))
    maps = capture(model, torch.randn(1, 3, 33, 50))
    assert {m.shape for name, m in maps.items() if name[0] == "z"} == {(1, 3, 33, 50)}
    sizes = {name: m.shape[2:] for name, m in maps.items() if name[0] == "y"}
    assert sizes["y_2"] == sizes["y_2/up"] == (17, 25) and sizes["y_16"] == (3, 4)


def test_dfn_channel_attention_weighs_the_fine_map_by_both():
    cab = seeded(CAB(3))
    coarse, fine = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    mean = torch.cat([coarse.mean((2, 3)), fine.mean((2, 3))], 1)
    inner = (mean @ cab.alpha[1].weight[..., 0, 0].T + cab.alpha[1].bias).clamp(min=0)
    alpha = 1 / (1 + (-(inner @ cab.alpha[3].weight[..., 0, 0].T + cab.alpha[3].bias)).exp())
    assert_close(cab(coarse, fine), coarse + fine * alpha[..., None, None], rtol=1e-4, atol=1e-5)


def test_dfn_refinement_is_a_residual_unit_behind_a_mix_of_channels():
    rrb, x = seeded(RRB(5, 3)), torch.randn(2, 5, 6, 7)
    u = with_bias(rrb.unify, x)
    first, bn, _, last = rrb.refine
    y = (with_bias(first, u) - bn.running_mean[:, None, None]) / (bn.running_var + bn.eps).sqrt()[:, None, None]
    y = (y * bn.weight[:, None, None] + bn.bias[:, None, None]).clamp(min=0)
    assert_close(rrb(x), (u + with_bias(last, y)).clamp(min=0), rtol=1e-4, atol=1e-4)


def test_dfn_outline_adds_grown_sides_and_trains_beside_the_logits():
    torch.manual_seed(0)
    model = seeded(create_model("dfn", num_classes=3, backbone=thin()))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        f = model.backbone(x)[1:]
        sides = [side(f_i) for side, f_i in zip(model.side, f, strict=True)]
        q = sides[0]
        for side, border in zip(sides[1:], model.border, strict=True):
            q = border(q + half_pixel(side, 16))
        assert_close(model.outline(f), q, rtol=1e-4, atol=1e-4)
        logits, (outline,) = model.train()(x)
    assert logits.shape == outline.shape == (2, 3, 64, 64) and logits.min() >= 0


def channel_weights(layers, x):
    """Mean over the map, 1x1 convolutions with norm and ReLU, sigmoid: one number a channel, without a convolution."""
    y = x.mean((2, 3))
    for conv, bn in zip(layers[::3], layers[1::3], strict=True):
        y = y @ conv.weight[..., 0, 0].T
        y = ((y - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias).clamp(min=0)
    return (1 / (1 + (-y).exp()))[..., None, None]


def test_bisenet_refines_channels_by_their_own_mean():
    arm, x = seeded(ARM(5, 4)), torch.randn(2, 5, 6, 7)
    y = cb(arm.conv, x).clamp(min=0)
    assert_close(arm(x), y * channel_weights(list(arm.alpha[1]), y), rtol=1e-4, atol=1e-4)
    assert channel_weights(list(arm.alpha[1]), y).min() >= 0.5  # the code's ReLU before the sigmoid


def test_bisenet_fuses_both_paths_and_adds_what_it_weighs():
    ffm, x, y = seeded(FFM(7, 8)), torch.randn(2, 3, 6, 5), torch.randn(2, 4, 6, 5)
    z = cb(ffm.conv, torch.cat([x, y], 1)).clamp(min=0)
    layers = [*ffm.alpha[1], *ffm.alpha[2]]
    assert layers[0].out_channels == 2  # a quarter of 8
    assert_close(ffm(x, y), z + z * channel_weights(layers, z), rtol=1e-4, atol=1e-4)


def test_bisenets_context_comes_down_from_the_mean_to_stride_8():
    torch.manual_seed(0)
    path = seeded(create_model("bisenet", backbone=thin(BasicBlock, expansion=1))).context
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        *_, f_4, f_5 = path.backbone(x)
        tail = cb(path.tail[1], f_5.mean((2, 3), keepdim=True)).clamp(min=0)
        coarse = cb(path.refine[0], corners(path.ARM[0](f_5) + tail, 4)).clamp(min=0)
        fine = cb(path.refine[1], corners(path.ARM[1](f_4) + coarse, 8)).clamp(min=0)
        got = path(x)
    assert_close(got[0], coarse, rtol=1e-3, atol=1e-3)
    assert_close(got[1], fine, rtol=1e-3, atol=1e-3)


def test_dupsampling_writes_each_pixels_own_tile():
    up, x = DUpsampling(5, 3, 4), torch.randn(2, 5, 2, 3)
    scores = torch.einsum("bchw,oc->bohw", x, up.W.weight[..., 0, 0])
    y = torch.empty(2, 3, 8, 12)
    for row in range(4):
        for column in range(4):  # numbers 3 (4 row + column) .. + 2 are the classes at that place of the tile
            start = 3 * (4 * row + column)
            y[..., row::4, column::4] = scores[:, start : start + 3]
    assert_close(up(x), y)


def test_dupsampling_cuts_what_is_more_than_the_input():
    torch.manual_seed(0)
    model = seeded(create_model("dupsampling", backbone=thin(output_stride=8)))
    x = torch.randn(1, 3, 33, 50)
    P_1 = torch.from_numpy(capture(model, x, "P_1")["P_1"])
    with torch.no_grad():
        assert P_1.shape == (1, 2, 40, 56) and torch.equal(model(x), P_1[..., :33, :50])


def test_denseaspp_layers_see_all_answers_before_them_the_newest_first(monkeypatch):
    monkeypatch.setattr("covidseg.zoo.denseaspp.MIDDLE", 6), monkeypatch.setattr("covidseg.zoo.denseaspp.GROWTH", 3)
    torch.manual_seed(0)
    model = seeded(create_model("denseaspp", backbone=thin_densenet(output_stride=8, halved=True)))
    x = torch.randn(1, 3, 40, 48)
    with torch.no_grad():
        y = [model.backbone(x)[-1]]
        assert y[0].min() == 0  # BatchNorm and ReLU, and so it is seen by every later layer
        for rate, layer in zip((3, 6, 12, 18, 24), model.ASPP, strict=True):
            seen = torch.cat(y[::-1], 1)
            first, bn, _, dilated = list(layer)[-5:-1]
            if rate > 3:
                seen = nn.functional.batch_norm(
                    seen, layer[0].running_mean, layer[0].running_var, layer[0].weight, layer[0].bias
                ).clamp(min=0)
            z = torch.einsum("bchw,oc->bohw", seen, first.weight[..., 0, 0]) + first.bias[:, None, None]
            z = nn.functional.batch_norm(z, bn.running_mean, bn.running_var, bn.weight, bn.bias).clamp(min=0)
            y.append(spread(z, dilated))
        scores = torch.einsum("bchw,kc->bkhw", torch.cat(y[::-1], 1), model.head[1].weight[..., 0, 0])
        scores = scores + model.head[1].bias[:, None, None]
        expected = nn.functional.interpolate(scores, (40, 48), mode="bilinear", align_corners=False)
        assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


def spread(x, conv):
    """A dilated 3x3 as a sum of nine shifted maps."""
    d, (H, W) = conv.dilation[0], x.shape[2:]
    wide = nn.functional.pad(x, (d, d, d, d))
    shifted = [
        torch.einsum("bchw,oc->bohw", wide[..., i * d : i * d + H, j * d : j * d + W], conv.weight[..., i, j])
        for i in range(3) for j in range(3)
    ]  # fmt: skip
    return sum(shifted) + conv.bias[:, None, None]


def thin_densenet(**options):
    return DenseNet(4, (2, 2, 2, 2), 8, **options)


def test_densenet_at_stride_8_dilates_what_it_no_longer_pools():
    trunk = thin_densenet(output_stride=8)
    assert trunk.strides == [2, 4, 8, 8, 8] and thin_densenet().strides == [2, 4, 8, 16, 32]
    dilations = [trunk.features.get_submodule(f"denseblock{i}").denselayer2.conv2.dilation[0] for i in (1, 2, 3, 4)]
    assert dilations == [1, 1, 2, 4]
    assert [f.shape[-1] for f in trunk(torch.randn(2, 3, 64, 64))] == [32, 16, 8, 8, 8]


def test_densenet201_reads_torchvisions_file_also_without_its_last_norm(tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "densenet201", Trunk(thin_densenet, "the file"))
    torch.manual_seed(0)
    network, x = thin_densenet(classes=10).eval(), torch.randn(1, 3, 32, 32)
    torch.save(network.state_dict(), tmp_path / "densenet.pth")
    loaded = load_backbone("densenet201", tmp_path / "densenet.pth", halved=True).eval()
    assert loaded.channels[-1] * 2 == network.channels[-1]
    with torch.no_grad():
        assert_close(loaded(x)[3], network(x)[3])
    del (state := network.state_dict())["features.norm5.weight"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(UserError, match="does not fit 'densenet201': features.norm5.weight"):
        load_backbone("densenet201", tmp_path / "less.pth")


@pytest.mark.parametrize("kind", ["AFNB", "APNB"])
def test_ann_reads_110_means_of_the_map_with_a_softmax(kind):
    low, high = torch.randn(2, 5, 9, 7), torch.randn(2, 6, 9, 7)
    block = seeded(AFNB(5, 6) if kind == "AFNB" else APNB(6))
    low = low if kind == "AFNB" else high
    part = block.non_local
    nn.init.normal_(part.W.weight), nn.init.normal_(part.W.bias)
    keys = channel_norm(part.theta, with_bias(part.theta[0], low)).clamp(min=0)
    queries = channel_norm(part.phi, with_bias(part.phi[0], high)).clamp(min=0).flatten(2)
    pooled = [bins(keys), bins(with_bias(part.gamma, low))]  # B, 256, 110
    assert pooled[0].shape == (2, 256, 110)
    A = (queries.transpose(1, 2) @ pooled[0] / 16).exp()  # B, N, S; the square root of 256 is 16
    A = A / A.sum(2, keepdim=True)
    read = with_bias(part.W, (A @ pooled[1].transpose(1, 2)).transpose(1, 2).unflatten(2, (9, 7)))
    both = torch.cat([read, high], 1)
    if kind == "AFNB":
        expected = channel_norm(block.fuse, with_bias(block.fuse[0], both))
    else:
        assert part.phi is part.theta
        expected = channel_norm(block.fuse[0], with_bias(block.fuse[0][0], both)).clamp(min=0)
    assert_close(block(low, high) if kind == "AFNB" else block(high), expected, rtol=1e-3, atol=1e-3)


def bins(x):
    """Means over b x b windows for b = 1, 3, 6, 8, by slices: window i of n pixels spans floor(i n / b) to ceil."""
    H, W = x.shape[2:]
    means = [
        x[..., i * H // b : -(-(i + 1) * H // b), j * W // b : -(-(j + 1) * W // b)].mean((2, 3))
        for b in (1, 3, 6, 8) for i in range(b) for j in range(b)
    ]  # fmt: skip
    return torch.stack(means, 2)


def channel_norm(unit, y):
    bn = unit[1]
    y = (y - bn.running_mean[:, None, None]) / (bn.running_var + bn.eps).sqrt()[:, None, None]
    return y * bn.weight[:, None, None] + bn.bias[:, None, None]


def test_ann_trains_an_auxiliary_head_on_stage_4():
    torch.manual_seed(0)
    model = seeded(create_model("annnet", num_classes=3, backbone=thin(output_stride=8)))
    x, seen = torch.randn(2, 3, 32, 40), {}
    model.aux.register_forward_hook(lambda _m, inputs, _y: seen.update(f=inputs[0]))
    logits, (aux,) = model.train()(x)
    assert logits.shape == aux.shape == (2, 3, 32, 40) and seen["f"].shape[1] == model.backbone.channels[3]
    attention = capture(model, x, "A/*")
    assert {m.shape for m in attention.values()} == {(2, 110, 4, 5)}
    assert all(np.allclose(m.sum(1), 1, atol=1e-5) for m in attention.values())


def test_gff_gates_send_and_receive_pixel_by_pixel():
    fusion, X = GatedFusion(4, 3), [torch.randn(2, 4, 5, 6) for _ in range(3)]
    G = [1 / (1 + (-with_bias(gate[0], x)).exp()) for gate, x in zip(fusion.G, X, strict=True)]
    for level, fused in enumerate(fusion(X)):
        others = sum(G[i] * X[i] for i in range(3) if i != level)
        assert_close(fused, (1 + G[level]) * X[level] + (1 - G[level]) * others, rtol=1e-4, atol=1e-5)


def test_gffs_pyramid_stacks_every_level_on_all_stacks_before_it():
    y_0, X = torch.full((1, 2, 1, 1), 0.0), [torch.full((1, 1, 1, 1), float(i)) for i in (2, 3, 4, 5)]
    y_1 = [0, 0, 5]
    y_2 = [*y_1, 4]
    y_3 = [*y_1, *y_2, 3]
    assert dense_pyramid(y_0, X).flatten().tolist() == [*y_1, *y_2, *y_3, 2]
    full = dense_pyramid(torch.empty(1, 512, 1, 1), [torch.empty(1, 256, 1, 1)] * 4)
    assert full.shape[1] == 4096


def test_gff_loses_a_pixel_at_each_side_twice_and_is_resized_to_the_input():
    torch.manual_seed(0)
    with torch.device("meta"):
        model = create_model("gff", backbone=thin(output_stride=8)).eval()
        sizes = {}
        for name in ("context", "merge", "decoder"):
            getattr(model, name).register_forward_hook(lambda _m, _i, y, name=name: sizes.update({name: y.shape[2:]}))
        assert model(torch.empty(1, 3, 512, 512)).shape == (1, 2, 512, 512)
    assert sizes == {"context": (62, 62), "merge": (62, 62), "decoder": (489, 489)}


# --- sizes, options


@pytest.mark.parametrize(("name", "least"), [("denseaspp", 5), ("gff", 17)])
def test_the_smallest_side_is_answered_and_a_smaller_one_refused(name, least):
    with torch.device("meta"):
        model = create_model(name).eval()
        assert model(torch.empty(1, 3, least, least + 1)).shape == (1, 2, least, least + 1)
        with pytest.raises(UserError, match=f"pad {least - 1} x 64 to {least} x 64"):
            model(torch.empty(1, 3, least - 1, 64))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("frrn", dict(width=0), "width=0.*one channel or more"),
        ("frrn", dict(config="papr"), "No config of frrn is called 'papr'. Did you mean 'paper'"),
        ("dfn", dict(backbone="resnet11"), "Did you mean 'resnet101'"),
        ("dfn", dict(imagenet="no.pth"), "no.pth: there is no such file.*resnet101-5d3b4d8f.pth"),
        ("dfn", dict(config="released", imagenet="no.pth"), "resnet50-19c8e357.pth"),
        ("bisenet", dict(imagenet="no.pth"), "resnet18-5c106cde.pth"),
        ("denseaspp", dict(imagenet="no.pth"), "densenet201-c1103571.pth"),
        ("denseaspp", dict(backbone="densenet21"), "Did you mean 'densenet201'"),
        ("annnet", dict(backbone="resnet51"), "Did you mean 'resnet50'"),
        ("gff", dict(config="realesed"), "Did you mean 'released'"),
    ],
)
def test_a_wrong_option_is_one_clear_line(name, options, says):
    with torch.device("meta"), pytest.raises(UserError, match=says) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)
