"""The small rivals of MiniSeg's Table 5 against counts, the authors' tensors, and their blocks said a second time."""

from importlib import import_module

import numpy as np
import pytest
import torch
from random_norms import seeded
from test_infnet import size_of
from torch import nn
from torch.testing import assert_close
from zoo_reference import distance

from covidseg import create_model, profile_model
from covidseg.attention import capture, map_names
from covidseg.errors import UserError
from covidseg.nn import card
from covidseg.nn.layers import corner_resize
from covidseg.zoo import cgnet, edanet, enet, espnet, espnetv2, lednet

COUNTS = {  # parameters, GMAC at 512 x 512, MiniSeg Table 5
    "enet": (363_197, 1.890, "0.36M"),
    "cgnet": (491_954, 3.363, "0.49M"),
    "espnetv2": (335_850, 0.746, "0.34M"),
    "edanet": (681_818, 4.385, "0.68M"),
    "lednet": (2_313_972, 6.218, "2.26M"),
    "espnet": (345_585, 1.747, "0.35M"),
}
CORNERS = {
    "enet": None,
    "cgnet": False,
    "espnetv2": True,
    "edanet": True,
    "lednet": True,
    "espnet": None,
}  # align_corners of the last resize; None where there is none
RECORDED = ["enet", "cgnet", "espnetv2"]  # networks with tensors of the published code


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_macs_are_those_of_both_builds(name):
    params, gmacs, printed = COUNTS[name]
    configs = import_module(f"covidseg.zoo.{name}").CONFIGS
    assert configs["paper"] == configs["released"]  # so one of them is counted
    assert size_of(name, config="released") == card(name).params == params
    with torch.device("meta"):
        macs = profile_model(create_model(name, config="paper"), (3, 512, 512)).macs
    assert round(macs / 1e9, 3) == gmacs
    assert printed == (f"{params / 1e6:.2f}M" if params < 1e6 else f"{params / 1_024_000:.2f}M")


# --- tensors of the published code


@pytest.mark.parametrize("name", RECORDED)
def test_logits_equal_those_of_the_published_code(name, reference):
    """Layers are built in the published order, so entries of the state dicts agree one by one."""
    assert distance(create_model(name, config="released"), reference / "zoo", name) < 1e-6


# --- the contract of every network


@torch.no_grad()
@pytest.mark.parametrize("name", COUNTS)
def test_odd_and_tiny_sizes_go_through(name):
    model = seeded(create_model(name, num_classes=3, in_channels=1))
    for size in ((65, 50), (9, 1)):
        assert model(torch.rand(1, 1, *size)).shape == (1, 3, *size)


@torch.no_grad()
@pytest.mark.parametrize("name", COUNTS)
def test_the_last_named_map_is_the_prediction(name):
    model, x = seeded(create_model(name)), torch.rand(1, 3, 64, 96)
    maps = capture(model, x)
    assert list(maps) == map_names(model) and all(m.ndim == 4 and np.isfinite(m).all() for m in maps.values())
    prediction, logits = torch.from_numpy(maps[map_names(model, "P_*")[-1]]), model(x)
    if CORNERS[name] is not None:
        prediction = nn.functional.interpolate(prediction, (64, 96), mode="bilinear", align_corners=CORNERS[name])
    assert_close(prediction, logits)


@pytest.mark.parametrize("name", COUNTS)
def test_a_wrong_build_is_one_clear_line(name):
    with torch.device("meta"), pytest.raises(UserError, match=f"No config of {name} is called 'papr'"):
        create_model(name, config="papr")
    with torch.device("meta"), pytest.raises(TypeError, match="wdith"):
        create_model(name, wdith=4)


# --- the blocks, stated a second time


@torch.no_grad()
def test_enet_puts_each_value_back_where_its_maximum_stood():
    down, up = seeded(enet.Down(4, 8, 0.01)), seeded(enet.Up(8, 4))
    down.extension = lambda x: torch.zeros(2, 8, 3, 4)
    x = torch.randn(2, 4, 6, 8)
    y, where = down(x)
    maxima = x.unflatten(2, (3, 2)).unflatten(4, (4, 2)).amax((3, 5))
    assert_close(y, torch.cat([maxima.clamp(min=0), torch.zeros_like(maxima)], 1))  # zeros for the new channels
    spread = torch.zeros(2, 4, 48).scatter_(2, where.flatten(2), up.main(y).flatten(2)).view_as(x)
    assert ((spread != 0) <= (x == maxima.repeat_interleave(2, 2).repeat_interleave(2, 3))).all()
    assert_close(up(y, where), (spread + up.extension(y)).relu())


@torch.no_grad()
def test_enets_asymmetric_convolution_is_one_of_5_by_5():
    conv, x = enet.asymmetric(3), torch.randn(1, 3, 6, 7)
    column, row = conv[0].weight[..., 0], conv[1].weight[:, :, 0]  # out, middle, 5; out, middle, 5
    square = torch.einsum("mcy,omx->ocyx", column, row)
    assert_close(conv(x), nn.functional.conv2d(x, square, conv[1].bias, padding=2), rtol=1e-4, atol=1e-5)


