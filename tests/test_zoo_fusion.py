"""The rivals that fuse maps of several sizes or draw fine detail back in: counts, reference tensors, their blocks."""

import json
from math import prod, sqrt

import numpy as np
import pytest
import torch
from test_infnet import cb, corners, half_pixel, seeded, size_of, taps
from torch import nn
from torch.testing import assert_close

from covidseg import create_model, profile_model
from covidseg.attention import capture
from covidseg.backbones.resnet import Bottleneck, ResNet
from covidseg.errors import UserError
from covidseg.nn import card
from covidseg.zoo.dfn import CAB, RRB
from covidseg.zoo.frrn import FRRU, RU

# --- MiniSeg's Table 5 and its code: parameters with 2 classes, G multiply-accumulates at 512 x 512, and the count as
# printed (millions of 1,024,000)

BUILDS = [
    ("frrn", "paper", 17_711_474, 236.924, "17.30"),
    ("frrn", "released", 17_711_474, 236.924, ""),
    ("dfn", "paper", 44_569_940, 40.789, "43.53"),
    ("dfn", "released", 25_577_812, 21.394, ""),
]


@pytest.mark.parametrize(("name", "config", "params", "gmacs", "printed"), BUILDS)
def test_a_build_costs_what_miniseg_counted(name, config, params, gmacs, printed):
    with torch.device("meta"):
        profile = profile_model(create_model(name, config=config), (3, 512, 512))
    assert profile.params == params and round(profile.macs / 1e9, 3) == gmacs
    if config == "paper":
        assert f"{profile.params / 1_024_000:.2f}" == printed
        assert card(name).params == size_of(name) == params and card(name).arxiv


# --- the authors' tensors


def filled(index, shape, kind, factor, seed):
    """The recorded program's weights, made of their place in it alone."""
    rng = np.random.RandomState(seed + index)
    if kind == "bn_count":
        return torch.zeros(shape, dtype=torch.long)
    n = rng.standard_normal(shape)
    if kind == "weight":
        n = n * sqrt(2 / prod(shape[1:])) * factor
    elif kind == "bias":
        n = 0.05 * n
    else:
        mean, spread = {"bn_weight": (1, 0.1), "bn_bias": (0, 0.1), "bn_mean": (0, 0.1), "bn_var": (1, 0.2)}[kind]
        n = mean + spread * (np.abs(n) if kind == "bn_var" else n)
    return torch.from_numpy(np.asarray(n, np.float32))


def recorded(folder, name, network):
    """The network with the recorded weights, in the order of construction; numbers that are repeated count once."""
    facts = json.loads((folder / f"{name}.json").read_text())
    entries = [e for e in facts["state_dict"] if str(e[0]) not in facts["aliases"]]
    if name == "dfn":  # its program names the classifier before the trunk
        fc, trunk = entries[:2], entries[2:320]
        entries = trunk + fc + entries[320:]
    state = network.state_dict()
    for key, (index, _, shape, kind) in zip(state, entries, strict=True):
        assert list(state[key].shape) == shape, f"{key} is not number {index}"
        state[key] = filled(index, tuple(shape), kind, facts["conv_scale_factor"], facts["seed_base"])
    network.load_state_dict(state)
    return network.double().eval()


@pytest.mark.parametrize("name", ["frrn", "dfn"])
def test_the_released_build_answers_as_the_authors_program(name, reference):
    network = recorded(reference / "zoo", name, create_model(name, config="released"))
    x = torch.from_numpy(np.random.RandomState(7).standard_normal((1, 3, 96, 128)).astype(np.float32))
    logits = np.load(reference / "zoo" / f"{name}.npz")["logits"]
    with torch.no_grad():
        answer = network(x.double()).numpy()
    assert np.abs(answer - logits).max() < 1e-6 * np.abs(logits).max()


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


# --- sizes, options


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("frrn", dict(width=0), "width=0.*one channel or more"),
        ("frrn", dict(config="papr"), "No config of frrn is called 'papr'. Did you mean 'paper'"),
        ("dfn", dict(backbone="resnet11"), "Did you mean 'resnet101'"),
        ("dfn", dict(imagenet="no.pth"), "no.pth: there is no such file.*resnet101-5d3b4d8f.pth"),
        ("dfn", dict(config="released", imagenet="no.pth"), "resnet50-19c8e357.pth"),
    ],
)
def test_a_wrong_option_is_one_clear_line(name, options, says):
    with torch.device("meta"), pytest.raises(UserError, match=says) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)
