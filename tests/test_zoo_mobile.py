"""The light encoders of MiniSeg's benchmark with its decoder, against counts, recorded logits and their papers."""

import pytest
import torch
from random_norms import seeded
from test_infnet import half_pixel, size_of, taps
from test_zoo import channel_bn
from torch import nn
from torch.testing import assert_close
from zoo_reference import distance

from covidseg import create_model, profile_model
from covidseg.attention import capture
from covidseg.backbones import BACKBONES, create_backbone, load_backbone
from covidseg.backbones.efficientnet import MBConv
from covidseg.backbones.mobilenet import separable
from covidseg.backbones.mobilenetv2 import InvertedResidual
from covidseg.backbones.shufflenet import Unit as UnitV1
from covidseg.backbones.shufflenetv2 import Unit as UnitV2
from covidseg.errors import UserError
from covidseg.nn import card
from covidseg.zoo._with_decoder import Shares, WithDecoder

COUNTS = {  # parameters and conv GMAC at 512 x 512: of config="paper", then of config="released"
    "mobilenetv2": (2_223_872, 1.565, 2_366_114, 1.813),
    "shufflenetv2": (1_253_604, 0.752, 1_597_702, 1.291),
    "efficientnet": (8_573_706, 13.085, 8_573_706, 13.085),
    "mobilenet": (3_206_976, 2.966, 4_274_626, 6.337),
    "shufflenet": (916_920, 0.713, 1_805_162, 2.267),
}
TABLE_5 = {  # as printed: parameters (K of 1e3, M of 1,024,000) and "FLOPs"
    "mobilenetv2": ("2.17", "1.60"),
    "shufflenetv2": ("1.22", "0.77"),
    "efficientnet": ("8.37", "13.19"),
    "mobilenet": ("3.13", "3.02"),
    "shufflenet": ("0.92", "0.75"),
}
TAPS = {  # what the decoder reads, the deepest map first, and the stride of its last map
    "mobilenetv2": ([1280, 96, 32, 24, 16], 2),
    "shufflenetv2": ([1024, 232, 116, 24], 4),
    "efficientnet": ([320, 192, 112, 80, 24, 16], 2),
    "mobilenet": ([1024, 512, 256, 128, 64], 2),
    "shufflenet": ([960, 480, 240, 24], 4),
}
NETWORKS = list(COUNTS)
BARE = [name for name in NETWORKS if name != "efficientnet"]  # Table 5 counts these without their decoder
each = pytest.mark.parametrize("name", NETWORKS)
each_build = pytest.mark.parametrize("config", ["paper", "released"])


# --- counts


@each
def test_both_builds_have_the_parameters_and_macs_of_the_published_files(name):
    for config, (params, gmacs) in zip(("paper", "released"), (COUNTS[name][:2], COUNTS[name][2:]), strict=True):
        with torch.device("meta"):
            profile = profile_model(create_model(name, config=config), (3, 512, 512))
        assert (profile.params, round(profile.macs / 1e9, 3)) == (params, gmacs)
    assert card(name).params == size_of(name) == COUNTS[name][2]


@pytest.mark.parametrize("name", BARE)
def test_config_paper_is_the_encoder_and_nothing_else(name):
    assert (
        sum(p.numel() for p in create_backbone(name).parameters()) == COUNTS[name][0] == size_of(name, config="paper")
    )
    assert any(f"{COUNTS[name][0]:,}" in note for note in card(name).notes)


@torch.no_grad()
def counted_as_in_table_5(model) -> int:
    """The authors' counter: MACs and biases of convolutions, 1 for each value that BatchNorm or nn.ReLU makes.

    ReLU6, h-swish and PReLU are not in its list.
    """
    total = 0

    def add(module, _inputs, y):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += y.numel() * (module.weight[0].numel() + (module.bias is not None))
        elif isinstance(module, nn.BatchNorm2d) or type(module) is nn.ReLU:
            total += y.numel()

    for module in model.modules():
        module.register_forward_hook(add)
    model.eval()(torch.empty(1, 3, 512, 512, device="meta"))
    return total