def dilated(conv, x, d):
    """A depthwise 3x3 of dilation d: an ordinary one on each of the d x d pictures made of every d-th pixel."""
    y = torch.empty_like(x)
    for i in range(d):
        for j in range(d):
            every = nn.functional.conv2d(x[..., i::d, j::d], conv.weight, padding=1, groups=x.shape[1])
            y[..., i::d, j::d] = every
    return y


@torch.no_grad()
def test_cgnets_block_weighs_what_it_sees_near_and_around_by_the_whole_map():
    block, x = seeded(cgnet.ContextGuided(8, 4, 4)), torch.randn(2, 8, 12, 9)
    y = block.shrink(x)
    y = block.f_joi(torch.cat([dilated(block.f_loc, y, 1), dilated(block.f_sur, y, 4)], 1))
    first, second = block.f_glo.fc[0], block.f_glo.fc[2]
    g = (y.mean((2, 3)) @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    assert_close(block(x), x + torch.einsum("bchw,bc->bchw", y, 1 / (1 + (-g).exp())), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cgnet_shows_the_shrunken_image_to_its_second_and_third_stage():
    model, seen = seeded(create_model("cgnet", M=1, N=1)), []
    for act in (model.act_1, model.act_2):
        act.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0][:, -3:]))
    x = torch.randn(1, 3, 16, 24)
    model(x)
    mean = nn.functional.pad(x, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2).mean((4, 5))  # the padding counts
    assert_close(seen[0], mean)
    assert_close(seen[1], nn.functional.pad(mean, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2).mean((4, 5)))


