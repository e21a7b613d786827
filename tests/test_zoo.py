"""The rivals of Inf-Net's Tables II and III (five of them also MiniSeg's) against counts, equations and contracts."""

import pytest
import torch
from test_infnet import seeded, size_of
from torch import nn
from torch.testing import assert_close
from typer.testing import CliRunner

from covidseg import create_model, list_models, profile_model
from covidseg.attention import capture, map_names
from covidseg.backbones import create_backbone, load_backbone, vgg
from covidseg.backbones.densenet import DENSENETS, DenseNet, ScaledNorm, densenet, modern_key
from covidseg.backbones.resnet import Bottleneck, ResNet
from covidseg.backbones.xception import Block
from covidseg.cli import app
from covidseg.errors import UserError
from covidseg.nn import card
from covidseg.nn.layers import ASPP, Contracting, UpConv, corner_resize
from covidseg.zoo.attention_unet import AttentionGate
from covidseg.zoo.fcn8s import Fuse, Up2
from covidseg.zoo.gated_unet import GridGate

NETWORKS = (
    "unet", "attention_unet", "unetplusplus", "gated_unet", "dense_unet", "fcn8s", "deeplabv3plus",
)  # fmt: skip


def thin_resnet(in_channels=3):
    return ResNet(Bottleneck, (1, 1, 1, 1), width=8, output_stride=16, in_channels=in_channels)


def thin_densenet(in_channels=3, **options):
    return DenseNet(4, (2, 2, 2, 2), 8, in_channels=in_channels, **options)