@each
def test_config_paper_is_the_row_of_miniseg_table_5(name):
    """MobileNet's 3.02 needs a ReLU behind each BatchNorm: with ReLU6, uncounted, it would be 2.99."""
    with torch.device("meta"):
        model = create_model(name, config="paper")
    unit = 1_024_000 if COUNTS[name][0] >= 1e6 else 1e6
    assert (f"{COUNTS[name][0] / unit:.2f}", f"{counted_as_in_table_5(model) / 1e9:.2f}") == TABLE_5[name]


@pytest.mark.parametrize("name", ["mobilenetv2", "shufflenetv2", "efficientnet"])
def test_recorded_logits_are_met(name, reference):
    assert distance(create_model(name, config="released"), reference / "zoo", name) < 1e-6


# --- the blocks, stated a second time: no grouped convolution, no shuffle, no interpolation of torch's


def filtered(x, conv):
    """A depthwise convolution as a full one whose filters across channels are zero, summed tap by tap."""
    C, k, d = conv.in_channels, conv.kernel_size[0], conv.dilation[0]
    full = torch.zeros(C, C, d * (k - 1) + 1, d * (k - 1) + 1)
    full[range(C), range(C), ::d, ::d] = conv.weight[:, 0]
    y = taps(x, full)[..., :: conv.stride[0], :: conv.stride[0]]
    return y if conv.bias is None else y + conv.bias[:, None, None]


def mixed(x, conv):
    """A 1x1 convolution: in each group a matrix product."""
    groups = zip(x.chunk(conv.groups, 1), conv.weight[..., 0, 0].chunk(conv.groups), strict=True)
    y = torch.cat([torch.einsum("bchw,oc->bohw", part, weight) for part, weight in groups], 1)
    return y if conv.bias is None else y + conv.bias[:, None, None]


def dealt(x, groups):
    """The shuffle: channel k of every group, then channel k + 1 of every group."""
    n = x.shape[1] // groups
    return x[:, [g * n + k for k in range(n) for g in range(groups)]]


def close(a, b):
    assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_separable_convolution_filters_each_channel_then_mixes_them():
    pair, x = seeded(separable(3, 5, 2)), torch.randn(1, 3, 9, 7)
    (depthwise, norm, _), (pointwise, last, _) = pair[:3], pair[3:]
    y = channel_bn(filtered(x, depthwise), norm).clamp(min=0)
    close(pair(x), channel_bn(mixed(y, pointwise), last).clamp(min=0))


@pytest.mark.parametrize(("C_out", "stride", "t"), [(4, 1, 6), (4, 1, 1), (6, 1, 3), (4, 2, 3)])
def test_an_inverted_residual_is_wide_inside_and_linear_at_its_end(C_out, stride, t):
    block, x = seeded(InvertedResidual(4, C_out, stride, t)), 3 * torch.randn(1, 4, 9, 7)
    *expand, filters, project, norm = block.conv
    y = channel_bn(mixed(x, expand[0][0]), expand[0][1]).clamp(0, 6) if expand else x
    y = channel_bn(filtered(y, filters[0]), filters[1]).clamp(0, 6)
    assert y.shape[1] == 4 * t
    y = channel_bn(mixed(y, project), norm)
    close(block(x), x + y if y.shape == x.shape else y)


@pytest.mark.parametrize(("C_out", "stride", "t", "dilation"), [(8, 1, 6, 1), (8, 1, 1, 1), (6, 1, 3, 2), (8, 2, 3, 1)])
def test_an_mbconv_weighs_its_inner_channels_by_their_means(C_out, stride, t, dilation):
    block, x = seeded(MBConv(8, C_out, t, 5, stride, dilation)), torch.randn(2, 8, 9, 7)

    def h_swish(y):
        return y * (y + 3).clamp(0, 6) / 6

    *expand, filters, gate, project, norm = block.conv
    y = h_swish(channel_bn(mixed(x, expand[0][0]), expand[0][1])) if expand else x
    y = h_swish(channel_bn(filtered(y, filters[0]), filters[1]))
    inner = y.mean((2, 3)) @ gate.weigh[1].weight[..., 0, 0].T
    assert inner.shape == (2, 2 * t) and not block.conv[-2].bias
    weights = (inner * inner.sigmoid() @ gate.weigh[3].weight[..., 0, 0].T).sigmoid()
    y = channel_bn(mixed(y * weights[..., None, None], project), norm)
    close(block(x), x + y if y.shape == x.shape else y)


