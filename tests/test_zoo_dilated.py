"""The rivals with a dilated ResNet (stride 8) against counts, equations, recorded tensors and contracts."""

import pytest
import torch
from test_infnet import seeded, size_of
from torch import nn
from torch.testing import assert_close
from zoo_reference import distance

from covidseg import create_model, profile_model
from covidseg.attention import capture
from covidseg.backbones import create_backbone
from covidseg.backbones.resnet import Bottleneck, ResNet
from covidseg.errors import UserError
from covidseg.nn.layers import PPM, Affinity, collect
from covidseg.zoo.ccnet import CrissCross
from covidseg.zoo.danet import ChannelAttention, PositionAttention
from covidseg.zoo.encnet import ContextEncoding, Encoding
from covidseg.zoo.ocnet import ObjectContext

# --- the blocks, stated a second time


@pytest.mark.parametrize(("norm", "corners"), [(True, True), (False, False)])
def test_pyramid_pooling_is_the_mean_of_each_bin_grown_back(norm, corners):
    ppm, x = seeded(PPM(5, 2, (1, 3), norm=norm, corners=corners, relu=norm)), torch.randn(2, 5, 6, 9)
    expected = []
    for b, level in zip((1, 3), ppm.levels, strict=True):
        means = x.unflatten(2, (b, 6 // b)).unflatten(4, (b, 9 // b)).mean((3, 5))  # B, C, b, b
        y = torch.einsum("bchw,oc->bohw", means, level[1].weight[..., 0, 0])
        y = level[2](y).clamp(min=0) if norm else y
        expected.append(nn.functional.interpolate(y, (6, 9), mode="bilinear", align_corners=corners))
    assert_close(ppm(x), torch.cat(expected, 1))


def test_affinity_is_a_softmax_over_keys_and_collects_their_values():
    Q, K, V = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 2, 2), torch.randn(2, 6, 2, 2)
    A = Affinity(scale=0.5)(Q, K)
    assert A.shape == (2, 15, 2, 2)
    weights = torch.stack([(Q * k[..., None, None]).sum(1) / 2 for k in K.flatten(2).unbind(2)], 1).exp()  # B, 4, H, W
    weights = weights / weights.sum(1, keepdim=True)
    assert_close(A.flatten(2), weights.flatten(2).transpose(1, 2))
    expected = sum(
        w[:, None] * v[..., None, None] for w, v in zip(weights.unbind(1), V.flatten(2).unbind(2), strict=True)
    )
    assert_close(collect(V, A, Q), expected)


def at(layer, x):
    """A 1x1 convolution with bias, pixel by pixel."""
    return torch.einsum("bchw,oc->bohw", x, layer.weight[..., 0, 0]) + layer.bias[:, None, None]


def test_danet_positions_collect_from_all_positions_by_eqns_1_and_2():
    block, A = PositionAttention(16), torch.randn(1, 16, 3, 4)
    assert torch.equal(block(A), A)  # alpha starts at zero
    block.alpha.data.fill_(0.7)
    B, C, D = (at(layer, A)[0].flatten(1) for layer in (block.B, block.C, block.D))
    E = torch.zeros(16, 12)
    for j in range(12):
        s = torch.stack([B[:, j] @ C[:, i] for i in range(12)]).exp()
        E[:, j] = 0.7 * sum(s[i] / s.sum() * D[:, i] for i in range(12)) + A[0].flatten(1)[:, j]
    assert_close(block(A)[0].flatten(1), E, rtol=1e-4, atol=1e-5)


def test_danet_channels_collect_from_those_they_resemble_least():
    block, A = ChannelAttention(), torch.randn(2, 5, 3, 4)
    assert torch.equal(block(A), A)
    block.beta.data.fill_(0.7)
    X = torch.einsum("bihw,bjhw->bij", A, A).neg().softmax(2)  # the largest of a row cancels
    assert_close(block(A), A + 0.7 * torch.einsum("bij,bjhw->bihw", X, A), rtol=1e-4, atol=1e-5)


def test_criss_cross_is_full_attention_with_all_but_row_and_column_masked():
    block, x = CrissCross(16), torch.randn(2, 16, 3, 5)
    assert torch.equal(block(x), x)
    block.gamma.data.fill_(0.7)
    Q, K, V = (at(layer, x).flatten(2) for layer in (block.Q, block.K, block.V))
    h, w = torch.arange(15) // 5, torch.arange(15) % 5
    cross = (h[:, None] == h) | (w[:, None] == w)
    assert (cross.sum(1) == 3 + 5 - 1).all()
    A = (Q.transpose(1, 2) @ K).masked_fill(~cross, float("-inf")).softmax(-1)
    expected = x + 0.7 * (A @ V.transpose(1, 2)).transpose(1, 2).view_as(x)
    assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


def test_criss_cross_attention_sees_its_cross_once_and_everything_twice():
    block, x = CrissCross(8), torch.randn(1, 8, 5, 6, requires_grad=True)
    block.gamma.data.fill_(1)
    seen = []
    for y in (block(x), block(block(x))):
        (grad,) = torch.autograd.grad(y[0, :, 2, 3].sum(), x)
        seen.append(grad[0].abs().sum(0) > 0)
    cross = torch.zeros(5, 6, dtype=bool)
    cross[2], cross[:, 3] = True, True
    assert torch.equal(seen[0], cross) and seen[1].all()


@pytest.mark.parametrize("sign", ["plus", "minus"])
def test_encnet_encodes_weighted_residuals_to_its_codewords(sign):
    block, X = Encoding(4, sign), torch.randn(2, 4, 3, 5)
    pixels, e = X.flatten(2).transpose(1, 2), torch.zeros(2, 32, 4)
    factor = block.s**2 if sign == "plus" else -block.s
    for b in range(2):
        for x in pixels[b]:
            r = x - block.d  # K, C
            e[b] += (factor * (r**2).sum(1)).softmax(0)[:, None] * r
    assert_close(block(X), e, rtol=1e-4, atol=1e-5)


def test_encnet_weighs_each_channel_by_a_number_between_one_and_two():
    block, X = seeded(ContextEncoding(4, "plus")), torch.rand(2, 4, 3, 5)
    factor = block(X) / X
    assert_close(factor, factor[..., :1, :1].expand_as(factor))
    e = block.encoding[:4](X)  # B, K, C; the norm after it is one at the start
    expected = (e.clamp(min=0) / (1 + 1e-5) ** 0.5).mean(1) @ block.gamma[0].weight.T + block.gamma[0].bias
    assert_close(factor[..., 0, 0], 1 + expected.sigmoid())


def test_ocnet_has_one_transform_for_queries_and_keys():
    block, X = seeded(ObjectContext(6, 4)), torch.randn(1, 6, 3, 4)
    assert block.f_query is block.f_key and not block(X).any()  # no context at the start
    nn.init.normal_(block.rho.weight)
    f = block.f_key(X)[0].flatten(1)
    products = f.T @ f / 4**0.5
    assert_close(products, products.T)
    expected = at(block.rho, (at(block.g, X)[0].flatten(1) @ products.softmax(1).T).view(1, 4, 3, 4))
    assert_close(block(X), expected, rtol=1e-4, atol=1e-5)


# --- the trunk


def test_first_block_of_a_dilated_stage_has_the_dilation_that_is_asked_for():
    found = {}
    for first in ("before", "own"):
        trunk = ResNet(Bottleneck, (1, 1, 3, 2), width=8, output_stride=8, first_dilation=first)
        found[first] = [[block.conv2.dilation[0] for block in layer] for layer in (trunk.layer3, trunk.layer4)]
    assert found == {"before": [[1, 2, 2], [2, 4]], "own": [[2, 2, 2], [4, 4]]}


def test_ceil_pooling_keeps_a_pixel_more_of_even_sides():
    def sides(**options):
        trunk = ResNet(Bottleneck, (1, 1, 1, 1), width=8, output_stride=8, **options).eval()
        return [f.shape[-1] for f in trunk(torch.zeros(1, 3, 64, 64))]

    assert sides() == [32, 16, 8, 8, 8] and sides(ceil_pool=True) == [32, 17, 9, 9, 9]


# --- published and measured counts

MEASURED = {  # name, config -> parameters, conv and product MACs (G) of the published files at 512
    ("pspnet", "paper"): (65_571_395, 257.308),
    ("deeplabv3", "paper"): (39_633_986, 163.560),
    ("danet", "paper"): (66_426_564, 287.041),
    ("danet", "released"): (47_434_436, 209.464),
    ("encnet", "paper"): (52_482_724, 216.980),
    ("encnet", "released"): (33_490_596, 139.402),
    ("ccnet", "paper"): (47_433_411, 197.954),
    ("ocnet", "paper"): (52_859_970, 228.791),
    ("ocnet", "released"): (33_867_842, 151.213),
}
N = 64 * 64  # positions at stride 8
OURS = {"encnet": 2 * N * 32 * 512, "ocnet": -N * 512 * 256}  # encodes by two products; makes queries and keys once


@pytest.mark.parametrize(("name", "config"), MEASURED)
def test_parameters_and_macs_are_those_of_the_published_files(name, config):
    params, gmacs = MEASURED[name, config]
    with torch.device("meta"):
        profile = profile_model(create_model(name, config=config), (3, 512, 512))
    assert profile.params == params
    assert profile.macs / 1e9 == pytest.approx(gmacs + OURS.get(name, 0) / 1e9, abs=6e-4)


@pytest.mark.parametrize("name", ["pspnet", "deeplabv3", "ccnet"])
def test_what_was_trained_is_what_table_5_counts(name):
    assert size_of(name, config="released") == size_of(name, config="paper")


@pytest.mark.parametrize(
    ("name", "printed"),
    [("pspnet", 64.03), ("deeplabv3", 38.71), ("danet", 64.87), ("encnet", 51.25), ("ccnet", 46.32), ("ocnet", 51.60)],
)
def test_config_paper_is_the_row_of_miniseg_table_5(name, printed):
    assert round(size_of(name, config="paper") / 1_024_000, 2) == (51.62 if name == "ocnet" else printed)


def test_encnet_without_the_layer_that_nobody_reads_is_1026_numbers_smaller():
    assert size_of("encnet", se_layer=False) == size_of("encnet") - 1026


# --- the recorded tensors of the published programs


@pytest.mark.parametrize("name", ["pspnet", "danet", "encnet"])
def test_recorded_logits_are_met(reference, name):
    assert distance(create_model(name, config="released"), reference / "zoo", name) < 1e-6


# --- the networks whole; the contract asks the rest of their default builds


def thin(**options):
    return ResNet(Bottleneck, (1, 1, 1, 1), width=8, output_stride=8, **options)


TRUNKS = {name: dict() for name in ("deeplabv3", "danet", "encnet", "ccnet", "ocnet")}
TRUNKS["pspnet"] = dict(first_dilation="own", ceil_pool=True)


def small(name, **options):
    """A narrow trunk and random norms, in eval mode; what starts at zero (alpha, beta, gamma, rho) is random too."""
    model = seeded(create_model(name, backbone=thin(**TRUNKS[name]), **options))
    for p in model.parameters():
        if not p.detach().any():
            nn.init.normal_(p)
    return model


@pytest.mark.parametrize("name", TRUNKS)
def test_scores_at_stride_8_are_grown_to_the_input(name):
    model, x = small(name), torch.rand(1, 3, 65, 47)
    maps = capture(model, x)
    with torch.no_grad():
        logits = model(x)
    scores = torch.from_numpy(maps["P_5"])
    corners = name != "pspnet"
    assert scores.shape[2:] == ((9, 6) if corners else (7, 5))  # PSPNet's last 3x3 is not padded
    assert_close(nn.functional.interpolate(scores, (65, 47), mode="bilinear", align_corners=corners), logits)


def test_attention_maps_sum_to_one_where_their_paper_says():
    x = torch.rand(1, 3, 64, 48)  # 8 x 6 at stride 8
    maps = capture(small("danet"), x)
    assert maps["S"].shape == (1, 48, 8, 6) and maps["X"].shape == (1, 512, 512, 1)
    A, W, a = (capture(small(name), x)[m] for name, m in (("ccnet", "A"), ("ocnet", "W"), ("encnet", "a")))
    assert A.shape == (1, 14, 8, 6) and W.shape == (1, 48, 8, 6) and a.shape == (1, 32, 8, 6)
    for values, axes in ((maps["S"], (2, 3)), (maps["X"], 2), (W, (2, 3)), (A, 1), (a, 1)):
        total = torch.from_numpy(values.sum(axes))
        assert_close(total, torch.ones_like(total)) and values.std() > 0


def test_ccnet_passed_twice_answers_otherwise_with_the_same_numbers():
    once, twice = small("ccnet"), small("ccnet", recurrence=2)
    twice.load_state_dict(once.state_dict())
    x = torch.rand(1, 3, 64, 64)
    assert not torch.allclose(once(x), twice(x))


def test_pspnet_trains_no_norm_of_its_trunk():
    with torch.device("meta"):
        frozen, free = create_model("pspnet"), create_model("pspnet", freeze=False)
    still = [name for name, p in frozen.named_parameters() if not p.requires_grad]
    assert still and all(name.startswith("backbone.") and (".bn" in name or "downsample.1" in name) for name in still)
    assert all(p.requires_grad for p in free.parameters())


@pytest.mark.parametrize("name", TRUNKS)
def test_imagenet_weights_reach_the_trunk(name, tmp_path):
    with torch.device("meta"), pytest.raises(UserError, match="no.pth: there is no such file.*resnet50-19c8e357.pth"):
        create_model(name, backbone="resnet50", imagenet=tmp_path / "no.pth")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("pspnet", dict(config="papr"), "Did you mean 'paper'"),
        ("ccnet", dict(recurrence=0), "recurrence=0.*the paper: 2"),
        ("encnet", dict(sign="mins"), "sign of EncNet's assignment.*Did you mean 'minus'"),
        ("danet", dict(backbone="resnet5"), "Did you mean 'resnet50'"),
    ],
)
def test_a_wrong_option_is_one_clear_line(name, options, says):
    with torch.device("meta"), pytest.raises(UserError, match=says) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)


def test_first_dilation_is_one_of_two():
    with torch.device("meta"), pytest.raises(UserError, match="first_dilation.*Known: before, own"):
        create_backbone("resnet50", first_dilation="after")