@pytest.fixture
def thin_vgg(monkeypatch):
    """VGG16 with an eighth of its channels."""
    monkeypatch.setattr(vgg, "STAGES", tuple((channels // 8, convs) for channels, convs in vgg.STAGES))


SMALL = {  # case -> name, options of a build that costs next to nothing, least side
    "unet": ("unet", lambda: dict(width=4), 16),
    "unet conv": ("unet", lambda: dict(config="paper", width=4), 16),
    "attention_unet": ("attention_unet", lambda: dict(width=4), 16),
    "unetplusplus": ("unetplusplus", lambda: dict(width=4), 16),
    "unetplusplus ds": ("unetplusplus", lambda: dict(config="infnet", width=4), 16),
    "gated_unet": ("gated_unet", dict, 16),
    "gated_unet 1": ("gated_unet", lambda: dict(gates=1), 16),
    "dense_unet": ("dense_unet", lambda: dict(backbone=thin_densenet(scaled=True)), 32),
    "dense_unet lateral": ("dense_unet", lambda: dict(backbone=thin_densenet(), lateral=True), 32),
    "fcn8s": ("fcn8s", lambda: dict(fc=8), 32),
    "fcn8s paper": ("fcn8s", lambda: dict(config="paper"), 16),
    "deeplabv3plus": ("deeplabv3plus", lambda: dict(backbone=thin_resnet()), 1),
}


def small(case, seed=0, **more):
    """A narrow build with random norms, in eval mode; FCN's scores, which start at zero, are random too."""
    torch.manual_seed(seed)
    name, options, _ = SMALL[case]
    model = seeded(create_model(name, **options() | more), seed)
    for p in model.parameters():
        if p.ndim == 4 and not p.abs().sum():
            nn.init.normal_(p, std=0.1)
    return model


# --- published and measured counts

COUNTS = [
    ("unet", dict(num_classes=1), 7_852_545),  # Inf-Net Table II: 7.853M
    ("unet", dict(), 7_852_578),
    ("unet", dict(config="paper"), 8_637_378),
    ("unet", dict(config="released"), 34_527_106),
    ("attention_unet", dict(num_classes=1), 8_727_213),  # 8.727M
    ("attention_unet", dict(num_classes=1, config="infnet"), 8_727_213),
    ("attention_unet", dict(config="released"), 34_878_638),
    ("unetplusplus", dict(num_classes=1), 9_163_329),  # 9.163M
    ("unetplusplus", dict(num_classes=1, deep_supervision=True), 9_163_428),
    ("unetplusplus", dict(num_classes=1, config="infnet"), 9_163_428),
    ("unetplusplus", dict(config="released"), 36_629_698),
    ("gated_unet", dict(num_classes=1), 150_351),  # 175.093K is not met
    ("gated_unet", dict(num_classes=1, gates=1), 139_316),
    ("dense_unet", dict(num_classes=1), 45_082_145),  # 45.082M
    ("dense_unet", dict(num_classes=1, scaled=False), 44_862_209),
    ("dense_unet", dict(num_classes=1, lateral=True), 45_082_145 + 2112 * 2208 + 2208),
    ("fcn8s", dict(), 134_270_406),
    ("fcn8s", dict(config="paper"), 15_904_066),
    ("deeplabv3plus", dict(), 54_607_778),
    ("deeplabv3plus", dict(output_stride=8), 54_607_778),
    ("deeplabv3plus", dict(backbone="resnet101"), 59_339_426),
]


@pytest.mark.parametrize(("name", "options", "params"), COUNTS)
def test_every_build_has_its_number_of_parameters(name, options, params):
    assert size_of(name, **options) == params


MINISEG_TABLE_5 = [  # millions of 1,024,000 parameters, and conv MACs at 512 measured of the authors' files
    ("unet", "8.43", 65.473),
    ("fcn8s", "15.53", 105.707),
    ("deeplabv3plus", "53.33", 82.640),
    ("unetplusplus", "8.95", 137.951),
    ("attention_unet", "8.52", 66.827),
]


@pytest.mark.parametrize(("name", "printed", "gmacs"), MINISEG_TABLE_5)
def test_config_paper_is_the_row_of_miniseg_table_5(name, printed, gmacs):
    with torch.device("meta"):
        profile = profile_model(create_model(name, config="paper"), (3, 512, 512))
    assert (f"{profile.params / 1_024_000:.2f}", round(profile.macs / 1e9, 3)) == (printed, gmacs)


@pytest.mark.parametrize(
    ("name", "gmacs"), [("unet", 261.406), ("unetplusplus", 551.316), ("attention_unet", 265.716), ("fcn8s", 105.707)]
)
def test_config_released_has_the_macs_of_the_published_files(name, gmacs):
    with torch.device("meta"):
        assert round(profile_model(create_model(name, config="released"), (3, 512, 512)).macs / 1e9, 3) == gmacs


def thop(model, side, grown=0):
    """Inf-Net's "FLOPs": THOP of 2020 counts MACs and biases, 2 a value in a norm, 1 in an average, 11 in nn.Upsample.

    grown : values that come out of nn.Upsample; zero where the network repeats pixels or resizes by function.
    """
    total = 11 * grown

    def add(module, _inputs, y):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += y[0].numel() * (module.weight[0].numel() + (module.bias is not None))
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * y[0].numel()
        elif isinstance(module, nn.AvgPool2d):
            total += y[0].numel()

    for module in model.modules():
        module.register_forward_hook(add)
    model.train()(torch.empty(2, 3, side, side, device="meta"))
    return f"{total / 1e9:.3f}"


S = [352 // 2**i for i in range(5)]
UP = [32 * 2 ** (i + 1) * S[i] ** 2 for i in range(4)]  # values after growing level i + 1 to level i


@pytest.mark.parametrize(
    ("name", "grown", "printed"),
    [
        ("unet", sum(UP), "26.629"),  # Table II prints 38.116; 26.629 was measured of the network with its parameters
        ("attention_unet", 0, "31.730"),
        ("unetplusplus", sum(UP[i] * (4 - i) for i in range(4)), "65.938"),
        ("dense_unet", 0, "43.785"),
    ],
)
def test_config_infnet_has_the_flops_of_inf_net_table_ii(name, grown, printed):
    with torch.device("meta"):
        assert thop(create_model(name, num_classes=1, config="infnet"), 352, grown) == printed


@pytest.mark.parametrize("name", NETWORKS)
def test_cards_state_the_parameters_and_the_command_lists_them(name):
    assert card(name).params == size_of(name) and card(name).arxiv
    listed = CliRunner().invoke(app, ["models", name])
    assert name in list_models() and f"{card(name).params:,}" in listed.output and card(name).paper in listed.output


def test_unet_macs_at_352_by_hand():
    """Two 3x3 convolutions at each level, down and up, and the 1x1 at the end."""
    C = [32, 64, 128, 256, 512]
    down = sum(9 * (c * k + k * k) * s * s for c, k, s in zip([3, *C[:-1]], C, S, strict=True))
    up = sum(9 * ((C[i] + C[i + 1]) * C[i] + C[i] ** 2) * S[i] ** 2 for i in range(4))
    with torch.device("meta"):
        macs = profile_model(create_model("unet", num_classes=1), (3, 352, 352)).macs
    assert macs == down + up + 32 * 352**2 and round(macs / 1e9, 3) == 26.375


# --- the blocks, stated a second time


def channel_mix(unit, x):
    """A 1x1 convolution and its BatchNorm from their numbers, without a convolution."""
    conv, bn = unit[0], unit[1]
    y = torch.einsum("bchw,oc->bohw", x, conv.weight[:, :, 0, 0]) + conv.bias[:, None, None]
    y = (y - bn.running_mean[:, None, None]) / (bn.running_var + bn.eps).sqrt()[:, None, None]
    return y * bn.weight[:, None, None] + bn.bias[:, None, None]


def test_attention_gate_is_eqns_1_and_2_of_oktay():
    gate = seeded(AttentionGate(6, 4))
    x, g = torch.randn(2, 6, 5, 7), torch.randn(2, 6, 5, 7)
    q = channel_mix(gate.psi, (channel_mix(gate.W_x, x) + channel_mix(gate.W_g, g)).clamp(min=0))  # (1)
    assert q.shape == (2, 1, 5, 7)
    assert_close(gate(x, g), x / (1 + (-q).exp()), rtol=1e-4, atol=1e-5)  # (2)


def test_grid_gate_compares_on_the_coarse_grid_and_grows_the_attention():
    gate = seeded(GridGate(3, 5, 2))
    x, g = torch.randn(2, 3, 8, 6), torch.randn(2, 5, 4, 3)
    blocks = x.unfold(2, 2, 2).unfold(3, 2, 2)  # B, C, 4, 3, 2, 2
    copies = []
    for k in range(2):
        at = gate.attention
        wx = torch.einsum("bcijuv,ocuv->boij", blocks, at.W_x[k].weight)
        wg = torch.einsum("bcij,oc->boij", g, at.W_g[k].weight[..., 0, 0]) + at.W_g[k].bias[:, None, None]
        q = torch.einsum("boij,o->bij", (wx + wg).clamp(min=0), at.psi[k].weight[0, :, 0, 0]) + at.psi[k].bias
        A = nn.functional.interpolate(q.sigmoid()[:, None], scale_factor=2, mode="bilinear")
        copies.append(channel_mix(gate.W[k], x * A))
    expected = channel_mix(gate.combine, torch.cat(copies, 1)).clamp(min=0)
    assert_close(gate(x, g), expected, rtol=1e-4, atol=1e-5)


def test_unetplusplus_has_a_triangle_of_nodes_each_fed_by_its_whole_row():
    with torch.device("meta"):
        model = create_model("unetplusplus")
    down = [f"X_{i}_0" for i in range(5)]
    assert len(down) + len(model.nodes) == 5 * 6 // 2  # L (L + 1) / 2 nodes
    for name, node in model.nodes.items():
        i, j = map(int, name.split("_")[1:])
        C_i, C_below = 32 * 2**i, 32 * 2 ** (i + 1)
        assert (node[0].in_channels, node[0].out_channels) == (j * C_i + C_below, C_i)  # j skips and U(X^{i+1,j-1})
    assert list(model.named_maps())[:5] == down


def test_unetplusplus_cut_to_its_outer_path_is_the_recursion_of_eqn_1():
    model, x = small("unetplusplus"), torch.randn(1, 3, 32, 48)

    def X(i, j):
        if j == 0:
            return model.down(x)[i]
        row = [X(i, k) for k in range(j)]
        return model.nodes[f"X_{i}_{j}"](torch.cat([*row, corner_resize(X(i + 1, j - 1), row[0])], 1))

    with torch.no_grad():
        assert_close(model(x), model.heads["P_4"](X(0, 4)))


def test_up_conv_repeats_each_pixel_before_it_convolves():
    up, x = seeded(UpConv(4, 2)), torch.randn(1, 4, 3, 5)
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert_close(up(x, torch.empty(1, 1, 6, 10)), up[2](up[1](up[0](repeated))))


def test_contracting_path_halves_with_the_maximum():
    down, x = seeded(Contracting([1, 2, 3])), torch.randn(1, 1, 6, 9)
    X_1, X_2 = down(x)
    halved = X_1[..., :6, :8].unflatten(-2, (3, 2)).unflatten(-1, (4, 2)).amax((3, 5))
    assert X_1.shape == (1, 2, 6, 9) and X_2.shape == (1, 3, 3, 4)
    assert_close(X_2, down.levels[1](halved))


def test_fcn_upsampling_starts_as_bilinear_interpolation():
    up, x = Up2(3), torch.randn(1, 3, 5, 6)
    bilinear = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert_close(up(x)[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1])  # at the border zeros come in
    assert up.weight.requires_grad


@pytest.mark.parametrize("side", [8, 9])
def test_fcn_skip_is_a_sum_of_scores_at_the_pools_size(side):
    fuse = Fuse(4, 2)
    assert not fuse.score.weight.any()  # section 4.3: scores start at zero
    nn.init.normal_(fuse.score.weight)
    coarse, pool = torch.randn(1, 2, 4, 4), torch.randn(1, 4, side, side)
    score = torch.einsum("bchw,kc->bkhw", pool, fuse.score.weight[..., 0, 0])
    assert_close((fuse(coarse, pool) - score)[..., :8, :8], fuse.up(coarse), rtol=1e-4, atol=1e-5)


def test_aspp_is_five_branches_side_by_side():
    aspp, x = seeded(ASPP(4, 3, (2, 5))), torch.randn(2, 4, 9, 7)
    y = aspp(x)
    assert y.shape == (2, 12, 9, 7)
    mean = channel_bn(torch.einsum("bc,oc->bo", x.mean((2, 3)), aspp.image[1].weight[..., 0, 0]), aspp.image[2])
    assert_close(y[:, 9:], mean.clamp(min=0)[..., None, None].expand(-1, -1, 9, 7), rtol=1e-4, atol=1e-5)
    wide, kernel = nn.functional.pad(x, (5, 5, 5, 5)), aspp.branches[2][0].weight  # dilation 5
    taps = sum(
        torch.einsum("bchw,oc->bohw", wide[..., 5 * i : 5 * i + 9, 5 * j : 5 * j + 7], kernel[..., i, j])
        for i in range(3) for j in range(3)
    )  # fmt: skip
    assert_close(y[:, 6:9], channel_bn(taps, aspp.branches[2][1]).clamp(min=0), rtol=1e-4, atol=1e-5)


def channel_bn(y, bn):
    shape = (1, -1) + (1,) * (y.ndim - 2)
    mean, var, weight, bias = (v.view(shape) for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
    return (y - mean) / (var + bn.eps).sqrt() * weight + bias


def test_deeplab_doubles_the_rates_where_it_halves_the_stride():
    for stride, rates in ((16, [1, 6, 12, 18]), (8, [1, 12, 24, 36])):
        with torch.device("meta"):
            model = create_model("deeplabv3plus", output_stride=stride)
        assert [branch[0].dilation[0] for branch in model.ASPP.branches] == rates
        assert model.backbone.strides[-1] == stride


# --- the trunks


@pytest.mark.parametrize("depth", DENSENETS)
def test_densenet_grows_by_k_a_layer_and_halves_between_blocks(depth):
    k, layers, C = DENSENETS[depth]
    params, channels = 3 * C * 49 + 2 * C, [C]
    for i, n in enumerate(layers):
        for _ in range(n):
            params += 2 * C + C * 4 * k + 2 * 4 * k + 9 * 4 * k * k  # norm, 1x1 to 4k, norm, 3x3 to k
            C += k
        channels.append(C)
        if i < 3:
            params += 2 * C + C * C // 2
            C //= 2
    with torch.device("meta"):
        trunk = densenet(depth, classes=1000)
    counted = sum(p.numel() for p in trunk.parameters())
    assert trunk.channels == channels and counted == params + 2 * C + 1000 * C + 1000
    published = {121: 7_978_856, 161: 28_681_000, 169: 14_149_480, 201: 20_013_928}  # torchvision
    assert counted == published[depth]


def test_densenet_layers_see_all_maps_before_them():
    trunk = seeded(thin_densenet()).features.denseblock1
    x = torch.randn(1, 8, 5, 5)
    first, second = trunk.denselayer1, trunk.denselayer2
    x_1 = first(x.clone())
    x_2 = second(torch.cat([x, x_1], 1))
    assert_close(trunk(x), torch.cat([x, x_1, x_2], 1))


def test_scaled_norm_starts_as_batchnorm_and_has_numbers_of_its_own():
    x, norm = torch.randn(3, 4, 5, 5), ScaledNorm(4)
    assert_close(norm(x), nn.BatchNorm2d(4)(x))
    norm.gain.data.fill_(2), norm.offset.data.fill_(3)
    assert_close(norm(x), 2 * nn.BatchNorm2d(4)(x) + 3)


def test_dense_unet_trunk_needs_scaled_norms_for_table_ii():
    with torch.device("meta"):
        trunk = create_model("dense_unet").backbone
    norms = [m for m in trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(isinstance(m, ScaledNorm) for m in norms)
    assert sum(2 * m.num_features for m in norms) == 45_082_145 - 44_862_209


def dilation_identity(coarse, fine, x, step=2):
    fine.load_state_dict(seeded(coarse).state_dict())
    with torch.no_grad():
        f, g = coarse(x)[-1], fine.eval()(x)[-1]
    assert g.shape[-1] in (step * f.shape[-1], step * f.shape[-1] - 1)
    assert_close(g[..., ::step, ::step], f, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("thin_vgg")
def test_vgg16_at_stride_8_sees_what_stride_16_sees_on_a_finer_grid():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 64, 64)
    dilation_identity(create_backbone("vgg16"), create_backbone("vgg16", output_stride=8), x)


def test_xception_at_stride_8_sees_what_stride_16_sees_on_a_finer_grid(monkeypatch):
    monkeypatch.setattr("covidseg.backbones.xception.MIDDLE", 1)
    torch.manual_seed(0)
    x = torch.randn(1, 3, 48, 48)
    dilation_identity(create_backbone("xception"), create_backbone("xception", output_stride=8), x)


def test_xception_block_is_depthwise_then_pointwise_beside_a_shortcut():
    block, x = seeded(Block(4, (6, 6), 2, first_relu=False)), torch.randn(1, 4, 8, 8)
    (first, bn, _, last) = block.rep
    y = nn.functional.conv2d(x, first[1].weight[:, :, 0, 0, None, None] * first[0].weight[None, :, 0], padding=1)
    y = channel_bn(y, bn).clamp(min=0)  # the two halves are one convolution of rank one
    dense = last[1].weight[:, :, 0, 0, None, None] * last[0].weight[None, :, 0]
    y = nn.functional.conv2d(y, dense, stride=2, padding=1)
    shortcut = channel_bn(
        torch.einsum("bchw,oc->bohw", x[..., ::2, ::2], block.skip[0].weight[..., 0, 0]), block.skip[1]
    )
    assert_close(block(x), y + shortcut, rtol=1e-4, atol=1e-5)


def test_torchvisions_old_densenet_names_load(tmp_path, monkeypatch):
    import covidseg.backbones as home

    monkeypatch.setitem(home.BACKBONES, "densenet161", home.Trunk(thin_densenet, "the file", modern_key))
    torch.manual_seed(0)
    network = thin_densenet(classes=10)
    state = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for key, v in network.state_dict().items()
    }
    assert "features.denseblock4.denselayer2.norm.1.running_mean" in state
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, tmp_path / "densenet.pth")
    x = torch.randn(1, 3, 32, 32)
    for scaled in (False, True):
        loaded = load_backbone("densenet161", tmp_path / "densenet.pth", scaled=scaled)
        assert_close(loaded.eval()(x)[-1], network.eval()(x)[-1])


@pytest.mark.usefixtures("thin_vgg")
def test_fcn_takes_vgg16s_classifier_as_convolutions(tmp_path):
    torch.manual_seed(0)
    trunk, fc6, fc7 = create_backbone("vgg16"), nn.Linear(64 * 49, 8), nn.Linear(8, 8)
    state = dict(trunk.state_dict())
    state |= {
        f"classifier.{i}.{kind}": getattr(fc, kind) for i, fc in ((0, fc6), (3, fc7)) for kind in ("weight", "bias")
    }
    torch.save(state, tmp_path / "vgg16.pth")
    model = create_model("fcn8s", fc=8, imagenet=tmp_path / "vgg16.pth").eval()
    pool5 = torch.randn(1, 64, 7, 7)  # VGG16's own size: the centre of the convolution is the old classifier
    with torch.no_grad():
        old = fc7(fc6(pool5.flatten(1)).relu()).relu()
        assert_close(model.classifier(pool5)[0, :, 3, 3], old[0], rtol=1e-4, atol=1e-5)
        assert_close(model.backbone.features[0].weight, trunk.features[0].weight)


# --- the contract of every network


@pytest.mark.usefixtures("thin_vgg")
@pytest.mark.parametrize("case", SMALL)
def test_odd_and_smallest_sizes_go_through_and_smaller_ones_are_refused(case):
    model, least = small(case), SMALL[case][2]
    with torch.no_grad():
        for size in ((97, 130), (least, least + 1)):
            assert model(torch.rand(1, 3, *size)).shape == (1, 2, *size)
        if least > 1:
            with pytest.raises(UserError, match=f"pad {least - 1} x 64 to {least} x 64"):
                model(torch.rand(1, 3, least - 1, 64))


@pytest.mark.usefixtures("thin_vgg")
@pytest.mark.parametrize("case", SMALL)
def test_classes_and_channels_are_free(case):
    name, options, _ = SMALL[case]
    plain = {key: value for key, value in options().items() if key != "backbone"}
    with torch.device("meta"):
        model = create_model(name, num_classes=4, in_channels=1, **plain).eval()
        assert model(torch.empty(2, 1, 64, 64)).shape == (2, 4, 64, 64)


@pytest.mark.usefixtures("thin_vgg")
@pytest.mark.parametrize("case", [case for case in SMALL if case != "unetplusplus ds"])
def test_train_mode_without_deep_supervision_answers_one_tensor(case):
    assert small(case).train()(torch.randn(2, 3, 64, 64)).shape == (2, 2, 64, 64)


def test_deep_supervision_answers_the_top_row_from_x04_down_to_x01():
    model, seen, x = small("unetplusplus ds").train(), {}, torch.randn(2, 3, 64, 64)
    for j in (1, 2, 3, 4):
        model.nodes[f"X_0_{j}"].register_forward_hook(lambda _m, _i, y, j=j: seen.update({j: y}))
    logits, sides = model(x)
    for answer, j in zip([logits, *sides], (4, 3, 2, 1), strict=True):
        head = model.heads[f"P_{j}"]
        assert_close(answer, torch.einsum("bchw,kc->bkhw", seen[j], head.weight[..., 0, 0]) + head.bias[:, None, None])
    assert model.eval()(x).shape == (2, 2, 64, 64)


@pytest.mark.usefixtures("thin_vgg")
@pytest.mark.parametrize("case", SMALL)
def test_every_parameter_gets_a_gradient(case):
    answer = (model := small(case).train())(torch.randn(2, 3, 64, 64))
    maps = [answer] if torch.is_tensor(answer) else [answer[0], *answer[1]]
    sum((m * torch.randn_like(m)).sum() for m in maps).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


@pytest.mark.usefixtures("thin_vgg")
@pytest.mark.parametrize("case", SMALL)
def test_eval_answers_the_same_twice_and_after_save_and_load(case, tmp_path):
    model, again, x = small(case), small(case, seed=1), torch.rand(1, 3, 64, 48)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    with torch.no_grad():
        y = model(x)
        assert torch.equal(model(x), y) and not torch.allclose(again(x), y)
        again.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
        assert torch.equal(again(x), y)


@pytest.mark.usefixtures("thin_vgg")
@pytest.mark.parametrize("case", SMALL)
def test_all_named_maps_can_be_captured(case):
    model, x = small(case), torch.rand(1, 3, 64, 96)
    maps = capture(model, x)
    assert set(maps) == set(map_names(model)) and all(m.ndim == 4 for m in maps.values())
    with torch.no_grad():
        logits = model(x)
    prediction = torch.from_numpy([m for name, m in maps.items() if name.startswith("P_")][-1])
    corners = case == "deeplabv3plus"  # the other networks resize with half-pixel centres, or not at all
    assert_close(nn.functional.interpolate(prediction, (64, 96), mode="bilinear", align_corners=corners), logits)


def test_attention_maps_are_one_per_gated_skip_between_0_and_1():
    x = torch.rand(1, 3, 64, 96)
    maps = capture(small("attention_unet"), x, "A/*")
    assert {name: m.shape for name, m in maps.items()} == {f"A/{i}": (1, 1, 128 >> i, 192 >> i) for i in (4, 3, 2, 1)}
    grid = capture(small("gated_unet"), x, "A/*")
    assert {name: m.shape for name, m in grid.items()} == {f"A/{i}": (1, 2, 128 >> i, 192 >> i) for i in (4, 3, 2)}
    for m in [*maps.values(), *grid.values()]:
        assert m.min() > 0 and m.max() < 1 and m.std() > 0


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("unet", dict(up="bilinaer"), "Did you mean 'bilinear'"),
        ("unet", dict(config="papr"), "No config of unet is called 'papr'. Did you mean 'paper'"),
        ("unet", dict(width=0), "width=0.*one channel or more"),
        ("attention_unet", dict(width=-8), "width=-8"),
        ("unetplusplus", dict(config="release"), "Did you mean 'released'"),
        ("gated_unet", dict(gates=0), "gates=0"),
        ("gated_unet", dict(config="released"), "Known: infnet, paper"),
        ("dense_unet", dict(backbone="densenet16"), "Did you mean 'densenet161'"),
        ("dense_unet", dict(imagenet="no.pth"), "no.pth: there is no such file.*densenet161-8d451a50.pth"),
        ("fcn8s", dict(fc=0), "fc=0"),
        ("fcn8s", dict(imagenet="no.pth"), "vgg16-397923af.pth"),
        ("fcn8s", dict(imagenet="no.pth", config="paper"), "vgg16_bn-6c64b313.pth"),
        ("deeplabv3plus", dict(output_stride=32), "output_stride of DeepLabv3.*Known: 16, 8"),
        ("deeplabv3plus", dict(backbone="xceptoin"), "Did you mean 'xception'"),
        ("deeplabv3plus", dict(imagenet="x.pth"), "'xception' has no public ImageNet file"),
    ],
)
def test_a_wrong_option_is_one_clear_line(name, options, says):
    with torch.device("meta"), pytest.raises(UserError, match=says) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_option_that_is_not_there_is_named(name):
    with torch.device("meta"), pytest.raises(TypeError, match="wdith"):
        create_model(name, wdith=4)


@pytest.mark.parametrize("trunk", ["vgg16", "xception"])
def test_trunks_refuse_strides_they_do_not_have(trunk):
    with torch.device("meta"), pytest.raises(UserError, match="output_stride.*Known: 16, 8"):
        create_backbone(trunk, output_stride=32)


def test_the_named_files_of_the_backbones_are_in_the_catalogue():
    from covidseg.backbones import BACKBONES
    from covidseg.fetch.catalog import source

    listed = {file.path: file.sha256_prefix for file in source("backbones").files}
    for trunk in BACKBONES.values():
        if trunk.file:
            name = trunk.file.rsplit("/", 1)[1]
            assert name in listed and listed[name] in name