@pytest.mark.parametrize(("C", "stride"), [(8, 1), (4, 2)])
def test_a_unit_of_shufflenet_v2_splits_or_halves_the_size_and_shuffles(C, stride):
    unit, x = seeded(UnitV2(C, 8, stride)), torch.randn(1, C, 9, 7)
    left, right = (x[:, :4], x[:, 4:]) if stride == 1 else (x, x)
    if stride == 2:
        depthwise, norm, pointwise, last, _ = unit.branch1
        left = channel_bn(mixed(channel_bn(filtered(left, depthwise), norm), pointwise), last).clamp(min=0)
    first, norm1, _, depthwise, norm2, last, norm3, _ = unit.branch2
    y = channel_bn(mixed(right, first), norm1).clamp(min=0)
    y = channel_bn(mixed(channel_bn(filtered(y, depthwise), norm2), last), norm3).clamp(min=0)
    close(unit(x), dealt(torch.cat([left, y], 1), 2))


@pytest.mark.parametrize(("C", "stride", "groups"), [(24, 1, 3), (12, 2, 3), (12, 2, 1)])
def test_a_unit_of_shufflenet_shuffles_between_its_groups_and_adds_or_concatenates(C, stride, groups):
    unit, x = seeded(UnitV1(C, 24, stride, groups)), torch.randn(1, C, 9, 7)
    y = channel_bn(mixed(x, unit.shrink[0]), unit.shrink[1]).clamp(min=0)
    assert y.shape[1] == 6 and unit.shrink[0].groups == groups and unit.grow[0].groups == 3
    y = channel_bn(filtered(dealt(y, 3), unit.filters[0]), unit.filters[1])
    y = channel_bn(mixed(y, unit.grow[0]), unit.grow[1])
    if stride == 1:
        close(unit(x), (x + y).clamp(min=0))
    else:
        means = taps(x, torch.eye(C)[..., None, None].expand(C, C, 3, 3) / 9)[..., ::2, ::2]  # zeros count
        close(unit(x), torch.cat([means, y], 1).clamp(min=0))


class Pyramid(nn.Module):
    """A trunk of three maps that are the image at half, quarter and eighth size, with more and more channels."""

    channels = (2, 3, 5)

    def forward(self, x):
        f = [nn.functional.avg_pool2d(x, 2**i)[:, :1] * torch.arange(1.0, c + 1)[:, None, None]
             for i, c in enumerate(self.channels, 1)]  # fmt: skip
        return f


@pytest.mark.parametrize("finest", [1, 2])
def test_the_decoder_is_eqns_14_and_15_of_miniseg(finest):
    torch.manual_seed(0)
    model, x = seeded(WithDecoder(2, backbone=Pyramid(), finest=finest)), torch.randn(1, 3, 32, 32)
    *finer, D = Pyramid()(x)[finest - 1 :]
    for step, f in zip(model.steps, reversed(finer), strict=True):
        S = mixed(half_pixel(D, f.shape[-1]), step.fusion.shrink)
        near, far = filtered(S, step.fusion.near), filtered(S, step.fusion.far)
        assert step.fusion.far.dilation == (2, 2)
        y = channel_bn(near + far, step.fusion.bn)  # (14)
        y = y + channel_bn(mixed(f, step.lateral[0]), step.lateral[1])
        D = torch.where(y > 0, y, 0.25 * y)  # (15) PReLU as it starts
    close(model(x), half_pixel(mixed(D, model.head[1]), 32))
    assert model.head[0].p == 0.1 and isinstance(model.head[0], nn.Dropout2d)


def test_without_a_decoder_a_class_is_the_mean_of_its_share_of_channels():
    x = torch.randn(1, 8, 2, 3)
    expected = torch.stack([x[:, :3].sum(1) / 3, x[:, 3:6].sum(1) / 3, x[:, 6:].sum(1) / 2], 1)
    assert_close(Shares(3)(x), expected)
    model = WithDecoder(2, backbone=Pyramid(), decoder=False)
    image = torch.randn(1, 3, 32, 32)
    close(model(image), half_pixel(Shares(2)(Pyramid()(image)[2]), 32))


# --- the trunks