@torch.no_grad()
def test_espnetv2s_unit_sums_each_branch_onto_the_larger_ones():
    unit, x, seen = seeded(espnetv2.EESP(16, 16, (1, 2, 3, 4))), torch.randn(2, 16, 10, 12), []
    unit.merge.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    answer, y = unit(x), unit.reduce(x)
    single = [dilated(branch, y, d) for branch, d in zip(unit.branches, (1, 2, 3, 4), strict=True)]
    sums = [sum(single[: k + 1]) for k in range(4)]
    assert_close(seen[0], torch.cat(sums, 1), rtol=1e-4, atol=1e-5)
    conv, bn = unit.expand
    groups = unit.merge(seen[0]).unflatten(1, (4, 4))  # each group of four channels is mixed alone
    mixed = torch.einsum("bgchw,goc->bgohw", groups, conv.weight[..., 0, 0].unflatten(0, (4, 4))).flatten(1, 2)
    assert_close(answer, unit.act(bn(mixed) + x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_espnetv2s_strided_unit_keeps_the_average_first_and_adds_the_image():
    down, x, image = seeded(espnetv2.Down(16, 32, 3)), torch.randn(1, 16, 9, 12), torch.randn(1, 3, 5, 6)
    average = nn.functional.pad(x, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2).mean((4, 5))
    assert_close(down(x, image), down.act(torch.cat([average, down.eesp(x)], 1) + down.image(image)))


def test_espnetv2_answers_level_3_beside_in_training():
    logits, [side] = create_model("espnetv2", num_classes=3).train()(torch.randn(2, 3, 33, 50))
    assert logits.shape == side.shape == (2, 3, 33, 50)


def test_espnetv2s_prelus_of_strided_units_are_all_that_is_never_used():
    model = seeded(create_model("espnetv2")).train()
    logits, [side] = model(torch.randn(2, 3, 64, 64))
    (logits.square().sum() + side.square().sum()).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert idle == [f"down_{i}.eesp.act.weight" for i in (2, 3, 4)]
    assert any(f"{sum(model.get_parameter(name).numel() for name in idle)} par" in n for n in card("espnetv2").notes)


@torch.no_grad()
@pytest.mark.parametrize(("C_out", "channels"), [(13, [5, 2, 2, 2, 2]), (5, [1] * 5), (2, [1, 1]), (1, [1])])
def test_espnets_block_sums_from_dilation_2_on(C_out, channels):
    block, x = seeded(espnet.ESP(6, C_out)), torch.randn(2, 6, 17, 20)
    assert [branch.out_channels for branch in block.branches] == channels
    y = torch.einsum("bchw,dc->bdhw", x, block.reduce.weight[..., 0, 0])
    single = []
    for branch, r in zip(block.branches, (1, 2, 4, 8, 16), strict=False):
        wide = nn.functional.pad(y, (r, r, r, r))
        taps = [(wide[..., i * r : i * r + 17, j * r : j * r + 20], i, j) for i in range(3) for j in range(3)]
        single.append(sum(torch.einsum("bchw,oc->bohw", tap, branch.weight[..., i, j]) for tap, i, j in taps))
    sums = [single[0], *(sum(single[1 : k + 1]) for k in range(1, len(single)))]
    assert_close(block(x), block.act(torch.cat(sums, 1)), rtol=1e-4, atol=1e-5)
    same = seeded(espnet.ESP(6, 6, residual=True))
    before, same.residual = same(x), False
    same.act = nn.Sequential(Add(x), same.act)
    assert_close(same(x), before)


class Add(nn.Module):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def forward(self, y):
        return self.x + y


@torch.no_grad()
def test_espnets_doubling_writes_each_score_into_a_square_of_four():
    up, x = espnet.Up2(3), torch.randn(1, 3, 4, 5)
    squares = torch.einsum("bchw,cdij->bdhiwj", x, up.weight).flatten(2, 3).flatten(3)
    assert_close(up(x, torch.empty(1, 1, 7, 9)), squares[..., :7, :9])


@torch.no_grad()
def test_edanets_halving_puts_the_convolution_before_the_maxima():
    down, x = seeded(edanet.Down(4, 10)), torch.randn(1, 4, 7, 8)
    wide = nn.functional.pad(x, (0, 0, 0, 1), value=-1e9)
    maxima = wide.unflatten(2, (4, 2)).unflatten(4, (4, 2)).amax((3, 5))
    assert_close(down(x), down.bn(torch.cat([down.conv(x), maxima], 1)).clamp(min=0))
    assert edanet.Down(10, 4).conv.out_channels == 4  # no maxima where the channels shrink


@torch.no_grad()
def test_edanets_module_puts_forty_channels_before_all_it_has_read():
    module, x = seeded(edanet.EDA(7, 4, 0.02)), torch.randn(1, 7, 10, 11)
    shrink, column, row = (module.new[i] for i in (0, 7, 8))
    square = torch.einsum("mcy,omx->ocyx", column.weight[..., 0], row.weight[:, :, 0])  # one 3x3 of dilation 4
    y = module.new[1:7](torch.einsum("bchw,oc->bohw", x, shrink.weight[..., 0, 0]) + shrink.bias[:, None, None])
    offset = row(column.bias[None, :, None, None].expand_as(y))  # the first line's bias, as the second one sees it
    y = nn.functional.conv2d(y, square, padding=4, dilation=4) + offset
    assert_close(module(x), torch.cat([module.new[9:](y), x], 1), rtol=1e-4, atol=1e-5)


def test_edanets_blocks_grow_by_forty_from_60_and_130():
    with torch.device("meta"):
        model = create_model("edanet")
    assert [m.new[0].in_channels for m in model.block_1] == [60, 100, 140, 180, 220]
    assert [m.new[0].in_channels for m in model.block_2] == list(range(130, 450, 40))
    assert [m.new[8].dilation[1] for m in (*model.block_1, *model.block_2)] == [1, 1, 1, 2, 2, 2, 2, 4, 4, 8, 8, 16, 16]


@torch.no_grad()
def test_lednets_halving_is_one_convolution_whose_maxima_overlap():
    down, x = seeded(lednet.Down(3, 8)), torch.randn(1, 3, 9, 12)
    y = nn.functional.conv2d(x, torch.cat([conv.weight for conv in down.convs]), stride=2, padding=2)
    maxima = torch.stack([y[..., :-1, :-1], y[..., 1:, :-1], y[..., :-1, 1:], y[..., 1:, 1:]]).amax(0)
    assert maxima.shape[2:] == (5, 6)
    assert_close(down(x), maxima)


@torch.no_grad()
def test_lednets_unit_turns_the_right_half_and_interleaves_the_halves():
    unit, x = seeded(lednet.SSnbt(8, 5)), torch.randn(1, 8, 11, 12)
    for left, right in zip(unit.left, unit.right, strict=True):
        if isinstance(left, nn.Conv2d):
            right.weight.copy_(left.weight.transpose(2, 3))
    halves = [x[:, :4] + unit.left(x[:, :4]), x[:, 4:] + unit.right(x[:, 4:])]
    assert_close(unit(x), torch.stack([h.clamp(min=0) for h in halves], 2).flatten(1, 2))
    for left, right in zip(unit.left, unit.right, strict=True):
        if isinstance(left, nn.BatchNorm2d):
            right.load_state_dict(left.state_dict())
    assert_close(unit.right(x[:, :4]), unit.left(x[:, :4].transpose(2, 3)).transpose(2, 3), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_lednets_pyramid_weighs_the_scores():
    apn, x = seeded(lednet.APN(6, 2)), torch.randn(1, 6, 24, 17)
    half, quarter = apn.down[0](x), apn.down[1](apn.down[0](x))
    eighth = apn.down[2](quarter)
    assert [f.shape[2:] for f in (half, quarter, eighth)] == [(12, 9), (6, 5), (3, 3)]
    A = apn.score[1](quarter) + corner_resize(apn.score[0](eighth), quarter)
    A = corner_resize(apn.score[2](half) + corner_resize(A, half), x)
    mean = apn.image[1:](x.mean((2, 3), keepdim=True))
    assert_close(apn(x), apn.direct(x) * A + mean)
    assert apn(x).min() >= 0