@each
def test_trunks_tell_what_their_maps_are_and_the_decoder_reads_them(name):
    with torch.device("meta"):
        model = create_model(name, config="released").eval()
        f = model.backbone(torch.empty(1, 3, 130, 97))
    strides = model.backbone.strides
    assert [m.shape[1] for m in f] == model.backbone.channels
    assert [m.shape[2:] for m in f] == [(-(-130 // s), -(-97 // s)) for s in strides]
    widths, finest = TAPS[name]
    steps = [(step.fusion.shrink.in_channels, step.fusion.shrink.out_channels) for step in model.steps]
    assert steps == list(zip(widths, widths[1:], strict=False)) and strides[model.last - 1] == finest


TORCHVISION = {  # parameters with the classifier of 1000, some entries' names, the classifier's
    "mobilenetv2": (
        3_504_872, ["features.0.0.weight", "features.1.conv.1.weight", "features.2.conv.1.0.weight",
                    "features.17.conv.3.running_var", "features.18.1.bias"], ("classifier.1", 1280),
    ),
    "shufflenetv2": (
        2_278_604, ["conv1.1.weight", "stage2.0.branch1.2.weight", "stage3.7.branch2.6.running_mean",
                    "stage4.3.branch2.3.weight", "conv5.0.weight"], ("fc", 1024),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_files_load_into_the_trunk_and_through_the_network(name, tmp_path):
    params, names, (classifier, width) = TORCHVISION[name]
    torch.manual_seed(0)
    saved = create_backbone(name)
    assert sum(p.numel() for p in saved.parameters()) + 1000 * width + 1000 == params
    state = saved.state_dict() | {f"{classifier}.weight": torch.zeros(10, width), f"{classifier}.bias": torch.zeros(10)}
    assert set(names) <= set(state)
    torch.save(state, tmp_path / "w.pth")
    for config in ("paper", "released"):
        model = create_model(name, config=config, imagenet=tmp_path / "w.pth")
        assert all(torch.equal(value, state[key]) for key, value in model.backbone.state_dict().items())
    del state[names[-1]]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"does not fit {name!r}: {names[-1]}.*{BACKBONES[name].file}"):
        load_backbone(name, tmp_path / "w.pth")


# --- the contract of every network


@each_build
@each
def test_any_size_classes_and_channels_are_taken(name, config):
    with torch.device("meta"):
        model = create_model(name, num_classes=3, in_channels=1, config=config).eval()
        for size in ((1, 1), (15, 33), (97, 130)):
            assert model(torch.empty(1, 1, *size)).shape == (1, 3, *size)


@each
def test_every_parameter_but_the_classifiers_gets_a_gradient(name):
    for config in ("paper", "released"):
        torch.manual_seed(0)
        model = seeded(create_model(name, config=config)).train()
        answer = model(torch.randn(2, 3, 64, 64))
        assert answer.shape == (2, 2, 64, 64)
        (answer * torch.randn_like(answer)).sum().backward()
        idle = {key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        assert all(key.startswith("backbone.classifier.") for key in idle)
        n = sum(p.numel() for key, p in model.named_parameters() if key in idle)
        assert n == (1_693_160 if name == "efficientnet" else 0)
        assert not n or any(f"{n:,}" in note for note in card(name).notes)


@each
def test_maps_are_captured_and_the_last_one_resized_is_the_answer(name):
    model, x = seeded(create_model(name)), torch.rand(1, 3, 64, 64)
    maps = capture(model, x)
    levels = len(model.backbone.channels)
    decoder = [f"D_{i}" for i in range(levels - 1, model.last - 1, -1)]
    assert list(maps) == [*(f"f_{i}" for i in range(1, levels + 1)), *decoder, f"P_{model.last}"]
    with torch.no_grad():
        close(half_pixel(torch.from_numpy(maps[f"P_{model.last}"]), 64), model(x))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        (
            "mobilenetv2",
            dict(config="relesed"),
            "No config of mobilenetv2 is called 'relesed'. Did you",
        ),
        ("mobilenetv2", dict(backbone="mobilenetv3"), "Did you mean 'mobilenetv2'"),
        ("mobilenetv2", dict(imagenet="no.pth"), "mobilenet_v2-b0353104.pth"),
        ("shufflenetv2", dict(imagenet="no.pth"), "shufflenetv2_x1-5666bf0f80.pth"),
        ("efficientnet", dict(imagenet="no.pth"), "'efficientnet' has no public ImageNet file"),
    ],
)
def test_a_wrong_option_is_one_clear_line(name, options, says):
    with torch.device("meta"), pytest.raises(UserError, match=says) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)
